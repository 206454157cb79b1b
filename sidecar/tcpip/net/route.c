/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/route.h"

#include <errno.h>

static bool host_bits_zero(const struct ip_addr *dst, unsigned bits)
{
    for (unsigned i = bits; i < 128; i++)
        if (dst->b[i / 8] & 0x80 >> i % 8)
            return false;
    return true;
}

static bool valid(const struct net_route *r)
{
    if (r->bits > 128 || !host_bits_zero(&r->dst, r->bits))
        return false;
    if (r->v4 != (r->bits >= NET_IP4_BITS && ip_addr_is_v4(&r->dst)))
        return false;
    return net_ip_is_none(&r->gateway) || ip_addr_is_v4(&r->gateway) == r->v4;
}

static bool same(const struct net_route *a, const struct net_route *b)
{
    return a->bits == b->bits && a->v4 == b->v4 && a->port == b->port && a->origin == b->origin &&
           ip_addr_equal(&a->dst, &b->dst) && ip_addr_equal(&a->gateway, &b->gateway);
}

static bool before(const struct net_route *a, const struct net_route *b)
{
    return a->bits != b->bits ? a->bits > b->bits : a->preference > b->preference;
}

static void remove_at(struct net_routes *routes, unsigned i)
{
    routes->n--;
    memmove(&routes->list[i], &routes->list[i + 1], (routes->n - i) * sizeof(routes->list[0]));
}

bool net_route_remove(struct net_routes *routes, const struct net_route *route)
{
    for (unsigned i = 0; i < routes->n; i++) {
        if (same(&routes->list[i], route)) {
            remove_at(routes, i);
            return true;
        }
    }
    return false;
}

int net_route_add(struct net_routes *routes, const struct net_route *route)
{
    if (!valid(route))
        return -EINVAL;
    net_route_remove(routes, route);
    if (routes->n == NET_ROUTES)
        return -ENOSPC;
    unsigned i = routes->n;
    while (i && before(route, &routes->list[i - 1]))
        i--;
    memmove(&routes->list[i + 1], &routes->list[i], (routes->n - i) * sizeof(routes->list[0]));
    routes->list[i] = *route;
    routes->n++;
    return 0;
}

void net_route_remove_port(struct net_routes *routes, unsigned port, int origin)
{
    for (unsigned i = routes->n; i-- > 0;) {
        const struct net_route *r = &routes->list[i];
        if (r->port == port && (origin < 0 || r->origin == origin))
            remove_at(routes, i);
    }
}

const struct net_route *net_route_find(const struct net_routes *routes, const struct ip_addr *dst,
                                       int port, bool on_link)
{
    bool v4 = ip_addr_is_v4(dst);
    const struct net_route *second = NULL;
    for (unsigned i = 0; i < routes->n; i++) {
        const struct net_route *r = &routes->list[i];
        if (r->v4 != v4 || (port >= 0 && r->port != port))
            continue;
        if (on_link && !net_ip_is_none(&r->gateway))
            continue;
        if (!net_ip_in_prefix(dst, &r->dst, r->bits))
            continue;
        /* Another gateway for the same prefix may stand in, a wider prefix may not. */
        if (second && r->bits != second->bits)
            break;
        if (!r->unreachable)
            return r;
        if (!second)
            second = r;
    }
    return second;
}

bool net_route_set_unreachable(struct net_routes *routes, unsigned port,
                               const struct ip_addr *gateway, bool unreachable)
{
    bool changed = false;
    for (unsigned i = 0; i < routes->n; i++) {
        struct net_route *r = &routes->list[i];
        if (r->port == port && r->unreachable != unreachable &&
            ip_addr_equal(&r->gateway, gateway)) {
            r->unreachable = unreachable;
            changed = true;
        }
    }
    return changed;
}

bool net_route_is_gateway(const struct net_routes *routes, unsigned port,
                          const struct ip_addr *gateway)
{
    for (unsigned i = 0; i < routes->n; i++)
        if (routes->list[i].port == port && ip_addr_equal(&routes->list[i].gateway, gateway))
            return true;
    return false;
}

bool net_route_expire(struct net_routes *routes, uint64_t now)
{
    bool any = false;
    for (unsigned i = routes->n; i-- > 0;) {
        if (routes->list[i].expires <= now) {
            remove_at(routes, i);
            any = true;
        }
    }
    return any;
}

uint64_t net_route_deadline(const struct net_routes *routes)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < routes->n; i++)
        if (routes->list[i].expires < next)
            next = routes->list[i].expires;
    return next;
}
