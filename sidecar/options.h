/* SPDX-License-Identifier: Apache-2.0 */
/* options: the command line of dmm-stackd. Pure but for --help and --version, which print. */
#ifndef DMM_SIDECAR_OPTIONS_H
#define DMM_SIDECAR_OPTIONS_H

#include "common/log.h"
#include "sidecar/limits.h"

#include <stdbool.h>
#include <sys/types.h>

#define DMM_ALLOWED_UIDS 64

struct dmm_options {
    const char *pod_dir;
    const char *annotations; /* a file as in podinfo.h, or NULL */
    const char *watch_pod;   /* NAMESPACE/NAME, or NULL: no watch */
    const char *kube_dir;    /* has token and ca.crt */
    const char *kube_api;    /* an https URL; NULL: as the environment says */
    const char *bpf_dir;     /* NULL: pinned maps are where the port file says */
    enum dmm_log_level log_level;
    bool log_json;
    struct dmm_limits limits;
    unsigned drain_seconds;
    unsigned n_uids; /* 0: all */
    uid_t uids[DMM_ALLOWED_UIDS];
};

/* 0: go on; 1: done (help, version); a negative errno: said on stderr. */
int dmm_options_parse(struct dmm_options *options, int argc, char **argv);

#endif
