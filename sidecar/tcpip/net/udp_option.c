/* SPDX-License-Identifier: Apache-2.0 */
/* Socket options of UDP alone: multicast, IP_RECVERR, IP_MTU. Linux's names and meanings. */
#include "sidecar/tcpip/net/udp.h"

#include "sidecar/tcpip/net/member.h"

#include <errno.h>
#include <netinet/udp.h>

static int find_membership(const struct udp_socket *u, const struct ip_addr *group, int port)
{
    for (int i = 0; i < u->n_memberships; i++)
        if (ip_addr_equal(&u->memberships[i].group, group) &&
            (port < 0 || u->memberships[i].port == port))
            return i;
    return -1;
}

/* `ifindex` 0 and `iface` none: the port by route. */
static int join(struct udp_socket *u, const struct ip_addr *group, uint32_t ifindex,
                const struct ip_addr *iface)
{
    if (!ip_addr_is_multicast(group))
        return -EINVAL;
    int port = net_member_port(u->s.ip, group, ifindex, iface);
    if (port < 0)
        return -ENODEV;
    if (find_membership(u, group, port) >= 0)
        return -EADDRINUSE;
    if (u->n_memberships == UDP_MEMBERSHIPS)
        return -ENOBUFS;
    int rc = net_member_join(u->s.ip, group, (unsigned)port);
    if (rc)
        return rc;
    u->memberships[u->n_memberships++] =
        (struct udp_membership){.group = *group, .port = (uint8_t)port};
    return 0;
}

static void leave_at(struct udp_socket *u, unsigned i)
{
    net_member_leave(u->s.ip, &u->memberships[i].group, u->memberships[i].port);
    u->memberships[i] = u->memberships[--u->n_memberships];
}

static int leave(struct udp_socket *u, const struct ip_addr *group, uint32_t ifindex,
                 const struct ip_addr *iface)
{
    if (!ip_addr_is_multicast(group))
        return -EINVAL;
    int port = -1; /* unspecified: the first membership in this group, as Linux */
    if (ifindex || !ip_addr_is_any(iface)) {
        port = net_member_port(u->s.ip, group, ifindex, iface);
        if (port < 0)
            return -ENODEV;
    }
    int i = find_membership(u, group, port);
    if (i < 0)
        return -EADDRNOTAVAIL;
    leave_at(u, (unsigned)i);
    return 0;
}

void udps_leave_all(struct udp_socket *u)
{
    while (u->n_memberships)
        leave_at(u, u->n_memberships - 1u);
}

typedef int member_fn(struct udp_socket *u, const struct ip_addr *group, uint32_t ifindex,
                      const struct ip_addr *iface);

static int member4(struct udp_socket *u, member_fn *fn, const void *value, uint32_t len)
{
    struct ip_mreqn m = {0};
    if (len < sizeof(struct ip_mreq))
        return -EINVAL;
    memcpy(&m, value, len < sizeof(m) ? sizeof(struct ip_mreq) : sizeof(m));
    struct ip_addr group = ip_addr_v4(m.imr_multiaddr.s_addr);
    struct ip_addr iface = ip_addr_v4(m.imr_address.s_addr);
    return fn(u, &group, m.imr_ifindex > 0 ? (uint32_t)m.imr_ifindex : 0, &iface);
}

static int member6(struct udp_socket *u, member_fn *fn, const void *value, uint32_t len)
{
    static const struct ip_addr none;
    struct ipv6_mreq m;
    if (len < sizeof(m))
        return -EINVAL;
    memcpy(&m, value, sizeof(m));
    struct ip_addr group = ip_addr_v6(&m.ipv6mr_multiaddr);
    if (ip_addr_is_v4(&group))
        return -EINVAL;
    return fn(u, &group, m.ipv6mr_interface, &none);
}

/* MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP: RFC 3678, 5.1. */
static int member_any(struct udp_socket *u, member_fn *fn, const void *value, uint32_t len)
{
    static const struct ip_addr none;
    struct group_req m;
    struct dmm_addr addr;
    if (len < sizeof(m))
        return -EINVAL;
    memcpy(&m, value, sizeof(m));
    if (dmm_addr_from_sockaddr(&addr, (const struct sockaddr *)&m.gr_group, sizeof(m.gr_group)))
        return -EINVAL;
    if (addr.family == AF_INET6 && u->s.family == AF_INET)
        return -EINVAL;
    struct ip_addr group = ip_addr_from_dmm(&addr);
    return fn(u, &group, m.gr_interface, &none);
}

/* IP_MULTICAST_IF takes an in_addr, an ip_mreq or an ip_mreqn. */
static int multicast_if4(struct udp_socket *u, const void *value, uint32_t len)
{
    struct ip_mreqn m = {0};
    if (len >= sizeof(struct ip_mreq))
        memcpy(&m, value, len < sizeof(m) ? sizeof(struct ip_mreq) : sizeof(m));
    else if (len >= sizeof(struct in_addr))
        memcpy(&m.imr_address, value, sizeof(struct in_addr));
    else
        return -EINVAL;
    struct ip_addr iface = ip_addr_v4(m.imr_address.s_addr);
    if (m.imr_ifindex <= 0 && ip_addr_is_any(&iface)) {
        u->mc_port = 0;
        return 0;
    }
    int port =
        net_member_port(u->s.ip, NULL, m.imr_ifindex > 0 ? (uint32_t)m.imr_ifindex : 0, &iface);
    if (port < 0)
        return -EADDRNOTAVAIL;
    u->mc_port = (uint8_t)(port + 1);
    return 0;
}

static int multicast_if6(struct udp_socket *u, int ifindex)
{
    static const struct ip_addr none;
    if (ifindex == 0) {
        u->mc_port = 0;
        return 0;
    }
    int port = ifindex > 0 ? net_member_port(u->s.ip, NULL, (uint32_t)ifindex, &none) : -1;
    if (port < 0)
        return -ENODEV;
    u->mc_port = (uint8_t)(port + 1);
    return 0;
}

static int set_ttl(struct udp_socket *u, int v)
{
    /* 0, this host only, is not offered: a group of the loop alone has no port. */
    if (v < -1 || v == 0 || v > 255)
        return -EINVAL;
    u->mc_ttl = (uint8_t)(v < 0 ? 1 : v);
    u->flow.generation = 0;
    return 0;
}

static int set_int(struct udp_socket *u, int level, int name, int v)
{
    if (level == SOL_IP ? name == IP_MULTICAST_TTL : name == IPV6_MULTICAST_HOPS)
        return set_ttl(u, v);
    if (level == SOL_IP ? name == IP_MULTICAST_LOOP : name == IPV6_MULTICAST_LOOP)
        u->no_loop = !v;
    else if (level == SOL_IP ? name == IP_MULTICAST_ALL : name == IPV6_MULTICAST_ALL)
        u->mc_all_off = !v;
    else if (level == SOL_IP ? name == IP_RECVERR : name == IPV6_RECVERR)
        u->recverr = v != 0;
    else if (level == SOL_IPV6 && name == IPV6_MULTICAST_IF)
        return multicast_if6(u, v);
    else
        return -ENOPROTOOPT;
    return 0;
}

static int set_gro(struct udp_socket *u, const void *value, uint32_t len)
{
    int v, rc = socket_option_int(value, len, &v);
    if (!rc)
        u->gro = v != 0;
    return rc;
}

int udps_setsockopt(struct tcpip_socket *s, int level, int name, const void *value, uint32_t len)
{
    struct udp_socket *u = udps_of(s);
    u->flow.generation = 0; /* an option may change where it goes */
    if (level == SOL_UDP && name == UDP_GRO)
        return set_gro(u, value, len);
    if (level != SOL_IP && level != SOL_IPV6)
        return -ENOPROTOOPT;
    if (name == MCAST_JOIN_GROUP)
        return member_any(u, join, value, len);
    if (name == MCAST_LEAVE_GROUP)
        return member_any(u, leave, value, len);
    if (level == SOL_IP && name == IP_ADD_MEMBERSHIP)
        return member4(u, join, value, len);
    if (level == SOL_IP && name == IP_DROP_MEMBERSHIP)
        return member4(u, leave, value, len);
    if (level == SOL_IPV6 && name == IPV6_JOIN_GROUP)
        return member6(u, join, value, len);
    if (level == SOL_IPV6 && name == IPV6_LEAVE_GROUP)
        return member6(u, leave, value, len);
    if (level == SOL_IP && name == IP_MULTICAST_IF)
        return multicast_if4(u, value, len);
    int v, rc = socket_option_int(value, len, &v);
    return rc ? rc : set_int(u, level, name, v);
}

static int get_mtu(struct udp_socket *u, void *value, uint32_t *len)
{
    if (!u->connected)
        return -ENOTCONN;
    udps_flow(u, &u->peer, &u->local, 0);
    int rc = net_flow_resolve(u->s.ip, &u->flow);
    return rc ? rc : socket_option_put_int(u->flow.mtu, value, len);
}

int udps_getsockopt(struct tcpip_socket *s, int level, int name, void *value, uint32_t *len)
{
    struct udp_socket *u = udps_of(s);
    int v;
    if (level == SOL_UDP && name == UDP_GRO)
        return socket_option_put_int(u->gro, value, len);
    if (level != SOL_IP && level != SOL_IPV6)
        return -ENOPROTOOPT;
    if (level == SOL_IP ? name == IP_MTU : name == IPV6_MTU)
        return get_mtu(u, value, len);
    if (level == SOL_IP ? name == IP_MULTICAST_TTL : name == IPV6_MULTICAST_HOPS)
        v = u->mc_ttl;
    else if (level == SOL_IP ? name == IP_MULTICAST_LOOP : name == IPV6_MULTICAST_LOOP)
        v = !u->no_loop;
    else if (level == SOL_IP ? name == IP_MULTICAST_ALL : name == IPV6_MULTICAST_ALL)
        v = !u->mc_all_off;
    else if (level == SOL_IP ? name == IP_RECVERR : name == IPV6_RECVERR)
        v = u->recverr;
    else if (level == SOL_IPV6 && name == IPV6_MULTICAST_IF)
        v = u->mc_port;
    else if (level == SOL_IP && name == IP_MULTICAST_IF)
        v = (int)net_member_address(s->ip, u->mc_port);
    else
        return -ENOPROTOOPT;
    return socket_option_put_int(v, value, len);
}
