/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: the thread that moves the bytes. It runs to completion: ports, commands, stacks, ports'
 * output, news; then it spins or sleeps (DESIGN 5).
 *
 * Invariants
 *   - Clients, sockets, instances and ports are this thread's alone. Others reach them by
 *     dmm_worker_call(), which runs a function here between two turns.
 *   - The clock is read once per turn, into `now`.
 *   - It sleeps only after it armed every client and port and looked at them once more.
 */
#ifndef DMM_SIDECAR_WORKER_H
#define DMM_SIDECAR_WORKER_H

#include "common/poddir.h"
#include "sidecar/client.h"
#include "sidecar/instance.h"
#include "sidecar/spin.h"

#include <pthread.h>

#define DMM_WORKER_THREAD  "dmm-worker"
#define DMM_WORKER_CLIENTS 4096
#define DMM_WORKER_FDS     16 /* of one stack's wait_fds */

struct dmm_worker_stats {
    uint64_t turns, sleeps, spins, yields, wakeups, violations, clients_attached, clients_ended;
};

struct dmm_call {
    struct dmm_call *next;
    void (*fn)(void *arg);
    void *arg;
    bool done;  /* sync; under the lock */
    bool async; /* malloc'ed by dmm_worker_post, freed by the worker */
};

/* Where the structs of sockets come from; never given back while the worker lives. */
struct dmm_sock_chunk {
    struct dmm_sock_chunk *next;
    struct dmm_sock socks[];
};

struct dmm_worker {
    uint64_t now;
    struct dmm_client *doomed;     /* clients that a check has failed */
    struct dmm_client *dirty;      /* clients with waitsets to wake */
    struct dmm_sock *news;         /* sockets with news */
    struct dmm_old_ring *old_free; /* spare entries */
    struct dmm_sock *spare_socks;
    struct dmm_sock_chunk *sock_chunks;

    unsigned n_clients, next_client;
    struct dmm_client *clients[DMM_WORKER_CLIENTS];
    unsigned n_instances;
    struct dmm_instance *instances[DMM_MAPPING_INSTANCES];
    struct dmm_policy *policy; /* as published */
    unsigned n_wait;
    struct dmm_wait_fd wait[DMM_MAPPING_INSTANCES * DMM_WORKER_FDS];

    struct dmm_spin spin;
    struct dmm_worker_stats stats;
    struct dmm_client_stats gone_stats; /* of clients that are no more */
    uint64_t refresh_at;
    bool stop;
    int epoll_fd, call_fd;
    pthread_t thread;
    bool started;

    uint8_t random[512];
    size_t random_left;

    /* Told on the worker thread when a client has ended (its control connections should go), and
     * when its last socket is gone and it may be deleted. */
    void (*client_ended)(void *arg, uint32_t id);
    void (*client_gone)(void *arg, struct dmm_client *client);
    void *client_arg;

    /* Shared with callers. */
    _Atomic uint32_t calls_waiting; /* rel/acq: 1: `calls` is not empty */
    _Atomic uint64_t heartbeat;     /* relaxed: `now` of the last turn */
    _Atomic uint32_t sleeping;      /* relaxed: 1 while in epoll */
    pthread_mutex_t lock;
    pthread_cond_t done;
    struct dmm_call *calls, **calls_end;
};

int dmm_worker_init(struct dmm_worker *worker, struct dmm_err *err);
int dmm_worker_start(struct dmm_worker *worker, struct dmm_err *err);
/* Ends every client, stops the thread, destroys stacks and ports. */
void dmm_worker_stop(struct dmm_worker *worker);
void dmm_worker_destroy(struct dmm_worker *worker);

/* Runs fn(arg) on the worker between turns and waits for it. Any thread but the worker. */
void dmm_worker_call(struct dmm_worker *worker, void (*fn)(void *), void *arg);
/* The same, not waiting; false: out of memory. Any thread. */
bool dmm_worker_post(struct dmm_worker *worker, void (*fn)(void *), void *arg);

/* One turn; returns how much was done. For the thread, and for tests that have none. */
unsigned dmm_worker_turn(struct dmm_worker *worker);

/* On the worker (inside a call), or before it is started. */
int dmm_worker_add_client(struct dmm_worker *worker, struct dmm_client *client);
void dmm_worker_add_instance(struct dmm_worker *worker, struct dmm_instance *instance);
/* Creates the stack of an instance whose ports are set. 0, or a negative errno with err set. */
int dmm_worker_start_instance(struct dmm_worker *worker, struct dmm_instance *instance,
                              const char *options, struct dmm_err *err);
/* Publishes a mapping, and what the instances are now, to every client. */
void dmm_worker_set_mapping(struct dmm_worker *worker, const struct dmm_mapping *mapping);

/* A wait's fd in the worker's epoll set. */
int dmm_worker_add_fd(struct dmm_worker *worker, int fd, uint32_t events);

/* Host service. */
void dmm_worker_random(struct dmm_worker *worker, void *buf, size_t len);

#endif
