/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls on sockets that are bound to the wildcard address, so that a wait is for several
 * stacks at once: signal(7), accept(2), recvfrom(2). */
#include "tests/oracle/oracle.h"

/* A socket bound to the wildcard address; where a peer reaches it in *at. */
static int anywhere(int type, struct sockaddr_in *at)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof(any);
    int fd = socket(AF_INET, type, 0);
    if (fd < 0 || bind(fd, SA(&any), len) < 0 || getsockname(fd, SA(&any), &len) < 0)
        exit(1);
    if (type == SOCK_STREAM && listen(fd, 5) < 0)
        exit(1);
    *at = say_address;
    at->sin_port = any.sin_port;
    return fd;
}

/* A child that sends a word to the address in `ms`. */
static pid_t sender(int type, const struct sockaddr_in *at, int ms)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    say_sleep_ms(ms);
    int fd = socket(AF_INET, type, 0);
    if (connect(fd, SA(at), sizeof(*at)) < 0 || send(fd, "word", 4, 0) != 4)
        perror("sender");
    _exit(0);
}

static void accept_word(int fd)
{
    char buf[16];
    int accepted = accept(fd, NULL, NULL);
    if (accepted < 0) {
        say_result("accept", accepted);
        return;
    }
    o_show_bytes("read", buf, read(accepted, buf, sizeof(buf)));
}

CASE(wildcard_accept_restart, "signal(7): accept(2) goes on after a handler with SA_RESTART")
{
    struct sockaddr_in at;
    int fd = anywhere(SOCK_STREAM, &at);
    pid_t pid = sender(SOCK_STREAM, &at, 250);
    o_signal_in(60, SA_RESTART);
    accept_word(fd);
    waitpid(pid, NULL, 0);
}

CASE(wildcard_accept_interrupted, "signal(7): accept(2) ends with EINTR after any other handler")
{
    struct sockaddr_in at;
    int fd = anywhere(SOCK_STREAM, &at);
    o_signal_in(60, 0);
    accept_word(fd);
}

CASE(wildcard_accept_timeout,
     "signal(7): with SO_RCVTIMEO, accept(2) ends with EINTR whatever the handler's flags")
{
    struct sockaddr_in at;
    const struct timeval second = {.tv_sec = 1};
    int fd = anywhere(SOCK_STREAM, &at);
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)));
    o_signal_in(60, SA_RESTART);
    accept_word(fd);
    accept_word(fd);
}

CASE(wildcard_recv_restart, "signal(7): recvfrom(2) goes on after a handler with SA_RESTART")
{
    char buf[16];
    struct sockaddr_in at;
    int fd = anywhere(SOCK_DGRAM, &at);
    pid_t pid = sender(SOCK_DGRAM, &at, 250);
    o_signal_in(60, SA_RESTART);
    o_show_bytes("recv", buf, recv(fd, buf, sizeof(buf), 0));
    waitpid(pid, NULL, 0);
}

CASE(wildcard_recv_interrupted, "signal(7): recvfrom(2) ends with EINTR after any other handler")
{
    char buf[16];
    struct sockaddr_in at;
    int fd = anywhere(SOCK_DGRAM, &at);
    o_signal_in(60, 0);
    SAY(recv(fd, buf, sizeof(buf), 0));
}
