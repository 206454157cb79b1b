/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket changes its client: no process of the old one holds it, so what is in its rings is all
 * there will ever be there. The stack does not notice: its handle stays the same.
 */
#include "common/ring.h"
#include "sidecar/client.h"
#include "sidecar/instance.h"
#include "sidecar/sock.h"
#include "sidecar/worker.h"

#include <errno.h>
#include <string.h>

/* A ring in the client `to` that holds [head, head + held) of one in `from`; 0: no memory. */
static uint64_t copy_ring(struct dmm_client *from, struct dmm_client *to, uint64_t ref,
                          uint32_t head, uint32_t held)
{
    uint32_t size = dmm_ring_size(ref);
    uint64_t at = dmm_client_block(to, size, &size);
    if (!at)
        return 0;
    if (held)
        dmm_ring_move(dmm_client_at(to, at), size, dmm_client_at(from, dmm_ring_offset(ref)),
                      dmm_ring_size(ref), head, held);
    return at | (uint32_t)__builtin_ctz(size);
}

/* The shared words that go along. All of them were the old app's to write, but they mean something
 * to the shim alone; the new one takes them as it takes its own. */
static void copy_words(struct dmm_socket *to, struct dmm_socket *from)
{
    to->local = from->local;
    to->peer = from->peer;
    atomic_store_explicit(&to->so_error,
                          atomic_load_explicit(&from->so_error, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&to->app_flags,
                          atomic_load_explicit(&from->app_flags, memory_order_relaxed),
                          memory_order_relaxed);
    for (size_t i = 0; i < sizeof(to->app_private) / sizeof(to->app_private[0]); i++)
        atomic_store_explicit(&to->app_private[i],
                              atomic_load_explicit(&from->app_private[i], memory_order_relaxed),
                              memory_order_relaxed);
}

static void publish(struct dmm_sock *sock)
{
    struct dmm_socket *shared = sock->shared;
    atomic_store_explicit(&shared->rx_head, sock->rx_head, memory_order_relaxed);
    atomic_store_explicit(&shared->rx_tail, sock->rx_tail, memory_order_relaxed);
    atomic_store_explicit(&shared->rx_ring, sock->rx_ref, memory_order_relaxed);
    atomic_store_explicit(&shared->tx_head, sock->tx_head, memory_order_relaxed);
    atomic_store_explicit(&shared->tx_tail, sock->tx_tail, memory_order_relaxed);
    atomic_store_explicit(&shared->tx_sent, sock->tx_sent, memory_order_relaxed);
    atomic_store_explicit(&shared->tx_ring, sock->tx_ref, memory_order_relaxed);
    /* A SEND that was on its way is lost with the old channel; so are wishes for news. */
    atomic_store_explicit(&shared->rx_notify, 1, memory_order_relaxed);
    /* Release: whoever sees the state sees all that. */
    atomic_store_explicit(&shared->state, sock->state, memory_order_release);
}

static int move_one(struct dmm_sock *sock, struct dmm_client *to)
{
    struct dmm_client *from = sock->client;
    struct dmm_socket *old = sock->shared;
    uint64_t rx = 0;
    uint64_t tx = 0;
    struct dmm_open open = {.family = old->family, .type = old->type, .protocol = old->protocol};
    if (sock->rx_ref &&
        !(rx = copy_ring(from, to, sock->rx_ref, sock->rx_head, sock->rx_tail - sock->rx_head)))
        return -ENOBUFS;
    if (sock->tx_ref &&
        !(tx = copy_ring(from, to, sock->tx_ref, sock->tx_head, sock->tx_tail - sock->tx_head))) {
        dmm_client_block_free(to, dmm_ring_offset(rx), dmm_ring_size(rx));
        return -ENOBUFS;
    }
    struct dmm_freed_socket left;
    dmm_sock_news_forget(sock);
    if (!dmm_sock_take_index(sock, to, &open, &left)) {
        dmm_client_block_free(to, dmm_ring_offset(rx), dmm_ring_size(rx));
        dmm_client_block_free(to, dmm_ring_offset(tx), dmm_ring_size(tx));
        return -ENFILE;
    }
    /* The old rings, with those that were replaced or on offer, are the old client's. */
    sock->client = from;
    dmm_sock_rx_free(sock);
    dmm_sock_tx_free(sock);
    sock->client = to;
    dmm_sock_leave_index(from, &left);
    sock->rx_ref = rx;
    sock->tx_ref = tx;
    copy_words(sock->shared, old);
    publish(sock);
    return 0;
}

/* What is in a listener's queue goes with it; the places in the ring stay the same. */
static void move_queue(struct dmm_sock *listener, struct dmm_client *to)
{
    for (struct dmm_sock *next, *sock = listener->queue_next; sock; sock = next) {
        next = sock->queue_next;
        uint32_t position = sock->queue_position;
        if ((int32_t)(listener->rx_head - position) > 0 || move_one(sock, to)) {
            /* Claimed by a process that is gone, or no room: reset, as when a listener closes. A
             * queue entry must name a socket: one that does not exist is passed over. */
            uint32_t none = DMM_NONE - 1;
            dmm_ring_write(dmm_client_at(to, dmm_ring_offset(listener->rx_ref)),
                           dmm_ring_size(listener->rx_ref), position, &none, sizeof(none));
            dmm_sock_queue_leave(sock);
            dmm_sock_close(sock, true);
            continue;
        }
        dmm_ring_write(dmm_client_at(to, dmm_ring_offset(listener->rx_ref)),
                       dmm_ring_size(listener->rx_ref), position, &sock->index,
                       sizeof(sock->index));
    }
}

int dmm_sock_move(struct dmm_sock *sock, struct dmm_client *to)
{
    if (sock->flags & (DMM_SOCK_CLOSED | DMM_SOCK_QUEUED))
        return -EBADF;
    dmm_sock_unwatch_all(sock);
    if (sock->flags & DMM_SOCK_DEFERRED || sock->client->violation[0] || sock->client->ended)
        return -EBUSY;
    if (!dmm_sock_rx_refresh(sock) ||
        (sock->kind != DMM_SOCK_LISTENER && !dmm_sock_tx_refresh(sock)))
        return -EBADF;
    int rc = move_one(sock, to);
    if (rc)
        return rc;
    if (sock->kind == DMM_SOCK_LISTENER)
        move_queue(sock, to);
    else if (sock->kind == DMM_SOCK_DATAGRAM || !sock->tx_ref)
        dmm_sock_tx_offer(sock, DMM_TX_FIRST);
    if (sock->kind != DMM_SOCK_LISTENER && sock->tx_head != sock->tx_tail)
        sock->instance->ops->send_ready(sock->ssock);
    return 0;
}
