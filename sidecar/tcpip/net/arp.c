/* SPDX-License-Identifier: Apache-2.0 */
/* ARP: RFC 826; conflict detection and defence: RFC 5227. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/arp_packet.h"

#define DEFEND_INTERVAL 10000000000u /* RFC 5227, 1.1 */

static void send_arp(struct net *net, struct net_port *port, const struct net_mac *to,
                     const struct net_arp *arp)
{
    uint8_t frame[NET_ETH_HDR_MAX + NET_ARP_LEN];
    net_arp_write(frame + NET_ETH_HDR_MAX, arp);
    net->ip->count.arp_out++;
    net_send_l2(net, port, to, NET_ETH_ARP, frame + NET_ETH_HDR_MAX, NET_ARP_LEN);
}

/* RFC 1122, 2.3.2.1 and the spirit of RFC 6724: ask with the address of the target's subnet. */
static struct ip_addr sender_for(const struct net_port *port, const struct ip_addr *target)
{
    const struct net_address *a = net_address_select(&port->addresses, target, NULL);
    return a ? a->addr : net_ip_v4_of(0, 0, 0, 0);
}

void net_arp_solicit(struct net *net, struct net_port *port, const struct ip_addr *target,
                     const struct net_mac *mac)
{
    struct net_arp arp = {.op = NET_ARP_REQUEST,
                          .sender_mac = port->mac,
                          .sender = sender_for(port, target),
                          .target = *target};
    send_arp(net, port, mac ? mac : &net_mac_broadcast, &arp);
}

void net_arp_announce(struct net *net, struct net_port *port, const struct ip_addr *addr)
{
    struct net_arp arp = {
        .op = NET_ARP_REQUEST, .sender_mac = port->mac, .sender = *addr, .target = *addr};
    send_arp(net, port, &net_mac_broadcast, &arp);
}

/* RFC 5227, 2.4 (b), for ever: the address was given to us, so we keep it and defend it, at most
 * once in DEFEND_INTERVAL. */
static void conflict(struct net *net, struct net_port *port, struct net_address *a)
{
    uint64_t now = net->ip->now;
    net->ip->count.arp_conflict++;
    if (a->defended && now - a->defended < DEFEND_INTERVAL)
        return;
    a->defended = now ? now : 1;
    net_arp_announce(net, port, &a->addr);
}

/* A stranger may only make entries for addresses that we would ask for on this link. */
static bool is_on_link(struct net *net, const struct net_port *port, const struct ip_addr *addr)
{
    const struct net_route *r = net_route_find(&net->routes, addr, port->index, true);
    return r && net_ip_is_unicast(addr) && !net_port_is_broadcast(port, addr);
}

static void reply(struct net *net, struct net_port *port, const struct net_arp *to)
{
    struct net_arp arp = {.op = NET_ARP_REPLY,
                          .sender_mac = port->mac,
                          .target_mac = to->sender_mac,
                          .sender = to->target,
                          .target = to->sender};
    send_arp(net, port, &to->sender_mac, &arp);
}

void net_arp_input(struct net *net, struct net_port *port, const uint8_t *packet, size_t len)
{
    struct net_arp arp;
    if (!net_arp_read(packet, len, &arp)) {
        net->ip->count.arp_bad++;
        return;
    }
    net->ip->count.arp_in++;
    net->touched = true;
    if (net_mac_equal(&arp.sender_mac, &port->mac))
        return; /* our own, reflected */
    struct net_address *mine = net_address_find(&port->addresses, &arp.sender);
    if (mine) {
        conflict(net, port, mine);
        return;
    }
    bool to_us = net_address_port(net, &arp.target, port->index) != NULL;
    bool probe = ip_addr_is_any(&arp.sender); /* RFC 5227, 2.1.1 */
    if (!probe && is_on_link(net, port, &arp.sender)) {
        const struct net_neigh *e = net_neigh_find(net->neigh, port->index, &arp.sender);
        /* A reply is an answer only if we are asking. */
        bool asked = e && (e->state == NET_NEIGH_INCOMPLETE || e->state == NET_NEIGH_PROBE);
        if (arp.op == NET_ARP_REPLY)
            net_neigh_advert(net->neigh,
                             &(struct net_neigh_advert){.ifindex = port->index,
                                                        .target = arp.sender,
                                                        .mac = &arp.sender_mac,
                                                        .solicited = asked && to_us,
                                                        .override = true},
                             net->ip->now);
        else
            net_neigh_heard(net->neigh, port->index, &arp.sender, &arp.sender_mac, to_us,
                            net->ip->now);
        if (net_route_is_gateway(&net->routes, port->index, &arp.sender) &&
            net_route_set_unreachable(&net->routes, port->index, &arp.sender, false))
            net_bump(net);
    }
    if (arp.op == NET_ARP_REQUEST && to_us)
        reply(net, port, &arp);
}
