/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/select.h"

#include "preload/entry.h"
#include "preload/poll.h"

#include <errno.h>
#include <string.h>

/* What select(2) says its sets mean in terms of poll(2). */
#define IN_EVENTS     (POLLRDNORM | POLLIN | POLLHUP | POLLERR)
#define OUT_EVENTS    (POLLWRNORM | POLLOUT | POLLERR)
#define EXCEPT_EVENTS (POLLPRI)

static bool has(const fd_set *set, int fd)
{
    return set && FD_ISSET(fd, set);
}

bool select_is_ours(int n, const fd_set *in, const fd_set *out, const fd_set *except)
{
    uint32_t limit = atomic_load_explicit(&entry_limit, memory_order_acquire);
    for (int fd = 0; limit && fd < n && fd < FD_SETSIZE && (uint32_t)fd < limit; fd++) {
        if (atomic_load_explicit(&entry_table[fd], memory_order_relaxed) &&
            (has(in, fd) || has(out, fd) || has(except, fd)))
            return true;
    }
    return false;
}

static nfds_t gather(struct pollfd *fds, int n, const fd_set *in, const fd_set *out,
                     const fd_set *except)
{
    nfds_t count = 0;
    for (int fd = 0; fd < n; fd++) {
        short events = (short)((has(in, fd) ? POLLIN : 0) | (has(out, fd) ? POLLOUT : 0) |
                               (has(except, fd) ? POLLPRI : 0));
        if (events)
            fds[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    return count;
}

static int mark(fd_set *set, const struct pollfd *fd, short asked, int means)
{
    if (!set || !(fd->events & asked))
        return 0;
    if (!(fd->revents & means)) {
        FD_CLR(fd->fd, set);
        return 0;
    }
    return 1;
}

/* The kernel writes whole words back, of which the bits from n on are 0. */
static void clear_beyond(int n, fd_set *set)
{
    for (int fd = n; set && fd < FD_SETSIZE && fd % NFDBITS != 0; fd++)
        FD_CLR(fd, set);
}

int select_await(int n, fd_set *in, fd_set *out, fd_set *except, uint64_t deadline,
                 const sigset_t *mask)
{
    struct pollfd fds[FD_SETSIZE];
    int marked = 0;
    if (n < 0)
        return -EINVAL;
    if (n > FD_SETSIZE)
        n = FD_SETSIZE;
    nfds_t count = gather(fds, n, in, out, except);
    int r = poll_await(fds, count, deadline, mask);
    if (r < 0)
        return r;
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].revents & POLLNVAL)
            return -EBADF;
    }
    clear_beyond(n, in);
    clear_beyond(n, out);
    clear_beyond(n, except);
    for (nfds_t i = 0; i < count; i++) {
        marked += mark(in, &fds[i], POLLIN, IN_EVENTS);
        marked += mark(out, &fds[i], POLLOUT, OUT_EVENTS);
        marked += mark(except, &fds[i], POLLPRI, EXCEPT_EVENTS);
    }
    return marked;
}
