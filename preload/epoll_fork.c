/* SPDX-License-Identifier: Apache-2.0 */
/* Epoll sets that several processes have since a fork: see epoll.h, `apart`. */
#include "preload/calls.h"
#include "preload/epoll_set.h"
#include "preload/pool.h"
#include "preload/waiter.h"

#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define HINTS        65536u
#define LOCK_TRIES   10000
#define WRITER_LOOKS 1000 /* at a turn that stays odd: then its writer is dead */

static struct pool stretches = POOL(struct epoll_shared, 1u << 16);

/* ---- numbers ---- */

/* Which of the low numbers epoll_create() has ever given, and which of them before a fork: relaxed
 * bits, hints only. */
static _Atomic uint32_t created[HINTS / 32], forked[HINTS / 32];
static _Atomic bool any_created; /* relaxed */

void epoll_created(int fd)
{
    if ((uint32_t)fd >= HINTS)
        return;
    atomic_fetch_or_explicit(&created[fd / 32], 1u << fd % 32, memory_order_relaxed);
    atomic_fetch_and_explicit(&forked[fd / 32], ~(1u << fd % 32), memory_order_relaxed);
    atomic_store_explicit(&any_created, true, memory_order_relaxed);
}

bool epoll_may_be(int fd)
{
    return (uint32_t)fd >= HINTS ||
           (atomic_load_explicit(&created[fd / 32], memory_order_relaxed) & 1u << fd % 32);
}

bool epoll_was_forked(int fd)
{
    return (uint32_t)fd < HINTS &&
           (atomic_load_explicit(&forked[fd / 32], memory_order_relaxed) & 1u << fd % 32);
}

static void note_forked(void)
{
    if (!atomic_load_explicit(&any_created, memory_order_relaxed))
        return;
    for (uint32_t i = 0; i < HINTS / 32; i++) {
        uint32_t bits = atomic_load_explicit(&created[i], memory_order_relaxed);
        if (bits)
            atomic_fetch_or_explicit(&forked[i], bits, memory_order_relaxed);
    }
}

/* ---- what items have been told ---- */

uint32_t epoll_telling_turn(struct epoll_told *told)
{
    /* Acquire: what the last writer wrote. */
    uint32_t turn = atomic_load_explicit(&told->turn, memory_order_acquire);
    for (int i = 0; (turn & 1) && i < WRITER_LOOKS; i++) {
        waiter_relax();
        turn = atomic_load_explicit(&told->turn, memory_order_acquire);
    }
    return turn;
}

bool epoll_begin_telling(struct epoll_told *told, uint32_t turn)
{
    return atomic_compare_exchange_strong_explicit(&told->turn, &turn, (turn + 2) | 1,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

void epoll_end_telling(struct epoll_told *told)
{
    uint32_t turn = atomic_load_explicit(&told->turn, memory_order_relaxed);
    atomic_store_explicit(&told->turn, turn + 1, memory_order_release);
}

void epoll_drop_told(struct epoll_item *item)
{
    struct epoll_shared *shared = item->shared;
    item->told = &item->own;
    item->shared = NULL;
    if (!shared || --shared->live > 0)
        return;
    munmap(shared->map, shared->size * sizeof(*shared->map));
    pool_give(&stretches, shared);
}

/* Where there is no memory, each process is told of each edge. */
static void share_told(struct epoll_set *set)
{
    uint32_t n = 0;
    for (const struct epoll_item *item = set->items; item; item = item->next_in_set)
        n += !item->shared;
    struct epoll_shared *shared = n ? pool_take(&stretches) : NULL;
    if (!shared)
        return;
    void *map = mmap(NULL, n * sizeof(*shared->map), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        pool_give(&stretches, shared);
        return;
    }
    *shared = (struct epoll_shared){.map = map, .size = n};
    for (struct epoll_item *item = set->items; item; item = item->next_in_set) {
        if (item->shared)
            continue;
        struct epoll_told *told = &shared->map[shared->live++];
        *told = item->own;
        item->told = told;
        item->shared = shared;
    }
}

/* ---- where to sleep ---- */

int epoll_need_bed(struct epoll_set *set)
{
    if (set->bed >= 0)
        return 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)&epoll_epfd_tag};
    int fd = REAL(epoll_create1)(EPOLL_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (REAL(epoll_ctl)(fd, EPOLL_CTL_ADD, set->epfd, &event) < 0) {
        int r = -errno;
        REAL(close)(fd);
        return r;
    }
    return entry_protect(fd, &set->bed);
}

void epoll_also_in_epfd(struct epoll_set *set)
{
    if (set->bed < 0)
        return;
    struct epoll_event bell = {.events = EPOLLIN | EPOLLET, .data.ptr = set};
    struct epoll_event kick = {.events = EPOLLIN | EPOLLET,
                               .data.ptr = (void *)(uintptr_t)&epoll_kick_tag};
    if (set->doorbell >= 0)
        REAL(epoll_ctl)(set->epfd, EPOLL_CTL_ADD, set->doorbell, &bell);
    if (set->kick >= 0)
        REAL(epoll_ctl)(set->epfd, EPOLL_CTL_ADD, set->kick, &kick);
}

static void move(struct epoll_set *set, int fd, const void *data)
{
    if (fd < 0)
        return;
    if (!epoll_is_nested(set))
        REAL(epoll_ctl)(set->epfd, EPOLL_CTL_DEL, fd, NULL);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = (void *)(uintptr_t)data};
    REAL(epoll_ctl)(set->bed, EPOLL_CTL_ADD, fd, &event);
}

/* Threads sleep in the epfd: level-triggered, this wakes one after the other until all have left.
 */
static void move_sleepers(struct epoll_set *set)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)&epoll_mover_tag};
    int fd = set->sleepers ? eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (fd < 0 || entry_protect(fd, &set->mover) < 0)
        return;
    set->movers = set->sleepers;
    REAL(epoll_ctl)(set->epfd, EPOLL_CTL_ADD, set->mover, &event);
}

void epoll_left_epfd(struct epoll_set *set)
{
    if (!set->movers || --set->movers > 0)
        return;
    REAL(epoll_ctl)(set->epfd, EPOLL_CTL_DEL, set->mover, NULL);
    entry_close_protected(&set->mover);
}

void epoll_set_apart(struct epoll_set *set)
{
    set->apart = true;
    if (!set->client || set->epoch != client_epoch() || set->bed >= 0 || epoll_need_bed(set) < 0)
        return;
    move(set, set->doorbell, set);
    move(set, set->kick, &epoll_kick_tag);
    atomic_store_explicit(&set->recover, 0, memory_order_relaxed); /* it goes to the bed too */
    move_sleepers(set);
}

/* fork() may be called by a signal handler that has interrupted the holder, who never lets go then:
 * a set that cannot be had is not shared. */
static bool lock_unless_stuck(struct epoll_set *set)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (lock_try(&set->lock, LOCK_PRIVATE))
            return true;
        sched_yield();
    }
    return false;
}

static void share_set(int fd, struct entry *entry, void *arg)
{
    (void)arg;
    if (entry->kind != ENTRY_EPOLL)
        return;
    struct epoll_set *set = entry->set;
    if (!lock_unless_stuck(set))
        return;
    set->epfd = fd;
    epoll_set_apart(set);
    share_told(set);
    epoll_unlock(set);
}

void epoll_before_fork(void)
{
    int saved = errno;
    note_forked();
    entry_each(share_set, NULL);
    errno = saved;
}

int epoll_poll_fd(const struct entry *entry, int epfd)
{
    return epoll_bed(entry->set, epfd);
}
