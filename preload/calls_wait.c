/* SPDX-License-Identifier: Apache-2.0 */
/* The intercepted calls that wait for many fds. */
#include "preload/calls.h"
#include "preload/epoll.h"
#include "preload/poll.h"
#include "preload/result.h"
#include "preload/select.h"
#include "preload/waiter.h"

#include <limits.h>
#include <stdlib.h>

/* ---- poll ---- */

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    if (!poll_is_ours(fds, n))
        return REAL(poll)(fds, n, timeout);
    return (int)result(poll_await(fds, n, poll_deadline_ms(timeout), NULL));
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    if (!poll_is_ours(fds, n))
        return REAL(ppoll)(fds, n, timeout, mask);
    if (!poll_timeout_ok(timeout))
        return (int)result(-EINVAL);
    return (int)result(poll_await(fds, n, poll_deadline(timeout), mask));
}

#ifdef __GLIBC__
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): libc's name */
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room)
{
    if (room / sizeof(*fds) < n)
        abort();
    return poll(fds, n, timeout);
}
#endif

#ifdef __GLIBC__
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): libc's name */
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
                size_t room)
{
    if (room / sizeof(*fds) < n)
        abort();
    return ppoll(fds, n, timeout, mask);
}
#endif

/* ---- select ---- */

int select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
    if (!select_is_ours(n, in, out, except))
        return REAL(select)(n, in, out, except, timeout);
    struct timespec ts = {.tv_sec = 0};
    if (timeout) {
        if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
            return (int)result(-EINVAL);
        ts.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
        ts.tv_nsec = timeout->tv_usec % 1000000 * 1000;
    }
    uint64_t deadline = poll_deadline(timeout ? &ts : NULL);
    int r = select_await(n, in, out, except, deadline, NULL);
    if (timeout && deadline != UINT64_MAX) {
        /* select(2): on Linux the timeout is changed to what was left. */
        uint64_t now = deadline ? waiter_now() : 0;
        uint64_t left = deadline > now ? (deadline - now) / 1000 : 0;
        timeout->tv_sec = (time_t)(left / 1000000);
        timeout->tv_usec = (suseconds_t)(left % 1000000);
    }
    return (int)result(r);
}

int pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
            const sigset_t *mask)
{
    if (!select_is_ours(n, in, out, except))
        return REAL(pselect)(n, in, out, except, timeout, mask);
    if (!poll_timeout_ok(timeout))
        return (int)result(-EINVAL);
    return (int)result(select_await(n, in, out, except, poll_deadline(timeout), mask));
}

/* ---- epoll ---- */

int epoll_create(int size)
{
    int fd = REAL(epoll_create)(size);
    epoll_created(fd);
    return fd;
}

int epoll_create1(int flags)
{
    int fd = REAL(epoll_create1)(flags);
    epoll_created(fd);
    return fd;
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    if (atomic_load_explicit(&entry_limit, memory_order_acquire) == 0)
        return REAL(epoll_ctl)(epfd, op, fd, event);
    return (int)result(epoll_control(epfd, op, fd, event));
}

int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
    if (atomic_load_explicit(&entry_limit, memory_order_acquire) <= (uint32_t)epfd)
        return REAL(epoll_pwait)(epfd, events, max, timeout, mask);
    int r = epoll_await(epfd, events, max, poll_deadline_ms(timeout), mask);
    return r == EPOLL_NATIVE ? REAL(epoll_pwait)(epfd, events, max, timeout, mask) : (int)result(r);
}

int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    return epoll_pwait(epfd, events, max, timeout, NULL);
}

#ifdef __GLIBC__
int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                 const sigset_t *mask)
{
    if (!poll_timeout_ok(timeout))
        return (int)result(-EINVAL);
    int r = epoll_await(epfd, events, max, poll_deadline(timeout), mask);
    return r == EPOLL_NATIVE ? REAL(epoll_pwait2)(epfd, events, max, timeout, mask)
                             : (int)result(r);
}
#endif
