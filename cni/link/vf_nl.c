/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/vf_nl.h"

#include "cni/link/xdp.h"
#include "cni/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <stdio.h>
#include <string.h>

#ifndef IFLA_PARENT_DEV_NAME /* Linux 5.14 */
#define IFLA_PARENT_DEV_NAME 56
#endif

/* ---- messages ---- */

static void msg_free(struct nl_msg **msg)
{
    if (*msg)
        nlmsg_free(*msg);
}

static struct nl_msg *new_msg(int type, int flags, int ifindex)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = ifindex};
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
    if (msg && !nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO))
        return msg;
    msg_free(&msg);
    return NULL;
}

/* Sends it and waits for the kernel's word; `msg` is freed. */
static int send_msg(struct nl_sock *sock, struct nl_msg *msg, struct dmm_err *err)
{
    int rc = msg ? nl_send_sync(sock, msg) : -NLE_NOMEM;
    return rc ? dmm_err_set(err, dmm_nl_errno(rc), "%s", nl_geterror(rc)) : 0;
}

/* ---- attributes of VFs ---- */

struct get {
    uint32_t vf;
    bool found;
    struct dmm_vf_attrs *attrs;
};

/* An attribute of at least `size` bytes that is about the VF (each begins with its number). */
static const void *about(struct nlattr *const tb[], int type, size_t size, uint32_t vf)
{
    uint32_t number;
    if (!tb[type] || (size_t)nla_len(tb[type]) < size)
        return NULL;
    memcpy(&number, nla_data(tb[type]), sizeof(number));
    return number == vf ? nla_data(tb[type]) : NULL;
}

/* Drivers that can't tell say -1 for what is on or off. */
static void read_switches(struct dmm_vf_attrs *attrs, struct nlattr *const tb[], uint32_t vf)
{
    struct ifla_vf_spoofchk spoofchk;
    struct ifla_vf_trust trust;
    const void *data = about(tb, IFLA_VF_SPOOFCHK, sizeof(spoofchk), vf);
    if (data) {
        memcpy(&spoofchk, data, sizeof(spoofchk));
        attrs->spoofchk = spoofchk.setting == 1;
        attrs->has |= spoofchk.setting <= 1 ? 1u << DMM_VF_SPOOFCHK : 0;
    }
    data = about(tb, IFLA_VF_TRUST, sizeof(trust), vf);
    if (data) {
        memcpy(&trust, data, sizeof(trust));
        attrs->trust = trust.setting == 1;
        attrs->has |= trust.setting <= 1 ? 1u << DMM_VF_TRUST : 0;
    }
}

static void read_vlan(struct dmm_vf_attrs *attrs, struct nlattr *const tb[], uint32_t vf)
{
    struct ifla_vf_vlan vlan;
    struct ifla_vf_vlan_info info;
    const void *data = about(tb, IFLA_VF_VLAN, sizeof(vlan), vf);
    if (!data)
        return;
    memcpy(&vlan, data, sizeof(vlan));
    attrs->vlan = vlan.vlan;
    attrs->qos = vlan.qos;
    attrs->proto = ETH_P_8021Q;
    attrs->has |= 1u << DMM_VF_VLAN;
    const struct nlattr *list = tb[IFLA_VF_VLAN_LIST];
    const struct nlattr *first = list && nla_len(list) > 0 ? nla_data(list) : NULL;
    if (!first || !nla_ok(first, nla_len(list)) || (size_t)nla_len(first) < sizeof(info))
        return;
    memcpy(&info, nla_data(first), sizeof(info));
    if (info.vlan_proto)
        attrs->proto = ntohs(info.vlan_proto);
}

static void read_rest(struct dmm_vf_attrs *attrs, struct nlattr *const tb[], uint32_t vf)
{
    struct ifla_vf_mac mac;
    struct ifla_vf_rate rate;
    struct ifla_vf_link_state state;
    const void *data = about(tb, IFLA_VF_MAC, sizeof(mac), vf);
    if (data) {
        memcpy(&mac, data, sizeof(mac));
        memcpy(attrs->mac, mac.mac, sizeof(attrs->mac));
        attrs->has |= 1u << DMM_VF_MAC;
    }
    data = about(tb, IFLA_VF_RATE, sizeof(rate), vf);
    if (data) {
        memcpy(&rate, data, sizeof(rate));
        attrs->min_tx_rate = rate.min_tx_rate;
        attrs->max_tx_rate = rate.max_tx_rate;
        attrs->has |= 1u << DMM_VF_RATE;
    }
    data = about(tb, IFLA_VF_LINK_STATE, sizeof(state), vf);
    if (data) {
        memcpy(&state, data, sizeof(state));
        attrs->link_state = state.link_state;
        attrs->has |= 1u << DMM_VF_LINK_STATE;
    }
}

static int on_vfs(struct nl_msg *msg, void *arg)
{
    struct get *get = arg;
    struct nlattr *list =
        nlmsg_find_attr(nlmsg_hdr(msg), sizeof(struct ifinfomsg), IFLA_VFINFO_LIST);
    struct nlattr *item;
    int left;
    if (!list)
        return NL_OK;
    nla_for_each_nested(item, list, left)
    {
        struct nlattr *tb[IFLA_VF_MAX + 1];
        struct ifla_vf_mac mac;
        if (nla_type(item) != IFLA_VF_INFO || nla_parse_nested(tb, IFLA_VF_MAX, item, NULL) ||
            !about(tb, IFLA_VF_MAC, sizeof(mac), get->vf))
            continue;
        get->found = true;
        read_rest(get->attrs, tb, get->vf);
        read_vlan(get->attrs, tb, get->vf);
        read_switches(get->attrs, tb, get->vf);
    }
    return NL_OK;
}

static int vf_get(void *arg, int vf, struct dmm_vf_attrs *attrs, struct dmm_err *err)
{
    struct dmm_vf_nl *nic = arg;
    struct get get = {.vf = (uint32_t)vf, .attrs = attrs};
    memset(attrs, 0, sizeof(*attrs));
    struct nl_msg *msg = new_msg(RTM_GETLINK, 0, nic->pf);
    if (msg)
        nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_VF);
    int rc = dmm_nl_ask(nic->sock, msg, on_vfs, &get, err);
    if (rc)
        return dmm_err_prefix(err, "look at VF %d", vf);
    return get.found ? 0
                     : dmm_err_set(err, ENODEV, "look at VF %d: the PF tells nothing of it", vf);
}

static int put_vlan(struct nl_msg *msg, uint32_t vf, const struct dmm_vf_attrs *to)
{
    const struct ifla_vf_vlan_info info = {.vf = vf,
                                           .vlan = to->vlan,
                                           .qos = to->qos,
                                           .vlan_proto =
                                               htons(to->proto ? to->proto : ETH_P_8021Q)};
    struct nlattr *list = nla_nest_start(msg, IFLA_VF_VLAN_LIST);
    int rc = list ? nla_put(msg, IFLA_VF_VLAN_INFO, sizeof(info), &info) : -NLE_NOMEM;
    if (list)
        nla_nest_end(msg, list);
    return rc;
}

static int put_attr(struct nl_msg *msg, uint32_t vf, enum dmm_vf_attr attr,
                    const struct dmm_vf_attrs *to)
{
    struct ifla_vf_mac mac = {.vf = vf};
    const struct ifla_vf_rate rate = {vf, to->min_tx_rate, to->max_tx_rate};
    const struct ifla_vf_spoofchk spoofchk = {vf, to->spoofchk};
    const struct ifla_vf_trust trust = {vf, to->trust};
    const struct ifla_vf_link_state state = {vf, to->link_state};
    switch (attr) {
    case DMM_VF_LINK_STATE:
        return nla_put(msg, IFLA_VF_LINK_STATE, sizeof(state), &state);
    case DMM_VF_RATE:
        return nla_put(msg, IFLA_VF_RATE, sizeof(rate), &rate);
    case DMM_VF_VLAN:
        return put_vlan(msg, vf, to);
    case DMM_VF_SPOOFCHK:
        return nla_put(msg, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
    case DMM_VF_TRUST:
        return nla_put(msg, IFLA_VF_TRUST, sizeof(trust), &trust);
    case DMM_VF_MAC:
        memcpy(mac.mac, to->mac, sizeof(to->mac));
        return nla_put(msg, IFLA_VF_MAC, sizeof(mac), &mac);
    case DMM_VF_ATTRS:
        break;
    }
    return -NLE_INVAL;
}

static int vf_set(void *arg, int vf, enum dmm_vf_attr attr, const struct dmm_vf_attrs *to,
                  struct dmm_err *err)
{
    struct dmm_vf_nl *nic = arg;
    struct nl_msg *msg = new_msg(RTM_SETLINK, 0, nic->pf);
    struct nlattr *list = msg ? nla_nest_start(msg, IFLA_VFINFO_LIST) : NULL;
    struct nlattr *info = list ? nla_nest_start(msg, IFLA_VF_INFO) : NULL;
    if (!info || put_attr(msg, (uint32_t)vf, attr, to)) {
        msg_free(&msg);
        return dmm_err_set(err, ENOMEM, "netlink: out of memory");
    }
    nla_nest_end(msg, info);
    nla_nest_end(msg, list);
    return send_msg(nic->sock, msg, err);
}

const struct dmm_vf_ops dmm_vf_nl_ops = {.get = vf_get, .set = vf_set};

/* ---- interfaces ---- */

struct find {
    int attr; /* IFLA_... */
    const char *text;
    int ifindex;
};

static int on_link(struct nl_msg *msg, void *arg)
{
    struct find *find = arg;
    const struct ifinfomsg *info = nlmsg_data(nlmsg_hdr(msg));
    struct nlattr *attr = nlmsg_find_attr(nlmsg_hdr(msg), sizeof(*info), find->attr);
    if (attr && !nla_strcmp(attr, find->text))
        find->ifindex = info->ifi_index;
    return NL_OK;
}

static int find_by(struct nl_sock *sock, int attr, const char *text, int *ifindex,
                   struct dmm_err *err)
{
    struct find find = {.attr = attr, .text = text};
    int rc;
    do {
        rc = dmm_nl_ask(sock, new_msg(RTM_GETLINK, NLM_F_DUMP, 0), on_link, &find, NULL);
    } while (rc == -EINTR && !find.ifindex);
    *ifindex = find.ifindex;
    if (!rc || find.ifindex)
        return 0;
    return dmm_err_set(err, -rc, "look for the interface of %s: %s", text, strerror(-rc));
}

int dmm_vf_nl_find(struct nl_sock *sock, const char *pci, int *ifindex, struct dmm_err *err)
{
    return find_by(sock, IFLA_PARENT_DEV_NAME, pci, ifindex, err);
}

int dmm_vf_nl_find_alias(struct nl_sock *sock, const char *alias, int *ifindex, struct dmm_err *err)
{
    return find_by(sock, IFLA_IFALIAS, alias, ifindex, err);
}

int dmm_vf_nl_move(struct nl_sock *sock, int ifindex, int netns_fd, const char *name,
                   struct dmm_err *err)
{
    struct nl_msg *msg = new_msg(RTM_SETLINK, 0, ifindex);
    if (msg && (nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)netns_fd) ||
                nla_put_string(msg, IFLA_IFNAME, name)))
        msg_free(&msg), msg = NULL;
    return send_msg(sock, msg, err) ? dmm_err_prefix(err, "move an interface to %s", name) : 0;
}

int dmm_vf_nl_look(struct nl_sock *sock, const char *ifname, struct dmm_vf_nl_dev *dev,
                   struct dmm_err *err)
{
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_link_get(sock, ifname, &link, err);
    if (rc)
        return rc;
    const struct nl_addr *addr = rtnl_link_get_addr(link);
    memset(dev, 0, sizeof(*dev));
    snprintf(dev->name, sizeof(dev->name), "%s", ifname);
    dev->ifindex = rtnl_link_get_ifindex(link);
    dev->mtu = rtnl_link_get_mtu(link);
    dev->up = rtnl_link_get_flags(link) & IFF_UP;
    dev->taken = rtnl_link_get_master(link) != 0;
    if (addr && nl_addr_get_len(addr) == sizeof(dev->mac))
        memcpy(dev->mac, nl_addr_get_binary_addr(addr), sizeof(dev->mac));
    return dmm_channels_get(ifname, &dev->channels, err);
}

int dmm_vf_nl_unused(struct nl_sock *sock, const struct dmm_vf_nl_dev *dev, struct dmm_err *err)
{
    bool program = false;
    int rc = dmm_xdp_attached(sock, dev->name, &program, err);
    if (!rc && (dev->taken || program || dmm_nl_has_address(dev->name)))
        rc = dmm_err_set(err, EBUSY, "interface %s is in use on the node: it has %s", dev->name,
                         dev->taken ? "a master"
                         : program  ? "an XDP program"
                                    : "an address");
    return rc;
}

/* One change of an interface that is down. */
static int change(struct nl_sock *sock, int ifindex, unsigned flags, unsigned mask, int type,
                  const void *data, int len, struct dmm_err *err)
{
    const struct ifinfomsg info = {
        .ifi_family = AF_UNSPEC, .ifi_index = ifindex, .ifi_flags = flags, .ifi_change = mask};
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_SETLINK, 0);
    if (msg && (nlmsg_append(msg, (void *)&info, sizeof(info), NLMSG_ALIGNTO) ||
                (data && nla_put(msg, type, len, data))))
        msg_free(&msg), msg = NULL;
    return send_msg(sock, msg, err);
}

int dmm_vf_nl_down(struct nl_sock *sock, int ifindex, struct dmm_err *err)
{
    int rc = change(sock, ifindex, 0, IFF_UP, 0, NULL, 0, err);
    return rc ? dmm_err_prefix(err, "take the interface down") : 0;
}

int dmm_vf_nl_set_mac(struct nl_sock *sock, int ifindex, const uint8_t mac[6], struct dmm_err *err)
{
    /* Down first: many drivers want that, and flags come last within one message. */
    int rc = dmm_vf_nl_down(sock, ifindex, err);
    if (!rc)
        rc = change(sock, ifindex, 0, 0, IFLA_ADDRESS, mac, 6, err);
    return rc ? dmm_err_prefix(err, "set the interface's address") : 0;
}

int dmm_vf_nl_set_mtu(struct nl_sock *sock, int ifindex, unsigned mtu, struct dmm_err *err)
{
    uint32_t value = mtu;
    int rc = change(sock, ifindex, 0, 0, IFLA_MTU, &value, sizeof(value), err);
    return rc ? dmm_err_prefix(err, "link.mtu: %u: the interface refuses it", mtu) : 0;
}

int dmm_vf_nl_set_alias(struct nl_sock *sock, int ifindex, const char *alias, struct dmm_err *err)
{
    int rc = change(sock, ifindex, 0, 0, IFLA_IFALIAS, alias, (int)strlen(alias), err);
    return rc ? dmm_err_prefix(err, "set the interface's alias") : 0;
}

int dmm_vf_nl_restore(struct nl_sock *sock, int ifindex, const struct dmm_vf_nl_dev *to,
                      struct dmm_err *err)
{
    const uint32_t mtu = to->mtu;
    int rc = change(sock, ifindex, 0, IFF_UP | IFF_NOARP, 0, NULL, 0, err);
    if (!rc)
        rc = change(sock, ifindex, 0, 0, IFLA_IFNAME, to->name, (int)strlen(to->name) + 1, err);
    if (!rc) /* before the MTU, which a program may limit */
        rc = dmm_xdp_detach(sock, to->name, err);
    if (!rc && (to->channels.rx || to->channels.combined))
        rc = dmm_channels_set(to->name, &to->channels, err);
    if (!rc && mtu)
        rc = change(sock, ifindex, 0, 0, IFLA_MTU, &mtu, sizeof(mtu), err);
    if (!rc && to->up)
        rc = change(sock, ifindex, IFF_UP, IFF_UP, 0, NULL, 0, err);
    return rc ? dmm_err_prefix(err, "put interface %s back", to->name) : 0;
}
