/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/linux_options.h"

#include "preload/socket.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

/* Where the headers of a C library do not have them. IPV6_FLOWINFO_SEND is of linux/in6.h, which
 * does not go with netinet/in.h. */
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM 73
#endif
#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IPV6_FLOWINFO_SEND
#define IPV6_FLOWINFO_SEND 33
#endif
#ifndef TCP_TX_DELAY
#define TCP_TX_DELAY 37
#endif
#ifndef IP_RECVFRAGSIZE
#define IP_RECVFRAGSIZE 25
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif
#ifndef TCP_CC_INFO
#define TCP_CC_INFO 26
#endif
#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR 74
#endif
#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif
#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif
#ifndef IPV6_UNICAST_IF
#define IPV6_UNICAST_IF 76
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef IP_UNICAST_IF
#define IP_UNICAST_IF 50
#endif
#ifndef IP_CHECKSUM
#define IP_CHECKSUM 23
#endif

#define T OPTION_TCP
#define U OPTION_UDP
#define B OPTION_BOTH
#define S SOL_SOCKET
#define P IPPROTO_TCP
#define D IPPROTO_UDP
#define I IPPROTO_IP
#define X IPPROTO_IPV6

#define FLAG(level, name, sockets, bit)                                                            \
    {                                                                                              \
        level, name, sockets, HOW_FLAG, SHAPE_BOOL, 0, 0, 0, 0, bit                                \
    }
#define SHIM(level, name, sockets, how, word)                                                      \
    {                                                                                              \
        level, name, sockets, how, SHAPE_INT, 0, 0, 0, 0, word                                     \
    }
#define BOOL(level, name, sockets, how, fixed)                                                     \
    {                                                                                              \
        level, name, sockets, how, SHAPE_BOOL, 0, 0, 0, fixed, 0                                   \
    }
#define INT(level, name, sockets, how, min, max, fixed)                                            \
    {                                                                                              \
        level, name, sockets, how, SHAPE_INT, 0, min, max, fixed, 0                                \
    }
#define BYTES(level, name, sockets, how, min, max)                                                 \
    {                                                                                              \
        level, name, sockets, how, SHAPE_BYTES, 0, min, max, 0, 0                                  \
    }
#define TELL(level, name, sockets, error, fixed)                                                   \
    {                                                                                              \
        level, name, sockets, HOW_TELL, SHAPE_INT, error, 0, 0, fixed, 0                           \
    }
#define NEVER(level, name, sockets, error)                                                         \
    {                                                                                              \
        level, name, sockets, HOW_NEVER, SHAPE_INT, error, 0, 0, 0, 0                              \
    }

static const struct linux_option table[] = {
    BOOL(S, SO_REUSEADDR, B, HOW_STACK, 0),
    BOOL(S, SO_REUSEPORT, B, HOW_STACK, 0),
    BOOL(S, SO_KEEPALIVE, T, HOW_STACK, 0),
    FLAG(S, SO_KEEPALIVE, U, STATUS_KEPT_KEEPALIVE),
    {S, SO_BROADCAST, U, HOW_STACK, SHAPE_BOOL, 0, 0, 0, 0, STATUS_BROADCAST},
    FLAG(S, SO_BROADCAST, T, STATUS_BROADCAST),
    BOOL(S, SO_DONTROUTE, B, HOW_STACK, 0),
    BOOL(S, SO_OOBINLINE, B, HOW_FIXED, 1),
    SHIM(S, SO_RCVBUF, B, HOW_BUFFER, WORD_RCVBUF),
    SHIM(S, SO_SNDBUF, B, HOW_BUFFER, WORD_SNDBUF),
    SHIM(S, SO_RCVBUFFORCE, B, HOW_TRANSLATE, SO_RCVBUF),
    SHIM(S, SO_SNDBUFFORCE, B, HOW_TRANSLATE, SO_SNDBUF),
    SHIM(S, SO_RCVLOWAT, B, HOW_LOWAT, WORD_RCVLOWAT),
    TELL(S, SO_SNDLOWAT, B, ENOPROTOOPT, 1),
    SHIM(S, SO_RCVTIMEO, B, HOW_TIMEOUT, WORD_RCVTIMEO_MS),
    SHIM(S, SO_SNDTIMEO, B, HOW_TIMEOUT, WORD_SNDTIMEO_MS),
    SHIM(S, SO_LINGER, B, HOW_LINGER, WORD_LINGER_S),
    TELL(S, SO_ERROR, B, ENOPROTOOPT, 0),
    TELL(S, SO_TYPE, B, ENOPROTOOPT, 0),
    TELL(S, SO_DOMAIN, B, ENOPROTOOPT, 0),
    TELL(S, SO_PROTOCOL, B, ENOPROTOOPT, 0),
    TELL(S, SO_ACCEPTCONN, B, ENOPROTOOPT, 0),
    TELL(S, SO_COOKIE, B, ENOPROTOOPT, 0),
    TELL(S, SO_MEMINFO, B, ENOPROTOOPT, 0),
    TELL(S, SO_PEERCRED, B, ENOPROTOOPT, 0),
    TELL(S, SO_INCOMING_NAPI_ID, B, ENOPROTOOPT, 0),
    BYTES(S, SO_BINDTODEVICE, B, HOW_STACK, 0, 15),
    INT(S, SO_BINDTOIFINDEX, B, HOW_STACK, 0, INT_MAX, 0),
    INT(S, SO_INCOMING_CPU, B, HOW_STACK, 0, 0, -1),
    INT(S, SO_BUSY_POLL, B, HOW_FIXED, 0, INT_MAX, 0),
    BOOL(S, SO_PREFER_BUSY_POLL, B, HOW_FIXED, 0),
    NEVER(S, SO_BUSY_POLL_BUDGET, B, ENOPROTOOPT),
    INT(S, SO_PRIORITY, B, HOW_STACK, 0, 0, 0),
    INT(S, SO_MARK, B, HOW_FIXED, 0, 0, 0),
    BOOL(S, SO_RCVMARK, B, HOW_FIXED, 0),
    NEVER(S, SO_PASSCRED, B, EOPNOTSUPP),
    NEVER(S, SO_PASSSEC, B, EOPNOTSUPP),
    NEVER(S, SO_PASSRIGHTS, B, EOPNOTSUPP),
    INT(S, SO_PEEK_OFF, B, HOW_PEEK_OFF, 0, 0, -1),
    {S, SO_TIMESTAMP, U, HOW_STAMP, SHAPE_BOOL, 0, 0, 0, 0, STATUS_STAMP},
    BOOL(S, SO_TIMESTAMP, T, HOW_FIXED, 0),
    {S, SO_TIMESTAMPNS, U, HOW_STAMP, SHAPE_BOOL, 0, 0, 0, 0, STATUS_STAMP_NS},
    BOOL(S, SO_TIMESTAMPNS, T, HOW_FIXED, 0),
    INT(S, SO_TIMESTAMPING, B, HOW_FIXED, 0, 0xfffffff, 0),
    {S, SO_RXQ_OVFL, U, HOW_STACK, SHAPE_BOOL, 0, 0, 0, 0, STATUS_DROPS},
    FLAG(S, SO_RXQ_OVFL, T, STATUS_DROPS), /* Linux, too, tells of datagrams only */
    BOOL(S, SO_WIFI_STATUS, B, HOW_FIXED, 0),
    BOOL(S, SO_NOFCS, B, HOW_FIXED, 0),
    {S, SO_LOCK_FILTER, B, HOW_LOCK, SHAPE_BOOL, 0, 0, 0, 0, STATUS_NO_FILTER},
    FLAG(S, SO_SELECT_ERR_QUEUE, B, STATUS_KEPT_ERR_QUEUE), /* that queue is always empty */
    FLAG(S, SO_DEBUG, B, STATUS_KEPT_DEBUG),                /* Linux only keeps it, too */
    BYTES(S, SO_MAX_PACING_RATE, B, HOW_STACK, 4, 8),
    INT(S, SO_ZEROCOPY, B, HOW_FIXED, 0, 1, 0),
    INT(S, SO_BUF_LOCK, B, HOW_BUF_LOCK, 0, 3, 0),
    INT(S, SO_TXREHASH, T, HOW_FIXED, 0, 1, 1),
    NEVER(S, SO_TXREHASH, U, EOPNOTSUPP),
    TELL(S, SO_RESERVE_MEM, B, EOPNOTSUPP, 0),
    {S, SO_ATTACH_FILTER, B, HOW_TELL, SHAPE_BYTES, ENOPROTOOPT, 4, 1 << 16, 0, 0},
    NEVER(S, SO_DETACH_FILTER, B, ENOENT),
    BOOL(S, SO_BSDCOMPAT, B, HOW_IGNORED, 0),

    BOOL(P, TCP_NODELAY, T, HOW_STACK, 0),
    {P, TCP_CORK, T, HOW_STACK, SHAPE_BOOL, 0, 0, 0, 0, STATUS_CORK},
    INT(P, TCP_MAXSEG, T, HOW_STACK, 0, 0, 536),
    INT(P, TCP_KEEPIDLE, T, HOW_STACK, 1, 32767, 7200),
    INT(P, TCP_KEEPINTVL, T, HOW_STACK, 1, 32767, 75),
    INT(P, TCP_KEEPCNT, T, HOW_STACK, 1, 127, 9),
    INT(P, TCP_SYNCNT, T, HOW_STACK, 1, 127, 6),
    INT(P, TCP_LINGER2, T, HOW_STACK, 0, 0, 60),
    INT(P, TCP_DEFER_ACCEPT, T, HOW_STACK, 0, 0, 0),
    INT(P, TCP_WINDOW_CLAMP, T, HOW_FIXED, 0, 0, 0),
    {P, TCP_INFO, T, HOW_STACK, SHAPE_BYTES, ENOPROTOOPT, 4, 1 << 16, 0, 0},
    {P, TCP_CC_INFO, T, HOW_TELL, SHAPE_BYTES, ENOPROTOOPT, 4, 1 << 16, 0, 0},
    BOOL(P, TCP_QUICKACK, T, HOW_STACK, 1),
    BYTES(P, TCP_CONGESTION, T, HOW_STACK, 1, 15),
    INT(P, TCP_USER_TIMEOUT, T, HOW_STACK, 0, INT_MAX, 0),
    INT(P, TCP_NOTSENT_LOWAT, T, HOW_STACK, 0, 0, 0),
    INT(P, TCP_FASTOPEN, T, HOW_FIXED, 0, INT_MAX, 0),
    INT(P, TCP_FASTOPEN_CONNECT, T, HOW_FIXED, 0, 1, 0),
    BOOL(P, TCP_FASTOPEN_NO_COOKIE, T, HOW_FIXED, 0),
    INT(P, TCP_SAVE_SYN, T, HOW_STACK, 0, 2, 0),
    {P, TCP_SAVED_SYN, T, HOW_STACK, SHAPE_BYTES, ENOPROTOOPT, 4, 1 << 16, 0, 0},
    TELL(P, TCP_TIMESTAMP, T, EPERM, 0),
    BOOL(P, TCP_THIN_LINEAR_TIMEOUTS, T, HOW_FIXED, 0),
    BOOL(P, TCP_THIN_DUPACK, T, HOW_IGNORED, 0),
    INT(P, TCP_REPAIR, T, HOW_FIXED, 0, 0, 0),
    {P, TCP_INQ, T, HOW_FLAG, SHAPE_INT, 0, 0, 1, 0, STATUS_INQ},
    INT(P, TCP_TX_DELAY, T, HOW_FIXED, 0, 0, 0),
    {P, TCP_ULP, T, HOW_TELL, SHAPE_BYTES, ENOENT, 1, 1 << 16, 0, 0},

    FLAG(D, UDP_CORK, U, STATUS_CORK),
    INT(D, UDP_ENCAP, U, HOW_FIXED, 0, 0, 0),
    {D, UDP_SEGMENT, U, HOW_WORD, SHAPE_INT, 0, 0, USHRT_MAX, 0, WORD_SEGMENT},
    {D, UDP_GRO, U, HOW_STACK, SHAPE_BOOL, 0, 0, 0, 0, STATUS_GRO},
    BOOL(D, UDP_NO_CHECK6_TX, U, HOW_FIXED, 0),
    BOOL(D, UDP_NO_CHECK6_RX, U, HOW_FIXED, 0),

    {I, IP_TTL, B, HOW_STACK, SHAPE_INT, 0, -1, 255, 64, 0},
    INT(I, IP_TOS, B, HOW_STACK, 0, 0, 0),
    FLAG(I, IP_PKTINFO, B, STATUS_PKTINFO4),
    FLAG(I, IP_RECVTTL, B, STATUS_RECVTTL4),
    FLAG(I, IP_RECVTOS, B, STATUS_RECVTOS4),
    BOOL(I, IP_RECVOPTS, B, HOW_FIXED, 0),
    BOOL(I, IP_RETOPTS, B, HOW_FIXED, 0),
    {I, IP_OPTIONS, B, HOW_FIXED, SHAPE_BYTES, 0, 0, 40, 0, 0},
    TELL(I, IP_HDRINCL, B, ENOPROTOOPT, 0),
    TELL(I, IP_NODEFRAG, B, ENOPROTOOPT, 0),
    INT(I, IP_MTU_DISCOVER, B, HOW_STACK, 0, 5, 1),
    BOOL(I, IP_RECVERR, B, HOW_STACK, 0),
    {I, IP_MTU, B, HOW_STACK, SHAPE_INT, ENOPROTOOPT, 0, 0, -ENOTCONN, 0},
    BOOL(I, IP_FREEBIND, B, HOW_FIXED, 0),
    BOOL(I, IP_TRANSPARENT, B, HOW_FIXED, 0),
    FLAG(I, IP_RECVORIGDSTADDR, B, STATUS_ORIGDST4),
    INT(I, IP_MINTTL, B, HOW_FIXED, 0, 255, 0),
    BOOL(I, IP_CHECKSUM, B, HOW_FIXED, 0),
    BOOL(I, IP_BIND_ADDRESS_NO_PORT, B, HOW_STACK, 0),
    BOOL(I, IP_RECVFRAGSIZE, U, HOW_FIXED, 0),
    TELL(I, IP_RECVFRAGSIZE, T, EINVAL, 0),
    BYTES(I, IP_MULTICAST_IF, U, HOW_STACK, 4, 16),
    TELL(I, IP_MULTICAST_IF, T, EINVAL, 0),
    INT(I, IP_MULTICAST_TTL, U, HOW_STACK, -1, 255, 1),
    TELL(I, IP_MULTICAST_TTL, T, EINVAL, 1),
    BOOL(I, IP_MULTICAST_LOOP, B, HOW_STACK, 1),
    INT(I, IP_MULTICAST_ALL, B, HOW_STACK, 0, 1, 1),
    INT(I, IP_UNICAST_IF, B, HOW_FIXED, 0, 0, 0),
    {I, IP_ADD_MEMBERSHIP, U, HOW_STACK, SHAPE_BYTES, 0, 8, 16, 0, OPTION_SET_ONLY},
    NEVER(I, IP_ADD_MEMBERSHIP, T, EPROTO),
    {I, IP_DROP_MEMBERSHIP, U, HOW_STACK, SHAPE_BYTES, 0, 8, 16, 0, OPTION_SET_ONLY},
    NEVER(I, IP_DROP_MEMBERSHIP, T, EPROTO),
    {I, MCAST_JOIN_GROUP, U, HOW_TRANSLATE, SHAPE_BYTES, 0, 0, 0, 0, IP_ADD_MEMBERSHIP},
    {I, MCAST_LEAVE_GROUP, U, HOW_TRANSLATE, SHAPE_BYTES, 0, 0, 0, 0, IP_DROP_MEMBERSHIP},
    INT(I, IP_LOCAL_PORT_RANGE, B, HOW_FIXED, 0, 0, 0),

    BOOL(X, IPV6_V6ONLY, B, HOW_STACK, 0),
    {X, IPV6_UNICAST_HOPS, B, HOW_STACK, SHAPE_INT, 0, -1, 255, 64, 0},
    INT(X, IPV6_MULTICAST_HOPS, U, HOW_STACK, -1, 255, 1),
    TELL(X, IPV6_MULTICAST_HOPS, T, ENOPROTOOPT, 1),
    INT(X, IPV6_MULTICAST_LOOP, B, HOW_STACK, 0, 1, 1),
    INT(X, IPV6_MULTICAST_IF, U, HOW_STACK, 0, 0, 0),
    TELL(X, IPV6_MULTICAST_IF, T, ENOPROTOOPT, 0),
    BOOL(X, IPV6_MULTICAST_ALL, B, HOW_STACK, 1),
    INT(X, IPV6_TCLASS, B, HOW_STACK, -1, 255, 0),
    FLAG(X, IPV6_RECVPKTINFO, B, STATUS_PKTINFO6),
    FLAG(X, IPV6_RECVHOPLIMIT, B, STATUS_RECVTTL6),
    FLAG(X, IPV6_RECVTCLASS, B, STATUS_RECVTOS6),
    FLAG(X, IPV6_RECVORIGDSTADDR, B, STATUS_ORIGDST6),
    BOOL(X, IPV6_RECVRTHDR, B, HOW_FIXED, 0),
    BOOL(X, IPV6_RECVHOPOPTS, B, HOW_FIXED, 0),
    BOOL(X, IPV6_RECVDSTOPTS, B, HOW_FIXED, 0),
    BOOL(X, IPV6_RECVPATHMTU, B, HOW_FIXED, 0),
    BOOL(X, IPV6_RECVERR, B, HOW_STACK, 0),
    INT(X, IPV6_MTU_DISCOVER, B, HOW_STACK, 0, 5, 1),
    {X, IPV6_MTU, B, HOW_STACK, SHAPE_INT, ENOPROTOOPT, 0, 0, -ENOTCONN, 0},
    {X, IPV6_DONTFRAG, B, HOW_FIXED, SHAPE_BOOL, 0, 0, 0, 0, OPTION_MAY_BE_SHORT},
    BOOL(X, IPV6_FREEBIND, B, HOW_FIXED, 0),
    BOOL(X, IPV6_TRANSPARENT, B, HOW_FIXED, 0),
    {X, IPV6_AUTOFLOWLABEL, B, HOW_FIXED, SHAPE_BOOL, 0, 0, 0, 0, OPTION_MAY_BE_SHORT},
    BOOL(X, IPV6_FLOWINFO_SEND, B, HOW_FIXED, 0),
    INT(X, IPV6_MINHOPCOUNT, B, HOW_FIXED, 0, 255, 0),
    NEVER(X, IPV6_ADDRFORM, B, ENOTCONN),
    {X, IPV6_JOIN_GROUP, U, HOW_STACK, SHAPE_BYTES, 0, 20, 24, 0, OPTION_SET_ONLY},
    {X, IPV6_LEAVE_GROUP, U, HOW_STACK, SHAPE_BYTES, 0, 20, 24, 0, OPTION_SET_ONLY},
    {X, MCAST_JOIN_GROUP, U, HOW_TRANSLATE, SHAPE_BYTES, 0, 0, 0, 0, IPV6_JOIN_GROUP},
    {X, MCAST_LEAVE_GROUP, U, HOW_TRANSLATE, SHAPE_BYTES, 0, 0, 0, 0, IPV6_LEAVE_GROUP},
    INT(X, IPV6_UNICAST_IF, B, HOW_FIXED, 0, 0, 0),
};

static bool has_level(const struct option_socket *socket, int level)
{
    if (level == SOL_SOCKET || level == IPPROTO_IP)
        return true;
    if (level == IPPROTO_IPV6)
        return socket->family == AF_INET6;
    return level == (socket->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP);
}

const struct linux_option *linux_option_find(const struct option_socket *socket, int level,
                                             int name, bool set, int *error)
{
    uint8_t kind = socket->type == SOCK_STREAM ? OPTION_TCP : OPTION_UDP;
    *error = -ENOPROTOOPT;
    if (!has_level(socket, level)) {
        if (!set && socket->family == AF_INET)
            *error = -EOPNOTSUPP;
        return NULL;
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].level == level && table[i].name == name && (table[i].sockets & kind))
            return &table[i];
    }
    return NULL;
}

/* The number in the app's value. IPv4's options take one byte too, IPv6's no value at all. */
static int read_number(const struct linux_option *o, const void *value, socklen_t len,
                       int32_t *number)
{
    uint8_t byte;
    *number = 0;
    if (o->level == IPPROTO_IPV6 && !value)
        return 0;
    if (!value)
        return -EFAULT;
    if (len >= sizeof(*number)) {
        memcpy(number, value, sizeof(*number));
    } else if (o->level == IPPROTO_IP) {
        if (len >= 1) {
            memcpy(&byte, value, 1);
            *number = byte;
        }
    } else if (o->arg != OPTION_MAY_BE_SHORT) {
        return -EINVAL;
    }
    return 0;
}

static int check_bytes(const struct linux_option *o, const void *value, socklen_t len,
                       struct option_value *checked)
{
    if ((int64_t)len < o->min)
        return -EINVAL;
    if (!value && len)
        return -EFAULT;
    checked->len = len < (socklen_t)o->max ? len : (socklen_t)o->max;
    if (checked->len > sizeof(checked->bytes))
        checked->len = sizeof(checked->bytes);
    if (checked->len)
        memcpy(checked->bytes, value, checked->len);
    return 0;
}

/* What all of a level have in common: the length, and that there is a value. */
static int check_level(int level, const struct linux_option *o, const void *value, socklen_t len)
{
    bool by_int = level == SOL_SOCKET || level == IPPROTO_TCP || level == IPPROTO_UDP;
    if (o && o->shape == SHAPE_BYTES && o->min < (int)sizeof(int))
        return 0; /* names may be short */
    if (by_int && len < sizeof(int))
        return -EINVAL;
    return by_int && !value ? -EFAULT : 0;
}

int linux_option_check(const struct option_socket *socket, int level, int name, const void *value,
                       socklen_t len, const struct linux_option **option,
                       struct option_value *checked)
{
    int error;
    const struct linux_option *o = linux_option_find(socket, level, name, true, &error);
    int r = has_level(socket, level) ? check_level(level, o, value, len) : 0;
    *option = o;
    *checked = (struct option_value){.len = 0};
    if (r < 0 || !o)
        return r < 0 ? r : error;
    if (o->shape == SHAPE_BYTES) {
        r = check_bytes(o, value, len, checked);
        return r < 0 ? r : o->error ? -o->error : 0;
    }
    if (o->error)
        return -o->error;
    r = read_number(o, value, len, &checked->number);
    if (r < 0)
        return r;
    if (o->min < o->max && (checked->number < o->min || checked->number > o->max))
        return -EINVAL;
    if (o->shape == SHAPE_BOOL)
        checked->number = checked->number != 0;
    checked->len = sizeof(checked->number);
    memcpy(checked->bytes, &checked->number, sizeof(checked->number));
    return 0;
}

socklen_t linux_option_reads(const struct linux_option *option)
{
    if (option->how == HOW_TIMEOUT)
        return sizeof(struct timeval);
    if (option->how == HOW_LINGER)
        return sizeof(struct linger);
    return option->shape == SHAPE_BYTES ? (socklen_t)option->max : sizeof(int);
}

void linux_option_give(int level, int32_t number, void *value, socklen_t *len)
{
    socklen_t size = sizeof(number);
    /* ip(7)'s old one-byte form. */
    if (level == IPPROTO_IP && *len > 0 && *len < sizeof(number) && number >= 0 && number <= 255)
        size = 1;
    if (*len > size)
        *len = size;
    memcpy(value, &number, *len);
}
