/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kubeask: has a pod's annotations asked of the Kubernetes API server by the program dmm-kube,
 * which lies beside the plugin.
 *
 * A program of its own, since the plugin is linked statically to run on whatever the node is, and
 * TLS is not to be had so. It gets the question on stdin (no secret: it reads the credentials
 * itself) and answers on stdout:
 *
 *   {"kubeconfig": FILE} or {"serviceAccount": DIR, "server": URL}, with "namespace", "pod", "uid"
 *   (or null) and "timeoutMs"
 *   {"annotations": {...}}, exit status 0; or {"code": N, "what": TEXT}, exit status 1
 *
 * One thread.
 */
#ifndef DMM_CNI_KUBEASK_H
#define DMM_CNI_KUBEASK_H

#include "cni/error.h"
#include "cni/kubeapi.h"
#include "cni/netconf.h"

#define DMM_KUBE_PROGRAM "dmm-kube"

/* The plugin's side. Results as dmm_kube_annotations() has them; 106 also where the program is not
 * there or fails without a word. */
int dmm_kube_ask(json_t **annotations, const struct dmm_kube_conf *kube,
                 const struct dmm_kube_query *query, struct dmm_cni_error *error);

/* The program's side: the answer to a question, a new reference; *status is for exit(). NULL when
 * out of memory. */
json_t *dmm_kube_answer(const char *question, size_t len, int *status);

#endif
