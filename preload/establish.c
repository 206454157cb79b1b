/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/establish.h"

#include "preload/calls.h"
#include "preload/command.h"
#include "preload/decide.h"
#include "preload/epoll.h"
#include "preload/option_part.h"
#include "preload/options.h"
#include "preload/recover.h"
#include "preload/signals.h"
#include "preload/socket.h"
#include "preload/waiter.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define KERNEL_IDLE_MAX 6

static enum entry_phase phase_of(struct entry *entry)
{
    return (enum entry_phase)atomic_load_explicit(&entry->phase, memory_order_acquire);
}

/* ---- bind, listen ---- */

/* ip(7): to bind, AF_UNSPEC is AF_INET if the address is INADDR_ANY. */
static int bind_address(const struct entry *entry, const struct sockaddr *sa, socklen_t len,
                        struct dmm_addr *addr)
{
    struct sockaddr_in in;
    int r = dmm_addr_from_sockaddr(addr, sa, len);
    if (r != -EAFNOSUPPORT || entry->family != AF_INET)
        return r;
    memcpy(&in, sa, sizeof(in));
    if (in.sin_family != AF_UNSPEC || in.sin_addr.s_addr != htonl(INADDR_ANY))
        return r;
    in.sin_family = AF_INET;
    return dmm_addr_from_sockaddr(addr, (const struct sockaddr *)&in, sizeof(in));
}

int establish_bind(int fd, struct entry *entry, const struct sockaddr *sa, socklen_t len)
{
    struct dmm_addr addr;
    int r = bind_address(entry, sa, len, &addr);
    if (r == 0 && entry->family == AF_INET6 && len < SOCKET_IN6_LEN)
        r = -EINVAL;
    if (r < 0)
        return r;
    if (addr.family != entry->family)
        return -EAFNOSUPPORT;
    if (!dmm_addr_is_any(&addr))
        dmm_addr_unmap(&addr);
    return decide_bind(fd, entry, &addr);
}

/* A stream that was bound with IP_BIND_ADDRESS_NO_PORT is to listen: it needs its port now. */
static int bind_for_listen(struct entry *entry)
{
    const struct option_socket kind = {.family = entry->family, .type = entry->type};
    struct part *part = &entry->part;
    struct dmm_addr local = part->sock->local;
    const int off = 0;
    if (!local.family || local.port || dmm_addr_is_any(&local) ||
        (socket_state(part->sock) & (DMM_SS_CONNECTING | DMM_SS_CONNECTED | DMM_SS_DEAD)))
        return 0;
    int r = option_set_part(entry->client, part, &kind, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &off,
                            sizeof(off));
    return r < 0 ? r : socket_bind_part(entry->client, part, &local, &local);
}

static int listen_parts(int fd, struct entry *entry, int backlog)
{
    int bound = entry->phase == PHASE_STACK ? bind_for_listen(entry) : 0;
    if (bound < 0)
        return bound;
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        struct dmm_command command = {.op = DMM_CMD_LISTEN,
                                      .socket = socket_part(entry, i)->index,
                                      .value = backlog < 0 ? SOMAXCONN : (uint32_t)backlog};
        int r = command_call(entry->client, &command, NULL);
        if (r < 0)
            return r;
    }
    if (entry->kernel && REAL(listen)(fd, backlog) < 0)
        return -errno;
    if (entry->late)
        entry->late->backlog = backlog;
    return 0;
}

int establish_listen(int fd, struct entry *entry, int backlog)
{
    if (entry->type != SOCK_STREAM)
        return -EOPNOTSUPP;
    int r = decide_unbound(fd, entry);
    if (r < 0)
        return r;
    if (phase_of(entry) == PHASE_NATIVE)
        return REAL(listen)(fd, backlog) < 0 ? -errno : 0;
    if (socket_state(socket_part(entry, 0)->sock) & (DMM_SS_CONNECTED | DMM_SS_CONNECTING))
        return -EINVAL;
    return listen_parts(fd, entry, backlog);
}

/* ---- connect ---- */

static int bind_again(struct entry *entry, struct part *part)
{
    struct dmm_addr addr, bound;
    if (!entry->late || entry->late->bound.family == 0)
        return 0;
    addr = entry->late->bound;
    if (!entry->late->bound_port)
        addr.port = 0;
    if (addr.port == 0 && dmm_addr_is_any(&addr))
        return 0;
    dmm_addr_unmap(&addr);
    return socket_bind_part(entry->client, part, &addr, &bound);
}

/* The stack's socket is used up, or to be given up: a fresh one takes its place, with the options,
 * and bound again where the app chose the port (tcp_disconnect() in Linux). `error`: what SO_ERROR
 * says then. */
static int start_over(struct entry *entry, int error)
{
    struct part part;
    lock_take(&entry->lock, LOCK_PRIVATE);
    struct part old = entry->part;
    int r = client_is_dead(entry->client) ? -ENETDOWN
                                          : socket_open_part(entry->client, old.instance,
                                                             old.family, entry, NULL, NULL, &part);
    if (r == 0) {
        for (int word = 0; word < WORD_N; word++)
            socket_set_word(part.sock, (enum socket_word)word,
                            socket_word(old.sock, (enum socket_word)word));
        atomic_fetch_and_explicit(&part.sock->app_private[WORD_STATUS], ~(uint32_t)STATUS_CONNECTED,
                                  memory_order_relaxed);
        command_send_value(entry->client, DMM_CMD_CLOSE, old.index, 1);
        if (entry->late)
            options_replay(entry->client, entry, &part, &entry->late->record);
        r = bind_again(entry, &part);
        atomic_store_explicit(&part.sock->so_error, (uint32_t)error, memory_order_release);
        part_replace(&entry->part, &part);
        epoll_part_replaced(entry);
    }
    lock_drop(&entry->lock);
    return r;
}

/* Ends what others wait for on the socket that start_over() is about to replace. */
static void wake_all(struct entry *entry)
{
    struct dmm_socket *sock = entry->part.sock;
    atomic_fetch_or_explicit(&sock->app_flags, DMM_AF_SHUT_RD | DMM_AF_SHUT_WR,
                             memory_order_acq_rel);
    command_send_value(entry->client, DMM_CMD_SHUTDOWN, entry->part.index, SHUT_RDWR);
}

static bool connect_is_over(void *arg)
{
    struct dmm_socket *sock = arg;
    return (socket_state(sock) & (DMM_SS_CONNECTED | DMM_SS_DEAD)) ||
           (atomic_load_explicit(&sock->app_flags, memory_order_acquire) & DMM_AF_SHUT_RD);
}

/* The connection is on its way: its outcome, in time. */
static int await_connection(struct entry *entry)
{
    struct dmm_socket *sock = entry->part.sock;
    uint64_t deadline = 0;
    if (!connect_is_over(sock)) {
        struct waiter *waiter = waiter_get(entry->client);
        if (!waiter)
            return -ENOBUFS;
        waiter_begin(waiter);
        int r = waiter_watch(waiter, &entry->part);
        if (r == 0)
            r = waiter_wait(waiter, connect_is_over, sock,
                            socket_deadline(sock, WORD_SNDTIMEO_MS, &deadline), -1);
        if (r < 0)
            return r == -EAGAIN ? -EINPROGRESS : r;
    }
    uint32_t state = socket_state(sock);
    if ((state & (DMM_SS_CONNECTED | DMM_SS_DEAD)) == DMM_SS_CONNECTED) {
        socket_change_status(entry, STATUS_CONNECTED, 0);
        return 0;
    }
    int error = socket_take_error(sock);
    if (state & DMM_SS_DEAD)
        start_over(entry, 0); /* told of: the socket may be connected again */
    return error ? -error : -ECONNABORTED;
}

static int send_connect(struct entry *entry, const struct dmm_addr *remote)
{
    struct dmm_command command = {
        .op = DMM_CMD_CONNECT, .socket = entry->part.index, .addr = *remote};
    return command_call(entry->client, &command, NULL);
}

/* `begun`: the decision has sent the connect with it. */
static int connect_stream(struct entry *entry, const struct dmm_addr *remote, bool begun)
{
    struct dmm_socket *sock = entry->part.sock;
    bool nonblock = socket_nonblock(entry);
    int r;
    if (begun)
        return nonblock ? -EINPROGRESS : await_connection(entry);
    uint32_t state = socket_state(sock);
    if (state & DMM_SS_LISTENING)
        return -EISCONN;
    if (state & DMM_SS_CONNECTED) {
        if (socket_word(sock, WORD_STATUS) & STATUS_CONNECTED)
            return -EISCONN;
        return await_connection(entry);
    }
    if (state & DMM_SS_DEAD) {
        int error = socket_take_error(sock);
        r = start_over(entry, 0);
        if (error || r < 0)
            return error ? -error : r;
    } else if (state & DMM_SS_CONNECTING) {
        r = nonblock ? -EALREADY : await_connection(entry);
        return r == -EINPROGRESS ? -EALREADY : r;
    }
    socket_take_error(entry->part.sock);
    r = send_connect(entry, remote);
    if (r < 0)
        return r;
    return nonblock ? -EINPROGRESS : await_connection(entry);
}

/* connect(2) with AF_UNSPEC: dissolves a datagram socket's association; a stream is as new, its
 * connection reset. */
static int disconnect(int fd, struct entry *entry, const struct sockaddr *sa, socklen_t len)
{
    const struct dmm_addr none = {.family = 0};
    if (phase_of(entry) == PHASE_UNDECIDED)
        return entry->kernel && REAL(connect)(fd, sa, len) < 0 ? -errno : 0;
    if (phase_of(entry) != PHASE_STACK)
        return 0;
    if (entry->type == SOCK_DGRAM)
        return send_connect(entry, &none);
    uint32_t state = socket_state(entry->part.sock);
    bool connects = state & (DMM_SS_CONNECTING | DMM_SS_CONNECTED);
    if (!state)
        return 0;
    if ((state & DMM_SS_LISTENING) || !(state & DMM_SS_CONNECTED))
        wake_all(entry);
    return start_over(entry, connects && !(state & DMM_SS_DEAD) ? ECONNRESET : 0);
}

int establish_connect_here(int fd, struct entry *entry, const struct sockaddr *sa, socklen_t len)
{
    struct dmm_addr remote;
    bool begun = false;
    if (!sa)
        return -EFAULT;
    if (len >= (socklen_t)sizeof(sa->sa_family) && sa->sa_family == AF_UNSPEC)
        return disconnect(fd, entry, sa, len);
    int r = socket_take_address(entry, sa, len, &remote);
    if (r == 0 && entry->family == AF_INET6 && remote.family == AF_INET &&
        phase_of(entry) == PHASE_UNDECIDED && decide_v6only(fd, entry))
        r = -ENETUNREACH;
    if (r == 0)
        r = decide_connect(fd, entry, &remote, &begun);
    if (r < 0)
        return r;
    if (phase_of(entry) == PHASE_NATIVE)
        return ESTABLISH_NATIVE;
    return entry->type == SOCK_STREAM ? connect_stream(entry, &remote, begun)
                                      : send_connect(entry, &remote);
}

int establish_connect(int fd, struct entry *entry, const struct sockaddr *sa, socklen_t len)
{
    int r = establish_connect_here(fd, entry, sa, len);
    if (r != ESTABLISH_NATIVE)
        return r;
    return REAL(connect)(fd, sa, len) < 0 ? -errno : 0;
}

/* ---- accept ---- */

static bool has_connection(const struct part *part)
{
    return atomic_load_explicit(&part->sock->rx_head, memory_order_relaxed) !=
           atomic_load_explicit(&part->sock->rx_tail, memory_order_acquire);
}

/* Takes the oldest connection of the queue, against other threads and processes. DMM_NONE: none. */
static uint32_t claim(struct entry *entry, const struct part *part)
{
    struct dmm_socket *sock = part->sock;
    uint32_t head = atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
    for (;;) {
        uint32_t tail = atomic_load_explicit(&sock->rx_tail, memory_order_acquire);
        dmm_ring_ref ring = atomic_load_explicit(&sock->rx_ring, memory_order_acquire);
        uint32_t size = dmm_ring_size(ring);
        if (head == tail || size == 0)
            return DMM_NONE;
        const char *base = (const char *)entry->client->region + dmm_ring_offset(ring);
        uint32_t index = *(const volatile uint32_t *)(base + (head & (size - 1)));
        /* Release: the entry has been read; the sidecar may reuse its place. */
        if (atomic_compare_exchange_weak_explicit(&sock->rx_head, &head, head + 4,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return index;
    }
}

static int make_accepted(struct entry *listener, const struct part *from, uint32_t index, int fd,
                         int flags)
{
    struct client *client = listener->client;
    struct entry *entry = entry_new(ENTRY_SOCKET);
    if (!entry)
        return -ENOBUFS;
    entry->family = listener->family;
    entry->type = SOCK_STREAM;
    entry->protocol = IPPROTO_TCP;
    entry->client = client;
    entry->part = (struct part){.sock = dmm_region_socket(client->region, index),
                                .index = index,
                                .instance = from->instance,
                                .family = from->family};
    struct dmm_socket *sock = entry->part.sock;
    for (int word = WORD_RCVTIMEO_MS; word < WORD_N; word++)
        socket_set_word(sock, (enum socket_word)word,
                        socket_word(from->sock, (enum socket_word)word));
    socket_set_word(sock, WORD_STATUS,
                    (socket_word(from->sock, WORD_STATUS) & ~(uint32_t)STATUS_NONBLOCK) |
                        STATUS_CONNECTED | ((flags & SOCK_NONBLOCK) ? STATUS_NONBLOCK : 0));
    atomic_store_explicit(&entry->phase, PHASE_STACK, memory_order_release);
    int r = entry_install(fd, entry);
    entry_put(entry);
    return r;
}

/* accept(2) on one part, without waiting: the fd, or -EAGAIN and so on. */
static int accept_part(struct entry *entry, const struct part *part, struct sockaddr *sa,
                       socklen_t *len, int flags)
{
    struct client *client = entry->client;
    signals_looked_at(entry);
    uint32_t state = socket_state(part->sock);
    if (!has_connection(part)) {
        if (!(state & DMM_SS_LISTENING) ||
            (atomic_load_explicit(&part->sock->app_flags, memory_order_relaxed) & DMM_AF_SHUT_RD))
            return -EINVAL;
        int error = (state & DMM_SS_DEAD) ? socket_take_error(part->sock) : 0;
        return error ? -error : (state & DMM_SS_DEAD) ? -EINVAL : -EAGAIN;
    }
    int fd = client_placeholder(client, flags & SOCK_CLOEXEC);
    if (fd < 0)
        return fd;
    uint32_t index = claim(entry, part);
    if (index >= client->region->n_sockets) {
        REAL(close)(fd);
        return index == DMM_NONE ? -EAGAIN : -ECONNABORTED;
    }
    command_send_value(client, DMM_CMD_ACCEPTED, index, 0);
    /* From here on the descriptor owns the connection, or nobody does. */
    int r = make_accepted(entry, part, index, fd, flags);
    if (r < 0) {
        command_send_value(client, DMM_CMD_CLOSE, index, 1);
        REAL(close)(fd);
        return r;
    }
    if (sa && len && (int)*len >= 0)
        socket_tell_address(entry, dmm_region_socket(client->region, index)->peer, sa, len);
    return fd;
}

static int accept_kernel(int fd, struct late *late, struct sockaddr *sa, socklen_t *len, int flags)
{
    int r = REAL(accept4)(fd, sa, len, flags);
    r = r < 0 ? -errno : r;
    uint32_t idle = atomic_load_explicit(&late->kernel_idle, memory_order_relaxed);
    if (r != -EAGAIN && idle)
        atomic_store_explicit(&late->kernel_idle, 0, memory_order_relaxed);
    else if (r == -EAGAIN && idle < KERNEL_IDLE_MAX)
        atomic_store_explicit(&late->kernel_idle, idle + 1, memory_order_relaxed);
    return r;
}

/* Who is asked first: the parts and the kernel in turn. The kernel, which costs a system call, has
 * fewer of its turns (half, a quarter...) the more often it had no connection; it is still asked
 * before accept() says that there is none. */
static uint32_t accept_first(struct entry *entry, uint32_t parts, uint32_t all)
{
    if (!entry->late)
        return 0;
    uint32_t turn = atomic_fetch_add_explicit(&entry->late->turn, 1, memory_order_relaxed);
    uint32_t first = turn % all;
    if (first < parts)
        return first;
    uint32_t idle = atomic_load_explicit(&entry->late->kernel_idle, memory_order_relaxed);
    return ((turn / all) & ((1u << idle) - 1)) ? 0 : first;
}

static int accept_any(int fd, struct entry *entry, struct sockaddr *sa, socklen_t *len, int flags)
{
    uint32_t n = socket_parts(entry);
    uint32_t all = n + (entry->kernel ? 1 : 0);
    uint32_t first = accept_first(entry, n, all);
    int r = -EAGAIN;
    for (uint32_t i = 0; i < all && r == -EAGAIN; i++) {
        uint32_t which = (first + i) % all;
        r = which < n ? accept_part(entry, socket_part(entry, which), sa, len, flags)
                      : accept_kernel(fd, entry->late, sa, len, flags);
    }
    return r;
}

static bool any_connection(void *arg)
{
    struct entry *entry = arg;
    if (entry->suspended)
        return true;
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        const struct part *part = socket_part(entry, i);
        if (has_connection(part) ||
            (socket_state(part->sock) & (DMM_SS_DEAD | DMM_SS_LISTENING)) != DMM_SS_LISTENING ||
            (atomic_load_explicit(&part->sock->app_flags, memory_order_acquire) & DMM_AF_SHUT_RD))
            return true;
    }
    return false;
}

static int await_any(int fd, struct entry *entry, uint64_t *deadline)
{
    socket_deadline(socket_part(entry, 0)->sock, WORD_RCVTIMEO_MS, deadline);
    if (entry->suspended)
        return recover_wait(entry, entry->kernel ? fd : -1, *deadline);
    struct client *client = entry->client;
    struct waiter *waiter = waiter_get(client);
    if (!waiter && client_is_dead(client))
        socket_lost(entry, client); /* whoever noticed may not have come to this one yet */
    if (!waiter)
        return client_is_dead(client) ? 0 : -ENOBUFS;
    waiter_begin(waiter);
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        int r = waiter_watch(waiter, socket_part(entry, i));
        if (r < 0)
            return r;
    }
    return waiter_wait(waiter, any_connection, entry, *deadline, entry->kernel ? fd : -1);
}

int establish_accept(int fd, struct entry *entry, struct sockaddr *sa, socklen_t *len, int flags)
{
    uint64_t deadline = 0;
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
        return -EINVAL;
    if (phase_of(entry) == PHASE_UNDECIDED)
        return entry->type == SOCK_STREAM ? -EINVAL : -EOPNOTSUPP;
    if (entry->type != SOCK_STREAM)
        return -EOPNOTSUPP;
    for (;;) {
        int r = accept_any(fd, entry, sa, len, flags);
        if (r >= 0 && sa && (!len || (int)*len < 0)) {
            close(r); /* Linux, too, finds out when the connection has been taken */
            return len ? -EINVAL : -EFAULT;
        }
        if (r != -EAGAIN || socket_nonblock(entry))
            return r;
        r = await_any(fd, entry, &deadline);
        if (r < 0)
            return r;
    }
}

/* ---- shutdown, names ---- */

/* Linux's inet_shutdown(): what does not talk (any more) is ENOTCONN, marked all the same; what
 * listens or connects is as new. */
static int shutdown_stream(struct entry *entry, const struct part *part, int how)
{
    struct dmm_socket *sock = part->sock;
    uint32_t state = socket_state(sock);
    uint32_t flags = (how != SHUT_WR ? DMM_AF_SHUT_RD : 0) | (how != SHUT_RD ? DMM_AF_SHUT_WR : 0);
    bool connecting = state & DMM_SS_CONNECTING && !(state & (DMM_SS_CONNECTED | DMM_SS_DEAD));
    bool listening = state & DMM_SS_LISTENING;
    if (listening && how == SHUT_WR)
        return 0;
    if ((listening || connecting) && !(state & DMM_SS_DEAD) && phase_of(entry) == PHASE_STACK) {
        wake_all(entry);
        return start_over(entry, connecting ? ECONNRESET : 0);
    }
    /* Release: seen by who is woken by the command's news. */
    uint32_t before = atomic_fetch_or_explicit(&sock->app_flags, flags, memory_order_acq_rel);
    command_send_value(entry->client, DMM_CMD_SHUTDOWN, part->index, (uint32_t)how);
    if (listening)
        return 0;
    bool over = (state & DMM_SS_EOF) && (before & DMM_AF_SHUT_WR);
    return (state & DMM_SS_CONNECTED) && !(state & DMM_SS_DEAD) && !over ? 0 : -ENOTCONN;
}

static int shutdown_datagram(struct entry *entry, const struct part *part, int how)
{
    struct dmm_socket *sock = part->sock;
    uint32_t flags = (how != SHUT_WR ? DMM_AF_SHUT_RD : 0) | (how != SHUT_RD ? DMM_AF_SHUT_WR : 0);
    atomic_fetch_or_explicit(&sock->app_flags, flags, memory_order_acq_rel);
    command_send_value(entry->client, DMM_CMD_SHUTDOWN, part->index, (uint32_t)how);
    return !(socket_state(sock) & DMM_SS_DEAD) && sock->peer.family ? 0 : -ENOTCONN;
}

int establish_shutdown(int fd, struct entry *entry, int how)
{
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return -EINVAL;
    int r = entry->kernel ? REAL(shutdown)(fd, how) : 0;
    r = r < 0 ? -errno : 0;
    if (phase_of(entry) == PHASE_UNDECIDED)
        return entry->kernel ? r : -ENOTCONN;
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        const struct part *part = socket_part(entry, i);
        int e = entry->type == SOCK_STREAM ? shutdown_stream(entry, part, how)
                                           : shutdown_datagram(entry, part, how);
        r = r < 0 ? r : e;
    }
    return r;
}

static int check_room(const struct sockaddr *sa, const socklen_t *len)
{
    if (!sa || !len)
        return -EFAULT;
    return (int)*len < 0 ? -EINVAL : 0;
}

/* The local name of a socket that connects ahead is known once the worker has seen the connect. */
static void await_name(struct entry *entry)
{
    if (!atomic_load_explicit(&entry->unnamed, memory_order_relaxed))
        return;
    if (!(socket_state(entry->part.sock) & (DMM_SS_CONNECTED | DMM_SS_DEAD)))
        command_settle(entry->client, entry->part.index);
    atomic_store_explicit(&entry->unnamed, false, memory_order_relaxed);
}

int establish_name(int fd, struct entry *entry, struct sockaddr *sa, socklen_t *len)
{
    struct dmm_addr addr = {.family = entry->family};
    int r = check_room(sa, len);
    if (r < 0)
        return r;
    if (entry->kernel)
        return REAL(getsockname)(fd, sa, len) < 0 ? -errno : 0;
    if (phase_of(entry) == PHASE_STACK) {
        await_name(entry);
        addr = entry->part.sock->local;
    } else if (phase_of(entry) == PHASE_MULTI) {
        addr = entry->late->bound;
    }
    socket_tell_address(entry, addr, sa, len);
    return 0;
}

int establish_peer(int fd, struct entry *entry, struct sockaddr *sa, socklen_t *len)
{
    int r = check_room(sa, len);
    if (r < 0)
        return r;
    if (entry->kernel)
        return REAL(getpeername)(fd, sa, len) < 0 ? -errno : 0;
    if (phase_of(entry) != PHASE_STACK)
        return -ENOTCONN;
    struct dmm_socket *sock = entry->part.sock;
    uint32_t state = socket_state(sock);
    if (entry->type == SOCK_STREAM ? (state & (DMM_SS_CONNECTED | DMM_SS_DEAD)) != DMM_SS_CONNECTED
                                   : sock->peer.family == 0)
        return -ENOTCONN;
    socket_tell_address(entry, sock->peer, sa, len);
    return 0;
}
