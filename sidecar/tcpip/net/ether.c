/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/ether.h"

#include "sidecar/tcpip/net/wire.h"

const struct net_mac net_mac_broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

bool net_mac_is_zero(const struct net_mac *mac)
{
    static const struct net_mac zero;
    return net_mac_equal(mac, &zero);
}

bool net_eth_parse(const uint8_t *frame, size_t len, struct net_eth *eth)
{
    if (len < NET_ETH_HDR)
        return false;
    memcpy(eth->dst.b, frame, 6);
    memcpy(eth->src.b, frame + 6, 6);
    eth->type = net_get16(frame + 12);
    eth->vlan = 0;
    eth->pcp = 0;
    eth->hdr_len = NET_ETH_HDR;
    if (eth->type != NET_ETH_VLAN)
        return true;
    if (len < NET_ETH_HDR + NET_VLAN_TAG)
        return false;
    eth->vlan = net_get16(frame + 14) & 0x0fff;
    eth->pcp = (uint8_t)(frame[14] >> 5);
    eth->type = net_get16(frame + 16);
    eth->hdr_len = NET_ETH_HDR + NET_VLAN_TAG;
    return true;
}

size_t net_eth_build(uint8_t *at, const struct net_eth *eth)
{
    memcpy(at, eth->dst.b, 6);
    memcpy(at + 6, eth->src.b, 6);
    if (!eth->vlan) {
        net_put16(at + 12, eth->type);
        return NET_ETH_HDR;
    }
    net_put16(at + 12, NET_ETH_VLAN);
    net_put16(at + 14, (uint16_t)(eth->pcp << 13 | eth->vlan));
    net_put16(at + 16, eth->type);
    return NET_ETH_HDR + NET_VLAN_TAG;
}

struct net_mac net_mac_of_group(const struct ip_addr *group)
{
    if (net_ip_is_limited_broadcast(group))
        return net_mac_broadcast;
    const uint8_t *b = group->b;
    if (ip_addr_is_v4(group))
        return (struct net_mac){{0x01, 0x00, 0x5e, b[13] & 0x7f, b[14], b[15]}};
    return (struct net_mac){{0x33, 0x33, b[12], b[13], b[14], b[15]}};
}

void net_mac_interface_id(const struct net_mac *mac, uint8_t id[8])
{
    const uint8_t made[8] = {mac->b[0] ^ 2, mac->b[1], mac->b[2], 0xff,
                             0xfe,          mac->b[3], mac->b[4], mac->b[5]};
    memcpy(id, made, sizeof(made));
}
