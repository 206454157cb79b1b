/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/wire.h"
#include "tests/unit/cmocka.h"

/* One word at a time, as RFC 1071 writes it. */
static uint16_t slow(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint16_t folded(uint64_t sum)
{
    uint8_t b[2];
    net_csum_store(b, net_csum_fold(sum));
    return net_get16(b);
}

/* RFC 1071, 3: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2. */
static void test_rfc1071_example(void **state)
{
    const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    UNUSED(state);
    assert_int_equal(folded(net_csum_add(0, data, sizeof(data))), 0xddf2);
}

/* The header that Wikipedia and many books compute by hand: 45 00 00 73 ... gives b861. */
static void test_ip4_header(void **state)
{
    uint8_t h[20] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                     0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    UNUSED(state);
    net_csum_store(h + 10, net_csum(h, 20));
    assert_int_equal(net_get16(h + 10), 0xb861);
    assert_int_equal(net_csum(h, 20), 0);
}

static void test_every_length_and_alignment(void **state)
{
    uint8_t data[300];
    UNUSED(state);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 89 + 255);
    for (size_t at = 0; at < 8; at++)
        for (size_t len = 0; len + at <= sizeof(data); len++)
            assert_int_equal(folded(net_csum_add(0, data + at, len)), slow(data + at, len));
}

static void test_carries_are_kept(void **state)
{
    static uint8_t ones[65535];
    UNUSED(state);
    memset(ones, 0xff, sizeof(ones));
    assert_int_equal(folded(net_csum_add(0, ones, sizeof(ones))), slow(ones, sizeof(ones)));
}

static void test_pieces_of_any_length(void **state)
{
    uint8_t data[64];
    UNUSED(state);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(200 - i * 7);
    for (size_t a = 0; a <= 20; a++) {
        for (size_t b = a; b <= 41; b++) {
            struct iovec iov[4] = {{data, a}, {data + a, b - a}, {data + b, 0}, {data + b, 64 - b}};
            for (size_t skip = 0; skip <= 64; skip += 2)
                assert_int_equal(folded(net_csum_add_iov(0, iov, 4, skip)),
                                 slow(data + skip, 64 - skip));
        }
    }
}

/* UDP over IPv4, by hand: 10.0.0.1 -> 10.0.0.2, ports 1 and 2, "hi":
 * 0a00+0001+0a00+0002+0011+000a + 0001+0002+000a+6869 = 7c94, complement 836b. */
static void test_pseudo_header_v4(void **state)
{
    const struct ip_addr a = net_ip_v4_of(10, 0, 0, 1), b = net_ip_v4_of(10, 0, 0, 2);
    const uint8_t udp[10] = {0, 1, 0, 2, 0, 10, 0, 0, 'h', 'i'};
    UNUSED(state);
    uint64_t sum = net_csum_pseudo(&a, &b, 17, 10);
    assert_int_equal(folded(sum), 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 0x11 + 0x0a);
    assert_int_equal((uint16_t)~folded(net_csum_add(sum, udp, 10)), 0x836b);
}

/* ICMPv6 echo fe80::1 -> fe80::2: fe80+1+fe80+2+8+3a = 1fd45 -> fd46; +8000 = 17d46 -> 7d47. */
static void test_pseudo_header_v6(void **state)
{
    const struct ip_addr a = {.b = {0xfe, 0x80, [15] = 1}}, b = {.b = {0xfe, 0x80, [15] = 2}};
    const uint8_t echo[8] = {0x80};
    UNUSED(state);
    uint64_t sum = net_csum_pseudo(&a, &b, 58, 8);
    assert_int_equal(folded(sum), 0xfd46);
    assert_int_equal(folded(net_csum_add(sum, echo, 8)), 0x7d47);
}

/* RFC 1624, 4: 0xDD2F with m 0x5555 -> 0x3285 gives 0x0000, where RFC 1141 erred. */
static void test_update_rfc1624(void **state)
{
    uint8_t f[2], m[2], n[2], r[2];
    UNUSED(state);
    net_put16(f, 0xdd2f);
    net_put16(m, 0x5555);
    net_put16(n, 0x3285);
    net_csum_store(r, net_csum_update(net_csum_load(f), net_csum_load(m), net_csum_load(n)));
    assert_int_equal(net_get16(r), 0);
}

static void test_partial_is_completed(void **state)
{
    const struct ip_addr a = net_ip_v4_of(10, 0, 0, 1), b = net_ip_v4_of(10, 0, 0, 2);
    uint8_t pkt[30] = {[20] = 0, 1, 0, 2, 0, 10, 0, 0, 'h', 'i'};
    UNUSED(state);
    net_csum_store(pkt + 26, net_csum_fold(net_csum_pseudo(&a, &b, 17, 10)));
    assert_true(net_csum_complete(pkt, 30, 20, 6));
    assert_int_equal(net_get16(pkt + 26), 0x836b);
    assert_false(net_csum_complete(pkt, 30, 31, 0));
    assert_false(net_csum_complete(pkt, 30, 20, 9));
    assert_false(net_csum_complete(pkt, 30, 29, 0));
    assert_false(net_csum_complete(pkt, 30, 20, SIZE_MAX));
}

static void test_completed_zero_is_all_ones(void **state)
{
    uint8_t pkt[4] = {0xff, 0xff, 0, 0};
    UNUSED(state);
    assert_true(net_csum_complete(pkt, 4, 0, 2));
    assert_int_equal(net_get16(pkt + 2), 0xffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc1071_example),
        cmocka_unit_test(test_ip4_header),
        cmocka_unit_test(test_every_length_and_alignment),
        cmocka_unit_test(test_carries_are_kept),
        cmocka_unit_test(test_pieces_of_any_length),
        cmocka_unit_test(test_pseudo_header_v4),
        cmocka_unit_test(test_pseudo_header_v6),
        cmocka_unit_test(test_update_rfc1624),
        cmocka_unit_test(test_partial_is_completed),
        cmocka_unit_test(test_completed_zero_is_all_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
