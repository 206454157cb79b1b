/* SPDX-License-Identifier: Apache-2.0 */
/*
 * veth: a pair, its node end a port of a Linux bridge or routed, its pod end for a packet socket of
 * the sidecar.
 */
#include "cni/link/podend.h"
#include "cni/link/uplink.h"

static const struct dmm_key keys[] = {
    DMM_UPLINK_KEYS(65535),
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

static void defaults(void *conf)
{
    *(struct dmm_uplink_conf *)conf = (struct dmm_uplink_conf)DMM_UPLINK_DEFAULTS;
}

static int validate(const void *conf, struct dmm_err *err)
{
    return dmm_uplink_validate(conf, err);
}

static int apply(const struct dmm_link_job *job, const json_t *plan, struct dmm_link_made *made,
                 struct dmm_err *err)
{
    const struct dmm_uplink_end end = {.name = job->ifname, .mac = job->mac};
    made->port.kind = DMM_PORT_PACKET;
    int rc = dmm_uplink_apply(job, plan, &end, made, err);
    if (!rc)
        rc = dmm_podend_up(job->netns_fd, job->ifname, err);
    return rc ? rc : dmm_uplink_report_pod(job, made, err);
}

static int check(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err)
{
    const struct dmm_uplink_conf *conf = job->conf;
    int rc = dmm_uplink_check(job, plan, err);
    return rc ? rc : dmm_podend_check(job, conf->mtu, err);
}

static int status(const void *conf, struct dmm_err *err)
{
    return dmm_uplink_status(conf, err);
}

const struct dmm_link_ops dmm_link_veth = {
    .kind = "veth",
    .keys = keys,
    .conf_size = sizeof(struct dmm_uplink_conf),
    .by_name = true,
    .defaults = defaults,
    .validate = validate,
    .plan = dmm_uplink_plan,
    .apply = apply,
    .addressed = dmm_uplink_addressed,
    .check = check,
    .undo = dmm_uplink_undo,
    .status = status,
};
