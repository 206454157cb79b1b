/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/attach.h"

#include "cni/file.h"
#include "cni/netns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The namespace, if it is still the one that the record names; else -1. */
static int open_same_netns(const struct dmm_record *record)
{
    char boot[DMM_BOOT_ID_LEN];
    struct dmm_netns_id id;
    if (dmm_boot_id(boot, NULL) || strcmp(boot, record->boot_id) != 0)
        return -1;
    int fd = dmm_netns_open(record->netns, &id, NULL);
    if (fd >= 0 && id.dev == record->netns_id.dev && id.ino == record->netns_id.ino)
        return fd;
    dmm_close(&fd);
    return -1;
}

bool dmm_attach_alive(const struct dmm_record *record)
{
    int fd __attribute__((cleanup(dmm_close))) = open_same_netns(record);
    return fd >= 0;
}

static int remove_link(const struct dmm_record *record, const char *state_root, struct dmm_err *err)
{
    int fd __attribute__((cleanup(dmm_close))) = open_same_netns(record);
    const struct dmm_link_grave grave = {
        .ifname = record->port, .netns_fd = fd, .lock_dir = state_root, .hold = record->fd};
    const struct dmm_link_ops *ops = dmm_link_find(record->link);
    if (!ops)
        return dmm_err_set(err, EINVAL, "record: link: \"%s\" is no kind of link", record->link);
    return ops->undo(&grave, record->plan, err);
}

/* A lease that is given back while the link goes, which takes the kernel longer. */
struct lease {
    char *text; /* owned */
    struct dmm_ipam_call call;
    struct dmm_exec child;
    bool started;
};

static void release_start(struct lease *lease, const struct dmm_record *record,
                          struct dmm_cni_error *error)
{
    *lease = (struct lease){0};
    if (!record->ipam_type)
        return;
    lease->text = json_dumps(record->conf, JSON_COMPACT);
    if (!lease->text) {
        dmm_cni_fail(error, DMM_CNI_E_IO, "record: out of memory");
        return;
    }
    lease->call = (struct dmm_ipam_call){
        .type = record->ipam_type,
        .command = "DEL",
        .cni_path = record->cni_path,
        .container_id = record->container_id,
        .netns = record->netns,
        .ifname = record->port,
        .args = "",
        .text = lease->text,
        .len = strlen(lease->text),
        .hold = record->fd,
    };
    lease->started = !dmm_ipam_start(&lease->child, &lease->call, error);
}

static void release_finish(struct lease *lease, struct dmm_cni_error *error)
{
    if (lease->started)
        dmm_ipam_finish(&lease->child, &lease->call, NULL, error);
    free(lease->text);
}

int dmm_attach_takedown(struct dmm_record *record, const char *state_root,
                        struct dmm_cni_error *error)
{
    struct lease lease;
    struct dmm_err err = {0};
    struct dmm_err left = {0};
    const struct dmm_pod pod = {record->pod_root, record->pod_id};
    release_start(&lease, record, error);
    if (dmm_pod_remove(&pod, record->port, &err))
        dmm_cni_fail_from(error, DMM_CNI_E_POD, &err);
    int rc = remove_link(record, state_root, &left);
    if (rc && rc != -EAGAIN)
        dmm_cni_fail_from(error, DMM_CNI_E_LINK, &left);
    if (record->device_info && unlink(record->device_info) && errno != ENOENT && errno != ENOTDIR)
        dmm_cni_fail(error, DMM_CNI_E_IO, "remove %s: %s", record->device_info, strerror(errno));
    release_finish(&lease, error);
    if (error->code)
        return -1;
    if (rc) {
        dmm_cni_fail_from(error, DMM_CNI_E_LINK, &left);
        return DMM_TAKEDOWN_LATER;
    }
    if (dmm_record_remove(record, state_root, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_STATE, &err);
    return 0;
}

bool dmm_attach_left_alone(const struct dmm_netconf *conf,
                           const struct dmm_annotations *annotations)
{
    return conf->unannotated == DMM_UNANNOTATED_SKIP && conf->annotations_told &&
           !dmm_annotations_found(annotations) && !dmm_annotations_opted_in(conf->annotations);
}

void dmm_attach_ipam_call(struct dmm_ipam_call *call, const char *command,
                          const struct dmm_cni_env *env, const struct dmm_netconf *conf, int hold)
{
    const char *args = getenv("CNI_ARGS");
    *call = (struct dmm_ipam_call){
        .type = conf->ipam_type,
        .command = command,
        .cni_path = env->path,
        .container_id = env->container_id,
        .netns = env->netns,
        .ifname = env->ifname,
        .args = args,
        .text = conf->text,
        .len = conf->len,
        .hold = hold,
    };
}

/* The runtime's word, then CNI_ARGS (podman), then one that is the same each time. */
static int choose_mac(struct dmm_link_job *job, const struct dmm_cni_env *env,
                      const struct dmm_netconf *conf, struct dmm_cni_error *error)
{
    const char *from_args = dmm_cni_args_get(&env->args, "MAC");
    const char *text = conf->mac ? conf->mac : from_args;
    job->mac_given = text;
    if (!text) {
        dmm_link_stable_mac(job->mac, job->network, job->container_id, job->ifname, "pod");
        return 0;
    }
    if (!dmm_mac_parse(job->mac, text))
        return 0;
    return dmm_cni_fail(error, conf->mac ? DMM_CNI_E_CONFIG : DMM_CNI_E_ENVIRONMENT,
                        "%s: \"%.40s\" is not a unicast MAC address",
                        conf->mac ? "runtimeConfig.mac" : "CNI_ARGS: MAC", text);
}

int dmm_attach_job(struct dmm_link_job *job, const struct dmm_cni_env *env,
                   const struct dmm_netconf *conf, int netns_fd, struct dmm_cni_error *error)
{
    *job = (struct dmm_link_job){
        .conf = conf->link.conf,
        .network = conf->name,
        .container_id = env->container_id,
        .ifname = env->ifname,
        .netns = env->netns,
        .netns_fd = netns_fd,
        .lock_dir = conf->state_root,
        .pod_root = conf->pod_root,
        .owner = conf->sidecar,
        .hold = -1,
        .device_id = conf->device_id,
    };
    return choose_mac(job, env, conf, error);
}
