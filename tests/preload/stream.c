/* SPDX-License-Identifier: Apache-2.0 */
/* TCP sockets: blocking and not, flags, ends, errors. */
#include "tests/preload/say.h"

static void on_alarm(int sig)
{
    (void)sig;
}

static void write_late(void *arg)
{
    if (write(*(int *)arg, "late", 4) != 4)
        perror("write");
}

static void alarm_in(int ms)
{
    struct timespec ts = {.tv_nsec = ms * 1000000L};
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec spec = {.it_value = ts};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &spec, NULL);
}

static void handle(int flags)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    sigaction(SIGUSR1, &action, NULL);
}

static void exchange(void)
{
    char buf[64];
    int server, client = say_pair(&server);
    say_case("exchange");
    SAY(send(client, "hello world", 11, 0));
    say_bytes("peek", buf, recv(server, buf, 5, MSG_PEEK));
    say_bytes("recv", buf, recv(server, buf, 5, 0));
    say_bytes("read", buf, read(server, buf, sizeof(buf)));
    say_bytes("dontwait", buf, SAY(recv(server, buf, sizeof(buf), MSG_DONTWAIT)));
    SAY(write(server, "0123456789", 10));
    SAY(recv(client, NULL, 4, MSG_TRUNC));
    say_bytes("after trunc", buf, recv(client, buf, sizeof(buf), 0));
    SAY(recv(client, buf, 1, MSG_OOB));
    SAY(recv(client, buf, 1, MSG_ERRQUEUE));
    SAY(send(client, "", 0, 0));
    SAY(read(server, buf, 0));
    pthread_t later = say_later(50, write_late, &client);
    SAY(write(client, "abc", 3));
    say_bytes("waitall", buf, recv(server, buf, 7, MSG_WAITALL));
    pthread_join(later, NULL);
    struct iovec out[3] = {{"one", 3}, {"", 0}, {"two3", 4}};
    struct iovec in[2] = {{buf, 2}, {buf + 10, 20}};
    SAY(writev(client, out, 3));
    memset(buf, '.', sizeof(buf));
    SAY(readv(server, in, 2));
    say_bytes("scattered", buf, 16);
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    SAY(send(client, "x", 1, 0));
    SAY(recvfrom(server, buf, 8, 0, (struct sockaddr *)&from, &len));
    SAY(len);
    SAY(sendto(client, "y", 1, 0, (struct sockaddr *)&say_address, sizeof(say_address)));
    struct msghdr msg = {.msg_iov = in, .msg_iovlen = 2, .msg_name = &from, .msg_namelen = 16};
    SAY(recvmsg(server, &msg, 0));
    SAY(msg.msg_namelen);
    SAY(msg.msg_controllen);
    SAY(msg.msg_flags);
    close(client);
    close(server);
}

static void ends(void)
{
    char buf[64];
    int server, client = say_pair(&server);
    say_case("shutdown and end of file");
    SAY(write(client, "last", 4));
    SAY(shutdown(client, SHUT_WR));
    SAY(shutdown(client, SHUT_WR));
    SAY(send(client, "no", 2, MSG_NOSIGNAL));
    say_bytes("rest", buf, read(server, buf, sizeof(buf)));
    SAY(read(server, buf, sizeof(buf)));
    SAY(read(server, buf, sizeof(buf)));
    SAY(write(server, "back", 4));
    say_bytes("other way", buf, read(client, buf, sizeof(buf)));
    SAY(shutdown(server, SHUT_RD));
    SAY(read(server, buf, sizeof(buf)));
    SAY(shutdown(server, 7));
    close(server);
    SAY(read(client, buf, sizeof(buf)));
    close(client);

    say_case("SIGPIPE");
    client = say_pair(&server);
    pid_t pid = fork();
    if (pid == 0) {
        shutdown(client, SHUT_WR);
        ssize_t n = write(client, "x", 1);
        _exit(n < 0 ? 1 : 0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    printf("signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    close(client);
    close(server);

    say_case("reset by the peer");
    client = say_pair(&server);
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    SAY(setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
    close(server);
    say_settle();
    say_events("poll", (uint32_t)say_await(client, POLLIN | POLLOUT | POLLRDHUP));
    SAY(read(client, buf, sizeof(buf)));
    SAY(read(client, buf, sizeof(buf)));
    SAY(send(client, "x", 1, MSG_NOSIGNAL));
    close(client);
}

static void timeouts(void)
{
    char buf[8];
    int server, client = say_pair(&server);
    struct timeval tv = {.tv_usec = 100000};
    say_case("timeouts and signals");
    SAY(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    long begin = say_now_ms();
    SAY(read(server, buf, sizeof(buf)));
    long took = say_now_ms() - begin;
    printf("waited: %s\n", took >= 95 && took < 1000 ? "yes" : "no");
    tv.tv_usec = 0;
    SAY(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));

    handle(0);
    alarm_in(50);
    SAY(read(server, buf, sizeof(buf)));
    handle(SA_RESTART);
    alarm_in(50);
    pthread_t later = say_later(150, write_late, &client);
    say_bytes("restarted", buf, read(server, buf, sizeof(buf)));
    pthread_join(later, NULL);
    tv.tv_sec = 2;
    setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    alarm_in(50);
    SAY(read(server, buf, sizeof(buf)));
    close(server);
    close(client);
}

static void connecting(void)
{
    struct sockaddr_in at;
    char buf[8];
    say_case("connect");
    int listener = say_listener(&at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SAY(recv(fd, buf, 1, 0));
    SAY(send(fd, buf, 1, MSG_NOSIGNAL));
    SAY(shutdown(fd, SHUT_RDWR));
    SAY(accept(fd, NULL, NULL));
    socklen_t len = sizeof(at);
    struct sockaddr_in peer = {.sin_port = 0};
    SAY(getpeername(fd, (struct sockaddr *)&peer, &len));
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    SAY(listen(fd, 1));
    len = sizeof(peer);
    SAY(getpeername(fd, (struct sockaddr *)&peer, &len));
    printf("peer is right: %d\n", peer.sin_port == at.sin_port && len == sizeof(peer));
    SAY(bind(fd, (struct sockaddr *)&say_address, sizeof(say_address)));
    int server = accept(listener, NULL, NULL);
    close(fd);
    SAY(read(server, buf, 1));
    close(server);
    SAY(connect(listener, (struct sockaddr *)&at, sizeof(at)));
    close(listener);

    fd = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    listener = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    SAY(bind(listener, (struct sockaddr *)&at, sizeof(at)));
    SAY(listen(listener, 4));
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    close(fd);

    int other = socket(AF_INET, SOCK_STREAM, 0);
    SAY(bind(other, (struct sockaddr *)&at, sizeof(at)));
    SAY(bind(other, (struct sockaddr *)&at, 4));
    SAY(bind(other, NULL, sizeof(at)));
    close(other);

    say_case("connect, non-blocking");
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SAY((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    say_settle();
    say_events("poll", (uint32_t)say_await(fd, POLLOUT));
    int error = -1;
    len = sizeof(error);
    SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    SAY(error);
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    SAY(read(fd, buf, 1));
    close(fd);
    close(listener);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SAY(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    say_settle();
    say_events("poll", (uint32_t)say_await(fd, POLLIN | POLLOUT | POLLRDHUP));
    SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    printf("%s\n", strerrorname_np(error));
    SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    SAY(error);
    say_events("poll", (uint32_t)say_await(fd, POLLIN | POLLOUT | POLLRDHUP));
    SAY(read(fd, buf, 1));
    SAY(send(fd, buf, 1, MSG_NOSIGNAL));
    close(fd);
}

static void accepting(void)
{
    struct sockaddr_in at, peer = {.sin_port = 0};
    socklen_t len = sizeof(peer);
    say_case("accept");
    int listener = say_listener(&at);
    say_nonblock(listener, 1);
    SAY(accept(listener, NULL, NULL));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect(client, (struct sockaddr *)&at, sizeof(at)));
    say_events("listener", (uint32_t)say_await(listener, POLLIN | POLLOUT));
    int server = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    SAY((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
    SAY(fcntl(server, F_GETFD));
    SAY(len);
    SAY(peer.sin_family);
#ifdef __GLIBC__ /* musl tries again by accept() */
    SAY(accept4(listener, NULL, NULL, 1));
#endif
    SAY(recv(listener, &peer, 1, 0));
    struct timeval tv = {.tv_usec = 50000};
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    say_nonblock(listener, 0);
    SAY(accept(listener, NULL, NULL));
    int value = -1;
    len = sizeof(value);
    SAY(getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &len));
    SAY(value);
    SAY(getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &value, &len));
    SAY(value);
    SAY(getsockopt(server, SOL_SOCKET, SO_TYPE, &value, &len));
    SAY(value);
    SAY(getsockopt(server, SOL_SOCKET, SO_DOMAIN, &value, &len));
    SAY(value);
    SAY(getsockopt(server, SOL_SOCKET, SO_PROTOCOL, &value, &len));
    SAY(value);
    close(server);
    close(client);
    close(listener);
}

static void filling(void)
{
    static char got[65536];
    int server, client = say_pair(&server);
    say_case("fill and drain");
    say_nonblock(client, 1);
    size_t received = 0, sent = say_fill(client);
    printf("something fitted: %d\n", sent > 0);
    say_nonblock(server, 1);
    while (received < sent && say_await(server, POLLIN)) {
        ssize_t n = read(server, got, sizeof(got));
        if (n <= 0)
            break;
        received += (size_t)n;
    }
    printf("all received: %d\n", received == sent);
    say_events("drained", (uint32_t)say_await(client, POLLOUT));
    close(client);
    close(server);
}

struct transfer {
    int fd;
    size_t total;
    unsigned seed;
};

static void *sender(void *arg)
{
    struct transfer *t = arg;
    char buf[30000];
    size_t done = 0;
    while (done < t->total) {
        size_t n = 1 + (size_t)rand_r(&t->seed) % sizeof(buf);
        if (n > t->total - done)
            n = t->total - done;
        for (size_t i = 0; i < n; i++)
            buf[i] = (char)((done + i) * 31 + (done + i) / 1000);
        ssize_t r = write(t->fd, buf, n);
        if (r < 0) {
            perror("write");
            break;
        }
        done += (size_t)r;
    }
    shutdown(t->fd, SHUT_WR);
    return NULL;
}

static void transfer(void)
{
    int server, client = say_pair(&server);
    struct transfer t = {client, 20 << 20, 1};
    pthread_t thread;
    char buf[20000];
    size_t done = 0, wrong = 0;
    unsigned seed = 2;
    say_case("transfer");
    pthread_create(&thread, NULL, sender, &t);
    for (;;) {
        ssize_t n = read(server, buf, 1 + (size_t)rand_r(&seed) % sizeof(buf));
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++, done++)
            wrong += buf[i] != (char)(done * 31 + done / 1000);
    }
    pthread_join(thread, NULL);
    printf("%zu bytes, %zu wrong\n", done, wrong);
    close(client);
    close(server);
}

int main(int argc, char **argv)
{
    say_begin(argc, argv);
    exchange();
    ends();
    timeouts();
    connecting();
    accepting();
    filling();
    transfer();
    return 0;
}
