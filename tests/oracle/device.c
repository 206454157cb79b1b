/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that are bound to an interface: socket(7), SO_BINDTODEVICE and SO_BINDTOIFINDEX. */
#include "tests/oracle/oracle.h"

#include <linux/capability.h>
#include <net/if.h>
#include <sys/syscall.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

/* The interface that has the address: its number, and its name in `name`. */
static int find_interface(char *name)
{
    struct ifreq list[16];
    struct ifconf conf = {.ifc_len = sizeof(list), .ifc_req = list};
    int fd = o_udp();
    if (bind(fd, SA(&say_address), sizeof(say_address)) < 0 || ioctl(fd, SIOCGIFCONF, &conf) < 0)
        exit(1);
    for (int i = 0; i < conf.ifc_len / (int)sizeof(list[0]); i++) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&list[i].ifr_addr;
        if (in->sin_addr.s_addr != say_address.sin_addr.s_addr)
            continue;
        strcpy(name, list[i].ifr_name);
        if (ioctl(fd, SIOCGIFINDEX, &list[i]) < 0)
            exit(1);
        close(fd);
        return list[i].ifr_ifindex;
    }
    exit(1);
}

static void bind_to(int fd, int index)
{
    SAY(setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof(index)));
}

static void show(int fd, int index, const char *name)
{
    char got[IFNAMSIZ + 4] = "";
    socklen_t len = sizeof(got);
    int number = o_int_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
    printf("index: %s\n", number == index ? "the interface's" : number ? "other" : "none");
    SAY(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, got, &len));
    printf("name: %s\n", len == 0 ? "none" : len == strlen(name) + 1 ? "whole" : "cut");
    if (len)
        printf("same %d\n", strcmp(got, name) == 0);
    len = 4;
    SAY(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, got, &len));
}

static void by_name_and_number(int type)
{
    char name[IFNAMSIZ] = "";
    int index = find_interface(name), fd = socket(AF_INET, type, 0);
    show(fd, index, name);
    bind_to(fd, index);
    show(fd, index, name);
    bind_to(fd, -1);
    show(fd, index, name);
    bind_to(fd, 0);
    show(fd, index, name);
    SAY(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)));
    show(fd, index, name);
    SAY(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "none77", 6));
    show(fd, index, name);
    SAY(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
    show(fd, index, name);
    bind_to(fd, index);
    SAY(bind(fd, SA(&say_address), sizeof(say_address)));
    show(fd, index, name);
}

CASE(device_stream, "socket(7): a stream is bound to an interface by its name or number")
{
    by_name_and_number(SOCK_STREAM);
}

CASE(device_datagram, "socket(7): a datagram socket is bound to an interface likewise")
{
    by_name_and_number(SOCK_DGRAM);
}

/* What a host sends to itself counts as having come by the interface that has the address. */

CASE(device_listener, "socket(7): a listener that is bound to an interface, and who connects")
{
    char name[IFNAMSIZ] = "", buf[4];
    struct sockaddr_in at;
    int index = find_interface(name), l = o_listener(&at), a = o_tcp(), b = o_tcp();
    bind_to(l, index);
    bind_to(b, index);
    SAY(connect(a, SA(&at), sizeof(at)));
    SAY(connect(b, SA(&at), sizeof(at)));
    for (int i = 0; i < 2; i++) {
        int from = i ? b : a, c = accept(l, NULL, NULL);
        SAY(send(from, "ab", 2, 0));
        o_show_bytes("recv", buf, recv(c, buf, 4, 0));
        show(c, index, name);
    }
}

CASE(device_receiver, "socket(7): datagrams to a socket that is bound to an interface")
{
    char name[IFNAMSIZ] = "", buf[4];
    struct sockaddr_in at;
    int index = find_interface(name), a = o_udp(), b = say_datagram(&at);
    bind_to(b, index);
    SAY(sendto(a, "one", 3, 0, SA(&at), sizeof(at)));
    o_show_bytes("recv", buf, recv(b, buf, 4, 0));
    bind_to(a, index);
    SAY(sendto(a, "two", 3, 0, SA(&at), sizeof(at)));
    o_show_bytes("recv", buf, recv(b, buf, 4, 0));
    SAY(connect(a, SA(&at), sizeof(at)));
    SAY(send(a, "3", 1, 0));
    o_show_bytes("recv", buf, recv(b, buf, 4, 0));
}

CASE(device_rights, "socket(7), Linux 5.7: to bind it to another one takes CAP_NET_RAW")
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    char name[IFNAMSIZ] = "";
    int index = find_interface(name), fd = say_datagram(&(struct sockaddr_in){0});
    SAY(syscall(SYS_capset, &head, none));
    bind_to(fd, 0);
    bind_to(fd, index);
    bind_to(fd, 0);
    bind_to(fd, index);
    SAY(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
    show(fd, index, name);
}
