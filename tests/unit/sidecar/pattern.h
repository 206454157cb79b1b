/* SPDX-License-Identifier: Apache-2.0 */
/* pattern: the bytes of test transfers, which tell where they belong. */
#ifndef DMM_TESTS_UNIT_SIDECAR_PATTERN_H
#define DMM_TESTS_UNIT_SIDECAR_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

static inline uint8_t pattern_at(uint64_t at)
{
    return (uint8_t)((at * 2654435761u) >> 13);
}

static inline void pattern_fill(uint8_t *buf, uint64_t at, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        buf[i] = pattern_at(at + i);
}

static inline bool pattern_matches(const uint8_t *buf, uint64_t at, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (buf[i] != pattern_at(at + i))
            return false;
    return true;
}

/* How much of `left` to handle with a buffer of `size` and room for `room`. */
static inline uint32_t pattern_chunk(uint64_t left, uint32_t size, uint32_t room)
{
    uint32_t n = size < room ? size : room;
    return left < n ? (uint32_t)left : n;
}

#endif
