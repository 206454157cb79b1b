/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet, the loop queue, and the way up to TCP, UDP and ICMP. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/merge.h"

bool net_l4_checksum_ok(const struct ip_packet *packet)
{
    if (packet->flags & IP_PACKET_CSUM_OK)
        return true;
    uint64_t sum = net_csum_pseudo(&packet->src, &packet->dst, packet->proto, packet->l4_len);
    return net_csum_fold(net_csum_add(sum, packet->l4, packet->l4_len)) == 0xffff;
}

static void protocol_unknown(struct net *net, const struct net_rx *rx)
{
    net->ip->count.ip_proto_drop++;
    if (rx->v4)
        net_icmp_error(net, rx, NET_ICMP4_UNREACHABLE, 2, 0);
    else
        net_icmp_error(net, rx, NET_ICMP6_PARAMETER, 1, rx->next_field);
}

/* To TCP, together with the segments that continue it in the frames behind it. */
static void deliver_tcp(struct net *net, struct net_rx *rx)
{
    struct net_run run;
    if (rx->n_frames < 2 || !net_run_possible(rx->p.l4, rx->p.l4_len)) {
        net->upper->tcp(net->ip, &rx->p);
        return;
    }
    net_run_find(rx->frames, rx->n_frames, &run);
    if (run.n > 1) {
        rx->taken = run.n;
        rx->p.pieces = run.pieces;
        rx->p.more = run.more;
        rx->p.gso_size = run.size;
        rx->p.flags |= IP_PACKET_CSUM_OK;
        net->ip->count.tcp_merged += run.n - 1;
        if (rx->v4)
            net->ip->count.ip4_in += run.n - 1;
        else
            net->ip->count.ip6_in += run.n - 1;
    }
    net->upper->tcp(net->ip, &rx->p);
}

void net_deliver(struct net *net, struct net_rx *rx)
{
    switch (rx->p.proto) {
    case IPPROTO_TCP:
        deliver_tcp(net, rx);
        return;
    case IPPROTO_UDP:
        net->upper->udp(net->ip, &rx->p);
        return;
    case IPPROTO_ICMP:
        if (rx->v4) {
            net_icmp4_input(net, rx);
            return;
        }
        break;
    case IPPROTO_IGMP:
        if (rx->v4) {
            net_igmp_input(net, rx);
            return;
        }
        break;
    case IPPROTO_ICMPV6:
        if (!rx->v4) {
            net_icmp6_input(net, rx);
            return;
        }
        break;
    default:
        break;
    }
    protocol_unknown(net, rx);
}

static bool frame_is_ours(const struct net_port *port, const struct net_eth *eth)
{
    if (net_mac_is_group(&eth->src))
        return false;
    return net_mac_is_group(&eth->dst) || net_mac_equal(&eth->dst, &port->mac);
}

/* Returns how many of the `n` frames it took. */
static unsigned ip_frame(struct net *net, struct net_port *port, const struct dmm_frame *frame,
                         unsigned n, const struct net_eth *eth)
{
    struct net_rx rx = {.v4 = eth->type == NET_ETH_IPV4,
                        .frames = frame,
                        .n_frames = n,
                        .taken = 1,
                        .p = {.l3 = frame->data + eth->hdr_len,
                              .l3_len = frame->len - eth->hdr_len,
                              .port = port->index}};
    if (frame->flags & (DMM_FRAME_CSUM_OK | DMM_FRAME_CSUM_PARTIAL))
        rx.p.flags |= IP_PACKET_CSUM_OK;
    if (frame->gso != DMM_GSO_NONE)
        rx.p.gso_size = frame->gso_size;
    if (net_mac_equal(&eth->dst, &net_mac_broadcast))
        rx.p.flags |= IP_PACKET_BROADCAST;
    else if (net_mac_is_group(&eth->dst))
        rx.p.flags |= IP_PACKET_MULTICAST;
    if (rx.v4)
        net_ip4_input(net, &rx);
    else
        net_ip6_input(net, &rx);
    return rx.taken;
}

/* Of a batch of `n` frames the first, and what goes with it; returns how many. */
static unsigned frame_input(struct net *net, struct net_port *port, const struct dmm_frame *frame,
                            unsigned n)
{
    struct tcpip_counters *count = &net->ip->count;
    struct net_eth eth;
    if (!net_eth_parse(frame->data, frame->len, &eth)) {
        count->eth_short_bad++;
        return 1;
    }
    /* A priority tag (VLAN 0) is looked through; another VLAN than the port's is not ours. */
    uint16_t vlan = eth.vlan;
    if (frame->flags & DMM_FRAME_VLAN)
        vlan |= frame->vlan_tci & 0x0fff;
    if (vlan != port->vlan || !frame_is_ours(port, &eth)) {
        count->eth_dst_drop++;
        return 1;
    }
    switch (eth.type) {
    case NET_ETH_IPV4:
    case NET_ETH_IPV6:
        return ip_frame(net, port, frame, n, &eth);
    case NET_ETH_ARP:
        net_arp_input(net, port, frame->data + eth.hdr_len, frame->len - eth.hdr_len);
        break;
    default:
        count->eth_type_drop++;
        break;
    }
    return 1;
}

void net_frames(struct tcpip *ip, unsigned port, const struct dmm_frame *frames, unsigned n)
{
    struct net_port *p = net_port_of(ip->net, port);
    for (unsigned i = 0; p && i < n;)
        i += frame_input(ip->net, p, &frames[i], n - i);
    if (p)
        ip->count.rx_frames += n;
    net_rearm_if_touched(ip->net);
}

unsigned net_loop_poll(struct net *net)
{
    struct net_loop_packet packet;
    /* Only what was there at first: answers go in the next turn. */
    unsigned n = 0, batch = net->loop.n;
    if (batch > NET_LOOP_BATCH)
        batch = NET_LOOP_BATCH;
    for (; n < batch && net_loop_peek(&net->loop, &packet); n++) {
        struct net_rx rx = {.v4 = packet.data[0] >> 4 == 4,
                            .p = {.l3 = packet.data,
                                  .l3_len = packet.len,
                                  .port = IP_PORT_LOOP,
                                  .gso_size = packet.gso_size,
                                  .flags = IP_PACKET_CSUM_OK}};
        if (rx.v4)
            net_ip4_input(net, &rx);
        else
            net_ip6_input(net, &rx);
        net_loop_pop(&net->loop);
    }
    if (n && net->loop_blocked) {
        net->loop_blocked = false;
        net->upper->tcp_writable(net->ip, IP_PORT_LOOP);
        net->upper->udp_writable(net->ip, IP_PORT_LOOP);
    }
    return n;
}
