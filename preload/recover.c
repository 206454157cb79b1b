/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/recover.h"

#include "preload/calls.h"
#include "preload/command.h"
#include "preload/epoll.h"
#include "preload/options.h"
#include "preload/policy.h"
#include "preload/report.h"
#include "preload/socket.h"
#include "preload/waiter.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <time.h>

#define SOON_NS      10000000 /* the socket is there a moment before the sidecar listens on it */
#define SOON_TRIES   20
#define AGAIN_NS     100000000
#define POD_DIR_NEWS (IN_CREATE | IN_MOVED_TO | IN_ATTRIB)

/* `watch` is an epoll instance of the other two, so that sleepers need to know one fd only. */
static struct {
    lock_word lock;         /* making and closing the fds */
    _Atomic uint32_t count; /* relaxed: suspended entries */
    _Atomic int watch;      /* protected fds, -1: none */
    _Atomic int inotify;    /* news of the pod directory */
    _Atomic int timer;      /* to try again what a live sidecar refused */
} state = {.watch = -1, .inotify = -1, .timer = -1};

void recover_suspend(struct entry *entry)
{
    if (!atomic_exchange_explicit(&entry->suspended, true, memory_order_acq_rel))
        atomic_fetch_add_explicit(&state.count, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        /* Connections that nobody accepted are gone. The sidecar's words are ours now. */
        struct dmm_socket *sock = socket_part(entry, i)->sock;
        atomic_store_explicit(&sock->rx_head,
                              atomic_load_explicit(&sock->rx_tail, memory_order_relaxed),
                              memory_order_relaxed);
    }
}

static void resumed(struct entry *entry)
{
    if (!atomic_exchange_explicit(&entry->suspended, false, memory_order_acq_rel))
        return;
    if (atomic_fetch_sub_explicit(&state.count, 1, memory_order_relaxed) != 1)
        return;
    lock_take(&state.lock, LOCK_PRIVATE);
    entry_close_protected(&state.watch);
    entry_close_protected(&state.inotify);
    entry_close_protected(&state.timer);
    lock_drop(&state.lock);
}

void recover_forget(struct entry *entry)
{
    resumed(entry);
}

void recover_fork_child(void)
{
    atomic_store_explicit(&state.lock, 0, memory_order_relaxed);
}

/* ---- coming back ---- */

static int reopen(struct client *client, struct entry *entry, const struct part *old,
                  struct part *part)
{
    /* Instances are numbered anew by each sidecar; their names stay. */
    const char *name = entry->client->policy.mapping.instances[old->instance];
    int instance = policy_find(client, name);
    if (instance < 0)
        return -ENETDOWN;
    int r = socket_open_part(client, (uint32_t)instance, old->family, entry, old, NULL, part);
    if (r < 0)
        return r;
    for (int word = 0; word <= WORD_RCVBUF; word++)
        socket_set_word(part->sock, (enum socket_word)word,
                        socket_word(old->sock, (enum socket_word)word));
    options_replay(client, entry, part, &entry->late->record);
    struct dmm_addr bound;
    r = socket_bind_part(client, part, &old->sock->local, &bound);
    struct dmm_command command = {
        .op = DMM_CMD_LISTEN, .socket = part->index, .value = (uint32_t)entry->late->backlog};
    if (r == 0)
        r = command_call(client, &command, NULL);
    if (r < 0)
        socket_close_part(client, part);
    return r;
}

static int reopen_all(struct client *client, struct entry *entry)
{
    struct part parts[DMM_MAPPING_INSTANCES];
    uint32_t n = socket_parts(entry);
    for (uint32_t i = 0; i < n; i++) {
        int r = reopen(client, entry, socket_part(entry, i), &parts[i]);
        if (r < 0) {
            while (i-- > 0)
                socket_close_part(client, &parts[i]);
            return r;
        }
    }
    for (uint32_t i = 0; i < n; i++)
        *socket_part(entry, i) = parts[i];
    entry->client = client;
    return 0;
}

static void recover_one(int fd, struct entry *entry, void *arg)
{
    struct client *client = arg;
    if (entry->kind != ENTRY_SOCKET || !entry->suspended)
        return;
    lock_take(&entry->lock, LOCK_PRIVATE);
    int r = entry->suspended && entry->client != client ? reopen_all(client, entry) : 0;
    if (r == 0) {
        resumed(entry);
        epoll_changed(fd, entry);
    }
    lock_drop(&entry->lock);
    if (r < 0)
        report(REPORT_RECOVER, "a listening socket could not be set up again: %s", strerror(-r));
}

static void look_again_in(long ns)
{
    const struct itimerspec again = {.it_value = {.tv_nsec = ns}};
    if (state.timer >= 0)
        timerfd_settime(state.timer, 0, &again, NULL);
}

void recover_all(struct client *client)
{
    if (!atomic_load_explicit(&state.count, memory_order_relaxed))
        return;
    entry_each(recover_one, client);
    /* Other threads may sleep on the watch, for listeners that are back now. */
    look_again_in(1);
}

/* ---- waiting for it ---- */

static void drain(int fd)
{
    char news[4096];
    ssize_t n;
    do
        n = fd < 0 ? -1 : REAL(read)(fd, news, sizeof(news));
    while (n > 0);
}

void recover_try(void)
{
    const struct timespec soon = {.tv_nsec = SOON_NS};
    struct client *client = NULL;
    int saved = errno;
    drain(state.inotify);
    drain(state.timer);
    for (int i = 0; !client && i < SOON_TRIES && client_sidecar_there(); i++) {
        client = client_attach();
        if (!client)
            nanosleep(&soon, NULL);
    }
    if (client)
        recover_all(client);
    /* Perhaps the port is still held by those that this process takes over from, or the socket is
     * there but the sidecar is slow to listen on it: no event of the directory will tell. */
    if (atomic_load_explicit(&state.count, memory_order_relaxed) &&
        (client || client_sidecar_there()))
        look_again_in(AGAIN_NS);
    errno = saved;
}

static bool add(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return REAL(epoll_ctl)(state.watch, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool protect(int fd, _Atomic int *where)
{
    return fd >= 0 && entry_protect(fd, where) == 0;
}

static bool make_watch(void)
{
    bool made = false;
    lock_take(&state.lock, LOCK_PRIVATE);
    if (state.watch < 0) {
        made = protect(epoll_create1(EPOLL_CLOEXEC), &state.watch) &&
               protect(inotify_init1(IN_CLOEXEC | IN_NONBLOCK), &state.inotify) &&
               protect(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), &state.timer) &&
               inotify_add_watch(state.inotify, client_pod_dir(), POD_DIR_NEWS) >= 0 &&
               add(state.inotify) && add(state.timer);
    }
    lock_drop(&state.lock);
    return made;
}

int recover_fd(void)
{
    if (!atomic_load_explicit(&state.count, memory_order_relaxed))
        return -1;
    /* It may have come back before the watch was there. */
    if (atomic_load_explicit(&state.watch, memory_order_relaxed) < 0 && make_watch())
        recover_try();
    if (!atomic_load_explicit(&state.count, memory_order_relaxed))
        return -1;
    return atomic_load_explicit(&state.watch, memory_order_relaxed);
}

int recover_wait(int kernel_fd, uint64_t deadline)
{
    struct pollfd fds[2] = {{.fd = recover_fd(), .events = POLLIN},
                            {.fd = kernel_fd, .events = POLLIN}};
    struct timespec left, *timeout = NULL;
    if (fds[0].fd < 0)
        return 0;
    if (deadline) {
        uint64_t now = waiter_now();
        if (now >= deadline)
            return -EAGAIN;
        left = (struct timespec){.tv_sec = (time_t)((deadline - now) / 1000000000u),
                                 .tv_nsec = (long)((deadline - now) % 1000000000u)};
        timeout = &left;
    }
    if (REAL(ppoll)(fds, 2, timeout, NULL) < 0)
        return errno == EINTR && (deadline || !waiter_restarts()) ? -EINTR : 0;
    if (fds[0].revents)
        recover_try();
    return 0;
}
