/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ADD, in this order: read and check everything; look at the node and plan; make the record
 * durable; change things. The IPAM plugin, which takes longest, runs while the link is made. Any
 * failure after the record takes everything back.
 */
#include "cni/attach.h"
#include "cni/file.h"
#include "cni/kubeask.h"
#include "cni/netns.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct add {
    const struct dmm_cni_env *env;
    struct dmm_netconf *conf;
    struct dmm_pod pod;
    struct dmm_annotations annotations;
    bool left_alone;
    struct dmm_pod_content content;
    struct dmm_link_job job;
    int device_lock;
    struct dmm_record record;
    struct dmm_netns_id netns_id;
    char boot_id[DMM_BOOT_ID_LEN];
    struct dmm_result prev; /* when chained */
    struct dmm_result result;
    struct dmm_link_made made;
};

/* The pod's namespace; ours would mean to take the node's own network apart. */
static int open_netns(struct add *add, struct dmm_cni_error *error)
{
    struct dmm_netns_id own;
    struct dmm_err err = {0};
    int fd = dmm_netns_open(add->env->netns, &add->netns_id, &err);
    if (fd < 0)
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT, "CNI_NETNS: %s", err.text);
    int self __attribute__((cleanup(dmm_close))) = dmm_netns_self(&own, &err);
    if (self >= 0 && own.dev == add->netns_id.dev && own.ino == add->netns_id.ino) {
        dmm_close(&fd);
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT, "CNI_NETNS: %s is the plugin's own",
                            add->env->netns);
    }
    return fd;
}

/* Nobody passed any: the API server is asked, if that is configured and the pod has a name. */
static int ask_api(struct add *add, struct dmm_cni_error *error)
{
    json_t *found = NULL;
    const struct dmm_kube_conf *kube = &add->conf->kube;
    const struct dmm_kube_query query = {
        .name_space = dmm_cni_args_get(&add->env->args, "K8S_POD_NAMESPACE"),
        .pod = dmm_cni_args_get(&add->env->args, "K8S_POD_NAME"),
        .uid = dmm_cni_args_get(&add->env->args, "K8S_POD_UID"),
        .deadline_ms = kube->timeout_ms,
    };
    if (!query.name_space || !query.pod)
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT,
                            "CNI_ARGS: K8S_POD_NAMESPACE, K8S_POD_NAME: missing, so that the API "
                            "server can't be asked");
    int rc = dmm_kube_ask(&found, kube, &query, error);
    if (!rc)
        rc = dmm_annotations_from_api(&add->annotations, found, error);
    json_decref(found);
    return rc;
}

static int find_annotations(struct add *add, struct dmm_cni_error *error)
{
    const struct dmm_netconf *conf = add->conf;
    struct dmm_cni_error failed = {0};
    if (dmm_annotations_read(&add->annotations, conf->annotations, conf->args_cni, &add->env->args,
                             error))
        return -1;
    add->left_alone = dmm_attach_left_alone(conf, &add->annotations);
    if (add->left_alone || dmm_annotations_found(&add->annotations) ||
        (!conf->kube.kubeconfig && !conf->kube.service_account) || !ask_api(add, &failed))
        return 0;
    /* What the pod asks for wrongly is no failure to ask. */
    if (conf->kube.on_failure == DMM_KUBE_FAIL || failed.code == DMM_CNI_E_MAPPING)
        return dmm_cni_fail_from(error, failed.code, &failed.what);
    dmm_log(DMM_LOG_WARN, "%s; going on with the configured mapping", failed.what.text);
    return 0;
}

static int read_prev_result(struct add *add, struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    if (!add->conf->prev_result)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "prevResult: missing: mode \"chained\" is for after another plugin");
    if (!strcmp(add->env->ifname, add->env->key))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "ifname: \"%s\" is the interface of the plugin before us: the kernel "
                            "and a stack can't share it",
                            add->env->ifname);
    if (dmm_result_parse(&add->prev, add->conf->prev_result, &err))
        return dmm_cni_fail(error, DMM_CNI_E_DECODE, "prevResult: %s", err.text);
    return 0;
}

static int read_request(struct add *add, struct dmm_cni_error *error)
{
    const struct dmm_netconf *conf = add->conf;
    if (conf->prev_result && conf->mode != DMM_MODE_CHAINED)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "prevResult: needs mode \"chained\" after another plugin");
    if (conf->mode == DMM_MODE_CHAINED && read_prev_result(add, error))
        return -1;
    return find_annotations(add, error);
}

/* What else can be refused before anything is changed. */
static int prepare(struct add *add, struct dmm_cni_error *error)
{
    char path[PATH_MAX];
    const struct dmm_netconf *conf = add->conf;
    if (conf->ipam_type &&
        dmm_ipam_find(path, sizeof(path), conf->ipam_type, add->env->path, error))
        return -1;
    if (dmm_pod_identify(&add->pod, add->env, conf->pod_root, error))
        return -1;
    add->job.pod_id = add->pod.id;
    return dmm_pod_compose(&add->content, &add->pod, add->env, conf, &add->annotations, error);
}

/* The configuration as it is kept: what a later IPAM DEL needs, without what is only of this call.
 */
static json_t *kept_conf(const json_t *json)
{
    json_t *copy = json_copy((json_t *)json);
    json_object_del(copy, "prevResult");
    json_object_del(copy, "runtimeConfig");
    return copy;
}

static int fill_record(struct add *add, struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    const struct dmm_netconf *conf = add->conf;
    const struct dmm_link_ops *ops = conf->link.ops;
    if (dmm_boot_id(add->boot_id, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_IO, &err);
    add->record = (struct dmm_record){
        .network = conf->name,
        .container_id = add->env->container_id,
        .ifname = add->env->key,
        .port = add->env->ifname,
        .netns = add->env->netns,
        .netns_id = add->netns_id,
        .boot_id = add->boot_id,
        .pod_root = add->pod.root,
        .pod_id = add->pod.id,
        .cni_path = add->env->path,
        .ipam_type = conf->ipam_type,
        .device_info = conf->device_info,
        .link = ops->kind,
        .plan = json_object(),
        .conf = kept_conf(conf->json),
        .fd = -1,
    };
    if (!add->record.plan || !add->record.conf)
        return dmm_cni_fail(error, DMM_CNI_E_IO, "record: out of memory");
    if (ops->plan(&add->job, add->record.plan, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_LINK, &err);
    return 0;
}

/* An earlier attachment of the same key whose pod is gone (a reboot, say) makes way. */
static int clear_stale(const struct add *add, struct dmm_cni_error *error)
{
    struct dmm_record old;
    struct dmm_err err = {0};
    const char *root = add->conf->state_root;
    int rc = dmm_record_load(&old, root, add->conf->name, add->env->container_id, add->env->key,
                             true, &err);
    if (rc == -ENOENT)
        return 0;
    if (rc == -EBADMSG) {
        dmm_log(DMM_LOG_ERROR, "%s", err.text);
        return 0;
    }
    if (rc)
        return dmm_cni_fail_from(error, DMM_CNI_E_STATE, &err);
    if (dmm_attach_alive(&old))
        dmm_cni_fail(error, DMM_CNI_E_STATE, "%s is attached to %s by %s already",
                     add->env->container_id, add->conf->name, add->env->key);
    else
        dmm_attach_takedown(&old, root, error);
    dmm_record_release(&old);
    return error->code ? -1 : 0;
}

static int make_record(struct add *add, struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    int rc = dmm_record_create(&add->record, add->conf->state_root, &err);
    if (rc == -EEXIST) {
        if (clear_stale(add, error))
            return -1;
        rc = dmm_record_create(&add->record, add->conf->state_root, &err);
    }
    return rc ? dmm_cni_fail_from(error, DMM_CNI_E_STATE, &err) : 0;
}

static int make_link(struct add *add, struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    const struct dmm_link_ops *ops = add->conf->link.ops;
    struct dmm_port_config *port = &add->made.port;
    strcpy(port->ifname, add->env->ifname); /* NOLINT: checked to be shorter than IFNAMSIZ */
    strcpy(port->link, ops->kind);          /* NOLINT: ours */
    add->made.interfaces = json_array();
    if (!add->made.interfaces)
        return dmm_cni_fail(error, DMM_CNI_E_IO, "result: out of memory");
    add->job.hold = add->record.fd;
    int rc = ops->apply(&add->job, add->record.plan, &add->made, &err);
    dmm_close(&add->device_lock); /* by now its claim is there, and taking back locks it again */
    if (rc)
        return dmm_cni_fail_from(error, DMM_CNI_E_LINK, &err);
    return 0;
}

/* A plugin whose ADD failed has cleaned up after itself, says the spec. It is asked all the same,
 * but one that can't even read its configuration must not keep the rest from being taken back. */
static void lease_failed(struct add *add)
{
    struct dmm_ipam_call call;
    struct dmm_cni_error failed = {0};
    dmm_attach_ipam_call(&call, "DEL", add->env, add->conf, add->record.fd);
    if (dmm_ipam_run(&call, NULL, &failed))
        dmm_log(DMM_LOG_WARN, "after ADD failed: %s", failed.what.text);
    add->record.ipam_type = NULL;
}

/* Where no address is free, the dead may hold some. */
static void finish_lease(struct add *add, struct dmm_exec *child, const struct dmm_ipam_call *call,
                         struct dmm_cni_error *error)
{
    unsigned reaped = 0;
    struct dmm_cni_error refused = {0};
    struct dmm_cni_error reaping = {0};
    if (!dmm_ipam_finish(child, call, &add->result, &refused))
        return;
    if (!error->code) {
        dmm_gc_reap_dead(add->conf, &reaped, &reaping);
        if (reaped && !dmm_ipam_run(call, &add->result, error))
            return;
    }
    dmm_cni_fail_from(error, refused.code, &refused.what);
    lease_failed(add);
}

static int make_link_and_lease(struct add *add, struct dmm_cni_error *error)
{
    struct dmm_exec child;
    struct dmm_ipam_call call;
    if (!add->conf->ipam_type) {
        if (dmm_result_init(&add->result))
            return dmm_cni_fail(error, DMM_CNI_E_IO, "result: out of memory");
        return make_link(add, error);
    }
    dmm_attach_ipam_call(&call, "ADD", add->env, add->conf, add->record.fd);
    if (dmm_ipam_start(&child, &call, error))
        return -1;
    make_link(add, error);
    finish_lease(add, &child, &call, error);
    return error->code ? -1 : 0;
}

/* For whoever wants to know of the device without asking us (Multus' device information). */
static int write_device_info(const struct add *add, struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    const char *path = add->conf->device_info;
    if (!path || !add->made.device_info)
        return 0;
    char *dir = strndup(path, (size_t)(strrchr(path, '/') - path));
    char *text = json_dumps(add->made.device_info, JSON_INDENT(1));
    int rc = dir && text ? dmm_dir_make(*dir ? dir : "/", &err)
                         : dmm_err_set(&err, ENOMEM, "CNIDeviceInfoFile: out of memory");
    int fd __attribute__((cleanup(dmm_close))) =
        rc ? -1 : dmm_dir_open(AT_FDCWD, *dir ? dir : "/", &err);
    if (fd >= 0)
        rc = dmm_file_replace(fd, strrchr(path, '/') + 1, 0644, text, strlen(text), &err);
    free(dir);
    free(text);
    return rc || fd < 0 ? dmm_cni_fail_from(error, DMM_CNI_E_IO, &err) : 0;
}

static int finish(struct add *add, struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    struct dmm_result *result = &add->result;
    json_decref(result->interfaces);
    result->interfaces = json_incref(add->made.interfaces);
    dmm_result_set_interface(result, add->made.pod_interface);
    if (json_object_size(add->conf->dns)) {
        json_decref(result->dns);
        result->dns = json_deep_copy(add->conf->dns);
    }
    const struct dmm_link_ops *ops = add->conf->link.ops;
    if (ops->addressed && ops->addressed(&add->job, add->record.plan, result, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_LINK, &err);
    if (dmm_result_to_port(result, &add->made.port, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_IPAM, &err);
    if (dmm_pod_write(&add->pod, &add->content, &add->made.port, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_POD, &err);
    if (add->prev.ips && dmm_result_prepend(result, &add->prev))
        return dmm_cni_fail(error, DMM_CNI_E_IO, "result: out of memory");
    return write_device_info(add, error);
}

static void roll_back(struct add *add)
{
    struct dmm_cni_error failed = {0};
    if (dmm_attach_takedown(&add->record, add->conf->state_root, &failed))
        dmm_log(DMM_LOG_ERROR, "rolling back ADD: %s (its record is kept for DEL)",
                failed.what.text);
}

static int attach(struct add *add, struct dmm_cni_error *error)
{
    if (make_record(add, error))
        return -1;
    dmm_gc_reap_at_boot(add->conf, add->boot_id);
    if (make_link_and_lease(add, error) || finish(add, error)) {
        roll_back(add);
        return -1;
    }
    return 0;
}

static void add_free(struct add *add)
{
    dmm_close(&add->device_lock);
    json_decref(add->record.plan);
    json_decref(add->record.conf);
    dmm_record_release(&add->record);
    dmm_annotations_free(&add->annotations);
    dmm_pod_content_free(&add->content);
    dmm_result_free(&add->result);
    dmm_result_free(&add->prev);
    json_decref(add->made.interfaces);
    json_decref(add->made.device_info);
}

static int add_pod(struct add *add, json_t **answer, struct dmm_cni_error *error)
{
    int netns __attribute__((cleanup(dmm_close))) = open_netns(add, error);
    if (netns < 0 || read_request(add, error))
        return -1;
    if (add->left_alone) {
        *answer = dmm_result_json(&add->prev, add->conf->version);
        return 0;
    }
    int rc = dmm_attach_job(&add->job, add->env, add->conf, netns, error);
    add->job.device_lock = &add->device_lock;
    if (!rc)
        rc = prepare(add, error);
    if (!rc)
        rc = fill_record(add, error);
    if (!rc)
        rc = attach(add, error);
    if (!rc)
        *answer = dmm_result_json(&add->result, add->conf->version);
    return rc;
}

int dmm_cni_add(const struct dmm_cni_env *env, struct dmm_netconf *conf, json_t **answer,
                struct dmm_cni_error *error)
{
    struct add add = {.env = env, .conf = conf, .record = {.fd = -1}, .device_lock = -1};
    if (dmm_netconf_check(conf, error))
        return -1;
    int rc = add_pod(&add, answer, error);
    add_free(&add);
    return rc;
}
