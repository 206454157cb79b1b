/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ovs: ports of an Open vSwitch bridge, through ovs-vsctl.
 *
 * `hold` as in cni/exec.h. ovs-vsctl waits until the switch has done what it was told, at most
 * TIMEOUT seconds. Whether the database answers is asked first, since ovs-vsctl would try so long.
 */
#ifndef DMM_CNI_OVS_H
#define DMM_CNI_OVS_H

#include "common/err.h"

#include <stdint.h>

struct dmm_ovs_port {
    const char *bridge;
    const char *name;
    const char *socket; /* a vhost-user socket that the pod serves */
    int64_t vlan;       /* 0: untagged */
    int64_t mtu;
};

/* 0 if the database takes connections. */
int dmm_ovs_reach(struct dmm_err *err);
/* Adds the port; what the switch has against it is an error, and the port is removed again. */
int dmm_ovs_add(const struct dmm_ovs_port *port, int hold, struct dmm_err *err);
/* Absent port or bridge is success. -EAGAIN: the database is not to be reached, so that the port
 * may still be in it. A switch that does not run is not waited for. */
int dmm_ovs_del(const char *name, int hold, struct dmm_err *err);
/* The port is on the bridge and the switch has nothing against it. */
int dmm_ovs_check(const char *bridge, const char *name, int hold, struct dmm_err *err);
/* There is ovs-vsctl, a database that answers, and this bridge, with DPDK's datapath. */
int dmm_ovs_status(const char *bridge, struct dmm_err *err);

#endif
