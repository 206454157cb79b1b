/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route: the routing table of an instance: longest prefix first.
 *
 * Invariants
 *   - At most NET_ROUTES routes, so a look-up (once per flow) scans them.
 *   - Sorted: longer prefixes first, then higher preference, then the order of insertion; so the
 *     first that matches is the best. Prefix bits are of struct ip_addr's form: an IPv4 prefix has
 *     at least 96 and never meets an IPv6 destination, nor the contrary.
 *   - A route has an output port; a gateway that is not "none" is a neighbour on that port.
 *
 * Pure; the owner stores the table. One thread.
 */
#ifndef DMM_TCPIP_NET_ROUTE_H
#define DMM_TCPIP_NET_ROUTE_H

#include "sidecar/tcpip/net/ip.h"

#define NET_ROUTES 128

enum net_route_origin {
    NET_ROUTE_ADDRESS,    /* the prefix of an address */
    NET_ROUTE_CONFIGURED, /* dmm_port_info.routes */
    NET_ROUTE_RA,         /* router advertisement: default router or on-link prefix */
};

struct net_route {
    struct ip_addr dst, gateway;
    uint64_t expires; /* UINT64_MAX: never */
    uint8_t bits;     /* 0..128 */
    uint8_t port;
    uint8_t origin;
    int8_t preference; /* RFC 4191, 2.1: 1 high, 0 medium, -1 low */
    bool v4;
    bool unreachable; /* its gateway does not answer: used only if no other has the same prefix */
};

struct net_routes {
    unsigned n;
    struct net_route list[NET_ROUTES];
};

/* Adds, or replaces the one with the same dst, bits, gateway, port and origin. 0, -ENOSPC, or
 * -EINVAL (bits out of range, families mixed, host bits set). */
int net_route_add(struct net_routes *routes, const struct net_route *route);
/* Removes every route of a port; with `origin` -1 of any origin. */
void net_route_remove_port(struct net_routes *routes, unsigned port, int origin);
bool net_route_remove(struct net_routes *routes, const struct net_route *route);

/* The best route to dst, over `port` only unless it is -1. `on_link`: without a gateway only
 * (SO_DONTROUTE). Good until the table changes. */
const struct net_route *net_route_find(const struct net_routes *routes, const struct ip_addr *dst,
                                       int port, bool on_link);
/* Marks the routes through a gateway; true if any changed. */
bool net_route_set_unreachable(struct net_routes *routes, unsigned port,
                               const struct ip_addr *gateway, bool unreachable);
bool net_route_is_gateway(const struct net_routes *routes, unsigned port,
                          const struct ip_addr *gateway);
/* Drops what has expired; true if anything did. */
bool net_route_expire(struct net_routes *routes, uint64_t now);
/* UINT64_MAX if no route expires. */
uint64_t net_route_deadline(const struct net_routes *routes);

#endif
