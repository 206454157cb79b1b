/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover: listening sockets outlive the sidecar. When it goes, they are suspended instead of
 * reset: they accept nothing, and the app sees a pause. When it is back (its socket appears in the
 * pod directory, which an inotify fd tells to whoever sleeps meanwhile), the process attaches with
 * its old token and opens, binds and listens again; processes that shared a listener share it
 * again.
 *
 * Invariants: entry->suspended is set only by recover_suspend() and cleared by a recovery or the
 * entry's end; the inotify fd exists from the first wait with a suspended socket until there is
 * none. Any thread.
 */
#ifndef DMM_PRELOAD_RECOVER_H
#define DMM_PRELOAD_RECOVER_H

#include "preload/client.h"
#include "preload/entry.h"

/* The entry is a listener of a dead client. */
void recover_suspend(struct entry *entry);
/* The entry ends. */
void recover_forget(struct entry *entry);

/* What to sleep on besides all else (readable: call recover_try); -1: nothing is suspended, or it
 * has just been recovered. */
int recover_fd(void);
/* The sidecar may be back: attaches, which recovers everything. */
void recover_try(void);
/* A client has just been attached: brings back what is suspended. */
void recover_all(struct client *client);
/* Sleeps until recover_fd() or kernel_fd (-1: none) is readable. 0, -EINTR, or -EAGAIN after the
 * deadline (0: none). */
int recover_wait(int kernel_fd, uint64_t deadline);
/* In a forked child: the parent's inotify fd is closed. */
void recover_fork_child(void);

#endif
