/* SPDX-License-Identifier: Apache-2.0 */
/*
 * veth: a pair, its node end a port of a Linux bridge, its pod end for a packet socket of the
 * sidecar.
 *
 * The kernel in the pod must not act for the address that the stack owns: it gets no address, IPv6
 * is off, ARP is off (else it would answer for addresses of its other interfaces), and it does not
 * forward what it finds to be for someone else (else it would, on a node that forwards, send the
 * stack's packets out again by eth0).
 */
#include "cni/env.h"
#include "cni/file.h"
#include "cni/link/bridge.h"
#include "cni/link/link.h"
#include "cni/netns.h"
#include "cni/nl.h"
#include "cni/result.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <net/if.h>
#include <netlink/route/link/inet.h>
#include <netlink/route/link/veth.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct veth_conf {
    const char *bridge;
    int64_t mtu;
};

#define AT(field) offsetof(struct veth_conf, field)

static const struct dmm_key keys[] = {
    {"type", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"bridge", DMM_KEY_TEXT, AT(bridge), 0, IFNAMSIZ - 1, NULL},
    {"mtu", DMM_KEY_NUMBER, AT(mtu), 68, 65535, NULL},
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

static void defaults(void *conf)
{
    *(struct veth_conf *)conf = (struct veth_conf){.bridge = "dmm0", .mtu = 1500};
}

static int validate(const void *conf, struct dmm_err *err)
{
    const struct veth_conf *veth = conf;
    if (!dmm_cni_ifname_valid(veth->bridge))
        return dmm_err_set(err, EINVAL, "link.bridge: \"%s\" is not an interface name",
                           veth->bridge);
    return 0;
}

static int plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    const struct veth_conf *veth = job->conf;
    char host[IFNAMSIZ];
    dmm_link_host_name(host, job);
    if (json_object_set_new(into, "host", json_string(host)) ||
        json_object_set_new(into, "bridge", json_string(veth->bridge)))
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    return 0;
}

/* The pair in one message: both ends named, addressed and in their places, the node's end up. */
static int make_pair(struct nl_sock *sock, const struct dmm_link_job *job, const char *host,
                     const uint8_t host_mac[6], int bridge, struct dmm_err *err)
{
    const struct veth_conf *veth = job->conf;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = rtnl_link_veth_alloc();
    struct rtnl_link *peer __attribute__((cleanup(dmm_nl_link_put))) =
        link ? rtnl_link_veth_get_peer(link) : NULL;
    if (!peer)
        return dmm_err_set(err, ENOMEM, "netlink: out of memory");
    rtnl_link_set_name(link, host);
    rtnl_link_set_mtu(link, (unsigned)veth->mtu);
    rtnl_link_set_master(link, bridge);
    rtnl_link_set_flags(link, IFF_UP);
    rtnl_link_set_name(peer, job->ifname);
    rtnl_link_set_mtu(peer, (unsigned)veth->mtu);
    rtnl_link_set_ns_fd(peer, job->netns_fd);
    rtnl_link_set_flags(peer, IFF_NOARP);
    int rc = dmm_nl_link_set_mac(link, host_mac, err);
    if (!rc)
        rc = dmm_nl_link_set_mac(peer, job->mac, err);
    return rc ? rc : dmm_nl_link_add(sock, link, err);
}

/* A name that is taken is either an orphan of ours, whose record was lost, or in the pod. */
static int make_pair_anew(struct nl_sock *sock, const struct dmm_link_job *job, const char *host,
                          const uint8_t host_mac[6], int bridge, struct dmm_err *err)
{
    int rc = make_pair(sock, job, host, host_mac, bridge, err);
    if (rc != -EEXIST)
        return rc;
    rc = dmm_nl_link_del(sock, host, err);
    if (!rc)
        rc = make_pair(sock, job, host, host_mac, bridge, err);
    if (rc == -EEXIST)
        dmm_err_set(err, EEXIST, "the pod has an interface %s already", job->ifname);
    return rc;
}

static int no_ipv6(const char *ifname, struct dmm_err *err)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
    int fd __attribute__((cleanup(dmm_close))) = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0; /* a kernel without IPv6 */
    if (fd < 0 || write(fd, "1", 1) != 1)
        return dmm_err_set(err, errno, "%s: %s", path, strerror(errno));
    return 0;
}

static int set_up(struct nl_sock *sock, const char *ifname, struct dmm_err *err)
{
    struct rtnl_link *changes __attribute__((cleanup(dmm_nl_link_put))) = dmm_nl_link_new(err);
    if (!changes)
        return -ENOMEM;
    rtnl_link_set_flags(changes, IFF_UP | IFF_NOARP);
    rtnl_link_inet_set_conf(changes, IPV4_DEVCONF_FORWARDING, 0);
    return dmm_nl_link_set(sock, ifname, changes, err);
}

static int set_up_pod_end(const struct dmm_link_job *job, struct dmm_err *err)
{
    int back;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_netns_enter(job->netns_fd, &back, err);
    if (rc)
        return rc;
    rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = no_ipv6(job->ifname, err);
    if (!rc)
        rc = set_up(sock, job->ifname, err);
    dmm_netns_leave(back);
    return rc;
}

static int report(const struct dmm_link_job *job, const char *host, const uint8_t host_mac[6],
                  const uint8_t bridge_mac[6], struct dmm_link_made *made, struct dmm_err *err)
{
    const struct veth_conf *veth = job->conf;
    const unsigned mtu = (unsigned)veth->mtu;
    char text[DMM_MAC_STRLEN];
    struct dmm_port_config *port = &made->port;
    port->kind = DMM_PORT_PACKET;
    memcpy(port->mac, job->mac, 6);
    port->mtu = mtu;
    made->pod_interface = 2;
    if (json_array_append_new(
            made->interfaces,
            dmm_result_interface(veth->bridge, dmm_mac_format(bridge_mac, text), NULL, 0, NULL)) ||
        json_array_append_new(
            made->interfaces,
            dmm_result_interface(host, dmm_mac_format(host_mac, text), NULL, mtu, NULL)) ||
        json_array_append_new(made->interfaces,
                              dmm_result_interface(job->ifname, dmm_mac_format(job->mac, text),
                                                   job->netns, mtu, NULL)))
        return dmm_err_set(err, ENOMEM, "result: out of memory");
    return 0;
}

static int apply(const struct dmm_link_job *job, const json_t *plan_json,
                 struct dmm_link_made *made, struct dmm_err *err)
{
    const struct veth_conf *veth = job->conf;
    uint8_t bridge_mac[6];
    uint8_t host_mac[6];
    int bridge;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    const char *host = dmm_link_plan_text(plan_json, "host", err);
    if (!host)
        return -EINVAL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (rc)
        return rc;
    dmm_link_stable_mac(host_mac, job->network, job->container_id, job->ifname, "host");
    int lock __attribute__((cleanup(dmm_close))) =
        dmm_bridge_lock(job->lock_dir, veth->bridge, err);
    if (lock < 0)
        return lock;
    rc = dmm_bridge_ensure(lock, sock, veth->bridge, (unsigned)veth->mtu, &bridge, bridge_mac, err);
    if (!rc)
        rc = make_pair_anew(sock, job, host, host_mac, bridge, err);
    dmm_close(&lock);
    if (!rc)
        rc = set_up_pod_end(job, err);
    return rc ? rc : report(job, host, host_mac, bridge_mac, made, err);
}

static int check_host(struct nl_sock *sock, const char *host, const char *bridge,
                      struct dmm_err *err)
{
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    struct rtnl_link *master __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_link_get(sock, host, &link, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, bridge, &master, err);
    if (rc)
        return rc;
    if (rtnl_link_get_master(link) != rtnl_link_get_ifindex(master))
        return dmm_err_set(err, EINVAL, "interface %s: is not a port of bridge %s", host, bridge);
    if (!(rtnl_link_get_flags(link) & IFF_UP))
        return dmm_err_set(err, ENETDOWN, "interface %s: is down", host);
    return 0;
}

static int check_pod(const struct dmm_link_job *job, struct dmm_err *err)
{
    const struct veth_conf *veth = job->conf;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_open(&sock, job->netns_fd, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, job->ifname, &link, err);
    if (rc)
        return dmm_err_prefix(err, "in the pod");
    if (!(rtnl_link_get_flags(link) & IFF_UP))
        return dmm_err_set(err, ENETDOWN, "in the pod: interface %s: is down", job->ifname);
    if (rtnl_link_get_mtu(link) != (unsigned)veth->mtu)
        return dmm_err_set(err, EINVAL, "in the pod: interface %s: its MTU is %u, not %u",
                           job->ifname, rtnl_link_get_mtu(link), (unsigned)veth->mtu);
    const struct nl_addr *addr = rtnl_link_get_addr(link);
    if (!addr || nl_addr_get_len(addr) != 6 ||
        memcmp(nl_addr_get_binary_addr(addr), job->mac, 6) != 0)
        return dmm_err_set(err, EINVAL, "in the pod: interface %s: its MAC was changed",
                           job->ifname);
    return 0;
}

static int check(const struct dmm_link_job *job, const json_t *plan_json, struct dmm_err *err)
{
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    const char *host = dmm_link_plan_text(plan_json, "host", err);
    const char *bridge = dmm_link_plan_text(plan_json, "bridge", err);
    if (!host || !bridge)
        return -EINVAL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = check_host(sock, host, bridge, err);
    return rc ? rc : check_pod(job, err);
}

/* One end takes the other with it; with the pod's namespace both have gone already. */
static int undo(const struct dmm_link_grave *grave, const json_t *plan_json, struct dmm_err *err)
{
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    const char *host = dmm_link_plan_text(plan_json, "host", err);
    const char *bridge = dmm_link_plan_text(plan_json, "bridge", err);
    if (!host || !bridge)
        return -EINVAL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_nl_link_del(sock, host, err);
    if (rc)
        return rc;
    int lock __attribute__((cleanup(dmm_close))) = dmm_bridge_lock(grave->lock_dir, bridge, err);
    if (lock < 0)
        return lock == -ENOENT ? 0 : lock;
    return dmm_bridge_release(lock, grave->lock_dir, sock, bridge, err);
}

static int status(const void *conf, struct dmm_err *err)
{
    const struct veth_conf *veth = conf;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, veth->bridge, &link, err);
    if (rc)
        return rc == -ENODEV ? 0 : rc; /* it will be made */
    const char *type = rtnl_link_get_type(link);
    if (!type || strcmp(type, "bridge") != 0)
        return dmm_err_set(err, EINVAL, "link.bridge: interface %s is not a bridge", veth->bridge);
    if (!(rtnl_link_get_flags(link) & IFF_UP))
        return dmm_err_set(err, ENETDOWN, "link.bridge: bridge %s is down", veth->bridge);
    return 0;
}

const struct dmm_link_ops dmm_link_veth = {
    .kind = "veth",
    .keys = keys,
    .conf_size = sizeof(struct veth_conf),
    .by_name = true,
    .defaults = defaults,
    .validate = validate,
    .plan = plan,
    .apply = apply,
    .check = check,
    .undo = undo,
    .status = status,
};
