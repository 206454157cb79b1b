/* SPDX-License-Identifier: Apache-2.0 */
/* poll, select and epoll over stack sockets, pipes and eventfds. */
#include "tests/preload/say.h"

static void write_late(void *arg)
{
    if (write(*(int *)arg, "late", 4) != 4)
        perror("write");
}

static void poll_events(void)
{
    char buf[64];
    int server, client = say_pair(&server);
    struct pollfd p[3] = {{.fd = client, .events = POLLIN | POLLOUT | POLLRDHUP},
                          {.fd = server, .events = POLLIN | POLLRDHUP},
                          {.fd = -1, .events = POLLIN}};
    say_case("poll");
    SAY(poll(p, 3, 0));
    say_events("client", (uint32_t)p[0].revents);
    say_events("server", (uint32_t)p[1].revents);
    p[0].events = POLLIN;
    SAY(poll(p, 3, 20));
    pthread_t later = say_later(50, write_late, &client);
    SAY(poll(p, 3, 2000));
    say_events("server", (uint32_t)p[1].revents);
    pthread_join(later, NULL);
    SAY(read(server, buf, sizeof(buf)));
    shutdown(client, SHUT_WR);
    say_settle();
    say_events("fin", (uint32_t)say_await(server, POLLIN | POLLRDHUP));
    shutdown(server, SHUT_WR);
    say_settle();
    say_events("both", (uint32_t)say_await(server, POLLIN | POLLOUT | POLLRDHUP));
    say_events("both", (uint32_t)say_await(client, POLLIN | POLLOUT | POLLRDHUP));
    close(client);
    close(server);
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    p[0] = (struct pollfd){.fd = fresh, .events = POLLIN | POLLOUT};
    SAY(poll(p, 1, 0));
    say_events("fresh", (uint32_t)p[0].revents);
    close(fresh);
    p[0].fd = fresh;
    SAY(poll(p, 1, 0));
    say_events("closed", (uint32_t)p[0].revents);
    fresh = socket(AF_INET, SOCK_DGRAM, 0);
    p[0] = (struct pollfd){.fd = fresh, .events = POLLIN | POLLOUT};
    SAY(poll(p, 1, 0));
    say_events("fresh udp", (uint32_t)p[0].revents);
    close(fresh);
}

static void mixed(void)
{
    char buf[8];
    int ends[2], server, client = say_pair(&server);
    say_case("mixed with a pipe");
    if (pipe(ends) < 0)
        exit(1);
    struct pollfd p[2] = {{.fd = server, .events = POLLIN}, {.fd = ends[0], .events = POLLIN}};
    pthread_t later = say_later(30, write_late, &ends[1]);
    SAY(poll(p, 2, 2000));
    say_events("server", (uint32_t)p[0].revents);
    say_events("pipe", (uint32_t)p[1].revents);
    pthread_join(later, NULL);
    later = say_later(30, write_late, &client);
    SAY(read(ends[0], buf, 8));
    SAY(poll(p, 2, 2000));
    say_events("server", (uint32_t)p[0].revents);
    pthread_join(later, NULL);

    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(server, &in);
    FD_SET(ends[0], &in);
    FD_SET(client, &out);
    int max = (server > ends[0] ? server : ends[0]) + 1;
    max = max > client + 1 ? max : client + 1;
    SAY(select(max, &in, &out, NULL, NULL));
    printf("%d %d %d\n", FD_ISSET(server, &in) != 0, FD_ISSET(ends[0], &in) != 0,
           FD_ISSET(client, &out) != 0);
    SAY(read(server, buf, 8));
    FD_ZERO(&in);
    FD_SET(server, &in);
    struct timeval tv = {.tv_usec = 30000};
    SAY(select(server + 1, &in, NULL, NULL, &tv));
    printf("%d %ld\n", FD_ISSET(server, &in) != 0, (long)tv.tv_sec);
    close(ends[0]);
    close(ends[1]);
    close(client);
    close(server);
}

static void one(int epfd, const char *name, int timeout)
{
    struct epoll_event e = {.events = 0};
    int n = epoll_wait(epfd, &e, 1, timeout);
    printf("%s = %d", name, n);
    say_events(n > 0 ? (e.data.u32 == 77   ? " [77]"
                        : e.data.u32 == 88 ? " [88]"
                                           : " [?]")
                     : "",
               n > 0 ? e.events : 0);
}

static void level(void)
{
    char buf[8];
    int server, client = say_pair(&server);
    int epfd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = 77};
    say_case("epoll, level");
    SAY(epoll_ctl(epfd, EPOLL_CTL_MOD, server, &e));
    SAY(epoll_ctl(epfd, EPOLL_CTL_DEL, server, &e));
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e));
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e));
    SAY(epoll_ctl(epfd, 9, server, &e));
    one(epfd, "nothing", 0);
    SAY(write(client, "abc", 3));
    one(epfd, "in", 2000);
    one(epfd, "in again", 2000);
    SAY(read(server, buf, 2));
    one(epfd, "still in", 2000);
    SAY(read(server, buf, 8));
    one(epfd, "out of it", 20);
    e.events = EPOLLIN | EPOLLOUT;
    SAY(epoll_ctl(epfd, EPOLL_CTL_MOD, server, &e));
    one(epfd, "writable", 2000);
    one(epfd, "writable", 2000);
    e.events = 0;
    SAY(epoll_ctl(epfd, EPOLL_CTL_MOD, server, &e));
    one(epfd, "none wanted", 20);
    e.events = EPOLLIN | EPOLLRDHUP;
    SAY(epoll_ctl(epfd, EPOLL_CTL_MOD, server, &e));
    shutdown(client, SHUT_WR);
    say_settle();
    one(epfd, "fin", 2000);
    shutdown(server, SHUT_WR);
    say_settle();
    one(epfd, "both", 2000);
    SAY(epoll_ctl(epfd, EPOLL_CTL_DEL, server, NULL));
    one(epfd, "deleted", 20);
    close(server);
    close(client);
    SAY(epoll_wait(epfd, &e, 0, 0));
    close(epfd);
}

static void edge(void)
{
    char buf[8];
    int server, client = say_pair(&server);
    int epfd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = 77};
    say_case("epoll, edge");
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e));
    one(epfd, "first", 2000);
    one(epfd, "no more", 20);
    SAY(write(client, "abc", 3));
    one(epfd, "came", 2000);
    one(epfd, "no more", 20);
    SAY(read(server, buf, 1));
    one(epfd, "not drained", 20);
    SAY(write(client, "def", 3));
    one(epfd, "came more", 2000);
    SAY(read(server, buf, 8));
    shutdown(client, SHUT_WR);
    say_settle();
    one(epfd, "fin", 2000);
    one(epfd, "no more", 20);
    e.events = EPOLLIN | EPOLLET;
    SAY(epoll_ctl(epfd, EPOLL_CTL_MOD, server, &e));
    one(epfd, "modified", 2000);
    one(epfd, "no more", 20);
    close(server);
    close(client);

    say_case("epoll, edge, writable again");
    static char chunk[65536];
    client = say_pair(&server);
    say_nonblock(client, 1);
    e.events = EPOLLOUT | EPOLLET;
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, client, &e));
    one(epfd, "first", 2000);
    say_fill(client);
    while (epoll_wait(epfd, &e, 1, 20) > 0)
        say_fill(client);
    say_nonblock(server, 1);
    while (say_await(server, POLLIN) && read(server, chunk, sizeof(chunk)) > 0) {
        struct pollfd p = {.fd = server, .events = POLLIN};
        if (poll(&p, 1, 50) == 0)
            break;
    }
    one(epfd, "room", 2000);
    one(epfd, "no more", 20);
    close(server);
    close(client);
    close(epfd);
}

static void oneshot(void)
{
    char buf[8];
    int server, client = say_pair(&server);
    int epfd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = 77};
    say_case("epoll, one shot");
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e));
    SAY(write(client, "abc", 3));
    one(epfd, "in", 2000);
    one(epfd, "disarmed", 20);
    SAY(write(client, "abc", 3));
    one(epfd, "disarmed", 20);
    e.data.u32 = 88;
    SAY(epoll_ctl(epfd, EPOLL_CTL_MOD, server, &e));
    one(epfd, "armed", 2000);
    SAY(read(server, buf, 8));
    close(server);
    close(client);
    close(epfd);
}

static void sets(void)
{
    char buf[8];
    int server, client = say_pair(&server);
    int epfd = epoll_create1(0), outer = epoll_create1(0);
    int bell = eventfd(0, 0);
    uint64_t count = 1;
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = 77};
    say_case("epoll, mixed, nested, duplicates");
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e));
    e.data.u32 = 88;
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, bell, &e));
    SAY(write(bell, &count, 8));
    one(epfd, "eventfd", 2000);
    SAY(read(bell, &count, 8));
    pthread_t later = say_later(30, write_late, &client);
    one(epfd, "socket", 2000);
    pthread_join(later, NULL);
    SAY(write(bell, &count, 8));
    struct epoll_event two[4];
    SAY(epoll_wait(epfd, two, 4, 100) >= 1);
    SAY(read(bell, &count, 8));
    SAY(read(server, buf, 8));

    e.data.u32 = 77;
    SAY(epoll_ctl(outer, EPOLL_CTL_ADD, epfd, &e));
    one(outer, "outer, quiet", 20);
    later = say_later(30, write_late, &client);
    one(outer, "outer", 2000);
    pthread_join(later, NULL);
    one(epfd, "inner", 2000);
    say_events("poll of the epfd", (uint32_t)say_await(epfd, POLLIN));
    SAY(read(server, buf, 8));

    int copy = dup(server);
    e.data.u32 = 88;
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, copy, &e));
    SAY(write(client, "x", 1));
    say_sleep_ms(20);
    SAY(epoll_wait(epfd, two, 4, 100));
    close(copy);
    close(server);
    close(client);
    one(epfd, "closed", 20);
    close(bell);
    close(outer);
    close(epfd);
}

/* Taken out and put in again, as some event loops do with each request; with data that comes while
 * it is out, before, and after; more rings than the doorbell would hold unread. */
static void out_and_in(uint32_t mode)
{
    char buf[64];
    int server, client = say_pair(&server), other = epoll_create1(0), epfd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | mode, .data.u32 = 5};
    say_case("epoll: out and in again");
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e));
    SAY(epoll_ctl(epfd, EPOLL_CTL_DEL, server, NULL));
    write_late(&client);
    say_settle();
    one(epfd, "out", 20);
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e));
    one(epfd, "in", 1000);
    SAY(read(server, buf, sizeof(buf)));
    one(epfd, "read", 20);
    SAY(epoll_ctl(epfd, EPOLL_CTL_DEL, server, NULL));
    SAY(epoll_ctl(other, EPOLL_CTL_ADD, server, &e));
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e));
    write_late(&client);
    one(epfd, "both", 1000);
    one(other, "both", 1000);
    SAY(read(server, buf, sizeof(buf)));
    SAY(epoll_ctl(other, EPOLL_CTL_DEL, server, NULL));
    int woken = 0;
    for (int i = 0; i < 400; i++) {
        epoll_ctl(epfd, EPOLL_CTL_DEL, server, NULL);
        epoll_ctl(epfd, EPOLL_CTL_ADD, server, &e);
        pthread_t later = say_later(0, write_late, &client);
        woken += epoll_wait(epfd, &e, 1, 2000);
        pthread_join(later, NULL);
        if (read(server, buf, sizeof(buf)) != 4)
            woken = -1000;
        e = (struct epoll_event){.events = EPOLLIN | mode, .data.u32 = 5};
    }
    SAY(woken);
    close(server);
    close(client);
    close(epfd);
    close(other);
}

static void connecting(void)
{
    struct sockaddr_in at;
    int listener = say_listener(&at);
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = 77};
    say_case("epoll before connect, and a listener");
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e));
    one(epfd, "fresh", 20);
    e = (struct epoll_event){.events = EPOLLIN, .data.u32 = 88};
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &e));
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    struct epoll_event two[2];
    int n = 0, seen = 0;
    while (seen != 3 && n < 10) {
        int got = epoll_wait(epfd, two, 2, 1000);
        for (int i = 0; i < got; i++) {
            if (two[i].data.u32 == 77 && two[i].events == EPOLLOUT)
                seen |= 1;
            else if (two[i].data.u32 == 88 && two[i].events == EPOLLIN)
                seen |= 2;
        }
        n++;
    }
    SAY(seen);
    int server = accept(listener, NULL, NULL);
    one(epfd, "accepted", 20);
    close(server);
    close(fd);
    close(listener);
    close(epfd);
}

int main(int argc, char **argv)
{
    say_begin(argc, argv);
    poll_events();
    mixed();
    level();
    edge();
    oneshot();
    sets();
    out_and_in(0);
    out_and_in(EPOLLET);
    connecting();
    return 0;
}
