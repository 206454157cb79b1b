/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto: the control protocol on the sidecar's attach socket, between shim and sidecar.
 *
 * A SOCK_SEQPACKET UNIX socket, <pod directory>/stackd.sock. A process connects once and keeps that
 * connection for its life: when it closes (the process exits, crashes or execs), all that the
 * process held is let go. Requests are rare (attach, fork, a new thread's channel, a new epoll
 * instance); everything else goes through the region. One request, one response, in order. Fixed
 * structs; a message of another length or version is answered with -EPROTO and a text, and the
 * connection is closed.
 *
 *   ATTACH   a process that has no region yet. Response: a new client with its region and the
 *            worker's doorbell (fds 0 and 1), process 0, a channel, waitset 0 with its doorbell (fd
 *            2). `token` may be that of an earlier client, if the sidecar was restarted: processes
 *            that come with the same token (and uid) become one client again, so that a listener
 *            which they shared can be shared again: after DMM_CMD_OPEN with DMM_OPEN_ADOPT, a BIND
 *            to the address and port that another such socket of the client has, opened with the
 *            same value (its index in the earlier region), gives the process a hold on that one
 *            instead: reply.socket of BIND is its index, and the opened one is gone. LISTEN on it
 *            again is harmless.
 *   FORK     before fork(): response has a new process index whose holds are copies of this
 *            process's, a channel, a waitset; fd 0 is the control connection that the child will
 *            own (the parent closes its copy after fork), fd 1 the waitset's doorbell. If the child
 *            never comes, closing that fd undoes it.
 *   CHANNEL  another channel for this process.
 *   WAITSET  another waitset; fd 0 is the app's end of its doorbell.
 *   WAITSET_FREE   gives `index` back (its watches are dropped). Nothing is pushed after the
 * answer; the app takes what is left on its list, and then closes its end of the doorbell, upon
 *            which the index is given out again.
 *   EXPORT   a socket that is about to leave the process, by exec or SCM_RIGHTS, gets a placeholder
 *            of its own: response fd 0. The request is followed by a struct dmm_export that says
 *            which of this process's sockets it stands for. As long as any copy of the placeholder
 *            is open anywhere, also in a message under way, the sockets stay open, as an open file
 *            description does in the kernel. With DMM_EXPORT_KERNEL the app's fd is a kernel
 * socket, which comes along with the request; the placeholder then only keeps the hold. CLAIM the
 * process presents a file that it inherited or was sent (with the request): if it is such a
 * placeholder, or a kernel socket that one was exported with, the process gets holds on the
 * sockets, and the response is followed by their struct dmm_export. Possession of the file is the
 * proof; names and tokens are not. The sockets of another client move to the claimer's (then of any
 * uid) if no process of the other one holds them any more. If some do: -EXDEV where the claimer has
 * the same uid and no sockets yet: it may attach again with `token`, which makes it a process of
 * that client; else -EBUSY. -ENOENT: not a file of ours.
 *
 * ATTACH with the token of a living client makes the process one of that client, if the uid is the
 * same: so an exec'ed image finds its family again. The token is secret from other users only.
 *
 * The sidecar's uid is not the app's; SO_PEERCRED is read at connect and shown by dmmctl, and must
 * be one of the uids that the operator allows, if he named any.
 */
#ifndef DMM_COMMON_PROTO_H
#define DMM_COMMON_PROTO_H

#include "common/addr.h"
#include "common/mapping.h"

#include <stdint.h>

#define DMM_PROTO_VERSION 2
#define DMM_PROTO_FDS     3

enum dmm_request_op {
    DMM_REQ_ATTACH = 1,
    DMM_REQ_FORK,
    DMM_REQ_CHANNEL,
    DMM_REQ_WAITSET,
    DMM_REQ_WAITSET_FREE,
    DMM_REQ_EXPORT,
    DMM_REQ_CLAIM,
};

struct dmm_request {
    uint32_t version;  /* DMM_PROTO_VERSION */
    uint32_t op;       /* enum dmm_request_op */
    uint32_t pid;      /* as the process sees it, in every request; shown to people, trusted for
                        * nothing */
    uint32_t index;    /* WAITSET_FREE */
    uint8_t token[16]; /* ATTACH: zero, or that of a client */
    char comm[16];     /* NUL-terminated; in every request (a child's differs after exec) */
};

struct dmm_response {
    uint32_t version;
    int32_t result; /* 0 or a negative errno */
    uint32_t process;
    uint32_t channel;
    uint32_t waitset;
    uint32_t n_fds;
    uint64_t region_size;
    uint8_t token[16];
    char text[128]; /* why it failed, NUL-terminated; of a good ATTACH: the sidecar's DMM_VERSION */
};

/* Options that were set on a socket, in order; see preload/record.h. */
#define DMM_EXPORT_OPTIONS 24
#define DMM_EXPORT_VALUE   24
struct dmm_export_option {
    int32_t level, name;
    uint32_t len;
    uint8_t value[DMM_EXPORT_VALUE];
};

enum {
    DMM_EXPORT_KERNEL = 1,  /* a wildcard listener: its fd is the kernel's socket */
    DMM_EXPORT_HELD = 2,    /* said by the sidecar: the process held it before */
    DMM_EXPORT_SIGNALS = 4, /* a byte is written into the placeholder when the sockets have news,
                             * unless there is one in it: for O_ASYNC */
};

/*
 * One open file description of the shim's: what another process needs to go on with it. The sidecar
 * checks and fills `parts` and keeps the rest as it is: whoever claims it checks the rest.
 */
struct dmm_export {
    uint8_t family, type, protocol, flags; /* DMM_EXPORT_* */
    uint32_t status;                       /* of a socket without parts */
    int32_t backlog;                       /* -1: not listening */
    uint32_t n_parts;
    struct dmm_addr bound; /* as the app gave it; family 0: not bound */
    struct {
        uint32_t index;
        uint8_t instance, family; /* filled by the sidecar */
        uint16_t reserved;
    } parts[DMM_MAPPING_INSTANCES];
    uint64_t cookie; /* KERNEL, filled by the sidecar: SO_COOKIE of the kernel's socket */
    uint32_t n_options;
    struct dmm_export_option options[DMM_EXPORT_OPTIONS];
};

/* Placeholders of EXPORT have an abstract name that begins so: a hint for whoever is sent one. */
#define DMM_PLACEHOLDER_NAME "dmm-socket/"

#endif
