/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ether: the Ethernet II header with at most one 802.1Q tag, and group MAC addresses.
 *
 * Invariants: a parsed header's hdr_len is 14 or 18 and lies within the frame. A priority tag
 * (VLAN id 0) is read as no VLAN (IEEE 802.1Q, 6.9.1). A second tag, 802.3 lengths and LLC are not
 * ours: the type is returned as it stands and the caller finds no protocol for it.
 *
 * Pure. Any thread.
 */
#ifndef DMM_TCPIP_NET_ETHER_H
#define DMM_TCPIP_NET_ETHER_H

#include "sidecar/tcpip/net/ip.h"

#define NET_ETH_HDR     14
#define NET_VLAN_TAG    4
#define NET_ETH_HDR_MAX (NET_ETH_HDR + NET_VLAN_TAG)

enum {
    NET_ETH_IPV4 = 0x0800,
    NET_ETH_ARP = 0x0806,
    NET_ETH_VLAN = 0x8100,
    NET_ETH_IPV6 = 0x86dd,
};

struct net_mac {
    uint8_t b[6];
};

struct net_eth {
    struct net_mac dst, src;
    uint16_t type;
    uint16_t vlan; /* VLAN id 1..4094; 0: untagged */
    uint8_t pcp;   /* priority of the tag, 0..7 (IEEE 802.1Q, 6.9.3) */
    uint16_t hdr_len;
};

static inline bool net_mac_equal(const struct net_mac *a, const struct net_mac *b)
{
    return memcmp(a->b, b->b, 6) == 0;
}

static inline bool net_mac_is_group(const struct net_mac *mac)
{
    return mac->b[0] & 1;
}

bool net_mac_is_zero(const struct net_mac *mac);

/* Reads the header. False: the frame is too short. */
bool net_eth_parse(const uint8_t *frame, size_t len, struct net_eth *eth);
/* Writes the header with a tag if eth->vlan is set; `at` has NET_ETH_HDR_MAX bytes. Returns the
 * bytes written. */
size_t net_eth_build(uint8_t *at, const struct net_eth *eth);

/* The group MAC of a multicast or limited broadcast address: RFC 1112, 6.4; RFC 2464, 7. */
struct net_mac net_mac_of_group(const struct ip_addr *group);

/* The modified EUI-64 interface identifier (RFC 4291, appendix A): eight bytes. */
void net_mac_interface_id(const struct net_mac *mac, uint8_t id[8]);

extern const struct net_mac net_mac_broadcast;

#endif
