/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prr: proportional rate reduction (RFC 6937): how much to send while cwnd comes down to ssthresh.
 * All in bytes. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_PRR_H
#define DMM_SIDECAR_TCPIP_TCP_PRR_H

#include <stdbool.h>
#include <stdint.h>

struct prr {
    uint32_t delivered; /* to the receiver since recovery began */
    uint32_t out;       /* sent since then */
    uint32_t flight;    /* RecoverFS */
};

void prr_start(struct prr *prr, uint32_t flight);
/* On each ACK in recovery: the new cwnd, with `pipe` bytes in flight and `delivered` more at the
 * receiver. `progress`: the ACK moved snd_una on and told of no further loss. At least one segment
 * goes out for the first (fast) retransmission. */
uint32_t prr_ack(struct prr *prr, uint32_t delivered, uint32_t pipe, uint32_t ssthresh,
                 uint32_t mss, bool progress);

static inline void prr_sent(struct prr *prr, uint32_t bytes)
{
    prr->out += bytes;
}

#endif
