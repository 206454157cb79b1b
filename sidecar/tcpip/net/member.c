/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast membership on the wire: IGMPv3 and v2 (RFC 3376, 2236), MLDv2 and v1 (RFC 3810, 2710).
 */
#include "sidecar/tcpip/net/member.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/net.h"
#include "sidecar/tcpip/net/wire.h"

enum {
    IGMP_QUERY = 0x11,
    IGMP1_REPORT = 0x12,
    IGMP2_REPORT = 0x16,
    IGMP2_LEAVE = 0x17,
    IGMP3_REPORT = 0x22,
};
enum { MODE_IS_EXCLUDE = 2, CHANGE_TO_INCLUDE = 3, CHANGE_TO_EXCLUDE = 4 };

static const struct ip_addr no_group;

static uint8_t record_type(enum net_group_report report)
{
    switch (report) {
    case NET_GROUP_JOINED:
        return CHANGE_TO_EXCLUDE;
    case NET_GROUP_LEFT:
        return CHANGE_TO_INCLUDE;
    default:
        return MODE_IS_EXCLUDE;
    }
}

/* TTL 1 and the router alert option (RFC 2113): RFC 3376, 4. */
static void send_igmp(struct net *net, struct net_port *port, const struct ip_addr *dst,
                      const uint8_t *igmp, size_t len)
{
    enum { HDR = NET_IP4_HDR + 4 };
    uint8_t frame[NET_ETH_HDR_MAX + HDR + 16], *l3 = frame + NET_ETH_HDR_MAX;
    const struct net_address *from = net_address_select(&port->addresses, dst, NULL);
    struct net_ip4_header h = {.src = from ? from->addr : net_ip_v4_of(0, 0, 0, 0),
                               .dst = *dst,
                               .total_len = (uint16_t)(HDR + len),
                               .id = (uint16_t)net_next_id(net, dst),
                               .tos = 0xc0,
                               .ttl = 1,
                               .protocol = IPPROTO_IGMP};
    net_ip4_write(l3, &h);
    l3[0] = 0x46;
    net_put32(l3 + NET_IP4_HDR, 0x94040000);
    net_put16(l3 + 10, 0);
    net_csum_store(l3 + 10, net_csum(l3, HDR));
    memcpy(l3 + HDR, igmp, len);
    net_csum_store(l3 + HDR + 2, net_csum(l3 + HDR, len));
    const struct net_mac mac = net_mac_of_group(dst);
    net->ip->count.ip4_out++;
    net->ip->count.group_out++;
    net_send_l2(net, port, &mac, NET_ETH_IPV4, l3, HDR + len);
}

static void report4(struct net *net, struct net_port *port, const struct net_group_due *due,
                    bool old)
{
    uint8_t m[16] = {0};
    if (!old) {
        m[0] = IGMP3_REPORT;
        m[7] = 1;
        m[8] = record_type(due->report);
        memcpy(m + 12, due->addr.b + 12, 4);
        send_igmp(net, port, &net_ip_igmp3_routers, m, 16);
        return;
    }
    bool left = due->report == NET_GROUP_LEFT;
    m[0] = left ? IGMP2_LEAVE : IGMP2_REPORT;
    memcpy(m + 4, due->addr.b + 12, 4);
    send_igmp(net, port, left ? &net_ip_all_routers_v4 : &due->addr, m, 8);
}

static void report6(struct net *net, struct net_port *port, const struct net_group_due *due,
                    bool old)
{
    uint8_t m[28] = {0};
    bool left = due->report == NET_GROUP_LEFT;
    struct net_link_packet how = {.port = port, .hop_limit = 1, .router_alert = true};
    /* RFC 3810, 5.2.13: the link-local address, or :: while there is none. */
    for (unsigned k = 0; k < port->addresses.n; k++)
        if (ip_addr_is_link_local6(&port->addresses.list[k].addr) &&
            net_address_usable(&port->addresses.list[k]))
            how.src = port->addresses.list[k].addr;
    net->ip->count.group_out++;
    if (!old) {
        m[0] = NET_ICMP6_MLD2_REPORT;
        m[7] = 1;
        m[8] = record_type(due->report);
        memcpy(m + 12, due->addr.b, 16);
        how.dst = net_ip_mld2_routers;
        net_nd_send(net, &how, m, 28);
        return;
    }
    m[0] = left ? NET_ICMP6_MLD_DONE : NET_ICMP6_MLD_REPORT;
    memcpy(m + 8, due->addr.b, 16);
    how.dst = left ? net_ip_all_routers : due->addr;
    net_nd_send(net, &how, m, 24);
}

void net_member_poll(struct net *net, struct net_port *port, uint64_t now)
{
    struct net_group_due due;
    while (net_group_take_due(&port->groups, net_random32(net), now, &due)) {
        if (!port->up)
            continue;
        bool v4 = ip_addr_is_v4(&due.addr);
        bool old = net_group_old_querier(&port->groups, v4, now);
        if (v4)
            report4(net, port, &due, old);
        else
            report6(net, port, &due, old);
    }
}

/* RFC 3376, 4.1.1: a code over 127 is a floating point value. */
static uint32_t exponential(uint32_t code, unsigned mantissa_bits)
{
    uint32_t top = 1u << (mantissa_bits + 3);
    if (code < top)
        return code;
    uint32_t mantissa = code & ((1u << mantissa_bits) - 1), exp = code >> mantissa_bits & 7;
    return (mantissa | 1u << mantissa_bits) << (exp + 3);
}

static void igmp_query(struct net *net, struct net_port *port, const struct net_rx *rx)
{
    bool old = rx->p.l4_len < 12;
    uint64_t tenths = old ? rx->p.l4[1] : exponential(rx->p.l4[1], 4);
    if (old && !tenths)
        tenths = 100; /* IGMPv1: ten seconds */
    struct ip_addr group = net_ip_v4(rx->p.l4 + 4);
    if (ip_addr_is_any(&group))
        group = no_group;
    net_group_query(&port->groups, true, &group, old, tenths * 100000000u, net_random32(net),
                    net->ip->now);
}

void net_igmp_input(struct net *net, struct net_rx *rx)
{
    struct net_port *port = net_port_of(net, rx->p.port);
    if (!port)
        return; /* our own report, looped */
    if (rx->p.l4_len < 8 || rx->p.ttl != 1 || net_csum(rx->p.l4, rx->p.l4_len) != 0) {
        net->ip->count.group_bad++;
        return;
    }
    net->ip->count.group_in++;
    net->touched = true;
    struct ip_addr group = net_ip_v4(rx->p.l4 + 4);
    if (rx->p.l4[0] == IGMP_QUERY)
        igmp_query(net, port, rx);
    else if (rx->p.l4[0] == IGMP2_REPORT || rx->p.l4[0] == IGMP1_REPORT)
        net_group_heard(&port->groups, &group);
}

void net_mld_input(struct net *net, struct net_rx *rx)
{
    struct net_port *port = net_port_of(net, rx->p.port);
    if (!port)
        return;
    bool query = rx->p.l4[0] == NET_ICMP6_MLD_QUERY;
    /* RFC 3810, 5.1.14 and 6.2; RFC 2710, 4: from the link, never from farther away. */
    if (rx->p.l4_len < 24 || rx->p.ttl != 1 || !rx->router_alert ||
        !(ip_addr_is_link_local6(&rx->p.src) || (!query && ip_addr_is_any(&rx->p.src)))) {
        net->ip->count.group_bad++;
        return;
    }
    net->ip->count.group_in++;
    net->touched = true;
    struct ip_addr group = ip_addr_v6(rx->p.l4 + 8);
    if (!query) {
        net_group_heard(&port->groups, &group);
        return;
    }
    bool old = rx->p.l4_len < 28;
    uint64_t code = net_get16(rx->p.l4 + 4);
    uint64_t ms = old ? code : exponential((uint32_t)code, 12);
    net_group_query(&port->groups, false, &group, old, ms * 1000000u, net_random32(net),
                    net->ip->now);
}

int net_member_port(const struct tcpip *ip, const struct ip_addr *group, uint32_t ifindex,
                    const struct ip_addr *iface)
{
    struct net *net = ip->net;
    if (ifindex)
        return ifindex <= net->n_ports ? (int)ifindex - 1 : -1;
    if (!ip_addr_is_any(iface)) {
        const struct net_port *port = net_address_port(net, iface, -1);
        return port ? port->index : -1;
    }
    if (!group)
        return -1;
    const struct net_route *r = net_route_find(&net->routes, group, -1, false);
    if (r)
        return r->port;
    for (unsigned i = 0; i < net->n_ports; i++)
        if (net->ports[i].up)
            return (int)i;
    return -1;
}

int net_member_join(struct tcpip *ip, const struct ip_addr *group, unsigned port)
{
    struct net_port *p = net_port_of(ip->net, port);
    int rc = net_group_join(&p->groups, group, ip->now);
    net_rearm(ip->net);
    return rc;
}

void net_member_leave(struct tcpip *ip, const struct ip_addr *group, unsigned port)
{
    struct net_port *p = net_port_of(ip->net, port);
    net_group_leave(&p->groups, group, ip->now);
    net_rearm(ip->net);
}

uint32_t net_member_address(const struct tcpip *ip, unsigned bound_port)
{
    const struct net_port *p = bound_port ? net_port_of(ip->net, bound_port - 1) : NULL;
    for (unsigned k = 0; p && k < p->addresses.n; k++)
        if (ip_addr_is_v4(&p->addresses.list[k].addr))
            return p->addresses.list[k].addr.w[3];
    return 0;
}
