/* SPDX-License-Identifier: Apache-2.0 */
/* api_json: the bodies of the operator's API (docs/api.md). Control thread. Each a new string, or
 * NULL when out of memory. */
#ifndef DMM_SIDECAR_API_JSON_H
#define DMM_SIDECAR_API_JSON_H

#include "sidecar/control.h"

/* {"error": ...} */
char *dmm_api_error(const char *text);
/* *status is 200, or 503 with an "error" that says why. Asks the worker for nothing. */
char *dmm_api_health(struct dmm_control *control, unsigned *status);
/* The same: 200 once every stack is up and the mapping is in force. */
char *dmm_api_ready(struct dmm_control *control, unsigned *status);
char *dmm_api_stacks(struct dmm_control *control);
char *dmm_api_sockets(struct dmm_control *control);
char *dmm_api_mapping(struct dmm_control *control);
char *dmm_api_clients(struct dmm_control *control);
char *dmm_api_stats(struct dmm_control *control);
char *dmm_api_metrics(struct dmm_control *control);
/* Has the worker stopped to turn though it does not sleep? `why` says which, and since when. */
bool dmm_api_worker_stuck(const struct dmm_control *control, struct dmm_err *why);

#endif
