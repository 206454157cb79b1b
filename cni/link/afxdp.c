/* SPDX-License-Identifier: Apache-2.0 */
/*
 * afxdp: an interface in the pod whose frames go to AF_XDP sockets of the sidecar. The XDP program
 * that sends them there is loaded here, and its map of sockets is made here and pinned for the
 * sidecar, which therefore needs no capability for BPF; for the socket itself the kernel wants
 * CAP_NET_RAW.
 *
 * The interface is one of
 *   - a veth pair's end (cni/link/uplink.h). An AF_XDP socket carries frames and no words about
 *     them, so the kernel must not leave checksums or segments to be done later: the node's end
 *     says that it can't have that done, and does what is left in the frames that the bridge passes
 *     on to it;
 *   - an interface of the node (cni/link/netdev.h);
 *   - a VF's (cni/link/sriov.h).
 * What it is on is "on" in the plan; the rest of the plan is that one's, beside "pin" and "queues".
 * What is taken from the node goes back without a program and with the queues it had.
 */
#include "cni/file.h"
#include "cni/link/ethtool.h"
#include "cni/link/netdev.h"
#include "cni/link/podend.h"
#include "cni/link/sriov.h"
#include "cni/link/uplink.h"
#include "cni/link/xdp.h"
#include "cni/netns.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a page holds beside the driver's room, in veth; the port's buffers are pages at most. */
#define MTU_MAX     3498
#define MTU_DEFAULT 1500 /* of a pair */

#define BUDGET_DEFAULT 64 /* frames that one busy poll may take; what a driver's poll takes */

struct afxdp_conf {
    struct dmm_uplink_conf uplink; /* with the MTU of all; 0: 1500, or the device's own */
    struct dmm_sriov_conf vf;
    const char *device;
    int64_t queues; /* 0: the device's own */
    int mode;       /* enum dmm_xdp_mode */
    int64_t busy_poll;
    int64_t busy_budget; /* 0: the default */
    const char *bpffs;
};

#define AT(field) offsetof(struct afxdp_conf, field)

static const char *const mode_words[] = {"auto", "native", "skb", NULL};

static const struct dmm_key keys[] = {
    DMM_UPLINK_KEYS(MTU_MAX),
    DMM_SRIOV_VF_KEYS(AT(vf)),
    {"device", DMM_KEY_TEXT, AT(device), 0, IFNAMSIZ - 1, NULL},
    {"queues", DMM_KEY_NUMBER, AT(queues), 1, DMM_PORT_QUEUES, NULL},
    {"mode", DMM_KEY_WORD, AT(mode), 0, 0, mode_words},
    {"busyPoll", DMM_KEY_NUMBER, AT(busy_poll), 1, DMM_PORT_BUSY_POLL, NULL},
    {"busyPollBudget", DMM_KEY_NUMBER, AT(busy_budget), 1, DMM_PORT_BUSY_BUDGET, NULL},
    {"bpffs", DMM_KEY_TEXT, AT(bpffs), 0, 80, NULL},
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

static void defaults(void *conf)
{
    *(struct afxdp_conf *)conf = (struct afxdp_conf){
        .uplink = DMM_UPLINK_DEFAULTS,
        .vf = DMM_SRIOV_DEFAULTS,
        .mode = DMM_XDP_AUTO,
        .bpffs = "/sys/fs/bpf",
    };
    ((struct afxdp_conf *)conf)->uplink.mtu = 0;
}

/* ---- what it is on ---- */

enum base { ON_VETH, ON_DEVICE, ON_VF };

/* One of them, with a job whose `conf` is its own. */
struct on {
    const struct base_ops *ops;
    struct dmm_link_job job;
    struct dmm_uplink_conf uplink;
    struct dmm_netdev_conf device;
    struct dmm_sriov_conf vf;
};

struct base_ops {
    const char *name;
    int (*plan)(const struct dmm_link_job *job, json_t *into, struct dmm_err *err);
    int (*apply)(const struct dmm_link_job *job, const json_t *plan, struct dmm_link_made *made,
                 struct dmm_err *err);
    int (*check)(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err);
    int (*undo)(const struct dmm_link_grave *grave, const json_t *plan, struct dmm_err *err);
};

static unsigned queues_of(const json_t *plan)
{
    json_int_t queues = json_integer_value(json_object_get(plan, "queues"));
    return queues >= 1 && queues <= DMM_PORT_QUEUES ? (unsigned)queues : 1;
}

static int veth_apply(const struct dmm_link_job *job, const json_t *plan,
                      struct dmm_link_made *made, struct dmm_err *err)
{
    const char *host = dmm_link_plan_text(plan, "host", err);
    const struct dmm_uplink_end end = {
        .name = job->ifname, .mac = job->mac, .queues = queues_of(plan)};
    int rc = host ? dmm_uplink_apply(job, plan, &end, made, err) : -EINVAL;
    if (!rc)
        rc = dmm_checksum_offload_off(host, err);
    if (!rc)
        rc = dmm_podend_up(job->netns_fd, job->ifname, err);
    return rc ? rc : dmm_uplink_report_pod(job, made, err);
}

static int veth_check(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err)
{
    const struct dmm_uplink_conf *conf = job->conf;
    int rc = dmm_uplink_check(job, plan, err);
    return rc ? rc : dmm_podend_check(job, conf->mtu, err);
}

static const struct base_ops bases[] = {
    [ON_VETH] = {"veth", dmm_uplink_plan, veth_apply, veth_check, dmm_uplink_undo},
    [ON_DEVICE] = {"device", dmm_netdev_plan, dmm_netdev_apply, dmm_netdev_check, dmm_netdev_undo},
    [ON_VF] = {"vf", dmm_sriov_plan, dmm_sriov_apply, dmm_sriov_check, dmm_sriov_undo},
};

static void put_on(struct on *on, const struct afxdp_conf *conf, enum base base)
{
    on->ops = &bases[base];
    on->uplink = conf->uplink;
    if (!on->uplink.mtu)
        on->uplink.mtu = MTU_DEFAULT;
    on->device = (struct dmm_netdev_conf){.device = conf->device, .mtu = conf->uplink.mtu};
    on->vf = conf->vf;
    on->vf.mtu = conf->uplink.mtu ? conf->uplink.mtu : -1;
}

static void put_job_on(struct on *on, const struct dmm_link_job *job, enum base base)
{
    const void *const confs[] = {
        [ON_VETH] = &on->uplink, [ON_DEVICE] = &on->device, [ON_VF] = &on->vf};
    put_on(on, job->conf, base);
    on->job = *job;
    on->job.conf = confs[base];
}

/* Of a record; one that does not say is of a time when there was only one. */
static int planned(const json_t *plan, enum base *base, struct dmm_err *err)
{
    const char *name = json_string_value(json_object_get(plan, "on"));
    *base = ON_VETH;
    for (int i = 0; name && i < (int)(sizeof(bases) / sizeof(bases[0])); i++) {
        if (!strcmp(bases[i].name, name)) {
            *base = (enum base)i;
            return 0;
        }
    }
    return name ? dmm_err_set(err, EINVAL, "record: link.on: not what was written") : 0;
}

/* ---- the link ---- */

static int contradiction(struct dmm_err *err, const char *a, const char *b)
{
    return dmm_err_set(err, EINVAL, "link.%s: contradicts link.%s: one of them", a, b);
}

static int validate(const void *conf, struct dmm_err *err)
{
    struct on on;
    const struct afxdp_conf *afxdp = conf;
    const char *vf = dmm_sriov_key_given(&afxdp->vf);
    if (*afxdp->bpffs != '/')
        return dmm_err_set(err, EINVAL, "link.bpffs: \"%s\" is not an absolute path", afxdp->bpffs);
    if (afxdp->device && vf)
        return contradiction(err, vf, "device");
    if ((afxdp->device || vf) && (afxdp->uplink.routed || afxdp->uplink.bridge))
        return contradiction(err, afxdp->uplink.routed ? "routed" : "bridge", vf ? vf : "device");
    if (afxdp->busy_budget && !afxdp->busy_poll)
        return dmm_err_set(err, EINVAL, "link.busyPollBudget: needs link.busyPoll");
    put_on(&on, afxdp, ON_VETH);
    int rc = afxdp->device ? dmm_netdev_validate(&on.device, err)
             : vf          ? dmm_sriov_validate(&on.vf, err)
                           : 0;
    return rc ? rc : dmm_uplink_validate(&on.uplink, err);
}

/* A device plugin's VF, one of the PF's, the named interface, or a pair. */
static int choose(const struct dmm_link_job *job, enum base *base, struct dmm_err *err)
{
    const struct afxdp_conf *conf = job->conf;
    const char *vf = dmm_sriov_key_given(&conf->vf);
    *base = job->device_id || conf->vf.pf ? ON_VF : conf->device ? ON_DEVICE : ON_VETH;
    if (job->device_id && (conf->device || conf->uplink.bridge || conf->uplink.routed))
        return dmm_err_set(err, EINVAL, "deviceID: contradicts link.%s",
                           conf->device          ? "device"
                           : conf->uplink.bridge ? "bridge"
                                                 : "routed");
    if (*base != ON_VF && vf)
        return dmm_err_set(err, EINVAL, "link.%s: needs link.pf, or a deviceID", vf);
    return 0;
}

/* The device's name while it is on the node. */
static const char *device_of(const json_t *plan, enum base base)
{
    return json_string_value(base == ON_VF ? json_object_get(json_object_get(plan, "was"), "name")
                                           : json_object_get(plan, "device"));
}

/* How many receive queues the device has now; *fixed: its driver does not let that be changed. */
static int count_queues(const char *device, unsigned *queues, bool *fixed, struct dmm_err *err)
{
    struct dmm_channels channels;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_channels_get(device, &channels, err);
    *queues = channels.rx + channels.combined;
    *fixed = !*queues;
    if (rc || *queues)
        return rc;
    rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, device, &link, err);
    if (!rc)
        *queues = rtnl_link_get_num_rx_queues(link);
    return rc;
}

/* Of each queue without a socket the frames would be lost, so it is all of them. */
static int plan_queues(const struct afxdp_conf *conf, const char *device, json_t *into,
                       struct dmm_err *err)
{
    unsigned has = 1; /* a pair's */
    bool fixed = false;
    int rc = device ? count_queues(device, &has, &fixed, err) : 0;
    if (rc)
        return rc;
    if (fixed && conf->queues && conf->queues != has)
        return dmm_err_set(err, EOPNOTSUPP,
                           "link.queues: interface %s has %u, which its driver does not change",
                           device, has);
    if (!conf->queues && has > DMM_PORT_QUEUES)
        return dmm_err_set(err, EINVAL,
                           "link.queues: interface %s has %u receive queues, %d is the most: give "
                           "it fewer by link.queues",
                           device, has, DMM_PORT_QUEUES);
    return json_object_set_new(into, "queues", json_integer(conf->queues ? conf->queues : has))
               ? dmm_err_set(err, ENOMEM, "link: out of memory")
               : 0;
}

/* "pin": <bpffs>/dmm/<pod>/<interface>. The first folder stays, as the state directory does. */
static int plan_pin(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    const struct afxdp_conf *conf = job->conf;
    char pin[DMM_PORT_MAP_PATH];
    if ((size_t)snprintf(pin, sizeof(pin), "%s/dmm/%s/%s", conf->bpffs, job->pod_id, job->ifname) >=
        sizeof(pin))
        return dmm_err_set(err, ENAMETOOLONG, "link.bpffs: the map's path is too long");
    if (json_object_set_new(into, "pin", json_string(pin)))
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    return dmm_xdp_check_fs(conf->bpffs, err);
}

static int plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    struct on on;
    enum base base;
    int rc = choose(job, &base, err);
    if (!rc)
        rc = plan_pin(job, into, err);
    if (rc)
        return rc;
    put_job_on(&on, job, base);
    if (json_object_set_new(into, "on", json_string(on.ops->name)))
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    rc = on.ops->plan(&on.job, into, err);
    if (rc)
        return rc;
    const char *device = base == ON_VETH ? NULL : device_of(into, base);
    if (device && !*device)
        return dmm_err_set(err, EINVAL, "VF %s: is bound to %s: AF_XDP needs its interface",
                           json_string_value(json_object_get(into, "pci")),
                           json_string_value(json_object_get(into, "driver")));
    json_int_t mtu = json_integer_value(json_object_get(into, "mtu"));
    if (device && mtu > MTU_MAX)
        return dmm_err_set(err, EINVAL, "link.mtu: %s has %lld, %d is the most for AF_XDP", device,
                           (long long)mtu, MTU_MAX);
    return plan_queues(job->conf, device, into, err);
}

/* Its folder may be removed by another attachment of the pod that goes at this moment. */
static int pin_map(int map_fd, const char *path, const struct dmm_owner *owner, struct dmm_err *err)
{
    char dir[PATH_MAX];
    int rc = -ENOENT;
    snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    for (int i = 0; i < 3 && rc == -ENOENT; i++) {
        rc = dmm_dir_make(dir, err);
        if (!rc)
            rc = dmm_xdp_pin(map_fd, path, owner, err);
    }
    return rc;
}

/* In the pod: the driver may make its queues anew, so before the program. */
static int set_queues(const struct dmm_link_job *job, unsigned queues, struct dmm_err *err)
{
    int back;
    struct dmm_channels channels;
    int rc = dmm_netns_enter(job->netns_fd, &back, err);
    if (rc)
        return rc;
    rc = dmm_channels_get(job->ifname, &channels, err);
    const unsigned has = channels.rx + channels.combined;
    if (!rc && has && has != queues) {
        if (channels.combined)
            channels = (struct dmm_channels){.combined = queues};
        else
            channels.rx = queues;
        rc = dmm_channels_set(job->ifname, &channels, err);
    }
    dmm_netns_leave(back);
    return rc ? dmm_err_prefix(err, "link.queues") : 0;
}

static int attach(const struct dmm_link_job *job, int map_fd, struct dmm_err *err)
{
    const struct afxdp_conf *conf = job->conf;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int prog __attribute__((cleanup(dmm_close))) = dmm_xdp_load(map_fd, err);
    if (prog < 0)
        return prog;
    int rc = dmm_nl_open(&sock, job->netns_fd, err);
    return rc ? rc : dmm_xdp_attach(sock, job->ifname, prog, (enum dmm_xdp_mode)conf->mode, err);
}

static int report(const struct dmm_link_job *job, const json_t *plan_json, const char *path,
                  struct dmm_link_made *made, struct dmm_err *err)
{
    const struct afxdp_conf *conf = job->conf;
    struct dmm_port_config *port = &made->port;
    port->kind = DMM_PORT_AFXDP;
    port->queues = queues_of(plan_json);
    port->busy_poll_us = (uint32_t)conf->busy_poll;
    if (conf->busy_poll)
        port->busy_budget = conf->busy_budget ? (uint32_t)conf->busy_budget : BUDGET_DEFAULT;
    snprintf(port->xsk_map, sizeof(port->xsk_map), "%s", path);
    json_decref(made->device_info);
    made->device_info = json_pack("{s:s, s:s, s:{s:s}}", "type", "af-xdp", "version", "1.1.0",
                                  "af-xdp", "path", path);
    return made->device_info ? 0 : dmm_err_set(err, ENOMEM, "result: out of memory");
}

static int apply(const struct dmm_link_job *job, const json_t *plan_json,
                 struct dmm_link_made *made, struct dmm_err *err)
{
    struct on on;
    enum base base;
    const char *path = dmm_link_plan_text(plan_json, "pin", err);
    int rc = path ? planned(plan_json, &base, err) : -EINVAL;
    if (rc)
        return rc;
    int map __attribute__((cleanup(dmm_close))) = dmm_xdp_make_map(queues_of(plan_json), err);
    if (map < 0)
        return map;
    put_job_on(&on, job, base);
    rc = on.ops->apply(&on.job, plan_json, made, err);
    if (!rc && base != ON_VETH)
        rc = set_queues(job, queues_of(plan_json), err);
    if (!rc)
        rc = attach(job, map, err);
    if (!rc)
        rc = pin_map(map, path, &job->owner, err);
    return rc ? rc : report(job, plan_json, path, made, err);
}

static int addressed(const struct dmm_link_job *job, const json_t *plan_json,
                     struct dmm_result *result, struct dmm_err *err)
{
    struct on on;
    enum base base;
    int rc = planned(plan_json, &base, err);
    if (rc || base != ON_VETH)
        return rc;
    put_job_on(&on, job, base);
    return dmm_uplink_addressed(&on.job, plan_json, result, err);
}

static int check(const struct dmm_link_job *job, const json_t *plan_json, struct dmm_err *err)
{
    struct on on;
    enum base base;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    bool attached = false;
    const char *path = dmm_link_plan_text(plan_json, "pin", err);
    int rc = path ? planned(plan_json, &base, err) : -EINVAL;
    if (rc)
        return rc;
    put_job_on(&on, job, base);
    rc = on.ops->check(&on.job, plan_json, err);
    if (!rc && access(path, F_OK))
        rc = dmm_err_set(err, errno, "map %s: %s", path, strerror(errno));
    if (!rc)
        rc = dmm_nl_open(&sock, job->netns_fd, err);
    if (!rc)
        rc = dmm_xdp_attached(sock, job->ifname, &attached, err);
    if (!rc && !attached)
        rc = dmm_err_set(err, ENOENT, "in the pod: interface %s: has no XDP program", job->ifname);
    return rc;
}

static int unpin(const char *path, struct dmm_err *err)
{
    char dir[PATH_MAX];
    if (*path != '/' || strlen(path) >= sizeof(dir))
        return dmm_err_set(err, EINVAL, "record: link.pin: not a path");
    if (unlink(path) && errno != ENOENT && errno != ENOTDIR)
        return dmm_err_set(err, errno, "remove %s: %s", path, strerror(errno));
    strcpy(dir, path); /* NOLINT: checked */
    *strrchr(dir, '/') = '\0';
    if (rmdir(dir) && errno != ENOENT && errno != ENOTEMPTY && errno != ENOTDIR)
        return dmm_err_set(err, errno, "remove %s: %s", dir, strerror(errno));
    return 0;
}

static int undo(const struct dmm_link_grave *grave, const json_t *plan_json, struct dmm_err *err)
{
    enum base base;
    const char *path = dmm_link_plan_text(plan_json, "pin", err);
    int rc = path ? planned(plan_json, &base, err) : -EINVAL;
    if (!rc)
        rc = unpin(path, err);
    return rc ? rc : bases[base].undo(grave, plan_json, err);
}

static int status(const void *conf, struct dmm_err *err)
{
    struct on on;
    const struct afxdp_conf *afxdp = conf;
    int rc = dmm_xdp_check_fs(afxdp->bpffs, err);
    if (rc)
        return rc;
    put_on(&on, afxdp, ON_VETH);
    if (afxdp->vf.pf)
        return dmm_sriov_status(&on.vf, err);
    if (afxdp->device)
        return dmm_netdev_status(&on.device, err);
    /* Without a bridge either, it may be a device plugin's. */
    return dmm_uplink_status(&on.uplink, err);
}

const struct dmm_link_ops dmm_link_afxdp = {
    .kind = "afxdp",
    .keys = keys,
    .conf_size = sizeof(struct afxdp_conf),
    .takes_device = true,
    .defaults = defaults,
    .validate = validate,
    .plan = plan,
    .apply = apply,
    .addressed = addressed,
    .check = check,
    .undo = undo,
    .status = status,
};
