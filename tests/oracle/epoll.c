/* SPDX-License-Identifier: Apache-2.0 */
/* epoll_create(2), epoll_ctl(2), epoll_wait(2), epoll(7). */
#include "tests/oracle/epoll.h"

#include <sys/timerfd.h>

CASE(epoll_level, "epoll(7): level-triggered: told as long as it holds")
{
    char buf[4];
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN, 1));
    show("nothing", ep, 0);
    SAY(send(b, "ab", 2, 0));
    show("data", ep, 1000);
    show("again", ep, 0);
    SAY(recv(a, buf, 1, 0));
    show("still", ep, 0);
    SAY(recv(a, buf, 1, 0));
    show("taken", ep, 0);
}

CASE(epoll_edge, "epoll(7): edge-triggered: told once for what comes")
{
    char buf[4];
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLET, 1));
    SAY(send(b, "ab", 2, 0));
    show("data", ep, 1000);
    show("again", ep, 0);
    SAY(recv(a, buf, 1, 0));
    show("a part taken", ep, 0);
    SAY(send(b, "c", 1, 0));
    show("more", ep, 1000);
    show("again", ep, 0);
    SAY(shutdown(b, SHUT_WR));
    show("the end", ep, 1000);
    show("again", ep, 50);
}

CASE(epoll_edge_out,
     "epoll(7): edge-triggered EPOLLOUT comes once, and again after the socket was full")
{
    static char buf[1 << 16];
    int b, a = o_pair(&b), ep = epoll_create1(0);
    say_nonblock(a, 1);
    SAY(add(ep, a, EPOLLOUT | EPOLLET, 1));
    show("writable", ep, 1000);
    show("again", ep, 20);
    say_fill(a);
    show("full", ep, 0);
    for (int i = 0; i < 400; i++)
        if (recv(b, buf, sizeof(buf), MSG_DONTWAIT) < 0)
            say_sleep_ms(1);
    show("drained", ep, 1000);
    show("again", ep, 20);
}

CASE(epoll_edge_both, "epoll(7): an edge tells all that holds of what was asked")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLOUT | EPOLLET, 1));
    show("writable", ep, 1000);
    SAY(send(b, "x", 1, 0));
    show("data", ep, 1000);
    show("again", ep, 20);
}

CASE(epoll_oneshot, "epoll(7): EPOLLONESHOT tells once until EPOLL_CTL_MOD")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLONESHOT, 1));
    SAY(send(b, "x", 1, 0));
    show("data", ep, 1000);
    SAY(send(b, "y", 1, 0));
    show("disabled", ep, 50);
    SAY(modify(ep, a, EPOLLIN | EPOLLONESHOT, 2));
    show("armed again", ep, 1000);
    show("disabled", ep, 20);
    close(b);
    show("closed, disabled", ep, 50);
}

CASE(epoll_oneshot_edge, "epoll(7): EPOLLONESHOT with EPOLLET")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLET | EPOLLONESHOT, 1));
    SAY(send(b, "x", 1, 0));
    show("data", ep, 1000);
    SAY(send(b, "y", 1, 0));
    show("disabled", ep, 50);
    SAY(modify(ep, a, EPOLLIN | EPOLLET | EPOLLONESHOT, 1));
    show("armed again", ep, 1000);
}

CASE(epoll_mod_edge, "epoll(7): EPOLL_CTL_MOD tells again what holds, with EPOLLET too")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLET, 1));
    SAY(send(b, "x", 1, 0));
    show("data", ep, 1000);
    SAY(modify(ep, a, EPOLLIN | EPOLLET, 7));
    show("modified", ep, 1000);
    SAY(modify(ep, a, EPOLLOUT | EPOLLET, 8));
    show("out", ep, 1000);
    SAY(modify(ep, a, 0, 9));
    show("nothing asked", ep, 20);
}

CASE(epoll_always, "epoll_ctl(2): EPOLLERR and EPOLLHUP are always told")
{
    struct linger now = {1, 0};
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, 0, 1));
    setsockopt(b, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(b);
    show("reset", ep, 1000);
}

CASE(epoll_rdhup, "epoll_ctl(2): EPOLLRDHUP when the peer closes or shuts down")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLRDHUP, 1));
    SAY(send(b, "x", 1, 0));
    show("data only", ep, 30);
    SAY(shutdown(b, SHUT_WR));
    show("shut down", ep, 1000);
    SAY(shutdown(a, SHUT_WR));
    say_settle();
    show("both", ep, 1000);
}

CASE(epoll_fresh, "epoll(7): a fresh socket says HUP and OUT")
{
    struct sockaddr_in at;
    int fd = o_tcp(), ep = epoll_create1(0), listener = o_listener(&at);
    SAY(add(ep, fd, EPOLLIN | EPOLLOUT, 1));
    show("fresh", ep, 100);
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    say_await(fd, POLLOUT);
    show("connected", ep, 1000);
    close(listener);
}

CASE(epoll_fresh_edge, "epoll(7): edge-triggered from before connect on")
{
    struct sockaddr_in at;
    int fd = o_tcp(), ep = epoll_create1(0), listener = o_listener(&at);
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(add(ep, fd, EPOLLIN | EPOLLOUT | EPOLLET, 1));
    show("connected", ep, 1000);
    show("again", ep, 30);
    int b = accept(listener, NULL, NULL);
    SAY(send(b, "x", 1, 0));
    show("data", ep, 1000);
}

CASE(epoll_connect_refused, "epoll(7): a refused connect")
{
    struct sockaddr_in at = o_nobody();
    int fd = o_tcp(), ep = epoll_create1(0);
    say_nonblock(fd, 1);
    SAY(connect(fd, SA(&at), sizeof(at)));
    SAY(add(ep, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1));
    show("refused", ep, 1000);
    show("again", ep, 30);
    o_show_int_option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
}

CASE(epoll_listener, "epoll(7): a listener is readable while there are connections")
{
    struct sockaddr_in at;
    int ep = epoll_create1(0), listener = o_listener(&at), c = o_tcp(), d = o_tcp();
    SAY(add(ep, listener, EPOLLIN, 1));
    show("none", ep, 0);
    SAY(connect(c, SA(&at), sizeof(at)));
    show("one", ep, 1000);
    SAY(connect(d, SA(&at), sizeof(at)));
    say_settle();
    close(accept(listener, NULL, NULL));
    show("still one", ep, 0);
    close(accept(listener, NULL, NULL));
    show("none", ep, 0);
}

CASE(epoll_listener_edge, "epoll(7): an edge-triggered listener tells of each new connection")
{
    struct sockaddr_in at;
    int ep = epoll_create1(0), listener = o_listener(&at), c = o_tcp(), d = o_tcp();
    SAY(add(ep, listener, EPOLLIN | EPOLLET, 1));
    SAY(connect(c, SA(&at), sizeof(at)));
    show("one", ep, 1000);
    show("again", ep, 30);
    SAY(connect(d, SA(&at), sizeof(at)));
    show("another", ep, 1000);
}

CASE(epoll_errors, "epoll_ctl(2): EEXIST, ENOENT, EBADF, EPERM, EINVAL")
{
    struct epoll_event event = {.events = EPOLLIN};
    int b, a = o_pair(&b), ep = epoll_create1(0), file = open("/etc/passwd", O_RDONLY);
    SAY(add(ep, a, EPOLLIN, 1));
    SAY(add(ep, a, EPOLLIN, 1));
    SAY(modify(ep, b, EPOLLIN, 1));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, b, NULL));
    SAY(add(ep, 77, EPOLLIN, 1));
    SAY(add(77, a, EPOLLIN, 1));
    SAY(add(a, b, EPOLLIN, 1));
    SAY(add(ep, ep, EPOLLIN, 1));
    SAY(add(ep, file, EPOLLIN, 1));
    SAY(epoll_ctl(ep, 99, a, &event));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    SAY(epoll_wait(ep, &event, 0, 0));
    SAY(epoll_wait(ep, &event, -1, 0));
    SAY(epoll_wait(a, &event, 1, 0));
    SAY(epoll_wait(77, &event, 1, 0));
    SAY(epoll_create(0));
    SAY(epoll_create1(77));
}

CASE(epoll_exclusive_rules, "epoll_ctl(2): EPOLLEXCLUSIVE with ADD only, with few other flags")
{
    int b, a = o_pair(&b), ep = epoll_create1(0), other = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLEXCLUSIVE, 1));
    SAY(modify(ep, a, EPOLLIN, 1));
    SAY(modify(ep, a, EPOLLIN | EPOLLEXCLUSIVE, 1));
    SAY(add(ep, b, EPOLLIN | EPOLLONESHOT | EPOLLEXCLUSIVE, 1));
    SAY(add(ep, b, EPOLLIN | EPOLLRDHUP | EPOLLEXCLUSIVE, 1));
    SAY(add(ep, b, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 1));
    SAY(add(ep, other, EPOLLIN | EPOLLEXCLUSIVE, 1));
}

CASE(epoll_data, "epoll_ctl(2): user data are untouched, whatever they are")
{
    struct epoll_event event = {.events = EPOLLOUT, .data.u64 = 0xfedcba9876543210};
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(epoll_ctl(ep, EPOLL_CTL_ADD, a, &event));
    event.data.u64 = 0;
    SAY(epoll_wait(ep, &event, 1, 1000));
    printf("%llx\n", (unsigned long long)event.data.u64);
}

CASE(epoll_mixed, "epoll(7): sockets, pipes, eventfds and timerfds in one set")
{
    int fds[2], b, a = o_pair(&b), event = eventfd(0, 0), ep = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t one = 1;
    SAY(pipe(fds));
    SAY(add(ep, a, EPOLLIN, 1));
    SAY(add(ep, fds[0], EPOLLIN, 2));
    SAY(add(ep, event, EPOLLIN, 3));
    SAY(add(ep, timer, EPOLLIN, 4));
    show("none", ep, 0);
    SAY(send(b, "x", 1, 0));
    show("socket", ep, 1000);
    SAY(write(fds[1], "x", 1));
    SAY(write(event, &one, 8));
    int left = 3;
    for (int i = 0; i < 10 && left; i++) {
        struct epoll_event events[4];
        int n = epoll_wait(ep, events, 4, 1000);
        left = n == 3 ? 0 : left;
    }
    printf("all three: %d\n", left == 0);
    struct itimerspec spec = {.it_value = {.tv_nsec = 20000000}};
    SAY(timerfd_settime(timer, 0, &spec, NULL));
    say_sleep_ms(50);
    left = 1;
    for (int i = 0; i < 10 && left; i++) {
        struct epoll_event events[4];
        left = epoll_wait(ep, events, 4, 1000) != 4;
    }
    printf("the timer too: %d\n", left == 0);
}

CASE(epoll_max_events, "epoll_wait(2): maxevents at a time, in turn")
{
    int other[6], fds[6], ep = epoll_create1(0), seen[6] = {0};
    struct epoll_event events[2];
    for (int i = 0; i < 6; i++) {
        fds[i] = o_pair(&other[i]);
        add(ep, fds[i], EPOLLIN, (uint64_t)i);
        send(other[i], "x", 1, 0);
    }
    say_settle();
    for (int round = 0; round < 3; round++) {
        int n = epoll_wait(ep, events, 2, 1000);
        printf("%d\n", n);
        for (int i = 0; i < n; i++)
            seen[events[i].data.u64]++;
    }
    for (int i = 0; i < 6; i++)
        printf("%d ", seen[i]);
    printf("\n");
}

CASE(epoll_timeout, "epoll_wait(2): the timeout; epoll_pwait2's in nanoseconds")
{
    struct epoll_event event;
    struct timespec ts = {.tv_nsec = 60000000}, bad = {.tv_nsec = 1000000000};
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN, 1));
    long begin = say_now_ms();
    SAY(epoll_wait(ep, &event, 1, 80));
    o_show_time("80 ms", begin, 78, 500);
    begin = say_now_ms();
    SAY(epoll_pwait2(ep, &event, 1, &ts, NULL));
    o_show_time("60 ms", begin, 58, 500);
    SAY(epoll_pwait2(ep, &event, 1, &bad, NULL));
}

CASE(epoll_eintr, "epoll_wait(2): EINTR, with SA_RESTART too")
{
    struct epoll_event event;
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN, 1));
    o_signal_in(60, SA_RESTART);
    SAY(epoll_wait(ep, &event, 1, 3000));
}

static void on_usr1(int sig)
{
    (void)sig;
    if (write(1, "handler\n", 8) < 0)
        _exit(1);
}

CASE(epoll_pwait_mask, "epoll_pwait(2): the mask holds during the call")
{
    struct epoll_event event;
    sigset_t all, none;
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN, 1));
    sigfillset(&all);
    sigemptyset(&none);
    signal(SIGUSR1, on_usr1);
    sigprocmask(SIG_SETMASK, &all, NULL);
    kill(getpid(), SIGUSR1);
    SAY(epoll_wait(ep, &event, 1, 20));
    SAY(epoll_pwait(ep, &event, 1, 2000, &none));
}

CASE(epoll_close, "epoll(7): closing the last descriptor takes the socket out of the set")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLOUT, 1));
    show("in", ep, 100);
    SAY(close(a));
    show("out", ep, 20);
    close(b);
}

CASE(epoll_close_dup, "epoll(7): a closed descriptor stays in the set while its file is open")
{
    int b, a = o_pair(&b), ep = epoll_create1(0), copy = dup(a);
    SAY(add(ep, a, EPOLLIN, 1));
    SAY(close(a));
    SAY(send(b, "x", 1, 0));
    show("told of by the copy", ep, 1000);
    SAY(close(copy));
    show("gone", ep, 20);
}

CASE(epoll_dup_twice, "epoll(7): a descriptor and its copy are two entries")
{
    int b, a = o_pair(&b), ep = epoll_create1(0), copy = dup(a);
    SAY(add(ep, a, EPOLLIN, 1));
    SAY(add(ep, copy, EPOLLIN, 2));
    SAY(send(b, "x", 1, 0));
    say_settle();
    show("both", ep, 1000);
}

CASE(epoll_reused_number, "epoll(7): a number that is closed and used again is a new entry")
{
    int b, c, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN, 1));
    close(a);
    int d = o_pair(&c);
    (void)d;
    SAY(add(ep, a, EPOLLIN, 2));
    show("quiet", ep, 20);
    close(b);
}

CASE(epoll_nested, "epoll(7): an epoll set in another one")
{
    int b, a = o_pair(&b), inner = epoll_create1(0), outer = epoll_create1(0);
    SAY(add(inner, a, EPOLLIN, 1));
    SAY(add(outer, inner, EPOLLIN, 2));
    show("outer, nothing", outer, 20);
    SAY(send(b, "x", 1, 0));
    show("outer", outer, 1000);
    show("inner", inner, 0);
}

CASE(epoll_nested_taken,
     "epoll(7): a set in another one is quiet when its socket's data were taken")
{
    char c;
    int b, a = o_pair(&b), inner = epoll_create1(0), outer = epoll_create1(0);
    SAY(add(inner, a, EPOLLIN, 1));
    SAY(add(outer, inner, EPOLLIN, 2));
    SAY(send(b, "x", 1, 0));
    show("outer", outer, 1000);
    show("inner", inner, 0);
    SAY(recv(a, &c, 1, 0));
    show("outer, taken", outer, 20);
    show("inner, taken", inner, 0);
    show("outer, after that", outer, 20);
}

CASE(epoll_nested_before, "epoll(7): nested before the socket is added")
{
    int b, a = o_pair(&b), inner = epoll_create1(0), outer = epoll_create1(0);
    SAY(add(outer, inner, EPOLLIN, 2));
    SAY(add(inner, a, EPOLLIN, 1));
    SAY(send(b, "x", 1, 0));
    show("outer", outer, 1000);
}

CASE(epoll_nested_sleep, "epoll(7): a sleeper in the outer set is woken by the inner one's socket")
{
    int b, a = o_pair(&b), inner = epoll_create1(0), outer = epoll_create1(0);
    SAY(add(inner, a, EPOLLIN, 1));
    SAY(add(outer, inner, EPOLLIN, 2));
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(80);
        send(b, "x", 1, 0);
        say_sleep_ms(200);
        _exit(0);
    }
    show("outer", outer, 3000);
    waitpid(pid, NULL, 0);
}

CASE(epoll_in_poll, "poll(2), select(2) of an epoll descriptor")
{
    fd_set in;
    struct timeval tv = {.tv_sec = 2};
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN, 1));
    o_show_poll("quiet", ep, 20);
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(60);
        send(b, "x", 1, 0);
        say_sleep_ms(100);
        _exit(0);
    }
    struct pollfd p = {.fd = ep, .events = POLLIN};
    SAY(poll(&p, 1, 3000));
    FD_ZERO(&in);
    FD_SET(ep, &in);
    SAY(select(ep + 1, &in, NULL, NULL, &tv));
    waitpid(pid, NULL, 0);
}

CASE(epoll_several_sets, "epoll(7): one socket in several sets is told of in each")
{
    int b, a = o_pair(&b), one = epoll_create1(0), two = epoll_create1(0);
    SAY(add(one, a, EPOLLIN | EPOLLET, 1));
    SAY(add(two, a, EPOLLIN, 2));
    SAY(send(b, "x", 1, 0));
    show("one", one, 1000);
    show("two", two, 1000);
    show("one", one, 20);
    show("two", two, 20);
}

CASE(epoll_dgram, "epoll(7): edge-triggered datagrams: an edge for each that comes")
{
    char buf[4];
    int b, a = o_udp_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, b, EPOLLIN | EPOLLET, 1));
    SAY(send(a, "1", 1, 0));
    show("one", ep, 1000);
    SAY(send(a, "2", 1, 0));
    show("two", ep, 1000);
    SAY(recv(b, buf, 4, 0));
    show("none new", ep, 20);
}

CASE(epoll_wakeup_flag, "epoll_ctl(2): EPOLLWAKEUP is taken")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLWAKEUP, 1));
    SAY(send(b, "x", 1, 0));
    show("data", ep, 1000);
}

CASE(epoll_et_accept_thread, "an accepted socket added with its data already there tells at once")
{
    struct sockaddr_in at;
    int listener = o_listener(&at), c = o_tcp(), ep = epoll_create1(0);
    SAY(connect(c, SA(&at), sizeof(at)));
    SAY(send(c, "x", 1, 0));
    int b = accept(listener, NULL, NULL);
    say_await(b, POLLIN);
    SAY(add(ep, b, EPOLLIN | EPOLLOUT | EPOLLET, 1));
    show("at once", ep, 1000);
}
