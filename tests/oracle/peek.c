/* SPDX-License-Identifier: Apache-2.0 */
/* SO_PEEK_OFF on datagram sockets: socket(7), and what Linux does where that says nothing. Streams'
 * are in recv.c. */
#include "tests/oracle/oracle.h"

static void peek_from(int fd, int offset)
{
    SAY(setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)));
}

/* One recvmsg of `room` bytes: what it returns, the bytes, the flags; and the offset then. */
static void look(const char *text, int fd, size_t room, int flags)
{
    char buf[16] = "";
    struct iovec iov = {buf, room};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t r = recvmsg(fd, &msg, flags | MSG_DONTWAIT);
    if (r < 0)
        printf("%s: %s\n", text, strerrorname_np(errno));
    else
        printf("%s: %zd \"%.*s\" flags %x\n", text, r, (int)(r < (ssize_t)room ? r : (ssize_t)room),
               buf, msg.msg_flags);
    o_show_int_option("offset", fd, SOL_SOCKET, SO_PEEK_OFF);
}

static int pair6(int *b)
{
    struct sockaddr_in6 at = oracle_address6;
    socklen_t len = sizeof(at);
    int a = socket(AF_INET6, SOCK_DGRAM, 0);
    *b = socket(AF_INET6, SOCK_DGRAM, 0);
    if (bind(*b, SA(&at), len) < 0 || getsockname(*b, SA(&at), &len) < 0 ||
        connect(a, SA(&at), len) < 0)
        printf("pair: %s\n", strerrorname_np(errno));
    return a;
}

static void three(int a)
{
    SAY(send(a, "abcdef", 6, 0));
    SAY(send(a, "ghi", 3, 0));
    SAY(send(a, "jklm", 4, 0));
    say_settle();
}

static void walk(int a, int b)
{
    three(a);
    look("without", b, 16, MSG_PEEK);
    peek_from(b, 0);
    look("first", b, 16, MSG_PEEK);
    look("second", b, 16, MSG_PEEK);
    look("third", b, 16, MSG_PEEK);
    look("no more", b, 16, MSG_PEEK);
    SAY(send(a, "no", 2, 0));
    say_settle();
    look("fourth", b, 16, MSG_PEEK);
    look("read", b, 16, 0);
    look("read", b, 16, 0);
    look("no more", b, 16, MSG_PEEK);
    peek_from(b, 0);
    look("again", b, 16, MSG_PEEK);
    peek_from(b, -1);
    look("off", b, 16, MSG_PEEK);
    look("off", b, 16, MSG_PEEK);
}

CASE(peek_datagrams, "socket(7): SO_PEEK_OFF: peeks go on from datagram to datagram")
{
    int b, a = o_udp_pair(&b);
    walk(a, b);
}

CASE(peek_datagrams6, "socket(7): SO_PEEK_OFF over IPv6")
{
    int b, a = pair6(&b);
    walk(a, b);
}

CASE(peek_within, "socket(7): SO_PEEK_OFF: a peek begins within a datagram, and ends with it")
{
    int b, a = o_udp_pair(&b);
    three(a);
    peek_from(b, 2);
    look("from its third byte", b, 3, MSG_PEEK);
    look("its last byte", b, 3, MSG_PEEK);
    look("the next, cut", b, 2, MSG_PEEK);
    look("its rest, just so", b, 1, MSG_PEEK);
    look("the last, cut", b, 1, MSG_PEEK);
    peek_from(b, 7);
    look("in the second", b, 16, MSG_PEEK);
    peek_from(b, 12);
    look("in the third", b, 16, MSG_PEEK);
    peek_from(b, 40);
    look("beyond all", b, 16, MSG_PEEK);
}

CASE(peek_trunc, "recv(2), socket(7): MSG_TRUNC moves SO_PEEK_OFF on by the real length")
{
    int b, a = o_udp_pair(&b);
    three(a);
    peek_from(b, 0);
    look("peek", b, 2, MSG_PEEK | MSG_TRUNC);
    look("peek", b, 2, MSG_PEEK);
    look("peek", b, 2, MSG_PEEK | MSG_TRUNC);
    look("read", b, 2, MSG_TRUNC);
    look("read, cut", b, 2, 0);
    look("read", b, 16, 0);
    look("none", b, 16, 0);
}

CASE(peek_empty, "socket(7): SO_PEEK_OFF: a datagram of no bytes is told of once")
{
    int b, a = o_udp_pair(&b);
    SAY(send(a, "", 0, 0));
    SAY(send(a, "ab", 2, 0));
    SAY(send(a, "", 0, 0));
    SAY(send(a, "", 0, 0));
    SAY(send(a, "cd", 2, 0));
    say_settle();
    peek_from(b, 0);
    for (int i = 0; i < 4; i++)
        look("peek", b, 16, MSG_PEEK);
    peek_from(b, 0);
    for (int i = 0; i < 3; i++)
        look("again", b, 16, MSG_PEEK);
    for (int i = 0; i < 3; i++)
        look("read", b, 16, 0);
    peek_from(b, 0);
    look("peek", b, 16, MSG_PEEK);
    look("peek", b, 16, MSG_PEEK);
    for (int i = 0; i < 3; i++)
        look("read", b, 16, 0);
}

CASE(peek_empty_before, "socket(7): a peek without SO_PEEK_OFF tells of an empty datagram, too")
{
    int b, a = o_udp_pair(&b);
    SAY(send(a, "", 0, 0));
    SAY(send(a, "ab", 2, 0));
    say_settle();
    look("peek", b, 16, MSG_PEEK);
    look("peek", b, 16, MSG_PEEK);
    peek_from(b, 0);
    look("peek", b, 16, MSG_PEEK);
}

static void send_in(int ms, int fd, const char *word)
{
    if (fork() == 0) {
        say_sleep_ms(ms);
        _exit(send(fd, word, strlen(word), 0) < 0);
    }
}

CASE(peek_waits, "socket(7): a peek whose SO_PEEK_OFF is behind all that there is waits for more")
{
    char buf[8];
    const struct timeval soon = {.tv_usec = 100000};
    int b, a = o_udp_pair(&b);
    peek_from(b, 0);
    SAY(send(a, "one", 3, 0));
    o_show_bytes("peek", buf, recv(b, buf, 8, MSG_PEEK));
    o_show_poll("readable still", b, 0);
    send_in(150, a, "two");
    long begin = say_now_ms();
    o_show_bytes("peek", buf, recv(b, buf, 8, MSG_PEEK));
    o_show_time("waited", begin, 100, 5000);
    SAY(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
    begin = say_now_ms();
    SAY(recv(b, buf, 8, MSG_PEEK));
    o_show_time("waited", begin, 90, 5000);
    o_show_bytes("read", buf, recv(b, buf, 8, 0));
}

CASE(peek_wildcard, "socket(7): SO_PEEK_OFF on a socket bound to the wildcard address")
{
    char buf[8];
    struct sockaddr_in any = {.sin_family = AF_INET}, at = say_address;
    const struct timeval soon = {.tv_usec = 100000};
    socklen_t len = sizeof(any);
    int a = o_udp(), b = o_udp();
    peek_from(b, 0);
    SAY(bind(b, SA(&any), sizeof(any)));
    SAY(getsockname(b, SA(&any), &len));
    at.sin_port = any.sin_port;
    SAY(connect(a, SA(&at), sizeof(at)));
    SAY(send(a, "one", 3, 0));
    SAY(send(a, "two", 3, 0));
    say_settle();
    o_show_bytes("peek", buf, recv(b, buf, 8, MSG_PEEK));
    o_show_bytes("peek", buf, recv(b, buf, 8, MSG_PEEK));
    SAY(recv(b, buf, 8, MSG_PEEK | MSG_DONTWAIT));
    send_in(150, a, "three");
    o_show_bytes("peek", buf, recv(b, buf, 8, MSG_PEEK));
    o_show_bytes("read", buf, recv(b, buf, 8, 0));
    SAY(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
    long begin = say_now_ms();
    SAY(recv(b, buf, 8, MSG_PEEK));
    o_show_time("waited", begin, 90, 5000);
}
