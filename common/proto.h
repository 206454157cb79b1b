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
 *            to the address and port that another such socket of the client has gives the process
 *            a hold on that one instead: reply.socket of BIND is its index, and the opened one is
 *            gone. LISTEN on it again is harmless.
 *   FORK     before fork(): response has a new process index whose holds are copies of this
 *            process's, a channel, a waitset; fd 0 is the control connection that the child will
 *            own (the parent closes its copy after fork), fd 1 the waitset's doorbell. If the child
 *            never comes, closing that fd undoes it.
 *   CHANNEL  another channel for this process.
 *   WAITSET  another waitset; fd 0 is the app's end of its doorbell.
 *   WAITSET_FREE   gives `index` back (its watches are dropped).
 *
 * The sidecar's uid is not the app's; SO_PEERCRED is read at connect and shown by dmmctl, and must
 * be one of the uids that the operator allows, if he named any.
 */
#ifndef DMM_COMMON_PROTO_H
#define DMM_COMMON_PROTO_H

#include <stdint.h>

#define DMM_PROTO_VERSION 1
#define DMM_PROTO_FDS     3

enum dmm_request_op {
    DMM_REQ_ATTACH = 1,
    DMM_REQ_FORK,
    DMM_REQ_CHANNEL,
    DMM_REQ_WAITSET,
    DMM_REQ_WAITSET_FREE,
};

struct dmm_request {
    uint32_t version;  /* DMM_PROTO_VERSION */
    uint32_t op;       /* enum dmm_request_op */
    uint32_t pid;      /* as the process sees it, in every request; shown to people, trusted for
                        * nothing */
    uint32_t index;    /* WAITSET_FREE */
    uint8_t token[16]; /* ATTACH: zero, or an earlier client's */
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
    char text[128]; /* why it failed, NUL-terminated */
};

#endif
