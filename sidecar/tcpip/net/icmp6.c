/* SPDX-License-Identifier: Apache-2.0 */
/* ICMPv6: RFC 4443. */
#include "sidecar/tcpip/net/net.h"

static void echo(struct net *net, const struct net_rx *rx)
{
    if (!net_rate_take(&net->echo_rate, net->ip->now)) {
        net->ip->count.icmp_rate_limit++;
        return;
    }
    uint8_t buf[NET_HEADROOM + NET_ICMP_HDR], *icmp = buf + NET_HEADROOM;
    memcpy(icmp, rx->p.l4, NET_ICMP_HDR);
    icmp[0] = NET_ICMP6_ECHO_REPLY;
    struct net_icmp_reply how = {.dst = rx->p.src, .port = rx->p.port, .tos = rx->p.tos};
    /* RFC 4443, 4.2: an echo to a group is answered from a unicast address. */
    if (!(rx->p.flags & IP_PACKET_MULTICAST))
        how.src = rx->p.dst;
    net_icmp_reply(net, &how, icmp, rx->p.l4 + NET_ICMP_HDR, rx->p.l4_len - NET_ICMP_HDR);
}

void net_icmp6_input(struct net *net, struct net_rx *rx)
{
    const uint8_t *icmp = rx->p.l4;
    if (rx->p.l4_len < NET_ICMP_HDR || !net_l4_checksum_ok(&rx->p)) {
        net->ip->count.icmp_bad++;
        return;
    }
    net->ip->count.icmp_in++;
    switch (icmp[0]) {
    case NET_ICMP6_UNREACHABLE:
    case NET_ICMP6_TOO_BIG:
    case NET_ICMP6_TIME_EXCEEDED:
    case NET_ICMP6_PARAMETER:
        net_icmp_error_up(net, false, icmp, rx->p.l4_len);
        break;
    case NET_ICMP6_ECHO:
        if (ip_addr_is_any(&rx->p.src))
            net->ip->count.icmp_bad++;
        else
            echo(net, rx);
        break;
    case NET_ICMP6_RS:
    case NET_ICMP6_RA:
    case NET_ICMP6_NS:
    case NET_ICMP6_NA:
    case NET_ICMP6_REDIRECT:
        net_nd_input(net, rx);
        break;
    case NET_ICMP6_MLD_QUERY:
    case NET_ICMP6_MLD_REPORT:
        net_mld_input(net, rx);
        break;
    default:
        net->ip->count.icmp_type_drop++;
        break;
    }
}
