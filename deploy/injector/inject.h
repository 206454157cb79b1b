/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inject: what an annotated pod becomes. Pure: a pod's JSON in, a pod's JSON out.
 *
 * Invariants
 *   - a pod that has not opted in comes out equal to what went in;
 *   - what is in the pod stays, ours is added beside it: a second call adds nothing, and a sidecar
 * that a person wrote down by hand is left as it is;
 *   - a pod that could not work is refused with a message that names what is wrong.
 *
 * A pod opts in by the annotation dmm.fd.io/stack or dmm.fd.io/mapping, or by dmm.fd.io/inject:
 * "true". dmm.fd.io/inject: "false" opts out; dmm.fd.io/skip-containers: "a,b" leaves containers
 * alone.
 */
#ifndef DMM_DEPLOY_INJECTOR_INJECT_H
#define DMM_DEPLOY_INJECTOR_INJECT_H

#include "deploy/injector/config.h"

#define INJECTOR_STACK      "dmm.fd.io/stack"
#define INJECTOR_MAPPING    "dmm.fd.io/mapping"
#define INJECTOR_INJECT     "dmm.fd.io/inject"
#define INJECTOR_SKIP       "dmm.fd.io/skip-containers"
#define INJECTOR_INJECTED   "dmm.fd.io/injected" /* set by us: the version that did it */
#define INJECTOR_CONTAINERS 256

/* Changes `pod` in place. *injected tells whether it has opted in. -EINVAL with err: refused, and
 * `pod` may be half changed; -ENOMEM. */
int injector_inject(json_t *pod, const struct injector_config *config, bool *injected,
                    struct dmm_err *err);

/* The JSON Patch (RFC 6902) that makes `after` of `before`, for the places that injector_inject()
 * changes; a new reference, an empty array if there is nothing to do. */
json_t *injector_patch(const json_t *before, const json_t *after);

#endif
