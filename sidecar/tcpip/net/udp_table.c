/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/udp.h"

#include <errno.h>
#include <stdlib.h>

int udps_table_create(struct udp_table *table)
{
    table->buckets = calloc(UDP_MIN_BUCKETS, sizeof(struct udp_socket *));
    table->mask = UDP_MIN_BUCKETS - 1;
    table->n = 0;
    return table->buckets ? 0 : -ENOMEM;
}

void udps_table_destroy(struct udp_table *table)
{
    free(table->buckets);
    table->buckets = NULL;
}

static uint64_t hash_port(const struct udp *udp, uint16_t port)
{
    const uint64_t word = port;
    return hash_words(&udp->key, &word, 1);
}

static uint64_t hash_of(const struct udp *udp, const struct udp_socket *u)
{
    if (!u->connected)
        return hash_port(udp, u->local_port);
    return hash_tuple(&udp->key, &u->local, u->local_port, &u->peer, u->peer_port);
}

static void insert(struct udp_table *table, struct udp_socket *u, uint64_t hash)
{
    struct udp_socket **head = &table->buckets[hash & table->mask];
    u->hash_next = *head;
    if (*head)
        (*head)->hash_pprev = &u->hash_next;
    u->hash_pprev = head;
    *head = u;
}

/* Twice as many buckets; without memory for them the chains get longer, no more. */
static void grow(const struct udp *udp, struct udp_table *table)
{
    unsigned n = (table->mask + 1) * 2;
    struct udp_table wide = {.buckets = calloc(n, sizeof(struct udp_socket *)), .mask = n - 1};
    if (!wide.buckets)
        return;
    for (unsigned i = 0; i <= table->mask; i++) {
        for (struct udp_socket *u = table->buckets[i], *next; u; u = next) {
            next = u->hash_next;
            insert(&wide, u, hash_of(udp, u));
        }
    }
    wide.n = table->n;
    free(table->buckets);
    *table = wide;
}

void udps_hash(struct udp *udp, struct udp_socket *u)
{
    struct udp_table *table = u->connected ? &udp->connected : &udp->bound;
    if (table->n > table->mask)
        grow(udp, table);
    insert(table, u, hash_of(udp, u));
    table->n++;
    udp->n_on_port[u->local_port]++;
}

void udps_unhash(struct udp *udp, struct udp_socket *u)
{
    if (!u->hash_pprev)
        return;
    *u->hash_pprev = u->hash_next;
    if (u->hash_next)
        u->hash_next->hash_pprev = u->hash_pprev;
    u->hash_pprev = NULL;
    (u->connected ? &udp->connected : &udp->bound)->n--;
    udp->n_on_port[u->local_port]--;
}

struct udp_socket *udps_first_on_port(const struct udp *udp, uint16_t port)
{
    return udp->bound.buckets[hash_port(udp, port) & udp->bound.mask];
}

struct udp_socket *udps_find_connected(const struct udp *udp, const struct ip_addr *local,
                                       uint16_t local_port, const struct ip_addr *peer,
                                       uint16_t peer_port)
{
    uint64_t hash = hash_tuple(&udp->key, local, local_port, peer, peer_port);
    struct udp_socket *u = udp->connected.buckets[hash & udp->connected.mask];
    while (u && !(u->local_port == local_port && u->peer_port == peer_port &&
                  ip_addr_equal(&u->peer, peer) && ip_addr_equal(&u->local, local)))
        u = u->hash_next;
    return u;
}

/* How well an unconnected socket fits, -1 not at all: a bound address counts more than a bound
 * device (as Linux scores them). */
static int score(const struct udp_socket *u, const struct ip_addr *local, uint16_t local_port,
                 uint8_t port)
{
    int points = 0;
    if (u->local_port != local_port)
        return -1;
    if (u->s.bound_port) {
        if (!net_arrived_by(u->s.ip, port, local, u->s.bound_port))
            return -1;
        points++;
    }
    if (!ip_addr_is_any(&u->local))
        return ip_addr_equal(&u->local, local) ? points + 4 : -1;
    bool v4 = ip_addr_is_v4(local);
    if (u->s.family == AF_INET)
        return v4 ? points + 2 : -1;
    if (v4 && (u->s.flags & SOCKET_V6ONLY))
        return -1;
    return points + (v4 ? 0 : 2);
}

struct udp_socket *udps_find(const struct udp *udp, const struct ip_addr *local,
                             uint16_t local_port, const struct ip_addr *peer, uint16_t peer_port,
                             uint8_t port)
{
    struct udp_socket *u = udps_find_connected(udp, local, local_port, peer, peer_port);
    if (u && (!u->s.bound_port || net_arrived_by(u->s.ip, port, local, u->s.bound_port)))
        return u;
    struct udp_socket *best = NULL;
    int best_points = -1;
    uint32_t equal = 0;
    uint32_t hash = 0;
    for (u = udps_first_on_port(udp, local_port); u; u = u->hash_next) {
        int points = score(u, local, local_port, port);
        if (points < 0 || points < best_points)
            continue;
        if (points > best_points) {
            best_points = points;
            best = u;
            equal = 1;
        } else if (u->s.flags & SOCKET_REUSEPORT) {
            /* SO_REUSEPORT: one of the equals, the same one for each peer. */
            if (equal == 1)
                hash = (uint32_t)hash_tuple(&udp->key, local, local_port, peer, peer_port);
            if (hash_takes_nth(&hash, ++equal))
                best = u;
        }
    }
    return best;
}

static bool conflict(const struct udp_socket *a, const struct ip_addr *a_addr,
                     const struct udp_socket *b)
{
    if (a->s.flags & b->s.flags & SOCKET_REUSEADDR)
        return false;
    return socket_bind_conflict(&a->s, a_addr, &b->s, &b->local);
}

/* Connected sockets hold their port as well, but are found by tuple only: the walk over them is
 * the price of binding, not of a packet. */
bool udps_port_taken(const struct udp *udp, const struct udp_socket *u, const struct ip_addr *addr,
                     uint16_t port)
{
    const struct udp_socket *o;
    if (!udp->n_on_port[port])
        return false;
    for (o = udps_first_on_port(udp, port); o; o = o->hash_next)
        if (o != u && o->local_port == port && conflict(u, addr, o))
            return true;
    for (unsigned i = 0; i <= udp->connected.mask; i++)
        for (o = udp->connected.buckets[i]; o; o = o->hash_next)
            if (o != u && o->local_port == port && conflict(u, addr, o))
                return true;
    return false;
}

/* An ephemeral port is nobody else's, whatever the options. */
static bool is_used(void *arg, uint16_t port)
{
    const struct udp *udp = arg;
    return udp->n_on_port[port] != 0;
}

int udps_autobind(struct udp *udp, struct udp_socket *u)
{
    uint16_t port = ports_pick(&udp->ports, &u->local, &u->peer, u->peer_port, is_used, udp);
    if (!port)
        return -EAGAIN;
    u->local_port = port;
    return 0;
}
