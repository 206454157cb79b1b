/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4 input: RFC 791, RFC 1122, 3.2.1. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/wire.h"

/* RFC 1122, 3.2.1.3: what may not be a source on the wire; and our own address is a forgery. */
static bool source_ok(const struct net *net, const struct net_rx *rx)
{
    const struct ip_addr *src = &rx->p.src;
    if (!net_ip_is_unicast(src) || net_is_broadcast(net, src))
        return false;
    if (rx->p.port == IP_PORT_LOOP)
        return true;
    return !net_addr_local(net->ip, src);
}

static bool group_member(const struct net *net, const struct net_rx *rx)
{
    if (rx->p.port != IP_PORT_LOOP)
        return net_group_is_member(&net->ports[rx->p.port].groups, &rx->p.dst);
    for (unsigned i = 0; i < net->n_ports; i++)
        if (net_group_is_member(&net->ports[i].groups, &rx->p.dst))
            return true;
    return false;
}

/* Whether the destination is us; sets the broadcast and multicast flags. */
static bool destination_ok(const struct net *net, struct net_rx *rx)
{
    const struct ip_addr *dst = &rx->p.dst;
    bool l2_group = rx->p.flags & (IP_PACKET_BROADCAST | IP_PACKET_MULTICAST);
    if (!l2_group && net_address_port(net, dst, -1))
        return true;
    if (ip_addr_is_multicast(dst)) {
        rx->p.flags |= IP_PACKET_MULTICAST;
        return group_member(net, rx);
    }
    if (net_is_broadcast(net, dst)) {
        rx->p.flags |= IP_PACKET_BROADCAST;
        return true;
    }
    /* RFC 1122, 3.3.6: a unicast packet in a link-layer broadcast is dropped. */
    return ip_addr_is_loopback(dst) && rx->p.port == IP_PORT_LOOP;
}

static void reassembled(struct net *net, struct net_rx *rx, const struct net_datagram *d)
{
    uint8_t *l4 = net->reass_buf + NET_REASS_HDR_MAX, *l3 = l4 - d->header_len;
    if (d->header_len + d->payload_len > UINT16_MAX) {
        net->ip->count.frag_bad++;
        return;
    }
    /* The header as if it had never been cut, for those whom it is quoted to. */
    memcpy(l3, d->header, d->header_len);
    net_put16(l3 + 2, (uint16_t)(d->header_len + d->payload_len));
    net_put16(l3 + 6, 0);
    net_put16(l3 + 10, 0);
    net_csum_store(l3 + 10, net_csum(l3, d->header_len));
    rx->p.l3 = l3;
    rx->p.l3_len = (uint32_t)(d->header_len + d->payload_len);
    rx->p.l4 = l4;
    rx->p.l4_len = (uint32_t)d->payload_len;
    rx->p.tos = (uint8_t)((rx->p.tos & ~IP_ECN_MASK) | d->ecn);
    rx->p.flags &= (uint8_t)~IP_PACKET_CSUM_OK;
    rx->p.gso_size = 0;
    net_deliver(net, rx);
}

/* RFC 1858, 3 and RFC 3128: a first fragment that cuts the transport header, or a second that
 * could overwrite its rest. */
static bool tiny_fragment(const struct net_ip4_header *h, uint32_t offset, size_t len)
{
    size_t least = h->protocol == IPPROTO_TCP ? 20 : 8;
    return offset == 0 ? len < least : offset < least;
}

static void fragment(struct net *net, struct net_rx *rx, const struct net_ip4_header *h)
{
    uint32_t offset = (h->fragment & NET_IP4_OFFSET) * 8u;
    net->ip->count.frag_in++;
    if (tiny_fragment(h, offset, rx->p.l4_len)) {
        net->ip->count.frag_bad++;
        return;
    }
    const struct net_fragment f = {.src = h->src,
                                   .dst = h->dst,
                                   .id = h->id,
                                   .ifindex = rx->p.port,
                                   .protocol = h->protocol,
                                   .ecn = h->tos & IP_ECN_MASK,
                                   .more = h->fragment & NET_IP4_MF,
                                   .offset = offset,
                                   .header = rx->p.l3,
                                   .header_len = h->hdr_len,
                                   .payload = rx->p.l4,
                                   .payload_len = rx->p.l4_len};
    struct net_datagram d;
    if (net_reass_add(net->reass, &f, net->ip->now, &d, net->reass_buf + NET_REASS_HDR_MAX) ==
        NET_REASS_DONE)
        reassembled(net, rx, &d);
}

static bool header_ok(struct net *net, const struct net_rx *rx, struct net_ip4_header *h,
                      uint8_t *problem)
{
    struct tcpip_counters *count = &net->ip->count;
    *problem = 0;
    switch (net_ip4_read(rx->p.l3, rx->p.l3_len, h, problem)) {
    case NET_IP4_OK:
        return true;
    case NET_IP4_BAD_HEADER:
        count->ip4_header_bad++;
        *problem = 0;
        return false;
    case NET_IP4_BAD_CHECKSUM:
        count->ip4_csum_bad++;
        *problem = 0;
        return false;
    case NET_IP4_SOURCE_ROUTE:
        count->ip4_options_drop++;
        *problem = 0;
        return false;
    case NET_IP4_BAD_OPTION:
        count->ip4_options_drop++;
        return false;
    }
    return false;
}

void net_ip4_input(struct net *net, struct net_rx *rx)
{
    struct net_ip4_header h;
    uint8_t problem;
    net->ip->count.ip4_in++;
    bool ok = header_ok(net, rx, &h, &problem);
    if (!ok && !problem)
        return;
    rx->p.src = h.src;
    rx->p.dst = h.dst;
    rx->p.l3_len = h.total_len;
    rx->p.l4 = rx->p.l3 + h.hdr_len;
    rx->p.l4_len = h.total_len - (uint32_t)h.hdr_len;
    rx->p.proto = h.protocol;
    rx->p.tos = h.tos;
    rx->p.ttl = h.ttl;
    if (!source_ok(net, rx)) {
        net->ip->count.ip_src_bad += ok;
        return;
    }
    if (!destination_ok(net, rx)) {
        net->ip->count.ip_dst_drop += ok;
        return;
    }
    if (!ok) {
        net_icmp_error(net, rx, NET_ICMP4_PARAMETER, 0, (uint32_t)problem << 24);
        return;
    }
    if (h.fragment & (NET_IP4_MF | NET_IP4_OFFSET))
        fragment(net, rx, &h);
    else
        net_deliver(net, rx);
}
