/* SPDX-License-Identifier: Apache-2.0 */
/* Which frames make a run. */
#include "sidecar/tcpip/net/merge.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ether.h"
#include "sidecar/tcpip/net/wire.h"
#include "tests/unit/cmocka.h"

#include <stdlib.h>

#define PAYLOAD 100
#define TCP_HDR 32 /* with timestamps */
#define FRAMES  (NET_RUN_MAX + 2)

struct batch {
    uint8_t bytes[FRAMES][256];
    struct dmm_frame frames[FRAMES];
    size_t ip_len;
};

/* Checksums of frame i as they have to be. */
static void repair(struct batch *b, unsigned i)
{
    uint8_t *ip = b->bytes[i] + NET_ETH_HDR, *tcp = ip + b->ip_len;
    size_t addresses = b->ip_len == 20 ? 8 : 32, l4 = b->frames[i].len - NET_ETH_HDR - b->ip_len;
    if (b->ip_len == 20) {
        net_put16(ip + 10, 0);
        net_csum_store(ip + 10, net_csum(ip, 20));
    }
    net_put16(tcp + 16, 0);
    uint64_t sum = net_csum_add(0, tcp - addresses, addresses + l4);
    sum += (uint64_t)htons(IPPROTO_TCP) + htons((uint16_t)l4);
    net_csum_store(tcp + 16, net_csum_finish(sum));
}

static void resize(struct batch *b, unsigned i, uint32_t payload)
{
    uint8_t *ip = b->bytes[i] + NET_ETH_HDR;
    b->frames[i].len = (uint32_t)(NET_ETH_HDR + b->ip_len + TCP_HDR + payload);
    if (b->ip_len == 20)
        net_put16(ip + 2, (uint16_t)(20 + TCP_HDR + payload));
    else
        net_put16(ip + 4, (uint16_t)(TCP_HDR + payload));
    repair(b, i);
}

static void make(struct batch *b, bool v4)
{
    static const uint8_t eth[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    static const uint8_t ip4[20] = {0x45, 0, 0,  0, 0, 0, 0x40, 0, 0x40, 6,
                                    0,    0, 10, 0, 0, 2, 10,   0, 0,    1};
    static const uint8_t ip6[40] = {0x60, 0,  0x12, 0x34,     0,           0,
                                    6,    64, 0xfd, [23] = 2, [24] = 0xfd, [39] = 1};
    static const uint8_t tcp_header[TCP_HDR] = {0x0f, 0xa0, 0,    80, 0, 0, 0, 0, 0, 0, 0,
                                                1,    0x80, 0x10, 1,  0, 0, 0, 0, 0, 1, 1,
                                                8,    10,   0,    0,  0, 1, 0, 0, 0, 2};
    *b = (struct batch){.ip_len = v4 ? 20 : 40};
    for (unsigned i = 0; i < FRAMES; i++) {
        uint8_t *f = b->bytes[i], *ip = f + NET_ETH_HDR, *tcp = ip + b->ip_len;
        memcpy(f, eth, sizeof(eth));
        net_put16(f + 12, v4 ? NET_ETH_IPV4 : NET_ETH_IPV6);
        memcpy(ip, v4 ? ip4 : ip6, b->ip_len);
        if (v4)
            net_put16(ip + 4, (uint16_t)(i * 7)); /* identifications do not matter */
        memcpy(tcp, tcp_header, sizeof(tcp_header));
        net_put32(tcp + 4, 0xffffff00u + i * PAYLOAD); /* they wrap */
        memset(tcp + TCP_HDR, (int)i, PAYLOAD);
        b->frames[i] = (struct dmm_frame){.data = f};
        resize(b, i, PAYLOAD);
    }
}

static unsigned found(struct batch *b, unsigned n)
{
    struct net_run run;
    net_run_find(b->frames, n, &run);
    if (run.n == 1)
        return 1;
    uint32_t more = 0;
    for (unsigned i = 0; i < run.n; i++) {
        assert_ptr_equal(run.pieces[i], b->bytes[i] + NET_ETH_HDR + b->ip_len + TCP_HDR);
        more += i == 0 ? 0 : b->frames[i].len - (uint32_t)(NET_ETH_HDR + b->ip_len + TCP_HDR);
    }
    assert_int_equal(run.more, more);
    assert_int_equal(run.size, PAYLOAD);
    return run.n;
}

static void test_run(void **state)
{
    struct batch b;
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        make(&b, v4);
        assert_int_equal(found(&b, 1), 1);
        assert_int_equal(found(&b, 2), 2);
        assert_int_equal(found(&b, 5), 5);
        assert_int_equal(found(&b, FRAMES), NET_RUN_MAX);
        resize(&b, 3, PAYLOAD - 1); /* a shorter one ends it */
        assert_int_equal(found(&b, FRAMES), 4);
        resize(&b, 3, PAYLOAD + 1); /* a longer one is none of it */
        assert_int_equal(found(&b, FRAMES), 3);
        make(&b, v4);
        b.bytes[2][NET_ETH_HDR + b.ip_len + 13] |= 8; /* PSH ends it */
        repair(&b, 2);
        assert_int_equal(found(&b, FRAMES), 3);
    }
}

/* Each bit of the second frame's headers, with right checksums: what may differ is a short list. */
static void test_every_bit(void **state)
{
    struct batch b;
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        const unsigned ip = NET_ETH_HDR, tcp = ip + (v4 ? 20 : 40), end = tcp + TCP_HDR;
        for (unsigned bit = 0; bit < 8 * end; bit++) {
            const unsigned at = bit / 8;
            const bool computed =
                (v4 && at >= ip + 10 && at < ip + 12) || (at >= tcp + 16 && at < tcp + 18);
            const bool free = (v4 && at >= ip + 4 && at < ip + 6) || /* identification */
                              bit == 8 * (tcp + 13) + 3 ||           /* PSH */
                              (at >= tcp + 18 && at < tcp + 20);     /* urgent pointer */
            if (computed)
                continue;
            make(&b, v4);
            b.bytes[1][at] ^= (uint8_t)(1 << bit % 8);
            repair(&b, 1);
            if (found(&b, 2) != (free ? 2 : 1))
                fail_msg("IPv%d, byte %u, bit %u", v4 ? 4 : 6, at, bit % 8);
        }
    }
}

static void test_checksums(void **state)
{
    struct batch b;
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        for (unsigned i = 0; i < 2; i++) {
            make(&b, v4);
            b.bytes[i][b.frames[i].len - 1] ^= 1;
            assert_int_equal(found(&b, 2), 1);
            b.frames[0].flags = b.frames[1].flags = DMM_FRAME_CSUM_OK; /* the port knows better */
            assert_int_equal(found(&b, 2), 2);
            b.frames[1].flags = 0;
            assert_int_equal(found(&b, 2), 1);
        }
        make(&b, v4);
        b.bytes[2][b.frames[2].len - 1] ^= 1;
        assert_int_equal(found(&b, FRAMES), 2);
    }
    make(&b, true);
    b.bytes[1][NET_ETH_HDR + 10] ^= 1; /* the header's own, which no port vouches for */
    b.frames[0].flags = b.frames[1].flags = DMM_FRAME_CSUM_PARTIAL;
    assert_int_equal(found(&b, 2), 1);
}

static void test_frames(void **state)
{
    struct batch b;
    (void)state;
    make(&b, true);
    b.frames[0].len += 6; /* padding is no payload */
    b.frames[1].len += 6;
    struct net_run run;
    net_run_find(b.frames, 2, &run);
    assert_int_equal(run.n, 2);
    assert_int_equal(run.more, PAYLOAD);
    b.frames[1].gso = DMM_GSO_TCPV4; /* the port has merged already */
    assert_int_equal(found(&b, 2), 1);
    make(&b, true);
    b.frames[0].flags = b.frames[1].flags = DMM_FRAME_VLAN;
    b.frames[0].vlan_tci = 5;
    assert_int_equal(found(&b, 2), 1);
    b.frames[1].vlan_tci = 5;
    assert_int_equal(found(&b, 2), 2);
}

/* Cut anywhere, nothing beyond the frame is read (AddressSanitizer sees it) or believed. */
static void test_cut(void **state)
{
    struct batch b;
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        make(&b, v4);
        const uint32_t whole = b.frames[0].len;
        for (uint32_t len = 0; len < whole; len++) {
            for (unsigned i = 0; i < 2; i++) {
                uint8_t *cut = malloc(len > 0 ? len : 1);
                make(&b, v4);
                memcpy(cut, b.bytes[i], len);
                b.frames[i].data = cut;
                b.frames[i].len = len;
                struct net_run run;
                net_run_find(b.frames, 2, &run);
                assert_int_equal(run.n, 1);
                free(cut);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),       cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_checksums), cmocka_unit_test(test_frames),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
