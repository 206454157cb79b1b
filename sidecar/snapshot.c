/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/snapshot.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 512 /* sockets looked at in one call */

/* A table that grows. `failed` once memory ran out: then it is cut short. */
struct table {
    char *rows;
    size_t n, room, each;
    bool failed;
};

static void *table_add(struct table *table)
{
    if (table->n == table->room) {
        size_t room = table->room ? table->room * 2 : 64;
        char *rows = table->failed ? NULL : realloc(table->rows, room * table->each);
        if (!rows) {
            table->failed = true;
            return NULL;
        }
        table->rows = rows;
        table->room = room;
    }
    void *row = table->rows + table->n++ * table->each;
    memset(row, 0, table->each);
    return row;
}

/* ---- sockets ---- */

struct socket_walk {
    struct dmm_worker *worker;
    struct table table;
    unsigned client; /* the next to look at */
    uint32_t socket;
    bool more;
};

static const char *own_state(const struct dmm_sock *sock)
{
    if (sock->kind == DMM_SOCK_LISTENER)
        return "LISTEN";
    if (sock->state & DMM_SS_DEAD)
        return "CLOSE";
    if (sock->state & DMM_SS_CONNECTED)
        return "ESTAB";
    return sock->state & DMM_SS_CONNECTING ? "SYN-SENT" : "UNCONN";
}

/* A forked child's pid is in its channel until its first request. */
static uint32_t pid_of(const struct dmm_client *client, uint32_t process)
{
    if (client->processes[process].pid)
        return client->processes[process].pid;
    for (uint32_t i = 0; i < DMM_CLIENT_CHANNELS; i++)
        if (client->channels[i].used && client->channels[i].process == process)
            return atomic_load_explicit(&dmm_client_channel(client, i)->owner_pid,
                                        memory_order_relaxed);
    return 0;
}

static void show_process(const struct dmm_client *client, uint32_t process,
                         struct dmm_process_row *row)
{
    row->pid = pid_of(client, process);
    memcpy(row->comm, client->processes[process].comm, sizeof(row->comm));
}

static void fill_processes(const struct dmm_sock *sock, struct dmm_socket_row *row)
{
    for (uint32_t p = 0; p < DMM_CLIENT_PROCESSES && row->n_processes < DMM_SHOWN_PROCESSES; p++) {
        if (dmm_sock_held(sock, p))
            show_process(sock->client, p, &row->processes[row->n_processes++]);
    }
}

static void fill_socket(struct dmm_sock *sock, struct dmm_socket_row *row)
{
    memcpy(row->instance, sock->instance->name, sizeof(row->instance));
    row->stream = sock->kind != DMM_SOCK_DATAGRAM;
    row->client = sock->client->id;
    if (sock->flags & DMM_SOCK_BOUND)
        row->info.local = sock->bound;
    if (sock->instance->ops->socket_info)
        sock->instance->ops->socket_info(sock->ssock, &row->info);
    if (!row->info.state)
        row->info.state = own_state(sock);
    if (sock->kind == DMM_SOCK_LISTENER) {
        row->info.recv_queue = (sock->rx_tail - sock->rx_head) / (uint32_t)sizeof(uint32_t);
        row->info.send_queue = sock->backlog;
    } else {
        row->info.recv_queue += sock->rx_tail - sock->rx_head;
        row->info.send_queue += sock->tx_tail - sock->tx_head;
    }
    fill_processes(sock, row);
}

static void walk_sockets(void *arg)
{
    struct socket_walk *walk = arg;
    struct dmm_worker *worker = walk->worker;
    for (int looked = 0; looked < PIECE && walk->client < worker->n_clients;) {
        struct dmm_client *client = worker->clients[walk->client];
        if (walk->socket >= client->sockets_top) {
            walk->client++;
            walk->socket = 0;
            continue;
        }
        struct dmm_sock *sock = client->sockets[walk->socket++];
        looked++;
        /* The stack may not be asked about a closed one; spares are nobody's yet. */
        if (!sock || sock->flags & (DMM_SOCK_CLOSED | DMM_SOCK_SPARE))
            continue;
        if (!client->violation[0])
            dmm_sock_rx_refresh(sock);
        struct dmm_socket_row *row = table_add(&walk->table);
        if (row)
            fill_socket(sock, row);
    }
    walk->more = walk->client < worker->n_clients && !walk->table.failed;
}

struct dmm_socket_row *dmm_snapshot_sockets(struct dmm_worker *worker, size_t *n)
{
    struct socket_walk walk = {.worker = worker, .table.each = sizeof(struct dmm_socket_row)};
    do {
        dmm_worker_call(worker, walk_sockets, &walk);
    } while (walk.more);
    *n = walk.table.n;
    return (struct dmm_socket_row *)walk.table.rows;
}

/* ---- clients ---- */

struct walk {
    struct dmm_worker *worker;
    struct table table;
};

static void walk_clients(void *arg)
{
    struct walk *walk = arg;
    for (unsigned i = 0; i < walk->worker->n_clients; i++) {
        const struct dmm_client *client = walk->worker->clients[i];
        struct dmm_client_row *row = table_add(&walk->table);
        if (!row)
            return;
        row->id = client->id;
        row->uid = client->uid;
        row->sockets = client->n_sockets - client->n_spares;
        row->heap_bytes = client->heap.used;
        row->stats = client->stats;
        row->ended = client->ended;
        row->violation = client->violation[0] != 0;
        for (unsigned p = 0; p < DMM_CLIENT_PROCESSES && row->n_processes < DMM_SHOWN_PROCESSES;
             p++) {
            if (client->processes[p].used)
                show_process(client, p, &row->processes[row->n_processes++]);
        }
    }
}

struct dmm_client_row *dmm_snapshot_clients(struct dmm_worker *worker, size_t *n)
{
    struct walk walk = {.worker = worker, .table.each = sizeof(struct dmm_client_row)};
    dmm_worker_call(worker, walk_clients, &walk);
    *n = walk.table.n;
    return (struct dmm_client_row *)walk.table.rows;
}

/* ---- counters ---- */

struct emitter {
    struct table *table;
    const char *scope, *label;
};

static void emit(void *arg, const char *name, uint64_t value)
{
    const struct emitter *emitter = arg;
    struct dmm_counter *counter = table_add(emitter->table);
    if (!counter)
        return;
    counter->scope = emitter->scope;
    snprintf(counter->label, sizeof(counter->label), "%.15s", emitter->label);
    snprintf(counter->name, sizeof(counter->name), "%.47s", name);
    counter->value = value;
}

static void emit_worker(const struct dmm_worker *worker, struct table *table)
{
    const struct dmm_worker_stats *stats = &worker->stats;
    struct emitter own = {table, "worker", ""};
    emit(&own, "turns", stats->turns);
    emit(&own, "sleeps", stats->sleeps);
    emit(&own, "spins", stats->spins);
    emit(&own, "yields", stats->yields);
    emit(&own, "doorbells", stats->wakeups);
    struct emitter clients = {table, "clients", ""};
    struct dmm_client_stats sum = worker->gone_stats;
    for (unsigned i = 0; i < worker->n_clients; i++)
        dmm_client_stats_add(&sum, &worker->clients[i]->stats);
    emit(&clients, "attached", stats->clients_attached);
    emit(&clients, "ended", stats->clients_ended);
    emit(&clients, "violations", stats->violations);
    emit(&clients, "commands", sum.commands);
    emit(&clients, "refused_commands", sum.refused);
    emit(&clients, "rx_bytes", sum.rx_bytes);
    emit(&clients, "tx_bytes", sum.tx_bytes);
}

static void emit_port(const struct dmm_instance_port *slot, struct table *table)
{
    struct dmm_port_stats stats = {0};
    struct emitter emitter = {table, "ports", slot->name};
    slot->port->ops->stats(slot->port, &stats);
    emit(&emitter, "rx_frames", stats.rx_frames);
    emit(&emitter, "rx_bytes", stats.rx_bytes);
    emit(&emitter, "rx_bad", stats.rx_bad);
    emit(&emitter, "rx_dropped", stats.rx_dropped);
    emit(&emitter, "tx_frames", stats.tx_frames);
    emit(&emitter, "tx_bytes", stats.tx_bytes);
    emit(&emitter, "tx_full", stats.tx_full);
    emit(&emitter, "tx_errors", stats.tx_errors);
}

static void walk_counters(void *arg)
{
    struct walk *walk = arg;
    struct dmm_worker *worker = walk->worker;
    emit_worker(worker, &walk->table);
    for (unsigned i = 0; i < worker->n_instances; i++) {
        struct dmm_instance *instance = worker->instances[i];
        struct emitter emitter = {&walk->table, "stacks", instance->name};
        for (unsigned p = 0; instance->up && p < instance->n_ports; p++)
            emit_port(&instance->ports[p], &walk->table);
        if (!instance->ops || !instance->up)
            continue;
        emit(&emitter, "datagrams_without_room", instance->rx_dropped);
        if (instance->ops->stats)
            instance->ops->stats(instance->stack, emit, &emitter);
    }
}

struct dmm_counter *dmm_snapshot_counters(struct dmm_worker *worker, size_t *n)
{
    struct walk walk = {.worker = worker, .table.each = sizeof(struct dmm_counter)};
    dmm_worker_call(worker, walk_counters, &walk);
    *n = walk.table.n;
    return (struct dmm_counter *)walk.table.rows;
}

struct instances_walk {
    struct dmm_worker *worker;
    uint32_t *sockets;
};

static void walk_instances(void *arg)
{
    struct instances_walk *walk = arg;
    for (unsigned i = 0; i < walk->worker->n_instances; i++)
        walk->sockets[i] =
            walk->worker->instances[i]->n_sockets - walk->worker->instances[i]->n_spares;
}

void dmm_snapshot_instances(struct dmm_worker *worker, uint32_t sockets[DMM_MAPPING_INSTANCES])
{
    struct instances_walk walk = {worker, sockets};
    memset(sockets, 0, DMM_MAPPING_INSTANCES * sizeof(*sockets));
    dmm_worker_call(worker, walk_instances, &walk);
}
