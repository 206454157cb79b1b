/* SPDX-License-Identifier: Apache-2.0 */
/* Socket options of TCP as Linux has them (tcp(7), socket(7)): what they do, what they refuse, and
 * what an accepted connection has of its listener's. TCP_INFO: info_test.c. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>

#define PLAIN "mss 1000"

static int set(struct script *s, int name, int value)
{
    return node_setsockopt(s->sock, IPPROTO_TCP, name, value);
}

static int get(struct script *s, int name)
{
    return node_getsockopt(s->sock, IPPROTO_TCP, name);
}

/* ---- SO_LINGER, TCP_LINGER2 ---- */

static void linger(struct script *s, int on, int seconds)
{
    const struct linger l = {.l_onoff = on, .l_linger = seconds};

    assert_int_equal(tcpip_setsockopt(s->sock->s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
}

static void linger_zero_resets(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    linger(s, 1, 0);
    write_bytes(s, 10);
    drain(s);
    script_close(s);
    out(s, "R. 11:11(0) ack 1");
    none(s);
    assert_true(s->sock->released);
    script_free(s);
}

static void linger_with_a_time_is_graceful(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    linger(s, 1, 0);
    linger(s, 1, 5);
    write_bytes(s, 10);
    script_close(s);
    out(s, "P. 1:11(10) ack 1");
    out(s, "F. 11:11(0) ack 1");
    script_free(s);
}

/* Closed, and our FIN acknowledged: the peer's is waited for so long. */
static void linger2_bounds_fin_wait_2(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    assert_int_equal(set(s, TCP_LINGER2, 3), 0);
    assert_int_equal(get(s, TCP_LINGER2), 3);
    script_close(s);
    out(s, "F. 1:1(0) ack 1");
    in(s, ". 1:1(0) ack 2");
    advance(s, 2900);
    assert_false(s->sock->released);
    advance(s, 200);
    assert_true(s->sock->released);
    in(s, "F. 1:1(0) ack 2");
    out(s, "R 2:2(0)"); /* forgotten */
    script_free(s);
}

static void linger2_below_zero_waits_for_no_fin(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    assert_int_equal(set(s, TCP_LINGER2, -7), 0);
    assert_int_equal(get(s, TCP_LINGER2), -1);
    write_bytes(s, 10);
    script_close(s);
    out(s, "P. 1:11(10) ack 1"); /* nothing is lost by it */
    out(s, "F. 11:11(0) ack 1");
    in(s, ". 1:1(0) ack 12");
    out(s, "R. 12:12(0) ack 1");
    assert_true(s->sock->released);
    script_free(s);
}

static void linger2_has_a_range(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    assert_int_equal(get(s, TCP_LINGER2), 60); /* the instance's time_wait_ms */
    assert_int_equal(set(s, TCP_LINGER2, 100000), 0);
    assert_int_equal(get(s, TCP_LINGER2), 120);
    script_free(s);
}

/* ---- TCP_CONGESTION ---- */

static int set_congestion(struct dmm_sock *sock, const char *name)
{
    return tcpip_setsockopt(sock->s, IPPROTO_TCP, TCP_CONGESTION, name, (uint32_t)strlen(name));
}

static void assert_congestion(struct dmm_sock *sock, const char *name)
{
    char text[16];
    uint32_t len = sizeof(text);

    assert_int_equal(tcpip_getsockopt(sock->s, IPPROTO_TCP, TCP_CONGESTION, text, &len), 0);
    assert_int_equal(len, sizeof(text));
    assert_string_equal(text, name);
}

static void congestion_by_socket(void **state)
{
    struct script *s = script_new(NULL);
    uint32_t len = 3;
    char few[4] = "xxx";

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    assert_congestion(s->sock, "cubic");
    assert_int_equal(set_congestion(s->sock, "reno"), 0);
    assert_congestion(s->sock, "reno");
    assert_int_equal(set_congestion(s->sock, "newreno"), 0);
    assert_congestion(s->sock, "reno");
    assert_int_equal(set_congestion(s->sock, "dctcp"), 0);
    assert_congestion(s->sock, "dctcp");
    assert_int_equal(set_congestion(s->sock, "bbr"), -ENOENT);
    assert_int_equal(set_congestion(s->sock, "cubicc"), -ENOENT);
    assert_int_equal(set_congestion(s->sock, "a name that is longer than any"), -ENOENT);
    assert_congestion(s->sock, "dctcp");
    assert_int_equal(tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_CONGESTION, few, &len), 0);
    assert_string_equal(few, "dct");
    script_free(s);
}

/* In the middle of a connection the window stays. */
static void congestion_changes_live(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 90000); /* more than the window: only what limits grows */
    assert_int_equal(drain(s), 10);
    in(s, ". 1:1(0) ack 10001");
    assert_int_equal(drain(s), 20);
    assert_int_equal(set_congestion(s->sock, "reno"), 0);
    in(s, ". 1:1(0) ack 30001");
    assert_int_equal(drain(s), 40);
    script_free(s);
}

static void reno(struct node *node)
{
    snprintf(node->config.congestion_control, sizeof(node->config.congestion_control), "reno");
}

static void congestion_of_the_instance(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = reno});

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    assert_congestion(s->sock, "reno");
    script_free(s);
}

/* ---- keepalive, TCP_USER_TIMEOUT, TCP_SYNCNT ---- */

static void keepalive_ranges(void **state)
{
    static const struct {
        int name, min, max, initial;
    } rows[] = {
        {TCP_KEEPIDLE, 1, 32767, 7200},
        {TCP_KEEPINTVL, 1, 32767, 75},
        {TCP_KEEPCNT, 1, 127, 9},
        {TCP_SYNCNT, 1, 127, 6},
    };
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(get(s, rows[i].name), rows[i].initial);
        assert_int_equal(set(s, rows[i].name, rows[i].min - 1), -EINVAL);
        assert_int_equal(set(s, rows[i].name, rows[i].max + 1), -EINVAL);
        assert_int_equal(set(s, rows[i].name, rows[i].max), 0);
        assert_int_equal(get(s, rows[i].name), rows[i].max);
        assert_int_equal(set(s, rows[i].name, rows[i].min), 0);
        assert_int_equal(get(s, rows[i].name), rows[i].min);
    }
    script_free(s);
}

static void keepalive_waits_for_silence(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    assert_int_equal(set(s, TCP_KEEPIDLE, 5), 0);
    assert_int_equal(node_setsockopt(s->sock, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
    for (unsigned i = 0; i < 5; i++) { /* the peer talks: no probe */
        advance(s, 4000);
        in(s, "P. 1:1(0) ack 1");
    }
    none(s);
    script_mark(s);
    advance(s, 5500);
    out_at(s, 5000, 50, ". 0:0(0) ack 1");
    assert_int_equal(node_setsockopt(s->sock, SOL_SOCKET, SO_KEEPALIVE, 0), 0);
    in(s, ". 1:1(0) ack 1");
    advance(s, 60000);
    none(s);
    script_free(s);
}

/* As Linux: the time, not TCP_KEEPCNT, ends a silent connection then. */
static void user_timeout_rules_keepalive(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    set(s, TCP_KEEPIDLE, 2);
    set(s, TCP_KEEPINTVL, 1);
    set(s, TCP_KEEPCNT, 1);
    assert_int_equal(set(s, TCP_USER_TIMEOUT, 8000), 0);
    assert_int_equal(get(s, TCP_USER_TIMEOUT), 8000);
    node_setsockopt(s->sock, SOL_SOCKET, SO_KEEPALIVE, 1);
    advance(s, 7500);
    assert_int_equal(s->sock->error, 0);
    advance(s, 2000);
    assert_int_equal(s->sock->error, ETIMEDOUT);
    script_free(s);
}

/* The peer answers the probes, but its window stays shut (RFC 9293, 3.8.6.1; Linux's tcp(7)). */
static void user_timeout_ends_a_shut_window(void **state)
{
    struct script *s = script_new(NULL);
    const uint64_t start = s->clock;

    UNUSED(state);
    script_establish(s, PLAIN, 1000);
    set(s, TCP_USER_TIMEOUT, 3000);
    write_bytes(s, 5000);
    in(s, ". 1:1(0) ack 1001 win 0");
    for (unsigned i = 0; i < 30 && s->sock->error == 0; i++) {
        drain(s);
        advance(s, 300);
        in(s, ". 1:1(0) ack 1001 win 0");
    }
    assert_int_equal(s->sock->error, ETIMEDOUT);
    assert_in_range(s->clock - start, 3 * SEC, 9 * SEC);
    script_free(s);
}

static void user_timeout_of_connect(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_connect(s);
    assert_int_equal(set(s, TCP_USER_TIMEOUT, -1), -EINVAL);
    assert_int_equal(set(s, TCP_USER_TIMEOUT, 2500), 0);
    advance(s, 2000);
    assert_int_equal(s->sock->error, 0);
    advance(s, 3000);
    assert_int_equal(s->sock->error, ETIMEDOUT);
    script_free(s);
}

static void syncnt(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_connect(s);
    set(s, TCP_SYNCNT, 2);
    advance(s, 60000);
    out(s, "S 0:0(0)");
    out(s, "S 0:0(0)");
    out(s, "S 0:0(0)");
    none(s);
    assert_int_equal(s->sock->error, ETIMEDOUT);
    script_free(s);
}

/* ---- others ---- */

static void quick_ack(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    set(s, TCP_QUICKACK, 0);
    assert_int_equal(get(s, TCP_QUICKACK), 0);
    in(s, "P. 1:101(100) ack 1");
    none(s);
    set(s, TCP_QUICKACK, 1); /* what waits is acknowledged now */
    assert_int_equal(get(s, TCP_QUICKACK), 1);
    run(s);
    out(s, ". 1:1(0) ack 101");
    in(s, "P. 101:201(100) ack 1");
    out(s, ". 1:1(0) ack 201");
    script_free(s);
}

static void maxseg(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_listen(s);
    assert_int_equal(node_setsockopt(s->listener, IPPROTO_TCP, TCP_MAXSEG, 10), -EINVAL);
    assert_int_equal(node_setsockopt(s->listener, IPPROTO_TCP, TCP_MAXSEG, 500), 0);
    in(s, "S 0:0(0) win 65535 <mss 1460>");
    out(s, "S. 0:0(0) ack 1 <mss 500>");
    in(s, ". 1:1(0) ack 1");
    script_accept(s);
    write_bytes(s, 600);
    out(s, ". 1:501(500) ack 1");
    assert_int_equal(get(s, TCP_MAXSEG), 500);
    script_free(s);
}

static void listener_hands_down(void **state)
{
    struct script *s = script_new(NULL);
    const uint64_t rate = 1000000;
    uint64_t got = 0;
    uint32_t len = sizeof(got);

    UNUSED(state);
    script_listen(s);
    node_setsockopt(s->listener, IPPROTO_TCP, TCP_NODELAY, 1);
    node_setsockopt(s->listener, IPPROTO_TCP, TCP_KEEPIDLE, 11);
    node_setsockopt(s->listener, IPPROTO_TCP, TCP_KEEPINTVL, 12);
    node_setsockopt(s->listener, IPPROTO_TCP, TCP_KEEPCNT, 13);
    node_setsockopt(s->listener, IPPROTO_TCP, TCP_USER_TIMEOUT, 1400);
    node_setsockopt(s->listener, IPPROTO_TCP, TCP_LINGER2, 15);
    node_setsockopt(s->listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096);
    node_setsockopt(s->listener, SOL_SOCKET, SO_KEEPALIVE, 1);
    node_setsockopt(s->listener, SOL_IP, IP_TOS, 0x48);
    node_setsockopt(s->listener, SOL_IP, IP_TTL, 17);
    assert_int_equal(set_congestion(s->listener, "dctcp"), 0);
    tcpip_setsockopt(s->listener->s, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
    in(s, "S 0:0(0) win 65535 <mss 1000>");
    drain(s);
    s->our_iss_known = false;
    in(s, "S 0:0(0) win 65535 <mss 1000>");
    out(s, "S. 0:0(0) ack 1");
    in(s, ". 1:1(0) ack 1");
    script_accept(s);
    assert_int_equal(get(s, TCP_NODELAY), 1);
    assert_int_equal(get(s, TCP_KEEPIDLE), 11);
    assert_int_equal(get(s, TCP_KEEPINTVL), 12);
    assert_int_equal(get(s, TCP_KEEPCNT), 13);
    assert_int_equal(get(s, TCP_USER_TIMEOUT), 1400);
    assert_int_equal(get(s, TCP_LINGER2), 15);
    assert_int_equal(node_getsockopt(s->sock, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(node_getsockopt(s->sock, SOL_IP, IP_TOS), 0x48);
    assert_int_equal(node_getsockopt(s->sock, SOL_IP, IP_TTL), 17);
    assert_congestion(s->sock, "dctcp");
    write_bytes(s, 100);
    assert_int_equal(s->sock->tx_sent, 100);
    assert_int_equal(tcpip_getsockopt(s->sock->s, SOL_SOCKET, SO_MAX_PACING_RATE, &got, &len), 0);
    assert_int_equal(got, rate);
    script_free(s);
}

static void no_cookies(struct node *node)
{
    node->config.syn_cookies = false;
}

/* As Linux: a backlog of n leaves room for n + 1; what is not sensible is the largest. */
static void backlog_bounds_half_open(void **state)
{
    static const struct {
        int backlog;
        unsigned room;
    } rows[] = {{0, 1}, {1, 2}, {5, 6}, {-1, 20}};

    UNUSED(state);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct script *s = script_new(&(struct script_setup){.configure = no_cookies});

        script_listen(s);
        assert_int_equal(tcpip_listen(s->listener->s, rows[i].backlog), 0); /* changed later */
        for (unsigned n = 0; n < 20; n++) {
            s->peer_port = (uint16_t)(5000 + n);
            in(s, "S 0:0(0) win 65535 <mss 1000>");
        }
        assert_int_equal(drain(s), rows[i].room);
        assert_int_equal(counter(s, "tcp_half_open_limit"), 20 - rows[i].room);
        script_free(s);
    }
}

static void defer_accept_in_seconds(void **state)
{
    static const struct {
        int set, told;
    } rows[] = {{-1, 0}, {0, 0},   {1, 1},     {2, 3},       {3, 3},         {4, 7},
                {8, 15}, {30, 31}, {100, 127}, {1000, 1087}, {100000, 29887}};
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_listen(s);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) { /* as Linux 6.18 tells them */
        assert_int_equal(node_setsockopt(s->listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, rows[i].set),
                         0);
        assert_int_equal(node_getsockopt(s->listener, IPPROTO_TCP, TCP_DEFER_ACCEPT), rows[i].told);
    }
    script_free(s);
}

static void half_open_deferred(struct script *s, int seconds)
{
    script_listen(s);
    assert_int_equal(node_setsockopt(s->listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds), 0);
    script_mark(s);
    in(s, "S 0:0(0) win 65535 <mss 1000>");
    out(s, "S. 0:0(0) ack 1");
    in(s, ". 1:1(0) ack 1");
    none(s);
    assert_int_equal(s->listener->n_accepted, 0);
}

static void defer_accept_waits_for_data(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    half_open_deferred(s, 7);
    advance(s, 5000); /* nothing is sent again meanwhile: it has arrived */
    none(s);
    in(s, "P. 1:101(100) ack 1");
    script_accept(s);
    assert_int_equal(read_bytes(s), 100);
    drain(s);
    write_bytes(s, 10000);
    assert_int_equal(drain(s), 10); /* the whole initial window: no SYN-ACK was lost */
    assert_int_equal(counter(s, "tcp_deferred"), 1);
    script_free(s);
}

/* At the end of the time the SYN-ACK asks once more, and then an ACK alone will do. */
static void defer_accept_ends(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    half_open_deferred(s, 3);
    advance(s, 2900);
    none(s);
    advance(s, 300);
    out_at(s, 3000, 50, "S. 0:0(0) ack 1");
    assert_int_equal(s->listener->n_accepted, 0);
    in(s, ". 1:1(0) ack 1");
    script_accept(s);
    script_free(s);
}

static void defer_accept_longer_than_retries(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    half_open_deferred(s, 100); /* 7 times */
    advance(s, 126900);
    none(s);
    in(s, "P. 1:101(100) ack 1");
    script_accept(s);
    script_free(s);
}

/* A peer that does not answer any more goes, as any half-open connection. */
static void defer_accept_gives_up(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    half_open_deferred(s, 3);
    advance(s, 200000);
    assert_true(drain(s) > 0);
    in(s, "P. 1:101(100) ack 1");
    out(s, "R 1:1(0)");
    assert_int_equal(s->listener->n_accepted, 0);
    script_free(s);
}

/* A FIN is something to tell. */
static void defer_accept_takes_a_fin(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    half_open_deferred(s, 30);
    in(s, "F. 1:1(0) ack 1");
    script_accept(s);
    assert_true(s->sock->eof);
    script_free(s);
}

static void one_half_open(struct node *node)
{
    node->config.max_half_open = 1;
}

/* What comes back with a SYN cookie is a connection at once: there is nothing to wait in. */
static void defer_accept_and_cookies(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = one_half_open});

    UNUSED(state);
    script_listen(s);
    assert_int_equal(node_setsockopt(s->listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 30), 0);
    s->peer_port = 5000;
    in(s, "S 0:0(0) win 65535 <mss 1000>");
    drain(s);
    s->peer_port = PEER_PORT;
    s->our_iss_known = false;
    in(s, "S 0:0(0) win 65535 <mss 1000>");
    out(s, "S. 0:0(0) ack 1");
    assert_int_equal(counter(s, "tcp_syn_cookies_sent"), 1);
    in(s, ". 1:1(0) ack 1");
    script_accept(s);
    script_free(s);
}

static void host_hears_what_was_sent(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 3000);
    write_bytes(s, 10000);
    assert_int_equal(drain(s), 3);
    assert_int_equal(s->sock->tx_sent, 0);
    assert_int_equal(set(s, TCP_NOTSENT_LOWAT, 4096), 0);
    assert_int_equal(s->sock->tx_sent, 3000); /* at once */
    in(s, ". 1:1(0) ack 2001 win 3000");
    assert_int_equal(drain(s), 2);
    assert_int_equal(s->sock->tx_len, 8000);
    assert_int_equal(s->sock->tx_sent, 3000);
    in(s, ". 1:1(0) ack 5001 win 65535");
    drain(s);
    assert_int_equal(s->sock->tx_sent, 5000); /* all */
    script_shutdown(s, SHUT_WR);
    drain(s);
    assert_int_equal(s->sock->tx_sent, 5000); /* the FIN is none of them */
    assert_int_equal(set(s, TCP_NOTSENT_LOWAT, 0), 0);
    script_free(s);
}

static void no_tx_sent(struct node *node)
{
    node->host.tx_sent = NULL;
}

static void host_that_does_not_listen(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = no_tx_sent});

    UNUSED(state);
    script_establish(s, PLAIN, 3000);
    assert_int_equal(set(s, TCP_NOTSENT_LOWAT, 4096), -ENOPROTOOPT);
    script_free(s);
}

static void what_is_not_there_is_refused(void **state)
{
    static const int names[] = {TCP_FASTOPEN, TCP_MD5SIG, TCP_ULP, TCP_REPAIR, 9999};
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(set(s, names[i], 1), -ENOPROTOOPT);
        assert_int_equal(get(s, names[i]), -1);
    }
    assert_int_equal(node_setsockopt(s->sock, SOL_IPV6, IPV6_V6ONLY, 1), -ENOPROTOOPT);
    assert_int_equal(tcpip_setsockopt(s->sock->s, IPPROTO_TCP, TCP_NODELAY, "x", 1), -EINVAL);
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linger_zero_resets),
        cmocka_unit_test(linger_with_a_time_is_graceful),
        cmocka_unit_test(linger2_bounds_fin_wait_2),
        cmocka_unit_test(linger2_below_zero_waits_for_no_fin),
        cmocka_unit_test(linger2_has_a_range),
        cmocka_unit_test(congestion_by_socket),
        cmocka_unit_test(congestion_changes_live),
        cmocka_unit_test(congestion_of_the_instance),
        cmocka_unit_test(keepalive_ranges),
        cmocka_unit_test(keepalive_waits_for_silence),
        cmocka_unit_test(user_timeout_rules_keepalive),
        cmocka_unit_test(user_timeout_ends_a_shut_window),
        cmocka_unit_test(user_timeout_of_connect),
        cmocka_unit_test(syncnt),
        cmocka_unit_test(quick_ack),
        cmocka_unit_test(maxseg),
        cmocka_unit_test(listener_hands_down),
        cmocka_unit_test(backlog_bounds_half_open),
        cmocka_unit_test(defer_accept_in_seconds),
        cmocka_unit_test(defer_accept_waits_for_data),
        cmocka_unit_test(defer_accept_ends),
        cmocka_unit_test(defer_accept_longer_than_retries),
        cmocka_unit_test(defer_accept_gives_up),
        cmocka_unit_test(defer_accept_takes_a_fin),
        cmocka_unit_test(defer_accept_and_cookies),
        cmocka_unit_test(host_hears_what_was_sent),
        cmocka_unit_test(host_that_does_not_listen),
        cmocka_unit_test(what_is_not_there_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
