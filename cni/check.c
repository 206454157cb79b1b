/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHECK compares the record, prevResult, the node and the pod directory, and asks the IPAM plugin.
 */
#include "cni/attach.h"
#include "cni/file.h"
#include "cni/netns.h"

#include <errno.h>
#include <string.h>

static bool same_addresses(const struct dmm_port_config *a, const struct dmm_port_config *b)
{
    if (a->n_addresses != b->n_addresses)
        return false;
    for (unsigned i = 0; i < a->n_addresses; i++) {
        const struct dmm_port_address *x = &a->addresses[i];
        const struct dmm_port_address *y = &b->addresses[i];
        if (x->prefix_len != y->prefix_len || memcmp(&x->addr, &y->addr, sizeof(x->addr)) != 0)
            return false;
    }
    return true;
}

/* The pod's end must be in prevResult; so must the port's addresses and no other, unless chained.
 */
static int check_prev_result(const struct dmm_cni_env *env, const struct dmm_netconf *conf,
                             const struct dmm_port_config *port, struct dmm_cni_error *error)
{
    struct dmm_result prev;
    struct dmm_err err = {0};
    struct dmm_port_config wanted = {0};
    if (!conf->prev_result)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "prevResult: missing");
    if (dmm_result_parse(&prev, conf->prev_result, &err))
        return dmm_cni_fail(error, DMM_CNI_E_DECODE, "prevResult: %s", err.text);
    bool found = false;
    size_t i;
    const json_t *entry;
    json_array_foreach(prev.interfaces, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        const char *sandbox = json_string_value(json_object_get(entry, "sandbox"));
        found |= name && sandbox && *sandbox && !strcmp(name, env->ifname);
    }
    if (!found)
        dmm_cni_fail(error, DMM_CNI_E_CHECK, "prevResult: has no interface %s in the pod",
                     env->ifname);
    else if (dmm_result_to_port(&prev, &wanted, &err))
        dmm_cni_fail(error, DMM_CNI_E_DECODE, "prevResult: %s", err.text);
    else if (conf->mode == DMM_MODE_ALONE && !same_addresses(&wanted, port))
        dmm_cni_fail(error, DMM_CNI_E_CHECK, "port file of %s: its addresses are not prevResult's",
                     env->ifname);
    dmm_result_free(&prev);
    return error->code ? -1 : 0;
}

static int check_link(const struct dmm_cni_env *env, const struct dmm_netconf *conf,
                      const struct dmm_record *record, struct dmm_port_config *port,
                      struct dmm_cni_error *error)
{
    struct dmm_link_job job;
    struct dmm_err err = {0};
    struct dmm_netns_id id;
    const struct dmm_pod pod = {record->pod_root, record->pod_id};
    int netns __attribute__((cleanup(dmm_close))) = dmm_netns_open(env->netns, &id, &err);
    if (netns < 0)
        return dmm_cni_fail(error, DMM_CNI_E_CONTAINER, "CNI_NETNS: %s", err.text);
    if (id.dev != record->netns_id.dev || id.ino != record->netns_id.ino)
        return dmm_cni_fail(error, DMM_CNI_E_CHECK, "CNI_NETNS: %s is not the namespace of ADD",
                            env->netns);
    if (strcmp(conf->link.ops->kind, record->link) != 0)
        return dmm_cni_fail(error, DMM_CNI_E_CHECK, "link.type: was \"%s\" at ADD", record->link);
    if (dmm_pod_read_port(&pod, env->ifname, port, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_CHECK, &err);
    if (dmm_attach_job(&job, env, conf, netns, error))
        return -1;
    job.port = port;
    if (conf->link.ops->check(&job, record->plan, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_CHECK, &err);
    return 0;
}

/* Whether ADD has passed the pod over. */
static bool left_alone(const struct dmm_cni_env *env, const struct dmm_netconf *conf)
{
    struct dmm_annotations annotations;
    struct dmm_cni_error wrong = {0};
    if (dmm_annotations_read(&annotations, conf->annotations, conf->args_cni, &env->args, &wrong))
        return false;
    bool left = dmm_attach_left_alone(conf, &annotations);
    dmm_annotations_free(&annotations);
    return left;
}

int dmm_cni_check(const struct dmm_cni_env *env, struct dmm_netconf *conf,
                  struct dmm_cni_error *error)
{
    struct dmm_record record;
    struct dmm_ipam_call call;
    struct dmm_port_config port = {0};
    struct dmm_err err = {0};
    if (conf->version < DMM_CNI_0_4_0)
        return dmm_cni_fail(error, DMM_CNI_E_VERSION, "cniVersion: %s has no CHECK",
                            dmm_cni_version_text(conf->version));
    if (dmm_netconf_check(conf, error))
        return -1;
    int rc = dmm_record_load(&record, conf->state_root, conf->name, env->container_id, env->key,
                             true, &err);
    if (rc == -ENOENT && left_alone(env, conf))
        return 0;
    if (rc)
        return dmm_cni_fail_from(error, rc == -ENOENT ? DMM_CNI_E_CONTAINER : DMM_CNI_E_STATE,
                                 &err);
    rc = check_link(env, conf, &record, &port, error);
    if (!rc)
        rc = check_prev_result(env, conf, &port, error);
    if (!rc && conf->ipam_type) {
        dmm_attach_ipam_call(&call, "CHECK", env, conf, record.fd);
        rc = dmm_ipam_run(&call, NULL, error);
    }
    dmm_record_release(&record);
    return rc;
}
