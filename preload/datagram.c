/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/stream.h"

#include "common/ring.h"
#include "preload/calls.h"
#include "preload/ioctx.h"
#include "preload/linux_options.h"
#include "preload/options.h"
#include "preload/peek.h"
#include "preload/signals.h"
#include "preload/waiter.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define RING_LIMIT                                                                                 \
    (1u << 18) /* room for the largest datagram and more, whatever SO_SNDBUF says                  \
                */

/* ---- ancillary data ---- */

void datagram_add_control(struct msghdr *msg, size_t *used, int level, int type, const void *data,
                          size_t len)
{
    size_t left = msg->msg_controllen - *used;
    struct cmsghdr head = {.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(len)};
    if (left < sizeof(head)) {
        msg->msg_flags |= MSG_CTRUNC;
        return;
    }
    if (left < CMSG_LEN(len)) {
        msg->msg_flags |= MSG_CTRUNC;
        head.cmsg_len = left;
        len = left - CMSG_LEN(0);
    }
    char *at = (char *)msg->msg_control + *used;
    memcpy(at, &head, sizeof(head));
    memcpy(at + CMSG_LEN(0), data, len);
    *used += CMSG_SPACE(len) < left ? CMSG_SPACE(len) : left;
}

static bool is_link_local(const struct dmm_addr *addr)
{
    return addr->family == AF_INET6 && addr->ip[0] == 0xfe && (addr->ip[1] & 0xc0) == 0x80;
}

/* IP_RECVORIGDSTADDR: nobody translates addresses here, so it is what the sender wrote to. */
static void add_destination(const struct dmm_datagram_header *header, uint16_t port,
                            struct msghdr *msg, size_t *used)
{
    struct dmm_addr local = header->local;
    struct sockaddr_storage to = {.ss_family = local.family};
    if (!local.port)
        local.port = port;
    local.scope_id = is_link_local(&local) ? header->ifindex : 0;
    socklen_t len = sizeof(to);
    dmm_addr_to_sockaddr(&local, (struct sockaddr *)&to, &len);
    if (local.family == AF_INET6)
        datagram_add_control(msg, used, IPPROTO_IPV6, IPV6_ORIGDSTADDR, &to, len);
    else
        datagram_add_control(msg, used, IPPROTO_IP, IP_ORIGDSTADDR, &to, len);
}

/* SO_TIMESTAMP, SO_TIMESTAMPNS: when the sidecar got it, by the clock of the day. */
static void add_stamp(const struct dmm_datagram_header *header, uint32_t status, struct msghdr *msg,
                      size_t *used)
{
    struct timespec at;
    uint32_t age = (uint32_t)(waiter_now() / 1000) - header->stamp; /* us */
    clock_gettime(CLOCK_REALTIME, &at);
    int64_t us = (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000 - age;
    if (status & STATUS_STAMP_NS) {
        at = (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
        datagram_add_control(msg, used, SOL_SOCKET, SCM_TIMESTAMPNS, &at, sizeof(at));
    } else {
        struct timeval old = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
        datagram_add_control(msg, used, SOL_SOCKET, SCM_TIMESTAMP, &old, sizeof(old));
    }
}

/* IPv4's, of an IPv4 datagram; also on an IPv6 socket where it asked for them. */
static void add_wanted4(const struct dmm_datagram_header *header, uint32_t status,
                        struct msghdr *msg, size_t *used)
{
    if (status & STATUS_PKTINFO4) {
        struct in_pktinfo info = {.ipi_ifindex = (int)header->ifindex};
        memcpy(&info.ipi_addr, header->local.ip, sizeof(info.ipi_addr));
        info.ipi_spec_dst = info.ipi_addr;
        datagram_add_control(msg, used, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    }
    if (status & STATUS_RECVTTL4) {
        int ttl = header->ttl;
        datagram_add_control(msg, used, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    }
    if (status & STATUS_RECVTOS4) /* the kernel gives one byte */
        datagram_add_control(msg, used, IPPROTO_IP, IP_TOS, &header->tos, 1);
}

static void add_wanted6(const struct dmm_datagram_header *header, uint32_t status,
                        struct msghdr *msg, size_t *used)
{
    if (status & STATUS_PKTINFO6) {
        struct dmm_addr local = header->local;
        if (local.family == AF_INET)
            dmm_addr_map(&local);
        struct in6_pktinfo info = {.ipi6_ifindex = header->ifindex};
        memcpy(&info.ipi6_addr, local.ip, sizeof(info.ipi6_addr));
        datagram_add_control(msg, used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
    if (header->local.family == AF_INET)
        return; /* what follows is of IPv6's header */
    if (status & STATUS_RECVTTL6) {
        int hops = header->ttl;
        datagram_add_control(msg, used, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
    }
    if (status & STATUS_RECVTOS6) {
        int class = header->tos;
        datagram_add_control(msg, used, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
    }
}

static void add_wanted(const struct entry *entry, struct dmm_socket *sock,
                       const struct dmm_datagram_header *header, struct msghdr *msg)
{
    uint32_t status = socket_word(sock, WORD_STATUS);
    struct dmm_datagram_header plain = *header;
    size_t used = 0;
    if (status & (STATUS_STAMP | STATUS_STAMP_NS))
        add_stamp(header, status, msg, &used);
    if (status & STATUS_DROPS && header->local.scope_id)
        datagram_add_control(msg, &used, SOL_SOCKET, SO_RXQ_OVFL, &header->local.scope_id,
                             sizeof(header->local.scope_id));
    if (status & STATUS_GRO && header->segment && header->len) {
        int segment = header->segment;
        datagram_add_control(msg, &used, IPPROTO_UDP, UDP_GRO, &segment, sizeof(segment));
    }
    dmm_addr_unmap(&plain.local);
    if (entry->family == AF_INET6)
        add_wanted6(&plain, status, msg, &used);
    if (plain.local.family != AF_INET6)
        add_wanted4(&plain, status, msg, &used);
    if (status & (plain.local.family == AF_INET6 ? STATUS_ORIGDST6 : STATUS_ORIGDST4))
        add_destination(&plain, sock->local.port, msg, &used);
    msg->msg_controllen = used;
}

/* IP_TTL and IP_TOS, and what IPv6 calls them: -1 there means the socket's own. */
static int take_header_control(const struct cmsghdr *c, size_t len,
                               struct dmm_datagram_header *header)
{
    bool v6 = c->cmsg_level == IPPROTO_IPV6;
    bool ttl = c->cmsg_type == (v6 ? IPV6_HOPLIMIT : IP_TTL);
    bool tos = c->cmsg_type == (v6 ? IPV6_TCLASS : IP_TOS);
    int number = 0;
    if ((!v6 && c->cmsg_level != IPPROTO_IP) || (!ttl && !tos))
        return -EINVAL;
    if (len == sizeof(number))
        memcpy(&number, CMSG_DATA(c), sizeof(number));
    else if (len == 1 && tos && !v6)
        number = *CMSG_DATA(c);
    else
        return -EINVAL;
    if (number > 255 || number < (v6 ? -1 : ttl ? 1 : 0))
        return -EINVAL;
    *(ttl ? &header->ttl : &header->tos) = (uint8_t)(number < 0 ? 0 : number);
    return 0;
}

static int take_one_control(const struct cmsghdr *c, struct dmm_datagram_header *header)
{
    size_t len = c->cmsg_len - CMSG_LEN(0);
    if (c->cmsg_level == IPPROTO_UDP) {
        if (c->cmsg_type != UDP_SEGMENT || len != sizeof(header->segment))
            return -EINVAL;
        memcpy(&header->segment, CMSG_DATA(c), sizeof(header->segment));
        return 0;
    }
    if (c->cmsg_level == SOL_SOCKET)
        return c->cmsg_type == SCM_RIGHTS ? 0 : -EINVAL;
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        if (len < sizeof(info))
            return -EINVAL;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        header->ifindex = (uint32_t)info.ipi_ifindex;
        if (info.ipi_spec_dst.s_addr) {
            header->local.family = AF_INET;
            memcpy(header->local.ip, &info.ipi_spec_dst, sizeof(info.ipi_spec_dst));
        }
        return 0;
    }
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        if (len < sizeof(info))
            return -EINVAL;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        header->ifindex = info.ipi6_ifindex;
        header->local.family = AF_INET6;
        memcpy(header->local.ip, &info.ipi6_addr, sizeof(info.ipi6_addr));
        if (dmm_addr_is_any(&header->local))
            header->local = (struct dmm_addr){.family = 0};
        dmm_addr_unmap(&header->local);
        return 0;
    }
    return take_header_control(c, len, header);
}

static int take_control(const struct msghdr *msg, struct dmm_datagram_header *header)
{
    struct msghdr copy = *msg;
    if (!msg->msg_control)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c)) {
        int r = c->cmsg_len < CMSG_LEN(0) ? -EINVAL : take_one_control(c, header);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- receive ---- */

/* What a receive ring holds, from `at` on. */
struct held {
    char *base;
    uint32_t size, at, tail;
};

/* What a call is about: a datagram, and how many of its bytes SO_PEEK_OFF passes over. */
struct found {
    struct dmm_datagram_header header;
    uint32_t skip;
};

static bool read_header(const struct held *held, struct dmm_datagram_header *header)
{
    uint32_t bytes = held->tail - held->at;
    if (bytes < sizeof(*header) || bytes > held->size)
        return false;
    dmm_ring_read(held->base, held->size, held->at, header, sizeof(*header));
    return header->len <= DMM_DATAGRAM_MAX && dmm_datagram_record_size(header->len) <= bytes;
}

/* Goes to the datagram in which a peek at `offset` begins: past those that peeks have told of in
 * full, also an empty one that any peek has told of. */
static bool find(struct held *held, int32_t offset, struct found *found)
{
    const struct dmm_datagram_header *header = &found->header;
    found->skip = offset > 0 ? (uint32_t)offset : 0;
    while (read_header(held, &found->header)) {
        bool told = offset >= 0 && found->skip >= header->len &&
                    (found->skip || (header->len == 0 && header->segment));
        if (!told)
            return true;
        found->skip -= header->len;
        held->at += dmm_datagram_record_size(header->len);
    }
    return false;
}

static void mark_told(const struct held *held)
{
    uint16_t mark = 1;
    dmm_ring_write(held->base, held->size,
                   held->at + (uint32_t)offsetof(struct dmm_datagram_header, segment), &mark,
                   sizeof(mark));
}

/* How many bytes the app gets. */
static size_t told_bytes(const struct found *found, size_t room)
{
    size_t left = found->header.len - found->skip;
    return left < room ? left : room;
}

static void copy_payload(const struct held *held, const struct found *found,
                         const struct msghdr *msg, size_t len)
{
    uint32_t at = held->at + (uint32_t)sizeof(found->header) + found->skip;
    uint32_t start = at & (held->size - 1);
    size_t first = len < held->size - start ? len : held->size - start;
    io_scatter(msg->msg_iov, msg->msg_iovlen, 0, held->base + start, first);
    io_scatter(msg->msg_iov, msg->msg_iovlen, first, held->base, len - first);
}

/* What the call returns, also what moves the offset. */
static size_t result(const struct found *found, size_t room, int flags)
{
    return (flags & MSG_TRUNC) ? found->header.len : told_bytes(found, room);
}

/* The datagram that is next to be read or peeked at: its header, and its payload in msg's iovecs,
 * up to `room`. False: none. */
static bool take(struct entry *entry, const struct part *part, const struct msghdr *msg,
                 size_t room, int flags, struct found *found)
{
    struct dmm_socket *sock = part->sock;
    struct held held;
    lock_take(&sock->rx_lock, socket_owner(entry));
    held.at = atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
    held.tail = atomic_load_explicit(&sock->rx_tail, memory_order_acquire);
    dmm_ring_ref ring = atomic_load_explicit(&sock->rx_ring, memory_order_acquire);
    held.size = dmm_ring_size(ring);
    held.base = io_ring(entry, ring);
    bool got = find(&held, (flags & MSG_PEEK) ? peek_offset(sock) : -1, found);
    if (got) {
        uint32_t record = dmm_datagram_record_size(found->header.len);
        copy_payload(&held, found, msg, told_bytes(found, room));
        if (!(flags & MSG_PEEK))
            /* Release: the record has been read. */
            atomic_store_explicit(&sock->rx_head, held.at + record, memory_order_release);
        else if (found->header.len == 0)
            mark_told(&held);
        peek_move_offset(sock, result(found, room, flags), flags);
    }
    lock_drop(&sock->rx_lock);
    if (got && !(flags & MSG_PEEK))
        io_received(entry, part);
    return got;
}

static ssize_t deliver(const struct entry *entry, const struct part *part,
                       const struct found *found, size_t room, int flags, struct msghdr *msg)
{
    const struct dmm_datagram_header *header = &found->header;
    /* As Linux: bytes that the offset passed over are missing too, but if the rest left room. */
    bool cut = room <= header->len - found->skip && room < header->len;
    msg->msg_flags = (flags & MSG_CMSG_CLOEXEC) | (cut ? MSG_TRUNC : 0);
    if (msg->msg_name)
        socket_tell_address(entry, header->peer, msg->msg_name, &msg->msg_namelen);
    else
        msg->msg_namelen = 0;
    if (msg->msg_control)
        add_wanted(entry, part->sock, header, msg);
    else
        msg->msg_controllen = 0;
    return (ssize_t)result(found, room, flags);
}

ssize_t datagram_receive(struct entry *entry, const struct part *part, struct msghdr *msg,
                         int flags, bool nonblock)
{
    struct found found;
    ssize_t total = io_total(msg->msg_iov, msg->msg_iovlen);
    uint64_t deadline = 0;
    if (total < 0)
        return total;
    if (flags & MSG_ERRQUEUE)
        return -EAGAIN;
    signals_looked_at(entry);
    for (;;) {
        uint32_t state = socket_state(part->sock);
        uint32_t tail = atomic_load_explicit(&part->sock->rx_tail, memory_order_acquire);
        int error = socket_take_error(part->sock);
        if (error)
            return -error;
        if (take(entry, part, msg, (size_t)total, flags, &found))
            return deliver(entry, part, &found, (size_t)total, flags, msg);
        if ((state & DMM_SS_DEAD) ||
            (atomic_load_explicit(&part->sock->app_flags, memory_order_acquire) & DMM_AF_SHUT_RD))
            return 0;
        if (nonblock)
            return -EAGAIN;
        /* What peeks have told of does not end the wait of one. */
        int r = (flags & MSG_PEEK) ? io_wait_beyond(entry, part, tail, false, &deadline)
                                   : io_wait(entry, part, EPOLLIN, WORD_RCVTIMEO_MS, &deadline);
        if (r < 0)
            return r;
    }
}

/* ---- send ---- */

/* Adds the whole record or nothing. */
static bool put(struct entry *entry, const struct part *part, const struct msghdr *msg,
                const struct dmm_datagram_header *header)
{
    static const char padding[8];
    struct dmm_socket *sock = part->sock;
    uint32_t record = dmm_datagram_record_size(header->len);
    lock_take(&sock->tx_lock, socket_owner(entry));
    uint32_t room = io_tx_room(entry, part, record, RING_LIMIT);
    if (room < record)
        room = io_tx_no_room(entry, part, record, RING_LIMIT);
    bool fits = room >= record;
    if (fits) {
        dmm_ring_ref ring = atomic_load_explicit(&sock->tx_ring, memory_order_relaxed);
        uint32_t size = dmm_ring_size(ring);
        char *base = io_ring(entry, ring);
        uint32_t tail = atomic_load_explicit(&sock->tx_tail, memory_order_relaxed);
        uint32_t at = tail;
        dmm_ring_write(base, size, at, header, sizeof(*header));
        at += (uint32_t)sizeof(*header);
        uint32_t start = at & (size - 1);
        uint32_t first = header->len < size - start ? header->len : size - start;
        io_gather(base + start, msg->msg_iov, msg->msg_iovlen, 0, first);
        io_gather(base, msg->msg_iov, msg->msg_iovlen, first, header->len - first);
        at += header->len;
        dmm_ring_write(base, size, at, padding, tail + record - at);
        /* Release: the record, and the ring that it is in. */
        atomic_store_explicit(&sock->tx_tail, tail + record, memory_order_release);
    }
    lock_drop(&sock->tx_lock);
    if (fits)
        io_sent(entry, part);
    return fits;
}

static int may_send(struct dmm_socket *sock, const struct dmm_addr *to)
{
    uint32_t state = socket_state(sock);
    int error = socket_take_error(sock);
    if (error)
        return -error;
    if ((state & DMM_SS_DEAD) ||
        (atomic_load_explicit(&sock->app_flags, memory_order_acquire) & DMM_AF_SHUT_WR))
        return -EPIPE;
    if (to && to->family == AF_INET && memcmp(to->ip, "\377\377\377\377", 4) == 0 &&
        !(socket_word(sock, WORD_STATUS) & STATUS_BROADCAST))
        return -EACCES;
    return !to && sock->peer.family == 0 ? -EDESTADDRREQ : 0;
}

ssize_t datagram_send(struct entry *entry, const struct part *part, const struct msghdr *msg,
                      const struct dmm_addr *to, int flags)
{
    struct dmm_datagram_header header;
    ssize_t total = io_total(msg->msg_iov, msg->msg_iovlen);
    uint64_t deadline = 0;
    if (total < 0 || total > (ssize_t)DMM_DATAGRAM_MAX)
        return -EMSGSIZE;
    if (flags & MSG_OOB)
        return -EOPNOTSUPP;
    memset(&header, 0, sizeof(header));
    header.len = (uint32_t)total;
    header.segment = (uint16_t)socket_word(part->sock, WORD_SEGMENT);
    if (to)
        header.peer = *to;
    int r = take_control(msg, &header);
    if (r == 0 && header.segment && header.len > header.segment * DMM_SEGMENTS_MAX)
        r = -EINVAL;
    bool nonblock = (flags & MSG_DONTWAIT) || socket_nonblock(entry);
    while (r == 0) {
        r = may_send(part->sock, to);
        if (r < 0)
            break;
        io_tx_first(entry, part, dmm_datagram_record_size(header.len));
        if (put(entry, part, msg, &header))
            return total;
        r = nonblock ? -EAGAIN : io_wait(entry, part, EPOLLOUT, WORD_SNDTIMEO_MS, &deadline);
    }
    return r;
}
