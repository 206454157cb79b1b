/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attach socket, the control connections, and the table of clients. A connection is a process:
 * when it ends, what the process held is let go.
 */
#include "common/log.h"
#include "sidecar/connection.h"
#include "sidecar/exports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CONNECTIONS 16384

/* ---- connections ---- */

static void connection_ready(struct dmm_source *source, uint32_t events);

struct connection *dmm_connection_new(struct dmm_attach *attach, int fd)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->source = (struct dmm_source){connection_ready, fd};
    connection->control = attach->control;
    if (dmm_control_add(attach->control, &connection->source, EPOLLIN | EPOLLRDHUP)) {
        free(connection);
        return NULL;
    }
    connection->next = attach->connections;
    connection->link = &attach->connections;
    if (connection->next)
        connection->next->link = &connection->next;
    attach->connections = connection;
    attach->n_connections++;
    return connection;
}

static struct attached *find_client(const struct dmm_attach *attach,
                                    const struct dmm_client *client)
{
    struct attached *at = attach->clients;
    while (at && at->client != client)
        at = at->next;
    return at;
}

static void remove_process(void *arg)
{
    struct connection *connection = arg;
    if (!connection->client->ended)
        dmm_client_remove_process(connection->client, connection->process);
}

void dmm_connection_join(struct connection *connection, struct dmm_client *client, uint32_t process)
{
    connection->client = client;
    connection->process = process;
    find_client(connection->control->attach, client)->n_connections++;
}

void dmm_connection_close(struct connection *connection)
{
    struct dmm_attach *attach = connection->control->attach;
    if (connection->client) {
        dmm_worker_call(&connection->control->worker, remove_process, connection);
        find_client(attach, connection->client)->n_connections--;
    }
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    attach->n_connections--;
    close(connection->source.fd);
    free(connection);
}

/* ---- the worker's news about clients ---- */

struct client_message {
    struct dmm_message message;
    uint32_t id;
    struct dmm_client *client;
};

static void on_ended(struct dmm_control *control, struct dmm_message *message)
{
    uint32_t id = ((struct client_message *)message)->id;
    free(message);
    for (struct connection *next, *at = control->attach->connections; at; at = next) {
        next = at->next;
        if (at->client && at->client->id == id)
            dmm_connection_close(at);
    }
    for (struct attached *at = control->attach->clients; at; at = at->next)
        if (at->client->id == id)
            dmm_export_drop_client(control->attach, at->client);
}

static void on_gone(struct dmm_control *control, struct dmm_message *message)
{
    struct dmm_client *client = ((struct client_message *)message)->client;
    free(message);
    dmm_log(DMM_LOG_DEBUG, "client %u is gone", client->id);
    dmm_attach_forget(control->attach, client);
}

static void tell(struct dmm_control *control,
                 void (*run)(struct dmm_control *, struct dmm_message *), uint32_t id,
                 struct dmm_client *client)
{
    struct client_message *message = malloc(sizeof(*message));
    if (!message) {
        dmm_log(DMM_LOG_ERROR, "out of memory: client %u stays in the tables", id);
        return;
    }
    *message = (struct client_message){.message.run = run, .id = id, .client = client};
    dmm_control_tell(control, &message->message);
}

void dmm_attach_client_ended(void *control, uint32_t id)
{
    tell(control, on_ended, id, NULL);
}

void dmm_attach_client_gone(void *control, struct dmm_client *client)
{
    tell(control, on_gone, client->id, client);
}

/* ---- the table of clients ---- */

int dmm_attach_enter(struct dmm_attach *attach, struct dmm_client *client)
{
    struct attached *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    entry->client = client;
    entry->next = attach->clients;
    attach->clients = entry;
    attach->n_clients++;
    return 0;
}

void dmm_attach_forget(struct dmm_attach *attach, struct dmm_client *client)
{
    struct attached **link = &attach->clients;
    while ((*link)->client != client)
        link = &(*link)->next;
    struct attached *entry = *link;
    *link = entry->next;
    free(entry);
    attach->n_clients--;
    dmm_client_delete(client);
}

/* The first file that came along; others are closed. */
static int take_fd(struct msghdr *message)
{
    int taken = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (taken < 0)
                taken = fd;
            else
                close(fd);
        }
    }
    return taken;
}

static void connection_ready(struct dmm_source *source, uint32_t events)
{
    struct connection *connection = (struct connection *)source;
    struct dmm_asked asked = {.fd = -1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov[2] = {{&asked.request, sizeof(asked.request)},
                           {&asked.export, sizeof(asked.export)}};
    struct msghdr message = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control)};
    (void)events;
    ssize_t n = recvmsg(source->fd, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        asked.fd = take_fd(&message);
    asked.len = n > 0 ? (size_t)n : 0;
    asked.request.comm[sizeof(asked.request.comm) - 1] = 0;
    if (n <= 0 || !dmm_request_handle(connection, &asked))
        dmm_connection_close(connection);
    if (asked.fd >= 0)
        close(asked.fd);
}

/* ---- the attach socket ---- */

static bool allowed(const struct dmm_options *options, uid_t uid)
{
    for (unsigned i = 0; i < options->n_uids; i++)
        if (options->uids[i] == uid)
            return true;
    return options->n_uids == 0;
}

static void refuse(int fd, int code, const char *why)
{
    struct dmm_response response = {.version = DMM_PROTO_VERSION, .result = -code};
    snprintf(response.text, sizeof(response.text), "%s", why);
    (void)!send(fd, &response, sizeof(response), MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

/* Out of fds: the spare one lets us take the next in line and turn it away. */
static void accept_and_refuse(struct dmm_attach *attach)
{
    if (!attach->said_full)
        dmm_log(DMM_LOG_ERROR, "out of file descriptors: processes that attach are turned away");
    attach->said_full = true;
    close(attach->spare_fd);
    int fd = accept4(attach->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        refuse(fd, EMFILE, "the sidecar is out of file descriptors");
    attach->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_ready(struct dmm_source *source, uint32_t events)
{
    struct dmm_attach *attach = (struct dmm_attach *)source;
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            accept_and_refuse(attach);
        return;
    }
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) {
        close(fd);
        return;
    }
    if (!allowed(&attach->control->options, peer.uid)) {
        dmm_log(DMM_LOG_WARN, "uid %u may not attach (--allow-uid)", peer.uid);
        refuse(fd, EACCES, "the sidecar serves only the users named by --allow-uid");
        return;
    }
    if (attach->n_connections >= MAX_CONNECTIONS) {
        refuse(fd, EAGAIN, "the sidecar has too many control connections");
        return;
    }
    struct connection *connection = dmm_connection_new(attach, fd);
    if (!connection) {
        refuse(fd, ENOMEM, "the sidecar is out of memory");
        return;
    }
    connection->peer = peer;
}

int dmm_attach_open(struct dmm_control *control, struct dmm_err *err)
{
    struct dmm_attach *attach = calloc(1, sizeof(*attach));
    if (!attach)
        return dmm_err_set(err, ENOMEM, "out of memory");
    control->attach = attach;
    attach->control = control;
    attach->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    attach->listener.ready = listener_ready;
    attach->listener.fd =
        dmm_listen_unix(control->options.pod_dir, DMM_ATTACH_SOCKET, SOCK_SEQPACKET, 0666, err);
    if (attach->listener.fd < 0)
        return attach->listener.fd;
    int rc = dmm_control_add(control, &attach->listener, EPOLLIN);
    return rc ? dmm_err_set(err, -rc, "epoll: %s", strerror(-rc)) : 0;
}

void dmm_attach_stop(struct dmm_control *control)
{
    struct dmm_attach *attach = control->attach;
    char path[4096];
    if (!attach || attach->listener.fd < 0)
        return;
    snprintf(path, sizeof(path), "%s/%s", control->options.pod_dir, DMM_ATTACH_SOCKET);
    unlink(path);
    close(attach->listener.fd);
    close(attach->spare_fd);
    attach->listener.fd = -1;
}

void dmm_attach_close(struct dmm_control *control)
{
    struct connection *at = control->attach ? control->attach->connections : NULL;
    for (struct connection *next; at; at = next) {
        next = at->next;
        dmm_connection_close(at);
    }
    if (control->attach)
        dmm_export_close_all(control->attach);
}

unsigned dmm_attach_clients(const struct dmm_control *control)
{
    return control->attach ? control->attach->n_clients : 0;
}
