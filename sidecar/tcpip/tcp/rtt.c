/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/rtt.h"

#define MIN_WINDOW (10ULL * 1000 * 1000 * 1000)

void rtt_init(struct rtt *rtt, uint64_t min_rto)
{
    *rtt = (struct rtt){
        .rto = RTT_INITIAL_RTO, .min_rto = min_rto, .min_us = {UINT32_MAX, UINT32_MAX}};
}

static void update_min(struct rtt *rtt, uint64_t now, uint64_t sample)
{
    const uint32_t epoch = (uint32_t)(now / MIN_WINDOW);
    const uint64_t us = sample / 1000;
    const uint32_t value = us >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)us + (us == 0);

    if (epoch != rtt->min_epoch) {
        rtt->min_us[1] = epoch == rtt->min_epoch + 1 ? rtt->min_us[0] : UINT32_MAX;
        rtt->min_us[0] = UINT32_MAX;
        rtt->min_epoch = epoch;
    }
    if (value < rtt->min_us[0])
        rtt->min_us[0] = value;
}

void rtt_sample(struct rtt *rtt, uint64_t now, uint64_t sample, uint32_t expected)
{
    if (sample == 0)
        sample = 1;
    if (rtt->srtt == 0) {
        rtt->srtt = sample; /* RFC 6298, 2.2 */
        rtt->rttvar = sample / 2;
    } else {
        const int64_t delta = (int64_t)sample - (int64_t)rtt->srtt;
        const int64_t deviation = (delta < 0 ? -delta : delta) - (int64_t)rtt->rttvar;

        rtt->rttvar = (uint64_t)((int64_t)rtt->rttvar + deviation / (4 * (int64_t)expected));
        rtt->srtt = (uint64_t)((int64_t)rtt->srtt + delta / (8 * (int64_t)expected));
        if (rtt->srtt == 0)
            rtt->srtt = 1;
    }
    update_min(rtt, now, sample);

    /* The floor is put under the variance, so that a peer's delayed ACK on a long path does not
     * meet the timeout. */
    const uint64_t spread = 4 * rtt->rttvar > rtt->min_rto ? 4 * rtt->rttvar : rtt->min_rto;

    rtt->rto = rtt->srtt + spread < RTT_MAX_RTO ? rtt->srtt + spread : RTT_MAX_RTO;
}

uint64_t rtt_min(const struct rtt *rtt)
{
    const uint32_t us = rtt->min_us[0] < rtt->min_us[1] ? rtt->min_us[0] : rtt->min_us[1];

    return us == UINT32_MAX ? 0 : (uint64_t)us * 1000;
}

uint64_t rtt_rto(const struct rtt *rtt, unsigned backoffs)
{
    if (backoffs > 16 || rtt->rto << backoffs > RTT_MAX_RTO)
        return RTT_MAX_RTO;
    return rtt->rto << backoffs;
}
