/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockdir: a UNIX socket that joins two ends, and its directory. One end serves the socket: its
 * attachment makes the directory and takes both away again.
 *
 * In the plan: "socket", its path, and "kept", the length of that part of the directory's path that
 * was there before.
 */
#ifndef DMM_CNI_SOCKDIR_H
#define DMM_CNI_SOCKDIR_H

#include "cni/link/link.h"

#include <sys/un.h>

#define DMM_SOCKET_MAX ((int)sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

/* The value of link.socket: absolute, without what separates device arguments. */
int dmm_sockdir_validate(const char *path, struct dmm_err *err);

/* `configured` NULL: one in the pod's directory. */
int dmm_sockdir_plan(const struct dmm_link_job *job, const char *configured, json_t *plan,
                     struct dmm_err *err);

/* The port, a DPDK device but for its arguments, and the interface of the result. 0, -ENOMEM. */
int dmm_sockdir_report(const struct dmm_link_job *job, const char *socket, unsigned mtu,
                       struct dmm_link_made *made, struct dmm_err *err);

/* The rest is for the end that serves it. Makes the directory, the sidecar's if it was not there.
 */
int dmm_sockdir_make(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err);
int dmm_sockdir_check(const json_t *plan, struct dmm_err *err);
/* Removes the socket, and those directories above it that were not there before, if empty. */
int dmm_sockdir_undo(const json_t *plan, struct dmm_err *err);

#endif
