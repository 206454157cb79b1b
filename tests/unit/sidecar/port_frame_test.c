/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/cmocka.h"

#include "sidecar/port/frame.h"
#include "sidecar/port/vnet.h"

#include <errno.h>
#include <string.h>

#define TCP_HDR 54 /* Ethernet, IPv4, TCP */

static const struct dmm_port_info info = {
    .mtu = 1500,
    .max_gso_size = 65535,
    .offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_USO,
};

static uint8_t headers[TCP_HDR];
static uint8_t payload[65536];

static struct dmm_tx_frame plain(struct iovec iov[2], size_t len)
{
    iov[0] = (struct iovec){headers, TCP_HDR};
    iov[1] = (struct iovec){payload, len - TCP_HDR};
    return (struct dmm_tx_frame){.iov = iov, .n_iov = 2};
}

static struct dmm_tx_frame tso(struct iovec iov[2], size_t len)
{
    struct dmm_tx_frame f = plain(iov, len);
    f.flags = DMM_FRAME_CSUM_PARTIAL;
    f.gso = DMM_GSO_TCPV4;
    f.gso_size = 1460;
    f.hdr_len = TCP_HDR;
    f.csum_start = 34;
    f.csum_offset = 16;
    return f;
}

static int check(const struct dmm_tx_frame *f)
{
    uint32_t len;
    return dmm_tx_frame_check(f, &info, &len);
}

static void test_tx_plain(void **state)
{
    (void)state;
    struct iovec iov[2];
    uint32_t len = 0;
    struct dmm_tx_frame f = plain(iov, 1514);
    assert_int_equal(dmm_tx_frame_check(&f, &info, &len), 0);
    assert_int_equal(len, 1514);
    f = plain(iov, 1515);
    assert_int_equal(check(&f), -EMSGSIZE);
    headers[12] = 0x81; /* an 802.1Q tag in the data does not count to the MTU */
    headers[13] = 0x00;
    f = plain(iov, 1518);
    assert_int_equal(check(&f), 0);
    headers[12] = 0;
    f = plain(iov, 100);
    iov[0].iov_len = 13;
    assert_int_equal(check(&f), -EINVAL);
    f = plain(iov, 100);
    f.n_iov = 0;
    assert_int_equal(check(&f), -EINVAL);
    f.n_iov = DMM_TX_IOV + 1;
    assert_int_equal(check(&f), -EINVAL);
    f = plain(iov, 100);
    iov[1].iov_len = SIZE_MAX - 10; /* must not wrap to a small sum */
    assert_int_equal(check(&f), -EMSGSIZE);
    f = plain(iov, 100);
    f.flags = DMM_FRAME_VLAN;
    assert_int_equal(check(&f), -EINVAL);
}

static void test_tx_checksum(void **state)
{
    (void)state;
    struct iovec iov[2];
    struct dmm_tx_frame f = plain(iov, 200);
    f.flags = DMM_FRAME_CSUM_PARTIAL;
    f.csum_start = 34;
    f.csum_offset = 18; /* the last two bytes of the headers */
    assert_int_equal(check(&f), 0);
    f.csum_offset = 19;
    assert_int_equal(check(&f), -EINVAL);
    f.csum_start = 13;
    f.csum_offset = 0;
    assert_int_equal(check(&f), -EINVAL);
    f.csum_start = UINT16_MAX;
    f.csum_offset = UINT16_MAX;
    assert_int_equal(check(&f), -EINVAL);
    f.csum_start = 34;
    f.csum_offset = 16;
    struct dmm_port_info bare = info;
    bare.offloads = 0;
    uint32_t len;
    assert_int_equal(dmm_tx_frame_check(&f, &bare, &len), -EINVAL);
}

static void test_tx_segmentation(void **state)
{
    (void)state;
    struct iovec iov[2];
    struct dmm_tx_frame f = tso(iov, 65535);
    assert_int_equal(check(&f), 0);
    f = tso(iov, 65536);
    assert_int_equal(check(&f), -EMSGSIZE);
    f = tso(iov, 9000);
    f.gso_size = 1461; /* a segment would exceed the MTU */
    assert_int_equal(check(&f), -EMSGSIZE);
    f = tso(iov, 9000);
    f.gso_size = 0;
    assert_int_equal(check(&f), -EINVAL);
    f = tso(iov, 9000);
    f.flags = 0;
    assert_int_equal(check(&f), -EINVAL);
    headers[12] = 0x81; /* a tag in the headers does not count to the MTU */
    f = tso(iov, 9000);
    f.gso_size = 1460 + 4;
    assert_int_equal(check(&f), 0);
    f.gso_size = 1460 + 5;
    assert_int_equal(check(&f), -EMSGSIZE);
    headers[12] = 0;
    f = tso(iov, 9000);
    f.gso = DMM_GSO_TCPV6; /* not offered by this port */
    assert_int_equal(check(&f), -EINVAL);
    f.gso = 200;
    assert_int_equal(check(&f), -EINVAL);
    f = tso(iov, 9000);
    f.hdr_len = TCP_HDR + 1; /* not all in iov[0] */
    assert_int_equal(check(&f), -EINVAL);
    f.hdr_len = TCP_HDR - 1; /* shorter than a TCP header */
    assert_int_equal(check(&f), -EINVAL);
}

static void test_copy_and_address(void **state)
{
    (void)state;
    uint8_t a[3] = {1, 2, 3}, b[2] = {4, 5}, out[5];
    struct iovec iov[3] = {{a, 3}, {NULL, 0}, {b, 2}};
    struct dmm_tx_frame f = {.iov = iov, .n_iov = 3};
    dmm_tx_frame_copy(&f, out);
    assert_memory_equal(out, ((uint8_t[]){1, 2, 3, 4, 5}), 5);

    const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    assert_true(dmm_frame_for_us((uint8_t[14]){2, 0, 0, 0, 0, 1}, mac));
    assert_false(dmm_frame_for_us((uint8_t[14]){2, 0, 0, 0, 0, 2}, mac));
    assert_true(dmm_frame_for_us((uint8_t[14]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac));
    assert_true(dmm_frame_for_us((uint8_t[14]){0x33, 0x33, 0, 0, 0, 1}, mac));
}

static void test_vnet_tx(void **state)
{
    (void)state;
    struct iovec iov[2];
    struct virtio_net_hdr h;
    struct dmm_tx_frame f = plain(iov, 100);
    dmm_vnet_from_tx(&h, &f);
    assert_memory_equal(&h, &(struct virtio_net_hdr){0}, sizeof(h));

    f = tso(iov, 9000);
    dmm_vnet_from_tx(&h, &f);
    assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    assert_int_equal(h.gso_size, 1460);
    assert_int_equal(h.hdr_len, TCP_HDR);
    assert_int_equal(h.csum_start, 34);
    assert_int_equal(h.csum_offset, 16);

    headers[34 + 13] = 0x80; /* CWR */
    dmm_vnet_from_tx(&h, &f);
    assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN);
    f.gso = DMM_GSO_UDP; /* has no CWR, whatever that byte is */
    dmm_vnet_from_tx(&h, &f);
    assert_int_equal(h.gso_type, 5);
    headers[34 + 13] = 0;
}

static int to_frame(struct virtio_net_hdr h, uint32_t len, struct dmm_frame *f)
{
    memset(f, 0xa5, sizeof(*f));
    f->data = payload;
    f->len = len;
    return dmm_vnet_to_frame(&h, f);
}

static void test_vnet_rx(void **state)
{
    (void)state;
    struct dmm_frame f;
    assert_int_equal(to_frame((struct virtio_net_hdr){0}, 60, &f), 0);
    assert_int_equal(f.flags, 0);
    assert_int_equal(f.gso, DMM_GSO_NONE);
    assert_int_equal(f.gso_size, 0);
    assert_int_equal(to_frame((struct virtio_net_hdr){0}, 13, &f), -EBADMSG);
    assert_int_equal(
        to_frame((struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID}, 60, &f), 0);
    assert_int_equal(f.flags, DMM_FRAME_CSUM_OK);

    struct virtio_net_hdr partial = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
    assert_int_equal(to_frame(partial, 52, &f), 0);
    assert_int_equal(f.flags, DMM_FRAME_CSUM_PARTIAL);
    assert_int_equal(to_frame(partial, 51, &f), -EBADMSG);
    partial.csum_start = UINT16_MAX;
    partial.csum_offset = UINT16_MAX;
    assert_int_equal(to_frame(partial, 65535, &f), -EBADMSG);
}

static void test_vnet_rx_segmentation(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, gso;
        int rc;
    } cases[] = {
        {VIRTIO_NET_HDR_GSO_TCPV4, DMM_GSO_TCPV4, 0},
        {VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, DMM_GSO_TCPV4, 0},
        {VIRTIO_NET_HDR_GSO_TCPV6, DMM_GSO_TCPV6, 0},
        {5, DMM_GSO_UDP, 0},
        {VIRTIO_NET_HDR_GSO_UDP, DMM_GSO_NONE, 0}, /* one datagram: whole for a receiver */
        {2, 0, -EBADMSG},
        {0x7f, 0, -EBADMSG},
    };
    struct dmm_frame f;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                   .gso_type = cases[i].type,
                                   .gso_size = 1460,
                                   .csum_start = 34,
                                   .csum_offset = 16};
        assert_int_equal(to_frame(h, 9000, &f), cases[i].rc);
        if (cases[i].rc)
            continue;
        assert_int_equal(f.gso, cases[i].gso);
        assert_int_equal(f.gso_size, cases[i].gso == DMM_GSO_NONE ? 0 : 1460);
    }
    struct virtio_net_hdr h = {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1460};
    assert_int_equal(to_frame(h, 9000, &f), -EBADMSG); /* no checksum to trust or complete */
    h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    assert_int_equal(to_frame(h, 9000, &f), 0);
    h.gso_size = 0;
    assert_int_equal(to_frame(h, 9000, &f), -EBADMSG);
}

static void test_port_data(void **state)
{
    (void)state;
    static struct dmm_port_config config = {
        .ifname = "net1", .mac = {2, 0, 0, 0, 0, 9}, .mtu = 1400, .n_addresses = 1, .n_routes = 1};
    config.addresses[0].addr.family = AF_INET;
    config.addresses[0].prefix_len = 24;
    config.routes[0].dst.len = 8;
    static struct dmm_port_data data;
    dmm_port_data_init(&data, &config);
    assert_string_equal(data.info.name, "net1");
    assert_int_equal(data.info.mtu, 1400);
    assert_memory_equal(data.info.mac, config.mac, 6);
    assert_int_equal(data.info.n_addresses, 1);
    assert_int_equal(data.info.addresses[0].prefix_len, 24);
    assert_int_equal(data.info.routes[0].dst.len, 8);
    assert_false(data.info.up);
    assert_int_equal(data.info.offloads, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tx_plain),        cmocka_unit_test(test_tx_checksum),
        cmocka_unit_test(test_tx_segmentation), cmocka_unit_test(test_copy_and_address),
        cmocka_unit_test(test_vnet_tx),         cmocka_unit_test(test_vnet_rx),
        cmocka_unit_test(test_port_data),       cmocka_unit_test(test_vnet_rx_segmentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
