/* SPDX-License-Identifier: Apache-2.0 */
/*
 * links: what a sidecar needs to open the port of a link, and nothing more. One table;
 * docs/security.md shows it, and the kustomize components are held to it by a test.
 */
#ifndef DMM_DEPLOY_INJECTOR_LINKS_H
#define DMM_DEPLOY_INJECTOR_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#define INJECTOR_NONROOT      65532
#define INJECTOR_CAPABILITIES 4

struct injector_link {
    const char *name;
    /* A capability helps only root: Kubernetes gives others none that stays over exec. */
    const char *capabilities[INJECTOR_CAPABILITIES]; /* none: the sidecar is not root */
    const char *device;                              /* a node's character device, or NULL */
    const char *maps; /* the node's folder of pinned maps, a folder per pod in it, or NULL */
    bool pair;        /* pods may be joined by a socket of a folder that is neither's own */
};

/* NULL: there is no such link. */
const struct injector_link *injector_link_find(const char *name);
bool injector_link_is_root(const struct injector_link *link);
/* All names, for an error. */
const char *injector_link_names(void);

#endif
