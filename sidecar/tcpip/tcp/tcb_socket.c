/* SPDX-License-Identifier: Apache-2.0 */
/* The socket calls of TCP: OPEN, SEND, RECEIVE, CLOSE, ABORT (RFC 9293, 3.10.1 to 3.10.5) as the
 * socket layer makes them. Errors are Linux's. */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>

/* Options survive a failed connect(); all else starts anew. */
#define OPTION_FLAGS                                                                               \
    ((uint32_t)(TCB_BOUND | TCB_BOUND_ADDR | TCB_NODELAY | TCB_CORK | TCB_LINGER_ABORT))

int tcp_socket_open(struct tcpip *ip, struct dmm_sock *sock, uint8_t family,
                    struct tcpip_socket **s)
{
    struct tcb *t = tcb_new(ip, family);

    if (t == NULL)
        return -ENOBUFS;
    t->s.sock = sock;
    *s = &t->s;
    return 0;
}

struct port_query {
    struct tcb *t;
    const struct ip_addr *local, *remote;
    uint16_t remote_port; /* 0: a bind() */
};

/* A tuple that an established connection has; one in TIME-WAIT may be taken over (RFC 6191). */
static bool tuple_used(struct tcb *t, const struct ip_addr *local, uint16_t port,
                       const struct ip_addr *remote, uint16_t remote_port)
{
    struct tcpip *ip = t->s.ip;
    struct tcp_endpoint *ep = demux_find(ip, local, port, remote, remote_port);

    if (ep == NULL)
        return false;
    return ep->state != TCPS_TIME_WAIT || !time_wait_reusable(ip, time_wait_of_endpoint(ep));
}

static bool port_used(void *arg, uint16_t port)
{
    const struct port_query *q = arg;

    if (q->remote_port == 0)
        return demux_bind_check(tcp_of(q->t), q->t, q->local, port, false) < 0;
    return demux_bind_check(tcp_of(q->t), NULL, q->local, port, false) < 0 ||
           tuple_used(q->t, q->local, port, q->remote, q->remote_port);
}

static int bind_port(struct tcpip_socket *s, const struct ip_addr *addr, uint16_t port)
{
    struct tcb *t = tcb_of(s);
    struct tcp *tcp = tcp_of(t);
    const struct ip_addr none = {.q = {0, 0}};
    struct port_query q = {.t = t, .local = addr, .remote = &none};

    if (t->ep.state != TCPS_CLOSED || (t->flags & TCB_BOUND))
        return -EINVAL;
    if (ip_addr_is_multicast(addr) || net_addr_broadcast(s->ip, addr))
        return -EADDRNOTAVAIL;
    if (port == 0) {
        port = ports_pick(&tcp->ports, addr, &none, 0, port_used, &q);
        if (port == 0)
            return -EADDRINUSE;
    } else if (demux_bind_check(tcp, t, addr, port, false) < 0) {
        return -EADDRINUSE;
    }
    t->ep.local = *addr;
    t->ep.local_port = port;
    if (!ip_addr_is_any(addr))
        t->flags |= TCB_BOUND_ADDR;
    demux_bind(tcp, t);
    return 0;
}

static int socket_bind(struct tcpip_socket *s, const struct ip_addr *addr, uint16_t port)
{
    struct tcb *t = tcb_of(s);

    if (port != 0 || !(s->flags & SOCKET_BIND_NO_PORT) || ip_addr_is_any(addr) ||
        t->ep.state != TCPS_CLOSED || (t->flags & TCB_BOUND))
        return bind_port(s, addr, port);
    if (ip_addr_is_multicast(addr) || net_addr_broadcast(s->ip, addr))
        return -EADDRNOTAVAIL;
    /* IP_BIND_ADDRESS_NO_PORT: connect() finds one, which other destinations may share */
    t->ep.local = *addr;
    t->flags |= TCB_BOUND_ADDR;
    return 0;
}

static struct ip_addr wildcard(const struct tcpip_socket *s)
{
    const struct ip_addr any6 = {.q = {0, 0}};

    return s->family == AF_INET ? ip_addr_v4(0) : any6;
}

static int socket_listen(struct tcpip_socket *s, int backlog)
{
    struct tcb *t = tcb_of(s);

    if (t->ep.state != TCPS_CLOSED && t->ep.state != TCPS_LISTEN)
        return -EINVAL;
    if (!(t->flags & TCB_BOUND)) {
        const struct ip_addr addr = t->flags & TCB_BOUND_ADDR ? t->ep.local : wildcard(s);
        const int rc = bind_port(s, &addr, 0);

        if (rc < 0)
            return rc;
    }
    if (t->ep.state == TCPS_CLOSED &&
        demux_bind_check(tcp_of(t), t, &t->ep.local, t->ep.local_port, true) < 0)
        return -EADDRINUSE;
    /* as Linux: a backlog of 0 still takes one; what is not sensible is the largest */
    t->backlog = backlog < 0 ? UINT16_MAX : (uint32_t)backlog + 1;
    tcb_set_state(t, TCPS_LISTEN);
    return 0;
}

/* Back to the state of a new socket, options kept. */
static void renew(struct tcb *t)
{
    struct tcpip *ip = t->s.ip;

    t->flags &= OPTION_FLAGS;
    t->backoffs = t->dup_acks = t->syn_tries = t->tlp_tries = t->probes = 0;
    t->recovery = RECOVERY_OPEN;
    t->undo_cwnd = t->retrans_ts = 0;
    t->stalled_at = 0;
    t->soft_error = 0;
    t->snd_wscale = t->rcv_wscale = 0;
    t->snd_wnd = t->max_wnd = t->snd_sml = 0;
    t->peer_mss = t->mtu_cap = 0;
    t->rcv_nxt = t->rcv_adv = t->last_ack = 0;
    t->flow = (struct net_flow){.generation = 0};
    rack_init(&t->rack);
    rtt_init(&t->rtt, ip->config.min_rto_ms * MS_NS);
}

static int connectable(const struct tcb *t, const struct ip_addr *peer, uint16_t port)
{
    switch (t->ep.state) {
    case TCPS_CLOSED:
        break;
    case TCPS_SYN_SENT:
    case TCPS_SYN_RECEIVED:
        return -EALREADY;
    default:
        return -EISCONN;
    }
    if (port == 0)
        return -EADDRNOTAVAIL;
    if (ip_addr_is_multicast(peer) || net_addr_broadcast(t->s.ip, peer))
        return -ENETUNREACH;
    return 0;
}

/* The local port of a connect: the bound one, or an ephemeral one. */
static int choose_port(struct tcb *t, const struct ip_addr *local, const struct ip_addr *peer,
                       uint16_t port, uint16_t *local_port)
{
    struct port_query q = {.t = t, .local = local, .remote = peer, .remote_port = port};

    if (t->flags & TCB_BOUND) {
        *local_port = t->ep.local_port;
        return tuple_used(t, local, *local_port, peer, port) ? -EADDRNOTAVAIL : 0;
    }
    *local_port = ports_pick(&tcp_of(t)->ports, local, peer, port, port_used, &q);
    return *local_port == 0 ? -EADDRNOTAVAIL : 0;
}

/* Takes a 4-tuple in TIME-WAIT over; the new ISS has to lie above (RFC 6191, 2). */
static uint32_t take_over(struct tcpip *ip, const struct ip_addr *local, uint16_t local_port,
                          const struct ip_addr *peer, uint16_t port)
{
    struct tcp_endpoint *ep = demux_find(ip, local, local_port, peer, port);
    uint32_t iss_above;

    if (ep == NULL)
        return 0;

    struct time_wait *tw = time_wait_of_endpoint(ep);

    iss_above = tw->snd_nxt + TCP_WINDOW_MAX + 2;
    ip->count.tcp_time_wait_reused++;
    time_wait_free(ip, tw);
    return iss_above;
}

static int socket_connect(struct tcpip_socket *s, const struct ip_addr *peer, uint16_t port)
{
    struct tcb *t = tcb_of(s);
    struct tcpip *ip = s->ip;
    struct net_flow flow;
    uint16_t local_port;
    uint32_t iss_above;
    int rc;

    if (peer == NULL)
        return t->ep.state == TCPS_CLOSED ? 0 : -EISCONN;
    rc = connectable(t, peer, port);
    if (rc < 0)
        return rc;
    flow = (struct net_flow){.dst = *peer,
                             .proto = IPPROTO_TCP,
                             .ttl = s->ttl,
                             .bound_port = s->bound_port,
                             .flags = s->pmtudisc == IP_PMTUDISC_DONT ? 0 : NET_FLOW_DF};
    if (t->flags & TCB_BOUND_ADDR)
        flow.src = t->ep.local;
    else
        flow.src = ip_addr_is_v4(peer) ? ip_addr_v4(0) : (struct ip_addr){.q = {0, 0}};
    rc = net_flow_resolve(ip, &flow);
    if (rc < 0)
        return rc;
    rc = choose_port(t, &flow.src, peer, port, &local_port);
    if (rc < 0)
        return rc;
    iss_above = take_over(ip, &flow.src, local_port, peer, port);

    renew(t);
    tcb_want_options(t);
    if (ip->config.ecn == TCPIP_ECN_ON || t->cc.ops->dctcp_ecn)
        t->flags |= TCB_ECN;
    tcb_set_tuple(t, &flow.src, local_port, peer, port);
    if (iss_above != 0 && seq_lt(t->iss, iss_above)) {
        t->iss = t->snd_una = t->snd_nxt = t->snd_sml = iss_above;
        sb_init(&t->sb, t->iss);
    }
    flow.flow_label = t->flow.flow_label;
    t->flow = flow;
    tcb_update_mss(t);
    tcb_set_state(t, TCPS_SYN_SENT);
    ip->count.tcp_active_opens++;
    t->flags |= TCB_SYN_NOW;
    tcb_schedule(t);
    return 0;
}

static void socket_local(const struct tcpip_socket *s, struct ip_addr *addr, uint16_t *port)
{
    const struct tcb *t = (const struct tcb *)s;

    *addr = t->flags & (TCB_BOUND | TCB_BOUND_ADDR) || t->ep.in_table ? t->ep.local : wildcard(s);
    *port = t->ep.local_port;
}

static void socket_send_ready(struct tcpip_socket *s)
{
    struct tcb *t = tcb_of(s);

    if (t->ep.state == TCPS_ESTABLISHED || t->ep.state == TCPS_CLOSE_WAIT)
        tcb_schedule(t);
}

static void socket_receive_space(struct tcpip_socket *s)
{
    struct tcb *t = tcb_of(s);

    if (t->ep.state != TCPS_ESTABLISHED && t->ep.state != TCPS_FIN_WAIT_1 &&
        t->ep.state != TCPS_FIN_WAIT_2)
        return;
    if (t->flags & TCB_RX_STALLED) {
        tcb_deliver_held(t);
        return;
    }
    if (tcb_window_worth_telling(t)) {
        t->flags |= TCB_ACK_NOW;
        tcb_schedule(t);
    }
}

/* A half-open connection whose ACK was refused comes again with its next SYN-ACK or data. */
static void socket_accept_ready(struct tcpip_socket *s)
{
    (void)s;
}

static void queue_fin(struct tcb *t)
{
    t->flags |= TCB_FIN_QUEUED;
    t->flags &= ~(uint32_t)TCB_CORK;
    tcb_set_state(t, t->ep.state == TCPS_CLOSE_WAIT ? TCPS_LAST_ACK : TCPS_FIN_WAIT_1);
    tcb_schedule(t);
}

static void drop_half_open(struct tcb *l)
{
    while (!list_empty(&l->half_open))
        tcb_end(list_entry(l->half_open.next, struct tcb, half), 0);
}

static int socket_shutdown(struct tcpip_socket *s, int how)
{
    struct tcb *t = tcb_of(s);

    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return -EINVAL;
    switch (t->ep.state) {
    case TCPS_CLOSED:
        return t->flags & TCB_EOF_TOLD ? 0 : -ENOTCONN;
    case TCPS_LISTEN: /* as Linux: it stops listening */
        if (how != SHUT_WR) {
            drop_half_open(t);
            demux_unbind(tcp_of(t), t);
            tcb_set_state(t, TCPS_CLOSED);
        }
        return 0;
    case TCPS_SYN_SENT:
        if (how == SHUT_RD)
            return 0;
        tcb_end(t, ECONNRESET);
        return 0;
    case TCPS_ESTABLISHED:
    case TCPS_CLOSE_WAIT:
        if (how != SHUT_RD)
            queue_fin(t);
        return 0;
    default:
        return 0;
    }
}

static void abort_connection(struct tcb *t)
{
    switch (t->ep.state) { /* 3.10.5 */
    case TCPS_SYN_RECEIVED:
    case TCPS_ESTABLISHED:
    case TCPS_FIN_WAIT_1:
    case TCPS_FIN_WAIT_2:
    case TCPS_CLOSE_WAIT:
        tcb_send_reset(t);
        break;
    default:
        break;
    }
    tcb_end(t, 0);
}

static void socket_close(struct tcpip_socket *s, enum dmm_close how)
{
    struct tcb *t = tcb_of(s);

    t->flags |= TCB_CLOSED_BY_HOST;
    if (how == DMM_CLOSE_ABORT || (t->flags & TCB_LINGER_ABORT)) {
        drop_half_open(t);
        abort_connection(t);
        return;
    }
    switch (t->ep.state) { /* 3.10.4 */
    case TCPS_LISTEN:
        drop_half_open(t);
        tcb_end(t, 0);
        break;
    case TCPS_ESTABLISHED:
    case TCPS_CLOSE_WAIT:
        queue_fin(t);
        break;
    case TCPS_FIN_WAIT_2:
        tcb_orphan_fin_wait_2(t);
        break;
    case TCPS_FIN_WAIT_1:
    case TCPS_CLOSING:
    case TCPS_LAST_ACK:
        break;
    case TCPS_SYN_RECEIVED:
        tcb_send_reset(t);
        tcb_end(t, 0);
        break;
    default: /* CLOSED, SYN-SENT */
        tcb_end(t, 0);
        break;
    }
}

static void socket_info(struct tcpip_socket *s, struct dmm_socket_info *info)
{
    const struct tcb *t = tcb_of(s);

    *info = (struct dmm_socket_info){
        .state = tcp_state_name(t->ep.state),
        .local = ip_addr_to_dmm(&t->ep.local, t->ep.local_port, s->family),
        .peer = ip_addr_to_dmm(&t->ep.remote, t->ep.remote_port, s->family),
        .recv_queue = reassembly_bytes(t->ooo),
        .send_queue = t->snd_nxt - t->snd_una,
        .rtt_us = (uint32_t)(t->rtt.srtt / 1000),
        .cwnd = t->cc.cwnd,
        .mss = t->cc.mss,
        .retransmits = t->total_retrans,
    };
}

const struct tcpip_socket_ops tcb_socket_ops = {
    .bind = socket_bind,
    .listen = socket_listen,
    .connect = socket_connect,
    .local = socket_local,
    .send_ready = socket_send_ready,
    .receive_space = socket_receive_space,
    .accept_ready = socket_accept_ready,
    .shutdown = socket_shutdown,
    .close = socket_close,
    .setsockopt = tcb_setsockopt,
    .getsockopt = tcb_getsockopt,
    .info = socket_info,
};
