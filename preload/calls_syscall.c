/* SPDX-License-Identifier: Apache-2.0 */
/* syscall(2): programs that make calls by number (libuv closes its sockets so) reach the same
 * functions as by name. Numbers that are not intercepted, and those of a process that has no socket
 * of ours yet, go straight to libc: allocators call here before they work themselves.
 *
 * io_uring would go past the shim to the placeholders; a program that is told that there is none
 * uses epoll. (One that makes the call by its own instruction is not seen: docs/sockets.md.) */
#include "preload/calls.h"
#include "preload/entry.h"
#include "preload/process.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

#define N_ARGUMENTS 6

/* What a number stands for is done by the function of that name: true, and its result. */
typedef bool by_number(long number, const long a[N_ARGUMENTS], long *result);

#define PTR(type, value) ((type *)(uintptr_t)(value))

static bool by_socket(long number, const long a[N_ARGUMENTS], long *result)
{
    switch (number) {
    case SYS_bind:
        *result = bind((int)a[0], PTR(struct sockaddr, a[1]), (socklen_t)a[2]);
        break;
    case SYS_listen:
        *result = listen((int)a[0], (int)a[1]);
        break;
#ifdef SYS_accept
    case SYS_accept:
        *result = accept((int)a[0], PTR(struct sockaddr, a[1]), PTR(socklen_t, a[2]));
        break;
#endif
    case SYS_accept4:
        *result = accept4((int)a[0], PTR(struct sockaddr, a[1]), PTR(socklen_t, a[2]), (int)a[3]);
        break;
    case SYS_connect:
        *result = connect((int)a[0], PTR(struct sockaddr, a[1]), (socklen_t)a[2]);
        break;
    case SYS_shutdown:
        *result = shutdown((int)a[0], (int)a[1]);
        break;
    case SYS_getsockname:
        *result = getsockname((int)a[0], PTR(struct sockaddr, a[1]), PTR(socklen_t, a[2]));
        break;
    case SYS_getpeername:
        *result = getpeername((int)a[0], PTR(struct sockaddr, a[1]), PTR(socklen_t, a[2]));
        break;
    case SYS_getsockopt:
        *result =
            getsockopt((int)a[0], (int)a[1], (int)a[2], PTR(void, a[3]), PTR(socklen_t, a[4]));
        break;
    case SYS_setsockopt:
        *result = setsockopt((int)a[0], (int)a[1], (int)a[2], PTR(void, a[3]), (socklen_t)a[4]);
        break;
    default:
        return false;
    }
    return true;
}

static bool by_data(long number, const long a[N_ARGUMENTS], long *result)
{
    switch (number) {
    case SYS_read:
        *result = read((int)a[0], PTR(void, a[1]), (size_t)a[2]);
        break;
    case SYS_write:
        *result = write((int)a[0], PTR(void, a[1]), (size_t)a[2]);
        break;
    case SYS_readv:
        *result = readv((int)a[0], PTR(struct iovec, a[1]), (int)a[2]);
        break;
    case SYS_writev:
        *result = writev((int)a[0], PTR(struct iovec, a[1]), (int)a[2]);
        break;
    case SYS_recvfrom:
        *result = recvfrom((int)a[0], PTR(void, a[1]), (size_t)a[2], (int)a[3],
                           PTR(struct sockaddr, a[4]), PTR(socklen_t, a[5]));
        break;
    case SYS_recvmsg:
        *result = recvmsg((int)a[0], PTR(struct msghdr, a[1]), (int)a[2]);
        break;
    case SYS_recvmmsg:
        *result = recvmmsg((int)a[0], PTR(struct mmsghdr, a[1]), (unsigned)a[2], (int)a[3],
                           PTR(struct timespec, a[4]));
        break;
    case SYS_sendto:
        *result = sendto((int)a[0], PTR(void, a[1]), (size_t)a[2], (int)a[3],
                         PTR(struct sockaddr, a[4]), (socklen_t)a[5]);
        break;
    case SYS_sendmsg:
        *result = sendmsg((int)a[0], PTR(struct msghdr, a[1]), (int)a[2]);
        break;
    case SYS_sendmmsg:
        *result = sendmmsg((int)a[0], PTR(struct mmsghdr, a[1]), (unsigned)a[2], (int)a[3]);
        break;
    case SYS_sendfile:
        *result = sendfile((int)a[0], (int)a[1], PTR(off_t, a[2]), (size_t)a[3]);
        break;
    default:
        return false;
    }
    return true;
}

static bool by_fd(long number, const long a[N_ARGUMENTS], long *result)
{
    switch (number) {
    case SYS_close:
        *result = close((int)a[0]);
        break;
#ifdef SYS_close_range
    case SYS_close_range:
        *result = close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
        break;
#endif
    case SYS_dup:
        *result = dup((int)a[0]);
        break;
#ifdef SYS_dup2
    case SYS_dup2:
        *result = dup2((int)a[0], (int)a[1]);
        break;
#endif
    case SYS_dup3:
        *result = dup3((int)a[0], (int)a[1], (int)a[2]);
        break;
    case SYS_fcntl:
        *result = fcntl((int)a[0], (int)a[1], a[2]);
        break;
    case SYS_ioctl:
        *result = ioctl((int)a[0], (unsigned long)a[1], a[2]);
        break;
    default:
        return false;
    }
    return true;
}

static bool by_wait(long number, const long a[N_ARGUMENTS], long *result)
{
    switch (number) {
#ifdef SYS_poll
    case SYS_poll:
        *result = poll(PTR(struct pollfd, a[0]), (nfds_t)a[1], (int)a[2]);
        break;
#endif
    case SYS_ppoll:
        *result = ppoll(PTR(struct pollfd, a[0]), (nfds_t)a[1], PTR(struct timespec, a[2]),
                        PTR(sigset_t, a[3]));
        break;
#ifdef SYS_select
    case SYS_select:
        *result = select((int)a[0], PTR(fd_set, a[1]), PTR(fd_set, a[2]), PTR(fd_set, a[3]),
                         PTR(struct timeval, a[4]));
        break;
#endif
    case SYS_pselect6: /* the last argument points to the mask's address, and its size */
        *result = pselect((int)a[0], PTR(fd_set, a[1]), PTR(fd_set, a[2]), PTR(fd_set, a[3]),
                          PTR(struct timespec, a[4]), a[5] ? *PTR(const sigset_t *, a[5]) : NULL);
        break;
    case SYS_epoll_ctl:
        *result = epoll_ctl((int)a[0], (int)a[1], (int)a[2], PTR(struct epoll_event, a[3]));
        break;
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
        *result = epoll_wait((int)a[0], PTR(struct epoll_event, a[1]), (int)a[2], (int)a[3]);
        break;
#endif
    case SYS_epoll_pwait:
        *result = epoll_pwait((int)a[0], PTR(struct epoll_event, a[1]), (int)a[2], (int)a[3],
                              PTR(sigset_t, a[4]));
        break;
#if defined(SYS_epoll_pwait2) && defined(__GLIBC__)
    case SYS_epoll_pwait2:
        *result = epoll_pwait2((int)a[0], PTR(struct epoll_event, a[1]), (int)a[2],
                               PTR(struct timespec, a[3]), PTR(sigset_t, a[4]));
        break;
#endif
    default:
        return false;
    }
    return true;
}

/* clone(2) and clone3(2) that make a process of its own are a fork. False: libc's matter. */
static bool by_clone(long number, const long a[N_ARGUMENTS], uint64_t flags, long *result)
{
    struct process_split split;
    if (flags & (CLONE_VM | CLONE_FILES))
        return false;
    process_before(&split, true);
    *result = REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    process_after(&split, (pid_t)*result);
    return true;
}

/* Calls that concern the shim whether it has sockets yet or not. */
static bool by_itself(long number, const long a[N_ARGUMENTS], long *result)
{
    switch (number) {
    case SYS_socket:
        *result = socket((int)a[0], (int)a[1], (int)a[2]);
        break;
#ifdef SYS_fork
    case SYS_fork:
        *result = fork();
        break;
#endif
    case SYS_clone:
        return by_clone(number, a, (unsigned long)a[0], result);
#ifdef SYS_clone3
    case SYS_clone3:
        return by_clone(number, a, a[0] ? *PTR(uint64_t, a[0]) : CLONE_VM, result);
#endif
    case SYS_execve:
        *result = execve(PTR(char, a[0]), PTR(char *, a[1]), PTR(char *, a[2]));
        break;
    case SYS_execveat:
        *result =
            execveat((int)a[0], PTR(char, a[1]), PTR(char *, a[2]), PTR(char *, a[3]), (int)a[4]);
        break;
#ifdef SYS_io_uring_setup
    case SYS_io_uring_setup:
        errno = ENOSYS;
        *result = -1;
        break;
#endif
    default:
        return false;
    }
    return true;
}

/* More arguments may be read than the caller passed, whatever lies there, as libc's own does. */
__attribute__((no_sanitize("address"))) long syscall(long number, ...)
{
    static by_number *const kinds[] = {by_fd, by_data, by_socket, by_wait};
    long a[N_ARGUMENTS];
    long result;
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < N_ARGUMENTS; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (by_itself(number, a, &result))
        return result;
    if (atomic_load_explicit(&entry_limit, memory_order_acquire)) {
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            if (kinds[i](number, a, &result))
                return result;
        }
    }
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
