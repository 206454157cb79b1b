/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/api.h"

#include "common/log.h"
#include "sidecar/api_json.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS  32
#define IDLE_SECONDS 10

struct dmm_api {
    struct dmm_source source; /* libmicrohttpd's epoll fd */
    struct MHD_Daemon *daemon;
    struct dmm_control *control;
};

static const struct {
    const char *path;
    char *(*body)(struct dmm_control *control);
} pages[] = {
    {"/stacks", dmm_api_stacks},   {"/sockets", dmm_api_sockets}, {"/mapping", dmm_api_mapping},
    {"/clients", dmm_api_clients}, {"/stats", dmm_api_stats},     {"/metrics", dmm_api_metrics},
};

static char *make_body(struct dmm_control *control, const char *path, unsigned *status)
{
    struct dmm_err stuck = {0};
    if (!strcmp(path, "/healthz"))
        return dmm_api_health(control, status);
    if (!strcmp(path, "/readyz"))
        return dmm_api_ready(control, status);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strcmp(path, pages[i].path) != 0)
            continue;
        if (dmm_api_worker_stuck(control, &stuck)) {
            *status = MHD_HTTP_SERVICE_UNAVAILABLE;
            return dmm_api_error(stuck.text);
        }
        *status = MHD_HTTP_OK;
        return pages[i].body(control);
    }
    *status = MHD_HTTP_NOT_FOUND;
    return dmm_api_error("no such path; see docs/api.md");
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context)
{
    static int seen; /* its address marks a request whose headers were seen */
    struct dmm_api *api = cls;
    unsigned status = MHD_HTTP_OK;
    char *body;
    (void)version, (void)upload;
    if (!*context) {
        *context = &seen;
        return MHD_YES;
    }
    if (*upload_size) {
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        status = MHD_HTTP_METHOD_NOT_ALLOWED;
        body = dmm_api_error("only GET is served");
    } else {
        body = make_body(api->control, url, &status);
    }
    if (!body)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(body);
        return MHD_NO;
    }
    bool text = !strcmp(url, "/metrics") && status == MHD_HTTP_OK;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            text ? "text/plain; version=0.0.4" : "application/json");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static void api_ready(struct dmm_source *source, uint32_t events)
{
    (void)events;
    MHD_run(((struct dmm_api *)source)->daemon);
}

int dmm_api_open(struct dmm_control *control, struct dmm_err *err)
{
    int fd = dmm_listen_unix(control->options.pod_dir, DMM_API_SOCKET, SOCK_STREAM, 0600, err);
    if (fd < 0)
        return fd;
    struct dmm_api *api = calloc(1, sizeof(*api));
    if (api) {
        api->control = control;
        api->daemon =
            MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, api, MHD_OPTION_LISTEN_SOCKET,
                             fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
                             MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_END);
    }
    if (!api || !api->daemon) {
        close(fd);
        free(api);
        return dmm_err_set(err, EIO, "%s: the HTTP server does not start", DMM_API_SOCKET);
    }
    control->api = api;
    api->source = (struct dmm_source){
        api_ready, MHD_get_daemon_info(api->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd};
    int rc = dmm_control_add(control, &api->source, EPOLLIN);
    return rc ? dmm_err_set(err, -rc, "epoll: %s", strerror(-rc)) : 0;
}

int dmm_api_timeout(const struct dmm_control *control)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (!control->api || MHD_get_timeout(control->api->daemon, &ms) != MHD_YES)
        return -1;
    return ms > 60000 ? 60000 : (int)ms;
}

void dmm_api_run(const struct dmm_control *control)
{
    if (control->api)
        MHD_run(control->api->daemon);
}

void dmm_api_close(struct dmm_control *control)
{
    char path[4096];
    if (!control->api)
        return;
    snprintf(path, sizeof(path), "%s/%s", control->options.pod_dir, DMM_API_SOCKET);
    unlink(path);
    dmm_control_remove(control, &control->api->source);
    MHD_stop_daemon(control->api->daemon);
    free(control->api);
    control->api = NULL;
}
