/* SPDX-License-Identifier: Apache-2.0 */
/* syscall(2): the same calls by number. */
#include "tests/oracle/oracle.h"

#include <sys/syscall.h>

CASE(syscall_data, "syscall(2): read, write, sendto, recvfrom and the vectored calls by number")
{
    char buf[16], more[16];
    struct iovec in[2] = {{.iov_base = buf, .iov_len = 2}, {.iov_base = more, .iov_len = 16}};
    struct iovec out[2] = {{.iov_base = "ab", .iov_len = 2}, {.iov_base = "cd", .iov_len = 2}};
    struct msghdr from = {.msg_iov = in, .msg_iovlen = 2};
    struct msghdr to = {.msg_iov = out, .msg_iovlen = 2};
    int b, a = o_pair(&b);
    SAY(syscall(SYS_write, a, "one", 3));
    o_show_bytes("read", buf, syscall(SYS_read, b, buf, sizeof(buf)));
    SAY(syscall(SYS_sendto, b, "two", 3, MSG_NOSIGNAL, NULL, 0));
    o_show_bytes("recvfrom", buf, syscall(SYS_recvfrom, a, buf, sizeof(buf), 0, NULL, NULL));
    SAY(syscall(SYS_writev, a, out, 2));
    SAY(syscall(SYS_readv, b, in, 2));
    o_show_bytes("first", buf, 2);
    o_show_bytes("second", more, 2);
    SAY(syscall(SYS_sendmsg, b, &to, 0));
    SAY(syscall(SYS_recvmsg, a, &from, 0));
    SAY(syscall(SYS_recvfrom, a, buf, sizeof(buf), MSG_DONTWAIT, NULL, NULL));
}

CASE(syscall_close, "syscall(2): close by number ends the connection")
{
    char buf[4];
    int b, a = o_pair(&b);
    SAY(syscall(SYS_close, a));
    SAY(read(b, buf, sizeof(buf)));
    SAY(syscall(SYS_write, a, "x", 1));
}

CASE(syscall_life, "syscall(2): a socket made, bound, connected and asked by number")
{
    struct sockaddr_in at, name;
    socklen_t len = sizeof(name);
    int value = 1;
    int listener = o_listener(&at);
    int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SAY(syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)));
    SAY(syscall(SYS_connect, fd, &at, sizeof(at)));
    SAY(syscall(SYS_getpeername, fd, &name, &len));
    o_show_address("peer", SA(&name), len);
    int other = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_NONBLOCK);
    SAY(other >= 0);
    SAY(syscall(SYS_fcntl, other, F_GETFL) & O_NONBLOCK);
    SAY(syscall(SYS_shutdown, fd, SHUT_WR));
    say_events("end", (uint32_t)say_await(other, POLLIN));
    int copy = (int)syscall(SYS_dup, fd);
    SAY(syscall(SYS_close, fd));
    SAY(syscall(SYS_getpeername, copy, &name, &len));
    SAY(syscall(SYS_ioctl, other, FIONREAD, &value));
}

CASE(syscall_wait, "syscall(2): ppoll, pselect6 and epoll by number")
{
    const struct {
        /* cppcheck-suppress unusedStructMember ; the kernel reads both */
        const sigset_t *mask;
        /* cppcheck-suppress unusedStructMember */
        size_t size;
    } no_mask = {NULL, 8};
    struct timespec second = {.tv_sec = 1};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 7};
    fd_set set;
    int b, a = o_pair(&b);
    struct pollfd p = {.fd = b, .events = POLLIN};
    int epfd = epoll_create1(0);
    SAY(syscall(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, b, &event));
    SAY(syscall(SYS_epoll_pwait, epfd, &event, 1, 10, NULL, 8));
    SAY(write(a, "x", 1));
    SAY(syscall(SYS_ppoll, &p, 1, &second, NULL, 8));
    say_events("ppoll", (uint32_t)p.revents);
    FD_ZERO(&set);
    FD_SET(b, &set);
    SAY(syscall(SYS_pselect6, b + 1, &set, NULL, NULL, &second, &no_mask));
    SAY(FD_ISSET(b, &set) != 0);
    SAY(syscall(SYS_epoll_pwait, epfd, &event, 1, 1000, NULL, 8));
    printf("data %u\n", event.data.u32);
}
