/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/stacks/lwip/isn.h"

#include "sidecar/tcpip/hash.h"

#include <string.h>

uint32_t lw_isn(const uint8_t key[16], const uint64_t tuple[5], uint64_t now_ns)
{
    struct hash_key hash_key;
    memcpy(&hash_key, key, sizeof(hash_key));
    return (uint32_t)hash_words(&hash_key, tuple, 5) + (uint32_t)(now_ns / 4000);
}
