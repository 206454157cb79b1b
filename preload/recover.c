/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/recover.h"

#include "preload/calls.h"
#include "preload/command.h"
#include "preload/epoll.h"
#include "preload/options.h"
#include "preload/policy.h"
#include "preload/pool.h"
#include "preload/report.h"
#include "preload/signals.h"
#include "preload/socket.h"
#include "preload/waiter.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <time.h>

#define SOON_NS      10000000 /* the socket is there a moment before the sidecar listens on it */
#define SOON_TRIES   20
#define AGAIN_NS     100000000
#define POD_DIR_NEWS (IN_CREATE | IN_MOVED_TO | IN_ATTRIB)

/* What sleepers sleep on: `fd` is an epoll instance of the other two, so that they need to know one
 * fd only. Whoever wakes drains the others, so that the next look of a second sleeper would find
 * nothing. When sockets are back, therefore, the watch is retired: its timer runs off and is
 * drained no more, it is readable until its last sleeper has left, who closes it. */
struct watch {
    uint32_t serial;     /* never 0 */
    uint32_t sleepers;   /* under the lock */
    _Atomic int fd;      /* protected fds */
    _Atomic int inotify; /* news of the pod directory */
    _Atomic int timer;   /* to try again what a live sidecar refused */
};

static struct pool watches = POOL(struct watch, 1u << 10);

static struct {
    lock_word lock;         /* all of this, and `suspended` of all entries */
    _Atomic uint32_t count; /* relaxed: suspended entries */
    uint32_t serial;        /* of the latest watch */
    struct watch *watch;    /* the present one; NULL: none */
} state;

/* Handlers, which may wait too, stay out: the lock is not for them. */
static void enter(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, before);
    lock_take(&state.lock, LOCK_PRIVATE);
}

static void leave(const sigset_t *before)
{
    lock_drop(&state.lock);
    sigprocmask(SIG_SETMASK, before, NULL);
}

/* ---- the watch; under the lock ---- */

static void close_watch(struct watch *watch)
{
    entry_close_protected(&watch->fd);
    entry_close_protected(&watch->inotify);
    entry_close_protected(&watch->timer);
    pool_give(&watches, watch);
}

static void look_again_in(const struct watch *watch, long ns)
{
    const struct itimerspec again = {.it_value = {.tv_nsec = ns}};
    if (watch)
        timerfd_settime(watch->timer, 0, &again, NULL);
}

/* Something is back: all sleepers look. */
static void retire(void)
{
    struct watch *old = state.watch;
    state.watch = NULL;
    if (old && old->sleepers)
        look_again_in(old, 1);
    else if (old)
        close_watch(old);
}

static bool add(const struct watch *watch, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return REAL(epoll_ctl)(watch->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool protect(int fd, _Atomic int *where)
{
    return fd >= 0 && entry_protect(fd, where) == 0;
}

static struct watch *make_watch(void)
{
    struct watch *watch = pool_take(&watches);
    if (!watch)
        return NULL;
    watch->sleepers = 0;
    watch->fd = watch->inotify = watch->timer = -1;
    if (!protect(epoll_create1(EPOLL_CLOEXEC), &watch->fd) ||
        !protect(inotify_init1(IN_CLOEXEC | IN_NONBLOCK), &watch->inotify) ||
        !protect(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), &watch->timer) ||
        inotify_add_watch(watch->inotify, client_pod_dir(), POD_DIR_NEWS) < 0 ||
        !add(watch, watch->inotify) || !add(watch, watch->timer)) {
        close_watch(watch);
        return NULL;
    }
    if (++state.serial == 0)
        state.serial = 1;
    watch->serial = state.serial;
    return watch;
}

/* ---- suspended ---- */

void recover_suspend(struct entry *entry, const struct client *client)
{
    sigset_t before;
    enter(&before);
    /* Another thread may have suspended it, and it may even be back: it has another client then. */
    bool suspend = entry->client == client && !entry->suspended;
    for (uint32_t i = 0; suspend && i < socket_parts(entry); i++) {
        /* Connections that nobody accepted are gone. The sidecar's words are ours now. */
        struct dmm_socket *sock = socket_part(entry, i)->sock;
        atomic_store_explicit(&sock->rx_head,
                              atomic_load_explicit(&sock->rx_tail, memory_order_relaxed),
                              memory_order_relaxed);
    }
    if (suspend) {
        /* Release: who sees it suspended sees nothing left to accept. */
        atomic_store_explicit(&entry->suspended, true, memory_order_release);
        atomic_fetch_add_explicit(&state.count, 1, memory_order_relaxed);
    }
    leave(&before);
}

static void resumed(struct entry *entry)
{
    sigset_t before;
    if (!atomic_load_explicit(&entry->suspended, memory_order_acquire))
        return;
    enter(&before);
    /* Release: who sees it resumed sees its new client. */
    if (atomic_exchange_explicit(&entry->suspended, false, memory_order_acq_rel) &&
        atomic_fetch_sub_explicit(&state.count, 1, memory_order_relaxed) == 1)
        retire();
    leave(&before);
}

void recover_forget(struct entry *entry)
{
    resumed(entry);
}

void recover_fork_child(void)
{
    /* Its fds are closed with the other protected ones; the sleepers are the parent's. */
    state.watch = NULL;
    atomic_store_explicit(&state.lock, 0, memory_order_relaxed);
    atomic_store_explicit(&watches.lock, 0, memory_order_relaxed);
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
    for (int word = 0; word < WORD_N; word++)
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

struct pass {
    struct client *client;
    bool any; /* something is back */
};

static void recover_one(int fd, struct entry *entry, void *arg)
{
    struct pass *pass = arg;
    struct client *client = pass->client;
    if (entry->kind != ENTRY_SOCKET || !entry->suspended)
        return;
    lock_take(&entry->lock, LOCK_PRIVATE);
    int r = entry->suspended && entry->client != client ? reopen_all(client, entry) : 0;
    if (r == 0) {
        resumed(entry);
        epoll_changed(fd, entry);
        pass->any = true;
    }
    lock_drop(&entry->lock);
    if (r == 0)
        signals_recover(fd, entry);
    if (r < 0)
        report(REPORT_RECOVER, "a listening socket could not be set up again: %s", strerror(-r));
}

void recover_all(struct client *client)
{
    sigset_t before;
    if (!atomic_load_explicit(&state.count, memory_order_relaxed))
        return;
    struct pass pass = {.client = client};
    entry_each(recover_one, &pass);
    if (!pass.any)
        return;
    /* Others may sleep for listeners that are back now, though not all are. */
    enter(&before);
    retire();
    leave(&before);
}

/* ---- waiting for it ---- */

static void drain(int fd)
{
    char news[4096];
    while (REAL(read)(fd, news, sizeof(news)) > 0) {
    }
}

void recover_try(void)
{
    const struct timespec soon = {.tv_nsec = SOON_NS};
    struct client *client = NULL;
    sigset_t before;
    int saved = errno;
    enter(&before);
    if (state.watch) {
        drain(state.watch->inotify);
        drain(state.watch->timer);
    }
    leave(&before);
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
        (client || client_sidecar_there())) {
        enter(&before);
        if (!state.watch)
            state.watch = make_watch();
        look_again_in(state.watch, AGAIN_NS);
        leave(&before);
    }
    errno = saved;
}

bool recover_pending(void)
{
    return atomic_load_explicit(&state.count, memory_order_relaxed) != 0;
}

bool recover_begin(struct recover_sleep *sleep)
{
    sigset_t before;
    bool made = false;
    *sleep = (struct recover_sleep){.fd = -1};
    if (!recover_pending())
        return false;
    int saved = errno;
    enter(&before);
    if (recover_pending() && !state.watch) {
        state.watch = make_watch();
        made = state.watch != NULL;
    }
    if (recover_pending() && state.watch) {
        state.watch->sleepers++;
        *sleep = (struct recover_sleep){
            .fd = state.watch->fd, .serial = state.watch->serial, .watch = state.watch};
    }
    leave(&before);
    errno = saved;
    /* It may have come back before the watch was there. */
    if (made)
        recover_try();
    return sleep->watch != NULL;
}

bool recover_over(const struct recover_sleep *sleep)
{
    sigset_t before;
    if (!sleep->watch)
        return false;
    enter(&before);
    bool over = sleep->watch != state.watch;
    leave(&before);
    return over;
}

void recover_end(struct recover_sleep *sleep)
{
    sigset_t before;
    if (!sleep->watch)
        return;
    int saved = errno;
    enter(&before);
    if (--sleep->watch->sleepers == 0 && sleep->watch != state.watch)
        close_watch(sleep->watch);
    leave(&before);
    errno = saved;
}

/* Sleeps until what is held, or kernel_fd, is readable. */
static int sleep_on(struct recover_sleep *sleep, int kernel_fd, uint64_t deadline)
{
    struct pollfd fds[2] = {{.fd = sleep->fd, .events = POLLIN},
                            {.fd = kernel_fd, .events = POLLIN}};
    struct timespec left, *timeout = NULL;
    uint64_t now = waiter_now();
    if (deadline && now >= deadline)
        return -EAGAIN;
    uint64_t until = sleep->watch ? deadline : now + AGAIN_NS; /* there may be too few fds */
    if (until) {
        uint64_t ns = deadline && deadline < until ? deadline - now : until - now;
        left = (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                                 .tv_nsec = (long)(ns % 1000000000u)};
        timeout = &left;
    }
    if (REAL(ppoll)(fds, 2, timeout, NULL) < 0)
        return errno == EINTR && (deadline || !waiter_restarts()) ? -EINTR : 0;
    if (fds[0].revents || !sleep->watch)
        recover_try();
    return 0;
}

int recover_wait(struct entry *entry, int kernel_fd, uint64_t deadline)
{
    struct recover_sleep sleep;
    recover_begin(&sleep);
    /* Acquire: looked at after the watch has been held, which is retired after the change. */
    int r = atomic_load_explicit(&entry->suspended, memory_order_acquire)
                ? sleep_on(&sleep, kernel_fd, deadline)
                : 0;
    recover_end(&sleep);
    return r;
}
