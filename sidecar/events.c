/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News: collected per socket during a turn, pushed to its watches once at the end of it, and one
 * doorbell per waitset.
 */
#include "common/ring.h"
#include "sidecar/client.h"
#include "sidecar/sock.h"
#include "sidecar/worker.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define ALWAYS (DMM_EV_ERR | DMM_EV_HUP)
#define MASK   (DMM_EV_IN | DMM_EV_OUT | DMM_EV_RDHUP | ALWAYS)
#define KEPT   (MASK | DMM_EV_EXCLUSIVE) /* of what WATCH says */

void dmm_sock_news(struct dmm_sock *sock, uint32_t events)
{
    if (sock->flags & DMM_SOCK_CLOSED)
        return;
    sock->news |= (uint16_t)events;
    sock->n_news += sock->n_news < UINT16_MAX;
    if (sock->flags & DMM_SOCK_NEWS)
        return;
    struct dmm_worker *worker = sock->client->worker;
    sock->flags |= DMM_SOCK_NEWS;
    sock->news_prev = NULL;
    sock->news_next = worker->news;
    if (sock->news_next)
        sock->news_next->news_prev = sock;
    worker->news = sock;
}

void dmm_sock_news_forget(struct dmm_sock *sock)
{
    if (!(sock->flags & DMM_SOCK_NEWS))
        return;
    if (sock->news_next)
        sock->news_next->news_prev = sock->news_prev;
    if (sock->news_prev)
        sock->news_prev->news_next = sock->news_next;
    else
        sock->client->worker->news = sock->news_next;
    sock->flags &= (uint16_t)~DMM_SOCK_NEWS;
    sock->news = sock->n_news = 0;
}

/* ---- watches ---- */

static struct dmm_watch *shared_watch(const struct dmm_client *client, uint32_t index,
                                      uint64_t watches_ext, uint32_t slot)
{
    if (slot < DMM_WATCH_INLINE)
        return &dmm_client_socket(client, index)->watches[slot];
    return (struct dmm_watch *)dmm_client_at(client, watches_ext) + (slot - DMM_WATCH_INLINE);
}

static struct dmm_watch_private *private_watch(struct dmm_sock *sock, uint32_t slot)
{
    return slot < DMM_WATCH_INLINE ? &sock->watches[slot]
                                   : &sock->watches_more[slot - DMM_WATCH_INLINE];
}

static bool slot_exists(const struct dmm_sock *sock, uint32_t slot)
{
    return slot < DMM_WATCH_INLINE || (slot < DMM_WATCH_MAX && sock->watches_ext);
}

/* True if it is going to wake a sleeper that had not been woken yet. */
static bool push(struct dmm_sock *sock, uint32_t slot, uint32_t events)
{
    struct dmm_client *client = sock->client;
    struct dmm_watch_private *mine = private_watch(sock, slot);
    events &= mine->events & MASK;
    if (!events)
        return false;
    bool woken = client->waitsets[mine->waitset].dirty;
    struct dmm_watch *watch = shared_watch(client, sock->index, sock->watches_ext, slot);
    if (!dmm_ready_push(dmm_client_waitset(client, mine->waitset), watch,
                        dmm_node_id(sock->index, slot), events)) {
        mine->events |= DMM_WATCH_DEFERRED;
        sock->flags |= DMM_SOCK_DEFERRED;
        client->deferred = true;
    }
    dmm_client_wake_for_news(client, mine->waitset);
    /* Relaxed: who no longer sleeps, or does so from now on, has yet to look at its list. */
    return !woken && atomic_load_explicit(&dmm_client_waitset(client, mine->waitset)->armed,
                                          memory_order_relaxed) == 1;
}

int dmm_sock_watch(struct dmm_sock *sock, uint32_t slot, uint32_t waitset, uint32_t events)
{
    if (!slot_exists(sock, slot))
        return -EINVAL;
    struct dmm_watch_private *mine = private_watch(sock, slot);
    mine->waitset = (uint16_t)waitset;
    mine->events = (uint16_t)((events & KEPT) | ALWAYS | (mine->events & DMM_WATCH_DEFERRED));
    if (slot >= sock->n_watches)
        sock->n_watches = (uint16_t)(slot + 1);

    uint32_t now = 0;
    if (sock->rx_tail != sock->rx_head)
        now |= DMM_EV_IN;
    if (sock->state & DMM_SS_EOF)
        now |= DMM_EV_IN | DMM_EV_RDHUP | (sock->flags & DMM_SOCK_SHUT_WR ? DMM_EV_HUP : 0);
    if (sock->state & DMM_SS_CONNECTED)
        now |= DMM_EV_OUT;
    if (sock->state & DMM_SS_DEAD)
        now |= MASK;
    push(sock, slot, now);
    return 0;
}

static void unwatch(struct dmm_sock *sock, uint32_t slot)
{
    struct dmm_watch_private *mine = private_watch(sock, slot);
    /* What it alone was told of, others are told of now: its owner may be dead. */
    if (mine->events & DMM_EV_EXCLUSIVE && sock->rx_tail != sock->rx_head)
        dmm_sock_news(sock, DMM_EV_IN);
    mine->events &= DMM_WATCH_DEFERRED;
    if (mine->events)
        return; /* its link is owed; the slot is free after that */
    mine->waitset = DMM_WATCH_OFF;
    atomic_store_explicit(&shared_watch(sock->client, sock->index, sock->watches_ext, slot)->owner,
                          0, memory_order_release);
}

int dmm_sock_unwatch(struct dmm_sock *sock, uint32_t slot)
{
    if (!slot_exists(sock, slot))
        return -EINVAL;
    unwatch(sock, slot);
    return 0;
}

/* The private side of the slots at `ext`. */
static int more_slots(struct dmm_sock *sock, uint64_t ext)
{
    const uint32_t n = DMM_WATCH_MAX - DMM_WATCH_INLINE;
    struct dmm_watch_private *more = malloc(n * sizeof(*more));
    if (!more)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        more[i] = (struct dmm_watch_private){DMM_WATCH_OFF, 0};
    sock->watches_more = more;
    sock->watches_ext = ext;
    atomic_store_explicit(&sock->shared->watches_ext, ext, memory_order_release);
    return 0;
}

int dmm_sock_watch_more(struct dmm_sock *sock)
{
    uint32_t size;
    if (sock->watches_ext)
        return 0;
    uint64_t at = dmm_client_block(
        sock->client, (DMM_WATCH_MAX - DMM_WATCH_INLINE) * sizeof(struct dmm_watch), &size);
    if (!at)
        return -ENOMEM;
    memset(dmm_client_at(sock->client, at), 0, size);
    int rc = more_slots(sock, at);
    if (rc)
        dmm_client_block_free(sock->client, at, size);
    return rc;
}

void dmm_sock_unwatch_waitset(struct dmm_sock *sock, uint32_t waitset)
{
    for (uint32_t slot = 0; slot < sock->n_watches; slot++)
        if (private_watch(sock, slot)->waitset == waitset)
            unwatch(sock, slot);
}

void dmm_sock_unwatch_process(struct dmm_sock *sock, uint32_t process)
{
    for (uint32_t slot = 0; slot < sock->n_watches; slot++) {
        uint16_t waitset = private_watch(sock, slot)->waitset;
        if (waitset != DMM_WATCH_OFF && sock->client->waitsets[waitset].process == process)
            unwatch(sock, slot);
    }
}

void dmm_sock_unwatch_all(struct dmm_sock *sock)
{
    for (uint32_t slot = 0; slot < sock->n_watches; slot++)
        if (private_watch(sock, slot)->waitset != DMM_WATCH_OFF)
            unwatch(sock, slot);
}

/* ---- reuse of indices ---- */

bool dmm_sock_watches_linked(const struct dmm_client *client, const struct dmm_freed_socket *freed)
{
    for (uint32_t slot = 0; slot < freed->n_watches; slot++)
        if (atomic_load_explicit(
                &shared_watch(client, freed->index, freed->watches_ext, slot)->pending,
                memory_order_acquire))
            return true;
    return false;
}

int dmm_sock_watches_inherit(struct dmm_sock *sock, const struct dmm_freed_socket *freed)
{
    sock->n_watches = (uint16_t)freed->n_watches;
    return freed->watches_ext ? more_slots(sock, freed->watches_ext) : 0;
}

/* ---- the end of a turn ---- */

/* O_ASYNC: a byte for whoever has the socket, if there is none in the placeholder. */
static void ring_bell(const struct dmm_sock *sock)
{
    int unread = 0;
    if (ioctl(sock->bell - 1, SIOCOUTQ, &unread) == 0 && unread == 0)
        (void)!send(sock->bell - 1, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* `n`: how often there was news. As many sleepers in exclusive waitsets are woken, the others of
 * that kind are left asleep. */
static void push_all(struct dmm_sock *sock, uint32_t events, unsigned n)
{
    if (sock->flags & DMM_SOCK_ROOM) {
        sock->flags &= (uint16_t)~DMM_SOCK_ROOM;
        if (dmm_sock_tx_wanted(sock))
            events |= DMM_EV_OUT;
    }
    if (events && sock->bell)
        ring_bell(sock);
    for (uint32_t slot = 0; events && slot < sock->n_watches; slot++) {
        const struct dmm_watch_private *mine = private_watch(sock, slot);
        bool exclusive = mine->events & DMM_EV_EXCLUSIVE && !(events & ALWAYS);
        if (!(mine->events & MASK) || (exclusive && !n))
            continue;
        n -= push(sock, slot, events) && exclusive;
    }
}

static void link_deferred(struct dmm_sock *sock)
{
    sock->flags &= (uint16_t)~DMM_SOCK_DEFERRED;
    for (uint32_t slot = 0; slot < sock->n_watches; slot++) {
        struct dmm_watch_private *mine = private_watch(sock, slot);
        if (!(mine->events & DMM_WATCH_DEFERRED))
            continue;
        struct dmm_watch *watch = shared_watch(sock->client, sock->index, sock->watches_ext, slot);
        uint16_t waitset = mine->waitset;
        if (dmm_ready_link(dmm_client_waitset(sock->client, waitset), watch,
                           dmm_node_id(sock->index, slot))) {
            mine->events &= (uint16_t)~DMM_WATCH_DEFERRED;
            if (!mine->events)
                unwatch(sock, slot);
        } else {
            sock->flags |= DMM_SOCK_DEFERRED;
            sock->client->deferred = true;
        }
        dmm_client_wake_for_news(sock->client, waitset);
    }
}

static void retry_deferred(struct dmm_worker *worker)
{
    for (unsigned i = 0; i < worker->n_clients; i++) {
        struct dmm_client *client = worker->clients[i];
        if (!client->deferred || client->ended)
            continue;
        client->deferred = false;
        for (uint32_t s = 0; s < client->sockets_top; s++)
            if (client->sockets[s] && client->sockets[s]->flags & DMM_SOCK_DEFERRED)
                link_deferred(client->sockets[s]);
    }
}

unsigned dmm_events_flush(struct dmm_worker *worker)
{
    retry_deferred(worker);
    if (worker->news) {
        /* One fence for all: heads and tails of this turn, before tx_nospace is looked at. */
        atomic_thread_fence(memory_order_seq_cst);
    }
    while (worker->news) {
        struct dmm_sock *sock = worker->news;
        uint16_t events = sock->news;
        unsigned n = sock->n_news;
        dmm_sock_news_forget(sock);
        push_all(sock, events, n);
    }
    unsigned rung = 0;
    while (worker->dirty) {
        struct dmm_client *client = worker->dirty;
        worker->dirty = client->dirty_next;
        client->in_dirty = false;
        rung += dmm_client_ring_doorbells(client);
    }
    return rung;
}
