/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/nd_message.h"

#include "sidecar/tcpip/net/wire.h"

#define NONCE_MASK 0xffffffffffffu
#define RA_LEN     16

static uint64_t read_nonce(const uint8_t *p, size_t len)
{
    uint64_t v = len == 6 ? 0 : 1ull << 63;
    for (size_t i = 0; i < len && i < 7; i++)
        v = v << 8 | p[i];
    return len == 6 ? v : v | 1ull << 63;
}

/* RFC 4191, 2.1: two bits. The reserved value reads as medium in a message's header. */
static const int8_t preferences[4] = {0, 1, 0, -1};
#define RESERVED_PREFERENCE 2

/* Bits behind the prefix are to be ignored. */
static void cut_to_bits(struct ip_addr *prefix, unsigned bits)
{
    for (unsigned i = bits; i < 128; i++)
        prefix->b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
}

/* RFC 4191, 2.3: as many bytes of the prefix as it needs. The reserved preference makes it void. */
static void read_route(const uint8_t *p, size_t len, struct net_nd_options *out)
{
    unsigned bits = p[2], preference = p[3] >> 3 & 3;
    if (len > 24 || bits > (len - 8) * 8 || preference == RESERVED_PREFERENCE ||
        out->n_routes == NET_ND_ROUTES)
        return;
    struct net_nd_route *x = &out->routes[out->n_routes++];
    *x = (struct net_nd_route){
        .bits = (uint8_t)bits, .preference = preferences[preference], .lifetime = net_get32(p + 4)};
    memcpy(x->prefix.b, p + 8, len - 8);
    cut_to_bits(&x->prefix, bits);
}

/* RFC 4861, 4.6.2. */
static void read_prefix(const uint8_t *p, size_t len, struct net_nd_options *out)
{
    if (len != 32 || p[2] > 128 || out->n_prefixes == NET_ND_PREFIXES)
        return;
    struct net_nd_prefix *x = &out->prefixes[out->n_prefixes++];
    *x = (struct net_nd_prefix){.prefix = ip_addr_v6(p + 16),
                                .bits = p[2],
                                .on_link = p[3] & 0x80,
                                .autonomous = p[3] & 0x40,
                                .valid = net_get32(p + 4),
                                .preferred = net_get32(p + 8)};
    cut_to_bits(&x->prefix, x->bits);
}

static void read_option(const uint8_t *p, size_t len, struct net_nd_options *out)
{
    switch (p[0]) {
    case NET_ND_OPT_SOURCE_LL:
        out->has_source = true;
        memcpy(out->source.b, p + 2, 6);
        break;
    case NET_ND_OPT_TARGET_LL:
        out->has_target = true;
        memcpy(out->target.b, p + 2, 6);
        break;
    case NET_ND_OPT_PREFIX:
        read_prefix(p, len, out);
        break;
    case NET_ND_OPT_MTU:
        out->mtu = net_get32(p + 4);
        break;
    case NET_ND_OPT_ROUTE:
        read_route(p, len, out);
        break;
    case NET_ND_OPT_NONCE:
        out->has_nonce = true;
        out->nonce = read_nonce(p + 2, len - 2);
        break;
    default:
        break;
    }
}

bool net_nd_options_read(const uint8_t *p, size_t len, struct net_nd_options *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned n = 0; len; n++) {
        if (len < 8 || n == NET_ND_OPTIONS)
            return false;
        size_t size = (size_t)p[1] * 8;
        if (!size || size > len)
            return false;
        read_option(p, size, out);
        p += size;
        len -= size;
    }
    /* A group address is nobody's link-layer address. */
    return !(out->has_source && net_mac_is_group(&out->source)) &&
           !(out->has_target && net_mac_is_group(&out->target));
}

size_t net_nd_put_ll(uint8_t *at, uint8_t type, const struct net_mac *mac)
{
    at[0] = type;
    at[1] = 1;
    memcpy(at + 2, mac->b, 6);
    return 8;
}

size_t net_nd_put_nonce(uint8_t *at, uint64_t nonce)
{
    at[0] = NET_ND_OPT_NONCE;
    at[1] = 1;
    net_put16(at + 2, (uint16_t)((nonce & NONCE_MASK) >> 32));
    net_put32(at + 4, (uint32_t)nonce);
    return 8;
}

bool net_nd_advert_read(const uint8_t *icmp, size_t len, struct net_nd_advert *ra)
{
    if (len < RA_LEN)
        return false;
    *ra = (struct net_nd_advert){.hop_limit = icmp[4],
                                 .preference = preferences[icmp[5] >> 3 & 3],
                                 .lifetime = net_get16(icmp + 6),
                                 .reachable = net_get32(icmp + 8),
                                 .retrans = net_get32(icmp + 12)};
    return net_nd_options_read(icmp + RA_LEN, len - RA_LEN, &ra->options);
}
