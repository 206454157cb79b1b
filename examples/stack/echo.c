/* SPDX-License-Identifier: Apache-2.0 */
/*
 * echo: a stack in one page, as a plug-in. Every connect succeeds, and what is sent comes back.
 *
 *     cc -std=c11 -D_GNU_SOURCE -shared -fPIC -I. -o echo.so examples/stack/echo.c
 */
#include "sidecar/stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct echo {
    const struct dmm_host *host;
    struct echo_sock *socks;
    uint64_t bytes;
};

struct echo_sock {
    struct echo *echo;
    struct dmm_sock *sock; /* the host's handle */
    struct echo_sock *next;
    struct dmm_addr local, peer;
    bool stream, connecting, connected, shut, eof_told;
};

static int create(const struct dmm_stack_config *config, const struct dmm_host *host, void **stack,
                  char *err, size_t errlen)
{
    if (host->abi != DMM_STACK_ABI || host->size < sizeof(*host)) {
        snprintf(err, errlen, "made for version %d of the stack ABI", DMM_STACK_ABI);
        return -EPROTO;
    }
    /* A stack with options parses JSON here, and refuses what it does not know. */
    if (strcmp(config->options, "{}") != 0) {
        snprintf(err, errlen, "options: echo has none");
        return -EINVAL;
    }
    struct echo *echo = calloc(1, sizeof(*echo));
    if (!echo) {
        snprintf(err, errlen, "out of memory");
        return -ENOMEM;
    }
    echo->host = host;
    *stack = echo;
    return 0;
}

static void destroy(void *stack)
{
    free(stack);
}

static int open_socket(void *stack, struct dmm_sock *sock, const struct dmm_open *open,
                       void **ssock)
{
    struct echo *echo = stack;
    struct echo_sock *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->echo = echo;
    s->sock = sock;
    s->stream = open->type == SOCK_STREAM;
    s->local.family = open->family;
    s->next = echo->socks;
    echo->socks = s;
    *ssock = s;
    return 0;
}

static int bind_socket(void *ssock, const struct dmm_addr *addr, struct dmm_addr *bound)
{
    struct echo_sock *s = ssock;
    s->local = *addr;
    if (!s->local.port)
        s->local.port = 40000; /* nobody else is here to have it */
    *bound = s->local;
    return 0;
}

static int connect_socket(void *ssock, const struct dmm_addr *peer, struct dmm_addr *local)
{
    struct echo_sock *s = ssock;
    if (s->connected && s->stream)
        return -EISCONN;
    if (s->connecting)
        return -EALREADY;
    s->peer = *peer;
    if (!s->local.port)
        s->local.port = 40000;
    *local = s->local;
    s->connecting = s->stream; /* poll() tells the host, in a later turn */
    s->connected = !s->stream && peer->family;
    return 0;
}

static void echo_stream(struct echo_sock *s)
{
    const struct dmm_host *host = s->echo->host;
    struct iovec iov[2];
    unsigned n = host->tx_peek(s->sock, 0, host->rx_space(s->sock), iov);
    for (unsigned i = 0; i < n; i++) {
        uint32_t len = (uint32_t)iov[i].iov_len;
        if (host->rx_write(s->sock, iov[i].iov_base, len))
            break;
        host->tx_consume(s->sock, len); /* the app may write as much again */
        s->echo->bytes += len;
    }
    if (s->shut && !s->eof_told && !host->tx_pending(s->sock)) {
        s->eof_told = true;
        host->eof(s->sock);
    }
}

static void echo_datagrams(struct echo_sock *s)
{
    const struct dmm_host *host = s->echo->host;
    struct dmm_datagram datagram;
    while (host->tx_datagram(s->sock, &datagram)) {
        if (!datagram.peer.family)
            datagram.peer = s->peer; /* no address given: the connected peer */
        datagram.local = s->local;
        if (datagram.peer.family)
            host->rx_datagram(s->sock, &datagram);
        else
            host->soft_error(s->sock, EDESTADDRREQ);
        host->tx_datagram_done(s->sock);
        s->echo->bytes += datagram.len;
    }
}

static void send_ready(void *ssock)
{
    struct echo_sock *s = ssock;
    if (!s->stream)
        echo_datagrams(s);
    else if (s->connected)
        echo_stream(s);
}

static void receive_space(void *ssock)
{
    send_ready(ssock); /* what did not fit before */
}

static int shutdown_socket(void *ssock, int how)
{
    struct echo_sock *s = ssock;
    if (!s->connected)
        return -ENOTCONN;
    s->shut |= how != SHUT_RD;
    send_ready(s);
    return 0;
}

static void close_socket(void *ssock, enum dmm_close how)
{
    struct echo_sock *s = ssock;
    struct echo_sock **place = &s->echo->socks;
    (void)how; /* unsent bytes would only come back to an app that has gone */
    while (*place != s)
        place = &(*place)->next;
    *place = s->next;
    s->echo->host->released(s->sock);
    free(s);
}

static unsigned poll_stack(void *stack)
{
    struct echo *echo = stack;
    unsigned done = 0;
    for (struct echo_sock *s = echo->socks; s; s = s->next) {
        if (!s->connecting)
            continue;
        s->connecting = false;
        s->connected = true;
        echo->host->connected(s->sock, &s->local, &s->peer);
        echo_stream(s); /* the app may have written already */
        done++;
    }
    return done;
}

static uint64_t next_deadline(void *stack)
{
    const struct echo *echo = stack;
    for (const struct echo_sock *s = echo->socks; s; s = s->next)
        if (s->connecting)
            return echo->host->now(echo->host);
    return DMM_NEVER;
}

static void socket_info(void *ssock, struct dmm_socket_info *info)
{
    const struct echo_sock *s = ssock;
    *info = (struct dmm_socket_info){
        .state = s->connected ? "ESTAB" : "UNCONN", .local = s->local, .peer = s->peer};
}

static void stats(void *stack, dmm_stat_fn *emit, void *arg)
{
    const struct echo *echo = stack;
    emit(arg, "echoed_bytes", echo->bytes);
}

__attribute__((visibility("default"))) const struct dmm_stack_ops dmm_stack_ops_v1 = {
    .abi = DMM_STACK_ABI,
    .size = sizeof(struct dmm_stack_ops),
    .type = "echo",
    .capabilities = DMM_STACK_TCP | DMM_STACK_UDP | DMM_STACK_IPV4 | DMM_STACK_IPV6,
    .create = create,
    .destroy = destroy,
    .poll = poll_stack,
    .next_deadline = next_deadline,
    .open = open_socket,
    .bind = bind_socket,
    .connect = connect_socket,
    .send_ready = send_ready,
    .receive_space = receive_space,
    .shutdown = shutdown_socket,
    .close = close_socket,
    .socket_info = socket_info,
    .stats = stats,
};
