/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/process.h"

#include "preload/client.h"
#include "preload/entry.h"
#include "preload/recover.h"
#include "preload/waiter.h"

#include <errno.h>
#include <signal.h>

pid_t process_fork(pid_t (*real)(void))
{
    struct client_fork state;
    /* A master that never waits on its listeners hears of a sidecar's end only here. */
    if (client_latest())
        client_look_alive(client_latest());
    if (recover_fd() >= 0)
        recover_try();
    sigset_t all, before;
    /* No handler may run between the parts, neither here nor in the child. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    client_fork_prepare(&state);
    pid_t pid = real();
    int saved = errno;
    if (pid == 0) {
        entry_reset_locks();
        waiter_fork_child();
        recover_fork_child();
        client_fork_child(&state);
    } else {
        client_fork_parent(&state);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return pid;
}
