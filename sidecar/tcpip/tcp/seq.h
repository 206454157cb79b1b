/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seq: sequence number arithmetic modulo 2^32 (RFC 9293, 3.4; RFC 7323, 5.2 for timestamps).
 * The answers hold for numbers less than 2^31 apart. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_SEQ_H
#define DMM_SIDECAR_TCPIP_TCP_SEQ_H

#include <stdbool.h>
#include <stdint.h>

static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_leq(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline bool seq_gt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static inline bool seq_geq(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_gt(a, b) ? a : b;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? a : b;
}

/* low <= x < low + len */
static inline bool seq_in(uint32_t x, uint32_t low, uint32_t len)
{
    return x - low < len;
}

#endif
