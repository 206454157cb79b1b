/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nl: what the links ask of rtnetlink, over libnl-route, with errors in words.
 *
 * A socket belongs to the namespace in which it was opened and stays there. One thread.
 */
#ifndef DMM_CNI_NL_H
#define DMM_CNI_NL_H

#include "common/err.h"

#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <stdbool.h>
#include <stdint.h>

/* libnl has error numbers of its own; the errno of those that we tell apart, else EIO. */
int dmm_nl_errno(int rc);

/* In our namespace, or in that of `netns_fd` if it is not -1. *sock is the caller's:
 * nl_socket_free(). */
int dmm_nl_open(struct nl_sock **sock, int netns_fd, struct dmm_err *err);
void dmm_nl_close(struct nl_sock **sock); /* for cleanup */

/* 0, -ENODEV, or another error. *link is the caller's: rtnl_link_put(). */
int dmm_nl_link_get(struct nl_sock *sock, const char *name, struct rtnl_link **link,
                    struct dmm_err *err);
void dmm_nl_link_put(struct rtnl_link **link); /* for cleanup */
/* Makes it; -EEXIST if the name is taken. */
int dmm_nl_link_add(struct nl_sock *sock, struct rtnl_link *link, struct dmm_err *err);
/* Changes the interface `name` to what is set in `changes`. */
int dmm_nl_link_set(struct nl_sock *sock, const char *name, struct rtnl_link *changes,
                    struct dmm_err *err);
/* Changes the interface `which` was read from, its name included: -EEXIST if that is taken. */
int dmm_nl_link_change(struct nl_sock *sock, struct rtnl_link *which, struct rtnl_link *changes,
                       struct dmm_err *err);
/* Absent is success. */
int dmm_nl_link_del(struct nl_sock *sock, const char *name, struct dmm_err *err);
/* Removes them all in one request, by a group that they are given for it. -ENODEV if one is absent;
 * then none was removed. */
int dmm_nl_link_del_all(struct nl_sock *sock, const char *const names[], unsigned n,
                        struct dmm_err *err);
/* A fresh link object; NULL with err set when out of memory. */
struct rtnl_link *dmm_nl_link_new(struct dmm_err *err);
/* Sets the hardware address of an object. */
int dmm_nl_link_set_mac(struct rtnl_link *link, const uint8_t mac[6], struct dmm_err *err);

/* Sends a request, a dump or not, and hands each answer to `on_answer`. `msg` is freed; NULL is out
 * of memory. -EINTR: what is dumped changed meanwhile, so that some of it may be missing. */
int dmm_nl_ask(struct nl_sock *sock, struct nl_msg *msg, int (*on_answer)(struct nl_msg *, void *),
               void *arg, struct dmm_err *err);

/* An address makes an interface of ours somebody's: a gateway's, say. Link-local ones come by
 * themselves and don't count. True also if the addresses can't be read. */
bool dmm_nl_has_address(const char *name);

#endif
