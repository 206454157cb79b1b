/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: dup and its kin, flags, ioctl, close, options, sendfile, datagrams. */
#include "tests/preload/say.h"

static void duplicates(void)
{
    char buf[16];
    int server, client = say_pair(&server);
    say_case("dup");
    int copy = dup(client);
    say_nonblock(copy, 1);
    SAY((fcntl(client, F_GETFL) & O_NONBLOCK) != 0);
    SAY(read(client, buf, 1));
    SAY(fcntl(client, F_GETFL) & O_ACCMODE);
    close(client);
    SAY(write(copy, "via copy", 8));
    say_bytes("server", buf, read(server, buf, sizeof(buf)));
    SAY(read(client, buf, 1));
    int high = fcntl(copy, F_DUPFD_CLOEXEC, 500);
    SAY(high);
    SAY(fcntl(high, F_GETFD));
    SAY(fcntl(copy, F_GETFD));
    SAY(dup2(copy, 700));
    SAY(dup3(copy, copy, 0));
    SAY(dup2(copy, copy) == copy);
    SAY(dup2(999, 5));
    SAY(dup3(copy, 701, O_CLOEXEC));
    SAY(fcntl(701, F_GETFD));
    close(copy);
    close(high);
    SAY(write(700, "x", 1));
    close(700);
    say_events("server sees no end", (uint32_t)poll(&(struct pollfd){server, POLLRDHUP, 0}, 1, 50));
    SAY(close_range(701, 701, 0));
    say_events("server", (uint32_t)say_await(server, POLLRDHUP));
    SAY(close(701));
    /* A file in place of a socket, and a socket in place of a file. */
    int zero = open("/dev/zero", O_RDONLY);
    SAY(dup2(zero, server) == server);
    SAY(read(server, buf, 4));
    close(server);
    client = say_pair(&server);
    SAY(dup2(client, zero) == zero);
    SAY(write(zero, "abc", 3));
    SAY(read(server, buf, 8));
    struct stat st;
    SAY(fstat(zero, &st));
    SAY(S_ISSOCK(st.st_mode) != 0);
    SAY(isatty(zero));
    SAY(lseek(zero, 0, SEEK_CUR));
    close(zero);
    close(client);
    SAY(read(server, buf, 8));
    /* Numbers where the shim may keep its own: they are the app's to take. */
    for (int fd = 955; fd < 975; fd++)
        dup2(server, fd);
    SAY(close_range(955, 975, 0));
    close(server);
    client = say_pair(&server);
    SAY(write(client, "still works", 11));
    SAY(read(server, buf, 16));
    closefrom(client < server ? client : server);
    client = say_pair(&server);
    SAY(write(client, "still works", 11));
    SAY(read(server, buf, 16));
    close(client);
    close(server);
}

static void controls(void)
{
    char buf[16];
    int value = -1, server, client = say_pair(&server);
    say_case("ioctl, fcntl");
    SAY(ioctl(server, FIONREAD, &value));
    SAY(value);
    SAY(write(client, "12345", 5));
    say_await(server, POLLIN);
    SAY(ioctl(server, FIONREAD, &value));
    SAY(value);
    int on = 1;
    SAY(ioctl(server, FIONBIO, &on));
    SAY(read(server, buf, 16));
    SAY(read(server, buf, 16));
    on = 0;
    SAY(ioctl(server, FIONBIO, &on));
    SAY((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
    SAY(fcntl(server, F_SETFD, FD_CLOEXEC));
    SAY(fcntl(server, F_GETFD));
    SAY(ioctl(server, FIOCLEX));
    SAY(ioctl(server, TCGETS, buf));
    close(client);
    close(server);
}

static void options(void)
{
    int value, fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof(value);
    struct timeval tv = {.tv_sec = 1, .tv_usec = 500000};
    struct linger linger = {1, 7};
    say_case("options");
    value = 1;
    SAY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)));
    value = 0;
    SAY(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &len));
    SAY(value != 0);
    SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len));
    SAY(value);
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, 4));
    tv.tv_usec = 2000000;
    SAY(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
    len = sizeof(tv);
    SAY(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
    printf("%ld %ld %u\n", (long)tv.tv_sec, (long)tv.tv_usec, len);
    SAY(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    linger.l_linger = 0;
    len = sizeof(linger);
    SAY(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len));
    printf("%d %d\n", linger.l_onoff, linger.l_linger);
    value = 50000;
    SAY(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)));
    len = sizeof(value);
    SAY(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &len));
    SAY(value);
    value = 50000;
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)));
    SAY(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len));
    SAY(value);
    value = 100;
    SAY(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)));
    SAY(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, &len));
    SAY(value);
    len = 2;
    SAY(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
    SAY(len);
    len = (socklen_t)-1;
    SAY(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
    SAY(setsockopt(fd, SOL_SOCKET, SO_TYPE, &value, sizeof(value)));
    SAY(setsockopt(fd, SOL_SOCKET, 9999, &value, sizeof(value)));
    SAY(setsockopt(fd, IPPROTO_TCP, 9999, &value, sizeof(value)));
    SAY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, NULL, sizeof(value)));
    value = 1;
    SAY(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)));
    SAY(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, 1));
    close(fd);
    SAY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)));
}

static void files(void)
{
    char path[] = "/tmp/dmm-fds-XXXXXX", buf[64];
    int file = mkstemp(path);
    int server, client = say_pair(&server);
    off_t offset = 3;
    say_case("sendfile");
    unlink(path);
    SAY(write(file, "0123456789", 10));
    SAY(sendfile(client, file, &offset, 4));
    SAY(offset);
    say_bytes("got", buf, recv(server, buf, 4, MSG_WAITALL));
    SAY(lseek(file, 5, SEEK_SET));
    SAY(sendfile(client, file, NULL, 100));
    SAY(lseek(file, 0, SEEK_CUR));
    say_bytes("got", buf, recv(server, buf, 5, MSG_WAITALL));
    SAY(sendfile(client, file, NULL, 100));
    SAY(sendfile(client, 999, NULL, 100));
    SAY(sendfile(file, client, NULL, 100));
    SAY(ftruncate(file, 3 << 20));
    offset = 0;
    say_nonblock(client, 1);
    size_t sent = 0, got = 0;
    static char big[65536];
    while (got < 3 << 20) {
        ssize_t n = sendfile(client, file, &offset, (3 << 20) - sent);
        if (n > 0)
            sent += (size_t)n;
        while (got < sent && (n = recv(server, big, sizeof(big), 0)) > 0)
            got += (size_t)n;
    }
    printf("%zu %zu %ld\n", sent, got, (long)offset);
    close(file);
    close(client);
    close(server);
}

static void datagrams(void)
{
    struct sockaddr_in a_at, b_at, from = {.sin_port = 0};
    socklen_t len = sizeof(from);
    char buf[64];
    int a = say_datagram(&a_at), b = say_datagram(&b_at);
    say_case("datagrams");
    SAY(send(a, "x", 1, 0));
    SAY(sendto(a, "hello", 5, 0, (struct sockaddr *)&b_at, sizeof(b_at)));
    SAY(recvfrom(b, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
    printf("from a: %d, len %u\n", from.sin_port == a_at.sin_port, len);
    SAY(sendto(a, "truncated", 9, 0, (struct sockaddr *)&b_at, sizeof(b_at)));
    SAY(recv(b, buf, 4, MSG_PEEK | MSG_TRUNC));
    struct iovec iov[2] = {{buf, 2}, {buf + 8, 3}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    SAY(recvmsg(b, &msg, 0));
    printf("truncated: %d\n", (msg.msg_flags & MSG_TRUNC) != 0);
    SAY(sendto(a, "", 0, 0, (struct sockaddr *)&b_at, sizeof(b_at)));
    SAY(recv(b, buf, sizeof(buf), 0));
    SAY(recv(b, buf, sizeof(buf), MSG_DONTWAIT));
    SAY(connect(a, (struct sockaddr *)&b_at, sizeof(b_at)));
    SAY(send(a, "one", 3, 0));
    SAY(writev(a, (struct iovec[]){{"tw", 2}, {"o", 1}}, 2));
    SAY(write(a, "three", 5));
    SAY(read(b, buf, sizeof(buf)));
    int value = -1;
    SAY(say_await(b, POLLIN) & POLLIN);
    SAY(ioctl(b, FIONREAD, &value));
    SAY(value);
    struct mmsghdr two[3];
    struct iovec in[3] = {{buf, 8}, {buf + 8, 8}, {buf + 16, 8}};
    memset(two, 0, sizeof(two));
    for (int i = 0; i < 3; i++)
        two[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
    /* It waits for the first only: the second may come too late for that call. */
    int got = 0;
    for (int n = 1; got < 2 && n > 0; got += n)
        n = recvmmsg(b, two + got, 3 - (unsigned)got, MSG_WAITFORONE, NULL);
    SAY(got);
    printf("%u %u\n", two[0].msg_len, two[1].msg_len);
    SAY(getpeername(a, (struct sockaddr *)&from, &len));
    SAY(getpeername(b, (struct sockaddr *)&from, &len));
    SAY(listen(b, 1));
    SAY(accept(b, NULL, NULL));
    static char big[70000];
    SAY(send(a, big, 65508, 0));
    SAY(send(a, big, 65507, 0));
    SAY(recv(b, big, sizeof(big), 0));
    int on = 1;
    SAY(setsockopt(b, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
    SAY(send(a, "info", 4, 0));
    char control[128];
    msg = (struct msghdr){.msg_iov = iov,
                          .msg_iovlen = 2,
                          .msg_name = &from,
                          .msg_namelen = sizeof(from),
                          .msg_control = control,
                          .msg_controllen = sizeof(control)};
    SAY(recvmsg(b, &msg, 0));
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    printf("pktinfo: %d\n", c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
                                c->cmsg_len == CMSG_LEN(sizeof(struct in_pktinfo)));
    SAY(msg.msg_flags);
    SAY(send(a, "info", 4, 0));
    msg.msg_controllen = 8;
    SAY(recvmsg(b, &msg, 0));
    printf("control cut: %d\n", (msg.msg_flags & MSG_CTRUNC) != 0);
    struct timeval tv = {.tv_usec = 50000};
    setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    SAY(recv(b, buf, 1, 0));
    from = (struct sockaddr_in){.sin_family = AF_UNSPEC};
    SAY(connect(a, (struct sockaddr *)&from, sizeof(from)));
    SAY(send(a, "x", 1, 0));
    SAY(shutdown(b, SHUT_RD));
    close(a);
    close(b);
}

int main(int argc, char **argv)
{
    say_begin(argc, argv);
    duplicates();
    controls();
    options();
    files();
    datagrams();
    return 0;
}
