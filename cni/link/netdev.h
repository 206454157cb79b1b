/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netdev: an interface of the node that goes into a pod under the attachment's name, and comes back
 * as it was: name, address, MTU, queues, up or down.
 *
 * While it is away its alias says whose it is, so that it is found again under whatever name (and
 * a PCI function's by that, should the pod have changed the alias): in the pod, or on the node,
 * where the kernel brings a NIC's interface when the pod's namespace dies. (It does not bring home
 * interfaces of software, as veth: those die with the namespace.) The alias that it had is put back
 * last.
 *
 * Who has it is a claim (cni/link/claim.h) under its name, looked at and changed under the lock of
 * that name; its file is there only while somebody holds it.
 *
 * In the plan: "owner", "device", "alias", "pci", "mac", "mtu", and "was": what it was before.
 */
#ifndef DMM_CNI_NETDEV_H
#define DMM_CNI_NETDEV_H

#include "cni/link/link.h"

struct dmm_netdev_conf {
    const char *device; /* the interface's name on the node */
    int64_t mtu;        /* 0: its own */
};

/* As in struct dmm_link_ops; the job's `conf` is a struct dmm_netdev_conf. The port's kind is the
 * caller's to say. */
int dmm_netdev_validate(const struct dmm_netdev_conf *conf, struct dmm_err *err);
int dmm_netdev_plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err);
int dmm_netdev_apply(const struct dmm_link_job *job, const json_t *plan, struct dmm_link_made *made,
                     struct dmm_err *err);
int dmm_netdev_check(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err);
int dmm_netdev_undo(const struct dmm_link_grave *grave, const json_t *plan, struct dmm_err *err);
int dmm_netdev_status(const struct dmm_netdev_conf *conf, struct dmm_err *err);

#endif
