/* SPDX-License-Identifier: Apache-2.0 */
/* NewReno: RFC 5681, with RFC 6582's recovery replaced by SACK, RACK and PRR. */
#include "sidecar/tcpip/tcp/cc.h"

static void newreno_init(struct cc *cc)
{
    (void)cc;
}

static void newreno_acked(struct cc *cc, const struct cc_ack *ack)
{
    uint32_t acked = ack->acked;

    if (!ack->cwnd_limited)
        return;
    if (cc->cwnd < cc->ssthresh)
        acked = cc_slow_start(cc, acked);
    if (acked > 0)
        cc_reno_avoid(cc, acked);
}

const struct cc_ops cc_newreno = {
    .name = "reno",
    .init = newreno_init,
    .acked = newreno_acked,
    .reduce = cc_reno_reduce,
};
