/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the messages of common/proto.h on a connected socket: one request, one response with its
 * fds. Knows nothing of clients. Signals are held back meanwhile by the caller's choice: both calls
 * go on after EINTR.
 */
#ifndef DMM_PRELOAD_CONTROL_H
#define DMM_PRELOAD_CONTROL_H

#include "common/proto.h"

/* A connected SOCK_SEQPACKET socket (not protected), or a negative errno. A sidecar that does not
 * answer within 5 s counts as absent. */
int control_connect(const char *path);
/* Sends the request and waits for its response. fds beyond response->n_fds are -1; all fds are
 * close-on-exec and the caller's. 0 or a negative errno: of the connection (-ECONNRESET), -EPROTO
 * for a response that makes no sense, or response->result. On error no fd is left. */
int control_call(int fd, const struct dmm_request *request, struct dmm_response *response,
                 int fds[DMM_PROTO_FDS]);

/* What goes along with EXPORT and CLAIM. */
struct control_more {
    const struct dmm_export *export; /* EXPORT: follows the request; else NULL */
    int file;                        /* goes along; -1: none */
    struct dmm_export *claimed;      /* CLAIM: follows a good response; else NULL */
};
/* The two halves: several requests may be sent before the first one's response is waited for. */
int control_send(int fd, const struct dmm_request *request, const struct control_more *more);
int control_receive(int fd, const struct control_more *more, struct dmm_response *response,
                    int fds[DMM_PROTO_FDS]);
/* control_call() with that. */
int control_call_more(int fd, const struct dmm_request *request, const struct control_more *more,
                      struct dmm_response *response, int fds[DMM_PROTO_FDS]);

#endif
