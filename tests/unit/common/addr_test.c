/* SPDX-License-Identifier: Apache-2.0 */
#include "common/addr.h"
#include "tests/unit/cmocka.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static struct dmm_addr addr_of(const char *ip, uint16_t port)
{
    struct dmm_addr addr;
    assert_int_equal(dmm_addr_parse(&addr, ip), 0);
    addr.port = port;
    return addr;
}

static struct dmm_prefix prefix_of(const char *text)
{
    struct dmm_prefix prefix;
    assert_int_equal(dmm_prefix_parse(&prefix, text), 0);
    return prefix;
}

static void test_parse(void **state)
{
    static const char *const bad[] = {"",          "10.0.0",    "10.0.0.256",  "10.0.0.1 ",
                                      "fe80::1%1", "[::1]",     "10.0.0.1:80", "1",
                                      "::g",       "localhost", "010.0.0.1"};
    struct dmm_addr addr = addr_of("10.1.2.3", 0);
    UNUSED(state);
    assert_int_equal(addr.family, AF_INET);
    assert_memory_equal(addr.ip, "\x0a\x01\x02\x03\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    addr = addr_of("fd00::102", 0);
    assert_int_equal(addr.family, AF_INET6);
    assert_memory_equal(addr.ip, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02", 16);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dmm_addr_parse(&addr, bad[i]), -EINVAL);
    assert_int_equal(addr.ip[15], 2);
}

static void test_format(void **state)
{
    char buf[DMM_ADDR_STRLEN];
    struct dmm_addr addr = addr_of("10.0.0.1", 80);
    UNUSED(state);
    assert_string_equal(dmm_addr_format(&addr, buf), "10.0.0.1:80");
    assert_string_equal(dmm_addr_format_ip(&addr, buf), "10.0.0.1");
    addr = addr_of("::1", 65535);
    assert_string_equal(dmm_addr_format(&addr, buf), "[::1]:65535");
    addr = addr_of("0.0.0.0", 0);
    assert_string_equal(dmm_addr_format(&addr, buf), "0.0.0.0:*");
    addr = addr_of("fe80:1111:2222:3333:4444:5555:6666:7777", 65535);
    addr.scope_id = UINT32_MAX;
    assert_string_equal(dmm_addr_format(&addr, buf),
                        "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535");
    addr = (struct dmm_addr){0};
    assert_string_equal(dmm_addr_format(&addr, buf), "*:*");
    assert_string_equal(dmm_addr_format_ip(&addr, buf), "*");
}

static void test_valid(void **state)
{
    struct dmm_addr addr = {0};
    UNUSED(state);
    assert_true(dmm_addr_valid(&addr));
    addr.port = 1;
    assert_false(dmm_addr_valid(&addr));
    addr = addr_of("10.0.0.1", 80);
    assert_true(dmm_addr_valid(&addr));
    addr.ip[4] = 1;
    assert_false(dmm_addr_valid(&addr));
    addr.ip[4] = 0;
    addr.scope_id = 1;
    assert_false(dmm_addr_valid(&addr));
    addr = addr_of("fd00::1", 80);
    assert_true(dmm_addr_valid(&addr));
    addr.scope_id = 1;
    assert_false(dmm_addr_valid(&addr));
    addr = addr_of("febf::1", 80);
    addr.scope_id = 1;
    assert_true(dmm_addr_valid(&addr));
    addr.family = AF_UNIX;
    assert_false(dmm_addr_valid(&addr));
    addr.family = UINT16_MAX;
    assert_false(dmm_addr_valid(&addr));
}

static void test_any_and_loopback(void **state)
{
    static const struct {
        const char *ip;
        bool any;
        bool loopback;
    } cases[] = {
        {"0.0.0.0", true, false},
        {"::", true, false},
        {"::ffff:0.0.0.0", true, false},
        {"0.0.0.1", false, false},
        {"::ffff:0.0.0.1", false, false},
        {"127.0.0.1", false, true},
        {"127.255.0.9", false, true},
        {"::1", false, true},
        {"::ffff:127.1.1.1", false, true},
        {"128.0.0.1", false, false},
        {"::2", false, false},
        {"::127.0.0.1", false, false},
        {"1::", false, false},
        {"7f00::", false, false},
    };
    struct dmm_addr none = {0};
    UNUSED(state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_addr addr = addr_of(cases[i].ip, 80);
        assert_int_equal(dmm_addr_is_any(&addr), cases[i].any);
        assert_int_equal(dmm_addr_is_loopback(&addr), cases[i].loopback);
    }
    assert_false(dmm_addr_is_any(&none));
    assert_false(dmm_addr_is_loopback(&none));
}

static void test_map_and_unmap(void **state)
{
    struct dmm_addr mapped = addr_of("::ffff:10.1.2.3", 80);
    struct dmm_addr plain = addr_of("10.1.2.3", 80);
    struct dmm_addr addr = mapped;
    UNUSED(state);
    dmm_addr_unmap(&addr);
    assert_memory_equal(&addr, &plain, sizeof(addr));
    dmm_addr_unmap(&addr);
    assert_memory_equal(&addr, &plain, sizeof(addr));
    dmm_addr_map(&addr);
    assert_memory_equal(&addr, &mapped, sizeof(addr));
    dmm_addr_map(&addr);
    assert_memory_equal(&addr, &mapped, sizeof(addr));
    addr = addr_of("::fffe:10.1.2.3", 80);
    mapped = addr;
    dmm_addr_unmap(&addr);
    assert_memory_equal(&addr, &mapped, sizeof(addr));
}

static void test_from_sockaddr_in(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(8080)};
    struct sockaddr_storage big;
    struct dmm_addr addr;
    struct dmm_addr want = addr_of("10.1.2.3", 8080);
    UNUSED(state);
    inet_pton(AF_INET, "10.1.2.3", &in.sin_addr);
    memset(&big, 0xff, sizeof(big));
    memcpy(&big, &in, sizeof(in));
    assert_int_equal(dmm_addr_from_sockaddr(&addr, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_memory_equal(&addr, &want, sizeof(addr));
    assert_int_equal(dmm_addr_from_sockaddr(&addr, (struct sockaddr *)&big, sizeof(big)), 0);
    assert_memory_equal(&addr, &want, sizeof(addr));
    for (socklen_t len = 0; len < sizeof(in); len++)
        assert_int_equal(dmm_addr_from_sockaddr(&addr, (struct sockaddr *)&in, len), -EINVAL);
    assert_int_equal(dmm_addr_from_sockaddr(&addr, NULL, sizeof(in)), -EFAULT);
    in.sin_family = AF_UNSPEC;
    assert_int_equal(dmm_addr_from_sockaddr(&addr, (struct sockaddr *)&in, sizeof(in)),
                     -EAFNOSUPPORT);
}

static void test_from_sockaddr_in6(void **state)
{
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_scope_id = 7};
    struct dmm_addr addr;
    UNUSED(state);
    inet_pton(AF_INET6, "fd00::1", &in6.sin6_addr);
    assert_int_equal(dmm_addr_from_sockaddr(&addr, (struct sockaddr *)&in6, sizeof(in6)), 0);
    assert_int_equal(addr.port, 443);
    assert_int_equal(addr.scope_id, 0);
    inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr);
    assert_int_equal(dmm_addr_from_sockaddr(&addr, (struct sockaddr *)&in6, sizeof(in6)), 0);
    assert_int_equal(addr.scope_id, 7);
    assert_true(dmm_addr_valid(&addr));
    /* The kernel takes one without the scope, too. */
    assert_int_equal(dmm_addr_from_sockaddr(&addr, (struct sockaddr *)&in6, 24), 0);
    assert_int_equal(addr.scope_id, 0);
    assert_int_equal(dmm_addr_from_sockaddr(&addr, (struct sockaddr *)&in6, 23), -EINVAL);
}

static void test_from_unaligned_sockaddr(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct dmm_addr addr;
    char bytes[sizeof(in) + 1];
    UNUSED(state);
    memcpy(bytes + 1, &in, sizeof(in));
    assert_int_equal(dmm_addr_from_sockaddr(
                         &addr, (const struct sockaddr *)(const void *)(bytes + 1), sizeof(in)),
                     0);
    assert_int_equal(addr.port, 80);
}

static void test_to_sockaddr(void **state)
{
    static const char *const ips[] = {"10.1.2.3", "fd00::1", "fe80::1"};
    static const socklen_t lens[] = {sizeof(struct sockaddr_in), sizeof(struct sockaddr_in6),
                                     sizeof(struct sockaddr_in6)};
    UNUSED(state);
    for (size_t i = 0; i < 3; i++) {
        struct sockaddr_storage storage;
        struct dmm_addr back;
        struct dmm_addr addr = addr_of(ips[i], 8080);
        socklen_t len = sizeof(storage);
        addr.scope_id = i == 2 ? 3 : 0;
        dmm_addr_to_sockaddr(&addr, (struct sockaddr *)&storage, &len);
        assert_int_equal(len, lens[i]);
        assert_int_equal(dmm_addr_from_sockaddr(&back, (struct sockaddr *)&storage, len), 0);
        assert_memory_equal(&addr, &back, sizeof(addr));
    }
}

/* getsockname(2): cut to the room that there is, the full length told. */
static void test_to_short_sockaddr(void **state)
{
    struct dmm_addr addr = addr_of("10.1.2.3", 8080);
    UNUSED(state);
    for (socklen_t room = 0; room < sizeof(struct sockaddr_in); room++) {
        unsigned char bytes[32];
        socklen_t len = room;
        memset(bytes, 0xee, sizeof(bytes));
        dmm_addr_to_sockaddr(&addr, (struct sockaddr *)(void *)bytes, &len);
        assert_int_equal(len, sizeof(struct sockaddr_in));
        for (size_t i = room; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0xee);
    }
    socklen_t none = 0;
    dmm_addr_to_sockaddr(&addr, NULL, &none);
    assert_int_equal(none, sizeof(struct sockaddr_in));
    struct sockaddr_storage storage;
    socklen_t len = sizeof(storage);
    addr = (struct dmm_addr){0};
    dmm_addr_to_sockaddr(&addr, (struct sockaddr *)&storage, &len);
    assert_int_equal(len, sizeof(sa_family_t));
    assert_int_equal(storage.ss_family, AF_UNSPEC);
}

static void test_prefix_parse_and_format(void **state)
{
    static const char *const pairs[][2] = {
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"10.1.2.3", "10.1.2.3/32"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"::/0", "::/0"},
        {"fd00::1", "fd00::1/128"},
        {"FD00::/8", "fd00::/8"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"::ffff:0.0.0.0/96", "0.0.0.0/0"},
        {"::ffff:10.1.2.3", "10.1.2.3/32"},
        {"::/95", "::/95"},
    };
    char buf[DMM_PREFIX_STRLEN];
    struct dmm_prefix none = {0};
    UNUSED(state);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct dmm_prefix prefix = prefix_of(pairs[i][0]);
        assert_string_equal(dmm_prefix_format(&prefix, buf), pairs[i][1]);
    }
    assert_string_equal(dmm_prefix_format(&none, buf), "*");
    /* Refusals are in mapping_parse_test.c; here: the output stays. */
    struct dmm_prefix prefix = prefix_of("10.0.0.0/8");
    assert_int_equal(dmm_prefix_parse(&prefix, "11.0.0.0/7"), -EINVAL);
    assert_int_equal(
        dmm_prefix_parse(&prefix, "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8"), -EINVAL);
    assert_string_equal(dmm_prefix_format(&prefix, buf), "10.0.0.0/8");
}

static void test_prefix_contains(void **state)
{
    static const struct {
        const char *prefix;
        const char *ip;
        bool inside;
    } cases[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/9", "10.127.0.1", true},
        {"10.0.0.0/9", "10.128.0.1", false},
        {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.3", "10.1.2.2", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "fd00::1", false},
        {"::/0", "fd00::1", true},
        {"::/0", "10.0.0.1", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"::/0", "::ffff:10.1.2.3", false},
        {"fd00::/127", "fd00::1", true},
        {"fd00::/127", "fd00::2", false},
        {"128.0.0.0/1", "128.0.0.0", true},
        {"128.0.0.0/1", "127.255.255.255", false},
    };
    struct dmm_addr none = {0};
    UNUSED(state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_prefix prefix = prefix_of(cases[i].prefix);
        struct dmm_addr addr = addr_of(cases[i].ip, 0);
        assert_int_equal(dmm_prefix_contains(&prefix, &addr), cases[i].inside);
        assert_false(dmm_prefix_contains(&prefix, &none));
    }
}

static void test_prefix_covers(void **state)
{
    static const struct {
        const char *outer;
        const char *inner;
        bool covers;
    } cases[] = {
        {"10.0.0.0/8", "10.1.0.0/16", true},  {"10.1.0.0/16", "10.0.0.0/8", false},
        {"10.0.0.0/8", "10.0.0.0/8", true},   {"0.0.0.0/0", "10.0.0.0/8", true},
        {"0.0.0.0/0", "::/0", false},         {"::/0", "fd00::/8", true},
        {"10.0.0.0/8", "11.0.0.0/16", false}, {"fd00::/8", "fc00::/8", false},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_prefix outer = prefix_of(cases[i].outer);
        struct dmm_prefix inner = prefix_of(cases[i].inner);
        assert_int_equal(dmm_prefix_covers(&outer, &inner), cases[i].covers);
    }
}

/* A prefix out of memory with a length that no address has covers and contains nothing. */
static void test_invalid_prefix(void **state)
{
    struct dmm_prefix prefix = {.family = AF_INET6, .len = 129};
    struct dmm_addr addr = addr_of("::", 0);
    UNUSED(state);
    assert_false(dmm_prefix_valid(&prefix));
    assert_false(dmm_prefix_contains(&prefix, &addr));
    assert_false(dmm_prefix_covers(&prefix, &prefix));
    prefix.len = UINT16_MAX;
    assert_false(dmm_prefix_contains(&prefix, &addr));
    prefix = (struct dmm_prefix){.family = AF_INET, .len = 33};
    assert_false(dmm_prefix_valid(&prefix));
    prefix.family = 0;
    assert_false(dmm_prefix_valid(&prefix));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_any_and_loopback),
        cmocka_unit_test(test_map_and_unmap),
        cmocka_unit_test(test_from_sockaddr_in),
        cmocka_unit_test(test_from_sockaddr_in6),
        cmocka_unit_test(test_from_unaligned_sockaddr),
        cmocka_unit_test(test_to_sockaddr),
        cmocka_unit_test(test_to_short_sockaddr),
        cmocka_unit_test(test_prefix_parse_and_format),
        cmocka_unit_test(test_prefix_contains),
        cmocka_unit_test(test_prefix_covers),
        cmocka_unit_test(test_invalid_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
