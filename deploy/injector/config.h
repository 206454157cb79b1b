/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: what the injector puts into pods, read from one JSON file. Pure: text in, value out.
 *
 *   {"version": 1,
 *    "stacks": ["fast"],                       names that annotations may use; "kernel" is implied
 *    "link": "veth",                           decides the sidecar's rights: links.c
 *    "images": {"stackd": "…", "shim": "…"},
 *    "imagePullPolicy": "IfNotPresent",        optional
 *    "podsDir": "/run/dmm/pods",               optional: the plugin's podDir, with /pods
 *    "stackdArgs": ["--log-json"],             optional
 *    "resources": {…},                         optional: of the sidecar, as in a pod
 *    "seccompProfile": {"type": "…"},          optional: RuntimeDefault unless given
 *    "socketsDir": "/run/dmm/pairs",           optional, of vhostuser and memif: where the sockets
 *                                              of pods that are joined directly lie on the node
 *    "nativeSidecar": true,                    optional; false: for Kubernetes before 1.29, the
 * sidecar is the first of the pod's containers "hugepagesMi": 0}                         optional:
 * taken from hugepages of 2 MiB
 *
 * An unknown key is an error that names it.
 */
#ifndef DMM_DEPLOY_INJECTOR_CONFIG_H
#define DMM_DEPLOY_INJECTOR_CONFIG_H

#include "common/err.h"
#include "common/mapping.h"
#include "deploy/injector/links.h"

#include <jansson.h>

#define INJECTOR_CONFIG_MAX ((size_t)1 << 20)

struct injector_config {
    json_t *json; /* owned; what follows is borrowed from it */
    unsigned n_stacks;
    const char *stacks[DMM_MAPPING_INSTANCES - 1];
    const struct injector_link *link;
    const char *stackd_image, *shim_image, *pull_policy, *pods_dir;
    const char *sockets_dir;                   /* or NULL */
    json_t *stackd_args, *resources, *seccomp; /* NULL: not given; not to be changed */
    uint32_t hugepages_mi;
    bool native;
    bool watch; /* sidecars watch their pod at the API server; of the command line */
};

int injector_config_parse(struct injector_config *config, const char *text, size_t len,
                          const char *source, struct dmm_err *err);
void injector_config_free(struct injector_config *config);

#endif
