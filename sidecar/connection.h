/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection: what attach.c (sockets, connections, the end of clients) and requests.c (what is
 * asked on them) share.
 *
 * Invariants: a connection is a process; `client` is NULL until it attaches. An entry of the client
 * table counts the connections; it and the client live until the worker says that the client is
 * gone. Control thread only.
 */
#ifndef DMM_SIDECAR_CONNECTION_H
#define DMM_SIDECAR_CONNECTION_H

#include "common/proto.h"
#include "sidecar/control.h"

#include <sys/socket.h>

struct connection {
    struct dmm_source source;
    struct connection *next, **link;
    struct dmm_control *control;
    struct dmm_client *client; /* NULL before ATTACH */
    uint32_t process;
    struct ucred peer;
    bool said_refused; /* the first refusal is logged as a warning, others for who asks */
};

struct attached {
    struct attached *next;
    struct dmm_client *client;
    unsigned n_connections;
};

struct dmm_attach {
    struct dmm_source listener;
    struct dmm_control *control;
    struct connection *connections;
    struct attached *clients;
    struct dmm_export_entry *exports; /* exports.h */
    unsigned n_connections, n_clients;
    uint32_t next_id;
    int spare_fd; /* closed to accept and refuse when there are no other fds left */
    bool said_full;
};

/* Watches `fd`, which is the connection's from then on. NULL: out of memory. */
struct connection *dmm_connection_new(struct dmm_attach *attach, int fd);
/* Lets go what the process held. */
void dmm_connection_close(struct connection *connection);
/* The client becomes the connection's. */
void dmm_connection_join(struct connection *connection, struct dmm_client *client,
                         uint32_t process);
/* Enters a new client into the table / takes out one that the worker never knew of, and deletes it.
 */
int dmm_attach_enter(struct dmm_attach *attach, struct dmm_client *client);
void dmm_attach_forget(struct dmm_attach *attach, struct dmm_client *client);
/* What arrives on a connection: a request, what follows some of them, and a file that came along
 * (-1: none). */
struct dmm_asked {
    struct dmm_request request;
    struct dmm_export export;
    size_t len; /* of what was sent, which may be more than fits */
    int fd;
};

/* Answers one request; asked->fd stays the caller's. False: the connection must be closed. */
bool dmm_request_handle(struct connection *connection, const struct dmm_asked *asked);

#endif
