/* SPDX-License-Identifier: Apache-2.0 */
/* Flows and output: routes, sources, headers, checksums, offloads, next hops, the loop queue. */
#include "sidecar/tcpip/net/arp_packet.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/net_lab.h"

#include <errno.h>
#include <stdlib.h>

static struct net_flow flow_to(const struct ip_addr *dst, uint8_t proto, uint8_t flags)
{
    return (struct net_flow){.dst = *dst, .proto = proto, .flags = flags};
}

/* A UDP datagram 1000 -> 2000 with the payload in `n` pieces. */
static int send_udp(struct lab *lab, struct net_flow *flow, const void *payload, size_t len)
{
    uint8_t buf[NET_HEADROOM + 8], *udp = buf + NET_HEADROOM;
    net_put16(udp, 1000);
    net_put16(udp + 2, 2000);
    net_put16(udp + 4, (uint16_t)(8 + len));
    net_put16(udp + 6, 0);
    struct net_tx tx = {.l4 = udp,
                        .l4_len = 8,
                        .csum_offset = 6,
                        .n_payload = len ? 2 : 0,
                        .payload_len = (uint32_t)len,
                        .payload = {{(void *)(uintptr_t)payload, len / 2},
                                    {(uint8_t *)(uintptr_t)payload + len / 2, len - len / 2}}};
    return net_output(&lab->ip, flow, &tx);
}

static bool l4_ok(const struct lab_frame *f)
{
    struct ip_packet p = {.l3 = f->data + 14};
    bool v4 = lab_ethertype(f) == NET_ETH_IPV4;
    size_t hdr = v4 ? 20 : 40;
    p.src = v4 ? net_ip_v4(p.l3 + 12) : ip_addr_v6(p.l3 + 8);
    p.dst = v4 ? net_ip_v4(p.l3 + 16) : ip_addr_v6(p.l3 + 24);
    p.proto = v4 ? p.l3[9] : p.l3[6];
    p.l4 = p.l3 + hdr;
    p.l4_len = (uint32_t)(f->len - 14 - hdr);
    return net_l4_checksum_ok(&p);
}

static void test_first_packet_asks_and_waits(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    UNUSED(state);
    assert_int_equal(send_udp(lab, &flow, "hi", 2), 0);
    assert_int_equal(lab->n_sent, 1);
    /* Byte for byte: who has 10.0.0.2, tell 10.0.0.1. */
    static const uint8_t request[42] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,  0, 0, 0, 1, 8, 6, 0, 1, 8, 0,  6, 4, 0,
        1,    2,    0,    0,    0,    0,    1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2};
    const struct lab_frame *f = lab_sent(lab, 0);
    assert_int_equal(f->len, 42);
    assert_int_equal(f->data[5], 0xff);
    uint8_t want[42];
    memcpy(want, request, 42);
    memcpy(want + 6, lab->ports[0].mac, 6);
    memcpy(want + 22, lab->ports[0].mac, 6);
    assert_memory_equal(f->data, want, 42);
    lab_arp(lab, NET_ARP_REPLY, &lab_peer_mac, &lab_peer4, &lab_us4);
    assert_int_equal(lab->n_sent, 2);
    f = lab_sent(lab, 1);
    assert_int_equal(f->len, 14 + 20 + 8 + 2);
    assert_memory_equal(f->data, lab_peer_mac.b, 6);
    assert_int_equal(net_csum(f->data + 14, 20), 0);
    assert_true(l4_ok(f));
    assert_memory_equal(f->data + 42, "hi", 2);
    /* Now at once. */
    assert_int_equal(send_udp(lab, &flow, "hi", 2), 0);
    assert_int_equal(lab->n_sent, 3);
    lab_free(lab);
}

/* By hand: 4500+001e+4000+4011+0a00+0001+0a00+0002 = d932, complement 26cd;
 * UDP as in net_checksum_test but ports 03e8 07d0: 7c94 - 3 + 0bb8 = 8849 -> 77b6. */
static void test_udp4_bytes(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, NET_FLOW_DF);
    static const uint8_t want[] = {0x45, 0,    0,  0x1e, 0, 0,  0x40, 0,    0x40, 0x11,
                                   0x26, 0xcd, 10, 0,    0, 1,  10,   0,    0,    2,
                                   0x03, 0xe8, 7,  0xd0, 0, 10, 0x77, 0xb6, 'h',  'i'};
    UNUSED(state);
    lab_learn(lab, &lab_peer4);
    lab_clear(lab);
    assert_int_equal(send_udp(lab, &flow, "hi", 2), 0);
    assert_memory_equal(lab_sent(lab, 0)->data + 14, want, sizeof(want));
    lab_free(lab);
}

static void test_udp6_and_flow_label(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = flow_to(&lab_peer6, IPPROTO_UDP, 0);
    UNUSED(state);
    flow.flow_label = 0xabcde;
    lab_learn(lab, &lab_peer6);
    lab_clear(lab);
    assert_int_equal(send_udp(lab, &flow, "hello", 5), 0);
    const struct lab_frame *f = lab_sent(lab, 0);
    static const uint8_t want[8] = {0x60, 0x0a, 0xbc, 0xde, 0, 13, 17, 64};
    assert_int_equal(lab_ethertype(f), NET_ETH_IPV6);
    assert_memory_equal(f->data + 14, want, 8);
    assert_memory_equal(f->data + 22, lab_us6.b, 16);
    assert_true(l4_ok(f));
    lab_free(lab);
}

static void test_far_goes_by_the_gateway(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = flow_to(&lab_far4, IPPROTO_UDP, 0);
    UNUSED(state);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_memory_equal(lab_sent(lab, 0)->data + 38, lab_gw4.b + 12, 4);
    flow = flow_to(&lab_far4, IPPROTO_UDP, NET_FLOW_DONTROUTE);
    assert_int_equal(send_udp(lab, &flow, "x", 1), -ENETUNREACH);
    assert_int_equal(lab->ip.count.ip_no_route, 1);
    lab_free(lab);
}

static void test_refusals(void **state)
{
    struct lab *lab = lab_ready();
    const struct ip_addr far6 = {.b = {0x20, 1, [15] = 1}}, other = net_ip_v4_of(10, 0, 0, 77);
    struct net_flow flow = flow_to(&far6, IPPROTO_UDP, 0);
    UNUSED(state);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), -ENETUNREACH);
    flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    flow.src = other;
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), -EADDRNOTAVAIL);
    flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    flow.src = net_ip_v4_of(127, 0, 0, 1);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), -ENETUNREACH);
    flow = flow_to(&net_ip_limited_broadcast, IPPROTO_UDP, 0);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), -EACCES);
    const struct ip_addr directed = net_ip_v4_of(10, 0, 0, 255);
    flow = flow_to(&directed, IPPROTO_UDP, 0);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), -EACCES);
    lab->ports[0].up = false;
    net_port_changed(&lab->ip, 0);
    flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), -ENETDOWN);
    lab_free(lab);
}

static void test_broadcast_and_multicast_frames(void **state)
{
    struct lab *lab = lab_ready();
    const struct ip_addr directed = net_ip_v4_of(10, 0, 0, 255), mc = net_ip_v4_of(239, 129, 2, 3);
    const struct ip_addr mc6 = {.b = {0xff, 5, [12] = 1, 2, 3, 4}};
    static const uint8_t mac4[6] = {1, 0, 0x5e, 1, 2, 3}, mac6[6] = {0x33, 0x33, 1, 2, 3, 4};
    UNUSED(state);
    struct net_flow flow = flow_to(&directed, IPPROTO_UDP, NET_FLOW_BROADCAST);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_memory_equal(lab_sent(lab, 0)->data, net_mac_broadcast.b, 6);
    flow = flow_to(&mc, IPPROTO_UDP, 0);
    flow.ttl = 1;
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_memory_equal(lab_sent(lab, 1)->data, mac4, 6);
    assert_int_equal(lab_sent(lab, 1)->data[22], 1);
    flow = flow_to(&mc6, IPPROTO_UDP, 0);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_memory_equal(lab_sent(lab, 2)->data, mac6, 6);
    lab_free(lab);
}

static void test_offloads(void **state)
{
    struct lab *lab = lab_new();
    static uint8_t bytes[40000];
    UNUSED(state);
    lab->ports[0].offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4;
    lab->ports[0].max_gso_size = 65536;
    lab_start(lab);
    lab_advance(lab, 5 * SEC);
    lab_learn(lab, &lab_peer4);
    lab_clear(lab);
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_TCP, NET_FLOW_DF);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), 0);
    assert_in_range(flow.max_gso, 65000, 65535);
    uint8_t buf[NET_HEADROOM + 20] = {0}, *tcp = buf + NET_HEADROOM;
    tcp[12] = 5 << 4;
    struct net_tx tx = {.l4 = tcp,
                        .l4_len = 20,
                        .csum_offset = 16,
                        .gso = DMM_GSO_TCPV4,
                        .gso_size = 1460,
                        .payload_len = sizeof(bytes),
                        .n_payload = 1,
                        .payload = {{bytes, sizeof(bytes)}}};
    assert_int_equal(net_output(&lab->ip, &flow, &tx), 0);
    const struct lab_frame *f;
    /* The first one needs the neighbour's entry to be found. */
    f = lab_sent(lab, 0);
    assert_int_equal(f->len, 54 + sizeof(bytes));
    assert_int_equal(f->meta.flags, DMM_FRAME_CSUM_PARTIAL);
    assert_int_equal(f->meta.gso, DMM_GSO_TCPV4);
    assert_int_equal(f->meta.gso_size, 1460);
    assert_int_equal(f->meta.hdr_len, 54);
    assert_int_equal(f->meta.csum_start, 34);
    assert_int_equal(f->meta.csum_offset, 16);
    assert_int_equal(net_get16(f->data + 16), 20 + 20 + sizeof(bytes));
    /* What the port does then gives a right packet. */
    assert_true(net_csum_complete(f->data, f->len, 34, 16));
    assert_true(l4_ok(f));
    lab_free(lab);
}

static void test_too_big(void **state)
{
    struct lab *lab = lab_ready();
    static uint8_t bytes[1481];
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, NET_FLOW_DF);
    UNUSED(state);
    assert_int_equal(send_udp(lab, &flow, bytes, 1473), -EMSGSIZE);
    assert_int_equal(send_udp(lab, &flow, bytes, 1472), 0);
    flow = flow_to(&lab_peer4, IPPROTO_TCP, 0);
    assert_int_equal(send_udp(lab, &flow, bytes, 1473), -EMSGSIZE);
    assert_int_equal(lab->ip.count.ip_too_big, 2);
    lab_free(lab);
}

static void test_port_full(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    UNUSED(state);
    lab_learn(lab, &lab_peer4);
    lab->transmit_rc = -EAGAIN;
    assert_int_equal(send_udp(lab, &flow, "x", 1), -EAGAIN);
    assert_int_equal(lab->ip.count.tx_blocked, 1);
    lab->transmit_rc = -ENETDOWN;
    assert_int_equal(send_udp(lab, &flow, "x", 1), -ENETDOWN);
    assert_int_equal(lab->ip.count.tx_error_drop, 1);
    lab->transmit_rc = 0;
    lab_free(lab);
}

static void check_fragments(struct lab *lab, bool v4, size_t payload)
{
    static uint8_t whole[70000];
    size_t got = 0, hdr = v4 ? 20 : 48;
    uint32_t id = 0;
    for (unsigned i = 0; i < lab->n_sent; i++) {
        const struct lab_frame *f = lab_sent(lab, i);
        const uint8_t *l3 = f->data + 14, *fh = l3 + 40;
        bool last = i + 1 == lab->n_sent;
        size_t offset = v4 ? (net_get16(l3 + 6) & 0x1fffu) * 8u : net_get16(fh + 2) & 0xfff8u;
        bool more = v4 ? net_get16(l3 + 6) & NET_IP4_MF : fh[3] & 1;
        uint32_t this_id = v4 ? net_get16(l3 + 4) : net_get32(fh + 4);
        assert_true(f->len <= 1514);
        assert_int_equal(offset, got);
        assert_int_equal(more, !last);
        if (i)
            assert_int_equal(this_id, id);
        id = this_id;
        if (!v4)
            assert_int_equal(l3[6], NET_IP6_FRAGMENT);
        memcpy(whole + got, l3 + hdr, f->len - 14 - hdr);
        got += f->len - 14 - hdr;
    }
    assert_int_equal(got, payload + 8);
    struct ip_packet p = {.src = v4 ? lab_us4 : lab_us6,
                          .dst = v4 ? lab_peer4 : lab_peer6,
                          .l4 = whole,
                          .l4_len = (uint32_t)got,
                          .proto = IPPROTO_UDP};
    assert_true(net_l4_checksum_ok(&p));
    for (size_t i = 0; i < payload; i++)
        assert_int_equal(whole[8 + i], (uint8_t)(i * 31));
}

static void test_fragments(void **state)
{
    static const size_t sizes[] = {1473, 1480, 2952, 2953, 5001, 65507};
    static uint8_t bytes[65507];
    UNUSED(state);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct lab *lab = lab_ready();
        lab_learn(lab, &lab_peer4);
        lab_learn(lab, &lab_peer6);
        lab_clear(lab);
        struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
        assert_int_equal(send_udp(lab, &flow, bytes, sizes[i]), 0);
        check_fragments(lab, true, sizes[i]);
        lab_clear(lab);
        flow = flow_to(&lab_peer6, IPPROTO_UDP, 0);
        assert_int_equal(send_udp(lab, &flow, bytes, sizes[i]), 0);
        check_fragments(lab, false, sizes[i]);
        lab_free(lab);
    }
}

static void test_loop_to_own_addresses(void **state)
{
    struct lab *lab = lab_ready();
    const struct ip_addr dsts[] = {lab_us4,
                                   lab_us6,
                                   net_ip_v4_of(127, 0, 0, 1),
                                   net_ip_v4_of(127, 9, 8, 7),
                                   {.b = {[15] = 1}}};
    UNUSED(state);
    for (unsigned i = 0; i < 5; i++) {
        struct net_flow flow = flow_to(&dsts[i], IPPROTO_UDP, 0);
        lab_clear(lab);
        assert_int_equal(send_udp(lab, &flow, "loop", 4), 0);
        assert_true(flow.flags & NET_FLOW_LOOP);
        assert_int_equal(lab->n_sent, 0);
        assert_int_equal(lab->n_up, 0); /* never from inside output */
        assert_true(net_pending(&lab->ip));
        assert_int_equal(net_poll(&lab->ip), 1);
        assert_false(net_pending(&lab->ip));
        assert_int_equal(lab->n_up, 1);
        assert_int_equal(lab->up.port, IP_PORT_LOOP);
        assert_true(lab->up.flags & IP_PACKET_CSUM_OK);
        assert_int_equal(lab->up.l4_len, 12);
        assert_memory_equal(lab->up_l4 + 8, "loop", 4);
        assert_true(ip_addr_equal(&lab->up.dst, &dsts[i]));
    }
    lab_free(lab);
}

static void test_loop_is_bounded_and_wakes(void **state)
{
    struct lab *lab = lab_ready();
    static uint8_t bytes[40000];
    struct net_flow flow = flow_to(&lab_us4, IPPROTO_UDP, 0);
    unsigned n = 0;
    UNUSED(state);
    while (n < 1000 && send_udp(lab, &flow, bytes, sizeof(bytes)) == 0)
        n++;
    assert_in_range(n, 20, 26);
    assert_int_equal(lab->ip.count.loop_full_limit, 1);
    while (net_pending(&lab->ip))
        net_poll(&lab->ip);
    assert_int_equal(lab->n_up, n);
    assert_int_equal(lab->n_writable, 2);
    assert_int_equal(send_udp(lab, &flow, bytes, sizeof(bytes)), 0);
    lab_free(lab);
}

static void test_unresolved_is_reported(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    UNUSED(state);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_int_equal(lab->n_sent, 1);
    lab_advance(lab, 3 * SEC + 100 * MS);
    assert_int_equal(lab->n_sent, 3); /* MAX_MULTICAST_SOLICIT requests, a second apart */
    assert_int_equal(lab->n_errors, NET_NEIGH_QUEUE);
    assert_int_equal(lab->error.error, EHOSTUNREACH);
    assert_int_equal(lab->error.remote_port, 2000);
    assert_int_equal(lab->error.local_port, 1000);
    assert_true(ip_addr_equal(&lab->error.remote, &lab_peer4));
    assert_int_equal(lab->ip.count.neigh_failed_drop, NET_NEIGH_QUEUE);
    assert_int_equal(lab->ip.count.neigh_queue_limit, 2);
    lab_free(lab);
}

static void test_pmtu_reaches_the_flow(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = flow_to(&lab_far4, IPPROTO_TCP, NET_FLOW_DF);
    UNUSED(state);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), 0);
    assert_int_equal(flow.mtu, 1500);
    net_pmtu_update(&lab->ip, &lab_far4, 1400);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), 0);
    assert_int_equal(flow.mtu, 1400);
    net_pmtu_update(&lab->ip, &lab_far4, 68);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), 0);
    assert_int_equal(flow.mtu, NET_PMTU_MIN_4);
    lab_advance(lab, NET_PMTU_AGE + SEC);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), 0);
    assert_int_equal(flow.mtu, 1500);
    assert_true(ip_addr_equal(&flow.src, &lab_us4));
    lab_free(lab);
}

/* What TCP tells about its peer: progress keeps the entry fresh, doubt probes it at once. */
static void test_confirm_and_suspect(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    UNUSED(state);
    lab_learn(lab, &lab_peer4);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    for (unsigned i = 0; i < 10; i++) {
        lab_advance(lab, 14 * SEC);
        net_flow_confirm(&lab->ip, &flow);
    }
    lab_clear(lab);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    lab_advance(lab, 10 * SEC);
    assert_int_equal(lab->n_sent, 1); /* no probe was needed */
    net_flow_suspect(&lab->ip, &flow);
    assert_int_equal(lab->n_sent, 2);
    assert_int_equal(lab_ethertype(lab_sent(lab, 1)), NET_ETH_ARP);
    assert_memory_equal(lab_sent(lab, 1)->data, lab_peer_mac.b, 6); /* unicast */
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);              /* traffic goes on meanwhile */
    assert_int_equal(lab->n_sent, 3);
    lab_free(lab);
}

/* A gateway that does not answer: its routes give way to another's, and come back with it. */
static void test_dead_gateway(void **state)
{
    struct lab *lab = lab_new();
    struct ip_addr second = net_ip_v4_of(10, 0, 0, 253);
    UNUSED(state);
    lab->routes[0][1] = (struct dmm_stack_route){.dst = {.family = AF_INET},
                                                 .gateway = ip_addr_to_dmm(&second, 0, AF_INET)};
    lab->ports[0].n_routes = 2;
    lab_start(lab);
    lab_advance(lab, 5 * SEC);
    lab_learn(lab, &lab_gw4);
    struct net_flow flow = flow_to(&lab_far4, IPPROTO_UDP, 0);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    net_flow_suspect(&lab->ip, &flow);
    lab_advance(lab, 4 * SEC);
    lab_clear(lab);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_memory_equal(lab_sent(lab, 0)->data + 38, second.b + 12, 4);
    lab_arp(lab, NET_ARP_REQUEST, &lab_peer_mac, &lab_gw4, &lab_us4);
    lab_clear(lab);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_int_equal(lab_ethertype(lab_sent(lab, 0)), NET_ETH_IPV4);
    lab_free(lab);
}

static void test_two_ports(void **state)
{
    struct lab *lab = lab_new();
    const struct ip_addr us = net_ip_v4_of(10, 1, 0, 1), peer = net_ip_v4_of(10, 1, 0, 2);
    UNUSED(state);
    lab->n_ports = 2;
    lab->addresses[1][0] = (struct dmm_stack_address){ip_addr_to_dmm(&us, 0, AF_INET), 24};
    lab->ports[1].n_addresses = 1;
    lab_start(lab);
    lab_advance(lab, 5 * SEC);
    lab_clear(lab);
    struct net_flow flow = flow_to(&peer, IPPROTO_UDP, 0);
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_int_equal(lab_sent(lab, 0)->port, 1);
    assert_true(ip_addr_equal(&flow.src, &us));
    assert_int_equal(net_port_by_name(&lab->ip, "net1"), 1);
    assert_int_equal(net_port_by_name(&lab->ip, "eth9"), -1);
    /* Bound to a device: no route there, and broadcasts by it. */
    flow = flow_to(&peer, IPPROTO_UDP, 0);
    flow.bound_port = 1;
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0); /* by the default gateway of port 0 */
    assert_int_equal(lab_sent(lab, 1)->port, 0);
    flow = flow_to(&net_ip_limited_broadcast, IPPROTO_UDP, NET_FLOW_BROADCAST);
    flow.bound_port = 2;
    assert_int_equal(send_udp(lab, &flow, "x", 1), 0);
    assert_int_equal(lab_sent(lab, 2)->port, 1);
    assert_true(net_addr_bindable(&lab->ip, &us, 0));
    assert_false(net_addr_bindable(&lab->ip, &peer, 0));
    assert_true(net_addr_broadcast(&lab->ip, &net_ip_limited_broadcast));
    /* To the other port's address it is the loop, as on every host. */
    flow = flow_to(&us, IPPROTO_UDP, 0);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), 0);
    assert_true(flow.flags & NET_FLOW_LOOP);
    lab_free(lab);
}

/* A port with a VLAN: its tag on all that goes out, and nothing without it comes in. */
static void test_vlan(void **state)
{
    struct lab *lab = lab_new();
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    UNUSED(state);
    lab->ports[0].vlan = 100;
    lab->ports[0].offloads = DMM_OFFLOAD_TX_CSUM;
    lab_start(lab);
    lab_advance(lab, 5 * SEC);
    for (unsigned i = 0; i < lab->n_sent; i++)
        assert_memory_equal(lab_sent(lab, i)->data + 12, "\x81\0\0\x64", 4);
    lab_clear(lab);
    assert_int_equal(send_udp(lab, &flow, "hi", 2), 0);
    const struct lab_frame *f = lab_sent(lab, 0);
    assert_memory_equal(f->data + 12, "\x81\0\0\x64\x08\x06", 6);
    lab_arp(lab, NET_ARP_REPLY, &lab_peer_mac, &lab_peer4, &lab_us4); /* untagged */
    assert_int_equal(lab->ip.count.eth_dst_drop, 1);
    assert_int_equal(lab->n_sent, 1);
    lab_learn(lab, &lab_peer4);
    f = lab_sent(lab, 1); /* the one that waited */
    assert_memory_equal(f->data + 12, "\x81\0\0\x64\x08\0\x45", 7);
    assert_int_equal(send_udp(lab, &flow, "hi", 2), 0);
    assert_int_equal(send_udp(lab, &flow, "hi", 2), 0);
    f = lab_sent(lab, 3);
    assert_int_equal(f->len, 18 + 20 + 8 + 2);
    assert_int_equal(f->meta.flags, DMM_FRAME_CSUM_PARTIAL);
    assert_int_equal(f->meta.csum_start, 38);
    assert_int_equal(f->meta.hdr_len, 46);
    assert_true(net_csum_complete(f->data, f->len, 38, 6));
    lab_free(lab);
}

/* The link goes and comes: announced and detected anew. */
static void test_link_comes_back(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    lab->ports[0].up = false;
    net_port_changed(&lab->ip, 0);
    lab_advance(lab, 10 * SEC);
    assert_int_equal(lab->n_sent, 0);
    lab->ports[0].up = true;
    lab->ports[0].mtu = 1400;
    net_port_changed(&lab->ip, 0);
    lab_advance(lab, 5 * SEC);
    assert_true(lab->n_sent >= 4); /* two announcements, two solicitations */
    struct net_flow flow = flow_to(&lab_peer4, IPPROTO_UDP, 0);
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), 0);
    assert_int_equal(flow.mtu, 1400);
    lab_free(lab);
}

/* An address that was in use when the link flapped stays usable while it is tested again. */
static void test_addresses_outlive_a_flap(void **state)
{
    struct lab *lab = lab_ready();
    struct ip_addr ll = {.b = {0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 1}};
    UNUSED(state);
    assert_true(net_addr_local(&lab->ip, &ll));
    for (unsigned up = 0; up < 2; up++) {
        lab->ports[0].up = up;
        net_port_changed(&lab->ip, 0);
        assert_true(net_addr_local(&lab->ip, &ll));
    }
    lab_free(lab);
}

static void test_refused_at_creation(void **state)
{
    static const struct {
        uint32_t neighbours, fragments, pmtu;
        unsigned ports;
    } rows[] = {{0, 1 << 20, 16, 1}, {64, 100, 16, 1}, {64, 1 << 20, 0, 1}, {64, 1 << 20, 16, 9}};
    UNUSED(state);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lab *lab = lab_new();
        char err[128] = "";
        lab->ip.host = &lab->host;
        lab->ip.config.max_neighbours = rows[i].neighbours;
        lab->ip.config.max_fragments = rows[i].fragments;
        lab->ip.config.max_pmtu = rows[i].pmtu;
        lab->n_ports = rows[i].ports;
        wheel_init(&lab->ip.wheel, lab->now);
        assert_true(net_create(&lab->ip, err, sizeof(err)) < 0);
        assert_true(err[0] != '\0');
        net_destroy(&lab->ip);
        net_destroy(&lab->ip);
        free(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_packet_asks_and_waits),
        cmocka_unit_test(test_udp4_bytes),
        cmocka_unit_test(test_udp6_and_flow_label),
        cmocka_unit_test(test_far_goes_by_the_gateway),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_broadcast_and_multicast_frames),
        cmocka_unit_test(test_offloads),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_port_full),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_loop_to_own_addresses),
        cmocka_unit_test(test_loop_is_bounded_and_wakes),
        cmocka_unit_test(test_unresolved_is_reported),
        cmocka_unit_test(test_pmtu_reaches_the_flow),
        cmocka_unit_test(test_confirm_and_suspect),
        cmocka_unit_test(test_dead_gateway),
        cmocka_unit_test(test_two_ports),
        cmocka_unit_test(test_vlan),
        cmocka_unit_test(test_link_comes_back),
        cmocka_unit_test(test_addresses_outlive_a_flap),
        cmocka_unit_test(test_refused_at_creation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
