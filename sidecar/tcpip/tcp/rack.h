/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rack: time-based loss detection, RACK (RFC 8985, 6). The tail loss probe's timer is in
 * tcp/timers.c, its reckoning here.
 *
 * Names are the RFC's. Times in ns. Pure but for the scoreboard it marks. One thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_RACK_H
#define DMM_SIDECAR_TCPIP_TCP_RACK_H

#include "sidecar/tcpip/tcp/scoreboard.h"

struct rack {
    uint64_t xmit_ts, rtt;
    uint32_t end_seq;
    uint32_t dsack_round;
    uint8_t reo_wnd_mult, reo_wnd_persist;
    bool reordering_seen, dsack_round_set;
};

void rack_init(struct rack *rack);
/* Steps 1 to 4 for what an ACK delivered. `dsack`: it carried a DSACK; snd_una after the ACK. */
void rack_update(struct rack *rack, const struct sb_delivery *d, bool dsack, uint32_t snd_una,
                 uint32_t snd_nxt);
/* Step 4: the reordering window. `in_recovery` also for a timeout's. */
uint64_t rack_reo_wnd(const struct rack *rack, uint64_t min_rtt, uint64_t srtt, bool in_recovery,
                      bool dup_thresh);
/* A recovery ended: the widened window is kept for 16 of them (step 4). */
void rack_recovery_done(struct rack *rack);
/* Step 5: marks what is lost by now. Returns the bytes newly marked; *timeout is how long to wait
 * for the next to be judged, 0 if none is waiting. */
uint32_t rack_detect_loss(const struct rack *rack, struct scoreboard *sb, uint64_t now,
                          uint64_t reo_wnd, uint64_t *timeout);
/* 7.2: the probe timeout. `flight_one`: one segment is in flight; srtt 0: unknown. */
uint64_t rack_pto(uint64_t srtt, bool flight_one, uint64_t max_ack_delay);

#endif
