/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syncookie: the half-open connection kept in the peer's hands (RFC 4987, 3.6).
 *
 * The initial sequence number is 5 bits of a minute counter, 3 bits of MSS index and a 24-bit
 * keyed hash of the 4-tuple, the peer's ISN and both. Where the peer sent a timestamp, the low
 * 6 bits of ours carry window scale, SACK and ECN; without one, those are off. A cookie is good
 * for one to two periods of 64 s. Pure.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_SYNCOOKIE_H
#define DMM_SIDECAR_TCPIP_TCP_SYNCOOKIE_H

#include "sidecar/tcpip/hash.h"

#include <stdbool.h>
#include <stdint.h>

/* `tuple` is hash_tuple() of the connection under any secret key. */
uint32_t syncookie_make(const struct hash_key *key, uint64_t tuple, uint32_t peer_isn, uint16_t mss,
                        uint64_t now);
/* The MSS the cookie stands for, not more than the peer's; 0 if the cookie is not ours or old. */
uint16_t syncookie_check(const struct hash_key *key, uint64_t tuple, uint32_t peer_isn,
                         uint32_t cookie, uint64_t now);

struct syncookie_options {
    uint8_t wscale; /* TCP_NO_WSCALE: none */
    bool sack, ecn;
};

/* A timestamp at or before `tsval` whose low bits hold the options, and back. */
uint32_t syncookie_ts_make(uint32_t tsval, const struct syncookie_options *o);
void syncookie_ts_parse(uint32_t tsecr, struct syncookie_options *o);

#endif
