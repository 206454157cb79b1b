/* SPDX-License-Identifier: Apache-2.0 */
/* The Internet checksum (RFC 1071), written plainly: what the tests hold the stack's own against.
 */
#ifndef DMM_TESTS_TCP_SUM_H
#define DMM_TESTS_TCP_SUM_H

#include <stdint.h>

/* Adds len bytes at p, as 16-bit words in network order, to sum. */
uint32_t sum16(const uint8_t *p, uint32_t len, uint32_t sum);

/* The checksum in host order: the carries folded in, complemented. */
uint16_t fold(uint32_t sum);

#endif
