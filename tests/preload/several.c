/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets on several instances at once: a wildcard bind takes the kernel and the stack, at one
 * port, and merges them. Prints what it saw; the expectation is beside the Bats case that runs it.
 * The address is the stack's; the kernel is reached over 127.0.0.1.
 */
#include "tests/preload/say.h"

static struct sockaddr_in loopback = {.sin_family = AF_INET};

static int connect_to(struct in_addr host, in_port_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = host, .sin_port = port};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        printf("connect: %s\n", strerrorname_np(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static int wildcard(int type, in_port_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, type, 0);
    SAY(bind(fd, (struct sockaddr *)&at, sizeof(at)));
    SAY(getsockname(fd, (struct sockaddr *)&at, &len));
    printf("any address: %d, a port: %d\n", at.sin_addr.s_addr == 0, at.sin_port != 0);
    *port = at.sin_port;
    return fd;
}

static void connect_both(void *arg)
{
    in_port_t port = *(in_port_t *)arg;
    int a = connect_to(say_address.sin_addr, port);
    say_sleep_ms(60);
    int b = connect_to(loopback.sin_addr, port);
    char c;
    if (a < 0 || b < 0 || write(a, "s", 1) != 1 || write(b, "k", 1) != 1 || read(a, &c, 1) != 0 ||
        read(b, &c, 1) != 0)
        printf("client failed\n");
    close(a);
    close(b);
}

static void streams(int nonblock)
{
    in_port_t port;
    char got[3] = "";
    say_case(nonblock ? "wildcard listener, epoll" : "wildcard listener, blocking");
    int listener = wildcard(SOCK_STREAM, &port);
    SAY(listen(listener, 8));
    struct sockaddr_in taken = {.sin_family = AF_INET, .sin_port = port};
    int other = socket(AF_INET, SOCK_STREAM, 0);
    SAY(bind(other, (struct sockaddr *)&taken, sizeof(taken)));
    taken.sin_addr = loopback.sin_addr;
    SAY(bind(other, (struct sockaddr *)&taken, sizeof(taken)));
    close(other);
    int epfd = epoll_create1(0), fds[2];
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 42};
    say_nonblock(listener, nonblock);
    if (nonblock) {
        SAY(accept(listener, NULL, NULL));
        SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &e));
        SAY(epoll_wait(epfd, &e, 1, 20));
    }
    pthread_t later = say_later(30, connect_both, &port);
    for (int i = 0; i < 2; i++) {
        if (nonblock) {
            SAY(epoll_wait(epfd, &e, 1, 3000));
            printf("%llu\n", (unsigned long long)e.data.u64);
        }
        struct sockaddr_in from = {.sin_port = 0};
        socklen_t len = sizeof(from);
        fds[i] = accept(listener, (struct sockaddr *)&from, &len);
        printf("accepted from %s\n",
               from.sin_addr.s_addr == loopback.sin_addr.s_addr ? "loopback" : "the stack");
    }
    if (nonblock)
        SAY(epoll_wait(epfd, &e, 1, 20));
    for (int i = 0; i < 2; i++) {
        say_nonblock(fds[i], 0);
        SAY(read(fds[i], got + i, 1));
        close(fds[i]);
    }
    printf("%s\n", got);
    pthread_join(later, NULL);
    close(epfd);
    close(listener);
    SAY(connect_to(loopback.sin_addr, port));
    SAY(connect_to(say_address.sin_addr, port));
}

static void datagrams(void)
{
    in_port_t port;
    char buf[16];
    say_case("wildcard datagram socket");
    int fd = wildcard(SOCK_DGRAM, &port);
    for (int i = 0; i < 4; i++) {
        struct sockaddr_in from = {.sin_port = 0}, at = {.sin_family = AF_INET, .sin_port = port};
        socklen_t len = sizeof(from);
        at.sin_addr = i % 2 ? loopback.sin_addr : say_address.sin_addr;
        int client = socket(AF_INET, SOCK_DGRAM, 0);
        SAY(sendto(client, "ping", 4, 0, (struct sockaddr *)&at, sizeof(at)));
        SAY(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
        SAY(sendto(fd, "pong", 4, 0, (struct sockaddr *)&from, len));
        SAY(say_await(client, POLLIN) & POLLIN);
        SAY(recv(client, buf, sizeof(buf), 0));
        close(client);
    }
    struct timeval tv = {.tv_usec = 30000};
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    SAY(recv(fd, buf, 1, 0));
    close(fd);
}

static void bound_then_connected(void)
{
    struct sockaddr_in at;
    in_port_t port;
    say_case("bound to the wildcard, then connected");
    int listener = say_listener(&at);
    int fd = wildcard(SOCK_STREAM, &port);
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    struct sockaddr_in peer = {.sin_port = 0};
    socklen_t len = sizeof(peer);
    int server = accept(listener, (struct sockaddr *)&peer, &len);
    printf("from the bound port: %d\n", peer.sin_port == port);
    SAY(write(fd, "x", 1));
    SAY(read(server, &peer, 1));
    close(server);
    close(listener);
    close(fd);
}

int main(int argc, char **argv)
{
    say_begin(argc, argv);
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    streams(0);
    streams(1);
    datagrams();
    bound_then_connected();
    return 0;
}
