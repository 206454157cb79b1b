/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr: one fixed-size form of an IP address and port, for shared memory, the stack ABI and rules.
 *
 * Invariants: `family` is 0 (none), AF_INET or AF_INET6; addresses are in network byte order in
 * ip[], an IPv4 address in ip[0..3] with the rest zero; `port` is in host byte order. The struct
 * has no padding, so it may be compared with memcmp and copied out of shared memory as it is; a
 * copy from shared memory must pass dmm_addr_valid() before its family is used.
 *
 * Pure. Any thread.
 */
#ifndef DMM_COMMON_ADDR_H
#define DMM_COMMON_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct dmm_addr {
    uint16_t family;
    uint16_t port;
    uint32_t scope_id; /* IPv6 link-local only, else 0 */
    uint8_t ip[16];
};
_Static_assert(sizeof(struct dmm_addr) == 24, "dmm_addr is part of the shared layout");

struct dmm_prefix {
    uint16_t family;
    uint16_t len; /* bits: 0..32 or 0..128 */
    uint8_t ip[16];
};

#define DMM_ADDR_STRLEN   64 /* "[ipv6%scope]:port" and NUL */
#define DMM_PREFIX_STRLEN 52 /* "ipv6/len" and NUL */

bool dmm_addr_valid(const struct dmm_addr *addr);
bool dmm_addr_is_any(const struct dmm_addr *addr);      /* 0.0.0.0, ::, or ::ffff:0.0.0.0 */
bool dmm_addr_is_loopback(const struct dmm_addr *addr); /* 127/8, ::1, ::ffff:127/8 */
/* IPv4-mapped IPv6 (RFC 4291, 2.5.5.2) becomes plain IPv4; anything else is left as it is. */
void dmm_addr_unmap(struct dmm_addr *addr);
/* The contrary, for sockets of AF_INET6 whose peer came by IPv4. */
void dmm_addr_map(struct dmm_addr *addr);

/* Returns 0, or -EINVAL (too short), -EAFNOSUPPORT (AF_UNSPEC too) or -EFAULT (NULL), as the kernel
 * answers for the same sockaddr. `sa` need not be aligned. */
int dmm_addr_from_sockaddr(struct dmm_addr *addr, const struct sockaddr *sa, socklen_t len);
/* Writes at most `*len` bytes as getsockname(2) does and sets *len to the full length. Family 0
 * gives AF_UNSPEC and nothing else. */
void dmm_addr_to_sockaddr(const struct dmm_addr *addr, struct sockaddr *sa, socklen_t *len);

/* "10.0.0.1:80", "[::1]:80"; with port 0 printed as "*" the way ss(8) does; family 0 as "*:*".
 * Returns buf. */
const char *dmm_addr_format(const struct dmm_addr *addr, char buf[DMM_ADDR_STRLEN]);
/* The address alone: "10.0.0.1", "::1"; family 0 as "*". Returns buf. */
const char *dmm_addr_format_ip(const struct dmm_addr *addr, char buf[DMM_ADDR_STRLEN]);
/* The contrary: a bare IPv4 or IPv6 address, port 0, no scope. Returns 0 or -EINVAL. */
int dmm_addr_parse(struct dmm_addr *addr, const char *text);

/* Parses "10.0.0.0/8", "::/0", or a bare address (a full-length prefix). Host bits must be zero. A
 * prefix of mapped addresses ("::ffff:10.0.0.0/104") becomes the IPv4 prefix. Returns 0 or -EINVAL.
 */
int dmm_prefix_parse(struct dmm_prefix *prefix, const char *text);
/* "10.0.0.0/8"; family 0 as "*". Returns buf. */
const char *dmm_prefix_format(const struct dmm_prefix *prefix, char buf[DMM_PREFIX_STRLEN]);
/* True if the family is AF_INET or AF_INET6 and the length fits it. */
bool dmm_prefix_valid(const struct dmm_prefix *prefix);
/* Mapped addresses are compared as IPv4. */
bool dmm_prefix_contains(const struct dmm_prefix *prefix, const struct dmm_addr *addr);
/* True if every address of `inner` lies in `outer`. */
bool dmm_prefix_covers(const struct dmm_prefix *outer, const struct dmm_prefix *inner);

#endif
