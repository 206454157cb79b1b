/* SPDX-License-Identifier: Apache-2.0 */
/* The intercepted calls that move data. */
#include "preload/calls.h"
#include "preload/ioctx.h"
#include "preload/message.h"
#include "preload/result.h"
#include "preload/share.h"
#include "preload/splice.h"
#include "preload/waiter.h"

#include <stdlib.h>
#include <time.h>

#ifdef __GLIBC__
/* A fortified call that would overrun its buffer ends the process, as libc's does. */
static void check_room(size_t len, size_t room)
{
    if (len > room)
        abort();
}
#endif

/* readv(2), writev(2): the bytes, or -EINVAL; of none, nothing is asked of the socket. */
static ssize_t vector_total(const struct iovec *iov, int n)
{
    return n < 0 || n > IOV_MAX ? -EINVAL : io_total(iov, (size_t)n);
}

#define SPLICE_F_KNOWN (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

/* ---- receive ---- */

ssize_t read(int fd, void *buf, size_t len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(read)(fd, buf, len);
    ssize_t r = len ? message_read(fd, entry, buf, len, 0) : 0;
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(read)(fd, buf, len) : result(r);
}

#ifdef __GLIBC__
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): libc's name */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
    check_room(len, room);
    return read(fd, buf, len);
}
#endif

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(recv)(fd, buf, len, flags);
    ssize_t r = message_read(fd, entry, buf, len, flags);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(recv)(fd, buf, len, flags) : result(r);
}

#ifdef __GLIBC__
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): libc's name */
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
    check_room(len, room);
    return recv(fd, buf, len, flags);
}
#endif

ssize_t readv(int fd, const struct iovec *iov, int n)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(readv)(fd, iov, n);
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    ssize_t r = vector_total(iov, n);
    if (r > 0)
        r = message_receive(fd, entry, &msg, 0);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(readv)(fd, iov, n) : result(r);
}

#ifdef __GLIBC__
/* preadv2(2): offset -1 is readv's; a socket has no other, and of the flags RWF_NOWAIT means what
 * MSG_DONTWAIT does, the rest nothing to a socket. */
#define RWF_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)
static int vector_flags(off_t offset, int flags)
{
    if (offset != -1)
        return -ESPIPE;
    if (flags & ~RWF_KNOWN)
        return -EOPNOTSUPP;
    return (flags & RWF_NOWAIT) ? MSG_DONTWAIT : 0;
}

ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(preadv2)(fd, iov, n, offset, flags);
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    int how = vector_flags(offset, flags);
    ssize_t r = how < 0 ? how : vector_total(iov, n);
    if (r > 0)
        r = message_receive(fd, entry, &msg, how);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(preadv2)(fd, iov, n, offset, flags) : result(r);
}

ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
    return preadv2(fd, iov, n, offset, flags);
}
#endif

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
                 socklen_t *fromlen)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(recvfrom)(fd, buf, len, flags, from, fromlen);
    struct iovec iov = {.iov_base = buf, .iov_len = len > SSIZE_MAX ? SSIZE_MAX : len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t r = -EINVAL;
    if (from && fromlen) {
        msg.msg_name = from;
        msg.msg_namelen = *fromlen;
    }
    if (!from || !fromlen || (int)*fromlen >= 0)
        r = message_receive(fd, entry, &msg, flags);
    if (r >= 0 && from && fromlen)
        *fromlen = msg.msg_namelen;
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(recvfrom)(fd, buf, len, flags, from, fromlen) : result(r);
}

#ifdef __GLIBC__
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): libc's name */
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *from,
                       socklen_t *fromlen)
{
    check_room(len, room);
    return recvfrom(fd, buf, len, flags, from, fromlen);
}
#endif

/* A message that brings files may bring sockets of ours. */
static ssize_t receive_native(int fd, struct msghdr *msg, int flags)
{
    ssize_t r = REAL(recvmsg)(fd, msg, flags);
    if (r >= 0 && msg->msg_controllen)
        share_received_message(msg);
    return r;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return receive_native(fd, msg, flags);
    ssize_t r = msg->msg_iovlen > IOV_MAX ? -EMSGSIZE : message_receive(fd, entry, msg, flags);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(recvmsg)(fd, msg, flags) : result(r);
}

/* recvmmsg(2): the timeout is looked at after each message; an error after the first message is
 * kept for the next call, which here means that it is found again then. */
int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, libc_message_flags flags,
             struct timespec *timeout)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry) {
        int r = REAL(recvmmsg)(fd, msgs, n, flags, timeout);
        for (int i = 0; i < r; i++)
            share_received_message(&msgs[i].msg_hdr);
        return r;
    }
    entry_put(entry);
    uint64_t deadline = 0;
    if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec > 999999999))
        return (int)result(-EINVAL);
    if (timeout)
        deadline =
            waiter_now() + (uint64_t)timeout->tv_sec * 1000000000u + (uint64_t)timeout->tv_nsec;
    unsigned done = 0;
    while (done < n) {
        int each = flags & ~MSG_WAITFORONE;
        if ((flags & MSG_WAITFORONE) && done > 0)
            each |= MSG_DONTWAIT;
        ssize_t r = recvmsg(fd, &msgs[done].msg_hdr, each);
        if (r < 0)
            break;
        msgs[done++].msg_len = (unsigned)r;
        if (timeout && waiter_now() >= deadline)
            break;
    }
    return done || n == 0 ? (int)done : -1;
}

/* ---- send ---- */

ssize_t write(int fd, const void *buf, size_t len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(write)(fd, buf, len);
    ssize_t r = message_write(fd, entry, buf, len, 0);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(write)(fd, buf, len) : result(r);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(send)(fd, buf, len, flags);
    ssize_t r = message_write(fd, entry, buf, len, flags);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(send)(fd, buf, len, flags) : result(r);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(writev)(fd, iov, n);
    const struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    ssize_t r = vector_total(iov, n);
    if (r > 0)
        r = message_send(fd, entry, &msg, 0);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(writev)(fd, iov, n) : result(r);
}

#ifdef __GLIBC__
ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(pwritev2)(fd, iov, n, offset, flags);
    const struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    int how = vector_flags(offset, flags);
    ssize_t r = how < 0 ? how : vector_total(iov, n);
    if (r > 0)
        r = message_send(fd, entry, &msg, how);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(pwritev2)(fd, iov, n, offset, flags) : result(r);
}

ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
    return pwritev2(fd, iov, n, offset, flags);
}
#endif

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
               socklen_t tolen)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(sendto)(fd, buf, len, flags, to, tolen);
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len > SSIZE_MAX ? SSIZE_MAX : len};
    const struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_name = (void *)to, .msg_namelen = tolen};
    ssize_t r = to && tolen > sizeof(struct sockaddr_storage)
                    ? -EINVAL
                    : message_send(fd, entry, &msg, flags);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(sendto)(fd, buf, len, flags, to, tolen) : result(r);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry) {
        if (msg && msg->msg_controllen)
            share_sent_message(msg);
        return REAL(sendmsg)(fd, msg, flags);
    }
    ssize_t r = msg->msg_iovlen > IOV_MAX ? -EMSGSIZE : message_send(fd, entry, msg, flags);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(sendmsg)(fd, msg, flags) : result(r);
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, libc_message_flags flags)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry) {
        for (unsigned i = 0; msgs && i < n; i++)
            share_sent_message(&msgs[i].msg_hdr);
        return REAL(sendmmsg)(fd, msgs, n, flags);
    }
    entry_put(entry);
    unsigned done = 0;
    while (done < n) {
        ssize_t r = sendmsg(fd, &msgs[done].msg_hdr, flags);
        if (r < 0)
            break;
        msgs[done++].msg_len = (unsigned)r;
    }
    return done || n == 0 ? (int)done : -1;
}

/* From a stack socket, sendfile(2) fails as it does from any socket: with EINVAL, by the kernel. */
static ssize_t send_file(int out_fd, int in_fd, off_t *offset, size_t count)
{
    struct entry *entry = entry_get_socket(out_fd);
    if (!entry)
        return REAL(sendfile)(out_fd, in_fd, offset, count);
    ssize_t r = message_send_file(out_fd, entry, in_fd, offset, count);
    entry_put(entry);
    return r == MESSAGE_NATIVE ? REAL(sendfile)(out_fd, in_fd, offset, count) : result(r);
}

ssize_t sendfile(int out_fd, int in_fd, off_t *offset, size_t count)
{
    return send_file(out_fd, in_fd, offset, count);
}

#ifdef __GLIBC__
_Static_assert(sizeof(off_t) == sizeof(off64_t), "sendfile64 is sendfile");
ssize_t sendfile64(int out_fd, int in_fd, off64_t *offset, size_t count)
{
    return send_file(out_fd, in_fd, offset, count);
}
#endif

/* splice(2): one end is a pipe, the other may be a stack's stream. */
ssize_t splice(int in_fd, off_t *in_offset, int out_fd, off_t *out_offset, size_t len,
               unsigned flags)
{
    struct entry *in = entry_get_socket(in_fd);
    struct entry *out = entry_get_socket(out_fd);
    ssize_t r;
    if ((in && in->kernel) || (out && out->kernel) || (!in && !out))
        r = MESSAGE_NATIVE;
    else if (len == 0)
        r = 0;
    else if ((flags & ~(unsigned)SPLICE_F_KNOWN) || (in && out))
        r = -EINVAL;
    else if (in_offset || out_offset)
        r = (in ? out_offset : in_offset) ? -ESPIPE : -EINVAL; /* the pipe's; the socket's */
    else if (out)
        r = splice_send(out_fd, out, in_fd, len, flags);
    else
        r = in->type == SOCK_STREAM ? splice_receive(in, out_fd, len, flags) : -EINVAL;
    if (in)
        entry_put(in);
    if (out)
        entry_put(out);
    return r == MESSAGE_NATIVE ? REAL(splice)(in_fd, in_offset, out_fd, out_offset, len, flags)
                               : result(r);
}
