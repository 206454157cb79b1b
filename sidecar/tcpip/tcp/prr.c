/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/prr.h"

void prr_start(struct prr *prr, uint32_t flight)
{
    *prr = (struct prr){.flight = flight > 0 ? flight : 1};
}

static uint32_t sub(uint32_t a, uint32_t b)
{
    return a > b ? a - b : 0;
}

uint32_t prr_ack(struct prr *prr, uint32_t delivered, uint32_t pipe, uint32_t ssthresh,
                 uint32_t mss, bool progress)
{
    uint32_t send;

    prr->delivered += delivered;
    if (pipe > ssthresh) {
        const uint64_t due = ((uint64_t)prr->delivered * ssthresh + prr->flight - 1) / prr->flight;

        send = due > prr->out ? (uint32_t)(due - prr->out) : 0;
    } else {
        /* the conservative bound while losses go on, slow start's when the ACKs move on */
        uint32_t limit = sub(prr->delivered, prr->out);

        if (limit < delivered)
            limit = delivered;
        if (progress)
            limit += mss;
        send = sub(ssthresh, pipe) < limit ? sub(ssthresh, pipe) : limit;
    }
    if (prr->out == 0 && send < mss)
        send = mss;
    return pipe + send;
}
