/* SPDX-License-Identifier: Apache-2.0 */
/* ipv6(7): IPv6 sockets, and IPv4 through them. */
#include "tests/oracle/oracle.h"

static int listen6(struct sockaddr_in6 *at, int v6only)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (v6only)
        SAY(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)));
    if (SAY(bind(fd, SA(at), sizeof(*at))) < 0 || SAY(listen(fd, 8)) < 0)
        return -1;
    getsockname(fd, SA(at), &len);
    return fd;
}

static struct sockaddr_in6 mapped(in_port_t port)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = port};
    at.sin6_addr.s6_addr[10] = at.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&at.sin6_addr.s6_addr[12], &say_address.sin_addr, 4);
    return at;
}

CASE(v6_stream, "ipv6(7): streams over IPv6")
{
    char buf[8];
    struct sockaddr_in6 at = oracle_address6, name;
    socklen_t len = sizeof(name);
    int fd = listen6(&at, 0), c = socket(AF_INET6, SOCK_STREAM, 0);
    o_show_address("listener", SA(&at), sizeof(at));
    SAY(connect(c, SA(&at), sizeof(at)));
    int b = accept(fd, SA(&name), &len);
    o_show_address("peer", SA(&name), len);
    SAY(send(c, "six", 3, 0));
    o_show_bytes("recv", buf, recv(b, buf, 8, 0));
    SAY(getsockname(c, SA(&name), &len));
    o_show_address("name", SA(&name), len);
}

CASE(v6_datagram, "ipv6(7): datagrams over IPv6")
{
    char buf[8];
    struct sockaddr_in6 at = oracle_address6, from;
    socklen_t len = sizeof(at);
    int a = socket(AF_INET6, SOCK_DGRAM, 0), b = socket(AF_INET6, SOCK_DGRAM, 0);
    SAY(bind(b, SA(&at), sizeof(at)));
    SAY(getsockname(b, SA(&at), &len));
    SAY(sendto(a, "six", 3, 0, SA(&at), sizeof(at)));
    o_show_bytes("recv", buf, recvfrom(b, buf, 8, 0, SA(&from), &len));
    o_show_address("from", SA(&from), len);
}

CASE(v6_any_serves_v4,
     "ipv6(7): a wildcard listener takes IPv4 too, as mapped addresses (iperf3 -s)")
{
    char buf[8];
    struct sockaddr_in6 at = {.sin6_family = AF_INET6}, name;
    struct sockaddr_in four = say_address;
    socklen_t len = sizeof(name);
    int fd = listen6(&at, 0), c = o_tcp();
    four.sin_port = at.sin6_port;
    SAY(connect(c, SA(&four), sizeof(four)));
    int b = accept(fd, SA(&name), &len);
    o_show_address("peer", SA(&name), len);
    SAY(getsockname(b, SA(&name), &len));
    o_show_address("accepted", SA(&name), len);
    SAY(send(c, "four", 4, 0));
    o_show_bytes("recv", buf, recv(b, buf, 8, 0));
    at.sin6_addr = oracle_address6.sin6_addr;
    int d = socket(AF_INET6, SOCK_STREAM, 0);
    SAY(connect(d, SA(&at), sizeof(at)));
    len = sizeof(name);
    (void)accept(fd, SA(&name), &len);
    o_show_address("peer", SA(&name), len);
}

CASE(v6_v6only, "ipv6(7): IPV6_V6ONLY keeps IPv4 out")
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6};
    struct sockaddr_in four = say_address, any = {.sin_family = AF_INET};
    socklen_t len = sizeof(any);
    /* A port that is free for IPv4: to choose one for IPv6 alone, nobody looks at that. */
    int probe = o_tcp();
    bind(probe, SA(&any), sizeof(any));
    getsockname(probe, SA(&any), &len);
    close(probe);
    at.sin6_port = any.sin_port;
    int fd = listen6(&at, 1), c = o_tcp(), d = o_tcp();
    four.sin_port = at.sin6_port;
    SAY(connect(c, SA(&four), sizeof(four)));
    four.sin_addr.s_addr = INADDR_ANY;
    SAY(bind(d, SA(&four), sizeof(four)));
    close(fd);
}

CASE(v6_mapped_connect, "ipv6(7): an IPv6 socket connects to a mapped address")
{
    char buf[8];
    struct sockaddr_in at;
    int listener = o_listener(&at), c = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 six = mapped(at.sin_port), name;
    socklen_t len = sizeof(name);
    SAY(connect(c, SA(&six), sizeof(six)));
    SAY(getsockname(c, SA(&name), &len));
    o_show_address("name", SA(&name), len);
    SAY(getpeername(c, SA(&name), &len));
    o_show_address("peer", SA(&name), len);
    int b = accept(listener, NULL, NULL);
    SAY(send(b, "x", 1, 0));
    o_show_bytes("recv", buf, recv(c, buf, 8, 0));
}

CASE(v6_mapped_datagram, "ipv6(7): an IPv6 datagram socket sends to a mapped address")
{
    char buf[8];
    struct sockaddr_in at;
    int b = say_datagram(&at), a = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 six = mapped(at.sin_port);
    SAY(sendto(a, "x", 1, 0, SA(&six), sizeof(six)));
    o_show_bytes("recv", buf, recv(b, buf, 8, 0));
}

CASE(v6_mapped_v6only, "ipv6(7): a mapped address with IPV6_V6ONLY is ENETUNREACH")
{
    struct sockaddr_in at;
    int on = 1, listener = o_listener(&at), c = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 six = mapped(at.sin_port);
    SAY(setsockopt(c, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
    SAY(connect(c, SA(&six), sizeof(six)));
    close(listener);
}

CASE(v6_bind_conflict, "ipv6(7): the IPv6 wildcard and the IPv4 one conflict")
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    int fd = listen6(&at, 0), d = o_tcp();
    four.sin_port = at.sin6_port;
    SAY(bind(d, SA(&four), sizeof(four)));
    close(fd);
}

CASE(v6_lengths, "ipv6(7): an address of 24 bytes is taken (RFC 2133), less is EINVAL")
{
    struct sockaddr_in6 at = oracle_address6;
    int a = socket(AF_INET6, SOCK_STREAM, 0), b = socket(AF_INET6, SOCK_STREAM, 0);
    SAY(bind(a, SA(&at), 24));
    SAY(bind(b, SA(&at), 23));
    SAY(bind(b, SA(&say_address), sizeof(say_address)));
    SAY(connect(b, SA(&say_address), sizeof(say_address)));
}

CASE(v6_refused, "ipv6(7): a refused connect")
{
    struct sockaddr_in6 at = oracle_address6;
    int fd = listen6(&at, 0), c = socket(AF_INET6, SOCK_STREAM, 0);
    close(fd);
    SAY(connect(c, SA(&at), sizeof(at)));
}

CASE(v6_pktinfo, "ipv6(7): IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS")
{
    char buf[8] = "", control[256];
    int on = 1;
    struct sockaddr_in6 at = oracle_address6;
    socklen_t len = sizeof(at);
    int a = socket(AF_INET6, SOCK_DGRAM, 0), b = socket(AF_INET6, SOCK_DGRAM, 0);
    SAY(bind(b, SA(&at), sizeof(at)));
    SAY(getsockname(b, SA(&at), &len));
    SAY(setsockopt(b, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)));
    SAY(setsockopt(b, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)));
    SAY(setsockopt(b, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on)));
    SAY(sendto(a, "six", 3, 0, SA(&at), sizeof(at)));
    struct iovec iov = {buf, 8};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    SAY(recvmsg(b, &msg, 0));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        int number;
        struct in6_pktinfo info;
        memcpy(&number, CMSG_DATA(c), sizeof(number));
        printf("level %d type %d len %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
        if (c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            printf(" to me %d index %d\n",
                   memcmp(&info.ipi6_addr, &oracle_address6.sin6_addr, 16) == 0,
                   info.ipi6_ifindex > 0);
        } else {
            printf(" %d\n", number);
        }
    }
}

CASE(v6_mapped_pktinfo, "ip(7): IP_PKTINFO on an IPv6 socket tells of IPv4 datagrams")
{
    char buf[8] = "", control[256];
    int on = 1;
    struct sockaddr_in6 at = {.sin6_family = AF_INET6};
    socklen_t len = sizeof(at);
    int a = o_udp(), b = socket(AF_INET6, SOCK_DGRAM, 0);
    SAY(bind(b, SA(&at), sizeof(at)));
    SAY(getsockname(b, SA(&at), &len));
    SAY(setsockopt(b, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)));
    SAY(setsockopt(b, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
    struct sockaddr_in four = say_address;
    four.sin_port = at.sin6_port;
    SAY(sendto(a, "four", 4, 0, SA(&four), sizeof(four)));
    struct iovec iov = {buf, 8};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    SAY(recvmsg(b, &msg, 0));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
        printf("level %d type %d len %zu\n", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
}
