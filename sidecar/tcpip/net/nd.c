/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery: RFC 4861, 7; duplicate detection: RFC 4862, 5.4; RFC 7527. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/nd_message.h"
#include "sidecar/tcpip/net/wire.h"

#define ND_LEN          24 /* NS and NA without options */
#define ND_HOP_LIMIT    255
#define DEFEND_INTERVAL 10000000000u
#define NONCE_MASK      0xffffffffffffu
#define ROUTER_ALERT    8 /* bytes of the hop-by-hop header */

enum { NA_ROUTER = 0x80, NA_SOLICITED = 0x40, NA_OVERRIDE = 0x20 };

static const struct ip_addr unspecified;

void net_nd_send(struct net *net, const struct net_link_packet *how, const uint8_t *icmp,
                 size_t len)
{
    uint8_t frame[NET_ETH_HDR_MAX + NET_IP6_HDR + ROUTER_ALERT + NET_CONTROL_MAX];
    uint8_t *l3 = frame + NET_ETH_HDR_MAX, *l4 = l3 + NET_IP6_HDR;
    if (len > NET_CONTROL_MAX)
        return;
    if (how->router_alert) {
        /* RFC 2711: value 0 is MLD; padded to eight bytes. */
        static const uint8_t alert[ROUTER_ALERT] = {NET_IP6_ICMP, 0, 5, 2, 0, 0, 1, 0};
        memcpy(l4, alert, sizeof(alert));
        l4 += sizeof(alert);
    }
    memcpy(l4, icmp, len);
    net_put16(l4 + 2, 0);
    uint64_t sum = net_csum_pseudo(&how->src, &how->dst, NET_IP6_ICMP, (uint32_t)len);
    net_csum_store(l4 + 2, (uint16_t)~net_csum_fold(net_csum_add(sum, l4, len)));
    size_t payload = (size_t)(l4 - l3) - NET_IP6_HDR + len;
    const struct net_ip6_header h = {.src = how->src,
                                     .dst = how->dst,
                                     .payload_len = (uint16_t)payload,
                                     .next = how->router_alert ? NET_IP6_HOPOPTS : NET_IP6_ICMP,
                                     .hop_limit = how->hop_limit};
    net_ip6_write(l3, &h);
    struct net_mac mac = how->mac ? *how->mac : net_mac_of_group(&how->dst);
    net->ip->count.nd_out++;
    net->ip->count.icmp_out++;
    net->ip->count.ip6_out++;
    net_send_l2(net, how->port, &mac, NET_ETH_IPV6, l3, NET_IP6_HDR + payload);
}

static void write_target(uint8_t *icmp, uint8_t type, uint8_t flags, const struct ip_addr *target)
{
    memset(icmp, 0, ND_LEN);
    icmp[0] = type;
    icmp[4] = flags;
    memcpy(icmp + 8, target->b, 16);
}

void net_nd_solicit(struct net *net, struct net_port *port, const struct ip_addr *target,
                    const struct net_mac *mac)
{
    const struct net_address *from = net_address_select(&port->addresses, target, NULL);
    if (!from)
        return; /* nothing to ask from; the entry fails by itself */
    uint8_t icmp[ND_LEN + 8];
    write_target(icmp, NET_ICMP6_NS, 0, target);
    size_t len = ND_LEN + net_nd_put_ll(icmp + ND_LEN, NET_ND_OPT_SOURCE_LL, &port->mac);
    const struct net_link_packet how = {.port = port,
                                        .src = from->addr,
                                        .dst = mac ? *target : net_ip_solicited_node(target),
                                        .mac = mac,
                                        .hop_limit = ND_HOP_LIMIT};
    net_nd_send(net, &how, icmp, len);
}

void net_nd_dad_solicit(struct net *net, struct net_port *port, const struct net_address *a)
{
    uint8_t icmp[ND_LEN + 8];
    write_target(icmp, NET_ICMP6_NS, 0, &a->addr);
    size_t len = ND_LEN + net_nd_put_nonce(icmp + ND_LEN, a->dad_nonce);
    const struct net_link_packet how = {.port = port,
                                        .src = unspecified,
                                        .dst = net_ip_solicited_node(&a->addr),
                                        .hop_limit = ND_HOP_LIMIT};
    net_nd_send(net, &how, icmp, len);
}

static void advertise(struct net *net, struct net_port *port, const struct net_address *a,
                      const struct ip_addr *dst, const struct net_mac *mac)
{
    uint8_t icmp[ND_LEN + 8];
    uint8_t flags = ip_addr_is_multicast(dst) ? 0 : NA_SOLICITED;
    if (a->state != NET_ADDRESS_OPTIMISTIC) /* RFC 4429, 3.3 */
        flags |= NA_OVERRIDE;
    write_target(icmp, NET_ICMP6_NA, flags, &a->addr);
    size_t len = ND_LEN + net_nd_put_ll(icmp + ND_LEN, NET_ND_OPT_TARGET_LL, &port->mac);
    const struct net_link_packet how = {
        .port = port, .src = a->addr, .dst = *dst, .mac = mac, .hop_limit = ND_HOP_LIMIT};
    net_nd_send(net, &how, icmp, len);
}

void net_nd_announce(struct net *net, struct net_port *port, const struct net_address *a)
{
    advertise(net, port, a, &net_ip_all_nodes, NULL);
}

/* The asker's MAC was in its solicitation, or is known from before; else it has to be asked for
 * first, and its next solicitation, which repeats, will find it. */
static void answer(struct net *net, struct net_port *port, const struct net_address *a,
                   const struct net_rx *rx, const struct net_nd_options *o)
{
    if (ip_addr_is_any(&rx->p.src)) {
        advertise(net, port, a, &net_ip_all_nodes, NULL);
        return;
    }
    struct net_mac mac;
    if (o->has_source)
        mac = o->source;
    else if (net_neigh_resolve(net->neigh, port->index, &rx->p.src, NET_NEIGH_STRANGER,
                               net->ip->now, &mac))
        return;
    advertise(net, port, a, &rx->p.src, &mac);
}

static bool solicitation(struct net *net, struct net_port *port, const struct net_rx *rx)
{
    struct net_nd_options o;
    if (rx->p.l4_len < ND_LEN || !net_nd_options_read(rx->p.l4 + ND_LEN, rx->p.l4_len - ND_LEN, &o))
        return false;
    struct ip_addr target = ip_addr_v6(rx->p.l4 + 8);
    struct ip_addr group = net_ip_solicited_node(&target);
    bool probe = ip_addr_is_any(&rx->p.src);
    if (ip_addr_is_multicast(&target))
        return false;
    if (probe && (!ip_addr_equal(&rx->p.dst, &group) || o.has_source))
        return false;
    struct net_address *a = net_address_find(&port->addresses, &target);
    if (!a || a->state == NET_ADDRESS_DUPLICATE)
        return true;
    bool testing = a->state == NET_ADDRESS_TENTATIVE || a->state == NET_ADDRESS_OPTIMISTIC;
    if (probe && testing) {
        if (!o.has_nonce || o.nonce != (a->dad_nonce & NONCE_MASK))
            net_dad_failed(net, port, a);
        return true;
    }
    if (a->state == NET_ADDRESS_TENTATIVE)
        return true;
    if (!probe && o.has_source)
        net_neigh_heard(net->neigh, port->index, &rx->p.src, &o.source, true, net->ip->now);
    answer(net, port, a, rx, &o);
    return true;
}

/* Someone advertises our address: RFC 4862, 5.4.4 while it is tested; later it is defended, as for
 * ARP, at most once in DEFEND_INTERVAL. */
static void claimed(struct net *net, struct net_port *port, struct net_address *a)
{
    uint64_t now = net->ip->now;
    if (a->state == NET_ADDRESS_TENTATIVE || a->state == NET_ADDRESS_OPTIMISTIC) {
        net_dad_failed(net, port, a);
        return;
    }
    if (a->state == NET_ADDRESS_DUPLICATE)
        return;
    net->ip->count.nd_conflict++;
    if (a->defended && now - a->defended < DEFEND_INTERVAL)
        return;
    a->defended = now ? now : 1;
    net_nd_announce(net, port, a);
}

static bool advertisement(struct net *net, struct net_port *port, const struct net_rx *rx)
{
    struct net_nd_options o;
    if (rx->p.l4_len < ND_LEN || !net_nd_options_read(rx->p.l4 + ND_LEN, rx->p.l4_len - ND_LEN, &o))
        return false;
    struct ip_addr target = ip_addr_v6(rx->p.l4 + 8);
    uint8_t flags = rx->p.l4[4];
    if (ip_addr_is_multicast(&target) || (ip_addr_is_multicast(&rx->p.dst) && flags & NA_SOLICITED))
        return false;
    struct net_address *a = net_address_find(&port->addresses, &target);
    if (a) {
        if (!o.has_target || !net_mac_equal(&o.target, &port->mac))
            claimed(net, port, a);
        return true;
    }
    const struct net_neigh_advert advert = {.ifindex = port->index,
                                            .target = target,
                                            .mac = o.has_target ? &o.target : NULL,
                                            .solicited = flags & NA_SOLICITED,
                                            .override = flags & NA_OVERRIDE,
                                            .router = flags & NA_ROUTER};
    if (net_neigh_advert(net->neigh, &advert, net->ip->now))
        net_router_gone(net, port, &target);
    else if (net_route_set_unreachable(&net->routes, port->index, &target, false))
        net_bump(net);
    return true;
}

/* RFC 4861, 8.1, and the policy: a valid redirect is refused, since it would let any neighbour that
 * forges the router's address take our traffic; the router forwards as well. */
static bool redirect(struct net *net, const struct net_rx *rx)
{
    struct net_nd_options o;
    if (rx->p.l4_len < 40 || !net_nd_options_read(rx->p.l4 + 40, rx->p.l4_len - 40, &o) ||
        !ip_addr_is_link_local6(&rx->p.src))
        return false;
    struct ip_addr target = ip_addr_v6(rx->p.l4 + 8), dst = ip_addr_v6(rx->p.l4 + 24);
    if (ip_addr_is_multicast(&dst))
        return false;
    if (!ip_addr_is_link_local6(&target) && !ip_addr_equal(&target, &dst))
        return false;
    net->ip->count.nd_redirect_drop++;
    return true;
}

void net_nd_input(struct net *net, struct net_rx *rx)
{
    struct net_port *port = net_port_of(net, rx->p.port);
    bool ok = false;
    net->ip->count.nd_in++;
    net->touched = true;
    /* RFC 4861, 6.1 and 7.1: it has not crossed a router, nor come in pieces (RFC 6980). */
    if (port && rx->p.ttl == ND_HOP_LIMIT && rx->p.l4[1] == 0 && !rx->reassembled) {
        switch (rx->p.l4[0]) {
        case NET_ICMP6_NS:
            ok = solicitation(net, port, rx);
            break;
        case NET_ICMP6_NA:
            ok = advertisement(net, port, rx);
            break;
        case NET_ICMP6_RA:
            ok = net_router_advert(net, port, rx);
            break;
        case NET_ICMP6_REDIRECT:
            ok = redirect(net, rx);
            break;
        default:
            ok = true; /* router solicitations are for routers */
            break;
        }
    }
    if (!ok)
        net->ip->count.nd_bad++;
}
