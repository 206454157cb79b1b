/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP for IPv4: RFC 792, RFC 1122, 3.2.2. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/checksum.h"

static void echo(struct net *net, const struct net_rx *rx)
{
    /* RFC 1122, 3.2.2.6 lets us ignore an echo to a group: it is an amplifier. */
    if (rx->p.flags & (IP_PACKET_BROADCAST | IP_PACKET_MULTICAST)) {
        net->ip->count.icmp_type_drop++;
        return;
    }
    if (!net_rate_take(&net->echo_rate, net->ip->now)) {
        net->ip->count.icmp_rate_limit++;
        return;
    }
    uint8_t buf[NET_HEADROOM + NET_ICMP_HDR], *icmp = buf + NET_HEADROOM;
    memcpy(icmp, rx->p.l4, NET_ICMP_HDR);
    icmp[0] = NET_ICMP4_ECHO_REPLY;
    const struct net_icmp_reply how = {
        .src = rx->p.dst, .dst = rx->p.src, .port = rx->p.port, .tos = rx->p.tos};
    net_icmp_reply(net, &how, icmp, rx->p.l4 + NET_ICMP_HDR, rx->p.l4_len - NET_ICMP_HDR);
}

void net_icmp4_input(struct net *net, struct net_rx *rx)
{
    const uint8_t *icmp = rx->p.l4;
    if (rx->p.l4_len < NET_ICMP_HDR ||
        (!(rx->p.flags & IP_PACKET_CSUM_OK) && net_csum(icmp, rx->p.l4_len) != 0)) {
        net->ip->count.icmp_bad++;
        return;
    }
    net->ip->count.icmp_in++;
    switch (icmp[0]) {
    case NET_ICMP4_ECHO:
        echo(net, rx);
        break;
    case NET_ICMP4_UNREACHABLE:
    case NET_ICMP4_TIME_EXCEEDED:
    case NET_ICMP4_PARAMETER:
        net_icmp_error_up(net, true, icmp, rx->p.l4_len);
        break;
    default:
        /* Redirects are refused: routes come from the configuration. Source quench is dead (RFC
         * 6633); nobody asks for timestamps; echo replies have no socket to go to. */
        net->ip->count.icmp_type_drop++;
        break;
    }
}
