/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/control.h"

#include "preload/calls.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>

#define ANSWER_TIMEOUT_S 5

int control_connect(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(name.sun_path))
        return -ENAMETOOLONG;
    memcpy(name.sun_path, path, len);
    int fd = REAL(socket)(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
    REAL(setsockopt)(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    REAL(setsockopt)(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    int r;
    do
        r = REAL(connect)(fd, (struct sockaddr *)&name, sizeof(name));
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return fd;
    r = -errno;
    REAL(close)(fd);
    return r;
}

int control_send(int fd, const struct dmm_request *request, const struct control_more *more)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov[2] = {{(void *)(uintptr_t)request, sizeof(*request)},
                           {(void *)(uintptr_t)more->export, sizeof(*more->export)}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = more->export ? 2 : 1};
    if (more->file >= 0) {
        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &more->file, sizeof(int));
    }
    ssize_t n;
    do
        n = REAL(sendmsg)(fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : -ECONNRESET;
}

static void take_fds(struct msghdr *msg, int fds[DMM_PROTO_FDS])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), (n < DMM_PROTO_FDS ? n : DMM_PROTO_FDS) * sizeof(int));
    }
}

static int check_response(const struct dmm_response *response, ssize_t n, bool claimed,
                          const int *fds)
{
    if (n < (ssize_t)sizeof(*response) || response->version != DMM_PROTO_VERSION)
        return n == 0 ? -ECONNRESET : -EPROTO;
    if (response->result < 0)
        return response->result;
    if (n != (ssize_t)(sizeof(*response) + (claimed ? sizeof(struct dmm_export) : 0)))
        return -EPROTO;
    for (uint32_t i = 0; i < response->n_fds; i++) {
        if (i >= DMM_PROTO_FDS || fds[i] < 0)
            return -EPROTO;
    }
    return 0;
}

int control_receive(int fd, const struct control_more *more, struct dmm_response *response,
                    int fds[DMM_PROTO_FDS])
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(DMM_PROTO_FDS * sizeof(int))];
    struct iovec iov[2] = {{response, sizeof(*response)}, {more->claimed, sizeof(*more->claimed)}};
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = more->claimed ? 2 : 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    for (int i = 0; i < DMM_PROTO_FDS; i++)
        fds[i] = -1;
    memset(response, 0, sizeof(*response));
    ssize_t n;
    do
        n = REAL(recvmsg)(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -ECONNRESET;
    take_fds(&msg, fds);
    int r = check_response(response, n, more->claimed, fds);
    response->text[sizeof(response->text) - 1] = '\0';
    if (r < 0) {
        for (int i = 0; i < DMM_PROTO_FDS; i++) {
            if (fds[i] >= 0)
                REAL(close)(fds[i]);
            fds[i] = -1;
        }
    }
    return r;
}

int control_call_more(int fd, const struct dmm_request *request, const struct control_more *more,
                      struct dmm_response *response, int fds[DMM_PROTO_FDS])
{
    for (int i = 0; i < DMM_PROTO_FDS; i++)
        fds[i] = -1;
    memset(response, 0, sizeof(*response));
    int r = control_send(fd, request, more);
    return r < 0 ? r : control_receive(fd, more, response, fds);
}

int control_call(int fd, const struct dmm_request *request, struct dmm_response *response,
                 int fds[DMM_PROTO_FDS])
{
    const struct control_more nothing = {.file = -1};
    return control_call_more(fd, request, &nothing, response, fds);
}
