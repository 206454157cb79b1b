/* SPDX-License-Identifier: Apache-2.0 */
/* Input: what goes up, and each reason why something does not. */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/net_lab.h"

#define COUNT(lab, name) ((lab)->ip.count.name)

static const struct lab_ip udp4 = {.src = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 2}},
                                   .dst = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 1}},
                                   .proto = IPPROTO_UDP};
static const struct lab_ip udp6 = {
    .src = {.b = {0xfd, [15] = 2}}, .dst = {.b = {0xfd, [15] = 1}}, .proto = IPPROTO_UDP};
static const uint8_t payload[16] = "0123456789abcde";

static void input(struct lab *lab, struct lab_ip how, const void *body, size_t len)
{
    uint8_t packet[2048];
    lab_input_ip(lab, packet, lab_build_ip(packet, &how, body, len));
}

static void test_delivery(void **state)
{
    struct lab *lab = lab_ready();
    struct lab_ip how = udp4;
    UNUSED(state);
    how.tos = 0x0a;
    how.ttl = 7;
    input(lab, how, payload, 16);
    assert_int_equal(lab->n_up, 1);
    assert_true(ip_addr_equal(&lab->up.src, &lab_peer4));
    assert_true(ip_addr_equal(&lab->up.dst, &lab_us4));
    assert_int_equal(lab->up.l4_len, 16);
    assert_memory_equal(lab->up_l4, payload, 16);
    assert_int_equal(lab->up.tos, 0x0a);
    assert_int_equal(lab->up.ttl, 7);
    assert_int_equal(lab->up.flags, 0);
    assert_int_equal(lab->up.port, 0);
    input(lab, udp6, payload, 16);
    assert_int_equal(lab->n_up, 2);
    assert_true(ip_addr_equal(&lab->up.src, &lab_peer6));
    assert_int_equal(COUNT(lab, ip4_in) + COUNT(lab, ip6_in), 2);
    lab_free(lab);
}

static void frame_of(uint8_t *frame, const struct net_mac *dst, uint16_t type)
{
    const struct net_eth eth = {.dst = *dst, .src = lab_peer_mac, .type = type};
    net_eth_build(frame, &eth);
}

static void test_ethernet_drops(void **state)
{
    struct lab *lab = lab_ready();
    uint8_t f[60] = {0};
    struct net_mac ours;
    UNUSED(state);
    memcpy(ours.b, lab->ports[0].mac, 6);
    lab_input(lab, f, 13);
    assert_int_equal(COUNT(lab, eth_short_bad), 1);
    frame_of(f, &lab_peer_mac, NET_ETH_IPV4);
    lab_input(lab, f, 60);
    assert_int_equal(COUNT(lab, eth_dst_drop), 1);
    frame_of(f, &ours, NET_ETH_IPV4);
    f[6] |= 1; /* a group as source */
    lab_input(lab, f, 60);
    assert_int_equal(COUNT(lab, eth_dst_drop), 2);
    frame_of(f, &ours, 0x88cc);
    lab_input(lab, f, 60);
    assert_int_equal(COUNT(lab, eth_type_drop), 1);
    frame_of(f, &ours, 46); /* an 802.3 length */
    lab_input(lab, f, 60);
    assert_int_equal(COUNT(lab, eth_type_drop), 2);
    assert_int_equal(COUNT(lab, rx_frames), 5);
    lab_free(lab);
}

static void test_vlan(void **state)
{
    struct lab *lab = lab_ready();
    uint8_t f[18 + 36];
    struct net_eth eth = {.src = lab_peer_mac, .type = NET_ETH_IPV4, .vlan = 5};
    UNUSED(state);
    memcpy(eth.dst.b, lab->ports[0].mac, 6);
    size_t n = net_eth_build(f, &eth);
    n += lab_build_ip(f + n, &udp4, payload, 16);
    lab_input(lab, f, n);
    assert_int_equal(lab->n_up, 0);
    assert_int_equal(COUNT(lab, eth_dst_drop), 1);
    net_put16(f + 14, 0xe000); /* a priority tag is looked through */
    lab_input(lab, f, n);
    assert_int_equal(lab->n_up, 1);
    lab_free(lab);
}

static void test_ip4_drops(void **state)
{
    struct lab *lab = lab_ready();
    uint8_t p[64];
    UNUSED(state);
    size_t n = lab_build_ip(p, &udp4, payload, 16);
    lab_input_ip(lab, p, n - 1);
    assert_int_equal(COUNT(lab, ip4_header_bad), 1);
    p[8]--;
    lab_input_ip(lab, p, n);
    assert_int_equal(COUNT(lab, ip4_csum_bad), 1);
    static const uint8_t bad_src[][4] = {{0, 0, 0, 0},   {127, 0, 0, 1},       {224, 0, 0, 1},
                                         {240, 0, 0, 1}, {255, 255, 255, 255}, {10, 0, 0, 255},
                                         {10, 0, 0, 1}};
    for (unsigned i = 0; i < 7; i++) {
        struct lab_ip how = udp4;
        how.src = net_ip_v4(bad_src[i]);
        input(lab, how, payload, 16);
        assert_int_equal(COUNT(lab, ip_src_bad), i + 1);
    }
    static const uint8_t bad_dst[][4] = {{10, 0, 0, 3}, {127, 0, 0, 1}, {239, 1, 1, 1}};
    for (unsigned i = 0; i < 3; i++) {
        struct lab_ip how = udp4;
        how.dst = net_ip_v4(bad_dst[i]);
        input(lab, how, payload, 16);
        assert_int_equal(COUNT(lab, ip_dst_drop), i + 1);
    }
    assert_int_equal(lab->n_up, 0);
    assert_int_equal(lab->n_sent, 0); /* and nobody is told */
    lab_free(lab);
}

/* RFC 1122, 3.3.6: a unicast address inside a broadcast frame. */
static void test_unicast_in_broadcast_frame(void **state)
{
    struct lab *lab = lab_ready();
    uint8_t f[14 + 36];
    UNUSED(state);
    frame_of(f, &net_mac_broadcast, NET_ETH_IPV4);
    lab_build_ip(f + 14, &udp4, payload, 16);
    lab_input(lab, f, sizeof(f));
    assert_int_equal(COUNT(lab, ip_dst_drop), 1);
    assert_int_equal(lab->n_up, 0);
    lab_free(lab);
}

static void test_broadcast_and_groups_go_up_flagged(void **state)
{
    struct lab *lab = lab_ready();
    struct lab_ip how = udp4;
    UNUSED(state);
    how.dst = net_ip_limited_broadcast;
    input(lab, how, payload, 16);
    assert_int_equal(lab->up.flags, IP_PACKET_BROADCAST);
    how.dst = net_ip_v4_of(10, 0, 0, 255);
    input(lab, how, payload, 16);
    assert_int_equal(lab->up.flags, IP_PACKET_BROADCAST);
    how.dst = net_ip_all_systems;
    input(lab, how, payload, 16);
    assert_int_equal(lab->up.flags, IP_PACKET_MULTICAST);
    how = udp6;
    how.dst = net_ip_all_nodes;
    input(lab, how, payload, 16);
    assert_int_equal(lab->up.flags, IP_PACKET_MULTICAST);
    assert_int_equal(lab->n_up, 4);
    lab_free(lab);
}

static void test_ip4_options(void **state)
{
    struct lab *lab = lab_ready();
    struct {
        uint8_t bytes[4];
        unsigned up, drops, errors;
    } rows[] = {{{0x94, 4, 0, 0}, 1, 0, 0}, {{131, 3, 4, 0}, 0, 1, 0}, {{7, 9, 0, 0}, 0, 1, 1}};
    UNUSED(state);
    lab_learn(lab, &lab_peer4);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t p[64];
        lab_clear(lab);
        lab_build_ip(p, &udp4, payload, 16);
        memmove(p + 24, p + 20, 16);
        memcpy(p + 20, rows[i].bytes, 4);
        p[0] = 0x46;
        net_put16(p + 2, 40);
        net_put16(p + 10, 0);
        net_csum_store(p + 10, net_csum(p, 24));
        lab_input_ip(lab, p, 40);
        assert_int_equal(lab->n_up, rows[i].up);
        assert_int_equal(COUNT(lab, ip4_options_drop), rows[i].drops);
        assert_int_equal(lab->n_sent, rows[i].errors);
    }
    /* The parameter problem points at the option. */
    const uint8_t *icmp = lab_sent(lab, 0)->data + 34;
    assert_int_equal(icmp[0], 12);
    assert_int_equal(icmp[4], 20);
    lab_free(lab);
}

static void test_unknown_protocol(void **state)
{
    struct lab *lab = lab_ready();
    struct lab_ip how = udp4;
    UNUSED(state);
    lab_learn(lab, &lab_peer4);
    lab_learn(lab, &lab_peer6);
    lab_clear(lab);
    how.proto = 132;
    input(lab, how, payload, 16);
    assert_int_equal(COUNT(lab, ip_proto_drop), 1);
    const uint8_t *p = lab_sent(lab, 0)->data;
    assert_int_equal(p[34], 3);
    assert_int_equal(p[35], 2);
    assert_memory_equal(p + 42, "\x45\0\0\x24", 4); /* quotes the packet */
    how = udp6;
    how.proto = 132;
    input(lab, how, payload, 16);
    p = lab_sent(lab, 1)->data;
    assert_int_equal(p[54], 4); /* parameter problem, unrecognized next header */
    assert_int_equal(p[55], 1);
    assert_int_equal(net_get32(p + 58), 6);
    how.proto = IPPROTO_ICMP; /* of the other family */
    input(lab, how, payload, 16);
    how.proto = IPPROTO_IGMP;
    input(lab, how, payload, 16);
    how = udp4;
    how.proto = IPPROTO_ICMPV6;
    input(lab, how, payload, 16);
    assert_int_equal(COUNT(lab, ip_proto_drop), 5);
    lab_free(lab);
}

static void test_ip6_drops(void **state)
{
    struct lab *lab = lab_ready();
    uint8_t p[80];
    struct lab_ip how;
    UNUSED(state);
    size_t n = lab_build_ip(p, &udp6, payload, 16);
    lab_input_ip(lab, p, n - 1);
    net_put16(p + 4, 0); /* jumbo or nonsense */
    lab_input_ip(lab, p, n);
    assert_int_equal(COUNT(lab, ip6_header_bad), 2);
    static const struct ip_addr bad_src[] = {{.b = {0xff, 2, [15] = 1}},
                                             {.b = {[15] = 1}},
                                             {.b = {[10] = 0xff, 0xff, 10, 0, 0, 2}},
                                             {.b = {0xfd, [15] = 1}}};
    for (unsigned i = 0; i < 4; i++) {
        n = lab_build_ip(p, &udp6, payload, 16);
        memcpy(p + 8, bad_src[i].b, 16);
        lab_input_ip(lab, p, n);
        assert_int_equal(COUNT(lab, ip_src_bad), i + 1);
    }
    static const struct ip_addr bad_dst[] = {{.b = {0xfd, [15] = 9}},
                                             {.b = {[15] = 1}},
                                             {.b = {0}},
                                             {.b = {[10] = 0xff, 0xff, 10, 0, 0, 1}},
                                             {.b = {0xff, 1, [15] = 1}},
                                             {.b = {0xff, 5, [15] = 1}}};
    for (unsigned i = 0; i < 6; i++) {
        n = lab_build_ip(p, &udp6, payload, 16);
        memcpy(p + 24, bad_dst[i].b, 16);
        lab_input_ip(lab, p, n);
        assert_int_equal(COUNT(lab, ip_dst_drop), i + 1);
    }
    how = udp6;
    how.proto = NET_IP6_NONE;
    input(lab, how, payload, 16);
    assert_int_equal(COUNT(lab, ip_proto_drop), 1);
    assert_int_equal(lab->n_up, 0);
    assert_int_equal(lab->n_sent, 0);
    lab_free(lab);
}

static void test_ip6_extensions(void **state)
{
    struct lab *lab = lab_ready();
    struct lab_ip how = udp6;
    uint8_t body[90] = {IPPROTO_UDP, 0, 1, 4};
    UNUSED(state);
    lab_learn(lab, &lab_peer6);
    lab_clear(lab);
    memcpy(body + 8, payload, 16);
    how.proto = NET_IP6_DSTOPTS;
    input(lab, how, body, 24);
    assert_int_equal(lab->n_up, 1);
    assert_memory_equal(lab->up_l4, payload, 16);
    body[2] = 0xbe; /* discard and report, even for a group */
    input(lab, how, body, 24);
    assert_int_equal(COUNT(lab, ip6_ext_bad), 1);
    const uint8_t *p = lab_sent(lab, 0)->data;
    assert_int_equal(p[54], 4);
    assert_int_equal(p[55], 2);
    assert_int_equal(net_get32(p + 58), 42);
    how.dst = net_ip_all_nodes;
    input(lab, how, body, 24);
    assert_int_equal(lab->n_sent, 2);
    body[2] = 0xfe; /* not for a group */
    input(lab, how, body, 24);
    assert_int_equal(lab->n_sent, 2);
    body[2] = 0x7e;
    how.dst = lab_us6;
    input(lab, how, body, 24);
    assert_int_equal(lab->n_sent, 2);
    body[1] = 100;
    input(lab, how, body, 24);
    assert_int_equal(COUNT(lab, ip6_ext_bad), 5);
    for (unsigned i = 0; i < 9; i++)
        memcpy(body + (size_t)8 * i, "\x3c\0\1\4\0\0\0", 8);
    input(lab, how, body, 80);
    assert_int_equal(COUNT(lab, ip6_ext_limit), 1);
    assert_int_equal(lab->n_up, 1);
    lab_free(lab);
}

static void fragment4(struct lab *lab, uint16_t id, uint16_t from, uint16_t to, bool more)
{
    static const uint8_t bytes[4096] = {1, 2, 3};
    struct lab_ip how = udp4;
    how.id = id;
    how.fragment = (uint16_t)(from / 8 | (more ? NET_IP4_MF : 0));
    input(lab, how, bytes + from, to - from);
}

static void test_ip4_fragments(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    fragment4(lab, 1, 1480, 2000, false);
    fragment4(lab, 1, 0, 1480, true);
    assert_int_equal(lab->n_up, 1);
    assert_int_equal(lab->up.l4_len, 2000);
    assert_int_equal(lab->up.l3_len, 2020);
    assert_int_equal(lab->up.flags & IP_PACKET_CSUM_OK, 0);
    assert_int_equal(COUNT(lab, frag_done), 1);
    /* RFC 1858: tiny first fragments, and a second one over the first's header. */
    struct lab_ip how = udp4;
    how.fragment = NET_IP4_MF;
    how.proto = IPPROTO_TCP;
    input(lab, how, payload, 16);
    how.fragment = NET_IP4_MF | 1;
    input(lab, how, payload, 16);
    assert_int_equal(COUNT(lab, frag_bad), 2);
    fragment4(lab, 2, 0, 1480, true);
    fragment4(lab, 2, 1472, 1500, false);
    assert_int_equal(COUNT(lab, frag_overlap_drop), 1);
    /* A datagram longer than 65535 with its header. */
    how = udp4;
    how.id = 3;
    static const uint8_t big[8000];
    uint8_t p[9000];
    for (uint32_t at = 0; at < 65528; at += 8000) {
        uint32_t len = 65528 - at < 8000 ? 65528 - at : 8000;
        how.fragment = (uint16_t)(at / 8 | NET_IP4_MF);
        lab_input_ip(lab, p, lab_build_ip(p, &how, big, len));
    }
    how.fragment = 65528 / 8;
    lab_input_ip(lab, p, lab_build_ip(p, &how, big, 7));
    assert_int_equal(COUNT(lab, frag_bad), 3);
    assert_int_equal(lab->n_up, 1);
    lab_free(lab);
}

static void test_fragments_time_out(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    lab_learn(lab, &lab_peer4);
    lab_clear(lab);
    fragment4(lab, 1, 0, 1480, true);
    fragment4(lab, 2, 1480, 2000, false);
    lab_advance(lab, 29 * SEC);
    assert_int_equal(COUNT(lab, frag_timeout_drop), 0);
    lab_advance(lab, 2 * SEC);
    assert_int_equal(COUNT(lab, frag_timeout_drop), 2);
    /* Time exceeded, code 1, only where offset 0 came (RFC 1122, 3.3.2). */
    assert_int_equal(lab->n_sent, 1);
    const struct lab_frame *f = lab_sent(lab, 0);
    assert_int_equal(f->data[34], 11);
    assert_int_equal(f->data[35], 1);
    assert_int_equal(f->len, 14 + 576);
    lab_free(lab);
}

/* IPv6: fragment header {next, 0, offset|more, id} and the piece. */
static void fragment6(struct lab *lab, uint8_t next, uint32_t id, uint16_t from, const void *bytes,
                      size_t len, bool more)
{
    struct lab_ip how = udp6;
    uint8_t body[2048] = {next};
    net_put16(body + 2, (uint16_t)(from | more));
    net_put32(body + 4, id);
    memcpy(body + 8, bytes, len);
    how.proto = NET_IP6_FRAGMENT;
    input(lab, how, body, 8 + len);
}

static void test_ip6_fragments(void **state)
{
    static const uint8_t bytes[1400] = {9, 8, 7};
    struct lab *lab = lab_ready();
    UNUSED(state);
    lab_learn(lab, &lab_peer6);
    lab_clear(lab);
    fragment6(lab, IPPROTO_UDP, 1, 800, bytes, 33, false);
    fragment6(lab, 99, 1, 0, bytes, 800, true); /* the first one's next header counts */
    assert_int_equal(lab->n_up, 0);
    assert_int_equal(COUNT(lab, ip_proto_drop), 1);
    fragment6(lab, 99, 2, 800, bytes, 33, false);
    fragment6(lab, IPPROTO_UDP, 2, 0, bytes, 800, true);
    assert_int_equal(lab->n_up, 1);
    assert_int_equal(lab->up.l4_len, 833);
    assert_int_equal(lab->up_l4[0], 9);
    assert_int_equal(lab->up.l3_len, 873);
    fragment6(lab, IPPROTO_UDP, 3, 0, bytes, 100, false); /* atomic */
    assert_int_equal(lab->n_up, 2);
    lab_clear(lab);
    fragment6(lab, IPPROTO_UDP, 4, 0, bytes, 801, true);
    assert_int_equal(lab_sent(lab, 0)->data[55], 0);
    assert_int_equal(net_get32(lab_sent(lab, 0)->data + 58), 4);
    fragment6(lab, IPPROTO_UDP, 5, 65528, bytes, 16, false);
    assert_int_equal(net_get32(lab_sent(lab, 1)->data + 58), 42);
    fragment6(lab, IPPROTO_TCP, 6, 0, bytes, 16, true); /* RFC 7112 */
    assert_int_equal(lab_sent(lab, 2)->data[55], 3);
    /* A fragment inside a fragment. */
    uint8_t nested[24] = {IPPROTO_UDP, 0, 0, 9};
    fragment6(lab, NET_IP6_FRAGMENT, 7, 0, nested, 24, true);
    fragment6(lab, NET_IP6_FRAGMENT, 7, 24, nested, 8, false);
    assert_int_equal(COUNT(lab, frag_bad), 4);
    assert_int_equal(lab->n_up, 0);
    lab_free(lab);
}

static void test_checksum_flags(void **state)
{
    struct lab *lab = lab_ready();
    uint8_t f[14 + 36];
    struct net_mac ours;
    UNUSED(state);
    memcpy(ours.b, lab->ports[0].mac, 6);
    frame_of(f, &ours, NET_ETH_IPV4);
    lab_build_ip(f + 14, &udp4, payload, 16);
    lab_input(lab, f, sizeof(f));
    assert_false(net_l4_checksum_ok(&lab->up));
    lab_input_flags(lab, f, sizeof(f), DMM_FRAME_CSUM_PARTIAL, DMM_GSO_TCPV4, 8);
    assert_true(net_l4_checksum_ok(&lab->up));
    assert_int_equal(lab->up.gso_size, 8);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivery),
        cmocka_unit_test(test_ethernet_drops),
        cmocka_unit_test(test_vlan),
        cmocka_unit_test(test_ip4_drops),
        cmocka_unit_test(test_unicast_in_broadcast_frame),
        cmocka_unit_test(test_broadcast_and_groups_go_up_flagged),
        cmocka_unit_test(test_ip4_options),
        cmocka_unit_test(test_unknown_protocol),
        cmocka_unit_test(test_ip6_drops),
        cmocka_unit_test(test_ip6_extensions),
        cmocka_unit_test(test_ip4_fragments),
        cmocka_unit_test(test_fragments_time_out),
        cmocka_unit_test(test_ip6_fragments),
        cmocka_unit_test(test_checksum_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
