/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod: writes and removes the pod directory of common/poddir.h.
 *
 * Several attachments of one pod share it: each has its port file, and the rest must agree. The
 * directory is made with the first and removed, with all in it, with the last.
 *
 * Invariants: the pod may write into its directory, so what is read from there is checked and
 * nothing in it is followed; making and removing happen under the lock of <root>/pods, so that the
 * last DEL and a new ADD do not meet.
 */
#ifndef DMM_CNI_POD_H
#define DMM_CNI_POD_H

#include "cni/annotations.h"
#include "cni/env.h"
#include "cni/netconf.h"
#include "common/poddir.h"

struct dmm_pod {
    const char *root;
    const char *id; /* K8S_POD_UID, or the container id; a valid file name */
};

/* The files' contents, all owned. */
struct dmm_pod_content {
    char *pod;
    char *stacks;
    char *mapping;
    const char *on_failure;
    struct dmm_owner owner;
};

/* Who the directory belongs to. Refuses a K8S_POD_UID that is no plain name. */
int dmm_pod_identify(struct dmm_pod *pod, const struct dmm_cni_env *env, const char *root,
                     struct dmm_cni_error *error);

/* Joins configuration and annotations with what earlier attachments of the pod left, and checks it.
 * Changes nothing. A bad mapping is code 100. On error nothing is left to free. */
int dmm_pod_compose(struct dmm_pod_content *content, const struct dmm_pod *pod,
                    const struct dmm_cni_env *env, const struct dmm_netconf *conf,
                    const struct dmm_annotations *annotations, struct dmm_cni_error *error);
void dmm_pod_content_free(struct dmm_pod_content *content);

/* Writes all files, the port's last. The directory is given to the sidecar, which makes its sockets
 * there; the files stay ours. */
int dmm_pod_write(const struct dmm_pod *pod, const struct dmm_pod_content *content,
                  const struct dmm_port_config *port, struct dmm_err *err);
/* Reads the port file of an attachment. */
int dmm_pod_read_port(const struct dmm_pod *pod, const char *ifname, struct dmm_port_config *port,
                      struct dmm_err *err);
/* Removes one attachment's port file, and the directory with the last. Absent is success. */
int dmm_pod_remove(const struct dmm_pod *pod, const char *ifname, struct dmm_err *err);

#endif
