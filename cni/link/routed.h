/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routed: a pod whose link ends on the node in a router, not in a switch.
 *
 * The node's end of the pair has the same two addresses in every pod, 169.254.1.1 and fe80::1,
 * which are the stack's gateway; the pod's addresses have the prefix length of a host, so that the
 * stack sends everything there, and the node has a route to each of them. Nothing of the pod's
 * subnet need be on the node, no address is taken for a gateway, and pods share no broadcast
 * domain.
 *
 * 169.254.1.1 has the scope of a host: the kernel answers ARP for it but never sends from it.
 * Addresses and routes go with the interface, so there is nothing to undo.
 */
#ifndef DMM_CNI_ROUTED_H
#define DMM_CNI_ROUTED_H

#include "cni/nl.h"
#include "cni/result.h"

#include <stdbool.h>

#define DMM_ROUTED_GATEWAY4 "169.254.1.1"
#define DMM_ROUTED_GATEWAY6 "fe80::1"
#define DMM_ROUTED_MTU_MIN  1280 /* RFC 8200, 5: IPv6 may come at any time */

/* Gives the node's end `host` its addresses and a route to each of the result's; then changes the
 * result: addresses of one host each, routes through the gateway, and one to it. */
int dmm_routed_join(const char *host, struct dmm_result *result, struct dmm_err *err);

/* CHECK: the node reaches each of the port's addresses by this interface. */
int dmm_routed_check(struct nl_sock *sock, int ifindex, const char *host,
                     const struct dmm_port_config *port, struct dmm_err *err);

/* 0 if the node forwards packets of this address family. Whether it does is the node's affair: this
 * is never changed here. */
int dmm_routed_forwards(int family, struct dmm_err *err);

#endif
