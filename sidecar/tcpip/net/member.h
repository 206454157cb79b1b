/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member: multicast membership of sockets (RFC 1112, 6.1 and 7.1; RFC 3376; RFC 3810).
 *
 * Who joins leaves; the port counts the members and reports the first and the last. Internal to the
 * library. The instance's thread.
 */
#ifndef DMM_TCPIP_NET_MEMBER_H
#define DMM_TCPIP_NET_MEMBER_H

#include "sidecar/tcpip/ip.h"

/* The port that a socket means: by interface index (port number + 1) if not 0, by one of our
 * addresses if not any, else by the route to the group (NULL: none). -1 if there is none. */
int net_member_port(const struct tcpip *ip, const struct ip_addr *group, uint32_t ifindex,
                    const struct ip_addr *iface);
/* 0 or -ENOBUFS. */
int net_member_join(struct tcpip *ip, const struct ip_addr *group, unsigned port);
void net_member_leave(struct tcpip *ip, const struct ip_addr *group, unsigned port);
/* A port's first IPv4 address in network order, 0 for bound_port 0: for IP_MULTICAST_IF. */
uint32_t net_member_address(const struct tcpip *ip, unsigned bound_port);

#endif
