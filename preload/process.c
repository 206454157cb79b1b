/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/process.h"

#include "preload/client.h"
#include "preload/entry.h"
#include "preload/epoll.h"
#include "preload/recover.h"
#include "preload/waiter.h"

#include <errno.h>
#include <signal.h>

void process_before(struct process_split *split, bool uses_sets)
{
    sigset_t all;
    /* A master that never waits on its listeners hears of a sidecar's end only here. */
    if (client_latest())
        client_look_alive(client_latest());
    if (recover_pending())
        recover_try();
    if (uses_sets)
        epoll_before_fork();
    /* No handler may run between the parts, neither here nor in the child. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &split->mask);
    client_fork_prepare(&split->state);
}

void process_after(struct process_split *split, pid_t pid)
{
    int saved = errno;
    if (pid == 0) {
        entry_reset_locks();
        waiter_fork_child();
        recover_fork_child();
        client_fork_child(&split->state);
    } else {
        client_fork_parent(&split->state);
    }
    sigprocmask(SIG_SETMASK, &split->mask, NULL);
    errno = saved;
}

pid_t process_fork(pid_t (*real)(void), bool uses_sets)
{
    struct process_split split;
    process_before(&split, uses_sets);
    pid_t pid = real();
    process_after(&split, pid);
    return pid;
}
