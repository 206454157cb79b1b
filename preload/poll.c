/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/poll.h"

#include "preload/calls.h"
#include "preload/epoll.h"
#include "preload/ready.h"
#include "preload/recover.h"
#include "preload/socket.h"
#include "preload/waiter.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define ON_STACK       64        /* fds whose copy fits on the stack */
#define NO_DOORBELL_NS 10000000u /* between looks where no waitset is to be had */
#define POLL_ALWAYS    (POLLERR | POLLHUP)
/* All that poll(2) tells of a socket. */
#define POLL_KNOWN (POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLL_ALWAYS)

uint64_t poll_deadline_ms(int ms)
{
    if (ms < 0)
        return UINT64_MAX;
    return ms == 0 ? 0 : waiter_now() + (uint64_t)ms * 1000000u;
}

bool poll_timeout_ok(const struct timespec *timeout)
{
    return !timeout ||
           (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec <= 999999999);
}

uint64_t poll_deadline(const struct timespec *timeout)
{
    if (!timeout || (uint64_t)timeout->tv_sec > UINT32_MAX)
        return UINT64_MAX;
    uint64_t ns = (uint64_t)timeout->tv_sec * 1000000000u + (uint64_t)timeout->tv_nsec;
    return ns == 0 ? 0 : waiter_now() + ns;
}

bool poll_is_ours(struct pollfd *fds, nfds_t n)
{
    uint32_t limit = atomic_load_explicit(&entry_limit, memory_order_acquire);
    for (nfds_t i = 0; limit && i < n; i++) {
        if ((uint32_t)fds[i].fd < limit &&
            atomic_load_explicit(&entry_table[fds[i].fd], memory_order_relaxed))
            return true;
    }
    return false;
}

/* One poll: the app's fds, and the copy that the kernel gets, with places for our own. */
enum { BELL, BACK, OWN_FDS };
struct polling {
    struct pollfd *fds, *copy;
    nfds_t n;
    nfds_t n_kernel;       /* fds that the kernel is asked about */
    int ready;             /* of ours */
    struct client *client; /* of our sockets; NULL: none that could have news */
    bool suspended;        /* some are listeners that wait for the sidecar */
};

/* What one fd of ours says now. `asked`: the fd that the kernel must be asked of too; -1: none. */
static uint32_t look_at(struct polling *p, int fd, int *asked)
{
    uint32_t events = 0;
    struct entry *entry = entry_get(fd);
    *asked = fd;
    if (!entry)
        return 0;
    if (entry->kind == ENTRY_EPOLL) {
        events = epoll_nest(entry) ? POLLIN | POLLRDNORM : 0;
        *asked = epoll_poll_fd(entry, fd);
    } else if (entry->kind == ENTRY_SOCKET && entry->phase != PHASE_NATIVE) {
        struct client *client = entry->client;
        *asked = entry->kernel ? fd : -1;
        if (socket_parts(entry) && !client_is_dead(client))
            p->client = client;
        else if (socket_parts(entry) && !entry->suspended)
            socket_lost(entry, client); /* whoever noticed may not have come to this one yet */
        p->suspended |= entry->suspended;
        events = ready_entry(entry);
    }
    entry_put(entry);
    return events;
}

static void look(struct polling *p)
{
    p->ready = 0;
    p->n_kernel = 0;
    p->client = NULL;
    p->suspended = false;
    for (nfds_t i = 0; i < p->n; i++) {
        int asked;
        uint32_t events = look_at(p, p->fds[i].fd, &asked);
        p->fds[i].revents =
            (short)(events & ((uint32_t)p->fds[i].events | POLL_ALWAYS) & POLL_KNOWN);
        p->copy[i] = p->fds[i];
        p->copy[i].revents = 0;
        p->copy[i].fd = asked;
        p->n_kernel += asked >= 0;
        p->ready += p->fds[i].revents != 0;
    }
}

/* True if an epfd is readable by nothing but its doorbell: its sockets have nothing to tell. */
static bool only_rang(int fd, int asked)
{
    struct entry *entry = entry_get(fd);
    bool only = entry && entry->kind == ENTRY_EPOLL && !epoll_nest(entry);
    if (entry)
        entry_put(entry);
    struct pollfd again = {.fd = asked, .events = POLLIN};
    return only && REAL(poll)(&again, 1, 0) == 0;
}

/* Adds what the kernel said. The number of ready fds. */
static int merge(struct polling *p)
{
    int ready = 0;
    for (nfds_t i = 0; i < p->n; i++) {
        if ((p->copy[i].revents & POLLIN) && only_rang(p->fds[i].fd, p->copy[i].fd))
            p->copy[i].revents = 0;
        p->fds[i].revents = (short)(p->fds[i].revents | p->copy[i].revents);
        ready += p->fds[i].revents != 0;
    }
    return ready;
}

/* `doorbell` and `back` (recover.h): -1: none. */
static int ask_kernel(struct polling *p, int doorbell, int back, uint64_t deadline,
                      const sigset_t *mask)
{
    struct timespec left = {.tv_sec = 0};
    struct timespec *timeout = &left;
    uint64_t now = deadline && deadline != UINT64_MAX ? waiter_now() : 0;
    if (deadline == UINT64_MAX)
        timeout = NULL;
    else if (deadline > now)
        left = (struct timespec){.tv_sec = (time_t)((deadline - now) / 1000000000u),
                                 .tv_nsec = (long)((deadline - now) % 1000000000u)};
    p->copy[p->n + BELL] = (struct pollfd){.fd = doorbell, .events = POLLIN};
    p->copy[p->n + BACK] = (struct pollfd){.fd = back, .events = POLLIN};
    nfds_t own = back >= 0 ? OWN_FDS : BACK;
    /* poll(2) refuses more fds than RLIMIT_NOFILE: those that need not be asked do not count. */
    nfds_t skip = p->n_kernel ? 0 : p->n;
    return REAL(ppoll)(p->copy + skip, p->n + own - skip, timeout, mask) < 0 ? -errno : 0;
}

static int watch_all(struct polling *p, struct waiter *waiter)
{
    waiter_begin(waiter);
    for (nfds_t i = 0; i < p->n; i++) {
        struct entry *entry = entry_get_socket(p->fds[i].fd);
        if (!entry)
            continue;
        int r = 0;
        for (uint32_t j = 0; j < socket_parts(entry) && entry->client == p->client; j++)
            r = waiter_watch(waiter, socket_part(entry, j));
        entry_put(entry);
        if (r < 0)
            return r;
    }
    return 0;
}

/* With a waitset: sleeps on its doorbell too. */
static int sleep_armed(struct polling *p, struct waiter *waiter, int back, uint64_t deadline,
                       const sigset_t *mask)
{
    int r = watch_all(p, waiter);
    if (r < 0)
        return r;
    if (!waiter_arm(waiter)) {
        uint64_t soon = waiter_now() + 1000000u;
        r = ask_kernel(p, -1, back, soon < deadline ? soon : deadline, mask);
        waiter_disarm(waiter);
        return r;
    }
    look(p);
    r = p->ready ? 0 : ask_kernel(p, waiter->doorbell, back, deadline, mask);
    bool rang = !p->ready && p->copy[p->n + BELL].revents;
    waiter_disarm(waiter);
    if (rang)
        waiter_drain(waiter);
    return r;
}

/* Without a doorbell: while there are sockets that may have news, or suspended ones but too few fds
 * to hear of the sidecar, looks again in a while. */
static int sleep_deaf(struct polling *p, int back, uint64_t deadline, const sigset_t *mask)
{
    look(p);
    if (p->ready)
        return 0;
    uint64_t soon =
        p->client || (p->suspended && back < 0) ? waiter_now() + NO_DOORBELL_NS : deadline;
    return ask_kernel(p, -1, back, soon < deadline ? soon : deadline, mask);
}

/* Sleeps until there may be news. 0, or a negative errno. */
static int sleep_once(struct polling *p, uint64_t deadline, const sigset_t *mask)
{
    struct recover_sleep back = {.fd = -1};
    p->copy[p->n + BACK].revents = 0;
    /* Held before the last look: what is recovered after that look wakes this sleeper. */
    if (p->suspended)
        recover_begin(&back);
    struct waiter *waiter = p->client ? waiter_get(p->client) : NULL;
    int r = waiter ? sleep_armed(p, waiter, back.fd, deadline, mask)
                   : sleep_deaf(p, back.fd, deadline, mask);
    bool news =
        r == 0 && p->suspended && !p->ready && (back.fd < 0 || p->copy[p->n + BACK].revents);
    recover_end(&back);
    if (news)
        recover_try();
    return r;
}

static int run(struct polling *p, uint64_t deadline, const sigset_t *mask)
{
    for (;;) {
        look(p);
        if (p->ready || deadline == 0) {
            int r = p->n_kernel ? ask_kernel(p, -1, -1, 0, NULL) : 0;
            return r < 0 ? r : merge(p);
        }
        int r = sleep_once(p, deadline, mask);
        if (r < 0)
            return r;
        int ready = merge(p);
        if (ready)
            return ready;
        if (deadline != UINT64_MAX && waiter_now() >= deadline)
            deadline = 0;
    }
}

int poll_await(struct pollfd *fds, nfds_t n, uint64_t deadline, const sigset_t *mask)
{
    struct pollfd small[ON_STACK + OWN_FDS];
    struct polling p = {.fds = fds, .copy = small, .n = n};
    size_t size = (n + OWN_FDS) * sizeof(struct pollfd);
    int saved = errno;
    if (n > ON_STACK) {
        p.copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p.copy == MAP_FAILED)
            return -ENOMEM;
    }
    int r = run(&p, deadline, mask);
    if (n > ON_STACK)
        munmap(p.copy, size);
    errno = saved;
    return r;
}
