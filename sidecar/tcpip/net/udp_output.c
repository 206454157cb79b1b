/* SPDX-License-Identifier: Apache-2.0 */
/* UDP output: RFC 768; RFC 8085, 3.2 for what is cut and what is not. */
#include "sidecar/tcpip/net/udp.h"

#include "sidecar/tcpip/net/wire.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_PAYLOAD (65535 - UDP_HDR)

void udps_dequeue(struct udp_socket *u, struct udp *udp)
{
    if (u->queue == UDP_IDLE)
        return;
    struct udp_socket ***tail = u->queue == UDP_READY ? &udp->ready_tail : &udp->blocked_tail;
    *u->queue_pprev = u->queue_next;
    if (u->queue_next)
        u->queue_next->queue_pprev = u->queue_pprev;
    else
        *tail = u->queue_pprev;
    u->queue = UDP_IDLE;
}

static void enqueue(struct udp_socket *u, struct udp *udp, int queue)
{
    if ((int)u->queue == queue)
        return;
    udps_dequeue(u, udp);
    struct udp_socket ***tail = queue == UDP_READY ? &udp->ready_tail : &udp->blocked_tail;
    u->queue = queue;
    u->queue_next = NULL;
    u->queue_pprev = *tail;
    **tail = u;
    *tail = &u->queue_next;
}

void udps_release(struct tcpip *ip, struct udp_socket *u)
{
    struct udp *udp = ip->udp;
    udps_dequeue(u, udp);
    *u->all_pprev = u->all_next;
    if (u->all_next)
        u->all_next->all_pprev = u->all_pprev;
    udp->n_sockets--;
    ip->host->released(u->s.sock);
    free(u);
}

static uint8_t flow_flags(const struct udp_socket *u)
{
    uint8_t flags = 0;
    if (u->s.flags & SOCKET_BROADCAST)
        flags |= NET_FLOW_BROADCAST;
    if (u->s.flags & SOCKET_DONTROUTE)
        flags |= NET_FLOW_DONTROUTE;
    if (u->no_loop)
        flags |= NET_FLOW_NO_LOOP_COPY;
    return flags;
}

void udps_flow(struct udp_socket *u, const struct ip_addr *dst, const struct ip_addr *src,
               uint8_t bound_port)
{
    struct net_flow *f = &u->flow;
    uint8_t flags = flow_flags(u);
    bool group = ip_addr_is_multicast(dst);
    uint8_t port = bound_port        ? bound_port
                   : u->s.bound_port ? u->s.bound_port
                   : group           ? u->mc_port
                                     : 0;
    uint8_t kept = NET_FLOW_LOOP | NET_FLOW_DF;
    bool same_src = ip_addr_is_any(src) ? u->flow_src_chosen : ip_addr_equal(&f->src, src);
    if (f->generation && ip_addr_equal(&f->dst, dst) && same_src && f->bound_port == port &&
        (f->flags & ~kept) == flags)
        return;
    *f = (struct net_flow){
        .dst = *dst, .src = *src, .proto = IPPROTO_UDP, .flags = flags, .bound_port = port};
    /* A wildcard of the wrong family would not be taken for one. */
    if (ip_addr_is_any(src))
        f->src = (struct ip_addr){.q = {0, 0}};
    u->flow_src_chosen = ip_addr_is_any(src);
    f->ttl = group ? u->mc_ttl : u->s.ttl;
}

/* Where the datagram goes and from where. 0 or a negative errno. */
static int address(const struct udp_socket *u, const struct dmm_datagram *d, struct ip_addr *dst,
                   struct ip_addr *src, uint16_t *port)
{
    *dst = u->peer;
    *port = u->peer_port;
    *src = u->local;
    if (d->peer.family) {
        if (!dmm_addr_valid(&d->peer) || d->peer.family != u->s.family)
            return -EAFNOSUPPORT;
        *dst = ip_addr_from_dmm(&d->peer);
        *port = d->peer.port;
        if (ip_addr_is_any(dst))
            *dst = ip_addr_is_v4(dst) ? ip_addr_v4(htonl(INADDR_LOOPBACK))
                                      : ip_addr_v6(&in6addr_loopback);
    } else if (!u->connected) {
        return -EDESTADDRREQ;
    }
    if (!*port)
        return -EINVAL;
    if (u->s.family == AF_INET6 && ip_addr_is_v4(dst) && u->s.flags & SOCKET_V6ONLY)
        return -ENETUNREACH;
    if (d->local.family) {
        struct ip_addr from = ip_addr_from_dmm(&d->local);
        if (!dmm_addr_valid(&d->local) || d->local.family != u->s.family)
            return -EINVAL;
        if (!ip_addr_is_any(&from))
            *src = from;
    }
    if (ip_addr_is_multicast(src))
        *src = (struct ip_addr){.q = {0, 0}}; /* bound to a group: any address of ours */
    if (!ip_addr_is_any(src) && ip_addr_is_v4(src) != ip_addr_is_v4(dst))
        return -ENETUNREACH;
    return 0;
}

static uint8_t output_port(const struct dmm_datagram *d)
{
    if (d->ifindex)
        return d->ifindex < UINT8_MAX ? (uint8_t)d->ifindex : UINT8_MAX;
    return d->peer.family == AF_INET6 && d->peer.scope_id < UINT8_MAX ? (uint8_t)d->peer.scope_id
                                                                      : 0;
}

/* IP_MTU_DISCOVER: WANT cuts only what does not fit, so that routers tell us the path's MTU. */
static void set_df(const struct udp_socket *u, struct net_flow *flow, uint32_t len)
{
    uint32_t hdr = UDP_HDR + (ip_addr_is_v4(&flow->dst) ? 20u : 40u);
    bool df = u->s.pmtudisc >= IP_PMTUDISC_DO;
    if (u->s.pmtudisc == IP_PMTUDISC_WANT)
        df = len + hdr <= flow->mtu;
    flow->flags = (uint8_t)(df ? flow->flags | NET_FLOW_DF : flow->flags & ~NET_FLOW_DF);
}

/* Where the datagram goes, looked up. 0 or a negative errno. */
static int resolve(struct tcpip *ip, struct udp_socket *u, const struct dmm_datagram *d,
                   uint16_t *port)
{
    struct ip_addr dst, src;
    int rc = address(u, d, &dst, &src, port);
    if (rc)
        return rc;
    udps_flow(u, &dst, &src, output_port(d));
    rc = net_flow_resolve(ip, &u->flow);
    if (rc == -EADDRNOTAVAIL && u->flow_src_chosen) {
        u->flow.generation = 0; /* the address chosen before is gone: choose again */
        udps_flow(u, &dst, &src, output_port(d));
        rc = net_flow_resolve(ip, &u->flow);
    }
    return rc;
}

/* Adds payload[at, at + len) of the datagram. */
static void put_payload(struct net_tx *tx, const struct dmm_datagram *d, uint32_t at, uint32_t len)
{
    tx->payload_len = len;
    for (unsigned i = 0; i < 2 && len; i++) {
        uint32_t there = (uint32_t)d->iov[i].iov_len;
        uint32_t skip = at < there ? at : there;
        uint32_t n = len < there - skip ? len : there - skip;
        if (n)
            tx->payload[tx->n_payload++] = (struct iovec){(uint8_t *)d->iov[i].iov_base + skip, n};
        at -= skip;
        len -= n;
    }
}

/* Sends payload[at, at + len), in datagrams of `segment` bytes if that is not 0. */
static int send_part(struct tcpip *ip, struct udp_socket *u, const struct dmm_datagram *d,
                     uint16_t port, uint32_t at, uint32_t len, uint16_t segment)
{
    uint8_t buf[NET_HEADROOM + UDP_HDR], *h = buf + NET_HEADROOM;
    net_put16(h, u->local_port);
    net_put16(h + 2, port);
    net_put16(h + 4, (uint16_t)(UDP_HDR + len));
    net_put16(h + 6, 0);
    struct net_tx tx = {.l4 = h,
                        .l4_len = UDP_HDR,
                        .csum_offset = 6,
                        .tos = d->tos ? d->tos : u->s.tos,
                        .ttl = d->ttl,
                        .gso = segment ? DMM_GSO_UDP : DMM_GSO_NONE,
                        .gso_size = segment};
    put_payload(&tx, d, at, len);
    u->flow.pcp = socket_pcp(&u->s);
    int rc = net_output(ip, &u->flow, &tx);
    if (!rc)
        ip->count.udp_out += segment ? (len + segment - 1) / segment : 1;
    return rc;
}

/* How much of what is left goes in one frame: whole segments, as many as the port cuts. One that
 * waits for its neighbour goes by itself, since only such frames are kept. */
static uint32_t frame_payload(const struct udp_socket *u, const struct dmm_datagram *d,
                              uint32_t left, uint32_t hdr)
{
    uint32_t most = d->segment;
    bool known = u->flow.neighbour || u->flow.flags & NET_FLOW_LOOP;
    if (known && u->flow.max_gso > hdr + most)
        most = (u->flow.max_gso - hdr) / most * most;
    return left < most ? left : most;
}

/* UDP_SEGMENT. -EAGAIN: u->sent bytes are sent, the rest has to wait. */
static int send_segments(struct tcpip *ip, struct udp_socket *u, const struct dmm_datagram *d,
                         uint16_t port)
{
    uint32_t hdr = UDP_HDR + (ip_addr_is_v4(&u->flow.dst) ? 20u : 40u);
    if (hdr + d->segment > u->flow.mtu)
        return -EMSGSIZE; /* as Linux: segments are not fragmented */
    set_df(u, &u->flow, d->segment);
    while (u->sent < d->len) {
        uint32_t len = frame_payload(u, d, d->len - u->sent, hdr);
        int rc = send_part(ip, u, d, port, u->sent, len, len > d->segment ? d->segment : 0);
        if (rc)
            return rc;
        u->sent += len;
    }
    return 0;
}

static int send_one(struct tcpip *ip, struct udp_socket *u, const struct dmm_datagram *d)
{
    uint16_t port;
    if (d->len > MAX_PAYLOAD || d->iov[0].iov_len + d->iov[1].iov_len != d->len)
        return -EMSGSIZE;
    int rc = resolve(ip, u, d, &port);
    if (rc)
        return rc;
    if (d->segment && d->len > d->segment)
        return send_segments(ip, u, d, port);
    set_df(u, &u->flow, d->len);
    return send_part(ip, u, d, port, 0, d->len, 0);
}

unsigned udps_send(struct tcpip *ip, struct udp_socket *u)
{
    struct udp *udp = ip->udp;
    struct dmm_datagram d;
    unsigned n;
    for (n = 0; n < UDP_SEND_BATCH; n++) {
        if (!ip->host->tx_datagram(u->s.sock, &d)) {
            udps_dequeue(u, udp);
            if (u->closing)
                udps_release(ip, u);
            return n;
        }
        int rc = u->local_port ? 0 : udps_autobind(udp, u);
        if (!rc && !u->hash_pprev && !u->closing)
            udps_hash(udp, u);
        if (!rc)
            rc = u->shut_write ? -EPIPE : send_one(ip, u, &d);
        if (rc == -EAGAIN && u->local_port) {
            enqueue(u, udp, UDP_BLOCKED);
            return n;
        }
        ip->host->tx_datagram_done(u->s.sock);
        u->sent = 0;
        if (rc) {
            ip->count.udp_send_error++;
            if (!u->closing)
                ip->host->soft_error(u->s.sock, -rc);
        }
    }
    enqueue(u, udp, UDP_READY);
    return n;
}

void udp_port_writable(struct tcpip *ip, unsigned port)
{
    (void)port; /* a socket may send by any: the next try shows */
    struct udp *udp = ip->udp;
    while (udp->blocked)
        enqueue(udp->blocked, udp, UDP_READY);
}

static struct udp_socket *take_ready(struct udp *udp)
{
    struct udp_socket *u = udp->ready;
    udp->ready = u->queue_next;
    if (udp->ready)
        udp->ready->queue_pprev = &udp->ready;
    else
        udp->ready_tail = &udp->ready;
    u->queue = UDP_IDLE;
    return u;
}

unsigned udp_poll(struct tcpip *ip)
{
    struct udp *udp = ip->udp;
    unsigned n = 0, turn = 0;
    /* Each that is ready now, once: who has more goes behind the others, to the next turn. */
    for (const struct udp_socket *u = udp->ready; u; u = u->queue_next)
        turn++;
    for (; turn && udp->ready; turn--)
        n += udps_send(ip, take_ready(udp));
    return n;
}

bool udp_pending(const struct tcpip *ip)
{
    return ip->udp->ready != NULL;
}
