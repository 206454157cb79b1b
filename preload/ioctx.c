/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/ioctx.h"

#include "common/ring.h"
#include "preload/ready.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

#define FIRST_RING_MIN     (1u << 14)
#define FIRST_RING_WAIT_NS 10000000u

struct wait_for {
    const struct part *part;
    uint32_t events;
    bool beyond; /* only news after `tail` count */
    uint32_t tail;
};

/* To a sender, a ring that does not exist yet is no room, though poll() calls it writable. */
static bool has_ring(struct dmm_socket *sock)
{
    return atomic_load_explicit(&sock->tx_ring, memory_order_relaxed) ||
           atomic_load_explicit(&sock->tx_offer, memory_order_acquire) ||
           !atomic_load_explicit(&sock->tx_nospace, memory_order_acquire);
}

static bool is_ready(void *arg)
{
    const struct wait_for *wait = arg;
    uint32_t ready = ready_part(wait->part);
    if (ready & (EPOLLERR | EPOLLHUP))
        return true;
    if (wait->beyond)
        return (ready & EPOLLRDHUP) ||
               atomic_load_explicit(&wait->part->sock->rx_tail, memory_order_acquire) != wait->tail;
    if (wait->events & EPOLLOUT)
        return (ready & EPOLLOUT) && has_ring(wait->part->sock);
    return ready & wait->events;
}

static int wait_until(struct entry *entry, struct wait_for *wait, enum socket_word timeout_word,
                      uint64_t *deadline, bool brittle)
{
    const struct part *part = wait->part;
    uint64_t until = socket_deadline(part->sock, timeout_word, deadline);
    struct waiter *waiter = waiter_get(entry->client);
    if (!waiter)
        return is_ready(wait) ? 0 : client_is_dead(entry->client) ? -ECONNRESET : -ENOBUFS;
    waiter_begin(waiter);
    int r = waiter_watch(waiter, part);
    if (r < 0)
        return r;
    bool before = waiter->brittle;
    waiter->brittle = brittle;
    r = waiter_wait(waiter, is_ready, wait, until, -1);
    waiter->brittle = before;
    return r;
}

int io_wait(struct entry *entry, const struct part *part, uint32_t events,
            enum socket_word timeout_word, uint64_t *deadline)
{
    struct wait_for wait = {.part = part, .events = events};
    return wait_until(entry, &wait, timeout_word, deadline, false);
}

int io_wait_more(struct entry *entry, const struct part *part, uint32_t events,
                 enum socket_word timeout_word, uint64_t *deadline)
{
    struct wait_for wait = {.part = part, .events = events};
    return wait_until(entry, &wait, timeout_word, deadline, true);
}

int io_wait_beyond(struct entry *entry, const struct part *part, uint32_t tail, bool part_done,
                   uint64_t *deadline)
{
    struct wait_for wait = {.part = part, .beyond = true, .tail = tail};
    return wait_until(entry, &wait, WORD_RCVTIMEO_MS, deadline, part_done);
}

/* ---- telling the worker ---- */

void io_received(struct entry *entry, const struct part *part)
{
    struct dmm_socket *sock = part->sock;
    if (!atomic_load_explicit(&sock->rx_notify, memory_order_relaxed))
        return;
    uint32_t held = atomic_load_explicit(&sock->rx_tail, memory_order_acquire) -
                    atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
    uint32_t size = dmm_ring_size(atomic_load_explicit(&sock->rx_ring, memory_order_acquire));
    if (held > size / 2)
        return;
    if (atomic_exchange_explicit(&sock->rx_notify, 0, memory_order_seq_cst))
        command_send_value(entry->client, DMM_CMD_RECEIVED, part->index, 0);
}

void io_sent(struct entry *entry, const struct part *part)
{
    struct dmm_socket *sock = part->sock;
    if (atomic_load_explicit(&sock->send_queued, memory_order_relaxed))
        return;
    if (atomic_exchange_explicit(&sock->send_queued, 1, memory_order_seq_cst) == 0)
        command_send_value(entry->client, DMM_CMD_SEND, part->index, 0);
}

/* ---- the transmit ring ---- */

static uint32_t power_of_two(uint64_t at_least)
{
    uint32_t size = DMM_RING_MIN;
    while (size < at_least && size < DMM_RING_MAX)
        size <<= 1;
    return size;
}

/* Moves what the old ring still holds into the one on offer. */
static dmm_ring_ref adopt(const struct entry *entry, struct dmm_socket *sock, dmm_ring_ref ring,
                          dmm_ring_ref offer)
{
    uint32_t head = atomic_load_explicit(&sock->tx_head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&sock->tx_tail, memory_order_relaxed);
    if (ring && tail - head <= dmm_ring_size(ring))
        dmm_ring_move(io_ring(entry, offer), dmm_ring_size(offer), io_ring(entry, ring),
                      dmm_ring_size(ring), head, tail - head);
    /* Release: the bytes are in it. The store of tx_tail comes after. */
    atomic_store_explicit(&sock->tx_ring, offer, memory_order_release);
    return offer;
}

static void ask_for(struct entry *entry, const struct part *part, uint32_t size)
{
    if (atomic_load_explicit(&entry->grow_asked, memory_order_relaxed) == size)
        return;
    atomic_store_explicit(&entry->grow_asked, size, memory_order_relaxed);
    command_send_value(entry->client, DMM_CMD_GROW, part->index, size);
}

uint32_t io_tx_room(struct entry *entry, const struct part *part, uint32_t want, uint32_t limit)
{
    struct dmm_socket *sock = part->sock;
    dmm_ring_ref ring = atomic_load_explicit(&sock->tx_ring, memory_order_relaxed);
    dmm_ring_ref offer = atomic_load_explicit(&sock->tx_offer, memory_order_acquire);
    if (__builtin_expect(dmm_ring_size(offer) > dmm_ring_size(ring), 0)) {
        ring = adopt(entry, sock, ring, offer);
        atomic_store_explicit(&entry->grow_asked, 0, memory_order_relaxed);
    }
    uint32_t size = dmm_ring_size(ring);
    uint32_t used = atomic_load_explicit(&sock->tx_tail, memory_order_relaxed) -
                    atomic_load_explicit(&sock->tx_head, memory_order_acquire);
    uint32_t room = size - used;
    if (__builtin_expect(room >= want, 1))
        return room;
    uint64_t useful = (uint64_t)used + want;
    if (useful < 2u * (uint64_t)size)
        useful = 2u * (uint64_t)size;
    uint32_t wanted = power_of_two(useful < limit ? useful : limit);
    if (wanted > limit && wanted > DMM_RING_MIN)
        wanted >>= 1;
    if (size == 0 && wanted < FIRST_RING_MIN && FIRST_RING_MIN <= limit)
        wanted = FIRST_RING_MIN;
    if (wanted > size)
        ask_for(entry, part, wanted);
    return room;
}

uint32_t io_tx_no_room(struct entry *entry, const struct part *part, uint32_t want, uint32_t limit)
{
    /* Sequentially consistent against the worker's "free, then tx_nospace?". */
    atomic_fetch_add_explicit(&entry->full_count, 1, memory_order_relaxed);
    atomic_store_explicit(&part->sock->tx_nospace, 1, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    return io_tx_room(entry, part, want, limit);
}

static bool has_offer(void *arg)
{
    struct dmm_socket *sock = arg;
    return atomic_load_explicit(&sock->tx_offer, memory_order_acquire) ||
           (socket_state(sock) & DMM_SS_DEAD);
}

void io_tx_first(struct entry *entry, const struct part *part, uint32_t want)
{
    struct dmm_socket *sock = part->sock;
    if (atomic_load_explicit(&sock->tx_ring, memory_order_relaxed) || has_offer(sock))
        return;
    struct waiter *waiter = waiter_get(entry->client);
    if (!waiter)
        return;
    uint32_t size = power_of_two(want);
    atomic_store_explicit(&sock->tx_nospace, 1, memory_order_seq_cst);
    atomic_store_explicit(&entry->grow_asked, 0, memory_order_relaxed);
    ask_for(entry, part, size < FIRST_RING_MIN ? FIRST_RING_MIN : size);
    waiter_begin(waiter);
    uint64_t deadline = waiter_now() + FIRST_RING_WAIT_NS;
    if (waiter_watch(waiter, part) == 0)
        waiter_wait(waiter, has_offer, sock, deadline, -1);
    if (!has_offer(sock))
        atomic_store_explicit(&entry->grow_asked, 0, memory_order_relaxed);
}

/* ---- ends ---- */

ssize_t io_receive_end(struct dmm_socket *sock, uint32_t state)
{
    int error = socket_take_error(sock);
    if (error)
        return -error;
    if ((state & (DMM_SS_EOF | DMM_SS_DEAD)) ||
        (atomic_load_explicit(&sock->app_flags, memory_order_acquire) & DMM_AF_SHUT_RD))
        return 0;
    return (state & (DMM_SS_CONNECTED | DMM_SS_CONNECTING)) ? -EAGAIN : -ENOTCONN;
}

int io_send_end(struct dmm_socket *sock, uint32_t state)
{
    if (state & DMM_SS_DEAD) {
        int error = socket_take_error(sock);
        return error ? -error : -EPIPE;
    }
    if (atomic_load_explicit(&sock->app_flags, memory_order_acquire) & DMM_AF_SHUT_WR)
        return -EPIPE;
    if (state & DMM_SS_CONNECTED)
        return 0;
    int error = socket_take_error(sock);
    if (error)
        return -error;
    return (state & DMM_SS_CONNECTING) ? -EAGAIN : -EPIPE;
}

/* ---- iovecs ---- */

ssize_t io_total(const struct iovec *iov, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        if (iov[i].iov_len > (size_t)SSIZE_MAX - total)
            return -EINVAL;
        total += iov[i].iov_len;
    }
    return (ssize_t)total;
}

void io_gather(char *to, const struct iovec *iov, size_t n, size_t skip, size_t len)
{
    for (size_t i = 0; i < n && len; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t piece = iov[i].iov_len - skip < len ? iov[i].iov_len - skip : len;
        memcpy(to, (const char *)iov[i].iov_base + skip, piece);
        to += piece;
        len -= piece;
        skip = 0;
    }
}

void io_scatter(const struct iovec *iov, size_t n, size_t skip, const char *from, size_t len)
{
    for (size_t i = 0; i < n && len; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t piece = iov[i].iov_len - skip < len ? iov[i].iov_len - skip : len;
        memcpy((char *)iov[i].iov_base + skip, from, piece);
        from += piece;
        len -= piece;
        skip = 0;
    }
}
