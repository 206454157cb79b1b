/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/pmtu.h"

#include <errno.h>
#include <stdlib.h>

#define NONE 0xffff

int net_pmtu_init(struct net_pmtu *p, unsigned max_entries, const struct hash_key *key)
{
    *p = (struct net_pmtu){.max_entries = max_entries, .key = *key, .next = UINT64_MAX};
    if (!max_entries || max_entries > 32768)
        return -EINVAL;
    while (p->hash_mask < max_entries)
        p->hash_mask = p->hash_mask << 1 | 1;
    p->entries = calloc(max_entries, sizeof(*p->entries));
    p->hash = calloc(p->hash_mask + 1, sizeof(*p->hash));
    if (!p->entries || !p->hash) {
        net_pmtu_destroy(p);
        return -ENOMEM;
    }
    for (unsigned i = 0; i <= p->hash_mask; i++)
        p->hash[i] = NONE;
    for (unsigned i = 0; i < max_entries; i++)
        p->entries[i].hash_next = i + 1 < max_entries ? (uint16_t)(i + 1) : NONE;
    return 0;
}

void net_pmtu_destroy(struct net_pmtu *p)
{
    free(p->entries);
    free(p->hash);
    p->entries = NULL;
    p->hash = NULL;
}

static uint16_t *bucket(const struct net_pmtu *p, const struct ip_addr *dst)
{
    return &p->hash[hash_words(&p->key, dst->q, 2) & p->hash_mask];
}

static struct net_pmtu_entry *find(const struct net_pmtu *p, const struct ip_addr *dst)
{
    uint16_t i = *bucket(p, dst);
    while (i != NONE && !ip_addr_equal(&p->entries[i].dst, dst))
        i = p->entries[i].hash_next;
    return i == NONE ? NULL : &p->entries[i];
}

uint32_t net_pmtu_find(const struct net_pmtu *p, const struct ip_addr *dst, uint64_t now)
{
    if (!p->n_entries)
        return 0;
    const struct net_pmtu_entry *e = find(p, dst);
    return e && now < e->expires ? e->mtu : 0;
}

static void remove_entry(struct net_pmtu *p, struct net_pmtu_entry *e)
{
    uint16_t i = (uint16_t)(e - p->entries);
    uint16_t *link = bucket(p, &e->dst);
    while (*link != i)
        link = &p->entries[*link].hash_next;
    *link = e->hash_next;
    e->used = false;
    e->hash_next = p->free_head;
    p->free_head = i;
    p->n_entries--;
}

static void evict(struct net_pmtu *p)
{
    struct net_pmtu_entry *first = p->entries;
    for (unsigned i = 1; i < p->max_entries; i++)
        if (p->entries[i].expires < first->expires)
            first = &p->entries[i];
    remove_entry(p, first);
}

enum net_pmtu_result net_pmtu_set(struct net_pmtu *p, const struct ip_addr *dst, uint32_t mtu,
                                  uint64_t now)
{
    uint32_t min = ip_addr_is_v4(dst) ? NET_PMTU_MIN_4 : NET_PMTU_MIN_6;
    if (mtu < min)
        mtu = min;
    struct net_pmtu_entry *e = find(p, dst);
    if (e && now < e->expires && mtu >= e->mtu)
        return NET_PMTU_UNCHANGED;
    enum net_pmtu_result result = NET_PMTU_CHANGED;
    if (!e) {
        if (p->n_entries == p->max_entries) {
            evict(p);
            result = NET_PMTU_EVICTED;
        }
        uint16_t i = p->free_head;
        e = &p->entries[i];
        p->free_head = e->hash_next;
        uint16_t *head = bucket(p, dst);
        *e = (struct net_pmtu_entry){.dst = *dst, .used = true, .hash_next = *head};
        *head = i;
        p->n_entries++;
    }
    e->mtu = mtu;
    e->expires = now + NET_PMTU_AGE;
    if (e->expires < p->next)
        p->next = e->expires;
    return result;
}

bool net_pmtu_expire(struct net_pmtu *p, uint64_t now)
{
    if (now < p->next)
        return false;
    bool any = false;
    p->next = UINT64_MAX;
    for (unsigned i = 0; i < p->max_entries; i++) {
        struct net_pmtu_entry *e = &p->entries[i];
        if (!e->used)
            continue;
        if (e->expires <= now) {
            remove_entry(p, e);
            any = true;
        } else if (e->expires < p->next) {
            p->next = e->expires;
        }
    }
    return any;
}

uint32_t net_pmtu_plateau(uint32_t packet_len)
{
    static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006};
    for (unsigned i = 0; i < sizeof(plateaus) / sizeof(plateaus[0]); i++)
        if (plateaus[i] < packet_len)
            return plateaus[i];
    return NET_PMTU_MIN_4;
}
