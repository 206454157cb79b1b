/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip6_header: the IPv6 header and its extension headers (RFC 8200): check, read, write.
 *
 * Invariants: a walk looks at no more than NET_IP6_EXT_HEADERS headers, NET_IP6_EXT_BYTES bytes of
 * them and NET_IP6_OPTIONS options in each; every length was checked before it is used; the walk
 * ends at the first header that is not an extension header, at a fragment header, or at a fault.
 *
 * Pure. Any thread.
 */
#ifndef DMM_TCPIP_NET_IP6_HEADER_H
#define DMM_TCPIP_NET_IP6_HEADER_H

#include "sidecar/tcpip/net/ip.h"

#define NET_IP6_HDR         40
#define NET_IP6_FRAG_HDR    8
#define NET_IP6_EXT_HEADERS 8
#define NET_IP6_EXT_BYTES   200
#define NET_IP6_OPTIONS     8 /* other than padding: RFC 8504, 5.3 */

/* Next header values that netinet/in.h does not name alike everywhere. */
enum {
    NET_IP6_HOPOPTS = 0,
    NET_IP6_ROUTING = 43,
    NET_IP6_FRAGMENT = 44,
    NET_IP6_ICMP = 58,
    NET_IP6_NONE = 59,
    NET_IP6_DSTOPTS = 60,
};

struct net_ip6_header {
    struct ip_addr src, dst;
    uint32_t flow_label;
    uint16_t payload_len;
    uint8_t traffic_class, next, hop_limit;
};

/* False: short, not version 6, or the payload is longer than the bytes given. */
bool net_ip6_read(const uint8_t *packet, size_t len, struct net_ip6_header *h);
/* The header quoted in an ICMP error: the payload need not be whole. */
bool net_ip6_read_quoted(const uint8_t *packet, size_t len, struct net_ip6_header *h);
void net_ip6_write(uint8_t *at, const struct net_ip6_header *h);

struct net_ip6_fragment {
    uint32_t id;
    uint16_t offset; /* bytes */
    bool more;
    uint8_t next;
    uint16_t at;       /* of the fragment header in the packet */
    uint16_t named_by; /* offset of the byte that said a fragment header follows */
};

enum net_ip6_walk_end {
    NET_IP6_UPPER,      /* walk.next is an upper-layer protocol (or unknown) at walk.at */
    NET_IP6_FRAGMENTED, /* a fragment header, not atomic: walk.fragment; walk.at is behind it */
    NET_IP6_END,        /* No Next Header */
    NET_IP6_PROBLEM,    /* drop; ICMPv6 parameter problem with `code` about the byte at walk.at */
    NET_IP6_SILENT,     /* drop, an option asks for silence */
    NET_IP6_TRUNCATED,  /* the chain runs out of the packet */
    NET_IP6_TOO_MANY,   /* over the limits above */
};

struct net_ip6_walk {
    uint8_t next;
    uint16_t at;         /* offset from the start of the IPv6 header */
    uint16_t next_field; /* offset of the byte that named `next`: the pointer of code 1 */
    uint8_t code;
    bool problem_to_multicast; /* the option's action is 10: report even to a multicast dst */
    bool router_alert;         /* RFC 2711; MLD needs it */
    struct net_ip6_fragment fragment;
};

/* Walks from the header whose type is `next` at offset `at` of packet[0..len). `first` says that
 * this is directly behind the IPv6 header, where alone hop-by-hop options may stand. An atomic
 * fragment (RFC 6946) is walked through. */
enum net_ip6_walk_end net_ip6_walk(const uint8_t *packet, size_t len, uint8_t next, uint16_t at,
                                   bool first, struct net_ip6_walk *walk);

/* The upper-layer protocol behind all extension headers, whatever is in them, and its offset in
 * *at: for who may get an error. False if it is not to be found. */
bool net_ip6_upper(const uint8_t *packet, size_t len, uint8_t *protocol, size_t *at);

#endif
