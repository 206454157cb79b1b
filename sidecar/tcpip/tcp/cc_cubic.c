/* SPDX-License-Identifier: Apache-2.0 */
/* CUBIC: RFC 9438. Windows in segments, times in seconds, as the RFC has them. */
#include "sidecar/tcpip/tcp/cc.h"

static const double C = 0.4;
static const double BETA = 0.7;

/* For x >= 0, by Newton's method; spares libm. */
static double cube_root(double x)
{
    double y = x > 1.0 ? x : 1.0;

    if (x <= 0.0)
        return 0.0;
    for (unsigned i = 0; i < 64; i++) {
        const double next = (2.0 * y + x / (y * y)) / 3.0;
        const double change = next - y;

        y = next;
        if (change > -1e-6 && change < 1e-6)
            break;
    }
    return y;
}

static void cubic_init(struct cc *cc)
{
    cc->cubic = (struct cc_cubic){.w_max = 0.0};
}

/* 4.2: the start of congestion avoidance. */
static void start_epoch(struct cc *cc, const struct cc_ack *ack)
{
    struct cc_cubic *c = &cc->cubic;
    const double cwnd = (double)cc->cwnd / cc->mss;

    c->epoch = ack->now;
    c->w_est = cwnd;
    if (c->w_max <= cwnd) { /* no reduction before, or already above: start at the plateau */
        c->w_max = cwnd;
        c->k = 0.0;
    } else {
        c->k = cube_root((c->w_max - cwnd) / C); /* 4.2, eq. 2 */
    }
    if (c->cwnd_prior < cwnd)
        c->cwnd_prior = cwnd;
}

static double w_cubic(const struct cc_cubic *c, double t)
{
    const double d = t - c->k;

    return C * d * d * d + c->w_max; /* 4.2, eq. 1 */
}

static void avoid(struct cc *cc, const struct cc_ack *ack, uint32_t acked)
{
    struct cc_cubic *c = &cc->cubic;
    const double cwnd = (double)cc->cwnd / cc->mss;
    const double segments = (double)acked / cc->mss;

    if (c->epoch == 0)
        start_epoch(cc, ack);

    const double t = (double)(ack->now - c->epoch) * 1e-9;
    /* 4.3: what Reno would have, alpha 1 once it is back where the reduction was */
    const double alpha = c->w_est >= c->cwnd_prior ? 1.0 : 3.0 * (1.0 - BETA) / (1.0 + BETA);

    c->w_est += alpha * segments / cwnd;

    double next;
    if (w_cubic(c, t) < c->w_est) {
        next = c->w_est > cwnd ? c->w_est : cwnd;
    } else { /* 4.4, 4.5 */
        double target = w_cubic(c, t + (double)ack->srtt * 1e-9);

        if (target < cwnd)
            target = cwnd;
        if (target > 1.5 * cwnd)
            target = 1.5 * cwnd;
        next = cwnd + (target - cwnd) / cwnd * segments;
    }

    const double bytes = next * cc->mss;
    /* keeps the fraction of a byte from being lost at large windows: acc holds it in 1/1024 */
    const double whole = bytes + (double)cc->acc / 1024.0;

    if (whole < (double)CC_INFINITE) {
        cc->cwnd = (uint32_t)whole;
        cc->acc = (uint32_t)((whole - (double)cc->cwnd) * 1024.0);
    }
}

static void cubic_acked(struct cc *cc, const struct cc_ack *ack)
{
    struct cc_cubic *c = &cc->cubic;
    uint32_t acked = ack->acked;
    const uint64_t since = ack->now - c->last_ack;

    c->last_ack = ack->now;
    if (!ack->cwnd_limited) {
        /* 5.8: time in which the application did not use the window does not count */
        if (c->epoch != 0)
            c->epoch += since < ack->now - c->epoch ? since : ack->now - c->epoch;
        return;
    }
    if (cc->cwnd < cc->ssthresh) {
        acked = cc_slow_start(cc, acked);
        c->epoch = 0;
    }
    if (acked > 0)
        avoid(cc, ack, acked);
}

static uint32_t cubic_reduce(struct cc *cc, uint32_t flight, bool ecn)
{
    struct cc_cubic *c = &cc->cubic;
    const double cwnd = (double)cc->cwnd / cc->mss;
    const uint32_t cut = (uint32_t)((double)flight * BETA); /* 4.6 */

    (void)ecn;
    c->old_w_max = c->w_max;
    c->w_max = cwnd < c->w_max ? cwnd * (1.0 + BETA) / 2.0 : cwnd; /* 4.7: fast convergence */
    c->cwnd_prior = cwnd;
    c->epoch = 0;
    cc->acc = 0;
    return cut > 2 * cc->mss ? cut : 2 * cc->mss;
}

/* 4.9 */
static void cubic_undo(struct cc *cc)
{
    cc->cubic.w_max = cc->cubic.old_w_max;
    cc->cubic.epoch = 0;
}

const struct cc_ops cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .acked = cubic_acked,
    .reduce = cubic_reduce,
    .undo = cubic_undo,
};
