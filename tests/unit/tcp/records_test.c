/* SPDX-License-Identifier: Apache-2.0 */
/* Scoreboard, RACK and reassembly alone. */
#include "sidecar/tcpip/tcp/rack.h"
#include "sidecar/tcpip/tcp/reassembly.h"
#include "sidecar/tcpip/tcp/scoreboard.h"
#include "sidecar/tcpip/tcp/seq.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define MS 1000000ULL

static struct pool ranges;

/* The invariants that scoreboard.h states. */
static void check_scoreboard(const struct scoreboard *sb, uint32_t una, uint32_t nxt)
{
    uint32_t at = una, sacked = 0, lost = 0, retrans = 0, n = 0;

    for (const struct tx_range *r = sb->head; r != NULL; r = r->next) {
        const uint32_t len = r->end - r->seq;

        assert_int_equal(r->seq, at);
        assert_true(seq_lt(r->seq, r->end));
        assert_true(r->next == NULL ? sb->tail == r : r->next->prev == r);
        assert_false((r->flags & TX_SACKED) && (r->flags & (TX_LOST | TX_RETRANS)));
        assert_false((r->flags & TX_SACKED) && r->next != NULL && (r->next->flags & TX_SACKED));
        sacked += r->flags & TX_SACKED ? len : 0;
        lost += r->flags & TX_LOST ? len : 0;
        retrans += r->flags & TX_RETRANS ? len : 0;
        at = r->end;
        n++;
    }
    assert_int_equal(at, nxt);
    assert_int_equal(sb->sacked, sacked);
    assert_int_equal(sb->lost, lost);
    assert_int_equal(sb->retrans, retrans);
    assert_int_equal(sb->n, n);
    assert_true(n <= SCOREBOARD_MAX);
}

static void scoreboard_keeps_its_invariants(void **state)
{
    unsigned seed = 3;

    UNUSED(state);
    for (unsigned round = 0; round < 300; round++) {
        struct scoreboard sb;
        uint32_t una = 0xffff0000U, nxt = una;
        uint64_t now = MS;

        sb_init(&sb, una);
        for (unsigned i = 0; i < 400; i++) {
            struct sb_delivery d = {.now = now};
            const uint32_t out = nxt - una;
            struct tx_range *r;

            now += (uint64_t)rand_r(&seed) % 3 * MS;
            switch (rand_r(&seed) % 6) {
            case 0:
            case 1:
                if (sb_sent(&sb, &ranges, nxt, nxt + 1 + (unsigned)rand_r(&seed) % 5000, now))
                    nxt = sb.tail->end;
                break;
            case 2:
                if (out > 0) {
                    const uint32_t start = una + (unsigned)rand_r(&seed) % out;
                    const uint32_t end = start + 1 + (unsigned)rand_r(&seed) % 3000;

                    sb_sack(&sb, &ranges, (struct sack_block){start, seq_min(end, nxt)}, &d);
                }
                break;
            case 3:
                una += out > 0 ? (unsigned)rand_r(&seed) % (out + 1) / 4 : 0;
                sb_ack(&sb, &ranges, una, &d);
                break;
            case 4:
                r = sb_next_lost(&sb, &ranges, 1000);
                if (r != NULL)
                    sb_retransmitted(&sb, r, now);
                else if (rand_r(&seed) % 4 == 0)
                    sb_timeout(&sb);
                break;
            default:
                r = sb_tail(&sb, &ranges, 700);
                if (r != NULL && rand_r(&seed) % 2)
                    sb_mark_lost(&sb, r);
                else
                    sb_unmark_lost(&sb);
                break;
            }
            check_scoreboard(&sb, una, nxt);
        }
        sb_clear(&sb, &ranges);
        assert_int_equal(ranges.used, 0);
    }
}

/* A FIN is no segment of its own where it rides on a full one. */
static void segments_are_counted(void **state)
{
    struct scoreboard sb;
    struct sb_delivery d = {.now = 2 * MS, .mss = 1000, .fin_sent = true, .fin_end = 4001};

    UNUSED(state);
    sb_init(&sb, 0);
    assert_true(sb_sent(&sb, &ranges, 0, 4001, MS));
    assert_true(sb_sack(&sb, &ranges, (struct sack_block){2000, 4001}, &d));
    assert_int_equal(d.segments, 2);
    sb_ack(&sb, &ranges, 4001, &d);
    assert_int_equal(d.segments, 4);
    assert_true(sb_sent(&sb, &ranges, 4001, 4002, MS));
    d = (struct sb_delivery){.now = 2 * MS, .mss = 1000, .fin_sent = true, .fin_end = 4002};
    sb_ack(&sb, &ranges, 4002, &d);
    assert_int_equal(d.segments, 1);
    sb_clear(&sb, &ranges);
}

/* ACKs that come together tell of a higher rate than the data was sent with: the sending rules. */
static void rate_is_not_fooled_by_compressed_acks(void **state)
{
    struct scoreboard sb;
    struct sb_delivery d = {.now = 100 * MS};

    UNUSED(state);
    sb_init(&sb, 0);
    sb_sent(&sb, &ranges, 0, 1000, 10 * MS);
    sb_sent(&sb, &ranges, 1000, 2000, 60 * MS);
    sb_ack(&sb, &ranges, 1000, &d);
    rate_sample(&sb.rate, &d.rate, d.now, 10 * MS);
    assert_int_equal(rate_bytes_per_second(&sb.rate), 11111); /* 1000 in 90 ms */
    sb_sent(&sb, &ranges, 2000, 3000, 110 * MS);
    sb_sent(&sb, &ranges, 3000, 4000, 160 * MS);
    d = (struct sb_delivery){.now = 170 * MS};
    sb_ack(&sb, &ranges, 4000, &d);
    rate_sample(&sb.rate, &d.rate, d.now, 10 * MS);
    /* 3000 acknowledged within 70 ms; sent within 150 */
    assert_int_equal(rate_bytes_per_second(&sb.rate), 20000);
    sb_sent(&sb, &ranges, 4000, 9000, 180 * MS);
    d = (struct sb_delivery){.now = 181 * MS};
    sb_ack(&sb, &ranges, 9000, &d);
    rate_sample(&sb.rate, &d.rate, d.now, 10 * MS); /* faster than light */
    assert_int_equal(rate_bytes_per_second(&sb.rate), 20000);
    sb_clear(&sb, &ranges);
}

/* A peer that sacks every other byte can't make the list longer than its bound. */
static void scoreboard_is_bounded(void **state)
{
    struct scoreboard sb;
    struct sb_delivery d = {.now = MS};

    UNUSED(state);
    sb_init(&sb, 0);
    assert_true(sb_sent(&sb, &ranges, 0, 100000, MS));
    for (uint32_t at = 1; at < 100000; at += 2)
        sb_sack(&sb, &ranges, (struct sack_block){at, at + 1}, &d);
    check_scoreboard(&sb, 0, 100000);
    assert_int_equal(sb.n, SCOREBOARD_MAX);
    sb_clear(&sb, &ranges);
}

/* RFC 8985, 6.2 step 5 */
static void rack_waits_for_the_window(void **state)
{
    struct scoreboard sb;
    struct rack rack;
    struct sb_delivery d = {.now = 30 * MS};
    uint64_t timeout;

    UNUSED(state);
    rack_init(&rack);
    sb_init(&sb, 0);
    sb_sent(&sb, &ranges, 0, 1000, 10 * MS);
    sb_sent(&sb, &ranges, 1000, 2000, 11 * MS);
    sb_sent(&sb, &ranges, 2000, 3000, 12 * MS);
    sb_sack(&sb, &ranges, (struct sack_block){1000, 2000}, &d);
    rack_update(&rack, &d, false, 0, 3000);
    assert_int_equal(rack.rtt, 19 * MS);
    /* sent 1 ms before what was delivered: with 5 ms allowed, 4 are left */
    assert_int_equal(rack_detect_loss(&rack, &sb, 30 * MS, 5 * MS, &timeout), 0);
    assert_int_equal(timeout, 4 * MS);
    assert_int_equal(rack_detect_loss(&rack, &sb, 34 * MS, 5 * MS, &timeout), 1000);
    assert_int_equal(timeout, 0);
    assert_int_equal(sb.lost, 1000); /* what was sent later is not judged */
    sb_clear(&sb, &ranges);
}

static void rack_widens_on_dsack(void **state)
{
    struct sb_delivery d = {.now = MS, .reordered = true};
    struct rack rack;

    UNUSED(state);
    rack_init(&rack);
    assert_int_equal(rack_reo_wnd(&rack, 8 * MS, 10 * MS, true, false), 0);
    rack_update(&rack, &d, false, 0, 100);
    assert_int_equal(rack_reo_wnd(&rack, 8 * MS, 10 * MS, true, false), 2 * MS);
    rack_update(&rack, &d, true, 0, 100);
    assert_int_equal(rack_reo_wnd(&rack, 8 * MS, 10 * MS, true, false), 4 * MS);
    rack_update(&rack, &d, true, 50, 100); /* once a round trip */
    assert_int_equal(rack_reo_wnd(&rack, 8 * MS, 10 * MS, true, false), 4 * MS);
    for (unsigned i = 0; i < 16; i++)
        rack_recovery_done(&rack);
    assert_int_equal(rack_reo_wnd(&rack, 8 * MS, 10 * MS, true, false), 2 * MS);
}

static void reassembly_joins_islands(void **state)
{
    struct reassembly_store store;
    struct reassembly *r = NULL;
    struct sack_block b[4];
    uint8_t bytes[9000];
    const uint8_t *data;
    uint32_t len;
    bool full;

    UNUSED(state);
    memset(bytes, 7, sizeof(bytes));
    reassembly_store_init(&store, 1 << 20);
    assert_int_equal(reassembly_insert(&store, &r, 1000, bytes, 1000, 100, &full), 1000);
    assert_int_equal(reassembly_insert(&store, &r, 3000, bytes, 1000, 100, &full), 1000);
    assert_int_equal(reassembly_sacks(r, 0, b, 4), 2);
    assert_int_equal(b[0].start, 3000); /* the newest first */
    assert_int_equal(reassembly_insert(&store, &r, 500, bytes, 3000, 100, &full), 1500);
    assert_int_equal(reassembly_sacks(r, 0, b, 4), 1);
    assert_int_equal(b[0].start, 500);
    assert_int_equal(b[0].end, 4000);
    assert_int_equal(reassembly_sacks(r, 500, b, 4), 0); /* in turn: not for SACK */
    assert_false(reassembly_front(&store, &r, 499, &data, &len));
    assert_true(reassembly_front(&store, &r, 600, &data, &len));
    reassembly_clear(&store, &r);
    assert_null(r);
    assert_int_equal(store.blocks.used, 0);
    reassembly_store_destroy(&store);
}

static void reassembly_is_bounded(void **state)
{
    struct reassembly_store store;
    struct reassembly *r = NULL;
    uint8_t byte = 1;
    bool full = false;

    UNUSED(state);
    reassembly_store_init(&store, 1 << 20);
    for (uint32_t at = 1; at < 10000; at += 2)
        reassembly_insert(&store, &r, at, &byte, 1, 1000, &full);
    assert_true(full);
    assert_int_equal(store.blocks.used, REASSEMBLY_ISLANDS);
    reassembly_clear(&store, &r);
    reassembly_store_destroy(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scoreboard_keeps_its_invariants),
        cmocka_unit_test(segments_are_counted),
        cmocka_unit_test(rate_is_not_fooled_by_compressed_acks),
        cmocka_unit_test(scoreboard_is_bounded),
        cmocka_unit_test(rack_waits_for_the_window),
        cmocka_unit_test(rack_widens_on_dsack),
        cmocka_unit_test(reassembly_joins_islands),
        cmocka_unit_test(reassembly_is_bounded),
    };

    pool_init(&ranges, sizeof(struct tx_range), 256, 1 << 20);
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    pool_destroy(&ranges);
    return rc;
}
