/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipaddr: one form of address inside the stack: 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291,
 * 2.5.5.2), so that lookups, hashes and sockets know one kind.
 *
 * A mapped address never appears on an IPv6 wire: the IPv6 input refuses it (ip_src_bad). The zero
 * value is "unspecified"; ::ffff:0.0.0.0 is the IPv4 wildcard. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_IPADDR_H
#define DMM_SIDECAR_TCPIP_IPADDR_H

#include "common/addr.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct ip_addr {
    union {
        uint8_t b[16];
        uint32_t w[4]; /* network byte order */
        uint64_t q[2];
    };
};

static inline bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return a->q[0] == b->q[0] && a->q[1] == b->q[1];
}

static inline bool ip_addr_is_v4(const struct ip_addr *a)
{
    return a->q[0] == 0 && a->w[2] == htonl(0xffff);
}

/* `v4` in network byte order. */
static inline struct ip_addr ip_addr_v4(uint32_t v4)
{
    struct ip_addr a = {.w = {0, 0, htonl(0xffff), v4}};
    return a;
}

static inline struct ip_addr ip_addr_v6(const void *bytes)
{
    struct ip_addr a;
    memcpy(a.b, bytes, sizeof(a.b));
    return a;
}

static inline bool ip_addr_is_any(const struct ip_addr *a)
{
    return a->q[0] == 0 && (a->q[1] == 0 || (ip_addr_is_v4(a) && a->w[3] == 0));
}

static inline bool ip_addr_is_multicast(const struct ip_addr *a)
{
    return ip_addr_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff;
}

static inline bool ip_addr_is_loopback(const struct ip_addr *a)
{
    return ip_addr_is_v4(a) ? a->b[12] == 127 : a->q[0] == 0 && a->w[2] == 0 && a->w[3] == htonl(1);
}

/* fe80::/10 */
static inline bool ip_addr_is_link_local6(const struct ip_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* Family 0 becomes the unspecified address. */
static inline struct ip_addr ip_addr_from_dmm(const struct dmm_addr *d)
{
    struct ip_addr a = {.q = {0, 0}};
    if (d->family == AF_INET) {
        memcpy(&a.w[3], d->ip, 4);
        a.w[2] = htonl(0xffff);
    } else if (d->family == AF_INET6) {
        memcpy(a.b, d->ip, 16);
    }
    return a;
}

/* As a socket of `family` sees it: IPv4 as AF_INET, or mapped for a socket of AF_INET6. */
static inline struct dmm_addr ip_addr_to_dmm(const struct ip_addr *a, uint16_t port,
                                             uint16_t family)
{
    struct dmm_addr d = {.family = family, .port = port};
    if (family == AF_INET)
        memcpy(d.ip, &a->w[3], 4);
    else
        memcpy(d.ip, a->b, 16);
    return d;
}

#endif
