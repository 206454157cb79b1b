/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/injector/server.h"

#include "common/log.h"
#include "deploy/injector/review.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS  256
#define IDLE_SECONDS 90 /* API servers keep connections */
#define STOP_MS      5000

struct server {
    struct MHD_Daemon *daemon;
    const struct injector_config *config;
    struct keypair *keypair;
    uint64_t outcomes[REVIEW_OUTCOMES], bad_requests, nanoseconds;
};

/* The daemon's one; libmicrohttpd hands no argument to the callback of a handshake. */
static struct keypair *keypair_in_use;

/* A request's body as it comes in. */
struct body {
    char *text;
    size_t len, room;
    bool too_large, no_memory;
};

static int on_handshake(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                        gnutls_pcert_st **certs, unsigned *n, gnutls_ocsp_data_st **ocsp,
                        unsigned *n_ocsp, gnutls_privkey_t *key, unsigned *flags)
{
    (void)session, (void)info;
    keypair_refresh(keypair_in_use);
    *certs = keypair_in_use->current->chain;
    *n = keypair_in_use->current->n_chain;
    *key = keypair_in_use->current->private_key;
    *ocsp = NULL;
    *n_ocsp = 0;
    *flags = 0; /* they stay ours */
    return 0;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             char *text)
{
    if (!text)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result complain(struct server *server, struct MHD_Connection *connection,
                                unsigned status, const char *what)
{
    char *text;
    server->bad_requests++;
    return reply(connection, status, "text/plain", asprintf(&text, "%s\n", what) < 0 ? NULL : text);
}

static char *metrics(const struct server *server)
{
    char *text;
    int n = asprintf(&text,
                     "# TYPE dmm_injector_reviews_total counter\n"
                     "dmm_injector_reviews_total{outcome=\"untouched\"} %llu\n"
                     "dmm_injector_reviews_total{outcome=\"injected\"} %llu\n"
                     "dmm_injector_reviews_total{outcome=\"refused\"} %llu\n"
                     "# TYPE dmm_injector_bad_requests_total counter\n"
                     "dmm_injector_bad_requests_total %llu\n"
                     "# TYPE dmm_injector_review_seconds_total counter\n"
                     "dmm_injector_review_seconds_total %.6f\n",
                     (unsigned long long)server->outcomes[REVIEW_UNTOUCHED],
                     (unsigned long long)server->outcomes[REVIEW_INJECTED],
                     (unsigned long long)server->outcomes[REVIEW_REFUSED],
                     (unsigned long long)server->bad_requests, (double)server->nanoseconds / 1e9);
    return n < 0 ? NULL : text;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static enum MHD_Result mutate(struct server *server, struct MHD_Connection *connection,
                              const struct body *body)
{
    struct dmm_err err = {0};
    struct review_answer answer;
    if (body->too_large)
        return complain(server, connection, MHD_HTTP_CONTENT_TOO_LARGE,
                        "AdmissionReview: too large");
    if (body->no_memory)
        return complain(server, connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
    uint64_t start = now_ns();
    int rc = review_answer(&answer, server->config, body->text ? body->text : "", body->len, &err);
    server->nanoseconds += now_ns() - start;
    if (rc) {
        dmm_log(DMM_LOG_WARN, "%s", err.text);
        return complain(server, connection,
                        rc == -ENOMEM ? MHD_HTTP_INTERNAL_SERVER_ERROR : MHD_HTTP_BAD_REQUEST,
                        err.text);
    }
    server->outcomes[answer.outcome]++;
    if (answer.outcome == REVIEW_INJECTED)
        dmm_log(DMM_LOG_INFO, "pod %s: injected", answer.pod);
    else if (answer.outcome == REVIEW_REFUSED)
        dmm_log(DMM_LOG_WARN, "pod %s: refused: %s", answer.pod, answer.why.text);
    return reply(connection, MHD_HTTP_OK, "application/json", answer.text);
}

static void take(struct body *body, const char *data, size_t len)
{
    if (body->too_large || body->no_memory)
        return;
    if (len > REVIEW_MAX - body->len) {
        body->too_large = true;
        return;
    }
    if (body->len + len > body->room) {
        size_t room = (body->len + len) * 2;
        char *grown = realloc(body->text, room);
        body->no_memory = !grown;
        if (!grown)
            return;
        body->text = grown;
        body->room = room;
    }
    memcpy(body->text + body->len, data, len);
    body->len += len;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **context)
{
    struct server *server = cls;
    struct body *body = *context;
    (void)version;
    if (!body) {
        *context = calloc(1, sizeof(*body));
        return *context ? MHD_YES : MHD_NO;
    }
    if (*len) {
        take(body, data, *len);
        *len = 0;
        return MHD_YES;
    }
    bool get = !strcmp(method, MHD_HTTP_METHOD_GET);
    if (!strcmp(url, "/healthz") && get)
        return reply(connection, MHD_HTTP_OK, "text/plain", strdup("ok\n"));
    if (!strcmp(url, "/metrics") && get)
        return reply(connection, MHD_HTTP_OK, "text/plain; version=0.0.4", metrics(server));
    if (strcmp(url, "/mutate") != 0)
        return complain(server, connection, MHD_HTTP_NOT_FOUND,
                        "no such path; there are POST /mutate, GET /healthz, GET /metrics");
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return complain(server, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "/mutate takes POST");
    return mutate(server, connection, body);
}

static void on_end(void *cls, struct MHD_Connection *connection, void **context,
                   enum MHD_RequestTerminationCode why)
{
    struct body *body = *context;
    (void)cls, (void)connection, (void)why;
    if (body)
        free(body->text);
    free(body);
    *context = NULL;
}

static int open_socket(const struct sockaddr_in6 *at, uint16_t *port, struct dmm_err *err)
{
    struct sockaddr_in6 bound = {.sin6_family = AF_INET6};
    socklen_t len = sizeof(bound);
    const int on = 1, off = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) ||
        bind(fd, (const struct sockaddr *)at, sizeof(*at)) || listen(fd, 128) ||
        getsockname(fd, (struct sockaddr *)&bound, &len)) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return dmm_err_set(err, code, "port %u: %s", ntohs(at->sin6_port), strerror(code));
    }
    *port = ntohs(bound.sin6_port);
    return fd;
}

int server_start(struct server **server, const struct injector_config *config,
                 struct keypair *keypair, const struct sockaddr_in6 *listen_at, uint16_t *port,
                 struct dmm_err *err)
{
    int fd = open_socket(listen_at, port, err);
    if (fd < 0)
        return fd;
    struct server *made = calloc(1, sizeof(*made));
    if (made) {
        made->config = config;
        made->keypair = keypair_in_use = keypair;
        made->daemon = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TLS, 0, NULL, NULL, on_request, made,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL,
            MHD_OPTION_HTTPS_CERT_CALLBACK2, on_handshake, MHD_OPTION_HTTPS_PRIORITIES,
            "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)64 << 10, MHD_OPTION_END);
    }
    if (!made || !made->daemon) {
        close(fd);
        free(made);
        return dmm_err_set(err, EIO, "the HTTPS server does not start");
    }
    *server = made;
    return 0;
}

void server_stop(struct server *server)
{
    int fd = MHD_quiesce_daemon(server->daemon);
    for (int ms = 0; ms < STOP_MS; ms += 50) {
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        if (!info || !info->num_connections)
            break;
        const struct timespec pause = {.tv_nsec = 50000000};
        nanosleep(&pause, NULL);
    }
    MHD_stop_daemon(server->daemon);
    if (fd >= 0)
        close(fd);
    free(server);
}
