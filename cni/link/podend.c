/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/podend.h"

#include "cni/file.h"
#include "cni/netns.h"
#include "cni/nl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <net/if.h>
#include <netlink/route/link/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

int dmm_podend_free(const struct dmm_link_job *job, struct dmm_err *err)
{
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_open(&sock, job->netns_fd, err);
    if (rc)
        return rc;
    if (!dmm_nl_link_get(sock, job->ifname, &link, NULL))
        return dmm_err_set(err, EEXIST, "the pod has an interface %s already", job->ifname);
    return 0;
}

int dmm_podend_up(int netns_fd, const char *ifname, struct dmm_err *err)
{
    int back;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_netns_enter(netns_fd, &back, err);
    if (rc)
        return rc;
    rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = no_ipv6(ifname, err);
    if (!rc)
        rc = set_up(sock, ifname, err);
    dmm_netns_leave(back);
    return rc;
}

int dmm_podend_check(const struct dmm_link_job *job, int64_t mtu, struct dmm_err *err)
{
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = dmm_nl_open(&sock, job->netns_fd, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, job->ifname, &link, err);
    if (rc)
        return dmm_err_prefix(err, "in the pod");
    if (!(rtnl_link_get_flags(link) & IFF_UP))
        return dmm_err_set(err, ENETDOWN, "in the pod: interface %s: is down", job->ifname);
    if (rtnl_link_get_mtu(link) != (unsigned)mtu)
        return dmm_err_set(err, EINVAL, "in the pod: interface %s: its MTU is %u, not %u",
                           job->ifname, rtnl_link_get_mtu(link), (unsigned)mtu);
    const struct nl_addr *addr = rtnl_link_get_addr(link);
    if (!addr || nl_addr_get_len(addr) != 6 ||
        memcmp(nl_addr_get_binary_addr(addr), job->mac, 6) != 0)
        return dmm_err_set(err, EINVAL, "in the pod: interface %s: its MAC was changed",
                           job->ifname);
    return 0;
}
