/* SPDX-License-Identifier: Apache-2.0 */
/* The small tables: routes, source addresses, path MTUs, rates, the loop queue, groups. */
#include "sidecar/tcpip/net/address.h"
#include "sidecar/tcpip/net/group.h"
#include "sidecar/tcpip/net/loop.h"
#include "sidecar/tcpip/net/pmtu.h"
#include "sidecar/tcpip/net/rate.h"
#include "sidecar/tcpip/net/route.h"
#include "tests/unit/cmocka.h"

#include <errno.h>

#define SEC 1000000000ull

static struct ip_addr ip6_of(const char *text)
{
    struct ip_addr a;
    assert_int_equal(inet_pton(AF_INET6, text, a.b), 1);
    return a;
}

static struct ip_addr ip4_of(const char *text)
{
    uint32_t a;
    assert_int_equal(inet_pton(AF_INET, text, &a), 1);
    return ip_addr_v4(a);
}

static struct net_route route4(const char *dst, unsigned bits, const char *gateway, uint8_t port)
{
    struct net_route r = {.dst = ip4_of(dst),
                          .bits = (uint8_t)(NET_IP4_BITS + bits),
                          .port = port,
                          .expires = UINT64_MAX,
                          .v4 = true};
    if (gateway)
        r.gateway = ip4_of(gateway);
    return r;
}

static int port_for(const struct net_routes *t, struct ip_addr dst, int port, bool on_link)
{
    const struct net_route *r = net_route_find(t, &dst, port, on_link);
    return r ? r->port : -1;
}

static void test_longest_prefix(void **state)
{
    static struct net_routes t;
    struct net_route r;
    UNUSED(state);
    r = route4("0.0.0.0", 0, "10.0.0.1", 1);
    assert_int_equal(net_route_add(&t, &r), 0);
    r = route4("10.0.0.0", 8, NULL, 2);
    assert_int_equal(net_route_add(&t, &r), 0);
    r = route4("10.1.0.0", 16, "10.0.0.2", 3);
    assert_int_equal(net_route_add(&t, &r), 0);
    r = route4("10.1.2.3", 32, NULL, 4);
    assert_int_equal(net_route_add(&t, &r), 0);
    r = (struct net_route){.gateway = ip6_of("fe80::1"), .port = 5, .expires = UINT64_MAX};
    assert_int_equal(net_route_add(&t, &r), 0);
    assert_int_equal(port_for(&t, ip4_of("10.1.2.3"), -1, false), 4);
    assert_int_equal(port_for(&t, ip4_of("10.1.2.4"), -1, false), 3);
    assert_int_equal(port_for(&t, ip4_of("10.2.2.4"), -1, false), 2);
    assert_int_equal(port_for(&t, ip4_of("11.2.2.4"), -1, false), 1);
    assert_int_equal(port_for(&t, ip6_of("2001::1"), -1, false), 5);
    /* The families do not meet, though ::/0 covers ::ffff:0:0/96 in bits. */
    net_route_remove_port(&t, 1, -1);
    assert_int_equal(port_for(&t, ip4_of("11.2.2.4"), -1, false), -1);
    assert_int_equal(port_for(&t, ip4_of("10.1.2.4"), -1, true), 2);
    assert_int_equal(port_for(&t, ip4_of("10.1.2.4"), 2, false), 2);
    r = route4("10.0.0.1", 8, NULL, 2);
    assert_int_equal(net_route_add(&t, &r), -EINVAL);
    r = route4("10.0.0.0", 8, NULL, 2);
    r.gateway = ip6_of("fe80::1");
    assert_int_equal(net_route_add(&t, &r), -EINVAL);
}

static void test_routers_that_fail(void **state)
{
    static struct net_routes t;
    struct net_route r;
    UNUSED(state);
    r = route4("0.0.0.0", 0, "10.0.0.1", 1);
    net_route_add(&t, &r);
    r = route4("0.0.0.0", 0, "10.0.0.2", 2);
    r.preference = -1;
    net_route_add(&t, &r);
    struct ip_addr gw = ip4_of("10.0.0.1");
    assert_int_equal(port_for(&t, ip4_of("8.8.8.8"), -1, false), 1);
    assert_true(net_route_set_unreachable(&t, 1, &gw, true));
    assert_int_equal(port_for(&t, ip4_of("8.8.8.8"), -1, false), 2);
    gw = ip4_of("10.0.0.2");
    net_route_set_unreachable(&t, 2, &gw, true);
    assert_int_equal(port_for(&t, ip4_of("8.8.8.8"), -1, false), 1); /* better than none */
    r = route4("8.8.0.0", 16, "10.0.0.3", 3);
    net_route_add(&t, &r);
    gw = ip4_of("10.0.0.3");
    net_route_set_unreachable(&t, 3, &gw, true);
    assert_int_equal(port_for(&t, ip4_of("8.8.8.8"), -1, false), 3); /* no wider prefix instead */
}

static void test_routes_expire_and_are_bounded(void **state)
{
    static struct net_routes t;
    struct net_route r;
    UNUSED(state);
    for (unsigned i = 0; i < NET_ROUTES; i++) {
        r = route4("10.0.0.0", 32, NULL, 0);
        r.dst.b[15] = (uint8_t)i;
        r.expires = i < 8 ? 100 + i : UINT64_MAX;
        assert_int_equal(net_route_add(&t, &r), 0);
    }
    assert_int_equal(net_route_add(&t, &r), 0); /* the same again */
    r.dst.b[14] = 1;
    assert_int_equal(net_route_add(&t, &r), -ENOSPC);
    assert_int_equal(net_route_deadline(&t), 100);
    assert_false(net_route_expire(&t, 99));
    assert_true(net_route_expire(&t, 103));
    assert_int_equal(t.n, NET_ROUTES - 4);
    assert_int_equal(net_route_deadline(&t), 104);
}

/* RFC 6724, 10.1, and its rules one by one. */
static void test_source_selection(void **state)
{
    static const struct {
        const char *dst, *a, *b, *want;
        uint8_t state_a;
    } rows[] = {
        {"2001:db8:1::1", "2001:db8:3::1", "fe80::1", "2001:db8:3::1", NET_ADDRESS_PREFERRED},
        {"ff05::1", "2001:db8:3::1", "fe80::1", "2001:db8:3::1", NET_ADDRESS_PREFERRED},
        {"2001:db8:1::1", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::1",
         NET_ADDRESS_DEPRECATED},
        {"fe80::1", "fe80::2", "2001:db8:1::1", "fe80::2", NET_ADDRESS_DEPRECATED},
        {"2001:db8:1::1", "2001:db8:1::2", "2001:db8:3::2", "2001:db8:1::2", NET_ADDRESS_PREFERRED},
        {"2001:db8:1::1", "2001:db8:1::2", "2001:db8:3::2", "2001:db8:3::2",
         NET_ADDRESS_DEPRECATED},
        {"2002:c633:6401::1", "2002:c633:6401::d5e3", "2001:db8:1::2", "2002:c633:6401::d5e3",
         NET_ADDRESS_PREFERRED},
        {"fd00::5", "2001:db8::1", "fd11::1", "fd11::1", NET_ADDRESS_PREFERRED},
        {"2001:db8:1::1", "2001:db8:1::2", "2001:db8:3::2", "2001:db8:3::2", NET_ADDRESS_TENTATIVE},
    };
    UNUSED(state);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned order = 0; order < 2; order++) {
            struct net_addresses list = {0};
            struct net_address a = {
                .addr = ip6_of(rows[i].a), .bits = 64, .state = rows[i].state_a};
            struct net_address b = {
                .addr = ip6_of(rows[i].b), .bits = 64, .state = NET_ADDRESS_PREFERRED};
            net_address_add(&list, order ? &a : &b);
            net_address_add(&list, order ? &b : &a);
            struct ip_addr dst = ip6_of(rows[i].dst), want = ip6_of(rows[i].want);
            const struct net_address *got = net_address_select(&list, &dst, NULL);
            assert_non_null(got);
            assert_true(ip_addr_equal(&got->addr, &want));
        }
    }
}

static void test_source_selection_v4(void **state)
{
    struct net_addresses list = {0};
    struct net_address a = {
        .addr = ip4_of("10.0.0.1"), .bits = 120, .state = NET_ADDRESS_PREFERRED};
    UNUSED(state);
    net_address_add(&list, &a);
    a.addr = ip4_of("192.168.7.1");
    net_address_add(&list, &a);
    assert_null(net_address_add(&list, &a));
    struct ip_addr dst = ip4_of("192.168.7.9");
    assert_int_equal(net_address_select(&list, &dst, NULL)->addr.b[12], 192);
    dst = ip4_of("8.8.8.8");
    assert_int_equal(net_address_select(&list, &dst, NULL)->addr.b[12], 10);
    dst = ip6_of("2001::1");
    assert_null(net_address_select(&list, &dst, NULL));
}

static void test_pmtu(void **state)
{
    struct net_pmtu p;
    const struct hash_key key = {{1, 2}};
    struct ip_addr a = ip4_of("10.0.0.1"), six = ip6_of("2001::1");
    UNUSED(state);
    assert_int_equal(net_pmtu_init(&p, 0, &key), -EINVAL);
    assert_int_equal(net_pmtu_init(&p, 4, &key), 0);
    assert_int_equal(net_pmtu_find(&p, &a, 0), 0);
    assert_int_equal(net_pmtu_set(&p, &a, 1400, 0), NET_PMTU_CHANGED);
    assert_int_equal(net_pmtu_find(&p, &a, 0), 1400);
    assert_int_equal(net_pmtu_set(&p, &a, 1450, 0), NET_PMTU_UNCHANGED); /* it only falls */
    assert_int_equal(net_pmtu_set(&p, &a, 68, 0), NET_PMTU_CHANGED);     /* forged */
    assert_int_equal(net_pmtu_find(&p, &a, 0), NET_PMTU_MIN_4);
    assert_int_equal(net_pmtu_set(&p, &six, 600, 1), NET_PMTU_CHANGED);
    assert_int_equal(net_pmtu_find(&p, &six, 1), NET_PMTU_MIN_6);
    for (unsigned i = 0; i < 1000; i++) {
        struct ip_addr o = net_ip_v4_of(172, 16, (uint8_t)(i >> 8), (uint8_t)i);
        net_pmtu_set(&p, &o, 1300, 2 + i);
        assert_true(p.n_entries <= 4);
    }
    assert_int_equal(net_pmtu_find(&p, &a, 1002), 0); /* the oldest went */
    assert_false(net_pmtu_expire(&p, 3));
    struct ip_addr last = net_ip_v4_of(172, 16, 999 >> 8, 999 & 255);
    assert_int_equal(net_pmtu_find(&p, &last, NET_PMTU_AGE), 1300);
    assert_int_equal(net_pmtu_find(&p, &last, NET_PMTU_AGE + 1001), 0);
    assert_true(net_pmtu_expire(&p, NET_PMTU_AGE + 1001));
    assert_int_equal(p.n_entries, 0);
    assert_int_equal(net_pmtu_plateau(1500), 1492);
    assert_int_equal(net_pmtu_plateau(65535), 32000);
    assert_int_equal(net_pmtu_plateau(600), NET_PMTU_MIN_4);
    net_pmtu_destroy(&p);
}

static void test_rate(void **state)
{
    struct net_rate r;
    unsigned given = 0;
    UNUSED(state);
    net_rate_init(&r, 100, 10, 0);
    for (unsigned i = 0; i < 100; i++)
        given += net_rate_take(&r, 0);
    assert_int_equal(given, 10);
    for (uint64_t t = 0; t < SEC; t += 100000)
        given += net_rate_take(&r, t);
    assert_in_range(given, 108, 110);
    /* A long rest fills the bucket, not more. */
    given = 0;
    for (unsigned i = 0; i < 100; i++)
        given += net_rate_take(&r, 1000 * SEC);
    assert_int_equal(given, 10);
    net_rate_init(&r, 0, 10, 0);
    assert_false(net_rate_take(&r, SEC));
}

static void test_loop_queue(void **state)
{
    struct net_loop l;
    struct net_loop_packet p;
    uint32_t put = 0, got = 0, seed = 7;
    UNUSED(state);
    net_loop_init(&l, 4096);
    assert_false(net_loop_peek(&l, &p));
    assert_null(net_loop_put(&l, 5000, 0));
    /* Random lengths in and out, many times around: order and bytes stay. */
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t len = 1 + (put * 97) % 700;
        uint8_t *at;
        if (seed >> 31 && (at = net_loop_put(&l, len, (uint16_t)(put & 0xffff)))) {
            memset(at, (int)(put & 0xff), len);
            put++;
        } else if (net_loop_peek(&l, &p)) {
            assert_int_equal(p.len, 1 + (got * 97) % 700);
            assert_int_equal(p.gso_size, got & 0xffff);
            for (uint32_t k = 0; k < p.len; k++)
                assert_int_equal(p.data[k], got & 0xff);
            net_loop_pop(&l);
            got++;
        }
        assert_int_equal(l.n, put - got);
    }
    assert_true(got > 5000);
    net_loop_destroy(&l);
}

static void test_groups(void **state)
{
    struct net_groups g;
    struct net_group_due due;
    struct ip_addr a = ip4_of("239.1.1.1"), none = {.q = {0, 0}};
    UNUSED(state);
    net_groups_init(&g);
    assert_int_equal(net_group_join(&g, &net_ip_all_systems, 0), 0);
    assert_true(net_group_is_member(&g, &net_ip_all_systems));
    assert_int_equal(net_group_deadline(&g), UINT64_MAX); /* never reported */
    assert_int_equal(net_group_join(&g, &a, SEC), 0);
    assert_int_equal(net_group_join(&g, &a, SEC), 0);
    assert_true(net_group_take_due(&g, 5, SEC, &due));
    assert_int_equal(due.report, NET_GROUP_JOINED);
    assert_false(net_group_take_due(&g, 5, SEC, &due));
    uint64_t again = net_group_deadline(&g);
    assert_in_range(again, SEC + NET_GROUP_MIN_DELAY, 3 * SEC);
    assert_true(net_group_take_due(&g, 5, again, &due));
    assert_int_equal(due.report, NET_GROUP_JOINED);
    assert_int_equal(net_group_deadline(&g), UINT64_MAX);
    /* Queries, however many, give one report within the delay. */
    for (unsigned i = 0; i < 1000; i++)
        net_group_query(&g, true, &none, false, 10 * SEC, i * 77777u, 10 * SEC);
    assert_true(net_group_deadline(&g) <= 20 * SEC);
    assert_true(net_group_take_due(&g, 5, 20 * SEC, &due));
    assert_int_equal(due.report, NET_GROUP_IS_MEMBER);
    assert_false(net_group_take_due(&g, 5, 20 * SEC, &due));
    net_group_query(&g, true, &a, false, 0, 1, 20 * SEC);
    assert_int_equal(net_group_deadline(&g), 20 * SEC + NET_GROUP_MIN_DELAY);
    /* Another's report, in the old version, takes ours away. */
    net_group_heard(&g, &a);
    assert_int_equal(net_group_deadline(&g), UINT64_MAX);
    assert_true(net_group_leave(&g, &a, 30 * SEC));
    assert_int_equal(net_group_deadline(&g), UINT64_MAX);
    assert_true(net_group_leave(&g, &a, 30 * SEC));
    assert_false(net_group_leave(&g, &a, 30 * SEC));
    assert_false(net_group_is_member(&g, &a));
    for (unsigned i = 0; i < NET_GROUP_ROBUST; i++) {
        assert_true(net_group_take_due(&g, 5, (40 + 3ull * i) * SEC, &due));
        assert_int_equal(due.report, NET_GROUP_LEFT);
    }
    assert_int_equal(g.n, 1);
    for (unsigned i = 0; i < NET_GROUPS + 5; i++) {
        struct ip_addr x = net_ip_v4_of(239, 2, 2, (uint8_t)i);
        assert_int_equal(net_group_join(&g, &x, 0), i < NET_GROUPS - 1 ? 0 : -ENOBUFS);
    }
    assert_false(net_group_old_querier(&g, true, 0));
    net_group_query(&g, true, &none, true, SEC, 1, SEC);
    assert_true(net_group_old_querier(&g, true, SEC + NET_GROUP_OLD_QUERIER - 1));
    assert_false(net_group_old_querier(&g, true, SEC + NET_GROUP_OLD_QUERIER));
    assert_false(net_group_old_querier(&g, false, SEC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_prefix),
        cmocka_unit_test(test_routers_that_fail),
        cmocka_unit_test(test_routes_expire_and_are_bounded),
        cmocka_unit_test(test_source_selection),
        cmocka_unit_test(test_source_selection_v4),
        cmocka_unit_test(test_pmtu),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_loop_queue),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
