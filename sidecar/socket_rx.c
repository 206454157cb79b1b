/* SPDX-License-Identifier: Apache-2.0 */
/* Receive rings: the sidecar produces, the app consumes. */
#include "common/ring.h"
#include "sidecar/client.h"
#include "sidecar/instance.h"
#include "sidecar/sock.h"
#include "sidecar/worker.h"

#include <errno.h>
#include <stdlib.h>

/* A socket that gets twice its limit in this time may buffer more. What the limit holds back comes
 * once a round trip, so paths of up to half of this time grow; memory is taken only for bytes that
 * wait. */
#define BURST_NS 500000000

/* ---- replaced rings ---- */

static bool old_push(struct dmm_sock *sock)
{
    struct dmm_worker *worker = sock->client->worker;
    struct dmm_old_ring *old = worker->old_free;
    if (old)
        worker->old_free = old->next;
    else if (!(old = malloc(sizeof(*old))))
        return false;
    *old = (struct dmm_old_ring){sock->rx_old, sock->rx_ref, sock->rx_tail};
    sock->rx_old = old;
    return true;
}

static void ring_free(struct dmm_client *client, uint64_t ref)
{
    if (ref)
        dmm_client_block_free(client, dmm_ring_offset(ref), dmm_ring_size(ref));
}

/* Frees those that the app has read out; all if `all`. */
static void old_reap(struct dmm_sock *sock, bool all)
{
    struct dmm_old_ring **link = &sock->rx_old;
    while (*link) {
        struct dmm_old_ring *old = *link;
        if (!all && (int32_t)(sock->rx_head - old->until) < 0) {
            link = &old->next;
            continue;
        }
        *link = old->next;
        ring_free(sock->client, old->ref);
        old->next = sock->client->worker->old_free;
        sock->client->worker->old_free = old;
    }
}

void dmm_sock_rx_free(struct dmm_sock *sock)
{
    old_reap(sock, true);
    ring_free(sock->client, sock->rx_ref);
    sock->rx_ref = 0;
}

/* ---- the app's side of it ---- */

bool dmm_sock_rx_refresh(struct dmm_sock *sock)
{
    /* Acquire: the app has read what it passed. */
    uint32_t head = atomic_load_explicit(&sock->shared->rx_head, memory_order_acquire);
    if (head == sock->rx_head)
        return true;
    if (head - sock->rx_head > sock->rx_tail - sock->rx_head ||
        (sock->kind == DMM_SOCK_LISTENER && head % sizeof(uint32_t))) {
        dmm_client_violation(sock->client, "socket %u: rx_head %u is not between %u and %u",
                             sock->index, head, sock->rx_head, sock->rx_tail);
        return false;
    }
    sock->rx_head = head;
    if (sock->rx_old)
        old_reap(sock, false);
    return true;
}

bool dmm_sock_rx_reserve(struct dmm_sock *sock, uint32_t bytes)
{
    uint32_t size = dmm_ring_size(sock->rx_ref);
    if (bytes <= size)
        return true;
    uint32_t want = size ? size * 4 : DMM_RX_FIRST;
    if (want > sock->client->limits.rx_max)
        want = sock->client->limits.rx_max;
    if (want < bytes)
        want = bytes;
    uint64_t at = dmm_client_block(sock->client, want, &want);
    if (!at)
        return false;
    uint32_t held = sock->rx_tail - sock->rx_head;
    if (held) {
        if (!old_push(sock)) {
            dmm_client_block_free(sock->client, at, 0);
            return false;
        }
        dmm_ring_move(dmm_client_at(sock->client, at), want,
                      dmm_client_at(sock->client, dmm_ring_offset(sock->rx_ref)), size,
                      sock->rx_head, held);
    } else {
        ring_free(sock->client, sock->rx_ref);
    }
    sock->rx_ref = at | (uint32_t)__builtin_ctz(want);
    /* Release: the bytes are in the new ring; and before the tail that will count more of them. */
    atomic_store_explicit(&sock->shared->rx_ring, sock->rx_ref, memory_order_release);
    return true;
}

static void limit_grow(struct dmm_sock *sock)
{
    if (sock->rx_limit < sock->rx_most)
        sock->rx_limit = sock->rx_limit > sock->rx_most / 2 ? sock->rx_most : sock->rx_limit * 2;
}

void dmm_sock_rx_keeps_up(struct dmm_sock *sock)
{
    limit_grow(sock);
}

static bool usable(const struct dmm_sock *sock)
{
    return !(sock->flags & DMM_SOCK_CLOSED) && !sock->client->violation[0];
}

uint32_t dmm_sock_rx_space(const struct dmm_sock *const_sock)
{
    /* What the app did is looked up here; the stack sees a constant. */
    struct dmm_sock *sock = (struct dmm_sock *)(uintptr_t)const_sock;
    if (!usable(sock) || !dmm_sock_rx_refresh(sock))
        return 0;
    uint32_t space = sock->rx_limit - (sock->rx_tail - sock->rx_head);
    if (space < sock->rx_limit / 2) {
        /* Sequentially consistent against the app's: store rx_head, exchange rx_notify. */
        atomic_store_explicit(&sock->shared->rx_notify, 1, memory_order_seq_cst);
        atomic_thread_fence(memory_order_seq_cst);
        if (!dmm_sock_rx_refresh(sock))
            return 0;
        space = sock->rx_limit - (sock->rx_tail - sock->rx_head);
    }
    return space;
}

/* ---- bytes and datagrams ---- */

static void count_burst(struct dmm_sock *sock, uint32_t len)
{
    uint64_t now = sock->client->worker->now;
    if (now - sock->rx_burst_start > BURST_NS) {
        sock->rx_burst_start = now;
        sock->rx_burst = 0;
    }
    sock->rx_burst += len;
    if (sock->rx_burst > 2 * sock->rx_limit) {
        sock->rx_burst = 0;
        limit_grow(sock);
    }
    sock->client->stats.rx_bytes += len;
}

/* Room for `len` more bytes in the ring, within the limit. */
static bool make_room(struct dmm_sock *sock, uint32_t len)
{
    if (!usable(sock) || !dmm_sock_rx_refresh(sock))
        return false;
    uint32_t held = sock->rx_tail - sock->rx_head;
    if (held > sock->rx_limit || len > sock->rx_limit - held)
        return false;
    if (dmm_sock_rx_reserve(sock, held + len))
        return true;
    /* The heap is full: don't offer what can't be had. */
    uint32_t size = dmm_ring_size(sock->rx_ref);
    sock->rx_limit = size > DMM_RX_FIRST ? size : DMM_RX_FIRST;
    return false;
}

static char *rx_at(const struct dmm_sock *sock)
{
    return dmm_client_at(sock->client, dmm_ring_offset(sock->rx_ref));
}

static void publish_tail(struct dmm_sock *sock)
{
    atomic_store_explicit(&sock->shared->rx_tail, sock->rx_tail, memory_order_release);
    dmm_sock_news(sock, DMM_EV_IN);
}

int dmm_sock_rx_write(struct dmm_sock *sock, const void *data, uint32_t len)
{
    if (!make_room(sock, len))
        return -ENOBUFS;
    dmm_ring_write(rx_at(sock), dmm_ring_size(sock->rx_ref), sock->rx_tail, data, len);
    sock->rx_tail += len;
    count_burst(sock, len);
    publish_tail(sock);
    return 0;
}

int dmm_sock_rx_datagram(struct dmm_sock *sock, const struct dmm_datagram *datagram)
{
    static const char zeroes[8];
    uint32_t record = dmm_datagram_record_size(datagram->len);
    if (datagram->len > DMM_DATAGRAM_MAX || !make_room(sock, record)) {
        sock->instance->rx_dropped++;
        sock->rx_dropped++;
        return -ENOBUFS;
    }
    struct dmm_datagram_header header = {.len = datagram->len,
                                         /* What comes from the loop is the first port's. */
                                         .ifindex = datagram->ifindex ? datagram->ifindex : 1,
                                         .peer = datagram->peer,
                                         .local = datagram->local,
                                         .ttl = datagram->ttl,
                                         .tos = datagram->tos,
                                         .stamp = (uint32_t)(sock->client->worker->now / 1000)};
    header.local.scope_id = sock->flags & DMM_SOCK_TELLS_DROPS ? sock->rx_dropped : 0;
    if (sock->instance->ops->capabilities & DMM_STACK_SEGMENTS)
        header.segment = datagram->segment;
    char *ring = rx_at(sock);
    uint32_t size = dmm_ring_size(sock->rx_ref);
    uint32_t at = sock->rx_tail;
    dmm_ring_write(ring, size, at, &header, sizeof(header));
    at += (uint32_t)sizeof(header);
    for (int i = 0; i < 2; i++) {
        dmm_ring_write(ring, size, at, datagram->iov[i].iov_base,
                       (uint32_t)datagram->iov[i].iov_len);
        at += (uint32_t)datagram->iov[i].iov_len;
    }
    dmm_ring_write(ring, size, at, zeroes, -datagram->len & 7);
    sock->rx_tail += record;
    count_burst(sock, record);
    publish_tail(sock);
    return 0;
}
