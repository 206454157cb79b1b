/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attach socket, and the control connections: requests of common/proto.h are answered here.
 * A connection is a process: when it ends, what the process held is let go.
 */
#include "common/log.h"
#include "common/proto.h"
#include "sidecar/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 16384

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
    unsigned n_connections, n_clients;
    uint32_t next_id;
    int spare_fd; /* closed to accept and refuse when there are no other fds left */
    bool said_full;
};

/* A request on the worker: one at a time, the control thread waits. */
struct work {
    struct dmm_client *client;
    struct dmm_worker *worker;
    const struct dmm_request *request;
    struct dmm_response *response;
    uint32_t process;
    int fd; /* doorbell end that becomes the worker's */
    struct dmm_err err;
    int rc;
};

/* ---- connections ---- */

static void connection_ready(struct dmm_source *source, uint32_t events);

static struct connection *connection_new(struct dmm_attach *attach, int fd)
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
    struct work *work = arg;
    if (!work->client->ended)
        dmm_client_remove_process(work->client, work->process);
}

static void connection_close(struct connection *connection)
{
    struct dmm_attach *attach = connection->control->attach;
    if (connection->client) {
        struct work work = {.client = connection->client, .process = connection->process};
        dmm_worker_call(&connection->control->worker, remove_process, &work);
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
            connection_close(at);
    }
}

static void on_gone(struct dmm_control *control, struct dmm_message *message)
{
    struct dmm_client *client = ((struct client_message *)message)->client;
    struct attached **link = &control->attach->clients;
    free(message);
    while ((*link)->client != client)
        link = &(*link)->next;
    struct attached *entry = *link;
    *link = entry->next;
    free(entry);
    control->attach->n_clients--;
    dmm_log(DMM_LOG_DEBUG, "client %u is gone", client->id);
    dmm_client_delete(client);
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

/* ---- requests, on the worker ---- */

static int add_channel_and_waitset(struct work *work)
{
    struct dmm_client *client = work->client;
    int channel = dmm_client_add_channel(client, work->process, &work->err);
    if (channel < 0)
        return channel;
    int waitset = dmm_client_add_waitset(client, work->process, work->fd, &work->err);
    if (waitset < 0)
        return waitset;
    work->fd = -1;
    work->response->channel = (uint32_t)channel;
    work->response->waitset = (uint32_t)waitset;
    return 0;
}

static bool ended(struct work *work)
{
    if (!work->client->ended)
        return false;
    work->rc = dmm_err_set(&work->err, ECONNRESET, "the sidecar has ended this client");
    return true;
}

static void do_attach(void *arg)
{
    struct work *work = arg;
    if (!work->client->worker) {
        work->rc = dmm_worker_add_client(work->worker, work->client);
        if (work->rc) {
            dmm_err_set(&work->err, -work->rc, "the worker takes no more clients");
            return;
        }
    } else if (ended(work)) {
        return;
    }
    int process =
        dmm_client_add_process(work->client, work->request->pid, work->request->comm, &work->err);
    work->rc = process;
    if (process < 0)
        return;
    work->process = work->response->process = (uint32_t)process;
    work->rc = add_channel_and_waitset(work);
    if (work->rc)
        dmm_client_remove_process(work->client, work->process);
}

static void do_fork(void *arg)
{
    struct work *work = arg;
    if (ended(work))
        return;
    int child = dmm_client_fork_process(work->client, work->process, &work->err);
    work->rc = child;
    if (child < 0)
        return;
    work->process = work->response->process = (uint32_t)child;
    work->rc = add_channel_and_waitset(work);
    if (work->rc)
        dmm_client_remove_process(work->client, work->process);
}

static void do_channel(void *arg)
{
    struct work *work = arg;
    if (ended(work))
        return;
    work->rc = dmm_client_add_channel(work->client, work->process, &work->err);
    work->response->channel = work->rc < 0 ? 0 : (uint32_t)work->rc;
}

static void do_waitset(void *arg)
{
    struct work *work = arg;
    if (ended(work))
        return;
    work->rc = dmm_client_add_waitset(work->client, work->process, work->fd, &work->err);
    work->response->waitset = work->rc < 0 ? 0 : (uint32_t)work->rc;
    if (work->rc >= 0)
        work->fd = -1;
}

static void do_waitset_free(void *arg)
{
    struct work *work = arg;
    if (!ended(work))
        work->rc = dmm_client_remove_waitset(work->client, work->process, work->request->index,
                                             &work->err);
}

static void do_name(void *arg)
{
    struct work *work = arg;
    if (work->client->ended)
        return;
    struct dmm_process *process = &work->client->processes[work->process];
    process->pid = work->request->pid;
    if (work->request->comm[0])
        memcpy(process->comm, work->request->comm, sizeof(process->comm));
}

/* ---- requests, here ---- */

/* The fds of a response; the app's ends, closed here after it was sent. */
struct gift {
    int fds[DMM_PROTO_FDS];
    int n;
};

static int pair(int type, int ends[2], struct dmm_err *err)
{
    if (!socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends))
        return 0;
    return dmm_err_set(err, errno, "a socketpair: %s%s", strerror(errno),
                       errno == EMFILE ? " (the sidecar's limit of open files)" : "");
}

static int dup_to(struct gift *gift, int fd, struct dmm_err *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return dmm_err_set(err, errno, "dup: %s", strerror(errno));
    gift->fds[gift->n++] = copy;
    return 0;
}

static struct dmm_client *find_token(const struct dmm_attach *attach, const uint8_t token[16],
                                     uid_t uid)
{
    static const uint8_t none[16];
    if (!memcmp(token, none, sizeof(none)))
        return NULL;
    for (struct attached *at = attach->clients; at; at = at->next)
        if (!memcmp(at->client->token, token, 16) && at->client->uid == uid && at->n_connections)
            return at->client;
    return NULL;
}

static int new_client(struct dmm_attach *attach, const struct dmm_request *request,
                      const struct ucred *peer, struct dmm_client **client, struct dmm_err *err)
{
    static const uint8_t none[16];
    const struct dmm_limits *limits = &attach->control->options.limits;
    if (attach->n_clients >= limits->max_clients)
        return dmm_err_set(err, EAGAIN,
                           "the sidecar has %u clients, as many as --max-clients allows",
                           attach->n_clients);
    struct attached *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return dmm_err_set(err, ENOMEM, "out of memory for a client");
    int rc = dmm_client_new(client, limits, err);
    if (rc) {
        free(entry);
        return rc;
    }
    (*client)->id = ++attach->next_id;
    (*client)->uid = peer->uid;
    (*client)->gid = peer->gid;
    memcpy((*client)->token, request->token, sizeof(request->token));
    if (!memcmp(request->token, none, sizeof(none)))
        (void)!getrandom((*client)->token, sizeof(request->token), 0);
    entry->client = *client;
    entry->next = attach->clients;
    attach->clients = entry;
    attach->n_clients++;
    return 0;
}

/* A client that the worker never knew of. */
static void forget_client(struct dmm_attach *attach, struct dmm_client *client)
{
    struct attached *entry = attach->clients;
    attach->clients = entry->next;
    attach->n_clients--;
    free(entry);
    dmm_client_delete(client);
}

static int attach_request(struct connection *connection, struct work *work, struct gift *gift)
{
    struct dmm_attach *attach = connection->control->attach;
    int ends[2];
    if (connection->client)
        return dmm_err_set(&work->err, EISCONN, "this process is attached already");
    work->client = find_token(attach, work->request->token, connection->peer.uid);
    int rc = work->client
                 ? 0
                 : new_client(attach, work->request, &connection->peer, &work->client, &work->err);
    if (rc)
        return rc;
    rc = pair(SOCK_STREAM, ends, &work->err);
    if (!rc) {
        if (dup_to(gift, work->client->memfd, &work->err) ||
            dup_to(gift, work->client->doorbell, &work->err)) {
            close(ends[1]);
            rc = -work->err.code;
        } else {
            gift->fds[gift->n++] = ends[1];
        }
        work->fd = ends[0];
    }
    if (!rc) {
        dmm_worker_call(&connection->control->worker, do_attach, work);
        rc = work->rc;
    }
    if (rc) {
        if (!work->client->worker)
            forget_client(attach, work->client);
        return rc;
    }
    connection->client = work->client;
    connection->process = work->process;
    find_client(attach, work->client)->n_connections++;
    work->response->region_size = work->client->layout.size;
    memcpy(work->response->token, work->client->token, sizeof(work->response->token));
    return 0;
}

static int fork_request(struct connection *connection, struct work *work, struct gift *gift)
{
    struct dmm_attach *attach = connection->control->attach;
    int bell[2], line[2];
    int rc = pair(SOCK_STREAM, bell, &work->err);
    if (rc)
        return rc;
    work->fd = bell[0];
    gift->fds[gift->n++] = bell[1];
    rc = pair(SOCK_SEQPACKET, line, &work->err);
    if (rc)
        return rc;
    gift->fds[gift->n++] = gift->fds[0];
    gift->fds[0] = line[1];
    struct connection *child = connection_new(attach, line[0]);
    if (!child) {
        close(line[0]);
        return dmm_err_set(&work->err, ENOMEM, "out of memory for a process");
    }
    dmm_worker_call(&connection->control->worker, do_fork, work);
    if (work->rc < 0) {
        connection_close(child);
        return work->rc;
    }
    child->client = connection->client;
    child->process = work->process;
    child->peer = connection->peer;
    find_client(attach, child->client)->n_connections++;
    return 0;
}

static int waitset_request(struct connection *connection, struct work *work, struct gift *gift)
{
    int ends[2];
    int rc = pair(SOCK_STREAM, ends, &work->err);
    if (rc)
        return rc;
    work->fd = ends[0];
    gift->fds[gift->n++] = ends[1];
    dmm_worker_call(&connection->control->worker, do_waitset, work);
    return work->rc;
}

static int carry_out(struct connection *connection, struct work *work, struct gift *gift)
{
    struct dmm_worker *worker = &connection->control->worker;
    if (work->request->op != DMM_REQ_ATTACH && !connection->client)
        return dmm_err_set(&work->err, ENOTCONN, "this process is not attached");
    if (connection->client)
        dmm_worker_call(worker, do_name, work);
    switch (work->request->op) {
    case DMM_REQ_ATTACH:
        return attach_request(connection, work, gift);
    case DMM_REQ_FORK:
        return fork_request(connection, work, gift);
    case DMM_REQ_CHANNEL:
        dmm_worker_call(worker, do_channel, work);
        return work->rc;
    case DMM_REQ_WAITSET:
        return waitset_request(connection, work, gift);
    case DMM_REQ_WAITSET_FREE:
        dmm_worker_call(worker, do_waitset_free, work);
        return work->rc;
    default:
        return dmm_err_set(&work->err, EPROTO, "request %u is unknown", work->request->op);
    }
}

static bool respond(struct connection *connection, const struct dmm_response *response,
                    const struct gift *gift)
{
    struct iovec iov = {(void *)(uintptr_t)response, sizeof(*response)};
    union {
        char space[CMSG_SPACE(sizeof(gift->fds))];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (gift->n) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE((size_t)gift->n * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)gift->n * sizeof(int));
        memcpy(CMSG_DATA(header), gift->fds, (size_t)gift->n * sizeof(int));
    }
    return sendmsg(connection->source.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
           (ssize_t)sizeof(*response);
}

/* Answers one request. False: the connection must be closed. */
static bool handle_request(struct connection *connection, const struct dmm_request *request,
                           size_t len)
{
    struct dmm_response response = {.version = DMM_PROTO_VERSION};
    struct gift gift = {.n = 0};
    struct work work = {.client = connection->client,
                        .worker = &connection->control->worker,
                        .request = request,
                        .response = &response,
                        .process = connection->process,
                        .fd = -1};
    int rc;
    bool garbage = len != sizeof(*request) || request->version != DMM_PROTO_VERSION;
    if (garbage)
        rc = dmm_err_set(&work.err, EPROTO,
                         "a request of %zu bytes and version %u; this sidecar knows %zu and %u",
                         len, len < 4 ? 0 : request->version, sizeof(*request), DMM_PROTO_VERSION);
    else
        rc = carry_out(connection, &work, &gift);
    if (work.fd >= 0)
        close(work.fd);
    response.result = rc < 0 ? rc : 0;
    response.n_fds = rc < 0 ? 0 : (uint32_t)gift.n;
    if (rc < 0)
        snprintf(response.text, sizeof(response.text), "%.127s", work.err.text);
    if (rc < 0) {
        dmm_log(connection->said_refused ? DMM_LOG_DEBUG : DMM_LOG_WARN,
                "a request of uid %u, process %u/%.15s is refused: %s", connection->peer.uid,
                garbage ? 0 : request->pid, garbage ? "" : request->comm, work.err.text);
        connection->said_refused = true;
    }
    struct gift none = {.n = 0};
    bool sent = respond(connection, &response, rc < 0 ? &none : &gift);
    for (int i = 0; i < gift.n; i++)
        close(gift.fds[i]);
    return sent && !garbage;
}

static void connection_ready(struct dmm_source *source, uint32_t events)
{
    struct connection *connection = (struct connection *)source;
    struct dmm_request request = {0};
    (void)events;
    ssize_t n = recv(source->fd, &request, sizeof(request), MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    request.comm[sizeof(request.comm) - 1] = 0;
    if (n <= 0 || !handle_request(connection, &request, (size_t)n))
        connection_close(connection);
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
    struct connection *connection = connection_new(attach, fd);
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
    while (control->attach && control->attach->connections)
        connection_close(control->attach->connections);
}

unsigned dmm_attach_clients(const struct dmm_control *control)
{
    return control->attach ? control->attach->n_clients : 0;
}
