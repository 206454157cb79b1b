/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/stream.h"

#include "common/ring.h"
#include "preload/calls.h"
#include "preload/cork.h"
#include "preload/ioctx.h"
#include "preload/options.h"
#include "preload/peek.h"
#include "preload/ready.h"
#include "preload/signals.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>

#define LOOK_ALIVE_EVERY 256 /* fruitless calls between looks at the sidecar */
#define FILE_CHUNK       (256u << 10)
#define UNSENT_PIECE     (64u << 10) /* about what Linux puts into one buffer */

static ssize_t nothing_yet(struct entry *entry)
{
    /* An app that keeps asking without ever sleeping on a doorbell finds out here. */
    if (atomic_fetch_add_explicit(&entry->idle_looks, 1, memory_order_relaxed) % LOOK_ALIVE_EVERY ==
        LOOK_ALIVE_EVERY - 1)
        client_look_alive(entry->client);
    return -EAGAIN;
}

/* ---- receive ---- */

static void copy_out(const struct entry *entry, dmm_ring_ref ring, uint32_t at,
                     const struct iovec *iov, size_t n, size_t skip, uint32_t len)
{
    const char *base = io_ring(entry, ring);
    uint32_t size = dmm_ring_size(ring);
    if (n == 1) {
        dmm_ring_read(base, size, at, (char *)iov[0].iov_base + skip, len);
        return;
    }
    uint32_t start = at & (size - 1);
    uint32_t first = len < size - start ? len : size - start;
    io_scatter(iov, n, skip, base + start, first);
    io_scatter(iov, n, skip + first, base, len - first);
}

/* Takes what is there now, up to `want` bytes: bytes, 0 for none. */
static size_t take(struct entry *entry, const struct iovec *iov, size_t n, size_t skip, size_t want,
                   int flags)
{
    struct dmm_socket *sock = entry->part.sock;
    lock_take(&sock->rx_lock, socket_owner(entry));
    uint32_t head = atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
    /* Acquire, in this order: the ring seen holds all bytes up to the tail seen. */
    uint32_t tail = atomic_load_explicit(&sock->rx_tail, memory_order_acquire);
    dmm_ring_ref ring = atomic_load_explicit(&sock->rx_ring, memory_order_acquire);
    int32_t offset = (flags & MSG_PEEK) ? peek_offset(sock) : 0;
    uint32_t ahead = offset > 0 ? (uint32_t)offset : 0;
    uint32_t held = tail - head;
    ahead = ahead < held ? ahead : held;
    held -= ahead;
    uint32_t len = held < want ? held : (uint32_t)want;
    if (len > dmm_ring_size(ring))
        len = 0;
    if (len && !(flags & MSG_TRUNC))
        copy_out(entry, ring, head + ahead, iov, n, skip, len);
    if (len && !(flags & MSG_PEEK))
        /* Release: the bytes have been read. */
        atomic_store_explicit(&sock->rx_head, head + len, memory_order_release);
    lock_drop(&sock->rx_lock);
    if (len && !(flags & MSG_PEEK)) {
        peek_move_offset(sock, len, flags);
        io_received(entry, &entry->part);
    }
    return len;
}

static size_t receive_target(struct dmm_socket *sock, size_t want, int flags)
{
    if (want == 0)
        return 1;
    if (flags & MSG_WAITALL)
        return want;
    uint32_t lowat = socket_word(sock, WORD_RCVLOWAT);
    if (lowat <= 1)
        return 1;
    return lowat < want ? lowat : want;
}

static ssize_t receive(struct entry *entry, const struct iovec *iov, size_t n, int flags)
{
    struct dmm_socket *sock = entry->part.sock;
    ssize_t total = io_total(iov, n);
    if (total < 0)
        return total;
    if (flags & MSG_ERRQUEUE)
        return -EAGAIN;
    if (flags & MSG_OOB)
        return -EINVAL; /* recv(2): there is none apart, urgent data comes in line */
    size_t want = (size_t)total;
    size_t target = receive_target(sock, want, flags);
    size_t done = 0;
    uint64_t deadline = 0;
    bool nonblock = (flags & MSG_DONTWAIT) || socket_nonblock(entry);
    for (;;) {
        uint32_t state = socket_state(sock);
        uint32_t tail = atomic_load_explicit(&sock->rx_tail, memory_order_acquire);
        size_t len = take(entry, iov, n, (flags & MSG_PEEK) ? 0 : done,
                          (flags & MSG_PEEK) ? want : want - done, flags);
        done = (flags & MSG_PEEK) ? len : done + len;
        /* recv(2) of no bytes waits, too, until there are some. */
        bool some = want == 0 && tail != atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
        if (done >= target || some)
            return (ssize_t)done;
        ssize_t end = done && nonblock ? (ssize_t)done : io_receive_end(sock, state);
        if (end != -EAGAIN)
            return done ? (ssize_t)done : end;
        if (nonblock)
            return nothing_yet(entry);
        int r = io_wait_beyond(entry, &entry->part, tail, done > 0, &deadline);
        if (r < 0)
            return done ? (ssize_t)done : r;
    }
}

ssize_t stream_receive(struct entry *entry, const struct iovec *iov, size_t n, int flags)
{
    signals_looked_at(entry);
    ssize_t r = receive(entry, iov, n, flags);
    if (r > 0 && (flags & MSG_PEEK))
        peek_move_offset(entry->part.sock, (size_t)r, flags);
    return r;
}

/* ---- send ---- */

static uint32_t send_limit(struct dmm_socket *sock)
{
    uint32_t sndbuf = socket_word(sock, WORD_SNDBUF);
    bool grows = !(socket_word(sock, WORD_STATUS) & STATUS_SNDBUF_LOCK);
    return grows && sndbuf < OPTIONS_SNDBUF_DEFAULT ? OPTIONS_SNDBUF_DEFAULT : sndbuf;
}

static void copy_in(const struct entry *entry, dmm_ring_ref ring, uint32_t at,
                    const struct iovec *iov, size_t n, size_t skip, uint32_t len)
{
    char *base = io_ring(entry, ring);
    uint32_t size = dmm_ring_size(ring);
    if (n == 1) {
        dmm_ring_write(base, size, at, (const char *)iov[0].iov_base + skip, len);
        return;
    }
    uint32_t start = at & (size - 1);
    uint32_t first = len < size - start ? len : size - start;
    io_gather(base + start, iov, n, skip, first);
    io_gather(base, iov, n, skip + first, len - first);
}

static void publish(struct dmm_socket *sock, uint32_t tail)
{
    /* Release: the bytes, and the ring they are in. */
    atomic_store_explicit(&sock->tx_tail, tail, memory_order_release);
}

/* What TCP_NOTSENT_LOWAT leaves of the room. As on Linux it is looked at before each piece of what
 * is written, not for each byte: below it, there is room for one. Under tx_lock. */
static uint32_t allowed(struct dmm_socket *sock, uint32_t room)
{
    uint32_t lowat = socket_word(sock, WORD_NOTSENT_LOWAT);
    if (__builtin_expect(lowat == 0, 1))
        return room;
    uint32_t unsent = ready_unsent(sock);
    if (unsent >= lowat) {
        /* Sequentially consistent against the worker's "sent, then tx_nospace?". */
        atomic_store_explicit(&sock->tx_nospace, 1, memory_order_seq_cst);
        atomic_thread_fence(memory_order_seq_cst);
        unsent = ready_unsent(sock);
    }
    uint32_t most = unsent >= lowat                 ? 0
                    : lowat - unsent > UNSENT_PIECE ? lowat - unsent
                                                    : UNSENT_PIECE;
    return room < most ? room : most;
}

/* Adds what there is room for: bytes. */
static size_t put(struct entry *entry, const struct iovec *iov, size_t n, size_t skip, size_t want)
{
    struct dmm_socket *sock = entry->part.sock;
    uint32_t limit = send_limit(sock);
    uint32_t ask = want < DMM_RING_MAX ? (uint32_t)want : DMM_RING_MAX;
    lock_take(&sock->tx_lock, socket_owner(entry));
    uint32_t room = io_tx_room(entry, &entry->part, ask, limit);
    if (__builtin_expect(room < ask, 0))
        room = io_tx_no_room(entry, &entry->part, ask, limit);
    room = allowed(sock, room);
    uint32_t len = room < want ? room : (uint32_t)want;
    if (len) {
        uint32_t tail = atomic_load_explicit(&sock->tx_tail, memory_order_relaxed);
        copy_in(entry, atomic_load_explicit(&sock->tx_ring, memory_order_relaxed), tail, iov, n,
                skip, len);
        publish(sock, tail + len);
    }
    lock_drop(&sock->tx_lock);
    if (len)
        io_sent(entry, &entry->part);
    return len;
}

/* Whether the socket can send now: 0, or what the call ends with (-EAGAIN: not yet). */
static int may_send(struct entry *entry)
{
    struct dmm_socket *sock = entry->part.sock;
    uint32_t state = socket_state(sock);
    if (__builtin_expect(
            (state & (DMM_SS_CONNECTED | DMM_SS_DEAD)) == DMM_SS_CONNECTED &&
                !(atomic_load_explicit(&sock->app_flags, memory_order_relaxed) & DMM_AF_SHUT_WR),
            1))
        return 0;
    return io_send_end(sock, state);
}

ssize_t stream_send(struct entry *entry, const struct iovec *iov, size_t n, int flags)
{
    struct dmm_socket *sock = entry->part.sock;
    ssize_t total = io_total(iov, n);
    if (total < 0)
        return total;
    /* MSG_OOB: in line, like all else. */
    size_t want = (size_t)total;
    size_t done = 0;
    uint64_t deadline = 0;
    bool nonblock = (flags & MSG_DONTWAIT) || socket_nonblock(entry);
    if (__builtin_expect(flags & MSG_MORE, 0))
        cork_stream_before(entry, flags);
    for (;;) {
        int r = may_send(entry);
        if (r == 0 && done == want)
            return (ssize_t)done;
        if (r == 0) {
            if (__builtin_expect(!atomic_load_explicit(&sock->tx_ring, memory_order_relaxed), 0))
                io_tx_first(entry, &entry->part,
                            want < send_limit(sock) ? (uint32_t)want : send_limit(sock));
            done += put(entry, iov, n, done, want - done);
            cork_stream_after(entry, flags);
            if (done == want)
                return (ssize_t)done;
            r = -EAGAIN;
        }
        if (r == -EAGAIN && !nonblock)
            r = done ? io_wait_more(entry, &entry->part, EPOLLOUT, WORD_SNDTIMEO_MS, &deadline)
                     : io_wait(entry, &entry->part, EPOLLOUT, WORD_SNDTIMEO_MS, &deadline);
        else if (r == -EAGAIN && !done)
            r = (int)nothing_yet(entry);
        if (r < 0)
            return done ? (ssize_t)done : r;
    }
}

/* ---- sendfile ---- */

/* Reads the file straight into the ring. Bytes; 0 at the file's end; -EAGAIN: no room. */
static ssize_t put_file(struct entry *entry, int in_fd, off_t *offset, size_t want)
{
    struct dmm_socket *sock = entry->part.sock;
    uint32_t limit = send_limit(sock);
    uint32_t ask = want < FILE_CHUNK ? (uint32_t)want : FILE_CHUNK;
    lock_take(&sock->tx_lock, socket_owner(entry));
    uint32_t room = io_tx_room(entry, &entry->part, ask, limit);
    if (room < ask)
        room = io_tx_no_room(entry, &entry->part, ask, limit);
    room = allowed(sock, room);
    ssize_t len = -EAGAIN;
    if (room) {
        dmm_ring_ref ring = atomic_load_explicit(&sock->tx_ring, memory_order_relaxed);
        uint32_t tail = atomic_load_explicit(&sock->tx_tail, memory_order_relaxed);
        uint32_t start = tail & (dmm_ring_size(ring) - 1);
        uint32_t piece = room < ask ? room : ask;
        uint32_t first = dmm_ring_size(ring) - start;
        const struct iovec iov[2] = {
            {.iov_base = io_ring(entry, ring) + start, .iov_len = first < piece ? first : piece},
            {.iov_base = io_ring(entry, ring), .iov_len = first < piece ? piece - first : 0}};
        len = offset ? preadv(in_fd, iov, 2, *offset) : REAL(readv)(in_fd, iov, 2);
        if (len < 0)
            len = -errno;
        if (len > 0)
            publish(sock, tail + (uint32_t)len);
        if (len > 0 && offset)
            *offset += len;
    }
    lock_drop(&sock->tx_lock);
    if (len > 0)
        io_sent(entry, &entry->part);
    return len;
}

ssize_t stream_send_file(struct entry *entry, int in_fd, off_t *offset, size_t count)
{
    struct dmm_socket *sock = entry->part.sock;
    size_t done = 0;
    uint64_t deadline = 0;
    if (count > SSIZE_MAX)
        return -EINVAL;
    while (done < count) {
        ssize_t r = may_send(entry);
        if (r == 0) {
            if (!atomic_load_explicit(&sock->tx_ring, memory_order_relaxed))
                io_tx_first(entry, &entry->part,
                            count < send_limit(sock) ? (uint32_t)count : send_limit(sock));
            r = put_file(entry, in_fd, offset, count - done);
            if (r == 0)
                break;
            if (r > 0) {
                done += (size_t)r;
                continue;
            }
        }
        if (r == -EAGAIN && !socket_nonblock(entry))
            r = done ? io_wait_more(entry, &entry->part, EPOLLOUT, WORD_SNDTIMEO_MS, &deadline)
                     : io_wait(entry, &entry->part, EPOLLOUT, WORD_SNDTIMEO_MS, &deadline);
        if (r < 0)
            return done ? (ssize_t)done : r;
    }
    return (ssize_t)done;
}
