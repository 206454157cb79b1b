/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checksum: the Internet checksum (RFC 1071, 1624) and what virtio calls a partial one.
 *
 * Invariants
 *   - A running sum (uint64_t) adds the 16-bit words as they lie in memory, in the machine's own
 *     byte order (RFC 1071, 2.B: the order does not matter), so it must begin at an even offset of
 *     the checksummed bytes. It cannot overflow: 2^32 words fit, a frame has at most 2^16.
 *   - A folded value (uint16_t) is copied to and from the packet with memcpy, never byte-swapped:
 *     net_csum_load and net_csum_store.
 *   - A checksum over correct data that includes its checksum field folds to 0xffff.
 *   - Partial (virtio 1.2, 5.1.6.2): the field holds the folded sum of the pseudo-header, not
 *     complemented; the last one to touch the packet adds the rest and complements.
 *
 * Pure. Any thread.
 */
#ifndef DMM_TCPIP_NET_CHECKSUM_H
#define DMM_TCPIP_NET_CHECKSUM_H

#include "sidecar/tcpip/net/ip.h"

#include <sys/uio.h>

/* Adds len bytes; an odd last byte is padded with zero (RFC 1071, 4.1). */
uint64_t net_csum_add(uint64_t sum, const void *data, size_t len);
/* The same over n pieces laid end to end, any of which may be odd, without the first `skip` bytes
 * (an even number). */
uint64_t net_csum_add_iov(uint64_t sum, const struct iovec *iov, unsigned n, size_t skip);
/* Pseudo-header of RFC 9293, 3.1 (IPv4) or RFC 8200, 8.1. Both addresses are of one family. */
uint64_t net_csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol,
                         uint32_t l4_len);

uint16_t net_csum_fold(uint64_t sum);
/* The value for a checksum field: the complement, with zero as 0xffff, which is the same to all and
 * to UDP the only one that says "computed" (RFC 768). */
uint16_t net_csum_finish(uint64_t sum);

static inline uint16_t net_csum_load(const uint8_t *field)
{
    uint16_t v;
    memcpy(&v, field, 2);
    return v;
}

static inline void net_csum_store(uint8_t *field, uint16_t folded)
{
    memcpy(field, &folded, 2);
}

/* The one's complement of the sum over the bytes: the IPv4 header's, ICMP's. */
uint16_t net_csum(const void *data, size_t len);

/* RFC 1624, equation 3: the new value of a checksum field when a 16-bit word of the data changes.
 * All three as loaded with net_csum_load. */
uint16_t net_csum_update(uint16_t field, uint16_t before, uint16_t after);

/* Turns a partial checksum into a full one over pkt[start..len). `field` is the offset of the
 * checksum field from start. False, and nothing is written, if the offsets lie outside. A UDP
 * result of zero becomes 0xffff (RFC 768), which no other protocol minds. */
bool net_csum_complete(uint8_t *pkt, size_t len, size_t start, size_t field);

#endif
