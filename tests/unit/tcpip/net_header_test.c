/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, read and written: Ethernet, ARP, IPv4, IPv6 and its extensions, ND options, ICMP errors.
 */
#include "sidecar/tcpip/net/arp_packet.h"
#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/icmp_error.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/nd_message.h"
#include "sidecar/tcpip/net/wire.h"
#include "tests/unit/cmocka.h"

#include <errno.h>

static void test_ethernet(void **state)
{
    static const uint8_t plain[14] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00};
    static const uint8_t tagged[18] = {1,  2,  3,  4,    5,    6,    7,    8,    9,
                                       10, 11, 12, 0x81, 0x00, 0xa0, 0x64, 0x86, 0xdd};
    struct net_eth e;
    uint8_t out[18];
    UNUSED(state);
    assert_true(net_eth_parse(plain, 14, &e));
    assert_int_equal(e.type, NET_ETH_IPV4);
    assert_int_equal(e.hdr_len, 14);
    assert_int_equal(net_eth_build(out, &e), 14);
    assert_memory_equal(out, plain, 14);
    assert_false(net_eth_parse(plain, 13, &e));
    assert_true(net_eth_parse(tagged, 18, &e));
    assert_int_equal(e.type, NET_ETH_IPV6);
    assert_int_equal(e.vlan, 100);
    assert_int_equal(e.hdr_len, 18);
    assert_int_equal(net_eth_build(out, &e), 18);
    assert_memory_equal(out, tagged, 18); /* with the tag's priority */
    assert_false(net_eth_parse(tagged, 17, &e));
}

static void test_interface_id(void **state)
{
    /* RFC 4291, appendix A: 34-56-78-9A-BC-DE gives 36-56-78-FF-FE-9A-BC-DE. */
    static const struct net_mac mac = {{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}};
    uint8_t id[8];
    UNUSED(state);
    net_mac_interface_id(&mac, id);
    assert_memory_equal(id, "\x36\x56\x78\xff\xfe\x9a\xbc\xde", 8);
}

static void test_arp(void **state)
{
    static const uint8_t wire[28] = {0,  1, 8, 0, 6, 4, 0, 2, 2, 0, 0,  0, 0, 2,
                                     10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1};
    struct net_arp a;
    uint8_t out[28], bad[28];
    UNUSED(state);
    assert_true(net_arp_read(wire, 28, &a));
    assert_int_equal(a.op, NET_ARP_REPLY);
    assert_int_equal(a.sender.b[15], 2);
    net_arp_write(out, &a);
    assert_memory_equal(out, wire, 28);
    assert_false(net_arp_read(wire, 27, &a));
    static const struct {
        uint8_t at, value;
    } faults[] = {{1, 6}, {3, 1}, {4, 8}, {5, 16}, {7, 3}, {7, 0}, {8, 1}};
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        memcpy(bad, wire, 28);
        bad[faults[i].at] = faults[i].value;
        assert_false(net_arp_read(bad, 28, &a));
    }
}

static void test_scopes_and_prefixes(void **state)
{
    struct ip_addr a = net_ip_v4_of(10, 1, 2, 3), b = net_ip_v4_of(10, 1, 3, 3);
    UNUSED(state);
    assert_int_equal(net_ip_common_bits(&a, &b), 96 + 23);
    assert_true(net_ip_in_prefix(&a, &b, 96 + 23));
    assert_false(net_ip_in_prefix(&a, &b, 96 + 24));
    struct ip_addr bc = net_ip_broadcast(&a, 96 + 24);
    assert_int_equal(net_get32(bc.b + 12), 0x0a0102ff);
    bc = net_ip_broadcast(&a, 96 + 31);
    assert_true(net_ip_is_none(&bc));
    struct ip_addr ll = {.b = {0xfe, 0x80, [15] = 1}}, mc = {.b = {0xff, 5, [15] = 1}};
    assert_int_equal(net_ip_scope(&ll), NET_SCOPE_LINK);
    assert_int_equal(net_ip_scope(&mc), NET_SCOPE_SITE);
    assert_int_equal(net_ip_scope(&a), NET_SCOPE_GLOBAL);
    struct ip_addr x = {.b = {0xfd, [13] = 0xab, 0xcd, 0xef}};
    struct ip_addr sn = net_ip_solicited_node(&x);
    assert_memory_equal(sn.b, "\xff\2\0\0\0\0\0\0\0\0\0\1\xff\xab\xcd\xef", 16);
}

static size_t ip4(uint8_t *p, const uint8_t *options, size_t len)
{
    struct net_ip4_header h = {.src = net_ip_v4_of(1, 2, 3, 4),
                               .dst = net_ip_v4_of(5, 6, 7, 8),
                               .total_len = (uint16_t)(20 + len + 4),
                               .ttl = 9,
                               .protocol = 17};
    net_ip4_write(p, &h);
    memcpy(p + 20, options, len);
    p[0] = (uint8_t)(0x45 + len / 4);
    net_put16(p + 10, 0);
    net_csum_store(p + 10, net_csum(p, 20 + len));
    return 24 + len;
}

static void test_ip4(void **state)
{
    uint8_t p[84] = {0}, at;
    struct net_ip4_header h;
    UNUSED(state);
    size_t len = ip4(p, p, 0);
    assert_int_equal(net_ip4_read(p, len, &h, &at), NET_IP4_OK);
    assert_int_equal(h.total_len, 24);
    assert_int_equal(h.ttl, 9);
    assert_int_equal(net_ip4_read(p, len + 20, &h, &at), NET_IP4_OK); /* padding behind */
    assert_int_equal(net_ip4_read(p, len - 1, &h, &at), NET_IP4_BAD_HEADER);
    assert_int_equal(net_ip4_read(p, 19, &h, &at), NET_IP4_BAD_HEADER);
    p[8]--;
    assert_int_equal(net_ip4_read(p, len, &h, &at), NET_IP4_BAD_CHECKSUM);
    p[0] = 0x65;
    assert_int_equal(net_ip4_read(p, len, &h, &at), NET_IP4_BAD_HEADER);
    p[0] = 0x44;
    assert_int_equal(net_ip4_read(p, len, &h, &at), NET_IP4_BAD_HEADER);
    ip4(p, p, 0);
    net_put16(p + 2, 19);
    assert_int_equal(net_ip4_read(p, len, &h, &at), NET_IP4_BAD_HEADER);
}

static void test_ip4_options(void **state)
{
    static const struct {
        uint8_t o[8];
        enum net_ip4_fault fault;
        uint8_t at;
    } rows[] = {
        {{1, 1, 1, 0}, NET_IP4_OK, 0},
        {{0x94, 4, 0, 0, 1, 1, 1, 1}, NET_IP4_OK, 0},
        {{0, 0xff, 0xff, 0xff, 9, 9, 9, 9}, NET_IP4_OK, 0}, /* behind the end: not looked at */
        {{1, 7, 0, 0}, NET_IP4_BAD_OPTION, 21},
        {{7, 1, 0, 0}, NET_IP4_BAD_OPTION, 20},
        {{7, 9, 0, 0}, NET_IP4_BAD_OPTION, 20},
        {{1, 1, 1, 1, 1, 1, 1, 7}, NET_IP4_BAD_OPTION, 27},
        {{131, 7, 4, 1, 2, 3, 4, 0}, NET_IP4_SOURCE_ROUTE, 20},
        {{1, 137, 7, 4, 1, 2, 3, 4}, NET_IP4_SOURCE_ROUTE, 21},
    };
    UNUSED(state);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t p[84] = {0}, at = 0;
        struct net_ip4_header h;
        size_t len = ip4(p, rows[i].o, 8);
        assert_int_equal(net_ip4_read(p, len, &h, &at), rows[i].fault);
        if (rows[i].fault != NET_IP4_OK)
            assert_int_equal(at, rows[i].at);
    }
}

static void test_ip6_header(void **state)
{
    struct net_ip6_header h = {.src = {.b = {0xfd, [15] = 1}},
                               .dst = {.b = {0xfd, [15] = 2}},
                               .flow_label = 0xfffff,
                               .payload_len = 8,
                               .traffic_class = 0xa5,
                               .next = 17,
                               .hop_limit = 3};
    struct net_ip6_header r;
    uint8_t p[48] = {0};
    UNUSED(state);
    net_ip6_write(p, &h);
    assert_memory_equal(p, "\x6a\x5f\xff\xff\0\10\21\3", 8);
    assert_true(net_ip6_read(p, 48, &r));
    assert_int_equal(r.traffic_class, 0xa5);
    assert_int_equal(r.flow_label, 0xfffff);
    assert_true(ip_addr_equal(&r.dst, &h.dst));
    assert_false(net_ip6_read(p, 47, &r));
    assert_false(net_ip6_read(p, 39, &r));
    p[0] = 0x4a;
    assert_false(net_ip6_read(p, 48, &r));
}

struct walk_row {
    uint8_t first; /* type of the first header */
    uint8_t bytes[40];
    uint8_t len;
    enum net_ip6_walk_end end;
    uint8_t next, code;
    uint16_t at; /* from the first extension header */
};

static const struct walk_row walk_rows[] = {
    {17, {0}, 8, NET_IP6_UPPER, 17, 0, 0},
    {59, {0}, 0, NET_IP6_END, 59, 0, 0},
    {0, {17, 0, 1, 4}, 16, NET_IP6_UPPER, 17, 0, 8},             /* PadN */
    {0, {17, 0, 5, 2, 0, 0, 1, 0}, 16, NET_IP6_UPPER, 17, 0, 8}, /* router alert */
    {0, {60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4}, 24, NET_IP6_UPPER, 6, 0, 16},
    {0, {17, 0, 0x3e, 4}, 16, NET_IP6_UPPER, 17, 0, 8},  /* unknown, action 00 */
    {0, {17, 0, 0x7e, 4}, 16, NET_IP6_SILENT, 0, 0, 0},  /* action 01 */
    {0, {17, 0, 0xbe, 4}, 16, NET_IP6_PROBLEM, 0, 2, 2}, /* action 10 */
    {0, {17, 0, 0xfe, 4}, 16, NET_IP6_PROBLEM, 0, 2, 2}, /* action 11 */
    {0, {17, 0, 1, 5}, 16, NET_IP6_PROBLEM, 0, 0, 2},    /* runs out of its header */
    {0, {17, 1, 1, 4}, 15, NET_IP6_TRUNCATED, 0, 0, 0},
    {0, {17, 0}, 7, NET_IP6_TRUNCATED, 0, 0, 0},
    {60, {0, 0, 1, 4}, 16, NET_IP6_PROBLEM, 0, 1, 0},             /* hop-by-hop not first */
    {43, {17, 0, 0, 0}, 16, NET_IP6_UPPER, 17, 0, 8},             /* routing, none left */
    {43, {17, 0, 0, 1}, 16, NET_IP6_PROBLEM, 0, 0, 2},            /* RFC 5095 */
    {44, {17, 0, 0, 0, 1, 2, 3, 4}, 16, NET_IP6_UPPER, 17, 0, 8}, /* atomic: RFC 6946 */
    {44, {17, 0, 0, 1, 1, 2, 3, 4}, 16, NET_IP6_FRAGMENTED, 17, 0, 8},
    {44, {17, 0, 0, 8, 1, 2, 3, 4}, 16, NET_IP6_FRAGMENTED, 17, 0, 8},
};

static void test_ip6_walk(void **state)
{
    UNUSED(state);
    for (unsigned i = 0; i < sizeof(walk_rows) / sizeof(walk_rows[0]); i++) {
        const struct walk_row *row = &walk_rows[i];
        uint8_t p[80] = {0};
        struct net_ip6_walk w;
        memcpy(p + 40, row->bytes, 40);
        assert_int_equal(net_ip6_walk(p, 40u + row->len, row->first, 40, true, &w), row->end);
        if (row->end == NET_IP6_UPPER || row->end == NET_IP6_FRAGMENTED) {
            assert_int_equal(w.next, row->next);
            assert_int_equal(w.at, 40 + row->at);
        }
        if (row->end == NET_IP6_PROBLEM) {
            assert_int_equal(w.code, row->code);
            assert_int_equal(w.at, 40 + row->at);
        }
    }
}

static void test_ip6_walk_limits(void **state)
{
    uint8_t p[2200] = {0};
    struct net_ip6_walk w;
    UNUSED(state);
    /* Nine destination options headers. */
    for (unsigned i = 0; i < 9; i++) {
        p[40 + i * 8] = i == 8 ? 17 : 60;
        p[42 + i * 8] = 1;
        p[43 + i * 8] = 4;
    }
    assert_int_equal(net_ip6_walk(p, 200, 60, 40, true, &w), NET_IP6_TOO_MANY);
    assert_int_equal(net_ip6_walk(p, 200, 60, 48, false, &w), NET_IP6_UPPER);
    /* One of 208 bytes. */
    memset(p, 0, sizeof(p));
    p[40] = 17;
    p[41] = 25;
    assert_int_equal(net_ip6_walk(p, 2000, 60, 40, true, &w), NET_IP6_TOO_MANY);
    /* Nine options in one header. */
    memset(p, 0, sizeof(p));
    p[40] = 17;
    p[41] = 2;
    for (unsigned i = 0; i < 9; i++)
        p[42 + 2 * i] = 0x3e;
    assert_int_equal(net_ip6_walk(p, 100, 60, 40, true, &w), NET_IP6_TOO_MANY);
    /* The fragment's fields. */
    static const uint8_t f[8] = {6, 0, 0x12, 0x39, 0xde, 0xad, 0xbe, 0xef};
    memcpy(p + 40, f, 8);
    assert_int_equal(net_ip6_walk(p, 100, 44, 40, true, &w), NET_IP6_FRAGMENTED);
    assert_int_equal(w.fragment.id, 0xdeadbeef);
    assert_int_equal(w.fragment.offset, 0x1238);
    assert_true(w.fragment.more);
    assert_int_equal(w.fragment.at, 40);
    assert_int_equal(w.fragment.named_by, 6);
}

static void test_nd_options(void **state)
{
    uint8_t p[600] = {0};
    struct net_nd_options o;
    static const struct net_mac mac = {{2, 0, 0, 0, 0, 9}};
    UNUSED(state);
    size_t n = net_nd_put_ll(p, NET_ND_OPT_SOURCE_LL, &mac);
    n += net_nd_put_nonce(p + n, 0x112233445566);
    assert_true(net_nd_options_read(p, n, &o));
    assert_true(o.has_source && net_mac_equal(&o.source, &mac));
    assert_int_equal(o.nonce, 0x112233445566);
    assert_false(o.has_target);
    assert_false(net_nd_options_read(p, n - 1, &o));
    p[9] = 0;
    assert_false(net_nd_options_read(p, n, &o)); /* length zero */
    p[9] = 3;
    assert_false(net_nd_options_read(p, n, &o)); /* runs out */
    p[2] = 3;
    assert_false(net_nd_options_read(p, 8, &o)); /* a group address */
    for (unsigned i = 0; i < 75; i++) {
        uint8_t *option = p + (size_t)8 * i;
        option[0] = 200;
        option[1] = 1;
    }
    assert_true(net_nd_options_read(p, (size_t)8 * NET_ND_OPTIONS, &o));
    assert_false(net_nd_options_read(p, (size_t)8 * (NET_ND_OPTIONS + 1), &o));
}

static void test_router_advert(void **state)
{
    uint8_t p[16 + 32 + 8] = {134, 0, 0, 0, 63, 0x18, 0x07, 0x08, 0, 0, 0x75, 0x30, 0, 0, 3, 0xe8};
    struct net_nd_advert ra;
    UNUSED(state);
    p[16] = 3;
    p[17] = 4;
    p[18] = 60;
    p[19] = 0xc0;
    net_put32(p + 20, 86400);
    net_put32(p + 24, 3600);
    memset(p + 32, 0xff, 16);
    p[48] = 5;
    p[49] = 1;
    net_put32(p + 52, 1400);
    assert_true(net_nd_advert_read(p, sizeof(p), &ra));
    assert_int_equal(ra.hop_limit, 63);
    assert_int_equal(ra.preference, -1);
    assert_int_equal(ra.lifetime, 1800);
    assert_int_equal(ra.reachable, 30000);
    assert_int_equal(ra.retrans, 1000);
    assert_int_equal(ra.options.mtu, 1400);
    assert_int_equal(ra.options.n_prefixes, 1);
    assert_int_equal(ra.options.prefixes[0].valid, 86400);
    assert_true(ra.options.prefixes[0].on_link && ra.options.prefixes[0].autonomous);
    assert_memory_equal(ra.options.prefixes[0].prefix.b, "\xff\xff\xff\xff\xff\xff\xff\xf0\0", 9);
    assert_false(net_nd_advert_read(p, 15, &ra));
}

static size_t quoted(uint8_t *p, bool v4, uint16_t len)
{
    const struct net_ip4_header h4 = {.src = net_ip_v4_of(10, 0, 0, 1),
                                      .dst = net_ip_v4_of(10, 0, 0, 2),
                                      .total_len = len,
                                      .protocol = 6};
    const struct net_ip6_header h6 = {.src = {.b = {0xfd, [15] = 1}},
                                      .dst = {.b = {0xfd, [15] = 2}},
                                      .payload_len = (uint16_t)(len - 40),
                                      .next = 6};
    size_t hdr = v4 ? 20 : 40;
    if (v4)
        net_ip4_write(p, &h4);
    else
        net_ip6_write(p, &h6);
    net_put16(p + hdr, 1111);
    net_put16(p + hdr + 2, 2222);
    net_put32(p + hdr + 4, 0xaabbccdd);
    return hdr + 8;
}

static void test_icmp_errors(void **state)
{
    static const struct {
        bool v4;
        uint8_t type, code;
        int error;
        bool hard;
    } rows[] = {
        {true, 3, 0, ENETUNREACH, false},
        {true, 3, 1, EHOSTUNREACH, false},
        {true, 3, 2, ENOPROTOOPT, true},
        {true, 3, 3, ECONNREFUSED, true},
        {true, 3, 13, EHOSTUNREACH, true},
        {true, 11, 0, EHOSTUNREACH, false},
        {true, 12, 0, EPROTO, true},
        {true, 3, 16, 0, false},
        {true, 4, 0, 0, false},
        {true, 5, 0, 0, false},
        {false, 1, 0, ENETUNREACH, false},
        {false, 1, 1, EACCES, true},
        {false, 1, 4, ECONNREFUSED, true},
        {false, 3, 1, EHOSTUNREACH, false},
        {false, 4, 1, EPROTO, true},
        {false, 1, 7, 0, false},
        {false, 100, 0, 0, false},
    };
    UNUSED(state);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t p[80] = {rows[i].type, rows[i].code};
        struct ip_error e;
        size_t len = 8 + quoted(p + 8, rows[i].v4, 1500);
        assert_int_equal(net_icmp_error_read(rows[i].v4, p, len, &e), rows[i].error != 0);
        assert_false(net_icmp_error_read(rows[i].v4, p, len - 1, &e));
        if (!rows[i].error)
            continue;
        assert_true(net_icmp_error_read(rows[i].v4, p, len, &e));
        assert_int_equal(e.error, rows[i].error);
        assert_int_equal(e.hard, rows[i].hard);
        assert_int_equal(e.local_port, 1111);
        assert_int_equal(e.remote_port, 2222);
        assert_int_equal(e.seq, 0xaabbccdd);
        assert_int_equal(e.local.b[15], 1);
        assert_int_equal(e.proto, 6);
        assert_false(e.too_big);
    }
}

static void test_icmp_too_big(void **state)
{
    uint8_t p[80] = {3, 4};
    struct ip_error e;
    UNUSED(state);
    size_t len = 8 + quoted(p + 8, true, 1500);
    net_put16(p + 6, 1400);
    assert_true(net_icmp_error_read(true, p, len, &e));
    assert_true(e.too_big);
    assert_int_equal(e.mtu, 1400);
    net_put16(p + 6, 0); /* an old router: the plateau below 1500 (RFC 1191, 7.1) */
    assert_true(net_icmp_error_read(true, p, len, &e));
    assert_int_equal(e.mtu, 1492);
    net_put16(p + 6, 1500); /* no news */
    assert_false(net_icmp_error_read(true, p, len, &e));
    p[0] = 2;
    p[1] = 0;
    len = 8 + quoted(p + 8, false, 1500);
    net_put32(p + 4, 1280);
    assert_true(net_icmp_error_read(false, p, len, &e));
    assert_int_equal(e.mtu, 1280);
    /* Not the first fragment: there are no ports. */
    p[0] = 3;
    p[1] = 3;
    len = 8 + quoted(p + 8, true, 1500);
    net_put16(p + 14, 5);
    assert_false(net_icmp_error_read(true, p, len, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ethernet),
        cmocka_unit_test(test_interface_id),
        cmocka_unit_test(test_arp),
        cmocka_unit_test(test_scopes_and_prefixes),
        cmocka_unit_test(test_ip4),
        cmocka_unit_test(test_ip4_options),
        cmocka_unit_test(test_ip6_header),
        cmocka_unit_test(test_ip6_walk),
        cmocka_unit_test(test_ip6_walk_limits),
        cmocka_unit_test(test_nd_options),
        cmocka_unit_test(test_router_advert),
        cmocka_unit_test(test_icmp_errors),
        cmocka_unit_test(test_icmp_too_big),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
