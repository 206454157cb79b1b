/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpip/udp_lab.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

static int rx_datagram(struct dmm_sock *k, const struct dmm_datagram *d)
{
    k->n_rx++;
    k->rx = *d;
    assert_true(d->len <= sizeof(k->bytes));
    memcpy(k->bytes, d->iov[0].iov_base, d->iov[0].iov_len);
    return k->rx_rc;
}

static bool tx_datagram(struct dmm_sock *k, struct dmm_datagram *d)
{
    if (k->out_at == k->n_out)
        return false;
    *d = k->out[k->out_at];
    return true;
}

static void tx_datagram_done(struct dmm_sock *k)
{
    k->out_at++;
}

static void soft_error(struct dmm_sock *k, int error)
{
    k->n_errors++;
    k->error = error;
}

static void released(struct dmm_sock *k)
{
    k->n_released++;
}

static const struct net_upper udp_upper = {.udp = udp_datagram_arrives,
                                           .udp_error = udp_icmp_error,
                                           .tcp_writable = udp_port_writable,
                                           .udp_writable = udp_port_writable};

struct lab *udp_lab(void)
{
    struct lab *lab = lab_ready();
    char err[64];
    lab->host.rx_datagram = rx_datagram;
    lab->host.tx_datagram = tx_datagram;
    lab->host.tx_datagram_done = tx_datagram_done;
    lab->host.soft_error = soft_error;
    lab->host.released = released;
    lab->ip.config.max_connections = 100;
    lab->ip.config.ports_first = 40000;
    lab->ip.config.ports_last = 40009;
    assert_int_equal(udp_create(&lab->ip, err, sizeof(err)), 0);
    struct net_upper *upper = calloc(1, sizeof(*upper));
    assert_non_null(upper);
    *upper = udp_upper;
    upper->tcp_writable = lab->ip.net->upper->tcp_writable;
    lab->ip.net->upper = upper;
    lab_learn(lab, &lab_peer4);
    lab_learn(lab, &lab_peer6);
    lab_clear(lab);
    return lab;
}

void udp_lab_free(struct lab *lab)
{
    free((void *)(uintptr_t)lab->ip.net->upper);
    udp_destroy(&lab->ip);
    lab_free(lab);
}

void open_sock(struct lab *lab, struct dmm_sock *k, uint8_t family)
{
    memset(k, 0, sizeof(*k));
    assert_int_equal(udp_socket_open(&lab->ip, k, family, &k->s), 0);
}

int do_bind(struct dmm_sock *k, struct ip_addr addr, uint16_t port)
{
    return k->s->ops->bind(k->s, &addr, port);
}

int do_connect(struct dmm_sock *k, struct ip_addr addr, uint16_t port)
{
    return k->s->ops->connect(k->s, &addr, port);
}

struct ip_addr any4(void)
{
    return ip_addr_v4(0);
}

struct ip_addr any6(void)
{
    return (struct ip_addr){.q = {0, 0}};
}

void open_bound(struct lab *lab, struct dmm_sock *k, uint8_t family, uint16_t port)
{
    open_sock(lab, k, family);
    assert_int_equal(do_bind(k, family == AF_INET ? any4() : any6(), port), 0);
}

void hand_over(struct dmm_sock *k, const struct dmm_datagram *d)
{
    assert_true(k->n_out < MAX_OUT);
    k->out[k->n_out++] = *d;
    k->s->ops->send_ready(k->s);
}

void send_to(struct dmm_sock *k, const struct ip_addr *peer, uint16_t port, const void *bytes,
             uint32_t len)
{
    struct dmm_datagram d = {.len = len};
    if (peer)
        d.peer = ip_addr_to_dmm(peer, port, k->s->family);
    d.iov[0] = (struct iovec){(void *)(uintptr_t)bytes, len};
    hand_over(k, &d);
}

size_t build_udp(uint8_t *p, const struct from *f, const void *bytes, size_t len)
{
    uint8_t udp[2048];
    struct lab_ip ip = {.src = f->src, .dst = f->dst, .proto = IPPROTO_UDP, .tos = 0x20, .ttl = 33};
    net_put16(udp, f->sport);
    net_put16(udp + 2, f->dport);
    net_put16(udp + 4, (uint16_t)(8 + len));
    net_put16(udp + 6, 0);
    memcpy(udp + 8, bytes, len);
    uint64_t sum = net_csum_pseudo(&f->src, &f->dst, IPPROTO_UDP, (uint32_t)(8 + len));
    net_csum_store(udp + 6, (uint16_t)~net_csum_fold(net_csum_add(sum, udp, 8 + len)));
    return lab_build_ip(p, &ip, udp, 8 + len);
}

void udp_in(struct lab *lab, const struct from *f, const void *bytes, size_t len)
{
    uint8_t p[2100];
    lab_input_ip(lab, p, build_udp(p, f, bytes, len));
}

const struct from from4 = {.src = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 2}},
                           .dst = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 1}},
                           .sport = 1111,
                           .dport = 53};
const struct from from6 = {
    .src = {.b = {0xfd, [15] = 2}}, .dst = {.b = {0xfd, [15] = 1}}, .sport = 1111, .dport = 53};
