/* SPDX-License-Identifier: Apache-2.0 */
/* What Linux says of options, apart from doing them. The oracle compares all of them with the
 * kernel (tests/oracle/option_table.c); here is what it cannot reach. */
#include "preload/linux_options.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

static const struct option_socket tcp4 = {AF_INET, SOCK_STREAM};
static const struct option_socket udp4 = {AF_INET, SOCK_DGRAM};
static const struct option_socket tcp6 = {AF_INET6, SOCK_STREAM};

static int check(const struct option_socket *socket, int level, int name, const void *value,
                 socklen_t len, struct option_value *out)
{
    const struct linux_option *option;
    return linux_option_check(socket, level, name, value, len, &option, out);
}

static void test_levels(void **state)
{
    int error;
    (void)state;
    assert_null(linux_option_find(&tcp4, IPPROTO_IPV6, IPV6_V6ONLY, false, &error));
    assert_int_equal(error, -EOPNOTSUPP);
    assert_null(linux_option_find(&tcp4, IPPROTO_IPV6, IPV6_V6ONLY, true, &error));
    assert_int_equal(error, -ENOPROTOOPT);
    assert_non_null(linux_option_find(&tcp6, IPPROTO_IPV6, IPV6_V6ONLY, true, &error));
    assert_null(linux_option_find(&udp4, IPPROTO_TCP, TCP_NODELAY, true, &error));
    assert_non_null(linux_option_find(&tcp6, IPPROTO_IP, IP_TTL, true, &error));
}

static void test_values(void **state)
{
    struct option_value out;
    int n = 7;
    (void)state;
    assert_int_equal(check(&tcp4, SOL_SOCKET, SO_KEEPALIVE, &n, 3, &out), -EINVAL);
    assert_int_equal(check(&tcp4, SOL_SOCKET, SO_KEEPALIVE, NULL, 4, &out), -EFAULT);
    assert_int_equal(check(&tcp4, SOL_SOCKET, SO_KEEPALIVE, &n, 400, &out), 0);
    assert_int_equal(out.number, 1);
    assert_int_equal(out.len, 4);
    assert_int_equal(check(&tcp4, IPPROTO_IP, IP_TTL, &n, 1, &out), 0);
    assert_int_equal(out.number, 7);
    assert_int_equal(check(&tcp6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &n, 1, &out), -EINVAL);
    assert_int_equal(check(&tcp6, IPPROTO_IPV6, IPV6_RECVERR, NULL, 4, &out), 0);
    assert_int_equal(out.number, 0);
    n = 0;
    assert_int_equal(check(&tcp4, IPPROTO_TCP, TCP_KEEPIDLE, &n, 4, &out), -EINVAL);
    assert_int_equal(check(&tcp4, SOL_SOCKET, SO_TYPE, &n, 4, &out), -ENOPROTOOPT);
}

/* However long a name or a group is, what is handed on fits. */
static void test_long_bytes(void **state)
{
    struct option_value out;
    char bytes[4096];
    (void)state;
    memset(bytes, 'a', sizeof(bytes));
    assert_int_equal(check(&tcp4, IPPROTO_TCP, TCP_CONGESTION, bytes, sizeof(bytes), &out), 0);
    assert_int_equal(out.len, 15);
    assert_int_equal(check(&tcp4, SOL_SOCKET, SO_BINDTODEVICE, bytes, sizeof(bytes), &out), 0);
    assert_true(out.len <= sizeof(out.bytes));
    assert_int_equal(check(&tcp4, SOL_SOCKET, SO_BINDTODEVICE, NULL, 5, &out), -EFAULT);
    assert_int_equal(check(&tcp4, SOL_SOCKET, SO_BINDTODEVICE, bytes, 0, &out), 0);
    assert_int_equal(check(&udp4, IPPROTO_IP, IP_ADD_MEMBERSHIP, bytes, 7, &out), -EINVAL);
    assert_int_equal(check(&udp4, IPPROTO_IP, IP_ADD_MEMBERSHIP, bytes, sizeof(bytes), &out), 0);
    assert_true(out.len <= sizeof(out.bytes));
}

/* A program may say any length; behind what Linux reads there may be no memory. */
static void test_reads(void **state)
{
    static const struct {
        int level, name;
        socklen_t bytes;
    } cases[] = {{SOL_SOCKET, SO_RCVTIMEO, sizeof(struct timeval)},
                 {SOL_SOCKET, SO_LINGER, sizeof(struct linger)},
                 {SOL_SOCKET, SO_KEEPALIVE, sizeof(int)},
                 {IPPROTO_IP, IP_TTL, sizeof(int)},
                 {IPPROTO_TCP, TCP_CONGESTION, 15}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int error;
        const struct linux_option *o =
            linux_option_find(&tcp4, cases[i].level, cases[i].name, true, &error);
        assert_non_null(o);
        assert_int_equal(linux_option_reads(o), cases[i].bytes);
    }
}

static void test_give(void **state)
{
    unsigned char room[8];
    socklen_t len = 2;
    (void)state;
    linux_option_give(IPPROTO_IP, 64, room, &len); /* ip(7): in one byte where that is asked */
    assert_int_equal(len, 1);
    len = 8;
    linux_option_give(SOL_SOCKET, 64, room, &len);
    assert_int_equal(len, 4);
    len = 0;
    linux_option_give(SOL_SOCKET, 64, room, &len);
    assert_int_equal(len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_levels), cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_long_bytes),
                                       cmocka_unit_test(test_reads), cmocka_unit_test(test_give)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
