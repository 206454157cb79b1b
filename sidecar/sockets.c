/* SPDX-License-Identifier: Apache-2.0 */
/* A socket's life: its index, its holders, its end. */
#include "sidecar/client.h"
#include "sidecar/instance.h"
#include "sidecar/sock.h"
#include "sidecar/spares.h"
#include "sidecar/worker.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define REUSE_TRIES 8 /* freed indices to look at before a new one is taken */
#define CHUNK       64

/* ---- indices ---- */

/* One of the oldest freed indices; `linked` allows those that a list still holds. */
static bool index_take_freed(struct dmm_client *client, bool linked, struct dmm_freed_socket *out)
{
    uint32_t size = client->limits.max_sockets;
    for (uint32_t tries = 0; tries < REUSE_TRIES && tries < client->n_freed; tries++) {
        struct dmm_freed_socket freed = client->freed[client->freed_head];
        client->freed_head = (client->freed_head + 1) % size;
        bool is_linked = dmm_sock_watches_linked(client, &freed);
        if (linked || !is_linked) {
            client->n_freed--;
            *out = freed;
            if (!is_linked) {
                dmm_client_block_free(client, freed.watches_ext, 0);
                out->n_watches = 0;
                out->watches_ext = 0;
            }
            return true;
        }
        client->freed[(client->freed_head + client->n_freed - 1) % size] = freed;
    }
    return false;
}

static bool index_take(struct dmm_client *client, struct dmm_freed_socket *out)
{
    if (index_take_freed(client, false, out))
        return true;
    if (client->sockets_top < client->limits.max_sockets) {
        *out = (struct dmm_freed_socket){.index = client->sockets_top++};
        return true;
    }
    return index_take_freed(client, true, out);
}

static void index_give(struct dmm_client *client, const struct dmm_freed_socket *freed)
{
    uint32_t at = (client->freed_head + client->n_freed) % client->limits.max_sockets;
    client->freed[at] = *freed;
    client->n_freed++;
}

/* ---- the private structs: from chunks, so that accepting allocates nothing as a rule ---- */

static struct dmm_sock *sock_struct(struct dmm_worker *worker)
{
    if (!worker->spare_socks) {
        struct dmm_sock_chunk *chunk = calloc(1, sizeof(*chunk) + CHUNK * sizeof(struct dmm_sock));
        if (!chunk)
            return NULL;
        chunk->next = worker->sock_chunks;
        worker->sock_chunks = chunk;
        for (int i = 0; i < CHUNK; i++) {
            chunk->socks[i].news_next = worker->spare_socks;
            worker->spare_socks = &chunk->socks[i];
        }
    }
    struct dmm_sock *sock = worker->spare_socks;
    worker->spare_socks = sock->news_next;
    memset(sock, 0, sizeof(*sock));
    return sock;
}

static void give_struct(struct dmm_worker *worker, struct dmm_sock *sock)
{
    sock->news_next = worker->spare_socks;
    worker->spare_socks = sock;
}

/* ---- life ---- */

static void shared_init(struct dmm_sock *sock, const struct dmm_open *open)
{
    struct dmm_socket *shared = sock->shared;
    uint32_t generation = ++sock->client->generations[sock->index];
    /* No one knows the index yet: a plain reset. Whoever learns it does so by a release store of
     * ours that follows. The watches stay: one of them may be linked in a list. */
    memset(shared, 0, offsetof(struct dmm_socket, watches));
    atomic_store_explicit(&shared->generation, generation, memory_order_relaxed);
    shared->instance = (uint8_t)sock->instance->id;
    shared->family = open->family;
    shared->type = open->type;
    shared->protocol = open->protocol;
}

struct dmm_sock *dmm_sock_new(struct dmm_client *client, struct dmm_instance *instance,
                              const struct dmm_open *open)
{
    struct dmm_freed_socket slot;
    if (!index_take(client, &slot))
        return NULL;
    struct dmm_sock *sock = sock_struct(client->worker);
    if (!sock) {
        index_give(client, &slot);
        return NULL;
    }
    uint32_t index = slot.index;
    sock->client = client;
    sock->instance = instance;
    sock->index = index;
    sock->family = open->family;
    sock->shared = dmm_client_socket(client, index);
    sock->kind = open->type == SOCK_DGRAM ? DMM_SOCK_DATAGRAM : DMM_SOCK_STREAM;
    sock->rx_limit = DMM_RX_START < client->limits.rx_max ? DMM_RX_START : client->limits.rx_max;
    sock->rx_limit_children = sock->rx_limit;
    sock->rx_most = client->limits.rx_max;
    sock->tx_limit = client->limits.tx_max;
    for (unsigned i = 0; i < DMM_WATCH_INLINE; i++)
        sock->watches[i].waitset = DMM_WATCH_OFF;
    shared_init(sock, open);
    if (dmm_sock_watches_inherit(sock, &slot)) {
        index_give(client, &slot);
        give_struct(client->worker, sock);
        return NULL;
    }
    client->sockets[index] = sock;
    client->n_sockets++;
    instance->n_sockets++;
    return sock;
}

bool dmm_sock_take_index(struct dmm_sock *sock, struct dmm_client *to, const struct dmm_open *open,
                         struct dmm_freed_socket *left)
{
    const struct dmm_sock before = *sock;
    struct dmm_freed_socket slot;
    *left = (struct dmm_freed_socket){
        .index = sock->index, .n_watches = sock->n_watches, .watches_ext = sock->watches_ext};
    if (!index_take(to, &slot))
        return false;
    sock->client = to;
    sock->index = slot.index;
    sock->shared = dmm_client_socket(to, slot.index);
    sock->watches_more = NULL;
    sock->watches_ext = 0;
    shared_init(sock, open);
    if (dmm_sock_watches_inherit(sock, &slot)) {
        index_give(to, &slot);
        *sock = before;
        return false;
    }
    for (unsigned i = 0; i < DMM_WATCH_INLINE; i++)
        sock->watches[i] = (struct dmm_watch_private){.waitset = DMM_WATCH_OFF};
    free(before.watches_more);
    to->sockets[slot.index] = sock;
    to->n_sockets++;
    return true;
}

void dmm_sock_leave_index(struct dmm_client *client, const struct dmm_freed_socket *left)
{
    client->sockets[left->index] = NULL;
    client->n_sockets--;
    index_give(client, left);
}

void dmm_sock_free(struct dmm_sock *sock)
{
    struct dmm_client *client = sock->client;
    struct dmm_freed_socket freed = {
        .index = sock->index, .n_watches = sock->n_watches, .watches_ext = sock->watches_ext};
    dmm_sock_news_forget(sock);
    dmm_sock_rx_free(sock);
    dmm_sock_tx_free(sock);
    free(sock->watches_more);
    client->sockets[sock->index] = NULL;
    client->n_sockets--;
    sock->instance->n_sockets--;
    index_give(client, &freed);
    give_struct(client->worker, sock);
}

void dmm_sock_map_address(const struct dmm_sock *sock, struct dmm_addr *addr)
{
    if (sock->family == AF_INET6)
        dmm_addr_map(addr);
}

void dmm_sock_hold(struct dmm_sock *sock, uint32_t process)
{
    sock->holders[process / 64] |= UINT64_C(1) << (process % 64);
    sock->flags &= (uint16_t)~DMM_SOCK_ABORT;
}

bool dmm_sock_held(const struct dmm_sock *sock, uint32_t process)
{
    return sock->holders[process / 64] >> (process % 64) & 1;
}

void dmm_sock_let_go(struct dmm_sock *sock, uint32_t process, bool abort)
{
    sock->holders[process / 64] &= ~(UINT64_C(1) << (process % 64));
    dmm_sock_unwatch_process(sock, process);
    if (dmm_sock_has_holder(sock))
        return;
    if (!sock->exports) {
        dmm_sock_close(sock, abort);
        return;
    }
    /* A placeholder of its own still stands for it: its end is the socket's. */
    if (abort)
        sock->flags |= DMM_SOCK_ABORT;
}

bool dmm_sock_has_holder(const struct dmm_sock *sock)
{
    for (unsigned i = 0; i < DMM_CLIENT_PROCESSES / 64; i++)
        if (sock->holders[i])
            return true;
    return false;
}

void dmm_sock_unexport(struct dmm_sock *sock)
{
    if (--sock->exports == 0 && !dmm_sock_has_holder(sock))
        dmm_sock_close(sock, sock->flags & DMM_SOCK_ABORT);
}

void dmm_sock_close(struct dmm_sock *sock, bool abort)
{
    if (sock->flags & DMM_SOCK_CLOSED)
        return;
    if (sock->flags & DMM_SOCK_QUEUED)
        dmm_sock_queue_leave(sock);
    if (sock->flags & DMM_SOCK_SPARE)
        dmm_spare_unmark(sock);
    memset(sock->holders, 0, sizeof(sock->holders));
    bool ended = sock->client->ended;
    if (sock->kind == DMM_SOCK_LISTENER) {
        dmm_sock_queue_drop(sock);
    } else if (!ended) {
        /* The last look at what the app wrote: from now on nothing of it is read but payload. */
        if (!dmm_sock_tx_refresh(sock) || !dmm_sock_rx_refresh(sock))
            abort = true;
        if (sock->kind == DMM_SOCK_STREAM && sock->rx_tail != sock->rx_head)
            abort = true;
    }
    sock->flags |= DMM_SOCK_CLOSED;
    dmm_sock_news_forget(sock);
    dmm_sock_unwatch_all(sock);
    dmm_sock_rx_free(sock);
    sock->instance->ops->close(sock->ssock, abort ? DMM_CLOSE_ABORT : DMM_CLOSE_GRACEFUL);
    /* released() came inside close(): it left the freeing to us. */
    if (sock->flags & DMM_SOCK_RELEASED)
        dmm_sock_free(sock);
    else
        sock->flags |= DMM_SOCK_LINGERS;
}

void dmm_sock_set_state(struct dmm_sock *sock, uint32_t bits)
{
    sock->state |= bits;
    /* Release: so_error, local and peer were written before. */
    atomic_store_explicit(&sock->shared->state, sock->state, memory_order_release);
}

void dmm_sock_dead(struct dmm_sock *sock, int error)
{
    if (sock->flags & DMM_SOCK_CLOSED || sock->state & DMM_SS_DEAD)
        return;
    atomic_store_explicit(&sock->shared->so_error, (uint32_t)error, memory_order_release);
    dmm_sock_set_state(sock, DMM_SS_DEAD);
    dmm_sock_news(sock, DMM_EV_IN | DMM_EV_OUT | DMM_EV_ERR | DMM_EV_HUP | DMM_EV_RDHUP);
}
