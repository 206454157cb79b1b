/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of common/proto.h: fds are made here, tables are changed on the worker. */
#include "common/log.h"
#include "common/version.h"
#include "sidecar/connection.h"
#include "sidecar/exports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* A request on the worker: one at a time, the control thread waits. */
struct work {
    struct dmm_client *client;
    struct dmm_worker *worker;
    const struct dmm_asked *asked;
    const struct dmm_request *request;
    struct dmm_response *response;
    struct dmm_export *claimed; /* CLAIM: follows the response */
    uint32_t process;
    int fd; /* doorbell end that becomes the worker's */
    struct dmm_err err;
    int rc;
};

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

/* Only this thread's calls change them. */
static bool renamed(const struct work *work)
{
    const struct dmm_process *process = &work->client->processes[work->process];
    return process->pid != work->request->pid ||
           (work->request->comm[0] &&
            memcmp(process->comm, work->request->comm, sizeof(process->comm)) != 0);
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
        if (!memcmp(at->client->token, token, 16) && at->client->uid == uid &&
            (at->n_connections || dmm_export_any(attach, at->client)))
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
    int rc = dmm_client_new(client, limits, err);
    if (rc)
        return rc;
    if (dmm_attach_enter(attach, *client)) {
        dmm_client_delete(*client);
        return dmm_err_set(err, ENOMEM, "out of memory for a client");
    }
    (*client)->id = ++attach->next_id;
    (*client)->uid = peer->uid;
    (*client)->gid = peer->gid;
    memcpy((*client)->token, request->token, sizeof(request->token));
    if (!memcmp(request->token, none, sizeof(none)))
        (void)!getrandom((*client)->token, sizeof(request->token), 0);
    return 0;
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
            dmm_attach_forget(attach, work->client);
        return rc;
    }
    dmm_connection_join(connection, work->client, work->process);
    work->response->region_size = work->client->layout.size;
    memcpy(work->response->token, work->client->token, sizeof(work->response->token));
    snprintf(work->response->text, sizeof(work->response->text), "%s", DMM_VERSION);
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
    struct connection *child = dmm_connection_new(attach, line[0]);
    if (!child) {
        close(line[0]);
        return dmm_err_set(&work->err, ENOMEM, "out of memory for a process");
    }
    dmm_worker_call(&connection->control->worker, do_fork, work);
    if (work->rc < 0) {
        dmm_connection_close(child);
        return work->rc;
    }
    child->peer = connection->peer;
    dmm_connection_join(child, connection->client, work->process);
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

static int export_request(struct connection *connection, struct work *work, struct gift *gift)
{
    int fd = dmm_export_make(connection, &work->asked->export, work->asked->fd, &work->err);
    if (fd >= 0)
        gift->fds[gift->n++] = fd;
    return fd < 0 ? fd : 0;
}

static int carry_out(struct connection *connection, struct work *work, struct gift *gift)
{
    struct dmm_worker *worker = &connection->control->worker;
    if (work->request->op != DMM_REQ_ATTACH && !connection->client)
        return dmm_err_set(&work->err, ENOTCONN, "this process is not attached");
    if (connection->client && renamed(work))
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
    case DMM_REQ_EXPORT:
        return export_request(connection, work, gift);
    case DMM_REQ_CLAIM:
        return dmm_export_claim(connection, work->asked->fd, work->claimed, work->response->token,
                                &work->err);
    default:
        return dmm_err_set(&work->err, EPROTO, "request %u is unknown", work->request->op);
    }
}

static bool respond(struct connection *connection, const struct dmm_response *response,
                    const struct dmm_export *claimed, const struct gift *gift)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)response, sizeof(*response)},
                           {(void *)(uintptr_t)claimed, claimed ? sizeof(*claimed) : 0}};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(gift->fds))];
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = claimed ? 2 : 1};
    if (gift->n) {
        memset(control, 0, sizeof(control));
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE((size_t)gift->n * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)gift->n * sizeof(int));
        memcpy(CMSG_DATA(header), gift->fds, (size_t)gift->n * sizeof(int));
    }
    return sendmsg(connection->source.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
           (ssize_t)(iov[0].iov_len + iov[1].iov_len);
}

bool dmm_request_handle(struct connection *connection, const struct dmm_asked *asked)
{
    const struct dmm_request *request = &asked->request;
    struct dmm_export claimed = {.n_parts = 0};
    struct dmm_response response = {.version = DMM_PROTO_VERSION};
    struct gift gift = {.n = 0};
    struct work work = {.client = connection->client,
                        .worker = &connection->control->worker,
                        .asked = asked,
                        .request = request,
                        .response = &response,
                        .claimed = &claimed,
                        .process = connection->process,
                        .fd = -1};
    int rc;
    size_t expected =
        sizeof(*request) + (request->op == DMM_REQ_EXPORT ? sizeof(asked->export) : 0);
    bool garbage = asked->len != expected || request->version != DMM_PROTO_VERSION;
    if (garbage)
        rc = dmm_err_set(&work.err, EPROTO,
                         "the sidecar, DMM " DMM_VERSION ", speaks protocol %u (%zu bytes); this "
                         "request is of protocol %u (%zu bytes)",
                         DMM_PROTO_VERSION, expected, asked->len < 4 ? 0 : request->version,
                         asked->len);
    else
        rc = carry_out(connection, &work, &gift);
    if (work.fd >= 0)
        close(work.fd);
    response.result = rc < 0 ? rc : 0;
    response.n_fds = rc < 0 ? 0 : (uint32_t)gift.n;
    if (rc < 0) {
        snprintf(response.text, sizeof(response.text), "%.127s", work.err.text);
        /* That a file is not ours is an answer like any other. */
        bool usual = rc == -ENOENT || rc == -EXDEV || rc == -EBUSY;
        dmm_log(connection->said_refused || usual ? DMM_LOG_DEBUG : DMM_LOG_WARN,
                "a request of uid %u, process %u/%.15s is refused: %s", connection->peer.uid,
                garbage ? 0 : request->pid, garbage ? "" : request->comm, work.err.text);
        connection->said_refused |= !usual;
    }
    struct gift none = {.n = 0};
    bool sent =
        respond(connection, &response, rc >= 0 && request->op == DMM_REQ_CLAIM ? &claimed : NULL,
                rc < 0 ? &none : &gift);
    for (int i = 0; i < gift.n; i++)
        close(gift.fds[i]);
    return sent && !garbage;
}
