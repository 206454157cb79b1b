/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/podwatch.h"

#include "common/log.h"
#include "sidecar/podwatch_event.h"
#include "sidecar/sandbox.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define URL_MAX       2048
#define TOKEN_MAX     ((size_t)64 << 10)
#define REFUSAL_MAX   4096 /* of the text of an answer that is not 200 */
#define WATCH_SECONDS 300  /* the server ends a watch after that: a lost one is found */
#define GRACE_SECONDS 30   /* and if it doesn't, we do */
#define WELL_SECONDS  60   /* one that lasted so long was well, though nothing came */
#define IDLE_MS       60000

struct curl_library {
    void *handle;
    __typeof__(curl_easy_init) *init;
    __typeof__(curl_easy_setopt) *setopt;
    __typeof__(curl_easy_getinfo) *getinfo;
    __typeof__(curl_easy_cleanup) *cleanup;
    __typeof__(curl_easy_strerror) *strerror;
    __typeof__(curl_slist_append) *append;
    __typeof__(curl_slist_free_all) *free_all;
    __typeof__(curl_multi_init) *multi_init;
    __typeof__(curl_multi_add_handle) *multi_add;
    __typeof__(curl_multi_remove_handle) *multi_remove;
    __typeof__(curl_multi_perform) *multi_perform;
    __typeof__(curl_multi_poll) *multi_poll;
    __typeof__(curl_multi_info_read) *multi_info;
    __typeof__(curl_multi_cleanup) *multi_cleanup;
};

struct dmm_podwatch {
    struct dmm_control *control;
    struct curl_library lib;
    CURLM *multi;
    pthread_t thread;
    int stop_fd; /* an eventfd, readable once it is to end */
    char name_space[256], pod[256], server[512];
    const char *dir; /* token and ca.crt */
    const char *uid; /* or NULL */
    char version[DMM_PODWATCH_VERSION_MAX];
    unsigned failures; /* in a row */
    /* Of the request that runs. */
    CURL *curl;
    char *line; /* owned; DMM_PODWATCH_LINE_MAX at most */
    size_t used;
    bool answered; /* with 200 */
    bool events;   /* some came */
    bool expired;  /* the version is too old */
    struct dmm_err err;
};

/* What the thread tells: news of the pod, or that the watch is up or down. */
struct podwatch_message {
    struct dmm_message message;
    bool up, state;
    char *word, *mapping;
};

static void take_message(struct dmm_control *control, struct dmm_message *message)
{
    struct podwatch_message *news = (struct podwatch_message *)message;
    control->watched.up = news->up;
    if (news->state) {
        free(control->watched.word);
        free(control->watched.mapping);
        control->watched.word = news->word;
        control->watched.mapping = news->mapping;
        control->watched.known = true;
        /* At the end the queue is emptied when the worker is gone. */
        if (control->configured && !control->ending)
            dmm_pod_load(control);
    }
    free(news);
}

/* Takes what the event owns. */
static void tell(struct dmm_podwatch *watch, bool up, struct dmm_podwatch_event *event)
{
    struct podwatch_message *news = calloc(1, sizeof(*news));
    if (!news)
        return; /* the next event has all of it again */
    news->message.run = take_message;
    news->up = up;
    if (event) {
        news->state = true;
        news->word = event->word;
        news->mapping = event->mapping;
        event->word = event->mapping = NULL;
    }
    dmm_control_tell(watch->control, &news->message);
}

/* ---- libcurl ---- */

static bool load(struct curl_library *lib, struct dmm_err *err)
{
    const struct {
        const char *name;
        void *to;
    } functions[] = {
        {"curl_easy_init", &lib->init},
        {"curl_easy_setopt", &lib->setopt},
        {"curl_easy_getinfo", &lib->getinfo},
        {"curl_easy_cleanup", &lib->cleanup},
        {"curl_easy_strerror", &lib->strerror},
        {"curl_slist_append", &lib->append},
        {"curl_slist_free_all", &lib->free_all},
        {"curl_multi_init", &lib->multi_init},
        {"curl_multi_add_handle", &lib->multi_add},
        {"curl_multi_remove_handle", &lib->multi_remove},
        {"curl_multi_perform", &lib->multi_perform},
        {"curl_multi_poll", &lib->multi_poll},
        {"curl_multi_info_read", &lib->multi_info},
        {"curl_multi_cleanup", &lib->multi_cleanup},
    };
    lib->handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle) {
        dmm_err_set(err, ENOENT, "--watch-pod: libcurl: %s", dlerror());
        return false;
    }
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *found = dlsym(lib->handle, functions[i].name);
        if (!found) {
            dmm_err_set(err, ENOENT, "--watch-pod: libcurl has no %s", functions[i].name);
            return false;
        }
        memcpy(functions[i].to, &found, sizeof(found));
    }
    return true;
}

/* ---- what comes ---- */

static void take_line(struct dmm_podwatch *watch, const char *line, size_t len)
{
    struct dmm_podwatch_event event;
    if (!len || dmm_podwatch_read(&event, line, len, watch->uid, &watch->err))
        return;
    watch->events = true;
    watch->expired = event.kind == DMM_PODWATCH_EXPIRED;
    if (event.version[0])
        memcpy(watch->version, event.version, sizeof(watch->version));
    if (event.kind == DMM_PODWATCH_STATE)
        tell(watch, true, &event);
    dmm_podwatch_event_free(&event);
}

static long status_of(const struct dmm_podwatch *watch)
{
    long status = 0;
    watch->lib.getinfo(watch->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* libcurl's callback, for each line of the head. An idle watch may send nothing else for minutes.
 */
static size_t on_head(const char *data, size_t one, size_t n, void *arg)
{
    struct dmm_podwatch *watch = arg;
    (void)one; /* always 1 */
    if (n == 2 && data[0] == '\r' && status_of(watch) == 200) {
        watch->answered = true;
        tell(watch, true, NULL);
    }
    return n;
}

/* libcurl's callback. Less than `n` ends the request. */
static size_t on_body(const char *data, size_t one, size_t n, void *arg)
{
    struct dmm_podwatch *watch = arg;
    size_t max = watch->answered ? DMM_PODWATCH_LINE_MAX : REFUSAL_MAX;
    (void)one; /* always 1 */
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n' && watch->answered) {
            take_line(watch, watch->line, watch->used);
            watch->used = 0;
            if (watch->err.code || watch->expired)
                return 0;
        } else if (watch->used < max) {
            watch->line[watch->used++] = data[i];
        } else if (watch->answered) {
            dmm_err_set(&watch->err, EMSGSIZE, "an event has more than %zu bytes", max);
            return 0;
        }
    }
    return n;
}

/* ---- one request ---- */

/* "Authorization: Bearer <token>", malloc'ed; NULL with err set. */
static char *authorization(const struct dmm_podwatch *watch, struct dmm_err *err)
{
    static const char head[] = "Authorization: Bearer ";
    char path[4096];
    snprintf(path, sizeof(path), "%s/token", watch->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = fd < 0 ? NULL : malloc(sizeof(head) + TOKEN_MAX);
    ssize_t n = text ? read(fd, text + sizeof(head) - 1, TOKEN_MAX) : -1;
    if (n <= 0)
        dmm_err_set(err, n ? errno : ENODATA, "%s: %s", path, n ? strerror(errno) : "is empty");
    if (fd >= 0)
        close(fd);
    if (n <= 0) {
        free(text);
        return NULL;
    }
    memcpy(text, head, sizeof(head) - 1);
    text[sizeof(head) - 1 + (size_t)n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    return text;
}

static void set_request(const struct dmm_podwatch *watch, const char *url, const char *ca,
                        struct curl_slist *headers)
{
    const struct curl_library *lib = &watch->lib;
    CURL *curl = watch->curl;
    lib->setopt(curl, CURLOPT_URL, url);
    lib->setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    lib->setopt(curl, CURLOPT_CAINFO, ca);
    lib->setopt(curl, CURLOPT_CAPATH, NULL);         /* the cluster's authority alone */
    lib->setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* it is renewed in its place */
    lib->setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    lib->setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    lib->setopt(curl, CURLOPT_PROXY, "");
    lib->setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib->setopt(curl, CURLOPT_HTTPHEADER, headers);
    lib->setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    lib->setopt(curl, CURLOPT_TIMEOUT, (long)(WATCH_SECONDS + GRACE_SECONDS));
    lib->setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    lib->setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
    lib->setopt(curl, CURLOPT_HEADERDATA, watch);
    lib->setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    lib->setopt(curl, CURLOPT_WRITEDATA, watch);
}

static bool stopping(const struct dmm_podwatch *watch)
{
    struct pollfd poll_fd = {.fd = watch->stop_fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

/* Until the answer has ended or we have to. */
static CURLcode perform(const struct dmm_podwatch *watch)
{
    const struct curl_library *lib = &watch->lib;
    struct curl_waitfd stop = {.fd = watch->stop_fd, .events = CURL_WAIT_POLLIN};
    CURLcode rc = CURLE_ABORTED_BY_CALLBACK;
    int running = 1, left = 0;
    if (lib->multi_add(watch->multi, watch->curl))
        return CURLE_FAILED_INIT;
    while (running && !stopping(watch))
        if (lib->multi_perform(watch->multi, &running) ||
            (running && lib->multi_poll(watch->multi, &stop, 1, IDLE_MS, NULL)))
            break;
    const CURLMsg *done = running ? NULL : lib->multi_info(watch->multi, &left);
    if (done && done->msg == CURLMSG_DONE)
        rc = done->data.result;
    lib->multi_remove(watch->multi, watch->curl);
    return rc;
}

static int refused(struct dmm_podwatch *watch, long status)
{
    static const struct {
        long status;
        const char *means;
    } meanings[] = {{401, "who asks is not known: the token"},
                    {403, "who asks may not watch pods: RBAC, verb \"watch\""},
                    {404, "no such resource: is that the API server?"},
                    {429, "too many requests"}};
    const char *means = "";
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].status == status)
            means = meanings[i].means;
    return dmm_err_set(&watch->err, EACCES, "%s answered %ld%s%s", watch->server, status,
                       *means ? ": " : "", means);
}

/* 0: it ended as watches do. */
static int judge(struct dmm_podwatch *watch, CURLcode rc, const char *problem)
{
    long status = status_of(watch);
    if (watch->err.code || watch->expired)
        return -watch->err.code;
    if (status == 410) {
        watch->expired = true;
        return 0;
    }
    if (status && status != 200)
        return refused(watch, status);
    if (rc)
        return dmm_err_set(&watch->err, EIO, "%s: %s", watch->server,
                           *problem ? problem : watch->lib.strerror(rc));
    if (watch->used)
        return dmm_err_set(&watch->err, EPROTO, "%s: the last event is cut off", watch->server);
    return 0;
}

static int ask(struct dmm_podwatch *watch)
{
    const struct curl_library *lib = &watch->lib;
    char url[URL_MAX];
    char ca[4096];
    char problem[CURL_ERROR_SIZE] = "";
    snprintf(url, sizeof(url),
             "%s/api/v1/namespaces/%s/pods?watch=true&fieldSelector=metadata.name%%3D%s"
             "&allowWatchBookmarks=true&timeoutSeconds=%d%s%s",
             watch->server, watch->name_space, watch->pod, WATCH_SECONDS,
             watch->version[0] ? "&resourceVersion=" : "", watch->version);
    snprintf(ca, sizeof(ca), "%s/ca.crt", watch->dir);
    watch->err = (struct dmm_err){0};
    watch->used = 0;
    watch->answered = watch->events = watch->expired = false;
    char *bearer = authorization(watch, &watch->err);
    if (!bearer)
        return -watch->err.code;
    watch->curl = lib->init();
    struct curl_slist *headers = lib->append(NULL, bearer);
    explicit_bzero(bearer, strlen(bearer));
    free(bearer);
    int rc = -ENOMEM;
    if (watch->curl) {
        set_request(watch, url, ca, headers);
        lib->setopt(watch->curl, CURLOPT_ERRORBUFFER, problem);
        CURLcode code = perform(watch);
        rc = stopping(watch) ? 0 : judge(watch, code, problem);
        lib->cleanup(watch->curl);
    }
    lib->free_all(headers);
    return rc;
}

/* ---- the thread ---- */

/* Sleeps, unless it is to end. */
static void pause_for(const struct dmm_podwatch *watch, unsigned seconds)
{
    struct pollfd stop = {.fd = watch->stop_fd, .events = POLLIN};
    (void)poll(&stop, 1, (int)seconds * 1000);
}

static time_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static void *run(void *arg)
{
    struct dmm_podwatch *watch = arg;
    dmm_sandbox_enter(NULL);
    while (!stopping(watch)) {
        time_t began = now();
        int rc = ask(watch);
        if (stopping(watch))
            break;
        if (watch->expired) {
            dmm_log(DMM_LOG_INFO, "watch of the pod: the version has expired: beginning anew");
            watch->version[0] = '\0';
        }
        /* A watch that brought something was well, however it ended. One that ends at once and
         * brings nothing must not become a loop. */
        bool well = watch->events || now() - began >= WELL_SECONDS;
        watch->failures = well && !watch->expired ? 0 : watch->failures + 1;
        unsigned seconds = dmm_podwatch_pause(watch->failures);
        if (rc) {
            tell(watch, false, NULL);
            dmm_log(DMM_LOG_WARN, "watch of the pod: %s; trying again in %u s", watch->err.text,
                    seconds);
        }
        pause_for(watch, seconds);
    }
    return NULL;
}

/* ---- start and end ---- */

static int find_server(struct dmm_podwatch *watch, const char *given, struct dmm_err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    int n;
    if (given)
        n = snprintf(watch->server, sizeof(watch->server), "%s", given);
    else if (host && port) /* an IPv6 address in brackets (RFC 3986, section 3.2.2) */
        n = snprintf(watch->server, sizeof(watch->server),
                     strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
    else
        return dmm_err_set(err, EINVAL,
                           "--watch-pod: where is the API server? Neither --kube-api nor "
                           "KUBERNETES_SERVICE_HOST and _PORT say it");
    if (n < 0 || (size_t)n >= sizeof(watch->server) ||
        strncmp(watch->server, "https://", strlen("https://")) != 0)
        return dmm_err_set(err, EINVAL, "--kube-api: must be an https URL");
    while (n && watch->server[n - 1] == '/')
        watch->server[--n] = '\0';
    return 0;
}

static int find_pod(struct dmm_podwatch *watch, const char *text, struct dmm_err *err)
{
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : 0;
    if (!slash || !dmm_podwatch_name_valid(text, n) ||
        !dmm_podwatch_name_valid(slash + 1, strlen(slash + 1)))
        return dmm_err_set(err, EINVAL, "--watch-pod: must be NAMESPACE/NAME, not \"%.200s\"",
                           text);
    memcpy(watch->name_space, text, n);
    strcpy(watch->pod, slash + 1); /* NOLINT: 253 characters at most */
    return 0;
}

static int start(struct dmm_podwatch *watch, struct dmm_err *err)
{
    if (!load(&watch->lib, err))
        return -ENOENT;
    watch->multi = watch->lib.multi_init();
    watch->line = malloc(DMM_PODWATCH_LINE_MAX);
    watch->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (!watch->multi || !watch->line || watch->stop_fd < 0)
        return dmm_err_set(err, ENOMEM, "--watch-pod: out of memory");
    int rc = pthread_create(&watch->thread, NULL, run, watch);
    return rc ? dmm_err_set(err, rc, "--watch-pod: %s", strerror(rc)) : 0;
}

static void destroy(struct dmm_podwatch *watch)
{
    if (watch->multi)
        watch->lib.multi_cleanup(watch->multi);
    if (watch->stop_fd >= 0)
        close(watch->stop_fd);
    free(watch->line);
    free(watch); /* libcurl stays loaded: TLS libraries do not like to go */
}

int dmm_podwatch_open(struct dmm_control *control, struct dmm_err *err)
{
    const struct dmm_options *options = &control->options;
    if (!options->watch_pod)
        return 0;
    struct dmm_podwatch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return dmm_err_set(err, ENOMEM, "--watch-pod: out of memory");
    watch->control = control;
    watch->dir = options->kube_dir;
    watch->uid = getenv("DMM_POD_UID");
    watch->stop_fd = -1;
    int rc = find_pod(watch, options->watch_pod, err);
    if (!rc)
        rc = find_server(watch, options->kube_api, err);
    if (!rc)
        rc = start(watch, err);
    if (rc) {
        destroy(watch);
        return rc;
    }
    control->podwatch = watch;
    return 0;
}

void dmm_podwatch_close(struct dmm_control *control)
{
    const uint64_t one = 1;
    struct dmm_podwatch *watch = control->podwatch;
    if (!watch)
        return;
    (void)!write(watch->stop_fd, &one, sizeof(one));
    pthread_join(watch->thread, NULL);
    destroy(watch);
    control->podwatch = NULL;
}
