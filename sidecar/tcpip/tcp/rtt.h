/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtt: round-trip time estimation and the retransmission timeout (RFC 6298; RFC 7323, appendix G
 * for several samples a round trip), and the least recent RTT (windowed, for RFC 8985).
 *
 * All times in ns. Samples are of segments that were not retransmitted (Karn), or told by
 * timestamps. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_RTT_H
#define DMM_SIDECAR_TCPIP_TCP_RTT_H

#include <stdint.h>

#define RTT_INITIAL_RTO (1000ULL * 1000 * 1000)       /* RFC 6298, 2.1 */
#define RTT_MAX_RTO     (120ULL * 1000 * 1000 * 1000) /* at least 60 s: RFC 6298, 2.5 */

struct rtt {
    uint64_t srtt, rttvar; /* 0: no sample yet */
    uint64_t rto;          /* without backoff */
    uint64_t min_rto;
    uint32_t min_us[2]; /* least RTT of the present and the last window; UINT32_MAX: none */
    uint32_t min_epoch; /* number of the present window */
};

void rtt_init(struct rtt *rtt, uint64_t min_rto);
/* `expected` is how many samples come in a round trip, at least 1. */
void rtt_sample(struct rtt *rtt, uint64_t now, uint64_t sample, uint32_t expected);
/* The least RTT of the last 10 to 20 seconds; 0 without a sample. */
uint64_t rtt_min(const struct rtt *rtt);
/* The timeout after `backoffs` doublings (RFC 6298, 5.5), at most RTT_MAX_RTO. */
uint64_t rtt_rto(const struct rtt *rtt, unsigned backoffs);

#endif
