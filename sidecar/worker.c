/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's turn, and what it owns. Sleeping is in worker_sleep.c, calls in worker_call.c. */
#include "sidecar/worker.h"

#include "common/log.h"
#include "sidecar/worker_sleep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define FRAMES        64
#define PORT_BATCHES  4   /* of one port before the others get their turn */
#define CLIENT_BUDGET 256 /* commands of one client in a turn */
#define REFRESH_NS    250000000

uint64_t dmm_worker_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- the parts of a turn ---- */

static unsigned receive(struct dmm_instance *instance)
{
    struct dmm_frame frames[FRAMES];
    unsigned total = 0;
    for (unsigned i = 0; i < instance->n_ports; i++) {
        struct dmm_instance_port *slot = &instance->ports[i];
        if (slot->blocked && !slot->unflushed) {
            slot->blocked = false;
            instance->ops->port_writable(instance->stack, i);
        }
        unsigned n = FRAMES;
        for (int batch = 0; n == FRAMES && batch < PORT_BATCHES; batch++) {
            n = slot->port->ops->receive(slot->port, frames, FRAMES);
            if (n)
                instance->ops->input(instance->stack, i, frames, n);
            total += n;
        }
    }
    return total;
}

static void flush_ports(struct dmm_instance *instance)
{
    for (unsigned i = 0; i < instance->n_ports; i++) {
        struct dmm_instance_port *slot = &instance->ports[i];
        slot->unflushed = !slot->port->ops->flush(slot->port);
    }
}

/* Clients that failed a check since the last safe point. */
static void end_doomed(struct dmm_worker *worker)
{
    while (worker->doomed) {
        struct dmm_client *client = worker->doomed;
        worker->doomed = client->doomed_next;
        char id[16];
        char process[32];
        snprintf(id, sizeof(id), "%u", client->id);
        snprintf(process, sizeof(process), "%u/%.15s", client->processes[0].pid,
                 client->processes[0].comm);
        struct dmm_log_field fields[] = {{"client", id}, {"process", process}, {NULL, NULL}};
        dmm_log_fields(DMM_LOG_WARN, fields, "client ended: %s", client->violation);
        worker->stats.violations++;
        dmm_client_end(client);
    }
}

static void reap_ended(struct dmm_worker *worker)
{
    for (unsigned i = 0; i < worker->n_clients; i++) {
        struct dmm_client *client = worker->clients[i];
        if (!client->ended || client->n_sockets || client->in_dirty)
            continue;
        worker->clients[i--] = worker->clients[--worker->n_clients];
        dmm_client_stats_add(&worker->gone_stats, &client->stats);
        worker->client_gone(worker->client_arg, client);
    }
}

static unsigned clients_turn(struct dmm_worker *worker)
{
    unsigned total = 0;
    unsigned n = worker->n_clients;
    bool any_ended = false;
    /* Another one begins each turn, so nobody is always last. */
    unsigned at = n ? worker->next_client++ % n : 0;
    for (unsigned i = 0; i < n; i++) {
        struct dmm_client *client = worker->clients[at];
        at = at + 1 == n ? 0 : at + 1;
        if (client->ended) {
            any_ended = true;
            continue;
        }
        total += dmm_client_commands(client, CLIENT_BUDGET);
        dmm_client_sweep(client, worker->now);
    }
    end_doomed(worker);
    if (any_ended)
        reap_ended(worker);
    return total;
}

/* For who waits for it at the start. */
static void note_link(struct dmm_instance_port *port)
{
    if (port->port->ops->info(port->port)->up)
        atomic_store_explicit(&port->linked, true, memory_order_relaxed);
}

static void refresh_ports(struct dmm_worker *worker)
{
    bool changed = false;
    worker->refresh_at = worker->now + REFRESH_NS;
    for (unsigned i = 0; i < worker->n_instances; i++) {
        struct dmm_instance *instance = worker->instances[i];
        for (unsigned p = 0; instance->up && p < instance->n_ports; p++) {
            struct dmm_port *port = instance->ports[p].port;
            if (!port->ops->refresh(port))
                continue;
            changed = true;
            note_link(&instance->ports[p]);
            instance->ops->port_changed(instance->stack, p);
        }
    }
    if (changed)
        dmm_worker_set_mapping(worker, &worker->policy->mapping);
}

unsigned dmm_worker_turn(struct dmm_worker *worker)
{
    unsigned work = 0;
    worker->now = dmm_worker_clock();
    atomic_store_explicit(&worker->heartbeat, worker->now, memory_order_relaxed);
    worker->stats.turns++;
    if (atomic_load_explicit(&worker->calls_waiting, memory_order_acquire))
        work += dmm_worker_run_calls(worker);
    if (worker->now >= worker->refresh_at)
        refresh_ports(worker);
    for (unsigned i = 0; i < worker->n_instances; i++)
        if (worker->instances[i]->up && worker->instances[i]->n_ports)
            work += receive(worker->instances[i]);
    work += clients_turn(worker);
    for (unsigned i = 0; i < worker->n_instances; i++) {
        struct dmm_instance *instance = worker->instances[i];
        if (!instance->up || !instance->ops)
            continue;
        work += instance->ops->poll(instance->stack);
        flush_ports(instance);
    }
    end_doomed(worker);
    worker->stats.wakeups += dmm_events_flush(worker);
    return work;
}

/* ---- what the worker owns ---- */

int dmm_worker_init(struct dmm_worker *worker, struct dmm_err *err)
{
    memset(worker, 0, sizeof(*worker));
    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    worker->calls_end = &worker->calls;
    worker->now = dmm_worker_clock();
    worker->policy = calloc(1, sizeof(*worker->policy));
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!worker->policy || worker->epoll_fd < 0 || worker->call_fd < 0 ||
        dmm_worker_add_fd(worker, worker->call_fd, EPOLLIN | EPOLLET)) {
        int code = errno;
        dmm_worker_destroy(worker);
        return dmm_err_set(err, code, "worker: %s", strerror(code));
    }
    return 0;
}

void dmm_worker_destroy(struct dmm_worker *worker)
{
    if (worker->epoll_fd >= 0)
        close(worker->epoll_fd);
    if (worker->call_fd >= 0)
        close(worker->call_fd);
    free(worker->policy);
    for (struct dmm_old_ring *next, *old = worker->old_free; old; old = next) {
        next = old->next;
        free(old);
    }
    for (struct dmm_sock_chunk *next, *chunk = worker->sock_chunks; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    pthread_mutex_destroy(&worker->lock);
    pthread_cond_destroy(&worker->done);
}

int dmm_worker_add_fd(struct dmm_worker *worker, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int dmm_worker_add_client(struct dmm_worker *worker, struct dmm_client *client)
{
    if (worker->n_clients == DMM_WORKER_CLIENTS)
        return -EAGAIN;
    /* Edge-triggered and never read: each write to it wakes us once. */
    int rc = dmm_worker_add_fd(worker, client->doorbell, EPOLLIN | EPOLLET);
    if (rc)
        return rc;
    client->worker = worker;
    worker->clients[worker->n_clients++] = client;
    worker->stats.clients_attached++;
    dmm_client_set_policy(client, worker->policy);
    return 0;
}

void dmm_worker_add_instance(struct dmm_worker *worker, struct dmm_instance *instance)
{
    instance->id = worker->n_instances;
    worker->instances[worker->n_instances++] = instance;
    dmm_host_init(instance, worker);
}

int dmm_worker_start_instance(struct dmm_worker *worker, struct dmm_instance *instance,
                              const char *options, struct dmm_err *err)
{
    struct dmm_stack_config config = {.name = instance->name, .options = options};
    char text[256] = "";
    worker->now = dmm_worker_clock();
    int rc = instance->ops->create(&config, &instance->host, &instance->stack, text, sizeof(text));
    if (rc) {
        instance->failed = true;
        return dmm_err_set(err, -rc, "stack %s: %s", instance->name,
                           text[0] ? text : strerror(-rc));
    }
    for (unsigned i = 0; i < instance->n_ports; i++) {
        int fd = instance->ports[i].port->ops->wait_fd(instance->ports[i].port);
        if (fd >= 0)
            dmm_worker_add_fd(worker, fd, EPOLLIN);
        note_link(&instance->ports[i]);
    }
    instance->up = true;
    dmm_worker_set_mapping(worker, &worker->policy->mapping);
    return 0;
}

_Static_assert(DMM_INSTANCE_PORTS == DMM_POD_PORTS, "the region has room for all ports");

static void fill_port(struct dmm_interfaces *all, uint32_t i, const struct dmm_port_info *from)
{
    snprintf(all->ports[i].name, sizeof(all->ports[i].name), "%.15s", from->name);
    memcpy(all->ports[i].mac, from->mac, sizeof(from->mac));
    all->ports[i].up = from->up;
    all->ports[i].mtu = from->mtu;
}

static void fill_info(struct dmm_instance_info *info, struct dmm_interfaces *all,
                      const struct dmm_instance *instance)
{
    memset(info, 0, sizeof(*info));
    memset(all, 0, sizeof(*all));
    all->n_ports = instance->n_ports;
    snprintf(info->type, sizeof(info->type), "%s", instance->type);
    info->capabilities = instance->ops ? instance->ops->capabilities : 0;
    info->up = instance->up;
    for (unsigned i = 0; i < instance->n_ports; i++) {
        struct dmm_port *port = instance->ports[i].port;
        const struct dmm_port_info *from = port->ops->info(port);
        fill_port(all, i, from);
        for (unsigned a = 0; a < from->n_addresses && info->n_addresses < DMM_INSTANCE_ADDRESSES;
             a++) {
            all->port[info->n_addresses] = (uint8_t)i;
            all->prefix_len[info->n_addresses] = from->addresses[a].prefix_len;
            info->addresses[info->n_addresses++] = from->addresses[a].addr;
        }
    }
}

void dmm_worker_set_mapping(struct dmm_worker *worker, const struct dmm_mapping *mapping)
{
    if (mapping != &worker->policy->mapping)
        worker->policy->mapping = *mapping;
    for (unsigned i = 0; i < worker->n_instances; i++)
        fill_info(&worker->policy->instances[i], &worker->policy->interfaces[i],
                  worker->instances[i]);
    for (unsigned i = 0; i < worker->n_clients; i++)
        if (!worker->clients[i]->ended)
            dmm_client_set_policy(worker->clients[i], worker->policy);
}

void dmm_worker_random(struct dmm_worker *worker, void *buf, size_t len)
{
    uint8_t *out = buf;
    while (len) {
        if (!worker->random_left) {
            if (getentropy(worker->random, 256))
                continue;
            worker->random_left = 256;
        }
        size_t n = len < worker->random_left ? len : worker->random_left;
        uint8_t *from = worker->random + worker->random_left - n;
        memcpy(out, from, n);
        explicit_bzero(from, n); /* what was given out is not kept */
        worker->random_left -= n;
        out += n;
        len -= n;
    }
}
