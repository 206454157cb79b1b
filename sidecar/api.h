/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api: the operator's HTTP API on <pod directory>/api.sock (docs/api.md). Read-only. libmicrohttpd
 * parses the requests; it is driven by the control thread's epoll loop, and data come from the
 * worker as snapshots. Control thread only.
 */
#ifndef DMM_SIDECAR_API_H
#define DMM_SIDECAR_API_H

#include "sidecar/control.h"

int dmm_api_open(struct dmm_control *control, struct dmm_err *err);
/* Milliseconds until it wants dmm_api_run() again though nothing is ready; -1: never. */
int dmm_api_timeout(const struct dmm_control *control);
void dmm_api_run(const struct dmm_control *control);
void dmm_api_close(struct dmm_control *control);

#endif
