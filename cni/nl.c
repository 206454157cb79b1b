/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/nl.h"

#include "cni/netns.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_arp.h>
#include <netinet/in.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <string.h>

int dmm_nl_errno(int rc)
{
    switch (-rc) {
    case NLE_NODEV:
    case NLE_OBJ_NOTFOUND:
        return ENODEV;
    case NLE_EXIST:
        return EEXIST;
    case NLE_PERM:
        return EPERM;
    case NLE_NOACCESS:
        return EACCES;
    case NLE_BUSY:
        return EBUSY;
    case NLE_NOMEM:
        return ENOMEM;
    case NLE_OPNOTSUPP:
        return EOPNOTSUPP;
    case NLE_RANGE:
        return ERANGE;
    case NLE_DUMP_INTR:
        return EINTR;
    default:
        return EIO;
    }
}

static int fail(struct dmm_err *err, int rc, const char *what, const char *name)
{
    return dmm_err_set(err, dmm_nl_errno(rc), "%s %s: %s", what, name, nl_geterror(rc));
}

static int open_here(struct nl_sock **sock, struct dmm_err *err)
{
    *sock = nl_socket_alloc();
    if (!*sock)
        return dmm_err_set(err, ENOMEM, "netlink: out of memory");
    int rc = nl_connect(*sock, NETLINK_ROUTE);
    if (!rc)
        return 0;
    nl_socket_free(*sock);
    *sock = NULL;
    return fail(err, rc, "netlink", "socket");
}

int dmm_nl_open(struct nl_sock **sock, int netns_fd, struct dmm_err *err)
{
    if (netns_fd < 0)
        return open_here(sock, err);
    int back;
    int rc = dmm_netns_enter(netns_fd, &back, err);
    if (rc)
        return rc;
    rc = open_here(sock, err);
    dmm_netns_leave(back);
    return rc;
}

void dmm_nl_close(struct nl_sock **sock)
{
    if (*sock)
        nl_socket_free(*sock);
    *sock = NULL;
}

int dmm_nl_link_get(struct nl_sock *sock, const char *name, struct rtnl_link **link,
                    struct dmm_err *err)
{
    int rc = rtnl_link_get_kernel(sock, 0, name, link);
    return rc ? fail(err, rc, "look at interface", name) : 0;
}

void dmm_nl_link_put(struct rtnl_link **link)
{
    if (*link)
        rtnl_link_put(*link);
    *link = NULL;
}

int dmm_nl_link_add(struct nl_sock *sock, struct rtnl_link *link, struct dmm_err *err)
{
    int rc = rtnl_link_add(sock, link, NLM_F_CREATE | NLM_F_EXCL);
    return rc ? fail(err, rc, "make interface", rtnl_link_get_name(link)) : 0;
}

int dmm_nl_link_set(struct nl_sock *sock, const char *name, struct rtnl_link *changes,
                    struct dmm_err *err)
{
    struct rtnl_link *which __attribute__((cleanup(dmm_nl_link_put))) = dmm_nl_link_new(err);
    if (!which)
        return -ENOMEM;
    /* Without an index, it is the name that goes into the message and is looked for. */
    rtnl_link_set_name(changes, name);
    int rc = rtnl_link_change(sock, which, changes, 0);
    return rc ? fail(err, rc, "set up interface", name) : 0;
}

int dmm_nl_link_change(struct nl_sock *sock, struct rtnl_link *which, struct rtnl_link *changes,
                       struct dmm_err *err)
{
    int rc = rtnl_link_change(sock, which, changes, 0);
    return rc ? fail(err, rc, "set up interface", rtnl_link_get_name(changes)) : 0;
}

int dmm_nl_link_del(struct nl_sock *sock, const char *name, struct dmm_err *err)
{
    struct rtnl_link *which __attribute__((cleanup(dmm_nl_link_put))) = dmm_nl_link_new(err);
    if (!which)
        return -ENOMEM;
    rtnl_link_set_name(which, name);
    int rc = rtnl_link_delete(sock, which);
    if (!rc || dmm_nl_errno(rc) == ENODEV)
        return 0;
    /* Who may not change links is told so before it is told that there is none. */
    struct rtnl_link *there __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    if (dmm_nl_errno(rc) == EPERM &&
        dmm_nl_errno(rtnl_link_get_kernel(sock, 0, name, &there)) == ENODEV)
        return 0;
    return fail(err, rc, "remove interface", name);
}

/* Far from the groups that people number, the same each time. */
static uint32_t group_of(const char *const names[], unsigned n)
{
    uint32_t group = 0x811c9dc5u; /* FNV-1a */
    for (unsigned i = 0; i < n; i++)
        for (const char *p = names[i]; *p; p++)
            group = (group ^ (unsigned char)*p) * 0x01000193u;
    return group | 0x40000000u;
}

struct members {
    uint32_t group;
    unsigned n;
};

static int on_link(struct nl_msg *msg, void *arg)
{
    struct members *members = arg;
    const struct nlattr *group =
        nlmsg_find_attr(nlmsg_hdr(msg), sizeof(struct ifinfomsg), IFLA_GROUP);
    members->n += group && nla_get_u32(group) == members->group;
    return NL_OK;
}

static struct nl_msg *link_msg(int type, int flags)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
    if (!msg || !nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO))
        return msg;
    nlmsg_free(msg);
    return NULL;
}

static int count_members(struct nl_sock *sock, struct members *members, struct dmm_err *err)
{
    int rc;
    do {
        members->n = 0;
        rc = dmm_nl_ask(sock, link_msg(RTM_GETLINK, NLM_F_DUMP), on_link, members, NULL);
    } while (rc == -EINTR);
    return rc ? dmm_err_set(err, -rc, "look at interfaces: %s", strerror(-rc)) : 0;
}

static int delete_group(struct nl_sock *sock, uint32_t group, struct dmm_err *err)
{
    struct nl_msg *msg = link_msg(RTM_DELLINK, 0);
    int rc = msg ? nla_put_u32(msg, IFLA_GROUP, group) : -NLE_NOMEM;
    if (!rc)
        rc = nl_send_sync(sock, msg); /* frees it */
    else if (msg)
        nlmsg_free(msg);
    return rc ? dmm_err_set(err, dmm_nl_errno(rc), "remove interfaces: %s", nl_geterror(rc)) : 0;
}

int dmm_nl_link_del_all(struct nl_sock *sock, const char *const names[], unsigned n,
                        struct dmm_err *err)
{
    int rc = 0;
    struct members members = {.group = group_of(names, n)};
    for (unsigned i = 0; !rc && i < n; i++) {
        struct rtnl_link *changes __attribute__((cleanup(dmm_nl_link_put))) = dmm_nl_link_new(err);
        if (!changes)
            return -ENOMEM;
        rtnl_link_set_group(changes, members.group);
        rc = dmm_nl_link_set(sock, names[i], changes, err);
    }
    if (!rc)
        rc = count_members(sock, &members, err);
    if (rc)
        return rc;
    if (members.n == n)
        return delete_group(sock, members.group, err);
    /* Somebody else's interface has that number: one by one, then. */
    for (unsigned i = 0; !rc && i < n; i++)
        rc = dmm_nl_link_del(sock, names[i], err);
    return rc;
}

struct rtnl_link *dmm_nl_link_new(struct dmm_err *err)
{
    struct rtnl_link *link = rtnl_link_alloc();
    if (!link)
        dmm_err_set(err, ENOMEM, "netlink: out of memory");
    return link;
}

int dmm_nl_link_set_mac(struct rtnl_link *link, const uint8_t mac[6], struct dmm_err *err)
{
    struct nl_addr *addr = nl_addr_build(AF_LLC, mac, 6);
    if (!addr)
        return dmm_err_set(err, ENOMEM, "netlink: out of memory");
    rtnl_link_set_addr(link, addr);
    nl_addr_put(addr);
    return 0;
}

int dmm_nl_ask(struct nl_sock *sock, struct nl_msg *msg, int (*on_answer)(struct nl_msg *, void *),
               void *arg, struct dmm_err *err)
{
    bool dump = msg && (nlmsg_hdr(msg)->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    int rc =
        msg ? nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_answer, arg) : -NLE_NOMEM;
    if (!rc) {
        rc = nl_send_auto(sock, msg);
        rc = rc < 0 ? rc : nl_recvmsgs_default(sock);
        if (!rc && !dump) /* the object, and then the kernel's word that this was all */
            rc = nl_wait_for_ack(sock);
        nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
    }
    if (msg)
        nlmsg_free(msg);
    return rc < 0 ? dmm_err_set(err, dmm_nl_errno(rc), "%s", nl_geterror(rc)) : 0;
}

bool dmm_nl_has_address(const char *name)
{
    struct ifaddrs *list;
    bool found = false;
    if (getifaddrs(&list))
        return true;
    for (const struct ifaddrs *a = list; a && !found; a = a->ifa_next) {
        if (!a->ifa_addr || strcmp(a->ifa_name, name) != 0)
            continue;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a->ifa_addr;
        found = a->ifa_addr->sa_family == AF_INET ||
                (a->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr));
    }
    freeifaddrs(list);
    return found;
}
