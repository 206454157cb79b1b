/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: a keyed hash (SipHash-1-3) for tables whose keys a stranger chooses, for ISN and ports.
 *
 * With a secret key nobody outside can aim many keys at one bucket. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_HASH_H
#define DMM_SIDECAR_TCPIP_HASH_H

#include "sidecar/tcpip/ipaddr.h"

#include <stdbool.h>
#include <stdint.h>

struct hash_key {
    uint64_t k[2];
};

/* SipHash-1-3 of n 64-bit words. */
uint64_t hash_words(const struct hash_key *key, const uint64_t *words, unsigned n);

/* Of a 4-tuple; ports in host byte order. */
static inline uint64_t hash_tuple(const struct hash_key *key, const struct ip_addr *local,
                                  uint16_t local_port, const struct ip_addr *remote,
                                  uint16_t remote_port)
{
    if (ip_addr_is_v4(local) && ip_addr_is_v4(remote)) {
        const uint64_t two[2] = {(uint64_t)local->w[3] << 32 | remote->w[3],
                                 (uint64_t)local_port << 16 | remote_port};
        return hash_words(key, two, 2);
    }

    const uint64_t words[5] = {local->q[0], local->q[1], remote->q[0], remote->q[1],
                               (uint64_t)local_port << 16 | remote_port};
    return hash_words(key, words, 5);
}

/* SO_REUSEPORT, one of several equals for each peer: whether the nth (2 and up) is taken in place
 * of the one that the n - 1 before it left, which each must be with a chance of 1/n. *draw begins
 * as a hash of the peer and is drawn anew for each: a remainder of the same number for all would
 * tie the chances together (what 6 divides 2 divides). */
static inline bool hash_takes_nth(uint32_t *draw, uint32_t n)
{
    *draw = *draw * 1664525u + 1013904223u;
    return ((uint64_t)*draw * n >> 32) == 0;
}

#endif
