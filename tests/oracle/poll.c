/* SPDX-License-Identifier: Apache-2.0 */
/* poll(2), ppoll(2), select(2), pselect(2). */
#include "tests/oracle/oracle.h"

CASE(poll_states, "poll(2): what a stream says in each state")
{
    struct sockaddr_in at;
    int fd = o_tcp(), listener = o_listener(&at);
    o_show_poll("fresh", fd, 0);
    o_show_poll("listening", listener, 0);
    SAY(connect(fd, SA(&at), sizeof(at)));
    o_show_poll("listener with a connection", listener, 1000);
    int b = accept(listener, NULL, NULL);
    o_show_poll("connected", fd, 0);
    SAY(send(b, "x", 1, 0));
    say_await(fd, POLLIN);
    o_show_poll("with data", fd, 0);
    SAY(shutdown(b, SHUT_WR));
    say_await(fd, POLLRDHUP);
    o_show_poll("data and the end", fd, 0);
    SAY(shutdown(fd, SHUT_WR));
    say_settle();
    o_show_poll("both ended", fd, 0);
}

CASE(poll_datagram_states, "poll(2): what a datagram socket says")
{
    int u = o_udp(), b, a = o_udp_pair(&b);
    o_show_poll("fresh", u, 0);
    o_show_poll("connected", a, 0);
    SAY(send(a, "x", 1, 0));
    say_await(b, POLLIN);
    o_show_poll("with a datagram", b, 0);
}

CASE(poll_only_asked, "poll(2): only what was asked for, and ERR, HUP, NVAL")
{
    int b, a = o_pair(&b);
    struct pollfd p = {.fd = a, .events = POLLIN};
    SAY(poll(&p, 1, 0));
    p.events = 0;
    SAY(poll(&p, 1, 0));
    p.events = POLLOUT;
    SAY(poll(&p, 1, 0));
    say_events("out", (uint32_t)p.revents);
    p.events = POLLWRNORM | POLLRDNORM | POLLPRI | POLLRDBAND | POLLWRBAND;
    SAY(poll(&p, 1, 0));
    printf("revents %x\n", (unsigned)p.revents);
    p.fd = 77;
    SAY(poll(&p, 1, 0));
    say_events("bad fd", (uint32_t)p.revents);
    p.fd = -1;
    SAY(poll(&p, 1, 0));
    printf("negative: %d\n", p.revents);
    struct pollfd q = {.fd = a, .events = POLLIN};
    struct linger now = {1, 0};
    setsockopt(b, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(b);
    say_settle();
    q.events = 0;
    SAY(poll(&q, 1, 1000));
    say_events("reset", (uint32_t)q.revents);
}

CASE(poll_same_twice, "poll(2): the same fd twice in the array")
{
    int b, a = o_pair(&b);
    struct pollfd p[2] = {{.fd = a, .events = POLLOUT}, {.fd = a, .events = POLLIN | POLLOUT}};
    SAY(poll(p, 2, 0));
    say_events("first", (uint32_t)p[0].revents);
    say_events("second", (uint32_t)p[1].revents);
    close(b);
}

CASE(poll_timeout, "poll(2): waits for the timeout, -1 for ever, 0 not at all")
{
    int b, a = o_pair(&b);
    struct pollfd p = {.fd = a, .events = POLLIN};
    long begin = say_now_ms();
    SAY(poll(&p, 1, 100));
    o_show_time("100 ms", begin, 98, 600);
    begin = say_now_ms();
    SAY(poll(&p, 1, 0));
    o_show_time("0 ms", begin, 0, 90);
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(60);
        send(b, "x", 1, 0);
        say_sleep_ms(100);
        _exit(0);
    }
    SAY(poll(&p, 1, -1));
    say_events("woken", (uint32_t)p.revents);
    waitpid(pid, NULL, 0);
}

CASE(poll_eintr, "poll(2): EINTR, with SA_RESTART too")
{
    int b, a = o_pair(&b);
    struct pollfd p = {.fd = a, .events = POLLIN};
    o_signal_in(60, 0);
    SAY(poll(&p, 1, 2000));
    o_signal_in(60, SA_RESTART);
    SAY(poll(&p, 1, 2000));
}

CASE(poll_mixed, "poll(2): sockets, pipes and eventfds in one call")
{
    int fds[2], b, a = o_pair(&b), event = eventfd(0, 0);
    SAY(pipe(fds));
    struct pollfd p[3] = {{.fd = a, .events = POLLIN},
                          {.fd = fds[0], .events = POLLIN},
                          {.fd = event, .events = POLLIN}};
    SAY(poll(p, 3, 0));
    SAY(write(fds[1], "x", 1));
    SAY(poll(p, 3, 1000));
    printf("%x %x %x\n", p[0].revents, p[1].revents, p[2].revents);
    SAY(send(b, "x", 1, 0));
    say_settle();
    uint64_t one = 1;
    SAY(write(event, &one, 8));
    SAY(poll(p, 3, 1000));
    printf("%x %x %x\n", p[0].revents, p[1].revents, p[2].revents);
}

CASE(poll_pipe_wakes, "poll(2): a pipe wakes a poll that sleeps on a socket too")
{
    int fds[2], b, a = o_pair(&b);
    SAY(pipe(fds));
    struct pollfd p[2] = {{.fd = a, .events = POLLIN}, {.fd = fds[0], .events = POLLIN}};
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(80);
        _exit(write(fds[1], "x", 1) != 1);
    }
    SAY(poll(p, 2, 3000));
    printf("%x %x\n", p[0].revents, p[1].revents);
    waitpid(pid, NULL, 0);
    close(b);
}

CASE(poll_many, "poll(2): a hundred sockets, one with news")
{
    struct pollfd p[100];
    int other[100];
    for (int i = 0; i < 100; i++)
        p[i] = (struct pollfd){.fd = o_pair(&other[i]), .events = POLLIN};
    SAY(poll(p, 100, 0));
    SAY(send(other[63], "x", 1, 0));
    SAY(poll(p, 100, 2000));
    for (int i = 0; i < 100; i++)
        if (p[i].revents)
            printf("%d: %x\n", i, p[i].revents);
}

CASE(poll_arguments, "poll(2), ppoll(2): EFAULT, EINVAL")
{
    int b, a = o_pair(&b);
    struct pollfd p = {.fd = a, .events = POLLIN};
    struct timespec bad = {.tv_nsec = 1000000000}, negative = {.tv_sec = -1};
    SAY(ppoll(&p, 1, &bad, NULL));
    SAY(ppoll(&p, 1, &negative, NULL));
    SAY(poll(&p, 0, 0));
    SAY(poll(NULL, 0, 0));
    struct timespec zero = {0};
    SAY(ppoll(&p, 1, &zero, NULL));
}

static void on_usr1(int sig)
{
    (void)sig;
    if (write(1, "handler\n", 8) < 0)
        _exit(1);
}

CASE(poll_sigmask, "ppoll(2): the mask holds during the call only")
{
    int b, a = o_pair(&b);
    struct pollfd p = {.fd = a, .events = POLLIN};
    struct timespec second = {.tv_sec = 1};
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    signal(SIGUSR1, on_usr1);
    sigprocmask(SIG_SETMASK, &all, NULL);
    kill(getpid(), SIGUSR1);
    printf("blocked\n");
    SAY(ppoll(&p, 1, &second, &none));
    struct timespec zero = {0};
    kill(getpid(), SIGUSR1);
    SAY(ppoll(&p, 1, &zero, NULL));
    fd_set in;
    FD_ZERO(&in);
    FD_SET(a, &in);
    SAY(pselect(a + 1, &in, NULL, NULL, &second, &none));
}

CASE(poll_writable_again, "poll(2): a full socket becomes writable when a part is free")
{
    static char buf[1 << 20];
    int b, a = o_pair(&b);
    say_nonblock(a, 1);
    say_fill(a);
    o_show_poll("full", a, 0);
    size_t got = 0;
    say_nonblock(b, 1);
    struct pollfd p = {.fd = a, .events = POLLOUT};
    while (poll(&p, 1, 50) == 0 && got < 64u << 20) {
        ssize_t n = recv(b, buf, sizeof(buf), 0);
        got += n > 0 ? (size_t)n : 0;
    }
    say_events("drained", (uint32_t)p.revents);
}

CASE(poll_closed_by_thread, "poll(2): of a socket whose other end closes")
{
    int b, a = o_pair(&b);
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(60);
        _exit(0);
    }
    close(b);
    struct pollfd p = {.fd = a, .events = POLLIN | POLLRDHUP};
    SAY(poll(&p, 1, 3000));
    say_events("closed", (uint32_t)p.revents);
    waitpid(pid, NULL, 0);
}

static void show_sets(const char *text, int n, const fd_set *in, const fd_set *out,
                      const fd_set *except, const int *fds, int count)
{
    printf("%s: %d:", text, n);
    for (int i = 0; i < count; i++)
        printf(" %d%d%d", in && FD_ISSET(fds[i], in), out && FD_ISSET(fds[i], out),
               except && FD_ISSET(fds[i], except));
    printf("\n");
}

CASE(select_basic, "select(2): counts bits, clears what is not ready")
{
    fd_set in, out, except;
    struct timeval tv = {0};
    int fds[3], b, a = o_pair(&b);
    fds[0] = a;
    fds[1] = b;
    fds[2] = o_tcp();
    FD_ZERO(&in);
    for (int i = 0; i < 3; i++)
        FD_SET(fds[i], &in);
    out = except = in;
    int n = select(20, &in, &out, &except, &tv);
    show_sets("nothing to read", n, &in, &out, &except, fds, 3);
    SAY(send(a, "x", 1, 0));
    say_await(b, POLLIN);
    FD_ZERO(&in);
    FD_SET(b, &in);
    n = select(b + 1, &in, NULL, NULL, &tv);
    show_sets("b", n, &in, NULL, NULL, fds, 3);
    struct linger now = {1, 0};
    setsockopt(b, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(b);
    say_settle();
    FD_ZERO(&in);
    FD_SET(a, &in);
    out = except = in;
    n = select(a + 1, &in, &out, &except, &tv);
    show_sets("reset", n, &in, &out, &except, fds, 1);
}

CASE(select_timeout, "select(2): the timeout is changed to what is left")
{
    fd_set in;
    int b, a = o_pair(&b);
    struct timeval tv = {.tv_usec = 80000};
    FD_ZERO(&in);
    FD_SET(a, &in);
    long begin = say_now_ms();
    SAY(select(a + 1, &in, NULL, NULL, &tv));
    o_show_time("took", begin, 78, 500);
    printf("left %ld %ld set %d\n", (long)tv.tv_sec, (long)tv.tv_usec, FD_ISSET(a, &in));
    tv = (struct timeval){.tv_sec = 5};
    SAY(send(b, "x", 1, 0));
    FD_SET(a, &in);
    SAY(select(a + 1, &in, NULL, NULL, &tv));
    printf("left more than 4 s: %d\n", tv.tv_sec >= 4);
}

CASE(select_errors, "select(2): EBADF, EINVAL")
{
    fd_set in;
    int b, a = o_pair(&b);
    struct timeval tv = {0}, negative = {.tv_sec = -1};
    FD_ZERO(&in);
    FD_SET(a, &in);
    FD_SET(60, &in);
    SAY(select(61, &in, NULL, NULL, &tv));
    FD_CLR(60, &in);
    SAY(select(a + 1, &in, NULL, NULL, &negative));
    SAY(select(-1, &in, NULL, NULL, &tv));
    SAY(select(0, NULL, NULL, NULL, &tv));
    struct timespec bad = {.tv_nsec = 1000000000};
    SAY(pselect(a + 1, &in, NULL, NULL, &bad, NULL));
}

CASE(select_eintr, "select(2): EINTR; the sets are as they were")
{
    fd_set in;
    int b, a = o_pair(&b);
    FD_ZERO(&in);
    FD_SET(a, &in);
    o_signal_in(60, SA_RESTART);
    SAY(select(a + 1, &in, NULL, NULL, NULL));
    printf("set %d\n", FD_ISSET(a, &in));
}
