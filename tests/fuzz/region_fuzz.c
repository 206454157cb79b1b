/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that scribbles over its region between the worker's turns: whatever it writes, the
 * sidecar neither crashes nor hangs, and another client's bytes arrive.
 *
 * The input is a list of steps, four bytes each (op, a, b, c), some with an operand after them.
 */
#include "sidecar/worker.h"

#include "common/log.h"
#include "tests/fuzz/fuzz.h"
/* The simulated app and the worker without a thread, built with the fuzzer's instrumentation. */
#include "tests/unit/sidecar/client_sim.c" /* NOLINT(bugprone-suspicious-include) */
#include "tests/unit/sidecar/local.c"      /* NOLINT(bugprone-suspicious-include) */

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define STEPS 200

struct input {
    const uint8_t *at, *end;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | (in->at < in->end ? *in->at++ : 0);
    return value;
}

static void make_pair(struct sim *sim, uint16_t port, uint32_t ends[3])
{
    ends[0] = (uint32_t)sim_open(sim, 1, SOCK_STREAM, 0);
    fuzz_require(!sim_bind(sim, ends[0], port) && !sim_listen(sim, ends[0], 4), "a listener");
    ends[1] = (uint32_t)sim_open(sim, 1, SOCK_STREAM, 0);
    fuzz_require(!sim_connect_to(sim, ends[1], port), "a connect");
    ends[2] = (uint32_t)sim_wait_accept(sim, ends[0]);
    fuzz_require(sim_wait_state(sim, ends[1], DMM_SS_CONNECTED), "a connection");
}

/* A command with fields from the input, published as the ring wants it. */
static void any_command(const struct sim *sim, const struct dmm_client *client, struct input *in)
{
    struct dmm_channel *channel = dmm_client_channel(client, sim->channel);
    uint32_t position = client->channels[sim->channel].position;
    struct dmm_command *slot = &channel->commands[position & (DMM_CHANNEL_COMMANDS - 1)];
    slot->op = (uint8_t)(take(in, 1) % (DMM_CMD_COUNT + 1));
    slot->instance = (uint8_t)(take(in, 1) % 4);
    slot->reply = (uint16_t)(take(in, 1) % 24);
    slot->socket = take(in, 1) % 72;
    slot->value = take(in, 2);
    slot->waitset = take(in, 1) % 4;
    for (unsigned i = 0; i < sizeof(slot->bytes); i += 4) {
        uint32_t word = take(in, 1);
        memcpy(slot->bytes + i, &word, sizeof(word));
    }
    atomic_store_explicit(&slot->turn, position + 1, memory_order_release);
}

/* A word of one of the client's sockets, near what it is or anything. */
static void any_socket_word(const struct dmm_client *client, struct input *in)
{
    uint32_t socket = take(in, 1) % 8;
    uint32_t word = take(in, 1) % (sizeof(struct dmm_socket) / 4);
    uint32_t how = take(in, 1);
    uint32_t *at = (uint32_t *)(void *)dmm_client_socket(client, socket) + word;
    if (how & 1)
        *at += (how >> 1) - 32;
    else
        *at = take(in, 4);
}

static void any_bytes(const struct dmm_client *client, struct input *in)
{
    const struct dmm_region *layout = &client->layout;
    const uint64_t starts[] = {
        0, layout->policy, layout->channels, layout->waitsets, layout->sockets, layout->heap};
    uint64_t at = starts[take(in, 1) % 6] + take(in, 2);
    uint32_t len = take(in, 1);
    for (uint32_t i = 0; i < len && at + i < layout->size; i++)
        *dmm_client_at(client, at + i) = (char)take(in, 1);
}

static void step(struct local *local, struct dmm_client *client, const struct sim *sim,
                 struct input *in)
{
    switch (take(in, 1) % 6) {
    case 0:
        any_bytes(client, in);
        break;
    case 1:
    case 2:
        any_command(sim, client, in);
        dmm_worker_turn(&local->worker);
        break;
    case 3:
    case 4:
        any_socket_word(client, in);
        break;
    default:
        dmm_worker_turn(&local->worker);
        break;
    }
}

static void honest_transfer(struct sim *sim, const uint32_t ends[3])
{
    char buf[300] = "x", got[300];
    uint32_t n = 0;
    fuzz_require(sim_write(sim, ends[1], buf, sizeof(buf)) == sizeof(buf),
                 "the other client can write");
    for (int i = 0; i < 100 && n < sizeof(got); i++) {
        n += sim_read(sim, ends[2], got, sizeof(got));
        sim_pause(sim);
    }
    fuzz_require(n == sizeof(got), "the other client's bytes arrive");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    dmm_log_setup("fuzz", DMM_LOG_ERROR, false, 2);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dmm_limits limits = {.max_clients = 2,
                                             .max_sockets = 64,
                                             .rx_max = 1 << 16,
                                             .tx_max = 1 << 16,
                                             .heap_size = 1 << 20};
    static struct local local;
    struct input in = {data, data + size};
    struct sim liar, honest, child;
    uint32_t mine[3], theirs[3];
    local_start(&local, &limits);
    struct dmm_client *client = local_client(&local, &liar);
    local_client(&local, &honest);
    make_pair(&liar, 80, mine);
    make_pair(&honest, 81, theirs);
    sim_open(&liar, 1, SOCK_DGRAM, 0);
    sim_watch(&liar, mine[1], 0, DMM_EV_IN | DMM_EV_OUT);
    local_fork(&local, client, &liar, &child);
    for (int i = 0; i < STEPS && in.at < in.end && !local.gone; i++) {
        step(&local, client, &liar, &in);
        if (client->violation[0] || client->ended)
            break;
    }
    honest_transfer(&honest, theirs);
    local_stop(&local);
    close(liar.bell);
    close(child.bell);
    close(honest.bell);
    return 0;
}
