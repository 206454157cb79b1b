/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/syncookie.h"

#include "sidecar/tcpip/tcp/options.h"

#define PERIOD_NS (64ULL * 1000 * 1000 * 1000)
#define TS_BITS   6

static const uint16_t mss_table[8] = {88, 536, 1200, 1300, 1400, 1440, 1460, 8960};

static uint32_t mac(const struct hash_key *key, uint64_t tuple, uint32_t peer_isn, uint32_t count,
                    uint32_t index)
{
    const uint64_t words[3] = {tuple, (uint64_t)peer_isn << 32 | count, index};

    return (uint32_t)hash_words(key, words, 3) & 0xffffff;
}

uint32_t syncookie_make(const struct hash_key *key, uint64_t tuple, uint32_t peer_isn, uint16_t mss,
                        uint64_t now)
{
    const uint32_t count = (uint32_t)(now / PERIOD_NS);
    uint32_t index = 7;

    while (index > 0 && mss_table[index] > mss)
        index--;
    return count << 27 | index << 24 | mac(key, tuple, peer_isn, count, index);
}

uint16_t syncookie_check(const struct hash_key *key, uint64_t tuple, uint32_t peer_isn,
                         uint32_t cookie, uint64_t now)
{
    const uint32_t count = (uint32_t)(now / PERIOD_NS);
    const uint32_t index = cookie >> 24 & 7;
    const uint32_t age = (count - (cookie >> 27)) & 31;

    if (age > 1 || mac(key, tuple, peer_isn, count - age, index) != (cookie & 0xffffff))
        return 0;
    return mss_table[index];
}

uint32_t syncookie_ts_make(uint32_t tsval, const struct syncookie_options *o)
{
    const uint32_t bits = (o->wscale == TCP_NO_WSCALE ? 15U : o->wscale) | (uint32_t)o->sack << 4 |
                          (uint32_t)o->ecn << 5;
    const uint32_t ts = (tsval >> TS_BITS << TS_BITS) | bits;

    return ts - tsval < 1U << 31 && ts != tsval ? ts - (1U << TS_BITS) : ts;
}

void syncookie_ts_parse(uint32_t tsecr, struct syncookie_options *o)
{
    const uint32_t scale = tsecr & 15;

    o->wscale = scale == 15 ? TCP_NO_WSCALE : (uint8_t)scale;
    o->sack = (tsecr & 16) != 0;
    o->ecn = (tsecr & 32) != 0;
}
