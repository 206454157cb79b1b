/* SPDX-License-Identifier: Apache-2.0 */
/* SEGMENT ARRIVES (RFC 9293, 3.10.7): to whom a segment is, and the checks of the synchronized
 * states in the RFC's order, with RFC 5961 and RFC 7323 (PAWS). */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>

#define PAWS_DAYS (24ULL * 24 * 3600 * SEC_NS) /* RFC 7323, 5.5 */

static bool parse(struct tcpip *ip, const struct ip_packet *packet, struct segment *seg)
{
    const uint8_t *p = packet->l4;
    unsigned header;

    if (packet->l4_len < TCP_HEADER_LEN) {
        ip->count.tcp_header_bad++;
        return false;
    }
    header = (p[12] >> 4) * 4U;
    if (header < TCP_HEADER_LEN || header > packet->l4_len) {
        ip->count.tcp_header_bad++;
        return false;
    }
    if (!(packet->flags & IP_PACKET_CSUM_OK) && !net_l4_checksum_ok(packet)) {
        ip->count.tcp_csum_bad++;
        return false;
    }
    seg->packet = packet;
    seg->src_port = get16(p);
    seg->dst_port = get16(p + 2);
    seg->seq = get32(p + 4);
    seg->ack = get32(p + 8);
    seg->flags = p[13];
    seg->wnd = get16(p + 14);
    seg->data = p + header;
    seg->len = packet->l4_len - header + packet->more;
    seg->skip = 0;
    (void)tcp_options_parse(&seg->options, p + TCP_HEADER_LEN, header - TCP_HEADER_LEN,
                            (seg->flags & TCP_SYN) != 0);
    return true;
}

static void to_listener(struct tcpip *ip, const struct segment *seg, uint32_t iss_above)
{
    const struct ip_packet *packet = seg->packet;
    struct tcb *l =
        demux_listener(ip, &packet->dst, seg->dst_port, &packet->src, seg->src_port, packet->port);

    if (l != NULL) {
        listen_arrives(l, seg, iss_above);
        return;
    }
    ip->count.tcp_port_drop++;
    tcp_reply_reset(ip, seg);
}

void tcp_segment_arrives(struct tcpip *ip, const struct ip_packet *packet)
{
    struct segment seg;
    struct tcp_endpoint *ep;
    uint32_t iss_above = 0;

    ip->count.tcp_in++;
    if (packet->flags & (IP_PACKET_BROADCAST | IP_PACKET_MULTICAST)) { /* MUST-57 */
        ip->count.tcp_header_bad++;
        return;
    }
    if (!parse(ip, packet, &seg))
        return;
    ip->count.tcp_in_bytes += seg.len;
    ep = demux_find(ip, &packet->dst, seg.dst_port, &packet->src, seg.src_port);
    if (ep == NULL) {
        to_listener(ip, &seg, 0);
        return;
    }
    if (ep->state == TCPS_TIME_WAIT) {
        if (time_wait_arrives(ip, time_wait_of_endpoint(ep), &seg, &iss_above))
            to_listener(ip, &seg, iss_above);
        return;
    }

    struct tcb *t = tcb_of_endpoint(ep);

    t->segs_in += segment_count(&seg);
    if (ep->state == TCPS_SYN_SENT)
        syn_sent_arrives(t, &seg);
    else
        synchronized_arrives(t, &seg);
}

/* 3.10.7.4, first: the four cases. */
static bool acceptable(const struct tcb *t, const struct segment *seg)
{
    const uint32_t len = segment_len(seg);
    const uint32_t wnd = tcb_offered(t);

    if (len == 0)
        return wnd == 0 ? seg->seq == t->rcv_nxt : seq_in(seg->seq, t->rcv_nxt, wnd + 1);
    if (wnd == 0)
        return false;
    return seq_in(seg->seq, t->rcv_nxt, wnd) || seq_in(seg->seq + len - 1, t->rcv_nxt, wnd) ||
           (seq_lt(seg->seq, t->rcv_nxt) && seq_geq(seg->seq + len, t->rcv_nxt + wnd));
}

/* RFC 7323, 5.3 R1. */
static bool paws_reject(const struct tcb *t, const struct segment *seg)
{
    return (t->flags & TCB_TS) && seg->options.ts && seq_lt(seg->options.tsval, t->ts_recent) &&
           t->s.ip->now - t->ts_recent_at < PAWS_DAYS;
}

/* R3: only from a segment that covers Last.ACK.sent. */
static void remember_timestamp(struct tcb *t, const struct segment *seg)
{
    if (!(t->flags & TCB_TS) || !seg->options.ts || seq_gt(seg->seq, t->last_ack))
        return;
    if (seq_lt(seg->options.tsval, t->ts_recent) && t->s.ip->now - t->ts_recent_at < PAWS_DAYS)
        return;
    t->ts_recent = seg->options.tsval;
    t->ts_recent_at = t->s.ip->now;
}

/* An unacceptable segment is answered with an ACK (MUST-58), within the limit of RFC 5961, 7. Old
 * data is told by DSACK (RFC 2883). */
static void unacceptable(struct tcb *t, const struct segment *seg)
{
    struct tcpip *ip = t->s.ip;

    if (seg->len > 0 && seq_lt(seg->seq, t->rcv_nxt)) {
        ip->count.tcp_duplicates++;
        if (t->flags & TCB_SACK) {
            t->dsack = (struct sack_block){seg->seq, seq_min(seg->seq + seg->len, t->rcv_nxt)};
            t->flags |= TCB_DSACK;
        }
        /* a retransmission after a lost ACK: answer it at once, whatever the limit */
        t->flags |= TCB_ACK_NOW;
        tcb_schedule(t);
        return;
    }
    ip->count.tcp_window_drop++;
    if (seq_lt(seg->seq, t->rcv_nxt)) { /* a keepalive or window probe */
        t->flags |= TCB_ACK_NOW;
        tcb_schedule(t);
        return;
    }
    tcb_challenge_ack(t);
}

/* Second: RST (RFC 5961, 3.2). May end t. */
static void reset_arrives(struct tcb *t, const struct segment *seg)
{
    struct tcpip *ip = t->s.ip;
    int error = ECONNRESET;

    if (seg->seq != t->rcv_nxt) {
        ip->count.tcp_reset_bad++;
        if (acceptable(t, seg))
            tcb_challenge_ack(t);
        return;
    }
    ip->count.tcp_resets_in++;
    if (t->ep.state == TCPS_SYN_RECEIVED) {
        ip->count.tcp_attempt_fails++;
        error = ECONNREFUSED;
    } else if (t->ep.state == TCPS_CLOSE_WAIT) {
        error = EPIPE; /* as Linux */
    }
    if (t->ep.state == TCPS_CLOSING || t->ep.state == TCPS_LAST_ACK)
        error = 0;
    tcb_end(t, error);
}

/* The SYN-ACK of a simultaneous open repeats the SYN (3.5, figure 8, line 5). */
static bool strip_simultaneous_syn(const struct tcb *t, struct segment *seg)
{
    if (t->ep.state != TCPS_SYN_RECEIVED || (t->flags & TCB_PASSIVE) ||
        (seg->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK) || seg->seq != t->irs ||
        seg->ack != t->snd_nxt)
        return false;
    seg->seq++;
    seg->flags &= (uint8_t)~TCP_SYN;
    return true;
}

/* TCP_DEFER_ACCEPT: an ACK alone opens no connection until the listener's time is over. As Linux
 * has it, the ACK counts as lost, and the last SYN-ACK of that time asks for another one. */
static bool defer(struct tcb *t, const struct segment *seg)
{
    if (t->listener == NULL || t->syn_tries >= t->listener->defer_accept || segment_len(seg) > 0)
        return false;
    if (t->flags & TCB_COOKIE) /* no SYN-ACK of ours that could be asked again */
        return false;
    t->flags |= TCB_DEFERRED;
    t->s.ip->count.tcp_deferred++;
    return true;
}

/* Fifth, SYN-RECEIVED: the handshake ends. False: the segment goes no further; t may be gone. */
static bool handshake_ack(struct tcb *t, const struct segment *seg)
{
    if (!seq_gt(seg->ack, t->snd_una) || seq_gt(seg->ack, t->snd_nxt)) {
        t->s.ip->count.tcp_ack_bad++;
        tcp_reply_reset(t->s.ip, seg);
        return false;
    }
    if (defer(t, seg) || !tcb_accept(t))
        return false;
    t->snd_wnd = seg->wnd << t->snd_wscale;
    t->max_wnd = t->snd_wnd;
    t->snd_wl1 = seg->seq;
    t->snd_wl2 = seg->ack;
    tcb_established(t);
    return true;
}

/* Fifth, the states after: what the ACK of our FIN means. False: t has gone. */
static bool fin_acknowledged(struct tcb *t)
{
    switch (t->ep.state) {
    case TCPS_FIN_WAIT_1:
        tcb_set_state(t, TCPS_FIN_WAIT_2);
        return !(t->flags & TCB_CLOSED_BY_HOST) || tcb_orphan_fin_wait_2(t);
    case TCPS_CLOSING:
        tcb_time_wait(t);
        return false;
    case TCPS_LAST_ACK:
        tcb_end(t, 0);
        return false;
    default:
        return true;
    }
}

/* RFC 5961, 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT. */
static bool ack_acceptable(struct tcb *t, const struct segment *seg)
{
    if (seq_leq(seg->ack, t->snd_nxt) && seq_geq(seg->ack, t->snd_una - t->max_wnd))
        return true;
    t->s.ip->count.tcp_ack_bad++;
    tcb_challenge_ack(t);
    return false;
}

/* The ACK field and what follows from it. False: t has gone. */
static bool process_ack(struct tcb *t, const struct segment *seg)
{
    tcb_ack(t, seg);
    return !(t->flags & TCB_FIN_SENT) || seq_leq(t->snd_una, t->fin_seq) || fin_acknowledged(t);
}

static void syn_in_window(struct tcb *t, const struct segment *seg)
{
    t->s.ip->count.tcp_syn_bad++;
    if (t->ep.state == TCPS_SYN_RECEIVED && seg->seq == t->irs && !(seg->flags & TCP_ACK)) {
        t->flags |= TCB_SYN_NOW; /* our SYN-ACK was lost */
        tcb_schedule(t);
        return;
    }
    tcb_challenge_ack(t); /* RFC 5961, 4.2 */
}

/* First to fourth. False: the segment goes no further; t may be gone. */
static bool check(struct tcb *t, struct segment *seg)
{
    if (strip_simultaneous_syn(t, seg))
        return true;
    if ((seg->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && t->ep.state == TCPS_SYN_RECEIVED &&
        seg->seq == t->irs) {
        syn_in_window(t, seg);
        return false;
    }
    if (seg->flags & TCP_RST) {
        reset_arrives(t, seg);
        return false;
    }
    if (paws_reject(t, seg)) {
        t->s.ip->count.tcp_paws_drop++;
        t->flags |= TCB_ACK_NOW;
        tcb_schedule(t);
        return false;
    }
    if ((t->flags & TCB_TS) && !seg->options.ts) { /* RFC 7323, 3.2 */
        t->s.ip->count.tcp_paws_drop++;
        return false;
    }
    if (seg->flags & TCP_SYN) {
        syn_in_window(t, seg);
        return false;
    }
    if (!acceptable(t, seg)) {
        /* the ACK in it counts even where its data does not fit (3.10.7.4: RCV.WND zero) */
        if ((seg->flags & TCP_ACK) && t->ep.state != TCPS_SYN_RECEIVED &&
            seq_leq(seg->ack, t->snd_nxt) && seq_geq(seg->ack, t->snd_una) &&
            seq_in(seg->seq, t->rcv_nxt - 1, 2) && !process_ack(t, seg))
            return false;
        unacceptable(t, seg);
        return false;
    }
    if (!(seg->flags & TCP_ACK)) {
        t->s.ip->count.tcp_ack_bad++;
        return false;
    }
    return true;
}

void synchronized_arrives(struct tcb *t, const struct segment *arrived)
{
    struct segment seg = *arrived;

    t->last_receive = t->s.ip->now;
    t->probes = 0;
    if (!check(t, &seg))
        return;
    if (t->ep.state == TCPS_SYN_RECEIVED) {
        if (!handshake_ack(t, &seg))
            return;
    } else if (!ack_acceptable(t, &seg)) {
        return;
    }
    remember_timestamp(t, &seg);
    if (!process_ack(t, &seg))
        return;
    if (seg.len > 0 || (seg.flags & TCP_FIN))
        tcb_text(t, &seg);
}
