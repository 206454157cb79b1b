/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/neigh.h"

#include "sidecar/tcpip/hash.h"

#include <errno.h>
#include <stdlib.h>

#define NONE 0xffff
/* How far eviction looks for an idle proved entry before it gives up for this packet. */
#define CLOCK_STEPS 64

struct list {
    uint16_t head, tail;
    unsigned n, quota;
};

struct net_neigh_table {
    struct net_neigh_config config;
    struct net_neigh_ops ops;
    void *ctx;
    struct hash_key key;
    unsigned n_entries;
    unsigned hash_mask;
    uint16_t free_head;
    uint16_t hand; /* of the clock over proved entries */
    struct list class[2];
    uint64_t base_reachable[NET_NEIGH_IFS], retrans[NET_NEIGH_IFS];
    uint64_t next; /* the earliest deadline, or earlier */
    struct net_neigh *entries;
    uint16_t *hash;
    uint16_t free_slot; /* of packets: a list through slot_next */
    uint16_t *slot_next;
    uint32_t *slot_len;
    uint8_t *slots;
};

static unsigned bucket_of(const struct net_neigh_table *t, unsigned ifindex,
                          const struct ip_addr *addr)
{
    const uint64_t words[3] = {addr->q[0], addr->q[1], ifindex};
    return (unsigned)hash_words(&t->key, words, 3) & t->hash_mask;
}

static uint16_t index_of(const struct net_neigh_table *t, const struct net_neigh *e)
{
    return (uint16_t)(e - t->entries);
}

void net_neigh_destroy(struct net_neigh_table *t)
{
    if (!t)
        return;
    free(t->entries);
    free(t->hash);
    free(t->slot_next);
    free(t->slot_len);
    free(t->slots);
    free(t);
}

static void link_free_lists(struct net_neigh_table *t)
{
    for (unsigned i = 0; i <= t->hash_mask; i++)
        t->hash[i] = NONE;
    unsigned n = t->config.max_entries;
    for (unsigned i = 0; i < n; i++) {
        t->entries[i].deadline = UINT64_MAX;
        t->entries[i].generation = 1;
        t->entries[i].list_next = i + 1 < n ? (uint16_t)(i + 1) : NONE;
    }
    n = t->config.max_packets;
    for (unsigned i = 0; i < n; i++)
        t->slot_next[i] = i + 1 < n ? (uint16_t)(i + 1) : NONE;
}

struct net_neigh_table *net_neigh_create(const struct net_neigh_config *config,
                                         const struct net_neigh_ops *ops, void *ctx)
{
    if (config->max_entries < 8 || config->max_entries > 32768 || !config->max_packets ||
        config->max_packets > 32768 || !config->packet_size)
        return NULL;
    struct net_neigh_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->config = *config;
    t->ops = *ops;
    t->ctx = ctx;
    t->hash_mask = 1;
    while (t->hash_mask < config->max_entries)
        t->hash_mask = t->hash_mask << 1 | 1;
    t->entries = calloc(config->max_entries, sizeof(*t->entries));
    t->hash = calloc(t->hash_mask + 1, sizeof(*t->hash));
    t->slot_next = calloc(config->max_packets, sizeof(*t->slot_next));
    t->slot_len = calloc(config->max_packets, sizeof(*t->slot_len));
    t->slots = calloc(config->max_packets, config->packet_size);
    if (!t->entries || !t->hash || !t->slot_next || !t->slot_len || !t->slots) {
        net_neigh_destroy(t);
        return NULL;
    }
    for (unsigned i = 0; i < 2; i++)
        t->key.k[i] = (uint64_t)ops->random(ctx) << 32 | ops->random(ctx);
    t->next = UINT64_MAX;
    for (unsigned i = 0; i < 2; i++) {
        t->class[i].head = t->class[i].tail = NONE;
        t->class[i].quota = config->max_entries / (i == NET_NEIGH_OWN ? 2 : 4);
    }
    for (unsigned i = 0; i < NET_NEIGH_IFS; i++) {
        t->base_reachable[i] = NET_REACHABLE_TIME;
        t->retrans[i] = NET_RETRANS_TIMER;
    }
    link_free_lists(t);
    return t;
}

void net_neigh_set_timers(struct net_neigh_table *t, unsigned ifindex, uint64_t base_reachable,
                          uint64_t retrans)
{
    if (ifindex >= NET_NEIGH_IFS)
        return;
    if (base_reachable)
        t->base_reachable[ifindex] = base_reachable;
    if (retrans)
        t->retrans[ifindex] = retrans;
}

/* ---- the lists of entries that are not proved, oldest first ---- */

static void class_add(struct net_neigh_table *t, struct net_neigh *e, enum net_neigh_cause cause)
{
    struct list *l = &t->class[cause];
    uint16_t i = index_of(t, e);
    e->cause = (uint8_t)cause;
    e->list_next = NONE;
    e->list_prev = l->tail;
    if (l->tail == NONE)
        l->head = i;
    else
        t->entries[l->tail].list_next = i;
    l->tail = i;
    l->n++;
}

static void class_remove(struct net_neigh_table *t, struct net_neigh *e)
{
    struct list *l = &t->class[e->cause];
    if (e->list_prev == NONE)
        l->head = e->list_next;
    else
        t->entries[e->list_prev].list_next = e->list_next;
    if (e->list_next == NONE)
        l->tail = e->list_prev;
    else
        t->entries[e->list_next].list_prev = e->list_prev;
    l->n--;
}

/* ---- packets that wait ---- */

static void slot_free(struct net_neigh_table *t, uint16_t slot)
{
    t->slot_next[slot] = t->free_slot;
    t->free_slot = slot;
}

static void drop_oldest(struct net_neigh_table *t, struct net_neigh *e)
{
    slot_free(t, e->queue[0]);
    e->n_queued--;
    memmove(e->queue, e->queue + 1, e->n_queued * sizeof(e->queue[0]));
}

static void send_queue(struct net_neigh_table *t, struct net_neigh *e)
{
    for (unsigned i = 0; i < e->n_queued; i++) {
        uint16_t slot = e->queue[i];
        t->ops.send(t->ctx, e->ifindex, &e->mac, t->slots + slot * t->config.packet_size,
                    t->slot_len[slot]);
        slot_free(t, slot);
    }
    e->n_queued = 0;
}

/* ---- entries ---- */

static void entry_free(struct net_neigh_table *t, struct net_neigh *e)
{
    uint16_t i = index_of(t, e);
    uint16_t *link = &t->hash[bucket_of(t, e->ifindex, &e->addr)];
    while (*link != i)
        link = &t->entries[*link].hash_next;
    *link = e->hash_next;
    while (e->n_queued)
        drop_oldest(t, e);
    if (!e->proved)
        class_remove(t, e);
    e->state = NET_NEIGH_FREE;
    e->deadline = UINT64_MAX;
    if (!++e->generation)
        e->generation = 1;
    e->list_next = t->free_head;
    t->free_head = i;
    t->n_entries--;
}

static struct net_neigh *find(const struct net_neigh_table *t, unsigned ifindex,
                              const struct ip_addr *addr)
{
    uint16_t i = t->hash[bucket_of(t, ifindex, addr)];
    for (; i != NONE; i = t->entries[i].hash_next) {
        struct net_neigh *e = &t->entries[i];
        if (e->ifindex == ifindex && ip_addr_equal(&e->addr, addr))
            return e;
    }
    return NULL;
}

const struct net_neigh *net_neigh_find(const struct net_neigh_table *t, unsigned ifindex,
                                       const struct ip_addr *addr)
{
    return find(t, ifindex, addr);
}

static void settle(struct net_neigh *e, uint64_t now)
{
    if (e->state == NET_NEIGH_REACHABLE && now >= e->reachable_until)
        e->state = NET_NEIGH_STALE;
}

/* A clock over the table: frees one proved entry that nobody used lately. */
static bool evict_idle(struct net_neigh_table *t, uint64_t now)
{
    for (unsigned step = 0; step < CLOCK_STEPS && step < t->config.max_entries; step++) {
        struct net_neigh *e = &t->entries[t->hand];
        t->hand = (uint16_t)((t->hand + 1u) % t->config.max_entries);
        if (e->state == NET_NEIGH_FREE || !e->proved)
            continue;
        settle(e, now);
        if (e->state == NET_NEIGH_STALE && now - e->used >= NET_NEIGH_IN_USE) {
            entry_free(t, e);
            return true;
        }
    }
    return false;
}

static bool make_room(struct net_neigh_table *t, enum net_neigh_cause cause, uint64_t now)
{
    struct list *l = &t->class[cause];
    if (l->n < l->quota && (t->free_head != NONE || evict_idle(t, now)))
        return true;
    if (!l->n)
        return false;
    t->ops.counters->neigh_limit++;
    entry_free(t, &t->entries[l->head]);
    return true;
}

static struct net_neigh *entry_new(struct net_neigh_table *t, unsigned ifindex,
                                   const struct ip_addr *addr, enum net_neigh_cause cause,
                                   uint64_t now)
{
    if (!make_room(t, cause, now)) {
        t->ops.counters->neigh_limit++;
        return NULL;
    }
    struct net_neigh *e = &t->entries[t->free_head];
    uint16_t i = t->free_head;
    t->free_head = e->list_next;
    uint16_t generation = e->generation;
    uint16_t *head = &t->hash[bucket_of(t, ifindex, addr)];
    *e = (struct net_neigh){.addr = *addr,
                            .ifindex = (uint8_t)ifindex,
                            .generation = generation,
                            .hash_next = *head,
                            .used = now,
                            .deadline = UINT64_MAX};
    *head = i;
    class_add(t, e, cause);
    t->n_entries++;
    return e;
}

static void set_deadline(struct net_neigh_table *t, struct net_neigh *e, uint64_t at)
{
    e->deadline = at;
    if (at < t->next)
        t->next = at;
}

static void prove(struct net_neigh_table *t, struct net_neigh *e)
{
    if (e->proved)
        return;
    class_remove(t, e);
    e->proved = true;
}

/* RFC 4861, 6.3.2: ReachableTime is uniform between 0.5 and 1.5 times the base. */
static void set_reachable(struct net_neigh_table *t, struct net_neigh *e, uint64_t now)
{
    uint64_t base = t->base_reachable[e->ifindex];
    uint64_t part = t->ops.random(t->ctx) % 1024;
    e->state = NET_NEIGH_REACHABLE;
    e->deadline = UINT64_MAX;
    e->reachable_until = now + base / 2 + base / 1024 * part;
    prove(t, e);
}

static void set_stale(struct net_neigh *e)
{
    e->state = NET_NEIGH_STALE;
    e->deadline = UINT64_MAX;
}

static void solicit(struct net_neigh_table *t, struct net_neigh *e, uint64_t now)
{
    e->probes++;
    set_deadline(t, e, now + t->retrans[e->ifindex]);
    t->ops.solicit(t->ctx, e->ifindex, &e->addr, e->state == NET_NEIGH_PROBE ? &e->mac : NULL);
}

uint32_t net_neigh_ref(const struct net_neigh_table *t, const struct net_neigh *e)
{
    return (uint32_t)e->generation << 16 | index_of(t, e);
}

/* As resolve, for an entry that is known to exist. */
static void use(struct net_neigh_table *t, struct net_neigh *e, uint64_t now)
{
    settle(e, now);
    if (e->state == NET_NEIGH_STALE) {
        e->state = NET_NEIGH_DELAY;
        e->probes = 0;
        set_deadline(t, e, now + NET_DELAY_FIRST_PROBE_TIME);
    }
    e->used = now;
}

static struct net_neigh *at_ref(const struct net_neigh_table *t, uint32_t ref)
{
    unsigned i = ref & 0xffff;
    if (i >= t->config.max_entries || t->entries[i].generation != ref >> 16 ||
        t->entries[i].state == NET_NEIGH_FREE)
        return NULL;
    return &t->entries[i];
}

const struct net_mac *net_neigh_use(struct net_neigh_table *t, uint32_t ref, uint64_t now)
{
    struct net_neigh *e = at_ref(t, ref);
    if (!e || e->state == NET_NEIGH_INCOMPLETE)
        return NULL;
    use(t, e, now);
    return &e->mac;
}

int net_neigh_resolve(struct net_neigh_table *t, unsigned ifindex, const struct ip_addr *addr,
                      enum net_neigh_cause cause, uint64_t now, struct net_mac *mac)
{
    if (ifindex >= NET_NEIGH_IFS)
        return -ENOBUFS;
    struct net_neigh *e = find(t, ifindex, addr);
    if (!e) {
        e = entry_new(t, ifindex, addr, cause, now);
        if (!e)
            return -ENOBUFS;
        e->state = NET_NEIGH_INCOMPLETE;
        solicit(t, e, now);
        return -EAGAIN;
    }
    if (cause == NET_NEIGH_OWN && !e->proved && e->cause == NET_NEIGH_STRANGER &&
        t->class[NET_NEIGH_OWN].n < t->class[NET_NEIGH_OWN].quota) {
        class_remove(t, e);
        class_add(t, e, NET_NEIGH_OWN);
    }
    if (e->state == NET_NEIGH_INCOMPLETE)
        return -EAGAIN;
    use(t, e, now);
    *mac = e->mac;
    return 0;
}

int net_neigh_wait(struct net_neigh_table *t, unsigned ifindex, const struct ip_addr *addr,
                   const uint8_t *packet, size_t len)
{
    struct net_neigh *e = find(t, ifindex, addr);
    if (!e || e->state != NET_NEIGH_INCOMPLETE)
        return -ENOENT;
    if (len > t->config.packet_size)
        return -EMSGSIZE;
    /* RFC 4861, 7.2.2: the newest is kept. */
    if (e->n_queued == NET_NEIGH_QUEUE) {
        drop_oldest(t, e);
        t->ops.counters->neigh_queue_limit++;
    }
    if (t->free_slot == NONE) {
        t->ops.counters->neigh_queue_limit++;
        return -ENOBUFS;
    }
    uint16_t slot = t->free_slot;
    t->free_slot = t->slot_next[slot];
    t->slot_len[slot] = (uint32_t)len;
    memcpy(t->slots + slot * t->config.packet_size, packet, len);
    e->queue[e->n_queued++] = slot;
    return 0;
}

void net_neigh_confirm(struct net_neigh_table *t, uint32_t ref, uint64_t now)
{
    struct net_neigh *e = at_ref(t, ref);
    if (e && e->state != NET_NEIGH_INCOMPLETE)
        set_reachable(t, e, now);
}

void net_neigh_suspect(struct net_neigh_table *t, uint32_t ref, uint64_t now)
{
    struct net_neigh *e = at_ref(t, ref);
    if (!e || e->state == NET_NEIGH_INCOMPLETE || e->state == NET_NEIGH_PROBE)
        return;
    e->state = NET_NEIGH_PROBE;
    e->probes = 0;
    solicit(t, e, now);
}

/* RFC 4861, 7.2.5, the part for an entry that has no address yet. */
static void advert_incomplete(struct net_neigh_table *t, struct net_neigh *e,
                              const struct net_neigh_advert *a, uint64_t now)
{
    if (!a->mac)
        return;
    e->mac = *a->mac;
    if (a->solicited)
        set_reachable(t, e, now);
    else
        set_stale(e);
    send_queue(t, e);
    e->used = now;
}

static void advert_known(struct net_neigh_table *t, struct net_neigh *e,
                         const struct net_neigh_advert *a, uint64_t now)
{
    bool differs = a->mac && !net_mac_equal(&e->mac, a->mac);
    settle(e, now);
    if (differs && !a->override) {
        if (e->state == NET_NEIGH_REACHABLE)
            set_stale(e);
        return;
    }
    if (differs)
        e->mac = *a->mac;
    if (a->solicited)
        set_reachable(t, e, now);
    else if (differs)
        set_stale(e);
}

bool net_neigh_advert(struct net_neigh_table *t, const struct net_neigh_advert *a, uint64_t now)
{
    struct net_neigh *e = find(t, a->ifindex, &a->target);
    if (!e)
        return false;
    bool was_router = e->is_router;
    if (e->state == NET_NEIGH_INCOMPLETE) {
        if (a->mac)
            e->is_router = a->router;
        advert_incomplete(t, e, a, now);
        return was_router && !e->is_router;
    }
    /* The refused override (7.2.5, I) changes nothing else; all else takes the router flag. */
    bool differs = a->mac && !net_mac_equal(&e->mac, a->mac);
    if (!differs || a->override)
        e->is_router = a->router;
    advert_known(t, e, a, now);
    return was_router && !e->is_router;
}

void net_neigh_heard(struct net_neigh_table *t, unsigned ifindex, const struct ip_addr *addr,
                     const struct net_mac *mac, bool create, uint64_t now)
{
    if (ifindex >= NET_NEIGH_IFS)
        return;
    struct net_neigh *e = find(t, ifindex, addr);
    if (!e) {
        if (!create)
            return;
        e = entry_new(t, ifindex, addr, NET_NEIGH_STRANGER, now);
        if (!e)
            return;
        e->mac = *mac;
        set_stale(e);
        return;
    }
    if (e->state == NET_NEIGH_INCOMPLETE) {
        e->mac = *mac;
        set_stale(e);
        send_queue(t, e);
    } else if (!net_mac_equal(&e->mac, mac)) {
        e->mac = *mac;
        set_stale(e);
    }
}

void net_neigh_set_router(struct net_neigh_table *t, unsigned ifindex, const struct ip_addr *addr,
                          bool is_router)
{
    struct net_neigh *e = find(t, ifindex, addr);
    if (e)
        e->is_router = is_router;
}

void net_neigh_flush(struct net_neigh_table *t, unsigned ifindex)
{
    for (unsigned i = 0; i < t->config.max_entries; i++) {
        struct net_neigh *e = &t->entries[i];
        if (e->state != NET_NEIGH_FREE && e->ifindex == ifindex)
            entry_free(t, e);
    }
}

/* The entry is gone before the callbacks run, so they may use the table. */
static void fail(struct net_neigh_table *t, struct net_neigh *e)
{
    bool known = e->state == NET_NEIGH_PROBE;
    struct {
        struct ip_addr addr;
        unsigned ifindex, n;
        uint16_t queue[NET_NEIGH_QUEUE];
    } old = {.addr = e->addr, .ifindex = e->ifindex, .n = e->n_queued};
    memcpy(old.queue, e->queue, sizeof(old.queue));
    e->n_queued = 0;
    entry_free(t, e);
    for (unsigned i = 0; i < old.n; i++) {
        uint16_t slot = old.queue[i];
        t->ops.counters->neigh_failed_drop++;
        t->ops.unreachable(t->ctx, old.ifindex, &old.addr, t->slots + slot * t->config.packet_size,
                           t->slot_len[slot]);
        slot_free(t, slot);
    }
    if (known)
        t->ops.lost(t->ctx, old.ifindex, &old.addr);
}

static void expire(struct net_neigh_table *t, struct net_neigh *e, uint64_t now)
{
    if (e->state == NET_NEIGH_DELAY) {
        e->state = NET_NEIGH_PROBE;
        e->probes = 0;
    }
    static const uint8_t max[] = {[NET_NEIGH_INCOMPLETE] = NET_MAX_MULTICAST_SOLICIT,
                                  [NET_NEIGH_PROBE] = NET_MAX_UNICAST_SOLICIT};
    if (e->probes >= max[e->state])
        fail(t, e);
    else
        solicit(t, e, now);
}

uint64_t net_neigh_deadline(const struct net_neigh_table *t)
{
    return t->next;
}

void net_neigh_poll(struct net_neigh_table *t, uint64_t now)
{
    if (now < t->next)
        return;
    t->next = UINT64_MAX;
    for (unsigned i = 0; i < t->config.max_entries; i++) {
        struct net_neigh *e = &t->entries[i];
        if (e->deadline <= now)
            expire(t, e, now);
        if (e->deadline < t->next)
            t->next = e->deadline;
    }
}

unsigned net_neigh_count(const struct net_neigh_table *t)
{
    return t->n_entries;
}
