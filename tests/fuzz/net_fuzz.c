/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any frames, at any time, into the network layer with UDP sockets above it: nothing crashes, every
 * table keeps its bound, what goes up lies within the packet, and what is sent is a whole frame.
 *
 * The input is a list of steps: a byte of what to do, a byte of how, and for frames a length (two
 * bytes) and the bytes. Frames may ask for right checksums, so that the fuzzer gets behind them,
 * and for the segment that comes next in the same batch.
 */
#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/net.h"
#include "sidecar/tcpip/net/udp.h"
#include "sidecar/tcpip/net/wire.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <netinet/udp.h>

#define NEIGHBOURS 32
#define PMTUS      8
#define FRAGMENTS  131072
#define SECOND     1000000000ull
#define GSO_MAX    4000 /* of the second port, which cuts datagrams */
#define SOCKETS    3

enum { STEP_FRAME, STEP_FIXED_FRAME, STEP_TIME, STEP_SEND, STEP_FULL, STEP_PORT, STEPS };

struct input {
    const uint8_t *at, *end;
};

struct world {
    struct dmm_host host; /* first */
    struct tcpip ip;
    uint64_t now;
    uint32_t random;
    bool full;
    struct dmm_port_info ports[2];
    struct dmm_stack_address addresses[3];
    struct dmm_stack_route routes[1];
    struct tcpip_socket *sockets[SOCKETS];
    struct dmm_datagram out; /* what one of them has to send, if `sending` */
    bool sending;
};

static struct world *of(const struct dmm_host *host)
{
    return (struct world *)(uintptr_t)host;
}

static uint64_t host_now(const struct dmm_host *host)
{
    return of(host)->now;
}

static void host_random(const struct dmm_host *host, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        of(host)->random = of(host)->random * 1664525u + 1013904223u;
        ((uint8_t *)buf)[i] = (uint8_t)(of(host)->random >> 24);
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
    (void)host;
    return 2;
}

static const struct dmm_port_info *host_port_info(const struct dmm_host *host, unsigned port)
{
    return &of(host)->ports[port];
}

static int host_transmit(const struct dmm_host *host, unsigned port,
                         const struct dmm_tx_frame *frame)
{
    size_t len = 0;
    uint64_t sum = 0;
    fuzz_require(port < 2, "a port of ours");
    fuzz_require(frame->n_iov >= 1 && frame->n_iov <= DMM_TX_IOV, "the number of pieces");
    fuzz_require(frame->iov[0].iov_len >= NET_ETH_HDR + NET_IP4_HDR, "headers in one piece");
    for (unsigned i = 0; i < frame->n_iov; i++) {
        sum = net_csum_add(sum, frame->iov[i].iov_base, frame->iov[i].iov_len); /* reads all */
        len += frame->iov[i].iov_len;
    }
    (void)sum;
    fuzz_require(len <= (frame->gso ? GSO_MAX : NET_ETH_HDR + 1500u), "no frame over the MTU");
    fuzz_require(!frame->gso || (port == 1 && frame->gso == DMM_GSO_UDP && frame->gso_size > 0 &&
                                 frame->flags & DMM_FRAME_CSUM_PARTIAL),
                 "what the port can");
    return of(host)->full ? -EAGAIN : 0;
}

static int host_rx_datagram(struct dmm_sock *sock, const struct dmm_datagram *d)
{
    (void)sock;
    fuzz_require(d->iov[0].iov_len + d->iov[1].iov_len == d->len, "a datagram's length");
    fuzz_require(dmm_addr_valid(&d->peer) && dmm_addr_valid(&d->local), "a datagram's addresses");
    return d->len % 3 ? 0 : -ENOBUFS;
}

static bool host_tx_datagram(struct dmm_sock *sock, struct dmm_datagram *d)
{
    const struct world *w = (const struct world *)sock;
    if (w->sending)
        *d = w->out;
    return w->sending;
}

static void host_tx_datagram_done(struct dmm_sock *sock)
{
    ((struct world *)sock)->sending = false;
}

static void host_soft_error(struct dmm_sock *sock, int error)
{
    (void)sock;
    fuzz_require(error > 0, "a positive errno");
}

static void host_released(struct dmm_sock *sock)
{
    (void)sock;
}

/* All of what was merged is there to read. */
static void read_pieces(const struct ip_packet *p)
{
    uint64_t sum = 0;
    uint32_t left = p->more, n;
    fuzz_require(p->gso_size > 0 && left > 0 && p->flags & IP_PACKET_CSUM_OK, "a run");
    for (unsigned i = 0; i == 0 || left > 0; i++, left -= n) {
        n = i == 0 ? 0 : left < p->gso_size ? left : p->gso_size;
        sum = net_csum_add(sum, p->pieces[i], i == 0 ? p->gso_size : n);
    }
    (void)sum;
}

static void up_tcp(struct tcpip *ip, const struct ip_packet *p)
{
    const struct net *net = ip->net;
    fuzz_require(p->l4 >= p->l3 && p->l4 + p->l4_len == p->l3 + p->l3_len, "l4 lies in l3");
    fuzz_require(p->proto == IPPROTO_TCP, "TCP");
    fuzz_require(p->port < net->n_ports || p->port == IP_PORT_LOOP, "a port of arrival");
    (void)net_l4_checksum_ok(p);
    if (p->pieces)
        read_pieces(p);
    net_icmp_port_unreachable(ip, p);
}

static bool up_error(struct tcpip *ip, const struct ip_error *error)
{
    fuzz_require(error->error > 0, "an error has a number");
    fuzz_require(net_addr_local(ip, &error->local), "an error is about our packet");
    return error->remote_port & 1;
}

static void up_writable(struct tcpip *ip, unsigned port)
{
    (void)ip;
    (void)port;
}

static const struct net_upper upper = {.tcp = up_tcp,
                                       .udp = udp_datagram_arrives,
                                       .tcp_error = up_error,
                                       .udp_error = udp_icmp_error,
                                       .tcp_writable = up_writable,
                                       .udp_writable = udp_port_writable};

static void address(struct dmm_stack_address *to, struct ip_addr addr, uint8_t bits)
{
    to->addr = ip_addr_to_dmm(&addr, 0, ip_addr_is_v4(&addr) ? AF_INET : AF_INET6);
    to->prefix_len = bits;
}

static struct tcpip_socket *open_socket(struct world *w, uint8_t family, uint16_t port,
                                        const struct ip_addr *peer)
{
    struct tcpip_socket *s;
    struct ip_addr any = family == AF_INET ? ip_addr_v4(0) : (struct ip_addr){.q = {0, 0}};
    fuzz_require(!udp_socket_open(&w->ip, (struct dmm_sock *)w, family, &s), "open");
    fuzz_require(!s->ops->bind(s, &any, port), "bind");
    if (peer)
        fuzz_require(!s->ops->connect(s, peer, 53), "connect");
    return s;
}

static struct world *make_world(void)
{
    struct world *w = calloc(1, sizeof(*w));
    char err[128];
    fuzz_require(w != NULL, "memory");
    w->host = (struct dmm_host){.abi = DMM_STACK_ABI,
                                .size = sizeof(w->host),
                                .now = host_now,
                                .random = host_random,
                                .log = host_log,
                                .n_ports = host_n_ports,
                                .port_info = host_port_info,
                                .transmit = host_transmit,
                                .rx_datagram = host_rx_datagram,
                                .tx_datagram = host_tx_datagram,
                                .tx_datagram_done = host_tx_datagram_done,
                                .soft_error = host_soft_error,
                                .released = host_released};
    w->now = w->ip.now = 1000 * SECOND;
    address(&w->addresses[0], net_ip_v4_of(10, 0, 0, 1), 24);
    address(&w->addresses[1], (struct ip_addr){.b = {0xfd, [15] = 1}}, 64);
    address(&w->addresses[2], net_ip_v4_of(10, 0, 1, 1), 24);
    struct ip_addr gateway = net_ip_v4_of(10, 0, 0, 254);
    w->routes[0] = (struct dmm_stack_route){.dst = {.family = AF_INET},
                                            .gateway = ip_addr_to_dmm(&gateway, 0, AF_INET)};
    w->ports[0] = (struct dmm_port_info){.name = "net0",
                                         .mac = {2, 0, 0, 0, 0, 1},
                                         .up = true,
                                         .mtu = 1500,
                                         .n_addresses = 2,
                                         .addresses = w->addresses,
                                         .n_routes = 1,
                                         .routes = w->routes};
    w->ports[1] = (struct dmm_port_info){.name = "net1",
                                         .mac = {2, 0, 0, 0, 0, 2},
                                         .up = true,
                                         .mtu = 1300,
                                         .max_gso_size = GSO_MAX,
                                         .offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_USO,
                                         .n_addresses = 1,
                                         .addresses = w->addresses + 2};
    w->ip.host = &w->host;
    w->ip.config = (struct tcpip_config){.ip6_autoconf = true,
                                         .ip6_secret = "sixteen letters.",
                                         .ports_first = 40000,
                                         .ports_last = 50000,
                                         .max_connections = 16,
                                         .max_neighbours = NEIGHBOURS,
                                         .max_fragments = FRAGMENTS,
                                         .max_pmtu = PMTUS,
                                         .icmp_rate = 1000};
    wheel_init(&w->ip.wheel, w->now);
    fuzz_require(!net_create(&w->ip, err, sizeof(err)), "net_create");
    fuzz_require(!udp_create(&w->ip, err, sizeof(err)), "udp_create");
    w->ip.net->upper = &upper;
    struct ip_addr peer = net_ip_v4_of(10, 0, 0, 2);
    int on = 1;
    w->sockets[0] = open_socket(w, AF_INET6, 53, NULL);
    w->sockets[1] = open_socket(w, AF_INET, 5353, NULL);
    w->sockets[2] = open_socket(w, AF_INET, 1000, &peer);
    fuzz_require(!udps_setsockopt(w->sockets[1], SOL_UDP, UDP_GRO, &on, sizeof(on)), "UDP_GRO");
    return w;
}

static uint8_t take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* The checksums that the packet would have had from a well-meaning sender. */
static void fix(uint8_t *f, size_t len)
{
    uint8_t *l3 = f + NET_ETH_HDR, proto;
    size_t n = len - NET_ETH_HDR, at;
    if (len < NET_ETH_HDR + NET_IP4_HDR)
        return;
    bool v4 = l3[0] >> 4 == 4;
    net_put16(f + 12, v4 ? NET_ETH_IPV4 : NET_ETH_IPV6);
    struct ip_addr src = v4 ? net_ip_v4(l3 + 12) : ip_addr_v6(l3 + 8), dst;
    if (v4) {
        at = (size_t)(l3[0] & 15) * 4;
        if (at < NET_IP4_HDR || at > n)
            return;
        net_put16(l3 + 2, (uint16_t)n);
        net_put16(l3 + 10, 0);
        net_csum_store(l3 + 10, net_csum(l3, at));
        proto = l3[9];
        dst = net_ip_v4(l3 + 16);
    } else {
        if (n < NET_IP6_HDR)
            return;
        net_put16(l3 + 4, (uint16_t)(n - NET_IP6_HDR));
        if (!net_ip6_upper(l3, n, &proto, &at))
            return;
        src = ip_addr_v6(l3 + 8);
        dst = ip_addr_v6(l3 + 24);
    }
    size_t field = proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2;
    if (n - at < field + 2)
        return;
    bool pseudo = proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_ICMPV6;
    uint64_t sum = pseudo ? net_csum_pseudo(&src, &dst, proto, (uint32_t)(n - at)) : 0;
    net_put16(l3 + at + field, 0);
    net_csum_store(l3 + at + field, (uint16_t)~net_csum_fold(net_csum_add(sum, l3 + at, n - at)));
}

/* The segment that would come behind this one, alike but for its place; NULL: it is no segment. */
static uint8_t *next_segment(const uint8_t *f, size_t len)
{
    if (len < NET_ETH_HDR + NET_IP6_HDR + 20)
        return NULL;
    size_t l3 = NET_ETH_HDR + (f[NET_ETH_HDR] >> 4 == 4 ? NET_IP4_HDR : NET_IP6_HDR);
    uint8_t *g = malloc(len);
    fuzz_require(g != NULL, "memory");
    memcpy(g, f, len);
    size_t header = l3 + (size_t)(g[l3 + 12] >> 4) * 4;
    if (header < len)
        net_put32(g + l3 + 4, net_get32(g + l3 + 4) + (uint32_t)(len - header));
    fix(g, len);
    return g;
}

static void step_frame(struct world *w, struct input *in, bool fixed)
{
    uint8_t how = take(in);
    size_t len = (size_t)take(in) << 8 | take(in);
    size_t left = (size_t)(in->end - in->at);
    unsigned port = how & 1;
    if (len > left)
        len = left;
    uint8_t *f = malloc(len ? len : 1);
    fuzz_require(f != NULL, "memory");
    memcpy(f, in->at, len);
    in->at += len;
    if (fixed && len >= NET_ETH_HDR) {
        if (!(f[0] & 1))
            memcpy(f, w->ports[port].mac, 6);
        f[6] &= 0xfe;
        fix(f, len);
    }
    struct dmm_frame frames[2] = {{.data = f,
                                   .len = (uint32_t)len,
                                   .flags = how >> 1 & 7,
                                   .gso = how >> 4 & 3,
                                   .gso_size = how & 0x40 ? 100 : 1}};
    uint8_t *next = how & 0x80 ? next_segment(f, len) : NULL;
    frames[1] = frames[0];
    frames[1].data = next;
    net_frames(&w->ip, port, frames, next ? 2 : 1);
    free(f);
    free(next);
}

/* By a socket, perhaps in segments. */
static void step_socket(struct world *w, struct input *in, uint8_t how)
{
    static uint8_t payload[4000];
    uint8_t last = take(in);
    struct tcpip_socket *s = w->sockets[how % SOCKETS];
    struct ip_addr dst = how & 4 ? (struct ip_addr){.b = {0xfd, [15] = last}}
                                 : net_ip_v4_of(10, 0, how >> 3 & 1, last);
    uint32_t len = how & 0x80 ? sizeof(payload) : take(in), first = take(in) * 16u;
    if (!w->sending) {
        if (first > len)
            first = len;
        w->out = (struct dmm_datagram){.len = len, .segment = (uint16_t)(take(in) * 8)};
        if (how & 0x10)
            w->out.peer = ip_addr_to_dmm(&dst, 53, s->family);
        w->out.iov[0] = (struct iovec){payload, first};
        w->out.iov[1] = (struct iovec){payload + first, len - first};
        w->sending = true;
    }
    s->ops->send_ready(s);
}

static void pass_time(struct world *w, uint64_t ns)
{
    uint64_t end = w->now + ns;
    unsigned steps = 0;
    while (w->now < end) {
        uint64_t next = wheel_next(&w->ip.wheel);
        w->now = next < end ? (next > w->now ? next : w->now + 1) : end;
        w->ip.now = w->now;
        wheel_advance(&w->ip.wheel, &w->ip, w->now);
        net_poll(&w->ip);
        fuzz_require(++steps < 100000, "time passes");
    }
}

static void step_send(struct world *w, struct input *in)
{
    static const uint8_t payload[4000];
    uint8_t how = take(in), buf[NET_HEADROOM + UDP_HDR] = {0};
    if (how & 0x40) {
        step_socket(w, in, how);
        return;
    }
    uint8_t last = take(in);
    struct net_flow flow = {.proto = IPPROTO_UDP, .flags = how & 0x30};
    if (how & 1)
        flow.dst = (struct ip_addr){.b = {0xfd, [15] = last}};
    else
        flow.dst = net_ip_v4_of(10, 0, how >> 1 & 1, last);
    if (how & 4)
        flow.dst = how & 1 ? net_ip_all_nodes : net_ip_all_systems;
    if (how & 8)
        flow.flags |= NET_FLOW_BROADCAST;
    uint32_t len = how & 0x80 ? sizeof(payload) : last;
    struct net_tx tx = {.l4 = buf + NET_HEADROOM,
                        .l4_len = UDP_HDR,
                        .csum_offset = 6,
                        .n_payload = 1,
                        .payload_len = len,
                        .payload = {{(void *)(uintptr_t)payload, len}}};
    net_output(&w->ip, &flow, &tx);
}

static void check(struct world *w)
{
    const struct net *net = w->ip.net;
    fuzz_require(net_neigh_count(net->neigh) <= NEIGHBOURS, "neighbours are bounded");
    fuzz_require(net_reass_bytes(net->reass) <= FRAGMENTS, "fragments are bounded");
    fuzz_require(net->pmtu.n_entries <= PMTUS, "path MTUs are bounded");
    fuzz_require(net->routes.n <= NET_ROUTES, "routes are bounded");
    for (unsigned i = 0; i < 2; i++) {
        fuzz_require(net->ports[i].addresses.n <= NET_ADDRESSES, "addresses are bounded");
        fuzz_require(net->ports[i].groups.n <= NET_GROUPS, "groups are bounded");
        fuzz_require(net->ports[i].mtu6 >= NET_PMTU_MIN_6, "IPv6's MTU is at least the minimum");
    }
}

static void step(struct world *w, struct input *in)
{
    switch (take(in) % STEPS) {
    case STEP_FRAME:
        step_frame(w, in, false);
        break;
    case STEP_FIXED_FRAME:
        step_frame(w, in, true);
        break;
    case STEP_TIME:
        pass_time(w, SECOND / 64 * (1ull << (take(in) % 20)));
        break;
    case STEP_SEND:
        step_send(w, in);
        break;
    case STEP_FULL:
        w->full = take(in) & 1;
        udp_port_writable(&w->ip, 0);
        break;
    case STEP_PORT: {
        uint8_t how = take(in);
        w->ports[how & 1].up = how & 2;
        w->ports[how & 1].mac[5] ^= how & 4;
        net_port_changed(&w->ip, how & 1);
        break;
    }
    default:
        break;
    }
    net_poll(&w->ip);
    udp_poll(&w->ip);
    check(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct world *w = make_world();
    for (unsigned n = 0; in.at < in.end && n < 256; n++)
        step(w, &in);
    pass_time(w, 100 * SECOND);
    udp_destroy(&w->ip);
    net_destroy(&w->ip);
    free(w);
    return 0;
}
