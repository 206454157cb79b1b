/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accept queues. The listener's receive ring holds 32-bit socket indices; a process claims one by
 * moving rx_head past it, then says so (ACCEPTED). Between the two the socket has no holder: it
 * stays queued here, and if the claimer dies the sweep resets it (dmm_client_doubt_claims()).
 */
#include "common/ring.h"
#include "sidecar/client.h"
#include "sidecar/instance.h"
#include "sidecar/sock.h"
#include "sidecar/worker.h"

#include <errno.h>
#include <netinet/in.h>

#define ENTRY ((uint32_t)sizeof(uint32_t))

uint32_t dmm_sock_accept_space(const struct dmm_sock *const_listener)
{
    struct dmm_sock *listener = (struct dmm_sock *)(uintptr_t)const_listener;
    if (listener->flags & DMM_SOCK_CLOSED || listener->client->violation[0] ||
        !dmm_sock_rx_refresh(listener))
        return 0;
    if (listener->state & DMM_SS_DEAD)
        return 1; /* for accepted() to refuse */
    uint32_t queued = (listener->rx_tail - listener->rx_head) / ENTRY;
    if (queued >= listener->backlog) {
        listener->flags |= DMM_SOCK_ACCEPT_FULL;
        return 0;
    }
    return listener->backlog - queued;
}

static void enqueue(struct dmm_sock *listener, struct dmm_sock *sock)
{
    sock->flags |= DMM_SOCK_QUEUED;
    sock->listener = listener;
    sock->queue_position = listener->rx_tail;
    sock->queue_prev = NULL;
    sock->queue_next = listener->queue_next;
    if (sock->queue_next)
        sock->queue_next->queue_prev = sock;
    listener->queue_next = sock;
    dmm_ring_write(dmm_client_at(listener->client, dmm_ring_offset(listener->rx_ref)),
                   dmm_ring_size(listener->rx_ref), listener->rx_tail, &sock->index, ENTRY);
    listener->rx_tail += ENTRY;
    atomic_store_explicit(&listener->shared->rx_tail, listener->rx_tail, memory_order_release);
    dmm_sock_news(listener, DMM_EV_IN);
}

int dmm_sock_accepted(struct dmm_sock *listener, void *ssock, const struct dmm_addr *local,
                      const struct dmm_addr *peer, struct dmm_sock **out)
{
    if (listener->flags & DMM_SOCK_CLOSED || listener->state & DMM_SS_DEAD ||
        listener->client->violation[0])
        return -ECONNABORTED;
    if (!dmm_sock_accept_space(listener))
        return -ENOBUFS;
    struct dmm_open open = {
        .family = listener->family, .type = SOCK_STREAM, .protocol = IPPROTO_TCP};
    struct dmm_sock *sock = dmm_sock_new(listener->client, listener->instance, &open);
    if (!sock) {
        listener->flags |= DMM_SOCK_ACCEPT_FULL;
        return -ENOBUFS;
    }
    sock->ssock = ssock;
    sock->rx_limit = listener->rx_limit_children;
    sock->rx_most = listener->rx_most;
    sock->tx_limit = listener->tx_limit;
    sock->notsent_lowat = listener->notsent_lowat;
    sock->shared->local = *local;
    sock->shared->peer = *peer;
    dmm_sock_tx_offer(sock, DMM_TX_FIRST);
    dmm_sock_set_state(sock, DMM_SS_CONNECTED);
    enqueue(listener, sock);
    *out = sock;
    return 0;
}

static bool passed(const struct dmm_sock *listener, const struct dmm_sock *sock)
{
    return (int32_t)(listener->rx_head - sock->queue_position) > 0;
}

bool dmm_sock_claim(struct dmm_sock *sock, uint32_t process)
{
    struct dmm_sock *listener = sock->listener;
    if (!(sock->flags & DMM_SOCK_QUEUED))
        return false;
    if (listener && (!dmm_sock_rx_refresh(listener) || !passed(listener, sock)))
        return false;
    dmm_sock_queue_leave(sock);
    dmm_sock_hold(sock, process);
    if (listener && listener->flags & DMM_SOCK_ACCEPT_FULL) {
        listener->flags &= (uint16_t)~DMM_SOCK_ACCEPT_FULL;
        listener->instance->ops->accept_ready(listener->ssock);
    }
    return true;
}

void dmm_sock_queue_leave(struct dmm_sock *sock)
{
    if (sock->queue_next)
        sock->queue_next->queue_prev = sock->queue_prev;
    if (sock->queue_prev)
        sock->queue_prev->queue_next = sock->queue_next;
    else if (sock->listener)
        sock->listener->queue_next = sock->queue_next;
    sock->flags &= (uint16_t) ~(DMM_SOCK_QUEUED | DMM_SOCK_DOUBTED);
    sock->listener = sock->queue_next = sock->queue_prev = NULL;
}

void dmm_sock_queue_drop(struct dmm_sock *listener)
{
    struct dmm_client *client = listener->client;
    bool known = !client->ended && dmm_sock_rx_refresh(listener);
    for (struct dmm_sock *next, *sock = listener->queue_next; sock; sock = next) {
        next = sock->queue_next;
        bool claimed = known && passed(listener, sock);
        dmm_sock_queue_leave(sock);
        if (claimed) {
            /* Its ACCEPTED is on the way, unless the claimer died. */
            sock->flags |= DMM_SOCK_QUEUED;
            dmm_client_doubt_claims(client);
        } else {
            dmm_sock_close(sock, true);
        }
    }
}

bool dmm_sock_claimed(const struct dmm_sock *sock)
{
    if (!(sock->flags & DMM_SOCK_QUEUED))
        return false;
    return !sock->listener || (dmm_sock_rx_refresh(sock->listener) && passed(sock->listener, sock));
}
