/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/command.h"

#include "common/ring.h"
#include "preload/calls.h"
#include "preload/waiter.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FULL_SPINS     200
#define COMMAND_HEADER offsetof(struct dmm_command, op)

static void wake_worker(struct client *client)
{
    if (!dmm_should_wake(&client->region->worker_armed))
        return;
    const uint64_t one = 1;
    int saved = errno;
    /* An eventfd whose count is full is awake. */
    if (REAL(write)(client->worker, &one, sizeof(one)) < 0)
        errno = saved;
}

/* The ring is full: the worker is asked to tell when there is room. Several producers share that
 * one request, so each also looks again by itself after a while. */
static struct dmm_command *wait_for_room(struct client *client, uint32_t position)
{
    for (unsigned spins = 0;; spins++) {
        struct dmm_command *slot = dmm_command_slot(client->channel, position);
        if (slot || client_is_dead(client))
            return slot;
        if (spins < FULL_SPINS) {
            waiter_relax();
            continue;
        }
        struct waiter *waiter = waiter_get(client);
        if (!waiter) {
            sched_yield();
            continue;
        }
        atomic_store_explicit(&client->channel->stalled_waitset, waiter->waitset,
                              memory_order_release);
        dmm_arm(&client->channel->stalled);
        waiter_arm(waiter);
        wake_worker(client);
        if (!dmm_command_slot(client->channel, position))
            waiter_nap(waiter, 1);
        waiter_disarm(waiter);
    }
}

void command_send(struct client *client, struct dmm_command *command)
{
    if (client_is_dead(client) || !client_alive_here())
        return;
    uint32_t position = dmm_command_reserve(client->channel);
    struct dmm_command *slot = dmm_command_slot(client->channel, position);
    if (__builtin_expect(!slot, 0))
        slot = wait_for_room(client, position);
    if (!slot)
        return;
    memcpy((char *)slot + COMMAND_HEADER, (char *)command + COMMAND_HEADER,
           sizeof(*slot) - COMMAND_HEADER);
    dmm_command_publish(slot, position);
    wake_worker(client);
}

void command_send_value(struct client *client, enum dmm_command_op op, uint32_t socket,
                        uint32_t value)
{
    struct dmm_command command = {
        .op = (uint8_t)op, .reply = DMM_NO_REPLY, .socket = socket, .value = value};
    command_send(client, &command);
}

/* ---- sync ---- */

static uint32_t take_reply_slot(struct dmm_channel *channel)
{
    for (;;) {
        uint32_t used = atomic_load_explicit(&channel->replies_used, memory_order_relaxed);
        uint32_t free = ~used & ((1u << DMM_CHANNEL_REPLIES) - 1);
        if (!free) {
            /* More threads than slots are waiting for replies, which are microseconds away. */
            const struct timespec pause = {.tv_nsec = 20000};
            nanosleep(&pause, NULL);
            continue;
        }
        uint32_t slot = (uint32_t)__builtin_ctz(free);
        if (atomic_compare_exchange_weak_explicit(&channel->replies_used, &used, used | 1u << slot,
                                                  memory_order_acquire, memory_order_relaxed))
            return slot;
    }
}

struct reply_wait {
    struct dmm_reply *slot;
    uint32_t seq;
    const struct client *client;
};

static bool replied(void *arg)
{
    struct reply_wait *wait = arg;
    return atomic_load_explicit(&wait->slot->done, memory_order_acquire) == wait->seq ||
           client_is_dead(wait->client);
}

int command_call(struct client *client, struct dmm_command *command, struct dmm_reply *reply)
{
    struct waiter *waiter = waiter_get(client);
    if (!waiter)
        return client_is_dead(client) ? -ECONNRESET : -ENOBUFS;
    int saved = errno;
    struct dmm_channel *channel = client->channel;
    uint32_t index = take_reply_slot(channel);
    struct reply_wait wait = {.slot = &channel->replies[index], .client = client};
    do
        wait.seq = atomic_fetch_add_explicit(&client->seq, 1, memory_order_relaxed) + 1;
    while (wait.seq == 0);
    command->reply = (uint16_t)index;
    command->seq = wait.seq;
    command->waitset = waiter->waitset;
    command_send(client, command);
    while (!replied(&wait))
        waiter_wait(waiter, replied, &wait, 0, -1);
    int result = -ECONNRESET;
    if (atomic_load_explicit(&wait.slot->done, memory_order_acquire) == wait.seq) {
        result = wait.slot->result;
        if (reply)
            memcpy(reply, wait.slot, sizeof(*reply));
    }
    /* Release: the slot has been read. A slot of a dead sidecar is of no use to anyone. */
    atomic_fetch_and_explicit(&channel->replies_used, ~(1u << index), memory_order_release);
    errno = saved;
    return result;
}

void command_settle(struct client *client, uint32_t socket)
{
    struct dmm_command ask = {.op = DMM_CMD_GETSOCKOPT,
                              .socket = socket,
                              .opt = {.level = SOL_SOCKET, .name = SO_RCVBUF, .len = sizeof(int)}};
    if (!client_is_dead(client))
        command_call(client, &ask, NULL);
}
