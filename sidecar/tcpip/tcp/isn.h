/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isn: initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323, 5.4), both a clock plus
 * a secret hash of the 4-tuple: no guess from outside, and still growing from one connection of a
 * 4-tuple to its next, as RFC 6191 needs. Pure.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_ISN_H
#define DMM_SIDECAR_TCPIP_TCP_ISN_H

#include "sidecar/tcpip/hash.h"

#define TS_TICK_NS 1000000ULL /* timestamps count milliseconds */

/* `hash` is hash_tuple() of the connection under a key kept for this. */
static inline uint32_t isn_make(uint64_t hash, uint64_t now)
{
    return (uint32_t)hash + (uint32_t)(now >> 12); /* M: a tick each 4.1 us */
}

static inline uint32_t ts_offset(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static inline uint32_t ts_clock(uint64_t now)
{
    return (uint32_t)(now / TS_TICK_NS);
}

#endif
