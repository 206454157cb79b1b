/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/routed.h"

#include "cni/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <netlink/route/addr.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned full_len(int family)
{
    return family == AF_INET ? 32 : 128;
}

static const char *gateway_of(int family)
{
    return family == AF_INET ? DMM_ROUTED_GATEWAY4 : DMM_ROUTED_GATEWAY6;
}

/* ---- the node ---- */

int dmm_routed_forwards(int family, struct dmm_err *err)
{
    static const char *const names[] = {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"};
    const char *name = names[family != AF_INET];
    char path[64];
    char is = '0';
    snprintf(path, sizeof(path), "/proc/sys/%s", name);
    int fd __attribute__((cleanup(dmm_close))) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &is, 1) != 1)
        return dmm_err_set(err, errno, "link.routed: %s: %s", path, strerror(errno));
    if (is == '0')
        return dmm_err_set(err, ENETUNREACH,
                           "link.routed: the node does not forward: sysctl %s is 0", name);
    return 0;
}

static void put_addr(struct nl_addr **addr)
{
    nl_addr_put(*addr);
}

static int failed(struct dmm_err *err, int rc, const char *what, const char *text, const char *host)
{
    return dmm_err_set(err, rc == -NLE_NOMEM ? ENOMEM : EIO, "%s %s on interface %s: %s", what,
                       text, host, nl_geterror(rc));
}

/* The gateway's address: with a host's scope, so that the kernel never takes it for its own
 * packets; without duplicate detection, for the stack may ask at once. */
static int add_gateway(struct nl_sock *sock, int ifindex, const char *host, int family,
                       struct dmm_err *err)
{
    const char *text = gateway_of(family);
    struct nl_addr *local __attribute__((cleanup(put_addr))) = NULL;
    struct rtnl_addr *addr = rtnl_addr_alloc();
    int rc = addr ? nl_addr_parse(text, family, &local) : -NLE_NOMEM;
    if (!rc) {
        nl_addr_set_prefixlen(local, (int)(family == AF_INET ? 32 : 64));
        rtnl_addr_set_ifindex(addr, ifindex);
        rtnl_addr_set_scope(addr, family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_LINK);
        rtnl_addr_set_flags(addr, IFA_F_NODAD);
        rc = rtnl_addr_set_local(addr, local);
    }
    if (!rc)
        rc = rtnl_addr_add(sock, addr, 0);
    rtnl_addr_put(addr);
    return rc && rc != -NLE_EXIST ? failed(err, rc, "address", text, host) : 0;
}

static int add_route(struct nl_sock *sock, int ifindex, const char *host, const struct dmm_addr *to,
                     struct dmm_err *err)
{
    char text[DMM_ADDR_STRLEN];
    struct nl_addr *dst __attribute__((cleanup(put_addr))) =
        nl_addr_build(to->family, to->ip, to->family == AF_INET ? 4 : 16);
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
    int rc = dst && route && hop ? 0 : -NLE_NOMEM;
    if (!rc) {
        nl_addr_set_prefixlen(dst, (int)full_len(to->family));
        rtnl_route_nh_set_ifindex(hop, ifindex);
        rtnl_route_add_nexthop(route, hop); /* owns it from here on */
        hop = NULL;
        rtnl_route_set_scope(route, to->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
        rtnl_route_set_table(route, RT_TABLE_MAIN);
        rtnl_route_set_protocol(route, RTPROT_STATIC);
        rc = rtnl_route_set_dst(route, dst);
    }
    if (!rc)
        rc = rtnl_route_add(sock, route, NLM_F_EXCL);
    if (hop)
        rtnl_route_nh_free(hop);
    rtnl_route_put(route);
    dmm_addr_format_ip(to, text);
    if (rc == -NLE_EXIST)
        return dmm_err_set(err, EEXIST, "route to %s: the node has one already", text);
    return rc ? failed(err, rc, "route to", text, host) : 0;
}

static int join_node(const char *host, const struct dmm_port_config *port, struct dmm_err *err)
{
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    bool seen[2] = {false, false};
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, host, &link, err);
    for (unsigned i = 0; !rc && i < port->n_addresses; i++) {
        const struct dmm_addr *addr = &port->addresses[i].addr;
        bool *had = &seen[addr->family != AF_INET];
        if (!*had) {
            *had = true;
            rc = dmm_routed_forwards(addr->family, err);
            if (!rc)
                rc = add_gateway(sock, rtnl_link_get_ifindex(link), host, addr->family, err);
        }
        if (!rc)
            rc = add_route(sock, rtnl_link_get_ifindex(link), host, addr, err);
    }
    return rc;
}

int dmm_routed_check(struct nl_sock *sock, int ifindex, const char *host,
                     const struct dmm_port_config *port, struct dmm_err *err)
{
    for (unsigned i = 0; i < port->n_addresses; i++) {
        const struct dmm_addr *to = &port->addresses[i].addr;
        char text[DMM_ADDR_STRLEN];
        struct rtnl_route *route = NULL;
        struct nl_addr *dst __attribute__((cleanup(put_addr))) =
            nl_addr_build(to->family, to->ip, to->family == AF_INET ? 4 : 16);
        int rc = dst ? rtnl_route_lookup(sock, dst, &route) : -NLE_NOMEM;
        struct rtnl_nexthop *hop = rc ? NULL : rtnl_route_nexthop_n(route, 0);
        bool ours = hop && rtnl_route_nh_get_ifindex(hop) == ifindex;
        if (route)
            rtnl_route_put(route);
        if (!ours)
            return dmm_err_set(err, ENETUNREACH, "route to %s: is not by interface %s",
                               dmm_addr_format_ip(to, text), host);
    }
    return 0;
}

/* ---- the pod ---- */

static int set_text(json_t *object, const char *key, const char *value)
{
    return json_object_set_new(object, key, json_string(value));
}

/* "10.88.0.2/16" by way of 10.88.0.1 becomes "10.88.0.2/32" by way of the link's gateway. */
static int change_ip(json_t *ip, const struct dmm_port_address *address)
{
    char host[DMM_ADDR_STRLEN];
    char text[DMM_ADDR_STRLEN + 4];
    int family = address->addr.family;
    snprintf(text, sizeof(text), "%s/%u", dmm_addr_format_ip(&address->addr, host),
             full_len(family));
    return set_text(ip, "address", text) || set_text(ip, "gateway", gateway_of(family)) ? -ENOMEM
                                                                                        : 0;
}

static int append_route(json_t *routes, const char *dst, const char *gateway)
{
    /* Without a gateway: on the link (rtnetlink(7): RT_SCOPE_LINK). */
    json_t *route = gateway ? json_pack("{s:s, s:s}", "dst", dst, "gw", gateway)
                            : json_pack("{s:s, s:i}", "dst", dst, "scope", RT_SCOPE_LINK);
    return json_array_append_new(routes, route) ? -ENOMEM : 0;
}

/* What the address said to be on link is by the gateway now. */
static int append_subnet(json_t *routes, const struct dmm_port_address *address)
{
    struct dmm_prefix prefix = {.family = address->addr.family, .len = address->prefix_len};
    char text[DMM_PREFIX_STRLEN];
    for (unsigned bit = 0; bit < address->prefix_len; bit++)
        prefix.ip[bit / 8] |= (uint8_t)(address->addr.ip[bit / 8] & (0x80 >> bit % 8));
    return append_route(routes, dmm_prefix_format(&prefix, text), gateway_of(prefix.family));
}

static bool has_default(const struct dmm_port_config *port, int family)
{
    for (unsigned i = 0; i < port->n_routes; i++)
        if (port->routes[i].dst.family == family && !port->routes[i].dst.len)
            return true;
    return false;
}

static bool has_family(const struct dmm_port_config *port, int family)
{
    for (unsigned i = 0; i < port->n_addresses; i++)
        if (port->addresses[i].addr.family == family)
            return true;
    return false;
}

static int change_result(struct dmm_result *result, const struct dmm_port_config *port)
{
    size_t i;
    json_t *entry;
    json_t *routes = json_array();
    int rc = routes ? 0 : -ENOMEM;
    if (!rc && has_family(port, AF_INET))
        rc = append_route(routes, DMM_ROUTED_GATEWAY4 "/32", NULL);
    for (unsigned a = 0; !rc && a < port->n_addresses; a++)
        if (!has_default(port, port->addresses[a].addr.family))
            rc = append_subnet(routes, &port->addresses[a]);
    json_array_foreach(result->routes, i, entry)
    {
        if (!rc)
            rc = set_text(entry, "gw", gateway_of(port->routes[i].dst.family));
    }
    json_array_foreach(result->ips, i, entry)
    {
        if (!rc)
            rc = change_ip(entry, &port->addresses[i]);
    }
    if (!rc)
        rc = json_array_extend(routes, result->routes) ? -ENOMEM : 0;
    if (rc) {
        json_decref(routes);
        return rc;
    }
    json_decref(result->routes);
    result->routes = routes;
    return 0;
}

int dmm_routed_join(const char *host, struct dmm_result *result, struct dmm_err *err)
{
    struct dmm_port_config port = {0}; /* addresses and routes as they came */
    int rc = dmm_result_to_port(result, &port, err);
    if (!rc && !port.n_addresses)
        rc = dmm_err_set(err, EINVAL, "link.routed: needs addresses, by ipam");
    if (!rc)
        rc = join_node(host, &port, err);
    if (!rc && change_result(result, &port))
        rc = dmm_err_set(err, ENOMEM, "result: out of memory");
    return rc;
}
