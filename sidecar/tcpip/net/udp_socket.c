/* SPDX-License-Identifier: Apache-2.0 */
/* UDP sockets: open, bind, connect, close. */
#include "sidecar/tcpip/net/udp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int do_bind(struct tcpip_socket *s, const struct ip_addr *addr, uint16_t port)
{
    struct udp_socket *u = udps_of(s);
    struct udp *udp = s->ip->udp;
    if (u->local_port)
        return -EINVAL;
    struct ip_addr before = u->local;
    u->local = *addr;
    int rc = 0;
    if (!port)
        rc = udps_autobind(udp, u) ? -EADDRINUSE : 0;
    else if (udps_port_taken(udp, u, addr, port))
        rc = -EADDRINUSE;
    else
        u->local_port = port;
    if (rc) {
        u->local = before;
        return rc;
    }
    udps_hash(udp, u);
    return 0;
}

static int do_listen(struct tcpip_socket *s, int backlog)
{
    (void)s;
    (void)backlog;
    return -EOPNOTSUPP;
}

static int dissolve(struct udp_socket *u)
{
    struct udp *udp = u->s.ip->udp;
    if (!u->connected)
        return 0;
    udps_unhash(udp, u);
    u->connected = false;
    u->peer = (struct ip_addr){.q = {0, 0}};
    u->peer_port = 0;
    if (u->local_chosen)
        u->local = u->wildcard;
    u->local_chosen = false;
    udps_hash(udp, u);
    return 0;
}

static int do_connect(struct tcpip_socket *s, const struct ip_addr *peer, uint16_t port)
{
    struct udp_socket *u = udps_of(s);
    struct udp *udp = s->ip->udp;
    if (!peer)
        return dissolve(u);
    if (!port)
        return -EINVAL; /* Linux takes it, but nothing can be sent there */
    struct ip_addr src = u->local_chosen ? u->wildcard : u->local;
    if (!ip_addr_is_any(&src) && ip_addr_is_v4(&src) != ip_addr_is_v4(peer))
        return -ENETUNREACH;
    udps_flow(u, peer, &src, 0);
    int rc = net_flow_resolve(s->ip, &u->flow);
    if (!rc && !u->local_port)
        rc = udps_autobind(udp, u);
    if (rc)
        return rc;
    udps_unhash(udp, u);
    if (!u->local_chosen)
        u->wildcard = u->local;
    u->local_chosen = ip_addr_is_any(&src);
    u->local = u->flow.src;
    u->peer = *peer;
    u->peer_port = port;
    u->connected = true;
    udps_hash(udp, u);
    return 0;
}

static void do_local(const struct tcpip_socket *s, struct ip_addr *addr, uint16_t *port)
{
    const struct udp_socket *u = (const struct udp_socket *)s;
    *addr = u->local;
    *port = u->local_port;
}

static void do_send_ready(struct tcpip_socket *s)
{
    struct udp_socket *u = udps_of(s);
    if (u->queue == UDP_IDLE)
        udps_send(s->ip, u);
}

static void do_nothing(struct tcpip_socket *s)
{
    (void)s; /* datagrams are never held back here */
}

static int do_shutdown(struct tcpip_socket *s, int how)
{
    struct udp_socket *u = udps_of(s);
    if (!u->connected)
        return -ENOTCONN;
    if (how == SHUT_RD || how == SHUT_RDWR)
        u->shut_read = true;
    if (how == SHUT_WR || how == SHUT_RDWR)
        u->shut_write = true;
    return 0;
}

static void do_close(struct tcpip_socket *s, enum dmm_close how)
{
    struct udp_socket *u = udps_of(s);
    udps_leave_all(u);
    udps_unhash(s->ip->udp, u);
    u->closing = true;
    if (how == DMM_CLOSE_ABORT)
        udps_release(s->ip, u);
    else if (u->queue == UDP_IDLE)
        udps_send(s->ip, u); /* and releases it, unless the port is full */
}

static void do_info(struct tcpip_socket *s, struct dmm_socket_info *info)
{
    const struct udp_socket *u = udps_of(s);
    *info = (struct dmm_socket_info){
        .state = u->connected ? "ESTAB" : "UNCONN",
        .local = ip_addr_to_dmm(&u->local, u->local_port, s->family),
        .peer = ip_addr_to_dmm(&u->peer, u->peer_port, s->family),
    };
}

static const struct tcpip_socket_ops udp_ops = {
    .bind = do_bind,
    .listen = do_listen,
    .connect = do_connect,
    .local = do_local,
    .send_ready = do_send_ready,
    .receive_space = do_nothing,
    .accept_ready = do_nothing,
    .shutdown = do_shutdown,
    .close = do_close,
    .setsockopt = udps_setsockopt,
    .getsockopt = udps_getsockopt,
    .info = do_info,
};

int udp_socket_open(struct tcpip *ip, struct dmm_sock *sock, uint8_t family,
                    struct tcpip_socket **s)
{
    struct udp *udp = ip->udp;
    if (udp->n_sockets >= ip->config.max_connections)
        return -ENOBUFS;
    struct udp_socket *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->s = (struct tcpip_socket){
        .ops = &udp_ops, .ip = ip, .sock = sock, .family = family, .pmtudisc = IP_PMTUDISC_WANT};
    u->mc_ttl = 1; /* RFC 1112, 6.1 */
    if (family == AF_INET)
        u->local = ip_addr_v4(INADDR_ANY);
    u->wildcard = u->local;
    u->all_next = udp->all;
    u->all_pprev = &udp->all;
    if (udp->all)
        udp->all->all_pprev = &u->all_next;
    udp->all = u;
    udp->n_sockets++;
    *s = &u->s;
    return 0;
}

int udp_create(struct tcpip *ip, char *err, size_t errlen)
{
    struct udp *udp = calloc(1, sizeof(*udp));
    ip->udp = udp;
    if (!udp || udps_table_create(&udp->bound) || udps_table_create(&udp->connected)) {
        snprintf(err, errlen, "UDP: out of memory");
        return -ENOMEM;
    }
    tcpip_random(ip, &udp->key, sizeof(udp->key));
    ports_init(&udp->ports, ip->config.ports_first, ip->config.ports_last, &udp->key);
    udp->ready_tail = &udp->ready;
    udp->blocked_tail = &udp->blocked;
    return 0;
}

void udp_destroy(struct tcpip *ip)
{
    struct udp *udp = ip->udp;
    if (!udp)
        return;
    for (struct udp_socket *u = udp->all, *next; u; u = next) {
        next = u->all_next;
        free(u);
    }
    udps_table_destroy(&udp->bound);
    udps_table_destroy(&udp->connected);
    free(udp);
    ip->udp = NULL;
}
