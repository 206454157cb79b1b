/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/spares.h"

#include "sidecar/client.h"
#include "sidecar/instance.h"

#include <netinet/in.h>

#define CONNECTS_BEFORE 1 /* that a process does without spares: many only ever do one */
#define STEP            8 /* more at a time */

/* Opens one into the slot, which is empty. False: there is no room for more sockets. */
static bool put(struct dmm_client *client, uint32_t channel, uint32_t slot,
                struct dmm_instance *instance, const struct dmm_open *open)
{
    struct dmm_channel_private *mine = &client->channels[channel];
    struct dmm_sock *sock = dmm_sock_new(client, instance, open);
    if (!sock)
        return false;
    if (instance->ops->open(instance->stack, sock, open, &sock->ssock)) {
        dmm_sock_free(sock);
        return false;
    }
    sock->flags |= DMM_SOCK_SPARE;
    sock->spare_slot = (uint8_t)slot;
    dmm_sock_hold(sock, mine->process);
    client->n_spares++;
    instance->n_spares++;
    mine->spares[slot] = sock->index + 1;
    /* As the app sees it, it connects from the moment that it is taken. */
    atomic_store_explicit(&sock->shared->state, DMM_SS_CONNECTING, memory_order_relaxed);
    /* Release: the socket's words are set up. */
    atomic_store_explicit(&dmm_client_channel(client, channel)->spares[slot],
                          dmm_spare_word(sock->index, instance->id, open->family == AF_INET6),
                          memory_order_release);
    return true;
}

/* Takes one back, unless the app was quicker. True: the slot is empty now. */
static bool take_back(struct dmm_client *client, uint32_t channel, uint32_t slot)
{
    struct dmm_channel_private *mine = &client->channels[channel];
    uint32_t index = mine->spares[slot] - 1;
    struct dmm_sock *sock = client->sockets[index];
    if (dmm_spare_socket(atomic_exchange_explicit(
            &dmm_client_channel(client, channel)->spares[slot], 0, memory_order_relaxed)) != index)
        return false;
    mine->spares[slot] = 0;
    if (sock && sock->flags & DMM_SOCK_SPARE)
        dmm_sock_close(sock, true);
    return true;
}

void dmm_spares_more(struct dmm_client *client, uint32_t channel, struct dmm_instance *instance,
                     const struct dmm_open *open)
{
    struct dmm_channel_private *mine = &client->channels[channel];
    if (mine->connects < CONNECTS_BEFORE) {
        mine->connects++;
        return;
    }
    if (client->n_sockets + STEP > client->limits.max_sockets / 2)
        return;
    unsigned n = 0;
    for (uint32_t slot = 0; slot < DMM_CHANNEL_SPARES && n < STEP; slot++)
        if (!mine->spares[slot] && put(client, channel, slot, instance, open))
            n++;
    uint32_t slot = mine->next_spare++ % DMM_CHANNEL_SPARES;
    /* All are of other kinds: one makes room. */
    if (!n && mine->spares[slot] && take_back(client, channel, slot))
        put(client, channel, slot, instance, open);
}

void dmm_spare_unmark(struct dmm_sock *sock)
{
    sock->flags &= (uint16_t)~DMM_SOCK_SPARE;
    sock->client->n_spares--;
    sock->instance->n_spares--;
}

void dmm_spare_take(struct dmm_sock *sock, uint32_t channel)
{
    struct dmm_client *client = sock->client;
    struct dmm_channel_private *mine = &client->channels[channel];
    uint32_t slot = sock->spare_slot;
    const struct dmm_open open = {sock->family, SOCK_STREAM, IPPROTO_TCP};
    dmm_spare_unmark(sock);
    dmm_sock_tx_offer(sock, DMM_TX_FIRST);
    if (mine->spares[slot] != sock->index + 1)
        return;
    mine->spares[slot] = 0;
    put(client, channel, slot, sock->instance, &open);
}

bool dmm_spares_drop(struct dmm_client *client)
{
    bool any = false;
    for (uint32_t i = 0; i < client->n_channels && client->n_spares; i++) {
        uint32_t channel = client->active_channels[i];
        for (uint32_t slot = 0; slot < DMM_CHANNEL_SPARES; slot++)
            if (client->channels[channel].spares[slot])
                any |= take_back(client, channel, slot);
    }
    return any;
}
