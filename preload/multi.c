/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/multi.h"

#include "preload/calls.h"
#include "preload/peek.h"
#include "preload/policy.h"
#include "preload/ready.h"
#include "preload/socket.h"
#include "preload/stream.h"
#include "preload/waiter.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#define TOLD_NAP_NS 1000000u

/* ---- who wrote through which ---- */

static struct peer_route *route_of(struct entry *entry, const struct dmm_addr *peer)
{
    uint32_t hash = peer->port * 2654435761u;
    for (size_t i = 0; i < sizeof(peer->ip); i++)
        hash = (hash ^ peer->ip[i]) * 16777619u;
    return &entry->late->routes[(hash >> 16) % LATE_ROUTES];
}

static void remember(struct entry *entry, const struct dmm_addr *peer, uint8_t instance)
{
    lock_take(&entry->lock, LOCK_PRIVATE);
    struct peer_route *route = route_of(entry, peer);
    route->peer = *peer;
    route->instance = instance;
    lock_drop(&entry->lock);
}

static int recall(struct entry *entry, const struct dmm_addr *peer)
{
    lock_take(&entry->lock, LOCK_PRIVATE);
    const struct peer_route *route = route_of(entry, peer);
    int instance = memcmp(&route->peer, peer, sizeof(*peer)) == 0 ? route->instance : -ENOENT;
    lock_drop(&entry->lock);
    return instance;
}

/* ---- receive ---- */

/* The sender is wanted even if the app does not ask for it. */
static ssize_t receive_from(int fd, struct entry *entry, uint32_t which, struct msghdr *msg,
                            int flags)
{
    struct sockaddr_storage sender = {.ss_family = AF_UNSPEC};
    struct dmm_addr peer;
    void *name = msg->msg_name;
    socklen_t room = msg->msg_namelen;
    bool kernel = which == socket_parts(entry);
    msg->msg_name = &sender;
    msg->msg_namelen = sizeof(sender);
    ssize_t r;
    if (kernel) {
        r = REAL(recvmsg)(fd, msg, flags | MSG_DONTWAIT);
        r = r < 0 ? -errno : r;
    } else {
        r = datagram_receive(entry, socket_part(entry, which), msg, flags, true);
    }
    socklen_t len = msg->msg_namelen;
    msg->msg_name = name;
    msg->msg_namelen = r < 0 ? room : name ? len : 0;
    if (r < 0)
        return r;
    if (name)
        memcpy(name, &sender, len < room ? len : room);
    if (dmm_addr_from_sockaddr(&peer, (struct sockaddr *)&sender, len) == 0) {
        dmm_addr_unmap(&peer);
        remember(entry, &peer, kernel ? DMM_INSTANCE_KERNEL : socket_part(entry, which)->instance);
    }
    return r;
}

static bool any_readable(void *arg)
{
    return ready_entry(arg) & (EPOLLIN | EPOLLERR | EPOLLHUP);
}

static bool never(__attribute__((unused)) void *arg)
{
    return false;
}

/* What peeks have told of (SO_PEEK_OFF) can be read, but is nothing to wait for. */
static bool is_told(int fd, struct entry *entry, int flags)
{
    struct pollfd kernel = {.fd = entry->kernel ? fd : -1, .events = POLLIN};
    return (flags & MSG_PEEK) && peek_offset(socket_part(entry, 0)->sock) >= 0 &&
           (any_readable(entry) || REAL(poll)(&kernel, 1, 0) > 0);
}

/* Nobody tells of what comes to a kernel socket behind what is there: looks again soon. */
static int nap(struct waiter *waiter, uint64_t deadline)
{
    uint64_t until = waiter_now() + TOLD_NAP_NS;
    if (deadline && deadline <= until)
        return waiter_wait(waiter, never, NULL, deadline, -1);
    int r = waiter_wait(waiter, never, NULL, until, -1);
    return r == -EAGAIN ? 0 : r;
}

static int await(int fd, struct entry *entry, int flags, uint64_t *deadline)
{
    socket_deadline(socket_part(entry, 0)->sock, WORD_RCVTIMEO_MS, deadline);
    struct waiter *waiter = waiter_get(entry->client);
    if (!waiter)
        return client_is_dead(entry->client) ? -ECONNRESET : -ENOBUFS;
    if (is_told(fd, entry, flags))
        return nap(waiter, *deadline);
    waiter_begin(waiter);
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        int r = waiter_watch(waiter, socket_part(entry, i));
        if (r < 0)
            return r;
    }
    return waiter_wait(waiter, any_readable, entry, *deadline, entry->kernel ? fd : -1);
}

ssize_t multi_receive(int fd, struct entry *entry, struct msghdr *msg, int flags)
{
    uint32_t all = socket_parts(entry) + (entry->kernel ? 1 : 0);
    uint64_t deadline = 0;
    for (;;) {
        uint32_t first = atomic_fetch_add_explicit(&entry->late->turn, 1, memory_order_relaxed);
        for (uint32_t i = 0; i < all; i++) {
            ssize_t r = receive_from(fd, entry, (first + i) % all, msg, flags);
            if (r != -EAGAIN)
                return r;
        }
        if ((flags & MSG_DONTWAIT) || socket_nonblock(entry))
            return -EAGAIN;
        int r = await(fd, entry, flags, &deadline);
        if (r < 0)
            return r;
    }
}

/* ---- send ---- */

ssize_t multi_send(int fd, struct entry *entry, const struct msghdr *msg, const struct dmm_addr *to,
                   int flags)
{
    struct client *client;
    if (!to)
        return -EDESTADDRREQ;
    int instance = recall(entry, to);
    if (instance < 0)
        instance = policy_connect(entry->protocol, to, &entry->late->bound, &client);
    if (instance < 0)
        return instance;
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        if (socket_part(entry, i)->instance == instance)
            return datagram_send(entry, socket_part(entry, i), msg, to, flags);
    }
    if (instance != DMM_INSTANCE_KERNEL || !entry->kernel)
        return -ENETUNREACH; /* not bound on the instance that leads there */
    ssize_t r = REAL(sendmsg)(fd, msg, flags);
    return r < 0 ? -errno : r;
}
