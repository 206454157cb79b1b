/* SPDX-License-Identifier: Apache-2.0 */
/*
 * neigh: the neighbour cache of all interfaces of an instance, for ARP and ND alike. The states and
 * their rules are RFC 4861, 7.3; ARP uses them too (RFC 1122, 2.3.2.1 asks for no less).
 *
 * Invariants
 *   - The number of entries, of packets that wait in all, and of packets that wait for one entry
 *     (NET_NEIGH_QUEUE) are fixed at creation; nothing is allocated later.
 *   - An entry is *proved* once its address was confirmed reachable. Entries that are not proved
 *     live in one of two classes by who caused them, each with a quota, and a new one of a full
 *     class evicts the oldest of its own class. So a stranger's flood (scans, spoofed sources)
 *     evicts neither a proved entry nor one that the instance itself asked for.
 *   - A proved entry is evicted only for another entry, and only if it is STALE and was not used
 *     for NET_NEIGH_IN_USE. If none is, creation fails with -ENOBUFS.
 *   - A packet waits only in an INCOMPLETE entry; it leaves through send(), unreachable(), or is
 *     dropped as the oldest of a full queue. Waiting packets are complete: no checksum or
 *     segmentation is left to do.
 *   - solicit() and send() must not call back into the table; unreachable() and lost() may.
 *
 * Ownership: the table owns its memory; packets are copied in. One thread. Times are nanoseconds.
 */
#ifndef DMM_TCPIP_NET_NEIGH_H
#define DMM_TCPIP_NET_NEIGH_H

#include "sidecar/tcpip/counters.h"
#include "sidecar/tcpip/net/ether.h"

#define NET_NEIGH_QUEUE  3
#define NET_NEIGH_IFS    8
#define NET_NEIGH_IN_USE 60000000000u

/* RFC 4861, 10. */
#define NET_MAX_MULTICAST_SOLICIT  3
#define NET_MAX_UNICAST_SOLICIT    3
#define NET_REACHABLE_TIME         30000000000u
#define NET_RETRANS_TIMER          1000000000u
#define NET_DELAY_FIRST_PROBE_TIME 5000000000u

enum net_neigh_state {
    NET_NEIGH_FREE,
    NET_NEIGH_INCOMPLETE,
    NET_NEIGH_REACHABLE,
    NET_NEIGH_STALE,
    NET_NEIGH_DELAY,
    NET_NEIGH_PROBE,
};

/* Who caused the entry: the instance's own sockets, or a packet that came from outside. */
enum net_neigh_cause { NET_NEIGH_OWN, NET_NEIGH_STRANGER };

struct net_neigh {
    struct ip_addr addr;
    struct net_mac mac; /* not valid while INCOMPLETE */
    uint8_t ifindex;
    uint8_t state;
    uint8_t probes; /* solicitations sent in INCOMPLETE or PROBE */
    bool is_router;
    bool proved;
    uint8_t cause;
    uint16_t hash_next;
    uint16_t list_prev, list_next; /* free list, or the class's list while not proved */
    uint16_t n_queued;
    uint16_t queue[NET_NEIGH_QUEUE]; /* packet slots, the oldest first */
    uint16_t generation;             /* changes when the entry is freed; never 0 */
    uint64_t deadline;               /* of INCOMPLETE, DELAY, PROBE; else UINT64_MAX */
    uint64_t reachable_until;        /* of REACHABLE */
    uint64_t used;                   /* last output through it */
};

struct net_neigh_ops {
    /* Send an ARP request or an NS for `target`: to `mac`, or to the group if it is NULL. */
    void (*solicit)(void *ctx, unsigned ifindex, const struct ip_addr *target,
                    const struct net_mac *mac);
    /* A waiting packet (from its IP header on) can go. */
    void (*send)(void *ctx, unsigned ifindex, const struct net_mac *mac, const uint8_t *packet,
                 size_t len);
    /* Resolution failed; called for each waiting packet. */
    void (*unreachable)(void *ctx, unsigned ifindex, const struct ip_addr *target,
                        const uint8_t *packet, size_t len);
    /* The entry is gone because probes of a known address failed (next-hop selection may want
     * another router; RFC 4861, 7.3.3). */
    void (*lost)(void *ctx, unsigned ifindex, const struct ip_addr *target);
    uint32_t (*random)(void *ctx);
    struct tcpip_counters *counters; /* neigh_* are raised here */
};

struct net_neigh_config {
    unsigned max_entries; /* 8..32768 */
    unsigned max_packets; /* that wait in all, 1..32768 */
    size_t packet_size;   /* largest packet that may wait */
};

struct net_neigh_table;

/* NULL if memory is short or the configuration is out of bounds. */
struct net_neigh_table *net_neigh_create(const struct net_neigh_config *config,
                                         const struct net_neigh_ops *ops, void *ctx);
void net_neigh_destroy(struct net_neigh_table *t);

/* From a router advertisement (RFC 4861, 6.3.4); 0 leaves a value as it is. */
void net_neigh_set_timers(struct net_neigh_table *t, unsigned ifindex, uint64_t base_reachable,
                          uint64_t retrans);

/* NULL if there is no entry. The pointer is good until the next call that takes a table. */
const struct net_neigh *net_neigh_find(const struct net_neigh_table *t, unsigned ifindex,
                                       const struct ip_addr *addr);

/* Output. 0: `mac` is filled; a STALE entry begins to be verified. -EAGAIN: being resolved, hand
 * the packet to net_neigh_wait. -ENOBUFS: no entry can be made. */
int net_neigh_resolve(struct net_neigh_table *t, unsigned ifindex, const struct ip_addr *addr,
                      enum net_neigh_cause cause, uint64_t now, struct net_mac *mac);
/* Keeps a copy of the packet until the address is known. 0, -ENOBUFS (no slot),
 * -EMSGSIZE, or -ENOENT if the entry is not INCOMPLETE. */
int net_neigh_wait(struct net_neigh_table *t, unsigned ifindex, const struct ip_addr *addr,
                   const uint8_t *packet, size_t len);

/* A short name for an entry, never 0, that dies with it. use: the address, and marks the entry as
 * used, like resolve; NULL if the entry is gone or not resolved. */
uint32_t net_neigh_ref(const struct net_neigh_table *t, const struct net_neigh *e);
const struct net_mac *net_neigh_use(struct net_neigh_table *t, uint32_t ref, uint64_t now);
/* An upper layer saw its own bytes acknowledged (RFC 4861, 7.3.1). */
void net_neigh_confirm(struct net_neigh_table *t, uint32_t ref, uint64_t now);
/* An upper layer doubts the path: probe now, unicast. */
void net_neigh_suspect(struct net_neigh_table *t, uint32_t ref, uint64_t now);

/* What an advertisement says (RFC 4861, 7.2.5); an ARP reply is one with override and, if it was
 * asked for, solicited. Makes no entry. `mac` may be NULL (no option). Returns true if the entry
 * was a router and is one no longer. */
struct net_neigh_advert {
    unsigned ifindex;
    struct ip_addr target;
    const struct net_mac *mac;
    bool solicited, override, router;
};
bool net_neigh_advert(struct net_neigh_table *t, const struct net_neigh_advert *a, uint64_t now);

/* A packet other than an advertisement carried its sender's link-layer address: NS, RS, RA,
 * Redirect (RFC 4861, 7.2.3, 6.2.6, 6.3.4, 8.3) or an ARP request (RFC 826). Makes an entry in
 * STALE if `create`; an entry with another address changes it and becomes STALE. */
void net_neigh_heard(struct net_neigh_table *t, unsigned ifindex, const struct ip_addr *addr,
                     const struct net_mac *mac, bool create, uint64_t now);
/* IsRouter, by RA and Redirect. */
void net_neigh_set_router(struct net_neigh_table *t, unsigned ifindex, const struct ip_addr *addr,
                          bool is_router);

/* Drops the entries of an interface whose link or MAC changed, with their packets. */
void net_neigh_flush(struct net_neigh_table *t, unsigned ifindex);

uint64_t net_neigh_deadline(const struct net_neigh_table *t);
void net_neigh_poll(struct net_neigh_table *t, uint64_t now);

unsigned net_neigh_count(const struct net_neigh_table *t);

#endif
