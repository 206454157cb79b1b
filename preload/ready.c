/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/ready.h"

#include "preload/socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#define READABLE (EPOLLIN | EPOLLRDNORM)
#define WRITABLE (EPOLLOUT | EPOLLWRNORM)

static bool may_write(const struct ready_snapshot *s)
{
    return ready_writable(s->tx_size, s->tx_used) &&
           dmm_notsent_is_low(s->unsent, s->notsent_lowat);
}

static uint32_t stream_events(const struct ready_snapshot *s)
{
    uint32_t events = 0;
    bool dead = s->state & DMM_SS_DEAD;
    bool no_more_in = dead || (s->state & DMM_SS_EOF) || (s->app_flags & DMM_AF_SHUT_RD);
    bool no_more_out = dead || (s->app_flags & DMM_AF_SHUT_WR);
    bool fresh = !(s->state & (DMM_SS_CONNECTING | DMM_SS_CONNECTED | DMM_SS_DEAD));

    if (s->state & DMM_SS_LISTENING)
        return (dead ? EPOLLERR | EPOLLHUP : 0) | (dead || s->received ? READABLE : 0);
    if ((no_more_in && no_more_out) || fresh)
        events |= EPOLLHUP;
    if (no_more_in)
        events |= READABLE | EPOLLRDHUP;
    if ((s->state & DMM_SS_CONNECTING) && !(s->state & (DMM_SS_CONNECTED | DMM_SS_DEAD)))
        return events;
    if (s->received >= (s->lowat ? s->lowat : 1))
        events |= READABLE;
    if (no_more_out || may_write(s))
        events |= WRITABLE;
    return events;
}

static uint32_t datagram_events(const struct ready_snapshot *s)
{
    uint32_t events = 0;
    bool no_more_in = (s->state & DMM_SS_DEAD) || (s->app_flags & DMM_AF_SHUT_RD);
    if (no_more_in)
        events |= READABLE | EPOLLRDHUP;
    if (no_more_in && ((s->state & DMM_SS_DEAD) || (s->app_flags & DMM_AF_SHUT_WR)))
        events |= EPOLLHUP;
    if (s->received)
        events |= READABLE;
    if (may_write(s))
        events |= WRITABLE;
    return events;
}

uint32_t ready_compute(const struct ready_snapshot *s)
{
    uint32_t events = s->stream ? stream_events(s) : datagram_events(s);
    return s->error ? events | EPOLLERR : events;
}

static uint32_t tx_used(struct dmm_socket *sock)
{
    return atomic_load_explicit(&sock->tx_tail, memory_order_relaxed) -
           atomic_load_explicit(&sock->tx_head, memory_order_acquire);
}

uint32_t ready_unsent(struct dmm_socket *sock)
{
    return atomic_load_explicit(&sock->tx_tail, memory_order_relaxed) -
           atomic_load_explicit(&sock->tx_sent, memory_order_acquire);
}

static void look_at_tx(struct dmm_socket *sock, struct ready_snapshot *s)
{
    s->tx_used = tx_used(sock);
    s->unsent = s->notsent_lowat ? ready_unsent(sock) : 0;
}

uint32_t ready_part(const struct part *part)
{
    struct dmm_socket *sock = part->sock;
    struct ready_snapshot s;
    /* The state first: data that came before an end must not be missed. */
    s.state = socket_state(sock);
    s.stream = sock->type == SOCK_STREAM;
    s.app_flags = atomic_load_explicit(&sock->app_flags, memory_order_relaxed);
    s.error = atomic_load_explicit(&sock->so_error, memory_order_acquire) != 0;
    s.received = atomic_load_explicit(&sock->rx_tail, memory_order_acquire) -
                 atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
    s.lowat = socket_word(sock, WORD_RCVLOWAT);
    s.tx_size = dmm_ring_size(atomic_load_explicit(&sock->tx_ring, memory_order_relaxed));
    /* A larger ring on offer is room; the sidecar has told of it and will not tell again. */
    uint32_t offered = dmm_ring_size(atomic_load_explicit(&sock->tx_offer, memory_order_acquire));
    if (offered > s.tx_size)
        s.tx_size = offered;
    s.notsent_lowat = s.stream ? socket_word(sock, WORD_NOTSENT_LOWAT) : 0;
    look_at_tx(sock, &s);
    if (!may_write(&s)) {
        /* Whoever asks may go to sleep on the answer: the sidecar must tell when there is room. */
        atomic_store_explicit(&sock->tx_nospace, 1, memory_order_seq_cst);
        atomic_thread_fence(memory_order_seq_cst);
        look_at_tx(sock, &s);
    }
    return ready_compute(&s);
}

uint32_t ready_entry(struct entry *entry)
{
    uint32_t n = socket_parts(entry);
    uint32_t events = 0;
    if (atomic_load_explicit(&entry->phase, memory_order_acquire) == PHASE_UNDECIDED)
        return entry->kernel ? 0 : WRITABLE | (entry->type == SOCK_STREAM ? EPOLLHUP : 0);
    for (uint32_t i = 0; i < n; i++)
        events |= ready_part(socket_part(entry, i));
    if (!(events & EPOLLOUT))
        atomic_fetch_add_explicit(&entry->full_count, 1, memory_order_relaxed);
    return events;
}
