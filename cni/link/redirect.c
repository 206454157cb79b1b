/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/redirect.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/route/act/mirred.h>
#include <netlink/route/action.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/u32.h>
#include <netlink/route/qdisc.h>
#include <stdbool.h>
#include <stdint.h>

#define INGRESS TC_H_MAKE(TC_H_INGRESS &TC_H_MAJ_MASK, 0) /* the handle of such a qdisc */

static int failed(struct dmm_err *err, int rc, const char *what, const char *name)
{
    return dmm_err_set(err,
                       rc == -NLE_NOMEM          ? ENOMEM
                       : rc == -NLE_PERM         ? EPERM
                       : rc == -NLE_OBJ_NOTFOUND ? EOPNOTSUPP
                                                 : EIO,
                       "%s of interface %s: %s", what, name, nl_geterror(rc));
}

static int add_ingress(struct nl_sock *sock, int ifindex, const char *name, struct dmm_err *err)
{
    struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
    int rc = qdisc ? 0 : -NLE_NOMEM;
    if (!rc) {
        rtnl_tc_set_ifindex(TC_CAST(qdisc), ifindex);
        rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_INGRESS);
        rtnl_tc_set_handle(TC_CAST(qdisc), INGRESS);
        rc = rtnl_tc_set_kind(TC_CAST(qdisc), "ingress");
    }
    if (!rc)
        rc = rtnl_qdisc_add(sock, qdisc, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_qdisc_put(qdisc);
    return rc ? failed(err, rc, "ingress qdisc (sch_ingress)", name) : 0;
}

static struct rtnl_act *make_action(int to)
{
    struct rtnl_act *act = rtnl_act_alloc();
    if (!act)
        return NULL;
    if (rtnl_tc_set_kind(TC_CAST(act), "mirred") || rtnl_mirred_set_action(act, TCA_EGRESS_REDIR) ||
        rtnl_mirred_set_ifindex(act, (uint32_t)to) || rtnl_mirred_set_policy(act, TC_ACT_STOLEN)) {
        rtnl_act_put(act);
        return NULL;
    }
    return act;
}

/* Everything that comes in by `from` goes out by `to`. */
static int add_filter(struct nl_sock *sock, int from, int to, const char *name, struct dmm_err *err)
{
    struct rtnl_act *act = make_action(to);
    struct rtnl_cls *cls = rtnl_cls_alloc();
    int rc = cls && act ? 0 : -NLE_NOMEM;
    if (!rc) {
        rtnl_tc_set_ifindex(TC_CAST(cls), from);
        rtnl_tc_set_parent(TC_CAST(cls), INGRESS);
        rc = rtnl_tc_set_kind(TC_CAST(cls), "u32");
    }
    if (!rc) {
        rtnl_cls_set_prio(cls, 1);
        rtnl_cls_set_protocol(cls, ETH_P_ALL);
        rc = rtnl_u32_add_key(cls, 0, 0, 0, 0); /* no bit has to match */
    }
    if (!rc)
        rc = rtnl_u32_set_cls_terminal(cls);
    if (!rc)
        rc = rtnl_u32_add_action(cls, act);
    if (!rc)
        rc = rtnl_cls_add(sock, cls, NLM_F_CREATE | NLM_F_EXCL);
    if (cls)
        rtnl_cls_put(cls);
    if (act)
        rtnl_act_put(act);
    return rc ? failed(err, rc, "redirection (cls_u32, act_mirred)", name) : 0;
}

static int find_both(struct nl_sock *sock, const char *const names[2], int index[2],
                     struct dmm_err *err)
{
    int rc = 0;
    for (int i = 0; !rc && i < 2; i++) {
        struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
        rc = dmm_nl_link_get(sock, names[i], &link, err);
        index[i] = rc ? 0 : rtnl_link_get_ifindex(link);
    }
    return rc;
}

int dmm_redirect_join(struct nl_sock *sock, const char *a, const char *b, struct dmm_err *err)
{
    const char *const names[2] = {a, b};
    int index[2] = {0, 0};
    int rc = find_both(sock, names, index, err);
    for (int i = 0; !rc && i < 2; i++)
        rc = add_ingress(sock, index[i], names[i], err);
    for (int i = 0; !rc && i < 2; i++)
        rc = add_filter(sock, index[i], index[1 - i], names[i], err);
    return rc;
}

/* True if a filter of `from` sends to `to`. */
static int sends(struct nl_sock *sock, int from, int to, bool *found, struct dmm_err *err)
{
    struct nl_cache *cache = NULL;
    int rc = rtnl_cls_alloc_cache(sock, from, INGRESS, &cache);
    if (rc)
        return dmm_err_set(err, EIO, "look at filters: %s", nl_geterror(rc));
    for (struct nl_object *at = nl_cache_get_first(cache); at; at = nl_cache_get_next(at)) {
        struct rtnl_act *act = rtnl_u32_get_action((struct rtnl_cls *)at);
        *found |= act && rtnl_mirred_get_ifindex(act) == (uint32_t)to;
    }
    nl_cache_free(cache);
    return 0;
}

int dmm_redirect_check(struct nl_sock *sock, const char *a, const char *b, struct dmm_err *err)
{
    const char *const names[2] = {a, b};
    int index[2] = {0, 0};
    int rc = find_both(sock, names, index, err);
    for (int i = 0; !rc && i < 2; i++) {
        bool found = false;
        rc = sends(sock, index[i], index[1 - i], &found, err);
        if (!rc && !found)
            rc = dmm_err_set(err, ENOENT, "interface %s: is not redirected to %s", names[i],
                             names[1 - i]);
    }
    return rc;
}
