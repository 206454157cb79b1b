/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iface: a kernel interface that is a port's device: its index, MTU, address and state, asked by
 * name over any socket of its network namespace. No capability is needed.
 *
 * Any thread.
 */
#ifndef DMM_SIDECAR_PORT_IFACE_H
#define DMM_SIDECAR_PORT_IFACE_H

#include "sidecar/stack.h"

#include <net/if.h>

/* What of the configuration overrides the interface's own. */
struct dmm_iface_wish {
    uint32_t mtu; /* an upper limit; 0: none */
    bool any_mac; /* none configured: the interface's own is taken */
};

/* The index of an interface; 0: there is none of that name. */
int dmm_iface_index(int fd, const char *name);

/* Reads the interface info->name as it is now into info: mtu, mac if any, up. 0, -ENODEV, or
 * -EMEDIUMTYPE if it is not Ethernet; then it is not up. */
int dmm_iface_read(int fd, struct dmm_port_info *info, const struct dmm_iface_wish *wish);

/* True if what a refresh() may change differs. */
bool dmm_iface_changed(const struct dmm_port_info *a, const struct dmm_port_info *b);

#endif
