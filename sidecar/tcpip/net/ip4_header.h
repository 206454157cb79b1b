/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip4_header: the IPv4 header (RFC 791): check, read, write.
 *
 * Invariant: a header that was read well has 20 <= hdr_len <= total_len <= the bytes given, a right
 * checksum, and options (if any) whose lengths stay inside the header.
 *
 * Pure. Any thread.
 */
#ifndef DMM_TCPIP_NET_IP4_HEADER_H
#define DMM_TCPIP_NET_IP4_HEADER_H

#include "sidecar/tcpip/net/ip.h"

#define NET_IP4_HDR     20
#define NET_IP4_HDR_MAX 60

enum {
    NET_IP4_DF = 0x4000,
    NET_IP4_MF = 0x2000,
    NET_IP4_OFFSET = 0x1fff, /* in units of eight bytes */
};

struct net_ip4_header {
    struct ip_addr src, dst;
    uint16_t hdr_len, total_len;
    uint16_t id;
    uint16_t fragment; /* flags and offset as on the wire */
    uint8_t tos, ttl, protocol;
};

enum net_ip4_fault {
    NET_IP4_OK,
    NET_IP4_BAD_HEADER, /* short, wrong version or lengths */
    NET_IP4_BAD_CHECKSUM,
    NET_IP4_BAD_OPTION,   /* *offset: where, for the parameter problem */
    NET_IP4_SOURCE_ROUTE, /* LSRR or SSRR: refused (RFC 7126, 4.3 and 4.4) */
};

enum net_ip4_fault net_ip4_read(const uint8_t *packet, size_t len, struct net_ip4_header *h,
                                uint8_t *offset);
/* Whether the checksum over a header without options, 20 bytes, is right. */
bool net_ip4_checksum_ok(const uint8_t *packet);
/* Without checksum, version or options check: for the header quoted in an ICMP error, of which
 * total_len bytes need not be there. False if it makes no sense. */
bool net_ip4_read_quoted(const uint8_t *packet, size_t len, struct net_ip4_header *h);
/* Writes 20 bytes with the checksum. h->hdr_len is not used. */
void net_ip4_write(uint8_t *at, const struct net_ip4_header *h);

#endif
