/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local: a worker without a thread, in this process, with the loop stack as instance 1. Each
 * command's doorbell runs one turn, so tests are deterministic and see the worker's own tables.
 */
#ifndef DMM_TESTS_LOCAL_H
#define DMM_TESTS_LOCAL_H

#include "sidecar/worker.h"
#include "tests/unit/sidecar/client_sim.h"

struct local {
    struct dmm_worker worker;
    struct dmm_instance kernel, loop;
    struct dmm_limits limits;
    unsigned ended, gone; /* clients */
    uint32_t next_id;
};

void local_start(struct local *local, const struct dmm_limits *limits);
/* Ends every client; fails the test if one does not go. */
void local_stop(struct local *local);
/* A client of one process. */
struct dmm_client *local_client(struct local *local, struct sim *sim);
/* Another process of it, as FORK gives; sim is the parent's. */
void local_fork(struct local *local, struct dmm_client *client, struct sim *sim, struct sim *child);
void local_exit(struct local *local, struct dmm_client *client, struct sim *sim);
void local_turns(struct local *local, int n);

#endif
