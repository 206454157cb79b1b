/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: TCP options, read and written (RFC 9293, 3.2; RFC 7323, 2 and 3; RFC 2018, 2 and 3).
 *
 * Reading is bounded by the given length; an option with a bad length ends it, what came before
 * stands (RFC 9293, MUST-68: a length of 0 or 1 must not loop). MSS, window scale and
 * SACK-permitted count only in a SYN. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_OPTIONS_H
#define DMM_SIDECAR_TCPIP_TCP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define TCP_OPTIONS_MAX 40
#define TCP_SACK_MAX    4 /* blocks; 3 beside a timestamp */
#define TCP_NO_WSCALE   0xff

struct sack_block {
    uint32_t start, end; /* [start, end) */
};

struct tcp_options {
    uint32_t tsval, tsecr;
    uint16_t mss;   /* 0: absent */
    uint8_t wscale; /* TCP_NO_WSCALE: absent; at most TCP_WSCALE_MAX after a parse */
    uint8_t n_sack;
    bool ts;
    bool sack_permitted;
    struct sack_block sack[TCP_SACK_MAX];
};

/* False if the options are malformed (then `o` holds those before the bad one). */
bool tcp_options_parse(struct tcp_options *o, const uint8_t *p, unsigned len, bool syn);
/* Writes at most TCP_OPTIONS_MAX bytes, padded to 4; SACK blocks as many as fit. Returns the
 * length. */
unsigned tcp_options_build(uint8_t *p, const struct tcp_options *o);

#endif
