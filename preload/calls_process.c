/* SPDX-License-Identifier: Apache-2.0 */
/* The intercepted calls that make processes. */
#include "preload/calls.h"
#include "preload/process.h"

#include <errno.h>
#include <stdlib.h>

pid_t fork(void)
{
    return process_fork(REAL(fork));
}

pid_t _Fork(void)
{
    return process_fork(REAL(_Fork));
}

/* A function cannot stand between vfork() and its caller: the child is a plain one, which POSIX
 * allows. It has the sockets, for what it executes may inherit some. */
pid_t vfork(void)
{
    return process_fork(REAL(fork));
}

/* libc's own calls fork() where it can't be intercepted. */
int daemon(int nochdir, int noclose)
{
    pid_t pid = process_fork(REAL(fork));
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
