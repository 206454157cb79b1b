/* SPDX-License-Identifier: Apache-2.0 */
/* Ports, their addresses and their routes. */
#include "sidecar/tcpip/net/net.h"

#include <stdio.h>

struct net_port *net_address_port(const struct net *net, const struct ip_addr *addr, int only)
{
    for (unsigned i = 0; i < net->n_ports; i++) {
        const struct net_port *port = &net->ports[i];
        if (only >= 0 && (unsigned)only != i)
            continue;
        for (unsigned k = 0; k < port->addresses.n; k++) {
            const struct net_address *a = &port->addresses.list[k];
            if (ip_addr_equal(&a->addr, addr) && net_address_usable(a))
                return (struct net_port *)port;
        }
    }
    return NULL;
}

bool net_addr_local(const struct tcpip *ip, const struct ip_addr *addr)
{
    return ip_addr_is_loopback(addr) || net_address_port(ip->net, addr, -1);
}

bool net_port_is_broadcast(const struct net_port *port, const struct ip_addr *addr)
{
    if (net_ip_is_none(addr))
        return false;
    for (unsigned k = 0; k < port->addresses.n; k++)
        if (ip_addr_equal(&port->addresses.list[k].broadcast, addr))
            return true;
    return false;
}

bool net_is_broadcast(const struct net *net, const struct ip_addr *addr)
{
    if (!ip_addr_is_v4(addr))
        return false;
    if (net_ip_is_limited_broadcast(addr))
        return true;
    for (unsigned i = 0; i < net->n_ports; i++)
        if (net_port_is_broadcast(&net->ports[i], addr))
            return true;
    return false;
}

bool net_addr_broadcast(const struct tcpip *ip, const struct ip_addr *addr)
{
    return net_is_broadcast(ip->net, addr);
}

bool net_addr_bindable(const struct tcpip *ip, const struct ip_addr *addr, uint32_t ifindex)
{
    if (ip_addr_is_any(addr) || ip_addr_is_multicast(addr) || ip_addr_is_loopback(addr) ||
        net_is_broadcast(ip->net, addr))
        return true;
    int only = ip_addr_is_link_local6(addr) && ifindex ? (int)(ifindex - 1) : -1;
    return net_address_port(ip->net, addr, only) != NULL;
}

int net_port_by_name(const struct tcpip *ip, const char *name)
{
    for (unsigned i = 0; i < ip->net->n_ports; i++)
        if (strncmp(ip->net->ports[i].name, name, sizeof(ip->net->ports[i].name)) == 0)
            return (int)i;
    return -1;
}

const char *net_port_name(const struct tcpip *ip, unsigned port)
{
    return port < ip->net->n_ports ? ip->net->ports[port].name : NULL;
}

bool net_arrived_by(const struct tcpip *ip, uint8_t in_port, const struct ip_addr *dst,
                    uint8_t bound_port)
{
    /* As on Linux, our own come by the port that has the address. */
    if (in_port == IP_PORT_LOOP) {
        const struct net_port *port = net_address_port(ip->net, dst, -1);
        return port && port->index + 1u == bound_port;
    }
    return bound_port == in_port + 1;
}

static struct net_route prefix_route(const struct net_port *port, const struct net_address *a)
{
    struct net_route r = {.dst = a->addr,
                          .bits = a->bits,
                          .port = port->index,
                          .origin = NET_ROUTE_ADDRESS,
                          .expires = UINT64_MAX,
                          .v4 = ip_addr_is_v4(&a->addr)};
    for (unsigned i = a->bits; i < 128; i++)
        r.dst.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return r;
}

/* What is on link by autoconfiguration is the advertisement's to say (RFC 4861, 6.3.4). */
static void add_prefix_route(struct net *net, const struct net_port *port,
                             const struct net_address *a)
{
    if (a->origin == NET_ADDRESS_AUTO || a->bits == 128)
        return;
    struct net_route r = prefix_route(port, a);
    net_route_add(&net->routes, &r);
}

struct net_address *net_port_add_address(struct net *net, struct net_port *port,
                                         const struct net_address *address)
{
    struct net_address *a = net_address_add(&port->addresses, address);
    if (!a)
        return NULL;
    add_prefix_route(net, port, a);
    if (!ip_addr_is_v4(&a->addr)) {
        struct ip_addr group = net_ip_solicited_node(&a->addr);
        net_group_join(&port->groups, &group, net->ip->now);
    }
    net_dad_start(net, port, a);
    net_bump(net);
    net->touched = true;
    return a;
}

void net_port_drop_address(struct net *net, struct net_port *port, struct net_address *address)
{
    if (address->origin != NET_ADDRESS_AUTO) {
        struct net_route r = prefix_route(port, address);
        net_route_remove(&net->routes, &r);
    }
    if (!ip_addr_is_v4(&address->addr)) {
        struct ip_addr group = net_ip_solicited_node(&address->addr);
        net_group_leave(&port->groups, &group, net->ip->now);
    }
    net_address_remove(&port->addresses, address);
    /* Another address may live in the same prefix. */
    for (unsigned k = 0; k < port->addresses.n; k++)
        add_prefix_route(net, port, &port->addresses.list[k]);
    net_bump(net);
    net->touched = true;
}

static bool is_configured(const struct dmm_port_info *info, const struct net_address *a)
{
    for (unsigned i = 0; i < info->n_addresses; i++) {
        struct ip_addr addr = ip_addr_from_dmm(&info->addresses[i].addr);
        if (ip_addr_equal(&addr, &a->addr))
            return true;
    }
    return false;
}

static void load_addresses(struct net *net, struct net_port *port, const struct dmm_port_info *info)
{
    for (unsigned k = port->addresses.n; k-- > 0;) {
        struct net_address *a = &port->addresses.list[k];
        if (a->origin == NET_ADDRESS_CONFIGURED && !is_configured(info, a))
            net_port_drop_address(net, port, a);
    }
    for (unsigned i = 0; i < info->n_addresses; i++) {
        const struct dmm_stack_address *from = &info->addresses[i];
        struct net_address a = {.addr = ip_addr_from_dmm(&from->addr),
                                .origin = NET_ADDRESS_CONFIGURED,
                                .deadline = UINT64_MAX,
                                .preferred_until = UINT64_MAX,
                                .valid_until = UINT64_MAX};
        unsigned bits = from->prefix_len + (ip_addr_is_v4(&a.addr) ? NET_IP4_BITS : 0u);
        if (bits > 128 || !net_ip_is_unicast(&a.addr))
            continue;
        a.bits = (uint8_t)bits;
        net_port_add_address(net, port, &a);
    }
}

static void load_routes(struct net *net, struct net_port *port, const struct dmm_port_info *info)
{
    net_route_remove_port(&net->routes, port->index, NET_ROUTE_CONFIGURED);
    for (unsigned i = 0; i < info->n_routes; i++) {
        const struct dmm_stack_route *from = &info->routes[i];
        struct dmm_addr dst = {.family = from->dst.family};
        memcpy(dst.ip, from->dst.ip, sizeof(dst.ip));
        struct net_route r = {.dst = ip_addr_from_dmm(&dst),
                              .gateway = ip_addr_from_dmm(&from->gateway),
                              .port = port->index,
                              .origin = NET_ROUTE_CONFIGURED,
                              .expires = UINT64_MAX,
                              .v4 = from->dst.family == AF_INET};
        unsigned bits = from->dst.len + (r.v4 ? NET_IP4_BITS : 0u);
        r.bits = (uint8_t)(bits > 128 ? 128 : bits);
        char text[128];
        int rc = net_route_add(&net->routes, &r);
        if (!rc)
            continue;
        snprintf(text, sizeof(text), "port %s: route %u of %u refused: %s", port->name, i + 1,
                 info->n_routes, strerror(-rc));
        net->ip->host->log(net->ip->host, 1, text);
    }
}

void net_port_interface_id(const struct net *net, const struct net_port *port,
                           struct net_address *address)
{
    uint8_t *id = address->addr.b + 8;
    if (net->stable_ids)
        net_iid_stable(&net->iid_key, &address->addr, port->name, address->dad_counter, id);
    else
        net_mac_interface_id(&port->mac, id);
}

static void link_local(struct net *net, struct net_port *port)
{
    struct net_address a = {.addr = {.b = {0xfe, 0x80}},
                            .bits = 64,
                            .origin = NET_ADDRESS_LINK_LOCAL,
                            .deadline = UINT64_MAX,
                            .preferred_until = UINT64_MAX,
                            .valid_until = UINT64_MAX};
    net_port_interface_id(net, port, &a);
    net_port_add_address(net, port, &a);
}

static void start_ip6(struct net *net, struct net_port *port)
{
    if (!net_group_is_member(&port->groups, &net_ip_all_nodes))
        net_group_join(&port->groups, &net_ip_all_nodes, net->ip->now);
    for (unsigned k = 0; k < port->addresses.n; k++)
        if (port->addresses.list[k].origin == NET_ADDRESS_LINK_LOCAL)
            return;
    link_local(net, port);
}

/* The MAC is another one: what we know of the link is void. */
static void forget_link(struct net *net, struct net_port *port)
{
    net_neigh_flush(net->neigh, port->index);
    for (unsigned k = port->addresses.n; k-- > 0;)
        if (port->addresses.list[k].origin != NET_ADDRESS_CONFIGURED)
            net_port_drop_address(net, port, &port->addresses.list[k]);
    net_route_remove_port(&net->routes, port->index, NET_ROUTE_RA);
}

static void link_came_up(struct net *net, struct net_port *port)
{
    net_group_restart(&port->groups, net->ip->now);
    for (unsigned k = 0; k < port->addresses.n; k++)
        net_dad_start(net, port, &port->addresses.list[k]);
    if (port->autoconf)
        net_router_solicit(net, port);
}

void net_port_load(struct net *net, unsigned index)
{
    struct net_port *port = &net->ports[index];
    const struct dmm_port_info *info = net->ip->host->port_info(net->ip->host, index);
    bool first = !port->name[0];
    bool was_up = port->up;
    struct net_mac mac;
    memcpy(mac.b, info->mac, 6);
    if (first) {
        port->index = (uint8_t)index;
        port->solicit_at = UINT64_MAX;
        net_groups_init(&port->groups);
        net_group_join(&port->groups, &net_ip_all_systems, net->ip->now);
    } else if (!net_mac_equal(&mac, &port->mac)) {
        forget_link(net, port);
    }
    snprintf(port->name, sizeof(port->name), "%s", info->name[0] ? info->name : "port");
    port->mac = mac;
    port->mtu = info->mtu < UINT16_MAX ? info->mtu : UINT16_MAX;
    if (first || port->mtu6 > port->mtu)
        port->mtu6 = port->mtu;
    port->max_gso_size = info->max_gso_size;
    port->offloads = info->offloads;
    port->vlan = (net->ip->config.vlan ? net->ip->config.vlan : info->vlan) & 0x0fff;
    port->autoconf = net->ip->config.ip6_autoconf;
    port->up = info->up;
    load_addresses(net, port, info);
    load_routes(net, port, info);
    bool ip6 = port->autoconf;
    for (unsigned k = 0; k < port->addresses.n; k++)
        ip6 = ip6 || !ip_addr_is_v4(&port->addresses.list[k].addr);
    if (ip6 && port->mtu >= NET_PMTU_MIN_6)
        start_ip6(net, port);
    if (port->up && !was_up)
        link_came_up(net, port);
    net_bump(net);
    net->touched = true;
}
