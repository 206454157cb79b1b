/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/control.h"

#include "common/log.h"
#include "sidecar/api.h"
#include "sidecar/podwatch.h"
#include "sidecar/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <fcntl.h>
#include <stdio.h>

#define TICK_MS 500 /* while something is missing */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int dmm_control_add(struct dmm_control *control, struct dmm_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) ? -errno : 0;
}

void dmm_control_remove(struct dmm_control *control, struct dmm_source *source)
{
    epoll_ctl(control->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

/* ---- messages from other threads ---- */

void dmm_control_tell(struct dmm_control *control, struct dmm_message *message)
{
    const uint64_t one = 1;
    message->next = NULL;
    pthread_mutex_lock(&control->lock);
    *control->queue_end = message;
    control->queue_end = &message->next;
    pthread_mutex_unlock(&control->lock);
    (void)!write(control->messages.fd, &one, sizeof(one));
}

static void run_messages(struct dmm_control *control)
{
    pthread_mutex_lock(&control->lock);
    struct dmm_message *message = control->queue;
    control->queue = NULL;
    control->queue_end = &control->queue;
    pthread_mutex_unlock(&control->lock);
    for (struct dmm_message *next; message; message = next) {
        next = message->next;
        message->run(control, message);
    }
}

static void messages_ready(struct dmm_source *source, uint32_t events)
{
    struct dmm_control *control =
        (struct dmm_control *)((char *)source - offsetof(struct dmm_control, messages));
    uint64_t count;
    (void)events;
    (void)!read(source->fd, &count, sizeof(count));
    run_messages(control);
}

/* ---- signals ---- */

static void signals_ready(struct dmm_source *source, uint32_t events)
{
    struct dmm_control *control =
        (struct dmm_control *)((char *)source - offsetof(struct dmm_control, signals));
    struct signalfd_siginfo info;
    (void)events;
    while (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            dmm_log(DMM_LOG_INFO, "SIGHUP: reading the pod directory again");
            if (control->configured)
                dmm_pod_load(control);
        } else if (!control->ending) {
            dmm_log(DMM_LOG_INFO, "%s: ending", strsignal((int)info.ssi_signo));
            control->ending = true;
        } else {
            dmm_log(DMM_LOG_INFO, "%s again: ending at once", strsignal((int)info.ssi_signo));
            control->options.drain_seconds = 0;
        }
    }
}

/* ---- sockets ---- */

/* The socket has its name only once it listens, so that whoever finds it is not refused. */
static int listen_at(int fd, const char *dir, const char *name, mode_t mode)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char path[sizeof(addr.sun_path)];
    int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    /* The pod directory's lock says that no other sidecar serves it: what is there is left over. */
    unlink(addr.sun_path);
    mode_t old = umask(0777 & ~mode);
    int rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
    umask(old);
    if (rc)
        return -errno;
    if (!listen(fd, 512) && !rename(addr.sun_path, path))
        return 0;
    rc = -errno;
    unlink(addr.sun_path);
    return rc;
}

int dmm_listen_unix(const char *dir, const char *name, int type, mode_t mode, struct dmm_err *err)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = fd < 0 ? -errno : listen_at(fd, dir, name, mode);
    if (!rc)
        return fd;
    if (fd >= 0)
        close(fd);
    if (rc == -ENAMETOOLONG)
        return dmm_err_set(err, ENAMETOOLONG,
                           "%s/%s: a socket's path may have %zu bytes; choose a shorter pod "
                           "directory",
                           dir, name, sizeof(((struct sockaddr_un *)0)->sun_path) - 2);
    return dmm_err_set(err, -rc, "%s/%s: %s", dir, name, strerror(-rc));
}

/* ---- start and end ---- */

static int take_lock(struct dmm_control *control, struct dmm_err *err)
{
    int dir = open(control->options.pod_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno; /* it may come yet */
    if (flock(dir, LOCK_EX | LOCK_NB)) {
        close(dir);
        return dmm_err_set(err, EBUSY, "%s: another dmm-stackd serves it",
                           control->options.pod_dir);
    }
    control->lock_fd = dir;
    return dmm_api_open(control, err) ? -EIO : 0;
}

static int open_fds(struct dmm_control *control, struct dmm_err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    control->signals =
        (struct dmm_source){signals_ready, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    control->messages = (struct dmm_source){messages_ready, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    control->watch = (struct dmm_source){dmm_pod_changed, inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
    if (control->epoll_fd < 0 || control->signals.fd < 0 || control->messages.fd < 0 ||
        control->watch.fd < 0 || dmm_control_add(control, &control->signals, EPOLLIN) ||
        dmm_control_add(control, &control->messages, EPOLLIN) ||
        dmm_control_add(control, &control->watch, EPOLLIN))
        return dmm_err_set(err, errno, "start: %s", strerror(errno));
    return 0;
}

/* Handles what is ready; waits at most `timeout_ms`. */
static void handle(struct dmm_control *control, int timeout_ms)
{
    /* One at a time: a source may take others away. */
    struct epoll_event event;
    int api_ms = dmm_api_timeout(control);
    if (api_ms >= 0 && (timeout_ms < 0 || api_ms < timeout_ms))
        timeout_ms = api_ms;
    if (epoll_wait(control->epoll_fd, &event, 1, timeout_ms) == 1) {
        struct dmm_source *source = event.data.ptr;
        source->ready(source, event.events);
    }
    dmm_api_run(control);
}

/* Until the configuration is there and in force. */
static int configure(struct dmm_control *control, struct dmm_err *err)
{
    while (!control->ending) {
        int rc = control->lock_fd < 0 ? take_lock(control, err) : 0;
        if (rc == -EBUSY || rc == -EIO)
            return rc;
        if (!rc)
            rc = dmm_pod_load(control);
        if (rc && rc != -ENOENT)
            return dmm_err_set(err, -rc, "the configuration cannot be used: ending");
        if (control->fatal)
            return 0;
        if (control->configured && dmm_pod_settled(control))
            return 0;
        if (rc == -ENOENT && !control->said_waiting) {
            control->said_waiting = true;
            dmm_log(DMM_LOG_INFO, "waiting for stacks.json and mapping.json in %s",
                    control->options.pod_dir);
        }
        handle(control, control->configured ? 20 : TICK_MS);
    }
    return 0;
}

static int serve(struct dmm_control *control, struct dmm_err *err)
{
    int rc = dmm_attach_open(control, err);
    if (rc || control->ending)
        return rc;
    dmm_sandbox_enter(NULL);
    dmm_worker_call(&control->worker, dmm_sandbox_enter, NULL);
    control->ready = true;
    dmm_log(DMM_LOG_INFO, "ready: %s", control->options.pod_dir);
    while (!control->ending)
        handle(control, -1);
    return 0;
}

static void drain(struct dmm_control *control)
{
    dmm_attach_stop(control);
    dmm_attach_close(control);
    uint64_t start = now_ns();
    while (dmm_attach_clients(control) &&
           now_ns() - start < control->options.drain_seconds * UINT64_C(1000000000))
        handle(control, 50);
}

static void end_clients(void *arg)
{
    struct dmm_worker *worker = arg;
    for (unsigned i = 0; i < worker->n_clients; i++) {
        struct dmm_client *client = worker->clients[i];
        /* What lingers after a graceful close is cut off by destroy(). */
        if (!client->ended)
            dmm_client_end(client);
    }
}

int dmm_control_run(const struct dmm_options *options)
{
    static struct dmm_control control; /* large; the one of the process */
    struct dmm_err err = {0};
    control.options = *options;
    control.lock_fd = -1;
    control.queue_end = &control.queue;
    control.started_at = now_ns();
    pthread_mutex_init(&control.lock, NULL);
    int rc = dmm_worker_init(&control.worker, &err);
    if (rc) {
        dmm_log(DMM_LOG_ERROR, "%s", err.text);
        return 1;
    }
    control.worker.client_ended = dmm_attach_client_ended;
    control.worker.client_gone = dmm_attach_client_gone;
    control.worker.client_arg = &control;
    rc = open_fds(&control, &err);
    if (!rc)
        rc = dmm_worker_start(&control.worker, &err);
    bool bad_options = false;
    if (!rc) {
        rc = dmm_podwatch_open(&control, &err);
        bad_options = rc == -EINVAL;
    }
    if (!rc)
        rc = configure(&control, &err);
    if (!rc && !control.fatal) /* what failed has been logged */
        rc = serve(&control, &err);
    if (rc)
        dmm_log(DMM_LOG_ERROR, "%s", err.text);
    bool bad_configuration = rc && !bad_options && err.code != EBUSY && !control.configured;
    rc = rc || control.fatal;
    dmm_podwatch_close(&control);
    drain(&control);
    dmm_api_close(&control);
    dmm_worker_call(&control.worker, end_clients, &control.worker);
    dmm_worker_stop(&control.worker);
    run_messages(&control);
    dmm_pod_free(&control);
    dmm_worker_destroy(&control.worker);
    dmm_log(DMM_LOG_INFO, "ended");
    return !rc ? 0 : bad_options ? 2 : bad_configuration ? 78 : 1;
}
