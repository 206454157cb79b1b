/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap: a TAP device in the pod's namespace, which belongs to the sidecar's user, so that a sidecar
 * without any capability opens it; and a veth pair to the node, which is joined with it as if by a
 * wire (cni/link/redirect.h).
 *
 *   sidecar -- /dev/net/tun -- [ net1 =tc= dmm… ] -- pod's namespace
 *                                          |
 *                                        dmm…  -- node: a bridge's port, or routed
 *
 * Whoever opens /dev/net/tun reaches the devices of its own namespace only, by name. So the device
 * has to be in the pod, and then its other side, which is what the kernel there sees, needs a way
 * out. Why not a bridge in the pod: it would take the frames for the device's own address itself,
 * learn addresses and flood. Why not macvtap: its character device has a number that changes, which
 * no container may open that was not told before.
 *
 * The device is made under a name that only we use and gets its own together with its address in
 * one request. So what undo() finds is ours: under the first name, or with the plan's address.
 */
#include "cni/file.h"
#include "cni/link/podend.h"
#include "cni/link/redirect.h"
#include "cni/link/uplink.h"
#include "cni/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICE "/dev/net/tun"

struct tap_conf {
    struct dmm_uplink_conf uplink;
    int vhost_net; /* enum dmm_port_vhost_net */
};

static const char *const vhost_words[] = {"off", "auto", "on", NULL};

static const struct dmm_key keys[] = {
    DMM_UPLINK_KEYS(65521), /* a TAP device's limit */
    {"vhostNet", DMM_KEY_WORD, offsetof(struct tap_conf, vhost_net), 0, 0, vhost_words},
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

static void defaults(void *conf)
{
    *(struct tap_conf *)conf =
        (struct tap_conf){.uplink = DMM_UPLINK_DEFAULTS, .vhost_net = DMM_VHOST_NET_OFF};
}

static int validate(const void *conf, struct dmm_err *err)
{
    const struct tap_conf *tap = conf;
    return dmm_uplink_validate(&tap->uplink, err);
}

/* What is asked for without condition has to be on the node; the container is the sidecar's to see.
 */
static int check_vhost_net(const struct tap_conf *conf, struct dmm_err *err)
{
    if (conf->vhost_net == DMM_VHOST_NET_ON && access(DMM_VHOST_NET_DEVICE, F_OK))
        return dmm_err_set(err, errno, "link.vhostNet: " DMM_VHOST_NET_DEVICE ": %s",
                           strerror(errno));
    return 0;
}

static int plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    char mac[DMM_MAC_STRLEN];
    int rc = job->netns_fd < 0 ? 0 : check_vhost_net(job->conf, err); /* not for DEL */
    if (rc)
        return rc;
    if (json_object_set_new(into, "mac", json_string(dmm_mac_format(job->mac, mac))))
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    return dmm_uplink_plan(job, into, err);
}

/* The device's name until it is finished; the plan's host name has at most 14 bytes. */
static void first_name(char name[IFNAMSIZ], const char *host)
{
    snprintf(name, IFNAMSIZ, "%.14st", host);
}

/* ---- the device; all of this in the pod's namespace ---- */

static int ioctl_failed(struct dmm_err *err, const char *what)
{
    return dmm_err_set(err, errno, "TAP device: %s: %s", what, strerror(errno));
}

/* Flags as the port's (sidecar/port/tap.c) must be: it attaches by name. */
static int make_device(const char *name, const struct dmm_owner *owner, struct dmm_err *err)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL};
    memcpy(ifr.ifr_name, name, strlen(name) + 1);
    int fd __attribute__((cleanup(dmm_close))) = open(DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return dmm_err_set(err, errno, "%s: %s", DEVICE, strerror(errno));
    if (ioctl(fd, TUNSETIFF, &ifr))
        return ioctl_failed(err, "TUNSETIFF");
    if (ioctl(fd, TUNSETOWNER, (unsigned long)owner->uid) ||
        ioctl(fd, TUNSETGROUP, (unsigned long)owner->gid))
        return ioctl_failed(err, "owner");
    if (ioctl(fd, TUNSETPERSIST, 1UL))
        return ioctl_failed(err, "TUNSETPERSIST");
    return 0;
}

/* Name, address and MTU in one request. */
static int finish_device(struct nl_sock *sock, const struct dmm_link_job *job, const char *name,
                         struct dmm_err *err)
{
    const struct dmm_uplink_conf *conf = job->conf;
    struct rtnl_link *which __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    struct rtnl_link *changes __attribute__((cleanup(dmm_nl_link_put))) = dmm_nl_link_new(err);
    if (!changes)
        return -ENOMEM;
    int rc = dmm_nl_link_get(sock, name, &which, err);
    if (!rc)
        rc = dmm_nl_link_set_mac(changes, job->mac, err);
    if (rc)
        return rc;
    rtnl_link_set_ifindex(changes, rtnl_link_get_ifindex(which));
    rtnl_link_set_name(changes, job->ifname);
    rtnl_link_set_mtu(changes, (unsigned)conf->mtu);
    return dmm_nl_link_change(sock, which, changes, err);
}

static int make_in_pod(const struct dmm_link_job *job, const char *host, struct dmm_err *err)
{
    char name[IFNAMSIZ];
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    first_name(name, host);
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_nl_link_del(sock, name, err); /* an orphan of ours */
    if (!rc)
        rc = make_device(name, &job->owner, err);
    if (!rc)
        rc = finish_device(sock, job, name, err);
    if (rc == -EEXIST)
        return dmm_err_set(err, EEXIST, "the pod has an interface %s already", job->ifname);
    return rc ? rc : dmm_redirect_join(sock, job->ifname, host, err);
}

static int apply(const struct dmm_link_job *job, const json_t *plan_json,
                 struct dmm_link_made *made, struct dmm_err *err)
{
    int back;
    uint8_t mac[6];
    const char *host = dmm_link_plan_text(plan_json, "host", err);
    const struct dmm_uplink_end end = {.name = host, .mac = mac};
    if (!host)
        return -EINVAL;
    const struct tap_conf *conf = job->conf;
    made->port.kind = DMM_PORT_TAP;
    made->port.vhost_net = (enum dmm_port_vhost_net)conf->vhost_net;
    dmm_link_stable_mac(mac, job->network, job->container_id, job->ifname, "wire");
    int rc = dmm_uplink_apply(job, plan_json, &end, made, err);
    if (!rc)
        rc = dmm_netns_enter(job->netns_fd, &back, err);
    if (rc)
        return rc;
    rc = make_in_pod(job, host, err);
    dmm_netns_leave(back);
    if (!rc)
        rc = dmm_podend_up(job->netns_fd, host, err);
    if (!rc)
        rc = dmm_podend_up(job->netns_fd, job->ifname, err);
    return rc ? rc : dmm_uplink_report_pod(job, made, err);
}

static int check(const struct dmm_link_job *job, const json_t *plan_json, struct dmm_err *err)
{
    const struct dmm_uplink_conf *conf = job->conf;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_uplink_check(job, plan_json, err);
    if (!rc)
        rc = dmm_podend_check(job, conf->mtu, err);
    if (!rc)
        rc = dmm_nl_open(&sock, job->netns_fd, err);
    if (rc)
        return rc;
    rc = dmm_redirect_check(sock, job->ifname, dmm_link_plan_text(plan_json, "host", err), err);
    return rc ? dmm_err_prefix(err, "in the pod") : 0;
}

/* Ours by its address: a TAP device that the pod made itself under that name stays. */
static int remove_finished(struct nl_sock *sock, const char *ifname, const char *mac,
                           struct dmm_err *err)
{
    char is[DMM_MAC_STRLEN] = "";
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_link_get(sock, ifname, &link, err);
    if (rc)
        return rc == -ENODEV ? 0 : rc;
    const char *type = rtnl_link_get_type(link);
    const struct nl_addr *addr = rtnl_link_get_addr(link);
    if (addr && nl_addr_get_len(addr) == 6)
        dmm_mac_format(nl_addr_get_binary_addr(addr), is);
    if (!type || strcmp(type, "tun") != 0 || strcmp(is, mac) != 0)
        return 0;
    return dmm_nl_link_del(sock, ifname, err);
}

static int undo(const struct dmm_link_grave *grave, const json_t *plan_json, struct dmm_err *err)
{
    char name[IFNAMSIZ];
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    const char *host = dmm_link_plan_text(plan_json, "host", err);
    const char *mac = dmm_link_plan_text(plan_json, "mac", err);
    if (!host || !mac)
        return -EINVAL;
    first_name(name, host);
    int rc = grave->netns_fd < 0 ? 0 : dmm_nl_open(&sock, grave->netns_fd, err);
    if (!rc && sock)
        rc = dmm_nl_link_del(sock, name, err);
    if (!rc && sock)
        rc = remove_finished(sock, grave->ifname, mac, err);
    return rc ? rc : dmm_uplink_undo(grave, plan_json, err);
}

static int status(const void *conf, struct dmm_err *err)
{
    if (access(DEVICE, R_OK | W_OK))
        return dmm_err_set(err, errno, "%s: %s", DEVICE, strerror(errno));
    const struct tap_conf *tap = conf;
    int rc = check_vhost_net(tap, err);
    return rc ? rc : dmm_uplink_status(&tap->uplink, err);
}

const struct dmm_link_ops dmm_link_tap = {
    .kind = "tap",
    .keys = keys,
    .conf_size = sizeof(struct tap_conf),
    .by_name = true,
    .defaults = defaults,
    .validate = validate,
    .plan = plan,
    .apply = apply,
    .addressed = dmm_uplink_addressed,
    .check = check,
    .undo = undo,
    .status = status,
};
