/* SPDX-License-Identifier: Apache-2.0 */
/* The intercepted calls on file descriptors: close and dup and their kin, fcntl, ioctl. */
#include "preload/calls.h"
#include "preload/entry.h"
#include "preload/interfaces.h"
#include "preload/options.h"
#include "preload/result.h"
#include "preload/signals.h"
#include "preload/socket.h"

#include <limits.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

/* Where TCP_INFO has tcpi_notsent_bytes, which C libraries' struct tcp_info lacks. */
#define TCP_INFO_NOTSENT 144

/* ---- close ---- */

int close(int fd)
{
    if (__builtin_expect((uint32_t)fd >= atomic_load_explicit(&entry_limit, memory_order_acquire),
                         1))
        return REAL(close)(fd);
    if (entry_is_protected(fd)) {
        errno = EBADF; /* as far as the app can know, it is not open */
        return -1;
    }
    /* The entry first: once the number is free, another thread may get it. */
    entry_remove(fd);
    return REAL(close)(fd);
}

/* By number: old C libraries, and musl, have no such function. */
static int range(unsigned first, unsigned last, int flags)
{
    return (int)REAL(syscall)(SYS_close_range, first, last, flags);
}

/* Calls close_range(2) for the stretches between the shim's own fds. */
static int close_between(unsigned first, unsigned last, int flags)
{
    uint32_t limit = atomic_load_explicit(&entry_limit, memory_order_acquire);
    unsigned from = first;
    for (unsigned fd = first; fd < limit && fd <= last; fd++) {
        if (!entry_is_protected((int)fd)) {
            if (!(flags & CLOSE_RANGE_CLOEXEC))
                entry_remove((int)fd);
            continue;
        }
        if (fd > from && range(from, fd - 1, flags) < 0)
            return -1;
        from = fd + 1;
    }
    return from > last ? 0 : range(from, last, flags);
}

int close_range(unsigned first, unsigned last, int flags)
{
    if (first > last || atomic_load_explicit(&entry_limit, memory_order_acquire) <= first)
        return range(first, last, flags);
    return close_between(first, last, flags);
}

#ifdef __GLIBC__
void closefrom(int first)
{
    unsigned from = first < 0 ? 0 : (unsigned)first;
    if (atomic_load_explicit(&entry_limit, memory_order_acquire) <= from)
        REAL(closefrom)(first);
    else
        close_between(from, UINT_MAX, 0);
}
#endif

/* ---- dup ---- */

/* `to` has just become another number of `from`'s file. */
static int share(int from, int to)
{
    struct entry *entry = entry_get(from);
    if (!entry)
        return to;
    int r = entry->kind == ENTRY_INTERNAL ? 0 : entry_install(to, entry);
    entry_put(entry);
    if (r == 0)
        return to;
    REAL(close)(to);
    errno = -r;
    return -1;
}

int dup(int fd)
{
    int to = REAL(dup)(fd);
    return to < 0 ? to : share(fd, to);
}

/* Before `to` is taken over by dup2: the shim's own fd there moves away, another's entry goes. */
static int make_way(int to)
{
    if (entry_is_protected(to))
        return entry_move_protected(to);
    entry_remove(to);
    return 0;
}

static int dup_onto(int from, int to, int flags, bool three)
{
    if (atomic_load_explicit(&entry_limit, memory_order_acquire) == 0)
        return three ? REAL(dup3)(from, to, flags) : REAL(dup2)(from, to);
    if (from == to || REAL(fcntl)(from, F_GETFD) < 0 || (flags & ~O_CLOEXEC))
        return three ? REAL(dup3)(from, to, flags) : REAL(dup2)(from, to);
    int r = make_way(to);
    if (r < 0)
        return (int)result(r);
    r = REAL(dup3)(from, to, flags);
    return r < 0 ? r : share(from, r);
}

int dup2(int from, int to)
{
    return dup_onto(from, to, 0, false);
}

int dup3(int from, int to, int flags)
{
    return dup_onto(from, to, flags, true);
}

/* ---- fcntl ---- */

static int set_flags(int fd, struct entry *entry, long flags)
{
    bool kernel = entry->phase == PHASE_UNDECIDED && entry->kernel;
    bool async = flags & O_ASYNC;
    if (!kernel && async != signals_are_set(fd, entry)) {
        int r = signals_set(fd, entry, async);
        if (r < 0)
            return r;
    }
    if (kernel && REAL(fcntl)(fd, F_SETFL, flags) < 0)
        return -errno;
    if (kernel && async)
        socket_change_status(entry, STATUS_SIGNALS, 0);
    uint32_t set = ((flags & O_NONBLOCK) ? STATUS_NONBLOCK : 0) |
                   ((flags & O_APPEND) ? STATUS_KEPT_APPEND : 0);
    socket_change_status(entry, set, ~set & (STATUS_NONBLOCK | STATUS_KEPT_APPEND));
    return 0;
}

static int set_owner(int fd, int command, void *arg)
{
    struct entry *entry = entry_get_socket(fd);
    if (entry)
        signals_need_file(fd, entry);
    int r = REAL(fcntl)(fd, command, arg);
    if (entry) {
        signals_copy_owner(fd, entry);
        entry_put(entry);
    }
    return r;
}

static int control(int fd, int command, void *arg)
{
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
        int to = REAL(fcntl)(fd, command, arg);
        return to < 0 ? to : share(fd, to);
    }
    if (command == F_SETOWN || command == F_SETOWN_EX || command == F_SETSIG)
        return set_owner(fd, command, arg);
    if (command != F_GETFL && command != F_SETFL)
        return REAL(fcntl)(fd, command, arg);
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(fcntl)(fd, command, arg);
    uint32_t status = atomic_load_explicit(socket_status(entry), memory_order_relaxed);
    int r = O_RDWR | ((status & STATUS_NONBLOCK) ? O_NONBLOCK : 0) |
            ((status & STATUS_KEPT_APPEND) ? O_APPEND : 0) |
            (signals_are_set(fd, entry) ? O_ASYNC : 0);
    if (command == F_SETFL)
        r = set_flags(fd, entry, (long)(intptr_t)arg);
    entry_put(entry);
    return (int)result(r);
}

int fcntl(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    return control(fd, command, arg);
}

#ifdef __GLIBC__
int fcntl64(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    return control(fd, command, arg);
}
#endif

/* ---- ioctl ---- */

/* Bytes that a receive would give at once; for datagrams, of the next one. */
static int to_read(struct entry *entry, const struct part *part)
{
    struct dmm_socket *sock = part->sock;
    uint32_t head = atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
    uint32_t held = atomic_load_explicit(&sock->rx_tail, memory_order_acquire) - head;
    if (entry->type == SOCK_STREAM || held < sizeof(struct dmm_datagram_header))
        return entry->type == SOCK_STREAM ? (int)held : 0;
    dmm_ring_ref ring = atomic_load_explicit(&sock->rx_ring, memory_order_acquire);
    const char *base = (const char *)entry->client->region + dmm_ring_offset(ring);
    /* Records keep 8-byte steps, so `len`, the first field, never wraps. */
    return (int)*(const volatile uint32_t *)(base + (head & (dmm_ring_size(ring) - 1)));
}

static int to_send(const struct part *part)
{
    return (int)(atomic_load_explicit(&part->sock->tx_tail, memory_order_relaxed) -
                 atomic_load_explicit(&part->sock->tx_head, memory_order_acquire));
}

static int count_queued(struct entry *entry, bool receive, int *value)
{
    int sum = 0;
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        const struct part *part = socket_part(entry, i);
        int n = socket_state(part->sock) & DMM_SS_LISTENING ? -EINVAL
                : receive                                   ? to_read(entry, part)
                                                            : to_send(part);
        if (n < 0)
            return n;
        sum += n;
    }
    *value = sum;
    return 0;
}

/* Of a stream: what waits to be sent for the first time, as the stack tells in TCP_INFO. */
static int count_unsent(int fd, struct entry *entry, int *value)
{
    uint8_t info[TCP_INFO_NOTSENT + sizeof(uint32_t)];
    socklen_t len = sizeof(info);
    uint32_t unsent = 0;
    if (entry->type != SOCK_STREAM)
        return -ENOTTY;
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        if (socket_state(socket_part(entry, i)->sock) & DMM_SS_LISTENING)
            return -EINVAL;
    }
    if (options_get(fd, entry, IPPROTO_TCP, TCP_INFO, info, &len) < 0 || len < sizeof(info))
        return -ENOTTY; /* a stack that does not know */
    memcpy(&unsent, info + TCP_INFO_NOTSENT, sizeof(unsent));
    *value = unsent > INT_MAX ? INT_MAX : (int)unsent;
    return 0;
}

static int control_stack(int fd, struct entry *entry, unsigned long request, void *arg)
{
    switch (request) {
    case FIONBIO:
        if (!arg)
            return -EFAULT;
        socket_change_status(entry, *(int *)arg ? STATUS_NONBLOCK : 0,
                             *(int *)arg ? 0 : STATUS_NONBLOCK);
        return entry->phase == PHASE_UNDECIDED && entry->kernel && REAL(ioctl)(fd, request, arg) < 0
                   ? -errno
                   : 0;
    case FIOASYNC:
        if (!arg)
            return -EFAULT;
        return signals_set(fd, entry, *(int *)arg != 0);
    case FIONREAD:
    case SIOCOUTQ:
        return arg ? count_queued(entry, request == FIONREAD, arg) : -EFAULT;
    case SIOCOUTQNSD:
        return arg ? count_unsent(fd, entry, arg) : -EFAULT;
    case SIOCATMARK:
        *(int *)arg = 0;
        return 0;
    case SIOCGSTAMP:
    case SIOCGSTAMPNS:
        return -ENOENT; /* no datagram was stamped */
    case FIOSETOWN:
    case SIOCSPGRP:
        signals_need_file(fd, entry);
        return REAL(ioctl)(fd, request, arg) < 0 ? -errno : 0;
    case FIOCLEX:
    case FIONCLEX:
    case FIOGETOWN:
    case SIOCGPGRP:
        return REAL(ioctl)(fd, request, arg) < 0 ? -errno : 0;
    default:
        return -ENOTTY;
    }
}

int ioctl(int fd, libc_request request, ...)
{
    va_list ap;
    va_start(ap, request);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(ioctl)(fd, request, arg);
    int r;
    /* A wildcard socket has parts on stacks, too. */
    bool ours = !entry->kernel || request == FIONBIO ||
                (request == FIOASYNC && entry->phase == PHASE_MULTI);
    if (interfaces_asked(request))
        r = interfaces_tell(entry, request, arg);
    else if (ours)
        r = control_stack(fd, entry, request, arg);
    else
        r = REAL(ioctl)(fd, request, arg) < 0 ? -errno : 0;
    if (r == 0 && !ours && (request == FIOASYNC || request == FIOSETOWN || request == SIOCSPGRP))
        socket_change_status(entry, STATUS_OWNED, 0); /* goes along with the decision */
    entry_put(entry);
    return (int)result(r);
}
