/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interfaces: ioctl(SIOCGIF*) of netdevice(7) on the shim's sockets. The ports of the instances
 * that the socket is on (of all, where that is not decided yet) are interfaces beside the kernel's:
 * SIOCGIFCONF lists both, and a name or number of a port is answered from what the sidecar tells.
 * Port i of an instance is number i + 1, as IP_PKTINFO and IP_MULTICAST_IF have it. Everything else
 * the kernel answers. Any thread.
 */
#ifndef DMM_PRELOAD_INTERFACES_H
#define DMM_PRELOAD_INTERFACES_H

#include "preload/entry.h"

/* Is this one of those requests? */
bool interfaces_asked(unsigned long request);
/* 0 or a negative errno. `arg` as for ioctl(). */
int interfaces_tell(struct entry *entry, unsigned long request, void *arg);

#endif
