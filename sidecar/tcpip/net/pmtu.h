/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmtu: path MTUs that routers told us (RFC 1191, RFC 8201).
 *
 * Invariants
 *   - At most max_entries destinations, fixed at creation; a full table evicts the entry that
 *     expires first.
 *   - A value is never under NET_PMTU_MIN_4 or NET_PMTU_MIN_6: a forged message cannot push us into
 *     tiny segments. It only falls while it lives, and expires NET_PMTU_AGE after it was last told
 *     (RFC 1191, 6.3: ten minutes), after which the link's MTU holds again.
 *
 * The table owns its memory. One thread. Times in nanoseconds.
 */
#ifndef DMM_TCPIP_NET_PMTU_H
#define DMM_TCPIP_NET_PMTU_H

#include "sidecar/tcpip/hash.h"

#include <stdbool.h>
#include <stddef.h>

#define NET_PMTU_MIN_4 552
#define NET_PMTU_MIN_6 1280
#define NET_PMTU_AGE   600000000000u

struct net_pmtu_entry {
    struct ip_addr dst;
    uint64_t expires;
    uint32_t mtu;
    uint16_t hash_next;
    bool used;
};

struct net_pmtu {
    struct hash_key key;
    unsigned max_entries, n_entries, hash_mask;
    uint16_t free_head;
    uint64_t next; /* the earliest expiry, or earlier */
    struct net_pmtu_entry *entries;
    uint16_t *hash;
};

/* max_entries 1..32768. 0 or -ENOMEM, -EINVAL. */
int net_pmtu_init(struct net_pmtu *p, unsigned max_entries, const struct hash_key *key);
void net_pmtu_destroy(struct net_pmtu *p);

/* 0 if nothing is known. */
uint32_t net_pmtu_find(const struct net_pmtu *p, const struct ip_addr *dst, uint64_t now);

enum net_pmtu_result { NET_PMTU_UNCHANGED, NET_PMTU_CHANGED, NET_PMTU_EVICTED };

/* A router said `mtu`; raised to the minimum. EVICTED: changed, and another entry went for it. */
enum net_pmtu_result net_pmtu_set(struct net_pmtu *p, const struct ip_addr *dst, uint32_t mtu,
                                  uint64_t now);
/* Drops what has expired; true if anything did. */
bool net_pmtu_expire(struct net_pmtu *p, uint64_t now);

/* The MTU to try when a router said "fragmentation needed" with none: the next plateau below the
 * length of the packet that did not fit (RFC 1191, 7.1). */
uint32_t net_pmtu_plateau(uint32_t packet_len);

#endif
