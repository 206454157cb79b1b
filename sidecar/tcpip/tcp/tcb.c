/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/tcb.h"

#include "sidecar/tcpip/tcp/isn.h"
#include "sidecar/tcpip/tcp/seq.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define KEEP_IDLE_S     7200 /* RFC 9293, 3.8.4 */
#define KEEP_INTERVAL_S 75
#define KEEP_COUNT      9
#define QUICK_ACKS      16
#define MAX_RANGES      (1 << 20)

int tcp_create(struct tcpip *ip, char *err, size_t errlen)
{
    const struct cc_ops *cc = cc_find(ip->config.congestion_control);
    struct tcp *tcp;

    if (cc == NULL) {
        snprintf(err, errlen, "congestion_control: \"%s\" is not one of: %s",
                 ip->config.congestion_control, cc_names());
        return -EINVAL;
    }
    tcp = calloc(1, sizeof(*tcp));
    if (tcp == NULL || demux_create(tcp) < 0) {
        free(tcp);
        snprintf(err, errlen, "out of memory");
        return -ENOMEM;
    }
    tcp->cc = cc;
    pool_init(&tcp->tcbs, sizeof(struct tcb), 64, ip->config.max_connections);
    pool_init(&tcp->time_waits, sizeof(struct time_wait), 64, ip->config.max_time_wait);
    pool_init(&tcp->ranges, sizeof(struct tx_range), 256, MAX_RANGES);
    pool_init(&tcp->saved_syns, sizeof(struct saved_syn), 64, ip->config.max_connections);
    reassembly_store_init(&tcp->store, ip->config.max_out_of_order);
    for (unsigned i = 0; i < OUTPUT_LISTS; i++)
        list_init(&tcp->output[i]);
    list_init(&tcp->time_wait);
    tcp->time_wait_timer.fire = time_wait_fire;
    delack_create(tcp);
    tcpip_random(ip, &tcp->isn_key, sizeof(tcp->isn_key));
    tcpip_random(ip, &tcp->cookie_key, sizeof(tcp->cookie_key));
    ports_init(&tcp->ports, ip->config.ports_first, ip->config.ports_last, &tcp->isn_key);
    ip->tcp = tcp;
    return 0;
}

void tcp_destroy(struct tcpip *ip)
{
    struct tcp *tcp = ip->tcp;

    if (tcp == NULL)
        return;
    pool_destroy(&tcp->tcbs);
    pool_destroy(&tcp->time_waits);
    pool_destroy(&tcp->ranges);
    pool_destroy(&tcp->saved_syns);
    reassembly_store_destroy(&tcp->store);
    demux_destroy(tcp);
    free(tcp);
    ip->tcp = NULL;
}

struct tcb *tcb_new(struct tcpip *ip, uint8_t family)
{
    struct tcb *t = pool_get(&ip->tcp->tcbs);

    if (t == NULL) {
        ip->count.tcp_connection_limit++;
        return NULL;
    }
    *t = (struct tcb){
        .s = {.ops = &tcb_socket_ops, .ip = ip, .family = family, .pmtudisc = IP_PMTUDISC_WANT},
        .ep = {.state = TCPS_CLOSED},
        .timer = {.fire = tcb_timer_fire},
        .max_pacing = UINT64_MAX,
        .quick_acks = QUICK_ACKS,
        .keep_idle_s = KEEP_IDLE_S,
        .keep_interval_s = KEEP_INTERVAL_S,
        .keep_count = KEEP_COUNT,
    };
    list_init(&t->half_open);
    rack_init(&t->rack);
    rtt_init(&t->rtt, ip->config.min_rto_ms * MS_NS);
    cc_init(&t->cc, ip->tcp->cc, TCP_DEFAULT_MSS4, ip->config.initial_window * TCP_DEFAULT_MSS4);
    return t;
}

void tcb_set_tuple(struct tcb *t, const struct ip_addr *local, uint16_t local_port,
                   const struct ip_addr *remote, uint16_t remote_port)
{
    struct tcpip *ip = t->s.ip;
    const uint64_t hash = hash_tuple(&ip->tcp->isn_key, local, local_port, remote, remote_port);

    t->ep.local = *local;
    t->ep.remote = *remote;
    t->ep.local_port = local_port;
    t->ep.remote_port = remote_port;
    t->iss = isn_make(hash, ip->now);
    t->ts_offset = ts_offset(hash);
    t->snd_una = t->snd_nxt = t->snd_sml = t->iss;
    t->flow.src = *local;
    t->flow.dst = *remote;
    t->flow.proto = IPPROTO_TCP;
    t->flow.flow_label = (uint32_t)(hash >> 44);
    t->flow.ttl = t->s.ttl;
    t->flow.bound_port = t->s.bound_port;
    t->flow.flags = t->s.pmtudisc == IP_PMTUDISC_DONT ? 0 : NET_FLOW_DF;
    sb_init(&t->sb, t->iss);
    demux_add(ip, &t->ep);
}

void tcb_set_state(struct tcb *t, enum tcp_state state)
{
    t->ep.state = (uint8_t)state;
}

uint32_t tcb_ts_now(const struct tcb *t)
{
    return ts_clock(t->s.ip->now) + t->ts_offset;
}

void tcb_update_mss(struct tcb *t)
{
    const bool v4 = ip_addr_is_v4(&t->ep.remote);
    const uint32_t headers = (v4 ? 20 : 40) + TCP_HEADER_LEN;
    uint32_t mtu = t->flow.mtu;
    uint32_t mss;

    if (t->mtu_cap != 0 && t->mtu_cap < mtu)
        mtu = t->mtu_cap;
    mss = mtu > headers + TCP_MIN_MSS ? mtu - headers : TCP_MIN_MSS;
    if (t->peer_mss != 0 && t->peer_mss < mss)
        mss = t->peer_mss;
    if (t->user_mss != 0 && t->user_mss < mss)
        mss = t->user_mss;
    if (mss < TCP_MIN_MSS)
        mss = TCP_MIN_MSS;
    t->mss = (uint16_t)mss;
    t->cc.mss = mss - tcb_options_len(t);
    if (t->cc.cwnd < t->cc.mss)
        t->cc.cwnd = t->cc.mss;
}

/* Out of every list and table; what it buffered goes. */
static void detach(struct tcb *t)
{
    struct tcp *tcp = tcp_of(t);

    wheel_disarm(&t->s.ip->wheel, &t->timer);
    for (unsigned i = 0; i < TIMER_N; i++)
        t->deadline[i] = 0;
    delack_stop(t);
    list_del(&t->out);
    if (t->listener != NULL) {
        list_del(&t->half);
        t->listener->n_half_open--;
        tcp->n_half_open--;
        t->listener = NULL;
    }
    tcb_chrono(t, CHRONO_IDLE);
    demux_remove(tcp, &t->ep);
    demux_unbind(tcp, t);
    sb_clear(&t->sb, &tcp->ranges);
    reassembly_clear(&tcp->store, &t->ooo);
    tcb_set_state(t, TCPS_CLOSED);
}

void tcb_forget_syn(struct tcb *t)
{
    if (t->saved_syn != NULL)
        pool_put(&tcp_of(t)->saved_syns, t->saved_syn);
    t->saved_syn = NULL;
}

void tcb_release(struct tcb *t)
{
    struct tcpip *ip = t->s.ip;
    struct dmm_sock *sock = t->s.sock;

    detach(t);
    tcb_forget_syn(t);
    pool_put(&ip->tcp->tcbs, t);
    if (sock != NULL)
        ip->host->released(sock);
}

void tcb_end(struct tcb *t, int error)
{
    struct tcpip *ip = t->s.ip;

    detach(t);
    if (t->s.sock == NULL || (t->flags & TCB_CLOSED_BY_HOST))
        tcb_release(t);
    else if (error != 0)
        ip->host->error(t->s.sock, error);
}

void tcb_time_wait(struct tcb *t)
{
    struct tcpip *ip = t->s.ip;
    struct tcp *tcp = ip->tcp;
    struct time_wait *tw = pool_get(&tcp->time_waits);

    if (tw == NULL && !list_empty(&tcp->time_wait)) {
        ip->count.tcp_time_wait_limit++; /* the oldest makes room */
        time_wait_free_oldest(ip);
        tw = pool_get(&tcp->time_waits);
    }
    if (tw == NULL) {
        tcb_end(t, 0);
        return;
    }
    *tw = (struct time_wait){
        .ep = {.local = t->ep.local,
               .remote = t->ep.remote,
               .local_port = t->ep.local_port,
               .remote_port = t->ep.remote_port,
               .state = TCPS_TIME_WAIT},
        .ip = ip,
        .since = ip->now,
        .expires = ip->now + ip->config.time_wait_ms * MS_NS,
        .snd_nxt = t->snd_nxt,
        .rcv_nxt = t->rcv_nxt,
        .ts_recent = t->ts_recent,
        .ts_offset = t->ts_offset,
        .window = (uint16_t)((tcb_offered(t) >> t->rcv_wscale) & 0xffff),
        .ts = (t->flags & TCB_TS) != 0,
    };
    if (t->flags & TCB_ACK_NOW)
        tcb_send_ack(t);
    tcb_end(t, 0);
    ip->count.tcp_time_wait++;
    demux_add(ip, &tw->ep);
    list_add_tail(&tcp->time_wait, &tw->link);
    if (!wheel_armed(&tcp->time_wait_timer))
        wheel_arm(&ip->wheel, &tcp->time_wait_timer, tw->expires);
}

const char *tcp_state_name(enum tcp_state state)
{
    static const char *const names[] = {
        [TCPS_ESTABLISHED] = "ESTAB",     [TCPS_SYN_SENT] = "SYN-SENT",
        [TCPS_SYN_RECEIVED] = "SYN-RECV", [TCPS_FIN_WAIT_1] = "FIN-WAIT-1",
        [TCPS_FIN_WAIT_2] = "FIN-WAIT-2", [TCPS_TIME_WAIT] = "TIME-WAIT",
        [TCPS_CLOSED] = "UNCONN",         [TCPS_CLOSE_WAIT] = "CLOSE-WAIT",
        [TCPS_LAST_ACK] = "LAST-ACK",     [TCPS_LISTEN] = "LISTEN",
        [TCPS_CLOSING] = "CLOSING",
    };

    return names[state];
}
