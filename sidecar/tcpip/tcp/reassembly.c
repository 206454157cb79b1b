/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/reassembly.h"

#include "sidecar/tcpip/tcp/seq.h"

#include <string.h>

struct reassembly_block {
    struct reassembly_block *next;
    uint32_t start; /* sequence number of data[offset] */
    uint16_t len;
    uint16_t offset; /* of the first byte still wanted */
    uint8_t data[];
};

#define BLOCK_DATA ((uint32_t)(REASSEMBLY_BLOCK - sizeof(struct reassembly_block)))

struct island {
    uint32_t start, end;
    struct reassembly_block *first, *last;
    uint32_t stamp; /* larger: changed later */
};

struct reassembly {
    uint32_t n, stamp, blocks;
    struct island islands[REASSEMBLY_ISLANDS];
};

void reassembly_store_init(struct reassembly_store *store, uint32_t max_bytes)
{
    const uint32_t blocks = max_bytes / REASSEMBLY_BLOCK;

    pool_init(&store->blocks, REASSEMBLY_BLOCK, 32, blocks);
    pool_init(&store->heads, sizeof(struct reassembly), 16, blocks);
}

void reassembly_store_destroy(struct reassembly_store *store)
{
    pool_destroy(&store->blocks);
    pool_destroy(&store->heads);
}

static void free_chain(struct reassembly_store *store, struct reassembly *r,
                       struct reassembly_block *block)
{
    while (block != NULL) {
        struct reassembly_block *next = block->next;

        pool_put(&store->blocks, block);
        r->blocks--;
        block = next;
    }
}

/* A chain with as much of the bytes as there are blocks for; returns how many bytes it holds. */
static uint32_t make_chain(struct reassembly_store *store, struct reassembly *r, uint32_t seq,
                           const uint8_t *data, uint32_t len, uint32_t max_blocks,
                           struct reassembly_block **first, struct reassembly_block **last)
{
    uint32_t done = 0;

    *first = *last = NULL;
    while (done < len && r->blocks < max_blocks) {
        struct reassembly_block *b = pool_get(&store->blocks);
        const uint32_t n = len - done < BLOCK_DATA ? len - done : BLOCK_DATA;

        if (b == NULL)
            break;
        r->blocks++;
        *b = (struct reassembly_block){.start = seq + done, .len = (uint16_t)n};
        memcpy(b->data, data + done, n);
        if (*last != NULL)
            (*last)->next = b;
        else
            *first = b;
        *last = b;
        done += n;
    }
    return done;
}

static void remove_island(struct reassembly *r, uint32_t i)
{
    r->n--;
    memmove(&r->islands[i], &r->islands[i + 1], (r->n - i) * sizeof(r->islands[0]));
}

/* Appends to island i; returns the bytes taken. */
static uint32_t append(struct reassembly_store *store, struct reassembly *r, uint32_t i,
                       const uint8_t *data, uint32_t len, uint32_t max_blocks)
{
    struct island *island = &r->islands[i];
    struct reassembly_block *last = island->last;
    const uint32_t used = (uint32_t)last->offset + last->len;
    const uint32_t room = BLOCK_DATA - used;
    const uint32_t fill = len < room ? len : room;
    struct reassembly_block *first_new, *last_new;

    memcpy(last->data + used, data, fill);
    last->len = (uint16_t)(last->len + fill);

    const uint32_t more = make_chain(store, r, island->end + fill, data + fill, len - fill,
                                     max_blocks, &first_new, &last_new);

    if (first_new != NULL) {
        last->next = first_new;
        island->last = last_new;
    }
    island->end += fill + more;
    island->stamp = ++r->stamp;
    if (i + 1 < r->n && r->islands[i + 1].start == island->end) {
        island->last->next = r->islands[i + 1].first;
        island->last = r->islands[i + 1].last;
        island->end = r->islands[i + 1].end;
        remove_island(r, i + 1);
    }
    return fill + more;
}

/* Puts bytes into the gap before island i (or behind the last); returns the bytes taken. A chain
 * that could not be made whole does not reach the island: it is one of its own. */
static uint32_t fill_gap(struct reassembly_store *store, struct reassembly *r, uint32_t i,
                         uint32_t seq, const uint8_t *data, uint32_t len, uint32_t max_blocks)
{
    const bool touches = i < r->n && r->islands[i].start == seq + len;
    struct reassembly_block *first, *last;

    if (!touches && r->n == REASSEMBLY_ISLANDS)
        return 0;

    const uint32_t done = make_chain(store, r, seq, data, len, max_blocks, &first, &last);

    if (done == 0)
        return 0;
    if (touches && done == len) {
        struct island *island = &r->islands[i];

        last->next = island->first;
        island->first = first;
        island->start = seq;
        island->stamp = ++r->stamp;
        return done;
    }
    if (r->n == REASSEMBLY_ISLANDS) {
        free_chain(store, r, first);
        return 0;
    }
    memmove(&r->islands[i + 1], &r->islands[i], (r->n - i) * sizeof(r->islands[0]));
    r->islands[i] = (struct island){seq, seq + done, first, last, ++r->stamp};
    r->n++;
    return done;
}

/* The segment's bytes piece by piece, each either held already, or in a gap. */
static uint32_t insert_pieces(struct reassembly_store *store, struct reassembly *r, uint32_t seq,
                              const uint8_t *data, uint32_t len, uint32_t max_blocks, bool *full)
{
    const uint32_t end = seq + len;
    uint32_t at = seq;
    uint32_t kept = 0;
    uint32_t i = 0;

    while (i < r->n && seq_lt(r->islands[i].end, at))
        i++;
    while (seq_lt(at, end)) {
        const bool inside = i < r->n && seq_leq(r->islands[i].start, at);

        if (inside && seq_lt(at, r->islands[i].end)) {
            at = seq_min(end, r->islands[i].end);
            continue;
        }

        const uint32_t next = inside ? i + 1 : i;
        const uint32_t limit = next < r->n ? seq_min(end, r->islands[next].start) : end;
        const uint8_t *piece = data + (at - seq);
        const uint32_t taken = inside ? append(store, r, i, piece, limit - at, max_blocks)
                                      : fill_gap(store, r, i, at, piece, limit - at, max_blocks);

        kept += taken;
        if (taken < limit - at) {
            *full = true;
            break;
        }
        at = limit;
    }
    return kept;
}

static void drop_if_empty(struct reassembly_store *store, struct reassembly **r)
{
    if ((*r)->n > 0)
        return;
    pool_put(&store->heads, *r);
    *r = NULL;
}

uint32_t reassembly_insert(struct reassembly_store *store, struct reassembly **r, uint32_t seq,
                           const uint8_t *data, uint32_t len, uint32_t max_blocks, bool *full)
{
    *full = false;
    if (len == 0)
        return 0;
    if (*r == NULL) {
        *r = pool_get(&store->heads);
        if (*r == NULL) {
            *full = true;
            return 0;
        }
        (*r)->n = (*r)->stamp = (*r)->blocks = 0;
    }

    const uint32_t kept = insert_pieces(store, *r, seq, data, len, max_blocks, full);

    drop_if_empty(store, r);
    return kept;
}

/* Drops the first block of the first island. */
static void drop_front(struct reassembly_store *store, struct reassembly *r)
{
    struct island *island = &r->islands[0];
    struct reassembly_block *b = island->first;

    island->first = b->next;
    pool_put(&store->blocks, b);
    r->blocks--;
    if (island->first == NULL)
        remove_island(r, 0);
    else
        island->start = island->first->start;
}

bool reassembly_front(struct reassembly_store *store, struct reassembly **r, uint32_t rcv_nxt,
                      const uint8_t **data, uint32_t *len)
{
    while (*r != NULL && seq_leq((*r)->islands[0].start, rcv_nxt)) {
        struct reassembly_block *b = (*r)->islands[0].first;

        if (seq_gt(b->start + b->len, rcv_nxt)) {
            const uint32_t skip = rcv_nxt - b->start;

            b->offset = (uint16_t)(b->offset + skip);
            b->len = (uint16_t)(b->len - skip);
            b->start = rcv_nxt;
            (*r)->islands[0].start = rcv_nxt;
            *data = b->data + b->offset;
            *len = b->len;
            return true;
        }
        drop_front(store, *r);
        drop_if_empty(store, r);
    }
    return false;
}

void reassembly_clear(struct reassembly_store *store, struct reassembly **r)
{
    if (*r == NULL)
        return;
    for (uint32_t i = 0; i < (*r)->n; i++)
        free_chain(store, *r, (*r)->islands[i].first);
    (*r)->n = 0;
    drop_if_empty(store, r);
}

unsigned reassembly_sacks(const struct reassembly *r, uint32_t rcv_nxt, struct sack_block *blocks,
                          unsigned max)
{
    uint32_t below = UINT32_MAX;
    unsigned n = 0;

    while (r != NULL && n < max && n < r->n) {
        const struct island *newest = NULL;

        for (uint32_t i = 0; i < r->n; i++) {
            const struct island *island = &r->islands[i];

            if (seq_gt(island->start, rcv_nxt) && island->stamp < below &&
                (newest == NULL || island->stamp > newest->stamp))
                newest = island;
        }
        if (newest == NULL)
            break;
        below = newest->stamp;
        blocks[n++] = (struct sack_block){newest->start, newest->end};
    }
    return n;
}

bool reassembly_covers(const struct reassembly *r, uint32_t start, uint32_t end,
                       struct sack_block *island)
{
    for (uint32_t i = 0; r != NULL && i < r->n; i++) {
        if (seq_leq(r->islands[i].start, start) && seq_geq(r->islands[i].end, end)) {
            *island = (struct sack_block){r->islands[i].start, r->islands[i].end};
            return true;
        }
    }
    return false;
}

uint32_t reassembly_bytes(const struct reassembly *r)
{
    uint32_t bytes = 0;

    for (uint32_t i = 0; r != NULL && i < r->n; i++)
        bytes += r->islands[i].end - r->islands[i].start;
    return bytes;
}
