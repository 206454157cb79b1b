/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process: fork with the shim's state: the child becomes a process of the same client, with holds
 * on all its sockets, a channel and a waitset of its own. Only one thread survives in the child, so
 * locks that others may have held are freed there.
 */
#ifndef DMM_PRELOAD_PROCESS_H
#define DMM_PRELOAD_PROCESS_H

#include <sys/types.h>

#include "preload/client.h"

#include <signal.h>

/* The two halves around whatever makes the child: it may be made in between only. `after` runs in
 * both, with what the call returned. Signals are held back in between. errno is kept. */
struct process_split {
    struct client_fork state;
    sigset_t mask;
};
/* `uses_sets`: false if the child only executes another program, and waits for nothing before. */
void process_before(struct process_split *split, bool uses_sets);
void process_after(struct process_split *split, pid_t pid);

/* fork(2), by `real`: libc's fork() or _Fork(). */
pid_t process_fork(pid_t (*real)(void), bool uses_sets);

#endif
