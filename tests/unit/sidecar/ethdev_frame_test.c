/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/cmocka.h"

#include "sidecar/port/ethdev_frame.h"

#include <errno.h>
#include <string.h>

static uint8_t data[128];

static void ethertype(uint16_t type, uint8_t first, uint8_t protocol)
{
    memset(data, 0, sizeof(data));
    data[12] = (uint8_t)(type >> 8);
    data[13] = (uint8_t)type;
    data[14] = first;
    data[first >> 4 == 6 ? 20 : 23] = protocol;
}

static int to_frame(uint64_t flags, uint16_t segsz, uint32_t len, struct dmm_frame *f)
{
    struct rte_mbuf m = {.ol_flags = flags, .tso_segsz = segsz, .vlan_tci = 42};
    memset(f, 0xa5, sizeof(*f));
    f->data = data;
    f->len = len;
    return ethdev_to_frame(&m, f);
}

static void test_rx_checksum(void **state)
{
    UNUSED(state);
    struct dmm_frame f;
    ethertype(0x0800, 0x45, 6);
    assert_int_equal(to_frame(0, 0, 60, &f), 0);
    assert_int_equal(f.flags, 0);
    assert_int_equal(f.gso, DMM_GSO_NONE);
    assert_int_equal(f.vlan_tci, 0);
    assert_int_equal(to_frame(RTE_MBUF_F_RX_L4_CKSUM_NONE, 0, 60, &f), 0);
    assert_int_equal(f.flags, DMM_FRAME_CSUM_PARTIAL);
    assert_int_equal(to_frame(RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0, 60, &f), 0);
    assert_int_equal(f.flags, DMM_FRAME_CSUM_OK);
    assert_int_equal(to_frame(RTE_MBUF_F_RX_L4_CKSUM_BAD, 0, 60, &f), 0);
    assert_int_equal(f.flags, 0); /* the stack looks for itself */
    assert_int_equal(to_frame(0, 0, 13, &f), -EBADMSG);
    assert_int_equal(to_frame(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED, 0, 60, &f), 0);
    assert_int_equal(f.flags, DMM_FRAME_VLAN);
    assert_int_equal(f.vlan_tci, 42);
}

static void test_rx_merged(void **state)
{
    UNUSED(state);
    const uint64_t merged = RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE;
    struct dmm_frame f;
    ethertype(0x0800, 0x45, 6);
    assert_int_equal(to_frame(merged, 1460, 100, &f), 0);
    assert_int_equal(f.gso, DMM_GSO_TCPV4);
    assert_int_equal(f.gso_size, 1460);
    assert_int_equal(to_frame(merged, 0, 100, &f), -EBADMSG);
    assert_int_equal(to_frame(RTE_MBUF_F_RX_LRO, 1460, 100, &f), -EBADMSG);
    assert_int_equal(to_frame(merged, 1460, 33, &f), -EBADMSG);
    ethertype(0x86dd, 0x60, 6);
    assert_int_equal(to_frame(merged, 1440, 100, &f), 0);
    assert_int_equal(f.gso, DMM_GSO_TCPV6);
    ethertype(0x0800, 0x45, 17);
    assert_int_equal(to_frame(merged, 1400, 100, &f), 0);
    assert_int_equal(f.gso, DMM_GSO_UDP);
    ethertype(0x0800, 0x45, 1);
    assert_int_equal(to_frame(merged, 1400, 100, &f), -EBADMSG);
    ethertype(0x0806, 0x45, 6);
    assert_int_equal(to_frame(merged, 1400, 100, &f), -EBADMSG);
}

static int from_tx(struct dmm_tx_frame f, struct rte_mbuf *m)
{
    struct iovec iov = {data, sizeof(data)};
    memset(m, 0, sizeof(*m));
    f.iov = &iov;
    f.n_iov = 1;
    return ethdev_from_tx(m, &f);
}

static void test_tx(void **state)
{
    UNUSED(state);
    struct rte_mbuf m;
    struct dmm_tx_frame f = {0};
    ethertype(0x0800, 0x45, 6);
    assert_int_equal(from_tx(f, &m), 0);
    assert_int_equal(m.ol_flags, 0);

    f = (struct dmm_tx_frame){.flags = DMM_FRAME_CSUM_PARTIAL, .csum_start = 34, .csum_offset = 16};
    assert_int_equal(from_tx(f, &m), 0);
    assert_true(m.ol_flags == (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM));
    assert_int_equal(m.l2_len, 14);
    assert_int_equal(m.l3_len, 20);

    f.gso = DMM_GSO_TCPV4;
    f.gso_size = 1460;
    f.hdr_len = 66;
    assert_int_equal(from_tx(f, &m), 0);
    assert_true(m.ol_flags ==
                (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG));
    assert_int_equal(m.l4_len, 32);
    assert_int_equal(m.tso_segsz, 1460);

    f = (struct dmm_tx_frame){.flags = DMM_FRAME_CSUM_PARTIAL, .csum_start = 54, .csum_offset = 6};
    ethertype(0x86dd, 0x60, 17);
    assert_int_equal(from_tx(f, &m), 0);
    assert_true(m.ol_flags == (RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM));
    assert_int_equal(m.l3_len, 40);

    ethertype(0x8100, 0, 0);
    data[18] = 0x45;
    f.csum_start = 38;
    assert_int_equal(from_tx(f, &m), 0);
    assert_int_equal(m.l2_len, 18);
    assert_int_equal(m.l3_len, 20);
    assert_true(m.ol_flags & RTE_MBUF_F_TX_IPV4);

    f.csum_offset = 2; /* ICMP: DPDK has no words for it */
    assert_int_equal(from_tx(f, &m), -EINVAL);
    f.csum_offset = 6;
    f.csum_start = 18 + 512;
    assert_int_equal(from_tx(f, &m), -EINVAL);
    f.csum_start = 18;
    assert_int_equal(from_tx(f, &m), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rx_checksum),
        cmocka_unit_test(test_rx_merged),
        cmocka_unit_test(test_tx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
