/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nd_message: the options of neighbour discovery messages (RFC 4861, 4.6), and router
 * advertisements.
 *
 * Invariants: an option of length zero, or one that runs out of the message, makes the message bad
 * (RFC 4861, 6.1.2, 7.1); at most NET_ND_OPTIONS are looked at and NET_ND_PREFIXES prefixes and
 * NET_ND_ROUTES routes kept.
 *
 * Pure. What the results point to is the message. Any thread.
 */
#ifndef DMM_TCPIP_NET_ND_MESSAGE_H
#define DMM_TCPIP_NET_ND_MESSAGE_H

#include "sidecar/tcpip/net/ether.h"

#define NET_ND_OPTIONS  64
#define NET_ND_PREFIXES 16
#define NET_ND_ROUTES   16
#define NET_ND_FOREVER  0xffffffffu

enum {
    NET_ND_OPT_SOURCE_LL = 1,
    NET_ND_OPT_TARGET_LL = 2,
    NET_ND_OPT_PREFIX = 3,
    NET_ND_OPT_MTU = 5,
    NET_ND_OPT_NONCE = 14, /* RFC 3971, 5.3.2; RFC 7527 */
    NET_ND_OPT_ROUTE = 24, /* RFC 4191, 2.3 */
};

struct net_nd_prefix {
    struct ip_addr prefix;
    uint8_t bits;
    bool on_link, autonomous;
    uint32_t valid, preferred; /* seconds; NET_ND_FOREVER */
};

struct net_nd_route {
    struct ip_addr prefix;
    uint8_t bits;
    int8_t preference;
    uint32_t lifetime; /* seconds; NET_ND_FOREVER */
};

struct net_nd_options {
    bool has_source, has_target, has_nonce;
    struct net_mac source, target;
    uint64_t nonce; /* of six bytes, as ours are; others' lengths give another value */
    uint32_t mtu;   /* 0: none */
    unsigned n_prefixes;
    struct net_nd_prefix prefixes[NET_ND_PREFIXES];
    unsigned n_routes;
    struct net_nd_route routes[NET_ND_ROUTES];
};

/* Reads options at p[0..len). False: the message is to be dropped. */
bool net_nd_options_read(const uint8_t *p, size_t len, struct net_nd_options *out);
/* Each writes one option of eight bytes. */
size_t net_nd_put_ll(uint8_t *at, uint8_t type, const struct net_mac *mac);
size_t net_nd_put_nonce(uint8_t *at, uint64_t nonce);

struct net_nd_advert {
    uint8_t hop_limit;
    int8_t preference;           /* RFC 4191, 2.2 */
    uint16_t lifetime;           /* seconds */
    uint32_t reachable, retrans; /* milliseconds; 0: not given */
    struct net_nd_options options;
};
/* Reads a router advertisement, ICMPv6 header first. False: too short, or bad options. */
bool net_nd_advert_read(const uint8_t *icmp, size_t len, struct net_nd_advert *ra);

#endif
