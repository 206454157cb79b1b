/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry: what the shim knows of one open file description of its own, and the table fd -> entry.
 *
 * Invariants
 *   - An fd that is not the shim's has no entry: entry_get() then costs one or two loads.
 *   - Memory of entries is type-stable: it is only ever reused for entries. `refs` counts the fds
 *     in the table that refer to the entry and the calls that are at work on it; at 0 the entry is
 *     taken apart by entry_put() (see socket_destroy, epoll_destroy) and reused.
 *   - ENTRY_INTERNAL stands for the shim's own fds (control connection, doorbells, the region's
 *     eventfd, the anchor), which the app must neither close nor replace.
 *
 * A socket's life:
 *   UNDECIDED  no stack chosen. The fd is a placeholder, or a real kernel socket (`kernel`), as the
 *              mapping makes likely. `late` holds the options set so far. A part may exist already,
 *              opened on the likely stack so that its options could be asked.
 *   STACK      lives on one stack: `sock` is set, the fd is a placeholder.
 *   MULTI      bound to several instances: `late->parts`, and the kernel if `kernel`.
 *   NATIVE     turned out to be the kernel's, for good: every call passes the entry by.
 * Changes of phase are made under `lock` and published by storing `phase` (release).
 *
 * Any thread. Nothing here allocates from the app's heap.
 */
#ifndef DMM_PRELOAD_ENTRY_H
#define DMM_PRELOAD_ENTRY_H

#include "common/region.h"
#include "preload/lock.h"
#include "preload/record.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ENTRY_FD_MAX (1u << 20) /* fds beyond never become the shim's */
/* The shim's own fds begin here: out of the way of numbers that apps expect, but inside the first
 * kernel table of 1024, so that they cost no memory. */
#define ENTRY_OWN_FDS 960

enum entry_kind { ENTRY_FREE, ENTRY_INTERNAL, ENTRY_SOCKET, ENTRY_EPOLL };
enum entry_phase { PHASE_UNDECIDED, PHASE_STACK, PHASE_MULTI, PHASE_NATIVE };

struct client;
struct epoll_set;
struct epoll_item;

/* One socket on one stack instance. An entry's own may get another socket under threads that are at
 * work on it (part_replace): half the old and half the new one are two sockets of this process, and
 * the old one ends a call as it does when it was seen whole. Reads are sequentially consistent, on
 * x86 plain loads. */
struct part {
    struct dmm_socket *_Atomic sock;
    _Atomic uint32_t index; /* of sock in its region */
    uint8_t instance;       /* of the mapping */
    uint8_t family;         /* that it was opened with: AF_INET under an AF_INET6 entry is mapped */
};

/* `part` gets the socket of `by`, one of the same instance and family. Under the entry's lock. */
static inline void part_replace(struct part *part, const struct part *by)
{
    /* Release: what was written into the new socket comes before it. */
    atomic_store_explicit(&part->sock, by->sock, memory_order_release);
    atomic_store_explicit(&part->index, by->index, memory_order_release);
}

/* Through which instance a peer of a datagram socket wrote last. */
struct peer_route {
    struct dmm_addr peer;
    uint8_t instance;
};
#define LATE_ROUTES 64

/* What only sockets need that are not simply connected. */
struct late {
    struct record record;                     /* options set before the decision */
    struct part parts[DMM_MAPPING_INSTANCES]; /* MULTI, or part 0 while UNDECIDED */
    _Atomic uint32_t n_parts;                 /* rel/acq */
    struct dmm_addr bound;                    /* with its port; family 0: not bound */
    bool bound_port;                          /* the app chose the port */
    int backlog;                              /* of listen(); -1: not listening */
    _Atomic uint32_t turn;                    /* relaxed: where the fair merge begins */
    _Atomic uint32_t kernel_idle; /* relaxed: how often in a row the kernel had no connection */
    struct peer_route routes[LATE_ROUTES]; /* under the entry's lock; by hash of the peer */
};

struct entry {
    /* The first two are looked at without a reference: only ever written as atomics. */
    _Atomic uint32_t refs;
    _Atomic uint8_t phase;  /* enum entry_phase, rel/acq; a freed entry keeps it */
    uint8_t kind;           /* enum entry_kind */
    _Atomic bool suspended; /* a listener that waits for the sidecar: see recover.h; acq/rel */
    bool kernel;            /* the fd is (also) a real kernel socket */
    uint8_t family, type, protocol;
    _Atomic uint32_t status; /* relaxed: O_NONBLOCK while no part keeps it; see socket_nonblock() */
    lock_word lock;          /* changes of phase, parts, late, items */
    struct client *client;   /* that the parts live in; NULL: none */
    struct part part;        /* STACK */
    struct late *late;
    struct cork *cork;        /* under lock: a datagram under way; see cork.h */
    struct epoll_item *items; /* under lock: in which epoll sets */
    struct epoll_set *set;    /* ENTRY_EPOLL */
    _Atomic int *where;       /* ENTRY_INTERNAL: what holds its number; relaxed */
    /* relaxed: connected ahead, so the names in the region may not be there yet */
    _Atomic bool unnamed;
    _Atomic uint32_t grow_asked; /* relaxed: transmit ring bytes last asked for */
    _Atomic uint32_t full_count; /* relaxed: how often a send found no room */
    _Atomic uint32_t idle_looks; /* relaxed: fruitless looks since the sidecar was seen alive */
    /* What the fd's own placeholder stands for, if it has one (share.h); under lock. */
    struct {
        const struct client *client; /* NULL: it has none */
        uint32_t index;
        uint8_t phase;
        bool signals; /* the sidecar writes into it: see signals.h */
    } shared;
    _Atomic int
        companion; /* protected fd: the placeholder where the fd is the kernel's; -1: none */
};

/* relaxed: 1 + the highest fd that ever had an entry; grows only. */
extern _Atomic uint32_t entry_limit;
/* Reserved once, at the first entry, before entry_limit becomes non-zero. */
extern struct entry *_Atomic *entry_table;

struct entry *entry_hold(uint32_t fd, struct entry *entry);

/* What the table has at `fd`, without a reference, or NULL. */
static inline struct entry *entry_look(int fd)
{
    /* Acquire: the table was made before. On x86 a plain load. */
    if (__builtin_expect((uint32_t)fd >= atomic_load_explicit(&entry_limit, memory_order_acquire),
                         1))
        return NULL;
    return atomic_load_explicit(&entry_table[fd], memory_order_acquire);
}

/* The entry of `fd` with a reference of the caller's, or NULL. */
static inline struct entry *entry_get(int fd)
{
    struct entry *entry = entry_look(fd);
    return __builtin_expect(entry == NULL, 1) ? NULL : entry_hold((uint32_t)fd, entry);
}

/* As entry_get, but only for sockets that are not the kernel's. */
static inline struct entry *entry_get_socket(int fd);

void entry_put(struct entry *entry);

/* A new entry with one reference, which the caller owns; NULL: no memory. */
struct entry *entry_new(enum entry_kind kind);
/* For a socket entry: gives it a `late`. 0 or -ENOBUFS. */
int entry_need_late(struct entry *entry);
void entry_drop_late(struct entry *entry);

/* Puts a reference of the table's own to `entry` at `fd`, replacing what was there. 0, or -EMFILE
 * (fd is too high) or -ENOBUFS; then the table is as before. */
int entry_install(int fd, struct entry *entry);
/* Takes `fd` out of the table and drops the table's reference. */
void entry_remove(int fd);
/* Calls `fn` for each fd in the table (fd, entry, arg). The table may change meanwhile; the entry
 * is held during the call. */
void entry_each(void (*fn)(int fd, struct entry *entry, void *arg), void *arg);

/* Moves a new fd of the shim's own to a high number, close-on-exec, and protects it. Owns `fd` from
 * now on. The number is stored in *where, which must stay valid until the fd is closed: it is
 * changed when the app takes the number for itself. 0 or a negative errno (then fd is closed and
 * *where is -1). */
int entry_protect(int fd, _Atomic int *where);
/* What *from holds is *to's from now on. */
void entry_hand_over(_Atomic int *from, _Atomic int *to);
/* Closes the protected fd in *where, which becomes -1; nothing if it is -1 already. */
void entry_close_protected(_Atomic int *where);
bool entry_is_protected(int fd);
/* The app wants this number: the protected fd gets another. 0 or a negative errno. */
int entry_move_protected(int fd);

/* In a forked child, whose other threads are gone: frees the locks that they may have held. */
void entry_reset_locks(void);

/* Whether `entry`, just read at `fd`, is a kernel socket's. NATIVE is an entry's last phase: seen
 * while the table has the entry, it needs no reference, which would be two atomic operations for
 * each call on a kernel-mapped socket. Memory of entries is type-stable, so the look itself is
 * safe; the table is read again because the entry may have been freed, or another fd's, by then. */
static inline bool entry_is_native(int fd, struct entry *entry)
{
    return atomic_load_explicit(&entry->phase, memory_order_acquire) == PHASE_NATIVE &&
           atomic_load_explicit(&entry_table[fd], memory_order_relaxed) == entry;
}

static inline struct entry *entry_get_socket(int fd)
{
    struct entry *entry = entry_look(fd);
    if (__builtin_expect(entry == NULL, 1) || entry_is_native(fd, entry))
        return NULL;
    entry = entry_hold((uint32_t)fd, entry);
    if (!entry)
        return NULL;
    if (entry->kind == ENTRY_SOCKET &&
        atomic_load_explicit(&entry->phase, memory_order_acquire) != PHASE_NATIVE)
        return entry;
    entry_put(entry);
    return NULL;
}

#endif
