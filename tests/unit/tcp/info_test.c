/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP_INFO tells. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/script.h"

#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>

#define PLAIN "mss 1000"
#define TSOPT "mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7"

static struct tcp_info info_of(struct dmm_sock *sock)
{
    struct tcp_info i;
    uint32_t len = sizeof(i);

    memset(&i, 0xa5, sizeof(i));
    assert_int_equal(tcpip_getsockopt(sock->s, IPPROTO_TCP, TCP_INFO, &i, &len), 0);
    assert_int_equal(len, sizeof(i));
    return i;
}

static void info_in_recovery(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info i;
    char text[64];

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK", 65535);
    write_bytes(s, 30000);
    assert_int_equal(drain(s), 10);
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_ca_state, TCP_CA_Open);
    assert_int_equal(i.tcpi_unacked, 10);
    assert_int_equal(i.tcpi_notsent_bytes, 20000);
    assert_int_equal(i.tcpi_snd_ssthresh, 0x7fffffff);
    advance(s, 20);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:2001>");
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_ca_state, TCP_CA_Disorder);
    assert_int_equal(i.tcpi_sacked, 1);
    in(s, ". 1:1(0) ack 1 <nop,nop,sack 1001:6001>");
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_ca_state, TCP_CA_Recovery);
    assert_int_equal(i.tcpi_sacked, 5);
    assert_int_equal(i.tcpi_lost, 1); /* as Linux: until it is acknowledged */
    assert_int_equal(i.tcpi_retrans, 1);
    assert_int_equal(i.tcpi_total_retrans, 1);
    assert_int_equal(i.tcpi_bytes_retrans, 1000);
    assert_in_range(i.tcpi_snd_ssthresh, 2, 9);
    drain(s);
    const unsigned sent = (unsigned)(i.tcpi_bytes_sent - i.tcpi_bytes_retrans); /* RFC 3042: more */
    snprintf(text, sizeof(text), ". 1:1(0) ack %u", 1 + sent);
    in(s, text);
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_ca_state, TCP_CA_Open);
    assert_int_equal(i.tcpi_bytes_acked, sent);
    assert_int_equal(i.tcpi_sacked, 0);
    assert_in_range(i.tcpi_rtt, 15000, 30000);
    assert_in_range(i.tcpi_min_rtt, 15000, 25000);
    assert_in_range(i.tcpi_rto, 200000, 300000);
    script_free(s);
}

static void info_counts(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info i;

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    in(s, "P. 1:501(500) ack 1");
    in(s, "P. 501:1001(500) ack 1");
    drain(s);
    advance(s, 300);
    in(s, ". 1001:1001(0) ack 1"); /* no data */
    write_bytes(s, 2500);
    drain(s);
    advance(s, 100);
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_bytes_received, 1000);
    assert_int_equal(i.tcpi_data_segs_in, 2);
    assert_int_equal(i.tcpi_segs_in, 4); /* the handshake's ACK, two with data, one without */
    assert_int_equal(i.tcpi_bytes_sent, 2500);
    assert_int_equal(i.tcpi_data_segs_out, 3);
    assert_in_range(i.tcpi_last_data_recv, 399, 401);
    assert_in_range(i.tcpi_last_data_sent, 99, 101);
    assert_in_range(i.tcpi_last_ack_recv, 99, 101);
    assert_int_equal(i.tcpi_advmss, 1460); /* what we told the peer; what it told us is snd_mss */
    assert_int_equal(i.tcpi_snd_mss, 1000);
    assert_int_equal(i.tcpi_rcv_mss, 1000);
    assert_int_equal(i.tcpi_pmtu, 1500);
    assert_int_equal(i.tcpi_snd_wnd, 65535);
    assert_int_equal(i.tcpi_pacing_rate, UINT64_MAX);
    assert_int_equal(i.tcpi_fackets, 0);
    script_free(s);
}

static void tso(struct node *node)
{
    node->port.offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6;
    node->port.max_gso_size = 65536;
}

/* A frame of many segments counts as what it is on the wire. */
static void info_counts_segments_of_large_frames(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = tso});
    struct tcp_info i;

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 8500);
    assert_int_equal(drain(s), 1);
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_data_segs_out, 9);
    assert_int_equal(i.tcpi_segs_out, 10); /* and the SYN-ACK */
    script_free(s);
}

static void info_of_a_timeout(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info i;

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    write_bytes(s, 3000);
    drain(s);
    advance(s, 800);
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_ca_state, TCP_CA_Loss);
    assert_int_equal(i.tcpi_retransmits, 2);
    assert_int_equal(i.tcpi_backoff, 2);
    assert_int_equal(i.tcpi_snd_cwnd, 1);
    assert_int_equal(i.tcpi_lost, 3);
    assert_int_equal(i.tcpi_total_retrans, 2);
    script_free(s);
}

static void info_of_a_listener(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info i;

    UNUSED(state);
    script_listen(s);
    in(s, "S 0:0(0) win 65535 <mss 1000>");
    i = info_of(s->listener);
    assert_int_equal(i.tcpi_state, 10);
    assert_int_equal(i.tcpi_unacked, 1);
    assert_true(i.tcpi_sacked > 0); /* the backlog */
    script_free(s);
}

/* What the program allows, not more, whatever it left room for. */
static void info_is_cut(void **state)
{
    struct script *s = script_new(NULL);
    uint8_t bytes[16];
    uint32_t len = 8;

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    memset(bytes, 0xa5, sizeof(bytes));
    assert_int_equal(tcpip_getsockopt(s->sock->s, IPPROTO_TCP, TCP_INFO, bytes, &len), 0);
    assert_int_equal(len, 8);
    assert_int_equal(bytes[8], 0xa5);
    script_free(s);
}

/* As Linux: the SYN and a FIN alone count one, each segment once, whatever was sent again. */
static void info_delivered(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, "mss 1000,sackOK", 65535);
    assert_int_equal(info_of(s->sock).tcpi_delivered, 1);
    write_bytes(s, 5500);
    drain(s);
    advance(s, 20);
    in(s, ". 1:1(0) ack 2001");
    assert_int_equal(info_of(s->sock).tcpi_delivered, 3);
    in(s, ". 1:1(0) ack 2001 <nop,nop,sack 3001:5501>");
    assert_int_equal(info_of(s->sock).tcpi_delivered, 6);
    advance(s, 300); /* 2001:3001 again */
    in(s, ". 1:1(0) ack 5501");
    assert_int_equal(info_of(s->sock).tcpi_delivered, 7);
    assert_int_equal(info_of(s->sock).tcpi_delivered_ce, 0);
    script_shutdown(s, SHUT_WR);
    drain(s);
    in(s, ". 1:1(0) ack 5502");
    assert_int_equal(info_of(s->sock).tcpi_delivered, 8);
    script_free(s);
}

static void ecn_on(struct node *node)
{
    node->config.ecn = TCPIP_ECN_ON;
}

static void info_delivered_ce(void **state)
{
    struct script *s = script_new(&(struct script_setup){.configure = ecn_on});

    UNUSED(state);
    script_connect(s);
    out(s, "SEW 0:0(0)");
    advance(s, 20);
    in(s, "SE. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>");
    assert_int_equal(info_of(s->sock).tcpi_delivered, 1);
    write_bytes(s, 5000);
    drain(s);
    in(s, "E. 1:1(0) ack 2001");
    in(s, ". 1:1(0) ack 5001");
    assert_int_equal(info_of(s->sock).tcpi_delivered, 6);
    assert_int_equal(info_of(s->sock).tcpi_delivered_ce, 2);
    script_free(s);
}

/* 20 ms later all up to `end` has come. */
static struct tcp_info delivered_after_20_ms(struct script *s, unsigned end)
{
    char text[64];

    drain(s);
    advance(s, 20);
    snprintf(text, sizeof(text), ". 1:1(0) ack %u", end);
    in(s, text);
    return info_of(s->sock);
}

static void info_delivery_rate(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info i;

    UNUSED(state);
    script_establish(s, PLAIN, 65535);
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_delivery_rate, 0);
    assert_int_equal(i.tcpi_delivery_rate_app_limited, 1);
    write_bytes(s, 50000);
    i = delivered_after_20_ms(s, 10001); /* the initial window, after silence */
    assert_int_equal(i.tcpi_delivery_rate, 500000);
    assert_int_equal(i.tcpi_delivery_rate_app_limited, 1);
    i = delivered_after_20_ms(s, 30001);
    assert_int_equal(i.tcpi_delivery_rate, 1000000);
    assert_int_equal(i.tcpi_delivery_rate_app_limited, 0);
    delivered_after_20_ms(s, 50001);
    write_bytes(s, 1000); /* tells nothing about the network */
    i = delivered_after_20_ms(s, 51001);
    assert_int_equal(i.tcpi_delivery_rate, 1000000);
    assert_int_equal(i.tcpi_delivery_rate_app_limited, 0);
    write_bytes(s, 25000); /* not all that would have gone, and yet more than was known */
    i = delivered_after_20_ms(s, 76001);
    assert_int_equal(i.tcpi_delivery_rate, 1250000);
    assert_int_equal(i.tcpi_delivery_rate_app_limited, 1);
    script_free(s);
}

static void info_busy_time(void **state)
{
    struct script *s = script_new(NULL);
    struct tcp_info i;

    UNUSED(state);
    script_establish(s, PLAIN, 2000);
    advance(s, 70);
    assert_int_equal(info_of(s->sock).tcpi_busy_time, 0);
    write_bytes(s, 5000); /* 2000 go */
    assert_int_equal(drain(s), 2);
    advance(s, 10);
    i = info_of(s->sock); /* while it lasts */
    assert_int_equal(i.tcpi_rwnd_limited, 10000);
    assert_int_equal(i.tcpi_busy_time, 10000);
    advance(s, 10);
    in(s, ". 1:1(0) ack 2001 win 10000");
    assert_int_equal(drain(s), 3);
    advance(s, 30);
    in(s, ". 1:1(0) ack 5001 win 10000");
    advance(s, 500);
    i = info_of(s->sock);
    assert_int_equal(i.tcpi_rwnd_limited, 20000);
    assert_int_equal(i.tcpi_busy_time, 50000);
    assert_int_equal(i.tcpi_sndbuf_limited, 0);
    script_free(s);
}

static void info_of_a_receiver(void **state)
{
    struct script *s = script_new(NULL);

    UNUSED(state);
    script_establish(s, TSOPT, 65535);
    assert_int_equal(info_of(s->sock).tcpi_rcv_rtt, 0);
    in(s, ". 1:989(988) ack 1 <nop,nop,TS val 120 ecr 1>"); /* of the SYN-ACK, 20 ms ago */
    assert_in_range(info_of(s->sock).tcpi_rcv_rtt, 20000, 21000);
    advance(s, 40);
    in(s, ". 989:1089(100) ack 1 <nop,nop,TS val 160 ecr 21>"); /* may have waited for more */
    assert_in_range(info_of(s->sock).tcpi_rcv_rtt, 20000, 21000);
    in(s, ". 1089:2077(988) ack 1 <nop,nop,TS val 160 ecr 21>");
    assert_in_range(info_of(s->sock).tcpi_rcv_rtt, 22500, 23500); /* an eighth of 40 ms */
    advance(s, 40);
    in(s, ". 2077:3065(988) ack 1 <nop,nop,TS val 200 ecr 21>"); /* the same echo */
    assert_in_range(info_of(s->sock).tcpi_rcv_rtt, 22500, 23500);
    assert_int_equal(info_of(s->sock).tcpi_rcv_ooopack, 0);
    in(s, ". 4053:5041(988) ack 1 <nop,nop,TS val 200 ecr 21>");
    in(s, ". 3065:4053(988) ack 1 <nop,nop,TS val 200 ecr 21>");
    assert_int_equal(info_of(s->sock).tcpi_rcv_ooopack, 1);
    assert_int_equal(read_bytes(s), 5040);
    script_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_in_recovery),
        cmocka_unit_test(info_counts),
        cmocka_unit_test(info_counts_segments_of_large_frames),
        cmocka_unit_test(info_of_a_timeout),
        cmocka_unit_test(info_of_a_listener),
        cmocka_unit_test(info_is_cut),
        cmocka_unit_test(info_delivered),
        cmocka_unit_test(info_delivered_ce),
        cmocka_unit_test(info_delivery_rate),
        cmocka_unit_test(info_busy_time),
        cmocka_unit_test(info_of_a_receiver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
