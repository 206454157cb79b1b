/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group: the multicast groups joined on one port, and when to report them: IGMPv3 and v2 (RFC 3376,
 * 2236), MLDv2 and v1 (RFC 3810, 2710). Any-source membership only.
 *
 * Invariants
 *   - At most NET_GROUPS; a group leaves the list when its last member left and its leave was
 *     reported.
 *   - 224.0.0.1, ff02::1 and interface-local groups are members and are never reported.
 *   - A query can only bring a report forward; reports per group are at most one per deadline, and
 *     deadlines are at least NET_GROUP_MIN_DELAY apart.
 *
 * Pure: what to send is returned, the owner sends it. One thread. Times in nanoseconds.
 */
#ifndef DMM_TCPIP_NET_GROUP_H
#define DMM_TCPIP_NET_GROUP_H

#include "sidecar/tcpip/net/ip.h"

#define NET_GROUPS          64
#define NET_GROUP_ROBUST    2 /* Robustness Variable: RFC 3376, 8.1; RFC 3810, 9.1 */
#define NET_GROUP_MIN_DELAY 50000000u
/* Unsolicited Report Interval, RFC 3376, 8.11; RFC 3810, 9.11. */
#define NET_GROUP_INTERVAL 1000000000u
/* Older Version Querier Present Timeout: 2 * 125 s + 10 s (RFC 3376, 8.12; RFC 3810, 9.12). */
#define NET_GROUP_OLD_QUERIER 260000000000u

enum net_group_report {
    NET_GROUP_IS_MEMBER, /* in answer to a query: MODE_IS_EXCLUDE {} */
    NET_GROUP_JOINED,    /* CHANGE_TO_EXCLUDE {} */
    NET_GROUP_LEFT,      /* CHANGE_TO_INCLUDE {} */
};

struct net_group {
    struct ip_addr addr;
    uint32_t members; /* sockets and the port itself; 0: leaving */
    uint8_t left;     /* unsolicited reports still to send */
    bool answer;      /* the deadline is an answer to a query */
    uint64_t deadline;
    uint64_t reported; /* when the last report went out */
};

struct net_groups {
    unsigned n;
    uint64_t old_querier_until[2]; /* [0] IPv4: IGMPv2; [1] IPv6: MLDv1 */
    struct net_group list[NET_GROUPS];
};

void net_groups_init(struct net_groups *groups);
/* One more member; 0 or -ENOBUFS. */
int net_group_join(struct net_groups *groups, const struct ip_addr *addr, uint64_t now);
/* One member less. False if nobody was a member. */
bool net_group_leave(struct net_groups *groups, const struct ip_addr *addr, uint64_t now);
bool net_group_is_member(const struct net_groups *groups, const struct ip_addr *addr);

/* A query was heard: `addr` is the group asked about, or "none" for all of its family; answers are
 * spread over max_delay. `old`: it was IGMPv2's (v1's) or MLDv1's. */
void net_group_query(struct net_groups *groups, bool v4, const struct ip_addr *addr, bool old,
                     uint64_t max_delay, uint32_t random, uint64_t now);
/* Another member's report was heard, in the old versions: ours is not needed (RFC 2236, 3). */
void net_group_heard(struct net_groups *groups, const struct ip_addr *addr);
bool net_group_old_querier(const struct net_groups *groups, bool v4, uint64_t now);

struct net_group_due {
    struct ip_addr addr;
    enum net_group_report report;
};
/* Takes one report that is due; false if there is none: call until false. */
bool net_group_take_due(struct net_groups *groups, uint32_t random, uint64_t now,
                        struct net_group_due *due);
uint64_t net_group_deadline(const struct net_groups *groups);
/* The link came up again: report all anew. */
void net_group_restart(struct net_groups *groups, uint64_t now);

#endif
