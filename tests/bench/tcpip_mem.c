/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcpip_mem: what the TCP/IP library costs by itself. Two instances on one core, a wire in memory
 * that checksums nothing and segments nothing, as two pods joined by vhost-user have it.
 *
 *   tcpip_mem SECONDS rr CONNECTIONS     request-responses of 64 B, all connections at once
 *   tcpip_mem SECONDS bulk               bits, one connection
 *   tcpip_mem SECONDS segments           likewise, the wire cuts large frames into segments
 *   tcpip_mem SECONDS open               opens and closes, 64 at a time
 *
 * Prints one number, per second of CPU time.
 *
 * Payload is copied out of one buffer and into another that all sockets share, so the rings'
 * cache misses are not in the figures; connection state, tables, timers and frames are.
 */
#include "sidecar/tcpip/tcpip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS     512
#define SLOT_SIZE (66 * 1024)
#define BATCH     64
/* of one frame: an MTU of 1500 */
#define MOST_SEGMENTS 64
#define REQUEST       64
#define RING          (1U << 20)
#define MAX_CLIENTS   100000
#define SERVERS       64 /* listening ports: room for 4-tuples */
#define SEC           1000000000ULL

struct dmm_sock {
    struct end *end;
    struct tcpip_socket *s;
    uint32_t tx_len, rx_len;
    bool ready, server, connected, eof, released;
    struct dmm_sock *next_ready, *next_free;
};

struct slot {
    uint32_t len;
    uint8_t gso;
    uint16_t gso_size;
    uint8_t data[SLOT_SIZE];
};

struct end {
    struct dmm_host host; /* first */
    struct tcpip *ip;
    struct end *peer;
    struct dmm_port_info port;
    struct dmm_stack_address address;
    struct slot *slots; /* frames to this end */
    unsigned head, tail;
    struct dmm_sock *ready, *free;
    bool peer_blocked;
    uint64_t random;
};

/* The one state of the program. */
static struct {
    struct end end[2];
    uint64_t now;
    uint64_t responses, bytes, opens;
    enum { CONNECT, RR, BULK, OPEN } mode;
    bool cut; /* the wire segments: the receiver sees what a port without receive merge gives */
} bench;

static uint8_t payload[RING], sink[RING];

static uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

/* What this process has used of a core: the figures are per second of it, so that neighbours on
 * the machine count less. */
static uint64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

/* ---- the host ---- */

static uint64_t host_now(const struct dmm_host *host)
{
    (void)host;
    return bench.now;
}

static void host_random(const struct dmm_host *host, void *buf, size_t len)
{
    struct end *end = (struct end *)(uintptr_t)host;

    for (size_t i = 0; i < len; i++) {
        end->random = end->random * 6364136223846793005ULL + 1442695040888963407ULL;
        ((uint8_t *)buf)[i] = (uint8_t)(end->random >> 56);
    }
}

static void host_log(const struct dmm_host *host, int level, const char *text)
{
    (void)host;
    (void)level;
    fprintf(stderr, "%s\n", text);
}

static unsigned host_n_ports(const struct dmm_host *host)
{
    (void)host;
    return 1;
}

static const struct dmm_port_info *host_port_info(const struct dmm_host *host, unsigned port)
{
    (void)port;
    return &((const struct end *)host)->port;
}

static void store16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t load32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* One segment of a large frame, IPv4 without options. */
static void put_segment(struct end *to, const struct slot *whole, uint32_t headers, uint32_t at,
                        uint32_t len)
{
    struct slot *slot = &to->slots[to->tail++ % SLOTS];
    uint8_t *ip = slot->data + 14, *tcp = ip + 20;
    uint32_t sum = 0, seq;

    memcpy(slot->data, whole->data, headers);
    memcpy(slot->data + headers, whole->data + headers + at, len);
    slot->len = headers + len;
    slot->gso = DMM_GSO_NONE;
    slot->gso_size = 0;
    store16(ip + 2, slot->len - 14);
    store16(ip + 10, 0);
    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    store16(ip + 10, ~(sum + (sum >> 16)));
    seq = load32(tcp + 4) + at;
    store16(tcp + 4, seq >> 16);
    store16(tcp + 6, seq);
    if (whole->len > headers + at + len)
        tcp[13] &= 0xf6; /* PSH, FIN */
}

static void cut(struct end *to, const struct slot *whole, uint32_t headers)
{
    const uint32_t payload_len = whole->len - headers;

    for (uint32_t at = 0; at < payload_len; at += whole->gso_size)
        put_segment(to, whole, headers, at,
                    payload_len - at < whole->gso_size ? payload_len - at : whole->gso_size);
}

static int host_transmit(const struct dmm_host *host, unsigned port,
                         const struct dmm_tx_frame *frame)
{
    static struct slot whole;
    struct end *to = ((const struct end *)host)->peer;
    const bool segments = bench.cut && frame->gso != DMM_GSO_NONE;
    struct slot *slot = segments ? &whole : &to->slots[to->tail % SLOTS];
    uint32_t len = 0;

    (void)port;
    if (to->tail - to->head > SLOTS - (segments ? MOST_SEGMENTS : 1)) {
        to->peer_blocked = true;
        return -EAGAIN;
    }
    for (unsigned i = 0; i < frame->n_iov; i++) {
        memcpy(slot->data + len, frame->iov[i].iov_base, frame->iov[i].iov_len);
        len += (uint32_t)frame->iov[i].iov_len;
    }
    slot->len = len;
    slot->gso = frame->gso;
    slot->gso_size = frame->gso_size;
    if (segments)
        cut(to, slot, frame->hdr_len);
    else
        to->tail++;
    return 0;
}

static void make_ready(struct dmm_sock *sock)
{
    if (sock->ready)
        return;
    sock->ready = true;
    sock->next_ready = sock->end->ready;
    sock->end->ready = sock;
}

static uint32_t host_rx_space(const struct dmm_sock *sock)
{
    return RING - sock->rx_len;
}

static int host_rx_write(struct dmm_sock *sock, const void *data, uint32_t len)
{
    memcpy(sink, data, len);
    sock->rx_len += len;
    make_ready(sock);
    return 0;
}

static int host_rx_datagram(struct dmm_sock *sock, const struct dmm_datagram *datagram)
{
    (void)sock;
    (void)datagram;
    return -ENOBUFS;
}

static uint32_t host_tx_pending(struct dmm_sock *sock)
{
    return sock->tx_len;
}

static unsigned host_tx_peek(const struct dmm_sock *sock, uint32_t offset, uint32_t len,
                             struct iovec iov[2])
{
    (void)sock;
    (void)offset;
    iov[0] = (struct iovec){payload, len};
    return 1;
}

static void host_tx_consume(struct dmm_sock *sock, uint32_t len)
{
    sock->tx_len -= len;
    if (bench.mode == BULK)
        make_ready(sock);
}

static bool host_tx_datagram(struct dmm_sock *sock, struct dmm_datagram *datagram)
{
    (void)sock;
    (void)datagram;
    return false;
}

static void host_tx_datagram_done(struct dmm_sock *sock)
{
    (void)sock;
}

static void host_connected(struct dmm_sock *sock, const struct dmm_addr *local,
                           const struct dmm_addr *peer)
{
    (void)local;
    (void)peer;
    sock->connected = true;
    make_ready(sock);
}

static uint32_t host_accept_space(const struct dmm_sock *listener)
{
    (void)listener;
    return 1024;
}

static struct dmm_sock *new_sock(struct end *end)
{
    struct dmm_sock *sock = end->free;

    if (sock != NULL)
        end->free = sock->next_free;
    else
        sock = malloc(sizeof(*sock));
    *sock = (struct dmm_sock){.end = end};
    return sock;
}

static int host_accepted(struct dmm_sock *listener, void *ssock, const struct dmm_addr *local,
                         const struct dmm_addr *peer, struct dmm_sock **out)
{
    struct dmm_sock *sock = new_sock(listener->end);

    (void)local;
    (void)peer;
    sock->s = ssock;
    sock->server = true;
    *out = sock;
    return 0;
}

static void host_eof(struct dmm_sock *sock)
{
    sock->eof = true;
    make_ready(sock);
}

static void host_error(struct dmm_sock *sock, int error)
{
    fprintf(stderr, "a connection failed: %s (server %d)\n", strerror(error), sock->server);
    exit(1);
}

static void host_soft_error(struct dmm_sock *sock, int error)
{
    (void)sock;
    (void)error;
}

static void host_released(struct dmm_sock *sock)
{
    sock->released = true;
    if (!sock->ready) {
        sock->next_free = sock->end->free;
        sock->end->free = sock;
    }
    if (!sock->server)
        bench.opens++;
}

static const struct dmm_host ops = {
    .abi = DMM_STACK_ABI,
    .size = sizeof(struct dmm_host),
    .now = host_now,
    .random = host_random,
    .log = host_log,
    .n_ports = host_n_ports,
    .port_info = host_port_info,
    .transmit = host_transmit,
    .rx_space = host_rx_space,
    .rx_write = host_rx_write,
    .rx_datagram = host_rx_datagram,
    .tx_pending = host_tx_pending,
    .tx_peek = host_tx_peek,
    .tx_consume = host_tx_consume,
    .tx_datagram = host_tx_datagram,
    .tx_datagram_done = host_tx_datagram_done,
    .connected = host_connected,
    .accept_space = host_accept_space,
    .accepted = host_accepted,
    .eof = host_eof,
    .error = host_error,
    .soft_error = host_soft_error,
    .released = host_released,
};

/* ---- the applications ---- */

static void send_bytes(struct dmm_sock *sock, uint32_t len)
{
    sock->tx_len += len;
    tcpip_send_ready(sock->s);
}

static void read_all(struct dmm_sock *sock)
{
    sock->rx_len = 0;
    tcpip_receive_space(sock->s);
}

static void client_connect(unsigned i);

static struct dmm_sock *clients[MAX_CLIENTS];
static unsigned n_clients;

static void serve(struct dmm_sock *sock)
{
    if (sock->rx_len > 0) {
        const uint32_t n = sock->rx_len;

        read_all(sock);
        if (bench.mode == BULK)
            bench.bytes += n;
        else
            send_bytes(sock, n);
    }
    if (sock->eof)
        tcpip_close(sock->s, DMM_CLOSE_GRACEFUL);
}

static void use(struct dmm_sock *sock)
{
    if (bench.mode == CONNECT) {
        clients[n_clients++] = sock;
        return;
    }
    if (bench.mode == OPEN) {
        static unsigned next;

        tcpip_close(sock->s, DMM_CLOSE_GRACEFUL);
        client_connect(next++);
        return;
    }
    if (bench.mode == BULK) {
        if (sock->tx_len < RING / 2)
            send_bytes(sock, RING - sock->tx_len);
        return;
    }
    if (sock->rx_len >= REQUEST) {
        bench.responses++;
        read_all(sock);
        send_bytes(sock, REQUEST);
    } else if (sock->tx_len == 0 && sock->rx_len == 0) {
        send_bytes(sock, REQUEST);
    }
}

static void applications(struct end *end)
{
    struct dmm_sock *list = end->ready;

    end->ready = NULL;
    while (list != NULL) {
        struct dmm_sock *sock = list;

        list = sock->next_ready;
        sock->ready = false;
        if (sock->released) {
            sock->next_free = end->free;
            end->free = sock;
        } else if (sock->server) {
            serve(sock);
        } else {
            use(sock);
        }
    }
}

static struct dmm_addr address(unsigned last, uint16_t port)
{
    const struct dmm_addr a = {.family = AF_INET, .port = port, .ip = {10, 0, 0, (uint8_t)last}};

    return a;
}

static struct dmm_sock *socket_on(struct end *end)
{
    const struct dmm_open open = {.family = AF_INET, .type = SOCK_STREAM};
    struct dmm_sock *sock = new_sock(end);

    if (tcpip_open(end->ip, sock, &open, &sock->s) < 0) {
        fprintf(stderr, "open failed\n");
        exit(1);
    }
    return sock;
}

static void client_connect(unsigned i)
{
    struct dmm_sock *sock = socket_on(&bench.end[0]);
    const struct dmm_addr peer = address(2, (uint16_t)(1000 + i % SERVERS));
    struct dmm_addr local;
    const int rc = tcpip_connect(sock->s, &peer, &local);

    if (rc < 0) {
        fprintf(stderr, "connect: %s\n", strerror(-rc));
        exit(1);
    }
}

/* ---- one core, two instances ---- */

static void turn(struct end *end)
{
    struct dmm_frame frames[BATCH];
    unsigned n = 0;

    while (n < BATCH && end->head + n != end->tail) {
        const struct slot *slot = &end->slots[(end->head + n) % SLOTS];

        frames[n++] = (struct dmm_frame){.data = slot->data,
                                         .len = slot->len,
                                         .flags = DMM_FRAME_CSUM_PARTIAL,
                                         .gso = slot->gso,
                                         .gso_size = slot->gso_size};
    }
    if (n > 0) {
        tcpip_frames(end->ip, 0, frames, n);
        end->head += n;
        if (end->peer_blocked) {
            end->peer_blocked = false;
            tcpip_port_writable(end->peer->ip, 0);
        }
    }
    applications(end);
    tcpip_poll(end->ip);
}

static void run_for(uint64_t ns)
{
    const uint64_t end = cpu_ns() + ns;

    for (unsigned i = 0; i % 64 != 0 || cpu_ns() < end; i++) {
        bench.now = clock_ns();
        turn(&bench.end[0]);
        turn(&bench.end[1]);
    }
}

static void start(void)
{
    struct tcpip_config config;
    char err[256];

    tcpip_config_default(&config);
    config.ip6_autoconf = false;
    bench.now = clock_ns();
    for (unsigned i = 0; i < 2; i++) {
        struct end *e = &bench.end[i];
        struct slot *slots = e->slots != NULL ? e->slots : malloc(SLOTS * sizeof(struct slot));

        *e = (struct end){.host = ops, .peer = &bench.end[!i], .slots = slots, .random = i};
        e->address = (struct dmm_stack_address){address(i + 1, 0), 24};
        e->port = (struct dmm_port_info){.name = "net1",
                                         .mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)},
                                         .up = true,
                                         .mtu = 1500,
                                         .max_gso_size = 65535,
                                         .offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 |
                                                     DMM_OFFLOAD_TSO6,
                                         .n_addresses = 1,
                                         .addresses = &e->address};
        if (tcpip_create(&config, &e->host, &e->ip, err, sizeof(err)) < 0) {
            fprintf(stderr, "%s\n", err);
            exit(1);
        }
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        struct dmm_sock *l = socket_on(&bench.end[1]);
        const struct dmm_addr any = {.family = AF_INET, .port = (uint16_t)(1000 + i)};
        struct dmm_addr bound;

        l->server = true;
        if (tcpip_bind(l->s, &any, &bound) < 0 || tcpip_listen(l->s, 4000) < 0)
            exit(1);
    }
}

static void stop(void)
{
    tcpip_destroy(bench.end[0].ip);
    tcpip_destroy(bench.end[1].ip);
    /* sockets of the program itself are left to its end: a bench is short */
}

/* All `connections` have a request out at all times. */
static void request_response(unsigned connections, uint64_t seconds)
{
    uint64_t began;

    start();
    bench.mode = CONNECT;
    n_clients = 0;
    for (unsigned i = 0; i < connections; i++) {
        client_connect(i);
        while (n_clients + 64 < i) {
            bench.now = clock_ns();
            turn(&bench.end[0]);
            turn(&bench.end[1]);
        }
    }
    while (n_clients < connections)
        run_for(1000000);
    bench.mode = RR;
    for (unsigned i = 0; i < connections; i++)
        send_bytes(clients[i], REQUEST);
    run_for(SEC / 2);
    bench.responses = 0;
    began = cpu_ns();
    run_for(seconds * SEC);
    const double s = (double)(cpu_ns() - began) / 1e9;

    printf("%.0f\n", (double)bench.responses / s);
    stop();
}

static void bulk(uint64_t seconds)
{
    uint64_t began;

    start();
    bench.mode = BULK;
    client_connect(0);
    run_for(SEC / 2);
    bench.bytes = 0;
    began = cpu_ns();
    run_for(seconds * SEC);
    printf("%.0f\n", (double)bench.bytes * 8e9 / (double)(cpu_ns() - began));
    stop();
}

static void open_close(uint64_t seconds)
{
    uint64_t began;

    start();
    bench.mode = OPEN;
    for (unsigned i = 0; i < 64; i++)
        client_connect(i);
    run_for(SEC / 2);
    bench.opens = 0;
    began = cpu_ns();
    run_for(seconds * SEC);
    printf("%.0f\n", (double)bench.opens * 1e9 / (double)(cpu_ns() - began));
    bench.mode = RR;
    stop();
}

int main(int argc, char **argv)
{
    const uint64_t seconds = argc > 2 ? strtoull(argv[1], NULL, 10) : 0;
    const unsigned long connections = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;

    if (seconds > 0 && argc == 4 && strcmp(argv[2], "rr") == 0 && connections >= 1 &&
        connections <= MAX_CLIENTS) {
        request_response((unsigned)connections, seconds);
    } else if (seconds > 0 && argc == 3 &&
               (strcmp(argv[2], "bulk") == 0 || strcmp(argv[2], "segments") == 0)) {
        bench.cut = argv[2][0] == 's';
        bulk(seconds);
    } else if (seconds > 0 && argc == 3 && strcmp(argv[2], "open") == 0) {
        open_close(seconds);
    } else {
        fprintf(stderr, "usage: tcpip_mem SECONDS rr CONNECTIONS | bulk | segments | open\n");
        return 2;
    }
    return 0;
}
