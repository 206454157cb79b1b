/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover: listening sockets outlive the sidecar. When it goes, they are suspended instead of
 * reset: they accept nothing, and the app sees a pause. When it is back (its socket appears in the
 * pod directory, which an inotify fd tells to whoever sleeps meanwhile), the process attaches with
 * its old token and opens, binds and listens again; processes that shared a listener share it
 * again.
 *
 * Invariants: entry->suspended is set only by recover_suspend() and cleared by a recovery or the
 * entry's end; both under the state's lock. What sleepers sleep on exists from the first wait with
 * a suspended socket until something has been recovered; each sleeper holds it from before its last
 * look until it has woken, so the number is that of no other file, and a recovery by another thread
 * is never missed. Any thread; the lock order is entry->lock, set->lock, then the state's.
 */
#ifndef DMM_PRELOAD_RECOVER_H
#define DMM_PRELOAD_RECOVER_H

#include "preload/client.h"
#include "preload/entry.h"

/* The entry was a listener of `client`, which is dead. */
void recover_suspend(struct entry *entry, const struct client *client);
/* The entry ends. */
void recover_forget(struct entry *entry);

/* A sleeper's hold on what it sleeps on. */
struct recover_sleep {
    int fd;          /* readable: call recover_try(); -1: nothing is suspended, or fds are short */
    uint32_t serial; /* tells it from others that have the same number later; 0: none */
    struct watch *watch;
};

bool recover_pending(void);
/* Before sleeping, and before the last look: holds it. False, fd -1: there is none. */
bool recover_begin(struct recover_sleep *sleep);
/* While held: something has been recovered since. The fd stays readable. */
bool recover_over(const struct recover_sleep *sleep);
void recover_end(struct recover_sleep *sleep);
/* The sidecar may be back: attaches, which recovers everything. */
void recover_try(void);
/* A client has just been attached: brings back what is suspended. */
void recover_all(struct client *client);
/* Sleeps while the entry is suspended and neither the sidecar nor kernel_fd (-1: none) has news. 0
 * (look again), -EINTR, or -EAGAIN after the deadline (0: none). */
int recover_wait(struct entry *entry, int kernel_fd, uint64_t deadline);
/* In a forked child. */
void recover_fork_child(void);

#endif
