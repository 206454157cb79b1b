/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uplink: a veth pair that joins the pod's namespace with the node. Its node end is a port of a
 * Linux bridge, or routed (cni/link/routed.h). The links that end in the pod's namespace (veth,
 * tap, afxdp) share it, keys and all; each of them has its struct dmm_uplink_conf first.
 *
 * In the plan: "host", the node end's name, and "bridge" unless routed. One end takes the other
 * with it, so undo() removes the node's; with the pod's namespace both have gone already.
 */
#ifndef DMM_CNI_UPLINK_H
#define DMM_CNI_UPLINK_H

#include "cni/link/link.h"
#include "cni/nl.h"

struct dmm_uplink_conf {
    const char *bridge; /* NULL: the default one, unless routed */
    bool routed;
    int64_t mtu;
};

/* The first rows of a link's table of keys. */
#define DMM_UPLINK_KEYS(mtu_max)                                                                   \
    {"type", DMM_KEY_ANY, 0, 0, 0, NULL},                                                          \
        {"bridge", DMM_KEY_TEXT, offsetof(struct dmm_uplink_conf, bridge), 0, IFNAMSIZ - 1, NULL}, \
        {"routed", DMM_KEY_BOOL, offsetof(struct dmm_uplink_conf, routed), 0, 0, NULL},            \
    {                                                                                              \
        "mtu", DMM_KEY_NUMBER, offsetof(struct dmm_uplink_conf, mtu), 68, (mtu_max), NULL          \
    }

#define DMM_UPLINK_DEFAULTS                                                                        \
    {                                                                                              \
        .bridge = NULL, .routed = false, .mtu = 1500                                               \
    }

/* The pair's end in the pod. */
struct dmm_uplink_end {
    const char *name;
    const uint8_t *mac;
    unsigned queues; /* of each end, each way; 0: as the kernel likes */
};

int dmm_uplink_validate(const struct dmm_uplink_conf *conf, struct dmm_err *err);
int dmm_uplink_plan(const struct dmm_link_job *job, json_t *plan, struct dmm_err *err);
/* Makes the pair (and the bridge), up at the node's end, and adds to made->interfaces what of it is
 * on the node. Setting up the pod's end is the caller's. */
int dmm_uplink_apply(const struct dmm_link_job *job, const json_t *plan,
                     const struct dmm_uplink_end *end, struct dmm_link_made *made,
                     struct dmm_err *err);
/* Once the addresses are known: see struct dmm_link_ops. */
int dmm_uplink_addressed(const struct dmm_link_job *job, const json_t *plan,
                         struct dmm_result *result, struct dmm_err *err);
int dmm_uplink_check(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err);
int dmm_uplink_undo(const struct dmm_link_grave *grave, const json_t *plan, struct dmm_err *err);
int dmm_uplink_status(const struct dmm_uplink_conf *conf, struct dmm_err *err);

/* Adds the pod's own interface to what ADD answers, as the one that has the addresses. */
int dmm_uplink_report_pod(const struct dmm_link_job *job, struct dmm_link_made *made,
                          struct dmm_err *err);

#endif
