/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge: a Linux bridge that attachments share, made if absent, removed with its last port if it
 * was we who made it.
 *
 * What says that we made it is a file in the state directory, written before the bridge is made; it
 * is also the lock under which a bridge is made, gets a port, or is removed, so that a bridge never
 * goes while a port is being added. A bridge that others made, or that has an address, stays.
 */
#ifndef DMM_CNI_BRIDGE_H
#define DMM_CNI_BRIDGE_H

#include "cni/nl.h"

#include <stdint.h>

/* Takes the bridge's lock; returns its fd, to be closed, or -errno. */
int dmm_bridge_lock(const char *lock_dir, const char *name, struct dmm_err *err);

/* Under the lock: *ifindex of the bridge, made (up, with this MTU) if absent; *mac is its address.
 * An interface of that name that is no bridge, or a bridge that is down, is an error. */
int dmm_bridge_ensure(int lock, struct nl_sock *sock, const char *name, unsigned mtu, int *ifindex,
                      uint8_t mac[6], struct dmm_err *err);

/* Under the lock: removes the bridge and `port` in one request, if that is its last one and the
 * bridge would be removed next: the kernel waits hardly longer for two than for one. *gone: so it
 * was. */
int dmm_bridge_remove_with(int lock, const char *lock_dir, struct nl_sock *sock, const char *name,
                           const char *port, bool *gone, struct dmm_err *err);

/* Under the lock: removes it if it is ours and nobody's any more. */
int dmm_bridge_release(int lock, const char *lock_dir, struct nl_sock *sock, const char *name,
                       struct dmm_err *err);

#endif
