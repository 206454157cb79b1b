/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/splice.h"

#include "preload/calls.h"
#include "preload/ioctx.h"
#include "preload/message.h"
#include "preload/stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

/* fstat() of a young glibc is a symbol that old ones have not; only pipes have a pipe's size. */
static int check_pipe(int fd, int wanted)
{
    int flags = REAL(fcntl)(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if (REAL(fcntl)(fd, F_GETPIPE_SZ) < 0)
        return -EINVAL;
    return (flags & O_ACCMODE) == wanted || (flags & O_ACCMODE) == O_RDWR ? flags : -EBADF;
}

/* Waits until the pipe has (or takes) something. 0 or -EINTR. */
static int await_pipe(int pipe, short events)
{
    struct pollfd p = {.fd = pipe, .events = events};
    return REAL(poll)(&p, 1, -1) < 0 ? -errno : 0;
}

/* ---- pipe to socket ---- */

/* What the pipe holds: bytes; 0: its writers are gone; -EAGAIN: nothing yet. */
static ssize_t held(int pipe)
{
    struct pollfd p = {.fd = pipe, .events = POLLIN};
    int n = 0;
    if (REAL(ioctl)(pipe, FIONREAD, &n) < 0)
        return -errno;
    if (n > 0)
        return n;
    return REAL(poll)(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) && !(p.revents & POLLIN)
               ? 0
               : -EAGAIN;
}

ssize_t splice_send(int fd, struct entry *entry, int pipe, size_t len, unsigned flags)
{
    int how = check_pipe(pipe, O_RDONLY);
    if (how < 0)
        return how;
    bool nonblock = (flags & SPLICE_F_NONBLOCK) || (how & O_NONBLOCK);
    for (;;) {
        ssize_t n = held(pipe);
        if (n > 0)
            /* As splice_from_pipe(): what is there now, and no waiting for more. */
            return message_send_file(fd, entry, pipe, NULL, (size_t)n < len ? (size_t)n : len);
        if (n != -EAGAIN || nonblock)
            return n;
        int r = await_pipe(pipe, POLLIN);
        if (r < 0)
            return r;
    }
}

/* ---- socket to pipe ---- */

/* Writes without blocking: bytes, or -EAGAIN. */
static ssize_t give(int pipe, const struct iovec *iov, int n)
{
    ssize_t r;
#ifdef __GLIBC__
    r = REAL(pwritev2)(pipe, iov, n, -1, RWF_NOWAIT);
    if (r >= 0 || errno != EOPNOTSUPP)
        return r < 0 ? -errno : r;
#else
    (void)n;
#endif
    /* A pipe that says POLLOUT takes PIPE_BUF bytes at once (pipe(7)). */
    struct pollfd p = {.fd = pipe, .events = POLLOUT};
    if (REAL(poll)(&p, 1, 0) <= 0 || !(p.revents & (POLLOUT | POLLERR)))
        return -EAGAIN;
    r = REAL(write)(pipe, iov[0].iov_base, iov[0].iov_len < PIPE_BUF ? iov[0].iov_len : PIPE_BUF);
    return r < 0 ? -errno : r;
}

/* Moves what the ring holds. Bytes, 0: it holds nothing; -EAGAIN: the pipe is full. */
static ssize_t move(struct entry *entry, int pipe, size_t want)
{
    struct dmm_socket *sock = entry->part.sock;
    lock_take(&sock->rx_lock, socket_owner(entry));
    uint32_t head = atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
    /* Acquire, in this order: the ring seen holds all bytes up to the tail seen. */
    uint32_t tail = atomic_load_explicit(&sock->rx_tail, memory_order_acquire);
    dmm_ring_ref ring = atomic_load_explicit(&sock->rx_ring, memory_order_acquire);
    uint32_t size = dmm_ring_size(ring);
    uint32_t len = tail - head < want ? tail - head : (uint32_t)want;
    ssize_t moved = 0;
    if (len && len <= size) {
        char *base = io_ring(entry, ring);
        uint32_t start = head & (size - 1);
        uint32_t first = len < size - start ? len : size - start;
        const struct iovec iov[2] = {{.iov_base = base + start, .iov_len = first},
                                     {.iov_base = base, .iov_len = len - first}};
        moved = give(pipe, iov, iov[1].iov_len ? 2 : 1);
        if (moved > 0)
            /* Release: the bytes have been read. */
            atomic_store_explicit(&sock->rx_head, head + (uint32_t)moved, memory_order_release);
    }
    lock_drop(&sock->rx_lock);
    if (moved > 0)
        io_received(entry, &entry->part);
    return moved;
}

ssize_t splice_receive(struct entry *entry, int pipe, size_t len, unsigned flags)
{
    int how = check_pipe(pipe, O_WRONLY);
    uint64_t deadline = 0;
    if (how < 0)
        return how;
    if (atomic_load_explicit(&entry->phase, memory_order_acquire) != PHASE_STACK)
        return -ENOTCONN;
    struct dmm_socket *sock = entry->part.sock;
    bool nonblock = (flags & SPLICE_F_NONBLOCK) || (how & O_NONBLOCK);
    for (;;) {
        uint32_t state = socket_state(sock);
        uint32_t tail = atomic_load_explicit(&sock->rx_tail, memory_order_acquire);
        ssize_t moved = move(entry, pipe, len);
        int r = 0;
        if (moved > 0 || (moved < 0 && moved != -EAGAIN))
            return moved;
        if (moved == -EAGAIN) {
            r = nonblock ? -EAGAIN : await_pipe(pipe, POLLOUT);
        } else {
            ssize_t end = io_receive_end(sock, state);
            if (end != -EAGAIN)
                return end;
            r = socket_nonblock(entry) /* SPLICE_F_NONBLOCK is about the pipe */
                    ? -EAGAIN
                    : io_wait_beyond(entry, &entry->part, tail, false, &deadline);
        }
        if (r < 0)
            return r;
    }
}
