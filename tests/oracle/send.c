/* SPDX-License-Identifier: Apache-2.0 */
/* send(2), sendmsg(2), sendmmsg(2), write(2), writev(2) on streams. */
#include "tests/oracle/oracle.h"

#include <linux/sockios.h>
#include <stdbool.h>

CASE(send_returns_bytes, "send(2): on success, these calls return the number of bytes sent")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "hello", 5, 0));
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
    SAY(write(b, "back", 4));
    o_show_bytes("received", buf, read(a, buf, sizeof(buf)));
}

CASE(send_zero_bytes, "send(2): zero bytes on a stream send nothing")
{
    char buf[4];
    int b, a = o_pair(&b);
    SAY(send(a, buf, 0, 0));
    SAY(write(a, buf, 0));
    say_settle();
    SAY(recv(b, buf, sizeof(buf), MSG_DONTWAIT));
}

CASE(send_enotconn, "send(2): EPIPE on a stream that was never connected, as Linux has it")
{
    int fd = o_tcp();
    SAY(send(fd, "x", 1, MSG_NOSIGNAL));
    SAY(send(fd, "x", 0, MSG_NOSIGNAL));
    SAY(send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
}

CASE(send_listener, "send(2): a listening socket cannot send")
{
    struct sockaddr_in at;
    int fd = o_listener(&at);
    SAY(send(fd, "x", 1, MSG_NOSIGNAL));
    SAY(recv(fd, &at, 1, 0));
}

CASE(send_eisconn, "send(2): sendto with an address on a connected stream ignores it (sockperf)")
{
    char buf[8];
    int b, a = o_pair(&b);
    SAY(sendto(a, "abc", 3, 0, SA(&say_address), sizeof(say_address)));
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
    SAY(sendto(a, "abc", 3, 0, NULL, 0));
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
    struct sockaddr_in other = say_address;
    other.sin_port = htons(9);
    SAY(sendto(a, "abc", 3, 0, SA(&other), sizeof(other)));
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
}

CASE(send_epipe_signal, "send(2): EPIPE raises SIGPIPE unless MSG_NOSIGNAL is given")
{
    int b, a = o_pair(&b);
    signal(SIGPIPE, SIG_IGN);
    SAY(shutdown(a, SHUT_WR));
    SAY(send(a, "x", 1, 0));
    SAY(send(a, "x", 1, MSG_NOSIGNAL));
    SAY(write(a, "x", 1));
    SAY(write(a, "", 0));
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        send(a, "x", 1, MSG_NOSIGNAL);
        send(a, "x", 1, 0);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("child: signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

CASE(send_after_peer_closed,
     "tcp(7): the first write after the peer's close is taken, later ones get EPIPE")
{
    char buf[4];
    int b, a = o_pair(&b);
    close(b);
    say_settle();
    SAY(send(a, "1", 1, MSG_NOSIGNAL));
    say_settle();
    SAY(send(a, "2", 1, MSG_NOSIGNAL));
    SAY(recv(a, buf, sizeof(buf), 0));
}

CASE(send_reset,
     "tcp(7): data unread at close resets the connection; the peer gets ECONNRESET once")
{
    char buf[4];
    int b, a = o_pair(&b);
    SAY(send(a, "unread", 6, 0));
    say_settle();
    close(b);
    say_settle();
    o_show_poll("after the reset", a, 0);
    SAY(recv(a, buf, sizeof(buf), 0));
    SAY(recv(a, buf, sizeof(buf), 0));
    SAY(send(a, "x", 1, MSG_NOSIGNAL));
    o_show_int_option("SO_ERROR", a, SOL_SOCKET, SO_ERROR);
}

CASE(send_eagain_full, "send(2): a non-blocking send of which nothing fits fails with EAGAIN")
{
    int b, a = o_pair(&b);
    say_nonblock(a, 1);
    printf("filled %d\n", say_fill(a) > 0);
    while (send(a, "x", 1, 0) > 0)
        ;
    SAY(send(a, "x", 1, 0));
    SAY(send(a, "", 0, 0));
    o_show_poll("full", a, 0);
}

CASE(send_partial_nonblocking, "write(2): a non-blocking write of more than fits is partial")
{
    static char big[32 << 20];
    int b, a = o_pair(&b);
    say_nonblock(a, 1);
    ssize_t n = send(a, big, sizeof(big), 0);
    printf("partial: %d\n", n > 0 && n < (ssize_t)sizeof(big));
}

CASE(send_dontwait, "send(2): MSG_DONTWAIT makes this one call non-blocking")
{
    static char big[32 << 20];
    int b, a = o_pair(&b);
    ssize_t n = send(a, big, sizeof(big), MSG_DONTWAIT);
    printf("partial: %d\n", n > 0 && n < (ssize_t)sizeof(big));
    while (send(a, big, 65536, MSG_DONTWAIT) > 0)
        say_settle();
    SAY(send(a, big, 1, MSG_DONTWAIT));
}

static void drain(void *arg)
{
    printf("drained %zu\n", o_read_all(*(int *)arg, 3 << 20));
}

CASE(send_blocking_all, "send(2): a blocking send returns when all of it has been taken")
{
    int b, a = o_pair(&b);
    pthread_t t = say_later(50, drain, &b);
    o_write_all(a, 3 << 20);
    printf("written\n");
    pthread_join(t, NULL);
}

CASE(send_more, "send(2): MSG_MORE holds the data back for more; all of it arrives")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "ab", 2, MSG_MORE));
    SAY(send(a, "cd", 2, 0));
    o_show_bytes("received", buf, recv(b, buf, 4, MSG_WAITALL));
}

CASE(send_more_is_held,
     "send(2): with MSG_MORE nothing is sent until a send without it (200 ms at most)")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "ab", 2, MSG_MORE));
    say_settle();
    SAY(recv(b, buf, sizeof(buf), MSG_DONTWAIT));
    long begin = say_now_ms();
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
    o_show_time("flushed by itself", begin, 50, 1000);
}

CASE(send_cork, "tcp(7): TCP_CORK holds back partial frames until it is cleared")
{
    char buf[16];
    int on = 1, off = 0, b, a = o_pair(&b);
    SAY(setsockopt(a, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)));
    SAY(send(a, "ab", 2, 0));
    say_settle();
    SAY(recv(b, buf, sizeof(buf), MSG_DONTWAIT));
    SAY(setsockopt(a, IPPROTO_TCP, TCP_CORK, &off, sizeof(off)));
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
}

CASE(send_cork_200ms, "tcp(7): a corked partial frame is sent after 200 ms")
{
    char buf[16];
    int on = 1, b, a = o_pair(&b);
    SAY(setsockopt(a, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)));
    SAY(send(a, "ab", 2, 0));
    long begin = say_now_ms();
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
    o_show_time("after", begin, 100, 1000);
}

CASE(send_oob, "tcp(7): MSG_OOB sends urgent data; with SO_OOBINLINE it comes in line")
{
    char buf[16];
    int on = 1, b, a = o_pair(&b);
    SAY(setsockopt(b, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)));
    SAY(send(a, "ab", 2, 0));
    SAY(send(a, "!", 1, MSG_OOB));
    SAY(send(a, "cd", 2, 0));
    size_t got = 0;
    while (got < 5) {
        ssize_t n = recv(b, buf + got, sizeof(buf) - got, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    o_show_bytes("received", buf, (long)got);
}

CASE(send_msg_iovecs, "sendmsg(2): gathers from the iovecs in order")
{
    char buf[16];
    int b, a = o_pair(&b);
    struct iovec iov[4] = {{"ab", 2}, {NULL, 0}, {"c", 1}, {"defg", 3}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 4};
    SAY(sendmsg(a, &msg, 0));
    o_show_bytes("received", buf, recv(b, buf, 6, MSG_WAITALL));
    SAY(writev(a, iov, 4));
    o_show_bytes("received", buf, recv(b, buf, 6, MSG_WAITALL));
    SAY(writev(a, iov, 0));
    SAY(writev(a, iov, -1));
    SAY(writev(a, iov, 1025));
    msg.msg_iovlen = 1025;
    SAY(sendmsg(a, &msg, 0));
}

CASE(send_msg_name_stream, "sendmsg(2): msg_name is ignored on a connected stream")
{
    char buf[4];
    int b, a = o_pair(&b);
    struct sockaddr_in other = say_address;
    struct iovec iov = {"abc", 3};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_name = &other, .msg_namelen = sizeof(other)};
    SAY(sendmsg(a, &msg, 0));
    o_show_bytes("received", buf, recv(b, buf, 4, 0));
}

CASE(send_mmsg, "sendmmsg(2): returns the number of messages; each msg_len is set")
{
    char buf[16];
    int b, a = o_pair(&b);
    struct iovec iov[3] = {{"ab", 2}, {"cde", 3}, {"f", 1}};
    struct mmsghdr msgs[3];
    memset(msgs, 0, sizeof(msgs));
    for (int i = 0; i < 3; i++)
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    SAY(sendmmsg(a, msgs, 3, 0));
    printf("%u %u %u\n", msgs[0].msg_len, msgs[1].msg_len, msgs[2].msg_len);
    o_show_bytes("received", buf, recv(b, buf, 6, MSG_WAITALL));
    SAY(sendmmsg(a, msgs, 0, 0));
}

CASE(send_unknown_flags, "send(2): flags that mean nothing to a send are ignored")
{
    char buf[4];
    int b, a = o_pair(&b);
    SAY(send(a, "x", 1, MSG_DONTROUTE));
    SAY(send(a, "x", 1, MSG_EOR));
    SAY(send(a, "x", 1, MSG_CONFIRM));
    SAY(send(a, "x", 1, MSG_PEEK));
    SAY(recv(b, buf, 4, MSG_WAITALL));
}

CASE(send_efault, "send(2): EFAULT for memory that is not the app's")
{
    int b, a = o_pair(&b);
    SAY(send(a, (void *)8, 4, 0));
    SAY(write(a, (void *)8, 4));
    struct iovec iov = {(void *)8, 4};
    SAY(writev(a, &iov, 1));
}

CASE(send_ebadf, "send(2): EBADF, ENOTSOCK")
{
    int fds[2];
    SAY(send(77, "x", 1, 0));
    SAY(pipe(fds));
    SAY(send(fds[1], "x", 1, 0));
    SAY(recv(fds[0], fds, 1, 0));
}

CASE(send_timestamps_cmsg, "sendmsg(2): unknown ancillary data is EINVAL")
{
    char control[CMSG_SPACE(4)] = {0};
    int b, a = o_pair(&b);
    struct iovec iov = {"abc", 3};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = 999;
    c->cmsg_len = CMSG_LEN(4);
    SAY(sendmsg(a, &msg, 0));
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_TTL;
    SAY(sendmsg(a, &msg, 0));
    msg.msg_controllen = 4;
    SAY(sendmsg(a, &msg, 0));
}

CASE(send_fastopen_unconnected, "tcp(7): MSG_FASTOPEN connects and sends")
{
    char buf[16];
    struct sockaddr_in at;
    int listener = o_listener(&at), fd = o_tcp();
    SAY(sendto(fd, "hello", 5, MSG_FASTOPEN, SA(&at), sizeof(at)));
    int b = accept(listener, NULL, NULL);
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
}

CASE(send_zerocopy_flag, "send(2): MSG_ZEROCOPY without SO_ZEROCOPY is ignored")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "hello", 5, MSG_ZEROCOPY));
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), 0));
}

CASE(send_pwritev2, "pwritev2(2): offset -1 writes as writev does; on a socket an offset is ESPIPE")
{
    char buf[16];
    int b, a = o_pair(&b);
    struct iovec iov = {"hello", 5};
    SAY(pwritev2(a, &iov, 1, -1, 0));
    say_settle();
    o_show_bytes("received", buf, recv(b, buf, sizeof(buf), MSG_DONTWAIT));
    SAY(pwritev2(a, &iov, 1, 0, 0));
    SAY(pwritev2(a, &iov, 1, -1, RWF_NOWAIT));
    SAY(pwritev2(a, &iov, 1, -1, 0x4000));
    SAY(pwritev(a, &iov, 1, 0));
    SAY(pwrite(a, "x", 1, 0));
}

CASE(send_lseek, "lseek(2): ESPIPE on a socket")
{
    int b, a = o_pair(&b);
    SAY(lseek(a, 0, SEEK_CUR));
    SAY(ftruncate(a, 0));
    SAY(fsync(a));
    SAY(pread(a, &b, 1, 0));
}

/* A connection of small segments, for which any rest of a window is room; *s is the accepted one.
 */
static int small_pair(int l, const struct sockaddr_in *at, int *s)
{
    int small = 1000, c = o_tcp();
    setsockopt(c, IPPROTO_TCP, TCP_MAXSEG, &small, sizeof(small));
    SAY(connect(c, SA(at), sizeof(*at)));
    *s = accept(l, NULL, NULL);
    return c;
}

/* Writes until the peer's window and what may wait here are full; prints whether that is much. */
static void fill(const char *text, int fd)
{
    static char buf[16384];
    int left = 0;
    for (bool more = true; more; say_settle())
        for (more = false; send(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0;)
            more = true;
    SAY(ioctl(fd, SIOCOUTQ, &left));
    printf("%s: %s\n", text, left < 150000 ? "little waits" : "much waits");
}

static void *read_slowly(void *arg)
{
    static char buf[30000];
    int fd = *(int *)arg;
    while (read(fd, buf, sizeof(buf)) > 0)
        usleep(1000);
    return NULL;
}

CASE(send_notsent_lowat, "tcp(7): TCP_NOTSENT_LOWAT bounds what waits to be sent, not what is sent")
{
    struct sockaddr_in at;
    int l = o_listener(&at), lowat = 16384, some = 400000, b, d;
    int a = small_pair(l, &at, &b), c = small_pair(l, &at, &d);
    char byte;
    pthread_t reader;
    SAY(setsockopt(a, SOL_SOCKET, SO_SNDBUF, &some, sizeof(some)));
    SAY(setsockopt(c, SOL_SOCKET, SO_SNDBUF, &some, sizeof(some)));
    SAY(setsockopt(a, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)));
    fill("without", c);
    o_show_poll("without", c, 0);
    fill("with", a);
    o_show_poll("with", a, 0);
    lowat = 1 << 30; /* all may wait */
    SAY(setsockopt(a, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)));
    say_events("writable", (uint32_t)say_await(a, POLLOUT));
    lowat = 16384;
    SAY(setsockopt(a, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)));
    o_show_poll("with", a, 0);
    pthread_create(&reader, NULL, read_slowly, &b);
    say_events("writable", (uint32_t)say_await(a, POLLOUT));
    o_write_all(a, 2000000); /* as often as it has to wait */
    SAY(shutdown(a, SHUT_WR));
    pthread_join(reader, NULL);
    SAY(read(b, &byte, 1));
}

CASE(send_notsent_lowat_inherited,
     "tcp(7): an accepted socket has its listener's TCP_NOTSENT_LOWAT")
{
    struct sockaddr_in at;
    int lowat = 16384, l = o_listener(&at), s;
    SAY(setsockopt(l, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)));
    small_pair(l, &at, &s);
    o_show_int_option("TCP_NOTSENT_LOWAT", s, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
    fill("with", s);
    o_show_poll("with", s, 0);
}
