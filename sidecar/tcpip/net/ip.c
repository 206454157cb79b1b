/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/ip.h"

#include "sidecar/tcpip/net/wire.h"

const struct ip_addr net_ip_all_nodes = {.b = {0xff, 2, [15] = 1}};
const struct ip_addr net_ip_all_routers = {.b = {0xff, 2, [15] = 2}};
const struct ip_addr net_ip_mld2_routers = {.b = {0xff, 2, [15] = 0x16}};
const struct ip_addr net_ip_all_systems = {.b = {[10] = 0xff, 0xff, 224, 0, 0, 1}};
const struct ip_addr net_ip_all_routers_v4 = {.b = {[10] = 0xff, 0xff, 224, 0, 0, 2}};
const struct ip_addr net_ip_igmp3_routers = {.b = {[10] = 0xff, 0xff, 224, 0, 0, 22}};
const struct ip_addr net_ip_limited_broadcast = {.b = {[10] = 0xff, 0xff, 255, 255, 255, 255}};

bool net_ip_is_link_local(const struct ip_addr *ip)
{
    if (ip_addr_is_v4(ip))
        return ip->b[12] == 169 && ip->b[13] == 254;
    return ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

bool net_ip_is_limited_broadcast(const struct ip_addr *ip)
{
    return ip_addr_equal(ip, &net_ip_limited_broadcast);
}

bool net_ip_is_unicast(const struct ip_addr *ip)
{
    if (ip_addr_is_v4(ip))
        return ip->b[12] != 0 && ip->b[12] < 224;
    return ip->b[0] != 0xff && !net_ip_is_none(ip);
}

enum net_scope net_ip_scope(const struct ip_addr *ip)
{
    if (!ip_addr_is_v4(ip) && ip->b[0] == 0xff)
        return (enum net_scope)(ip->b[1] & 15);
    if (ip_addr_is_v4(ip) && ip->b[12] == 224 && ip->b[13] == 0 && ip->b[14] == 0)
        return NET_SCOPE_LINK;
    /* RFC 6724, 3.1 and 3.2: loopback is treated as having link-local scope. */
    if (net_ip_is_link_local(ip) || ip_addr_is_loopback(ip) || net_ip_is_limited_broadcast(ip))
        return NET_SCOPE_LINK;
    if (!ip_addr_is_v4(ip) && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0xc0)
        return NET_SCOPE_SITE;
    return NET_SCOPE_GLOBAL;
}

bool net_ip_in_prefix(const struct ip_addr *ip, const struct ip_addr *prefix, unsigned bits)
{
    return net_ip_common_bits(ip, prefix) >= bits;
}

unsigned net_ip_common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned diff = a->b[i] ^ b->b[i];
        if (diff)
            return i * 8 + (unsigned)__builtin_clz(diff) - 24;
    }
    return 128;
}

struct ip_addr net_ip_broadcast(const struct ip_addr *ip, unsigned bits)
{
    struct ip_addr none = {.b = {0}};
    if (!ip_addr_is_v4(ip) || bits < NET_IP4_BITS || bits > 126)
        return none;
    struct ip_addr out = *ip;
    uint32_t host = UINT32_MAX >> (bits - NET_IP4_BITS);
    net_put32(out.b + 12, net_get32(out.b + 12) | host);
    return out;
}

struct ip_addr net_ip_solicited_node(const struct ip_addr *ip)
{
    struct ip_addr out = {.b = {0xff, 2, [11] = 1, 0xff}};
    memcpy(out.b + 13, ip->b + 13, 3);
    return out;
}
