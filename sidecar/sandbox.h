/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: gives up what is not needed once ports are open and sockets bound: no new privileges
 * for ever, and no capability but NET_RAW, which a port that comes later needs. Control thread;
 * capabilities are per thread, so the caller's only: threads that it starts inherit them.
 */
#ifndef DMM_SIDECAR_SANDBOX_H
#define DMM_SIDECAR_SANDBOX_H

void dmm_sandbox_enter(void);

#endif
