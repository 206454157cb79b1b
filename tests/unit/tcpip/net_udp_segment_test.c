/* SPDX-License-Identifier: Apache-2.0 */
/* UDP_SEGMENT and UDP_GRO: many datagrams in one. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/udp_lab.h"

#include <errno.h>
#include <netinet/udp.h>

#define IP4 34 /* Ethernet and IPv4 header */

static uint8_t bytes[60000];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
}

/* In two pieces, as a ring has it. */
static void send_segments(struct dmm_sock *k, uint32_t len, uint16_t segment)
{
    const uint32_t first = len * 2 / 5 + 1;
    struct dmm_datagram d = {.len = len, .segment = segment};
    d.peer = ip_addr_to_dmm(&lab_peer4, 2000, k->s->family);
    d.iov[0] = (struct iovec){bytes, first};
    d.iov[1] = (struct iovec){bytes + first, len - first};
    hand_over(k, &d);
}

/* What the frames since lab_clear() carry, one after the other, is bytes[0, len). */
static void assert_sent(struct lab *lab, uint32_t len)
{
    uint32_t at = 0;
    for (unsigned i = 0; i < lab->n_sent; i++) {
        const struct lab_frame *f = lab_sent(lab, i);
        const uint32_t n = (uint32_t)f->len - IP4 - 8;
        assert_int_equal(net_get16(f->data + IP4 + 4), n + 8);
        assert_memory_equal(f->data + IP4 + 8, bytes + at, n);
        at += n;
    }
    assert_int_equal(at, len);
}

static void test_cut_here(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    UNUSED(state);
    fill();
    open_bound(lab, &k, AF_INET, 1000);
    send_segments(&k, 2100, 500);
    assert_int_equal(lab->n_sent, 5);
    assert_sent(lab, 2100);
    assert_int_equal(lab_sent(lab, 4)->len, IP4 + 8 + 100);
    assert_int_equal(lab_sent(lab, 0)->meta.gso, DMM_GSO_NONE);
    assert_int_equal(lab->ip.count.udp_out, 5);
    lab_clear(lab);
    send_segments(&k, 500, 500);
    send_segments(&k, 100, 500);
    assert_int_equal(lab->n_sent, 2);
    udp_lab_free(lab);
}

static void test_cut_by_the_port(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    UNUSED(state);
    fill();
    lab->ports[0].offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_USO;
    lab->ports[0].max_gso_size = 5000;
    net_port_changed(&lab->ip, 0);
    open_bound(lab, &k, AF_INET, 1000);
    send_segments(&k, 100, 0); /* finds the neighbour */
    lab_clear(lab);
    send_segments(&k, 12100, 1000);
    assert_sent(lab, 12100);
    assert_int_equal(lab->n_sent, 4); /* 4000 each: whole segments within 5000 */
    for (unsigned i = 0; i < 3; i++) {
        const struct dmm_tx_frame *meta = &lab_sent(lab, i)->meta;
        assert_int_equal(meta->gso, DMM_GSO_UDP);
        assert_int_equal(meta->gso_size, 1000);
        assert_int_equal(meta->hdr_len, IP4 + 8);
        assert_true(meta->flags & DMM_FRAME_CSUM_PARTIAL);
        assert_int_equal(lab_sent(lab, i)->len, IP4 + 8 + 4000);
    }
    assert_int_equal(lab_sent(lab, 3)->meta.gso, DMM_GSO_NONE);
    assert_int_equal(lab->ip.count.udp_out, 13);
    udp_lab_free(lab);
}

/* A full port in the middle: what has gone does not go again. */
static void test_full_port(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    UNUSED(state);
    fill();
    open_bound(lab, &k, AF_INET, 1000);
    send_segments(&k, 100, 0);
    lab_clear(lab);
    lab->transmit_room = 3;
    send_segments(&k, 5000, 1000);
    assert_int_equal(lab->n_sent, 3);
    assert_int_equal(k.out_at, 1); /* the second is still the host's */
    lab->transmit_room = 0;
    udp_port_writable(&lab->ip, 0);
    udp_poll(&lab->ip);
    assert_int_equal(k.out_at, 2);
    assert_int_equal(lab->n_sent, 5);
    assert_sent(lab, 5000);
    send_segments(&k, 600, 500);
    assert_int_equal(lab->n_sent, 7);
    udp_lab_free(lab);
}

static void test_segment_too_large(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    UNUSED(state);
    fill();
    open_bound(lab, &k, AF_INET, 1000);
    send_segments(&k, 3000, 1473);
    assert_int_equal(k.error, EMSGSIZE);
    assert_int_equal(lab->n_sent, 0);
    send_segments(&k, 3000, 1472);
    assert_int_equal(lab->n_sent, 3);
    udp_lab_free(lab);
}

/* Without a known neighbour the segments wait one by one, as far as such may. */
static void test_unknown_neighbour(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    const struct ip_addr stranger = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 77}};
    UNUSED(state);
    fill();
    lab->ports[0].offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_USO;
    lab->ports[0].max_gso_size = 65535;
    net_port_changed(&lab->ip, 0);
    open_bound(lab, &k, AF_INET, 1000);
    struct dmm_datagram d = {.len = 2000, .segment = 1000};
    d.peer = ip_addr_to_dmm(&stranger, 2000, AF_INET);
    d.iov[0] = (struct iovec){bytes, 2000};
    hand_over(&k, &d);
    lab_clear(lab);
    lab_learn(lab, &stranger);
    assert_int_equal(lab->n_sent, 2);
    assert_sent(lab, 2000);
    udp_lab_free(lab);
}

/* On the loop the datagrams stay together as far as the receiver likes it. */
static void test_gro(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock a, b;
    int on = 1, v = 0;
    uint32_t len = sizeof(v);
    UNUSED(state);
    fill();
    open_bound(lab, &a, AF_INET, 1000);
    open_bound(lab, &b, AF_INET, 2000);
    struct dmm_datagram d = {.len = 2100, .segment = 500};
    d.peer = ip_addr_to_dmm(&lab_us4, 2000, AF_INET);
    d.iov[0] = (struct iovec){bytes, 2100};
    hand_over(&a, &d);
    net_poll(&lab->ip);
    assert_int_equal(b.n_rx, 5);
    assert_int_equal(b.rx.segment, 0);
    assert_int_equal(b.rx.len, 100);
    assert_int_equal(tcpip_setsockopt(b.s, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)), 0);
    assert_int_equal(tcpip_getsockopt(b.s, IPPROTO_UDP, UDP_GRO, &v, &len), 0);
    assert_int_equal(v, 1);
    hand_over(&a, &d);
    net_poll(&lab->ip);
    assert_int_equal(b.n_rx, 6);
    assert_int_equal(b.rx.segment, 500);
    assert_int_equal(b.rx.len, 2100);
    assert_memory_equal(b.bytes, bytes, 2100);
    assert_int_equal(lab->ip.count.udp_in, 10);
    d.len = d.iov[0].iov_len = 400; /* one is one */
    hand_over(&a, &d);
    net_poll(&lab->ip);
    assert_int_equal(b.rx.segment, 0);
    assert_int_equal(b.rx.len, 400);
    udp_lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_here),          cmocka_unit_test(test_cut_by_the_port),
        cmocka_unit_test(test_full_port),         cmocka_unit_test(test_segment_too_large),
        cmocka_unit_test(test_unknown_neighbour), cmocka_unit_test(test_gro),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
