/* SPDX-License-Identifier: Apache-2.0 */
/* Segment text and FIN (RFC 9293, 3.10.7.4, seventh and eighth), and when to acknowledge (3.8.6.3;
 * RFC 5681, 4.2). */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#define MIN_RCV_MSS 536U

/* RFC 3168, 6.1.3; RFC 8257, 3.2. */
static void congestion_seen(struct tcb *t, const struct segment *seg)
{
    const bool ce = (seg->packet->tos & IP_ECN_MASK) == IP_ECN_CE;

    if (!(t->flags & TCB_ECN))
        return;
    if (ce)
        t->s.ip->count.tcp_ecn_ce_in++;
    if (t->cc.ops->dctcp_ecn) {
        /* what was received before the change is acknowledged with the mark as it was */
        if (ce != ((t->flags & TCB_ECE) != 0) && t->rcv_nxt != t->last_ack)
            tcb_send_ack(t);
        t->flags = ce ? t->flags | TCB_ECE : t->flags & ~(uint32_t)TCB_ECE;
        return;
    }
    if (seg->flags & TCP_CWR)
        t->flags &= ~(uint32_t)TCB_ECE;
    if (ce) {
        t->flags |= TCB_ECE;
        t->flags &= ~(uint32_t)TCB_PINGPONG;
        t->quick_acks = 2;
    }
}

static void note_dsack(struct tcb *t, uint32_t start, uint32_t end)
{
    t->s.ip->count.tcp_duplicates++;
    if (!(t->flags & TCB_SACK))
        return;
    t->dsack = (struct sack_block){start, end};
    t->flags |= TCB_DSACK;
}

/* Cuts the segment to the window. */
static void trim(struct tcb *t, struct segment *seg)
{
    const uint32_t wnd = tcb_offered(t);

    if (seq_lt(seg->seq, t->rcv_nxt)) {
        const uint32_t old = t->rcv_nxt - seg->seq;
        const uint32_t cut = old < seg->len ? old : seg->len;

        if (cut > 0) {
            note_dsack(t, seg->seq, seg->seq + cut);
            t->flags |= TCB_ACK_NOW;
        }
        seg->seq += old;
        seg->skip += cut;
        seg->len -= cut;
    }
    if (seq_gt(seg->seq + seg->len, t->rcv_nxt + wnd)) {
        const uint32_t fits = t->rcv_nxt + wnd - seg->seq;

        seg->len = seq_gt(t->rcv_nxt + wnd, seg->seq) ? fits : 0;
        seg->flags &= (uint8_t)~TCP_FIN;
        t->s.ip->count.tcp_window_drop++;
        t->flags |= TCB_ACK_NOW;
    }
}

/* To the host's ring, as much as it takes; the others have to wait (a window was offered before the
 * ring was there, or the ring became smaller). Returns how many bytes. */
static uint32_t deliver(struct tcb *t, const uint8_t *data, uint32_t len)
{
    const struct dmm_host *host = t->s.ip->host;

    if (host->rx_write(t->s.sock, data, len) < 0) {
        const uint32_t space = host->rx_space(t->s.sock);

        t->flags |= TCB_ACK_NOW;
        if (space == 0 || space >= len || host->rx_write(t->s.sock, data, space) < 0)
            return 0;
        len = space;
    }
    t->rcv_nxt += len;
    t->bytes_received += len;
    return len;
}

static void deliver_reassembled(struct tcb *t)
{
    struct reassembly_store *store = &tcp_of(t)->store;
    const uint8_t *data;
    uint32_t len;

    t->flags &= ~(uint32_t)TCB_RX_STALLED;
    while (t->ooo != NULL && reassembly_front(store, &t->ooo, t->rcv_nxt, &data, &len)) {
        if (deliver(t, data, len) < len) {
            t->flags |= TCB_RX_STALLED;
            return;
        }
    }
}

/* Keeps the segment's payload from `at` on for later; returns how many bytes are new and kept. */
static uint32_t hold(struct tcb *t, const struct segment *seg, uint32_t at, bool *full)
{
    const uint32_t max_blocks = 2 * (t->rcv_capacity / (REASSEMBLY_BLOCK / 2)) + 16;
    uint32_t kept = 0, len;

    *full = false;
    for (; at < seg->len && !*full; at += len) {
        const uint8_t *data = segment_piece(seg, at, &len);

        kept += reassembly_insert(&tcp_of(t)->store, &t->ooo, seg->seq + at, data, len, max_blocks,
                                  full);
    }
    return kept;
}

/* Bytes in turn that the ring refused: they were offered, so they are kept. They are not told by
 * SACK, which speaks of what lies beyond RCV.NXT. */
static void hold_back(struct tcb *t, const struct segment *seg, uint32_t at)
{
    struct tcpip_counters *count = &t->s.ip->count;
    bool full;

    if (hold(t, seg, at, &full) > 0) {
        t->flags |= TCB_RX_STALLED;
        count->tcp_rx_full_held++;
    }
    count->tcp_rx_full_drop += full;
}

static void out_of_order(struct tcb *t, const struct segment *seg)
{
    struct sack_block held;
    bool full;

    if (reassembly_covers(t->ooo, seg->seq, seg->seq + seg->len, &held) &&
        seq_gt(held.start, t->rcv_nxt))
        note_dsack(t, seg->seq, seg->seq + seg->len);
    hold(t, seg, 0, &full);
    t->s.ip->count.tcp_ooo_queued++;
    if (seq_gt(seg->seq, t->rcv_nxt))
        t->rcv_ooopack += segment_count(seg);
    if (full)
        t->s.ip->count.tcp_ooo_limit++;
    t->flags |= TCB_ACK_NOW;
    t->flags &= ~(uint32_t)TCB_PINGPONG;
    if (t->quick_acks < 4)
        t->quick_acks = 4;
}

static void in_order(struct tcb *t, const struct segment *seg)
{
    uint32_t at = 0, len, taken;

    do {
        const uint8_t *data = segment_piece(seg, at, &len);

        taken = deliver(t, data, len);
        at += taken;
    } while (taken == len && at < seg->len);
    if (at < seg->len)
        hold_back(t, seg, at);
    else if (t->ooo != NULL)
        deliver_reassembled(t);
}

/* The first segment that a client sends is mostly a whole request: its ACK may go with the answer,
 * if that comes soon. What a longer delay would cost a client that sends in pieces (Nagle) is why
 * the first segments are acknowledged at once else. */
static bool is_first_request(const struct tcb *t, const struct segment *seg)
{
    return (t->flags & (TCB_PASSIVE | TCB_FIN_QUEUED)) == TCB_PASSIVE && t->bytes_sent == 0 &&
           t->bytes_received == seg->len && (seg->flags & (TCP_PSH | TCP_FIN)) == TCP_PSH &&
           seg->len < t->mss;
}

/* At most two full segments wait for an ACK (MUST-59), and none for long. */
static void schedule_ack(struct tcb *t, const struct segment *seg)
{
    const uint32_t waiting = t->rcv_nxt - t->last_ack;
    const bool quick = t->quick_acks > 0 && !(t->flags & TCB_PINGPONG);

    if (!(t->flags & TCB_ACK_NOW) && quick && is_first_request(t, seg)) {
        delack_start(t, DELACK_FIRST_ANSWER);
    } else if ((t->flags & TCB_ACK_NOW) || waiting >= 2 * t->rcv_mss || t->ooo != NULL || quick) {
        t->flags |= TCB_ACK_NOW;
        tcb_schedule(t);
    } else if (waiting > 0) {
        delack_start(t, DELACK_ORDINARY);
    }
}

/* The round trip as a receiver sees it: since what the peer echoes was sent. Full segments only,
 * one per echo: those come in answer to our ACK. */
static void measure_rtt(struct tcb *t, const struct segment *seg, uint32_t size)
{
    if (!(t->flags & TCB_TS) || !seg->options.ts || seg->options.tsecr == 0 ||
        seg->options.tsecr == t->rcv_rtt_tsecr || size < t->rcv_mss)
        return;
    t->rcv_rtt_tsecr = seg->options.tsecr;

    const uint32_t ms = tcb_ts_now(t) - seg->options.tsecr;

    if (ms >= 1U << 20) /* an echo from nowhere is no sample */
        return;
    const uint32_t us = ms * 1000 + 500; /* the clock's tick is 1 ms */

    t->rcv_rtt_us = t->rcv_rtt_us == 0 ? us : t->rcv_rtt_us - t->rcv_rtt_us / 8 + us / 8;
}

static void measure(struct tcb *t, const struct segment *seg)
{
    const uint32_t size = seg->packet->gso_size != 0 ? seg->packet->gso_size : seg->len;
    const uint32_t most = t->flow.mtu;

    measure_rtt(t, seg, size);
    t->data_segs_in += segment_count(seg);
    t->last_data_received = t->s.ip->now;
    if (size > t->rcv_mss)
        t->rcv_mss = size < most ? size : most;
    if (t->rcv_mss < MIN_RCV_MSS)
        t->rcv_mss = MIN_RCV_MSS;
}

/* The answer to the peer's FIN waits for what the host says to it, as any delayed ACK (RFC 9293,
 * 3.8.6.3): mostly that is our own FIN, which then carries it. A host that has closed has nothing
 * more to say. */
static void ack_fin(struct tcb *t)
{
    const bool answer_comes = t->ep.state == TCPS_ESTABLISHED && !(t->flags & TCB_RX_STALLED);

    if (!answer_comes || (t->flags & TCB_ACK_NOW)) {
        t->flags |= TCB_ACK_NOW;
        tcb_schedule(t);
    } else {
        delack_start(t, DELACK_ORDINARY);
    }
}

/* The peer's FIN is in turn. May end t. */
static void fin_arrives(struct tcb *t)
{
    t->rcv_nxt++;
    ack_fin(t);
    if (!(t->flags & (TCB_EOF_TOLD | TCB_CLOSED_BY_HOST))) {
        t->flags |= TCB_EOF_TOLD;
        t->s.ip->host->eof(t->s.sock);
    }
    switch (t->ep.state) {
    case TCPS_ESTABLISHED:
        tcb_set_state(t, TCPS_CLOSE_WAIT);
        break;
    case TCPS_FIN_WAIT_1:
        tcb_set_state(t, TCPS_CLOSING);
        break;
    case TCPS_FIN_WAIT_2:
        tcb_time_wait(t);
        break;
    default:
        break;
    }
}

static bool takes_text(const struct tcb *t)
{
    return t->ep.state == TCPS_ESTABLISHED || t->ep.state == TCPS_FIN_WAIT_1 ||
           t->ep.state == TCPS_FIN_WAIT_2;
}

/* FIN once everything before it is there. May end t. */
static void check_fin(struct tcb *t)
{
    if ((t->flags & TCB_FIN_RECEIVED) && t->rcv_nxt == t->rcv_fin && takes_text(t))
        fin_arrives(t);
}

void tcb_text(struct tcb *t, const struct segment *arrived)
{
    struct segment seg = *arrived;

    if (!takes_text(t)) {
        t->s.ip->count.tcp_state_drop++;
        t->flags |= TCB_ACK_NOW; /* a FIN sent again */
        tcb_schedule(t);
        return;
    }
    if ((t->flags & TCB_CLOSED_BY_HOST) && seq_gt(seg.seq + seg.len, t->rcv_nxt)) {
        /* nobody reads it any more (RFC 9293, 3.6.1; RFC 2525, 2.17) */
        t->s.ip->count.tcp_after_close_drop++;
        tcb_send_reset(t);
        tcb_end(t, 0);
        return;
    }
    congestion_seen(t, &seg);
    measure(t, &seg);
    trim(t, &seg);
    if (seg.flags & TCP_FIN) {
        t->rcv_fin = seg.seq + seg.len;
        t->flags |= TCB_FIN_RECEIVED;
    }
    if (seg.len > 0 && seg.seq == t->rcv_nxt && !(t->flags & TCB_RX_STALLED)) {
        in_order(t, &seg);
    } else if (seg.len > 0) {
        out_of_order(t, &seg);
    }
    schedule_ack(t, &seg);
    if (t->flags & TCB_ACK_NOW)
        tcb_schedule(t);
    check_fin(t);
}

void tcb_deliver_held(struct tcb *t)
{
    if (!(t->flags & TCB_RX_STALLED))
        return;
    deliver_reassembled(t);
    t->flags |= TCB_ACK_NOW;
    tcb_schedule(t);
    check_fin(t);
}
