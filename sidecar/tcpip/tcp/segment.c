/* SPDX-License-Identifier: Apache-2.0 */
/* Making segments: headers, options, and what each kind of segment carries. */
#include "sidecar/tcpip/tcp/isn.h"
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>

struct header_buffer {
    /* cppcheck-suppress unusedStructMember ; net_output() writes in front of tcp[] */
    uint8_t headroom[NET_HEADROOM];
    uint8_t tcp[TCP_HEADER_MAX];
} __attribute__((aligned(8)));

static unsigned put_header(uint8_t *p, uint16_t local_port, uint16_t remote_port, uint32_t seq,
                           uint32_t ack, uint8_t flags, uint16_t window,
                           const struct tcp_options *options)
{
    const unsigned len = TCP_HEADER_LEN + tcp_options_build(p + TCP_HEADER_LEN, options);

    put16(p, local_port);
    put16(p + 2, remote_port);
    put32(p + 4, seq);
    put32(p + 8, ack);
    p[12] = (uint8_t)(len / 4 << 4);
    p[13] = flags;
    put16(p + 14, window);
    put32(p + 16, 0); /* checksum, urgent pointer */
    return len;
}

unsigned tcb_options_len(const struct tcb *t)
{
    unsigned len = t->flags & TCB_TS ? 12 : 0;

    if ((t->flags & TCB_SACK) && (t->ooo != NULL || (t->flags & TCB_DSACK))) {
        struct sack_block blocks[TCP_SACK_MAX];
        unsigned n = reassembly_sacks(t->ooo, t->rcv_nxt, blocks, TCP_SACK_MAX);

        n += (t->flags & TCB_DSACK) != 0;
        const unsigned max = t->flags & TCB_TS ? TCP_SACK_MAX - 1 : TCP_SACK_MAX;
        if (n > 0)
            len += 4 + 8 * (n < max ? n : max);
    }
    return len;
}

static void fill_options(struct tcb *t, struct tcp_options *o)
{
    o->mss = 0;
    o->wscale = TCP_NO_WSCALE;
    o->sack_permitted = false;
    o->n_sack = 0;
    o->ts = (t->flags & TCB_TS) != 0;
    if (o->ts) {
        o->tsval = tcb_ts_now(t);
        o->tsecr = t->ts_recent;
    }
    if ((t->flags & TCB_SACK) && (t->ooo != NULL || (t->flags & TCB_DSACK))) {
        unsigned n = 0;

        if (t->flags & TCB_DSACK) /* RFC 2883, 4: the first block */
            o->sack[n++] = t->dsack;
        n += reassembly_sacks(t->ooo, t->rcv_nxt, o->sack + n, TCP_SACK_MAX - n);
        o->n_sack = (uint8_t)n;
    }
}

uint16_t tcb_advertised_mss(const struct tcb *t)
{
    const bool v4 = ip_addr_is_v4(&t->ep.remote);
    uint32_t mss = t->flow.mtu - (v4 ? 20U : 40U) - TCP_HEADER_LEN;

    if (t->user_mss != 0 && t->user_mss < mss)
        mss = t->user_mss;
    return (uint16_t)(mss < UINT16_MAX ? mss : UINT16_MAX);
}

static void fill_syn_options(struct tcb *t, struct tcp_options *o)
{
    o->mss = tcb_advertised_mss(t);
    o->n_sack = 0;
    o->wscale = t->flags & TCB_WSCALE ? t->rcv_wscale : TCP_NO_WSCALE;
    o->sack_permitted = (t->flags & TCB_SACK) != 0;
}

/* Everything that a segment with ACK settles. */
static void ack_was_sent(struct tcb *t, uint32_t window)
{
    t->rcv_adv = seq_max(t->rcv_adv, t->rcv_nxt + window);
    t->last_ack = t->rcv_nxt;
    t->flags &= ~(uint32_t)(TCB_ACK_NOW | TCB_DSACK);
    if (t->quick_acks > 0)
        t->quick_acks--;
    delack_stop(t);
}

static uint8_t ecn_flags(const struct tcb *t, const struct tcb_send *send)
{
    uint8_t flags = 0;

    if (t->flags & TCB_ECE)
        flags |= TCP_ECE;
    if ((t->flags & TCB_CWR) && send->len > 0 && !send->retransmit)
        flags |= TCP_CWR;
    return flags;
}

/* Retransmissions and pure ACKs are not ECN-capable (RFC 3168, 6.1.4 and 6.1.5). */
static uint8_t segment_tos(const struct tcb *t, const struct tcb_send *send)
{
    const bool ect = (t->flags & TCB_ECN) && send->len > 0 && !send->retransmit;

    return (uint8_t)((t->s.tos & ~IP_ECN_MASK) | (ect ? IP_ECN_ECT0 : IP_ECN_NOT_ECT));
}

static void fill_payload(struct tcb *t, const struct tcb_send *send, struct net_tx *tx)
{
    tx->n_payload =
        (uint8_t)t->s.ip->host->tx_peek(t->s.sock, send->seq - t->snd_una, send->len, tx->payload);
    tx->payload_len = send->len;
}

uint32_t tcb_segments(const struct tcb *t, uint32_t len)
{
    const uint32_t mss = t->cc.mss;

    return len <= mss || mss == 0 ? 1 : (len + mss - 1) / mss;
}

static int send_with(struct tcb *t, const struct tcb_send *send, uint8_t flags,
                     const struct tcp_options *options, uint32_t window, uint32_t scale)
{
    struct tcpip *ip = t->s.ip;
    struct header_buffer h;
    struct net_tx tx;
    int rc;

    tx.l4 = h.tcp;
    tx.l4_len = (uint16_t)put_header(h.tcp, t->ep.local_port, t->ep.remote_port, send->seq,
                                     t->rcv_nxt, flags, (uint16_t)(window >> scale), options);
    tx.csum_offset = TCP_CSUM_OFFSET;
    tx.tos = segment_tos(t, send);
    tx.ttl = 0;
    tx.gso = DMM_GSO_NONE;
    tx.gso_size = 0;
    tx.n_payload = 0;
    tx.payload_len = 0;
    if (send->len > 0) {
        const uint32_t mss = t->mss - (tx.l4_len - TCP_HEADER_LEN);

        fill_payload(t, send, &tx);
        if (send->len > mss) {
            tx.gso = ip_addr_is_v4(&t->ep.remote) ? DMM_GSO_TCPV4 : DMM_GSO_TCPV6;
            tx.gso_size = (uint16_t)mss;
        }
    }
    t->flow.pcp = socket_pcp(&t->s);
    rc = net_output(ip, &t->flow, &tx);
    if (rc == -EAGAIN) {
        ip->count.tx_blocked++;
        return rc;
    }
    ip->count.tcp_out++;
    ip->count.tcp_out_bytes += send->len;
    t->segs_out += tcb_segments(t, send->len);
    return rc;
}

int tcb_send_segment(struct tcb *t, const struct tcb_send *send)
{
    const uint8_t flags = send->flags | ecn_flags(t, send);
    struct tcp_options options;
    uint32_t window;
    int rc;

    fill_options(t, &options);
    window = tcb_receive_window(t);
    rc = send_with(t, send, flags, &options, window, t->rcv_wscale);
    if (rc == -EAGAIN)
        return rc;
    if (flags & TCP_CWR)
        t->flags &= ~(uint32_t)TCB_CWR;
    ack_was_sent(t, window);
    if (send->len > 0) {
        t->data_segs_out += tcb_segments(t, send->len);
        t->bytes_sent += send->len;
        t->idle_since = t->s.ip->now;
        /* Answers come fast here: ACKs may wait for the next one. A late one ends that (timers.c),
         * as TCP_QUICKACK does. */
        if (!send->retransmit &&
            t->s.ip->now - t->last_receive < t->s.ip->config.delayed_ack_ms * MS_NS)
            t->flags |= TCB_PINGPONG;
    }
    return rc;
}

int tcb_send_ack(struct tcb *t)
{
    return tcb_send_segment(t, &(struct tcb_send){.seq = t->snd_nxt, .flags = TCP_ACK});
}

int tcb_send_probe(struct tcb *t)
{
    return tcb_send_segment(t, &(struct tcb_send){.seq = t->snd_una - 1, .flags = TCP_ACK});
}

void tcb_send_reset(struct tcb *t)
{
    const struct tcp_options options = {.wscale = TCP_NO_WSCALE};
    const struct tcb_send send = {.seq = t->snd_nxt};

    t->s.ip->count.tcp_resets_out++;
    (void)send_with(t, &send, TCP_RST | TCP_ACK, &options, 0, 0);
}

/* SYN or SYN-ACK. The window in it is not scaled (RFC 7323, 2.2). */
int tcb_send_syn(struct tcb *t)
{
    const bool answer = t->ep.state == TCPS_SYN_RECEIVED;
    const struct tcb_send send = {.seq = t->iss};
    struct tcp_options options;
    uint8_t flags = answer ? TCP_SYN | TCP_ACK : TCP_SYN;
    uint32_t window;
    int rc;

    fill_options(t, &options);
    fill_syn_options(t, &options);
    if (!answer) {
        options.tsecr = 0;
        if ((t->flags & TCB_ECN) && t->syn_tries == 0)
            flags |= TCP_ECE | TCP_CWR; /* RFC 3168, 6.1.1; not again if lost (6.1.1.1) */
    } else if (t->flags & TCB_ECN) {
        flags |= TCP_ECE;
    }
    window = tcb_receive_window(t);
    if (window > TCP_WINDOW_MAX)
        window = TCP_WINDOW_MAX;
    rc = send_with(t, &send, flags, &options, window, 0);
    if (rc != -EAGAIN)
        ack_was_sent(t, window);
    return rc;
}

void tcp_send_bare(struct tcpip *ip, const struct tcp_bare *bare)
{
    struct header_buffer h;
    struct net_flow flow = {.src = bare->local, .dst = bare->remote, .proto = IPPROTO_TCP};
    struct net_tx tx = {.l4 = h.tcp, .csum_offset = TCP_CSUM_OFFSET, .tos = bare->tos};

    flow.flags = NET_FLOW_DF;
    tx.l4_len = (uint16_t)put_header(h.tcp, bare->local_port, bare->remote_port, bare->seq,
                                     bare->ack, bare->flags, bare->window, &bare->options);
    ip->count.tcp_out++;
    (void)net_output(ip, &flow, &tx); /* as with any datagram, the peer asks again if it is lost */
}

/* 3.10.7.1 and 3.5.2, group 1. */
void tcp_reply_reset(struct tcpip *ip, const struct segment *seg)
{
    struct tcp_bare bare = {
        .local = seg->packet->dst,
        .remote = seg->packet->src,
        .local_port = seg->dst_port,
        .remote_port = seg->src_port,
        .options = {.wscale = TCP_NO_WSCALE},
    };

    if (seg->flags & TCP_RST)
        return;
    if (seg->flags & TCP_ACK) {
        bare.seq = seg->ack;
        bare.flags = TCP_RST;
    } else {
        bare.ack = seg->seq + segment_len(seg);
        bare.flags = TCP_RST | TCP_ACK;
    }
    ip->count.tcp_resets_out++;
    tcp_send_bare(ip, &bare);
}

bool tcp_challenge_allowed(struct tcpip *ip)
{
    struct tcp *tcp = ip->tcp;

    if (ip->now - tcp->challenge_at >= SEC_NS) {
        uint32_t jitter;

        /* half to three halves of the rate: the count tells an onlooker nothing (CVE-2016-5696) */
        tcpip_random(ip, &jitter, sizeof(jitter));
        tcp->challenge_at = ip->now;
        tcp->challenge_left =
            ip->config.challenge_rate / 2 + jitter % (ip->config.challenge_rate + 1);
    }
    if (tcp->challenge_left == 0) {
        ip->count.tcp_challenge_limit++;
        return false;
    }
    tcp->challenge_left--;
    return true;
}

void tcb_challenge_ack(struct tcb *t)
{
    if (!tcp_challenge_allowed(t->s.ip))
        return;
    t->s.ip->count.tcp_challenge_acks++;
    t->flags |= TCB_ACK_NOW;
    tcb_schedule(t);
}
