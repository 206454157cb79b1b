/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/hash.h"

struct sip {
    uint64_t v[4];
};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip *s)
{
    s->v[0] += s->v[1];
    s->v[2] += s->v[3];
    s->v[1] = rotl(s->v[1], 13) ^ s->v[0];
    s->v[3] = rotl(s->v[3], 16) ^ s->v[2];
    s->v[0] = rotl(s->v[0], 32);
    s->v[2] += s->v[1];
    s->v[0] += s->v[3];
    s->v[1] = rotl(s->v[1], 17) ^ s->v[2];
    s->v[3] = rotl(s->v[3], 21) ^ s->v[0];
    s->v[2] = rotl(s->v[2], 32);
}

uint64_t hash_words(const struct hash_key *key, const uint64_t *words, unsigned n)
{
    struct sip s = {{key->k[0] ^ 0x736f6d6570736575ULL, key->k[1] ^ 0x646f72616e646f6dULL,
                     key->k[0] ^ 0x6c7967656e657261ULL, key->k[1] ^ 0x7465646279746573ULL}};

    for (unsigned i = 0; i < n; i++) {
        s.v[3] ^= words[i];
        sip_round(&s);
        s.v[0] ^= words[i];
    }
    /* the last block carries the length in its top byte */
    const uint64_t last = (uint64_t)(n * 8) << 56;
    s.v[3] ^= last;
    sip_round(&s);
    s.v[0] ^= last;
    s.v[2] ^= 0xff;
    for (unsigned i = 0; i < 3; i++)
        sip_round(&s);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
