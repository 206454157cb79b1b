/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/exports.h"

#include "common/log.h"
#include "sidecar/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_TRIES 4
#define NONCES     8 /* that are looked at at once */

struct dmm_export_entry {
    struct dmm_source source; /* our end */
    struct dmm_export_entry *next, **link;
    struct dmm_control *control;
    struct dmm_client *client;
    dev_t dev;
    ino_t ino;
    struct dmm_export what;
};

/* Work on the worker: one at a time, the control thread waits. */
struct work {
    struct dmm_export_entry *export;
    struct dmm_client *client; /* the claimer's */
    uint32_t process;
    struct dmm_err *err;
    bool held;
    int rc;
};

static struct dmm_sock *part(struct dmm_export_entry *export, uint32_t i)
{
    return export->client->sockets[export->what.parts[i].index];
}

/* ---- the end ---- */

static void do_release(void *arg)
{
    struct dmm_export_entry *export = arg;
    struct dmm_client *client = export->client;
    if (client->ended)
        return;
    for (uint32_t i = 0; i < export->what.n_parts; i++) {
        if (part(export, i)->bell == export->source.fd + 1)
            part(export, i)->bell = 0;
        dmm_sock_unexport(part(export, i));
    }
    client->n_exports--;
    dmm_client_end_if_unused(client);
}

static void forget(struct dmm_export_entry *export)
{
    *export->link = export->next;
    if (export->next)
        export->next->link = export->link;
    dmm_control_remove(export->control, &export->source);
    close(export->source.fd);
    free(export);
}

static void hung_up(struct dmm_source *source, uint32_t events)
{
    struct dmm_export_entry *export = (struct dmm_export_entry *)source;
    if (!(events & (EPOLLHUP | EPOLLERR)))
        return;
    dmm_worker_call(&export->control->worker, do_release, export);
    forget(export);
}

void dmm_export_drop_client(struct dmm_attach *attach, const struct dmm_client *client)
{
    for (struct dmm_export_entry *next, *at = attach->exports; at; at = next) {
        next = at->next;
        if (at->client == client)
            forget(at);
    }
}

void dmm_export_close_all(struct dmm_attach *attach)
{
    for (struct dmm_export_entry *next, *at = attach->exports; at; at = next) {
        next = at->next;
        dmm_worker_call(&attach->control->worker, do_release, at);
        forget(at);
    }
}

bool dmm_export_any(const struct dmm_attach *attach, const struct dmm_client *client)
{
    const struct dmm_export_entry *at = attach->exports;
    while (at && at->client != client)
        at = at->next;
    return at != NULL;
}

/* ---- EXPORT ---- */

static bool check_wanted(const struct dmm_export *wanted, struct dmm_err *err)
{
    bool kernel = wanted->flags & DMM_EXPORT_KERNEL;
    if (wanted->n_parts <= DMM_MAPPING_INSTANCES && wanted->n_options <= DMM_EXPORT_OPTIONS &&
        (!kernel || wanted->n_parts))
        return true;
    dmm_err_set(err, EINVAL, "EXPORT: %u parts and %u options", wanted->n_parts, wanted->n_options);
    return false;
}

static void do_export(void *arg)
{
    struct work *work = arg;
    struct dmm_export_entry *export = work->export;
    struct dmm_client *client = export->client;
    struct dmm_export *what = &export->what;
    if (client->ended) {
        work->rc = dmm_err_set(work->err, ECONNRESET, "the sidecar has ended this client");
        return;
    }
    if (client->n_exports >= DMM_CLIENT_EXPORTS) {
        work->rc = dmm_err_set(work->err, EAGAIN,
                               "a client may hand over %u sockets to other programs at a time",
                               DMM_CLIENT_EXPORTS);
        return;
    }
    dmm_client_drain_process(client, work->process);
    for (uint32_t i = 0; i < what->n_parts; i++) {
        uint32_t index = what->parts[i].index;
        const struct dmm_sock *sock =
            index < client->limits.max_sockets ? client->sockets[index] : NULL;
        if (!sock || sock->flags & DMM_SOCK_SPARE || !dmm_sock_held(sock, work->process)) {
            work->rc = dmm_err_set(work->err, EBADF, "socket %u is not one of this process", index);
            return;
        }
        what->parts[i].instance = (uint8_t)sock->instance->id;
        what->parts[i].family = (uint8_t)sock->family;
    }
    for (uint32_t i = 0; i < what->n_parts; i++) {
        part(export, i)->exports++;
        if (what->flags & DMM_EXPORT_SIGNALS)
            part(export, i)->bell = export->source.fd + 1;
    }
    client->n_exports++;
}

/* The pair: ours stays in the export; the other end has a name, by which people and shims know it
 * for what it is. */
static int make_pair(struct dmm_export_entry *export, int *theirs, struct dmm_err *err)
{
    int ends[2];
    struct stat st;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
        return dmm_err_set(err, errno, "a socketpair: %s%s", strerror(errno),
                           errno == EMFILE ? " (the sidecar's limit of open files)" : "");
    export->source.fd = ends[0];
    *theirs = ends[1];
    int rc = -1;
    for (int tries = 0; rc && tries < NAME_TRIES; tries++) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        uint64_t random;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
            break;
        int n = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "%s%016llx",
                         DMM_PLACEHOLDER_NAME, (unsigned long long)random);
        rc = bind(ends[1], (struct sockaddr *)&name,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n));
    }
    if (!rc)
        rc = shutdown(ends[0], SHUT_RD) || fstat(ends[1], &st) ? -1 : 0;
    if (rc) {
        rc = dmm_err_set(err, errno, "a placeholder: %s", strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return rc;
    }
    export->dev = st.st_dev;
    export->ino = st.st_ino;
    return 0;
}

static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof(cookie);
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) ? 0 : cookie;
}

int dmm_export_make(struct connection *connection, const struct dmm_export *wanted, int kernel_fd,
                    struct dmm_err *err)
{
    struct dmm_control *control = connection->control;
    struct dmm_attach *attach = control->attach;
    if (!check_wanted(wanted, err))
        return -err->code;
    struct dmm_export_entry *export = calloc(1, sizeof(*export));
    if (!export)
        return dmm_err_set(err, ENOMEM, "out of memory for a placeholder");
    export->source.ready = hung_up;
    export->control = control;
    export->client = connection->client;
    export->what = *wanted;
    int theirs = -1;
    int rc = make_pair(export, &theirs, err);
    if (rc) {
        free(export);
        return rc;
    }
    export->what.cookie = wanted->flags & DMM_EXPORT_KERNEL ? cookie_of(kernel_fd) : 0;
    struct work work = {.export = export, .process = connection->process, .err = err};
    if (wanted->flags & DMM_EXPORT_KERNEL && !export->what.cookie)
        work.rc = dmm_err_set(err, EBADF, "EXPORT: no kernel socket came along");
    /* Hang-ups are told whatever is asked for; readable it is always, being shut. */
    if (!work.rc && (rc = dmm_control_add(control, &export->source, 0)))
        work.rc = dmm_err_set(err, -rc, "epoll: %s", strerror(-rc));
    else if (!work.rc) {
        dmm_worker_call(&control->worker, do_export, &work);
        if (work.rc)
            dmm_control_remove(control, &export->source);
    }
    if (work.rc) {
        close(export->source.fd);
        close(theirs);
        free(export);
        return work.rc;
    }
    export->next = attach->exports;
    export->link = &attach->exports;
    if (export->next)
        export->next->link = &export->next;
    attach->exports = export;
    return theirs;
}

/* ---- CLAIM ---- */

static bool proves(const struct dmm_export_entry *export, int fd)
{
    uint8_t nonce[16];
    uint8_t back[NONCES * sizeof(nonce)];
    /* Nonces of earlier claims, and O_ASYNC's bytes. */
    while (recv(fd, back, sizeof(back), MSG_DONTWAIT) > 0)
        ;
    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce) ||
        send(export->source.fd, nonce, sizeof(nonce), MSG_DONTWAIT | MSG_NOSIGNAL) !=
            (ssize_t)sizeof(nonce))
        return false;
    ssize_t n = recv(fd, back, sizeof(back), MSG_DONTWAIT);
    return n > 0 && memmem(back, (size_t)n, nonce, sizeof(nonce));
}

static struct dmm_export_entry *find(const struct dmm_attach *attach, int fd)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || !S_ISSOCK(st.st_mode))
        return NULL;
    for (struct dmm_export_entry *at = attach->exports; at; at = at->next)
        if (at->ino == st.st_ino && at->dev == st.st_dev && proves(at, fd))
            return at;
    uint64_t cookie = cookie_of(fd);
    for (struct dmm_export_entry *at = attach->exports; cookie && at; at = at->next)
        if (at->what.cookie == cookie)
            return at;
    return NULL;
}

static bool held_elsewhere(struct dmm_export_entry *export)
{
    for (uint32_t i = 0; i < export->what.n_parts; i++) {
        const struct dmm_sock *sock = part(export, i);
        if (dmm_sock_has_holder(sock) || sock->exports > 1)
            return true;
    }
    return false;
}

/* A new owner, of another client, where no process of the old one is in the way. */
static int move_all(struct work *work)
{
    struct dmm_export_entry *export = work->export;
    struct dmm_client *from = export->client;
    uint32_t moved[DMM_MAPPING_INSTANCES];
    for (uint32_t i = 0; i < from->n_channels; i++) {
        /* A CLOSE may be on its way. */
        dmm_client_drain_process(from, from->channels[from->active_channels[i]].process);
    }
    if (from->violation[0])
        return dmm_err_set(work->err, ECONNRESET, "its client has been ended");
    if (held_elsewhere(export))
        return work->client->n_sockets > work->client->n_spares || work->client->n_processes > 1 ||
                       work->client->uid != from->uid
                   ? dmm_err_set(work->err, EBUSY,
                                 "a process of another client still holds the socket")
                   : dmm_err_set(work->err, EXDEV, "its client must be joined");
    for (uint32_t i = 0; i < export->what.n_parts; i++) {
        struct dmm_sock *sock = part(export, i);
        int rc = dmm_sock_move(sock, work->client);
        moved[i] = rc ? DMM_NONE : sock->index;
        if (rc && i == 0)
            return dmm_err_set(work->err, -rc, "the socket cannot be moved: %s", strerror(-rc));
        if (rc) {
            /* Some are over there already: those that can't follow end. */
            dmm_sock_unexport(sock);
            export->what.n_parts = i;
        }
    }
    for (uint32_t i = 0; i < export->what.n_parts; i++)
        export->what.parts[i].index = moved[i];
    export->client = work->client;
    work->client->n_exports++;
    from->n_exports--;
    dmm_client_end_if_unused(from);
    return 0;
}

static void do_claim(void *arg)
{
    struct work *work = arg;
    struct dmm_export_entry *export = work->export;
    if (work->client->ended || export->client->ended) {
        work->rc = dmm_err_set(work->err, ECONNRESET, "the sidecar has ended this client");
        return;
    }
    if (export->client != work->client)
        work->rc = move_all(work);
    for (uint32_t i = 0; !work->rc && i < export->what.n_parts; i++) {
        work->held |= dmm_sock_held(part(export, i), work->process);
        dmm_sock_hold(part(export, i), work->process);
    }
}

int dmm_export_claim(struct connection *connection, int fd, struct dmm_export *out, uint8_t *token,
                     struct dmm_err *err)
{
    struct dmm_control *control = connection->control;
    struct dmm_export_entry *export = find(control->attach, fd);
    if (!export)
        return dmm_err_set(err, ENOENT, "this is no socket of a stack");
    struct work work = {
        .export = export, .client = connection->client, .process = connection->process, .err = err};
    const struct dmm_client *owner = export->client;
    dmm_worker_call(&control->worker, do_claim, &work);
    if (work.rc == -EXDEV)
        memcpy(token, owner->token, sizeof(owner->token));
    *out = export->what;
    out->flags &= DMM_EXPORT_KERNEL | DMM_EXPORT_SIGNALS;
    out->flags |= work.held ? DMM_EXPORT_HELD : 0;
    return work.rc;
}
