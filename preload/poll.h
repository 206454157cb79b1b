/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll: poll(2) and ppoll(2) over the kernel's fds, the shim's sockets, and epoll instances that
 * hold some. Ready stack sockets are found by plain loads; else the thread sleeps in one ppoll() of
 * the kernel's fds and its doorbell. select(2) is made of this.
 *
 * Any thread.
 */
#ifndef DMM_PRELOAD_POLL_H
#define DMM_PRELOAD_POLL_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* True if one of the fds is the shim's. */
bool poll_is_ours(struct pollfd *fds, nfds_t n);
/* For such a set. `deadline`: ns of CLOCK_MONOTONIC; 0: at once; UINT64_MAX: none. The number of
 * ready fds, or a negative errno. */
int poll_await(struct pollfd *fds, nfds_t n, uint64_t deadline, const sigset_t *mask);
/* CLOCK_MONOTONIC plus ms (negative: UINT64_MAX) or plus *timeout (NULL: UINT64_MAX). */
uint64_t poll_deadline_ms(int ms);
/* Whether a time is one: neither negative nor with too many nanoseconds. */
bool poll_timeout_ok(const struct timespec *timeout);
uint64_t poll_deadline(const struct timespec *timeout);

#endif
