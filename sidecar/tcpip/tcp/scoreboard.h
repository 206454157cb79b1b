/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scoreboard: what has been sent and not yet acknowledged: when, and what became of it (RFC 6675's
 * scoreboard with RFC 8985's transmission times).
 *
 * A list of ranges of sequence space in order, from snd_una to snd_nxt without gaps. SYN and FIN
 * count one each. Payload is not here: it stays in the host's ring.
 *
 * Invariants
 *   - ranges do not overlap, none is empty; n counts them, n <= SCOREBOARD_MAX;
 *   - sacked, lost, retrans are the sums of the bytes of ranges with that flag; a SACKED range has
 *     neither LOST nor RETRANS; ranges that follow each other and are both SACKED are one;
 *   - a range that must be sent again is LOST and not RETRANS.
 * A peer can make a list long only by making it pay a segment each, and never beyond
 * SCOREBOARD_MAX: SACK information that would need more ranges is ignored (it is advisory, RFC
 * 2018, 8), new data waits. Ranges come from a pool. One thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_SCOREBOARD_H
#define DMM_SIDECAR_TCPIP_TCP_SCOREBOARD_H

#include "sidecar/tcpip/pool.h"
#include "sidecar/tcpip/tcp/options.h"
#include "sidecar/tcpip/tcp/rate.h"

#include <stdbool.h>
#include <stdint.h>

#define SCOREBOARD_MAX 1024

enum {
    TX_SACKED = 1 << 0,
    TX_LOST = 1 << 1,
    TX_RETRANS = 1 << 2,      /* a retransmission is in flight */
    TX_EVER_RETRANS = 1 << 3, /* Karn: no RTT sample from it */
};

struct tx_range {
    struct tx_range *next, *prev;
    uint64_t sent;           /* ns, of the last transmission */
    struct rate_stamp stamp; /* of the last transmission */
    uint32_t seq, end;
    uint8_t flags;
};

struct scoreboard {
    struct tx_range *head, *tail;
    uint32_t sacked, lost, retrans; /* bytes */
    uint32_t fack;                  /* end of the highest range delivered */
    uint16_t n;
    struct rate rate;
};

/* What one ACK delivered. Start from zero with now, min_rtt, mss and, once it was sent, the FIN
 * set. */
struct sb_delivery {
    uint64_t now, min_rtt;
    uint32_t mss;     /* payload of a segment */
    uint32_t fin_end; /* fin_sent: the sequence number behind the FIN */
    bool fin_sent;
    uint32_t acked;    /* bytes newly acknowledged that had not been sacked */
    uint32_t sacked;   /* bytes newly sacked */
    uint32_t segments; /* of how many segments these bytes are */
    struct rate_newest rate;
    uint64_t newest;     /* sent time of the last sent of them (0: none): RACK.xmit_ts */
    uint32_t newest_end; /* RACK.end_seq */
    uint64_t rtt_sent;   /* sent time of the last sent that was never retransmitted; 0 none */
    bool reordered;      /* a never retransmitted range was delivered below `fack` */
    bool retrans_acked;  /* something ever retransmitted was delivered */
};

void sb_init(struct scoreboard *sb, uint32_t seq);
void sb_clear(struct scoreboard *sb, struct pool *pool);
/* [seq, end) was sent for the first time; seq is where the list ends. False: no room. */
bool sb_sent(struct scoreboard *sb, struct pool *pool, uint32_t seq, uint32_t end, uint64_t now);
/* Whether sb_sent() would do. */
bool sb_room(const struct scoreboard *sb, const struct pool *pool);
/* Everything below `una` was acknowledged. */
void sb_ack(struct scoreboard *sb, struct pool *pool, uint32_t una, struct sb_delivery *d);
/* The block [start, end), within una..nxt, was sacked. False: it, or a part, would have needed a
 * range more than there may be, and was ignored. */
bool sb_sack(struct scoreboard *sb, struct pool *pool, struct sack_block block,
             struct sb_delivery *d);
/* The first range that must be sent again, cut to at most `max` bytes; NULL if there is none. */
struct tx_range *sb_next_lost(struct scoreboard *sb, struct pool *pool, uint32_t max);
/* The last `max` bytes (at most) of the list as a range of their own, for a tail loss probe. */
struct tx_range *sb_tail(struct scoreboard *sb, struct pool *pool, uint32_t max);
void sb_retransmitted(struct scoreboard *sb, struct tx_range *r, uint64_t now);
/* It has to be sent again (for the first time, or because the retransmission was lost as well). */
void sb_mark_lost(struct scoreboard *sb, struct tx_range *r);
/* The first `max` bytes (at most) have to be sent again: for peers without SACK. */
void sb_mark_head_lost(struct scoreboard *sb, struct pool *pool, uint32_t max);
/* A retransmission timeout (RFC 6298, 5.4): all that is not sacked is lost. Where the receiver took
 * back what it had sacked at the head (RFC 2018, 8), the sacks are forgotten. */
void sb_timeout(struct scoreboard *sb);
/* The timeout was spurious: what is marked lost and was not sent again is in flight after all. */
void sb_unmark_lost(struct scoreboard *sb);

/* Bytes in flight with nxt - una outstanding (RFC 6675's pipe). */
static inline uint32_t sb_pipe(const struct scoreboard *sb, uint32_t outstanding)
{
    return outstanding - sb->sacked - sb->lost + sb->retrans;
}

#endif
