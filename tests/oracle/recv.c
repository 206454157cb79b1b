/* SPDX-License-Identifier: Apache-2.0 */
/* recv(2), recvfrom(2), recvmsg(2), recvmmsg(2), read(2), readv(2) on streams. */
#include "tests/oracle/oracle.h"

CASE(recv_peek, "recv(2): MSG_PEEK leaves the data in the queue")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "abcdef", 6, 0));
    o_show_bytes("peek", buf, recv(b, buf, 3, MSG_PEEK));
    o_show_bytes("peek", buf, recv(b, buf, 16, MSG_PEEK));
    o_show_bytes("recv", buf, recv(b, buf, 2, 0));
    o_show_bytes("peek", buf, recv(b, buf, 16, MSG_PEEK));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
}

CASE(recv_waitall, "recv(2): MSG_WAITALL waits for the full request")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "abc", 3, 0));
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(60);
        send(a, "defgh", 5, 0);
        _exit(0);
    }
    o_show_bytes("recv", buf, recv(b, buf, 6, MSG_WAITALL));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
    waitpid(pid, NULL, 0);
}

CASE(recv_waitall_eof, "recv(2): MSG_WAITALL returns less at the end of the stream")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "abc", 3, 0));
    SAY(shutdown(a, SHUT_WR));
    o_show_bytes("recv", buf, recv(b, buf, 6, MSG_WAITALL));
    SAY(recv(b, buf, 6, MSG_WAITALL));
}

CASE(recv_waitall_signal, "recv(2): MSG_WAITALL returns less if a signal is caught")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "abc", 3, 0));
    o_signal_in(80, SA_RESTART);
    o_show_bytes("recv", buf, recv(b, buf, 6, MSG_WAITALL));
}

CASE(recv_waitall_peek, "recv(2): MSG_WAITALL with MSG_PEEK waits, and leaves the data")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(send(a, "abc", 3, 0));
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(60);
        send(a, "defgh", 5, 0);
        _exit(0);
    }
    o_show_bytes("peek", buf, recv(b, buf, 6, MSG_WAITALL | MSG_PEEK));
    waitpid(pid, NULL, 0);
    say_settle();
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
}

CASE(recv_waitall_nonblock, "recv(2): MSG_WAITALL with MSG_DONTWAIT does not wait")
{
    char buf[16];
    int b, a = o_pair(&b);
    SAY(recv(b, buf, 6, MSG_WAITALL | MSG_DONTWAIT));
    SAY(send(a, "abc", 3, 0));
    say_settle();
    o_show_bytes("recv", buf, recv(b, buf, 6, MSG_WAITALL | MSG_DONTWAIT));
}

CASE(recv_eagain, "recv(2): EAGAIN on an empty non-blocking socket")
{
    char buf[4];
    int b, a = o_pair(&b);
    say_nonblock(b, 1);
    SAY(recv(b, buf, 4, 0));
    SAY(read(b, buf, 4));
    SAY(recv(b, buf, 0, 0));
    SAY(read(b, buf, 0));
    SAY(recv(a, buf, 4, MSG_DONTWAIT));
}

CASE(recv_zero_length, "recv(2): a length of 0 returns 0 without waiting")
{
    char buf[4];
    int b, a = o_pair(&b);
    SAY(read(b, buf, 0));
    SAY(send(a, "x", 1, 0));
    say_settle();
    SAY(recv(b, buf, 0, 0));
    SAY(recv(b, buf, 0, MSG_PEEK));
    o_show_bytes("recv", buf, recv(b, buf, 4, 0));
}

CASE(recv_eof, "recv(2): 0 after an orderly shutdown, again and again")
{
    char buf[4];
    int b, a = o_pair(&b);
    SAY(close(a));
    SAY(recv(b, buf, 4, 0));
    SAY(recv(b, buf, 4, 0));
    SAY(recv(b, buf, 4, MSG_DONTWAIT));
    SAY(recv(b, buf, 4, MSG_PEEK));
}

CASE(recv_enotconn, "recv(2): ENOTCONN on a stream that is not connected")
{
    char buf[4];
    int fd = o_tcp();
    SAY(recv(fd, buf, 4, 0));
    SAY(recv(fd, buf, 0, 0));
    SAY(read(fd, buf, 4));
    SAY(recv(fd, buf, 4, MSG_DONTWAIT));
    SAY(recv(fd, buf, 4, MSG_PEEK));
    struct sockaddr_in at = say_address;
    SAY(bind(fd, SA(&at), sizeof(at)));
    SAY(recv(fd, buf, 4, 0));
}

CASE(recv_trunc_stream, "tcp(7): MSG_TRUNC on a stream discards the bytes")
{
    char buf[8] = "......";
    int b, a = o_pair(&b);
    SAY(send(a, "abcdef", 6, 0));
    say_settle();
    SAY(recv(b, buf, 3, MSG_TRUNC));
    o_show_bytes("untouched", buf, 6);
    o_show_bytes("recv", buf, recv(b, buf, 8, 0));
}

CASE(recv_errqueue, "recv(2): MSG_ERRQUEUE on an empty error queue is EAGAIN")
{
    char buf[8];
    struct iovec iov = {buf, 8};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int b, a = o_pair(&b);
    SAY(send(a, "abcdef", 6, 0));
    say_settle();
    SAY(recv(b, buf, 3, MSG_ERRQUEUE));
    SAY(recvmsg(b, &msg, MSG_ERRQUEUE));
    SAY(recvmsg(b, &msg, MSG_ERRQUEUE | MSG_DONTWAIT));
    SAY(recv(b, buf, 8, 0));
}

CASE(recv_oob_none, "recv(2): MSG_OOB where there is no urgent data is EINVAL")
{
    char buf[8];
    int on = 1, b, a = o_pair(&b);
    SAY(recv(b, buf, 1, MSG_OOB));
    SAY(send(a, "abc", 3, 0));
    say_settle();
    SAY(recv(b, buf, 1, MSG_OOB));
    SAY(setsockopt(b, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)));
    SAY(recv(b, buf, 1, MSG_OOB));
}

CASE(recv_from_stream, "recvfrom(2): a stream gives no source address")
{
    char buf[8];
    struct sockaddr_in from;
    memset(&from, 0x55, sizeof(from));
    socklen_t len = sizeof(from);
    int b, a = o_pair(&b);
    SAY(send(a, "abc", 3, 0));
    SAY(recvfrom(b, buf, 8, 0, SA(&from), &len));
    printf("len %u family %x\n", len, from.sin_family);
    SAY(send(a, "abc", 3, 0));
    SAY(recvfrom(b, buf, 8, 0, NULL, NULL));
}

CASE(recv_msg_fields, "recvmsg(2): msg_namelen, msg_controllen and msg_flags are set")
{
    char buf[8] = "", control[64];
    struct sockaddr_in from;
    struct iovec iov = {buf, 8};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_name = &from,
                         .msg_namelen = sizeof(from),
                         .msg_control = control,
                         .msg_controllen = sizeof(control),
                         .msg_flags = -1};
    int b, a = o_pair(&b);
    SAY(send(a, "abc", 3, 0));
    SAY(recvmsg(b, &msg, 0));
    printf("namelen %u controllen %zu flags %x\n", msg.msg_namelen, msg.msg_controllen,
           msg.msg_flags);
}

CASE(recv_msg_cloexec_flag, "recvmsg(2): MSG_CMSG_CLOEXEC is passed back in msg_flags")
{
    char buf[8] = "";
    struct iovec iov = {buf, 8};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int b, a = o_pair(&b);
    SAY(send(a, "abc", 3, 0));
    SAY(recvmsg(b, &msg, MSG_CMSG_CLOEXEC));
    printf("cloexec flag: %d\n", (msg.msg_flags & MSG_CMSG_CLOEXEC) != 0);
}

CASE(recv_readv, "readv(2): fills the iovecs in order")
{
    char one[3] = "..", two[8] = ".......";
    int b, a = o_pair(&b);
    struct iovec iov[3] = {{one, 2}, {NULL, 0}, {two, 7}};
    SAY(send(a, "abcde", 5, 0));
    SAY(readv(b, iov, 3));
    printf("%s %s\n", one, two);
    SAY(readv(b, iov, -1));
    SAY(readv(b, iov, 1025));
}

CASE(recv_preadv2, "preadv2(2): offset -1 reads as readv does; on a socket an offset is ESPIPE")
{
    char buf[8];
    int b, a = o_pair(&b);
    struct iovec iov = {buf, 8};
    SAY(preadv2(b, &iov, 1, -1, RWF_NOWAIT));
    SAY(send(a, "abcde", 5, 0));
    say_settle();
    SAY(preadv2(b, &iov, 1, 0, 0));
    SAY(preadv(b, &iov, 1, 0));
    o_show_bytes("preadv2", buf, preadv2(b, &iov, 1, -1, 0));
    SAY(preadv2(b, &iov, 1, -1, 0x4000));
}

CASE(recv_mmsg, "recvmmsg(2): returns the number of messages received")
{
    char buf[3][8];
    struct iovec iov[3] = {{buf[0], 2}, {buf[1], 2}, {buf[2], 8}};
    struct mmsghdr msgs[3];
    memset(msgs, 0, sizeof(msgs));
    for (int i = 0; i < 3; i++)
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    int b, a = o_pair(&b);
    SAY(send(a, "abcde", 5, 0));
    say_settle();
    SAY(recvmmsg(b, msgs, 3, 0, NULL));
    printf("%u %u %u\n", msgs[0].msg_len, msgs[1].msg_len, msgs[2].msg_len);
    SAY(recvmmsg(b, msgs, 3, MSG_DONTWAIT, NULL));
}

CASE(recv_efault, "recv(2): EFAULT for memory that is not the app's")
{
    char buf[8];
    int b, a = o_pair(&b);
    SAY(send(a, "abcde", 5, 0));
    say_settle();
    SAY(recv(b, (void *)8, 4, 0));
    SAY(read(b, (void *)8, 4));
    o_show_bytes("still there", buf, recv(b, buf, 8, 0));
}

CASE(recv_after_shutdown, "recv(2): after shutdown(SHUT_RD) what is queued can be read, then 0")
{
    char buf[8];
    int b, a = o_pair(&b);
    SAY(send(a, "abc", 3, 0));
    say_settle();
    SAY(shutdown(b, SHUT_RD));
    o_show_bytes("recv", buf, recv(b, buf, 8, 0));
    SAY(recv(b, buf, 8, 0));
    SAY(send(a, "def", 3, 0));
    say_settle();
    o_show_bytes("recv", buf, recv(b, buf, 8, MSG_DONTWAIT));
    o_show_poll("poll", b, 0);
}

CASE(recv_lowat, "socket(7): SO_RCVLOWAT makes a receive, and poll, wait for that many bytes")
{
    char buf[8];
    int lowat = 4, b, a = o_pair(&b);
    SAY(setsockopt(b, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)));
    SAY(send(a, "ab", 2, 0));
    say_settle();
    o_show_poll("two", b, 0);
    o_show_bytes("dontwait", buf, recv(b, buf, 1, MSG_DONTWAIT | MSG_PEEK));
    o_show_bytes("dontwait", buf, recv(b, buf, 8, MSG_DONTWAIT | MSG_PEEK));
    pid_t pid = fork();
    if (pid == 0) {
        say_sleep_ms(60);
        send(a, "cdef", 4, 0);
        _exit(0);
    }
    o_show_bytes("recv", buf, recv(b, buf, 8, 0));
    waitpid(pid, NULL, 0);
    o_show_poll("none", b, 0);
}

CASE(recv_lowat_small_request, "socket(7): SO_RCVLOWAT does not keep a smaller request waiting")
{
    char buf[8];
    int lowat = 100, b, a = o_pair(&b);
    SAY(setsockopt(b, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)));
    SAY(send(a, "ab", 2, 0));
    o_show_bytes("recv", buf, recv(b, buf, 2, 0));
}

CASE(recv_large, "bytes come in order, over many buffers")
{
    int b, a = o_pair(&b);
    pid_t pid = fork();
    if (pid == 0) {
        o_write_all(a, 5 << 20);
        _exit(0);
    }
    printf("read %zu\n", o_read_all(b, 5 << 20));
    waitpid(pid, NULL, 0);
}

/* Waits (5 s at most) until so many bytes are there. */
static void await_bytes(int fd, int n)
{
    int held = 0;
    for (int i = 0; i < 5000 && ioctl(fd, FIONREAD, &held) == 0 && held < n; i++)
        say_sleep_ms(1);
}

static void show_peek(const char *text, int fd)
{
    char buf[4];
    o_show_bytes(text, buf, recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
    o_show_int_option("offset", fd, SOL_SOCKET, SO_PEEK_OFF);
}

CASE(recv_peek_off,
     "socket(7): SO_PEEK_OFF: a peek begins there, moves it on; what is read moves it back")
{
    char buf[4];
    int zero = 0, none = -1, b, a = o_pair(&b);
    SAY(send(b, "abcdefghij", 10, 0));
    await_bytes(a, 10);
    show_peek("without", a);
    SAY(setsockopt(a, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)));
    show_peek("first", a);
    show_peek("next", a);
    o_show_bytes("read", buf, recv(a, buf, 3, 0));
    o_show_int_option("offset", a, SOL_SOCKET, SO_PEEK_OFF);
    show_peek("the rest", a);
    show_peek("nothing more", a);
    SAY(send(b, "kl", 2, 0));
    await_bytes(a, 9);
    show_peek("more", a);
    SAY(setsockopt(a, SOL_SOCKET, SO_PEEK_OFF, &none, sizeof(none)));
    show_peek("off again", a);
    o_show_bytes("read", buf, recv(a, buf, 4, 0));
    o_show_int_option("offset", a, SOL_SOCKET, SO_PEEK_OFF);
}

#ifndef TCP_INQ
#define TCP_INQ 36
#endif

static void show_inq(const char *text, int fd, size_t want)
{
    char buf[16] = "", control[64];
    struct iovec iov = {.iov_base = buf, .iov_len = want};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    printf("%s: %d\n", text, (int)recvmsg(fd, &msg, MSG_DONTWAIT));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        int left = -1;
        memcpy(&left, CMSG_DATA(c), sizeof(left));
        printf("  level %d type %d: %d\n", c->cmsg_level, c->cmsg_type, left);
    }
}

CASE(recv_inq, "tcp(7), linux/tcp.h: TCP_INQ: recvmsg tells how much is left to read")
{
    int one = 1, b, a = o_pair(&b);
    SAY(send(b, "abcdefghij", 10, 0));
    await_bytes(a, 10);
    show_inq("without", a, 2);
    SAY(setsockopt(a, IPPROTO_TCP, TCP_INQ, &one, sizeof(one)));
    show_inq("two", a, 2);
    show_inq("all", a, 16);
    SAY(close(b));
    say_await(a, POLLRDHUP | POLLIN);
    show_inq("the end", a, 16);
}
