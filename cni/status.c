/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STATUS: would an ADD find what it needs on this node. Local and quick; changes nothing.
 */
#include "cni/attach.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Where state lies must be writable, as far as it is there already. */
static int check_dir(const char *key, const char *dir, struct dmm_cni_error *error)
{
    char part[PATH_MAX];
    strncpy(part, dir, sizeof(part) - 1);
    part[sizeof(part) - 1] = '\0';
    while (access(part, F_OK) && errno == ENOENT && strrchr(part, '/') > part)
        *strrchr(part, '/') = '\0';
    if (access(part, W_OK | X_OK))
        return dmm_cni_fail(error, DMM_CNI_E_UNAVAILABLE, "%s: %s: %s", key, part, strerror(errno));
    return 0;
}

static int check_ipam(const struct dmm_cni_env *env, const struct dmm_netconf *conf,
                      struct dmm_cni_error *error)
{
    char path[PATH_MAX];
    struct dmm_ipam_call call;
    struct dmm_cni_error failed = {0};
    if (!conf->ipam_type)
        return 0;
    if (dmm_ipam_find(path, sizeof(path), conf->ipam_type, env->path, &failed))
        return dmm_cni_fail_from(error, DMM_CNI_E_UNAVAILABLE, &failed.what);
    dmm_attach_ipam_call(&call, "STATUS", env, conf, -1);
    /* One that does not know the verb has nothing to say. */
    return dmm_ipam_speaks(&call, conf->version) ? dmm_ipam_run(&call, NULL, error) : 0;
}

int dmm_cni_status(const struct dmm_cni_env *env, struct dmm_netconf *conf,
                   struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    if (conf->version < DMM_CNI_1_1_0)
        return dmm_cni_fail(error, DMM_CNI_E_VERSION, "cniVersion: %s has no STATUS",
                            dmm_cni_version_text(conf->version));
    if (dmm_netconf_check(conf, error))
        return -1;
    if (conf->link.ops->status(conf->link.conf, &err))
        /* What is down is so for the pods that have it too. */
        return dmm_cni_fail_from(
            error, err.code == ENETDOWN ? DMM_CNI_E_LIMITED : DMM_CNI_E_UNAVAILABLE, &err);
    if (check_dir("stateDir", conf->state_root, error) ||
        check_dir("podDir", conf->pod_root, error))
        return -1;
    return check_ipam(env, conf, error);
}
