/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach: what ADD, DEL, CHECK and GC share: one attachment and how it is taken back.
 */
#ifndef DMM_CNI_ATTACH_H
#define DMM_CNI_ATTACH_H

#include "cni/annotations.h"
#include "cni/env.h"
#include "cni/error.h"
#include "cni/ipam.h"
#include "cni/link/link.h"
#include "cni/netconf.h"
#include "cni/pod.h"
#include "cni/record.h"

/* Takes back what the record describes, all or part of it: lease, port file and link, then the
 * record. Goes on after a failure so that as little as possible stays, reports the first one, and
 * then keeps the record, so that it can be tried again.
 * Returns 0, -1, or DMM_TAKEDOWN_LATER where all is taken back but what can't be reached now. */
#define DMM_TAKEDOWN_LATER 1
int dmm_attach_takedown(struct dmm_record *record, const char *state_root,
                        struct dmm_cni_error *error);

/* True while the namespace that the record names is there: same boot, same device and inode. */
bool dmm_attach_alive(const struct dmm_record *record);

/* The pod has said nothing to us, and is to be left as it is (netconf's "unannotated": "skip"). */
bool dmm_attach_left_alone(const struct dmm_netconf *conf,
                           const struct dmm_annotations *annotations);

/* The IPAM call for a live request. `hold` as in struct dmm_ipam_call. */
void dmm_attach_ipam_call(struct dmm_ipam_call *call, const char *command,
                          const struct dmm_cni_env *env, const struct dmm_netconf *conf, int hold);

/* The link's view of the request. `netns_fd` may be -1 (DEL). */
int dmm_attach_job(struct dmm_link_job *job, const struct dmm_cni_env *env,
                   const struct dmm_netconf *conf, int netns_fd, struct dmm_cni_error *error);

/* The verbs. *answer is what goes to stdout, or NULL for nothing. */
int dmm_cni_add(const struct dmm_cni_env *env, struct dmm_netconf *conf, json_t **answer,
                struct dmm_cni_error *error);
int dmm_cni_del(const struct dmm_cni_env *env, struct dmm_netconf *conf,
                struct dmm_cni_error *error);
int dmm_cni_check(const struct dmm_cni_env *env, struct dmm_netconf *conf,
                  struct dmm_cni_error *error);
int dmm_cni_gc(const struct dmm_cni_env *env, struct dmm_netconf *conf,
               struct dmm_cni_error *error);
int dmm_cni_status(const struct dmm_cni_env *env, struct dmm_netconf *conf,
                   struct dmm_cni_error *error);

/* Takes back the attachments of the network whose namespace is gone; *reaped counts them. Of `conf`
 * only name and state_root are looked at. What fails is tried again by the next GC or DEL. */
int dmm_gc_reap_dead(const struct dmm_netconf *conf, unsigned *reaped, struct dmm_cni_error *error);
/* Those that another boot than `boot_id` left. Needs no sight of the pods' namespaces, which a
 * process in a container does not have. */
int dmm_gc_reap_boots(const struct dmm_netconf *conf, const char *boot_id, unsigned *reaped,
                      struct dmm_cni_error *error);
/* An attachment of the network was left for later: the next ADD looks after it. */
void dmm_gc_note_left(const struct dmm_netconf *conf);
/* The dead, once after each boot, at the first ADD: what the old boot left holds leases. Failures
 * are logged. And again for what a DEL has left, until it is taken back. */
void dmm_gc_reap_at_boot(const struct dmm_netconf *conf, const char *boot_id);

#endif
