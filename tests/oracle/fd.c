/* SPDX-License-Identifier: Apache-2.0 */
/* fcntl(2), ioctl(2), dup(2), sendfile(2), splice(2), tee(2), vmsplice(2), copy_file_range(2). */
#include "tests/oracle/oracle.h"

#include <linux/sockios.h>
#include <net/if.h>
#include <sys/mman.h>

CASE(fcntl_flags, "fcntl(2): F_GETFL and F_SETFL")
{
    int b, a = o_pair(&b);
    printf("%x\n", fcntl(a, F_GETFL));
    SAY(fcntl(a, F_SETFL, O_NONBLOCK));
    printf("%x\n", fcntl(a, F_GETFL));
    SAY(fcntl(a, F_SETFL, 0));
    printf("%x\n", fcntl(a, F_GETFL));
    SAY(fcntl(a, F_SETFL, O_RDONLY | O_CREAT | O_EXCL));
    printf("%x\n", fcntl(a, F_GETFL));
    SAY(fcntl(a, F_SETFL, O_APPEND));
    printf("%x\n", fcntl(a, F_GETFL));
    SAY(fcntl(a, 9999, 0));
    SAY(fcntl(a, F_GETPIPE_SZ));
}

CASE(fcntl_shared, "fcntl(2): status flags are shared by copies, descriptor flags are not")
{
    int b, a = o_pair(&b), c = dup(a);
    SAY(fcntl(c, F_SETFL, O_NONBLOCK));
    printf("%x\n", fcntl(a, F_GETFL));
    SAY(fcntl(c, F_SETFD, FD_CLOEXEC));
    printf("%d %d\n", fcntl(a, F_GETFD), fcntl(c, F_GETFD));
    int d = fcntl(a, F_DUPFD_CLOEXEC, 100);
    printf("at least 100: %d, flag %d\n", d >= 100, fcntl(d, F_GETFD));
    pid_t pid = fork();
    if (pid == 0)
        _exit(fcntl(a, F_SETFL, 0) < 0);
    waitpid(pid, NULL, 0);
    printf("after the child: %x\n", fcntl(a, F_GETFL));
}

CASE(fcntl_owner, "fcntl(2): F_SETOWN, F_GETOWN, F_SETSIG")
{
    int b, a = o_pair(&b);
    SAY(fcntl(a, F_GETOWN));
    SAY(fcntl(a, F_SETOWN, getpid()));
    printf("me: %d\n", fcntl(a, F_GETOWN) == getpid());
    SAY(fcntl(a, F_SETSIG, SIGUSR1));
    SAY(fcntl(a, F_GETSIG));
}

CASE(fcntl_locks, "fcntl(2): record locks on a socket")
{
    struct flock lock = {.l_type = F_RDLCK};
    int b, a = o_pair(&b);
    SAY(fcntl(a, F_SETLK, &lock));
    (void)b;
}

static volatile sig_atomic_t sigio;
static void on_sigio(int sig)
{
    sigio = sig;
}

CASE(fcntl_async, "fcntl(2): O_ASYNC sends SIGIO when data come")
{
    int b, a = o_pair(&b);
    signal(SIGIO, on_sigio);
    SAY(fcntl(a, F_SETOWN, getpid()));
    SAY(fcntl(a, F_SETFL, O_ASYNC | O_NONBLOCK));
    SAY(send(b, "x", 1, 0));
    say_settle();
    printf("SIGIO: %d\n", sigio == SIGIO);
}

static volatile sig_atomic_t told_fd, told_times;
static void on_told(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    told_fd = info->si_fd;
    told_times++;
}

static void await_told(int times)
{
    for (int i = 0; i < 3000 && told_times < times; i++)
        say_sleep_ms(1);
}

static void tell_me(int fd)
{
    struct sigaction action = {.sa_sigaction = on_told, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR2, &action, NULL);
    SAY(fcntl(fd, F_SETOWN, getpid()));
    SAY(fcntl(fd, F_SETSIG, SIGUSR2));
    SAY(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
    printf("%x\n", fcntl(fd, F_GETFL));
}

CASE(fcntl_async_signal,
     "fcntl(2): F_SETSIG: another signal, which tells the descriptor; each time that data come")
{
    char buf[4];
    int b, a = o_pair(&b);
    tell_me(a);
    for (int i = 1; i <= 3; i++) {
        SAY(send(b, "x", 1, 0));
        await_told(i);
        printf("told %d, this one %d\n", told_times, told_fd == a);
        SAY(recv(a, buf, sizeof(buf), 0));
        SAY(recv(a, buf, sizeof(buf), 0));
    }
    SAY(fcntl(a, F_SETFL, O_NONBLOCK));
    SAY(send(b, "x", 1, 0));
    say_settle();
    printf("off: told %d\n", told_times);
}

CASE(fcntl_async_listener, "fcntl(2): O_ASYNC of a listener, and of one that all addresses have")
{
    struct sockaddr_in at, any = {.sin_family = AF_INET};
    socklen_t len = sizeof(any);
    int listener = o_listener(&at), wild = o_tcp();
    tell_me(listener);
    SAY(connect(o_tcp(), SA(&at), sizeof(at)));
    await_told(1);
    printf("told %d, this one %d\n", told_times, told_fd == listener);
    SAY(close(accept(listener, NULL, NULL)));
    SAY(bind(wild, SA(&any), sizeof(any)));
    SAY(listen(wild, 4));
    SAY(getsockname(wild, SA(&any), &len));
    any.sin_addr = say_address.sin_addr;
    told_times = 0;
    tell_me(wild);
    SAY(connect(o_tcp(), SA(&any), sizeof(any)));
    await_told(1);
    printf("told %d\n", told_times >= 1);
    SAY(close(accept(wild, NULL, NULL)));
}

CASE(fcntl_async_before, "fcntl(2): O_ASYNC, F_SETOWN and F_SETSIG before bind and connect")
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    int listener = o_tcp(), client = o_tcp();
    tell_me(listener);
    at = say_address;
    SAY(bind(listener, SA(&at), sizeof(at)));
    SAY(listen(listener, 4));
    SAY(getsockname(listener, SA(&at), &len));
    printf("%d, me %d\n", fcntl(listener, F_GETSIG), fcntl(listener, F_GETOWN) == getpid());
    told_times = 0; /* what a bind or listen tells is its own affair */
    SAY(fcntl(client, F_SETOWN, getpid()));
    SAY(connect(client, SA(&at), sizeof(at)));
    await_told(1);
    printf("told %d, this one %d\n", told_times >= 1, told_fd == listener);
    SAY(close(accept(listener, NULL, NULL)));
    SAY(fcntl(client, F_GETOWN) == getpid());
}

CASE(fcntl_async_datagrams, "fcntl(2): O_ASYNC of a datagram socket; a child has it too")
{
    char buf[4];
    int b, a = o_udp_pair(&b), status;
    tell_me(b);
    SAY(send(a, "1", 1, 0));
    await_told(1);
    printf("told %d, this one %d\n", told_times, told_fd == b);
    SAY(recv(b, buf, sizeof(buf), 0));
    if (fork() == 0)
        _exit(send(a, "2", 1, 0) != 1 || !(fcntl(b, F_GETFL) & O_ASYNC));
    wait(&status);
    await_told(2);
    printf("child %d, told %d\n", WEXITSTATUS(status), told_times);
}

CASE(ioctl_async, "ioctl(2): FIOASYNC sends SIGIO too")
{
    int on = 1, off = 0, b, a = o_pair(&b), me = getpid();
    signal(SIGIO, on_sigio);
    SAY(ioctl(a, FIOSETOWN, &me));
    SAY(ioctl(a, FIOASYNC, &on));
    SAY(send(b, "x", 1, 0));
    say_settle();
    printf("SIGIO: %d\n", sigio == SIGIO);
    SAY(ioctl(a, FIOASYNC, &off));
    SAY(ioctl(a, SIOCSPGRP, &me));
    SAY(ioctl(a, SIOCGPGRP, &off));
    printf("me: %d\n", off == me);
}

CASE(ioctl_nonblock, "ioctl(2): FIONBIO")
{
    int on = 1, off = 0, b, a = o_pair(&b);
    SAY(ioctl(a, FIONBIO, &on));
    printf("%x\n", fcntl(a, F_GETFL));
    SAY(ioctl(a, FIONBIO, &off));
    printf("%x\n", fcntl(a, F_GETFL));
}

CASE(ioctl_queues, "tcp(7): FIONREAD, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK")
{
    int n = -1, b, a = o_pair(&b);
    struct sockaddr_in at;
    int fd = o_tcp(), listener = o_listener(&at);
    SAY(ioctl(a, FIONREAD, &n));
    printf("%d\n", n);
    SAY(send(b, "abc", 3, 0));
    say_settle();
    SAY(ioctl(a, FIONREAD, &n));
    printf("%d\n", n);
    SAY(ioctl(a, SIOCINQ, &n));
    SAY(ioctl(b, SIOCOUTQ, &n));
    printf("%d\n", n);
    SAY(ioctl(b, TIOCOUTQ, &n));
    SAY(ioctl(b, SIOCOUTQNSD, &n));
    printf("%d\n", n);
    SAY(ioctl(a, SIOCATMARK, &n));
    printf("%d\n", n);
    SAY(ioctl(listener, FIONREAD, &n));
    SAY(ioctl(listener, SIOCOUTQ, &n));
    SAY(ioctl(fd, FIONREAD, &n));
    printf("%d\n", n);
    SAY(ioctl(fd, SIOCOUTQ, &n));
    printf("%d\n", n);
}

CASE(ioctl_queues_udp, "udp(7): FIONREAD is the next datagram's length")
{
    int n = -1, b, a = o_udp_pair(&b);
    SAY(ioctl(b, FIONREAD, &n));
    printf("%d\n", n);
    SAY(send(a, "abcde", 5, 0));
    SAY(send(a, "fg", 2, 0));
    say_settle();
    SAY(ioctl(b, FIONREAD, &n));
    printf("%d\n", n);
    SAY(ioctl(a, SIOCOUTQ, &n));
    printf("%d\n", n);
}

CASE(ioctl_unknown, "ioctl(2): what a socket does not know is ENOTTY")
{
    int n, b, a = o_pair(&b);
    SAY(ioctl(a, 0x12345678, &n));
    SAY(ioctl(a, TCGETS, &n));
    SAY(ioctl(a, TIOCGWINSZ, &n));
    printf("%d\n", isatty(a));
    SAY(ioctl(a, FIOCLEX));
    printf("%d\n", fcntl(a, F_GETFD));
    SAY(ioctl(a, FIONCLEX));
    printf("%d\n", fcntl(a, F_GETFD));
    SAY(ioctl(a, SIOCGSTAMP, &n));
}

CASE(ioctl_unsent,
     "tcp(7): SIOCOUTQNSD: what was not sent yet; SIOCOUTQ: that, and what was not acknowledged")
{
    int n = -1, on = 1, off = 0, b, a = o_pair(&b), udp = o_udp();
    SAY(setsockopt(b, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)));
    SAY(send(b, "abc", 3, 0));
    SAY(ioctl(b, SIOCOUTQNSD, &n));
    printf("%d\n", n);
    SAY(ioctl(b, SIOCOUTQ, &n));
    printf("%d\n", n);
    SAY(setsockopt(b, IPPROTO_TCP, TCP_CORK, &off, sizeof(off)));
    say_settle();
    SAY(ioctl(b, SIOCOUTQNSD, &n));
    printf("%d\n", n);
    SAY(ioctl(a, FIONREAD, &n));
    printf("%d\n", n);
    SAY(ioctl(udp, SIOCOUTQNSD, &n));
}

CASE(ioctl_interfaces, "netdevice(7): the interface that has the address is listed and described")
{
    struct ifreq list[16] = {{.ifr_name = ""}}, one;
    struct ifconf conf = {.ifc_len = sizeof(list), .ifc_req = list};
    int b, a = o_pair(&b);
    SAY(ioctl(a, SIOCGIFCONF, &conf));
    for (int i = 0; i < conf.ifc_len / (int)sizeof(list[0]); i++) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&list[i].ifr_addr;
        if (in->sin_addr.s_addr != say_address.sin_addr.s_addr)
            continue;
        one = list[i];
        SAY(ioctl(a, SIOCGIFFLAGS, &one));
        printf("up %d loopback %d\n", (one.ifr_flags & IFF_UP) != 0,
               (one.ifr_flags & IFF_LOOPBACK) != 0);
        one = list[i];
        SAY(ioctl(a, SIOCGIFMTU, &one));
        printf("mtu %d\n", one.ifr_mtu);
        one = list[i];
        SAY(ioctl(a, SIOCGIFINDEX, &one));
        printf("index %d\n", one.ifr_ifindex > 0);
        SAY(ioctl(a, SIOCGIFNAME, &one));
        printf("same name %d\n", strcmp(one.ifr_name, list[i].ifr_name) == 0);
        one = list[i];
        SAY(ioctl(a, SIOCGIFADDR, &one));
        printf("same address %d\n", ((struct sockaddr_in *)&one.ifr_addr)->sin_addr.s_addr ==
                                        say_address.sin_addr.s_addr);
        one = list[i];
        SAY(ioctl(a, SIOCGIFNETMASK, &one));
        printf("mask %08x\n", ntohl(((struct sockaddr_in *)&one.ifr_addr)->sin_addr.s_addr));
        one = list[i];
        SAY(ioctl(a, SIOCGIFHWADDR, &one));
        printf("hardware %d\n", one.ifr_hwaddr.sa_family);
    }
    memset(&one, 0, sizeof(one));
    strcpy(one.ifr_name, "none77");
    SAY(ioctl(a, SIOCGIFFLAGS, &one));
    SAY(ioctl(a, SIOCGIFADDR, &one));
}

CASE(ioctl_interfaces_fresh,
     "netdevice(7): any socket can be asked; SIOCGIFCONF tells the room that it needs")
{
    struct ifreq list[16] = {{.ifr_name = ""}}, one;
    struct ifconf conf = {.ifc_len = sizeof(list), .ifc_req = list}, none = {.ifc_len = 0};
    int a = socket(AF_INET, SOCK_DGRAM, 0), found = 0;
    SAY(ioctl(a, SIOCGIFCONF, &conf));
    SAY(ioctl(a, SIOCGIFCONF, &none));
    printf("as many %d\n", none.ifc_len == conf.ifc_len);
    for (int i = 0; i < conf.ifc_len / (int)sizeof(list[0]); i++) {
        struct sockaddr_in in;
        memcpy(&in, &list[i].ifr_addr, sizeof(in));
        if (in.sin_addr.s_addr != say_address.sin_addr.s_addr)
            continue;
        found++;
        one = list[i];
        SAY(ioctl(a, SIOCGIFBRDADDR, &one));
        one = list[i];
        SAY(ioctl(a, SIOCGIFFLAGS, &one));
        printf("broadcast %d, multicast %d, running %d\n", (one.ifr_flags & IFF_BROADCAST) != 0,
               (one.ifr_flags & IFF_MULTICAST) != 0, (one.ifr_flags & IFF_RUNNING) != 0);
    }
    printf("found %d\n", found);
    strcpy(one.ifr_name, "lo");
    SAY(ioctl(a, SIOCGIFADDR, &one));
    printf("loopback %08x\n", ntohl(((struct sockaddr_in *)&one.ifr_addr)->sin_addr.s_addr));
    conf.ifc_len = sizeof(list[0]);
    SAY(ioctl(a, SIOCGIFCONF, &conf));
    printf("in little room: %d\n", conf.ifc_len / (int)sizeof(list[0]));
}

CASE(dup_rules, "dup(2): dup2 to itself, to a bad number, of a closed one; dup3's flags")
{
    char buf[4];
    int b, a = o_pair(&b);
    printf("%d\n", dup2(a, a) == a);
    SAY(dup3(a, a, 0));
    SAY(dup2(77, 78));
    SAY(dup2(a, -1));
    SAY(dup3(a, 90, 0x4000000));
    printf("%d\n", dup3(a, 90, O_CLOEXEC));
    printf("%d\n", fcntl(90, F_GETFD));
    SAY(send(90, "x", 1, 0));
    o_show_bytes("recv", buf, recv(b, buf, 4, 0));
}

CASE(dup_over_socket, "dup(2): dup2 onto a socket closes it")
{
    char buf[4];
    int b, a = o_pair(&b), fds[2];
    SAY(pipe(fds));
    printf("%d\n", dup2(fds[1], a) == a);
    SAY(recv(b, buf, 4, 0));
    SAY(write(a, "pipe", 4));
    o_show_bytes("pipe", buf, read(fds[0], buf, 4));
    int d, c = o_pair(&d);
    printf("%d\n", dup2(c, fds[1]) == fds[1]);
    SAY(write(fds[1], "sock", 4));
    o_show_bytes("socket", buf, read(d, buf, 4));
}

static int file_of(const char *text)
{
    int fd = memfd_create("oracle", 0);
    if (write(fd, text, strlen(text)) < 0)
        perror("write");
    lseek(fd, 0, SEEK_SET);
    return fd;
}

CASE(sendfile_basic,
     "sendfile(2): from the file's position, which moves; or from *offset, which moves")
{
    char buf[32];
    off_t offset = 4;
    int b, a = o_pair(&b), file = file_of("0123456789");
    SAY(sendfile(a, file, NULL, 4));
    o_show_bytes("recv", buf, recv(b, buf, 4, MSG_WAITALL));
    printf("position %ld\n", (long)lseek(file, 0, SEEK_CUR));
    SAY(sendfile(a, file, &offset, 100));
    printf("offset %ld position %ld\n", (long)offset, (long)lseek(file, 0, SEEK_CUR));
    o_show_bytes("recv", buf, recv(b, buf, 6, MSG_WAITALL));
    SAY(sendfile(a, file, &offset, 10));
    SAY(sendfile(a, file, NULL, 0));
    offset = -1;
    SAY(sendfile(a, file, &offset, 10));
}

CASE(sendfile_errors, "sendfile(2): from a socket, to a listener, unconnected")
{
    struct sockaddr_in at;
    int b, a = o_pair(&b), file = file_of("0123456789"), fd = o_tcp(), l = o_listener(&at);
    signal(SIGPIPE, SIG_IGN);
    SAY(sendfile(file, a, NULL, 4));
    SAY(sendfile(a, b, NULL, 4));
    SAY(sendfile(fd, file, NULL, 4));
    SAY(sendfile(l, file, NULL, 4));
    SAY(sendfile(a, 77, NULL, 4));
    SAY(shutdown(a, SHUT_WR));
    SAY(sendfile(a, file, NULL, 4));
}

CASE(sendfile_nonblock, "sendfile(2): partial, then EAGAIN, on a non-blocking socket")
{
    int b, a = o_pair(&b), file = memfd_create("oracle", 0);
    SAY(ftruncate(file, 64 << 20));
    say_nonblock(a, 1);
    ssize_t n = sendfile(a, file, NULL, 64 << 20);
    printf("partial %d\n", n > 0 && n < 64 << 20);
    for (int i = 0; i < 100 && sendfile(a, file, NULL, 1 << 20) > 0; i++)
        say_sleep_ms(5);
    SAY(sendfile(a, file, NULL, 1 << 20));
}

CASE(splice_to_socket, "splice(2): from a pipe to a socket")
{
    char buf[16];
    int fds[2], b, a = o_pair(&b);
    SAY(pipe(fds));
    SAY(write(fds[1], "abcdef", 6));
    SAY(splice(fds[0], NULL, a, NULL, 4, 0));
    o_show_bytes("recv", buf, recv(b, buf, 4, MSG_WAITALL));
    SAY(splice(fds[0], NULL, a, NULL, 100, SPLICE_F_MOVE | SPLICE_F_MORE));
    SAY(send(a, "!", 1, 0));
    o_show_bytes("recv", buf, recv(b, buf, 3, MSG_WAITALL));
    SAY(splice(fds[0], NULL, a, NULL, 100, SPLICE_F_NONBLOCK));
    close(fds[1]);
    SAY(splice(fds[0], NULL, a, NULL, 100, 0));
}

CASE(splice_from_socket, "splice(2): from a socket to a pipe")
{
    char buf[16];
    int fds[2], b, a = o_pair(&b);
    SAY(pipe(fds));
    SAY(send(b, "abcdef", 6, 0));
    say_settle();
    SAY(splice(a, NULL, fds[1], NULL, 4, 0));
    o_show_bytes("pipe", buf, read(fds[0], buf, 16));
    SAY(splice(a, NULL, fds[1], NULL, 100, 0));
    o_show_bytes("pipe", buf, read(fds[0], buf, 16));
    say_nonblock(a, 1);
    SAY(splice(a, NULL, fds[1], NULL, 100, 0));
    SAY(shutdown(b, SHUT_WR));
    say_settle();
    SAY(splice(a, NULL, fds[1], NULL, 100, 0));
}

CASE(splice_errors, "splice(2): EINVAL without a pipe, ESPIPE for an offset of a socket or pipe")
{
    loff_t offset = 0;
    int fds[2], b, a = o_pair(&b), file = file_of("x"), fd = o_tcp();
    SAY(pipe(fds));
    SAY(write(fds[1], "abcdef", 6));
    SAY(splice(a, NULL, b, NULL, 4, 0));
    SAY(splice(a, NULL, file, NULL, 4, 0));
    SAY(splice(fds[0], NULL, a, &offset, 4, 0));
    SAY(splice(fds[0], &offset, a, NULL, 4, 0));
    SAY(splice(a, &offset, fds[1], NULL, 4, 0));
    SAY(splice(fds[0], NULL, a, NULL, 0, 0));
    SAY(splice(fds[0], NULL, a, NULL, 4, 0x100));
    SAY(splice(fd, NULL, fds[1], NULL, 4, 0));
    signal(SIGPIPE, SIG_IGN);
    SAY(splice(fds[0], NULL, fd, NULL, 4, 0));
    SAY(splice(fds[1], NULL, a, NULL, 4, 0));
    SAY(splice(a, NULL, fds[0], NULL, 4, 0));
}

CASE(splice_full_pipe, "splice(2): a full pipe is EAGAIN with SPLICE_F_NONBLOCK; nothing is lost")
{
    static char big[1 << 17];
    int fds[2], b, a = o_pair(&b);
    size_t moved = 0, got = 0;
    SAY(pipe(fds));
    SAY(fcntl(fds[1], F_SETPIPE_SZ, 4096) == 4096);
    pid_t pid = fork();
    if (pid == 0) {
        o_write_all(b, 20000);
        _exit(0);
    }
    while (got < 20000) {
        ssize_t n = splice(a, NULL, fds[1], NULL, 20000, SPLICE_F_NONBLOCK);
        if (n > 0)
            moved += (size_t)n;
        n = read(fds[0], big, moved > got ? sizeof(big) : 0);
        if (n > 0)
            got += (size_t)n;
    }
    printf("moved %zu got %zu\n", moved, got);
    waitpid(pid, NULL, 0);
}

CASE(splice_relay, "splice(2): a relay of two sockets through a pipe (haproxy)")
{
    int fds[2], b, a = o_pair(&b), d, c = o_pair(&d);
    SAY(pipe(fds));
    pid_t writer = fork();
    if (writer == 0) {
        o_write_all(b, 500000);
        _exit(0);
    }
    pid_t relay = fork();
    if (relay == 0) {
        size_t moved = 0;
        while (moved < 500000) {
            ssize_t n = splice(a, NULL, fds[1], NULL, 1 << 16, 0);
            for (ssize_t out = 0; n > 0 && out < n;) {
                ssize_t m = splice(fds[0], NULL, c, NULL, (size_t)(n - out), 0);
                if (m <= 0)
                    _exit(2);
                out += m;
            }
            if (n <= 0)
                _exit(1);
            moved += (size_t)n;
        }
        _exit(0);
    }
    printf("read %zu\n", o_read_all(d, 500000));
    int status;
    waitpid(relay, &status, 0);
    printf("relay %d\n", WEXITSTATUS(status));
    waitpid(writer, NULL, 0);
}

CASE(splice_others, "tee(2), vmsplice(2), copy_file_range(2) do not work on sockets")
{
    int fds[2], b, a = o_pair(&b), file = file_of("x");
    struct iovec iov = {"x", 1};
    SAY(pipe(fds));
    SAY(tee(fds[0], a, 4, 0));
    SAY(tee(a, fds[1], 4, 0));
    SAY(vmsplice(a, &iov, 1, 0));
    SAY(copy_file_range(file, NULL, a, NULL, 1, 0));
    SAY(copy_file_range(a, NULL, file, NULL, 1, 0));
}

CASE(fd_stat, "fstat(2): a socket is a socket")
{
    struct stat st;
    int b, a = o_pair(&b), fd = o_tcp();
    SAY(fstat(a, &st));
    printf("socket %d\n", S_ISSOCK(st.st_mode));
    SAY(fstat(fd, &st));
    printf("socket %d\n", S_ISSOCK(st.st_mode));
    SAY(fchmod(a, 0600));
    SAY(fsync(a));
    SAY(fdatasync(a));
    SAY(ftruncate(a, 0));
}

CASE(fd_stdio, "fdopen(3): stdio over a socket")
{
    char line[32] = "";
    int b, a = o_pair(&b);
    FILE *out = fdopen(a, "w"), *in = fdopen(b, "r");
    fprintf(out, "hello %d\n", 5);
    fflush(out);
    printf("%s", fgets(line, sizeof(line), in) ? line : "nothing\n");
    fclose(out);
    printf("end %d\n", fgets(line, sizeof(line), in) == NULL);
    fclose(in);
}
