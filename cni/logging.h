/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logging: where the plugin's log goes and what each of its lines says: the key `log`.
 *
 * On stderr, which is the runtime's, and in a file if one is configured. Each line has the command,
 * network, container id, interface and pod, and the trace id of TRACEPARENT (W3C Trace Context,
 * section 3.2), so that it can be found from either side. The call itself is a line of level info.
 */
#ifndef DMM_CNI_LOGGING_H
#define DMM_CNI_LOGGING_H

#include "cni/env.h"
#include "cni/netconf.h"
#include "common/log.h"

#include <time.h>

struct dmm_cni_log {
    struct dmm_log_field fields[8];
    char pod[256];
    char trace_id[33];
    struct timespec start;
    int fd; /* the file, or -1 */
};

/* The trace id of a traceparent, or "" if it is none. Pure. */
void dmm_cni_trace_id(char id[33], const char *traceparent);

/* Before the configuration is known: text on stderr, warnings. */
void dmm_cni_log_start(struct dmm_cni_log *log);
/* Once it is. A file that can't be opened is a warning. `log` must outlive the last event. */
void dmm_cni_log_configure(struct dmm_cni_log *log, const struct dmm_cni_env *env,
                           const struct dmm_netconf *conf);
/* The line about the call. */
void dmm_cni_log_end(const struct dmm_cni_log *log, const struct dmm_cni_error *error);

#endif
