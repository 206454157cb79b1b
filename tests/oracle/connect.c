/* SPDX-License-Identifier: Apache-2.0 */
/* connect(2), socket(2), getpeername(2). */
#include "tests/oracle/oracle.h"

CASE(connect_ok, "connect(2): zero on success; the socket is writable and has a name and a peer")
{
    struct sockaddr_in at, name;
    socklen_t len = sizeof(name);
    int listener = o_listener(&at), fd = o_tcp();
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(getsockname(fd, SA(&name), &len));
    o_show_address("name", SA(&name), len);
    SAY(getpeername(fd, SA(&name), &len));
    o_show_address("peer", SA(&name), len);
    printf("the peer's port: %d\n", name.sin_port == at.sin_port);
    o_show_poll("connected", fd, 0);
    close(listener);
}

CASE(connect_refused, "connect(2): ECONNREFUSED: no one is listening")
{
    struct sockaddr_in at = o_nobody();
    int fd = o_tcp();
    SAY(connect(fd, SA(&at), sizeof(at)));
    o_show_int_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    o_show_poll("refused", fd, 0);
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(recv(fd, &at, 1, 0));
    SAY(send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE(connect_refused_again,
     "connect(2): after a failed connect the socket can be connected to another")
{
    struct sockaddr_in at = o_nobody(), good;
    int fd = o_tcp(), listener;
    SAY(connect(fd, SA(&at), sizeof(at)));
    listener = o_listener(&good);
    SAY(connect(fd, SA(&good), sizeof(good)));
    SAY(send(fd, "x", 1, 0));
    close(listener);
}

CASE(connect_nonblocking, "connect(2): EINPROGRESS; then writable, and SO_ERROR says how it went")
{
    struct sockaddr_in at;
    int listener = o_listener(&at), fd = o_tcp();
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    say_events("await", (uint32_t)say_await(fd, POLLOUT));
    o_show_int_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(connect(fd, SA(&at), sizeof(at)));
    close(listener);
}

CASE(connect_nonblocking_refused, "connect(2): a refused non-blocking connect is in SO_ERROR, once")
{
    struct sockaddr_in at = o_nobody();
    int fd = o_tcp();
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    say_events("await", (uint32_t)say_await(fd, POLLIN | POLLOUT | POLLRDHUP));
    o_show_int_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    o_show_int_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    o_show_poll("after", fd, 0);
    SAY(send(fd, "x", 1, MSG_NOSIGNAL));
    SAY(recv(fd, &at, 1, 0));
}

CASE(connect_nonblocking_refused_by_connect,
     "connect(2): a second connect tells a failed first one's error")
{
    struct sockaddr_in at = o_nobody();
    int fd = o_tcp();
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    say_await(fd, POLLOUT);
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(getpeername(fd, SA(&at), &(socklen_t){sizeof(at)}));
}

CASE(connect_nonblocking_refused_by_send, "a failed non-blocking connect is told by the first send")
{
    struct sockaddr_in at = o_nobody();
    int fd = o_tcp();
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    say_await(fd, POLLOUT);
    SAY(send(fd, "x", 1, MSG_NOSIGNAL));
    SAY(send(fd, "x", 1, MSG_NOSIGNAL));
    o_show_int_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
}

CASE(connect_nonblocking_refused_by_recv,
     "a failed non-blocking connect is told by the first receive")
{
    struct sockaddr_in at = o_nobody();
    int fd = o_tcp();
    char buf[4];
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    say_await(fd, POLLOUT);
    SAY(recv(fd, buf, 4, 0));
    SAY(recv(fd, buf, 4, 0));
}

/* An address of the subnet that nobody has: the SYN is never answered. */
static struct sockaddr_in silent(void)
{
    struct sockaddr_in at = say_address;
    at.sin_addr.s_addr = htonl((ntohl(at.sin_addr.s_addr) & ~255u) | 77);
    at.sin_port = htons(7);
    return at;
}

CASE(connect_ealready, "connect(2): EALREADY while a non-blocking one is not complete")
{
    struct sockaddr_in at = silent();
    char buf[4];
    int fd = o_tcp();
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(connect(fd, SA(&at), sizeof(at)));
    o_show_poll("connecting", fd, 0);
    SAY(send(fd, "x", 1, MSG_NOSIGNAL));
    SAY(recv(fd, buf, 4, 0));
    o_show_int_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    SAY(getpeername(fd, SA(&at), &(socklen_t){sizeof(at)}));
    SAY(listen(fd, 1));
    SAY(shutdown(fd, SHUT_WR));
    o_show_poll("shut", fd, 0);
}

CASE(connect_sndtimeo, "socket(7): SO_SNDTIMEO bounds connect, which then fails with EINPROGRESS")
{
    struct sockaddr_in at = silent();
    struct timeval tv = {.tv_usec = 150000};
    int fd = o_tcp();
    SAY(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
    long begin = say_now_ms();
    SAY(connect(fd, SA(&at), sizeof(at)));
    o_show_time("took", begin, 140, 1000);
    SAY(connect(fd, SA(&at), sizeof(at)));
}

CASE(connect_eintr, "connect(2): EINTR; the connection goes on, and connect again is EALREADY")
{
    struct sockaddr_in at = silent();
    int fd = o_tcp();
    o_signal_in(80, 0);
    SAY(connect(fd, SA(&at), sizeof(at)));
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
}

CASE(connect_timeout, "tcp(7): TCP_USER_TIMEOUT or TCP_SYNCNT ends an unanswered connect with "
                      "ETIMEDOUT or EHOSTUNREACH")
{
    struct sockaddr_in at = silent();
    int one = 1, fd = o_tcp();
    SAY(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &one, sizeof(one)));
    int r = connect(fd, SA(&at), sizeof(at));
    printf("failed: %d\n", r < 0 && (errno == ETIMEDOUT || errno == EHOSTUNREACH));
}

CASE(connect_eisconn, "connect(2): EISCONN on a connected stream")
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    int b, a = o_pair(&b);
    SAY(getpeername(a, SA(&at), &len));
    SAY(connect(a, SA(&at), sizeof(at)));
    SAY(connect(b, SA(&at), sizeof(at)));
}

CASE(connect_listener, "connect(2): a listening socket cannot connect")
{
    struct sockaddr_in at, other;
    int fd = o_listener(&at), fd2 = o_listener(&other);
    SAY(connect(fd, SA(&other), sizeof(other)));
    close(fd2);
}

CASE(connect_einval_length, "connect(2): EINVAL: the address is too short")
{
    struct sockaddr_in at;
    int listener = o_listener(&at), fd = o_tcp();
    SAY(connect(fd, SA(&at), 4));
    SAY(connect(fd, SA(&at), 1));
    SAY(connect(fd, SA(&at), 0));
    SAY(connect(fd, SA(&at), 8));
    SAY(connect(fd, SA(&at), (socklen_t)-1));
    SAY(connect(fd, SA(&at), 4000));
    SAY(connect(fd, NULL, 16));
    char longer[128] = {0};
    memcpy(longer, &at, sizeof(at));
    SAY(connect(fd, SA(longer), sizeof(longer)));
    close(listener);
}

CASE(connect_eafnosupport, "connect(2): EAFNOSUPPORT: the family is another")
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    struct sockaddr_in at = say_address;
    int fd = o_tcp(), u = o_udp();
    SAY(connect(fd, SA(&six), sizeof(six)));
    SAY(connect(u, SA(&six), sizeof(six)));
    at.sin_family = AF_UNIX;
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(connect(u, SA(&at), sizeof(at)));
}

CASE(connect_unspec_stream, "connect(2): AF_UNSPEC dissolves a stream's connection")
{
    char buf[8];
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    int b, a = o_pair(&b);
    SAY(connect(a, &none, sizeof(none)));
    SAY(send(a, "x", 1, MSG_NOSIGNAL));
    SAY(recv(b, buf, 8, 0));
    SAY(getpeername(a, SA(&name), &len));
    o_show_poll("dissolved", a, 0);
}

CASE(connect_unspec_reuse, "connect(2): a stream dissolved by AF_UNSPEC can be connected again")
{
    char buf[8];
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in at;
    int b, a = o_pair(&b), listener = o_listener(&at);
    SAY(connect(a, &none, sizeof(none)));
    SAY(connect(a, SA(&at), sizeof(at)));
    int c = accept(listener, NULL, NULL);
    SAY(send(a, "again", 5, 0));
    o_show_bytes("received", buf, recv(c, buf, 8, 0));
    close(b);
}

CASE(connect_unspec_fresh, "connect(2): AF_UNSPEC on a stream that is not connected succeeds")
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in at;
    int fd = o_tcp(), listener = o_listener(&at);
    SAY(connect(fd, &none, sizeof(none)));
    SAY(connect(fd, &none, 2));
    SAY(connect(fd, &none, 1));
    SAY(connect(listener, &none, sizeof(none)));
    SAY(listen(listener, 4));
}

CASE(connect_unspec_nonblocking, "connect(2): AF_UNSPEC gives up a connect under way")
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in at = silent(), good;
    int fd = o_tcp(), listener = o_listener(&good);
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(connect(fd, &none, sizeof(none)));
    SAY(connect(fd, SA(&good), sizeof(good)));
    say_events("await", (uint32_t)say_await(fd, POLLOUT));
    o_show_int_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    close(listener);
}

CASE(connect_bound, "connect(2): a bound stream keeps its port")
{
    struct sockaddr_in at, mine = say_address, name, peer;
    socklen_t len = sizeof(name);
    int listener = o_listener(&at), fd = o_tcp();
    SAY(bind(fd, SA(&mine), sizeof(mine)));
    SAY(getsockname(fd, SA(&mine), &len));
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(getsockname(fd, SA(&name), &len));
    int b = accept(listener, SA(&peer), &len);
    printf("same port: %d %d\n", name.sin_port == mine.sin_port, peer.sin_port == mine.sin_port);
    close(b);
}

CASE(connect_self, "tcp: a socket connected to itself talks to itself")
{
    char buf[4];
    struct sockaddr_in mine = say_address;
    socklen_t len = sizeof(mine);
    int fd = o_tcp();
    SAY(bind(fd, SA(&mine), sizeof(mine)));
    SAY(getsockname(fd, SA(&mine), &len));
    SAY(connect(fd, SA(&mine), sizeof(mine)));
    SAY(send(fd, "me", 2, 0));
    o_show_bytes("received", buf, recv(fd, buf, 4, 0));
}

CASE(connect_broadcast, "connect(2): EACCES or ENETUNREACH to a broadcast address")
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9)};
    at.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    int fd = o_tcp();
    SAY(connect(fd, SA(&at), sizeof(at)));
    at.sin_addr.s_addr = htonl(0xe0000001);
    SAY(connect(fd, SA(&at), sizeof(at)));
}

CASE(connect_unreachable, "connect(2): ENETUNREACH: no route")
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9)};
    at.sin_addr.s_addr = htonl(0xc6336401);
    int fd = o_tcp(), u = o_udp();
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(connect(u, SA(&at), sizeof(at)));
    SAY(sendto(u, "x", 1, 0, SA(&at), sizeof(at)));
}

CASE(connect_names_after_failure, "a stream whose connect failed has no peer")
{
    struct sockaddr_in at = o_nobody();
    socklen_t len = sizeof(at);
    int fd = o_tcp();
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(getpeername(fd, SA(&at), &len));
    SAY(getsockname(fd, SA(&at), &len));
}

CASE(connect_from_threads, "one socket may be connected by one thread while another polls it")
{
    struct sockaddr_in at;
    int listener = o_listener(&at), fd = o_tcp();
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    SAY(poll(&p, 1, 0));
    say_events("fresh", (uint32_t)p.revents);
    pid_t pid = fork();
    if (pid == 0)
        _exit(connect(fd, SA(&at), sizeof(at)) < 0);
    int status;
    waitpid(pid, &status, 0);
    printf("child connected: %d\n", status == 0);
    SAY(send(fd, "x", 1, MSG_NOSIGNAL));
    close(listener);
}

CASE(socket_arguments, "socket(2): wrong domains, types and protocols")
{
    SAY(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    SAY(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
    SAY(socket(AF_INET, 77, 0));
    SAY(socket(AF_INET, SOCK_STREAM, 255));
    SAY(socket(AF_INET, SOCK_SEQPACKET, 0));
    SAY(socket(AF_INET, SOCK_STREAM | 0x10000000, 0));
    SAY(socket(99, SOCK_STREAM, 0));
    SAY(socket(AF_INET, SOCK_RAW, 0));
    SAY(socket(AF_INET, 0, 0));
    SAY(socket(-1, SOCK_STREAM, 0));
}

CASE(socket_flags, "socket(2): SOCK_NONBLOCK and SOCK_CLOEXEC")
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    printf("flags %x fd flags %x\n", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP);
    printf("flags %x fd flags %x\n", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    printf("flags %x fd flags %x\n", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
}

CASE(socket_lowest_fd, "socket(2): the lowest number that is free")
{
    int first = dup(0);
    close(first);
    int fd = o_tcp();
    printf("lowest: %d\n", fd == first);
    struct sockaddr_in at;
    int listener = o_listener(&at);
    printf("next: %d\n", listener == first + 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    int b = accept(listener, NULL, NULL);
    printf("next: %d\n", b == first + 2);
}

CASE(socket_name_fresh, "getsockname(2), getpeername(2): of a socket that nothing was done with")
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    int fd = o_tcp(), u = o_udp();
    SAY(getsockname(fd, SA(&at), &len));
    o_show_address("name", SA(&at), len);
    SAY(getpeername(fd, SA(&at), &len));
    SAY(getsockname(u, SA(&at), &len));
    o_show_address("name", SA(&at), len);
    SAY(getpeername(u, SA(&at), &len));
}

CASE(socket_name_lengths, "getsockname(2): addrlen is a value and a result; the address may be cut")
{
    struct sockaddr_in at;
    memset(&at, 0x55, sizeof(at));
    socklen_t len = 4;
    int fd = o_listener(&at);
    memset(&at, 0x55, sizeof(at));
    SAY(getsockname(fd, SA(&at), &len));
    printf("len %u, untouched after: %d\n", len, at.sin_addr.s_addr == 0x55555555);
    len = 0;
    SAY(getsockname(fd, SA(&at), &len));
    printf("len %u\n", len);
    len = 100;
    SAY(getsockname(fd, SA(&at), &len));
    printf("len %u\n", len);
    len = (socklen_t)-1;
    SAY(getsockname(fd, SA(&at), &len));
    len = sizeof(at);
    SAY(getsockname(fd, NULL, &len));
    SAY(getsockname(fd, SA(&at), NULL));
    SAY(getsockname(-1, SA(&at), &len));
    SAY(getsockname(0, SA(&at), &len));
}

CASE(socket_peer_after_close,
     "getpeername(2): after the peer has closed, still known; after a reset, ENOTCONN")
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    char c;
    int b, a = o_pair(&b);
    close(b);
    say_settle();
    SAY(getpeername(a, SA(&at), &len));
    a = o_pair(&b);
    struct linger now = {1, 0};
    setsockopt(b, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(b);
    say_settle();
    SAY(getpeername(a, SA(&at), &len));
    SAY(recv(a, &c, 1, 0));
    SAY(getpeername(a, SA(&at), &len));
}

CASE(socket_pair_passed_on, "socketpair(2): AF_INET is EOPNOTSUPP, AF_UNIX works")
{
    char buf[4];
    int fds[2];
    SAY(socketpair(AF_INET, SOCK_STREAM, 0, fds));
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    SAY(write(fds[0], "ab", 2));
    o_show_bytes("read", buf, read(fds[1], buf, 4));
}
