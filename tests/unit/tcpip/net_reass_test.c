/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly: order, overlap, limits, time. RFC 791, 5722, 8200, 3168. */
#include "sidecar/tcpip/net/reass.h"
#include "tests/unit/cmocka.h"

#include <stdlib.h>

#define SEC 1000000000ull

static struct tcpip_counters count;
static uint8_t data[65536], out[65536];
static struct net_datagram got;

static struct net_reass *start(unsigned datagrams, size_t bytes)
{
    const struct net_reass_config config = {.max_datagrams = datagrams, .max_bytes = bytes};
    static const uint64_t key[2] = {1, 2};
    memset(&count, 0, sizeof(count));
    memset(out, 0, sizeof(out));
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i ^ i >> 8);
    struct net_reass *r = net_reass_create(&config, &count, key);
    assert_non_null(r);
    return r;
}

static struct net_fragment piece(unsigned src, uint32_t id, uint32_t from, uint32_t to, bool more)
{
    static const uint8_t header[20] = {0x45};
    return (struct net_fragment){.src = net_ip_v4_of(10, 0, (uint8_t)(src >> 8), (uint8_t)src),
                                 .dst = net_ip_v4_of(10, 9, 9, 9),
                                 .id = id,
                                 .protocol = 17,
                                 .more = more,
                                 .offset = from,
                                 .header = header,
                                 .header_len = 20,
                                 .payload = data + from,
                                 .payload_len = to - from};
}

static enum net_reass_result add(struct net_reass *r, uint32_t id, uint32_t from, uint32_t to,
                                 bool more)
{
    struct net_fragment f = piece(1, id, from, to, more);
    return net_reass_add(r, &f, 0, &got, out);
}

static void check_done(size_t len)
{
    assert_int_equal(got.payload_len, len);
    assert_memory_equal(out, data, len);
    assert_int_equal(got.header_len, 20);
    assert_int_equal(got.header[0], 0x45);
}

static void test_any_order(void **state)
{
    static const uint32_t cut[6] = {0, 1480, 2960, 4440, 5920, 6001};
    static const uint8_t orders[4][5] = {
        {0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 0, 4, 1, 3}, {4, 0, 3, 1, 2}};
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    for (unsigned o = 0; o < 4; o++) {
        for (unsigned i = 0; i < 5; i++) {
            uint8_t k = orders[o][i];
            assert_int_equal(add(r, o, cut[k], cut[k + 1], k != 4),
                             i == 4 ? NET_REASS_DONE : NET_REASS_HELD);
        }
        check_done(6001);
        assert_int_equal(got.max_fragment, 1480);
    }
    assert_int_equal(net_reass_count(r), 0);
    assert_int_equal(net_reass_bytes(r), 0);
    assert_int_equal(count.frag_done, 4);
    net_reass_destroy(r);
}

static void test_largest(void **state)
{
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    for (uint32_t at = 0; at < 65528; at += 8000)
        assert_int_equal(add(r, 1, at, at + 8000 < 65528 ? at + 8000 : 65528, true),
                         NET_REASS_HELD);
    assert_int_equal(add(r, 1, 65528, 65535, false), NET_REASS_DONE);
    check_done(65535);
    net_reass_destroy(r);
}

static void test_repetition_is_ignored(void **state)
{
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    assert_int_equal(add(r, 1, 0, 80, true), NET_REASS_HELD);
    assert_int_equal(add(r, 1, 0, 80, true), NET_REASS_HELD);
    assert_int_equal(add(r, 1, 80, 100, false), NET_REASS_DONE);
    check_done(100);
    net_reass_destroy(r);
}

static void test_overlap_drops_all(void **state)
{
    static const uint32_t second[][3] = {{72, 160, 1}, {0, 40, 1},  {40, 80, 1},
                                         {8, 16, 1},   {0, 160, 1}, {72, 90, 0}};
    UNUSED(state);
    for (unsigned i = 0; i < 6; i++) {
        struct net_reass *r = start(16, 1 << 20);
        assert_int_equal(add(r, 1, 0, 80, true), NET_REASS_HELD);
        assert_int_equal(add(r, 1, second[i][0], second[i][1], second[i][2]), NET_REASS_DROPPED);
        assert_int_equal(count.frag_overlap_drop, 1);
        assert_int_equal(net_reass_count(r), 0);
        assert_int_equal(net_reass_bytes(r), 0);
        net_reass_destroy(r);
    }
}

static void test_malformed(void **state)
{
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    assert_int_equal(add(r, 1, 0, 81, true), NET_REASS_DROPPED);         /* not of eights */
    assert_int_equal(add(r, 1, 4, 12, true), NET_REASS_DROPPED);         /* nor its place */
    assert_int_equal(add(r, 1, 8, 8, true), NET_REASS_DROPPED);          /* empty */
    assert_int_equal(add(r, 1, 65528, 65536, false), NET_REASS_DROPPED); /* too far */
    assert_int_equal(count.frag_bad, 4);
    assert_int_equal(net_reass_count(r), 0);
    /* Behind the end; two ends. */
    assert_int_equal(add(r, 2, 80, 100, false), NET_REASS_HELD);
    assert_int_equal(add(r, 2, 104, 112, true), NET_REASS_DROPPED);
    assert_int_equal(add(r, 3, 80, 160, true), NET_REASS_HELD);
    assert_int_equal(add(r, 3, 0, 40, false), NET_REASS_DROPPED);
    assert_int_equal(add(r, 4, 80, 100, false), NET_REASS_HELD);
    assert_int_equal(add(r, 4, 0, 40, false), NET_REASS_DROPPED);
    assert_int_equal(count.frag_bad, 7);
    assert_int_equal(net_reass_count(r), 0);
    net_reass_destroy(r);
}

static void test_keys_are_apart(void **state)
{
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    struct net_fragment f = piece(1, 7, 0, 80, true);
    net_reass_add(r, &f, 0, &got, out);
    f.protocol = 6;
    net_reass_add(r, &f, 0, &got, out);
    f = piece(2, 7, 0, 80, true);
    net_reass_add(r, &f, 0, &got, out);
    f = piece(1, 8, 0, 80, true);
    net_reass_add(r, &f, 0, &got, out);
    assert_int_equal(net_reass_count(r), 4);
    /* IPv6: the protocol does not count, the link of link-local ones does. */
    f.src = (struct ip_addr){.b = {0xfe, 0x80, [15] = 1}};
    f.dst = (struct ip_addr){.b = {0xfe, 0x80, [15] = 2}};
    net_reass_add(r, &f, 0, &got, out);
    f.ifindex = 1;
    net_reass_add(r, &f, 0, &got, out);
    assert_int_equal(net_reass_count(r), 6);
    f = piece(1, 7, 80, 90, false);
    assert_int_equal(net_reass_add(r, &f, 0, &got, out), NET_REASS_DONE);
    net_reass_destroy(r);
}

static void test_timeout(void **state)
{
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    struct net_fragment f = piece(1, 1, 0, 80, true);
    net_reass_add(r, &f, 0, &got, out);
    f = piece(1, 2, 80, 160, true);
    net_reass_add(r, &f, SEC, &got, out);
    f.src = (struct ip_addr){.b = {0xfd, [15] = 1}};
    f.dst = (struct ip_addr){.b = {0xfd, [15] = 2}};
    net_reass_add(r, &f, 0, &got, out);
    assert_int_equal(net_reass_deadline(r), NET_REASS_TIMEOUT_4);
    assert_false(net_reass_expire(r, NET_REASS_TIMEOUT_4 - 1, &got, out));
    /* A later fragment does not lengthen its life. */
    f = piece(1, 1, 160, 240, true);
    net_reass_add(r, &f, 20 * SEC, &got, out);
    assert_true(net_reass_expire(r, NET_REASS_TIMEOUT_4 + SEC, &got, out));
    assert_int_equal(got.header_len, 20);
    assert_int_equal(got.payload_len, 80);
    assert_memory_equal(out, data, 80);
    assert_true(net_reass_expire(r, NET_REASS_TIMEOUT_4 + SEC, &got, out));
    assert_int_equal(got.header_len, 0);
    assert_false(net_reass_expire(r, NET_REASS_TIMEOUT_4 + SEC, &got, out));
    assert_int_equal(net_reass_deadline(r), NET_REASS_TIMEOUT_6);
    assert_true(net_reass_expire(r, NET_REASS_TIMEOUT_6, &got, out));
    assert_int_equal(net_reass_deadline(r), UINT64_MAX);
    assert_int_equal(count.frag_timeout_drop, 3);
    assert_int_equal(net_reass_bytes(r), 0);
    net_reass_destroy(r);
}

static void test_flood_of_datagrams(void **state)
{
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    struct net_fragment f = piece(9, 1, 0, 80, true);
    net_reass_add(r, &f, 0, &got, out);
    /* One source cannot push another out: it has a quarter. */
    for (uint32_t id = 0; id < 1000; id++) {
        f = piece(1, id, 0, 80, true);
        net_reass_add(r, &f, 1, &got, out);
        assert_true(net_reass_count(r) <= 5);
    }
    f = piece(9, 1, 80, 90, false);
    assert_int_equal(net_reass_add(r, &f, 2, &got, out), NET_REASS_DONE);
    for (unsigned src = 100; src < 1100; src++) {
        f = piece(src, 1, 0, 80, true);
        net_reass_add(r, &f, 3, &got, out);
        assert_true(net_reass_count(r) <= 16);
    }
    assert_true(count.frag_limit > 1900);
    net_reass_destroy(r);
}

static void test_flood_of_bytes(void **state)
{
    UNUSED(state);
    struct net_reass *r = start(16, 65536);
    for (unsigned src = 1; src < 100; src++) {
        for (uint32_t at = 0; at < 60000; at += 6000) {
            struct net_fragment f = piece(src, src, at, at + 6000, true);
            net_reass_add(r, &f, 1, &got, out);
            assert_true(net_reass_bytes(r) <= 65536);
        }
    }
    assert_true(count.frag_limit > 0);
    net_reass_destroy(r);
}

static void test_too_many_fragments(void **state)
{
    enum net_reass_result rc = NET_REASS_HELD;
    uint32_t n = 0;
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    while (rc == NET_REASS_HELD && n < 1000) {
        rc = add(r, 1, n * 16, n * 16 + 8, true);
        n++;
    }
    assert_int_equal(n, NET_REASS_FRAGS + 1);
    assert_int_equal(count.frag_limit, 1);
    assert_int_equal(net_reass_count(r), 0);
    net_reass_destroy(r);
}

static void test_ecn(void **state)
{
    /* RFC 3168, 5.3: codepoints of two fragments, and the result; 0xff: thrown away. */
    static const uint8_t rows[][3] = {{0, 0, 0}, {2, 2, 2}, {1, 1, 1},   {2, 3, 3},
                                      {1, 3, 3}, {3, 3, 3}, {0, 3, 0xff}};
    UNUSED(state);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct net_reass *r = start(16, 1 << 20);
        struct net_fragment f = piece(1, 1, 0, 80, true);
        f.ecn = rows[i][0];
        net_reass_add(r, &f, 0, &got, out);
        f = piece(1, 1, 80, 90, false);
        f.ecn = rows[i][1];
        enum net_reass_result rc = net_reass_add(r, &f, 0, &got, out);
        assert_int_equal(rc, rows[i][2] == 0xff ? NET_REASS_DROPPED : NET_REASS_DONE);
        if (rc == NET_REASS_DONE)
            assert_int_equal(got.ecn, rows[i][2]);
        net_reass_destroy(r);
    }
}

/* Random cuts, order and repetitions: the bytes come out as they were, and nothing is left. */
static void test_random_cuts(void **state)
{
    uint32_t seed = 12345;
    UNUSED(state);
    struct net_reass *r = start(16, 1 << 20);
    for (uint32_t id = 0; id < 500; id++) {
        uint32_t cut[64], n = 0, len;
        cut[n++] = 0;
        while (n < 60 && cut[n - 1] < 60000) {
            seed = seed * 1664525u + 1013904223u;
            cut[n] = cut[n - 1] + (seed >> 16) % 200 * 8 + 8;
            n++;
        }
        len = cut[n - 1] + 5;
        unsigned done = 0;
        for (uint32_t i = 0; i < n * 2; i++) {
            /* A permutation with every piece given twice, unless it is complete before. */
            uint32_t k = (i * 37 + id) % n;
            if (done)
                break;
            uint32_t to = k + 1 < n ? cut[k + 1] : len;
            done = add(r, id, cut[k], to, k + 1 < n) == NET_REASS_DONE;
        }
        if (n % 37)
            assert_true(done);
        if (done)
            check_done(len);
    }
    net_reass_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_repetition_is_ignored),
        cmocka_unit_test(test_overlap_drops_all),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_keys_are_apart),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_flood_of_datagrams),
        cmocka_unit_test(test_flood_of_bytes),
        cmocka_unit_test(test_too_many_fragments),
        cmocka_unit_test(test_ecn),
        cmocka_unit_test(test_random_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
