/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: a stack for tests, loaded as a plug-in. Every address is its own: a connect reaches the
 * listener on that port in the same instance, streams are pairs of sockets, datagrams go to the
 * socket that is bound to their port. No packets. Bytes move in poll(), through the host's services
 * and so through the clients' rings, as with a real stack.
 */
#include "common/log.h"
#include "sidecar/stack.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_EPHEMERAL 49152
#define MAX_MOVE        (256u * 1024) /* bytes of one socket in one poll */

struct loop_socket {
    struct loop *loop;
    struct dmm_sock *sock;
    struct loop_socket *next, **link; /* all sockets of the instance */
    struct loop_socket *peer;         /* stream: the other end; NULL: none, or gone */
    struct dmm_addr local, remote;
    uint16_t family;
    bool datagram, bound, listening, connecting, connected;
    bool closed;   /* by the host */
    bool fin_due;  /* after the ring's bytes */
    bool fin_sent; /* the peer has seen eof */
    bool embryo;   /* accepted() was refused; tried again */
    bool nodelay, reuseaddr, keepalive, broadcast;
};

struct loop {
    const struct dmm_host *host;
    struct loop_socket *sockets;
    uint16_t next_port;
    uint64_t bytes, datagrams, connections;
    bool work;
};

static int loop_create(const struct dmm_stack_config *config, const struct dmm_host *host,
                       void **stack, char *err, size_t errlen)
{
    (void)config, (void)err, (void)errlen;
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return -ENOMEM;
    loop->host = host;
    loop->next_port = FIRST_EPHEMERAL;
    *stack = loop;
    return 0;
}

static struct loop_socket *socket_new(struct loop *loop, struct dmm_sock *sock)
{
    struct loop_socket *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->loop = loop;
    s->sock = sock;
    s->next = loop->sockets;
    s->link = &loop->sockets;
    if (s->next)
        s->next->link = &s->next;
    loop->sockets = s;
    return s;
}

static void socket_free(struct loop_socket *s)
{
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    if (s->peer)
        s->peer->peer = NULL;
    free(s);
}

/* Frees what neither side uses any more. */
static void release(struct loop_socket *s)
{
    struct dmm_sock *sock = s->sock;
    const struct dmm_host *host = s->loop->host;
    socket_free(s);
    if (sock)
        host->released(sock);
}

static void loop_destroy(void *stack)
{
    struct loop *loop = stack;
    for (struct loop_socket *next, *s = loop->sockets; s; s = next) {
        next = s->next;
        free(s);
    }
    free(loop);
}

static struct loop_socket *find(struct loop *loop, uint16_t port, bool datagram)
{
    for (struct loop_socket *s = loop->sockets; s; s = s->next)
        if (s->bound && !s->closed && s->datagram == datagram && s->local.port == port &&
            (datagram || s->listening || !s->peer))
            return s;
    return NULL;
}

static uint16_t free_port(struct loop *loop, bool datagram)
{
    do {
        if (loop->next_port < FIRST_EPHEMERAL)
            loop->next_port = FIRST_EPHEMERAL;
    } while (find(loop, loop->next_port++, datagram));
    return (uint16_t)(loop->next_port - 1);
}

/* ---- sockets ---- */

static int loop_open(void *stack, struct dmm_sock *sock, const struct dmm_open *open, void **ssock)
{
    struct loop_socket *s = socket_new(stack, sock);
    if (!s)
        return -ENOMEM;
    s->datagram = open->type == SOCK_DGRAM;
    s->family = open->family;
    *ssock = s;
    return 0;
}

static int loop_bind(void *ssock, const struct dmm_addr *addr, struct dmm_addr *bound)
{
    struct loop_socket *s = ssock;
    if (s->bound)
        return -EINVAL;
    s->local = *addr;
    if (!s->local.port)
        s->local.port = free_port(s->loop, s->datagram);
    else if (find(s->loop, addr->port, s->datagram))
        return -EADDRINUSE;
    s->bound = true;
    *bound = s->local;
    return 0;
}

static int loop_listen(void *ssock, int backlog)
{
    struct loop_socket *s = ssock;
    (void)backlog;
    if (!s->bound) {
        s->local = (struct dmm_addr){.family = AF_INET, .port = free_port(s->loop, false)};
        s->bound = true;
    }
    s->listening = true;
    return 0;
}

static void choose_local(struct loop_socket *s, const struct dmm_addr *peer)
{
    uint16_t port = s->bound ? s->local.port : free_port(s->loop, s->datagram);
    s->local = *peer; /* every address is ours */
    s->local.port = port;
    s->bound = true;
}

static int loop_connect(void *ssock, const struct dmm_addr *peer, struct dmm_addr *local)
{
    struct loop_socket *s = ssock;
    if (peer->family && peer->family != s->family)
        return -EAFNOSUPPORT;
    s->remote = *peer;
    if (!s->bound || !s->datagram)
        choose_local(s, peer);
    s->connecting = !s->datagram;
    s->connected = s->datagram && peer->family;
    s->loop->work = true;
    *local = s->local;
    return 0;
}

static void loop_kick(void *ssock)
{
    ((struct loop_socket *)ssock)->loop->work = true;
}

static int loop_shutdown(void *ssock, int how)
{
    struct loop_socket *s = ssock;
    if (how != SHUT_RD)
        s->fin_due = true;
    s->loop->work = true;
    return 0;
}

static void loop_close(void *ssock, enum dmm_close how)
{
    struct loop_socket *s = ssock;
    s->closed = true;
    s->loop->work = true;
    if (how == DMM_CLOSE_ABORT || s->datagram || s->listening || !s->connected) {
        struct loop_socket *peer = s->peer;
        const struct dmm_host *host = s->loop->host;
        bool tell = peer && !peer->closed && how == DMM_CLOSE_ABORT;
        struct dmm_sock *other = tell ? peer->sock : NULL;
        release(s);
        if (other)
            host->error(other, ECONNRESET);
        return;
    }
    s->fin_due = true;
}

/* Options that are switches and true here by nature: nothing is ever delayed, idle or shared. */
static bool *option(struct loop_socket *s, int level, int name)
{
    if (level == IPPROTO_TCP)
        return name == TCP_NODELAY && !s->datagram ? &s->nodelay : NULL;
    if (level != SOL_SOCKET)
        return NULL;
    return name == SO_REUSEADDR   ? &s->reuseaddr
           : name == SO_KEEPALIVE ? &s->keepalive
           : name == SO_BROADCAST ? &s->broadcast
                                  : NULL;
}

static int loop_setsockopt(void *ssock, int level, int name, const void *value, uint32_t len)
{
    int number;
    bool *it = option(ssock, level, name);
    if (!it)
        return -ENOPROTOOPT;
    if (len < sizeof(number))
        return -EINVAL;
    memcpy(&number, value, sizeof(number));
    *it = number != 0;
    return 0;
}

static int loop_getsockopt(void *ssock, int level, int name, void *value, uint32_t *len)
{
    bool *it = option(ssock, level, name);
    if (!it)
        return -ENOPROTOOPT;
    int number = *it;
    if (*len > sizeof(number))
        *len = sizeof(number);
    memcpy(value, &number, *len);
    return 0;
}

static void loop_socket_info(void *ssock, struct dmm_socket_info *info)
{
    const struct loop_socket *s = ssock;
    info->state = s->listening                   ? "LISTEN"
                  : s->fin_sent                  ? "FIN-WAIT-2"
                  : s->connected && !s->datagram ? "ESTAB"
                                                 : "UNCONN";
    info->local = s->local;
    info->peer = s->remote;
}

/* ---- poll ---- */

static unsigned try_accept(struct loop_socket *s)
{
    struct loop *loop = s->loop;
    struct loop_socket *listener = find(loop, s->remote.port, false);
    if (!listener || !listener->listening) {
        s->connecting = false;
        loop->host->error(s->sock, ECONNREFUSED);
        return 1;
    }
    if (!loop->host->accept_space(listener->sock))
        return 0; /* accept_ready() comes */
    struct loop_socket *other = socket_new(loop, NULL);
    if (!other)
        return 0;
    other->local = s->remote;
    other->remote = s->local;
    int rc =
        loop->host->accepted(listener->sock, other, &other->local, &other->remote, &other->sock);
    if (rc) {
        socket_free(other);
        return 0;
    }
    other->peer = s;
    other->connected = true;
    s->peer = other;
    s->connecting = false;
    s->connected = true;
    loop->connections++;
    loop->host->connected(s->sock, &s->local, &s->remote);
    return 1;
}

static unsigned move_bytes(struct loop_socket *s)
{
    const struct dmm_host *host = s->loop->host;
    unsigned moved = 0;
    uint32_t pending = host->tx_pending(s->sock);
    if (s->peer && !s->peer->closed) {
        uint32_t space = host->rx_space(s->peer->sock);
        uint32_t len = pending < space ? pending : space;
        struct iovec iov[2];
        unsigned n = host->tx_peek(s->sock, 0, len < MAX_MOVE ? len : MAX_MOVE, iov);
        for (unsigned i = 0; i < n; i++) {
            if (host->rx_write(s->peer->sock, iov[i].iov_base, (uint32_t)iov[i].iov_len))
                break;
            host->tx_consume(s->sock, (uint32_t)iov[i].iov_len);
            moved += (unsigned)iov[i].iov_len;
        }
    } else if (pending && s->peer) {
        /* Its app has closed: what comes now is answered by a reset. */
        host->tx_consume(s->sock, pending);
        if (!s->closed)
            host->error(s->sock, EPIPE);
        moved++;
    } else if (!s->peer) {
        host->tx_consume(s->sock, pending);
    }
    s->loop->bytes += moved;
    return moved;
}

static unsigned stream_poll(struct loop_socket *s)
{
    const struct dmm_host *host = s->loop->host;
    unsigned work = move_bytes(s);
    if (s->fin_due && !s->fin_sent && !host->tx_pending(s->sock)) {
        s->fin_sent = true;
        work++;
        if (s->peer && !s->peer->closed)
            host->eof(s->peer->sock);
    }
    if (s->closed && s->fin_sent && (!s->peer || s->peer->fin_sent)) {
        release(s);
        work++;
    }
    return work;
}

static unsigned datagram_poll(struct loop_socket *s)
{
    const struct dmm_host *host = s->loop->host;
    struct dmm_datagram datagram;
    unsigned n = 0;
    while (n < 64 && host->tx_datagram(s->sock, &datagram)) {
        struct dmm_addr to = datagram.peer.family ? datagram.peer : s->remote;
        struct loop_socket *other = to.family ? find(s->loop, to.port, true) : NULL;
        if (!s->bound)
            choose_local(s, &to);
        if (other) {
            datagram.peer = s->local;
            datagram.local = to;
            host->rx_datagram(other->sock, &datagram);
        } else if (s->connected) {
            host->soft_error(s->sock, ECONNREFUSED);
        }
        host->tx_datagram_done(s->sock);
        s->loop->datagrams++;
        n++;
    }
    return n;
}

static unsigned loop_poll(void *stack)
{
    struct loop *loop = stack;
    unsigned work = 0;
    loop->work = false;
    for (struct loop_socket *next, *s = loop->sockets; s; s = next) {
        next = s->next;
        if (!s->sock)
            continue;
        if (s->connecting)
            work += try_accept(s);
        else if (s->datagram)
            work += s->closed ? 0 : datagram_poll(s);
        else if (s->connected)
            work += stream_poll(s);
    }
    return work;
}

static uint64_t loop_deadline(void *stack)
{
    struct loop *loop = stack;
    return loop->work ? loop->host->now(loop->host) : DMM_NEVER;
}

static void loop_stats(void *stack, dmm_stat_fn *emit, void *arg)
{
    struct loop *loop = stack;
    emit(arg, "bytes", loop->bytes);
    emit(arg, "datagrams", loop->datagrams);
    emit(arg, "connections", loop->connections);
}

__attribute__((visibility("default"))) extern const struct dmm_stack_ops dmm_stack_ops_v1;
const struct dmm_stack_ops dmm_stack_ops_v1 = {
    .abi = DMM_STACK_ABI,
    .size = sizeof(struct dmm_stack_ops),
    .type = "loop",
    .capabilities = DMM_STACK_TCP | DMM_STACK_UDP | DMM_STACK_IPV4 | DMM_STACK_IPV6,
    .create = loop_create,
    .destroy = loop_destroy,
    .poll = loop_poll,
    .next_deadline = loop_deadline,
    .open = loop_open,
    .bind = loop_bind,
    .listen = loop_listen,
    .connect = loop_connect,
    .send_ready = loop_kick,
    .receive_space = loop_kick,
    .accept_ready = loop_kick,
    .shutdown = loop_shutdown,
    .close = loop_close,
    .setsockopt = loop_setsockopt,
    .getsockopt = loop_getsockopt,
    .socket_info = loop_socket_info,
    .stats = loop_stats,
};
