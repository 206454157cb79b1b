/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link: how a pod is connected. One ops table per kind, one file each; link.c lists them.
 *
 * What the verbs call, and what each may do:
 *   - ADD, plan(): looks at the node and writes into the plan, as JSON, every name that apply()
 *     will make and every old value that it will change. Changes nothing. The caller makes the
 *     plan durable.
 *   - ADD, apply(): makes the link. It may stop anywhere; what it did is in the plan.
 *   - DEL, undo(): from the plan alone puts back what apply() may have done, all or part of it;
 *     again and again with the same result; what is gone already is no error; what belongs to
 *     someone else by now is left alone. -EAGAIN: all but what can't be reached now; GC tries
 *     again.
 *   - CHECK, check(): compares plan and node.
 *   - STATUS, status(): are the configured prerequisites there. Changes nothing.
 *
 * A kind keeps no state of its own. Everything runs on one thread, in the node's network namespace;
 * a function that enters another one comes back before it returns.
 */
#ifndef DMM_CNI_LINK_H
#define DMM_CNI_LINK_H

#include "cni/keys.h"
#include "common/err.h"
#include "common/poddir.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct dmm_link_ops;
struct dmm_result;

/* Who the sidecar runs as: what the plugin makes for it belongs to them. */
struct dmm_owner {
    uid_t uid;
    gid_t gid;
};

/* The `link` object of a configuration, read. */
struct dmm_link_conf {
    const struct dmm_link_ops *ops;
    void *conf; /* of ops->conf_size, owned; texts in it borrow from the JSON */
};

/* One attachment that is made or checked. Everything is borrowed. */
struct dmm_link_job {
    const void *conf; /* the kind's own, as its keys filled it */
    const char *network;
    const char *container_id;
    const char *ifname;
    const char *netns; /* path, for the result */
    int netns_fd;
    const char *lock_dir; /* for locks that attachments of this node share */
    const char *pod_root; /* the pod's directory is <pod_root>/pods/<pod_id> */
    const char *pod_id;
    int hold;               /* the record's lock, for programs that are run (cni/exec.h) */
    uint8_t mac[6];         /* the pod's end: asked for, or generated and stable */
    struct dmm_owner owner; /* who runs the pod's sidecar */
    const struct dmm_port_config *port; /* CHECK: the port file as it is; NULL: not CHECK */
    bool mac_given;                     /* asked for */
    const char *device_id; /* of the device plugin; NULL: none. Only for kinds that take one */
    int *device_lock;      /* plan() may leave the lock of a device in it, an fd; held by the caller
                            * until apply() has returned. -1: none. NULL where nothing is planned */
};

/* One attachment that goes. */
struct dmm_link_grave {
    const char *ifname;
    int netns_fd; /* -1: gone, or another one by now */
    const char *lock_dir;
    int hold;
};

/* What apply() made, for the port file and the result. */
struct dmm_link_made {
    struct dmm_port_config port; /* kind, link, devargs, mac, mtu */
    json_t *interfaces;          /* in the form of CNI 1.1.0 */
    int pod_interface;           /* index of the pod's end in it */
    json_t *device_info;         /* for CNIDeviceInfoFile, owned; NULL: nothing to tell */
};

struct dmm_link_ops {
    const char *kind;
    const struct dmm_key *keys;
    size_t conf_size;
    bool takes_device; /* deviceID means something to it */
    bool by_name;      /* plan() is made of names alone, so that a lost record can be made up for */
    void (*defaults)(void *conf);
    int (*validate)(const void *conf, struct dmm_err *err);
    int (*plan)(const struct dmm_link_job *job, json_t *plan, struct dmm_err *err);
    int (*apply)(const struct dmm_link_job *job, const json_t *plan, struct dmm_link_made *made,
                 struct dmm_err *err);
    /* After apply(), once the addresses are known: does what needs them, and may change addresses
     * and routes of the result. undo() takes it back too. NULL: nothing to do. */
    int (*addressed)(const struct dmm_link_job *job, const json_t *plan, struct dmm_result *result,
                     struct dmm_err *err);
    int (*check)(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err);
    int (*undo)(const struct dmm_link_grave *grave, const json_t *plan, struct dmm_err *err);
    int (*status)(const void *conf, struct dmm_err *err);
};

extern const struct dmm_link_ops dmm_link_veth;
extern const struct dmm_link_ops dmm_link_tap;
extern const struct dmm_link_ops dmm_link_afxdp;
extern const struct dmm_link_ops dmm_link_vhostuser;
extern const struct dmm_link_ops dmm_link_memif;
extern const struct dmm_link_ops dmm_link_sriov;

/* NULL if there is none of that name. */
const struct dmm_link_ops *dmm_link_find(const char *kind);

/* Reads the `link` object; NULL means {"type": "veth"}. Returns as dmm_keys_read() does. On error
 * nothing is left to free. */
int dmm_link_conf_read(struct dmm_link_conf *link, const json_t *object, struct dmm_err *err);
void dmm_link_conf_free(struct dmm_link_conf *link);

/* A string of a plan, or NULL with err set: a record that someone cut. */
const char *dmm_link_plan_text(const json_t *plan, const char *key, struct dmm_err *err);

/* A name of at most 14 bytes for the node's end of an attachment, the same each time. */
void dmm_link_host_name(char name[IFNAMSIZ], const struct dmm_link_job *job);
/* A locally administered unicast address, the same each time for one attachment and `salt`. */
void dmm_link_stable_mac(uint8_t mac[6], const char *network, const char *container_id,
                         const char *ifname, const char *salt);
#define DMM_MAC_STRLEN 18
const char *dmm_mac_format(const uint8_t mac[6], char text[DMM_MAC_STRLEN]);
/* Six pairs of hex digits with colons; unicast and not zero. Returns 0 or -EINVAL. */
int dmm_mac_parse(uint8_t mac[6], const char *text);

#endif
