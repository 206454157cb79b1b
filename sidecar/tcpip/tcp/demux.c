/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>
#include <stdlib.h>

#define TABLE_INITIAL 1024

int demux_create(struct tcp *tcp)
{
    tcp->table = calloc(TABLE_INITIAL, sizeof(struct tcp_endpoint *));
    if (tcp->table == NULL)
        return -ENOMEM;
    tcp->table_mask = TABLE_INITIAL - 1;
    return 0;
}

void demux_destroy(struct tcp *tcp)
{
    free(tcp->table);
}

struct tcp_endpoint *demux_find(struct tcpip *ip, const struct ip_addr *local, uint16_t local_port,
                                const struct ip_addr *remote, uint16_t remote_port)
{
    const struct tcp *tcp = ip->tcp;
    const uint32_t hash =
        (uint32_t)hash_tuple(&ip->hash_key, local, local_port, remote, remote_port);
    struct tcp_endpoint *ep = tcp->table[hash & tcp->table_mask];

    while (ep != NULL &&
           !(ep->hash == hash && ep->local_port == local_port && ep->remote_port == remote_port &&
             ip_addr_equal(&ep->remote, remote) && ip_addr_equal(&ep->local, local)))
        ep = ep->next;
    return ep;
}

/* Doubles the table. Without memory it stays as it is: chains grow, nothing breaks. */
static void grow(struct tcp *tcp)
{
    const uint32_t mask = tcp->table_mask * 2 + 1;
    struct tcp_endpoint **table = calloc((size_t)mask + 1, sizeof(*table));

    if (table == NULL)
        return;
    for (uint32_t i = 0; i <= tcp->table_mask; i++) {
        struct tcp_endpoint *ep = tcp->table[i];

        while (ep != NULL) {
            struct tcp_endpoint *next = ep->next;

            ep->next = table[ep->hash & mask];
            table[ep->hash & mask] = ep;
            ep = next;
        }
    }
    free(tcp->table);
    tcp->table = table;
    tcp->table_mask = mask;
}

void demux_add(struct tcpip *ip, struct tcp_endpoint *ep)
{
    struct tcp *tcp = ip->tcp;

    if (tcp->n_endpoints > tcp->table_mask)
        grow(tcp);
    ep->hash = (uint32_t)hash_tuple(&ip->hash_key, &ep->local, ep->local_port, &ep->remote,
                                    ep->remote_port);
    ep->next = tcp->table[ep->hash & tcp->table_mask];
    tcp->table[ep->hash & tcp->table_mask] = ep;
    ep->in_table = true;
    tcp->n_endpoints++;
}

void demux_remove(struct tcp *tcp, struct tcp_endpoint *ep)
{
    if (!ep->in_table)
        return;

    struct tcp_endpoint **at = &tcp->table[ep->hash & tcp->table_mask];

    while (*at != ep)
        at = &(*at)->next;
    *at = ep->next;
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
    uint64_t spread = 0;

    for (struct tcb *t = *bucket(ip->tcp, port); t != NULL; t = t->bind_next) {
        if (t->ep.local_port != port || t->ep.state != TCPS_LISTEN)
            continue;
        if (t->s.bound_port != 0 && t->s.bound_port != in_port + 1)
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
        /* equals by SO_REUSEPORT: the n-th replaces with probability 1/n, decided by the source,
         * so that all segments of one peer reach the same */
        if (spread == 0)
            spread = hash_tuple(&ip->hash_key, local, port, remote, remote_port) | 1;
        same++;
        if ((spread >> 8) % same == 0)
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
