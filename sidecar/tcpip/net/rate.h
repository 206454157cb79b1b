/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate: a token bucket, for what a stranger can make us send (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f).
 *
 * Invariant: over any time t at most burst + rate * t tokens are given. Pure; times in ns.
 */
#ifndef DMM_TCPIP_NET_RATE_H
#define DMM_TCPIP_NET_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct net_rate {
    uint64_t interval; /* ns per token; 0: nothing is ever given */
    uint64_t depth;    /* ns worth of tokens that the bucket holds */
    uint64_t credit;   /* ns worth of tokens in it */
    uint64_t last;
};

/* `per_second` tokens, `burst` at once; per_second 0 gives none. The bucket begins full. */
void net_rate_init(struct net_rate *rate, uint32_t per_second, uint32_t burst, uint64_t now);
/* Takes a token if there is one. */
bool net_rate_take(struct net_rate *rate, uint64_t now);

#endif
