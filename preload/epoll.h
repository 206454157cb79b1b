/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll: the app's epoll instance with stack sockets in it. The epfd is the kernel's own; kernel
 * fds stay in it, untouched. When the first of the shim's sockets is added, the set gets a waitset
 * whose doorbell is put into the epfd too (edge-triggered, so that one ring wakes one thread), and
 * an item per socket here.
 *
 * Invariants
 *   - set->lock guards the set, its items and the ready queue; it is never held while sleeping.
 *     Order: entry->lock, then set->lock.
 *   - An item is on the ready queue at most once. An item is on it if the socket may be ready and
 *     that was not told yet (edge) or may still hold (level): as the kernel's ready list.
 *   - A watch of the set's waitset has the item's number + 1 as cookie, or is parked (waiter.h):
 * its socket was taken out and may come back. News whose item is gone, or not the set's, are
 * ignored.
 *   - The doorbell is edge-triggered, so what rang is read only now and then, long before it is
 * full.
 *   - While a thread sleeps in the epfd, and while the epfd is itself inside a poll or another
 * epoll
 *     (`nested`), the waitset is armed. Whoever takes news re-arms it for the others that sleep.
 *   - User data of the app's own kernel fds passes through. Items whose socket has a kernel part
 *     (a wildcard listener) are in the epfd with the app's data, or, for EPOLLONESHOT, with the
 * item's address; the doorbell has the set's, the kick the kick_tag's: addresses of our own, which
 * no app's data are.
 *
 *   - An epfd that several processes have since a fork (`apart`) tells each of them of the kernel's
 * fds alone. Each process then sleeps in an epoll instance of its own (`bed`), which has the epfd,
 *     its doorbell and its kick in it: a ring wakes whom it is for. What an item has been told lies
 *     in memory that they share (epoll_fork.c), so an edge is told to one of them.
 *
 * Any thread. Results are those of the calls, with a negative errno.
 */
#ifndef DMM_PRELOAD_EPOLL_H
#define DMM_PRELOAD_EPOLL_H

#include "preload/client.h"
#include "preload/entry.h"

#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>

/* What an edge-triggered item has been told of a part: more of it is an edge, the same is not. */
struct epoll_seen {
    uint32_t rx_tail, state, app_flags, error;
};

/* What an item has been told. Written under set->lock; where processes share it, `turn` is odd
 * while one writes, and changes with each writing. */
struct epoll_told {
    _Atomic uint32_t turn;
    bool fresh;    /* added or changed since: all that holds is an edge */
    bool fired;    /* EPOLLONESHOT: nothing more until it is changed */
    uint32_t full; /* entry->full_count when it was last told of room */
    struct epoll_seen seen[DMM_MAPPING_INSTANCES];
};

/* Memory for the told of items of one set, since a fork. */
struct epoll_shared {
    struct epoll_told *map;
    uint32_t size, live; /* items that it has room for; that still use it */
};

struct epoll_item {
    struct epoll_set *set; /* NULL: free */
    struct entry *entry;   /* not counted: the entry's end removes the item */
    int fd;                /* the number it was added by */
    uint32_t events;       /* as the app gave them */
    epoll_data_t data;
    uint32_t news;               /* kinds since the item was last told of */
    struct epoll_told *told;     /* its own, or shared */
    struct epoll_shared *shared; /* where *told lies; NULL: in `own` */
    struct epoll_told own;
    bool queued;       /* on the ready queue */
    bool in_kernel;    /* its fd is in the epfd too */
    uint8_t n_watches; /* of the entry's parts, from the first */
    uint8_t slots[DMM_MAPPING_INSTANCES];
    struct part watched[DMM_MAPPING_INSTANCES];
    struct epoll_item *next_ready, *prev_ready;
    struct epoll_item *next_in_set, *prev_in_set, *next_of_entry;
};

struct epoll_set {
    lock_word lock;
    int epfd; /* a number that refers to it; only for the calls of whoever has the entry */
    struct client *client; /* of the waitset; NULL: no waitset yet */
    uint32_t epoch;
    uint32_t waitset;
    _Atomic int doorbell;     /* protected fd */
    _Atomic int kick;         /* protected eventfd that wakes another sleeper; -1 until needed */
    _Atomic bool lost;        /* seq: a sidecar is gone; whoever drops the lock next sees to it */
    _Atomic bool nested;      /* relaxed; set under lock, never cleared */
    bool apart;               /* other processes have the epfd too, since a fork */
    _Atomic int bed;          /* protected epoll fd to sleep in; -1: the epfd */
    _Atomic int mover;        /* protected eventfd that wakes sleepers in the epfd; -1: none */
    uint32_t movers;          /* sleepers that are still to leave the epfd for the bed */
    _Atomic uint32_t recover; /* relaxed: serial of the recover_sleep that is in the epfd */
    bool kernel_fds;          /* there may be kernel fds in the epfd */
    uint32_t sleepers;
    uint32_t turns; /* calls since the kernel was asked */
    _Atomic uint32_t
        arms; /* relaxed: since the doorbell was read; as many tokens are in it at most */
    struct epoll_item *items;
    struct epoll_item *ready, *ready_last;
};

/* epoll_create() has given this number. */
void epoll_created(int fd);
int epoll_control(int epfd, int op, int fd, const struct epoll_event *event);
/* `deadline`: ns of CLOCK_MONOTONIC; 0: at once; UINT64_MAX: none. EPOLL_NATIVE: not ours. */
#define EPOLL_NATIVE INT32_MIN
int epoll_await(int epfd, struct epoll_event *events, int max, uint64_t deadline,
                const sigset_t *mask);

/* The entry's phase changed: items watch its parts, or move into the epfd. Under entry->lock. */
void epoll_changed(int fd, struct entry *entry);
/* The entry's one part has been replaced, and the old one closed. Under entry->lock. */
void epoll_part_replaced(struct entry *entry);
/* Before an undecided kernel socket is replaced: takes it out of the epfds. Under entry->lock. */
void epoll_leave_kernel(struct entry *entry);
/* The entry's end: its items go. */
void epoll_forget(struct entry *entry);
/* The set's end. */
void epoll_destroy(struct entry *entry);
/* True if the epfd has news of stack sockets now; from then on it becomes readable when it has. */
bool epoll_nest(struct entry *entry);
/* The sidecar is gone: sets give up their doorbells and look at all their items. */
void epoll_client_died(void);
void epoll_reset_lock(struct entry *entry);
/* Before a fork whose child may use the sets: they are shared from now on. */
void epoll_before_fork(void);
/* Before an exec or a spawn: what sets that survive it have of sockets that do, in a memfd for the
 * next image; -1: nothing. And there, once the sockets have been claimed: closes the memfd. */
int epoll_leave(void);
void epoll_restore(int memfd);
/* What a poll of the set's fd must ask in its place. */
int epoll_poll_fd(const struct entry *entry, int epfd);

#endif
