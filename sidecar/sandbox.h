/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: gives up what is not needed once ports are open and sockets bound: no new privileges
 * for ever, and no capability but NET_RAW, which a port that comes later needs.
 *
 * Both are a thread's own and inherited by the threads that it starts: to be called on each.
 */
#ifndef DMM_SIDECAR_SANDBOX_H
#define DMM_SIDECAR_SANDBOX_H

/* The argument is not used: it is a function that dmm_worker_call() can run. */
void dmm_sandbox_enter(void *arg);

#endif
