/* SPDX-License-Identifier: Apache-2.0 */
/* DCTCP: RFC 8257. */
#include "sidecar/tcpip/tcp/cc.h"

#include "sidecar/tcpip/tcp/seq.h"

static const double G = 1.0 / 16.0; /* 4.2 */

static void dctcp_init(struct cc *cc)
{
    cc->dctcp = (struct cc_dctcp){.alpha = 1.0}; /* 3.3, step 1 */
}

static void dctcp_acked(struct cc *cc, const struct cc_ack *ack)
{
    cc_newreno.acked(cc, ack);
}

/* 3.3: once a window, the fraction of bytes that were marked */
static void dctcp_observe(struct cc *cc, const struct cc_ack *ack)
{
    struct cc_dctcp *d = &cc->dctcp;

    if (!d->started) {
        d->started = true;
        d->window_end = ack->snd_nxt;
    }
    d->acked += ack->acked;
    d->ce += ack->ce_acked;
    if (seq_leq(ack->snd_una, d->window_end))
        return;

    const double fraction = d->acked > 0 ? (double)d->ce / (double)d->acked : 0.0;

    d->alpha = d->alpha * (1.0 - G) + G * fraction;
    d->window_end = ack->snd_nxt;
    d->acked = d->ce = 0;
}

static uint32_t dctcp_reduce(struct cc *cc, uint32_t flight, bool ecn)
{
    if (!ecn) /* 3.5: loss is loss */
        return cc_reno_reduce(cc, flight, ecn);

    const uint32_t cut = (uint32_t)((double)cc->cwnd * (1.0 - cc->dctcp.alpha / 2.0));

    return cut > 2 * cc->mss ? cut : 2 * cc->mss;
}

const struct cc_ops cc_dctcp = {
    .name = "dctcp",
    .dctcp_ecn = true,
    .init = dctcp_init,
    .acked = dctcp_acked,
    .observe = dctcp_observe,
    .reduce = dctcp_reduce,
};
