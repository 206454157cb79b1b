/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/group.h"

#include <errno.h>

void net_groups_init(struct net_groups *groups)
{
    groups->n = 0;
    groups->old_querier_until[0] = groups->old_querier_until[1] = 0;
}

static struct net_group *find(struct net_groups *groups, const struct ip_addr *addr)
{
    for (unsigned i = 0; i < groups->n; i++)
        if (ip_addr_equal(&groups->list[i].addr, addr))
            return &groups->list[i];
    return NULL;
}

static void remove_group(struct net_groups *groups, struct net_group *g)
{
    size_t i = (size_t)(g - groups->list);
    groups->n--;
    memmove(g, g + 1, (groups->n - i) * sizeof(*g));
}

static bool is_reported(const struct ip_addr *addr)
{
    if (ip_addr_equal(addr, &net_ip_all_systems) || ip_addr_equal(addr, &net_ip_all_nodes))
        return false;
    return ip_addr_is_v4(addr) || net_ip_scope(addr) > NET_SCOPE_INTERFACE;
}

int net_group_join(struct net_groups *groups, const struct ip_addr *addr, uint64_t now)
{
    struct net_group *g = find(groups, addr);
    if (!g) {
        if (groups->n == NET_GROUPS)
            return -ENOBUFS;
        g = &groups->list[groups->n++];
        *g = (struct net_group){.addr = *addr, .deadline = UINT64_MAX};
    }
    if (!g->members++ && is_reported(addr)) {
        g->left = NET_GROUP_ROBUST;
        g->deadline = now;
    }
    return 0;
}

bool net_group_leave(struct net_groups *groups, const struct ip_addr *addr, uint64_t now)
{
    struct net_group *g = find(groups, addr);
    if (!g || !g->members)
        return false;
    if (--g->members)
        return true;
    if (!is_reported(addr)) {
        remove_group(groups, g);
        return true;
    }
    g->left = NET_GROUP_ROBUST;
    g->answer = false;
    g->deadline = now;
    return true;
}

bool net_group_is_member(const struct net_groups *groups, const struct ip_addr *addr)
{
    for (unsigned i = 0; i < groups->n; i++)
        if (groups->list[i].members && ip_addr_equal(&groups->list[i].addr, addr))
            return true;
    return false;
}

void net_group_query(struct net_groups *groups, bool v4, const struct ip_addr *addr, bool old,
                     uint64_t max_delay, uint32_t random, uint64_t now)
{
    if (old)
        groups->old_querier_until[v4 ? 0 : 1] = now + NET_GROUP_OLD_QUERIER;
    for (unsigned i = 0; i < groups->n; i++) {
        struct net_group *g = &groups->list[i];
        if (!g->members || ip_addr_is_v4(&g->addr) != v4 || !is_reported(&g->addr))
            continue;
        if (!net_ip_is_none(addr) && !ip_addr_equal(addr, &g->addr))
            continue;
        /* Another delay for each group, from one random number. */
        uint32_t mixed = random * 2654435761u + i * 40503u;
        uint64_t part = mixed % 1024;
        uint64_t at = now + max_delay / 1024 * part;
        if (at < g->reported + NET_GROUP_MIN_DELAY)
            at = g->reported + NET_GROUP_MIN_DELAY;
        if (at < g->deadline) {
            g->deadline = at;
            g->answer = g->left == 0;
        }
    }
}

void net_group_heard(struct net_groups *groups, const struct ip_addr *addr)
{
    struct net_group *g = find(groups, addr);
    if (!g || !g->answer)
        return;
    g->answer = false;
    g->deadline = UINT64_MAX;
}

bool net_group_old_querier(const struct net_groups *groups, bool v4, uint64_t now)
{
    return now < groups->old_querier_until[v4 ? 0 : 1];
}

bool net_group_take_due(struct net_groups *groups, uint32_t random, uint64_t now,
                        struct net_group_due *due)
{
    for (unsigned i = 0; i < groups->n; i++) {
        struct net_group *g = &groups->list[i];
        if (g->deadline > now)
            continue;
        due->addr = g->addr;
        due->report = !g->members ? NET_GROUP_LEFT
                      : g->left   ? NET_GROUP_JOINED
                                  : NET_GROUP_IS_MEMBER;
        if (g->left)
            g->left--;
        g->answer = false;
        g->reported = now;
        g->deadline = UINT64_MAX;
        if (g->left)
            g->deadline =
                now + NET_GROUP_MIN_DELAY + NET_GROUP_INTERVAL / 1024 * (uint64_t)(random % 1024);
        else if (!g->members)
            remove_group(groups, g);
        return true;
    }
    return false;
}

uint64_t net_group_deadline(const struct net_groups *groups)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < groups->n; i++)
        if (groups->list[i].deadline < next)
            next = groups->list[i].deadline;
    return next;
}

void net_group_restart(struct net_groups *groups, uint64_t now)
{
    for (unsigned i = 0; i < groups->n; i++) {
        struct net_group *g = &groups->list[i];
        if (!g->members || !is_reported(&g->addr))
            continue;
        g->left = NET_GROUP_ROBUST;
        g->deadline = now;
    }
}
