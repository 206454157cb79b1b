/* SPDX-License-Identifier: Apache-2.0 */
/* Loss and its repair: RFC 6298, 5681, 6582, 6675, 8985, 2018, 2883, 3522, 6937, 6928. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include <errno.h>
#include <stdio.h>

#define SACKOK "mss 1000,sackOK"
#define PLAIN  "mss 1000"

/* n segments of 1000 bytes from relative sequence number 1 + 1000 * first */
static void out_segments(struct script *s, unsigned first, unsigned n, bool last_pushed)
{
    char text[64];

    for (unsigned i = first; i < first + n; i++) {
        snprintf(text, sizeof(text), "%s %u:%u(1000)",
                 last_pushed && i + 1 == first + n ? "P." : ".", 1 + 1000 * i, 1001 + 1000 * i);
        out(s, text);
    }
}

/* RFC 6928: ten segments at first; each ACK of slow start sends two. */
static void initial_window(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 30000);
    out_segments(s, 0, 10, false);
    none(s);
    in(s, ". 1:1(0) ack 2001");
    out_segments(s, 10, 4, false);
    none(s);
    script_free(s);
}

/* RFC 8985: three segments sacked behind the hole, it is sent again at once. */
static void fast_retransmit_by_sack(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 10000);
    out_segments(s, 0, 10, true);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:2001>");
    none(s);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:3001>");
    none(s);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:4001>");
    out(s, "P. 1:1001(1000)");
    none(s);
    assert_int_equal(counter(s, "tcp_fast_recoveries"), 1);
    in(s, ". 1:1(0) ack 10001");
    none(s);
    script_free(s);
}

/* RFC 6675: only what is missing is sent again. */
static void two_holes(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 10000);
    out_segments(s, 0, 10, true);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:3001>");
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 4001:7001 1001:3001>");
    out(s, "P. 1:1001(1000)");
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 4001:10001 1001:3001>");
    out(s, "P. 3001:4001(1000)");
    none(s);
    in(s, ". 1:1(0) ack 3001 <nop,nop,sack 4001:10001>");
    in(s, ". 1:1(0) ack 10001");
    none(s);
    script_free(s);
}

/* RFC 8985, 6.2: a little reordering, once seen, is waited for. */
static void reordering_is_waited_for(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 4000);
    out_segments(s, 0, 4, true);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:2001>");
    in(s, ". 1:1(0) ack 2001"); /* it was only late */
    none(s);
    in(s, ". 1:1(0) ack 4001");
    write_bytes(s, 5000);
    out_segments(s, 4, 5, true);
    advance(s, 20);
    in(s, ". 1:1(0) ack 4001 <nop,nop,sack 5001:9001>");
    none(s); /* within the reordering window of a quarter of the least RTT */
    script_mark(s);
    advance(s, 10);
    out_at(s, 5, 1, "P. 4001:5001(1000)");
    script_free(s);
}

/* RFC 8985, 7: the tail's loss is found by a probe after two round trips. */
static void tail_loss_probe(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 1000);
    out_segments(s, 0, 1, true);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1001");
    write_bytes(s, 3000);
    out_segments(s, 1, 3, true);
    script_mark(s);
    advance(s, 100);
    out_at(s, 40, 25, "P. 3001:4001(1000)");
    assert_int_equal(counter(s, "tcp_tlp"), 1);
    in(s, ". 1:1(0) ack 1001 <nop,nop,sack 3001:4001>");
    advance(s, 20);
    out(s, "P. 1001:2001(1000)");
    script_free(s);
}

/* RFC 6298, 5: the timeout, its doubling, slow start after it. */
static void timeout_backs_off(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 3000);
    out_segments(s, 0, 3, true);
    script_mark(s);
    advance(s, 1200);
    out_at(s, 220, 10, "P. 1:1001(1000)");
    out_at(s, 660, 20, "P. 1:1001(1000)");
    none(s);
    in(s, ". 1:1(0) ack 1001");
    out(s, "P. 1001:2001(1000)");
    out(s, "P. 2001:3001(1000)");
    assert_int_equal(counter(s, "tcp_rto"), 2);
    in(s, ". 1:1(0) ack 3001");
    advance(s, 5000);
    none(s);
    script_free(s);
}

/* R2 (RFC 9293, 3.8.3) */
static void gives_up(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 100);
    advance(s, 3000000);
    drain(s);
    assert_int_equal(s->sock->error, ETIMEDOUT);
    script_close(s);
    assert_true(s->sock->released);
    script_free(s);
}

/* RFC 5681, 3.2 and RFC 6582 for a peer without SACK. */
static void newreno_without_sack(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 10000);
    out_segments(s, 0, 10, true);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1");
    in(s, ". 1:1(0) ack 1");
    none(s);
    in(s, ". 1:1(0) ack 1");
    out(s, "P. 1:1001(1000)");
    in(s, ". 1:1(0) ack 5001"); /* partial: the next hole is sent at once */
    out(s, "P. 5001:6001(1000)");
    in(s, ". 1:1(0) ack 10001");
    none(s);
    script_free(s);
}

/* RFC 3522: the ACK of the original comes after the timeout; the window is restored. */
static void spurious_timeout(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1012,sackOK,TS val 100 ecr 0", 65535);
    write_bytes(s, 5000);
    out(s, ". 1:1001(1000) ack 1 <TS val * ecr *>");
    for (unsigned i = 0; i < 4; i++)
        drain(s);
    advance(s, 1000);
    assert_true(drain(s) > 0);
    assert_true(counter(s, "tcp_rto") > 0);
    in(s, ". 1:1(0) ack 5001 <nop,nop,TS val 1200 ecr 1>");
    assert_int_equal(counter(s, "tcp_spurious_rto"), 1);
    none(s);
    script_free(s);
}

/* RFC 2018 and RFC 2883 as a receiver: what is held, the newest first; what came twice. */
static void sack_is_told(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    in(s, ". 1001:2001(1000) ack 1");
    out(s, ". 1:1(0) ack 1 <sack 1001:2001>");
    in(s, ". 3001:4001(1000) ack 1");
    out(s, ". 1:1(0) ack 1 <sack 3001:4001 1001:2001>");
    in(s, ". 1001:2001(1000) ack 1");
    out(s, ". 1:1(0) ack 1 <sack 1001:2001 3001:4001 1001:2001>");
    in(s, ". 1:1001(1000) ack 1");
    out(s, ". 1:1(0) ack 2001 <sack 3001:4001>");
    in(s, ". 1:1001(1000) ack 1");
    out(s, ". 1:1(0) ack 2001 <sack 1:1001 3001:4001>");
    in(s, ". 2001:3001(1000) ack 1");
    out(s, ". 1:1(0) ack 4001 <>");
    assert_int_equal(read_bytes(s), 4000);
    script_free(s);
}

/* A FIN ahead of missing data waits for it. */
static void fin_out_of_order(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    in(s, "F. 1001:2001(1000) ack 1");
    out(s, ". 1:1(0) ack 1 <sack 1001:2001>");
    assert_false(s->sock->eof);
    in(s, ". 1:1001(1000) ack 1");
    out(s, ". 1:1(0) ack 2002");
    assert_true(s->sock->eof);
    assert_int_equal(read_bytes(s), 2000);
    script_free(s);
}

static void lost_fin_is_sent_again(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 10);
    script_close(s);
    out(s, "P. 1:11(10) ack 1");
    out(s, "F. 11:11(0) ack 1");
    advance(s, 300);
    out(s, "FP. 1:11(10) ack 1");
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_window),   cmocka_unit_test(fast_retransmit_by_sack),
        cmocka_unit_test(two_holes),        cmocka_unit_test(reordering_is_waited_for),
        cmocka_unit_test(tail_loss_probe),  cmocka_unit_test(timeout_backs_off),
        cmocka_unit_test(gives_up),         cmocka_unit_test(newreno_without_sack),
        cmocka_unit_test(spurious_timeout), cmocka_unit_test(sack_is_told),
        cmocka_unit_test(fin_out_of_order), cmocka_unit_test(lost_fin_is_sent_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
