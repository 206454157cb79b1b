/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/rate.h"

#include "sidecar/tcpip/tcp/seq.h"

void rate_init(struct rate *r)
{
    *r = (struct rate){.sample_app_limited = true}; /* as Linux tells it before the first sample */
}

struct rate_stamp rate_sent(struct rate *r, uint64_t now, bool nothing_in_flight)
{
    if (nothing_in_flight)
        r->first_sent = r->delivered_at = now;
    return (struct rate_stamp){
        .delivered_at = r->delivered_at,
        .first_sent = r->first_sent,
        .delivered = r->delivered,
        .app_limited = r->app_limited,
    };
}

void rate_delivered(struct rate *r, struct rate_newest *newest, const struct rate_stamp *stamp,
                    uint64_t sent, uint32_t end, uint32_t bytes, uint64_t now)
{
    r->delivered += bytes;
    r->delivered_at = now;
    if (sent > newest->sent || (sent == newest->sent && seq_gt(end, newest->end)))
        *newest = (struct rate_newest){.stamp = *stamp, .sent = sent, .end = end};
}

/* One that the application held down tells too little: it counts only if it tells more. */
static bool worth_telling(const struct rate *r, uint32_t bytes, uint32_t us, bool app_limited)
{
    return !app_limited || (uint64_t)bytes * r->sample_us >= (uint64_t)r->sample_bytes * us;
}

void rate_sample(struct rate *r, const struct rate_newest *newest, uint64_t now, uint64_t min_rtt)
{
    const struct rate_stamp *stamp = &newest->stamp;

    if (r->app_limited && seq_gt(r->delivered, r->limited_until))
        r->app_limited = false;
    if (newest->sent == 0)
        return;

    const uint64_t send_elapsed = newest->sent - stamp->first_sent;
    const uint64_t ack_elapsed = now - stamp->delivered_at;
    const uint64_t interval = send_elapsed > ack_elapsed ? send_elapsed : ack_elapsed;
    const uint32_t bytes = r->delivered - stamp->delivered;
    const uint64_t us = interval / 1000;

    r->first_sent = newest->sent;
    if (interval < min_rtt || us == 0 || us > UINT32_MAX)
        return;
    if (!worth_telling(r, bytes, (uint32_t)us, stamp->app_limited))
        return;
    r->sample_bytes = bytes;
    r->sample_us = (uint32_t)us;
    r->sample_app_limited = stamp->app_limited;
}

void rate_app_limited(struct rate *r, uint32_t in_flight)
{
    r->limited_until = r->delivered + in_flight;
    r->app_limited = true;
}

uint64_t rate_bytes_per_second(const struct rate *r)
{
    return r->sample_us == 0 ? 0 : (uint64_t)r->sample_bytes * 1000000 / r->sample_us;
}
