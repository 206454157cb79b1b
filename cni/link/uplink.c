/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/uplink.h"

#include "cni/env.h"
#include "cni/file.h"
#include "cni/link/bridge.h"
#include "cni/link/routed.h"
#include "cni/result.h"

#include <errno.h>
#include <net/if.h>
#include <netlink/route/link/veth.h>
#include <string.h>

#define BRIDGE_DEFAULT "dmm0"

static const struct dmm_uplink_conf *conf_of(const struct dmm_link_job *job)
{
    return job->conf; /* the first member of the kind's own */
}

static const char *bridge_of(const struct dmm_uplink_conf *conf)
{
    if (conf->routed)
        return NULL;
    return conf->bridge ? conf->bridge : BRIDGE_DEFAULT;
}

int dmm_uplink_validate(const struct dmm_uplink_conf *conf, struct dmm_err *err)
{
    if (conf->routed && conf->bridge)
        return dmm_err_set(err, EINVAL, "link.routed: contradicts link.bridge: one of them");
    if (conf->bridge && !dmm_cni_ifname_valid(conf->bridge))
        return dmm_err_set(err, EINVAL, "link.bridge: \"%s\" is not an interface name",
                           conf->bridge);
    if (conf->routed && conf->mtu < DMM_ROUTED_MTU_MIN)
        return dmm_err_set(err, EINVAL, "link.mtu: routed, it is at least %d", DMM_ROUTED_MTU_MIN);
    return 0;
}

int dmm_uplink_plan(const struct dmm_link_job *job, json_t *plan, struct dmm_err *err)
{
    const char *bridge = bridge_of(conf_of(job));
    char host[IFNAMSIZ];
    dmm_link_host_name(host, job);
    if (json_object_set_new(plan, "host", json_string(host)) ||
        (bridge && json_object_set_new(plan, "bridge", json_string(bridge))))
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    return 0;
}

/* What a pair is made of. */
struct pair {
    const struct dmm_link_job *job;
    const char *host;
    uint8_t host_mac[6];
    const struct dmm_uplink_end *end;
    int bridge; /* 0: none */
};

/* In one message: both ends named, addressed and in their places, the node's end up. */
static int make_pair(struct nl_sock *sock, const struct pair *pair, struct dmm_err *err)
{
    const unsigned mtu = (unsigned)conf_of(pair->job)->mtu;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = rtnl_link_veth_alloc();
    struct rtnl_link *peer __attribute__((cleanup(dmm_nl_link_put))) =
        link ? rtnl_link_veth_get_peer(link) : NULL;
    if (!peer)
        return dmm_err_set(err, ENOMEM, "netlink: out of memory");
    rtnl_link_set_name(link, pair->host);
    rtnl_link_set_mtu(link, mtu);
    if (pair->bridge)
        rtnl_link_set_master(link, pair->bridge);
    rtnl_link_set_flags(link, IFF_UP);
    if (pair->end->queues) {
        rtnl_link_set_num_tx_queues(link, pair->end->queues);
        rtnl_link_set_num_rx_queues(link, pair->end->queues);
        rtnl_link_set_num_tx_queues(peer, pair->end->queues);
        rtnl_link_set_num_rx_queues(peer, pair->end->queues);
    }
    rtnl_link_set_name(peer, pair->end->name);
    rtnl_link_set_mtu(peer, mtu);
    rtnl_link_set_ns_fd(peer, pair->job->netns_fd);
    rtnl_link_set_flags(peer, IFF_NOARP);
    int rc = dmm_nl_link_set_mac(link, pair->host_mac, err);
    if (!rc)
        rc = dmm_nl_link_set_mac(peer, pair->end->mac, err);
    return rc ? rc : dmm_nl_link_add(sock, link, err);
}

/* A name that is taken is either an orphan of ours, whose record was lost, or in the pod. */
static int make_pair_anew(struct nl_sock *sock, const struct pair *pair, struct dmm_err *err)
{
    int rc = make_pair(sock, pair, err);
    if (rc != -EEXIST)
        return rc;
    rc = dmm_nl_link_del(sock, pair->host, err);
    if (!rc)
        rc = make_pair(sock, pair, err);
    if (rc == -EEXIST)
        dmm_err_set(err, EEXIST, "the pod has an interface %s already", pair->end->name);
    return rc;
}

static int make_bridged(struct nl_sock *sock, const char *bridge, struct pair *pair,
                        uint8_t bridge_mac[6], struct dmm_err *err)
{
    const struct dmm_link_job *job = pair->job;
    int lock __attribute__((cleanup(dmm_close))) = dmm_bridge_lock(job->lock_dir, bridge, err);
    if (lock < 0)
        return lock;
    int rc = dmm_bridge_ensure(lock, sock, bridge, (unsigned)conf_of(job)->mtu, &pair->bridge,
                               bridge_mac, err);
    return rc ? rc : make_pair_anew(sock, pair, err);
}

static int add_interface(struct dmm_link_made *made, const char *name, const uint8_t mac[6],
                         const char *netns, unsigned mtu, struct dmm_err *err)
{
    char text[DMM_MAC_STRLEN];
    if (json_array_append_new(
            made->interfaces,
            dmm_result_interface(name, dmm_mac_format(mac, text), netns, mtu, NULL)))
        return dmm_err_set(err, ENOMEM, "result: out of memory");
    return 0;
}

int dmm_uplink_apply(const struct dmm_link_job *job, const json_t *plan,
                     const struct dmm_uplink_end *end, struct dmm_link_made *made,
                     struct dmm_err *err)
{
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct pair pair = {.job = job, .end = end};
    const char *bridge = bridge_of(conf_of(job));
    uint8_t bridge_mac[6];
    pair.host = dmm_link_plan_text(plan, "host", err);
    if (!pair.host)
        return -EINVAL;
    dmm_link_stable_mac(pair.host_mac, job->network, job->container_id, job->ifname, "host");
    int rc = dmm_nl_open(&sock, -1, err);
    if (rc)
        return rc;
    rc = bridge ? make_bridged(sock, bridge, &pair, bridge_mac, err)
                : make_pair_anew(sock, &pair, err);
    if (!rc && bridge)
        rc = add_interface(made, bridge, bridge_mac, NULL, 0, err);
    return rc ? rc
              : add_interface(made, pair.host, pair.host_mac, NULL, (unsigned)conf_of(job)->mtu,
                              err);
}

int dmm_uplink_report_pod(const struct dmm_link_job *job, struct dmm_link_made *made,
                          struct dmm_err *err)
{
    const unsigned mtu = (unsigned)conf_of(job)->mtu;
    memcpy(made->port.mac, job->mac, 6);
    made->port.mtu = mtu;
    made->pod_interface = (int)json_array_size(made->interfaces);
    return add_interface(made, job->ifname, job->mac, job->netns, mtu, err);
}

int dmm_uplink_addressed(const struct dmm_link_job *job, const json_t *plan,
                         struct dmm_result *result, struct dmm_err *err)
{
    const char *host = dmm_link_plan_text(plan, "host", err);
    if (!conf_of(job)->routed)
        return 0;
    return host ? dmm_routed_join(host, result, err) : -EINVAL;
}

static int check_bridged(struct nl_sock *sock, const struct rtnl_link *host, const char *bridge,
                         struct dmm_err *err)
{
    struct rtnl_link *master __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_link_get(sock, bridge, &master, err);
    if (!rc && rtnl_link_get_master((struct rtnl_link *)host) != rtnl_link_get_ifindex(master))
        rc = dmm_err_set(err, EINVAL, "interface %s: is not a port of bridge %s",
                         rtnl_link_get_name((struct rtnl_link *)host), bridge);
    return rc;
}

int dmm_uplink_check(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err)
{
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    const char *bridge = json_string_value(json_object_get(plan, "bridge"));
    const char *host = dmm_link_plan_text(plan, "host", err);
    if (!host)
        return -EINVAL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, host, &link, err);
    if (!rc && bridge)
        rc = check_bridged(sock, link, bridge, err);
    if (!rc && !(rtnl_link_get_flags(link) & IFF_UP))
        rc = dmm_err_set(err, ENETDOWN, "interface %s: is down", host);
    if (!rc && !bridge && job->port)
        rc = dmm_routed_check(sock, rtnl_link_get_ifindex(link), host, job->port, err);
    return rc;
}

/* Where it is the bridge's last port, they go together. */
static int remove_last(struct nl_sock *sock, const struct dmm_link_grave *grave, const char *bridge,
                       const char *host, bool *gone, struct dmm_err *err)
{
    int lock __attribute__((cleanup(dmm_close))) = dmm_bridge_lock(grave->lock_dir, bridge, err);
    if (lock < 0)
        return lock == -ENOENT ? 0 : lock;
    return dmm_bridge_remove_with(lock, grave->lock_dir, sock, bridge, host, gone, err);
}

int dmm_uplink_undo(const struct dmm_link_grave *grave, const json_t *plan, struct dmm_err *err)
{
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    const char *host = dmm_link_plan_text(plan, "host", err);
    const char *bridge = json_string_value(json_object_get(plan, "bridge"));
    bool gone = false;
    if (!host)
        return -EINVAL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc && bridge)
        rc = remove_last(sock, grave, bridge, host, &gone, err);
    if (!rc && !gone)
        rc = dmm_nl_link_del(sock, host, err);
    if (rc || gone || !bridge)
        return rc;
    /* Another that went meanwhile may have left it to us. */
    int lock __attribute__((cleanup(dmm_close))) = dmm_bridge_lock(grave->lock_dir, bridge, err);
    if (lock < 0)
        return lock == -ENOENT ? 0 : lock;
    return dmm_bridge_release(lock, grave->lock_dir, sock, bridge, err);
}

int dmm_uplink_status(const struct dmm_uplink_conf *conf, struct dmm_err *err)
{
    const char *bridge = bridge_of(conf);
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    if (!bridge)
        return dmm_routed_forwards(AF_INET, err);
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, bridge, &link, err);
    if (rc)
        return rc == -ENODEV ? 0 : rc; /* it will be made */
    const char *type = rtnl_link_get_type(link);
    if (!type || strcmp(type, "bridge") != 0)
        return dmm_err_set(err, EINVAL, "link.bridge: interface %s is not a bridge", bridge);
    if (!(rtnl_link_get_flags(link) & IFF_UP))
        return dmm_err_set(err, ENETDOWN, "link.bridge: bridge %s is down", bridge);
    return 0;
}
