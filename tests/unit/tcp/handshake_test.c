/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing: RFC 9293, 3.5, 3.6, 3.10. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include <errno.h>

#define PLAIN "mss 1460"
#define FULL  "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7"

static void passive_open(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_listen(s);
    in(s, "S 0:0(0) win 65535 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>");
    out(s, "S. 0:0(0) ack 1 win 65280 <mss 1460,sackOK,TS val 1 ecr 100,wscale 8>");
    in(s, ". 1:1(0) ack 1 win 257 <nop,nop,TS val 101 ecr 1>");
    script_accept(s);
    none(s);
    write_bytes(s, 988);
    out(s, "P. 1:989(988) ack 1");
    in(s, "P. 1:501(500) ack 989 win 257 <nop,nop,TS val 102 ecr 1>");
    none(s); /* who answers fast may answer again, and so carry the ACK */
    advance(s, 60);
    out(s, ". 989:989(0) ack 501");
    assert_int_equal(read_bytes(s), 500);
    script_free(s);
}

static void active_open(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_connect(s);
    out(s, "S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0,wscale 8>");
    in(s, "S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 100 ecr 1,nop,wscale 7>");
    out(s, ". 1:1(0) ack 1");
    assert_true(s->sock->connected);
    write_bytes(s, 10);
    out(s, "P. 1:11(10) ack 1");
    script_free(s);
}

static void refused(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_connect(s);
    out(s, "S 0:0(0)");
    in(s, "R. 0:0(0) ack 1");
    assert_int_equal(s->sock->error, ECONNREFUSED);
    script_close(s);
    assert_true(s->sock->released);
    script_free(s);
}

static void no_listener(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    s->our_iss_known = true;
    in(s, "S 0:0(0) win 65535");
    out(s, "R. 0:0(0) ack 1");
    in(s, ". 1:1(0) ack 77");
    out(s, "R 77:77(0)");
    in(s, "R 1:1(0)");
    none(s);
    script_free(s);
}

static void peer_closes_first(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    in(s, "F. 1:1(0) ack 1");
    out(s, ". 1:1(0) ack 2");
    assert_true(s->sock->eof);
    write_bytes(s, 100);
    out(s, "P. 1:101(100) ack 2");
    in(s, ". 2:2(0) ack 101");
    script_close(s);
    out(s, "F. 101:101(0) ack 2");
    assert_false(s->sock->released);
    in(s, ". 2:2(0) ack 102");
    assert_true(s->sock->released);
    none(s);
    script_free(s);
}

/* A request, its answer with the end of it, and our end: three segments of ours. */
static void fin_carries_the_ack_of_fin(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 100);
    out(s, "P. 1:101(100) ack 1");
    in(s, "P. 1:201(200) ack 101");
    none(s);
    in(s, "F. 201:201(0) ack 101");
    none(s);
    assert_true(s->sock->eof);
    assert_int_equal(read_bytes(s), 200);
    script_close(s);
    out(s, "F. 101:101(0) ack 202");
    in(s, ". 202:202(0) ack 102");
    assert_true(s->sock->released);
    none(s);
    script_free(s);
}

/* A FIN is acknowledged in time though the host says nothing. */
static void a_fin_s_ack_is_not_late(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 100);
    out(s, "P. 1:101(100) ack 1");
    in(s, "F. 1:1(0) ack 101");
    script_mark(s);
    none(s);
    advance(s, 60);
    out_at(s, 40, 2, ". 101:101(0) ack 2");
    script_free(s);
}

static void we_close_first(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 100);
    script_close(s);
    out(s, "P. 1:101(100) ack 1");
    out(s, "F. 101:101(0) ack 1");
    in(s, ". 1:1(0) ack 102");
    in(s, "F. 1:1(0) ack 102");
    out(s, ". 102:102(0) ack 2");
    assert_true(s->sock->released);
    in(s, "F. 1:1(0) ack 102"); /* TIME-WAIT answers */
    out(s, ". 102:102(0) ack 2");
    advance(s, 61000);
    in(s, "F. 1:1(0) ack 102");
    out(s, "R 102:102(0)");
    script_free(s);
}

static void half_close(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    script_shutdown(s, SHUT_WR);
    out(s, "F. 1:1(0) ack 1");
    in(s, ". 1:1(0) ack 2");
    in(s, "P. 1:1001(1000) ack 2");
    out(s, ". 2:2(0) ack 1001");
    assert_int_equal(read_bytes(s), 1000);
    in(s, "F. 1001:1001(0) ack 2");
    out(s, ". 2:2(0) ack 1002");
    assert_true(s->sock->eof);
    script_close(s);
    assert_true(s->sock->released);
    script_free(s);
}

static void simultaneous_open(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_connect(s);
    out(s, "S 0:0(0)");
    in(s, "S 0:0(0) win 65535 <" FULL ">");
    out(s, "S. 0:0(0) ack 1");
    in(s, "S. 0:0(0) ack 1 win 65535 <" FULL ">");
    assert_true(s->sock->connected);
    drain(s);
    write_bytes(s, 5);
    out(s, "P. 1:6(5) ack 1");
    script_free(s);
}

static void simultaneous_close(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    script_close(s);
    out(s, "F. 1:1(0) ack 1");
    in(s, "F. 1:1(0) ack 1");
    out(s, ". 2:2(0) ack 2");
    in(s, ". 2:2(0) ack 2"); /* CLOSING to TIME-WAIT */
    assert_true(s->sock->released);
    assert_int_equal(counter(s, "tcp_time_wait"), 1);
    script_free(s);
}

static void abort_sends_reset(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 10);
    drain(s);
    script_abort(s);
    out(s, "R. 11:11(0) ack 1");
    assert_true(s->sock->released);
    script_free(s);
}

static void data_after_close(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    script_close(s);
    out(s, "F. 1:1(0) ack 1");
    in(s, "P. 1:101(100) ack 2");
    out(s, "R. 2:2(0) ack 1");
    assert_true(s->sock->released);
    assert_int_equal(counter(s, "tcp_after_close_drop"), 1);
    script_free(s);
}

static void syn_retransmission(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_connect(s);
    out(s, "S 0:0(0)");
    script_mark(s);
    advance(s, 8000);
    out_at(s, 1000, 5, "S 0:0(0)");
    out_at(s, 3000, 5, "S 0:0(0)");
    out_at(s, 7000, 5, "S 0:0(0)");
    advance(s, 130000);
    drain(s);
    assert_int_equal(s->sock->error, ETIMEDOUT);
    script_free(s);
}

static void ipv6(void **state)
{
    struct script *s = script_new(&(struct script_setup){.family = AF_INET6});

    UNUSED(state);
    script_listen(s);
    in(s, "S 0:0(0) win 65535 <" FULL ">");
    out(s, "S. 0:0(0) ack 1 <mss 1440,sackOK,TS val 1 ecr 100,wscale 8>");
    in(s, ". 1:1(0) ack 1 win 257 <nop,nop,TS val 101 ecr 1>");
    script_accept(s);
    write_bytes(s, 3000);
    out(s, ". 1:1429(1428) ack 1");
    out(s, ". 1429:2857(1428) ack 1");
    in(s, ". 1:1(0) ack 2857 win 257 <nop,nop,TS val 102 ecr 1>");
    out(s, "P. 2857:3001(144) ack 1");
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passive_open),
        cmocka_unit_test(active_open),
        cmocka_unit_test(refused),
        cmocka_unit_test(no_listener),
        cmocka_unit_test(peer_closes_first),
        cmocka_unit_test(fin_carries_the_ack_of_fin),
        cmocka_unit_test(a_fin_s_ack_is_not_late),
        cmocka_unit_test(we_close_first),
        cmocka_unit_test(half_close),
        cmocka_unit_test(simultaneous_open),
        cmocka_unit_test(simultaneous_close),
        cmocka_unit_test(abort_sends_reset),
        cmocka_unit_test(data_after_close),
        cmocka_unit_test(syn_retransmission),
        cmocka_unit_test(ipv6),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
