/* SPDX-License-Identifier: Apache-2.0 */
/* Against strangers and accidents: RFC 5961, 7323 (PAWS), 4987 (cookies), 1337, 6191, 5927, 1191,
 * 8201, 2923, 3168, 8257; backlog and limits. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>

#define PLAIN "mss 1000"
#define TSOPT "mss 1012,sackOK,TS val 100 ecr 0"

static void reset_exact_and_in_window(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    in(s, "R 5001:5001(0)"); /* in the window, not exact: challenge */
    out(s, ". 1:1(0) ack 1");
    assert_int_equal(s->sock->error, 0);
    in(s, "R 900001:900001(0)"); /* outside: nothing */
    none(s);
    in(s, "R 1:1(0)");
    none(s);
    assert_int_equal(s->sock->error, ECONNRESET);
    assert_int_equal(counter(s, "tcp_reset_bad"), 2);
    script_free(s);
}

static void syn_in_window(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    in(s, "S 5001:5001(0)");
    out(s, ". 1:1(0) ack 1");
    assert_int_equal(s->sock->error, 0);
    assert_int_equal(counter(s, "tcp_challenge_acks"), 1);
    script_free(s);
}

static void ack_of_unsent(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    in(s, ". 1:1001(1000) ack 5000");
    out(s, ". 1:1(0) ack 1");
    assert_int_equal(s->sock->rx_len, 0);
    assert_int_equal(counter(s, "tcp_ack_bad"), 1);
    script_free(s);
}

static void few_challenges(struct node *node)
{
    node->config.challenge_rate = 10;
}

static void challenges_are_limited(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = few_challenges});
    unsigned sent = 0;

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    for (unsigned i = 0; i < 100; i++) {
        in(s, "S 5001:5001(0)");
        sent += drain(s);
    }
    assert_in_range(sent, 5, 15);
    assert_true(counter(s, "tcp_challenge_limit") > 0);
    script_free(s);
}

static void paws(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, TSOPT, 65535);
    in(s, ". 1:101(100) ack 1 <nop,nop,TS val 200 ecr 1>");
    out(s, ". 1:1(0) ack 101 <TS val * ecr 200>");
    in(s, ". 101:201(100) ack 1 <nop,nop,TS val 150 ecr 1>"); /* from the past */
    out(s, ". 1:1(0) ack 101 <TS val * ecr 200>");
    in(s, ". 101:201(100) ack 1"); /* without a timestamp */
    none(s);
    assert_int_equal(s->sock->rx_len, 100);
    assert_int_equal(counter(s, "tcp_paws_drop"), 2);
    script_free(s);
}

static void zero_options_loop(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    in(s, ". 1:101(100) ack 1 <eol,nop,nop,nop>");
    out(s, ". 1:1(0) ack 101");
    script_free(s);
}

static void half_open_two(struct node *node)
{
    node->config.max_half_open = 2;
}

static void syn_cookies(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = half_open_two});

    UNUSED(state);
    script_listen(s);
    for (unsigned i = 0; i < 2; i++) {
        s->peer_port = (uint16_t)(5000 + i);
        in(s, "S 0:0(0) win 65535 <mss 1000>");
    }
    drain(s);
    s->peer_port = PEER_PORT;
    in(s, "S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>");
    out(s, "S. 0:0(0) ack 1 <mss 1460,sackOK,TS val * ecr 100,wscale 8>");
    none(s);
    assert_int_equal(counter(s, "tcp_syn_cookies_sent"), 1);
    in(s, ". 1:101(100) ack 1 win 257 <nop,nop,TS val 101 ecr 1>");
    out(s, ". 1:1(0) ack 101");
    script_accept(s);
    assert_int_equal(read_bytes(s), 100);
    assert_int_equal(counter(s, "tcp_syn_cookies_ok"), 1);
    write_bytes(s, 3000); /* MSS, scale and SACK came through the cookie */
    out(s, ". 1:1449(1448) ack 101");
    out(s, ". 1449:2897(1448) ack 101");
    out(s, "P. 2897:3001(104) ack 101");
    s->peer_port = 4001;
    in(s, ". 1:1(0) ack 77"); /* a guess */
    out(s, "R 77:77(0)");
    assert_int_equal(counter(s, "tcp_syn_cookies_bad"), 1);
    script_free(s);
}

static void no_cookies(struct node *node)
{
    node->config.max_half_open = 2;
    node->config.syn_cookies = false;
}

static void half_open_is_bounded(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = no_cookies});

    UNUSED(state);
    script_listen(s);
    for (unsigned i = 0; i < 50; i++) {
        s->peer_port = (uint16_t)(5000 + i);
        in(s, "S 0:0(0) win 65535 <mss 1000>");
    }
    assert_int_equal(drain(s), 2);
    assert_int_equal(counter(s, "tcp_half_open_limit"), 48);
    script_free(s);
}

static void backlog_full(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_listen(s);
    s->listener->accept_limit = 1;
    in(s, "S 0:0(0) win 65535 <mss 1000>");
    out(s, "S. 0:0(0) ack 1");
    in(s, ". 1:1(0) ack 1");
    s->peer_port = 4001;
    in(s, "S 0:0(0) win 65535 <mss 1000>"); /* no answer: the peer tries again */
    none(s);
    s->peer_port = PEER_PORT;
    script_accept(s);
    s->peer_port = 4001;
    in(s, "S 0:0(0) win 65535 <mss 1000>");
    out(s, "S. 0:0(0) ack 1");
    script_free(s);
}

/* To TIME-WAIT by our close. */
static void close_to_time_wait(struct script *s)
{
    script_close(s);
    out(s, "F. 1:1(0) ack 1");
    in(s, "F. 1:1(0) ack 2 <nop,nop,TS val 150 ecr 1>");
    out(s, ". 2:2(0) ack 2");
    assert_true(s->sock->released);
}

static void time_wait_resists_reset(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, TSOPT, 65535);
    close_to_time_wait(s);
    in(s, "R 2:2(0)"); /* RFC 1337 */
    none(s);
    in(s, "F. 1:1(0) ack 2 <nop,nop,TS val 151 ecr 1>");
    out(s, ". 2:2(0) ack 2");
    script_free(s);
}

static void time_wait_reuse(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, TSOPT, 65535);
    close_to_time_wait(s);
    in(s, "S 100:100(0) win 65535 <mss 1012,sackOK,TS val 120 ecr 0>"); /* older */
    out(s, ". 2:2(0) ack 2");
    in(s, "S 100:100(0) win 65535 <mss 1012,sackOK,TS val 200 ecr 0>");
    out(s, "S. 0:0(0) ack 101");
    assert_int_equal(counter(s, "tcp_time_wait_reused"), 1);
    script_free(s);
}

static void few_time_waits(struct node *node)
{
    node->config.max_time_wait = 4;
}

static void time_wait_is_bounded(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = few_time_waits});

    UNUSED(state);
    script_listen(s);
    for (unsigned i = 0; i < 20; i++) {
        s->peer_port = (uint16_t)(5000 + i);
        s->our_iss_known = false;
        in(s, "S 0:0(0) win 65535 <mss 1000>");
        out(s, "S. 0:0(0) ack 1");
        in(s, ". 1:1(0) ack 1");
        script_accept(s);
        script_close(s);
        out(s, "F. 1:1(0) ack 1");
        in(s, "F. 1:1(0) ack 2");
        out(s, ". 2:2(0) ack 2");
        assert_true(s->sock->released);
    }
    assert_int_equal(counter(s, "tcp_time_wait_limit"), 16);
    script_free(s);
}

static void path_mtu(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460", 65535);
    write_bytes(s, 2000);
    out(s, ". 1:1461(1460) ack 1");
    out(s, "P. 1461:2001(540) ack 1");
    in_too_big(s, 900001, 1000); /* not about what is in flight (RFC 5927) */
    none(s);
    in_too_big(s, 1, 1000);
    out(s, "P. 1:961(960) ack 1");
    out(s, "P. 961:1921(960) ack 1");
    out(s, "P. 1921:2001(80) ack 1");
    assert_int_equal(counter(s, "tcp_fast_recoveries"), 0);
    script_free(s);
}

static void path_mtu_has_a_floor(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460", 65535);
    write_bytes(s, 1460);
    out(s, "P. 1:1461(1460) ack 1");
    in_too_big(s, 1, 68);
    out(s, "P. 1:513(512) ack 1"); /* 552, not 68 */
    script_free(s);
}

static void path_mtu6(void **state)
{
    struct script *s = script_new(&(struct script_setup){.family = AF_INET6});

    UNUSED(state);
    script_establish(s, "mss 1440", 65535);
    write_bytes(s, 1440);
    out(s, "P. 1:1441(1440) ack 1");
    in_too_big(s, 1, 1280);
    out(s, "P. 1:1221(1220) ack 1");
    script_free(s);
}

static void black_hole(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460", 65535);
    write_bytes(s, 1460);
    out(s, "P. 1:1461(1460) ack 1");
    advance(s, 1600);
    out(s, "P. 1:1461(1460) ack 1");
    out(s, "P. 1:1461(1460) ack 1");
    out(s, "P. 1:1241(1240) ack 1");
    assert_int_equal(counter(s, "tcp_pmtu_black_holes"), 1);
    script_free(s);
}

static void ecn_on(struct node *node)
{
    node->config.ecn = TCPIP_ECN_ON;
}

static void ecn(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ecn_on});

    UNUSED(state);
    script_connect(s);
    out(s, "[noecn] SEW 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,wscale 8>");
    advance(s, 20);
    in(s, "SE. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>");
    out(s, ". 1:1(0) ack 1");
    write_bytes(s, 4000);
    out(s, "[ect0] . 1:1001(1000) ack 1");
    drain(s);
    in(s, "E. 1:1(0) ack 1001");
    in(s, ". 1:1(0) ack 4001");
    write_bytes(s, 1000);
    out(s, "[ect0] PW. 4001:5001(1000) ack 1"); /* 6.1.2: we reduced */
    in(s, "[ce] . 1:1001(1000) ack 5001");
    out(s, "[noecn] E. 5001:5001(0) ack 1001"); /* until CWR */
    in(s, "[ect0] . 1001:2001(1000) ack 5001");
    out(s, "E. 5001:5001(0) ack 2001");
    in(s, "[ect0] W. 2001:3001(1000) ack 5001");
    advance(s, 50);
    out(s, ". 5001:5001(0) ack 3001");
    script_free(s);
}

static void dctcp(struct node *node)
{
    snprintf(node->config.congestion_control, sizeof(node->config.congestion_control), "dctcp");
}

static void dctcp_echoes_each_mark(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = dctcp});

    UNUSED(state);
    script_listen(s);
    in(s, "SEW 0:0(0) win 65535 <mss 1000,sackOK>");
    out(s, "SE. 0:0(0) ack 1");
    in(s, ". 1:1(0) ack 1");
    script_accept(s);
    in(s, "[ce] . 1:1001(1000) ack 1");
    out(s, "E. 1:1(0) ack 1001");
    in(s, "[ect0] . 1001:2001(1000) ack 1");
    out(s, ". 1:1(0) ack 2001");
    script_free(s);
}

static void bad_segments_are_counted(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    in(s, "F 1:1(0)"); /* no ACK */
    none(s);
    assert_int_equal(counter(s, "tcp_ack_bad"), 1);
    in(s, "SF 1:1(0)");
    drain(s);
    in(s, ". 900001:901001(1000) ack 1");
    drain(s);
    assert_int_equal(counter(s, "tcp_window_drop"), 1);
    script_free(s);
}

static void tcp_info(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info info;
    uint32_t len = sizeof(info);

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7", 65535);
    write_bytes(s, 988);
    drain(s);
    assert_int_equal(tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    assert_int_equal(info.tcpi_state, 1);
    assert_int_equal(info.tcpi_snd_wscale, 7);
    assert_int_equal(info.tcpi_rcv_wscale, 8);
    assert_int_equal(info.tcpi_snd_mss, 988);
    assert_int_equal(info.tcpi_unacked, 1);
    assert_int_equal(info.tcpi_snd_cwnd, 10);
    assert_in_range(info.tcpi_rtt, 19000, 21000);
    assert_int_equal(info.tcpi_options & (TCPI_OPT_SACK | TCPI_OPT_TIMESTAMPS | TCPI_OPT_WSCALE),
                     TCPI_OPT_SACK | TCPI_OPT_TIMESTAMPS | TCPI_OPT_WSCALE);
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reset_exact_and_in_window),
        cmocka_unit_test(syn_in_window),
        cmocka_unit_test(ack_of_unsent),
        cmocka_unit_test(challenges_are_limited),
        cmocka_unit_test(paws),
        cmocka_unit_test(zero_options_loop),
        cmocka_unit_test(syn_cookies),
        cmocka_unit_test(half_open_is_bounded),
        cmocka_unit_test(backlog_full),
        cmocka_unit_test(time_wait_resists_reset),
        cmocka_unit_test(time_wait_reuse),
        cmocka_unit_test(time_wait_is_bounded),
        cmocka_unit_test(path_mtu),
        cmocka_unit_test(path_mtu_has_a_floor),
        cmocka_unit_test(path_mtu6),
        cmocka_unit_test(black_hole),
        cmocka_unit_test(ecn),
        cmocka_unit_test(dctcp_echoes_each_mark),
        cmocka_unit_test(bad_segments_are_counted),
        cmocka_unit_test(tcp_info),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
