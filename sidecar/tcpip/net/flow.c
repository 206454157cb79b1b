/* SPDX-License-Identifier: Apache-2.0 */
/* Where a flow goes: route, source address, port, MTU. RFC 1122, 3.3.1; RFC 6724. */
#include "sidecar/tcpip/net/net.h"

#include <errno.h>

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* To ourselves. A source must be ours too; ::1 and 127/8 talk to our addresses only. */
static int resolve_loop(struct net *net, struct net_flow *flow)
{
    if (ip_addr_is_any(&flow->src))
        flow->src = ip_addr_is_loopback(&flow->dst) && ip_addr_is_v4(&flow->dst)
                        ? net_ip_v4_of(127, 0, 0, 1)
                        : flow->dst;
    flow->flags |= NET_FLOW_LOOP;
    flow->port = IP_PORT_LOOP;
    flow->mtu = UINT16_MAX;
    flow->max_gso = UINT16_MAX;
    flow->generation = net->generation;
    return 0;
}

/* The port that a packet to a group or to everyone leaves by. */
static struct net_port *group_port(struct net *net, const struct net_flow *flow)
{
    if (flow->bound_port)
        return net_port_of(net, flow->bound_port - 1u);
    if (!ip_addr_is_any(&flow->src)) {
        struct net_port *port = net_address_port(net, &flow->src, -1);
        if (port)
            return port;
    }
    const struct net_route *r = net_route_find(&net->routes, &flow->dst, -1, false);
    if (r)
        return &net->ports[r->port];
    for (unsigned i = 0; i < net->n_ports; i++)
        if (net->ports[i].up && net_address_select(&net->ports[i].addresses, &flow->dst, NULL))
            return &net->ports[i];
    return NULL;
}

static struct net_port *broadcast_port(struct net *net, const struct net_flow *flow)
{
    for (unsigned i = 0; i < net->n_ports; i++)
        if (net_port_is_broadcast(&net->ports[i], &flow->dst))
            return &net->ports[i];
    return group_port(net, flow);
}

/* Sets *port; 0 or what net_flow_resolve() returns. */
static int find_port(struct net *net, const struct net_flow *flow, struct net_port **port)
{
    bool broadcast = net_is_broadcast(net, &flow->dst);
    if (broadcast && !(flow->flags & NET_FLOW_BROADCAST))
        return -EACCES;
    if (broadcast) {
        *port = broadcast_port(net, flow);
    } else if (ip_addr_is_multicast(&flow->dst) ||
               (ip_addr_is_link_local6(&flow->dst) && !flow->bound_port)) {
        *port = group_port(net, flow);
    } else {
        const struct net_route *r = net_route_find(
            &net->routes, &flow->dst, (int)flow->bound_port - 1, flow->flags & NET_FLOW_DONTROUTE);
        *port = r ? &net->ports[r->port] : NULL;
    }
    if (!*port)
        return -ENETUNREACH;
    return (*port)->up ? 0 : -ENETDOWN;
}

static int find_source(struct net *net, struct net_flow *flow, const struct net_port *port)
{
    /* A source that was given has been checked to be ours; the scope of a link-local one is its
     * link (RFC 4007, 9). */
    if (!ip_addr_is_any(&flow->src)) {
        if (ip_addr_is_link_local6(&flow->src) && !net_address_port(net, &flow->src, port->index))
            return -EADDRNOTAVAIL;
        return ip_addr_is_loopback(&flow->src) ? -ENETUNREACH : 0;
    }
    const struct net_address *a = net_address_select(&port->addresses, &flow->dst, NULL);
    for (unsigned i = 0; !a && i < net->n_ports; i++) {
        a = net_address_select(&net->ports[i].addresses, &flow->dst, NULL);
        if (a && net_ip_is_link_local(&a->addr))
            a = NULL;
    }
    if (!a)
        return -EADDRNOTAVAIL;
    flow->src = a->addr;
    return 0;
}

static uint32_t max_gso(const struct net_port *port, const struct net_flow *flow)
{
    unsigned need = flow->proto == IPPROTO_UDP  ? DMM_OFFLOAD_USO
                    : ip_addr_is_v4(&flow->dst) ? DMM_OFFLOAD_TSO4
                                                : DMM_OFFLOAD_TSO6;
    if (!(port->offloads & need) || port->max_gso_size <= NET_ETH_HDR_MAX)
        return 0;
    return min32(port->max_gso_size - NET_ETH_HDR_MAX, UINT16_MAX);
}

int net_flow_resolve(struct tcpip *ip, struct net_flow *flow)
{
    struct net *net = ip->net;
    if (flow->generation == net->generation)
        return 0;
    flow->neighbour = 0;
    flow->flags &= (uint8_t)~NET_FLOW_LOOP;
    if (!ip_addr_is_any(&flow->src) && !net_addr_local(ip, &flow->src))
        return -EADDRNOTAVAIL;
    if (net_addr_local(ip, &flow->dst))
        return resolve_loop(net, flow);
    struct net_port *port;
    int rc = find_port(net, flow, &port);
    if (!rc)
        rc = find_source(net, flow, port);
    if (rc) {
        if (rc == -ENETUNREACH)
            ip->count.ip_no_route++;
        return rc;
    }
    flow->port = port->index;
    flow->mtu = (uint16_t)(ip_addr_is_v4(&flow->dst) ? port->mtu : port->mtu6);
    uint32_t pmtu = net_pmtu_find(&net->pmtu, &flow->dst, ip->now);
    if (pmtu && pmtu < flow->mtu)
        flow->mtu = (uint16_t)pmtu;
    flow->max_gso = max_gso(port, flow);
    flow->generation = net->generation;
    return 0;
}

void net_pmtu_update(struct tcpip *ip, const struct ip_addr *dst, uint32_t mtu)
{
    switch (net_pmtu_set(&ip->net->pmtu, dst, mtu, ip->now)) {
    case NET_PMTU_UNCHANGED:
        return;
    case NET_PMTU_EVICTED:
        ip->count.pmtu_limit++;
        break;
    case NET_PMTU_CHANGED:
        break;
    }
    ip->count.pmtu_updates++;
    net_bump(ip->net);
    net_rearm_if_touched(ip->net);
}

void net_flow_confirm(struct tcpip *ip, const struct net_flow *flow)
{
    if (flow->neighbour && flow->generation == ip->net->generation)
        net_neigh_confirm(ip->net->neigh, flow->neighbour, ip->now);
}

void net_flow_suspect(struct tcpip *ip, struct net_flow *flow)
{
    if (!flow->neighbour)
        return;
    net_neigh_suspect(ip->net->neigh, flow->neighbour, ip->now);
    flow->neighbour = 0;
    flow->generation = 0;
    net_rearm_if_touched(ip->net);
}
