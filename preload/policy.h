/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: which stack a socket goes to, from the region's policy, of which the client keeps a copy
 * that is renewed when its generation changes. While the sidecar is away, the last copy still says
 * what is the kernel's; what is a stack's then fails with ENETDOWN, or goes to the kernel if the
 * pod's owner wants that.
 *
 * Any thread.
 */
#ifndef DMM_PRELOAD_POLICY_H
#define DMM_PRELOAD_POLICY_H

#include "preload/client.h"

enum policy_first {
    POLICY_NATIVE,       /* no stack could ever have it */
    POLICY_KERNEL_FIRST, /* probably the kernel's: a kernel socket, decided later */
    POLICY_STACK_FIRST,  /* probably a stack's: a placeholder, decided later */
};

/* What a new socket's fd should be. *client is NULL if there is no sidecar. */
enum policy_first policy_first(uint8_t protocol, struct client **client);
/* The instance that `default` names (for STACK_FIRST). */
uint32_t policy_default(struct client *client);

/* The instance for a connect (a first sendto): its number, with *client set unless it is the
 * kernel; or -ENETDOWN. */
int policy_connect(uint8_t protocol, const struct dmm_addr *remote, const struct dmm_addr *local,
                   struct client **client);
/* The instances for a bind, as a set, never empty; *by_default: no rule names them, so those that
 * cannot have such a socket may be left out. 0 or -ENETDOWN. */
int policy_listen(uint8_t protocol, const struct dmm_addr *local, struct client **client,
                  uint32_t *instances, bool *by_default);

/* The instance of that name in the policy of a live client, or -1. */
int policy_find(struct client *client, const char *name);
/* What is known of an instance. */
struct dmm_instance_info policy_instance(struct client *client, uint32_t instance);
/* Its ports; the addresses are those of policy_instance(). */
struct dmm_interfaces policy_interfaces(struct client *client, uint32_t instance);
/* How many instances there are, the kernel counted. */
uint32_t policy_instances(struct client *client);

#endif
