/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/scoreboard.h"

#include "sidecar/tcpip/tcp/seq.h"

void sb_init(struct scoreboard *sb, uint32_t seq)
{
    *sb = (struct scoreboard){.fack = seq};
    rate_init(&sb->rate);
}

static inline uint32_t range_len(const struct tx_range *r)
{
    return r->end - r->seq;
}

/* The sums lose `bytes` of a range with these flags. */
static void subtract(struct scoreboard *sb, uint8_t flags, uint32_t bytes)
{
    if (flags & TX_SACKED)
        sb->sacked -= bytes;
    if (flags & TX_LOST)
        sb->lost -= bytes;
    if (flags & TX_RETRANS)
        sb->retrans -= bytes;
}

static void unlink_range(struct scoreboard *sb, struct pool *pool, struct tx_range *r)
{
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        sb->head = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    else
        sb->tail = r->prev;
    sb->n--;
    pool_put(pool, r);
}

void sb_clear(struct scoreboard *sb, struct pool *pool)
{
    while (sb->head != NULL)
        unlink_range(sb, pool, sb->head);
    sb->sacked = sb->lost = sb->retrans = 0;
}

bool sb_room(const struct scoreboard *sb, const struct pool *pool)
{
    return sb->n < SCOREBOARD_MAX && pool->used < pool->limit;
}

bool sb_sent(struct scoreboard *sb, struct pool *pool, uint32_t seq, uint32_t end, uint64_t now)
{
    struct tx_range *tail = sb->tail;

    if (tail != NULL && tail->sent == now && tail->flags == 0) {
        tail->end = end; /* one turn's transmissions are one range */
        return true;
    }

    struct tx_range *r = sb->n < SCOREBOARD_MAX ? pool_get(pool) : NULL;

    if (r == NULL)
        return false;
    *r = (struct tx_range){.prev = tail,
                           .sent = now,
                           .stamp = rate_sent(&sb->rate, now, tail == NULL),
                           .seq = seq,
                           .end = end};
    if (tail != NULL)
        tail->next = r;
    else
        sb->head = r;
    sb->tail = r;
    sb->n++;
    return true;
}

/* Splits `r` at `seq` (inside it); the new range, the upper part, follows. NULL: no room. */
static struct tx_range *split(struct scoreboard *sb, struct pool *pool, struct tx_range *r,
                              uint32_t seq)
{
    struct tx_range *upper = sb->n < SCOREBOARD_MAX ? pool_get(pool) : NULL;

    if (upper == NULL)
        return NULL;
    *upper = *r;
    upper->seq = seq;
    upper->prev = r;
    r->end = seq;
    r->next = upper;
    if (upper->next != NULL)
        upper->next->prev = upper;
    else
        sb->tail = upper;
    sb->n++;
    return upper;
}

/* A FIN takes a number but no segment of its own, unless it is alone. */
static uint32_t segments_of(const struct sb_delivery *d, uint32_t end, uint32_t bytes)
{
    if (d->fin_sent && end == d->fin_end && bytes > 1)
        bytes--;
    return bytes <= d->mss || d->mss == 0 ? 1 : (bytes + d->mss - 1) / d->mss;
}

/* Takes down that `r`, or its part below `end`, has been delivered now (not sacked before). */
static void delivered(struct scoreboard *sb, const struct tx_range *r, uint32_t end,
                      struct sb_delivery *d)
{
    const uint32_t bytes = end - r->seq;

    d->segments += segments_of(d, end, bytes);
    rate_delivered(&sb->rate, &d->rate, &r->stamp, r->sent, end, bytes, d->now);
    if (!(r->flags & TX_EVER_RETRANS)) {
        if (r->sent > d->rtt_sent)
            d->rtt_sent = r->sent;
        if (seq_lt(r->seq, sb->fack))
            d->reordered = true;
    } else {
        d->retrans_acked = true;
        /* RFC 8985, 6.2 step 2: too soon to be the retransmission's doing */
        if (d->now - r->sent < d->min_rtt)
            return;
    }
    if (r->sent > d->newest || (r->sent == d->newest && seq_gt(end, d->newest_end))) {
        d->newest = r->sent;
        d->newest_end = end;
    }
}

void sb_ack(struct scoreboard *sb, struct pool *pool, uint32_t una, struct sb_delivery *d)
{
    while (sb->head != NULL && seq_lt(sb->head->seq, una)) {
        struct tx_range *r = sb->head;
        const bool whole = seq_leq(r->end, una);
        const uint32_t end = whole ? r->end : una;
        const uint32_t bytes = end - r->seq;

        if (!(r->flags & TX_SACKED)) {
            delivered(sb, r, end, d);
            d->acked += bytes;
        }
        subtract(sb, r->flags, bytes);
        if (whole)
            unlink_range(sb, pool, r);
        else
            r->seq = una;
    }
    sb->fack = seq_max(sb->fack, una);
}

static void merge_sacked(struct scoreboard *sb, struct pool *pool, struct tx_range *r)
{
    struct tx_range *next = r->next;
    struct tx_range *prev = r->prev;

    if (next != NULL && (next->flags & TX_SACKED)) {
        r->end = next->end;
        r->flags |= next->flags;
        unlink_range(sb, pool, next);
    }
    if (prev != NULL && (prev->flags & TX_SACKED)) {
        prev->end = r->end;
        prev->flags |= r->flags;
        unlink_range(sb, pool, r);
    }
}

static void mark_sacked(struct scoreboard *sb, struct tx_range *r, struct sb_delivery *d)
{
    delivered(sb, r, r->end, d);
    subtract(sb, r->flags, range_len(r));
    r->flags = (uint8_t)((r->flags & ~(TX_LOST | TX_RETRANS)) | TX_SACKED);
    sb->sacked += range_len(r);
    d->sacked += range_len(r);
}

bool sb_sack(struct scoreboard *sb, struct pool *pool, struct sack_block block,
             struct sb_delivery *d)
{
    struct tx_range *r = sb->head;

    while (r != NULL && seq_leq(r->end, block.start))
        r = r->next;
    while (r != NULL && seq_lt(r->seq, block.end)) {
        if (r->flags & TX_SACKED) {
            r = r->next;
            continue;
        }
        if (seq_lt(r->seq, block.start)) {
            r = split(sb, pool, r, block.start);
            if (r == NULL)
                return false;
        }
        if (seq_gt(r->end, block.end) && split(sb, pool, r, block.end) == NULL)
            return false;

        struct tx_range *next = r->next;
        struct tx_range *after =
            next != NULL && (next->flags & TX_SACKED) ? next->next : next; /* merged away below */

        mark_sacked(sb, r, d);
        merge_sacked(sb, pool, r);
        r = after;
    }
    sb->fack = seq_max(sb->fack, block.end);
    return true;
}

struct tx_range *sb_next_lost(struct scoreboard *sb, struct pool *pool, uint32_t max)
{
    if (sb->lost == 0)
        return NULL;
    for (struct tx_range *r = sb->head; r != NULL; r = r->next) {
        if ((r->flags & (TX_LOST | TX_RETRANS)) != TX_LOST)
            continue;
        if (range_len(r) > max && split(sb, pool, r, r->seq + max) == NULL)
            return NULL;
        return r;
    }
    return NULL;
}

struct tx_range *sb_tail(struct scoreboard *sb, struct pool *pool, uint32_t max)
{
    struct tx_range *r = sb->tail;

    while (r != NULL && (r->flags & TX_SACKED))
        r = r->prev;
    if (r != NULL && range_len(r) > max)
        return split(sb, pool, r, r->end - max);
    return r;
}

void sb_retransmitted(struct scoreboard *sb, struct tx_range *r, uint64_t now)
{
    if (!(r->flags & TX_RETRANS))
        sb->retrans += range_len(r);
    r->flags |= TX_RETRANS | TX_EVER_RETRANS;
    r->sent = now;
    r->stamp = rate_sent(&sb->rate, now, false);
}

void sb_mark_lost(struct scoreboard *sb, struct tx_range *r)
{
    if (r->flags & TX_RETRANS)
        sb->retrans -= range_len(r);
    if (!(r->flags & TX_LOST))
        sb->lost += range_len(r);
    r->flags = (uint8_t)((r->flags & ~TX_RETRANS) | TX_LOST);
}

void sb_timeout(struct scoreboard *sb)
{
    const bool reneged = sb->head != NULL && (sb->head->flags & TX_SACKED);

    for (struct tx_range *r = sb->head; r != NULL; r = r->next) {
        if (r->flags & TX_SACKED) {
            if (!reneged)
                continue;
            r->flags &= (uint8_t)~TX_SACKED;
            sb->sacked -= range_len(r);
        }
        sb_mark_lost(sb, r);
    }
}

void sb_unmark_lost(struct scoreboard *sb)
{
    for (struct tx_range *r = sb->head; r != NULL; r = r->next) {
        if (!(r->flags & TX_LOST))
            continue;
        r->flags &= (uint8_t)~TX_LOST;
        sb->lost -= range_len(r);
    }
}

void sb_mark_head_lost(struct scoreboard *sb, struct pool *pool, uint32_t max)
{
    struct tx_range *r = sb->head;

    if (r == NULL || (r->flags & (TX_LOST | TX_RETRANS)) == TX_LOST)
        return;
    if (range_len(r) > max)
        split(sb, pool, r, r->seq + max);
    sb_mark_lost(sb, r);
}
