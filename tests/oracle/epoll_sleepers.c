/* SPDX-License-Identifier: Apache-2.0 */
/* epoll(7): who is told where several could be: processes and threads that share a set, sets that
 * share a socket (EPOLLEXCLUSIVE). */
#include "tests/oracle/epoll.h"

/* Four processes, each with a set of its own in which the listener is; how many of them hear of `n`
 * connections that nobody accepts. */
static void exclusive(uint32_t flag, int n)
{
    struct sockaddr_in at;
    int listener = o_listener(&at), pipes[2], status, woken = 0;
    SAY(pipe(pipes));
    for (int i = 0; i < 4; i++) {
        if (fork() != 0)
            continue;
        struct epoll_event event;
        int ep = epoll_create1(0);
        add(ep, listener, EPOLLIN | flag, 1);
        if (write(pipes[1], "r", 1) != 1)
            _exit(9);
        int told = epoll_wait(ep, &event, 1, 1500);
        say_sleep_ms(1500);
        _exit(told);
    }
    char c;
    for (int i = 0; i < 4; i++)
        SAY(read(pipes[0], &c, 1));
    say_sleep_ms(150);
    for (int i = 0; i < n; i++) {
        SAY(connect(o_tcp(), SA(&at), sizeof(at)));
        say_sleep_ms(100);
    }
    for (int i = 0; i < 4; i++) {
        wait(&status);
        woken += WEXITSTATUS(status);
    }
    printf("woken: %d\n", woken);
}

CASE(epoll_exclusive_one, "epoll_ctl(2): EPOLLEXCLUSIVE: a connection wakes one of the sets")
{
    exclusive(EPOLLEXCLUSIVE, 1);
}

CASE(epoll_exclusive_two, "epoll_ctl(2): EPOLLEXCLUSIVE: the next one wakes another")
{
    exclusive(EPOLLEXCLUSIVE, 2);
}

CASE(epoll_exclusive_without, "epoll(7): without EPOLLEXCLUSIVE a connection wakes all sets")
{
    exclusive(0, 1);
}

CASE(epoll_exclusive_not_asleep,
     "epoll_ctl(2): EPOLLEXCLUSIVE: sets in which nobody sleeps are told besides")
{
    struct sockaddr_in at;
    int listener = o_listener(&at), one = epoll_create1(0), two = epoll_create1(0);
    SAY(add(one, listener, EPOLLIN | EPOLLEXCLUSIVE, 1));
    SAY(add(two, listener, EPOLLIN | EPOLLEXCLUSIVE, 2));
    SAY(connect(o_tcp(), SA(&at), sizeof(at)));
    show("one", one, 1000);
    show("two", two, 1000);
    SAY(close(accept(listener, NULL, NULL)));
    show("one", one, 0);
    show("two", two, 0);
    SAY(epoll_ctl(one, EPOLL_CTL_DEL, listener, NULL));
    SAY(connect(o_tcp(), SA(&at), sizeof(at)));
    show("two alone", two, 1000);
}

CASE(epoll_fork, "epoll(7): a set that is shared over fork")
{
    struct epoll_event event;
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN, 1));
    pid_t pid = fork();
    if (pid == 0)
        _exit(epoll_wait(ep, &event, 1, 3000) == 1 && event.data.u64 == 1 ? 7 : 1);
    say_sleep_ms(60);
    SAY(send(b, "x", 1, 0));
    int status;
    waitpid(pid, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    show("parent", ep, 1000);
}

static void *wait_once(void *arg)
{
    struct epoll_event event;
    return (void *)(long)epoll_wait(*(int *)arg, &event, 1, 400);
}

CASE(epoll_threads, "epoll(7): an edge is told to one of several sleeping threads")
{
    pthread_t t[3];
    void *n;
    long told = 0;
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLET, 1));
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, wait_once, &ep);
    say_sleep_ms(100);
    SAY(send(b, "x", 1, 0));
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &n);
        told += (long)n;
    }
    printf("told: %ld\n", told);
}

/* How many of three processes that sleep in the set hear of a byte. */
static void three_sleep(int ep, int writer)
{
    int told = 0, status;
    for (int i = 0; i < 3; i++) {
        struct epoll_event event;
        if (fork() == 0)
            _exit(epoll_wait(ep, &event, 1, 400));
    }
    say_sleep_ms(100);
    SAY(send(writer, "x", 1, 0));
    for (int i = 0; i < 3; i++) {
        wait(&status);
        told += WEXITSTATUS(status);
    }
    printf("told: %d\n", told);
}

CASE(epoll_fork_edge, "epoll(7): an edge is told to one of several processes that share the set")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLET, 1));
    three_sleep(ep, b);
}

CASE(epoll_fork_oneshot, "epoll(7): EPOLLONESHOT is told to one of several processes")
{
    int b, a = o_pair(&b), ep = epoll_create1(0);
    SAY(add(ep, a, EPOLLIN | EPOLLONESHOT, 1));
    three_sleep(ep, b);
    show("fired, for the parent too", ep, 50);
    SAY(modify(ep, a, EPOLLIN | EPOLLONESHOT, 2));
    show("armed again", ep, 1000);
}

CASE(epoll_fork_told, "epoll(7): a child is not told again of an edge that its parent was told of")
{
    int b, a = o_pair(&b), ep = epoll_create1(0), status;
    SAY(add(ep, a, EPOLLIN | EPOLLOUT | EPOLLET, 1));
    SAY(send(b, "x", 1, 0));
    say_await(a, POLLIN);
    show("parent", ep, 1000);
    fflush(stdout);
    if (fork() == 0) {
        show("child", ep, 100);
        fflush(stdout);
        _exit(0);
    }
    wait(&status);
    SAY(send(b, "y", 1, 0));
    show("parent again", ep, 1000);
}

CASE(epoll_fork_workers, "epoll(7): processes that sleep in one set take connections side by side")
{
    struct sockaddr_in at;
    int listener = o_listener(&at), ep = epoll_create1(0), status, worked = 0;
    say_nonblock(listener, 1);
    SAY(add(ep, listener, EPOLLIN, 1));
    for (int i = 0; i < 3; i++) {
        if (fork() != 0)
            continue;
        struct epoll_event event;
        int got = -1;
        while (got < 0 && epoll_wait(ep, &event, 1, 5000) == 1)
            got = accept(listener, NULL, NULL);
        say_sleep_ms(1000);
        _exit(got >= 0);
    }
    say_sleep_ms(100);
    long begin = say_now_ms();
    for (int i = 0; i < 3; i++)
        SAY(connect(o_tcp(), SA(&at), sizeof(at)));
    for (int i = 0; i < 3; i++) {
        wait(&status);
        worked += WEXITSTATUS(status);
    }
    printf("worked: %d\n", worked);
    o_show_time("all at once", begin, 900, 1900);
}

/* A wake-up that was lost comes with the timeout. */
static int woken_in_time(int ep)
{
    struct epoll_event event;
    long begin = say_now_ms();
    return epoll_wait(ep, &event, 1, 1500) == 1 && say_now_ms() - begin < 1400;
}

CASE(epoll_fork_own,
     "epoll(7): in a shared set, one of the sleepers is told of what one of them added")
{
    int ep = epoll_create1(0), status, told, b, a = o_pair(&b), d, c = o_pair(&d);
    SAY(add(ep, c, EPOLLIN, 1));
    for (int i = 0; i < 2; i++) {
        if (fork() != 0)
            continue;
        /* The first sleeps in the set last; the second makes the socket readable. */
        say_sleep_ms(i ? 400 : 150);
        _exit(i ? send(b, "x", 1, 0) != 1 : woken_in_time(ep));
    }
    SAY(add(ep, a, EPOLLIN | EPOLLET, 2));
    told = woken_in_time(ep);
    for (int i = 0; i < 2; i++) {
        wait(&status);
        told += WEXITSTATUS(status);
    }
    printf("told: %d\n", told);
}

CASE(epoll_fork_sleeper, "fork(2): a thread that sleeps in a set meanwhile is woken as before")
{
    int b, a = o_pair(&b), ep = epoll_create1(0), status, pipes[2];
    struct epoll_event event;
    pthread_t t[2];
    void *n;
    SAY(pipe(pipes));
    SAY(add(ep, a, EPOLLIN | EPOLLET, 1));
    SAY(add(ep, pipes[0], EPOLLIN | EPOLLET, 2));
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, wait_once, &ep);
    say_sleep_ms(50);
    pid_t pid = fork();
    if (pid == 0)
        _exit(epoll_wait(ep, &event, 1, 100));
    waitpid(pid, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    SAY(send(b, "x", 1, 0));
    SAY(write(pipes[1], "x", 1));
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], &n);
        printf("told %ld\n", (long)n);
    }
}

CASE(epoll_fork_poll, "poll(2) of an epoll descriptor that is shared over fork")
{
    int b, a = o_pair(&b), ep = epoll_create1(0), status;
    struct epoll_event event;
    SAY(add(ep, a, EPOLLIN, 1));
    pid_t pid = fork();
    if (pid == 0) {
        struct pollfd fds = {.fd = ep, .events = POLLIN};
        int n = poll(&fds, 1, 3000);
        _exit(n == 1 && epoll_wait(ep, &event, 1, 0) == 1 ? 7 : 1);
    }
    say_sleep_ms(60);
    show("nothing", ep, 20);
    SAY(send(b, "x", 1, 0));
    waitpid(pid, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    o_show_poll("parent", ep, 1000);
}

CASE(epoll_fork_nested, "epoll(7): a set in another one, both shared over fork: sleepers hear of "
                        "the inner one's socket")
{
    int b, a = o_pair(&b), in = epoll_create1(0), out = epoll_create1(0), status, told = 0;
    SAY(add(in, a, EPOLLIN, 1));
    SAY(add(out, in, EPOLLIN, 2));
    for (int i = 0; i < 2; i++) {
        if (fork() == 0)
            _exit(woken_in_time(out));
    }
    say_sleep_ms(100);
    SAY(send(b, "x", 1, 0));
    for (int i = 0; i < 2; i++) {
        wait(&status);
        told += WEXITSTATUS(status);
    }
    printf("told: %d\n", told);
    show("inner", in, 0);
    show("outer", out, 0);
}
