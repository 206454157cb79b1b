/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of common/region.h: checks what a command says and hands it to the stack. */
#include "common/ring.h"
#include "sidecar/client.h"
#include "sidecar/instance.h"
#include "sidecar/sock.h"
#include "sidecar/spares.h"
#include "sidecar/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#define SNDBUF_LOCK   1 /* in the value of SO_BUF_LOCK */
#define RCVBUF_LOCK   2
#define LOCKED_TX_MIN (1u << 14) /* what Linux's tcp_wmem begins with */

#define DATAGRAM_TX_FIRST (1u << 15)

struct context {
    struct dmm_client *client;
    struct dmm_sock *sock; /* NULL for OPEN */
    const struct dmm_command *command;
    uint32_t channel, process;
    struct dmm_reply reply; /* filled here, then copied out */
};

static const struct dmm_stack_ops *ops_of(const struct context *c)
{
    return c->sock->instance->ops;
}

/* ---- opening ---- */

static int open_check(const struct dmm_instance *instance, const struct dmm_open *open)
{
    uint32_t has = instance->ops ? instance->ops->capabilities : 0;
    if (!instance->ops)
        return -EPROTONOSUPPORT; /* the kernel's sockets are made by the app itself */
    if (!instance->up)
        return -ENETDOWN;
    if (!(open->family == AF_INET && has & DMM_STACK_IPV4) &&
        !(open->family == AF_INET6 && has & DMM_STACK_IPV6))
        return -EAFNOSUPPORT;
    if (open->type == SOCK_STREAM)
        return open->protocol == IPPROTO_TCP && has & DMM_STACK_TCP ? 0 : -EPROTONOSUPPORT;
    if (open->type == SOCK_DGRAM)
        return open->protocol == IPPROTO_UDP && has & DMM_STACK_UDP ? 0 : -EPROTONOSUPPORT;
    return -ESOCKTNOSUPPORT;
}

/* The rest of CONNECT and of an OPEN that connects: to `peer`, which has been checked. */
static int32_t connect_to(struct context *c, struct dmm_addr *peer)
{
    struct dmm_sock *sock = c->sock;
    struct dmm_addr local = {0};
    dmm_sock_map_address(sock, peer);
    int rc = ops_of(c)->connect(sock->ssock, peer, &local);
    if (rc)
        return rc;
    sock->shared->local = local;
    sock->shared->peer = *peer;
    c->reply.addr = local;
    dmm_sock_set_state(sock,
                       sock->kind == DMM_SOCK_DATAGRAM ? DMM_SS_CONNECTED : DMM_SS_CONNECTING);
    return 0;
}

static int open_socket(struct dmm_client *client, struct dmm_instance *instance,
                       const struct dmm_open *open, struct dmm_sock **out)
{
    struct dmm_sock *sock = dmm_sock_new(client, instance, open);
    if (!sock)
        return -ENFILE;
    int rc = instance->ops->open(instance->stack, sock, open, &sock->ssock);
    if (rc)
        dmm_sock_free(sock);
    *out = sock;
    return rc;
}

static int32_t do_open(struct context *c)
{
    const struct dmm_command *command = c->command;
    struct dmm_worker *worker = c->client->worker;
    if (command->instance >= worker->n_instances) {
        dmm_client_violation(c->client, "OPEN: instance %u does not exist", command->instance);
        return -EINVAL;
    }
    struct dmm_instance *instance = worker->instances[command->instance];
    struct dmm_open open = {command->open.family, command->open.type, command->open.protocol};
    struct dmm_addr peer = command->open.peer;
    int rc = open_check(instance, &open);
    if (rc)
        return rc;
    if (peer.family && (!dmm_addr_valid(&peer) || open.type != SOCK_STREAM))
        return -EAFNOSUPPORT;
    struct dmm_sock *sock;
    rc = open_socket(c->client, instance, &open, &sock);
    if (rc && dmm_spares_drop(c->client))
        rc = open_socket(c->client, instance, &open, &sock);
    if (rc)
        return rc;
    if (command->open.flags & DMM_OPEN_ADOPT) {
        sock->flags |= DMM_SOCK_ADOPT;
        sock->adopted = command->value;
    }
    dmm_sock_tx_offer(sock, sock->kind == DMM_SOCK_DATAGRAM ? DATAGRAM_TX_FIRST : DMM_TX_FIRST);
    dmm_sock_hold(sock, c->process);
    c->reply.socket = sock->index;
    c->sock = sock;
    rc = peer.family ? connect_to(c, &peer) : 0;
    if (rc)
        dmm_sock_let_go(sock, c->process, true);
    else if (peer.family)
        dmm_spares_more(c->client, c->channel, instance, &open);
    return rc;
}

/* What another process of the client made of the same socket of the earlier sidecar, or NULL.
 * Several may have the address (SO_REUSEPORT): they stay apart. */
static struct dmm_sock *find_adopted(const struct dmm_sock *sock, const struct dmm_addr *addr)
{
    const struct dmm_client *client = sock->client;
    for (uint32_t i = 0; i < client->sockets_top; i++) {
        struct dmm_sock *other = client->sockets[i];
        if (other && other != sock && other->instance == sock->instance &&
            other->flags & DMM_SOCK_ADOPT && other->flags & DMM_SOCK_BOUND &&
            other->adopted == sock->adopted && !(other->flags & DMM_SOCK_CLOSED) &&
            (other->kind == DMM_SOCK_DATAGRAM) == (sock->kind == DMM_SOCK_DATAGRAM) &&
            !memcmp(&other->bound, addr, sizeof(*addr)))
            return other;
    }
    return NULL;
}

static int32_t do_bind(struct context *c)
{
    struct dmm_addr addr = c->command->addr;
    struct dmm_addr bound = addr;
    struct dmm_sock *sock = c->sock;
    if (!dmm_addr_valid(&addr))
        return -EAFNOSUPPORT;
    if (sock->flags & DMM_SOCK_ADOPT && addr.port) {
        struct dmm_sock *other = find_adopted(sock, &addr);
        if (other) {
            dmm_sock_hold(other, c->process);
            c->reply.socket = other->index;
            c->reply.addr = other->bound;
            dmm_sock_let_go(sock, c->process, true);
            return 0;
        }
    }
    int rc = ops_of(c)->bind(sock->ssock, &addr, &bound);
    if (rc)
        return rc;
    sock->flags |= DMM_SOCK_BOUND;
    sock->bound = bound;
    sock->shared->local = bound;
    c->reply.addr = bound;
    c->reply.socket = sock->index;
    return 0;
}

static int32_t do_listen(struct context *c)
{
    struct dmm_sock *sock = c->sock;
    uint32_t backlog = c->command->value;
    if (sock->kind == DMM_SOCK_DATAGRAM || !ops_of(c)->listen)
        return -EOPNOTSUPP;
    if (sock->state & (DMM_SS_CONNECTING | DMM_SS_CONNECTED | DMM_SS_DEAD))
        return -EINVAL;
    if (backlog >= DMM_BACKLOG_MAX)
        backlog = DMM_BACKLOG_MAX - 1;
    backlog++; /* Linux's queue is full when it holds more than that */
    if (!dmm_sock_rx_reserve(sock, backlog * (uint32_t)sizeof(uint32_t)))
        return -ENOMEM;
    int rc = ops_of(c)->listen(sock->ssock, (int)backlog);
    if (rc)
        return rc;
    sock->backlog = backlog;
    sock->kind = DMM_SOCK_LISTENER;
    dmm_sock_set_state(sock, DMM_SS_LISTENING);
    return 0;
}

static int32_t do_connect(struct context *c)
{
    struct dmm_sock *sock = c->sock;
    struct dmm_addr peer = c->command->addr;
    bool datagram = sock->kind == DMM_SOCK_DATAGRAM;
    if (!dmm_addr_valid(&peer) || (peer.family == 0 && !datagram))
        return -EAFNOSUPPORT;
    if (!datagram && sock->state) {
        bool begun =
            sock->state & DMM_SS_CONNECTING && !(sock->state & (DMM_SS_CONNECTED | DMM_SS_DEAD));
        return begun ? -EALREADY : -EISCONN;
    }
    int32_t rc = connect_to(c, &peer);
    if (rc && !datagram && c->command->reply == DMM_NO_REPLY)
        dmm_sock_dead(sock, -rc); /* nobody hears the answer */
    return rc;
}

/* ---- moving ---- */

static int32_t do_send(struct context *c)
{
    struct dmm_sock *sock = c->sock;
    /* Cleared before tx_tail is read, so that bytes which come after it bring another SEND. */
    atomic_exchange_explicit(&sock->shared->send_queued, 0, memory_order_seq_cst);
    if (!dmm_sock_tx_refresh(sock))
        return 0;
    dmm_sock_tx_grow_if_full(sock);
    if (sock->tx_tail != sock->tx_head)
        ops_of(c)->send_ready(sock->ssock);
    return 0;
}

static int32_t do_grow(struct context *c)
{
    if (!dmm_sock_tx_refresh(c->sock))
        return 0;
    dmm_sock_tx_offer(c->sock, c->command->value);
    c->sock->flags |= DMM_SOCK_ROOM;
    dmm_sock_news(c->sock, 0);
    return 0;
}

static int32_t do_received(struct context *c)
{
    if (!dmm_sock_rx_refresh(c->sock))
        return 0;
    dmm_sock_rx_keeps_up(c->sock);
    if (c->sock->kind == DMM_SOCK_STREAM && ops_of(c)->receive_space)
        ops_of(c)->receive_space(c->sock->ssock);
    return 0;
}

static int32_t do_accepted(struct context *c)
{
    if (!dmm_sock_claim(c->sock, c->process))
        c->client->stats.refused++;
    return 0;
}

static int32_t do_shutdown(struct context *c)
{
    struct dmm_sock *sock = c->sock;
    uint32_t how = c->command->value;
    if (how > SHUT_RDWR || !ops_of(c)->shutdown || !dmm_sock_tx_refresh(sock))
        return 0;
    if (sock->kind == DMM_SOCK_LISTENER) {
        /* As Linux: no more connections, and whoever waits in accept() is woken. */
        if (how != SHUT_WR) {
            dmm_sock_queue_drop(sock);
            dmm_sock_dead(sock, 0);
        }
        return 0;
    }
    if (how != SHUT_WR)
        sock->flags |= DMM_SOCK_SHUT_RD;
    if (how != SHUT_RD)
        sock->flags |= DMM_SOCK_SHUT_WR;
    ops_of(c)->shutdown(sock->ssock, (int)how);
    bool ended = sock->state & DMM_SS_EOF || sock->flags & DMM_SOCK_SHUT_RD;
    if (sock->flags & DMM_SOCK_SHUT_RD)
        dmm_sock_news(sock, DMM_EV_IN | DMM_EV_RDHUP);
    if (ended && sock->flags & DMM_SOCK_SHUT_WR)
        dmm_sock_news(sock, DMM_EV_IN | DMM_EV_HUP);
    return 0;
}

static int32_t do_close(struct context *c)
{
    dmm_sock_let_go(c->sock, c->process, c->command->value == 1);
    return 0;
}

/* ---- options ---- */

/* The buffer sizes are the host's: it owns the rings. As Linux, twice what was asked for. */
static bool buffer_option(struct context *c, uint32_t value)
{
    struct dmm_sock *sock = c->sock;
    const struct dmm_limits *limits = &sock->client->limits;
    bool rx = c->command->opt.name == SO_RCVBUF;
    uint32_t max = rx ? limits->rx_max : limits->tx_max;
    const uint32_t first = DMM_RX_FIRST;
    uint32_t bytes = value > max / 2 ? max : value * 2;
    if (bytes < first)
        bytes = first;
    if (!rx) {
        sock->tx_limit = bytes;
        return true;
    }
    sock->rx_most = bytes;
    /* What a stream has offered its peer stays offered. */
    if (!sock->rx_ref || sock->kind != DMM_SOCK_STREAM)
        sock->rx_limit = sock->rx_limit_children = bytes;
    else if (bytes > sock->rx_limit)
        sock->rx_limit = bytes;
    return true;
}

static bool is_buf_lock(const struct dmm_command *command)
{
    return command->opt.level == SOL_SOCKET && command->opt.name == SO_BUF_LOCK;
}

/* What is locked stays as it is, the rest grows by itself again. */
static int32_t lock_buffers(struct dmm_sock *sock, const struct dmm_command *command)
{
    const struct dmm_limits *limits = &sock->client->limits;
    uint32_t ring = dmm_ring_size(sock->tx_ref);
    uint32_t locks;
    if (command->opt.len < sizeof(locks))
        return -EINVAL;
    memcpy(&locks, command->opt.value, sizeof(locks));
    if (!(locks & RCVBUF_LOCK))
        sock->rx_most = limits->rx_max;
    else if (sock->rx_most == limits->rx_max)
        sock->rx_most = sock->kind == DMM_SOCK_LISTENER ? sock->rx_limit_children : sock->rx_limit;
    if (!(locks & SNDBUF_LOCK))
        sock->tx_limit = limits->tx_max;
    else if (sock->tx_limit == limits->tx_max)
        sock->tx_limit = ring > LOCKED_TX_MIN ? ring : LOCKED_TX_MIN;
    return 0;
}

/* The stack only tells what it has sent: who may write is between the host and the app. */
static bool is_notsent_lowat(const struct dmm_command *command)
{
    return command->opt.level == IPPROTO_TCP && command->opt.name == TCP_NOTSENT_LOWAT;
}

/* Who has room for datagrams knows which found none. */
static bool is_rxq_ovfl(const struct dmm_command *command)
{
    return command->opt.level == SOL_SOCKET && command->opt.name == SO_RXQ_OVFL;
}

static int32_t tell_drops(struct dmm_sock *sock, const struct dmm_command *command)
{
    int on;
    if (command->opt.len < sizeof(on))
        return -EINVAL;
    memcpy(&on, command->opt.value, sizeof(on));
    sock->flags =
        (uint16_t)(on ? sock->flags | DMM_SOCK_TELLS_DROPS : sock->flags & ~DMM_SOCK_TELLS_DROPS);
    return 0;
}

static bool is_saved_syn(const struct dmm_command *command)
{
    return command->opt.level == IPPROTO_TCP && command->opt.name == TCP_SAVED_SYN;
}

/* SO_INCOMING_CPU: where the packets of a socket are processed: here. -1: none has come yet. */
static bool is_incoming_cpu(const struct dmm_command *command)
{
    return command->opt.level == SOL_SOCKET && command->opt.name == SO_INCOMING_CPU;
}

static uint32_t incoming_cpu(const struct dmm_sock *sock)
{
    bool some = sock->kind != DMM_SOCK_DATAGRAM || sock->rx_tail;
    return sock->state & DMM_SS_CONNECTED && some ? (uint32_t)sched_getcpu() : UINT32_MAX;
}

static int32_t give_number(struct context *c, uint32_t room, uint32_t value)
{
    c->reply.len = room < sizeof(value) ? room : (uint32_t)sizeof(value);
    memcpy(c->reply.data, &value, c->reply.len);
    return 0;
}

static int32_t do_setsockopt(struct context *c)
{
    const struct dmm_command *command = c->command;
    uint32_t len = command->opt.len;
    if (len > DMM_OPT_INLINE)
        return -EINVAL;
    if (command->opt.level == SOL_SOCKET &&
        (command->opt.name == SO_RCVBUF || command->opt.name == SO_SNDBUF)) {
        uint32_t value;
        if (len < sizeof(value))
            return -EINVAL;
        memcpy(&value, command->opt.value, sizeof(value));
        return buffer_option(c, value) ? 0 : -EINVAL;
    }
    if (is_buf_lock(command))
        return lock_buffers(c->sock, command);
    if (is_rxq_ovfl(command))
        return tell_drops(c->sock, command);
    if (!ops_of(c)->setsockopt)
        return -ENOPROTOOPT;
    int32_t rc = ops_of(c)->setsockopt(c->sock->ssock, command->opt.level, command->opt.name,
                                       command->opt.value, len);
    if (rc == 0 && is_notsent_lowat(command)) {
        uint32_t bytes = 0;
        memcpy(&bytes, command->opt.value, len < sizeof(bytes) ? len : sizeof(bytes));
        dmm_sock_set_notsent_lowat(c->sock, bytes);
    }
    return rc;
}

static int32_t do_getsockopt(struct context *c)
{
    const struct dmm_command *command = c->command;
    uint32_t len = command->opt.len;
    if (len > sizeof(c->reply.data))
        len = sizeof(c->reply.data);
    if (command->opt.level == SOL_SOCKET &&
        (command->opt.name == SO_RCVBUF || command->opt.name == SO_SNDBUF)) {
        uint32_t value = command->opt.name == SO_RCVBUF ? c->sock->rx_limit : c->sock->tx_limit;
        return give_number(c, len, value);
    }
    if (is_notsent_lowat(command))
        return give_number(c, len, c->sock->notsent_lowat);
    if (is_rxq_ovfl(command))
        return give_number(c, len, (c->sock->flags & DMM_SOCK_TELLS_DROPS) != 0);
    if (is_incoming_cpu(command))
        return give_number(c, len, incoming_cpu(c->sock));
    if (!ops_of(c)->getsockopt)
        return -ENOPROTOOPT;
    int rc = ops_of(c)->getsockopt(c->sock->ssock, command->opt.level, command->opt.name,
                                   c->reply.data, &len);
    c->reply.len = rc || len > sizeof(c->reply.data) ? 0 : len;
    if (rc == -EINVAL && is_saved_syn(command))
        c->reply.len = len <= sizeof(c->reply.data) ? len : 0; /* so much room is needed */
    return rc;
}

/* ---- watches ---- */

static bool own_waitset(const struct context *c, uint32_t waitset)
{
    const struct dmm_client *client = c->client;
    return waitset < DMM_CLIENT_WAITSETS && client->waitsets[waitset].used &&
           client->waitsets[waitset].process == c->process;
}

/* A waitset that was given back. A thread that ends does not wait for what it commanded, and
 * another one that stands between its reservation and its command holds up the channel behind it.
 */
static bool is_gone(const struct context *c, uint32_t waitset)
{
    return waitset < DMM_CLIENT_WAITSETS && !c->client->waitsets[waitset].used;
}

static int32_t do_watch(struct context *c)
{
    uint32_t slot = c->command->watch.slot;
    uint32_t waitset = c->command->watch.waitset;
    bool gone = is_gone(c, waitset);
    if (!gone && !own_waitset(c, waitset))
        dmm_client_violation(c->client, "WATCH: waitset %u is not one of process %u", waitset,
                             c->process);
    else if (gone ? dmm_sock_unwatch(c->sock, slot)
                  : dmm_sock_watch(c->sock, slot, waitset, c->command->watch.events))
        dmm_client_violation(c->client, "WATCH: socket %u has no watch slot %u", c->sock->index,
                             slot);
    return 0;
}

static int32_t do_unwatch(struct context *c)
{
    uint32_t slot = c->command->watch.slot;
    if (dmm_sock_unwatch(c->sock, slot))
        dmm_client_violation(c->client, "UNWATCH: socket %u has no watch slot %u", c->sock->index,
                             slot);
    return 0;
}

static int32_t do_watch_more(struct context *c)
{
    return dmm_sock_watch_more(c->sock);
}

/* ---- dispatch ---- */

static const struct {
    const char *name;
    int32_t (*run)(struct context *c);
    enum { SYNC, ASYNC, EITHER } kind;
} commands[DMM_CMD_COUNT] = {
    [DMM_CMD_OPEN] = {"OPEN", do_open, SYNC},
    [DMM_CMD_BIND] = {"BIND", do_bind, SYNC},
    [DMM_CMD_LISTEN] = {"LISTEN", do_listen, SYNC},
    [DMM_CMD_CONNECT] = {"CONNECT", do_connect, EITHER},
    [DMM_CMD_SEND] = {"SEND", do_send, ASYNC},
    [DMM_CMD_GROW] = {"GROW", do_grow, ASYNC},
    [DMM_CMD_RECEIVED] = {"RECEIVED", do_received, ASYNC},
    [DMM_CMD_ACCEPTED] = {"ACCEPTED", do_accepted, ASYNC},
    [DMM_CMD_SHUTDOWN] = {"SHUTDOWN", do_shutdown, ASYNC},
    [DMM_CMD_CLOSE] = {"CLOSE", do_close, ASYNC},
    [DMM_CMD_SETSOCKOPT] = {"SETSOCKOPT", do_setsockopt, EITHER},
    [DMM_CMD_GETSOCKOPT] = {"GETSOCKOPT", do_getsockopt, SYNC},
    [DMM_CMD_WATCH] = {"WATCH", do_watch, ASYNC},
    [DMM_CMD_UNWATCH] = {"UNWATCH", do_unwatch, ASYNC},
    [DMM_CMD_WATCH_MORE] = {"WATCH_MORE", do_watch_more, SYNC},
};

/* Finds the socket; false: there is none to work on, *result says why. */
static bool find_socket(struct context *c, int32_t *result)
{
    uint32_t index = c->command->socket;
    if (index >= c->client->limits.max_sockets) {
        dmm_client_violation(c->client, "%s: socket %u is beyond the table",
                             commands[c->command->op].name, index);
        return false;
    }
    struct dmm_sock *sock = c->client->sockets[index];
    bool claims = c->command->op == DMM_CMD_ACCEPTED;
    if (!sock || sock->flags & DMM_SOCK_CLOSED || (!claims && !dmm_sock_held(sock, c->process))) {
        c->client->stats.refused++;
        *result = -EBADF;
        return false;
    }
    if (sock->flags & DMM_SOCK_SPARE && !claims)
        dmm_spare_take(sock, c->channel);
    c->sock = sock;
    return true;
}

static void answer(struct context *c, uint32_t channel, int32_t result)
{
    struct dmm_reply *slot = &dmm_client_channel(c->client, channel)->replies[c->command->reply];
    c->reply.result = result;
    memcpy((char *)slot + sizeof(slot->done), (char *)&c->reply + sizeof(slot->done),
           offsetof(struct dmm_reply, data) - sizeof(slot->done));
    memcpy(slot->data, c->reply.data, c->reply.len);
    /* Release: the rest of the reply. */
    atomic_store_explicit(&slot->done, c->command->seq, memory_order_release);
    dmm_client_wake(c->client, c->command->waitset);
}

void dmm_command_run(struct dmm_client *client, uint32_t channel, const struct dmm_command *command)
{
    struct context c = {.client = client,
                        .command = command,
                        .channel = channel,
                        .process = client->channels[channel].process};
    c.reply.len = 0;
    if (command->op == DMM_CMD_NONE || command->op >= DMM_CMD_COUNT) {
        dmm_client_violation(client, "channel %u: op %u is unknown", channel, command->op);
        return;
    }
    bool sync = commands[command->op].kind == SYNC ||
                (commands[command->op].kind == EITHER && command->reply != DMM_NO_REPLY);
    if (sync && (command->reply >= DMM_CHANNEL_REPLIES || !own_waitset(&c, command->waitset))) {
        dmm_client_violation(client, "%s: reply slot %u or waitset %u does not exist",
                             commands[command->op].name, command->reply, command->waitset);
        return;
    }
    int32_t result = 0;
    if (command->op == DMM_CMD_OPEN || find_socket(&c, &result))
        result = commands[command->op].run(&c);
    if (sync && !client->violation[0])
        answer(&c, channel, result);
}
