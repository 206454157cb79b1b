/* SPDX-License-Identifier: Apache-2.0 */
/* What ICMP of both families has in common: errors out and in, answers. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/wire.h"

void net_icmp_reply(struct net *net, const struct net_icmp_reply *how, uint8_t *icmp,
                    const uint8_t *body, size_t body_len)
{
    bool v4 = ip_addr_is_v4(&how->dst);
    struct net_flow flow = {.src = how->src,
                            .dst = how->dst,
                            .proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
                            .ttl = how->ttl,
                            .flags = NET_FLOW_REPLY};
    /* The address may be of one link only. */
    if (how->port != IP_PORT_LOOP && ip_addr_is_link_local6(&how->dst))
        flow.bound_port = (uint8_t)(how->port + 1);
    struct net_tx tx = {.l4 = icmp,
                        .l4_len = NET_ICMP_HDR,
                        .csum_offset = 2,
                        .tos = how->tos,
                        .n_payload = body_len != 0,
                        .payload_len = (uint32_t)body_len,
                        .payload = {{(void *)(uintptr_t)body, body_len}}};
    if (v4) {
        net_put16(icmp + 2, 0);
        struct iovec iov[2] = {{icmp, NET_ICMP_HDR}, tx.payload[0]};
        net_csum_store(icmp + 2, (uint16_t)~net_csum_fold(net_csum_add_iov(0, iov, 2, 0)));
    }
    if (!net_output(net->ip, &flow, &tx))
        net->ip->count.icmp_out++;
}

/* RFC 1122, 3.2.2; RFC 4443, 2.4 e: who gets no error. */
static bool may_report(const struct net_rx *rx, bool group_too)
{
    if (!group_too && rx->p.flags & (IP_PACKET_BROADCAST | IP_PACKET_MULTICAST))
        return false;
    if (ip_addr_is_any(&rx->p.src) || ip_addr_is_multicast(&rx->p.src))
        return false;
    if (rx->v4)
        return rx->p.proto != IPPROTO_ICMP ||
               (rx->p.l4_len && !net_icmp_is_error(true, rx->p.l4[0]));
    /* The walk may have ended at a fault in front of the ICMPv6 header. */
    uint8_t protocol;
    size_t at;
    if (!net_ip6_upper(rx->p.l3, rx->p.l3_len, &protocol, &at))
        return true;
    return protocol != IPPROTO_ICMPV6 ||
           (at < rx->p.l3_len && !net_icmp_is_error(false, rx->p.l3[at]));
}

void net_icmp_error(struct net *net, const struct net_rx *rx, uint8_t type, uint8_t code,
                    uint32_t extra)
{
    bool group_too =
        !rx->v4 && (type == NET_ICMP6_TOO_BIG || (type == NET_ICMP6_PARAMETER && code == 2));
    if (!may_report(rx, group_too))
        return;
    if (!net_rate_take(&net->error_rate, net->ip->now)) {
        net->ip->count.icmp_rate_limit++;
        return;
    }
    uint8_t buf[NET_HEADROOM + NET_ICMP_HDR], *icmp = buf + NET_HEADROOM;
    icmp[0] = type;
    icmp[1] = code;
    net_put16(icmp + 2, 0);
    net_put32(icmp + 4, extra);
    /* RFC 1812, 4.3.2.3: 576 bytes in all; RFC 4443, 2.4 c: the minimum MTU. */
    size_t room =
        rx->v4 ? 576 - NET_IP4_HDR - NET_ICMP_HDR : NET_PMTU_MIN_6 - NET_IP6_HDR - NET_ICMP_HDR;
    size_t quote = rx->p.l3_len < room ? rx->p.l3_len : room;
    struct net_icmp_reply how = {.dst = rx->p.src, .port = rx->p.port};
    if (!(rx->p.flags & (IP_PACKET_BROADCAST | IP_PACKET_MULTICAST)))
        how.src = rx->p.dst;
    if (rx->v4)
        how.tos = 0xc0; /* RFC 1812, 4.3.2.5: internetwork control */
    net_icmp_reply(net, &how, icmp, rx->p.l3, quote);
}

void net_icmp_port_unreachable(struct tcpip *ip, const struct ip_packet *packet)
{
    struct net_rx rx = {.p = *packet, .v4 = ip_addr_is_v4(&packet->src)};
    if (rx.v4)
        net_icmp_error(ip->net, &rx, NET_ICMP4_UNREACHABLE, 3, 0);
    else
        net_icmp_error(ip->net, &rx, NET_ICMP6_UNREACHABLE, 4, 0);
}

void net_icmp_error_up(struct net *net, bool v4, const uint8_t *icmp, size_t len)
{
    struct tcpip *ip = net->ip;
    struct ip_error error;
    bool taken = false;
    if (net_icmp_error_read(v4, icmp, len, &error) && net_addr_local(ip, &error.local)) {
        if (error.proto == IPPROTO_TCP)
            taken = net->upper->tcp_error(ip, &error);
        else if (error.proto == IPPROTO_UDP)
            taken = net->upper->udp_error(ip, &error);
    }
    if (!taken) {
        ip->count.icmp_error_drop++;
        return;
    }
    ip->count.icmp_error_in++;
    if (error.too_big)
        net_pmtu_update(ip, &error.remote, error.mtu);
}

void net_reass_timed_out(struct net *net, const struct net_datagram *d, uint8_t *quote)
{
    if (!d->header_len)
        return;
    uint8_t *l3 = quote - d->header_len;
    memcpy(l3, d->header, d->header_len);
    struct net_rx rx = {.v4 = ip_addr_is_v4(&d->src),
                        .p = {.src = d->src,
                              .dst = d->dst,
                              .l3 = l3,
                              .l3_len = (uint32_t)(d->header_len + d->payload_len),
                              .l4 = quote,
                              .l4_len = (uint32_t)d->payload_len,
                              .proto = d->protocol,
                              .port = d->ifindex}};
    if (ip_addr_is_multicast(&d->dst))
        rx.p.flags = IP_PACKET_MULTICAST;
    else if (net_is_broadcast(net, &d->dst))
        rx.p.flags = IP_PACKET_BROADCAST;
    uint8_t type = rx.v4 ? NET_ICMP4_TIME_EXCEEDED : NET_ICMP6_TIME_EXCEEDED;
    net_icmp_error(net, &rx, type, 1, 0);
}
