/* SPDX-License-Identifier: Apache-2.0 */
/* Options of which more is to be seen than what option_table.c shows of each: socket(7). */
#include "tests/oracle/oracle.h"

#include <linux/filter.h>
#include <netinet/tcp.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

static void set(int fd, const char *text, int name, int value)
{
    printf("%s %d: ", text, value);
    SAY(setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value)));
}

static void attach(int fd)
{
    struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, UINT16_MAX)};
    const struct sock_fprog program = {.len = 1, .filter = all};
    SAY(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

CASE(option_lock_filter, "socket(7): SO_LOCK_FILTER: no filter is attached or detached any more")
{
    int b, a = o_pair(&b), fd = o_udp();
    set(a, "unlock", SO_LOCK_FILTER, 0);
    set(a, "lock", SO_LOCK_FILTER, 1);
    set(a, "lock", SO_LOCK_FILTER, 2);
    set(a, "unlock", SO_LOCK_FILTER, 0);
    o_show_int_option("locked", a, SOL_SOCKET, SO_LOCK_FILTER);
    attach(a);
    set(a, "detach", SO_DETACH_FILTER, 0);
    set(b, "detach", SO_DETACH_FILTER, 0);
    set(fd, "lock", SO_LOCK_FILTER, 1);
    attach(fd);
    set(fd, "detach", SO_DETACH_FILTER, 0);
}

CASE(option_lock_filter_accepted, "socket(7): what is accepted has its listener's SO_LOCK_FILTER")
{
    struct sockaddr_in at;
    int l = o_listener(&at), a = o_tcp();
    set(l, "lock", SO_LOCK_FILTER, 1);
    SAY(connect(a, SA(&at), sizeof(at)));
    int b = accept(l, NULL, NULL);
    o_show_int_option("locked", b, SOL_SOCKET, SO_LOCK_FILTER);
    o_show_int_option("locked", a, SOL_SOCKET, SO_LOCK_FILTER);
}

static void show_cpu(const char *text, int fd)
{
    int cpu = o_int_option(fd, SOL_SOCKET, SO_INCOMING_CPU);
    printf("%s: %s\n", text, cpu == -1 ? "none" : cpu < 0 || cpu >= 4096 ? "other" : "a processor");
}

CASE(option_incoming_cpu, "socket(7): SO_INCOMING_CPU tells which processor handles the packets")
{
    char buf[4];
    struct sockaddr_in at;
    int l = o_listener(&at), fresh = o_tcp(), y, x = o_udp_pair(&y);
    show_cpu("fresh", fresh);
    show_cpu("listener", l);
    SAY(connect(fresh, SA(&at), sizeof(at)));
    int b = accept(l, NULL, NULL);
    SAY(send(fresh, "ab", 2, 0));
    o_show_bytes("recv", buf, recv(b, buf, 4, 0));
    SAY(send(b, "cd", 2, 0));
    o_show_bytes("recv", buf, recv(fresh, buf, 4, 0));
    show_cpu("accepted", b);
    show_cpu("connected", fresh);
    show_cpu("datagrams", y);
    SAY(send(x, "ef", 2, 0));
    o_show_bytes("recv", buf, recv(y, buf, 4, 0));
    show_cpu("datagrams", y);
}

static void show_locks(int fd)
{
    o_show_int_option("locked", fd, SOL_SOCKET, SO_BUF_LOCK);
}

CASE(option_buf_lock, "socket(7): a size that was set is locked; SO_BUF_LOCK locks and unlocks it")
{
    struct sockaddr_in at;
    int l = o_listener(&at), a = o_tcp(), fd = o_udp();
    show_locks(l);
    set(l, "receive", SO_RCVBUF, 20000);
    show_locks(l);
    set(a, "send", SO_SNDBUF, 20000);
    show_locks(a);
    SAY(connect(a, SA(&at), sizeof(at)));
    int b = accept(l, NULL, NULL);
    show_locks(b);
    set(b, "send", SO_SNDBUF, 20000);
    show_locks(b);
    set(b, "lock", SO_BUF_LOCK, 1);
    show_locks(b);
    set(b, "lock", SO_BUF_LOCK, 0);
    show_locks(b);
    o_show_int_option("send", b, SOL_SOCKET, SO_SNDBUF);
    o_show_int_option("receive", b, SOL_SOCKET, SO_RCVBUF);
    set(b, "receive", SO_RCVBUF, 30000);
    show_locks(b);
    set(fd, "receive", SO_RCVBUF, 20000);
    set(fd, "send", SO_SNDBUF, 20000);
    show_locks(fd);
}

/* Writes until there is no room, reads it all: how much there was. */
static size_t fill_and_drain(int a, int b)
{
    static char buf[1 << 16];
    size_t written = 0, taken = 0;
    for (int dry = 0; dry < 5; dry++) {
        ssize_t n;
        while ((n = send(a, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
            written += (size_t)n;
            dry = 0;
        }
        say_sleep_ms(10);
    }
    while (taken < written) {
        ssize_t n = recv(b, buf, sizeof(buf), 0);
        if (n <= 0)
            break;
        taken += (size_t)n;
    }
    return taken;
}

/* The most of ten rounds: what grows by itself grows with use. */
static size_t most_held(int a, int b)
{
    size_t most = 0;
    for (int i = 0; i < 10; i++) {
        size_t n = fill_and_drain(a, b);
        most = n > most ? n : most;
    }
    return most;
}

CASE(option_buf_lock_holds, "socket(7): buffers whose size was set do not grow by themselves")
{
    struct sockaddr_in at;
    int l = o_listener(&at), a = o_tcp();
    set(l, "receive", SO_RCVBUF, 20000);
    set(a, "send", SO_SNDBUF, 20000);
    SAY(connect(a, SA(&at), sizeof(at)));
    int b = accept(l, NULL, NULL);
    size_t most = most_held(a, b);
    printf("some %d, not much %d\n", most > 10000, most < 1 << 20);
}

CASE(option_buf_lock_current, "SO_BUF_LOCK: buffers that are locked stay as large as they are")
{
    struct sockaddr_in at;
    int l = o_listener(&at), a = o_tcp();
    set(l, "lock", SO_BUF_LOCK, 2);
    set(a, "lock", SO_BUF_LOCK, 1);
    SAY(connect(a, SA(&at), sizeof(at)));
    int b = accept(l, NULL, NULL);
    show_locks(a);
    show_locks(b);
    int send = o_int_option(a, SOL_SOCKET, SO_SNDBUF),
        receive = o_int_option(b, SOL_SOCKET, SO_RCVBUF);
    size_t most = most_held(a, b);
    printf("some %d, not much %d\n", most > 10000, most < 1 << 20);
    printf("as before %d %d\n", o_int_option(a, SOL_SOCKET, SO_SNDBUF) == send,
           o_int_option(b, SOL_SOCKET, SO_RCVBUF) == receive);
}

#ifndef TCP_SAVE_SYN
#define TCP_SAVE_SYN  27
#define TCP_SAVED_SYN 28
#endif

static void show_syn(int fd, socklen_t room, in_port_t port)
{
    unsigned char syn[256] = {0};
    socklen_t len = room;
    if (SAY(getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len)) < 0) {
        printf("needs %s\n", len >= 40 && len <= 120 ? "as much as headers" : "something else");
        return;
    }
    printf("%s\n", len == 0 ? "none" : len >= 40 && len <= 120 ? "headers" : "something else");
    if (len == 0)
        return;
    const unsigned char *tcp = syn + (syn[0] & 15) * 4;
    printf("version %d, protocol %d, SYN %d, port %d, length %d\n", syn[0] >> 4, syn[9],
           tcp[13] & 0x17, memcmp(tcp + 2, &port, sizeof(port)) == 0,
           tcp + (tcp[12] >> 4) * 4 == syn + len);
}

CASE(option_saved_syn, "tcp(7): TCP_SAVE_SYN keeps the headers of the SYN for TCP_SAVED_SYN, once")
{
    struct sockaddr_in at;
    int on = 1, l = o_listener(&at), a = o_tcp(), other = o_tcp();
    SAY(setsockopt(l, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on)));
    SAY(connect(a, SA(&at), sizeof(at)));
    int b = accept(l, NULL, NULL);
    o_show_int_option("save", b, IPPROTO_TCP, TCP_SAVE_SYN);
    show_syn(l, 256, at.sin_port);
    show_syn(a, 256, at.sin_port);
    show_syn(b, 10, at.sin_port);
    show_syn(b, 256, at.sin_port);
    show_syn(b, 256, at.sin_port);
    on = 0;
    SAY(setsockopt(l, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on)));
    SAY(connect(other, SA(&at), sizeof(at)));
    show_syn(accept(l, NULL, NULL), 256, at.sin_port);
}
