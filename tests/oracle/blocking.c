/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls, threads and processes on one socket. */
#include "tests/oracle/oracle.h"

CASE(block_recv_timeo,
     "socket(7): SO_RCVTIMEO: EAGAIN after that time; what came before is returned")
{
    char buf[8];
    struct timeval tv = {.tv_usec = 90000};
    int b, a = o_pair(&b);
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    long begin = say_now_ms();
    SAY(recv(a, buf, 8, 0));
    o_show_time("took", begin, 85, 500);
    SAY(send(b, "abc", 3, 0));
    begin = say_now_ms();
    o_show_bytes("recv", buf, recv(a, buf, 8, MSG_WAITALL));
    o_show_time("took", begin, 85, 500);
    begin = say_now_ms();
    SAY(read(a, buf, 8));
    o_show_time("took", begin, 85, 500);
}

CASE(block_send_timeo, "socket(7): SO_SNDTIMEO: a partial send returns what went, then EAGAIN")
{
    static char big[32 << 20];
    struct timeval tv = {.tv_usec = 100000};
    int b, a = o_pair(&b);
    SAY(setsockopt(a, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
    ssize_t n = send(a, big, sizeof(big), 0);
    printf("partial %d\n", n > 0 && n < (ssize_t)sizeof(big));
    long begin = say_now_ms();
    for (int i = 0; i < 400 && send(a, big, 1 << 14, 0) > 0; i++)
        begin = say_now_ms();
    printf("%s\n", strerrorname_np(errno));
    o_show_time("took", begin, 90, 1000);
}

CASE(block_recv_eintr, "signal(7): a receive is interrupted: EINTR; with SA_RESTART it goes on")
{
    char buf[4];
    int b, a = o_pair(&b);
    o_signal_in(60, 0);
    SAY(recv(a, buf, 4, 0));
    o_signal_in(60, SA_RESTART);
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(150);
        send(b, "late", 4, 0);
        _exit(0);
    }
    o_show_bytes("restarted", buf, recv(a, buf, 4, 0));
    waitpid(pid, NULL, 0);
}

CASE(block_recv_timeo_eintr, "signal(7): with SO_RCVTIMEO a receive is EINTR, SA_RESTART or not")
{
    char buf[4];
    struct timeval tv = {.tv_sec = 3};
    int b, a = o_pair(&b);
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    o_signal_in(60, SA_RESTART);
    SAY(recv(a, buf, 4, 0));
}

CASE(block_send_eintr, "signal(7): a send that has sent nothing is EINTR, else partial")
{
    static char big[32 << 20];
    int b, a = o_pair(&b);
    o_signal_in(400, 0);
    ssize_t n = send(a, big, sizeof(big), 0);
    printf("partial %d\n", n > 0 && n < (ssize_t)sizeof(big));
}

static void *receive(void *arg)
{
    char buf[2];
    return (void *)(long)recv(*(int *)arg, buf, 1, 0);
}

CASE(block_two_receivers, "two threads that receive: each byte goes to one of them")
{
    pthread_t t[2];
    void *r[2];
    int b, a = o_pair(&b);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, receive, &a);
    say_sleep_ms(50);
    SAY(send(b, "1", 1, 0));
    say_settle();
    SAY(send(b, "2", 1, 0));
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], &r[i]);
    printf("%ld %ld\n", (long)r[0], (long)r[1]);
}

static void *write_much(void *arg)
{
    char byte[1000];
    memset(byte, 'x', sizeof(byte));
    for (int i = 0; i < 200; i++)
        if (write(*(int *)arg, byte, sizeof(byte)) != sizeof(byte))
            return (void *)1;
    return NULL;
}

CASE(block_many_writers, "four threads that write: all bytes come")
{
    pthread_t t[4];
    static char buf[65536];
    int b, a = o_pair(&b);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, write_much, &a);
    size_t got = 0;
    while (got < 800000) {
        ssize_t n = read(b, buf, sizeof(buf));
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    printf("%zu\n", got);
    void *r;
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &r);
        printf("%d\n", r == NULL);
    }
}

CASE(block_both_ways, "one thread writes while another reads the same socket")
{
    int b, a = o_pair(&b);
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            o_write_all(b, 300000);
            _exit(0);
        }
        _exit(o_read_all(b, 300000) != 300000);
    }
    pid_t writer = fork();
    if (writer == 0) {
        o_write_all(a, 300000);
        _exit(0);
    }
    printf("%zu\n", o_read_all(a, 300000));
    int status;
    waitpid(pid, &status, 0);
    printf("%d\n", status);
    waitpid(writer, NULL, 0);
}

CASE(fork_shares_data, "fork(2): parent and child read from one queue")
{
    char buf[4];
    int b, a = o_pair(&b);
    SAY(send(b, "abcd", 4, 0));
    say_settle();
    pid_t pid = fork();
    if (pid == 0)
        _exit(recv(a, buf, 2, 0) == 2 && buf[0] == 'a' ? 0 : 1);
    int status;
    waitpid(pid, &status, 0);
    printf("%d\n", status);
    o_show_bytes("parent", buf, recv(a, buf, 4, 0));
}

CASE(fork_close, "fork(2): the connection ends when both have closed")
{
    char buf[4];
    int b, a = o_pair(&b);
    pid_t pid = fork();
    if (pid == 0) {
        close(b);
        say_sleep_ms(120);
        _exit(0);
    }
    close(a);
    say_settle();
    SAY(recv(b, buf, 4, MSG_DONTWAIT));
    waitpid(pid, NULL, 0);
    SAY(recv(b, buf, 4, 0));
}

CASE(fork_exit, "a child's exit closes what it opened, with FIN")
{
    struct sockaddr_in at;
    char buf[8];
    int listener = o_listener(&at);
    pid_t pid = fork();
    if (pid == 0) {
        int c = o_tcp();
        (void)connect(c, SA(&at), sizeof(at));
        send(c, "bye", 3, 0);
        _exit(0);
    }
    int b = accept(listener, NULL, NULL);
    o_show_bytes("recv", buf, recv(b, buf, 8, MSG_WAITALL));
    SAY(recv(b, buf, 8, 0));
    waitpid(pid, NULL, 0);
}

CASE(fork_killed, "a killed process's connections end")
{
    struct sockaddr_in at;
    char buf[8];
    int listener = o_listener(&at);
    pid_t pid = fork();
    if (pid == 0) {
        int c = o_tcp();
        (void)connect(c, SA(&at), sizeof(at));
        pause();
    }
    int b = accept(listener, NULL, NULL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    SAY(recv(b, buf, 8, 0));
}

CASE(fork_prefork, "a prefork server: children accept from one listener")
{
    struct sockaddr_in at;
    int listener = o_listener(&at), served = 0;
    for (int i = 0; i < 3; i++) {
        if (fork() != 0)
            continue;
        for (;;) {
            int c = accept(listener, NULL, NULL);
            char buf[4];
            ssize_t n = recv(c, buf, 4, 0);
            if (n <= 0)
                _exit(0);
            send(c, buf, (size_t)n, 0);
            close(c);
        }
    }
    for (int i = 0; i < 30; i++) {
        char buf[4];
        int c = o_tcp();
        if (connect(c, SA(&at), sizeof(at)) == 0 && send(c, "hi", 2, 0) == 2 &&
            recv(c, buf, 4, 0) == 2)
            served++;
        close(c);
    }
    printf("served %d\n", served);
    for (int i = 0; i < 3; i++) {
        int c = o_tcp();
        (void)connect(c, SA(&at), sizeof(at));
        shutdown(c, SHUT_WR);
        char buf[1];
        recv(c, buf, 1, 0);
    }
    for (int i = 0; i < 3; i++)
        wait(NULL);
}

CASE(fork_options, "fork(2): options are the socket's, not the process's")
{
    struct timeval tv = {.tv_sec = 7}, got;
    socklen_t len = sizeof(got);
    int on = 1, b, a = o_pair(&b);
    pid_t pid = fork();
    if (pid == 0)
        _exit(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
              setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0);
    waitpid(pid, NULL, 0);
    SAY(getsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &got, &len));
    printf("%ld\n", (long)got.tv_sec);
    o_show_int_option("TCP_NODELAY", a, IPPROTO_TCP, TCP_NODELAY);
}

static void *accept_one(void *arg)
{
    return (void *)(long)accept(*(int *)arg, NULL, NULL);
}

CASE(thread_accept_elsewhere, "a connection accepted by one thread is used by another")
{
    struct sockaddr_in at;
    char buf[4];
    void *fd;
    pthread_t t;
    int listener = o_listener(&at), c = o_tcp();
    pthread_create(&t, NULL, accept_one, &listener);
    SAY(connect(c, SA(&at), sizeof(at)));
    pthread_join(t, &fd);
    SAY(send((int)(long)fd, "x", 1, 0));
    o_show_bytes("recv", buf, recv(c, buf, 4, 0));
}

CASE(thread_close_in_poll, "a socket closed by one thread while another polls it")
{
    int b, a = o_pair(&b);
    struct pollfd p = {.fd = a, .events = POLLIN};
    pid_t pid = fork();
    if (pid == 0) {
        close(a);
        say_sleep_ms(80);
        send(b, "x", 1, 0);
        _exit(0);
    }
    SAY(poll(&p, 1, 3000));
    waitpid(pid, NULL, 0);
}

CASE(signal_in_handler_io, "a signal handler may use another socket while its thread is in a call")
{
    char buf[4];
    int b, a = o_pair(&b);
    o_signal_in(50, SA_RESTART);
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(150);
        send(b, "x", 1, 0);
        _exit(0);
    }
    SAY(recv(a, buf, 4, 0));
    waitpid(pid, NULL, 0);
}
