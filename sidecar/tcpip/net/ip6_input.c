/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6 input: RFC 8200; extension headers, fragments (also RFC 5722, 6946, 7112). */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/wire.h"

/* Our own address as a source on the wire is a forgery, or our own frame come back: only DAD wants
 * to see those, and its source is the unspecified address. */
static bool source_ok(const struct net *net, const struct net_rx *rx)
{
    const struct ip_addr *src = &rx->p.src;
    if (ip_addr_is_multicast(src) || ip_addr_is_v4(src))
        return false;
    if (rx->p.port == IP_PORT_LOOP)
        return true;
    if (ip_addr_is_loopback(src))
        return false;
    int only = ip_addr_is_link_local6(src) ? rx->p.port : -1;
    return !net_address_port(net, src, only);
}

static bool group_member(const struct net *net, const struct net_rx *rx)
{
    if (rx->p.port != IP_PORT_LOOP)
        return net_ip_scope(&rx->p.dst) >= NET_SCOPE_LINK &&
               net_group_is_member(&net->ports[rx->p.port].groups, &rx->p.dst);
    for (unsigned i = 0; i < net->n_ports; i++)
        if (net_group_is_member(&net->ports[i].groups, &rx->p.dst))
            return true;
    return false;
}

static bool destination_ok(const struct net *net, struct net_rx *rx)
{
    const struct ip_addr *dst = &rx->p.dst;
    bool l2_group = rx->p.flags & (IP_PACKET_BROADCAST | IP_PACKET_MULTICAST);
    rx->p.flags &= (uint8_t)~IP_PACKET_BROADCAST;
    if (ip_addr_is_v4(dst))
        return false;
    if (ip_addr_is_multicast(dst)) {
        rx->p.flags |= IP_PACKET_MULTICAST;
        return group_member(net, rx);
    }
    if (ip_addr_is_loopback(dst))
        return rx->p.port == IP_PORT_LOOP;
    int only = ip_addr_is_link_local6(dst) && rx->p.port != IP_PORT_LOOP ? rx->p.port : -1;
    return !l2_group && net_address_port(net, dst, only);
}

/* Where the walk over the headers goes on. */
struct place {
    uint8_t next; /* type of the header */
    bool first;   /* directly behind the IPv6 header */
    uint16_t at;
};

/* Puts the datagram in the fragment's place. */
static bool reassembled(struct net *net, struct net_rx *rx, const struct net_datagram *d,
                        struct place *place)
{
    uint8_t *body = net->reass_buf + NET_REASS_HDR_MAX, *l3 = body - d->header_len;
    size_t len = d->header_len - NET_IP6_HDR + d->payload_len;
    if (len > UINT16_MAX - NET_IP6_HDR) {
        net->ip->count.frag_bad++;
        return false;
    }
    memcpy(l3, d->header, d->header_len);
    net_put16(l3 + 4, (uint16_t)len);
    l3[d->named_by] = d->protocol;
    rx->p.l3 = l3;
    rx->p.l3_len = (uint32_t)(NET_IP6_HDR + len);
    rx->p.tos = (uint8_t)((rx->p.tos & ~IP_ECN_MASK) | d->ecn);
    rx->p.flags &= (uint8_t)~IP_PACKET_CSUM_OK;
    rx->p.gso_size = 0;
    rx->next_field = d->named_by;
    rx->reassembled = true;
    *place = (struct place){.next = d->protocol, .at = (uint16_t)d->header_len};
    return true;
}

/* RFC 7112, 5: all headers up to the transport's lie in the first fragment. */
static bool has_all_headers(const struct net_rx *rx, const struct net_ip6_walk *w)
{
    struct net_ip6_walk rest;
    enum net_ip6_walk_end end = net_ip6_walk(rx->p.l3, rx->p.l3_len, w->next, w->at, false, &rest);
    if (end == NET_IP6_TRUNCATED)
        return false;
    size_t least = rest.next == IPPROTO_TCP ? 20 : 8;
    return end != NET_IP6_UPPER || rx->p.l3_len - rest.at >= least;
}

/* True if it made a datagram whole, and rx is that now. */
static bool fragment(struct net *net, struct net_rx *rx, const struct net_ip6_walk *w,
                     struct place *place)
{
    const struct net_ip6_fragment *frag = &w->fragment;
    size_t len = rx->p.l3_len - w->at;
    net->ip->count.frag_in++;
    if (rx->reassembled) {
        net->ip->count.frag_bad++;
        return false;
    }
    if (frag->more && len % 8) {
        net->ip->count.frag_bad++;
        net_icmp_error(net, rx, NET_ICMP6_PARAMETER, 0, 4);
        return false;
    }
    if (frag->offset + len > UINT16_MAX) {
        net->ip->count.frag_bad++;
        net_icmp_error(net, rx, NET_ICMP6_PARAMETER, 0, frag->at + 2u);
        return false;
    }
    if (!frag->offset && !has_all_headers(rx, w)) {
        net->ip->count.frag_bad++;
        net_icmp_error(net, rx, NET_ICMP6_PARAMETER, 3, 0);
        return false;
    }
    const struct net_fragment f = {.src = rx->p.src,
                                   .dst = rx->p.dst,
                                   .id = frag->id,
                                   .ifindex = rx->p.port,
                                   .protocol = frag->next,
                                   .ecn = rx->p.tos & IP_ECN_MASK,
                                   .more = frag->more,
                                   .offset = frag->offset,
                                   .named_by = frag->named_by,
                                   .header = rx->p.l3,
                                   .header_len = frag->at,
                                   .payload = rx->p.l3 + w->at,
                                   .payload_len = len};
    struct net_datagram d;
    if (net_reass_add(net->reass, &f, net->ip->now, &d, net->reass_buf + NET_REASS_HDR_MAX) !=
        NET_REASS_DONE)
        return false;
    return reassembled(net, rx, &d, place);
}

/* True if there is more to walk, at *place. */
static bool walk(struct net *net, struct net_rx *rx, struct place *place)
{
    struct tcpip_counters *count = &net->ip->count;
    struct net_ip6_walk w;
    enum net_ip6_walk_end end =
        net_ip6_walk(rx->p.l3, rx->p.l3_len, place->next, place->at, place->first, &w);
    if (w.next_field == 6 && !place->first)
        w.next_field = rx->next_field;
    rx->next_field = w.next_field;
    rx->router_alert |= w.router_alert;
    rx->p.proto = w.next;
    rx->p.l4 = rx->p.l3 + w.at;
    rx->p.l4_len = rx->p.l3_len - w.at;
    switch (end) {
    case NET_IP6_UPPER:
        net_deliver(net, rx);
        break;
    case NET_IP6_FRAGMENTED:
        return fragment(net, rx, &w, place);
    case NET_IP6_END:
        count->ip_proto_drop++;
        break;
    case NET_IP6_PROBLEM:
        count->ip6_ext_bad++;
        if (w.problem_to_multicast || !(rx->p.flags & IP_PACKET_MULTICAST))
            net_icmp_error(net, rx, NET_ICMP6_PARAMETER, w.code, w.at);
        break;
    case NET_IP6_SILENT:
    case NET_IP6_TRUNCATED:
        count->ip6_ext_bad++;
        break;
    case NET_IP6_TOO_MANY:
        count->ip6_ext_limit++;
        break;
    }
    return false;
}

void net_ip6_input(struct net *net, struct net_rx *rx)
{
    struct tcpip_counters *count = &net->ip->count;
    struct net_ip6_header h;
    count->ip6_in++;
    /* A payload length of zero with hop-by-hop options is a jumbogram (RFC 2675): not ours. */
    if (!net_ip6_read(rx->p.l3, rx->p.l3_len, &h) || h.payload_len > UINT16_MAX - NET_IP6_HDR ||
        (!h.payload_len && h.next != NET_IP6_NONE)) {
        count->ip6_header_bad++;
        return;
    }
    rx->p.src = h.src;
    rx->p.dst = h.dst;
    rx->p.l3_len = (uint32_t)NET_IP6_HDR + h.payload_len;
    rx->p.tos = h.traffic_class;
    rx->p.ttl = h.hop_limit;
    if (!source_ok(net, rx)) {
        count->ip_src_bad++;
        return;
    }
    if (!destination_ok(net, rx)) {
        count->ip_dst_drop++;
        return;
    }
    struct place place = {.next = h.next, .first = true, .at = NET_IP6_HDR};
    bool more;
    do
        more = walk(net, rx, &place);
    while (more); /* once at most: fragments of fragments are refused */
}
