/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcp/node.h"

#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RX_DEFAULT (16U * 1024 * 1024)

static void broken(const char *what)
{
    fprintf(stderr, "node: promise broken: %s\n", what);
    abort();
}

static const struct node *node_of(const struct dmm_host *host)
{
    return (const struct node *)host;
}

static uint64_t host_now(const struct dmm_host *host)
{
    return *node_of(host)->clock;
}

static void host_random(const struct dmm_host *host, void *buf, size_t len)
{
    struct node *node = (struct node *)(uintptr_t)host;

    for (size_t i = 0; i < len; i++) {
        node->random = node->random * 6364136223846793005ULL + 1442695040888963407ULL;
        ((uint8_t *)buf)[i] = (uint8_t)(node->random >> 56);
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
    return 1;
}

static const struct dmm_port_info *host_port_info(const struct dmm_host *host, unsigned port)
{
    (void)port;
    return &node_of(host)->port;
}

static int host_transmit(const struct dmm_host *host, unsigned port,
                         const struct dmm_tx_frame *frame)
{
    static uint8_t bytes[FRAME_MAX];
    struct node *node = (struct node *)(uintptr_t)host;
    uint32_t len = 0;

    (void)port;
    if (node->blocked)
        return -EAGAIN;
    for (unsigned i = 0; i < frame->n_iov; i++) {
        if (len + frame->iov[i].iov_len > sizeof(bytes))
            broken("frame too long");
        memcpy(bytes + len, frame->iov[i].iov_base, frame->iov[i].iov_len);
        len += (uint32_t)frame->iov[i].iov_len;
    }
    if (frame->gso == DMM_GSO_NONE && len > node->port.mtu + 14U)
        broken("frame over the MTU");
    node->transmit(node, bytes, len, frame);
    return 0;
}

static void alive(const struct dmm_sock *sock)
{
    if (sock->released)
        broken("a released socket was named");
}

static uint32_t host_rx_space(const struct dmm_sock *sock)
{
    alive(sock);
    return sock->sink ? sock->rx_cap : sock->rx_cap - sock->rx_len;
}

static uint8_t *grow(uint8_t *buf, uint32_t len)
{
    uint32_t size = 1024;

    while (size < len)
        size *= 2;
    return realloc(buf, size);
}

static int host_rx_write(struct dmm_sock *sock, const void *data, uint32_t len)
{
    alive(sock);
    if (sock->closed)
        broken("bytes after close");
    if (sock->eof)
        broken("bytes after eof");
    if (sock->sink) {
        sock->rx_total += len;
        return 0;
    }
    if (sock->rx_len + len > sock->rx_cap)
        return -ENOBUFS;
    sock->rx = grow(sock->rx, sock->rx_len + len);
    memcpy(sock->rx + sock->rx_len, data, len);
    sock->rx_len += len;
    sock->rx_total += len;
    return 0;
}

static uint32_t host_tx_pending(struct dmm_sock *sock)
{
    alive(sock);
    return sock->tx_len;
}

static unsigned host_tx_peek(const struct dmm_sock *sock, uint32_t offset, uint32_t len,
                             struct iovec iov[2])
{
    alive(sock);
    if (offset > sock->tx_len || len > sock->tx_len - offset)
        broken("peek beyond what was written");
    /* in two pieces, as a ring gives them */
    iov[0] = (struct iovec){sock->tx + offset, len / 2};
    iov[1] = (struct iovec){sock->tx + offset + len / 2, len - len / 2};
    return 2;
}

static void host_tx_consume(struct dmm_sock *sock, uint32_t len)
{
    alive(sock);
    if (len > sock->tx_len)
        broken("more consumed than written");
    memmove(sock->tx, sock->tx + len, sock->tx_len - len);
    sock->tx_len -= len;
    sock->tx_sent -= len < sock->tx_sent ? len : sock->tx_sent;
}

static void host_tx_sent(struct dmm_sock *sock, uint32_t len)
{
    alive(sock);
    if (len > sock->tx_len)
        broken("more sent than written");
    sock->tx_sent = len;
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

static int host_rx_datagram(struct dmm_sock *sock, const struct dmm_datagram *datagram)
{
    (void)sock;
    (void)datagram;
    return -ENOBUFS;
}

static void host_connected(struct dmm_sock *sock, const struct dmm_addr *local,
                           const struct dmm_addr *peer)
{
    (void)local;
    (void)peer;
    alive(sock);
    if (sock->connected)
        broken("connected twice");
    sock->connected = true;
}

static uint32_t host_accept_space(const struct dmm_sock *listener)
{
    alive(listener);
    return listener->accept_limit - listener->n_accepted;
}

static struct dmm_sock *new_sock(struct node *node)
{
    struct dmm_sock *sock = calloc(1, sizeof(*sock));

    sock->node = node;
    sock->rx_cap = node->rx_cap;
    sock->next = node->socks;
    node->socks = sock;
    node->n_alive++;
    return sock;
}

static int host_accepted(struct dmm_sock *listener, void *ssock, const struct dmm_addr *local,
                         const struct dmm_addr *peer, struct dmm_sock **out)
{
    struct dmm_sock *sock;

    (void)local;
    (void)peer;
    alive(listener);
    if (listener->n_accepted == listener->accept_limit)
        return -ENOBUFS;
    sock = new_sock(listener->node);
    sock->s = ssock;
    sock->connected = true;
    listener->accepted[listener->n_accepted++] = sock;
    *out = sock;
    return 0;
}

static void host_eof(struct dmm_sock *sock)
{
    alive(sock);
    if (sock->eof)
        broken("eof twice");
    sock->eof = true;
}

static void host_error(struct dmm_sock *sock, int error)
{
    alive(sock);
    if (error <= 0)
        broken("error without a number");
    sock->error = error;
}

static void host_soft_error(struct dmm_sock *sock, int error)
{
    alive(sock);
    sock->soft_error = error;
}

static void host_released(struct dmm_sock *sock)
{
    alive(sock);
    if (!sock->closed)
        broken("released before close");
    sock->released = true;
    sock->node->n_alive--;
}

static const struct dmm_host host_ops = {
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
    .tx_sent = host_tx_sent,
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

struct dmm_addr node_addr(uint16_t family, uint8_t last, uint16_t port)
{
    struct dmm_addr a = {.family = family, .port = port};

    if (family == AF_INET) {
        a.ip[0] = 10;
        a.ip[3] = last;
    } else {
        a.ip[0] = 0xfd;
        a.ip[15] = last;
    }
    return a;
}

void node_init(struct node *node, uint8_t last, uint64_t *clock, uint64_t seed,
               node_transmit_fn *transmit, void *arg)
{
    *node = (struct node){.host = host_ops,
                          .clock = clock,
                          .random = seed,
                          .transmit = transmit,
                          .arg = arg,
                          .rx_cap = RX_DEFAULT};
    tcpip_config_default(&node->config);
    node->config.ip6_autoconf = false;
    node->addresses[0] = (struct dmm_stack_address){node_addr(AF_INET, last, 0), 24};
    node->addresses[1] = (struct dmm_stack_address){node_addr(AF_INET6, last, 0), 64};
    node->port = (struct dmm_port_info){.name = "net1",
                                        .mac = {2, 0, 0, 0, 0, last},
                                        .up = true,
                                        .mtu = 1500,
                                        .n_addresses = 2,
                                        .addresses = node->addresses};
}

void node_start(struct node *node)
{
    char err[256];

    if (tcpip_create(&node->config, &node->host, &node->ip, err, sizeof(err)) < 0) {
        fprintf(stderr, "%s\n", err);
        abort();
    }
}

void node_stop(struct node *node)
{
    for (struct dmm_sock *sock = node->socks; sock != NULL; sock = sock->next) {
        if (!sock->closed)
            node_close(sock, DMM_CLOSE_ABORT);
    }
    tcpip_destroy(node->ip);
    while (node->socks != NULL) {
        struct dmm_sock *sock = node->socks;

        node->socks = sock->next;
        free(sock->rx);
        free(sock->tx);
        free(sock);
    }
}

void node_poll(struct node *node)
{
    for (unsigned i = 0; i < 1000; i++) {
        const unsigned done = tcpip_poll(node->ip);

        if (done == 0 && tcpip_next_deadline(node->ip) > *node->clock)
            return;
    }
    broken("poll never ends");
}

void node_frame(struct node *node, const struct dmm_frame *frame)
{
    tcpip_frames(node->ip, 0, frame, 1);
}

void node_frames(struct node *node, const struct dmm_frame *frames, unsigned n)
{
    tcpip_frames(node->ip, 0, frames, n);
}

const char *node_holds(const struct node *node)
{
    const struct tcp *tcp = node->ip->tcp;

    if (node->n_alive != 0)
        return "a socket was not released";
    if (tcp->tcbs.used != 0)
        return "a connection is left";
    if (tcp->time_waits.used != 0)
        return "a TIME-WAIT is left";
    if (tcp->ranges.used != 0)
        return "a transmission record is left";
    if (tcp->store.blocks.used != 0 || tcp->store.heads.used != 0)
        return "reassembly is left";
    if (tcp->n_endpoints != 0 || tcp->n_half_open != 0)
        return "the tables are not empty";
    return NULL;
}

struct dmm_sock *node_try_socket(struct node *node, uint16_t family, uint16_t type)
{
    struct dmm_sock *sock = new_sock(node);
    const struct dmm_open open = {.family = family, .type = type};

    if (tcpip_open(node->ip, sock, &open, &sock->s) == 0)
        return sock;
    node->socks = sock->next;
    node->n_alive--;
    free(sock);
    return NULL;
}

struct dmm_sock *node_socket(struct node *node, uint16_t family, uint16_t type)
{
    struct dmm_sock *sock = node_try_socket(node, family, type);

    if (sock == NULL)
        broken("open failed");
    return sock;
}

int node_bind(struct dmm_sock *sock, uint8_t last, uint16_t port, uint16_t family)
{
    struct dmm_addr addr = node_addr(family, last, port);
    struct dmm_addr bound;

    if (last == 0)
        memset(addr.ip, 0, sizeof(addr.ip));
    return tcpip_bind(sock->s, &addr, &bound);
}

struct dmm_sock *node_listen(struct node *node, uint16_t family, uint16_t port, int backlog)
{
    struct dmm_sock *sock = node_socket(node, family, SOCK_STREAM);

    if (node_bind(sock, 0, port, family) < 0 || tcpip_listen(sock->s, backlog) < 0)
        broken("listen failed");
    sock->listening = true;
    sock->accept_limit = NODE_ACCEPTED;
    return sock;
}

int node_connect(struct dmm_sock *sock, uint16_t family, uint8_t last, uint16_t port)
{
    const struct dmm_addr peer = node_addr(family, last, port);
    struct dmm_addr local;

    return tcpip_connect(sock->s, &peer, &local);
}

void node_write(struct dmm_sock *sock, const void *data, uint32_t len)
{
    sock->tx = grow(sock->tx, sock->tx_len + len);
    memcpy(sock->tx + sock->tx_len, data, len);
    sock->tx_len += len;
    sock->tx_total += len;
    tcpip_send_ready(sock->s);
}

uint32_t node_read(struct dmm_sock *sock, void *data, uint32_t len)
{
    const uint32_t n = len < sock->rx_len ? len : sock->rx_len;

    if (n == 0)
        return 0;
    memcpy(data, sock->rx, n);
    memmove(sock->rx, sock->rx + n, sock->rx_len - n);
    sock->rx_len -= n;
    if (!sock->closed)
        tcpip_receive_space(sock->s);
    return n;
}

void node_close(struct dmm_sock *sock, enum dmm_close how)
{
    sock->closed = true;
    tcpip_close(sock->s, how);
}

int node_setsockopt(struct dmm_sock *sock, int level, int name, int value)
{
    return tcpip_setsockopt(sock->s, level, name, &value, sizeof(value));
}

int node_getsockopt(struct dmm_sock *sock, int level, int name)
{
    int value = -1;
    uint32_t len = sizeof(value);

    return tcpip_getsockopt(sock->s, level, name, &value, &len) < 0 ? -1 : value;
}
