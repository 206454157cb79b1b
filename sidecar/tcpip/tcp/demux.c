/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_INITIAL 256 /* buckets */
#define TABLE_LOAD    3   /* endpoints a bucket, before it doubles: few buckets overflow then */

static uint16_t tag_of(uint32_t hash)
{
    return (uint16_t)(hash >> 16);
}

static struct demux_bucket *new_table(uint32_t buckets)
{
    struct demux_bucket *table = pool_memory(buckets * sizeof(*table));

    if (table != NULL)
        memset(table, 0, buckets * sizeof(*table));
    return table;
}

int demux_create(struct tcp *tcp)
{
    tcp->table = new_table(TABLE_INITIAL);
    if (tcp->table == NULL)
        return -ENOMEM;
    tcp->table_mask = TABLE_INITIAL - 1;
    return 0;
}

void demux_destroy(struct tcp *tcp)
{
    free(tcp->table);
}

static bool is(const struct tcp_endpoint *ep, uint32_t hash, const struct ip_addr *local,
               uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port)
{
    return ep->hash == hash && ep->local_port == local_port && ep->remote_port == remote_port &&
           ip_addr_equal(&ep->remote, remote) && ip_addr_equal(&ep->local, local);
}

struct tcp_endpoint *demux_find(struct tcpip *ip, const struct ip_addr *local, uint16_t local_port,
                                const struct ip_addr *remote, uint16_t remote_port)
{
    const struct tcp *tcp = ip->tcp;
    const uint32_t hash =
        (uint32_t)hash_tuple(&ip->hash_key, local, local_port, remote, remote_port);
    const struct demux_bucket *b = &tcp->table[hash & tcp->table_mask];
    struct tcp_endpoint *ep;

    for (unsigned i = 0; i < DEMUX_SLOTS; i++) {
        if (b->tag[i] == tag_of(hash) && b->slot[i] != NULL &&
            is(b->slot[i], hash, local, local_port, remote, remote_port))
            return b->slot[i];
    }
    ep = b->more;
    while (ep != NULL && !is(ep, hash, local, local_port, remote, remote_port))
        ep = ep->next;
    return ep;
}

struct tcp_endpoint *demux_candidate(const struct demux_bucket *bucket, uint32_t hash)
{
    for (unsigned i = 0; i < DEMUX_SLOTS; i++) {
        if (bucket->tag[i] == tag_of(hash) && bucket->slot[i] != NULL)
            return bucket->slot[i];
    }
    return bucket->more;
}

static void insert(struct demux_bucket *b, struct tcp_endpoint *ep)
{
    for (unsigned i = 0; i < DEMUX_SLOTS; i++) {
        if (b->slot[i] == NULL) {
            b->slot[i] = ep;
            b->tag[i] = tag_of(ep->hash);
            return;
        }
    }
    ep->next = b->more;
    b->more = ep;
}

/* Doubles the table. Without memory it stays as it is: chains grow, nothing breaks. */
static void grow(struct tcp *tcp)
{
    const uint32_t mask = tcp->table_mask * 2 + 1;
    struct demux_bucket *table = new_table(mask + 1);

    if (table == NULL)
        return;
    for (uint32_t i = 0; i <= tcp->table_mask; i++) {
        const struct demux_bucket *old = &tcp->table[i];

        for (unsigned s = 0; s < DEMUX_SLOTS; s++) {
            if (old->slot[s] != NULL)
                insert(&table[old->slot[s]->hash & mask], old->slot[s]);
        }
        for (struct tcp_endpoint *next, *ep = old->more; ep != NULL; ep = next) {
            next = ep->next;
            insert(&table[ep->hash & mask], ep);
        }
    }
    free(tcp->table);
    tcp->table = table;
    tcp->table_mask = mask;
}

void demux_add(struct tcpip *ip, struct tcp_endpoint *ep)
{
    struct tcp *tcp = ip->tcp;

    if (tcp->n_endpoints / TABLE_LOAD > tcp->table_mask)
        grow(tcp);
    ep->hash = (uint32_t)hash_tuple(&ip->hash_key, &ep->local, ep->local_port, &ep->remote,
                                    ep->remote_port);
    insert(&tcp->table[ep->hash & tcp->table_mask], ep);
    ep->in_table = true;
    tcp->n_endpoints++;
}

void demux_remove(struct tcp *tcp, struct tcp_endpoint *ep)
{
    if (!ep->in_table)
        return;

    struct demux_bucket *b = &tcp->table[ep->hash & tcp->table_mask];
    unsigned i = 0;

    while (i < DEMUX_SLOTS && b->slot[i] != ep)
        i++;
    if (i < DEMUX_SLOTS) {
        b->slot[i] = NULL;
    } else {
        struct tcp_endpoint **at = &b->more;

        while (*at != ep)
            at = &(*at)->next;
        *at = ep->next;
    }
    ep->in_table = false;
    tcp->n_endpoints--;
}

static struct tcb **bucket(struct tcp *tcp, uint16_t port)
{
    return &tcp->binds[port % BIND_BUCKETS];
}

/* How well a bound address fits a destination: 0 not at all. */
static unsigned address_fit(const struct tcb *t, const struct ip_addr *local)
{
    if (ip_addr_equal(&t->ep.local, local))
        return 3;
    if (!ip_addr_is_any(&t->ep.local))
        return 0;
    if (ip_addr_is_v4(&t->ep.local) == ip_addr_is_v4(local))
        return 2;
    return !ip_addr_is_v4(&t->ep.local) && !(t->s.flags & SOCKET_V6ONLY);
}

struct tcb *demux_listener(struct tcpip *ip, const struct ip_addr *local, uint16_t port,
                           const struct ip_addr *remote, uint16_t remote_port, uint8_t in_port)
{
    struct tcb *best = NULL;
    unsigned best_fit = 0;
    uint32_t same = 0;
    uint32_t spread = 0;

    for (struct tcb *t = *bucket(ip->tcp, port); t != NULL; t = t->bind_next) {
        if (t->ep.local_port != port || t->ep.state != TCPS_LISTEN)
            continue;
        if (t->s.bound_port != 0 && !net_arrived_by(ip, in_port, local, t->s.bound_port))
            continue;

        const unsigned fit = address_fit(t, local);

        if (fit == 0 || fit < best_fit)
            continue;
        if (fit > best_fit) {
            best = t;
            best_fit = fit;
            same = 1;
            continue;
        }
        /* equals by SO_REUSEPORT: all segments of one peer reach the same */
        if (same == 1)
            spread = (uint32_t)hash_tuple(&ip->hash_key, local, port, remote, remote_port);
        if (hash_takes_nth(&spread, ++same))
            best = t;
    }
    return best;
}

int demux_bind_check(struct tcp *tcp, const struct tcb *t, const struct ip_addr *addr,
                     uint16_t port, bool listening)
{
    for (struct tcb *other = *bucket(tcp, port); other != NULL; other = other->bind_next) {
        if (other == t || other->ep.local_port != port)
            continue;
        if (t == NULL)
            return -EADDRINUSE;
        /* SO_REUSEADDR on both lets them share, but for two that listen (socket(7)) */
        if ((t->s.flags & other->s.flags & SOCKET_REUSEADDR) &&
            !(listening && other->ep.state == TCPS_LISTEN) && other->ep.state != TCPS_LISTEN)
            continue;
        if (socket_bind_conflict(&t->s, addr, &other->s, &other->ep.local))
            return -EADDRINUSE;
    }
    return 0;
}

void demux_bind(struct tcp *tcp, struct tcb *t)
{
    struct tcb **head = bucket(tcp, t->ep.local_port);

    t->bind_next = *head;
    *head = t;
    t->flags |= TCB_BOUND;
}

void demux_unbind(struct tcp *tcp, struct tcb *t)
{
    if (!(t->flags & TCB_BOUND))
        return;

    struct tcb **at = bucket(tcp, t->ep.local_port);

    while (*at != t)
        at = &(*at)->bind_next;
    *at = t->bind_next;
    t->flags &= ~(uint32_t)TCB_BOUND;
}
