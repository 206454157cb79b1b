/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isn: initial sequence numbers after RFC 6528, section 3. lwIP's own are a counter that starts at
 * 6510, which a stranger can guess. Its own file, since lwIP's and our TCP/IP library's headers
 * name the same types. Pure.
 */
#ifndef DMM_SIDECAR_STACKS_LWIP_ISN_H
#define DMM_SIDECAR_STACKS_LWIP_ISN_H

#include <stdint.h>

/* ISN = M + F(4-tuple, key); M counts 4 us. `tuple` holds both addresses and the ports. */
uint32_t lw_isn(const uint8_t key[16], const uint64_t tuple[5], uint64_t now_ns);

#endif
