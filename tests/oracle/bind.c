/* SPDX-License-Identifier: Apache-2.0 */
/* bind(2), listen(2), accept(2). */
#include "tests/oracle/oracle.h"

#include <sys/resource.h>

CASE(bind_ephemeral, "ip(7): port 0 gives a port")
{
    struct sockaddr_in at = say_address;
    socklen_t len = sizeof(at);
    int fd = o_tcp();
    SAY(bind(fd, SA(&at), sizeof(at)));
    SAY(getsockname(fd, SA(&at), &len));
    o_show_address("name", SA(&at), len);
    o_show_poll("bound", fd, 0);
}

CASE(bind_einval_twice, "bind(2): EINVAL: the socket is bound already")
{
    struct sockaddr_in at = say_address;
    int fd = o_tcp(), u = o_udp();
    SAY(bind(fd, SA(&at), sizeof(at)));
    SAY(bind(fd, SA(&at), sizeof(at)));
    SAY(bind(u, SA(&at), sizeof(at)));
    SAY(bind(u, SA(&at), sizeof(at)));
}

CASE(bind_eaddrinuse, "bind(2): EADDRINUSE: the address is in use")
{
    struct sockaddr_in at, at2;
    int a = o_listener(&at), fd = o_tcp(), u = say_datagram(&at2), v = o_udp(), on = 1;
    SAY(bind(fd, SA(&at), sizeof(at)));
    SAY(bind(v, SA(&at2), sizeof(at2)));
    SAY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    SAY(bind(fd, SA(&at), sizeof(at)));
    at.sin_addr.s_addr = INADDR_ANY;
    SAY(bind(fd, SA(&at), sizeof(at)));
    close(a);
    close(u);
}

CASE(bind_eaddrnotavail, "bind(2): EADDRNOTAVAIL: no such local address")
{
    struct sockaddr_in at = say_address;
    at.sin_addr.s_addr = htonl(0xc6336401);
    int fd = o_tcp(), u = o_udp();
    SAY(bind(fd, SA(&at), sizeof(at)));
    SAY(bind(u, SA(&at), sizeof(at)));
    SAY(bind(fd, SA(&say_address), sizeof(say_address)));
}

CASE(bind_lengths, "bind(2): EINVAL: addrlen is wrong")
{
    struct sockaddr_in at = say_address;
    int fd = o_tcp();
    SAY(bind(fd, SA(&at), 0));
    SAY(bind(fd, SA(&at), 2));
    SAY(bind(fd, SA(&at), 15));
    SAY(bind(fd, SA(&at), 4000));
    SAY(bind(fd, NULL, 16));
    SAY(bind(-1, SA(&at), 16));
    SAY(bind(0, SA(&at), 16));
}

CASE(bind_family, "bind(2): another family is EAFNOSUPPORT; AF_UNSPEC with INADDR_ANY is taken")
{
    struct sockaddr_in at = {.sin_family = AF_UNSPEC};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    int fd = o_tcp();
    SAY(bind(fd, SA(&six), sizeof(six)));
    at.sin_family = AF_UNIX;
    SAY(bind(fd, SA(&at), sizeof(at)));
    at.sin_family = AF_UNSPEC;
    at.sin_addr = say_address.sin_addr;
    SAY(bind(fd, SA(&at), sizeof(at)));
    at.sin_addr.s_addr = 0;
    SAY(bind(fd, SA(&at), sizeof(at)));
}

CASE(bind_after_connect, "bind(2): EINVAL on a connected stream")
{
    struct sockaddr_in at = say_address;
    int b, a = o_pair(&b);
    SAY(bind(a, SA(&at), sizeof(at)));
    SAY(bind(b, SA(&at), sizeof(at)));
}

CASE(bind_reuseaddr_time_wait,
     "socket(7): SO_REUSEADDR lets a server bind again while old connections linger")
{
    struct sockaddr_in at;
    int on = 1, listener = o_tcp(), fd = o_tcp();
    socklen_t len = sizeof(at);
    at = say_address;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    SAY(bind(listener, SA(&at), sizeof(at)));
    SAY(getsockname(listener, SA(&at), &len));
    SAY(listen(listener, 4));
    SAY(connect(fd, SA(&at), sizeof(at)));
    int b = accept(listener, NULL, NULL);
    close(b); /* the server closes first: TIME_WAIT on its port */
    close(listener);
    say_settle();
    close(fd);
    say_settle();
    int again = o_tcp();
    SAY(bind(again, SA(&at), sizeof(at)));
    setsockopt(again, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    SAY(bind(again, SA(&at), sizeof(at)));
    SAY(listen(again, 4));
}

CASE(bind_reuseaddr_two,
     "socket(7): two streams with SO_REUSEADDR may bind one port; only one may listen")
{
    struct sockaddr_in at = say_address;
    socklen_t len = sizeof(at);
    int on = 1, a = o_tcp(), b = o_tcp();
    setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    SAY(bind(a, SA(&at), sizeof(at)));
    SAY(getsockname(a, SA(&at), &len));
    SAY(bind(b, SA(&at), sizeof(at)));
    SAY(listen(a, 4));
    SAY(listen(b, 4));
}

CASE(bind_reuseport_two, "socket(7): SO_REUSEPORT lets several sockets listen at one port")
{
    struct sockaddr_in at = say_address;
    socklen_t len = sizeof(at);
    int on = 1, a = o_tcp(), b = o_tcp(), c = o_tcp();
    SAY(setsockopt(a, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
    SAY(setsockopt(b, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
    SAY(bind(a, SA(&at), sizeof(at)));
    SAY(getsockname(a, SA(&at), &len));
    SAY(bind(b, SA(&at), sizeof(at)));
    SAY(bind(c, SA(&at), sizeof(at)));
    SAY(listen(a, 4));
    SAY(listen(b, 4));
}

CASE(bind_reuseport_spread, "socket(7): SO_REUSEPORT spreads connections over the listeners fairly")
{
    struct sockaddr_in at = say_address;
    socklen_t len = sizeof(at);
    int on = 1, got[4] = {0}, fds[4], clients[200], all = 0;
    for (int i = 0; i < 4; i++) {
        fds[i] = o_tcp();
        setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        if (bind(fds[i], SA(&at), sizeof(at)) < 0 || listen(fds[i], 256) < 0) {
            SAY(-1);
            return;
        }
        getsockname(fds[i], SA(&at), &len);
        say_nonblock(fds[i], 1);
    }
    for (int i = 0; i < 200; i++) {
        clients[i] = o_tcp();
        if (connect(clients[i], SA(&at), sizeof(at)) < 0) {
            SAY(-1);
            return;
        }
    }
    say_settle();
    for (int i = 0; i < 4; i++)
        while (accept(fds[i], NULL, NULL) >= 0)
            got[i]++;
    for (int i = 0; i < 4; i++) {
        all += got[i];
        printf("listener %d: %s\n", i, got[i] >= 20 && got[i] <= 100 ? "fair" : "unfair");
    }
    printf("all: %d\n", all);
}

CASE(bind_reuseport_processes, "socket(7): SO_REUSEPORT over processes")
{
    struct sockaddr_in at = say_address;
    socklen_t len = sizeof(at);
    int on = 1, first = o_tcp(), pipes[2];
    if (SAY(setsockopt(first, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on))) < 0)
        return;
    SAY(bind(first, SA(&at), sizeof(at)));
    SAY(getsockname(first, SA(&at), &len));
    SAY(pipe(pipes));
    for (int i = 0; i < 3; i++) {
        if (fork() != 0)
            continue;
        int fd = o_tcp();
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        if (bind(fd, SA(&at), sizeof(at)) < 0 || listen(fd, 128) < 0)
            _exit(1);
        if (write(pipes[1], "r", 1) != 1)
            _exit(1);
        struct timeval tv = {.tv_usec = 400000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
        int n = 0;
        while (accept(fd, NULL, NULL) >= 0)
            n++;
        _exit(n > 100 ? 100 : n);
    }
    close(first);
    char c;
    for (int i = 0; i < 3; i++)
        if (read(pipes[0], &c, 1) != 1)
            printf("no child\n");
    for (int i = 0; i < 120; i++) {
        int fd = o_tcp();
        if (connect(fd, SA(&at), sizeof(at)) < 0)
            SAY(-1);
    }
    int sum = 0, fair = 0, status;
    for (int i = 0; i < 3; i++) {
        wait(&status);
        sum += WEXITSTATUS(status);
        fair += WEXITSTATUS(status) >= 15;
    }
    printf("sum %d, fair %d\n", sum, fair);
}

CASE(bind_reuseport_udp, "socket(7): SO_REUSEPORT spreads datagrams by their source")
{
    struct sockaddr_in at = say_address;
    socklen_t len = sizeof(at);
    char c;
    int on = 1, fds[2], got[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        fds[i] = o_udp();
        SAY(setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
        SAY(bind(fds[i], SA(&at), sizeof(at)));
        getsockname(fds[i], SA(&at), &len);
    }
    for (int i = 0; i < 40; i++) {
        int u = o_udp();
        if (sendto(u, "x", 1, 0, SA(&at), sizeof(at)) != 1) {
            SAY(-1);
            return;
        }
    }
    say_settle();
    for (int i = 0; i < 2; i++)
        while (recv(fds[i], &c, 1, MSG_DONTWAIT) == 1)
            got[i]++;
    printf("all %d, spread %d\n", got[0] + got[1], got[0] > 4 && got[1] > 4);
}

CASE(bind_any_connect, "ip(7): a wildcard listener is reached at the address")
{
    struct sockaddr_in at = {.sin_family = AF_INET}, name;
    socklen_t len = sizeof(at);
    int fd = o_tcp(), c = o_tcp();
    SAY(bind(fd, SA(&at), sizeof(at)));
    SAY(listen(fd, 4));
    SAY(getsockname(fd, SA(&at), &len));
    o_show_address("listener", SA(&at), len);
    at.sin_addr = say_address.sin_addr;
    SAY(connect(c, SA(&at), sizeof(at)));
    int b = accept(fd, SA(&name), &len);
    o_show_address("peer", SA(&name), len);
    SAY(getsockname(b, SA(&name), &len));
    o_show_address("accepted's name", SA(&name), len);
}

CASE(listen_unbound, "listen(2): an unbound socket gets a port")
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    int fd = o_tcp();
    SAY(listen(fd, 4));
    SAY(getsockname(fd, SA(&at), &len));
    o_show_address("name", SA(&at), len);
    o_show_poll("listening", fd, 0);
}

CASE(listen_udp, "listen(2): EOPNOTSUPP on datagram sockets; accept too")
{
    int fd = o_udp();
    SAY(listen(fd, 4));
    SAY(accept(fd, NULL, NULL));
}

CASE(listen_connected, "listen(2): EINVAL on a connected stream")
{
    int b, a = o_pair(&b);
    SAY(listen(a, 4));
    SAY(listen(b, 4));
}

CASE(listen_again, "listen(2): again changes the backlog; any number will do")
{
    struct sockaddr_in at;
    int fd = o_listener(&at);
    SAY(listen(fd, 0));
    SAY(listen(fd, -1));
    SAY(listen(fd, 1 << 30));
    o_show_int_option("SO_ACCEPTCONN", fd, SOL_SOCKET, SO_ACCEPTCONN);
    SAY(listen(-1, 1));
    SAY(listen(0, 1));
}

CASE(listen_backlog, "listen(2): a full queue keeps further connections from being complete")
{
    struct sockaddr_in at = say_address;
    socklen_t len = sizeof(at);
    int fd = o_tcp(), clients[8], ready = 0;
    SAY(bind(fd, SA(&at), sizeof(at)));
    SAY(getsockname(fd, SA(&at), &len));
    SAY(listen(fd, 2));
    for (int i = 0; i < 8; i++) {
        clients[i] = o_tcp();
        say_nonblock(clients[i], 1);
        (void)connect(clients[i], SA(&at), sizeof(at));
    }
    say_sleep_ms(100);
    say_nonblock(fd, 1);
    while (accept(fd, NULL, NULL) >= 0)
        ready++;
    printf("in the queue: %d\n", ready);
}

CASE(accept_addresses, "accept(2): the peer's address; addrlen is a value and a result")
{
    struct sockaddr_in at, peer, mine;
    socklen_t len = sizeof(peer), mylen = sizeof(mine);
    int fd = o_listener(&at), c = o_tcp();
    SAY(connect(c, SA(&at), sizeof(at)));
    close(accept(fd, SA(&peer), &len));
    o_show_address("peer", SA(&peer), len);
    getsockname(c, SA(&mine), &mylen);
    printf("is the client's: %d\n", mine.sin_port == peer.sin_port);
    c = o_tcp();
    SAY(connect(c, SA(&at), sizeof(at)));
    len = 4;
    memset(&peer, 0x55, sizeof(peer));
    int b = accept(fd, SA(&peer), &len);
    printf("accepted %d len %u cut %d\n", b >= 0, len, peer.sin_addr.s_addr == 0x55555555);
}

CASE(accept_bad_length,
     "accept(2): EINVAL for a negative length; the connection is gone or kept as on Linux")
{
    struct sockaddr_in at, peer;
    socklen_t len = (socklen_t)-1;
    int fd = o_listener(&at), c = o_tcp();
    SAY(connect(c, SA(&at), sizeof(at)));
    say_nonblock(fd, 1);
    say_await(fd, POLLIN); /* what has been connected is accepted a little later */
    int r = accept(fd, SA(&peer), &len);
    printf("%d %s\n", r, r < 0 ? strerrorname_np(errno) : "");
    len = sizeof(peer);
    r = accept(fd, NULL, &len);
    printf("%d %s\n", r >= 0, r < 0 ? strerrorname_np(errno) : "");
}

CASE(accept_errors,
     "accept(2): EINVAL on a socket that does not listen, EBADF, ENOTSOCK, bad flags")
{
    struct sockaddr_in at;
    int fd = o_tcp(), listener = o_listener(&at);
    SAY(accept(fd, NULL, NULL));
    SAY(accept(-1, NULL, NULL));
    SAY(accept(0, NULL, NULL));
    SAY(accept4(listener, NULL, NULL, 0x40000000));
    say_nonblock(listener, 1);
    SAY(accept(listener, NULL, NULL));
    int b, a = o_pair(&b);
    SAY(accept(a, NULL, NULL));
}

CASE(accept_flags, "accept(2): the new socket does not inherit O_NONBLOCK; accept4 sets flags")
{
    struct sockaddr_in at;
    int fd = o_listener(&at);
    int flags[] = {0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC};
    say_nonblock(fd, 1);
    for (int i = 0; i < 4; i++) {
        int c = o_tcp();
        SAY(connect(c, SA(&at), sizeof(at)));
        say_await(fd, POLLIN);
        int b = accept4(fd, NULL, NULL, flags[i]);
        printf("nonblock %d cloexec %d\n", (fcntl(b, F_GETFL) & O_NONBLOCK) != 0,
               fcntl(b, F_GETFD));
    }
}

CASE(accept_inherits, "tcp(7): options that an accepted socket inherits")
{
    struct sockaddr_in at;
    struct timeval tv = {.tv_sec = 3}, got = {0};
    struct linger linger = {1, 7}, linger2;
    socklen_t len;
    int on = 1, idle = 77, fd = o_listener(&at), c = o_tcp();
    SAY(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
    SAY(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
    SAY(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)));
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    SAY(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    SAY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &idle, sizeof(idle)));
    SAY(connect(c, SA(&at), sizeof(at)));
    int b = accept(fd, NULL, NULL);
    o_show_int_option("SO_KEEPALIVE", b, SOL_SOCKET, SO_KEEPALIVE);
    o_show_int_option("TCP_NODELAY", b, IPPROTO_TCP, TCP_NODELAY);
    o_show_int_option("TCP_KEEPIDLE", b, IPPROTO_TCP, TCP_KEEPIDLE);
    o_show_int_option("SO_REUSEADDR", b, SOL_SOCKET, SO_REUSEADDR);
    o_show_int_option("SO_RCVLOWAT", b, SOL_SOCKET, SO_RCVLOWAT);
    o_show_int_option("SO_ACCEPTCONN", b, SOL_SOCKET, SO_ACCEPTCONN);
    len = sizeof(got);
    SAY(getsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &got, &len));
    len = sizeof(linger2);
    SAY(getsockopt(b, SOL_SOCKET, SO_LINGER, &linger2, &len));
    printf("timeout %ld linger %d %d\n", (long)got.tv_sec, linger2.l_onoff, linger2.l_linger);
}

CASE(accept_after_peer_closed,
     "accept(2): a connection whose peer is gone already is accepted, with its data")
{
    char buf[8];
    struct sockaddr_in at;
    int fd = o_listener(&at), c = o_tcp();
    SAY(connect(c, SA(&at), sizeof(at)));
    SAY(send(c, "early", 5, 0));
    close(c);
    say_settle();
    int b = accept(fd, NULL, NULL);
    o_show_bytes("recv", buf, recv(b, buf, 8, 0));
    SAY(recv(b, buf, 8, 0));
}

CASE(accept_after_peer_reset,
     "accept(2): a connection that was reset in the queue is accepted dead")
{
    char buf[8];
    struct linger now = {1, 0};
    struct sockaddr_in at;
    int fd = o_listener(&at), c = o_tcp();
    SAY(connect(c, SA(&at), sizeof(at)));
    say_settle();
    setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(c);
    say_settle();
    say_nonblock(fd, 1);
    o_show_poll("listener", fd, 0);
    int b = accept(fd, NULL, NULL);
    printf("accepted %d\n", b >= 0);
    if (b >= 0)
        SAY(recv(b, buf, 8, 0));
}

CASE(accept_order, "accept(2): the first connection of the queue comes first")
{
    struct sockaddr_in at, peer, mine;
    socklen_t len = sizeof(peer);
    int fd = o_listener(&at), c[4];
    for (int i = 0; i < 4; i++) {
        c[i] = o_tcp();
        (void)connect(c[i], SA(&at), sizeof(at));
    }
    for (int i = 0; i < 4; i++) {
        accept(fd, SA(&peer), &len);
        getsockname(c[i], SA(&mine), &len);
        printf("%d\n", peer.sin_port == mine.sin_port);
    }
}

CASE(accept_rcvtimeo, "socket(7): SO_RCVTIMEO bounds accept, which then fails with EAGAIN")
{
    struct sockaddr_in at;
    struct timeval tv = {.tv_usec = 100000};
    int fd = o_listener(&at);
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    long begin = say_now_ms();
    SAY(accept(fd, NULL, NULL));
    o_show_time("took", begin, 95, 800);
}

CASE(accept_eintr, "accept(2): EINTR; with SA_RESTART it goes on")
{
    struct sockaddr_in at;
    int fd = o_listener(&at);
    o_signal_in(60, 0);
    SAY(accept(fd, NULL, NULL));
    o_signal_in(60, SA_RESTART);
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(150);
        int c = o_tcp();
        (void)connect(c, SA(&at), sizeof(at));
        say_sleep_ms(50);
        _exit(0);
    }
    int b = accept(fd, NULL, NULL);
    printf("accepted %d\n", b >= 0);
    waitpid(pid, NULL, 0);
}

CASE(accept_emfile, "accept(2): EMFILE; the connection stays in the queue")
{
    struct sockaddr_in at;
    int fd = o_listener(&at), c = o_tcp(), last, next;
    SAY(connect(c, SA(&at), sizeof(at)));
    struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};
    SAY(setrlimit(RLIMIT_NOFILE, &limit));
    int highest = -1;
    while ((last = dup(0)) >= 0)
        highest = last;
    SAY(accept(fd, NULL, NULL));
    close(highest);
    next = accept(fd, NULL, NULL);
    printf("accepted %d\n", next >= 0);
}

CASE(shutdown_listener, "shutdown(2): SHUT_RD ends a listening; accept then fails with EINVAL")
{
    struct sockaddr_in at;
    int fd = o_listener(&at), c = o_tcp();
    SAY(shutdown(fd, SHUT_WR));
    o_show_int_option("SO_ACCEPTCONN", fd, SOL_SOCKET, SO_ACCEPTCONN);
    SAY(shutdown(fd, SHUT_RD));
    o_show_int_option("SO_ACCEPTCONN", fd, SOL_SOCKET, SO_ACCEPTCONN);
    say_nonblock(fd, 1);
    SAY(accept(fd, NULL, NULL));
    SAY(connect(c, SA(&at), sizeof(at)));
    o_show_poll("shut listener", fd, 0);
}

CASE(shutdown_listener_again, "shutdown(2): a listener that was shut down may listen again")
{
    struct sockaddr_in at;
    int fd = o_listener(&at), c = o_tcp();
    SAY(shutdown(fd, SHUT_RDWR));
    SAY(listen(fd, 4));
    SAY(connect(c, SA(&at), sizeof(at)));
}

static void shut_late(void *arg)
{
    shutdown(*(int *)arg, SHUT_RDWR);
}

CASE(shutdown_wakes_accept, "shutdown(2) by another thread ends a blocked accept with EINVAL")
{
    struct sockaddr_in at;
    int fd = o_listener(&at);
    pthread_t t = say_later(80, shut_late, &fd);
    SAY(accept(fd, NULL, NULL));
    pthread_join(t, NULL);
}

CASE(shutdown_wakes_recv, "shutdown(2) by another thread ends a blocked receive with 0")
{
    char buf[4];
    int b, a = o_pair(&b);
    pthread_t t = say_later(80, shut_late, &a);
    SAY(recv(a, buf, 4, 0));
    pthread_join(t, NULL);
}

CASE(shutdown_wakes_send, "shutdown(2) by another thread ends a blocked send")
{
    static char big[32 << 20];
    int b, a = o_pair(&b);
    pthread_t t = say_later(100, shut_late, &a);
    ssize_t n = send(a, big, sizeof(big), MSG_NOSIGNAL);
    printf("partial: %d\n", n > 0 && n < (ssize_t)sizeof(big));
    SAY(send(a, big, 1, MSG_NOSIGNAL));
    pthread_join(t, NULL);
}

CASE(shutdown_wakes_poll, "shutdown(2) by another thread ends a poll")
{
    int b, a = o_pair(&b);
    pthread_t t = say_later(80, shut_late, &a);
    struct pollfd p = {.fd = a, .events = POLLIN | POLLRDHUP};
    SAY(poll(&p, 1, 3000));
    say_settle();
    o_show_poll("after", a, 0);
    pthread_join(t, NULL);
}

CASE(shutdown_enotconn, "shutdown(2): ENOTCONN on a socket that is not connected, EINVAL")
{
    int fd = o_tcp(), u = o_udp(), b, a = o_pair(&b);
    SAY(shutdown(fd, SHUT_RD));
    SAY(shutdown(fd, SHUT_RDWR));
    SAY(shutdown(u, SHUT_RD));
    SAY(shutdown(a, 3));
    SAY(shutdown(a, -1));
    SAY(shutdown(-1, SHUT_RD));
    SAY(shutdown(0, SHUT_RD));
    SAY(shutdown(a, SHUT_RD));
    SAY(shutdown(a, SHUT_RD));
    SAY(shutdown(a, SHUT_RDWR));
    SAY(shutdown(a, SHUT_RDWR));
}

CASE(shutdown_write_half, "shutdown(2): SHUT_WR sends the end; the other direction goes on")
{
    char buf[8];
    int b, a = o_pair(&b);
    SAY(send(a, "last", 4, 0));
    SAY(shutdown(a, SHUT_WR));
    o_show_bytes("recv", buf, recv(b, buf, 8, 0));
    SAY(recv(b, buf, 8, 0));
    o_show_poll("the peer", b, 0);
    o_show_poll("the shut", a, 0);
    SAY(send(b, "reply", 5, 0));
    o_show_bytes("recv", buf, recv(a, buf, 8, 0));
    SAY(shutdown(b, SHUT_WR));
    say_settle();
    o_show_poll("both", a, 0);
    o_show_poll("both", b, 0);
    SAY(shutdown(a, SHUT_RD));
    SAY(shutdown(b, SHUT_WR));
}

CASE(shutdown_both_dup, "shutdown(2): acts on the open file description, not on the descriptor")
{
    char buf[4];
    int b, a = o_pair(&b), c = dup(a);
    SAY(shutdown(c, SHUT_WR));
    SAY(send(a, "x", 1, MSG_NOSIGNAL));
    SAY(recv(b, buf, 4, 0));
}

static void close_late(void *arg)
{
    close(*(int *)arg);
}

CASE(close_while_recv, "close(2) by another thread: a blocked receive goes on until data come")
{
    char buf[4];
    int b, a = o_pair(&b), keep = dup(a);
    pthread_t t = say_later(50, close_late, &a);
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(150);
        send(b, "data", 4, 0);
        _exit(0);
    }
    o_show_bytes("recv", buf, recv(a, buf, 4, 0));
    pthread_join(t, NULL);
    SAY(fcntl(a, F_GETFD));
    SAY(send(keep, "x", 1, 0));
    waitpid(pid, NULL, 0);
}

CASE(close_graceful, "close(2): what was sent arrives, then the end")
{
    int b, a = o_pair(&b);
    pid_t pid = fork();
    if (pid == 0) {
        close(b);
        o_write_all(a, 300000);
        close(a);
        _exit(0);
    }
    close(a);
    printf("read %zu\n", o_read_all(b, 300000));
    char c;
    SAY(recv(b, &c, 1, 0));
    waitpid(pid, NULL, 0);
}

CASE(close_linger_zero, "socket(7): SO_LINGER with time 0 resets the connection")
{
    char c;
    struct linger now = {1, 0};
    int b, a = o_pair(&b);
    SAY(setsockopt(a, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
    SAY(close(a));
    SAY(recv(b, &c, 1, 0));
    SAY(recv(b, &c, 1, 0));
}

CASE(close_linger_waits,
     "socket(7): SO_LINGER makes close wait until all is sent, for that time at most")
{
    struct linger one = {1, 1};
    int b, a = o_pair(&b);
    SAY(setsockopt(a, SOL_SOCKET, SO_LINGER, &one, sizeof(one)));
    say_nonblock(a, 1);
    say_fill(a);
    say_nonblock(a, 0);
    long begin = say_now_ms();
    SAY(close(a));
    o_show_time("took", begin, 900, 2500);
}

CASE(close_dup, "close(2): the connection ends with its last descriptor")
{
    char buf[4];
    int b, a = o_pair(&b), c = dup(a);
    SAY(close(a));
    SAY(send(c, "x", 1, 0));
    o_show_bytes("recv", buf, recv(b, buf, 4, 0));
    SAY(recv(b, buf, 4, MSG_DONTWAIT));
    SAY(close(c));
    SAY(recv(b, buf, 4, 0));
}

CASE(close_twice, "close(2): EBADF the second time")
{
    int b, a = o_pair(&b);
    SAY(close(a));
    SAY(close(a));
    SAY(recv(a, &b, 1, 0));
}

CASE(close_listener_queue, "close(2) of a listener resets the connections in its queue")
{
    char c;
    struct sockaddr_in at;
    int fd = o_listener(&at), a = o_tcp();
    SAY(connect(a, SA(&at), sizeof(at)));
    say_settle();
    SAY(close(fd));
    SAY(recv(a, &c, 1, 0));
    a = o_tcp();
    SAY(connect(a, SA(&at), sizeof(at)));
}

CASE(close_range_sockets, "close_range(2) closes sockets as close does")
{
    char c;
    int b, a = o_pair(&b);
    int copy = fcntl(b, F_DUPFD, 200);
    close(b);
    SAY(close_range((unsigned)a, (unsigned)a + 20, 0));
    SAY(recv(copy, &c, 1, 0));
    SAY(fcntl(a, F_GETFD));
    SAY(close_range(10, 5, 0));
}

CASE(accept_deferred, "tcp(7): TCP_DEFER_ACCEPT: accept wakes when data has come")
{
    int seconds = 5, got = -1;
    socklen_t len = sizeof(got);
    char buf[4];
    struct sockaddr_in at;
    int l = o_listener(&at);
    SAY(setsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)));
    SAY(getsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, &got, &len));
    printf("%d seconds\n", got);
    int a = o_tcp();
    SAY(connect(a, SA(&at), sizeof(at)));
    say_settle();
    o_show_poll("listener", l, 0);
    SAY(write(a, "abc", 3));
    say_events("readable", (uint32_t)say_await(l, POLLIN));
    int s = accept(l, NULL, NULL);
    o_show_bytes("recv", buf, read(s, buf, sizeof(buf)));
    SAY(getsockopt(s, IPPROTO_TCP, TCP_DEFER_ACCEPT, &got, &len));
    printf("%d seconds\n", got);
}

static void show_name(const char *text, int fd)
{
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    getsockname(fd, SA(&name), &len);
    o_show_address(text, SA(&name), len);
}

CASE(bind_address_no_port,
     "ip(7): IP_BIND_ADDRESS_NO_PORT: a bind to port 0 leaves the port to connect")
{
    struct sockaddr_in to, from = say_address, peer;
    socklen_t len = sizeof(peer);
    int listener = o_listener(&to), fd = o_tcp(), one = 1;
    SAY(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)));
    SAY(bind(fd, SA(&from), sizeof(from)));
    show_name("bound", fd);
    SAY(connect(fd, SA(&to), sizeof(to)));
    show_name("connected", fd);
    int other = accept(listener, SA(&peer), &len);
    o_show_address("peer", SA(&peer), len);
    SAY(send(fd, "x", 1, 0));
    SAY(recv(other, &from, 1, 0));
}

CASE(bind_address_no_port_listen,
     "ip(7): IP_BIND_ADDRESS_NO_PORT: listen gets a port at that address")
{
    struct sockaddr_in from = say_address;
    socklen_t len = sizeof(from);
    int listener = o_tcp(), fd = o_tcp(), one = 1;
    SAY(setsockopt(listener, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)));
    SAY(bind(listener, SA(&from), sizeof(from)));
    SAY(listen(listener, 2));
    show_name("listening", listener);
    getsockname(listener, SA(&from), &len);
    SAY(connect(fd, SA(&from), sizeof(from)));
}
