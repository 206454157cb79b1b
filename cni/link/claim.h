/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claim: who has a device of the node that only one attachment can have.
 *
 *   <state root>/.devices/<device>.json    0600
 *
 * A claim holds its owner's name, what tells whether the owner still lives, and the plan by which
 * the device is put back. So a device whose owner died without DEL can be put back by whoever wants
 * it next, and a DEL that comes after that finds a claim that is not its own.
 *
 * A claim is changed only under the device's lock (dmm_pci_lock(), or that of an interface's name,
 * cni/link/netdev.c). It is written when the attachment's record is on disk and before the device
 * is changed, and removed after the device was put back. After a reboot it means nothing to anybody
 * but its owner.
 *
 * Attachments that share devices share the state root.
 */
#ifndef DMM_CNI_CLAIM_H
#define DMM_CNI_CLAIM_H

#include "cni/link/link.h"

enum dmm_claim_state {
    DMM_CLAIM_NONE,
    DMM_CLAIM_OURS,
    DMM_CLAIM_LIVE,  /* another's, who lives */
    DMM_CLAIM_STALE, /* its owner's namespace is gone */
};

/* A name for the owner, malloc'ed: network, container, interface. */
char *dmm_claim_owner(const struct dmm_link_job *job);

/* Whose is it? *plan (may be NULL) is a new reference to the claim's plan, or NULL. A claim that
 * does not parse, or another's of an earlier boot, is none. `owner` may be NULL. */
int dmm_claim_look(const char *state_root, const char *device, const char *owner,
                   enum dmm_claim_state *state, json_t **plan, struct dmm_err *err);
int dmm_claim_write(const struct dmm_link_job *job, const char *device, const char *owner,
                    const json_t *plan, struct dmm_err *err);
/* Absent is success. */
int dmm_claim_remove(const char *state_root, const char *device, struct dmm_err *err);

#endif
