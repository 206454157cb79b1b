/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address: the addresses of one port, and which one a packet leaves from.
 *
 * Invariants
 *   - At most NET_ADDRESSES; each address is in the list once.
 *   - TENTATIVE and DUPLICATE addresses are not ours yet, or no longer: nothing is sent from them
 *     and nothing is received for them (RFC 4862, 5.4; RFC 5227, 2.1.1). An OPTIMISTIC one is in
 *     use while duplicate detection still runs (RFC 4429).
 *   - valid_until >= preferred_until; UINT64_MAX is "for ever".
 *
 * Pure; the owner stores the list and keeps its timers. One thread. Times in nanoseconds.
 */
#ifndef DMM_TCPIP_NET_ADDRESS_H
#define DMM_TCPIP_NET_ADDRESS_H

#include "sidecar/tcpip/net/ip.h"

#define NET_ADDRESSES 24

enum net_address_state {
    NET_ADDRESS_TENTATIVE,
    NET_ADDRESS_OPTIMISTIC,
    NET_ADDRESS_PREFERRED,
    NET_ADDRESS_DEPRECATED,
    NET_ADDRESS_DUPLICATE,
};

enum net_address_origin {
    NET_ADDRESS_CONFIGURED,
    NET_ADDRESS_LINK_LOCAL, /* made from the MAC (RFC 4862, 5.3) */
    NET_ADDRESS_AUTO,       /* SLAAC (RFC 4862, 5.5) */
};

struct net_address {
    struct ip_addr addr;
    struct ip_addr broadcast; /* of its subnet; none where there is no such */
    uint8_t bits;             /* prefix length in this form of address */
    uint8_t state, origin;
    uint8_t dad_counter; /* how many identifiers before this one were duplicates (RFC 7217, 6) */
    uint8_t left;        /* DAD solicitations or ARP announcements still to send */
    uint64_t deadline;   /* when the next of them, or the end of DAD, is due; UINT64_MAX */
    uint64_t preferred_until, valid_until;
    uint64_t defended;  /* last ARP defence (RFC 5227, 2.4); 0 never */
    uint64_t dad_nonce; /* of our own DAD solicitations (RFC 7527) */
};

struct net_addresses {
    unsigned n;
    struct net_address list[NET_ADDRESSES];
};

/* NULL if the list is full or has it already. */
struct net_address *net_address_add(struct net_addresses *list, const struct net_address *address);
void net_address_remove(struct net_addresses *list, struct net_address *address);
/* In any state; NULL if it is not there. */
struct net_address *net_address_find(struct net_addresses *list, const struct ip_addr *addr);

static inline bool net_address_usable(const struct net_address *a)
{
    return a->state == NET_ADDRESS_OPTIMISTIC || a->state == NET_ADDRESS_PREFERRED ||
           a->state == NET_ADDRESS_DEPRECATED;
}

/* The best source for dst: RFC 6724, 5, rules 1, 2, 3, 6 and 8 (4 and 7 do not apply, 5 is the
 * caller's choice of list). `best` is what another list gave so far, or NULL. NULL if none fits. */
const struct net_address *net_address_select(const struct net_addresses *list,
                                             const struct ip_addr *dst,
                                             const struct net_address *best);

#endif
