/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports as lwIP sees them: one netif each, with at most one IPv4 address, up to LW_PORT_PREFIXES6
 * IPv6 addresses besides the link-local one, and one default gateway per family in the whole stack.
 * What lwIP can't hold is refused at create, with a message that names it.
 */
#include "sidecar/stacks/lwip/lw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static err_t init_netif(struct netif *netif)
{
    netif->name[0] = 'd';
    netif->name[1] = 'm';
    netif->output = lw.etharp_output;
    netif->output_ip6 = lw.ethip6_output;
    netif->linkoutput = lw_link_output;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
                   NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
    return ERR_OK;
}

static const char *format_prefix(char *buf, size_t len, uint16_t family, const uint8_t *ip,
                                 unsigned prefix_len)
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(family, ip, text, sizeof(text));
    snprintf(buf, len, "%s/%u", text, prefix_len);
    return buf;
}

static uint32_t netmask4(unsigned len)
{
    return len ? htonl(UINT32_MAX << (32 - len)) : 0;
}

static int refuse(const struct dmm_port_info *info, const char *what, uint16_t family,
                  const uint8_t *ip, unsigned prefix_len, const char *why, char *err, size_t errlen)
{
    char text[INET6_ADDRSTRLEN + 8];
    snprintf(err, errlen, "port %s: %s %s: %s", info->name, what,
             format_prefix(text, sizeof(text), family, ip, prefix_len), why);
    return -EINVAL;
}

static void mask_prefix(struct dmm_prefix *prefix)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned from = i * 8;
        if (from >= prefix->len)
            prefix->ip[i] = 0;
        else if (prefix->len - from < 8)
            prefix->ip[i] &= (uint8_t)(0xff << (8 - (prefix->len - from)));
    }
}

/* What one port gets, gathered from its info before lwIP is told anything. */
struct plan {
    ip4_addr_t ip, netmask, gateway;
    ip4_addr_t neighbour; /* on link by a route of its own, for a gateway */
    bool default4, default6;
};

static int plan_address(struct lw_port *port, struct plan *plan, const struct dmm_port_info *info,
                        const struct dmm_stack_address *address, char *err, size_t errlen)
{
    const struct dmm_addr *addr = &address->addr;
    if (addr->family == AF_INET) {
        if (plan->ip.addr)
            return refuse(info, "address", AF_INET, addr->ip, address->prefix_len,
                          "lwip holds one IPv4 address for each port", err, errlen);
        memcpy(&plan->ip.addr, addr->ip, 4);
        plan->netmask.addr = netmask4(address->prefix_len);
        return 0;
    }
    /* lwIP takes 64 bits of every static address for on link; what of that is not so is put right
     * by the redirected next-hop search, but a wider prefix can't be. */
    if (address->prefix_len < 64)
        return refuse(info, "address", AF_INET6, addr->ip, address->prefix_len,
                      "lwip needs a prefix of at least 64 bits", err, errlen);
    if (port->n_prefixes6 == LW_PORT_PREFIXES6)
        return refuse(info, "address", AF_INET6, addr->ip, address->prefix_len,
                      "too many IPv6 addresses for lwip", err, errlen);
    struct dmm_prefix *prefix = &port->prefixes6[port->n_prefixes6++];
    prefix->family = AF_INET6;
    prefix->len = address->prefix_len;
    memcpy(prefix->ip, addr->ip, 16);
    mask_prefix(prefix);
    return 0;
}

/* Whether `dst` is what an address of the port makes reachable anyway. */
static bool is_connected(const struct lw_port *port, const struct plan *plan,
                         const struct dmm_prefix *dst)
{
    if (dst->family == AF_INET) {
        struct dmm_prefix own = {.family = AF_INET};
        own.len = (uint16_t)__builtin_popcount(plan->netmask.addr);
        memcpy(own.ip, &plan->ip.addr, 4);
        mask_prefix(&own);
        return plan->ip.addr && dmm_prefix_covers(&own, dst);
    }
    for (unsigned i = 0; i < port->n_prefixes6; i++)
        if (dmm_prefix_covers(&port->prefixes6[i], dst))
            return true;
    return false;
}

static int plan_route(struct lw_port *port, struct plan *plan, const struct dmm_port_info *info,
                      const struct dmm_stack_route *route, char *err, size_t errlen)
{
    const struct dmm_prefix *dst = &route->dst;
    const struct dmm_addr *gateway = &route->gateway;
    const char *why = NULL;
    struct dmm_prefix via = {.family = gateway->family,
                             .len = gateway->family == AF_INET ? 32 : 128};
    memcpy(via.ip, gateway->ip, 16);
    bool *taken = dst->family == AF_INET ? &plan->default4 : &plan->default6;

    if (!gateway->family && is_connected(port, plan, dst))
        return 0;
    if (!gateway->family && dst->family == AF_INET && dst->len == 32 && !plan->neighbour.addr) {
        memcpy(&plan->neighbour.addr, dst->ip, 4); /* lwIP asks for its gateway, near or far */
        return 0;
    }
    if (dst->len || !gateway->family)
        why = "lwip has routes to its own prefixes and a default one only";
    else if (gateway->family != dst->family)
        why = "the gateway is of the other family";
    else if (*taken)
        why = "a second default route";
    else if (!is_connected(port, plan, &via) &&
             !(gateway->family == AF_INET && plan->neighbour.addr &&
               !memcmp(&plan->neighbour.addr, gateway->ip, 4)) &&
             !(gateway->family == AF_INET6 && gateway->ip[0] == 0xfe && gateway->ip[1] >> 6 == 2))
        why = "the gateway is not on link";
    if (why)
        return refuse(info, "route", dst->family, dst->ip, dst->len, why, err, errlen);
    *taken = true;
    if (dst->family == AF_INET)
        memcpy(&plan->gateway.addr, gateway->ip, 4);
    else
        memcpy(port->gateway6.addr, gateway->ip, 16);
    return 0;
}

static int plan_port(struct lw_port *port, struct plan *plan, const struct dmm_port_info *info,
                     char *err, size_t errlen)
{
    int rc = 0;
    for (unsigned i = 0; !rc && i < info->n_addresses; i++)
        rc = plan_address(port, plan, info, &info->addresses[i], err, errlen);
    for (unsigned i = 0; !rc && i < info->n_routes; i++)
        rc = plan_route(port, plan, info, &info->routes[i], err, errlen);
    return rc;
}

static void add_address6(struct netif *netif, s8_t slot, const uint8_t *ip)
{
    ip6_addr_t addr;
    memset(&addr, 0, sizeof(addr));
    memcpy(addr.addr, ip, 16);
    lw.netif_ip6_addr_set(netif, slot, &addr);
    /* No duplicate detection: IPAM owns the address, and the pod must not wait for it. */
    lw.netif_ip6_addr_set_state(netif, slot, IP6_ADDR_PREFERRED);
}

static void start_port(struct lw_port *port, const struct plan *plan,
                       const struct dmm_port_info *info)
{
    struct netif *netif = &port->netif;
    /* Copied by init: netif_add() clears the flags, and link-local needs the MAC. */
    memcpy(netif->hwaddr, info->mac, sizeof(info->mac));
    lw.netif_add(netif, &plan->ip, &plan->netmask, &plan->gateway, port, init_netif, lw.ip_input);
    lw_port_refresh(port);
}

/* IPv6 addresses join multicast groups, which sends reports: not before transmit() may be called.
 */
static void add_addresses6(struct lw_port *port, const struct dmm_port_info *info)
{
    struct netif *netif = &port->netif;
    if (!port->n_prefixes6)
        return;
    lw.netif_create_ip6_linklocal_address(netif, 1);
    lw.netif_ip6_addr_set_state(netif, 0, IP6_ADDR_PREFERRED);
    if (ip6_addr_islinklocal(&port->gateway6))
        ip6_addr_assign_zone(&port->gateway6, IP6_UNICAST, netif);
    s8_t slot = 1;
    for (unsigned i = 0; i < info->n_addresses; i++)
        if (info->addresses[i].addr.family == AF_INET6)
            add_address6(netif, slot++, info->addresses[i].addr.ip);
}

/* lwIP announces its addresses (gratuitous ARP, MLD) when a netif comes up, but nothing may be sent
 * during create. So the first op that follows calls this. */
static void bring_up(struct lw_port *port)
{
    const struct dmm_host *host = port->stack->host;
    const struct dmm_port_info *info = host->port_info(host, port->index);
    if (!netif_is_up(&port->netif)) {
        lw.netif_set_up(&port->netif);
        add_addresses6(port, info);
    }
    if (info->up && !netif_is_link_up(&port->netif))
        lw.netif_set_link_up(&port->netif);
    else if (!info->up && netif_is_link_up(&port->netif))
        lw.netif_set_link_down(&port->netif);
    port->netif.rs_count = 0;
}

void lw_ports_start(struct lw_stack *stack)
{
    if (stack->started)
        return;
    stack->started = true;
    lw_ports_bring_up(stack);
}

void lw_ports_bring_up(struct lw_stack *stack)
{
    for (unsigned i = 0; i < stack->n_ports; i++)
        bring_up(&stack->ports[i]);
}

void lw_port_refresh(struct lw_port *port)
{
    const struct dmm_host *host = port->stack->host;
    const struct dmm_port_info *info = host->port_info(host, port->index);
    port->netif.mtu = port->netif.mtu6 = (u16_t)LWIP_MIN(info->mtu, 65535u);
    port->offloads = info->offloads;
    port->max_gso_size = info->max_gso_size;
    if (!port->stack->config.tso || !(info->offloads & DMM_OFFLOAD_TX_CSUM))
        port->offloads &= ~(uint32_t)(DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6);
}

int lw_ports_create(struct lw_stack *stack, char *err, size_t errlen)
{
    const struct dmm_host *host = stack->host;
    unsigned n = host->n_ports(host);
    stack->ports = calloc(n ? n : 1, sizeof(*stack->ports));
    struct plan *plans = calloc(n ? n : 1, sizeof(*plans));
    int rc = 0;
    if (!stack->ports || !plans) {
        snprintf(err, errlen, "out of memory");
        rc = -ENOMEM;
    }
    struct netif *default_netif = NULL;
    for (unsigned i = 0; !rc && i < n; i++) {
        const struct dmm_port_info *info = host->port_info(host, i);
        struct lw_port *port = &stack->ports[i];
        port->stack = stack;
        port->index = i;
        rc = plan_port(port, &plans[i], info, err, errlen);
        if (rc || !(plans[i].default4 || plans[i].default6))
            continue;
        if (default_netif) {
            snprintf(err, errlen, "port %s: route default: lwip has one port with a gateway",
                     info->name);
            rc = -EINVAL;
        }
        default_netif = &port->netif;
    }
    if (!rc) {
        for (unsigned i = 0; i < n; i++)
            start_port(&stack->ports[i], &plans[i], host->port_info(host, i));
        stack->n_ports = n;
        lw.netif_set_default(default_netif ? default_netif : n ? &stack->ports[0].netif : NULL);
    }
    free(plans);
    return rc;
}

void lw_ports_destroy(struct lw_stack *stack)
{
    for (unsigned i = 0; i < stack->n_ports; i++)
        lw.netif_remove(&stack->ports[i].netif);
    free(stack->ports);
}

static bool reaches(const struct lw_port *port, const ip_addr_t *ip)
{
    const struct netif *netif = &port->netif;
    if (IP_IS_V4(ip))
        return !ip4_addr_isany_val(*netif_ip4_addr(netif)) &&
               ip4_addr_netcmp(ip_2_ip4(ip), netif_ip4_addr(netif), netif_ip4_netmask(netif));
    if (ip6_addr_has_zone(ip_2_ip6(ip)) || ip6_addr_islinklocal(ip_2_ip6(ip)))
        return port->n_prefixes6 &&
               (!ip6_addr_has_zone(ip_2_ip6(ip)) || ip6_addr_test_zone(ip_2_ip6(ip), netif));
    struct dmm_addr addr = {.family = AF_INET6};
    memcpy(addr.ip, ip->u_addr.ip6.addr, 16);
    for (unsigned i = 0; i < port->n_prefixes6; i++)
        if (dmm_prefix_contains(&port->prefixes6[i], &addr))
            return true;
    return false;
}

static bool has_gateway(const struct lw_port *port, const ip_addr_t *ip)
{
    if (IP_IS_V4(ip))
        return !ip4_addr_isany_val(*netif_ip4_gw(&port->netif));
    return !ip6_addr_isany(&port->gateway6);
}

static bool has_family(const struct lw_port *port, const ip_addr_t *ip)
{
    return IP_IS_V4(ip) ? !ip4_addr_isany_val(*netif_ip4_addr(&port->netif))
                        : port->n_prefixes6 > 0;
}

/* Among ports `first` and up to `end`. */
static struct lw_port *route_among(struct lw_stack *stack, const ip_addr_t *ip, unsigned first,
                                   unsigned end)
{
    struct lw_port *any = NULL;
    struct lw_port *gateway = NULL;
    for (unsigned i = first; i < end; i++) {
        struct lw_port *port = &stack->ports[i];
        if (!netif_is_up(&port->netif) || !netif_is_link_up(&port->netif) || !has_family(port, ip))
            continue;
        if (reaches(port, ip))
            return port;
        if (!any)
            any = port;
        if (has_gateway(port, ip))
            gateway = port;
    }
    if (gateway)
        return gateway;
    bool local = ip_addr_ismulticast(ip) || ip_addr_isloopback(ip) ||
                 (IP_IS_V4(ip) && ip_2_ip4(ip)->addr == IPADDR_BROADCAST);
    return local ? any : NULL;
}

struct lw_port *lw_route(struct lw_stack *stack, const ip_addr_t *ip)
{
    return route_among(stack, ip, 0, stack->n_ports);
}

struct lw_port *lw_sock_route(const struct lw_sock *s, const ip_addr_t *ip)
{
    unsigned bound = s->options.bound_port;
    return bound ? route_among(s->stack, ip, bound - 1, bound) : lw_route(s->stack, ip);
}

bool lw_source(struct lw_port *port, const ip_addr_t *ip, ip_addr_t *source)
{
    if (IP_IS_V4(ip)) {
        ip_addr_copy(*source, port->netif.ip_addr);
        return !ip4_addr_isany_val(*ip_2_ip4(source));
    }
    const ip_addr_t *found = lw.ip6_select_source_address(&port->netif, ip_2_ip6(ip));
    if (found)
        ip_addr_copy(*source, *found);
    return found != NULL;
}

bool lw_is_broadcast(const struct lw_port *port, const ip_addr_t *ip)
{
    return IP_IS_V4(ip) && lw.ip4_addr_isbroadcast_u32(ip_2_ip4(ip)->addr, &port->netif);
}

bool lw_is_local(struct lw_stack *stack, const ip_addr_t *ip)
{
    if (ip_addr_isloopback(ip))
        return true;
    for (unsigned i = 0; i < stack->n_ports; i++) {
        const struct netif *netif = &stack->ports[i].netif;
        if (IP_IS_V4(ip) && ip_addr_cmp(ip, &netif->ip_addr))
            return true;
        for (unsigned a = 0; IP_IS_V6(ip) && a < LWIP_IPV6_NUM_ADDRESSES; a++)
            if (ip6_addr_isvalid(netif_ip6_addr_state(netif, a)) &&
                ip6_addr_cmp_zoneless(ip_2_ip6(ip), netif_ip6_addr(netif, a)))
                return true;
    }
    return false;
}
