/* SPDX-License-Identifier: Apache-2.0 */
/* udp(7): datagrams. */
#include "tests/oracle/oracle.h"

CASE(udp_sendto, "udp(7): sendto and recvfrom; the source address is the sender's")
{
    char buf[16];
    struct sockaddr_in a_at, b_at, from;
    socklen_t len = sizeof(from);
    int a = say_datagram(&a_at), b = say_datagram(&b_at);
    SAY(sendto(a, "hello", 5, 0, SA(&b_at), sizeof(b_at)));
    o_show_bytes("recv", buf, recvfrom(b, buf, 16, 0, SA(&from), &len));
    o_show_address("from", SA(&from), len);
    printf("a's port: %d\n", from.sin_port == a_at.sin_port);
}

CASE(udp_boundaries, "udp(7): a receive returns one datagram, never two")
{
    char buf[16];
    int b, a = o_udp_pair(&b);
    SAY(send(a, "one", 3, 0));
    SAY(send(a, "second", 6, 0));
    SAY(write(a, "3", 1));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
    o_show_bytes("recv", buf, read(b, buf, 16));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
    SAY(recv(b, buf, 16, MSG_DONTWAIT));
}

CASE(udp_zero_length, "udp(7): datagrams of length 0 are sent and received")
{
    char buf[16];
    int b, a = o_udp_pair(&b);
    SAY(send(a, "", 0, 0));
    say_events("readable", (uint32_t)say_await(b, POLLIN));
    SAY(recv(b, buf, 16, 0));
    SAY(recv(b, buf, 16, MSG_DONTWAIT));
    SAY(write(a, "", 0));
    say_settle();
    SAY(recv(b, buf, 16, MSG_DONTWAIT));
    SAY(send(a, "x", 1, 0));
    say_settle();
    SAY(recv(b, buf, 0, 0));
    SAY(recv(b, buf, 16, MSG_DONTWAIT));
}

CASE(udp_zero_length_iov, "sendmsg(2): no iovec is a datagram of length 0")
{
    char buf[4];
    int b, a = o_udp_pair(&b);
    struct msghdr msg = {0};
    SAY(sendmsg(a, &msg, 0));
    say_settle();
    SAY(recv(b, buf, 4, MSG_DONTWAIT));
    struct iovec iov = {"", 0};
    SAY(writev(a, &iov, 1));
    say_settle();
    SAY(recv(b, buf, 4, MSG_DONTWAIT));
    SAY(writev(a, &iov, 0));
    say_settle();
    SAY(recv(b, buf, 4, MSG_DONTWAIT));
}

CASE(udp_one_per_sendmsg, "udp(7): one datagram per call, whatever the iovec")
{
    char buf[16];
    int b, a = o_udp_pair(&b);
    struct iovec iov[3] = {{"ab", 2}, {"cde", 3}, {"f", 1}};
    SAY(writev(a, iov, 3));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    SAY(sendmsg(a, &msg, 0));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
}

CASE(udp_trunc, "recv(2): MSG_TRUNC returns the real length, msg_flags has MSG_TRUNC")
{
    char buf[16];
    struct iovec iov = {buf, 3};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int b, a = o_udp_pair(&b);
    SAY(send(a, "abcdef", 6, 0));
    SAY(recv(b, buf, 3, MSG_TRUNC | MSG_PEEK));
    o_show_bytes("cut", buf, recv(b, buf, 3, 0));
    SAY(recv(b, buf, 3, MSG_DONTWAIT));
    SAY(send(a, "abcdef", 6, 0));
    SAY(recvmsg(b, &msg, 0));
    printf("flags %x\n", msg.msg_flags);
    SAY(send(a, "abc", 3, 0));
    SAY(recvmsg(b, &msg, 0));
    printf("flags %x\n", msg.msg_flags);
    SAY(send(a, "abcdef", 6, 0));
    SAY(recvmsg(b, &msg, MSG_TRUNC));
    printf("flags %x\n", msg.msg_flags);
}

CASE(udp_peek, "recv(2): MSG_PEEK leaves the datagram")
{
    char buf[16];
    int b, a = o_udp_pair(&b);
    SAY(send(a, "abcdef", 6, 0));
    o_show_bytes("peek", buf, recv(b, buf, 16, MSG_PEEK));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
    SAY(recv(b, buf, 16, MSG_DONTWAIT));
}

CASE(udp_waitall, "recv(2): MSG_WAITALL has no effect on datagrams")
{
    char buf[16];
    int b, a = o_udp_pair(&b);
    SAY(send(a, "abc", 3, 0));
    o_show_bytes("recv", buf, recv(b, buf, 16, MSG_WAITALL));
}

CASE(udp_largest, "udp(7): 65507 bytes are the most; more is EMSGSIZE")
{
    static char big[70000], got[70000];
    int b, a = o_udp_pair(&b);
    memset(big, 'x', sizeof(big));
    SAY(send(a, big, 65508, 0));
    SAY(send(a, big, 70000, 0));
    SAY(send(a, big, 65507, 0));
    SAY(recv(b, got, sizeof(got), 0));
    printf("same %d\n", memcmp(big, got, 65507) == 0);
}

CASE(udp_edestaddrreq, "send(2): EDESTADDRREQ: no peer")
{
    struct sockaddr_in at;
    int a = o_udp(), b = say_datagram(&at);
    SAY(send(a, "x", 1, 0));
    SAY(write(a, "x", 1));
    SAY(send(b, "x", 1, 0));
    SAY(sendto(b, "x", 1, 0, NULL, 0));
}

CASE(udp_sendto_connected,
     "udp(7): sendto with an address on a connected socket goes there, and keeps the peer")
{
    char buf[8];
    struct sockaddr_in c_at;
    int b, a = o_udp_pair(&b), c = say_datagram(&c_at);
    SAY(sendto(a, "to c", 4, 0, SA(&c_at), sizeof(c_at)));
    o_show_bytes("c", buf, recv(c, buf, 8, 0));
    SAY(send(a, "to b", 4, 0));
    o_show_bytes("b", buf, recv(b, buf, 8, 0));
}

CASE(udp_connected_filters, "connect(2): a connected datagram socket receives from its peer only")
{
    char buf[8];
    struct sockaddr_in at, c_at;
    socklen_t len = sizeof(at);
    int b, a = o_udp_pair(&b), c = say_datagram(&c_at);
    getsockname(a, SA(&at), &len);
    SAY(sendto(c, "other", 5, 0, SA(&at), sizeof(at)));
    SAY(send(b, "peer", 4, 0));
    o_show_bytes("recv", buf, recv(a, buf, 8, 0));
    SAY(recv(a, buf, 8, MSG_DONTWAIT));
}

CASE(udp_connect_unspec, "connect(2): AF_UNSPEC dissolves the association")
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    char buf[8];
    int b, a = o_udp_pair(&b);
    SAY(connect(a, &none, sizeof(none)));
    SAY(getpeername(a, SA(&at), &len));
    SAY(send(a, "x", 1, 0));
    SAY(connect(a, &none, sizeof(none)));
    SAY(getsockname(a, SA(&at), &len));
    o_show_address("name", SA(&at), len);
    SAY(recv(b, buf, 8, MSG_DONTWAIT));
}

CASE(udp_connect_again, "connect(2): a datagram socket may change its peer")
{
    char buf[8];
    struct sockaddr_in c_at, name;
    socklen_t len = sizeof(name);
    int b, a = o_udp_pair(&b), c = say_datagram(&c_at);
    SAY(connect(a, SA(&c_at), sizeof(c_at)));
    SAY(getpeername(a, SA(&name), &len));
    printf("c's: %d\n", name.sin_port == c_at.sin_port);
    SAY(send(a, "x", 1, 0));
    o_show_bytes("c", buf, recv(c, buf, 8, 0));
    close(b);
}

CASE(udp_connect_name, "udp(7): connect chooses a local address and port")
{
    struct sockaddr_in at, name;
    socklen_t len = sizeof(name);
    int a = o_udp(), b = say_datagram(&at);
    SAY(connect(a, SA(&at), sizeof(at)));
    SAY(getsockname(a, SA(&name), &len));
    o_show_address("name", SA(&name), len);
    SAY(getpeername(a, SA(&name), &len));
    o_show_address("peer", SA(&name), len);
    o_show_poll("connected", a, 0);
    close(b);
}

CASE(udp_autobind, "udp(7): the first send gives a port")
{
    struct sockaddr_in at, name;
    socklen_t len = sizeof(name);
    int a = o_udp(), b = say_datagram(&at);
    SAY(sendto(a, "x", 1, 0, SA(&at), sizeof(at)));
    SAY(getsockname(a, SA(&name), &len));
    printf("has a port: %d\n", name.sin_port != 0);
    SAY(bind(a, SA(&say_address), sizeof(say_address)));
    close(b);
}

CASE(udp_refused, "udp(7): ICMP errors are told to a connected socket, once")
{
    char buf[4];
    struct sockaddr_in at = o_nobody();
    int a = o_udp();
    SAY(connect(a, SA(&at), sizeof(at)));
    SAY(send(a, "x", 1, 0));
    say_settle();
    o_show_poll("refused", a, 0);
    SAY(recv(a, buf, 4, MSG_DONTWAIT));
    SAY(recv(a, buf, 4, MSG_DONTWAIT));
    SAY(send(a, "x", 1, 0));
    say_settle();
    SAY(send(a, "x", 1, 0));
    say_settle();
    o_show_int_option("SO_ERROR", a, SOL_SOCKET, SO_ERROR);
    o_show_int_option("SO_ERROR", a, SOL_SOCKET, SO_ERROR);
}

CASE(udp_refused_unconnected, "udp(7): ICMP errors are not told to an unconnected socket")
{
    char buf[4];
    struct sockaddr_in at = o_nobody();
    int a = o_udp();
    SAY(sendto(a, "x", 1, 0, SA(&at), sizeof(at)));
    say_settle();
    SAY(recv(a, buf, 4, MSG_DONTWAIT));
    o_show_int_option("SO_ERROR", a, SOL_SOCKET, SO_ERROR);
}

CASE(udp_recvmmsg, "recvmmsg(2): several datagrams in one call")
{
    char buf[4][8] = {""};
    struct iovec iov[4];
    struct mmsghdr msgs[4];
    struct sockaddr_in from[4];
    memset(msgs, 0, sizeof(msgs));
    for (int i = 0; i < 4; i++) {
        iov[i] = (struct iovec){buf[i], 8};
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
                                          .msg_iovlen = 1,
                                          .msg_name = &from[i],
                                          .msg_namelen = sizeof(from[i])};
    }
    int b, a = o_udp_pair(&b);
    SAY(send(a, "a", 1, 0));
    SAY(send(a, "", 0, 0));
    SAY(send(a, "ccc", 3, 0));
    say_settle();
    SAY(recvmmsg(b, msgs, 4, MSG_WAITFORONE, NULL));
    for (int i = 0; i < 3; i++)
        printf("%u namelen %u flags %x\n", msgs[i].msg_len, msgs[i].msg_hdr.msg_namelen,
               msgs[i].msg_hdr.msg_flags);
    SAY(recvmmsg(b, msgs, 4, MSG_DONTWAIT, NULL));
}

CASE(udp_recvmmsg_timeout, "recvmmsg(2): the timeout is looked at after each datagram")
{
    char buf[8] = "";
    struct iovec iov = {buf, 8};
    struct mmsghdr msgs[2];
    struct timespec ts = {.tv_nsec = 1};
    memset(msgs, 0, sizeof(msgs));
    msgs[0].msg_hdr = msgs[1].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
    int b, a = o_udp_pair(&b);
    SAY(send(a, "a", 1, 0));
    SAY(send(a, "b", 1, 0));
    say_settle();
    SAY(recvmmsg(b, msgs, 2, 0, &ts));
    ts.tv_nsec = 2000000000;
    SAY(recvmmsg(b, msgs, 2, 0, &ts));
    ts.tv_nsec = -1;
    SAY(recvmmsg(b, msgs, 2, 0, &ts));
}

CASE(udp_sendmmsg, "sendmmsg(2): several datagrams, each its own destination")
{
    char buf[8];
    struct sockaddr_in x_at, y_at;
    int a = o_udp(), x = say_datagram(&x_at), y = say_datagram(&y_at);
    struct iovec iov[2] = {{"to x", 4}, {"to y!", 5}};
    struct mmsghdr msgs[2];
    memset(msgs, 0, sizeof(msgs));
    msgs[0].msg_hdr = (struct msghdr){
        .msg_iov = &iov[0], .msg_iovlen = 1, .msg_name = &x_at, .msg_namelen = sizeof(x_at)};
    msgs[1].msg_hdr = (struct msghdr){
        .msg_iov = &iov[1], .msg_iovlen = 1, .msg_name = &y_at, .msg_namelen = sizeof(y_at)};
    SAY(sendmmsg(a, msgs, 2, 0));
    printf("%u %u\n", msgs[0].msg_len, msgs[1].msg_len);
    o_show_bytes("x", buf, recv(x, buf, 8, 0));
    o_show_bytes("y", buf, recv(y, buf, 8, 0));
    msgs[1].msg_hdr.msg_namelen = 3;
    SAY(sendmmsg(a, msgs, 2, 0));
    SAY(sendmmsg(a, msgs + 1, 1, 0));
}

CASE(udp_shutdown, "shutdown(2) on a connected datagram socket")
{
    char buf[4];
    int b, a = o_udp_pair(&b);
    SAY(shutdown(a, SHUT_WR));
    SAY(send(a, "x", 1, MSG_NOSIGNAL));
    SAY(send(b, "y", 1, 0));
    o_show_bytes("recv", buf, recv(a, buf, 4, 0));
    o_show_poll("shut", a, 0);
    SAY(shutdown(a, SHUT_RD));
    SAY(recv(a, buf, 4, 0));
    o_show_poll("shut", a, 0);
}

CASE(udp_more, "udp(7): MSG_MORE collects one datagram")
{
    char buf[16];
    int b, a = o_udp_pair(&b);
    SAY(send(a, "ab", 2, MSG_MORE));
    say_settle();
    SAY(recv(b, buf, 16, MSG_DONTWAIT));
    SAY(send(a, "cd", 2, MSG_MORE));
    SAY(send(a, "ef", 2, 0));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
    SAY(recv(b, buf, 16, MSG_DONTWAIT));
}

CASE(udp_cork, "udp(7): UDP_CORK collects one datagram until it is cleared")
{
    char buf[16];
    int on = 1, off = 0, b, a = o_udp_pair(&b);
    SAY(setsockopt(a, IPPROTO_UDP, 1, &on, sizeof(on)));
    SAY(send(a, "ab", 2, 0));
    SAY(send(a, "cd", 2, 0));
    say_settle();
    SAY(recv(b, buf, 16, MSG_DONTWAIT));
    SAY(setsockopt(a, IPPROTO_UDP, 1, &off, sizeof(off)));
    o_show_bytes("recv", buf, recv(b, buf, 16, 0));
}

CASE(udp_oob, "send(2): EOPNOTSUPP for MSG_OOB on datagrams")
{
    char buf[4];
    int b, a = o_udp_pair(&b);
    SAY(send(a, "x", 1, MSG_OOB));
    SAY(recv(b, buf, 4, MSG_OOB | MSG_DONTWAIT));
    SAY(recv(b, buf, 4, MSG_ERRQUEUE));
}

CASE(udp_port_zero, "udp(7): EINVAL to port 0")
{
    struct sockaddr_in at = say_address;
    int a = o_udp();
    SAY(sendto(a, "x", 1, 0, SA(&at), sizeof(at)));
}

CASE(udp_name_lengths, "sendto(2): EINVAL for a short address, EAFNOSUPPORT for another family")
{
    struct sockaddr_in at;
    int a = o_udp(), b = say_datagram(&at);
    SAY(sendto(a, "x", 1, 0, SA(&at), 8));
    SAY(sendto(a, "x", 1, 0, SA(&at), 0));
    SAY(sendto(a, "x", 1, 0, SA(&at), 15));
    SAY(sendto(a, "x", 1, 0, SA(&at), 4000));
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    SAY(sendto(a, "x", 1, 0, SA(&six), sizeof(six)));
    at.sin_family = AF_UNSPEC;
    SAY(sendto(a, "x", 1, 0, SA(&at), sizeof(at)));
    close(b);
}

CASE(udp_broadcast, "socket(7): EACCES to a broadcast address without SO_BROADCAST")
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9)};
    int on = 1, a = o_udp();
    at.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    SAY(bind(a, SA(&say_address), sizeof(say_address)));
    SAY(sendto(a, "x", 1, 0, SA(&at), sizeof(at)));
    SAY(setsockopt(a, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
    at.sin_addr.s_addr = htonl(ntohl(say_address.sin_addr.s_addr) | 255);
    SAY(sendto(a, "x", 1, 0, SA(&at), sizeof(at)));
}

static void show_control(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        printf("level %d type %d len %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            printf(" to ADDRESS: %d spec %d index %d",
                   info.ipi_addr.s_addr == say_address.sin_addr.s_addr,
                   info.ipi_spec_dst.s_addr == say_address.sin_addr.s_addr, info.ipi_ifindex > 0);
        } else if (c->cmsg_type == IP_TTL) {
            int ttl;
            memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
            printf(" ttl %d", ttl);
        } else if (c->cmsg_type == IP_TOS) {
            printf(" tos %d", *(unsigned char *)CMSG_DATA(c));
        }
        printf("\n");
    }
    printf("controllen %zu flags %x\n", msg->msg_controllen, msg->msg_flags);
}

static void receive_control(int fd, size_t room)
{
    char buf[16] = "", control[256];
    memset(control, 0, sizeof(control));
    struct iovec iov = {buf, 16};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room};
    SAY(recvmsg(fd, &msg, 0));
    show_control(&msg);
}

CASE(udp_pktinfo, "ip(7): IP_PKTINFO tells where a datagram was sent to")
{
    int on = 1, b, a = o_udp_pair(&b);
    SAY(setsockopt(b, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
    SAY(send(a, "x", 1, 0));
    receive_control(b, 256);
    SAY(send(a, "x", 1, 0));
    receive_control(b, 16);
    SAY(send(a, "x", 1, 0));
    receive_control(b, 20);
    SAY(send(a, "x", 1, 0));
    receive_control(b, 0);
}

CASE(udp_recv_ttl_tos, "ip(7): IP_RECVTTL and IP_RECVTOS tell of the header")
{
    int on = 1, ttl = 33, tos = 0x48, b, a = o_udp_pair(&b);
    SAY(setsockopt(b, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)));
    SAY(setsockopt(b, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)));
    SAY(send(a, "x", 1, 0));
    receive_control(b, 256);
    SAY(setsockopt(a, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
    SAY(setsockopt(a, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)));
    SAY(send(a, "x", 1, 0));
    receive_control(b, 256);
    SAY(setsockopt(b, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
    SAY(send(a, "x", 1, 0));
    receive_control(b, 256);
}

CASE(udp_send_cmsg, "ip(7): IP_TTL and IP_TOS as ancillary data of one datagram")
{
    int on = 1, b, a = o_udp_pair(&b), ttl = 21, tos = 8;
    char control[CMSG_SPACE(sizeof(int)) * 2];
    struct iovec iov = {"x", 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    memset(control, 0, sizeof(control));
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(ttl)), IPPROTO_IP, IP_TTL};
    memcpy(CMSG_DATA(c), &ttl, sizeof(ttl));
    c = CMSG_NXTHDR(&msg, c);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(tos)), IPPROTO_IP, IP_TOS};
    memcpy(CMSG_DATA(c), &tos, sizeof(tos));
    SAY(setsockopt(b, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)));
    SAY(setsockopt(b, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)));
    SAY(sendmsg(a, &msg, 0));
    receive_control(b, 256);
    ttl = 300;
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &ttl, sizeof(ttl));
    SAY(sendmsg(a, &msg, 0));
    ttl = 0;
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &ttl, sizeof(ttl));
    SAY(sendmsg(a, &msg, 0));
    CMSG_FIRSTHDR(&msg)->cmsg_type = 77;
    SAY(sendmsg(a, &msg, 0));
}

CASE(udp_send_pktinfo, "ip(7): IP_PKTINFO on send chooses the source address")
{
    char buf[8], control[CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct sockaddr_in at, from;
    int a = o_udp(), b = say_datagram(&at);
    struct in_pktinfo info = {.ipi_spec_dst = say_address.sin_addr};
    struct iovec iov = {"x", 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_name = &at,
                         .msg_namelen = sizeof(at),
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    memset(control, 0, sizeof(control));
    *CMSG_FIRSTHDR(&msg) = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &info, sizeof(info));
    SAY(sendmsg(a, &msg, 0));
    socklen_t len = sizeof(from);
    SAY(recvfrom(b, buf, 8, 0, SA(&from), &len));
    o_show_address("from", SA(&from), len);
}

CASE(udp_gso_option, "udp(7): UDP_SEGMENT and UDP_GRO")
{
    int v = 500, on = 1, b, a = o_udp_pair(&b);
    static char big[1500], got[1500];
    SAY(setsockopt(a, IPPROTO_UDP, 103, &v, sizeof(v)));
    SAY(send(a, big, 1500, 0));
    say_settle();
    for (int i = 0; i < 3; i++)
        SAY(recv(b, got, sizeof(got), MSG_DONTWAIT));
    SAY(setsockopt(b, IPPROTO_UDP, 104, &on, sizeof(on)));
    SAY(send(a, big, 1500, 0));
    SAY(send(a, big, 300, 0));
    say_settle();
    for (int i = 0; i < 3; i++)
        SAY(recv(b, got, sizeof(got), MSG_DONTWAIT));
}

static void send_segments(int a, int b, int segment, size_t len)
{
    static char big[70000], got[70000];
    long n = 0, bytes = 0;
    printf("%zu bytes by %d\n", len, segment);
    SAY(setsockopt(a, IPPROTO_UDP, 103, &segment, sizeof(segment)));
    SAY(send(a, big, len, 0));
    say_settle();
    for (ssize_t r; (r = recv(b, got, sizeof(got), MSG_DONTWAIT)) >= 0; n++)
        bytes += r;
    printf("%ld datagrams, %ld bytes\n", n, bytes);
}

CASE(udp_gso_limits, "udp(7): UDP_SEGMENT: at most 128 segments, and no more than a datagram holds")
{
    int b, a = o_udp_pair(&b);
    send_segments(a, b, 1, 128);
    send_segments(a, b, 1, 129);
    send_segments(a, b, 500, 64000);
    send_segments(a, b, 500, 64001);
    send_segments(a, b, 1000, 65507);
    send_segments(a, b, 1000, 65508);
    send_segments(a, b, 500, 500);
    send_segments(a, b, 500, 0);
    send_segments(a, b, 0, 3000);
}

/* One sendmsg with ancillary data of the UDP level. */
static void send_with(int a, size_t len, int type, const void *value, size_t size)
{
    char big[3000] = "", control[CMSG_SPACE(8)] = {0};
    struct iovec iov = {big, len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = CMSG_SPACE(size)};
    *CMSG_FIRSTHDR(&msg) = (struct cmsghdr){CMSG_LEN(size), IPPROTO_UDP, type};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), value, size);
    SAY(sendmsg(a, &msg, 0));
}

CASE(udp_gso_control, "udp(7): UDP_SEGMENT by message goes before the socket's; UDP_GRO tells it")
{
    const uint16_t segment = 700, none = 0;
    const int wide = 700, on = 1;
    static char got[3000];
    char control[200];
    int b, a = o_udp_pair(&b);
    SAY(setsockopt(b, IPPROTO_UDP, 104, &on, sizeof(on)));
    SAY(setsockopt(b, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)));
    send_with(a, 1500, 103, &segment, sizeof(segment));
    send_with(a, 1500, 103, &wide, sizeof(wide));
    send_with(a, 1500, 103, &segment, 1);
    send_with(a, 1500, 104, &wide, sizeof(wide));
    send_with(a, 1500, 103, &none, sizeof(none));
    say_settle();
    for (int i = 0; i < 2; i++) {
        struct iovec iov = {got, sizeof(got)};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
        SAY(recvmsg(b, &msg, MSG_DONTWAIT));
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
            int v = 0;
            memcpy(&v, CMSG_DATA(c), sizeof(v));
            printf("level %d type %d len %zu: %d\n", c->cmsg_level, c->cmsg_type,
                   (size_t)c->cmsg_len, v);
        }
    }
}

CASE(udp_multicast_loop, "ip(7): a group's members get what is sent to it, the sender's host too")
{
    char buf[8];
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    struct ip_mreqn group = {.imr_multiaddr.s_addr = htonl(0xef010203),
                             .imr_address = say_address.sin_addr};
    int a = o_udp(), b = o_udp();
    SAY(bind(b, SA(&at), sizeof(at)));
    SAY(getsockname(b, SA(&at), &len));
    SAY(setsockopt(b, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
    SAY(setsockopt(b, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
    SAY(setsockopt(a, IPPROTO_IP, IP_MULTICAST_IF, &say_address.sin_addr, 4));
    at.sin_addr = group.imr_multiaddr;
    SAY(sendto(a, "group", 5, 0, SA(&at), sizeof(at)));
    say_settle();
    o_show_bytes("recv", buf, recv(b, buf, 8, MSG_DONTWAIT));
    SAY(setsockopt(b, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof(group)));
    SAY(setsockopt(b, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof(group)));
    group.imr_multiaddr.s_addr = htonl(0x0a000001);
    SAY(setsockopt(b, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
}

CASE(udp_rcvtimeo, "socket(7): SO_RCVTIMEO on datagrams")
{
    char buf[4];
    struct timeval tv = {.tv_usec = 80000};
    int b, a = o_udp_pair(&b);
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    long begin = say_now_ms();
    SAY(recv(a, buf, 4, 0));
    o_show_time("took", begin, 75, 800);
}

CASE(udp_eintr, "recv(2): EINTR on datagrams")
{
    char buf[4];
    int b, a = o_udp_pair(&b);
    o_signal_in(60, 0);
    SAY(recv(a, buf, 4, 0));
}

CASE(udp_self, "udp(7): a datagram sent to oneself")
{
    char buf[4];
    struct sockaddr_in at;
    int a = say_datagram(&at);
    SAY(sendto(a, "me", 2, 0, SA(&at), sizeof(at)));
    o_show_bytes("recv", buf, recv(a, buf, 4, 0));
}

CASE(udp_overflow, "udp(7): datagrams beyond the receive buffer are dropped; later ones come again")
{
    static char big[8000];
    int n = 0, size = 8192, b, a = o_udp_pair(&b);
    setsockopt(b, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    for (int i = 0; i < 200; i++)
        send(a, big, sizeof(big), MSG_DONTWAIT);
    say_settle();
    while (recv(b, big, sizeof(big), MSG_DONTWAIT) > 0)
        n++;
    printf("some were dropped: %d\n", n > 0 && n < 200);
    SAY(send(a, "x", 1, 0));
    SAY(recv(b, big, sizeof(big), 0));
}

/* Whose time it tells, and whether that is about now. */
static void show_ancillary(int fd)
{
    char buf[16], control[256];
    struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    printf("%d bytes\n", (int)recvmsg(fd, &msg, 0));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        struct timespec at = {.tv_sec = 0}, now;
        struct sockaddr_in to;
        printf("  level %d type %d length %d\n", c->cmsg_level, c->cmsg_type, (int)c->cmsg_len);
        if (c->cmsg_level == SOL_SOCKET) {
            memcpy(&at, CMSG_DATA(c), sizeof(at));
            clock_gettime(CLOCK_REALTIME, &now);
            printf("  %s\n",
                   now.tv_sec - at.tv_sec < 5 && now.tv_sec >= at.tv_sec ? "now" : "another time");
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) {
            memcpy(&to, CMSG_DATA(c), sizeof(to));
            o_show_address("  to", SA(&to), sizeof(to));
        }
    }
}

CASE(udp_timestamp, "socket(7): SO_TIMESTAMP, SO_TIMESTAMPNS: when a datagram came")
{
    int one = 1, zero = 0, b, a = o_udp_pair(&b);
    SAY(setsockopt(b, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one)));
    SAY(send(a, "1", 1, 0));
    show_ancillary(b);
    SAY(setsockopt(b, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)));
    o_show_int_option("stamp", b, SOL_SOCKET, SO_TIMESTAMP);
    o_show_int_option("stamp in ns", b, SOL_SOCKET, SO_TIMESTAMPNS);
    SAY(send(a, "2", 1, 0));
    show_ancillary(b);
    SAY(setsockopt(b, SOL_SOCKET, SO_TIMESTAMP, &zero, sizeof(zero)));
    o_show_int_option("stamp in ns", b, SOL_SOCKET, SO_TIMESTAMPNS);
    SAY(send(a, "3", 1, 0));
    show_ancillary(b);
}

CASE(udp_original_destination, "ip(7): IP_RECVORIGDSTADDR: the address that the sender wrote to")
{
    int one = 1, b, a = o_udp_pair(&b);
    SAY(setsockopt(b, IPPROTO_IP, IP_RECVORIGDSTADDR, &one, sizeof(one)));
    SAY(setsockopt(b, IPPROTO_IP, IP_RECVTTL, &one, sizeof(one)));
    SAY(send(a, "1", 1, 0));
    show_ancillary(b);
}

/* One recvmsg: whether there was a datagram, and how many it says were dropped before it. */
static int receive_drops(int fd, uint32_t *dropped)
{
    char buf[2000], control[256];
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    if (recvmsg(fd, &msg, MSG_DONTWAIT) < 0)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
            memcpy(dropped, CMSG_DATA(c), sizeof(*dropped));
    return 1;
}

/* More than its buffer holds, in small steps; how many of them are received, `flagged` how many of
 * these say that some were dropped before. */
static uint32_t overflow(int a, int b, uint32_t n, uint32_t *flagged)
{
    char big[1000] = "";
    uint32_t received = 0, dropped = 0;
    *flagged = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (send(a, big, sizeof(big), 0) < 0)
            printf("send: %s\n", strerrorname_np(errno));
        if (i % 8 == 7)
            say_settle();
    }
    while (receive_drops(b, &dropped)) {
        received++;
        *flagged += dropped != 0;
        dropped = 0;
    }
    return received;
}

CASE(udp_rxq_ovfl, "socket(7): SO_RXQ_OVFL tells how many datagrams were dropped before this one")
{
    int on = 1, off = 0, size = 1, b, a = o_udp_pair(&b);
    uint32_t flagged, dropped = 0, sum;
    SAY(setsockopt(b, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
    SAY(setsockopt(b, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)));
    uint32_t received = overflow(a, b, 40, &flagged);
    printf("some %d, not all %d, flagged %u\n", received > 0, received < 40, flagged);
    sum = 40 - received;
    SAY(send(a, "x", 1, 0));
    say_settle();
    printf("received %d, ", receive_drops(b, &dropped));
    printf("all that were dropped %d\n", dropped == sum);
    received = overflow(a, b, 40, &flagged);
    printf("all flagged now %d\n", flagged == received);
    sum += 40 - received;
    SAY(send(a, "x", 1, 0));
    say_settle();
    printf("received %d, ", receive_drops(b, &dropped));
    printf("all that were dropped %d\n", dropped == sum);
    SAY(setsockopt(b, SOL_SOCKET, SO_RXQ_OVFL, &off, sizeof(off)));
    SAY(send(a, "x", 1, 0));
    say_settle();
    dropped = 0;
    printf("received %d, ", receive_drops(b, &dropped));
    printf("told %u\n", dropped);
}
