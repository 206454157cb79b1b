/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_DATAGRAMS   64
#define WAITING_PACKETS 256
#define MAX_PACKET      9216 /* the largest MTU whose packets may wait for a neighbour */

static const struct net_upper instance_upper = {
    .tcp = tcp_segment_arrives,
    .udp = udp_datagram_arrives,
    .tcp_error = tcp_icmp_error,
    .udp_error = udp_icmp_error,
    .tcp_writable = tcp_port_writable,
    .udp_writable = udp_port_writable,
};

uint32_t net_random32(struct net *net)
{
    uint32_t v;
    tcpip_random(net->ip, &v, sizeof(v));
    return v;
}

/* ---- the neighbour cache's callbacks ---- */

static void solicit(void *ctx, unsigned ifindex, const struct ip_addr *target,
                    const struct net_mac *mac)
{
    struct net *net = ctx;
    struct net_port *port = net_port_of(net, ifindex);
    if (!port)
        return;
    if (ip_addr_is_v4(target))
        net_arp_solicit(net, port, target, mac);
    else
        net_nd_solicit(net, port, target, mac);
}

static void send_waiting(void *ctx, unsigned ifindex, const struct net_mac *mac,
                         const uint8_t *packet, size_t len)
{
    struct net *net = ctx;
    struct net_port *port = net_port_of(net, ifindex);
    if (!port)
        return;
    /* The ABI wants all headers in the first piece, and the packet lies in the cache. */
    uint8_t *l3 = net->packet_buf + NET_ETH_HDR_MAX;
    memcpy(l3, packet, len);
    net_send_l2(net, port, mac, packet[0] >> 4 == 4 ? NET_ETH_IPV4 : NET_ETH_IPV6, l3, len);
}

/* As if a router had said "host unreachable" (RFC 1122, 3.3.1.1; RFC 4861, 7.2.2). */
static void unreachable(void *ctx, unsigned ifindex, const struct ip_addr *target,
                        const uint8_t *packet, size_t len)
{
    struct net *net = ctx;
    (void)ifindex;
    struct ip_error error = {.error = EHOSTUNREACH};
    uint32_t quoted_len;
    if (!net_icmp_quote_read(ip_addr_is_v4(target), packet, len, &error, &quoted_len))
        return;
    if (error.proto == IPPROTO_TCP)
        net->upper->tcp_error(net->ip, &error);
    else if (error.proto == IPPROTO_UDP)
        net->upper->udp_error(net->ip, &error);
}

static void lost(void *ctx, unsigned ifindex, const struct ip_addr *target)
{
    struct net *net = ctx;
    if (net_route_set_unreachable(&net->routes, ifindex, target, true))
        net_bump(net);
}

static uint32_t random_for_neigh(void *ctx)
{
    return net_random32(ctx);
}

/* ---- life ---- */

static int create_tables(struct net *net)
{
    struct tcpip *ip = net->ip;
    const struct net_neigh_ops ops = {.solicit = solicit,
                                      .send = send_waiting,
                                      .unreachable = unreachable,
                                      .lost = lost,
                                      .random = random_for_neigh,
                                      .counters = &ip->count};
    const struct net_neigh_config neigh = {.max_entries = ip->config.max_neighbours,
                                           .max_packets = WAITING_PACKETS,
                                           .packet_size = net->packet_size};
    const struct net_reass_config reass = {.max_datagrams = MAX_DATAGRAMS,
                                           .max_bytes = ip->config.max_fragments};
    net->neigh = net_neigh_create(&neigh, &ops, net);
    net->reass = net_reass_create(&reass, &ip->count, ip->hash_key.k);
    net->reass_buf = malloc(NET_REASS_HDR_MAX + 65536);
    net->packet_buf = malloc(NET_ETH_HDR_MAX + net->packet_size);
    if (!net->neigh || !net->reass || !net->reass_buf || !net->packet_buf)
        return -ENOMEM;
    return net_pmtu_init(&net->pmtu, ip->config.max_pmtu, &ip->hash_key);
}

static void on_timer(struct tcpip *ip, struct wheel_timer *timer)
{
    struct net *net = ip->net;
    (void)timer;
    net_neigh_poll(net->neigh, ip->now);
    if (net_pmtu_expire(&net->pmtu, ip->now))
        net_bump(net);
    if (net_route_expire(&net->routes, ip->now))
        net_bump(net);
    struct net_datagram d;
    uint8_t *quote = net->reass_buf + NET_REASS_HDR_MAX;
    while (net_reass_expire(net->reass, ip->now, &d, quote))
        net_reass_timed_out(net, &d, quote);
    for (unsigned i = 0; i < net->n_ports; i++) {
        net_dad_poll(net, &net->ports[i], ip->now);
        net_router_poll(net, &net->ports[i], ip->now);
        net_member_poll(net, &net->ports[i], ip->now);
    }
    net_rearm(net);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void net_rearm(struct net *net)
{
    uint64_t at = earlier(net_neigh_deadline(net->neigh), net_reass_deadline(net->reass));
    at = earlier(at, net->pmtu.next);
    at = earlier(at, net_route_deadline(&net->routes));
    for (unsigned i = 0; i < net->n_ports; i++) {
        const struct net_port *port = &net->ports[i];
        at = earlier(at, net_group_deadline(&port->groups));
        at = earlier(at, port->solicit_at);
        for (unsigned k = 0; k < port->addresses.n; k++) {
            const struct net_address *a = &port->addresses.list[k];
            at = earlier(at, earlier(a->deadline, a->valid_until));
            if (a->state == NET_ADDRESS_PREFERRED)
                at = earlier(at, a->preferred_until);
        }
    }
    net->touched = false;
    if (at == net->armed && wheel_armed(&net->timer))
        return;
    net->armed = at;
    if (at == UINT64_MAX)
        wheel_disarm(&net->ip->wheel, &net->timer);
    else
        wheel_arm(&net->ip->wheel, &net->timer, at);
}

void net_rearm_if_touched(struct net *net)
{
    if (net->touched || net_neigh_deadline(net->neigh) < net->armed ||
        net_reass_deadline(net->reass) < net->armed || net->pmtu.next < net->armed)
        net_rearm(net);
}

int net_create(struct tcpip *ip, char *err, size_t errlen)
{
    struct net *net = calloc(1, sizeof(*net));
    ip->net = net;
    if (!net) {
        snprintf(err, errlen, "network layer: out of memory");
        return -ENOMEM;
    }
    net->ip = ip;
    net->upper = &instance_upper;
    net->generation = 1;
    net->timer.fire = on_timer;
    net_loop_init(&net->loop, NET_LOOP_BYTES);
    unsigned n = ip->host->n_ports(ip->host);
    if (n > NET_PORTS) {
        snprintf(err, errlen, "%u ports, at most %d", n, NET_PORTS);
        return -E2BIG;
    }
    net->packet_size = 2048;
    for (unsigned i = 0; i < n; i++) {
        uint32_t mtu = ip->host->port_info(ip->host, i)->mtu;
        if (mtu > net->packet_size)
            net->packet_size = mtu < MAX_PACKET ? mtu : MAX_PACKET;
    }
    int rc = create_tables(net);
    if (rc) {
        snprintf(err, errlen,
                 rc == -ENOMEM ? "network layer: out of memory or limits out of range"
                               : "max_pmtu: out of range");
        return rc;
    }
    uint32_t rate = ip->config.icmp_rate;
    net_rate_init(&net->error_rate, rate, rate < 50 ? rate : 50, ip->now);
    net_rate_init(&net->echo_rate, rate, rate < 50 ? rate : 50, ip->now);
    tcpip_random(ip, net->ids, sizeof(net->ids));
    net->stable_ids = ip->config.ip6_secret[0] != '\0';
    net_iid_key(ip->config.ip6_secret, &net->iid_key);
    net->n_ports = n;
    for (unsigned i = 0; i < n; i++)
        net_port_load(net, i);
    net_rearm(net);
    return 0;
}

void net_destroy(struct tcpip *ip)
{
    struct net *net = ip->net;
    if (!net)
        return;
    wheel_disarm(&ip->wheel, &net->timer);
    net_neigh_destroy(net->neigh);
    net_reass_destroy(net->reass);
    net_pmtu_destroy(&net->pmtu);
    net_loop_destroy(&net->loop);
    free(net->reass_buf);
    free(net->packet_buf);
    free(net);
    ip->net = NULL;
}

unsigned net_poll(struct tcpip *ip)
{
    unsigned n = net_loop_poll(ip->net);
    net_rearm_if_touched(ip->net);
    return n;
}

bool net_pending(const struct tcpip *ip)
{
    return ip->net->loop.n != 0;
}

void net_port_changed(struct tcpip *ip, unsigned port)
{
    if (port >= ip->net->n_ports)
        return;
    net_port_load(ip->net, port);
    net_rearm(ip->net);
}
