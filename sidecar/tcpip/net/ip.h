/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip: what the network layer asks about addresses: scopes, prefixes, well-known groups.
 *
 * Addresses of both families have the one form of sidecar/tcpip/ipaddr.h, so a prefix of n bits of
 * an IPv4 address is one of NET_IP4_BITS + n bits here. Pure. Any thread.
 */
#ifndef DMM_TCPIP_NET_IP_H
#define DMM_TCPIP_NET_IP_H

#include "sidecar/tcpip/ipaddr.h"

#include <stddef.h>

#define NET_IP4_BITS 96

/* Scope, RFC 4007 and RFC 6724, 3.1 and 3.2; IPv4: 3.2. */
enum net_scope {
    NET_SCOPE_INTERFACE = 1, /* loopback */
    NET_SCOPE_LINK = 2,
    NET_SCOPE_SITE = 5,
    NET_SCOPE_GLOBAL = 14,
};

/* Of four bytes in network order. */
static inline struct ip_addr net_ip_v4(const uint8_t *four)
{
    uint32_t v4;
    memcpy(&v4, four, 4);
    return ip_addr_v4(v4);
}

/* a.b.c.d */
static inline struct ip_addr net_ip_v4_of(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return net_ip_v4((const uint8_t[4]){a, b, c, d});
}

/* ::, which also stands for "no address". */
static inline bool net_ip_is_none(const struct ip_addr *ip)
{
    return ip->q[0] == 0 && ip->q[1] == 0;
}

/* fe80::/10 and 169.254/16 */
bool net_ip_is_link_local(const struct ip_addr *ip);
/* 255.255.255.255 */
bool net_ip_is_limited_broadcast(const struct ip_addr *ip);
/* May stand as the source of a unicast packet: not multicast, broadcast, class E, or none. */
bool net_ip_is_unicast(const struct ip_addr *ip);
enum net_scope net_ip_scope(const struct ip_addr *ip);

/* Bits of this form (an IPv4 /24 is 120). */
bool net_ip_in_prefix(const struct ip_addr *ip, const struct ip_addr *prefix, unsigned bits);
/* How many leading bits are the same, 0..128. */
unsigned net_ip_common_bits(const struct ip_addr *a, const struct ip_addr *b);
/* The directed broadcast address of an IPv4 prefix; none for /31 and /32 (RFC 3021) and IPv6. */
struct ip_addr net_ip_broadcast(const struct ip_addr *ip, unsigned bits);
/* ff02::1:ffXX:XXXX (RFC 4291, 2.7.1). */
struct ip_addr net_ip_solicited_node(const struct ip_addr *ip);

extern const struct ip_addr net_ip_all_nodes;         /* ff02::1 */
extern const struct ip_addr net_ip_all_routers;       /* ff02::2 */
extern const struct ip_addr net_ip_mld2_routers;      /* ff02::16 */
extern const struct ip_addr net_ip_all_systems;       /* 224.0.0.1 */
extern const struct ip_addr net_ip_all_routers_v4;    /* 224.0.0.2 */
extern const struct ip_addr net_ip_igmp3_routers;     /* 224.0.0.22 */
extern const struct ip_addr net_ip_limited_broadcast; /* 255.255.255.255 */

#endif
