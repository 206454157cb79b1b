/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/entry.h"

#include "preload/calls.h"
#include "preload/epoll.h"
#include "preload/libc.h"
#include "preload/pool.h"
#include "preload/socket.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

_Atomic uint32_t entry_limit;
struct entry *_Atomic *entry_table;

static lock_word table_lock; /* growth of the table */
static struct pool entries = POOL(struct entry, ENTRY_FD_MAX);
static struct pool lates = POOL(struct late, 1u << 16);

/* ---- references ---- */

/* The pattern for type-stable memory: count, then look whether it is still the one. */
struct entry *entry_hold(uint32_t fd, struct entry *entry)
{
    for (;;) {
        uint32_t refs = atomic_load_explicit(&entry->refs, memory_order_relaxed);
        while (refs != 0) {
            if (libc_single_threaded()) {
                atomic_store_explicit(&entry->refs, refs + 1, memory_order_relaxed);
                return entry;
            }
            /* Acquire: what the last holder's release published. */
            if (atomic_compare_exchange_weak_explicit(&entry->refs, &refs, refs + 1,
                                                      memory_order_acquire, memory_order_relaxed))
                break;
        }
        struct entry *now = atomic_load_explicit(&entry_table[fd], memory_order_acquire);
        if (refs != 0 && now == entry)
            return entry;
        if (refs != 0)
            entry_put(entry);
        if (!now)
            return NULL;
        entry = now;
    }
}

void entry_put(struct entry *entry)
{
    if (libc_single_threaded()) {
        uint32_t refs = atomic_load_explicit(&entry->refs, memory_order_relaxed);
        atomic_store_explicit(&entry->refs, refs - 1, memory_order_relaxed);
        if (refs != 1)
            return;
    } else if (atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (entry->kind == ENTRY_SOCKET)
        socket_destroy(entry);
    else if (entry->kind == ENTRY_EPOLL)
        epoll_destroy(entry);
    entry_drop_late(entry);
    entry->kind = ENTRY_FREE;
    pool_give(&entries, entry);
}

struct entry *entry_new(enum entry_kind kind)
{
    struct entry *entry = pool_take(&entries);
    if (!entry)
        return NULL;
    /* refs and phase alone, refs last: late callers may be looking at them. */
    memset((char *)entry + offsetof(struct entry, kind), 0,
           sizeof(*entry) - offsetof(struct entry, kind));
    entry->kind = (uint8_t)kind;
    atomic_store_explicit(&entry->phase, PHASE_UNDECIDED, memory_order_relaxed);
    atomic_store_explicit(&entry->companion, -1, memory_order_relaxed);
    atomic_store_explicit(&entry->refs, 1, memory_order_release);
    return entry;
}

int entry_need_late(struct entry *entry)
{
    if (entry->late)
        return 0;
    struct late *late = pool_take(&lates);
    if (!late)
        return -ENOBUFS;
    memset(late, 0, sizeof(*late));
    late->backlog = -1;
    entry->late = late;
    return 0;
}

void entry_drop_late(struct entry *entry)
{
    if (entry->late)
        pool_give(&lates, entry->late);
    entry->late = NULL;
}

/* ---- the table ---- */

static int reach(uint32_t fd)
{
    int r = 0;
    lock_take(&table_lock, LOCK_PRIVATE);
    if (!entry_table) {
        void *map = mmap(NULL, ENTRY_FD_MAX * sizeof(*entry_table), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        libc_find_single_threaded();
        if (map == MAP_FAILED)
            r = -ENOBUFS;
        else
            entry_table = map;
    }
    /* Release: the table is seen by whoever sees the limit. */
    if (r == 0 && fd >= atomic_load_explicit(&entry_limit, memory_order_relaxed))
        atomic_store_explicit(&entry_limit, fd + 1, memory_order_release);
    lock_drop(&table_lock);
    return r;
}

int entry_install(int fd, struct entry *entry)
{
    if (fd < 0 || (uint32_t)fd >= ENTRY_FD_MAX)
        return -EMFILE;
    if ((uint32_t)fd >= atomic_load_explicit(&entry_limit, memory_order_acquire)) {
        int r = reach((uint32_t)fd);
        if (r < 0)
            return r;
    }
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    /* Release: the entry's contents; acquire: the old one's. */
    struct entry *old = atomic_exchange_explicit(&entry_table[fd], entry, memory_order_acq_rel);
    if (old)
        entry_put(old);
    return 0;
}

void entry_remove(int fd)
{
    if ((uint32_t)fd >= atomic_load_explicit(&entry_limit, memory_order_acquire))
        return;
    struct entry *old = atomic_exchange_explicit(&entry_table[fd], NULL, memory_order_acq_rel);
    if (old)
        entry_put(old);
}

void entry_each(void (*fn)(int fd, struct entry *entry, void *arg), void *arg)
{
    uint32_t limit = atomic_load_explicit(&entry_limit, memory_order_acquire);
    for (uint32_t fd = 0; fd < limit; fd++) {
        struct entry *entry = entry_get((int)fd);
        if (!entry)
            continue;
        fn((int)fd, entry, arg);
        entry_put(entry);
    }
}

/* ---- the shim's own fds ---- */

/* Puts `fd` out of the way, protected. The new number or a negative errno; fd is closed. */
static int move_away(int fd, struct entry *entry)
{
    int high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, ENTRY_OWN_FDS);
    if (high < 0) /* a low RLIMIT_NOFILE */
        high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, 3);
    int r = high < 0 ? -errno : entry_install(high, entry);
    if (r < 0 && high >= 0)
        REAL(close)(high);
    return r < 0 ? r : high;
}

int entry_protect(int fd, _Atomic int *where)
{
    struct entry *entry = entry_new(ENTRY_INTERNAL);
    int r = -ENOBUFS;
    if (entry) {
        entry->where = where;
        r = move_away(fd, entry);
        entry_put(entry);
    }
    REAL(close)(fd);
    atomic_store_explicit(where, r < 0 ? -1 : r, memory_order_relaxed);
    return r < 0 ? r : 0;
}

void entry_hand_over(_Atomic int *from, _Atomic int *to)
{
    int fd = atomic_exchange_explicit(from, -1, memory_order_relaxed);
    struct entry *entry = fd < 0 ? NULL : entry_get(fd);
    atomic_store_explicit(to, fd, memory_order_relaxed);
    if (!entry)
        return;
    entry->where = to;
    entry_put(entry);
}

void entry_close_protected(_Atomic int *where)
{
    int fd = atomic_exchange_explicit(where, -1, memory_order_relaxed);
    if (fd < 0)
        return;
    entry_remove(fd);
    REAL(close)(fd);
}

bool entry_is_protected(int fd)
{
    struct entry *entry = entry_get(fd);
    if (!entry)
        return false;
    bool is = entry->kind == ENTRY_INTERNAL;
    entry_put(entry);
    return is;
}

int entry_move_protected(int fd)
{
    struct entry *entry = entry_get(fd);
    if (!entry)
        return 0;
    int to = move_away(fd, entry);
    if (to >= 0) {
        atomic_store_explicit(entry->where, to, memory_order_relaxed);
        entry_remove(fd);
    }
    entry_put(entry);
    return to < 0 ? to : 0;
}

static void reset_lock(int fd, struct entry *entry, void *arg)
{
    (void)fd;
    (void)arg;
    atomic_store_explicit(&entry->lock, 0, memory_order_relaxed);
    if (entry->kind == ENTRY_EPOLL)
        epoll_reset_lock(entry);
}

void entry_reset_locks(void)
{
    atomic_store_explicit(&table_lock, 0, memory_order_relaxed);
    atomic_store_explicit(&entries.lock, 0, memory_order_relaxed);
    atomic_store_explicit(&lates.lock, 0, memory_order_relaxed);
    entry_each(reset_lock, NULL);
}
