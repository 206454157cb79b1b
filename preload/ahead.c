/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/ahead.h"

#include "preload/command.h"

#include <string.h>

static struct reached *place_of(struct client *client, const struct dmm_addr *remote)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < sizeof(remote->ip); i++)
        hash = hash * 31 + remote->ip[i];
    return &client->reached[hash % CLIENT_REACHED];
}

/* The sidecar adds 1 with each change of ports and addresses. */
static uint32_t generation_of(const struct client *client)
{
    return atomic_load_explicit(&client->region->policy_generation, memory_order_relaxed);
}

void ahead_note(struct client *client, uint32_t instance, const struct dmm_addr *remote)
{
    lock_take(&client->policy_lock, LOCK_PRIVATE);
    struct reached *reached = place_of(client, remote);
    *reached = (struct reached){
        .addr = *remote, .instance = instance, .generation = generation_of(client)};
    lock_drop(&client->policy_lock);
}

static bool was_reached(struct client *client, uint32_t instance, const struct dmm_addr *remote)
{
    lock_take(&client->policy_lock, LOCK_PRIVATE);
    const struct reached *reached = place_of(client, remote);
    bool was = reached->addr.family == remote->family && reached->instance == instance &&
               reached->generation == generation_of(client) &&
               memcmp(reached->addr.ip, remote->ip, sizeof(remote->ip)) == 0;
    lock_drop(&client->policy_lock);
    return was;
}

bool ahead_take(struct client *client, uint32_t instance, const struct dmm_addr *remote,
                struct part *part)
{
    const uint32_t kind = dmm_spare_kind(dmm_spare_word(0, instance, remote->family == AF_INET6));
    if (client_is_dead(client) || !client_alive_here() || !was_reached(client, instance, remote))
        return false;
    uint32_t first = atomic_load_explicit(&client->spare_hint, memory_order_relaxed);
    for (uint32_t i = 0; i < DMM_CHANNEL_SPARES; i++) {
        _Atomic uint32_t *spare = &client->channel->spares[(first + i) % DMM_CHANNEL_SPARES];
        uint32_t word = atomic_load_explicit(spare, memory_order_relaxed);
        uint32_t index = dmm_spare_socket(word);
        if (!word || dmm_spare_kind(word) != kind || index >= client->region->n_sockets)
            continue;
        /* Acquire: the socket's words. */
        if (!atomic_compare_exchange_strong_explicit(spare, &word, 0, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        atomic_store_explicit(&client->spare_hint, first + i + 1, memory_order_relaxed);
        *part = (struct part){.sock = dmm_region_socket(client->region, index),
                              .index = index,
                              .instance = (uint8_t)instance,
                              .family = (uint8_t)remote->family};
        return true;
    }
    return false;
}

void ahead_connect(struct client *client, const struct part *part, const struct dmm_addr *remote)
{
    struct dmm_command command = {
        .op = DMM_CMD_CONNECT, .reply = DMM_NO_REPLY, .socket = part->index, .addr = *remote};
    command_send(client, &command);
}
