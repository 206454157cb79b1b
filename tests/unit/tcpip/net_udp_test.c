/* SPDX-License-Identifier: Apache-2.0 */
/* UDP sockets over the network layer: RFC 768, RFC 1122, 4.1, and Linux where those leave it open.
 */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/udp_lab.h"

#include <errno.h>
#include <stdlib.h>

static void test_receive(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    UNUSED(state);
    open_bound(lab, &k, AF_INET, 53);
    udp_in(lab, &from4, "hello", 5);
    assert_int_equal(k.n_rx, 1);
    assert_int_equal(k.rx.len, 5);
    assert_memory_equal(k.bytes, "hello", 5);
    assert_int_equal(k.rx.peer.port, 1111);
    assert_int_equal(k.rx.peer.ip[3], 2);
    assert_int_equal(k.rx.local.ip[3], 1);
    assert_int_equal(k.rx.local.port, 53);
    assert_int_equal(k.rx.ifindex, 1);
    assert_int_equal(k.rx.ttl, 33);
    assert_int_equal(k.rx.tos, 0x20);
    udp_in(lab, &from4, "", 0);
    assert_int_equal(k.n_rx, 2);
    assert_int_equal(k.rx.len, 0);
    k.rx_rc = -ENOBUFS;
    udp_in(lab, &from4, "x", 1);
    assert_int_equal(COUNT(lab, udp_full_drop), 1);
    udp_lab_free(lab);
}

static void test_wildcard_of_both_families(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k, only;
    UNUSED(state);
    open_bound(lab, &k, AF_INET6, 53);
    udp_in(lab, &from6, "a", 1);
    udp_in(lab, &from4, "b", 1);
    assert_int_equal(k.n_rx, 2);
    assert_int_equal(k.rx.peer.family, AF_INET6); /* mapped */
    assert_int_equal(k.rx.peer.ip[10], 0xff);
    open_sock(lab, &only, AF_INET6);
    only.s->flags |= SOCKET_V6ONLY;
    assert_int_equal(do_bind(&only, any6(), 54), 0);
    struct from f = from4;
    f.dport = 54;
    udp_in(lab, &f, "c", 1);
    assert_int_equal(only.n_rx, 0);
    assert_int_equal(COUNT(lab, udp_port_drop), 1);
    udp_lab_free(lab);
}

static void test_bad_datagrams(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    uint8_t p[100];
    UNUSED(state);
    open_bound(lab, &k, AF_INET6, 53);
    size_t n = build_udp(p, &from4, "hello", 5);
    p[30]++; /* payload */
    lab_input_ip(lab, p, n);
    assert_int_equal(COUNT(lab, udp_csum_bad), 1);
    net_put16(p + 26, 0); /* IPv4: no checksum is fine (RFC 768) */
    lab_input_ip(lab, p, n);
    assert_int_equal(k.n_rx, 1);
    n = build_udp(p, &from6, "hello", 5);
    net_put16(p + 46, 0); /* IPv6: it is not (RFC 8200, 8.1) */
    lab_input_ip(lab, p, n);
    assert_int_equal(COUNT(lab, udp_csum_bad), 2);
    n = build_udp(p, &from4, "hello", 5);
    net_put16(p + 24, 7);
    lab_input_ip(lab, p, n);
    net_put16(p + 24, 14);
    lab_input_ip(lab, p, n);
    build_udp(p, &from4, "", 0);
    net_put16(p + 2, 27);
    net_put16(p + 10, 0);
    net_csum_store(p + 10, net_csum(p, 20));
    lab_input_ip(lab, p, 27);
    assert_int_equal(COUNT(lab, udp_header_bad), 3);
    assert_int_equal(k.n_rx, 1);
    udp_lab_free(lab);
}

static void test_port_unreachable(void **state)
{
    struct lab *lab = udp_lab();
    UNUSED(state);
    udp_in(lab, &from4, "hello", 5);
    assert_int_equal(COUNT(lab, udp_port_drop), 1);
    assert_memory_equal(lab_sent(lab, 0)->data + 34, "\3\3", 2);
    udp_in(lab, &from6, "hello", 5);
    assert_memory_equal(lab_sent(lab, 1)->data + 54, "\1\4", 2);
    struct from f = from4;
    f.dst = net_ip_limited_broadcast;
    udp_in(lab, &f, "hello", 5); /* never about a broadcast */
    assert_int_equal(lab->n_sent, 2);
    assert_int_equal(COUNT(lab, udp_port_drop), 3);
    udp_lab_free(lab);
}

static void test_send(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    UNUSED(state);
    open_bound(lab, &k, AF_INET, 1000);
    send_to(&k, &lab_peer4, 2000, "hi", 2);
    const uint8_t *p = lab_sent(lab, 0)->data;
    static const uint8_t udp[] = {0x03, 0xe8, 7, 0xd0, 0, 10, 0x77, 0xb6, 'h', 'i'};
    assert_memory_equal(p + 34, udp, sizeof(udp));   /* as computed in net_checksum_test */
    assert_int_equal(net_get16(p + 20), NET_IP4_DF); /* IP_PMTUDISC_WANT, and it fits */
    assert_int_equal(COUNT(lab, udp_out), 1);
    send_to(&k, &lab_peer4, 2000, "hi", 2);
    assert_int_equal(lab->n_sent, 2);
    /* Too large for the MTU: cut, without DF. */
    static uint8_t big[3000];
    send_to(&k, &lab_peer4, 2000, big, 3000);
    assert_int_equal(lab->n_sent, 5);
    assert_int_equal(net_get16(lab_sent(lab, 2)->data + 20), NET_IP4_MF);
    k.s->pmtudisc = IP_PMTUDISC_DO;
    send_to(&k, &lab_peer4, 2000, big, 3000);
    assert_int_equal(k.error, EMSGSIZE);
    assert_int_equal(COUNT(lab, udp_send_error), 1);
    udp_lab_free(lab);
}

/* SO_PRIORITY goes into the tag, and IP_TOS stands for one, as Linux counts it. */
static void test_priority(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    int v = 5;
    uint32_t len = sizeof(v);
    UNUSED(state);
    open_bound(lab, &k, AF_INET, 1000);
    lab->ip.net->ports[0].vlan = 100;
    assert_int_equal(tcpip_setsockopt(k.s, SOL_SOCKET, SO_PRIORITY, &v, sizeof(v)), 0);
    send_to(&k, &lab_peer4, 2000, "hi", 2);
    assert_memory_equal(lab_sent(lab, 0)->data + 12, "\x81\0\xa0\x64\x08\0", 6);
    v = 1000; /* Linux takes any; no tag has it */
    assert_int_equal(tcpip_setsockopt(k.s, SOL_SOCKET, SO_PRIORITY, &v, sizeof(v)), 0);
    send_to(&k, &lab_peer4, 2000, "hi", 2);
    assert_memory_equal(lab_sent(lab, 1)->data + 12, "\x81\0\0\x64\x08\0", 6);
    v = 0x10;
    assert_int_equal(tcpip_setsockopt(k.s, SOL_IP, IP_TOS, &v, sizeof(v)), 0);
    assert_int_equal(tcpip_getsockopt(k.s, SOL_SOCKET, SO_PRIORITY, &v, &len), 0);
    assert_int_equal(v, 6);
    send_to(&k, &lab_peer4, 2000, "hi", 2);
    assert_memory_equal(lab_sent(lab, 2)->data + 12, "\x81\0\xc0\x64\x08\0\x45\x10", 8);
    udp_lab_free(lab);
}

/* SO_BINDTOIFINDEX and SO_BINDTODEVICE: one by its number, one by its name. */
static void test_bound_to_interface(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    int v = 1;
    char name[16] = "";
    uint32_t len = sizeof(name);
    UNUSED(state);
    open_bound(lab, &k, AF_INET, 53);
    assert_int_equal(tcpip_getsockopt(k.s, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
    assert_int_equal(len, 0);
    assert_int_equal(tcpip_setsockopt(k.s, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v)), 0);
    udp_in(lab, &from4, "here", 4);
    assert_int_equal(k.n_rx, 1);
    send_to(&k, &lab_us4, 53, "loop", 4); /* comes by the port that has the address */
    net_loop_poll(lab->ip.net);
    assert_int_equal(k.n_rx, 2);
    len = sizeof(name);
    assert_int_equal(tcpip_getsockopt(k.s, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
    assert_int_equal(len, strlen(name) + 1);
    assert_int_equal(net_port_by_name(&lab->ip, name), 0);
    v = 2;
    assert_int_equal(tcpip_setsockopt(k.s, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v)), -ENODEV);
    k.s->bound_port = 2; /* if there were one */
    udp_in(lab, &from4, "there", 5);
    send_to(&k, &lab_us4, 53, "loop", 4);
    net_loop_poll(lab->ip.net);
    assert_int_equal(k.n_rx, 2);
    v = 0;
    assert_int_equal(tcpip_setsockopt(k.s, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v)), 0);
    len = sizeof(v);
    assert_int_equal(tcpip_getsockopt(k.s, SOL_SOCKET, SO_BINDTOIFINDEX, &v, &len), 0);
    assert_int_equal(v, 0);
    udp_in(lab, &from4, "any", 3);
    assert_int_equal(k.n_rx, 3);
    udp_lab_free(lab);
}

static void test_datagram_options(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    UNUSED(state);
    open_bound(lab, &k, AF_INET6, 1000);
    hand_over(&k, &(struct dmm_datagram){.peer = ip_addr_to_dmm(&lab_peer6, 9, AF_INET6),
                                         .local = ip_addr_to_dmm(&lab_us6, 0, AF_INET6),
                                         .ifindex = 1,
                                         .ttl = 5,
                                         .tos = 0xb8});
    const uint8_t *p = lab_sent(lab, 0)->data;
    assert_int_equal(p[21], 5);
    assert_int_equal(net_get32(p + 14) >> 20 & 0xff, 0xb8);
    struct ip_addr other = {.b = {0xfd, [15] = 0x99}};
    struct dmm_datagram d = k.out[0];
    d.local = ip_addr_to_dmm(&other, 0, AF_INET6);
    hand_over(&k, &d);
    assert_int_equal(k.error, EADDRNOTAVAIL);
    assert_int_equal(lab->n_sent, 1);
    udp_lab_free(lab);
}

static void test_send_errors(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    const struct ip_addr far6 = {.b = {0x20, 1, [15] = 1}}, bc = net_ip_v4_of(10, 0, 0, 255);
    UNUSED(state);
    open_sock(lab, &k, AF_INET6);
    send_to(&k, NULL, 0, "x", 1);
    assert_int_equal(k.error, EDESTADDRREQ);
    send_to(&k, &lab_peer6, 0, "x", 1);
    assert_int_equal(k.error, EINVAL);
    send_to(&k, &far6, 1, "x", 1);
    assert_int_equal(k.error, ENETUNREACH);
    send_to(&k, &bc, 1, "x", 1);
    assert_int_equal(k.error, EACCES);
    k.s->flags |= SOCKET_V6ONLY;
    send_to(&k, &lab_peer4, 1, "x", 1);
    assert_int_equal(k.error, ENETUNREACH);
    assert_int_equal(COUNT(lab, udp_send_error), 5);
    assert_int_equal(k.n_errors, 5);
    assert_int_equal(lab->n_sent, 0);
    udp_lab_free(lab);
}

static void test_connect(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock a, b;
    struct ip_addr addr;
    uint16_t port;
    UNUSED(state);
    open_bound(lab, &a, AF_INET, 53);
    a.s->flags |= SOCKET_REUSEADDR;
    open_sock(lab, &b, AF_INET);
    b.s->flags |= SOCKET_REUSEADDR;
    assert_int_equal(do_bind(&b, any4(), 53), 0);
    assert_int_equal(do_connect(&b, lab_peer4, 1111), 0);
    b.s->ops->local(b.s, &addr, &port);
    assert_true(ip_addr_equal(&addr, &lab_us4));
    udp_in(lab, &from4, "b", 1); /* the four-tuple wins */
    assert_int_equal(b.n_rx, 1);
    struct from f = from4;
    f.sport = 1112;
    udp_in(lab, &f, "a", 1);
    assert_int_equal(a.n_rx, 1);
    send_to(&b, NULL, 0, "x", 1);
    assert_int_equal(net_get16(lab_sent(lab, 0)->data + 36), 1111);
    /* Dissolved: the wildcard again. */
    assert_int_equal(b.s->ops->connect(b.s, NULL, 0), 0);
    b.s->ops->local(b.s, &addr, &port);
    assert_true(ip_addr_is_any(&addr));
    assert_int_equal(port, 53);
    send_to(&b, NULL, 0, "x", 1);
    assert_int_equal(b.error, EDESTADDRREQ);
    assert_int_equal(do_connect(&b, (struct ip_addr){.b = {0x20, 1, [15] = 1}}, 1), -ENETUNREACH);
    udp_lab_free(lab);
}

static void test_ephemeral_ports(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k[11];
    struct ip_addr addr;
    uint16_t port, seen[10];
    UNUSED(state);
    for (unsigned i = 0; i < 11; i++) {
        open_sock(lab, &k[i], AF_INET);
        assert_int_equal(do_bind(&k[i], any4(), 0), i < 10 ? 0 : -EADDRINUSE);
        if (i == 10)
            break;
        k[i].s->ops->local(k[i].s, &addr, &port);
        assert_in_range(port, 40000, 40009);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(seen[j], port);
        seen[i] = port;
    }
    assert_int_equal(do_bind(&k[0], any4(), 77), -EINVAL); /* it has a port */
    k[3].s->ops->close(k[3].s, DMM_CLOSE_GRACEFUL);
    assert_int_equal(k[3].n_released, 1);
    assert_int_equal(do_bind(&k[10], any4(), 0), 0);
    udp_lab_free(lab);
}

static void test_bind_conflicts(void **state)
{
    static const struct {
        uint8_t family_a, family_b, flags_a, flags_b;
        bool specific_a, specific_b;
        int rc;
    } rows[] = {
        {AF_INET, AF_INET, 0, 0, false, false, -EADDRINUSE},
        {AF_INET, AF_INET, 0, 0, true, false, -EADDRINUSE},
        {AF_INET, AF_INET, SOCKET_REUSEADDR, 0, false, false, -EADDRINUSE},
        {AF_INET, AF_INET, SOCKET_REUSEADDR, SOCKET_REUSEADDR, false, false, 0},
        {AF_INET, AF_INET, SOCKET_REUSEPORT, SOCKET_REUSEPORT, false, false, 0},
        {AF_INET6, AF_INET, 0, 0, false, false, -EADDRINUSE},
        {AF_INET6, AF_INET, SOCKET_V6ONLY, 0, false, false, 0},
        {AF_INET6, AF_INET, 0, 0, true, true, 0},
    };
    UNUSED(state);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lab *lab = udp_lab();
        struct dmm_sock a, b;
        open_sock(lab, &a, rows[i].family_a);
        open_sock(lab, &b, rows[i].family_b);
        a.s->flags = rows[i].flags_a;
        b.s->flags = rows[i].flags_b;
        struct ip_addr addr_a = rows[i].family_a == AF_INET ? any4() : any6(), addr_b = any4();
        if (rows[i].specific_a)
            addr_a = rows[i].family_a == AF_INET ? lab_us4 : lab_us6;
        if (rows[i].specific_b)
            addr_b = lab_us4;
        assert_int_equal(do_bind(&a, addr_a, 53), 0);
        assert_int_equal(do_bind(&b, addr_b, 53), rows[i].rc);
        udp_lab_free(lab);
    }
}

static void test_reuseport_spreads(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k[4];
    UNUSED(state);
    for (unsigned i = 0; i < 4; i++) {
        open_sock(lab, &k[i], AF_INET);
        k[i].s->flags |= SOCKET_REUSEPORT;
        assert_int_equal(do_bind(&k[i], any4(), 53), 0);
    }
    for (unsigned i = 0; i < 400; i++) {
        struct from f = from4;
        f.sport = (uint16_t)(1000 + i % 200); /* each peer twice, to the same socket */
        udp_in(lab, &f, "x", 1);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_in_range(k[i].n_rx, 40, 180);
        assert_int_equal(k[i].n_rx % 2, 0);
    }
    udp_lab_free(lab);
}

static void icmp_error(struct lab *lab, uint8_t code, uint32_t rest, uint16_t lport, uint16_t rport)
{
    uint8_t m[36] = {3, code};
    struct lab_ip quoted = {.src = lab_us4, .dst = lab_peer4, .proto = IPPROTO_UDP};
    struct lab_ip how = {.src = lab_peer4, .dst = lab_us4, .proto = IPPROTO_ICMP};
    uint8_t udp[8] = {0};
    net_put32(m + 4, rest);
    net_put16(udp, lport);
    net_put16(udp + 2, rport);
    lab_build_ip(m + 8, &quoted, udp, 8);
    net_put16(m + 10, 1500);
    lab_icmp(lab, &how, m, 36);
}

static void test_icmp_errors(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock c, u;
    UNUSED(state);
    open_sock(lab, &c, AF_INET);
    assert_int_equal(do_bind(&c, any4(), 100), 0);
    assert_int_equal(do_connect(&c, lab_peer4, 200), 0);
    open_bound(lab, &u, AF_INET, 101);
    icmp_error(lab, 3, 0, 100, 200);
    assert_int_equal(c.error, ECONNREFUSED);
    assert_int_equal(c.n_errors, 1);
    icmp_error(lab, 1, 0, 100, 200); /* soft: by IP_RECVERR only */
    assert_int_equal(c.n_errors, 1);
    int on = 1;
    assert_int_equal(c.s->ops->setsockopt(c.s, SOL_IP, IP_RECVERR, &on, sizeof(on)), 0);
    icmp_error(lab, 1, 0, 100, 200);
    assert_int_equal(c.error, EHOSTUNREACH);
    icmp_error(lab, 3, 0, 100, 201); /* another peer */
    assert_int_equal(c.n_errors, 2);
    icmp_error(lab, 3, 0, 101, 200); /* not connected */
    assert_int_equal(u.n_errors, 0);
    assert_int_equal(COUNT(lab, icmp_error_drop), 2);
    /* Too big: EMSGSIZE and a smaller MTU; for a stranger's peer nothing. */
    icmp_error(lab, 4, 1400, 101, 200);
    assert_int_equal(COUNT(lab, pmtu_updates), 0);
    icmp_error(lab, 4, 1400, 100, 200);
    assert_int_equal(c.error, EMSGSIZE);
    int mtu;
    uint32_t len = sizeof(mtu);
    assert_int_equal(c.s->ops->getsockopt(c.s, SOL_IP, IP_MTU, &mtu, &len), 0);
    assert_int_equal(mtu, 1400);
    udp_lab_free(lab);
}

static void test_blocked_port(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    UNUSED(state);
    open_bound(lab, &k, AF_INET, 1000);
    lab->transmit_rc = -EAGAIN;
    for (unsigned i = 0; i < 3; i++)
        send_to(&k, &lab_peer4, 9, "x", 1);
    assert_int_equal(k.out_at, 0);
    assert_false(udp_pending(&lab->ip));
    k.s->ops->close(k.s, DMM_CLOSE_GRACEFUL); /* what was written still goes */
    assert_int_equal(k.n_released, 0);
    lab->transmit_rc = 0;
    udp_port_writable(&lab->ip, 0);
    assert_true(udp_pending(&lab->ip));
    assert_int_equal(udp_poll(&lab->ip), 3);
    assert_int_equal(lab->n_sent, 3);
    assert_int_equal(k.n_released, 1);
    assert_false(udp_pending(&lab->ip));
    udp_lab_free(lab);
}

static void test_batches_are_fair(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k, other;
    UNUSED(state);
    open_bound(lab, &k, AF_INET, 1000);
    open_bound(lab, &other, AF_INET, 1001);
    for (unsigned i = 0; i < 100; i++) {
        struct dmm_datagram *d = &k.out[k.n_out++];
        *d = (struct dmm_datagram){.peer = ip_addr_to_dmm(&lab_peer4, 9, AF_INET)};
    }
    k.s->ops->send_ready(k.s);
    assert_int_equal(lab->n_sent, UDP_SEND_BATCH);
    assert_true(udp_pending(&lab->ip));
    send_to(&other, &lab_peer4, 9, "x", 1);
    assert_int_equal(lab->n_sent, UDP_SEND_BATCH + 1);
    assert_int_equal(udp_poll(&lab->ip), 36);
    assert_int_equal(lab->n_sent, 101);
    udp_lab_free(lab);
}

static void test_loopback(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock a, b;
    struct ip_addr lo = net_ip_v4_of(127, 0, 0, 1);
    UNUSED(state);
    open_bound(lab, &a, AF_INET, 53);
    open_bound(lab, &b, AF_INET, 54);
    send_to(&b, &lo, 53, "lo", 2);
    assert_int_equal(a.n_rx, 0);
    net_poll(&lab->ip);
    assert_int_equal(a.n_rx, 1);
    assert_int_equal(a.rx.peer.ip[0], 127);
    assert_int_equal(a.rx.peer.port, 54);
    struct ip_addr zero = any4(); /* 0.0.0.0 is this host */
    send_to(&b, &zero, 53, "lo", 2);
    net_poll(&lab->ip);
    assert_int_equal(a.n_rx, 2);
    /* Refused, and the connected sender is told, over the loop too. */
    assert_int_equal(do_connect(&b, lo, 99), 0);
    send_to(&b, NULL, 0, "x", 1);
    net_poll(&lab->ip);
    net_poll(&lab->ip);
    assert_int_equal(b.error, ECONNREFUSED);
    assert_int_equal(lab->n_sent, 0);
    udp_lab_free(lab);
}

static void test_multicast(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock a, b;
    struct ip_addr group = net_ip_v4_of(239, 1, 1, 1);
    struct ip_mreqn m = {.imr_multiaddr.s_addr = htonl(0xef010101)};
    int zero = 0, ttl = 9;
    UNUSED(state);
    open_sock(lab, &a, AF_INET);
    open_sock(lab, &b, AF_INET);
    a.s->flags |= SOCKET_REUSEADDR;
    b.s->flags |= SOCKET_REUSEADDR;
    assert_int_equal(do_bind(&a, any4(), 53), 0);
    assert_int_equal(do_bind(&b, any4(), 53), 0);
    struct from f = from4;
    f.dst = group;
    udp_in(lab, &f, "x", 1);
    assert_int_equal(a.n_rx, 0);
    const struct tcpip_socket_ops *ops = a.s->ops;
    assert_int_equal(ops->setsockopt(a.s, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)), 0);
    assert_int_equal(ops->setsockopt(a.s, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)), -EADDRINUSE);
    udp_in(lab, &f, "x", 1);
    assert_int_equal(a.n_rx, 1); /* both, IP_MULTICAST_ALL being on */
    assert_int_equal(b.n_rx, 1);
    assert_int_equal(ops->setsockopt(b.s, SOL_IP, IP_MULTICAST_ALL, &zero, sizeof(zero)), 0);
    udp_in(lab, &f, "x", 1);
    assert_int_equal(a.n_rx, 2);
    assert_int_equal(b.n_rx, 1);
    /* Sending: TTL 1 unless said otherwise, a copy to ourselves unless said otherwise. */
    lab_clear(lab);
    send_to(&b, &group, 53, "y", 1);
    assert_int_equal(lab_sent(lab, 0)->data[22], 1);
    net_poll(&lab->ip);
    assert_int_equal(a.n_rx, 3);
    assert_int_equal(ops->setsockopt(b.s, SOL_IP, IP_MULTICAST_LOOP, &zero, sizeof(zero)), 0);
    assert_int_equal(ops->setsockopt(b.s, SOL_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl)), 0);
    send_to(&b, &group, 53, "y", 1);
    assert_int_equal(lab_sent(lab, 1)->data[22], 9);
    net_poll(&lab->ip);
    assert_int_equal(a.n_rx, 3);
    assert_int_equal(ops->setsockopt(a.s, SOL_IP, IP_DROP_MEMBERSHIP, &m, sizeof(m)), 0);
    assert_int_equal(ops->setsockopt(a.s, SOL_IP, IP_DROP_MEMBERSHIP, &m, sizeof(m)),
                     -EADDRNOTAVAIL);
    udp_in(lab, &f, "x", 1);
    assert_int_equal(a.n_rx, 3);
    udp_lab_free(lab);
}

static void test_memberships_end_with_the_socket(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    struct ipv6_mreq m = {.ipv6mr_multiaddr.s6_addr = {0xff, 5, [15] = 9}, .ipv6mr_interface = 1};
    struct ip_addr group = ip_addr_v6(&m.ipv6mr_multiaddr);
    UNUSED(state);
    open_bound(lab, &k, AF_INET6, 53);
    const struct tcpip_socket_ops *ops = k.s->ops;
    assert_int_equal(ops->setsockopt(k.s, SOL_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)), 0);
    assert_true(net_group_is_member(&lab->ip.net->ports[0].groups, &group));
    ops->close(k.s, DMM_CLOSE_GRACEFUL);
    assert_false(net_group_is_member(&lab->ip.net->ports[0].groups, &group));
    open_sock(lab, &k, AF_INET);
    unsigned n = 0;
    for (unsigned i = 0; i < 30; i++) {
        struct ip_mreqn q = {.imr_multiaddr.s_addr = htonl(0xef020200 + i)};
        n += !ops->setsockopt(k.s, SOL_IP, IP_ADD_MEMBERSHIP, &q, sizeof(q));
    }
    assert_int_equal(n, UDP_MEMBERSHIPS);
    struct ip_mreqn q = {.imr_multiaddr.s_addr = htonl(0x0a000001)};
    assert_int_equal(ops->setsockopt(k.s, SOL_IP, IP_ADD_MEMBERSHIP, &q, sizeof(q)), -EINVAL);
    q = (struct ip_mreqn){.imr_multiaddr.s_addr = htonl(0xef020200), .imr_ifindex = 7};
    assert_int_equal(ops->setsockopt(k.s, SOL_IP, IP_ADD_MEMBERSHIP, &q, sizeof(q)), -ENODEV);
    assert_int_equal(ops->setsockopt(k.s, SOL_IP, IP_ADD_MEMBERSHIP, &q, 3), -EINVAL);
    udp_lab_free(lab);
}

static void test_broadcast(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock a, specific;
    UNUSED(state);
    open_bound(lab, &a, AF_INET, 53);
    open_sock(lab, &specific, AF_INET);
    assert_int_equal(do_bind(&specific, lab_us4, 54), 0);
    struct from f = from4;
    f.dst = net_ip_limited_broadcast;
    udp_in(lab, &f, "x", 1);
    assert_int_equal(a.n_rx, 1);
    f.dport = 54; /* bound to an address: no broadcasts, as Linux */
    udp_in(lab, &f, "x", 1);
    assert_int_equal(specific.n_rx, 0);
    a.s->flags |= SOCKET_BROADCAST;
    lab_clear(lab);
    send_to(&a, &net_ip_limited_broadcast, 67, "x", 1);
    assert_memory_equal(lab_sent(lab, 0)->data, net_mac_broadcast.b, 6);
    udp_lab_free(lab);
}

static void test_merged_datagrams(void **state)
{
    struct lab *lab = udp_lab();
    struct dmm_sock k;
    uint8_t f[200];
    struct net_eth eth = {.src = lab_peer_mac, .type = NET_ETH_IPV4};
    UNUSED(state);
    open_bound(lab, &k, AF_INET, 53);
    memcpy(eth.dst.b, lab->ports[0].mac, 6);
    size_t n = net_eth_build(f, &eth);
    n += build_udp(f + n, &from4, "aaaabbbbcc", 10);
    lab_input_flags(lab, f, n, DMM_FRAME_CSUM_PARTIAL, DMM_GSO_UDP, 4);
    assert_int_equal(k.n_rx, 3);
    assert_int_equal(k.rx.len, 2);
    assert_memory_equal(k.bytes, "cc", 2);
    udp_lab_free(lab);
}

static void test_limits_and_ends(void **state)
{
    struct lab *lab = udp_lab();
    static struct dmm_sock k[101];
    UNUSED(state);
    for (unsigned i = 0; i < 100; i++)
        open_sock(lab, &k[i], AF_INET);
    struct tcpip_socket *s;
    assert_int_equal(udp_socket_open(&lab->ip, &k[100], AF_INET, &s), -ENOBUFS);
    k[0].s->ops->close(k[0].s, DMM_CLOSE_ABORT);
    assert_int_equal(k[0].n_released, 1);
    open_sock(lab, &k[100], AF_INET);
    assert_int_equal(k[100].s->ops->listen(k[100].s, 1), -EOPNOTSUPP);
    assert_int_equal(k[100].s->ops->shutdown(k[100].s, SHUT_RD), -ENOTCONN);
    assert_int_equal(do_bind(&k[100], any4(), 53), 0);
    assert_int_equal(do_connect(&k[100], lab_peer4, 1111), 0);
    assert_int_equal(k[100].s->ops->shutdown(k[100].s, SHUT_RDWR), 0);
    udp_in(lab, &from4, "x", 1);
    assert_int_equal(k[100].n_rx, 0);
    send_to(&k[100], NULL, 0, "x", 1);
    assert_int_equal(k[100].error, EPIPE);
    udp_lab_free(lab);
}

static void test_many_sockets_on_ports(void **state)
{
    struct lab *lab = udp_lab();
    enum { N = 3000 };
    struct dmm_sock *k = calloc(N, sizeof(*k));
    UNUSED(state);
    assert_non_null(k);
    lab->ip.config.max_connections = N;
    for (unsigned i = 0; i < N; i++) {
        open_sock(lab, &k[i], AF_INET);
        assert_int_equal(do_bind(&k[i], any4(), (uint16_t)(1000 + i)), 0);
        if (i % 2)
            assert_int_equal(do_connect(&k[i], lab_peer4, 1111), 0);
    }
    for (unsigned i = 0; i < N; i++) {
        struct from f = from4;
        f.dport = (uint16_t)(1000 + i);
        udp_in(lab, &f, "x", 1);
        assert_int_equal(k[i].n_rx, 1);
    }
    udp_lab_free(lab);
    free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receive),
        cmocka_unit_test(test_wildcard_of_both_families),
        cmocka_unit_test(test_bad_datagrams),
        cmocka_unit_test(test_port_unreachable),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_priority),
        cmocka_unit_test(test_bound_to_interface),
        cmocka_unit_test(test_datagram_options),
        cmocka_unit_test(test_send_errors),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_ephemeral_ports),
        cmocka_unit_test(test_bind_conflicts),
        cmocka_unit_test(test_reuseport_spreads),
        cmocka_unit_test(test_icmp_errors),
        cmocka_unit_test(test_blocked_port),
        cmocka_unit_test(test_batches_are_fair),
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_multicast),
        cmocka_unit_test(test_memberships_end_with_the_socket),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_merged_datagrams),
        cmocka_unit_test(test_limits_and_ends),
        cmocka_unit_test(test_many_sockets_on_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
