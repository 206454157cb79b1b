/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/arp_packet.h"

#include "sidecar/tcpip/net/wire.h"

enum { HTYPE_ETHERNET = 1 };

bool net_arp_read(const uint8_t *packet, size_t len, struct net_arp *arp)
{
    if (len < NET_ARP_LEN || net_get16(packet) != HTYPE_ETHERNET ||
        net_get16(packet + 2) != NET_ETH_IPV4 || packet[4] != 6 || packet[5] != 4)
        return false;
    arp->op = net_get16(packet + 6);
    memcpy(arp->sender_mac.b, packet + 8, 6);
    arp->sender = net_ip_v4(packet + 14);
    memcpy(arp->target_mac.b, packet + 18, 6);
    arp->target = net_ip_v4(packet + 24);
    if (arp->op != NET_ARP_REQUEST && arp->op != NET_ARP_REPLY)
        return false;
    return !net_mac_is_group(&arp->sender_mac) && !net_mac_is_zero(&arp->sender_mac);
}

void net_arp_write(uint8_t *at, const struct net_arp *arp)
{
    net_put16(at, HTYPE_ETHERNET);
    net_put16(at + 2, NET_ETH_IPV4);
    at[4] = 6;
    at[5] = 4;
    net_put16(at + 6, arp->op);
    memcpy(at + 8, arp->sender_mac.b, 6);
    memcpy(at + 14, arp->sender.b + 12, 4);
    memcpy(at + 18, arp->target_mac.b, 6);
    memcpy(at + 24, arp->target.b + 12, 4);
}
