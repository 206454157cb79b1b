/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEL works from the record. Where there is none, either ADD never came as far as to change
 * anything, or DEL was here before, or the state directory was lost: then what can be found by name
 * alone is removed, and it is success. It is success too where something is out of reach for now:
 * the pod need not wait for it, and the record stays for who comes next.
 */
#include "cni/attach.h"
#include "common/log.h"

#include <errno.h>

static void release_by_name(const struct dmm_cni_env *env, const struct dmm_netconf *conf,
                            struct dmm_cni_error *error)
{
    struct dmm_ipam_call call;
    if (!conf->ipam_type)
        return;
    dmm_attach_ipam_call(&call, "DEL", env, conf, -1);
    dmm_ipam_run(&call, NULL, error);
}

/* Only links whose plan is made of names can be undone like this. */
static void unlink_by_name(const struct dmm_cni_env *env, const struct dmm_netconf *conf,
                           struct dmm_cni_error *error)
{
    struct dmm_link_job job;
    struct dmm_err err = {0};
    const struct dmm_link_grave grave = {
        .ifname = env->ifname, .netns_fd = -1, .lock_dir = conf->state_root, .hold = -1};
    if (!conf->link.ops->by_name || dmm_attach_job(&job, env, conf, -1, error))
        return;
    json_t *plan = json_object();
    if (conf->link.ops->plan(&job, plan, &err) || conf->link.ops->undo(&grave, plan, &err))
        dmm_cni_fail_from(error, DMM_CNI_E_LINK, &err);
    json_decref(plan);
}

static int remove_by_name(const struct dmm_cni_env *env, struct dmm_netconf *conf,
                          struct dmm_cni_error *error)
{
    struct dmm_pod pod;
    struct dmm_err err = {0};
    struct dmm_cni_error bad = {0};
    if (dmm_pod_identify(&pod, env, conf->pod_root, error))
        return -1;
    if (dmm_pod_remove(&pod, env->ifname, &err))
        dmm_cni_fail_from(error, DMM_CNI_E_POD, &err);
    if (dmm_netconf_check(conf, &bad)) {
        dmm_log(DMM_LOG_WARN, "DEL without record and with a bad configuration: %s", bad.what.text);
        return error->code ? -1 : 0;
    }
    unlink_by_name(env, conf, error);
    release_by_name(env, conf, error);
    return error->code ? -1 : 0;
}

int dmm_cni_del(const struct dmm_cni_env *env, struct dmm_netconf *conf,
                struct dmm_cni_error *error)
{
    struct dmm_record record;
    struct dmm_err err = {0};
    int rc = dmm_record_load(&record, conf->state_root, conf->name, env->container_id, env->key,
                             true, &err);
    if (rc == -ENOENT || rc == -EBADMSG) {
        if (rc == -EBADMSG)
            dmm_log(DMM_LOG_ERROR, "%s", err.text);
        if (dmm_record_remove_unfinished(conf->state_root, conf->name, env->container_id, env->key,
                                         &err))
            return dmm_cni_fail_from(error, DMM_CNI_E_STATE, &err);
        return remove_by_name(env, conf, error);
    }
    if (rc)
        return dmm_cni_fail_from(error, DMM_CNI_E_STATE, &err);
    rc = dmm_attach_takedown(&record, conf->state_root, error);
    dmm_record_release(&record);
    if (rc != DMM_TAKEDOWN_LATER)
        return rc;
    dmm_log(DMM_LOG_WARN, "%s: left for the next GC or ADD", error->what.text);
    *error = (struct dmm_cni_error){0};
    dmm_gc_note_left(conf);
    return 0;
}
