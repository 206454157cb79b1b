/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams. A datagram beyond the MTU is fragmented by lwIP, with a checksum of its own. */
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>
#include <string.h>

#define UDP_PAYLOAD_MAX (65535 - LW_ETH_HLEN - IP6_HLEN - UDP_HLEN)

static void recv_cb(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *addr,
                    u16_t port)
{
    struct lw_sock *s = arg;
    const struct dmm_host *host = s->stack->host;
    const struct lw_port *in = lw.ip_data->current_input_netif->state;
    struct dmm_datagram datagram = {.ifindex = in->index + 1, .len = p->tot_len};
    lw_addr_from_ip(&datagram.peer, addr, port);
    lw_addr_from_ip(&datagram.local, &lw.ip_data->current_iphdr_dest, pcb->local_port);
    lw_addr_for_family(&datagram.peer, s->family);
    lw_addr_for_family(&datagram.local, s->family);
    if (lw.ip_data->current_ip4_header) {
        datagram.ttl = IPH_TTL(lw.ip_data->current_ip4_header);
        datagram.tos = IPH_TOS(lw.ip_data->current_ip4_header);
    } else if (lw.ip_data->current_ip6_header) {
        const uint8_t *ip6 = (const uint8_t *)lw.ip_data->current_ip6_header;
        datagram.ttl = ip6[7];
        datagram.tos = (uint8_t)(ip6[0] << 4 | ip6[1] >> 4);
    }
    datagram.iov[0] = (struct iovec){p->payload, p->tot_len};
    if (p->next) {
        lw.pbuf_copy_partial(p, s->stack->scratch, p->tot_len, 0);
        datagram.iov[0].iov_base = s->stack->scratch;
    }
    s->stack->stats.udp_rx++;
    host->rx_datagram(s->sock, &datagram); /* it counts what it has no room for */
    lw.pbuf_free(p);
}

static int new_pcb(struct lw_sock *s, u8_t type)
{
    s->udp = lw.udp_new_ip_type(type);
    if (!s->udp)
        return -ENOBUFS;
    lw.udp_recv(s->udp, recv_cb, s);
    lw_options_apply(s);
    return 0;
}

static void drop_pcb(struct lw_sock *s)
{
    lw.udp_remove(s->udp);
    s->udp = NULL;
}

static err_t bind_any(struct lw_sock *s, uint16_t port)
{
    ip_addr_t any;
    ip_addr_copy(any, s->udp->local_ip);
    return lw.udp_bind(s->udp, &any, port);
}

int lw_udp_bind(struct lw_sock *s, const struct dmm_addr *addr)
{
    ip_addr_t ip;
    lw_addr_to_local_ip(addr, s->options.v6only, &ip);
    int rc = new_pcb(s, IP_GET_TYPE(&ip));
    if (rc)
        return rc;
    ip_addr_copy(s->udp->local_ip, ip);
    err_t err;
    if (addr->port)
        err = lw.udp_bind(s->udp, &ip, addr->port);
    else
        err = lw_bind_ephemeral(s, bind_any);
    if (err == ERR_OK)
        return 0;
    drop_pcb(s);
    return -lw_errno(err);
}

/* Binds to the wildcard address if that has not been done. */
static int ensure_bound(struct lw_sock *s)
{
    struct dmm_addr any = {.family = s->family};
    return s->udp ? 0 : lw_bind(s, &any, &s->local);
}

static bool matches_version(const struct lw_sock *s, const ip_addr_t *ip)
{
    return IP_IS_ANY_TYPE_VAL(s->udp->local_ip) ||
           IP_GET_TYPE(&s->udp->local_ip) == IP_GET_TYPE(ip);
}

int lw_udp_connect(struct lw_sock *s, const struct dmm_addr *peer)
{
    int rc = ensure_bound(s);
    if (rc)
        return rc;
    if (!peer->family) {
        lw.udp_disconnect(s->udp);
        memset(&s->peer, 0, sizeof(s->peer));
        lw_addr_from_ip(&s->local, &s->udp->local_ip, s->udp->local_port);
        s->local.family = s->family;
        return 0;
    }
    ip_addr_t ip;
    ip_addr_t source;
    lw_addr_to_ip(peer, &ip);
    struct lw_port *port = lw_sock_route(s, &ip);
    if (!matches_version(s, &ip))
        return -EINVAL;
    if (!port || !lw_source(port, &ip, &source))
        return -ENETUNREACH;
    if (lw_is_broadcast(port, &ip) && !s->options.broadcast)
        return -EACCES;
    err_t err = lw.udp_connect(s->udp, &ip, peer->port);
    if (err != ERR_OK)
        return -lw_errno(err);
    s->peer = *peer;
    if (!ip_addr_isany_val(s->udp->local_ip))
        ip_addr_copy(source, s->udp->local_ip);
    lw_addr_from_ip(&s->local, &source, s->udp->local_port);
    lw_addr_for_family(&s->local, s->family);
    return 0;
}

/* ---- send ---- */

/* Where the datagram goes and comes from. 0 or a positive errno. */
static int plan_send(struct lw_sock *s, const struct dmm_datagram *datagram, ip_addr_t *dst,
                     ip_addr_t *src, struct lw_port **port)
{
    if (!datagram->peer.family && !s->peer.family)
        return EDESTADDRREQ;
    lw_addr_to_ip(datagram->peer.family ? &datagram->peer : &s->peer, dst);
    if (!matches_version(s, dst))
        return ENETUNREACH;
    *port = lw_sock_route(s, dst);
    if (ip_addr_ismulticast(dst) && s->udp->mcast_ifindex && IP_IS_V6(dst))
        for (unsigned i = 0; i < s->stack->n_ports; i++)
            if (netif_get_index(&s->stack->ports[i].netif) == s->udp->mcast_ifindex)
                *port = &s->stack->ports[i];
    if (!*port)
        return ENETUNREACH;
    if (IP_IS_V6(dst) && ip6_addr_lacks_zone(ip_2_ip6(dst), IP6_UNKNOWN))
        ip6_addr_assign_zone(ip_2_ip6(dst), IP6_UNKNOWN, &(*port)->netif);
    if (lw_is_broadcast(*port, dst) && !s->options.broadcast)
        return EACCES;
    ip_addr_t given;
    lw_addr_to_ip(&datagram->local, &given);
    if (datagram->local.family && !ip_addr_isany(&given) && lw_is_local(s->stack, &given))
        ip_addr_copy(*src, given);
    else if (!ip_addr_isany_val(s->udp->local_ip) && !ip_addr_ismulticast(&s->udp->local_ip))
        ip_addr_copy(*src, s->udp->local_ip);
    else if (!lw_source(*port, dst, src))
        return ENETUNREACH;
    return IP_GET_TYPE(src) == IP_GET_TYPE(dst) ? 0 : EINVAL;
}

static err_t send_one(struct lw_sock *s, const struct dmm_datagram *datagram, const ip_addr_t *dst,
                      const ip_addr_t *src, struct lw_port *port)
{
    struct pbuf *p = lw.pbuf_alloc(PBUF_TRANSPORT, (u16_t)datagram->len, PBUF_RAM);
    if (!p)
        return ERR_BUF;
    uint8_t *to = p->payload;
    for (unsigned i = 0; i < 2; i++) {
        if (datagram->iov[i].iov_len)
            memcpy(to, datagram->iov[i].iov_base, datagram->iov[i].iov_len);
        to += datagram->iov[i].iov_len;
    }
    uint16_t dst_port = datagram->peer.family ? datagram->peer.port : s->peer.port;
    uint32_t headers = UDP_HLEN + (IP_IS_V4(dst) ? IP_HLEN : IP6_HLEN);
    lw_verify_checksums(datagram->len + headers > port->netif.mtu);
    uint8_t ttl = s->udp->ttl, tos = s->udp->tos; /* the socket's own; ancillary data of one */
    s->udp->ttl = datagram->ttl ? datagram->ttl : ttl;
    s->udp->tos = datagram->tos ? datagram->tos : tos;
    err_t err = lw.udp_sendto_if_src(s->udp, p, dst, dst_port, &port->netif, src);
    s->udp->ttl = ttl;
    s->udp->tos = tos;
    lw_verify_checksums(false);
    lw.pbuf_free(p);
    return err;
}

void lw_udp_send(struct lw_sock *s)
{
    const struct dmm_host *host = s->stack->host;
    struct dmm_datagram datagram;
    s->tx_blocked = false;
    while (host->tx_datagram(s->sock, &datagram)) {
        ip_addr_t dst;
        ip_addr_t src;
        struct lw_port *port = NULL;
        int error = -ensure_bound(s);
        if (!error && (datagram.len > UDP_PAYLOAD_MAX ||
                       datagram.iov[0].iov_len + datagram.iov[1].iov_len != datagram.len))
            error = EMSGSIZE;
        if (!error)
            error = plan_send(s, &datagram, &dst, &src, &port);
        if (!error) {
            err_t err = send_one(s, &datagram, &dst, &src, port);
            if (err != ERR_OK && port->blocked) {
                s->tx_blocked = true; /* it stays in the ring until the port is writable */
                return;
            }
            error = err == ERR_VAL ? EINVAL : lw_errno(err);
        }
        if (error) {
            s->stack->stats.udp_tx_dropped++;
            host->soft_error(s->sock, error);
        } else {
            s->stack->stats.udp_tx++;
        }
        host->tx_datagram_done(s->sock);
    }
}

/* ---- groups, close ---- */

static err_t change_group(const ip_addr_t *group, struct netif *netif, bool join)
{
    if (IP_IS_V4(group)) {
        if (join)
            return lw.igmp_joingroup_netif(netif, ip_2_ip4(group));
        return lw.igmp_leavegroup_netif(netif, ip_2_ip4(group));
    }
    if (join)
        return lw.mld6_joingroup_netif(netif, ip_2_ip6(group));
    return lw.mld6_leavegroup_netif(netif, ip_2_ip6(group));
}

int lw_udp_membership(struct lw_sock *s, const ip_addr_t *group, struct netif *netif, bool join)
{
    unsigned at = 0;
    while (at < s->n_memberships && !(s->memberships[at].netif == netif &&
                                      ip_addr_cmp_zoneless(&s->memberships[at].group, group)))
        at++;
    bool member = at < s->n_memberships;
    if (member == join)
        return join ? -EADDRINUSE : -EADDRNOTAVAIL;
    if (join && at == LW_MEMBERSHIPS)
        return -ENOBUFS;
    err_t err = change_group(group, netif, join);
    if (err != ERR_OK)
        return -lw_errno(err);
    if (join) {
        ip_addr_copy(s->memberships[at].group, *group);
        s->memberships[at].netif = netif;
        s->n_memberships++;
    } else {
        s->memberships[at] = s->memberships[--s->n_memberships];
    }
    return 0;
}

void lw_udp_close(struct lw_sock *s)
{
    if (s->udp)
        lw_udp_send(s); /* what the app sent before it closed; what is blocked is dropped */
    for (unsigned i = 0; i < s->n_memberships; i++)
        change_group(&s->memberships[i].group, s->memberships[i].netif, false);
    if (s->udp)
        drop_pcb(s);
    lw_sock_release(s);
}
