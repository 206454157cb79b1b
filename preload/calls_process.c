/* SPDX-License-Identifier: Apache-2.0 */
/* The intercepted calls that make processes. */
#include "preload/calls.h"
#include "preload/process.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

pid_t fork(void)
{
    return process_fork(REAL(fork), true);
}

pid_t _Fork(void)
{
    return process_fork(REAL(_Fork), true);
}

/* A function cannot stand between vfork() and its caller: the child is a plain one, which POSIX
 * allows. It has the sockets, for what it executes may inherit some. */
pid_t vfork(void)
{
    return process_fork(REAL(fork), false);
}

/* ---- clone ---- */

/* What the child of clone() does first. It lies on the parent's stack, of which the child has its
 * copy: without CLONE_VM nothing else is shared. */
struct cloned {
    struct process_split split;
    int (*fn)(void *);
    void *arg;
};

static int begin_cloned(void *arg)
{
    struct cloned *cloned = arg;
    process_after(&cloned->split, 0);
    return cloned->fn(cloned->arg);
}

/* A thread, or something like vfork(), is libc's matter; a process of its own is forked. */
int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
    va_list ap;
    va_start(ap, arg);
    pid_t *parent_tid = va_arg(ap, pid_t *);
    void *tls = va_arg(ap, void *);
    pid_t *child_tid = va_arg(ap, pid_t *);
    va_end(ap);
    if (flags & (CLONE_VM | CLONE_FILES))
        return REAL(clone)(fn, stack, flags, arg, parent_tid, tls, child_tid);
    struct cloned cloned = {.fn = fn, .arg = arg};
    process_before(&cloned.split, true);
    int pid = REAL(clone)(begin_cloned, stack, flags, &cloned, parent_tid, tls, child_tid);
    process_after(&cloned.split, pid < 0 ? -1 : pid);
    return pid;
}

/* ---- daemon ---- */

/* libc's own calls fork() where it can't be intercepted. */
int daemon(int nochdir, int noclose)
{
    pid_t pid = process_fork(REAL(fork), true);
    if (pid < 0)
        return -1;
    if (pid > 0)
        _exit(0);
    if (setsid() < 0)
        return -1;
    if (!nochdir && chdir("/") < 0)
        return -1;
    if (noclose)
        return 0;
    int fd = open("/dev/null", O_RDWR);
    if (fd < 0)
        return -1;
    for (int to = 0; to < 3; to++) {
        if (dup2(fd, to) < 0)
            return -1;
    }
    if (fd > 2)
        close(fd);
    return 0;
}
