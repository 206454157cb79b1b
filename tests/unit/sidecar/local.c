/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/sidecar/local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* NOLINTNEXTLINE(bugprone-suspicious-include): the plug-in itself, in process */
#include "tests/plugins/loop.c"

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "local: %s\n", what);
        exit(1);
    }
}

static void on_ended(void *arg, uint32_t id)
{
    (void)id;
    ((struct local *)arg)->ended++;
}

static void on_gone(void *arg, struct dmm_client *client)
{
    ((struct local *)arg)->gone++;
    dmm_client_delete(client);
}

static void turn(void *arg)
{
    dmm_worker_turn(arg);
}

void local_turns(struct local *local, int n)
{
    while (n-- > 0)
        dmm_worker_turn(&local->worker);
}

void local_start(struct local *local, const struct dmm_limits *limits)
{
    static const struct dmm_limits defaults = {.max_clients = 16,
                                               .max_sockets = 256,
                                               .rx_max = 1 << 20,
                                               .tx_max = 1 << 20,
                                               .heap_size = 32 << 20};
    struct dmm_err err;
    memset(local, 0, sizeof(*local));
    local->limits = limits ? *limits : defaults;
    must(!dmm_worker_init(&local->worker, &err), "worker");
    local->worker.client_ended = on_ended;
    local->worker.client_gone = on_gone;
    local->worker.client_arg = local;
    local->kernel = (struct dmm_instance){.name = "kernel", .type = "kernel", .up = true};
    local->loop = (struct dmm_instance){.name = "loop", .type = "loop", .ops = &dmm_stack_ops_v1};
    dmm_worker_add_instance(&local->worker, &local->kernel);
    dmm_worker_add_instance(&local->worker, &local->loop);
    must(!dmm_worker_start_instance(&local->worker, &local->loop, "{}", &err), "loop");
}

void local_stop(struct local *local)
{
    for (unsigned i = 0; i < local->worker.n_clients; i++)
        dmm_client_end(local->worker.clients[i]);
    for (int i = 0; i < 100 && local->worker.n_clients; i++)
        dmm_worker_turn(&local->worker);
    must(!local->worker.n_clients, "a client does not go");
    must(!local->loop.n_sockets, "sockets are left");
    local->loop.ops->destroy(local->loop.stack);
    dmm_worker_destroy(&local->worker);
}

static void join(struct dmm_client *client, struct sim *sim, int process)
{
    struct dmm_err err;
    int ends[2];
    must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
    sim->control = sim->doorbell = -1;
    sim->process = (uint32_t)process;
    sim->channel = (uint32_t)dmm_client_add_channel(client, sim->process, &err);
    sim->waitset = (uint32_t)dmm_client_add_waitset(client, sim->process, ends[0], &err);
    sim->bell = ends[1];
}

struct dmm_client *local_client(struct local *local, struct sim *sim)
{
    struct dmm_client *client;
    struct dmm_err err;
    memset(sim, 0, sizeof(*sim));
    must(!dmm_client_new(&client, &local->limits, &err), "client");
    client->id = ++local->next_id;
    must(!dmm_worker_add_client(&local->worker, client), "add client");
    join(client, sim, dmm_client_add_process(client, 1000, "sim", &err));
    sim->region = client->region;
    sim->size = client->layout.size;
    sim->turn = turn;
    sim->turn_arg = &local->worker;
    return client;
}

void local_fork(struct local *local, struct dmm_client *client, struct sim *sim, struct sim *child)
{
    struct dmm_err err;
    (void)local;
    *child = *sim;
    child->seq = 0;
    join(client, child, dmm_client_fork_process(client, sim->process, &err));
}

void local_exit(struct local *local, struct dmm_client *client, struct sim *sim)
{
    close(sim->bell);
    dmm_client_remove_process(client, sim->process);
    local_turns(local, 4);
}
