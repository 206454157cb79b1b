/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podend: an interface in the pod's namespace that belongs to the stack, not to the kernel.
 *
 * The kernel in the pod must not act for the address that the stack owns: it gets no address, IPv6
 * is off, ARP is off (else it would answer for addresses of its other interfaces), and it does not
 * forward what it finds to be for someone else (else it would, on a node that forwards, send the
 * stack's packets out again by eth0).
 */
#ifndef DMM_CNI_PODEND_H
#define DMM_CNI_PODEND_H

#include "cni/link/link.h"

/* The job's name is free in the pod's namespace. */
int dmm_podend_free(const struct dmm_link_job *job, struct dmm_err *err);

/* Brings `ifname` up in the pod's namespace, with the kernel's part in it switched off. */
int dmm_podend_up(int netns_fd, const char *ifname, struct dmm_err *err);

/* CHECK: the job's interface is there, up, with the job's address and this MTU. */
int dmm_podend_check(const struct dmm_link_job *job, int64_t mtu, struct dmm_err *err);

#endif
