/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/bridge.h"

#include "cni/file.h"
#include "cni/link/link.h"
#include "cni/netns.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK_MAX 64

static void lock_name(char file[64], const char *name)
{
    snprintf(file, 64, ".bridge:%s", name);
}

int dmm_bridge_lock(const char *lock_dir, const char *name, struct dmm_err *err)
{
    char file[64];
    lock_name(file, name);
    return dmm_lock(lock_dir, file, err);
}

/* The mark is the boot id: bridges do not outlive a boot. */
static bool is_marked(int lock)
{
    char boot[DMM_BOOT_ID_LEN];
    char said[MARK_MAX] = "";
    ssize_t n = pread(lock, said, sizeof(said) - 1, 0);
    return n == DMM_BOOT_ID_LEN - 1 && !dmm_boot_id(boot, NULL) && !strcmp(said, boot);
}

static int mark(int lock, struct dmm_err *err)
{
    char boot[DMM_BOOT_ID_LEN];
    int rc = dmm_boot_id(boot, err);
    if (rc)
        return rc;
    if (ftruncate(lock, 0) || pwrite(lock, boot, sizeof(boot) - 1, 0) != sizeof(boot) - 1 ||
        fsync(lock))
        return dmm_err_set(err, errno, "mark the bridge as ours: %s", strerror(errno));
    return 0;
}

/* A fixed address: a bridge without one changes it with its ports, and with it that of a gateway.
 */
static void stable_mac(uint8_t mac[6], const char *name)
{
    dmm_link_stable_mac(mac, "", "", name, "bridge");
}

static int make(int lock, struct nl_sock *sock, const char *name, unsigned mtu, struct dmm_err *err)
{
    uint8_t mac[6];
    int rc = mark(lock, err);
    if (rc)
        return rc;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = dmm_nl_link_new(err);
    if (!link)
        return -ENOMEM;
    stable_mac(mac, name);
    if (rtnl_link_set_type(link, "bridge"))
        return dmm_err_set(err, EOPNOTSUPP, "bridge: libnl knows none");
    rtnl_link_set_name(link, name);
    rtnl_link_set_mtu(link, mtu);
    rtnl_link_set_flags(link, IFF_UP);
    rc = dmm_nl_link_set_mac(link, mac, err);
    if (!rc)
        rc = dmm_nl_link_add(sock, link, err);
    return rc == -EEXIST ? 0 : rc; /* someone else's: it is looked at next */
}

static void copy_mac(uint8_t mac[6], struct rtnl_link *link)
{
    const struct nl_addr *addr = rtnl_link_get_addr(link);
    memset(mac, 0, 6);
    if (addr && nl_addr_get_len(addr) == 6)
        memcpy(mac, nl_addr_get_binary_addr(addr), 6);
}

int dmm_bridge_ensure(int lock, struct nl_sock *sock, const char *name, unsigned mtu, int *ifindex,
                      uint8_t mac[6], struct dmm_err *err)
{
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_link_get(sock, name, &link, err);
    if (rc == -ENODEV) {
        rc = make(lock, sock, name, mtu, err);
        if (!rc)
            rc = dmm_nl_link_get(sock, name, &link, err);
    }
    if (rc)
        return rc;
    const char *type = rtnl_link_get_type(link);
    if (!type || strcmp(type, "bridge") != 0)
        return dmm_err_set(err, EINVAL, "link.bridge: interface %s is not a bridge", name);
    if (!(rtnl_link_get_flags(link) & IFF_UP))
        return dmm_err_set(err, ENETDOWN, "link.bridge: bridge %s is down", name);
    *ifindex = rtnl_link_get_ifindex(link);
    copy_mac(mac, link);
    return 0;
}

struct ports {
    const char *but;
    bool found;
};

static int on_port(struct nl_msg *msg, void *arg)
{
    struct ports *ports = arg;
    const struct nlattr *name =
        nlmsg_find_attr(nlmsg_hdr(msg), sizeof(struct ifinfomsg), IFLA_IFNAME);
    ports->found |= !ports->but || !name || nla_strcmp(name, ports->but) != 0;
    return NL_OK;
}

/* Dumps the links whose master it is. Links that come and go meanwhile interrupt that. */
static int dump_ports(struct nl_sock *sock, int ifindex, struct ports *ports)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_DUMP);
    if (msg && (nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) ||
                nla_put_u32(msg, IFLA_MASTER, (uint32_t)ifindex))) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return dmm_nl_ask(sock, msg, on_port, ports, NULL);
}

/* *unused: the bridge is ours, without address and without a port but `but` (may be NULL). */
static int look_unused(struct nl_sock *sock, const char *name, const char *but, bool *unused,
                       struct dmm_err *err)
{
    uint8_t is[6];
    uint8_t ours[6];
    struct ports ports = {.but = but};
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    *unused = false;
    int rc = dmm_nl_link_get(sock, name, &link, err);
    if (rc)
        return rc;
    copy_mac(is, link);
    stable_mac(ours, name);
    do {
        rc = dump_ports(sock, rtnl_link_get_ifindex(link), &ports);
    } while (rc == -EINTR && !ports.found);
    if (rc && !ports.found)
        return dmm_err_set(err, -rc, "look at the ports of bridge %s: %s", name, strerror(-rc));
    *unused = !ports.found && !memcmp(is, ours, 6) && !dmm_nl_has_address(name);
    return 0;
}

/* *gone: it is not there, or it was ours, without ports and addresses, and is not there any more.
 */
static int remove_unused(struct nl_sock *sock, const char *name, bool *gone, struct dmm_err *err)
{
    int rc = look_unused(sock, name, NULL, gone, err);
    if (rc == -ENODEV)
        *gone = true;
    if (rc)
        return rc == -ENODEV ? 0 : rc;
    return *gone ? dmm_nl_link_del(sock, name, err) : 0;
}

/* Without a mark to keep, the file goes too. */
static void remove_lock_file(const char *lock_dir, const char *name)
{
    char path[PATH_MAX];
    char file[64];
    lock_name(file, name);
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", lock_dir, file) < sizeof(path))
        unlink(path);
}

int dmm_bridge_remove_with(int lock, const char *lock_dir, struct nl_sock *sock, const char *name,
                           const char *port, bool *gone, struct dmm_err *err)
{
    const char *const both[] = {name, port};
    *gone = false;
    if (!is_marked(lock))
        return 0;
    int rc = look_unused(sock, name, port, gone, err);
    if (rc || !*gone)
        return rc == -ENODEV ? 0 : rc;
    rc = dmm_nl_link_del_all(sock, both, 2, err);
    *gone = !rc;
    if (!rc)
        remove_lock_file(lock_dir, name);
    return rc == -ENODEV ? 0 : rc; /* the port is not there: all that is left is the bridge */
}

int dmm_bridge_release(int lock, const char *lock_dir, struct nl_sock *sock, const char *name,
                       struct dmm_err *err)
{
    bool gone = true;
    int rc = is_marked(lock) ? remove_unused(sock, name, &gone, err) : 0;
    if (!rc && gone)
        remove_lock_file(lock_dir, name);
    return rc;
}
