/* SPDX-License-Identifier: Apache-2.0 */
/* Options of which more is to be seen than what option_table.c shows of each: socket(7). */
#include "tests/oracle/oracle.h"

#include <linux/filter.h>

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
