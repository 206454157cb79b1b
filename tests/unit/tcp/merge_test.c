/* SPDX-License-Identifier: Apache-2.0 */
/* Receive merge: segments that came together are taken as one, and nobody can tell. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include "sidecar/tcpip/tcp/wire.h"

#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>

#define SYN "mss 1000,sackOK,nop,nop,wscale 7"

static void together(struct script *s, uint64_t merged, const char *const *segments)
{
    const uint64_t before = counter(s, "tcp_merged");

    in_together(s, segments);
    assert_int_equal(counter(s, "tcp_merged") - before, merged);
}
#define TOGETHER(s, merged, ...) together(s, merged, (const char *const[]){__VA_ARGS__, NULL})

static void in_order(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SYN, 500);
    TOGETHER(s, 3, ". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1", ". 2001:3001(1000) ack 1",
             "P. 3001:3501(500) ack 1");
    out(s, ". 1:1(0) ack 3501");
    none(s);
    assert_int_equal(read_bytes(s), 3500);
    script_free(s);
}

static void in_order6(void **state)
{
    struct script *s = script_new(&(struct script_setup){.family = AF_INET6});

    UNUSED(state);
    script_establish(s, SYN, 500);
    TOGETHER(s, 2, ". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1", ". 2001:3001(1000) ack 1");
    out(s, ". 1:1(0) ack 3001");
    assert_int_equal(read_bytes(s), 3000);
    script_free(s);
}

/* Whatever tells two segments apart but their place keeps them apart; all arrive. */
static void what_differs_stays_apart(void **state)
{
    static const struct {
        const char *first, *second;
        uint64_t merged;
    } pairs[] = {
        {". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1", 1},
        {"P. 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1", 0},      /* PSH ends it */
        {". 1:1001(1000) ack 1", ". 1001:2501(1500) ack 1", 0},       /* longer */
        {". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1 win 9", 0}, /* window */
        {". 1:1001(1000) ack 1", "[ce] . 1001:2001(1000) ack 1", 0},  /* ECN field */
        {". 1:1001(1000) ack 1", "E. 1001:2001(1000) ack 1", 0},      /* flags */
        {". 1:1001(1000) ack 1", "W. 1001:2001(1000) ack 1", 0},      /* flags */
        {". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1 <nop,nop,nop,nop>", 0},
        {". 1:1001(1000) ack 1", ". 1001:1001(0) ack 1", 0}, /* no data */
        {". 1:1(0) ack 1", ". 1:2001(2000) ack 1", 0},
        {". 1:1001(1000) ack 1", ". 1000:2001(1001) ack 1", 0}, /* place */
        {". 1001:2001(1000) ack 1", ". 1:1001(1000) ack 1", 0},
    };

    UNUSED(state);
    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct script *s = script_new(NULL);

        script_establish(s, SYN, 500);
        print_message("%s | %s\n", pairs[i].first, pairs[i].second);
        TOGETHER(s, pairs[i].merged, pairs[i].first, pairs[i].second);
        drain(s);
        assert_true(read_bytes(s) >= 1000);
        script_free(s);
    }
}

static void fin_comes_by_itself(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SYN, 500);
    TOGETHER(s, 1, ". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1", "FP. 2001:3001(1000) ack 1");
    out(s, ". 1:1(0) ack 3002");
    assert_int_equal(read_bytes(s), 3000);
    assert_true(s->sock->eof);
    script_free(s);
}

static void timestamps(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7", 500);
    TOGETHER(s, 1, ". 1:989(988) ack 1 <nop,nop,TS val 130 ecr 1>",
             ". 989:1977(988) ack 1 <nop,nop,TS val 130 ecr 1>",
             ". 1977:2965(988) ack 1 <nop,nop,TS val 131 ecr 1>");
    out(s, ". 1:1(0) ack 2965 <TS val * ecr 130>"); /* of the first since the last ACK */
    assert_int_equal(read_bytes(s), 2964);
    script_free(s);
}

static void out_of_order(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SYN, 500);
    TOGETHER(s, 2, ". 1001:2001(1000) ack 1", ". 2001:3001(1000) ack 1", ". 3001:4001(1000) ack 1");
    out(s, ". 1:1(0) ack 1 <sack 1001:4001>");
    TOGETHER(s, 1, ". 5001:6001(1000) ack 1", ". 6001:7001(1000) ack 1");
    out(s, ". 1:1(0) ack 1 <sack 5001:7001 1001:4001>");
    in(s, ". 1:1001(1000) ack 1");
    out(s, ". 1:1(0) ack 4001 <sack 5001:7001>");
    TOGETHER(s, 0, ". 4001:5001(1000) ack 1");
    out(s, ". 1:1(0) ack 7001 <>");
    assert_int_equal(read_bytes(s), 7000);
    script_free(s);
}

/* What has come before is cut off in front, and told by DSACK. */
static void partly_old(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SYN, 500);
    in(s, "P. 1:1501(1500) ack 1");
    drain(s);
    TOGETHER(s, 3, ". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1", ". 2001:3001(1000) ack 1",
             ". 3001:3301(300) ack 1");
    out(s, ". 1:1(0) ack 3301 <sack 1:1501>");
    assert_int_equal(read_bytes(s), 3300);
    script_free(s);
}

static void ring_of_2500(struct node *node)
{
    node->rx_cap = 2500;
}

/* A ring that takes the first pieces only: the rest is held and follows. */
static void ring_ends_within(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ring_of_2500});

    UNUSED(state);
    script_establish(s, SYN, 500);
    TOGETHER(s, 3, ". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1", ". 2001:3001(1000) ack 1",
             ". 3001:4001(1000) ack 1");
    out(s, ". 1:1(0) ack 2501 <>");
    assert_int_equal(read_bytes(s), 2500);
    out(s, ". 1:1(0) ack 4001 <>");
    assert_int_equal(read_bytes(s), 1500);
    script_free(s);
}

/* The window's end within a run: what lies beyond is not taken. */
static void window_ends_within(void **state)
{
    struct script *s = script_new(NULL);
    uint32_t room;

    UNUSED(state);
    s->node.rx_cap = 65535;
    script_establish(s, "mss 1000,sackOK", 65535); /* no scaling: 65535 are offered */
    for (unsigned i = 0; i < 62; i++) {
        char text[64];

        snprintf(text, sizeof(text), ". %u:%u(1000) ack 1", 1 + i * 1000, 1001 + i * 1000);
        in(s, text);
    }
    drain(s);
    room = s->sock->rx_cap - s->sock->rx_len;
    assert_int_equal(room, 3535);
    TOGETHER(s, 4, ". 62001:63001(1000) ack 1", ". 63001:64001(1000) ack 1",
             ". 64001:65001(1000) ack 1", ". 65001:66001(1000) ack 1",
             "P. 66001:67001(1000) ack 1");
    out(s, ". 1:1(0) ack 65536 win 0");
    assert_int_equal(counter(s, "tcp_window_drop"), 1);
    assert_int_equal(read_bytes(s), 65535);
    script_free(s);
}

static void counted_as_they_came(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info before, after;
    uint32_t len = sizeof(before);

    UNUSED(state);
    script_establish(s, SYN, 500);
    assert_int_equal(tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, &before, &len), 0);
    TOGETHER(s, 2, ". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1", "P. 2001:2101(100) ack 1");
    len = sizeof(after);
    assert_int_equal(tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, &after, &len), 0);
    assert_int_equal(after.tcpi_segs_in - before.tcpi_segs_in, 3);
    assert_int_equal(after.tcpi_data_segs_in, 3);
    assert_int_equal(after.tcpi_rcv_mss, 1000);
    assert_int_equal(after.tcpi_bytes_received, 2100);
    script_free(s);
}

/* ---- whatever comes, nobody can tell whether it was merged ---- */

struct stream {
    char text[IN_TOGETHER_MAX][80];
    const char *segments[IN_TOGETHER_MAX];
    uint32_t end; /* of what was sent so far */
    unsigned seed;
};

static uint32_t any(struct stream *st, uint32_t below)
{
    return (uint32_t)rand_r(&st->seed) % below;
}

/* Mostly what comes next, in segments of one size; some of it twice, too early or not at all. */
static void next_batch(struct stream *st)
{
    const unsigned n = 1 + any(st, IN_TOGETHER_MAX - 1);
    const uint32_t size = any(st, 3) ? 1000 : 1 + any(st, 1400);

    for (unsigned i = 0; i < n; i++) {
        const uint32_t len = any(st, 8) ? size : 1 + any(st, 1400);
        uint32_t at = st->end;

        if (any(st, 12) == 0)
            at -= any(st, at < 3000 ? at : 3000);
        else if (any(st, 20) == 0)
            at += any(st, 3000);
        snprintf(st->text[i], sizeof(st->text[i]), "%s %u:%u(%u) ack 1 win %u",
                 any(st, 10) ? "." : "P.", at, at + len, len, any(st, 15) ? 500U : 501U);
        st->segments[i] = st->text[i];
        if (at == st->end)
            st->end += len;
    }
    st->segments[n] = NULL;
}

static uint32_t last_ack(struct script *s)
{
    uint32_t ack = 0;

    run(s);
    for (unsigned i = s->head; i != s->tail; i++)
        ack = get32(s->queue[i % SCRIPT_QUEUE].data + 14 + 20 + 8);
    drain(s);
    return ack;
}

static void nobody_can_tell(void **state)
{
    uint64_t merged = 0;

    UNUSED(state);
    for (unsigned seed = 1; seed <= 150; seed++) {
        struct script *a = script_new(NULL), *b = script_new(NULL);
        struct stream st = {.end = 1, .seed = seed};

        script_establish(a, SYN, 500);
        script_establish(b, SYN, 500);
        for (unsigned turn = 0; turn < 20; turn++) {
            next_batch(&st);
            in_together(a, st.segments);
            in_one_by_one(b, st.segments);
            if (last_ack(a) != last_ack(b) || a->sock->rx_total != b->sock->rx_total)
                fail_msg("seed %u, turn %u", seed, turn);
            if (any(&st, 3) == 0) {
                read_bytes(a);
                read_bytes(b);
                drain(a);
                drain(b);
            }
        }
        assert_int_equal(read_bytes(a), read_bytes(b));
        merged += counter(a, "tcp_merged");
        assert_int_equal(counter(b, "tcp_merged"), 0);
        script_free(a);
        script_free(b);
    }
    assert_true(merged > 10000);
}

/* To a port that nobody has: one reset, and the frames are used up. */
static void nobody_there(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    TOGETHER(s, 1, ". 1:1001(1000) ack 1", ". 1001:2001(1000) ack 1");
    assert_int_equal(drain(s), 1);
    assert_int_equal(counter(s, "tcp_port_drop"), 1);
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(in_order6),
        cmocka_unit_test(what_differs_stays_apart),
        cmocka_unit_test(fin_comes_by_itself),
        cmocka_unit_test(timestamps),
        cmocka_unit_test(out_of_order),
        cmocka_unit_test(partly_old),
        cmocka_unit_test(ring_ends_within),
        cmocka_unit_test(window_ends_within),
        cmocka_unit_test(counted_as_they_came),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(nobody_can_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
