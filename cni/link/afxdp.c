/* SPDX-License-Identifier: Apache-2.0 */
/*
 * afxdp: a veth pair whose pod end gives its frames to AF_XDP sockets of the sidecar. The program
 * and the map are made here and the map is pinned for the sidecar's user, who puts its sockets in:
 * that needs CAP_NET_RAW (to make such a socket) and nothing of BPF.
 *
 * An AF_XDP socket carries frames alone: no word of checksums that are still to be computed, no
 * frame above the MTU. So the node's end of the pair has its checksum offload off, and the kernel
 * then completes checksums and segments before it sends there, whoever the sender is.
 */
#include "cni/file.h"
#include "cni/link/podend.h"
#include "cni/link/uplink.h"
#include "cni/link/xdp.h"
#include "cni/netns.h"

#include <errno.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a page holds beside the driver's room, in veth; the port's buffers are pages at most. */
#define MTU_MAX 3498

struct afxdp_conf {
    struct dmm_uplink_conf uplink;
    int64_t queues;
    int mode; /* enum dmm_xdp_mode */
    const char *bpffs;
};

#define AT(field) offsetof(struct afxdp_conf, field)

static const char *const mode_words[] = {"auto", "native", "skb", NULL};

static const struct dmm_key keys[] = {
    DMM_UPLINK_KEYS(MTU_MAX),
    {"queues", DMM_KEY_NUMBER, AT(queues), 1, DMM_PORT_QUEUES, NULL},
    {"mode", DMM_KEY_WORD, AT(mode), 0, 0, mode_words},
    {"bpffs", DMM_KEY_TEXT, AT(bpffs), 0, 80, NULL},
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

static void defaults(void *conf)
{
    *(struct afxdp_conf *)conf = (struct afxdp_conf){
        .uplink = DMM_UPLINK_DEFAULTS,
        .queues = 1,
        .mode = DMM_XDP_AUTO,
        .bpffs = "/sys/fs/bpf",
    };
}

static int validate(const void *conf, struct dmm_err *err)
{
    const struct afxdp_conf *afxdp = conf;
    if (*afxdp->bpffs != '/')
        return dmm_err_set(err, EINVAL, "link.bpffs: \"%s\" is not an absolute path", afxdp->bpffs);
    return dmm_uplink_validate(&afxdp->uplink, err);
}

/* "pin": <bpffs>/dmm/<pod>/<interface>. The first folder stays, as the state directory does. */
static int plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    const struct afxdp_conf *conf = job->conf;
    char pin[DMM_PORT_MAP_PATH];
    if ((size_t)snprintf(pin, sizeof(pin), "%s/dmm/%s/%s", conf->bpffs, job->pod_id, job->ifname) >=
        sizeof(pin))
        return dmm_err_set(err, ENAMETOOLONG, "link.bpffs: the map's path is too long");
    if (json_object_set_new(into, "pin", json_string(pin)))
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    return dmm_uplink_plan(job, into, err);
}

static int no_checksum_offload(const char *host, struct dmm_err *err)
{
    struct ethtool_value value = {.cmd = ETHTOOL_STXCSUM, .data = 0};
    struct ifreq ifr = {.ifr_data = (void *)&value};
    int fd __attribute__((cleanup(dmm_close))) = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(ifr.ifr_name, host, strnlen(host, IFNAMSIZ - 1));
    if (fd < 0 || ioctl(fd, SIOCETHTOOL, &ifr))
        return dmm_err_set(err, errno, "interface %s: checksum offload: %s", host, strerror(errno));
    return 0;
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

static int report(const struct dmm_link_job *job, const char *path, struct dmm_link_made *made,
                  struct dmm_err *err)
{
    const struct afxdp_conf *conf = job->conf;
    struct dmm_port_config *port = &made->port;
    port->kind = DMM_PORT_AFXDP;
    port->queues = (unsigned)conf->queues;
    snprintf(port->xsk_map, sizeof(port->xsk_map), "%s", path);
    made->device_info = json_pack("{s:s, s:s, s:{s:s}}", "type", "af-xdp", "version", "1.1.0",
                                  "af-xdp", "path", path);
    return dmm_uplink_report_pod(job, made, err);
}

static int apply(const struct dmm_link_job *job, const json_t *plan_json,
                 struct dmm_link_made *made, struct dmm_err *err)
{
    const struct afxdp_conf *conf = job->conf;
    const char *host = dmm_link_plan_text(plan_json, "host", err);
    const char *path = dmm_link_plan_text(plan_json, "pin", err);
    const struct dmm_uplink_end end = {
        .name = job->ifname, .mac = job->mac, .queues = (unsigned)conf->queues};
    if (!host || !path)
        return -EINVAL;
    int rc = dmm_xdp_check_fs(conf->bpffs, err);
    if (rc)
        return rc;
    int map __attribute__((cleanup(dmm_close))) = dmm_xdp_make_map((unsigned)conf->queues, err);
    if (map < 0)
        return map;
    rc = dmm_uplink_apply(job, plan_json, &end, made, err);
    if (!rc)
        rc = no_checksum_offload(host, err);
    if (!rc)
        rc = attach(job, map, err);
    if (!rc)
        rc = pin_map(map, path, &job->owner, err);
    if (!rc)
        rc = dmm_podend_up(job->netns_fd, job->ifname, err);
    return rc ? rc : report(job, path, made, err);
}

static int check(const struct dmm_link_job *job, const json_t *plan_json, struct dmm_err *err)
{
    const struct afxdp_conf *conf = job->conf;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    bool attached = false;
    const char *path = dmm_link_plan_text(plan_json, "pin", err);
    if (!path)
        return -EINVAL;
    int rc = dmm_uplink_check(job, plan_json, err);
    if (!rc)
        rc = dmm_podend_check(job, conf->uplink.mtu, err);
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

static int undo(const struct dmm_link_grave *grave, const json_t *plan_json, struct dmm_err *err)
{
    char dir[PATH_MAX];
    const char *path = dmm_link_plan_text(plan_json, "pin", err);
    if (!path || *path != '/' || strlen(path) >= sizeof(dir))
        return dmm_err_set(err, EINVAL, "record: link.pin: not a path");
    if (unlink(path) && errno != ENOENT && errno != ENOTDIR)
        return dmm_err_set(err, errno, "remove %s: %s", path, strerror(errno));
    strcpy(dir, path); /* NOLINT: checked */
    *strrchr(dir, '/') = '\0';
    if (rmdir(dir) && errno != ENOENT && errno != ENOTEMPTY && errno != ENOTDIR)
        return dmm_err_set(err, errno, "remove %s: %s", dir, strerror(errno));
    return dmm_uplink_undo(grave, plan_json, err);
}

static int status(const void *conf, struct dmm_err *err)
{
    const struct afxdp_conf *afxdp = conf;
    int rc = dmm_xdp_check_fs(afxdp->bpffs, err);
    return rc ? rc : dmm_uplink_status(&afxdp->uplink, err);
}

const struct dmm_link_ops dmm_link_afxdp = {
    .kind = "afxdp",
    .keys = keys,
    .conf_size = sizeof(struct afxdp_conf),
    .defaults = defaults,
    .validate = validate,
    .plan = plan,
    .apply = apply,
    .addressed = dmm_uplink_addressed,
    .check = check,
    .undo = undo,
    .status = status,
};
