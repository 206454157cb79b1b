/* SPDX-License-Identifier: Apache-2.0 */
/* worker_sleep: the parts of the worker that only its own files use: the clock, calls, sleeping. */
#ifndef DMM_SIDECAR_WORKER_SLEEP_H
#define DMM_SIDECAR_WORKER_SLEEP_H

#include "sidecar/worker.h"

uint64_t dmm_worker_clock(void);
/* Runs what was queued; returns how many. */
unsigned dmm_worker_run_calls(struct dmm_worker *worker);
/* After a turn without work: looks again for a while, yields, or sleeps. */
void dmm_worker_idle(struct dmm_worker *worker);

#endif
