/* SPDX-License-Identifier: Apache-2.0 */
/*
 * annotations: what a pod asks for, and from which of the places that may carry it.
 *
 * In this order, the first place that has either of ours wins:
 *   runtimeConfig["io.kubernetes.cri.pod-annotations"]  (containerd, CRI-O)
 *   args.cni                                            (Multus' cni-args)
 *   CNI_ARGS                                            (podman, by hand)
 *   the pod as the API server has it                    (only if configured: cni/kubeapi.h)
 * Both of ours in one place contradict each other and are refused.
 *
 * Pure. Any thread.
 */
#ifndef DMM_CNI_ANNOTATIONS_H
#define DMM_CNI_ANNOTATIONS_H

#include "cni/env.h"

#include <jansson.h>
#include <stdbool.h>

#define DMM_ANNOTATION_STACK   "dmm.fd.io/stack"
#define DMM_ANNOTATION_MAPPING "dmm.fd.io/mapping"
#define DMM_ANNOTATION_INJECT  "dmm.fd.io/inject"
#define DMM_ANNOTATION_PREFIX  "dmm.fd.io/"

struct dmm_annotations {
    char *stack;     /* one word, owned; or NULL */
    char *mapping;   /* JSON text, owned; or NULL */
    char source[96]; /* names the place in errors: "runtimeConfig: annotation dmm.fd.io/stack" */
};

bool dmm_annotation_known(const char *name);

/* All but the last place. `from_runtime` and `args_cni` may be NULL. On error nothing is left to
 * free. */
int dmm_annotations_read(struct dmm_annotations *annotations, const json_t *from_runtime,
                         const json_t *args_cni, const struct dmm_cni_args *args,
                         struct dmm_cni_error *error);
/* The last place: what the API server said. Into an empty struct. */
int dmm_annotations_from_api(struct dmm_annotations *annotations, const json_t *object,
                             struct dmm_cni_error *error);
/* Whether the pod says anything to us, be it only that the injector is to take it
 * (dmm.fd.io/inject). */
bool dmm_annotations_opted_in(const json_t *from_runtime);
/* True if either of ours was found. */
bool dmm_annotations_found(const struct dmm_annotations *annotations);
void dmm_annotations_free(struct dmm_annotations *annotations);

#endif
