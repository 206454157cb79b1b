/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/address.h"

struct net_address *net_address_find(struct net_addresses *list, const struct ip_addr *addr)
{
    for (unsigned i = 0; i < list->n; i++)
        if (ip_addr_equal(&list->list[i].addr, addr))
            return &list->list[i];
    return NULL;
}

struct net_address *net_address_add(struct net_addresses *list, const struct net_address *address)
{
    if (list->n == NET_ADDRESSES || net_address_find(list, &address->addr))
        return NULL;
    struct net_address *a = &list->list[list->n++];
    *a = *address;
    a->broadcast = net_ip_broadcast(&a->addr, a->bits);
    return a;
}

void net_address_remove(struct net_addresses *list, struct net_address *address)
{
    size_t i = (size_t)(address - list->list);
    list->n--;
    memmove(address, address + 1, (list->n - i) * sizeof(*address));
}

/* The labels of the default policy table, RFC 6724, 2.1, longest prefix first. */
static unsigned label_of(const struct ip_addr *a)
{
    static const struct {
        struct ip_addr prefix;
        uint8_t bits, label;
    } table[] = {
        {{.b = {[15] = 1}}, 128, 0},   {{.b = {[10] = 0xff, 0xff}}, 96, 4},
        {{.b = {0}}, 96, 3},           {{.b = {0x20, 0x01}}, 32, 5},
        {{.b = {0x20, 0x02}}, 16, 2},  {{.b = {0x3f, 0xfe}}, 16, 12},
        {{.b = {0xfe, 0xc0}}, 10, 11}, {{.b = {0xfc}}, 7, 13},
    };
    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (net_ip_in_prefix(a, &table[i].prefix, table[i].bits))
            return table[i].label;
    return 1;
}

/* Rule 2: the smaller scope wins if it reaches dst, else the larger. */
static int compare_scope(const struct ip_addr *a, const struct ip_addr *b,
                         const struct ip_addr *dst)
{
    enum net_scope sa = net_ip_scope(a), sb = net_ip_scope(b), sd = net_ip_scope(dst);
    if (sa == sb)
        return 0;
    if (sa < sb)
        return sa < sd ? -1 : 1;
    return sb < sd ? 1 : -1;
}

static unsigned match_bits(const struct net_address *a, const struct ip_addr *dst)
{
    unsigned n = net_ip_common_bits(&a->addr, dst);
    return n < a->bits ? n : a->bits;
}

static bool better(const struct net_address *a, const struct net_address *b,
                   const struct ip_addr *dst)
{
    bool same_a = ip_addr_equal(&a->addr, dst), same_b = ip_addr_equal(&b->addr, dst);
    if (same_a != same_b)
        return same_a;
    int scope = compare_scope(&a->addr, &b->addr, dst);
    if (scope)
        return scope > 0;
    bool old_a = a->state == NET_ADDRESS_DEPRECATED, old_b = b->state == NET_ADDRESS_DEPRECATED;
    if (old_a != old_b)
        return old_b;
    unsigned label = label_of(dst);
    bool label_a = label_of(&a->addr) == label, label_b = label_of(&b->addr) == label;
    if (label_a != label_b)
        return label_a;
    return match_bits(a, dst) > match_bits(b, dst);
}

const struct net_address *net_address_select(const struct net_addresses *list,
                                             const struct ip_addr *dst,
                                             const struct net_address *best)
{
    bool v4 = ip_addr_is_v4(dst);
    for (unsigned i = 0; i < list->n; i++) {
        const struct net_address *a = &list->list[i];
        if (!net_address_usable(a) || ip_addr_is_v4(&a->addr) != v4)
            continue;
        if (!best || better(a, best, dst))
            best = a;
    }
    return best;
}
