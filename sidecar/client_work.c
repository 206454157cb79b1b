/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker does for a client in each turn, and the client's end. */
#include "common/log.h"
#include "common/ring.h"
#include "sidecar/client.h"
#include "sidecar/worker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHANNEL_BATCH 32                   /* commands of one channel before the next one's */
#define CLAIM_NS      UINT64_C(1000000000) /* from a claim to the word of it, at most */

/* After room was made in a channel. */
static void wake_stalled(struct dmm_client *client, uint32_t id)
{
    struct dmm_channel *channel = dmm_client_channel(client, id);
    /* Sequentially consistent against the app's stalled = 1, look again. */
    if (!dmm_should_wake(&channel->stalled))
        return;
    uint32_t waitset = atomic_load_explicit(&channel->stalled_waitset, memory_order_acquire);
    if (waitset >= DMM_CLIENT_WAITSETS)
        dmm_client_violation(client, "channel %u: stalled_waitset %u does not exist", id, waitset);
    else if (client->waitsets[waitset].used) /* else its thread has found room and ended */
        dmm_client_wake(client, waitset);
}

static unsigned channel_commands(struct dmm_client *client, uint32_t id, unsigned budget)
{
    struct dmm_channel_private *mine = &client->channels[id];
    struct dmm_channel *channel = dmm_client_channel(client, id);
    struct dmm_command command;
    unsigned n = 0;
    while (n < budget && !client->violation[0] &&
           dmm_command_take(channel, &mine->position, &command)) {
        n++;
        dmm_command_run(client, id, &command);
    }
    if (n)
        wake_stalled(client, id);
    return n;
}

unsigned dmm_client_commands(struct dmm_client *client, unsigned budget)
{
    unsigned total = 0;
    unsigned idle = 0;
    while (!client->ended && total < budget && idle < client->n_channels) {
        if (client->next_channel >= client->n_channels)
            client->next_channel = 0;
        unsigned n = channel_commands(client, client->active_channels[client->next_channel++],
                                      CHANNEL_BATCH);
        idle = n ? 0 : idle + 1;
        total += n;
        if (client->violation[0])
            break;
    }
    client->stats.commands += total;
    return total;
}

bool dmm_client_has_work(struct dmm_client *client)
{
    if (client->ended)
        return client->n_sockets == 0;
    for (uint32_t i = 0; i < client->n_channels; i++) {
        uint32_t id = client->active_channels[i];
        if (dmm_command_waiting(dmm_client_channel(client, id), client->channels[id].position))
            return true;
    }
    return client->deferred;
}

void dmm_client_violation(struct dmm_client *client, const char *fmt, ...)
{
    if (client->violation[0] || client->ended)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(client->violation, sizeof(client->violation), fmt, ap);
    va_end(ap);
    client->doomed_next = client->worker->doomed;
    client->worker->doomed = client;
}

void dmm_client_end(struct dmm_client *client)
{
    if (client->ended)
        return;
    client->ended = true;
    atomic_store_explicit(&client->region->closed, 1, memory_order_release);
    for (uint32_t i = 0; i < client->sockets_top; i++)
        if (client->sockets[i] && !(client->sockets[i]->flags & DMM_SOCK_CLOSED))
            dmm_sock_close(client->sockets[i], true);
    /* The doorbells' ends tell whoever sleeps on them. */
    for (uint32_t i = 0; i < client->waitsets_top; i++)
        if (client->waitsets[i].used || client->waitsets[i].lingers) {
            close(client->waitsets[i].fd);
            client->waitsets[i].used = client->waitsets[i].lingers = false;
        }
    client->n_channels = 0;
    client->worker->stats.clients_ended++;
    client->worker->client_ended(client->worker->client_arg, client->id);
}

void dmm_client_doubt_claims(struct dmm_client *client)
{
    client->doubts = true;
    if (!client->sweep_at)
        client->sweep_at = client->worker->now;
}

void dmm_client_sweep(struct dmm_client *client, uint64_t now)
{
    if (!client->sweep_at || now < client->sweep_at)
        return;
    bool again = false;
    for (uint32_t i = 0; i < client->sockets_top; i++) {
        struct dmm_sock *sock = client->sockets[i];
        if (!sock || !dmm_sock_claimed(sock))
            continue;
        if (sock->flags & DMM_SOCK_DOUBTED) {
            dmm_sock_queue_leave(sock);
            dmm_sock_close(sock, true);
        } else if (client->doubts) {
            sock->flags |= DMM_SOCK_DOUBTED;
            again = true;
        }
    }
    client->doubts = false;
    client->sweep_at = again ? now + CLAIM_NS : 0;
}

void dmm_client_wake_for_news(struct dmm_client *client, uint32_t waitset)
{
    struct dmm_waitset_private *mine = &client->waitsets[waitset];
    if (mine->dirty)
        return;
    mine->dirty = true;
    mine->next_dirty = client->first_dirty;
    client->first_dirty = (uint16_t)waitset;
    if (!client->in_dirty) {
        client->in_dirty = true;
        client->dirty_next = client->worker->dirty;
        client->worker->dirty = client;
    }
}

void dmm_client_wake(struct dmm_client *client, uint32_t waitset)
{
    client->waitsets[waitset].told = true;
    dmm_client_wake_for_news(client, waitset);
}

/* Relaxed: an empty list is one that the app took after our push. */
static bool has_news(struct dmm_client *client, uint16_t waitset)
{
    return atomic_load_explicit(&dmm_client_waitset(client, waitset)->ready, memory_order_relaxed);
}

unsigned dmm_client_ring_doorbells(struct dmm_client *client)
{
    unsigned n = 0;
    while (client->first_dirty != DMM_WATCH_OFF) {
        uint16_t waitset = client->first_dirty;
        struct dmm_waitset_private *mine = &client->waitsets[waitset];
        client->first_dirty = mine->next_dirty;
        mine->dirty = false;
        bool wanted = mine->used && (mine->told || has_news(client, waitset));
        mine->told = false;
        if (!wanted || !dmm_should_wake(&dmm_client_waitset(client, waitset)->armed))
            continue;
        /* A full doorbell is rung already; a closed one is the app's loss. */
        (void)!send(mine->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        client->stats.doorbells++;
        n++;
    }
    return n;
}

void dmm_client_stats_add(struct dmm_client_stats *sum, const struct dmm_client_stats *more)
{
    sum->commands += more->commands;
    sum->refused += more->refused;
    sum->doorbells += more->doorbells;
    sum->rx_bytes += more->rx_bytes;
    sum->tx_bytes += more->tx_bytes;
}
