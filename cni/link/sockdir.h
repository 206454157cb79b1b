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

/* Who but its owner, the sidecar's user, may connect. Keys of the end that serves the socket; the
 * sidecar sees to it when it has made the socket (sidecar/port/ethdev_socket.c). */
struct dmm_socket_access {
    const char *mode; /* "0660"; NULL: as the sidecar's umask has it */
    int64_t gid;      /* -1: the sidecar's own */
};
#define DMM_SOCKET_ACCESS_DEFAULTS                                                                 \
    {                                                                                              \
        .mode = NULL, .gid = -1                                                                    \
    }
/* Rows of a table of keys; the struct lies at `at` bytes of what the table fills. */
#define DMM_SOCKET_ACCESS_KEYS(at)                                                                 \
    {"socketMode", DMM_KEY_TEXT, (at) + offsetof(struct dmm_socket_access, mode), 0, 4, NULL},     \
    {                                                                                              \
        "socketGid", DMM_KEY_NUMBER, (at) + offsetof(struct dmm_socket_access, gid), 0,            \
            UINT32_MAX - 1, NULL                                                                   \
    }
int dmm_sockdir_validate_access(const struct dmm_socket_access *access, bool serves,
                                struct dmm_err *err);

/* The value of link.socket: absolute, without what separates device arguments. */
int dmm_sockdir_validate(const char *path, struct dmm_err *err);

/* `configured` NULL: one in the pod's directory. */
int dmm_sockdir_plan(const struct dmm_link_job *job, const char *configured, json_t *plan,
                     struct dmm_err *err);

/* The port, a DPDK device but for its arguments, and the interface of the result. 0, -ENOMEM. */
int dmm_sockdir_report(const struct dmm_link_job *job, const char *socket, unsigned mtu,
                       const struct dmm_socket_access *access, struct dmm_link_made *made,
                       struct dmm_err *err);

/* The rest is for the end that serves it. Makes the directory, the sidecar's if it was not there.
 */
int dmm_sockdir_make(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err);
int dmm_sockdir_check(const json_t *plan, struct dmm_err *err);
/* Removes the socket, and those directories above it that were not there before, if empty. */
int dmm_sockdir_undo(const json_t *plan, struct dmm_err *err);

#endif
