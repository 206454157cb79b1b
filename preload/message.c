/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/message.h"

#include "preload/calls.h"
#include "preload/cork.h"
#include "preload/decide.h"
#include "preload/establish.h"
#include "preload/linux_options.h"
#include "preload/multi.h"
#include "preload/socket.h"
#include "preload/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>

static enum entry_phase phase_of(struct entry *entry)
{
    return (enum entry_phase)atomic_load_explicit(&entry->phase, memory_order_acquire);
}

/* ---- receive ---- */

/* TCP_INQ: what is left to read; 1 at the end, as the kernel says it. */
static void tell_queued(struct entry *entry, struct msghdr *msg, size_t room)
{
    struct dmm_socket *sock = entry->part.sock;
    uint32_t state = socket_state(sock);
    int held = (int)(atomic_load_explicit(&sock->rx_tail, memory_order_acquire) -
                     atomic_load_explicit(&sock->rx_head, memory_order_relaxed));
    if (held == 0 && (state & DMM_SS_EOF))
        held = 1;
    size_t used = 0;
    msg->msg_controllen = room;
    datagram_add_control(msg, &used, IPPROTO_TCP, TCP_INQ, &held, sizeof(held));
    msg->msg_controllen = used;
}

static ssize_t receive_stack(struct entry *entry, struct msghdr *msg, int flags)
{
    size_t room = msg->msg_controllen;
    if (entry->type == SOCK_DGRAM)
        return datagram_receive(entry, &entry->part, msg, flags,
                                (flags & MSG_DONTWAIT) || socket_nonblock(entry));
    msg->msg_namelen = 0;
    msg->msg_controllen = 0;
    msg->msg_flags = flags & MSG_CMSG_CLOEXEC;
    ssize_t r = stream_receive(entry, msg->msg_iov, msg->msg_iovlen, flags);
    if (__builtin_expect(r >= 0 && msg->msg_control &&
                             (socket_word(entry->part.sock, WORD_STATUS) & STATUS_INQ),
                         0))
        tell_queued(entry, msg, room);
    return r;
}

ssize_t message_receive(int fd, struct entry *entry, struct msghdr *msg, int flags)
{
    enum entry_phase phase = phase_of(entry);
    if (phase == PHASE_UNDECIDED) {
        if (entry->kernel)
            return MESSAGE_NATIVE;
        if (entry->type == SOCK_STREAM)
            return -ENOTCONN;
        if ((flags & MSG_DONTWAIT) || socket_nonblock(entry))
            return -EAGAIN;
        int r = decide_unbound(fd, entry);
        if (r < 0)
            return r;
        phase = phase_of(entry);
    }
    if (phase == PHASE_STACK)
        return receive_stack(entry, msg, flags);
    if (phase == PHASE_NATIVE)
        return MESSAGE_NATIVE;
    return entry->type == SOCK_DGRAM ? multi_receive(fd, entry, msg, flags) : -ENOTCONN;
}

ssize_t message_read(int fd, struct entry *entry, void *buf, size_t len, int flags)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len > SSIZE_MAX ? SSIZE_MAX : len};
    if (__builtin_expect(phase_of(entry) == PHASE_STACK && entry->type == SOCK_STREAM, 1))
        return stream_receive(entry, &iov, 1, flags);
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    return message_receive(fd, entry, &msg, flags);
}

/* ---- send ---- */

static ssize_t broken_pipe(const struct entry *entry, ssize_t r, int flags)
{
    if (r == -EPIPE && entry->type == SOCK_STREAM && !(flags & MSG_NOSIGNAL))
        raise(SIGPIPE);
    return r;
}

/* udp(7): to send, AF_UNSPEC is AF_INET; port 0 is nobody's; a broadcast must have been asked for.
 */
static int destination(const struct entry *entry, const struct msghdr *msg, struct dmm_addr *addr)
{
    struct sockaddr_in in;
    int r = socket_take_address(entry, msg->msg_name, msg->msg_namelen, addr);
    if (r == -EAFNOSUPPORT && entry->family == AF_INET && msg->msg_namelen >= sizeof(in)) {
        memcpy(&in, msg->msg_name, sizeof(in));
        if (in.sin_family == AF_UNSPEC) {
            in.sin_family = AF_INET;
            r = socket_take_address(entry, (struct sockaddr *)&in, sizeof(in), addr);
        }
    }
    return r == 0 && addr->port == 0 ? -EINVAL : r;
}

/* A socket's first sendto gives it a port, which getsockname tells at once. */
static int bind_by_itself(struct entry *entry)
{
    const struct dmm_addr any = {.family = entry->part.family};
    struct dmm_addr bound;
    return socket_bind_part(entry->client, &entry->part, &any, &bound);
}

static ssize_t send_datagram(int fd, struct entry *entry, const struct msghdr *msg, int flags)
{
    struct dmm_addr addr;
    const struct dmm_addr *to = NULL;
    ssize_t sent;
    if (msg->msg_name) {
        int r = destination(entry, msg, &addr);
        if (r < 0)
            return r;
        to = &addr;
    }
    if (phase_of(entry) == PHASE_UNDECIDED) {
        if (!to)
            return entry->kernel ? MESSAGE_NATIVE : -EDESTADDRREQ;
        bool begun = false; /* a datagram socket's never is */
        int r = decide_connect(fd, entry, to, &begun);
        if (r == 0 && phase_of(entry) == PHASE_STACK)
            r = bind_by_itself(entry);
        if (r < 0)
            return r;
    }
    switch (phase_of(entry)) {
    case PHASE_STACK:
        return cork_datagram(entry, msg, to, flags, &sent)
                   ? sent
                   : datagram_send(entry, &entry->part, msg, to, flags);
    case PHASE_MULTI:
        return multi_send(fd, entry, msg, to, flags);
    default:
        return MESSAGE_NATIVE;
    }
}

/* What a stream's ancillary data may be: nothing of the socket level is done here. */
static int check_control(const struct msghdr *msg)
{
    struct msghdr copy = *msg;
    if (!msg->msg_control)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c)) {
        if (c->cmsg_len < CMSG_LEN(0) ||
            (c->cmsg_level == SOL_SOCKET && c->cmsg_type != SCM_RIGHTS &&
             c->cmsg_type != SCM_CREDENTIALS))
            return -EINVAL;
    }
    return 0;
}

static bool is_connected(const struct entry *entry)
{
    return socket_state(entry->part.sock) & DMM_SS_CONNECTED;
}

ssize_t message_send(int fd, struct entry *entry, const struct msghdr *msg, int flags)
{
    if (entry->type == SOCK_DGRAM)
        return send_datagram(fd, entry, msg, flags);
    enum entry_phase phase = phase_of(entry);
    int r = check_control(msg);
    if (r < 0)
        return r;
    if ((flags & MSG_FASTOPEN) && !(phase == PHASE_STACK && is_connected(entry))) {
        r = establish_connect_here(fd, entry, msg->msg_name, msg->msg_namelen);
        if (r < 0)
            return r == ESTABLISH_NATIVE ? MESSAGE_NATIVE : r;
        phase = phase_of(entry);
        flags &= ~MSG_FASTOPEN;
    }
    if (phase == PHASE_STACK)
        return broken_pipe(entry, stream_send(entry, msg->msg_iov, msg->msg_iovlen, flags), flags);
    if (phase == PHASE_NATIVE || entry->kernel)
        return MESSAGE_NATIVE;
    return broken_pipe(entry, -EPIPE, flags);
}

ssize_t message_write(int fd, struct entry *entry, const void *buf, size_t len, int flags)
{
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len > SSIZE_MAX ? SSIZE_MAX : len};
    if (__builtin_expect(phase_of(entry) == PHASE_STACK && entry->type == SOCK_STREAM, 1))
        return broken_pipe(entry, stream_send(entry, &iov, 1, flags), flags);
    const struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    return message_send(fd, entry, &msg, flags);
}

/* To a datagram socket every read makes a datagram of its own, as splice does in the kernel; apps
 * that use sendfile use streams, so datagrams may copy through a buffer. */
static ssize_t send_file_datagram(int fd, struct entry *entry, int in_fd, off_t *offset,
                                  size_t count)
{
    char buf[16384];
    size_t want = count < sizeof(buf) ? count : sizeof(buf);
    ssize_t n = offset ? pread(in_fd, buf, want, *offset) : REAL(read)(in_fd, buf, want);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    ssize_t r = message_write(fd, entry, buf, (size_t)n, 0);
    if (r > 0 && offset)
        *offset += r;
    return r;
}

ssize_t message_send_file(int fd, struct entry *entry, int in_fd, off_t *offset, size_t count)
{
    if (entry->type == SOCK_DGRAM)
        return send_file_datagram(fd, entry, in_fd, offset, count);
    if (phase_of(entry) == PHASE_STACK)
        return broken_pipe(entry, stream_send_file(entry, in_fd, offset, count), 0);
    return entry->kernel ? MESSAGE_NATIVE : broken_pipe(entry, -EPIPE, 0);
}
