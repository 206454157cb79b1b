/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ethdev_eal: DPDK's environment, started once per process and only if a port needs it.
 *
 * Invariants: a process without ethdev ports never starts EAL and has none of its threads. EAL
 * takes over no thread of ours: it makes no lcore threads, and the affinity of the thread that
 * starts it is as before. It stays until the process ends (DPDK can't start twice).
 *
 * Memory: without hugepages (`--no-huge`, needs no privilege) unless the environment variable
 * DMM_HUGEPAGES_MB says how much to take from hugepages.
 *
 * dmm_eal_start(): any thread, may block for some 0.1 s. dmm_eal_adopt(): a worker, about itself.
 */
#ifndef DMM_SIDECAR_PORT_ETHDEV_EAL_H
#define DMM_SIDECAR_PORT_ETHDEV_EAL_H

#include "common/err.h"

/* Starts EAL unless it runs. A failure is final: later calls repeat it. */
int dmm_eal_start(struct dmm_err *err);
/* Gives the calling thread an lcore id, by which mempools find their caches. Costs one load once it
 * is done; without an id all works, slower. */
void dmm_eal_adopt(void);

#endif
