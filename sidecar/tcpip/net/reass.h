/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reass: reassembly of IPv4 (RFC 791) and IPv6 (RFC 8200, 4.5) fragments.
 *
 * Invariants
 *   - Datagrams in progress, bytes held and fragments per datagram are fixed at creation. One
 *     source has at most a quarter of the datagrams; a new datagram beyond a limit throws out the
 *     oldest one (of the same source where the source is at its limit).
 *   - A datagram's fragments do not overlap: an exact repetition of a range is ignored, any other
 *     overlap throws the datagram away (RFC 5722, RFC 8200; for IPv4 too, against RFC 1858 games).
 *   - All but the last fragment are multiples of eight bytes; nothing lies behind the last one's
 *     end; the end is at most 65535.
 *   - A datagram lives at most its timeout from its first fragment on.
 *   - The header kept is the one of the fragment at offset 0, without its fragment header.
 *   - ECN: RFC 3168, 5.3: any CE makes CE; CE mixed with Not-ECT throws the datagram away.
 *
 * The table owns its memory; payload is copied in and, when complete, copied out to the caller's
 * buffer. One thread. Times in nanoseconds.
 */
#ifndef DMM_TCPIP_NET_REASS_H
#define DMM_TCPIP_NET_REASS_H

#include "sidecar/tcpip/counters.h"
#include "sidecar/tcpip/net/ip.h"

#define NET_REASS_HDR_MAX   256 /* IP header with all that comes before the fragment's payload */
#define NET_REASS_FRAGS     128
#define NET_REASS_TIMEOUT_4 30000000000u /* RFC 791: at least 15 s */
#define NET_REASS_TIMEOUT_6 60000000000u /* RFC 8200, 4.5 */

struct net_reass_config {
    unsigned max_datagrams; /* 4..4096 */
    size_t max_bytes;       /* payload held, rounded up to pages of 2 KB; at least 64 KB */
};

struct net_fragment {
    struct ip_addr src, dst;
    uint32_t id;
    uint8_t ifindex;
    uint8_t protocol;      /* IPv4: part of the key; IPv6: of the fragment at offset 0 it counts */
    uint8_t ecn;           /* the low two bits of TOS or traffic class */
    bool more;             /* MF or M */
    uint32_t offset;       /* bytes */
    uint16_t named_by;     /* IPv6: the caller's, handed back with the datagram */
    const uint8_t *header; /* up to NET_REASS_HDR_MAX bytes */
    size_t header_len;
    const uint8_t *payload;
    size_t payload_len;
};

/* A complete datagram, or one that timed out. */
struct net_datagram {
    struct ip_addr src, dst;
    uint8_t ifindex;
    uint8_t protocol;
    uint8_t ecn;
    const uint8_t *header; /* the table's; good until the next call; len 0 if offset 0 never came */
    size_t header_len;
    uint16_t named_by; /* of the fragment at offset 0 */
    size_t payload_len;
    size_t max_fragment; /* the largest fragment's payload: the PMTU cannot be taken as more */
};

enum net_reass_result {
    NET_REASS_HELD,    /* kept, or ignored as a repetition */
    NET_REASS_DONE,    /* `datagram` and `buf` are filled */
    NET_REASS_DROPPED, /* counted */
};

struct net_reass;

struct net_reass *net_reass_create(const struct net_reass_config *config,
                                   struct tcpip_counters *counters, const uint64_t key[2]);
void net_reass_destroy(struct net_reass *r);

/* `buf` has 65535 bytes. */
enum net_reass_result net_reass_add(struct net_reass *r, const struct net_fragment *f, uint64_t now,
                                    struct net_datagram *datagram, uint8_t *buf);

/* Takes out one datagram that timed out, false if there is none: call until false. If its offset 0
 * came, header_len is not 0 and buf (NET_REASS_QUOTE bytes) begins with its first bytes, for the
 * ICMP error; payload_len says how many. */
#define NET_REASS_QUOTE 1280
bool net_reass_expire(struct net_reass *r, uint64_t now, struct net_datagram *datagram,
                      uint8_t *buf);
uint64_t net_reass_deadline(const struct net_reass *r);
unsigned net_reass_count(const struct net_reass *r);
size_t net_reass_bytes(const struct net_reass *r);

#endif
