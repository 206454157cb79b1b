/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP and ICMPv6: echo, errors out with their limits, errors in. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/net_lab.h"

#include <errno.h>

#define COUNT(lab, name) ((lab)->ip.count.name)

static const struct lab_ip icmp4 = {.src = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 2}},
                                    .dst = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 1}},
                                    .proto = IPPROTO_ICMP};
static const struct lab_ip icmp6 = {
    .src = {.b = {0xfd, [15] = 2}}, .dst = {.b = {0xfd, [15] = 1}}, .proto = IPPROTO_ICMPV6};

static struct lab *known(void)
{
    struct lab *lab = lab_ready();
    lab_learn(lab, &lab_peer4);
    lab_learn(lab, &lab_peer6);
    lab_clear(lab);
    return lab;
}

/* By hand: 0800 + 1234 + 0001 + 6162 = 7b97, complement 8468; the reply 7397 -> 8c68. */
static void test_echo4(void **state)
{
    struct lab *lab = known();
    uint8_t echo[10] = {8, 0, 0, 0, 0x12, 0x34, 0, 1, 'a', 'b'};
    static const uint8_t want[10] = {0, 0, 0x8c, 0x68, 0x12, 0x34, 0, 1, 'a', 'b'};
    UNUSED(state);
    lab_icmp(lab, &icmp4, echo, 10);
    assert_memory_equal(echo + 2, "\x84\x68", 2);
    const struct lab_frame *f = lab_sent(lab, 0);
    assert_int_equal(f->len, 14 + 20 + 10);
    assert_memory_equal(f->data + 26, lab_us4.b + 12, 4);
    assert_memory_equal(f->data + 34, want, 10);
    assert_int_equal(COUNT(lab, icmp_in), 1);
    assert_int_equal(COUNT(lab, icmp_out), 1);
    lab_free(lab);
}

static void test_echo6(void **state)
{
    struct lab *lab = known();
    uint8_t echo[13] = {128, 0, 0, 0, 0x12, 0x34, 0, 1, 'h', 'e', 'l', 'l', 'o'};
    UNUSED(state);
    lab_icmp(lab, &icmp6, echo, 13);
    const struct lab_frame *f = lab_sent(lab, 0);
    assert_int_equal(f->data[54], 129);
    assert_memory_equal(f->data + 58, echo + 4, 9);
    uint64_t sum = net_csum_pseudo(&lab_us6, &lab_peer6, 58, 13);
    assert_int_equal(net_csum_fold(net_csum_add(sum, f->data + 54, 13)), 0xffff);
    /* To a group: answered from our own address (RFC 4443, 4.2). */
    struct lab_ip how = icmp6;
    how.dst = net_ip_all_nodes;
    lab_icmp(lab, &how, echo, 13);
    assert_memory_equal(lab_sent(lab, 1)->data + 22, lab_us6.b, 16);
    lab_free(lab);
}

static void test_large_echo_is_cut(void **state)
{
    struct lab *lab = known();
    uint8_t echo[2000] = {8};
    UNUSED(state);
    lab_icmp_checksum(&icmp4, echo, 2000);
    struct lab_ip how = icmp4;
    uint8_t p[2048];
    how.id = 5;
    how.fragment = NET_IP4_MF;
    lab_input_ip(lab, p, lab_build_ip(p, &how, echo, 1480));
    how.fragment = 1480 / 8;
    lab_input_ip(lab, p, lab_build_ip(p, &how, echo + 1480, 520));
    assert_int_equal(lab->n_sent, 2);
    uint8_t whole[2000];
    memcpy(whole, lab_sent(lab, 0)->data + 34, 1480);
    memcpy(whole + 1480, lab_sent(lab, 1)->data + 34, 520);
    assert_int_equal(whole[0], 0);
    assert_int_equal(net_csum(whole, 2000), 0);
    lab_free(lab);
}

static void test_bad_and_unwanted(void **state)
{
    struct lab *lab = known();
    uint8_t echo[8] = {8, 0, 0, 1}, p[64];
    UNUSED(state);
    lab_input_ip(lab, p, lab_build_ip(p, &icmp4, echo, 8)); /* wrong checksum */
    lab_input_ip(lab, p, lab_build_ip(p, &icmp4, echo, 7));
    echo[0] = 128;
    lab_input_ip(lab, p, lab_build_ip(p, &icmp6, echo, 8));
    assert_int_equal(COUNT(lab, icmp_bad), 3);
    static const uint8_t unwanted4[] = {0, 4, 5, 9, 10, 13, 17, 40};
    for (unsigned i = 0; i < sizeof(unwanted4); i++) {
        uint8_t m[8] = {unwanted4[i]};
        lab_icmp(lab, &icmp4, m, 8);
        assert_int_equal(COUNT(lab, icmp_type_drop), i + 1);
    }
    struct lab_ip how = icmp4;
    how.dst = net_ip_limited_broadcast;
    uint8_t m[8] = {8};
    lab_icmp(lab, &how, m, 8);
    assert_int_equal(COUNT(lab, icmp_type_drop), 9);
    m[0] = 200;
    lab_icmp(lab, &icmp6, m, 8);
    assert_int_equal(COUNT(lab, icmp_type_drop), 10);
    assert_int_equal(lab->n_sent, 0);
    lab_free(lab);
}

static void test_echo_rate(void **state)
{
    struct lab *lab = known();
    UNUSED(state);
    for (unsigned i = 0; i < 500; i++) {
        uint8_t echo[8] = {8};
        lab_icmp(lab, &icmp4, echo, 8);
    }
    assert_int_equal(lab->n_sent, 50);
    assert_int_equal(COUNT(lab, icmp_rate_limit), 450);
    /* Echoes do not use up the errors' tokens. */
    uint8_t p[64];
    struct lab_ip how = icmp4;
    how.proto = 200;
    lab_input_ip(lab, p, lab_build_ip(p, &how, p, 8));
    assert_int_equal(lab->n_sent, 51);
    lab_free(lab);
}

static void unreachable_for(struct lab *lab, const struct lab_ip *how, uint8_t flags)
{
    uint8_t p[1600];
    static const uint8_t udp[1400];
    size_t n = lab_build_ip(p, how, udp, sizeof(udp));
    bool v4 = ip_addr_is_v4(&how->src);
    struct ip_packet packet = {.src = how->src,
                               .dst = how->dst,
                               .l3 = p,
                               .l3_len = (uint32_t)n,
                               .l4 = p + (v4 ? 20 : 40),
                               .l4_len = sizeof(udp),
                               .proto = how->proto,
                               .flags = flags};
    net_icmp_port_unreachable(&lab->ip, &packet);
}

static void test_errors_out(void **state)
{
    struct lab *lab = known();
    struct lab_ip how = icmp4;
    UNUSED(state);
    how.proto = IPPROTO_UDP;
    unreachable_for(lab, &how, 0);
    const struct lab_frame *f = lab_sent(lab, 0);
    assert_int_equal(f->len, 14 + 576); /* RFC 1812, 4.3.2.3 */
    assert_memory_equal(f->data + 34, "\3\3", 2);
    assert_int_equal(net_csum(f->data + 34, 556), 0);
    struct lab_ip how6 = icmp6;
    how6.proto = IPPROTO_UDP;
    unreachable_for(lab, &how6, 0);
    f = lab_sent(lab, 1);
    assert_int_equal(f->len, 14 + 1280); /* RFC 4443, 2.4 c */
    assert_memory_equal(f->data + 54, "\1\4", 2);
    /* Who gets none: RFC 1122, 3.2.2; RFC 4443, 2.4 e. */
    unreachable_for(lab, &how, IP_PACKET_BROADCAST);
    unreachable_for(lab, &how, IP_PACKET_MULTICAST);
    unreachable_for(lab, &how6, IP_PACKET_MULTICAST);
    how6.src = (struct ip_addr){.q = {0, 0}};
    unreachable_for(lab, &how6, 0);
    assert_int_equal(lab->n_sent, 2);
    lab_free(lab);
}

static void test_no_error_about_an_error(void **state)
{
    struct lab *lab = known();
    uint8_t body[24] = {0};
    UNUSED(state);
    /* An ICMPv6 error behind an extension header that is a problem. */
    struct lab_ip how = icmp6;
    how.proto = NET_IP6_ROUTING;
    body[0] = IPPROTO_ICMPV6;
    body[3] = 1;
    body[8] = 1; /* destination unreachable */
    uint8_t p[80];
    lab_input_ip(lab, p, lab_build_ip(p, &how, body, 24));
    assert_int_equal(COUNT(lab, ip6_ext_bad), 1);
    assert_int_equal(lab->n_sent, 0);
    body[8] = 128; /* an echo gets one */
    lab_input_ip(lab, p, lab_build_ip(p, &how, body, 24));
    assert_int_equal(lab->n_sent, 1);
    lab_free(lab);
}

static void test_error_rate(void **state)
{
    struct lab *lab = known();
    struct lab_ip how = icmp4;
    UNUSED(state);
    how.proto = IPPROTO_UDP;
    for (unsigned i = 0; i < 300; i++)
        unreachable_for(lab, &how, 0);
    assert_int_equal(lab->n_sent, 50);
    assert_int_equal(COUNT(lab, icmp_rate_limit), 250);
    lab_advance(lab, SEC);
    lab_clear(lab);
    for (unsigned i = 0; i < 300; i++)
        unreachable_for(lab, &how, 0);
    assert_int_equal(lab->n_sent, 50);
    lab_free(lab);
}

/* An error from `from` that quotes a TCP segment of ours to far. */
static void error_in(struct lab *lab, bool v4, uint8_t type, uint8_t code, uint32_t rest,
                     const struct ip_addr *src, const struct ip_addr *dst)
{
    uint8_t m[8 + 40 + 8] = {type, code};
    net_put32(m + 4, rest);
    struct lab_ip quoted = {.src = *src, .dst = *dst, .proto = IPPROTO_TCP};
    static const uint8_t tcp[8] = {0, 80, 0x12, 0x34, 0, 0, 0, 7};
    size_t n = lab_build_ip(m + 8, &quoted, tcp, 8);
    net_put16(m + (v4 ? 10 : 12), v4 ? 1500 : 1460); /* it was longer than what is quoted */
    lab_icmp(lab, v4 ? &icmp4 : &icmp6, m, 8 + n);
}

static void test_errors_in(void **state)
{
    struct lab *lab = known();
    struct net_flow flow = {.dst = lab_far4, .proto = IPPROTO_TCP};
    UNUSED(state);
    net_flow_resolve(&lab->ip, &flow);
    lab->error_live = true;
    error_in(lab, true, 3, 1, 0, &lab_us4, &lab_far4);
    assert_int_equal(lab->n_errors, 1);
    assert_int_equal(lab->error.error, EHOSTUNREACH);
    assert_int_equal(lab->error.local_port, 80);
    assert_int_equal(lab->error.remote_port, 0x1234);
    assert_int_equal(lab->error.seq, 7);
    assert_int_equal(COUNT(lab, icmp_error_in), 1);
    /* Not from an address of ours: not even asked. */
    error_in(lab, true, 3, 1, 0, &lab_peer4, &lab_far4);
    assert_int_equal(lab->n_errors, 1);
    assert_int_equal(COUNT(lab, icmp_error_drop), 1);
    error_in(lab, true, 3, 4, 1400, &lab_us4, &lab_far4);
    assert_true(lab->error.too_big);
    net_flow_resolve(&lab->ip, &flow);
    assert_int_equal(flow.mtu, 1400);
    lab_free(lab);
}

/* An MTU is remembered only for a live socket. */
static void test_forged_too_big(void **state)
{
    struct lab *lab = known();
    struct net_flow flow = {.dst = lab_peer6, .proto = IPPROTO_TCP};
    UNUSED(state);
    error_in(lab, true, 3, 4, 576, &lab_us4, &lab_far4);
    assert_int_equal(lab->n_errors, 1);
    assert_int_equal(COUNT(lab, pmtu_updates), 0);
    assert_int_equal(COUNT(lab, icmp_error_drop), 1);
    lab->error_live = true;
    error_in(lab, false, 2, 0, 500, &lab_us6, &lab_peer6);
    net_flow_resolve(&lab->ip, &flow);
    assert_int_equal(flow.mtu, 1280); /* RFC 8201, 4: never under the minimum */
    assert_int_equal(COUNT(lab, pmtu_updates), 1);
    for (unsigned i = 0; i < 40; i++) {
        struct ip_addr dst = net_ip_v4_of(192, 0, 2, (uint8_t)i);
        error_in(lab, true, 3, 4, 1000, &lab_us4, &dst);
    }
    assert_int_equal(lab->ip.net->pmtu.n_entries, 16);
    assert_int_equal(COUNT(lab, pmtu_limit), 25);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo4),
        cmocka_unit_test(test_echo6),
        cmocka_unit_test(test_large_echo_is_cut),
        cmocka_unit_test(test_bad_and_unwanted),
        cmocka_unit_test(test_echo_rate),
        cmocka_unit_test(test_errors_out),
        cmocka_unit_test(test_no_error_about_an_error),
        cmocka_unit_test(test_error_rate),
        cmocka_unit_test(test_errors_in),
        cmocka_unit_test(test_forged_too_big),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
