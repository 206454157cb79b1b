/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot: copies of what the worker knows, for the operator's API. Each function runs as one
 * dmm_worker_call; tables that can be long are taken in pieces, so that the worker is never held up
 * for long, and what changes between two pieces may show twice or not at all.
 *
 * Called on the control thread; what they return is the caller's.
 */
#ifndef DMM_SIDECAR_SNAPSHOT_H
#define DMM_SIDECAR_SNAPSHOT_H

#include "sidecar/worker.h"

#define DMM_SHOWN_PROCESSES 8

struct dmm_process_row {
    uint32_t pid;
    char comm[16];
};

struct dmm_socket_row {
    char instance[DMM_INSTANCE_NAME];
    bool stream;
    uint32_t client;
    struct dmm_socket_info info; /* queues are the whole ones: rings and stack */
    unsigned n_processes;
    struct dmm_process_row processes[DMM_SHOWN_PROCESSES];
};

struct dmm_client_row {
    uint32_t id, uid, sockets;
    uint64_t heap_bytes;
    struct dmm_client_stats stats;
    bool ended, violation;
    unsigned n_processes;
    struct dmm_process_row processes[DMM_SHOWN_PROCESSES];
};

/* One counter: scope "worker", "clients", "ports" or "stacks"; label: which port or stack. */
struct dmm_counter {
    const char *scope;
    char label[16];
    char name[48];
    uint64_t value;
};

/* malloc'ed, *n long; NULL with *n 0 if there are none or no memory. */
struct dmm_socket_row *dmm_snapshot_sockets(struct dmm_worker *worker, size_t *n);
struct dmm_client_row *dmm_snapshot_clients(struct dmm_worker *worker, size_t *n);
struct dmm_counter *dmm_snapshot_counters(struct dmm_worker *worker, size_t *n);
/* Sockets per instance. */
void dmm_snapshot_instances(struct dmm_worker *worker, uint32_t sockets[DMM_MAPPING_INSTANCES]);

#endif
