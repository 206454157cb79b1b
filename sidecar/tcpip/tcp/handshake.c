/* SPDX-License-Identifier: Apache-2.0 */
/* LISTEN and SYN-SENT (RFC 9293, 3.10.7.2 and 3.10.7.3), SYN cookies, the accept queue. */
#include "sidecar/tcpip/tcp/isn.h"
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/syncookie.h"
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>

#define MAX_RCV_WSCALE 8 /* 16 MB: what fills 100 Gbit/s for 1 ms */

void tcb_want_options(struct tcb *t)
{
    const struct tcpip_config *config = &t->s.ip->config;

    t->flags |= (config->timestamps ? TCB_TS : 0U) | (config->sack ? TCB_SACK : 0U) |
                (config->wscale ? TCB_WSCALE : 0U);
    t->rcv_wscale = config->wscale ? MAX_RCV_WSCALE : 0;
}

/* What both sides offered stays. */
static void negotiate(struct tcb *t, const struct segment *seg)
{
    const struct tcp_options *o = &seg->options;
    const bool v4 = ip_addr_is_v4(&t->ep.remote);

    if (!o->ts)
        t->flags &= ~(uint32_t)TCB_TS;
    if (!o->sack_permitted)
        t->flags &= ~(uint32_t)TCB_SACK;
    if (o->wscale == TCP_NO_WSCALE || !(t->flags & TCB_WSCALE)) {
        t->flags &= ~(uint32_t)TCB_WSCALE;
        t->rcv_wscale = 0;
    } else {
        t->snd_wscale = o->wscale;
    }
    if (t->flags & TCB_TS) {
        t->ts_recent = o->tsval;
        t->ts_recent_at = t->s.ip->now;
    }
    t->peer_mss = o->mss != 0 ? o->mss : v4 ? TCP_DEFAULT_MSS4 : TCP_DEFAULT_MSS6;
    tcb_update_mss(t);
    t->rcv_mss = t->cc.mss;
}

void tcb_established(struct tcb *t)
{
    struct tcpip *ip = t->s.ip;

    tcb_set_state(t, TCPS_ESTABLISHED);
    ip->count.tcp_established++;
    t->backoffs = 0;
    t->last_receive = ip->now;
    t->cc.cwnd = ip->config.initial_window * t->cc.mss; /* RFC 6928 */
    if (t->syn_tries > 1 && !(t->flags & TCB_DEFERRED)) /* RFC 5681, 3.1 */
        t->cc.cwnd = t->cc.mss;
    tcb_keepalive_start(t);
}

static void tell_connected(struct tcb *t)
{
    const struct dmm_addr local = ip_addr_to_dmm(&t->ep.local, t->ep.local_port, t->s.family);
    const struct dmm_addr peer = ip_addr_to_dmm(&t->ep.remote, t->ep.remote_port, t->s.family);

    t->s.ip->host->connected(t->s.sock, &local, &peer);
}

bool tcb_accept(struct tcb *t)
{
    struct tcpip *ip = t->s.ip;
    struct tcb *l = t->listener;
    struct dmm_sock *sock = NULL;
    int rc;

    if (l == NULL) { /* simultaneous open */
        tell_connected(t);
        return true;
    }

    const struct dmm_addr local = ip_addr_to_dmm(&t->ep.local, t->ep.local_port, t->s.family);
    const struct dmm_addr peer = ip_addr_to_dmm(&t->ep.remote, t->ep.remote_port, t->s.family);

    rc = ip->host->accepted(l->s.sock, &t->s, &local, &peer, &sock);
    if (rc == -ENOBUFS) { /* as Linux: the ACK counts as lost, the SYN-ACK will be sent again */
        ip->count.tcp_listen_overflow_drop++;
        if (t->flags & TCB_COOKIE)
            tcb_end(t, 0);
        return false;
    }
    if (rc < 0) {
        tcb_send_reset(t);
        tcb_end(t, 0);
        return false;
    }
    t->s.sock = sock;
    list_del(&t->half);
    l->n_half_open--;
    ip->tcp->n_half_open--;
    t->listener = NULL;
    ip->count.tcp_passive_opens++;
    return true;
}

/* ---- LISTEN ---- */

/* A connection in SYN-RECEIVED for a listener, with the listener's options. NULL: no room. */
static struct tcb *half_open(struct tcb *l, const struct segment *seg)
{
    struct tcpip *ip = l->s.ip;
    const struct ip_packet *packet = seg->packet;
    struct tcb *t = tcb_new(ip, l->s.family);

    if (t == NULL)
        return NULL;

    struct tcpip_socket s = l->s;

    s.sock = NULL;
    t->s = s;
    t->flags = TCB_PASSIVE | (l->flags & (TCB_NODELAY | TCB_CORK | TCB_LINGER_ABORT));
    t->keep_idle_s = l->keep_idle_s;
    t->keep_interval_s = l->keep_interval_s;
    t->keep_count = l->keep_count;
    t->tell_sent = l->tell_sent;
    t->user_timeout_ms = l->user_timeout_ms;
    t->linger2_s = l->linger2_s;
    t->user_mss = l->user_mss;
    t->max_pacing = l->max_pacing;
    t->save_syn = l->save_syn;
    cc_switch(&t->cc, l->cc.ops);
    tcb_want_options(t);
    tcb_set_tuple(t, &packet->dst, seg->dst_port, &packet->src, seg->src_port);
    if (ip_addr_is_link_local6(&packet->src) && packet->port != IP_PORT_LOOP)
        t->flow.bound_port = (uint8_t)(packet->port + 1);
    tcb_set_state(t, TCPS_SYN_RECEIVED);
    t->listener = l;
    list_add_tail(&l->half_open, &t->half);
    l->n_half_open++;
    ip->tcp->n_half_open++;
    if (net_flow_resolve(ip, &t->flow) < 0) {
        tcb_end(t, 0);
        return NULL;
    }
    return t;
}

static void take_syn(struct tcb *t, const struct segment *seg)
{
    t->irs = seg->seq;
    t->rcv_nxt = t->rcv_adv = t->last_ack = seg->seq + 1;
    t->snd_wnd = t->max_wnd = seg->wnd; /* never scaled in a SYN (RFC 7323, 2.2) */
    t->snd_wl1 = seg->seq;
    t->snd_wl2 = seg->ack;
    negotiate(t, seg);
}

/* The packet begins with its headers, unless it was put together from fragments. */
static void save_syn(struct tcb *t, const struct ip_packet *packet)
{
    const uint32_t ip_len = (uint32_t)(packet->l4 - packet->l3);
    const uint32_t len = ip_len + (packet->l4[12] >> 4) * 4u;

    if (packet->l4 < packet->l3 || len > packet->l3_len || len > SAVED_SYN_MAX)
        return;
    t->saved_syn = pool_get(&tcp_of(t)->saved_syns);
    if (t->saved_syn == NULL)
        return;
    t->saved_syn->len = len;
    memcpy(t->saved_syn->bytes, packet->l3, len);
}

static bool asks_ecn(const struct tcpip *ip, const struct segment *seg)
{
    return ip->config.ecn != TCPIP_ECN_OFF &&
           (seg->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
}

static uint64_t cookie_tuple(const struct tcpip *ip, const struct segment *seg)
{
    return hash_tuple(&ip->tcp->isn_key, &seg->packet->dst, seg->dst_port, &seg->packet->src,
                      seg->src_port);
}

/* A SYN-ACK that needs no memory (RFC 4987, 3.6). */
static void send_cookie(struct tcb *l, const struct segment *seg)
{
    struct tcpip *ip = l->s.ip;
    const struct tcp_options *o = &seg->options;
    const uint64_t tuple = cookie_tuple(ip, seg);
    struct net_flow flow = {.src = seg->packet->dst, .dst = seg->packet->src, .proto = IPPROTO_TCP};

    if (net_flow_resolve(ip, &flow) < 0)
        return;

    const bool v4 = ip_addr_is_v4(&seg->packet->src);
    const uint16_t our_mss = (uint16_t)(flow.mtu - (v4 ? 40 : 60));
    const bool ts = o->ts && ip->config.timestamps;
    const struct syncookie_options kept = {
        .wscale = ts && ip->config.wscale ? o->wscale : TCP_NO_WSCALE,
        .sack = ts && ip->config.sack && o->sack_permitted,
        .ecn = ts && asks_ecn(ip, seg),
    };
    struct tcp_bare bare = {
        .local = seg->packet->dst,
        .remote = seg->packet->src,
        .local_port = seg->dst_port,
        .remote_port = seg->src_port,
        .seq = syncookie_make(&ip->tcp->cookie_key, tuple, seg->seq,
                              o->mss != 0 && o->mss < our_mss ? o->mss : our_mss, ip->now),
        .ack = seg->seq + 1,
        .window = TCP_WINDOW_MAX,
        .flags = (uint8_t)(TCP_SYN | TCP_ACK | (kept.ecn ? TCP_ECE : 0)),
        .options = {.mss = our_mss, .wscale = TCP_NO_WSCALE, .ts = ts},
    };

    if (ts) {
        bare.options.tsval = syncookie_ts_make(ts_clock(ip->now), &kept) + ts_offset(tuple);
        bare.options.tsecr = o->tsval;
        bare.options.sack_permitted = kept.sack;
        bare.options.wscale = kept.wscale == TCP_NO_WSCALE ? TCP_NO_WSCALE : MAX_RCV_WSCALE;
    }
    ip->count.tcp_syn_cookies_sent++;
    ip->tcp->cookies_at = ip->now;
    tcp_send_bare(ip, &bare);
}

/* An ACK without a connection: it may bring a cookie back. May make and end a connection. */
static void take_cookie(struct tcb *l, const struct segment *seg)
{
    struct tcpip *ip = l->s.ip;
    const uint64_t tuple = cookie_tuple(ip, seg);
    const uint32_t cookie = seg->ack - 1;
    struct syncookie_options kept = {.wscale = TCP_NO_WSCALE};
    uint16_t mss = 0;

    if (ip->config.syn_cookies && ip->tcp->cookies_at != 0 &&
        ip->now - ip->tcp->cookies_at < 128 * SEC_NS)
        mss = syncookie_check(&ip->tcp->cookie_key, tuple, seg->seq - 1, cookie, ip->now);
    if (mss == 0) {
        ip->count.tcp_syn_cookies_bad += ip->tcp->cookies_at != 0;
        ip->count.tcp_port_drop++;
        tcp_reply_reset(ip, seg);
        return;
    }
    if (ip->host->accept_space(l->s.sock) == 0) {
        ip->count.tcp_listen_overflow_drop++;
        return;
    }
    if (seg->options.ts)
        syncookie_ts_parse(seg->options.tsecr - ts_offset(tuple), &kept);

    struct tcb *t = half_open(l, seg);

    if (t == NULL)
        return;

    struct segment syn = *seg;

    syn.seq--;
    syn.options.mss = mss;
    syn.options.sack_permitted = kept.sack;
    syn.options.wscale = kept.wscale;
    t->flags |= TCB_COOKIE | (kept.ecn ? TCB_ECN : 0U);
    t->iss = t->snd_una = t->snd_sml = cookie;
    t->snd_nxt = seg->ack;
    sb_init(&t->sb, cookie);
    t->delivered = 1; /* the SYN-ACK, of which there is no record */
    take_syn(t, &syn);
    t->rcv_adv = t->rcv_nxt + TCP_WINDOW_MAX;
    ip->count.tcp_syn_cookies_ok++;
    synchronized_arrives(t, seg);
}

void listen_arrives(struct tcb *l, const struct segment *seg, uint32_t iss_above)
{
    struct tcpip *ip = l->s.ip;
    struct tcb *t;

    if (seg->flags & TCP_RST)
        return;
    if (seg->flags & TCP_ACK) {
        if (seg->flags & TCP_SYN)
            tcp_reply_reset(ip, seg);
        else
            take_cookie(l, seg);
        return;
    }
    if ((seg->flags & (TCP_SYN | TCP_FIN)) != TCP_SYN) {
        ip->count.tcp_syn_bad++;
        return;
    }
    if (ip->host->accept_space(l->s.sock) == 0) {
        ip->count.tcp_listen_overflow_drop++;
        return;
    }
    if (l->n_half_open >= l->backlog || ip->tcp->n_half_open >= ip->config.max_half_open) {
        if (ip->config.syn_cookies)
            send_cookie(l, seg);
        else
            ip->count.tcp_half_open_limit++;
        return;
    }
    t = half_open(l, seg);
    if (t == NULL)
        return;
    if (iss_above != 0 && seq_lt(t->iss, iss_above)) {
        t->iss = t->snd_una = t->snd_nxt = t->snd_sml = iss_above;
        sb_init(&t->sb, t->iss);
    }
    if (asks_ecn(ip, seg))
        t->flags |= TCB_ECN;
    take_syn(t, seg);
    if (t->save_syn)
        save_syn(t, seg->packet);
    t->flags |= TCB_SYN_NOW;
    tcb_schedule(t);
}

/* ---- SYN-SENT ---- */

static void syn_acknowledged(struct tcb *t, const struct segment *seg)
{
    struct sb_delivery d = {.now = t->s.ip->now};

    sb_ack(&t->sb, &tcp_of(t)->ranges, seg->ack, &d);
    t->snd_una = seg->ack;
    t->delivered += d.segments;
    if (d.rtt_sent != 0)
        rtt_sample(&t->rtt, d.now, d.now - d.rtt_sent, 1);
    tcb_timer_clear(t, TIMER_RETRANSMIT);
    t->stalled_at = 0;
    t->soft_error = 0;
    if ((t->flags & TCB_ECN) && (seg->flags & (TCP_ECE | TCP_CWR)) != TCP_ECE)
        t->flags &= ~(uint32_t)TCB_ECN; /* RFC 3168, 6.1.1 */
    tcb_established(t);
    t->flags |= TCB_ACK_NOW;
    tcb_schedule(t);
    tell_connected(t);
}

void syn_sent_arrives(struct tcb *t, const struct segment *seg)
{
    struct tcpip *ip = t->s.ip;

    if ((seg->flags & TCP_ACK) && (seq_leq(seg->ack, t->iss) || seq_gt(seg->ack, t->snd_nxt))) {
        ip->count.tcp_ack_bad++;
        tcp_reply_reset(ip, seg);
        return;
    }
    if (seg->flags & TCP_RST) {
        if (!(seg->flags & TCP_ACK)) {
            ip->count.tcp_reset_bad++;
            return;
        }
        ip->count.tcp_resets_in++;
        ip->count.tcp_attempt_fails++;
        tcb_end(t, ECONNREFUSED);
        return;
    }
    if (!(seg->flags & TCP_SYN)) {
        ip->count.tcp_state_drop++;
        return;
    }
    t->last_receive = ip->now;
    take_syn(t, seg);
    if (!(seg->flags & TCP_ACK)) { /* simultaneous open (3.5, figure 8) */
        if (!((t->flags & TCB_ECN) && asks_ecn(ip, seg)))
            t->flags &= ~(uint32_t)TCB_ECN;
        tcb_set_state(t, TCPS_SYN_RECEIVED);
        t->flags |= TCB_SYN_NOW;
        tcb_schedule(t);
        return;
    }
    syn_acknowledged(t, seg);
    if (seg->len > 0 || (seg->flags & TCP_FIN)) {
        struct segment rest = *seg;

        rest.seq++;
        rest.flags &= (uint8_t)~TCP_SYN;
        t->rcv_adv = t->rcv_nxt + tcb_receive_window(t);
        tcb_text(t, &rest);
    }
}
