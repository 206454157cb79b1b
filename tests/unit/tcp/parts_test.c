/* SPDX-License-Identifier: Apache-2.0 */
/* TCP's pure parts, each alone: sequence numbers, options, RTT, PRR, congestion control, ISN, SYN
 * cookies, ports, pool. */
#include "sidecar/tcpip/pool.h"
#include "sidecar/tcpip/ports.h"
#include "sidecar/tcpip/tcp/cc.h"
#include "sidecar/tcpip/tcp/isn.h"
#include "sidecar/tcpip/tcp/options.h"
#include "sidecar/tcpip/tcp/prr.h"
#include "sidecar/tcpip/tcp/rtt.h"
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/syncookie.h"

#include "tests/unit/cmocka.h"

#include <string.h>

#define MS  1000000ULL
#define SEC 1000000000ULL

static void sequence_numbers_wrap(void **state)
{
    UNUSED(state);
    assert_true(seq_lt(0xfffffff0U, 0x10U));
    assert_true(seq_gt(0x10U, 0xfffffff0U));
    assert_false(seq_lt(5, 5));
    assert_true(seq_leq(5, 5));
    assert_int_equal(seq_max(0xfffffff0U, 1), 1);
    assert_true(seq_in(2, 0xfffffffeU, 5));
    assert_false(seq_in(3, 0xfffffffeU, 5));
}

static void options_stop_at_a_bad_length(void **state)
{
    static const uint8_t zero[] = {2, 4, 5, 0xb4, 3, 0, 7, 1};
    static const uint8_t beyond[] = {8, 10, 0, 0, 0, 1};
    struct tcp_options o;

    UNUSED(state);
    assert_false(tcp_options_parse(&o, zero, sizeof(zero), true));
    assert_int_equal(o.mss, 1460);
    assert_int_equal(o.wscale, TCP_NO_WSCALE);
    assert_false(tcp_options_parse(&o, beyond, sizeof(beyond), true));
    assert_false(o.ts);
}

static void options_fit_with_four_sacks(void **state)
{
    struct tcp_options o = {.ts = true, .wscale = TCP_NO_WSCALE, .n_sack = 4};
    uint8_t p[TCP_OPTIONS_MAX];

    UNUSED(state);
    assert_int_equal(tcp_options_build(p, &o), 40); /* 12 and 4 + 3 blocks */
    o.ts = false;
    assert_int_equal(tcp_options_build(p, &o), 36);
}

/* RFC 6298, 2.2 and 2.3 */
static void rtt_follows_the_rfc(void **state)
{
    struct rtt r;

    UNUSED(state);
    rtt_init(&r, 200 * MS);
    assert_int_equal(rtt_rto(&r, 0), SEC);
    rtt_sample(&r, SEC, 100 * MS, 1);
    assert_int_equal(r.srtt, 100 * MS);
    assert_int_equal(r.rttvar, 50 * MS);
    assert_int_equal(r.rto, 300 * MS);
    rtt_sample(&r, SEC, 200 * MS, 1);
    assert_int_equal(r.srtt, 112500000);
    assert_int_equal(r.rttvar, 62500000);
    assert_int_equal(rtt_rto(&r, 1), 2 * r.rto);
    assert_int_equal(rtt_rto(&r, 60), RTT_MAX_RTO);
    assert_int_equal(rtt_min(&r), 100 * MS);
    rtt_sample(&r, 40 * SEC, 150 * MS, 1);
    assert_int_equal(rtt_min(&r), 150 * MS); /* the old least has gone with its window */
}

/* RFC 6937, 3: pipe comes down to ssthresh in proportion, and no slower than it must. */
static void prr_reduces_in_proportion(void **state)
{
    struct prr p;
    uint32_t pipe = 19000, sent = 0;

    UNUSED(state);
    prr_start(&p, 20000);
    for (unsigned ack = 0; ack < 19; ack++) {
        const uint32_t cwnd = prr_ack(&p, 1000, pipe, 10000, 1000, true);

        while (pipe + 1000 <= cwnd) {
            prr_sent(&p, 1000);
            pipe += 1000;
            sent += 1000;
        }
        pipe -= 1000;
    }
    assert_in_range(sent, 9000, 11000);
}

static void grow(struct cc *cc, unsigned round_trips, uint64_t rtt)
{
    static uint64_t now = 100 * SEC;

    for (unsigned i = 0; i < round_trips; i++) {
        const uint32_t window = cc->cwnd;

        for (uint32_t acked = 0; acked < window; acked += cc->mss) {
            const struct cc_ack ack = {
                .now = now, .srtt = rtt, .acked = cc->mss, .cwnd_limited = true};

            cc->ops->acked(cc, &ack);
            now += rtt * cc->mss / window;
        }
    }
}

static void newreno_grows(void **state)
{
    struct cc cc;

    UNUSED(state);
    cc_init(&cc, &cc_newreno, 1000, 10000);
    grow(&cc, 1, 100 * MS);
    assert_int_equal(cc.cwnd, 20000); /* slow start doubles */
    cc.ssthresh = cc.ops->reduce(&cc, 20000, false);
    assert_int_equal(cc.ssthresh, 10000);
    cc.cwnd = cc.ssthresh;
    grow(&cc, 5, 100 * MS);
    assert_in_range(cc.cwnd, 14000, 15000); /* a segment a round trip */
}

/* RFC 9438: back at W_max after K seconds, slowly around it, quickly beyond. */
static void cubic_has_its_shape(void **state)
{
    struct cc cc;
    uint32_t at_k;

    UNUSED(state);
    cc_init(&cc, &cc_cubic, 1000, 1000000);
    cc.ssthresh = cc.ops->reduce(&cc, 1000000, false);
    assert_in_range(cc.ssthresh, 699000, 700000); /* beta 0.7 */
    cc.cwnd = cc.ssthresh;
    /* K = cbrt(1000 * 0.3 / 0.4) = 9.09 s: 91 round trips of 100 ms */
    grow(&cc, 91, 100 * MS);
    at_k = cc.cwnd;
    assert_in_range(at_k, 970000, 1030000);
    grow(&cc, 40, 100 * MS);
    assert_true(cc.cwnd < 1080000);
    grow(&cc, 60, 100 * MS);
    assert_true(cc.cwnd > 1200000);
}

static void cubic_does_not_grow_unused(void **state)
{
    struct cc cc;
    const struct cc_ack ack = {.now = SEC, .srtt = MS, .acked = 1000};

    UNUSED(state);
    cc_init(&cc, &cc_cubic, 1000, 10000);
    for (unsigned i = 0; i < 100; i++)
        cc.ops->acked(&cc, &ack);
    assert_int_equal(cc.cwnd, 10000);
}

/* RFC 8257, 3.3: alpha goes to the fraction marked, the cut to half of it. */
static void dctcp_cuts_by_the_fraction(void **state)
{
    struct cc cc;
    uint32_t seq = 0;

    UNUSED(state);
    cc_init(&cc, &cc_dctcp, 1000, 100000);
    cc.ssthresh = 100000;
    for (unsigned i = 0; i < 100 * 100; i++) {
        seq += 1000;

        const struct cc_ack ack = {.acked = 1000,
                                   .snd_una = seq,
                                   .snd_nxt = seq + 100000,
                                   .ce_acked = i % 10 == 0 ? 1000 : 0};

        cc.ops->observe(&cc, &ack);
    }
    assert_true(cc.dctcp.alpha > 0.08 && cc.dctcp.alpha < 0.12);
    assert_in_range(cc.ops->reduce(&cc, 100000, true), 94000, 96000);
    assert_int_equal(cc.ops->reduce(&cc, 100000, false), 50000);
}

static void cc_by_name(void **state)
{
    UNUSED(state);
    assert_ptr_equal(cc_find("cubic"), &cc_cubic);
    assert_ptr_equal(cc_find("reno"), &cc_newreno);
    assert_null(cc_find("bbr"));
    assert_null(cc_find(""));
}

static const struct hash_key key = {{1, 2}};

static void isn_moves_and_differs(void **state)
{
    const struct ip_addr a = ip_addr_v4(htonl(1)), b = ip_addr_v4(htonl(2));
    const uint64_t one = hash_tuple(&key, &a, 80, &b, 1000);
    const uint64_t two = hash_tuple(&key, &a, 80, &b, 1001);

    UNUSED(state);
    assert_int_equal(isn_make(one, 4096000) - isn_make(one, 0), 1000); /* 4 us a tick */
    assert_int_not_equal(isn_make(one, 0), isn_make(two, 0));
}

static void cookie_is_checked(void **state)
{
    const uint64_t now = 1000 * SEC;
    const uint32_t cookie = syncookie_make(&key, 77, 5, 1460, now);
    struct syncookie_options o = {.wscale = 7, .sack = true};
    uint32_t ts;

    UNUSED(state);
    assert_int_equal(syncookie_check(&key, 77, 5, cookie, now), 1460);
    assert_int_equal(syncookie_check(&key, 77, 5, cookie, now + 60 * SEC), 1460);
    assert_int_equal(syncookie_check(&key, 77, 5, cookie, now + 200 * SEC), 0);
    assert_int_equal(syncookie_check(&key, 78, 5, cookie, now), 0);
    assert_int_equal(syncookie_check(&key, 77, 6, cookie, now), 0);
    /* not again when the five bits of the counter come round */
    assert_int_equal(syncookie_check(&key, 77, 5, cookie, now + 32 * (64 * SEC)), 0);
    assert_int_equal(syncookie_check(&key, 77, 5, syncookie_make(&key, 77, 5, 1459, now), now),
                     1440);
    for (uint32_t tsval = 0xffffff80U; tsval != 0x80; tsval++) {
        ts = syncookie_ts_make(tsval, &o);
        assert_true(seq_leq(ts, tsval) && tsval - ts < 128);
    }
    memset(&o, 0, sizeof(o));
    syncookie_ts_parse(ts, &o);
    assert_true(o.sack && o.wscale == 7 && !o.ecn);
}

static bool odd(void *arg, uint16_t port)
{
    (*(unsigned *)arg)++;
    return port % 2 != 0;
}

static bool all(void *arg, uint16_t port)
{
    UNUSED(port);
    (*(unsigned *)arg)++;
    return true;
}

static void ports_are_free_ones(void **state)
{
    const struct ip_addr a = ip_addr_v4(htonl(1)), b = ip_addr_v4(htonl(2));
    struct ports p;
    unsigned asked = 0;

    UNUSED(state);
    ports_init(&p, 1000, 1009, &key);
    for (unsigned i = 0; i < 100; i++) {
        const uint16_t port = ports_pick(&p, &a, &b, 80, odd, &asked);

        assert_true(port >= 1000 && port <= 1009 && port % 2 == 0);
    }
    asked = 0;
    assert_int_equal(ports_pick(&p, &a, &b, 80, all, &asked), 0);
    assert_int_equal(asked, 10);
}

static void pool_has_a_limit(void **state)
{
    struct pool p;
    void *one, *two;

    UNUSED(state);
    pool_init(&p, 100, 4, 2);
    one = pool_get(&p);
    two = pool_get(&p);
    assert_non_null(one);
    assert_non_null(two);
    assert_null(pool_get(&p));
    pool_put(&p, one);
    assert_ptr_equal(pool_get(&p), one);
    pool_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequence_numbers_wrap),
        cmocka_unit_test(options_stop_at_a_bad_length),
        cmocka_unit_test(options_fit_with_four_sacks),
        cmocka_unit_test(rtt_follows_the_rfc),
        cmocka_unit_test(prr_reduces_in_proportion),
        cmocka_unit_test(newreno_grows),
        cmocka_unit_test(cubic_has_its_shape),
        cmocka_unit_test(cubic_does_not_grow_unused),
        cmocka_unit_test(dctcp_cuts_by_the_fraction),
        cmocka_unit_test(cc_by_name),
        cmocka_unit_test(isn_moves_and_differs),
        cmocka_unit_test(cookie_is_checked),
        cmocka_unit_test(ports_are_free_ones),
        cmocka_unit_test(pool_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
