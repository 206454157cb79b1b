/* SPDX-License-Identifier: Apache-2.0 */
/* What a receiver offers, and that it takes what it has offered: RFC 9293, 3.8.6; RFC 7323, 2.4. */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/wire.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include <stdio.h>

#define SCALE      8           /* what our SYN-ACK names */
#define FIRST_EDGE (1 + 65280) /* and its window */

static void ring_of_65535(struct node *node)
{
    node->rx_cap = 65535;
}

static void ring_of_10500(struct node *node)
{
    node->rx_cap = 10500;
}

static void ring_of_4096(struct node *node)
{
    node->rx_cap = 4096;
}

static void text_in(struct script *s, const char *flags, uint32_t seq, uint32_t len)
{
    char text[64];

    snprintf(text, sizeof(text), "%s %u:%u(%u) ack 1", flags, seq, seq + len, len);
    in(s, text);
}

/* The right edge that the segments sent since the last call have offered, or `edge`. */
static uint32_t right_edge(struct script *s, uint32_t edge)
{
    run(s);
    for (unsigned i = s->head; i != s->tail; i++) {
        const uint8_t *tcp = s->queue[i % SCRIPT_QUEUE].data + 14 + 20;
        const uint32_t told = get32(tcp + 8) - s->peer_iss + ((uint32_t)get16(tcp + 14) << SCALE);

        edge = seq_max(edge, told);
    }
    drain(s);
    return edge;
}

/* The window goes in units of 256 bytes: that must not add up while the application lags. */
static void rounding_does_not_add_up(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ring_of_65535});
    uint32_t edge = FIRST_EDGE, at = 1;

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK,nop,nop,wscale 7", 65535);
    while (at != edge) {
        const uint32_t len = edge - at < 999 ? edge - at : 999;

        text_in(s, ".", at, len);
        at += len;
        advance(s, 50);
        edge = right_edge(s, edge);
        assert_true(edge <= 1 + s->sock->rx_cap);
    }
    assert_int_equal(s->sock->rx_len, at - 1);
    assert_int_equal(counter(s, "tcp_rx_full_drop"), 0);
    assert_int_equal(read_bytes(s), 65535);
    out(s, ". 1:1(0) ack 65536 win 255");
    script_free(s);
}

/* A slow reader that takes odd amounts: each byte that was ever offered is taken. */
static void slow_reader(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ring_of_65535});
    uint32_t edge = FIRST_EDGE, at = 1;
    uint64_t taken = 0;

    UNUSED(state);
    script_establish(s, "mss 1460,sackOK,nop,nop,wscale 7", 65535);
    for (unsigned turn = 0; turn < 3000; turn++) {
        uint8_t buf[1500];

        if (at != edge) {
            const uint32_t most = 1 + turn * 37 % 1460;
            const uint32_t len = edge - at < most ? edge - at : most;

            text_in(s, ".", at, len);
            at += len;
        }
        taken += node_read(s->sock, buf, 1 + turn * 101 % 1000);
        advance(s, 45);
        edge = right_edge(s, edge);
        assert_true(edge - 1 <= taken + s->sock->rx_cap);
        assert_int_equal(s->sock->rx_total, at - 1);
    }
    assert_int_equal(counter(s, "tcp_rx_full_drop"), 0);
    assert_int_equal(counter(s, "tcp_rx_full_held"), 0);
    script_free(s);
}

/* What is too little for the field to say is still taken, and asked for again in time. */
static void remainder_below_the_unit(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ring_of_65535});
    uint8_t buf[4096];
    uint32_t edge;

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK,nop,nop,wscale 7", 65535);
    for (unsigned i = 0; i < 65; i++)
        text_in(s, ".", 1 + i * 1000, 1000);
    edge = right_edge(s, 0);
    text_in(s, "P.", 65001, edge - 100 - 65001);
    advance(s, 50);
    assert_int_equal(right_edge(s, 0), edge - 100);
    text_in(s, "P.", edge - 100, 100);
    advance(s, 50);
    assert_int_equal(right_edge(s, 0), edge);
    assert_int_equal(s->sock->rx_len, edge - 1);
    node_read(s->sock, buf, 900);
    none(s); /* less than a segment */
    node_read(s->sock, buf, 600);
    assert_int_equal(right_edge(s, 0), edge + 1280);
    script_free(s);
}

/* A ring of few units, filled to less than one and read out: peer and we must not both wait. */
static void shut_window_opens_again(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ring_of_4096});
    uint32_t edge = FIRST_EDGE, at = 1;

    UNUSED(state);
    script_establish(s, "mss 536,sackOK,nop,nop,wscale 7", 65535);
    while (at < edge) { /* what the handshake offered */
        text_in(s, ".", at, 257);
        at += 257;
        read_bytes(s);
    }
    edge = right_edge(s, edge);
    for (unsigned turn = 0; turn < 200; turn++) {
        const uint32_t keep = turn % 256; /* of the window */

        while (edge - at > keep) {
            const uint32_t len = edge - at - keep < 500 ? edge - at - keep : 500;

            text_in(s, "P.", at, len);
            at += len;
        }
        advance(s, 50);
        edge = right_edge(s, edge);
        assert_true(read_bytes(s) > 0);
        edge = right_edge(s, edge);
        assert_true(edge - at >= 3840); /* the whole ring, rounded down */
    }
    assert_int_equal(counter(s, "tcp_rx_full_drop"), 0);
    assert_int_equal(counter(s, "tcp_rx_full_held"), 0);
    script_free(s);
}

/* The handshake's window is offered before the ring is there: what a smaller ring refuses is held,
 * is not told by SACK (it begins at RCV.NXT), and follows when the application reads. */
static void refused_bytes_are_held(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ring_of_10500});

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK", 65535);
    for (unsigned i = 0; i < 10; i++)
        text_in(s, ".", 1 + i * 1000, 1000);
    drain(s);
    text_in(s, ".", 10001, 1000);
    out(s, ". 1:1(0) ack 10501 win 55035 <>");
    text_in(s, ".", 11001, 1000);
    out(s, ". 1:1(0) ack 10501 <>");
    text_in(s, ".", 13001, 1000);
    out(s, ". 1:1(0) ack 10501 <sack 13001:14001>");
    text_in(s, ".", 10501, 500); /* sent again: no DSACK above the ACK without its island */
    out(s, ". 1:1(0) ack 10501 <sack 13001:14001>");
    assert_int_equal(counter(s, "tcp_rx_full_held"), 1);
    assert_int_equal(read_bytes(s), 10500);
    out(s, ". 1:1(0) ack 12001 <sack 13001:14001>");
    text_in(s, ".", 12001, 1000);
    out(s, ". 1:1(0) ack 14001 <>");
    assert_int_equal(read_bytes(s), 3500);
    assert_int_equal(counter(s, "tcp_rx_full_drop"), 0);
    script_free(s);
}

/* The end comes after the bytes that were held before it. */
static void fin_behind_held_bytes(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ring_of_10500});

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK", 65535);
    for (unsigned i = 0; i < 10; i++)
        text_in(s, ".", 1 + i * 1000, 1000);
    drain(s);
    in(s, "FP. 10001:11001(1000) ack 1");
    out(s, ". 1:1(0) ack 10501 <>");
    assert_false(s->sock->eof);
    assert_int_equal(read_bytes(s), 10500);
    out(s, ". 1:1(0) ack 11002 <>");
    assert_true(s->sock->eof);
    assert_int_equal(read_bytes(s), 500);
    script_close(s);
    out(s, "F. 1:1(0) ack 11002");
    script_free(s);
}

static void no_memory(struct node *node)
{
    node->rx_cap = 10500;
    node->config.max_out_of_order = 0;
}

/* Without memory to hold it in, what is refused is dropped, counted, and has to come again. */
static void nowhere_to_hold(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = no_memory});

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK", 65535);
    for (unsigned i = 0; i < 10; i++)
        text_in(s, ".", 1 + i * 1000, 1000);
    drain(s);
    text_in(s, ".", 10001, 1000);
    out(s, ". 1:1(0) ack 10501 <>");
    assert_int_equal(counter(s, "tcp_rx_full_drop"), 1);
    assert_int_equal(read_bytes(s), 10500);
    drain(s);
    text_in(s, "P.", 10501, 500);
    assert_int_equal(read_bytes(s), 500);
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_does_not_add_up), cmocka_unit_test(slow_reader),
        cmocka_unit_test(remainder_below_the_unit), cmocka_unit_test(shut_window_opens_again),
        cmocka_unit_test(refused_bytes_are_held),   cmocka_unit_test(fin_behind_held_bytes),
        cmocka_unit_test(nowhere_to_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
