/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge: finds the segments of one TCP connection that lie one behind the other in a batch of
 * frames, so that they go up as one packet (receive merge, for ports that do not do it).
 *
 * Two frames make a run if nothing but the sequence number, the checksums, the IPv4 identification
 * and PSH tells them apart: both carry data, the second begins where the first ends, no flag but
 * ACK and PSH is set, acknowledgment, window, options, TOS with its ECN field, TTL and addresses
 * are the same. All but the last have the same length, and PSH or a shorter segment ends a run, so
 * what goes up could have come from a port that merges.
 *
 * Invariants
 *   - Only neighbours in the batch are merged and nothing is kept for later: order and time of
 *     arrival stay as they were.
 *   - In a run of more than one frame the lengths and checksums of all have been checked; the first
 *     frame's IP header is still the caller's to check.
 *   - The payload is not copied: the pieces point into the frames.
 *
 * Pure. Any thread.
 */
#ifndef DMM_TCPIP_NET_MERGE_H
#define DMM_TCPIP_NET_MERGE_H

#include "sidecar/tcpip/ip.h"

#define NET_RUN_MAX TCP_LOOK_AHEAD

struct net_run {
    unsigned n;                         /* frames, at least 1; if it is 1, there are no pieces */
    uint32_t more;                      /* bytes of payload behind the first frame's */
    uint16_t size;                      /* payload of each but the last */
    const uint8_t *pieces[NET_RUN_MAX]; /* the payload of each */
};

/* A look at the transport header beforehand: whether anything could continue this segment. */
static inline bool net_run_possible(const uint8_t *tcp, uint32_t l4_len)
{
    return l4_len > 20 && tcp[13] == 0x10 /* ACK, no PSH */ && (tcp[12] >> 4) * 4u < l4_len;
}

/* The run at the head of frames[0..n), n > 0. */
void net_run_find(const struct dmm_frame *frames, unsigned n, struct net_run *run);

#endif
