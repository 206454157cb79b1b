/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/ip6_header.h"

#include "sidecar/tcpip/net/wire.h"

enum { OPT_PAD1 = 0, OPT_PADN = 1, OPT_ROUTER_ALERT = 5 };
/* ICMPv6 parameter problem codes: RFC 4443, 3.4. */
enum { CODE_FIELD = 0, CODE_OPTION = 2 };

bool net_ip6_read_quoted(const uint8_t *packet, size_t len, struct net_ip6_header *h)
{
    if (len < NET_IP6_HDR || packet[0] >> 4 != 6)
        return false;
    uint32_t word = net_get32(packet);
    h->traffic_class = (uint8_t)(word >> 20);
    h->flow_label = word & 0xfffff;
    h->payload_len = net_get16(packet + 4);
    h->next = packet[6];
    h->hop_limit = packet[7];
    h->src = ip_addr_v6(packet + 8);
    h->dst = ip_addr_v6(packet + 24);
    return true;
}

bool net_ip6_read(const uint8_t *packet, size_t len, struct net_ip6_header *h)
{
    return net_ip6_read_quoted(packet, len, h) && h->payload_len <= len - NET_IP6_HDR;
}

void net_ip6_write(uint8_t *at, const struct net_ip6_header *h)
{
    net_put32(at, 6u << 28 | (uint32_t)h->traffic_class << 20 | (h->flow_label & 0xfffff));
    net_put16(at + 4, h->payload_len);
    at[6] = h->next;
    at[7] = h->hop_limit;
    memcpy(at + 8, h->src.b, 16);
    memcpy(at + 24, h->dst.b, 16);
}

static enum net_ip6_walk_end problem(struct net_ip6_walk *w, uint8_t code, size_t at)
{
    w->code = code;
    w->at = (uint16_t)at;
    return NET_IP6_PROBLEM;
}

/* RFC 8200, 4.2: the two high bits of an unknown option's type say what to do. */
static enum net_ip6_walk_end unknown_option(struct net_ip6_walk *w, uint8_t type, size_t at)
{
    switch (type >> 6) {
    case 0:
        return NET_IP6_UPPER; /* skip it */
    case 1:
        return NET_IP6_SILENT;
    default:
        w->problem_to_multicast = type >> 6 == 2;
        return problem(w, CODE_OPTION, at);
    }
}

/* Options of the header at [at, end). UPPER: go on. */
static enum net_ip6_walk_end walk_options(const uint8_t *p, size_t at, size_t end,
                                          struct net_ip6_walk *w)
{
    unsigned options = 0;
    for (size_t i = at + 2; i < end;) {
        if (p[i] == OPT_PAD1) {
            i++;
            continue;
        }
        if (end - i < 2 || p[i + 1] > end - i - 2)
            return problem(w, CODE_FIELD, i);
        if (p[i] == OPT_ROUTER_ALERT) {
            w->router_alert = true;
        } else if (p[i] != OPT_PADN) {
            enum net_ip6_walk_end verdict = unknown_option(w, p[i], i);
            if (verdict != NET_IP6_UPPER)
                return verdict;
        }
        if (p[i] != OPT_PADN && ++options > NET_IP6_OPTIONS)
            return NET_IP6_TOO_MANY;
        i += 2u + p[i + 1];
    }
    return NET_IP6_UPPER;
}

static void read_fragment(const uint8_t *p, size_t at, struct net_ip6_fragment *f)
{
    uint16_t field = net_get16(p + at + 2);
    *f = (struct net_ip6_fragment){.id = net_get32(p + at + 4),
                                   .offset = field & 0xfff8,
                                   .more = field & 1,
                                   .next = p[at],
                                   .at = (uint16_t)at};
}

/* One extension header at w->at; moves behind it. UPPER: go on. */
static enum net_ip6_walk_end step(const uint8_t *p, size_t len, bool first, struct net_ip6_walk *w)
{
    size_t at = w->at;
    if (len - at < 8)
        return NET_IP6_TRUNCATED;
    if (w->next == NET_IP6_HOPOPTS && !first) /* RFC 8200, 4.1 */
        return problem(w, 1, w->next_field);
    size_t size = w->next == NET_IP6_FRAGMENT ? NET_IP6_FRAG_HDR : 8u + p[at + 1] * 8u;
    if (size > len - at)
        return NET_IP6_TRUNCATED;
    uint8_t type = w->next;
    uint16_t named_by = w->next_field;
    w->next = p[at];
    w->next_field = (uint16_t)at;
    w->at = (uint16_t)(at + size);
    if (type == NET_IP6_FRAGMENT) {
        read_fragment(p, at, &w->fragment);
        w->fragment.named_by = named_by;
        return w->fragment.offset || w->fragment.more ? NET_IP6_FRAGMENTED : NET_IP6_UPPER;
    }
    if (type == NET_IP6_ROUTING) /* RFC 8200, 4.4: no routing type is ours (RFC 5095) */
        return p[at + 3] ? problem(w, CODE_FIELD, at + 2) : NET_IP6_UPPER;
    return walk_options(p, at, at + size, w);
}

static bool is_extension(uint8_t next)
{
    return next == NET_IP6_HOPOPTS || next == NET_IP6_ROUTING || next == NET_IP6_FRAGMENT ||
           next == NET_IP6_DSTOPTS;
}

enum net_ip6_walk_end net_ip6_walk(const uint8_t *packet, size_t len, uint8_t next, uint16_t at,
                                   bool first, struct net_ip6_walk *walk)
{
    /* next_field of the first header: the IPv6 header's own field. */
    *walk = (struct net_ip6_walk){.next = next, .at = at, .next_field = 6};
    if (len > UINT16_MAX || at > len)
        return NET_IP6_TRUNCATED;
    for (unsigned n = 0; is_extension(walk->next); n++) {
        if (n == NET_IP6_EXT_HEADERS)
            return NET_IP6_TOO_MANY;
        enum net_ip6_walk_end verdict = step(packet, len, first && n == 0, walk);
        if (verdict != NET_IP6_UPPER)
            return verdict;
        if (walk->at - at > NET_IP6_EXT_BYTES)
            return NET_IP6_TOO_MANY;
    }
    return walk->next == NET_IP6_NONE ? NET_IP6_END : NET_IP6_UPPER;
}

bool net_ip6_upper(const uint8_t *packet, size_t len, uint8_t *protocol, size_t *at)
{
    size_t i = NET_IP6_HDR;
    if (len < NET_IP6_HDR)
        return false;
    uint8_t next = packet[6];
    for (unsigned n = 0; is_extension(next) && n < 2 * NET_IP6_EXT_HEADERS; n++) {
        if (len - i < 8)
            return false;
        bool fragment = next == NET_IP6_FRAGMENT;
        size_t size = fragment ? NET_IP6_FRAG_HDR : 8u + packet[i + 1] * 8u;
        if (size > len - i || (fragment && net_get16(packet + i + 2) & 0xfff8))
            return false;
        next = packet[i];
        i += size;
    }
    *protocol = next;
    *at = i;
    return !is_extension(next);
}
