/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/iid.h"

#include <stdbool.h>
#include <string.h>

#define NAME_MAX_LEN 16

void net_iid_key(const char *secret, struct hash_key *key)
{
    uint64_t words[NET_IID_SECRET_MAX / 8] = {0};

    memcpy(words, secret, strnlen(secret, sizeof(words)));
    for (unsigned i = 0; i < 2; i++) {
        const struct hash_key fixed = {{7217, i}};

        key->k[i] = hash_words(&fixed, words, sizeof(words) / sizeof(words[0]));
    }
}

/* RFC 5453: the subnet's routers' anycast address, and the range of other anycast addresses. */
static bool reserved(const uint8_t id[8])
{
    static const uint8_t zero[8], anycast[7] = {0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    return memcmp(id, zero, 8) == 0 || (memcmp(id, anycast, 7) == 0 && id[7] >= 0x80);
}

void net_iid_stable(const struct hash_key *key, const struct ip_addr *prefix, const char *interface,
                    uint8_t counter, uint8_t id[8])
{
    uint64_t words[1 + NAME_MAX_LEN / 8 + 2] = {prefix->q[0]};
    uint64_t hash;

    memcpy(&words[1], interface, strnlen(interface, NAME_MAX_LEN));
    words[3] = counter;
    do {
        hash = hash_words(key, words, sizeof(words) / sizeof(words[0]));
        memcpy(id, &hash, sizeof(hash));
        words[4]++;
    } while (reserved(id));
}
