/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One case for each option and kind of socket: what a fresh socket says, what setting it answers,
 * what it says then; wrong values, short and long lengths; and for streams, the same on a connected
 * socket. The table is what docs/sockets.md has a row for.
 */
#include "tests/oracle/oracle.h"

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/in6.h>
#include <linux/net_tstamp.h>
#include <netinet/udp.h>

enum { TCP4 = 1, UDP4 = 2, TCP6 = 4, UDP6 = 8, ALL4 = TCP4 | UDP4, ALL6 = TCP6 | UDP6, ALL = 15 };
enum shape { INT, BOOL, BYTE, TIME, LINGER, NAME, STRUCT, NONE };

/* A default that depends on the machine or the path: only whether there is one is shown. */
#define VARIES 1

struct option {
    int level, number;
    const char *name;
    unsigned sockets;
    enum shape shape;
    int varies;
    int values[4]; /* to set, in turn; -99 ends the list */
};
#define END (-99)
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a list */
#define O(level, name, sockets, shape, varies, ...)                                                \
    {                                                                                              \
        level, name, #name, sockets, shape, varies,                                                \
        {                                                                                          \
            __VA_ARGS__, END                                                                       \
        }                                                                                          \
    }

static const struct option options[] = {
    O(SOL_SOCKET, SO_REUSEADDR, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_REUSEPORT, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_KEEPALIVE, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_BROADCAST, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_DONTROUTE, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_OOBINLINE, ALL, BOOL, 0, 1),
    O(SOL_SOCKET, SO_RCVBUF, ALL, INT, VARIES, 20000, 100, -1),
    O(SOL_SOCKET, SO_SNDBUF, ALL, INT, VARIES, 20000, 100, -1),
    O(SOL_SOCKET, SO_RCVBUFFORCE, ALL, INT, VARIES, 20000),
    O(SOL_SOCKET, SO_SNDBUFFORCE, ALL, INT, VARIES, 20000),
    O(SOL_SOCKET, SO_RCVLOWAT, ALL, INT, 0, 5, 0, -1),
    O(SOL_SOCKET, SO_SNDLOWAT, ALL, INT, 0, 5),
    O(SOL_SOCKET, SO_RCVTIMEO, ALL, TIME, 0, 1500, 0, -1000),
    O(SOL_SOCKET, SO_SNDTIMEO, ALL, TIME, 0, 1500, 0, -1000),
    O(SOL_SOCKET, SO_LINGER, ALL, LINGER, 0, 5, 0),
    O(SOL_SOCKET, SO_ERROR, ALL, INT, 0, 1),
    O(SOL_SOCKET, SO_TYPE, ALL, INT, 0, 1),
    O(SOL_SOCKET, SO_DOMAIN, ALL, INT, 0, 1),
    O(SOL_SOCKET, SO_PROTOCOL, ALL, INT, 0, 1),
    O(SOL_SOCKET, SO_ACCEPTCONN, ALL, INT, 0, 1),
    O(SOL_SOCKET, SO_BINDTODEVICE, ALL, NAME, 0, END),
    O(SOL_SOCKET, SO_BINDTOIFINDEX, ALL, INT, 0, 0, -1, 4000),
    O(SOL_SOCKET, SO_INCOMING_CPU, ALL, INT, VARIES, 0),
    O(SOL_SOCKET, SO_INCOMING_NAPI_ID, ALL, INT, VARIES, 1),
    O(SOL_SOCKET, SO_COOKIE, ALL, STRUCT, VARIES, 1),
    O(SOL_SOCKET, SO_BUSY_POLL, ALL, INT, 0, 50, 0, -1),
    O(SOL_SOCKET, SO_PREFER_BUSY_POLL, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_PRIORITY, ALL, INT, 0, 5, 0, -1),
    O(SOL_SOCKET, SO_MARK, ALL, INT, 0, 7, 0),
    O(SOL_SOCKET, SO_RCVMARK, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_PASSCRED, ALL, BOOL, 0, 1),
    O(SOL_SOCKET, SO_PEERCRED, ALL, STRUCT, 0, 1),
    O(SOL_SOCKET, SO_PEERSEC, ALL, NAME, 0, END),
    O(SOL_SOCKET, SO_PEEK_OFF, ALL, INT, 0, 3, -5, -1),
    O(SOL_SOCKET, SO_TIMESTAMP, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_TIMESTAMPNS, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_TIMESTAMPING, ALL, INT, 0, 0, 0x10000000),
    O(SOL_SOCKET, SO_RXQ_OVFL, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_WIFI_STATUS, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_NOFCS, ALL, BOOL, 0, 1),
    O(SOL_SOCKET, SO_LOCK_FILTER, ALL, BOOL, 0, 0, 1, 0),
    O(SOL_SOCKET, SO_SELECT_ERR_QUEUE, ALL, BOOL, 0, 1, 0),
    O(SOL_SOCKET, SO_MAX_PACING_RATE, ALL, INT, VARIES, 1000000),
    O(SOL_SOCKET, SO_ZEROCOPY, ALL, BOOL, 0, 1, 0, 2),
    O(SOL_SOCKET, SO_TXTIME, ALL, STRUCT, 0, 0),
    O(SOL_SOCKET, SO_BUF_LOCK, ALL, INT, 0, 3, 0, 4),
    O(SOL_SOCKET, SO_TXREHASH, ALL, INT, 0, 1, 0, 2),
    O(SOL_SOCKET, SO_RESERVE_MEM, ALL, INT, 0, 0),
    O(SOL_SOCKET, SO_DETACH_FILTER, ALL, INT, 0, 0),
    O(SOL_SOCKET, SO_ATTACH_FILTER, ALL, NONE, 0, 0),
    O(SOL_SOCKET, SO_ATTACH_BPF, ALL, INT, 0, -1),
    O(SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ALL, NONE, 0, 0),
    O(SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, ALL, INT, 0, -1),
    O(SOL_SOCKET, SO_MEMINFO, ALL, STRUCT, VARIES, 0),
    O(SOL_SOCKET, SO_BSDCOMPAT, ALL, INT, 0, 1),
    O(SOL_SOCKET, SO_DEBUG, ALL, BOOL, 0, 1, 0),
    {SOL_SOCKET, 999, "SO_UNKNOWN_999", ALL, INT, 0, {1, END}},
    {12345, 1, "LEVEL_UNKNOWN", ALL, INT, 0, {1, END}},

    O(IPPROTO_TCP, TCP_NODELAY, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_TCP, TCP_CORK, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_TCP, TCP_MAXSEG, TCP4 | TCP6, INT, VARIES, 1000, 87, 40000),
    O(IPPROTO_TCP, TCP_KEEPIDLE, ALL, INT, 0, 100, 0, 40000),
    O(IPPROTO_TCP, TCP_KEEPINTVL, TCP4 | TCP6, INT, 0, 100, 0, 40000),
    O(IPPROTO_TCP, TCP_KEEPCNT, TCP4 | TCP6, INT, 0, 100, 0, 128),
    O(IPPROTO_TCP, TCP_SYNCNT, TCP4 | TCP6, INT, 0, 3, 0, 128),
    O(IPPROTO_TCP, TCP_LINGER2, TCP4 | TCP6, INT, 0, 10, -1, 100),
    O(IPPROTO_TCP, TCP_DEFER_ACCEPT, TCP4 | TCP6, INT, 0, 3, 0, -1),
    O(IPPROTO_TCP, TCP_WINDOW_CLAMP, TCP4 | TCP6, INT, 0, 20000, 0),
    O(IPPROTO_TCP, TCP_INFO, ALL, STRUCT, VARIES, 1),
    O(IPPROTO_TCP, TCP_QUICKACK, TCP4 | TCP6, BOOL, 0, 0, 1),
    O(IPPROTO_TCP, TCP_CONGESTION, TCP4 | TCP6, NAME, VARIES, END),
    O(IPPROTO_TCP, TCP_USER_TIMEOUT, TCP4 | TCP6, INT, 0, 5000, 0, -1),
    O(IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP4 | TCP6, INT, 0, 16384, 0, -1),
    O(IPPROTO_TCP, TCP_FASTOPEN, TCP4 | TCP6, INT, 0, 5, 0, -1),
    O(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, TCP4 | TCP6, BOOL, 0, 1, 0, 2),
    O(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, TCP4 | TCP6, BOOL, 0, 1, 0),
    O(IPPROTO_TCP, TCP_SAVE_SYN, TCP4 | TCP6, BOOL, 0, 1, 0, 3),
    O(IPPROTO_TCP, TCP_SAVED_SYN, TCP4 | TCP6, NAME, 0, END),
    O(IPPROTO_TCP, TCP_TIMESTAMP, TCP4 | TCP6, INT, VARIES, 1),
    O(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, TCP4 | TCP6, BOOL, 0, 1, 0),
    O(IPPROTO_TCP, TCP_THIN_DUPACK, TCP4 | TCP6, BOOL, 0, 1, 0),
    O(IPPROTO_TCP, TCP_REPAIR, TCP4 | TCP6, INT, 0, 0),
    O(IPPROTO_TCP, TCP_CC_INFO, TCP4 | TCP6, STRUCT, VARIES, 1),
    O(IPPROTO_TCP, TCP_INQ, TCP4 | TCP6, BOOL, 0, 1, 0, 2),
    O(IPPROTO_TCP, TCP_TX_DELAY, TCP4 | TCP6, INT, 0, 0),
    O(IPPROTO_TCP, TCP_ULP, TCP4 | TCP6, NAME, 0, END),
    {IPPROTO_TCP, 999, "TCP_UNKNOWN_999", TCP4 | UDP4, INT, 0, {1, END}},

    O(IPPROTO_IP, IP_TTL, ALL, INT, 0, 9, 0, 256),
    O(IPPROTO_IP, IP_TOS, ALL, INT, 0, 0x48, 0xfe, 300),
    O(IPPROTO_IP, IP_PKTINFO, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_RECVTTL, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_RECVTOS, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_RECVOPTS, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_RETOPTS, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_OPTIONS, ALL, NAME, 0, END),
    O(IPPROTO_IP, IP_HDRINCL, ALL, INT, 0, 1),
    O(IPPROTO_IP, IP_MTU_DISCOVER, ALL, INT, 0, 2, 0, 3),
    O(IPPROTO_IP, IP_RECVERR, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_MTU, ALL, INT, 0, 1),
    O(IPPROTO_IP, IP_FREEBIND, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_TRANSPARENT, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_RECVORIGDSTADDR, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_MINTTL, ALL, INT, 0, 5, 0, 256),
    O(IPPROTO_IP, IP_NODEFRAG, ALL, INT, 0, 1),
    O(IPPROTO_IP, IP_CHECKSUM, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IP, IP_RECVFRAGSIZE, ALL, BOOL, 0, 1),
    O(IPPROTO_IP, IP_MULTICAST_IF, ALL, INT, 0, 0),
    O(IPPROTO_IP, IP_MULTICAST_TTL, ALL, BYTE, 0, 4, 0, 256),
    O(IPPROTO_IP, IP_MULTICAST_LOOP, ALL, BYTE, 0, 0, 1),
    O(IPPROTO_IP, IP_MULTICAST_ALL, ALL, BOOL, 0, 0, 1, 2),
    O(IPPROTO_IP, IP_UNICAST_IF, ALL, INT, 0, 0),
    O(IPPROTO_IP, IP_ADD_MEMBERSHIP, ALL, NONE, 0, 0),
    O(IPPROTO_IP, IP_XFRM_POLICY, ALL, NONE, 0, 0),
    {IPPROTO_IP, 51, "IP_LOCAL_PORT_RANGE", ALL, INT, 0, {0, END}},
    {IPPROTO_IP, 999, "IP_UNKNOWN_999", ALL, INT, 0, {1, END}},

    O(IPPROTO_IPV6, IPV6_V6ONLY, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_UNICAST_HOPS, ALL, INT, 0, 9, -1, 256),
    O(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ALL6, INT, 0, 4, -1, 256),
    O(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, ALL6, BOOL, 0, 0, 1, 2),
    O(IPPROTO_IPV6, IPV6_MULTICAST_IF, ALL6, INT, 0, 0),
    O(IPPROTO_IPV6, IPV6_MULTICAST_ALL, ALL6, BOOL, 0, 0, 1),
    O(IPPROTO_IPV6, IPV6_TCLASS, ALL6, INT, 0, 0x48, -1, 256),
    O(IPPROTO_IPV6, IPV6_RECVPKTINFO, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_RECVTCLASS, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_RECVRTHDR, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_RECVHOPOPTS, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_RECVDSTOPTS, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_RECVPATHMTU, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_RECVERR, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_MTU_DISCOVER, ALL6, INT, 0, 2, 0, 3),
    O(IPPROTO_IPV6, IPV6_MTU, ALL6, INT, 0, 1280),
    O(IPPROTO_IPV6, IPV6_DONTFRAG, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_FREEBIND, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_TRANSPARENT, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_FLOWINFO_SEND, ALL6, BOOL, 0, 1, 0),
    O(IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, ALL6, INT, 0, 2),
    O(IPPROTO_IPV6, IPV6_MINHOPCOUNT, ALL6, INT, 0, 5, 0),
    O(IPPROTO_IPV6, IPV6_ADDRFORM, ALL6, INT, 0, 2),
    O(IPPROTO_IPV6, IPV6_JOIN_GROUP, ALL6, NONE, 0, 0),
    O(IPPROTO_IPV6, IPV6_UNICAST_IF, ALL6, INT, 0, 0),
    {IPPROTO_IPV6, 999, "IPV6_UNKNOWN_999", ALL6, INT, 0, {1, END}},

    O(IPPROTO_UDP, UDP_CORK, ALL, BOOL, 0, 1, 0),
    O(IPPROTO_UDP, UDP_ENCAP, UDP4, INT, 0, 0),
    O(IPPROTO_UDP, UDP_SEGMENT, UDP4 | UDP6, INT, 0, 500, 0, 70000),
    O(IPPROTO_UDP, UDP_GRO, UDP4 | UDP6, BOOL, 0, 1, 0),
    O(IPPROTO_UDP, UDP_NO_CHECK6_TX, UDP4 | UDP6, BOOL, 0, 1, 0),
};

struct kind {
    unsigned bit;
    const char *name;
    int family, type;
};
static const struct kind kinds[] = {{TCP4, "tcp", AF_INET, SOCK_STREAM},
                                    {UDP4, "udp", AF_INET, SOCK_DGRAM},
                                    {TCP6, "tcp6", AF_INET6, SOCK_STREAM},
                                    {UDP6, "udp6", AF_INET6, SOCK_DGRAM}};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct one {
    const struct option *option;
    const struct kind *kind;
};

static void show(const char *text, int fd, const struct option *o, socklen_t room)
{
    unsigned char value[512] = {0};
    socklen_t len = room;
    int r = getsockopt(fd, o->level, o->number, value, &len);
    if (r < 0) {
        printf("%s: %s\n", text, strerrorname_np(errno));
        return;
    }
    if (o->varies && o->shape == STRUCT && len > 8) {
        printf("%s: present\n", text); /* as much as this kernel's has */
        return;
    }
    printf("%s: %u bytes", text, len);
    if (o->varies) {
        /* Present is all that there is to say. */
    } else if (o->shape == NAME) {
        printf(" \"%.*s\"", (int)len, (char *)value);
    } else {
        for (socklen_t i = 0; i < len; i++)
            printf("%s%02x", i % 4 ? "" : " ", value[i]);
    }
    printf("\n");
}

static void set(int fd, const struct option *o, int value, socklen_t len)
{
    struct timeval tv = {.tv_sec = value / 1000, .tv_usec = value % 1000 * 1000};
    struct linger linger = {value != 0, value};
    unsigned char bytes[128] = {0};
    const void *from = bytes;
    socklen_t size = sizeof(int);
    memcpy(bytes, &value, sizeof(value));
    if (o->shape == TIME) {
        from = &tv;
        size = sizeof(tv);
    } else if (o->shape == LINGER) {
        from = &linger;
        size = sizeof(linger);
    } else if (o->shape == STRUCT) {
        size = 8;
    }
    if (len)
        size = len;
    int r = setsockopt(fd, o->level, o->number, from, size);
    printf("set %d (%u bytes): %s\n", value, size, r < 0 ? strerrorname_np(errno) : "ok");
}

static int fresh(const struct kind *kind)
{
    int fd = socket(kind->family, kind->type, 0);
    if (fd < 0) {
        perror("socket");
        exit(1);
    }
    return fd;
}

static void all_of(int fd, const struct option *o)
{
    socklen_t room = o->shape == STRUCT ? 512 : o->shape == NAME ? 64 : 4;
    if (o->shape == TIME || o->shape == LINGER)
        room = 16;
    show("get", fd, o, room);
    for (const int *v = o->values; o->shape != NONE && *v != END; v++) {
        set(fd, o, *v, 0);
        show("get", fd, o, room);
    }
}

static int connected(const struct kind *kind)
{
    struct sockaddr_in6 at6 = {.sin6_family = AF_INET6};
    struct sockaddr_in at;
    socklen_t len = sizeof(at6);
    int fd = fresh(kind);
    if (kind->family == AF_INET) {
        o_listener(&at);
    } else {
        int listener = socket(AF_INET6, SOCK_STREAM, 0);
        at6.sin6_addr = oracle_address6.sin6_addr;
        if (bind(listener, SA(&at6), sizeof(at6)) < 0 || listen(listener, 4) < 0 ||
            getsockname(listener, SA(&at6), &len) < 0)
            printf("listen: %s\n", strerrorname_np(errno));
    }
    if (kind->family == AF_INET ? connect(fd, SA(&at), sizeof(at))
                                : connect(fd, SA(&at6), sizeof(at6)) < 0)
        printf("connect: %s\n", strerrorname_np(errno));
    return fd;
}

static void run(const void *arg)
{
    const struct one *one = arg;
    const struct option *o = one->option;
    int fd = fresh(one->kind);
    printf("fresh\n");
    all_of(fd, o);
    if (o->shape != NONE && o->shape != NAME) {
        set(fd, o, 1, 1);
        set(fd, o, 1, 3);
        set(fd, o, o->shape == TIME ? 4 : 1, 40);
    }
    show("get, no room", fd, o, 0);
    show("get, 1 byte", fd, o, 1);
    show("get, much room", fd, o, 64);
    if (o->level != IPPROTO_IP && o->level != IPPROTO_IPV6)
        printf("set NULL: %s\n",
               setsockopt(fd, o->level, o->number, NULL, 4) < 0 ? strerrorname_np(errno) : "ok");
    close(fd);
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6};
    any.sin_addr = say_address.sin_addr;
    any6.sin6_addr = oracle_address6.sin6_addr;
    fd = fresh(one->kind);
    if ((one->kind->family == AF_INET ? bind(fd, SA(&any), sizeof(any))
                                      : bind(fd, SA(&any6), sizeof(any6))) < 0)
        printf("bind: %s\n", strerrorname_np(errno));
    printf("bound\n");
    all_of(fd, o);
    close(fd);
    printf("connected\n");
    all_of(connected(one->kind), o);
}

__attribute__((constructor)) static void add_all(void)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        for (size_t k = 0; k < KINDS; k++) {
            if (!(options[i].sockets & kinds[k].bit))
                continue;
            struct oracle_case *c = calloc(1, sizeof(*c));
            struct one *one = calloc(1, sizeof(*one));
            char *name = NULL;
            *one = (struct one){&options[i], &kinds[k]};
            if (asprintf(&name, "opt_%s_%s", options[i].name, kinds[k].name) < 0)
                abort();
            *c = (struct oracle_case){name, "getsockopt(2), setsockopt(2)", run, one, NULL};
            oracle_add(c);
        }
    }
}
