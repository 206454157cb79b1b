/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redirect: joins two interfaces of one namespace as if by a wire: what comes in by one goes out by
 * the other, both ways, by traffic control (an ingress qdisc, a filter that matches everything, and
 * its action mirred). Checksums and segmentation left to do travel along. The kernel above the
 * interfaces never sees a frame. It goes with the interfaces.
 */
#ifndef DMM_CNI_REDIRECT_H
#define DMM_CNI_REDIRECT_H

#include "cni/nl.h"

/* By the names of both, in the namespace of `sock`. */
int dmm_redirect_join(struct nl_sock *sock, const char *a, const char *b, struct dmm_err *err);
/* CHECK: are both there. */
int dmm_redirect_check(struct nl_sock *sock, const char *a, const char *b, struct dmm_err *err);

#endif
