/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: just enough of Ethernet, ARP (RFC 826), IPv4 (RFC 791), UDP (RFC 768) and TCP (RFC 9293) to
 * test ports with: frames built by hand, frames checked. Pure.
 */
#ifndef DMM_TESTS_PORTS_WIRE_H
#define DMM_TESTS_PORTS_WIRE_H

#include "sidecar/stack.h"

#define WIRE_ETH  14
#define WIRE_TCP  54 /* Ethernet, IPv4 and TCP headers without options */
#define WIRE_UDP  42
#define WIRE_TEXT 18

struct wire_end {
    uint8_t mac[6];
    uint8_t ip[4];
    uint16_t port;
};

/* What a received IPv4 TCP or UDP frame is. */
struct wire_l4 {
    uint8_t protocol;    /* 0: something else, and nothing below holds */
    uint16_t l4;         /* offset of the L4 header */
    uint16_t payload;    /* offset of what follows it */
    uint16_t csum_field; /* offset within the L4 header */
    bool ip_csum_ok;
    uint32_t l4_len;
    bool pseudo_ok; /* the field holds the pseudo-header's sum: a partial checksum */
};

void wire_parse(const struct dmm_frame *frame, struct wire_l4 *l4);
/* True if the complete checksum holds, or UDP has none. */
bool wire_l4_csum_ok(const struct dmm_frame *frame, const struct wire_l4 *l4);

/* Writes all headers for `payload_len` bytes with a partial checksum; returns their length, which
 * is WIRE_TCP or WIRE_UDP, and sets the words of `tx` (all but iov). */
unsigned wire_build(uint8_t *headers, struct dmm_tx_frame *tx, const struct wire_end *from,
                    const struct wire_end *to, uint8_t protocol, uint32_t payload_len,
                    uint16_t mtu);

/* True if the frame is an ARP request for `me`; then `reply` (42 bytes) is the answer. */
bool wire_arp_reply(const struct dmm_frame *frame, const struct wire_end *me, uint8_t reply[42]);

/* Words for sending a received frame again as it is. */
void wire_resend(const struct dmm_frame *frame, uint16_t mtu, struct dmm_tx_frame *tx);

#endif
