/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/rate.h"

void net_rate_init(struct net_rate *rate, uint32_t per_second, uint32_t burst, uint64_t now)
{
    rate->interval = per_second ? 1000000000u / per_second : 0;
    if (per_second && !rate->interval)
        rate->interval = 1;
    rate->depth = rate->credit = rate->interval * burst;
    rate->last = now;
}

bool net_rate_take(struct net_rate *rate, uint64_t now)
{
    if (!rate->interval)
        return false;
    uint64_t passed = now > rate->last ? now - rate->last : 0;
    rate->last += passed;
    rate->credit = passed < rate->depth - rate->credit ? rate->credit + passed : rate->depth;
    if (rate->credit < rate->interval)
        return false;
    rate->credit -= rate->interval;
    return true;
}
