/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/waiter.h"

#include "common/ring.h"
#include "preload/calls.h"
#include "preload/command.h"
#include "preload/libc.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define SPIN_MAX        256
#define SPIN_STEP       16
#define SHORT_SLEEP_NS  30000 /* a sleep shorter than this would have been better spun */
#define NESTED_SLEEP_NS 1000000L
#define ALL_NEWS        (DMM_EV_IN | DMM_EV_OUT | DMM_EV_ERR | DMM_EV_HUP | DMM_EV_RDHUP)

static _Thread_local struct waiter own
    __attribute__((tls_model("initial-exec"))) = {.doorbell = -1};

static _Thread_local bool exit_is_told __attribute__((tls_model("initial-exec")));
static _Atomic bool cpus_counted; /* rel/acq; counting twice gives the same */
static uint32_t spin_max = SPIN_MAX;

uint64_t waiter_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- life ---- */

static void take_ready(struct waiter *waiter, bool all);

static void retire(struct waiter *waiter)
{
    struct client *client = waiter->client;
    waiter->client = NULL;
    if (!client || waiter->epoch != client_epoch())
        return;
    if (!client_is_dead(client)) {
        client_free_waitset(client, waiter->waitset);
        waiter->client = client;
        take_ready(waiter, true); /* frees the slots of what was pushed before */
        waiter->client = NULL;
    }
    entry_close_protected(&waiter->doorbell);
}

static void thread_exit(void *arg)
{
    retire(arg);
}

static void count_cpus(void)
{
    cpu_set_t cpus;
    if (atomic_load_explicit(&cpus_counted, memory_order_acquire))
        return;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2)
        spin_max = 0;
    atomic_store_explicit(&cpus_counted, true, memory_order_release);
}

static struct waiter *renew(struct client *client)
{
    struct waiter *waiter = &own;
    int saved = errno;
    count_cpus();
    retire(waiter);
    int waitset = client_new_waitset(client, &waiter->doorbell);
    if (waitset < 0) {
        errno = saved;
        return NULL;
    }
    waiter->waitset = (uint32_t)waitset;
    waiter->client = client;
    waiter->epoch = client_epoch();
    waiter->depth = 0;
    waiter->spin = spin_max ? SPIN_STEP : 0;
    if (!exit_is_told)
        libc_at_thread_exit(thread_exit, waiter);
    exit_is_told = true;
    errno = saved;
    return waiter;
}

struct waiter *waiter_get(struct client *client)
{
    if (__builtin_expect(own.client == client && own.epoch == client_epoch(), 1))
        return &own;
    return client_is_dead(client) ? NULL : renew(client);
}

void waiter_fork_child(void)
{
    own.client = NULL;
    entry_close_protected(&own.doorbell); /* the parent's */
    /* Before the child can shut itself off from the calls that this takes. */
    count_cpus();
}

/* ---- watches ---- */

struct dmm_watch *waiter_slot(struct client *client, struct dmm_socket *sock, uint32_t slot)
{
    if (slot < DMM_WATCH_INLINE)
        return &sock->watches[slot];
    uint64_t ext = atomic_load_explicit(&sock->watches_ext, memory_order_acquire);
    return ext ? (struct dmm_watch *)((char *)client->region + ext) + (slot - DMM_WATCH_INLINE)
               : NULL;
}

static int claim_free(struct client *client, struct dmm_socket *sock, uint32_t from, uint32_t to,
                      uint32_t owner)
{
    for (uint32_t slot = from; slot < to; slot++) {
        struct dmm_watch *watch = waiter_slot(client, sock, slot);
        uint32_t nobody = 0;
        if (!watch)
            break;
        if (atomic_load_explicit(&watch->owner, memory_order_relaxed) == 0 &&
            atomic_load_explicit(&watch->pending, memory_order_acquire) == 0 &&
            atomic_compare_exchange_strong_explicit(&watch->owner, &nobody, owner,
                                                    memory_order_acq_rel, memory_order_relaxed))
            return (int)slot;
    }
    return -ENOBUFS;
}

void waiter_ask(struct client *client, uint32_t waitset, uint32_t socket, uint32_t slot,
                uint32_t events)
{
    struct dmm_command command = {.op = DMM_CMD_WATCH,
                                  .reply = DMM_NO_REPLY,
                                  .socket = socket,
                                  .watch = {.slot = slot, .waitset = waitset, .events = events}};
    command_send(client, &command);
}

int waiter_claim(struct client *client, uint32_t waitset, const struct part *part, uint32_t cookie,
                 uint32_t events)
{
    struct dmm_socket *sock = part->sock;
    int slot = claim_free(client, sock, 0, DMM_WATCH_INLINE, waitset + 1);
    if (slot < 0) {
        if (!atomic_load_explicit(&sock->watches_ext, memory_order_acquire)) {
            struct dmm_command more = {.op = DMM_CMD_WATCH_MORE, .socket = part->index};
            if (command_call(client, &more, NULL) < 0)
                return -ENOBUFS;
        }
        slot = claim_free(client, sock, DMM_WATCH_INLINE, DMM_WATCH_MAX, waitset + 1);
    }
    if (slot < 0)
        return slot;
    struct dmm_watch *watch = waiter_slot(client, sock, (uint32_t)slot);
    atomic_store_explicit(&watch->cookie, cookie, memory_order_relaxed);
    waiter_ask(client, waitset, part->index, (uint32_t)slot, events);
    return slot;
}

int waiter_unpark(struct client *client, uint32_t waitset, const struct part *part, uint32_t cookie)
{
    uint32_t n = atomic_load_explicit(&part->sock->watches_ext, memory_order_acquire)
                     ? DMM_WATCH_MAX
                     : DMM_WATCH_INLINE;
    for (uint32_t slot = 0; slot < n; slot++) {
        struct dmm_watch *watch = waiter_slot(client, part->sock, slot);
        if (atomic_load_explicit(&watch->owner, memory_order_acquire) == waitset + 1 &&
            atomic_load_explicit(&watch->cookie, memory_order_relaxed) == WAITER_PARKED) {
            atomic_store_explicit(&watch->cookie, cookie, memory_order_relaxed);
            return (int)slot;
        }
    }
    return -ENOENT;
}

void waiter_give_up(struct client *client, uint32_t socket, struct dmm_watch *watch, uint32_t slot)
{
    atomic_store_explicit(&watch->cookie, 0, memory_order_relaxed);
    struct dmm_command command = {
        .op = DMM_CMD_UNWATCH, .reply = DMM_NO_REPLY, .socket = socket, .watch = {.slot = slot}};
    command_send(client, &command);
}

void waiter_begin(struct waiter *waiter)
{
    if (waiter->depth == 0 && ++waiter->serial == 0)
        waiter->serial = 1;
}

/* A watch of this waiter's that has not been given up. */
static bool renew_watch(struct waiter *waiter, struct dmm_watch *watch)
{
    if (atomic_load_explicit(&watch->owner, memory_order_acquire) != waiter->waitset + 1 ||
        atomic_load_explicit(&watch->cookie, memory_order_relaxed) == 0)
        return false;
    atomic_store_explicit(&watch->cookie, waiter->serial, memory_order_relaxed);
    return true;
}

int waiter_watch(struct waiter *waiter, const struct part *part)
{
    for (uint32_t slot = 0; slot < DMM_WATCH_INLINE; slot++) {
        if (renew_watch(waiter, &part->sock->watches[slot]))
            return 0;
    }
    if (atomic_load_explicit(&part->sock->watches_ext, memory_order_acquire)) {
        for (uint32_t slot = DMM_WATCH_INLINE; slot < DMM_WATCH_MAX; slot++) {
            if (renew_watch(waiter, waiter_slot(waiter->client, part->sock, slot)))
                return 0;
        }
    }
    int slot = waiter_claim(waiter->client, waiter->waitset, part, waiter->serial, ALL_NEWS);
    return slot < 0 ? slot : 0;
}

/* Takes every watch off the ready list. `all`: only to free the slots. */
static void take_ready(struct waiter *waiter, bool all)
{
    struct dmm_region *region = waiter->client->region;
    uint32_t node = dmm_ready_take(dmm_region_waitset(region, waiter->waitset));
    while (node) {
        uint32_t socket = (node - 1) >> 8;
        uint32_t slot = (node - 1) & 255;
        if (socket >= region->n_sockets)
            return;
        struct dmm_watch *watch =
            waiter_slot(waiter->client, dmm_region_socket(region, socket), slot);
        if (!watch)
            return;
        /* `next` is read before `pending` is cleared: then the watch may be linked again. */
        node = atomic_load_explicit(&watch->next, memory_order_relaxed);
        atomic_exchange_explicit(&watch->pending, 0, memory_order_acq_rel);
        uint32_t cookie = atomic_load_explicit(&watch->cookie, memory_order_relaxed);
        if (!all && cookie != 0 && cookie != waiter->serial &&
            atomic_load_explicit(&watch->owner, memory_order_relaxed) == waiter->waitset + 1)
            waiter_give_up(waiter->client, socket, watch, slot);
    }
}

/* ---- sleeping ---- */

bool waiter_arm(struct waiter *waiter)
{
    if (waiter->depth++ > 0)
        return false;
    dmm_arm(&dmm_region_waitset(waiter->client->region, waiter->waitset)->armed);
    return true;
}

void waiter_disarm(struct waiter *waiter)
{
    if (--waiter->depth == 0)
        dmm_disarm(&dmm_region_waitset(waiter->client->region, waiter->waitset)->armed);
}

void waiter_drain(struct waiter *waiter)
{
    char tokens[64];
    int saved = errno;
    /* Does not block: it is readable, and this thread's alone. */
    ssize_t n = REAL(read)(waiter->doorbell, tokens, sizeof(tokens));
    if (n == 0)
        client_died(waiter->client);
    errno = saved;
    take_ready(waiter, false);
}

void waiter_nap(struct waiter *waiter, int ms)
{
    struct pollfd bell = {.fd = waiter->doorbell, .events = POLLIN};
    int saved = errno;
    if (waiter->depth > 1)
        bell.fd = -1;
    if (REAL(poll)(&bell, 1, ms) > 0)
        waiter_drain(waiter);
    errno = saved;
}

static int sleep_on_bell(struct waiter *waiter)
{
    char tokens[64];
    ssize_t n = REAL(read)(waiter->doorbell, tokens, sizeof(tokens));
    if (n == 0)
        client_died(waiter->client);
    return n < 0 && errno == EINTR ? -EINTR : 0;
}

static bool is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL;
}

bool waiter_restarts(void)
{
    bool any = false;
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        struct sigaction action;
        if (is_fault(signal) || sigaction(signal, NULL, &action) < 0 ||
            action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)
            continue;
        if (!(action.sa_flags & SA_RESTART))
            return false;
        any = true;
    }
    return any;
}

/* kernel_fd may be -1. */
static int sleep_on_both(struct waiter *waiter, uint64_t deadline, int kernel_fd, bool *kernel)
{
    struct pollfd fds[2] = {{.fd = waiter->doorbell, .events = POLLIN},
                            {.fd = kernel_fd, .events = POLLIN}};
    struct timespec left, *timeout = NULL;
    if (deadline) {
        uint64_t now = waiter_now();
        if (now >= deadline)
            return -EAGAIN;
        left.tv_sec = (time_t)((deadline - now) / 1000000000u);
        left.tv_nsec = (long)((deadline - now) % 1000000000u);
        timeout = &left;
    }
    int n = REAL(ppoll)(fds, 2, timeout, NULL);
    if (n < 0)
        return errno == EINTR && (deadline || waiter->brittle || !waiter_restarts()) ? -EINTR : 0;
    if (fds[0].revents)
        waiter_drain(waiter);
    *kernel = fds[1].revents != 0;
    return 0;
}

static void learn(struct waiter *waiter, uint64_t slept)
{
    if (slept < SHORT_SLEEP_NS)
        waiter->spin = waiter->spin + SPIN_STEP < spin_max ? waiter->spin + SPIN_STEP : spin_max;
    else
        waiter->spin -= waiter->spin / 4;
}

static int sleep_once(struct waiter *waiter, waiter_test *test, void *arg, uint64_t deadline,
                      int kernel_fd, bool *kernel)
{
    int r = 0;
    take_ready(waiter, false);
    if (!waiter_arm(waiter)) {
        const struct timespec nap = {.tv_nsec = NESTED_SLEEP_NS};
        waiter_disarm(waiter);
        *kernel = kernel_fd >= 0;
        if (deadline && waiter_now() >= deadline)
            return -EAGAIN;
        return nanosleep(&nap, NULL) < 0 ? -EINTR : 0;
    }
    if (!test(arg)) {
        uint64_t begin = waiter_now();
        r = kernel_fd < 0 && !deadline && !waiter->brittle
                ? sleep_on_bell(waiter)
                : sleep_on_both(waiter, deadline, kernel_fd, kernel);
        if (r == 0)
            learn(waiter, waiter_now() - begin);
    }
    waiter_disarm(waiter);
    return r;
}

int waiter_wait(struct waiter *waiter, waiter_test *test, void *arg, uint64_t deadline,
                int kernel_fd)
{
    int saved = errno;
    int r = 0;
    bool kernel = false;
    for (uint32_t i = 0; i < waiter->spin; i++) {
        if (test(arg))
            return 0;
        waiter_relax();
    }
    while (r == 0 && !kernel && !test(arg))
        r = sleep_once(waiter, test, arg, deadline, kernel_fd, &kernel);
    errno = saved;
    return r;
}
