/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/icmp_error.h"

#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/pmtu.h"
#include "sidecar/tcpip/net/wire.h"

#include <errno.h>

struct meaning {
    uint8_t error;
    bool hard;
};

/* Destination unreachable, by code: RFC 792, RFC 1122, 3.2.2.1, RFC 1812, 5.2.7.1. */
static const struct meaning unreachable4[] = {
    {ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},  {ECONNREFUSED, true},
    {EMSGSIZE, false},     {EOPNOTSUPP, false},   {ENETUNREACH, true},  {EHOSTDOWN, true},
    {ENONET, true},        {ENETUNREACH, true},   {EHOSTUNREACH, true}, {ENETUNREACH, false},
    {EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true}, {EHOSTUNREACH, true},
};
/* RFC 4443, 3.1. */
static const struct meaning unreachable6[] = {
    {ENETUNREACH, false}, {EACCES, true}, {EHOSTUNREACH, false}, {EHOSTUNREACH, false},
    {ECONNREFUSED, true}, {EACCES, true}, {EACCES, true},
};

bool net_icmp_is_error(bool v4, uint8_t type)
{
    if (!v4)
        return type < 128;
    /* Echo, timestamp, information and address mask queries and replies are not. */
    return !(type == NET_ICMP4_ECHO || type == NET_ICMP4_ECHO_REPLY || (type >= 13 && type <= 18));
}

/* Its error is 0 for what says nothing of a connection. */
static struct meaning meaning4(const uint8_t *icmp, struct ip_error *e)
{
    switch (icmp[0]) {
    case NET_ICMP4_UNREACHABLE:
        if (icmp[1] >= sizeof(unreachable4) / sizeof(unreachable4[0]))
            return (struct meaning){0};
        if (icmp[1] == 4) {
            e->too_big = true;
            e->mtu = net_get16(icmp + 6);
        }
        return unreachable4[icmp[1]];
    case NET_ICMP4_TIME_EXCEEDED:
        return (struct meaning){EHOSTUNREACH, false};
    case NET_ICMP4_PARAMETER:
        return (struct meaning){EPROTO, true};
    default:
        return (struct meaning){0};
    }
}

static struct meaning meaning6(const uint8_t *icmp, struct ip_error *e)
{
    switch (icmp[0]) {
    case NET_ICMP6_UNREACHABLE:
        if (icmp[1] >= sizeof(unreachable6) / sizeof(unreachable6[0]))
            return (struct meaning){0};
        return unreachable6[icmp[1]];
    case NET_ICMP6_TOO_BIG:
        e->too_big = true;
        e->mtu = net_get32(icmp + 4);
        return (struct meaning){EMSGSIZE, false};
    case NET_ICMP6_TIME_EXCEEDED:
        return (struct meaning){EHOSTUNREACH, false};
    case NET_ICMP6_PARAMETER:
        return (struct meaning){EPROTO, true};
    default:
        return (struct meaning){0};
    }
}

static bool quote4(const uint8_t *quote, size_t len, struct ip_error *e, size_t *at,
                   uint32_t *quoted_len)
{
    struct net_ip4_header h;
    if (!net_ip4_read_quoted(quote, len, &h) || h.fragment & NET_IP4_OFFSET)
        return false;
    e->local = h.src;
    e->remote = h.dst;
    e->proto = h.protocol;
    *at = h.hdr_len;
    *quoted_len = h.total_len;
    return true;
}

static bool quote6(const uint8_t *quote, size_t len, struct ip_error *e, size_t *at,
                   uint32_t *quoted_len)
{
    struct net_ip6_header h;
    if (!net_ip6_read_quoted(quote, len, &h))
        return false;
    struct net_ip6_walk walk;
    enum net_ip6_walk_end end =
        net_ip6_walk(quote, len < UINT16_MAX ? len : UINT16_MAX, h.next, NET_IP6_HDR, true, &walk);
    if (end != NET_IP6_UPPER && (end != NET_IP6_FRAGMENTED || walk.fragment.offset))
        return false;
    e->local = h.src;
    e->remote = h.dst;
    e->proto = walk.next;
    *at = walk.at;
    *quoted_len = h.payload_len + (uint32_t)NET_IP6_HDR;
    return true;
}

bool net_icmp_quote_read(bool v4, const uint8_t *quote, size_t len, struct ip_error *error,
                         uint32_t *quoted_len)
{
    size_t at;
    if (!(v4 ? quote4(quote, len, error, &at, quoted_len)
             : quote6(quote, len, error, &at, quoted_len)))
        return false;
    /* RFC 792: eight bytes of the transport header are always there. */
    if (len - at < 8)
        return false;
    error->local_port = net_get16(quote + at);
    error->remote_port = net_get16(quote + at + 2);
    error->seq = net_get32(quote + at + 4);
    return true;
}

bool net_icmp_error_read(bool v4, const uint8_t *icmp, size_t len, struct ip_error *error)
{
    *error = (struct ip_error){0};
    if (len < NET_ICMP_HDR)
        return false;
    struct meaning m = v4 ? meaning4(icmp, error) : meaning6(icmp, error);
    if (!m.error)
        return false;
    error->error = m.error;
    error->hard = m.hard;
    uint32_t quoted_len;
    if (!net_icmp_quote_read(v4, icmp + NET_ICMP_HDR, len - NET_ICMP_HDR, error, &quoted_len))
        return false;
    if (!error->too_big)
        return true;
    if (!error->mtu)
        error->mtu = net_pmtu_plateau(quoted_len);
    /* RFC 5927, 7.2: an MTU not below the packet's own size is no news. */
    return error->mtu < quoted_len;
}
