/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kubeapi: a pod's annotations from the Kubernetes API server, where the runtime does not pass
 * them.
 *
 * Part of dmm-kube (cni/kubeask.h). The server's certificate is checked against the given
 * authority; nothing is followed elsewhere; the deadline is for all attempts together. One thread.
 */
#ifndef DMM_CNI_KUBEAPI_H
#define DMM_CNI_KUBEAPI_H

#include "cni/error.h"
#include "cni/kubeconf.h"

struct dmm_kube_query {
    const char *name_space;
    const char *pod;
    const char *uid; /* NULL or "": not compared */
    int64_t deadline_ms;
};

/* *annotations is an object, a new reference; empty where the pod has none. Code 11 where another
 * try may help (no answer, 429, 5xx), else 106. */
int dmm_kube_annotations(json_t **annotations, const struct dmm_kube_access *access,
                         const struct dmm_kube_query *query, struct dmm_cni_error *error);

#endif
