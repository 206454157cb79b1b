/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arp_packet: ARP for IPv4 over Ethernet (RFC 826): read and write.
 *
 * Pure. Any thread.
 */
#ifndef DMM_TCPIP_NET_ARP_PACKET_H
#define DMM_TCPIP_NET_ARP_PACKET_H

#include "sidecar/tcpip/net/ether.h"

#define NET_ARP_LEN 28

enum { NET_ARP_REQUEST = 1, NET_ARP_REPLY = 2 };

struct net_arp {
    uint16_t op;
    struct net_mac sender_mac, target_mac;
    struct ip_addr sender, target;
};

/* False unless it is an Ethernet/IPv4 request or reply from a station (not a group) address. */
bool net_arp_read(const uint8_t *packet, size_t len, struct net_arp *arp);
/* Writes NET_ARP_LEN bytes. */
void net_arp_write(uint8_t *at, const struct net_arp *arp);

#endif
