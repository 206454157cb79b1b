/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of loss and reordering: what is sent again, when, and how fast the rest goes on (RFC
 * 8985, 6937, 2883, 3708, 3042, 3168, 6191). */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SACKOK "mss 1000,sackOK"
#define TSOPT  "mss 1012,sackOK,TS val 100 ecr 0"
#define N      10

/* ---- a receiver that lost some of ten segments, and answers as RFC 2018 wants ---- */

struct receiver {
    bool has[N];
    unsigned sent[N]; /* how often each was sent */
};

static unsigned in_order(const struct receiver *r)
{
    unsigned n = 0;

    while (n < N && r->has[n])
        n++;
    return n;
}

/* The ACK with up to three blocks, the one with `newest` first. */
static void acknowledge(struct script *s, const struct receiver *r, unsigned newest)
{
    char text[160], blocks[100] = "";
    unsigned n = 0, first = in_order(r);

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = first; i < N && n < 3; i++) {
            unsigned end = i;

            while (end < N && r->has[end])
                end++;
            if (end == i)
                continue;
            if ((newest >= i && newest < end) == (pass == 0)) {
                snprintf(blocks + strlen(blocks), sizeof(blocks) - strlen(blocks), " %u:%u",
                         1 + 1000 * i, 1 + 1000 * end);
                n++;
            }
            i = end;
        }
    }
    if (n > 0)
        snprintf(text, sizeof(text), ". 1:1(0) ack %u <nop,nop,sack%s>", 1 + 1000 * first, blocks);
    else
        snprintf(text, sizeof(text), ". 1:1(0) ack %u", 1 + 1000 * first);
    in(s, text);
}

/* What was sent arrives, except where `lose` says so (by segment and by how often it was sent). */
static void arrive(struct script *s, struct receiver *r, bool (*lose)(unsigned, unsigned, void *),
                   void *arg)
{
    unsigned got[64], n = 0;

    while (s->head != s->tail && n < 64) {
        struct script_frame *f = &s->queue[s->head++ % SCRIPT_QUEUE];
        const uint8_t *tcp = f->data + 14 + 20;
        const uint32_t seq = ((uint32_t)tcp[4] << 24 | tcp[5] << 16 | tcp[6] << 8 | tcp[7]);
        const uint32_t first = (seq - s->our_iss - 1) / 1000;
        const uint32_t len = f->len - 14 - 20 - (tcp[12] >> 4) * 4U;

        for (unsigned i = first; i < first + (len + 999) / 1000 && i < N; i++) {
            if (!lose(i, r->sent[i]++, arg))
                got[n++] = i;
        }
        free(f->data);
        f->data = NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        r->has[got[i]] = true;
        acknowledge(s, r, got[i]);
    }
}

/* Ten segments under a pattern of loss: all arrive within the time; returns how many were sent in
 * all. */
static unsigned transfer(bool (*lose)(unsigned, unsigned, void *), void *arg, const char *options,
                         uint64_t ms)
{
    struct script *s = script_new(NULL);
    struct receiver r = {0};
    unsigned sent = 0;

    script_establish(s, options, 65535);
    write_bytes(s, N * 1000);
    script_mark(s);
    for (uint64_t t = 0; in_order(&r) < N; t += SCRIPT_RTT_MS) {
        if (t > ms)
            fail_msg("only %u of %u segments after %llu ms", in_order(&r), N,
                     (unsigned long long)ms);
        advance(s, SCRIPT_RTT_MS);
        arrive(s, &r, lose, arg);
    }
    for (unsigned i = 0; i < N; i++)
        sent += r.sent[i];
    assert_int_equal(s->sock->tx_len, 0);
    script_free(s);
    return sent;
}

static bool lose_one(unsigned segment, unsigned times, void *arg)
{
    return times == 0 && segment == *(const unsigned *)arg;
}

/* Each segment by itself: found by RACK or by a tail loss probe, never by a timeout. */
static void any_one_lost(void **state)
{
    UNUSED(state);
    for (unsigned i = 0; i < N; i++)
        assert_in_range(transfer(lose_one, &i, SACKOK, 150), N + 1, N + 2);
}

static bool lose_set(unsigned segment, unsigned times, void *arg)
{
    return times == 0 && (*(const unsigned *)arg >> segment & 1);
}

/* Every one of the 1023 patterns. Only what was lost is sent again, but for the probe. */
static void any_pattern_lost(void **state)
{
    UNUSED(state);
    for (unsigned set = 1; set < 1U << N; set++) {
        const unsigned lost = (unsigned)__builtin_popcount(set);
        const unsigned sent = transfer(lose_set, &set, SACKOK, 2000);

        if (set == (1U << N) - 1)
            continue; /* all: a timeout, whose first ACK says what to do */
        if (sent < N + lost || sent > N + lost + 2)
            fail_msg("pattern %03x: %u lost, %u sent", set, lost, sent);
    }
}

static void any_pattern_lost_without_sack(void **state)
{
    UNUSED(state);
    for (unsigned set = 1; set < 1U << N; set += 3)
        transfer(lose_set, &set, "mss 1000", 5000);
}

static bool lose_thrice(unsigned segment, unsigned times, void *arg)
{
    return segment == *(const unsigned *)arg && times < 3;
}

/* RFC 8985: a retransmission that is lost as well. */
static void retransmissions_are_lost_too(void **state)
{
    UNUSED(state);
    for (unsigned i = 0; i < N; i++)
        transfer(lose_thrice, &i, SACKOK, 5000);
}

/* ---- RACK, TLP ---- */

/* A retransmission that is lost is found by what was sent after it (RFC 8985, 3.1): no timeout. */
static void lost_retransmission_is_found(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 30000);
    assert_int_equal(drain(s), 10);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:4001>");
    out(s, "P. 1:1001(1000)"); /* lost again */
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:10001>");
    out(s, ". 10001:11001(1000)"); /* new */
    drain(s);
    advance(s, 25);
    none(s);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:11001>");
    out(s, "P. 1:1001(1000)");
    assert_int_equal(counter(s, "tcp_rto"), 0);
    script_free(s);
}

/* RFC 8985, 7.4.2: the probe was a duplicate, as DSACK tells: nothing had been lost. */
static void needless_probe_costs_nothing(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info i;
    uint32_t len = sizeof(i);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 1000);
    drain(s);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1001");
    write_bytes(s, 3000);
    drain(s);
    advance(s, 100);
    out(s, "P. 3001:4001(1000)");
    in(s, ". 1:1(0) ack 4001");
    in(s, ". 1:1(0) ack 4001 <nop,nop,sack 3001:4001>");
    tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, &i, &len);
    assert_int_equal(i.tcpi_ca_state, TCP_CA_Open);
    assert_int_equal(i.tcpi_snd_ssthresh, 0x7fffffff);
    assert_int_equal(i.tcpi_dsack_dups, 1);
    script_free(s);
}

/* And when it repaired a loss nobody else saw, the window pays for it. */
static void probe_that_repaired_is_a_loss(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info i;
    uint32_t len = sizeof(i);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 1000);
    drain(s);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1001");
    write_bytes(s, 3000);
    drain(s);
    advance(s, 100);
    out(s, "P. 3001:4001(1000)");
    in(s, ". 1:1(0) ack 4001"); /* by the probe, or before it: not known yet */
    write_bytes(s, 1000);
    drain(s);
    in(s, ". 1:1(0) ack 5001"); /* no DSACK came: it was needed */
    tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, &i, &len);
    assert_true(i.tcpi_snd_ssthresh < 0x7fffffff);
    script_free(s);
}

static void sack_all_but_first(struct script *s, unsigned at)
{
    char text[96];

    write_bytes(s, 5000);
    drain(s);
    advance(s, 20);
    snprintf(text, sizeof(text), ". 1:1(0) ack %u <nop,nop,sack %u:%u>", at, at + 1000, at + 5000);
    in(s, text);
    script_mark(s);
    none(s);
}

/* 6.2: where reordering was seen a quarter of the round trip is waited; a DSACK, which tells that
 * it was not enough, makes it two. */
static void reordering_window_grows(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 2000);
    drain(s);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:2001>");
    in(s, ". 1:1(0) ack 2001"); /* only late */
    sack_all_but_first(s, 2001);
    advance(s, 8);
    out_at(s, 5, 1, "P. 2001:3001(1000)");
    in(s, ". 1:1(0) ack 7001 <nop,nop,sack 2001:3001>"); /* late again, and twice now */
    in(s, ". 1:1(0) ack 7001");
    sack_all_but_first(s, 7001);
    advance(s, 14);
    out_at(s, 10, 1, "P. 7001:8001(1000)");
    script_free(s);
}

/* ---- PRR, limited transmit, undo ---- */

/* RFC 6937: in recovery about one segment goes for each two that arrive, not half a window at once.
 */
static void recovery_sends_in_proportion(void **state)
{
    struct script *s = script_new(NULL);
    char text[96];
    unsigned sent = 0, most = 0;

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 60000);
    for (unsigned acked = 0; acked < 20; acked += 2) {
        snprintf(text, sizeof(text), ". 1:1(0) ack %u", 2001 + 1000 * acked);
        in(s, text);
    }
    drain(s); /* thirty segments are out from 20001 on; the first is lost */
    advance(s, 20);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), ". 1:1(0) ack 20001 <nop,nop,sack 21001:%u>",
                 22001 + 1000 * i);
        in(s, text);
        const unsigned n = drain(s);
        sent += n;
        most = n > most ? n : most;
    }
    assert_in_range(most, 1, 2);
    assert_in_range(sent, 9, 17); /* CUBIC keeps 0.7 of the window */
    script_free(s);
}

/* RFC 3042: the first two duplicates let new segments go. */
static void limited_transmit(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1000", 65535);
    write_bytes(s, 30000);
    assert_int_equal(drain(s), 10);
    in(s, ". 1:1(0) ack 1");
    out(s, ". 10001:11001(1000)");
    in(s, ". 1:1(0) ack 1");
    out(s, ". 11001:12001(1000)");
    none(s);
    script_free(s);
}

/* RFC 3708: DSACK tells that what was sent again had arrived: the window is as it was. */
static void dsack_undoes_a_recovery(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info before, after;
    uint32_t len = sizeof(before);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 10000);
    drain(s);
    tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, &before, &len);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:5001>");
    out(s, "P. 1:1001(1000)");
    in(s, ". 1:1(0) ack 5001"); /* the first was late */
    in(s, ". 1:1(0) ack 5001 <nop,nop,sack 1:1001>");
    assert_int_equal(counter(s, "tcp_spurious_recovery"), 1);
    assert_int_equal(counter(s, "tcp_dsack_in"), 1);
    tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, &after, &len);
    assert_true(after.tcpi_snd_cwnd >= before.tcpi_snd_cwnd);
    assert_int_equal(after.tcpi_snd_ssthresh, before.tcpi_snd_ssthresh);
    script_free(s);
}

/* RFC 3522, by timestamps: the same for what was taken for lost. */
static void timestamps_undo_a_recovery(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, TSOPT, 65535);
    write_bytes(s, 10000);
    drain(s);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,TS val 121 ecr 21,nop,nop,sack 1001:5001>");
    assert_int_equal(drain(s), 1);
    advance(s, 5);
    in(s, ". 1:1(0) ack 5001 <nop,nop,TS val 126 ecr 21>"); /* of the first transmission */
    assert_int_equal(counter(s, "tcp_spurious_recovery"), 1);
    script_free(s);
}

/* ---- acknowledgements ---- */

/* One ACK that arrives stands for all that were lost. */
static void lost_acks_do_no_harm(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 10000);
    drain(s);
    advance(s, 20);
    in(s, ". 1:1(0) ack 9001");
    in(s, ". 1:1(0) ack 3001"); /* overtaken */
    in(s, ". 1:1(0) ack 5001");
    none(s);
    in(s, ". 1:1(0) ack 10001");
    none(s);
    assert_int_equal(counter(s, "tcp_retransmits"), 0);
    script_free(s);
}

/* SACK blocks that lie: beyond what was sent, empty, backwards. */
static void lying_sacks(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 5000);
    drain(s);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 3001:900001>");
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 3001:3001>");
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 4001:2001>");
    none(s);
    assert_int_equal(counter(s, "tcp_sack_bad"), 3);
    in(s, ". 1:1(0) ack 5001");
    assert_int_equal(s->sock->tx_len, 0);
    script_free(s);
}

/* A peer that SACKs every other byte: what there is no record left for is ignored, and counted. */
static void sacks_beyond_the_records(void **state)
{
    struct script *s = script_new(NULL);
    char text[128];

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 10000);
    drain(s);
    for (unsigned at = 2; at < 2050; at += 8) {
        snprintf(text, sizeof(text), ". 1:1(0) ack 1 <nop,nop,sack %u:%u %u:%u %u:%u %u:%u>", at,
                 at + 1, at + 2, at + 3, at + 4, at + 5, at + 6, at + 7);
        in(s, text);
        drain(s);
        if (at < 900)
            assert_int_equal(counter(s, "tcp_sack_limit"), 0);
    }
    assert_true(counter(s, "tcp_sack_limit") > 0);
    assert_int_equal(counter(s, "tcp_sack_bad"), 0);
    in(s, ". 1:1(0) ack 10001");
    assert_int_equal(s->sock->tx_len, 0);
    write_bytes(s, 1000); /* there is room again */
    out(s, "P. 10001:11001(1000) ack 1");
    script_free(s);
}

/* A receiver that took a SACKed segment back (RFC 2018, 8): a timeout sends all. */
static void reneging(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, SACKOK, 65535);
    write_bytes(s, 4000);
    drain(s);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:4001>");
    out(s, "P. 1:1001(1000)");
    in(s, ". 1:1(0) ack 1001"); /* and nothing of the rest any more */
    advance(s, 1500);
    assert_true(drain(s) >= 1);
    in(s, ". 1:1(0) ack 2001");
    advance(s, 3000);
    assert_true(drain(s) >= 1);
    in(s, ". 1:1(0) ack 4001");
    assert_int_equal(s->sock->tx_len, 0);
    script_free(s);
}

/* ---- TIME-WAIT of our own connects; simultaneous open with ECN; ECN's fall-back ---- */

static void one_port(struct node *node)
{
    node->config.ports_first = node->config.ports_last = 40000;
}

/* RFC 6191: after a second a connect may take the 4-tuple over, above what the old one had sent. */
static void connect_takes_time_wait_over(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = one_port});

    UNUSED(state);
    script_connect(s);
    out(s, "S 0:0(0)");
    in(s, "S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,TS val 100 ecr 1>");
    drain(s);
    script_close(s);
    out(s, "F. 1:1(0) ack 1");
    in(s, "F. 1:1(0) ack 2 <nop,nop,TS val 110 ecr 2>");
    out(s, ". 2:2(0) ack 2");
    assert_int_equal(counter(s, "tcp_time_wait"), 1);

    struct dmm_sock *early = node_socket(&s->node, AF_INET, SOCK_STREAM);

    assert_int_equal(node_connect(early, AF_INET, 2, PEER_PORT), -EADDRNOTAVAIL);
    advance(s, 1100);
    assert_int_equal(node_connect(early, AF_INET, 2, PEER_PORT), 0);
    assert_int_equal(counter(s, "tcp_time_wait_reused"), 1);
    script_free(s);
}

static void ecn_on(struct node *node)
{
    node->config.ecn = TCPIP_ECN_ON;
}

/* RFC 3168, 6.1.1: a peer that answers a SYN without ECE gets no ECN. */
static void ecn_is_not_forced(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ecn_on});

    UNUSED(state);
    script_connect(s);
    out(s, "SEW 0:0(0)");
    in(s, "S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>");
    out(s, ". 1:1(0) ack 1");
    write_bytes(s, 1000);
    out(s, "[noecn] P. 1:1001(1000) ack 1");
    script_free(s);
}

/* 6.1.5: retransmissions are not ECN-capable; 6.1.2: one reduction a round trip. */
static void ecn_reduces_once(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ecn_on});

    UNUSED(state);
    script_listen(s);
    in(s, "SEW 0:0(0) win 65535 <mss 1000,sackOK>");
    out(s, "SE. 0:0(0) ack 1");
    advance(s, 20);
    in(s, ". 1:1(0) ack 1");
    script_accept(s);
    write_bytes(s, 10000);
    drain(s);
    advance(s, 20);
    in(s, "E. 1:1(0) ack 1001");
    in(s, "E. 1:1(0) ack 2001");
    in(s, "E. 1:1(0) ack 3001");
    assert_int_equal(counter(s, "tcp_ecn_echo_in"), 3);
    struct tcp_info i;
    uint32_t len = sizeof(i);
    tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, &i, &len);
    assert_int_equal(i.tcpi_ca_state, TCP_CA_CWR);
    assert_in_range(i.tcpi_snd_ssthresh, 6, 7); /* 0.7 of what is out, once */
    drain(s);
    advance(s, 400);
    out(s, "[noecn] P. 3001:4001(1000) ack 1");
    script_free(s);
}

/* ---- pacing by the instance's option: a window is spread over its round trip ---- */

static void paced(struct node *node)
{
    node->config.pacing = true;
}

static void pacing_spreads_the_window(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = paced});
    unsigned first, all;

    UNUSED(state);
    script_establish(s, SACKOK, 65535); /* 20 ms of round trip, ten segments of window */
    write_bytes(s, 10000);
    first = drain(s);
    assert_in_range(first, 1, 4);
    all = first;
    for (unsigned ms = 1; ms <= 12; ms++) {
        advance(s, 1);
        const unsigned n = drain(s);
        assert_in_range(n, 0, 4);
        all += n;
    }
    assert_int_equal(all, 10); /* at twice the rate in slow start: in half the round trip */
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_one_lost),
        cmocka_unit_test(any_pattern_lost),
        cmocka_unit_test(any_pattern_lost_without_sack),
        cmocka_unit_test(retransmissions_are_lost_too),
        cmocka_unit_test(lost_retransmission_is_found),
        cmocka_unit_test(needless_probe_costs_nothing),
        cmocka_unit_test(probe_that_repaired_is_a_loss),
        cmocka_unit_test(reordering_window_grows),
        cmocka_unit_test(recovery_sends_in_proportion),
        cmocka_unit_test(limited_transmit),
        cmocka_unit_test(dsack_undoes_a_recovery),
        cmocka_unit_test(timestamps_undo_a_recovery),
        cmocka_unit_test(lost_acks_do_no_harm),
        cmocka_unit_test(lying_sacks),
        cmocka_unit_test(sacks_beyond_the_records),
        cmocka_unit_test(reneging),
        cmocka_unit_test(connect_takes_time_wait_over),
        cmocka_unit_test(ecn_is_not_forced),
        cmocka_unit_test(ecn_reduces_once),
        cmocka_unit_test(pacing_spreads_the_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
