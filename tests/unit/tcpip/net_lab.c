/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpip/net_lab.h"

#include "sidecar/tcpip/net/arp_packet.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const struct net_mac lab_our_mac = {{2, 0, 0, 0, 0, 1}};
const struct net_mac lab_peer_mac = {{2, 0, 0, 0, 0, 2}};
const struct ip_addr lab_us4 = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 1}};
const struct ip_addr lab_peer4 = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 2}};
const struct ip_addr lab_gw4 = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 254}};
const struct ip_addr lab_far4 = {.b = {[10] = 0xff, 0xff, 192, 0, 2, 9}};
const struct ip_addr lab_us6 = {.b = {0xfd, [15] = 1}};
const struct ip_addr lab_peer6 = {.b = {0xfd, [15] = 2}};

static struct lab *of(const struct dmm_host *host)
{
    return (struct lab *)(uintptr_t)host;
}

static uint64_t host_now(const struct dmm_host *host)
{
    return of(host)->now;
}

static void host_random(const struct dmm_host *host, void *buf, size_t len)
{
    struct lab *lab = of(host);
    for (size_t i = 0; i < len; i++) {
        lab->random = lab->random * 1664525u + 1013904223u;
        ((uint8_t *)buf)[i] = (uint8_t)(lab->random >> 24);
    }
}

static void host_log(const struct dmm_host *host, int level, const char *text)
{
    (void)host;
    (void)level;
    (void)text;
}

static unsigned host_n_ports(const struct dmm_host *host)
{
    return of(host)->n_ports;
}

static const struct dmm_port_info *host_port_info(const struct dmm_host *host, unsigned port)
{
    return &of(host)->ports[port];
}

static int host_transmit(const struct dmm_host *host, unsigned port,
                         const struct dmm_tx_frame *frame)
{
    struct lab *lab = of(host);
    if (lab->transmit_rc)
        return lab->transmit_rc;
    if (lab->transmit_room && lab->n_sent >= lab->transmit_room)
        return -EAGAIN;
    size_t len = 0, at = 0;
    for (unsigned i = 0; i < frame->n_iov; i++)
        len += frame->iov[i].iov_len;
    if (lab->n_sent < LAB_FRAMES) {
        struct lab_frame *f = &lab->sent[lab->n_sent];
        *f = (struct lab_frame){.data = malloc(len + 1), .len = len, .port = port, .meta = *frame};
        assert_non_null(f->data);
        for (unsigned i = 0; i < frame->n_iov; at += frame->iov[i].iov_len, i++)
            memcpy(f->data + at, frame->iov[i].iov_base, frame->iov[i].iov_len);
    }
    lab->n_sent++;
    return 0;
}

static struct lab *of_ip(struct tcpip *ip)
{
    return of(ip->host);
}

static void up(struct tcpip *ip, const struct ip_packet *packet)
{
    struct lab *lab = of_ip(ip);
    lab->n_up++;
    lab->up = *packet;
    memcpy(lab->up_l4, packet->l4, packet->l4_len);
    lab->up.l4 = lab->up_l4;
}

static bool up_error(struct tcpip *ip, const struct ip_error *error)
{
    of_ip(ip)->n_errors++;
    of_ip(ip)->error = *error;
    return of_ip(ip)->error_live;
}

static void up_writable(struct tcpip *ip, unsigned port)
{
    (void)port;
    of_ip(ip)->n_writable++;
}

static const struct net_upper lab_upper = {.tcp = up,
                                           .udp = up,
                                           .tcp_error = up_error,
                                           .udp_error = up_error,
                                           .tcp_writable = up_writable,
                                           .udp_writable = up_writable};

static void set_address(struct dmm_stack_address *to, const struct ip_addr *addr, uint8_t bits)
{
    to->addr = ip_addr_to_dmm(addr, 0, ip_addr_is_v4(addr) ? AF_INET : AF_INET6);
    to->prefix_len = bits;
}

struct lab *lab_new(void)
{
    struct lab *lab = calloc(1, sizeof(*lab));
    assert_non_null(lab);
    lab->host = (struct dmm_host){.abi = DMM_STACK_ABI,
                                  .size = sizeof(struct dmm_host),
                                  .now = host_now,
                                  .random = host_random,
                                  .log = host_log,
                                  .n_ports = host_n_ports,
                                  .port_info = host_port_info,
                                  .transmit = host_transmit};
    lab->now = 1000 * SEC;
    lab->n_ports = 1;
    for (unsigned i = 0; i < 2; i++) {
        struct dmm_port_info *p = &lab->ports[i];
        *p = (struct dmm_port_info){
            .up = true, .mtu = 1500, .addresses = lab->addresses[i], .routes = lab->routes[i]};
        snprintf(p->name, sizeof(p->name), "net%u", i);
        memcpy(p->mac, lab_our_mac.b, 6);
        p->mac[4] = (uint8_t)i;
    }
    set_address(&lab->addresses[0][0], &lab_us4, 24);
    set_address(&lab->addresses[0][1], &lab_us6, 64);
    lab->ports[0].n_addresses = 2;
    lab->routes[0][0] = (struct dmm_stack_route){.dst = {.family = AF_INET},
                                                 .gateway = ip_addr_to_dmm(&lab_gw4, 0, AF_INET)};
    lab->ports[0].n_routes = 1;
    lab->ip.config = (struct tcpip_config){
        .max_neighbours = 64, .max_fragments = 1 << 20, .max_pmtu = 16, .icmp_rate = 100};
    return lab;
}

void lab_start(struct lab *lab)
{
    char err[128] = "";
    lab->ip.host = &lab->host;
    lab->ip.now = lab->now;
    wheel_init(&lab->ip.wheel, lab->now);
    if (net_create(&lab->ip, err, sizeof(err)))
        fail_msg("net_create: %s", err);
    lab->ip.net->upper = &lab_upper;
}

void lab_clear(struct lab *lab)
{
    for (unsigned i = 0; i < lab->n_sent && i < LAB_FRAMES; i++)
        free(lab->sent[i].data);
    lab->n_sent = lab->n_up = lab->n_errors = lab->n_writable = 0;
    memset(&lab->ip.count, 0, sizeof(lab->ip.count));
}

void lab_free(struct lab *lab)
{
    lab_clear(lab);
    net_destroy(&lab->ip);
    free(lab);
}

void lab_advance(struct lab *lab, uint64_t ns)
{
    uint64_t end = lab->now + ns;
    for (;;) {
        uint64_t next = wheel_next(&lab->ip.wheel);
        lab->now = next < end ? (next > lab->now ? next : lab->now + 1) : end;
        lab->ip.now = lab->now;
        wheel_advance(&lab->ip.wheel, &lab->ip, lab->now);
        net_poll(&lab->ip);
        if (lab->now >= end)
            return;
    }
}

struct lab *lab_ready(void)
{
    struct lab *lab = lab_new();
    lab_start(lab);
    lab_advance(lab, 5 * SEC);
    lab_clear(lab);
    return lab;
}

void lab_input_flags(struct lab *lab, const void *frame, size_t len, uint8_t flags, uint8_t gso,
                     uint16_t gso_size)
{
    /* A copy of the exact size, so that sanitizers see a read beyond it. */
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, frame, len);
    const struct dmm_frame f = {
        .data = copy, .len = (uint32_t)len, .flags = flags, .gso = gso, .gso_size = gso_size};
    net_frames(&lab->ip, 0, &f, 1);
    free(copy);
}

void lab_input(struct lab *lab, const void *frame, size_t len)
{
    lab_input_flags(lab, frame, len, 0, DMM_GSO_NONE, 0);
}

void lab_input_ip(struct lab *lab, const uint8_t *packet, size_t len)
{
    uint8_t *frame = malloc(NET_ETH_HDR_MAX + len);
    assert_non_null(frame);
    bool v4 = packet[0] >> 4 == 4;
    struct ip_addr dst = v4 ? net_ip_v4(packet + 16) : ip_addr_v6(packet + 24);
    struct net_eth eth = {
        .dst = lab_our_mac, .src = lab_peer_mac, .type = v4 ? NET_ETH_IPV4 : NET_ETH_IPV6};
    memcpy(eth.dst.b, lab->ports[0].mac, 6);
    if (ip_addr_is_multicast(&dst) || net_ip_is_limited_broadcast(&dst))
        eth.dst = net_mac_of_group(&dst);
    size_t n = net_eth_build(frame, &eth);
    memcpy(frame + n, packet, len);
    lab_input(lab, frame, n + len);
    free(frame);
}

void lab_arp(struct lab *lab, uint16_t op, const struct net_mac *mac, const struct ip_addr *sender,
             const struct ip_addr *target)
{
    uint8_t frame[60] = {0};
    struct net_eth eth = {.src = *mac, .type = NET_ETH_ARP};
    memcpy(eth.dst.b, lab->ports[0].mac, 6);
    struct net_arp arp = {.op = op, .sender_mac = *mac, .sender = *sender, .target = *target};
    memcpy(arp.target_mac.b, lab->ports[0].mac, 6);
    net_arp_write(frame + net_eth_build(frame, &eth), &arp);
    lab_input(lab, frame, sizeof(frame));
}

void lab_learn(struct lab *lab, const struct ip_addr *addr)
{
    struct net_neigh_table *t = lab->ip.net->neigh;
    struct net_mac mac;
    net_neigh_resolve(t, 0, addr, NET_NEIGH_OWN, lab->now, &mac);
    net_neigh_advert(
        t,
        &(struct net_neigh_advert){
            .target = *addr, .mac = &lab_peer_mac, .solicited = true, .override = true},
        lab->now);
    net_rearm(lab->ip.net);
}

size_t lab_build_ip(uint8_t *at, const struct lab_ip *ip, const void *payload, size_t len)
{
    if (ip_addr_is_v4(&ip->src)) {
        const struct net_ip4_header h = {.src = ip->src,
                                         .dst = ip->dst,
                                         .total_len = (uint16_t)(NET_IP4_HDR + len),
                                         .id = ip->id,
                                         .fragment = ip->fragment,
                                         .tos = ip->tos,
                                         .ttl = ip->ttl ? ip->ttl : 64,
                                         .protocol = ip->proto};
        net_ip4_write(at, &h);
        memcpy(at + NET_IP4_HDR, payload, len);
        return NET_IP4_HDR + len;
    }
    const struct net_ip6_header h = {.src = ip->src,
                                     .dst = ip->dst,
                                     .payload_len = (uint16_t)len,
                                     .traffic_class = ip->tos,
                                     .next = ip->proto,
                                     .hop_limit = ip->ttl ? ip->ttl : 64};
    net_ip6_write(at, &h);
    memcpy(at + NET_IP6_HDR, payload, len);
    return NET_IP6_HDR + len;
}

void lab_icmp_checksum(const struct lab_ip *ip, uint8_t *icmp, size_t len)
{
    uint64_t sum = 0;
    net_put16(icmp + 2, 0);
    if (!ip_addr_is_v4(&ip->src))
        sum = net_csum_pseudo(&ip->src, &ip->dst, IPPROTO_ICMPV6, (uint32_t)len);
    net_csum_store(icmp + 2, (uint16_t)~net_csum_fold(net_csum_add(sum, icmp, len)));
}

void lab_icmp(struct lab *lab, const struct lab_ip *ip, uint8_t *icmp, size_t len)
{
    uint8_t packet[2048] = {0};
    lab_icmp_checksum(ip, icmp, len);
    lab_input_ip(lab, packet, lab_build_ip(packet, ip, icmp, len));
}

const struct lab_frame *lab_sent(struct lab *lab, unsigned i)
{
    if (i >= lab->n_sent || i >= LAB_FRAMES)
        fail_msg("frame %u asked for, %u were sent", i, lab->n_sent);
    return &lab->sent[i];
}

uint16_t lab_ethertype(const struct lab_frame *frame)
{
    return net_get16(frame->data + 12);
}
