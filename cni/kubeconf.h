/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kubeconf: where the Kubernetes API server is and how to be let in: from a kubeconfig file, or
 * from what a service account has in a pod.
 *
 * Invariant of a struct dmm_kube_access that was filled: `server` is an https URL; `ca` is there (a
 * server that is not checked is refused); there is a token, or a client certificate with its key.
 *
 * Part of dmm-kube (cni/kubeask.h). One thread.
 */
#ifndef DMM_CNI_KUBECONF_H
#define DMM_CNI_KUBECONF_H

#include "common/err.h"

#include <jansson.h>
#include <stddef.h>

struct dmm_blob {
    char *data; /* owned, NUL-terminated */
    size_t len;
};

struct dmm_kube_access {
    char *server;
    char *token; /* or NULL */
    struct dmm_blob ca;
    struct dmm_blob cert;
    struct dmm_blob key;
};

/* The current context of a kubeconfig. exec plugins and insecure-skip-tls-verify are refused. */
int dmm_kube_from_kubeconfig(struct dmm_kube_access *access, const char *path, struct dmm_err *err);
/* `dir` holds token and ca.crt. `server` is an https URL. */
int dmm_kube_from_service_account(struct dmm_kube_access *access, const char *dir,
                                  const char *server, struct dmm_err *err);
void dmm_kube_access_free(struct dmm_kube_access *access);

/* YAML text as JSON: scalars as strings, no anchors, no tags. A new reference; NULL with err set.
 */
json_t *dmm_yaml_parse(const char *text, size_t len, const char *source, struct dmm_err *err);

/* Pure: RFC 4648, section 4, padding required. Returns 0 or -EINVAL. */
int dmm_base64_decode(struct dmm_blob *blob, const char *text);

#endif
