/* SPDX-License-Identifier: Apache-2.0 */
/* When to send, and when to acknowledge: RFC 9293, 3.7.4 and 3.8.6; RFC 5681, 4.2; RFC 7323. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>

#define PLAIN "mss 1000"

static void nagle(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 100);
    out(s, "P. 1:101(100) ack 1");
    write_bytes(s, 100);
    write_bytes(s, 100);
    none(s);
    in(s, ". 1:1(0) ack 101");
    out(s, "P. 101:301(200) ack 1");
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_NODELAY, 1);
    write_bytes(s, 50);
    out(s, "P. 301:351(50) ack 1");
    script_free(s);
}

static void cork(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_CORK, 1);
    write_bytes(s, 400);
    none(s);
    write_bytes(s, 700);
    out(s, ". 1:1001(1000) ack 1");
    none(s);
    in(s, ". 1:1(0) ack 1001");
    none(s);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_CORK, 0);
    out(s, "P. 1001:1101(100) ack 1");
    in(s, ". 1:1(0) ack 1101");
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_CORK, 1);
    write_bytes(s, 10);
    script_mark(s);
    advance(s, 300);
    out_at(s, 220, 40, "P. 1101:1111(10) ack 1"); /* but not for ever */
    script_free(s);
}

static void zero_window_probe(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 1000);
    write_bytes(s, 5000);
    out(s, ". 1:1001(1000) ack 1");
    in(s, ". 1:1(0) ack 1001 win 0");
    none(s);
    script_mark(s);
    advance(s, 1800);
    out_at(s, 220, 15, ". 1000:1000(0) ack 1");
    out_at(s, 660, 30, ". 1000:1000(0) ack 1");
    out_at(s, 1540, 60, ". 1000:1000(0) ack 1");
    in(s, ". 1:1(0) ack 1001 win 0");
    none(s);
    in(s, ". 1:1(0) ack 1001 win 2000");
    out(s, ". 1001:2001(1000) ack 1");
    out(s, ". 2001:3001(1000) ack 1");
    none(s);
    script_free(s);
}

/* 3.8.6.2.1: a window of less than a segment is used only after a wait. */
static void silly_window_sender(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 4000);
    write_bytes(s, 8000);
    drain(s);
    in(s, ". 1:1(0) ack 4001 win 300");
    none(s);
    script_mark(s);
    advance(s, 250);
    out_at(s, 220, 30, ". 4001:4301(300) ack 1");
    script_free(s);
}

/* 3.8.6.2.2: the receiver opens its window by a segment at least. */
static void small_buffer(struct node *node)
{
    node->rx_cap = 65535;
}

static void silly_window_receiver(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = small_buffer});
    uint8_t buf[65535];
    char text[64];

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    for (unsigned i = 0; i < 65; i++) {
        snprintf(text, sizeof(text), ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
        in(s, text);
    }
    in(s, ". 65001:65536(535) ack 1");
    drain(s);
    node_read(s->sock, buf, 500);
    none(s);
    node_read(s->sock, buf, 500);
    out(s, ". 1:1(0) ack 65536 win 1000");
    script_free(s);
}

static void delayed_ack(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460", 65535);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_QUICKACK, 0);
    in(s, ". 1:1461(1460) ack 1");
    none(s);
    in(s, ". 1461:2921(1460) ack 1"); /* every second full segment */
    out(s, ". 1:1(0) ack 2921");
    in(s, ". 2921:4381(1460) ack 1");
    script_mark(s);
    advance(s, 60);
    out_at(s, 40, 2, ". 1:1(0) ack 4381");
    script_free(s);
}

/* A full segment is smaller where it carries a timestamp (RFC 6691, 2). */
static void delayed_ack_with_timestamps(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460,TS val 100 ecr 0", 65535);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_QUICKACK, 0);
    in(s, ". 1:1449(1448) ack 1 <nop,nop,TS val 120 ecr 1>");
    none(s);
    in(s, ". 1449:2897(1448) ack 1 <nop,nop,TS val 120 ecr 1>");
    out(s, ". 1:1(0) ack 2897");
    script_free(s);
}

static void a_first_request_s_ack_rides_on_the_answer(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460", 65535);
    in(s, "P. 1:101(100) ack 1");
    none(s);
    write_bytes(s, 100);
    out(s, "P. 1:101(100) ack 101");
    advance(s, 100);
    none(s);
    script_free(s);
}

/* Whoever sends its request in pieces may wait for the first one's ACK (Nagle). */
static void a_first_request_s_ack_is_not_late(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460", 65535);
    in(s, "P. 1:101(100) ack 1");
    script_mark(s);
    advance(s, 10);
    out_at(s, 1, 1, ". 1:1(0) ack 101");
    in(s, "P. 101:201(100) ack 1");
    out(s, ". 1:1(0) ack 201");
    script_free(s);
}

/* There is more to come: the peer's window grows by ACKs. */
static void a_first_segment_of_many_is_acknowledged_at_once(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460", 65535);
    in(s, ". 1:1461(1460) ack 1");
    out(s, ". 1:1(0) ack 1461");
    script_free(s);
}

static void ack_rides_on_data(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1460", 65535);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_QUICKACK, 0);
    in(s, "P. 1:101(100) ack 1");
    none(s);
    write_bytes(s, 100);
    out(s, "P. 1:101(100) ack 101");
    advance(s, 100);
    none(s);
    script_free(s);
}

static void window_scaling(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1000,nop,wscale 2", 500); /* unscaled in the SYN, 2000 after */
    write_bytes(s, 5000);
    out(s, ". 1:1001(1000) ack 1");
    out(s, ". 1001:2001(1000) ack 1");
    none(s);
    script_free(s);
}

static void wscale_over_14(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1000,nop,wscale 200", 65535);
    assert_int_equal(s->sock->error, 0);
    write_bytes(s, 1000);
    out(s, "P. 1:1001(1000) ack 1");
    script_free(s);
}

static void no_mss_option(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_listen(s);
    in(s, "S 0:0(0) win 65535");
    out(s, "S. 0:0(0) ack 1 <mss 1460>");
    in(s, ". 1:1(0) ack 1");
    script_accept(s);
    write_bytes(s, 600);
    out(s, ". 1:537(536) ack 1"); /* RFC 9293, 3.7.1: 536 */
    script_free(s);
}

static void tso(struct node *node)
{
    node->port.offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6;
    node->port.max_gso_size = 65536;
}

static void large_frames(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = tso});

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 8500);
    assert_int_equal(s->queue[s->head % SCRIPT_QUEUE].gso, DMM_GSO_TCPV4);
    assert_int_equal(s->queue[s->head % SCRIPT_QUEUE].gso_size, 1000);
    out(s, "P. 1:8501(8500) ack 1");
    script_free(s);
}

static void port_full(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    s->node.blocked = true;
    write_bytes(s, 3000);
    none(s);
    s->node.blocked = false;
    tcpip_port_writable(s->node.ip, 0);
    out(s, ". 1:1001(1000) ack 1");
    out(s, ". 1001:2001(1000) ack 1");
    out(s, "P. 2001:3001(1000) ack 1");
    script_free(s);
}

static void keepalive(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_KEEPIDLE, 10);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_KEEPINTVL, 2);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_KEEPCNT, 3);
    node_setsockopt(s->sock, SOL_SOCKET, SO_KEEPALIVE, 1);
    script_mark(s);
    advance(s, 11000);
    out_at(s, 10000, 20, ". 0:0(0) ack 1");
    in(s, ". 1:1(0) ack 1");
    script_mark(s);
    advance(s, 16500);
    out_at(s, 10000, 1100, ". 0:0(0) ack 1");
    out_at(s, 12000, 1100, ". 0:0(0) ack 1");
    out_at(s, 14000, 1100, ". 0:0(0) ack 1");
    out(s, "R. 1:1(0) ack 1");
    assert_int_equal(s->sock->error, ETIMEDOUT);
    script_free(s);
}

static void user_timeout(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    node_setsockopt(s->sock, IPPROTO_TCP, TCP_USER_TIMEOUT, 3000);
    write_bytes(s, 100);
    advance(s, 2500);
    assert_int_equal(s->sock->error, 0);
    advance(s, 4000);
    assert_int_equal(s->sock->error, ETIMEDOUT);
    script_free(s);
}

static void idle_restart(void **state)
{
    struct script *s = script_new(NULL);
    char text[64];

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    for (unsigned i = 0; i < 10; i++) {
        write_bytes(s, 20000);
        advance(s, 10);
        for (unsigned n = 0; n < 4; n++) {
            drain(s);
            snprintf(text, sizeof(text), ". 1:1(0) ack %u", 1 + 20000 * i + 5000 * (n + 1));
            in(s, text);
        }
    }
    drain(s);
    advance(s, 5000);
    write_bytes(s, 30000);
    assert_int_equal(drain(s), 10); /* RFC 5681, 4.1: back to the initial window */
    script_free(s);
}

static void pacing(void **state)
{
    struct script *s = script_new(NULL);
    const uint64_t rate = 1000000; /* bytes a second: a segment a millisecond */

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    tcpip_setsockopt(s->sock->s, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
    write_bytes(s, 10000);
    assert_true(drain(s) <= 2);
    advance(s, 4);
    const unsigned n = drain(s);
    assert_true(n >= 2 && n <= 5);
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nagle),
        cmocka_unit_test(cork),
        cmocka_unit_test(zero_window_probe),
        cmocka_unit_test(silly_window_sender),
        cmocka_unit_test(silly_window_receiver),
        cmocka_unit_test(delayed_ack),
        cmocka_unit_test(delayed_ack_with_timestamps),
        cmocka_unit_test(a_first_request_s_ack_rides_on_the_answer),
        cmocka_unit_test(a_first_request_s_ack_is_not_late),
        cmocka_unit_test(a_first_segment_of_many_is_acknowledged_at_once),
        cmocka_unit_test(ack_rides_on_data),
        cmocka_unit_test(window_scaling),
        cmocka_unit_test(wscale_over_14),
        cmocka_unit_test(no_mss_option),
        cmocka_unit_test(large_frames),
        cmocka_unit_test(port_full),
        cmocka_unit_test(keepalive),
        cmocka_unit_test(user_timeout),
        cmocka_unit_test(idle_restart),
        cmocka_unit_test(pacing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
