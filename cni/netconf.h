/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netconf: the network configuration that comes on stdin (CNI spec 1.1.0, section 1; our own keys
 * in docs/cni.md).
 *
 * In two steps, because DEL and GC must work although a configuration has been broken since ADD:
 * dmm_netconf_decode() needs JSON, a version that we speak, a network name, and reads where our
 * state lies; dmm_netconf_check() then reads the rest and refuses what is wrong in it.
 *
 * All strings and JSON borrow from `json`. Pure. Any thread.
 */
#ifndef DMM_CNI_NETCONF_H
#define DMM_CNI_NETCONF_H

#include "cni/error.h"
#include "cni/link/link.h"
#include "cni/version.h"
#include "common/poddir.h"

#define DMM_NETCONF_MAX ((size_t)1 << 20)
#define DMM_STATE_ROOT  "/var/lib/cni/dmm"

/* Where to ask for annotations that the runtime does not pass. */
struct dmm_kube_conf {
    const char *kubeconfig;      /* one of these two, or neither: not asked */
    const char *service_account; /* a folder with token and ca.crt */
    const char *server;          /* with service_account */
    int64_t timeout_ms;
    int on_failure; /* enum dmm_kube_on_failure */
};
enum dmm_kube_on_failure { DMM_KUBE_FAIL, DMM_KUBE_DEFAULT };

/* See cni/logging.h. */
struct dmm_cni_log_conf {
    int level; /* enum dmm_log_level, or -1: not given */
    int json;
    const char *file; /* or NULL */
};

enum dmm_mode {
    DMM_MODE_ALONE,
    DMM_MODE_CHAINED, /* after a plugin that made the pod's first interface: we add one */
};
/* What becomes of a pod that has no annotation of ours, where the runtime passes annotations. */
enum dmm_unannotated { DMM_UNANNOTATED_ATTACH, DMM_UNANNOTATED_SKIP };
enum dmm_on_failure { DMM_ON_FAILURE_FAIL, DMM_ON_FAILURE_KERNEL };

struct dmm_netconf {
    json_t *json;     /* owned */
    const char *text; /* what came on stdin, for delegated plugins; borrowed */
    size_t len;

    /* Set by dmm_netconf_decode(). */
    enum dmm_cni_version version;
    const char *name;
    const char *pod_root;
    const char *state_root;
    struct dmm_cni_log_conf log;
    int mode;           /* enum dmm_mode */
    const char *ifname; /* the interface that we make when chained; NULL when not */

    /* Set by dmm_netconf_check(). */
    struct dmm_link_conf link;
    struct dmm_owner sidecar; /* who it runs as */
    struct dmm_stacks_config stacks;
    const json_t *mapping; /* an object, or NULL */
    int on_failure;        /* enum dmm_on_failure */
    struct dmm_kube_conf kube;
    const char *ipam_type; /* NULL: no addresses */
    const json_t *dns;
    const json_t *prev_result;
    const json_t *annotations; /* of runtimeConfig; NULL: none */
    bool annotations_told; /* the runtime passes them: what is not there, the pod does not have */
    int unannotated;       /* enum dmm_unannotated */
    const json_t *args_cni;
    const char *mac;         /* of runtimeConfig */
    const char *device_id;   /* of runtimeConfig, or Multus' keys; NULL: none */
    const char *cgroup_path; /* of runtimeConfig; NULL: not told */
    const char *device_info; /* of runtimeConfig: path of CNIDeviceInfoFile */
};

/* On error nothing is left to free; conf->version is set if it could be read (for the error JSON).
 */
int dmm_netconf_decode(struct dmm_netconf *conf, const char *text, size_t len,
                       struct dmm_cni_error *error);
int dmm_netconf_check(struct dmm_netconf *conf, struct dmm_cni_error *error);
/* Also after a check that failed. */
void dmm_netconf_free(struct dmm_netconf *conf);

const char *dmm_on_failure_text(int on_failure);

#endif
