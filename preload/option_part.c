/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/option_part.h"

#include "preload/command.h"
#include "preload/peek.h"
#include "preload/socket.h"
#include "preload/waiter.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define BUFFER_MIN  4608           /* bytes, as socket(7) says of doubled values */
#define BUFFER_MAX  (DMM_RING_MAX) /* bytes, doubled */
#define SNDBUF_LOCK 1
#define RCVBUF_LOCK 2

/* What a stack without a choice of algorithms has: RFC 5681's. */
static const char only_congestion[16] = "reno";

/* Options of streams that whoever knows them takes in any state and with any int. Once an instance
 * has taken one, the next is sent without waiting for an answer that can only be the same: programs
 * set these on every connection. */
static const struct {
    int level, name;
} plain_options[] = {
    {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_QUICKACK},
    {SOL_SOCKET, SO_KEEPALIVE},
    {SOL_SOCKET, SO_REUSEADDR},
};

/* The option's bit in client.options_taken; 0: it has none. */
uint8_t option_plain_bit(int level, int name, socklen_t len)
{
    for (size_t i = 0; i < sizeof(plain_options) / sizeof(plain_options[0]); i++) {
        if (plain_options[i].level == level && plain_options[i].name == name)
            return len >= sizeof(int) ? (uint8_t)(1u << i) : 0;
    }
    return 0;
}

/* Whether a stream socket of the instance certainly takes the option. */
bool option_is_taken(const struct client *client, uint32_t instance, uint8_t bit)
{
    return bit && instance < DMM_MAPPING_INSTANCES && !client_is_dead(client) &&
           (atomic_load_explicit(&client->options_taken[instance], memory_order_relaxed) & bit);
}

/* ---- set ---- */

static int get_by_stack(struct client *client, const struct part *part, int level, int name,
                        void *value, socklen_t *len);

static int set_timeout(struct dmm_socket *sock, enum socket_word word, const void *value,
                       socklen_t len)
{
    struct timeval tv;
    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, value, sizeof(tv));
    if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
        return -EDOM;
    /* A negative time is "at once"; a very long one is none (socket(7): zero means none). */
    uint32_t ms = SOCKET_AT_ONCE;
    if ((tv.tv_sec == 0 && tv.tv_usec == 0) || tv.tv_sec >= INT_MAX / 1000)
        ms = 0;
    else if (tv.tv_sec >= 0)
        ms = (uint32_t)tv.tv_sec * 1000 + (uint32_t)(tv.tv_usec + 999) / 1000;
    socket_set_word(sock, word, ms);
    return 0;
}

static void set_flag(struct dmm_socket *sock, uint32_t flag, bool on)
{
    if (on)
        atomic_fetch_or_explicit(&sock->app_private[WORD_STATUS], flag, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&sock->app_private[WORD_STATUS], ~flag, memory_order_relaxed);
}

static int set_linger(struct dmm_socket *sock, const void *value, socklen_t len)
{
    struct linger linger;
    if (len < sizeof(linger))
        return -EINVAL;
    memcpy(&linger, value, sizeof(linger));
    if (linger.l_onoff)
        socket_set_word(sock, WORD_LINGER_S,
                        linger.l_linger < 0 ? INT_MAX : (uint32_t)linger.l_linger);
    set_flag(sock, STATUS_LINGER, linger.l_onoff != 0);
    return 0;
}

/* socket(7): the kernel doubles the value, and keeps it within bounds. */
static uint32_t buffer_size(int value)
{
    uint32_t wanted = value < 0 || value > (int)BUFFER_MAX / 2 ? BUFFER_MAX : (uint32_t)value * 2;
    return wanted < BUFFER_MIN ? BUFFER_MIN : wanted;
}

static int set_by_stack(struct client *client, const struct part *part, int level, int name,
                        const void *value, uint32_t len)
{
    struct dmm_command command = {.op = DMM_CMD_SETSOCKOPT,
                                  .socket = part->index,
                                  .opt = {.level = level, .name = name, .len = len}};
    if (len > DMM_OPT_INLINE)
        return -ENOPROTOOPT;
    if (len)
        memcpy(command.opt.value, value, len);
    uint8_t bit = part->sock->type == SOCK_STREAM ? option_plain_bit(level, name, len) : 0;
    if (option_is_taken(client, part->instance, bit)) {
        command.reply = DMM_NO_REPLY;
        command_send(client, &command);
        return 0;
    }
    int r = command_call(client, &command, NULL);
    if (r == 0 && bit)
        atomic_fetch_or_explicit(&client->options_taken[part->instance], bit, memory_order_relaxed);
    return r;
}

static int set_buffer(struct client *client, const struct part *part,
                      const struct linux_option *option, const struct option_value *value)
{
    int r = set_by_stack(client, part, option->level, option->name, value->bytes, value->len);
    if (r < 0)
        return r;
    socket_set_word(part->sock, (enum socket_word)option->arg, buffer_size(value->number));
    set_flag(part->sock, option->arg == WORD_SNDBUF ? STATUS_SNDBUF_LOCK : STATUS_RCVBUF_LOCK,
             true);
    return 0;
}

/* SO_BUF_LOCK, 1: to send, 2: to receive: whether the size that there is stays. */
static int set_buffer_lock(struct client *client, const struct part *part,
                           const struct linux_option *option, const struct option_value *value)
{
    int32_t size = 0;
    socklen_t len = sizeof(size);
    int r = set_by_stack(client, part, option->level, option->name, value->bytes, value->len);
    if (r == 0 && (value->number & SNDBUF_LOCK) && !socket_word(part->sock, WORD_SNDBUF))
        r = get_by_stack(client, part, SOL_SOCKET, SO_SNDBUF, &size, &len);
    if (r < 0)
        return r;
    if (size)
        socket_set_word(part->sock, WORD_SNDBUF, (uint32_t)size);
    set_flag(part->sock, STATUS_SNDBUF_LOCK, value->number & SNDBUF_LOCK);
    set_flag(part->sock, STATUS_RCVBUF_LOCK, value->number & RCVBUF_LOCK);
    return 0;
}

static int get_buffer_lock(struct dmm_socket *sock)
{
    uint32_t status = socket_word(sock, WORD_STATUS);
    return (status & STATUS_SNDBUF_LOCK ? SNDBUF_LOCK : 0) |
           (status & STATUS_RCVBUF_LOCK ? RCVBUF_LOCK : 0);
}

/* What nobody does: only what holds anyway can be set. */
static int set_fixed(const struct linux_option *option, const struct option_value *value)
{
    if (option->level == IPPROTO_TCP && option->name == TCP_CONGESTION)
        return strncmp((const char *)value->bytes, only_congestion, value->len) == 0 ? 0 : -ENOENT;
    if (option->shape == SHAPE_BYTES)
        return value->len == 0 || value->bytes[0] == 0 ? 0 : -ENOPROTOOPT;
    int32_t number = value->number;
    if (option->level == IPPROTO_TCP && option->name == TCP_DEFER_ACCEPT && number < 0)
        number = 0;
    return number == option->fixed ? 0 : -ENOPROTOOPT;
}

static int set_on_stack(struct client *client, const struct part *part,
                        const struct linux_option *option, const struct option_value *value)
{
    struct option_value v = *value;
    if (option->level == IPPROTO_IPV6 && part->family == AF_INET && option->name != IPV6_V6ONLY)
        return 0; /* an IPv6 socket that speaks IPv4: Linux only keeps what concerns IPv6 alone */
    if ((option->level == IPPROTO_IP && option->name == IP_TOS) ||
        (option->level == IPPROTO_IPV6 && option->name == IPV6_TCLASS && v.number > 0)) {
        /* The ECN bits of a stream are TCP's own. */
        v.number &= part->sock->type == SOCK_STREAM ? 0xfc : 0xff;
        memcpy(v.bytes, &v.number, sizeof(v.number));
    }
    int r = set_by_stack(client, part, option->level, option->name, v.bytes, v.len);
    if (r == 0 && option->level == IPPROTO_TCP && option->name == TCP_NOTSENT_LOWAT)
        socket_set_word(part->sock, WORD_NOTSENT_LOWAT, (uint32_t)v.number);
    if (r == 0 && option->shape == SHAPE_BOOL && !(option->arg & OPTION_MAY_BE_SHORT))
        set_flag(part->sock, option->arg, v.number != 0);
    return r == -ENOPROTOOPT ? set_fixed(option, &v) : r;
}

static int set_lowat(struct dmm_socket *sock, int number)
{
    uint32_t most = sock->type == SOCK_STREAM ? BUFFER_MAX : INT_MAX;
    socket_set_word(sock, WORD_RCVLOWAT,
                    number < 0 || (uint32_t)number > most ? most : (uint32_t)number);
    return 0;
}

/* Of this thread. */
static bool has_capability(unsigned capability)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return false;
    return data[capability / 32].effective & (1u << capability % 32);
}

static bool is_admin(void)
{
    return has_capability(CAP_NET_ADMIN);
}

/* socket(7): not everyone may set any mark, or go before all others. */
static bool needs_admin(const struct linux_option *option, int32_t number)
{
    if (option->level != SOL_SOCKET)
        return false;
    return option->name == SO_MARK || (option->name == SO_PRIORITY && (number < 0 || number > 6));
}

static bool is_bind_option(const struct linux_option *option)
{
    return option->level == SOL_SOCKET &&
           (option->name == SO_BINDTODEVICE || option->name == SO_BINDTOIFINDEX);
}

/* What SO_LOCK_FILTER forbids. No stack has filters, so all that is left of it is the errno. */
static bool is_filter(const struct linux_option *option)
{
    return option->level == SOL_SOCKET &&
           (option->name == SO_ATTACH_FILTER || option->name == SO_DETACH_FILTER);
}

/* To a device: then not everyone may bind it to another (Linux 5.7). */
static bool is_bound(struct client *client, const struct part *part)
{
    int32_t index = 0;
    socklen_t len = sizeof(index);
    int r = get_by_stack(client, part, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &len);
    return r == 0 && len == sizeof(index) && index != 0;
}

int option_set_part(struct client *client, const struct part *part,
                    const struct option_socket *socket, int level, int name, const void *value,
                    socklen_t len)
{
    const struct linux_option *option;
    struct option_value checked;
    int r = linux_option_check(socket, level, name, value, len, &option, &checked);
    if (!option && r == -ENOPROTOOPT && value && len >= 1)
        return set_by_stack(client, part, level, name, value, len); /* a plug-in's own, perhaps */
    if (r < 0 && option && is_filter(option) && r != -EINVAL && r != -EFAULT &&
        (socket_word(part->sock, WORD_STATUS) & STATUS_NO_FILTER))
        return -EPERM;
    if (r < 0 || !option)
        return r;
    if (needs_admin(option, checked.number) && !is_admin())
        return -EPERM;
    if (is_bind_option(option) && is_bound(client, part) && !has_capability(CAP_NET_RAW))
        return -EPERM;
    switch (option->how) {
    case HOW_FLAG:
        set_flag(part->sock, option->arg, checked.number != 0);
        return 0;
    case HOW_WORD:
        socket_set_word(part->sock, (enum socket_word)option->arg, (uint32_t)checked.number);
        return 0;
    case HOW_PEEK_OFF:
        peek_set_offset(part->sock, checked.number);
        return 0;
    case HOW_LOCK:
        if (!checked.number && (socket_word(part->sock, WORD_STATUS) & option->arg))
            return -EPERM;
        set_flag(part->sock, option->arg, checked.number != 0);
        return 0;
    case HOW_STAMP: /* the later of the two counts; turned off, both are */
        set_flag(part->sock, STATUS_STAMP | STATUS_STAMP_NS, false);
        set_flag(part->sock, option->arg, checked.number != 0);
        return 0;
    case HOW_TIMEOUT:
        return set_timeout(part->sock, (enum socket_word)option->arg, value, len);
    case HOW_LINGER:
        return set_linger(part->sock, value, len);
    case HOW_LOWAT:
        return set_lowat(part->sock, checked.number);
    case HOW_BUFFER:
        return set_buffer(client, part, option, &checked);
    case HOW_BUF_LOCK:
        return set_buffer_lock(client, part, option, &checked);
    case HOW_STACK:
        return set_on_stack(client, part, option, &checked);
    case HOW_FIXED:
        return set_fixed(option, &checked);
    case HOW_IGNORED:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* ---- one option by another ---- */

/* MCAST_JOIN_GROUP (RFC 3678, 5.1) says with 136 bytes what the older options say with 12 or 20. */
static int translate_group(int level, const struct group_req *request, struct option_value *out)
{
    const struct sockaddr *group = (const struct sockaddr *)&request->gr_group;
    if (level == IPPROTO_IP) {
        struct ip_mreqn old = {.imr_ifindex = (int)request->gr_interface};
        if (group->sa_family != AF_INET)
            return -EINVAL;
        old.imr_multiaddr = ((const struct sockaddr_in *)group)->sin_addr;
        out->len = sizeof(old);
        memcpy(out->bytes, &old, sizeof(old));
    } else {
        struct ipv6_mreq old = {.ipv6mr_interface = request->gr_interface};
        if (group->sa_family != AF_INET6)
            return -EADDRNOTAVAIL;
        old.ipv6mr_multiaddr = ((const struct sockaddr_in6 *)group)->sin6_addr;
        out->len = sizeof(old);
        memcpy(out->bytes, &old, sizeof(old));
    }
    return 0;
}

int option_translate(const struct option_socket *socket, int level, int *name, const void **value,
                     socklen_t *len, struct option_value *room)
{
    int error;
    const struct linux_option *option = linux_option_find(socket, level, *name, true, &error);
    if (!option || option->how != HOW_TRANSLATE)
        return 0;
    *room = (struct option_value){.len = 0};
    if (level == SOL_SOCKET) {
        if (*len < sizeof(int))
            return -EINVAL;
        if (!*value)
            return -EFAULT;
        if (!is_admin())
            return -EPERM;
    } else {
        struct group_req request;
        if (*len < sizeof(request))
            return -EINVAL;
        memcpy(&request, *value, sizeof(request));
        int r = translate_group(level, &request, room);
        if (r < 0)
            return r;
        *value = room->bytes;
        *len = room->len;
    }
    *name = (int)option->arg;
    return 0;
}

/* ---- get ---- */

static int give(void *value, socklen_t *len, const void *from, socklen_t size)
{
    if (*len > size)
        *len = size;
    memcpy(value, from, *len);
    return 0;
}

static int get_by_stack(struct client *client, const struct part *part, int level, int name,
                        void *value, socklen_t *len)
{
    struct dmm_command command = {
        .op = DMM_CMD_GETSOCKOPT, .socket = part->index, .opt = {.level = level, .name = name}};
    struct dmm_reply reply;
    command.opt.len = sizeof(reply.data);
    int r = command_call(client, &command, &reply);
    if (r < 0)
        return r;
    socklen_t size = reply.len < sizeof(reply.data) ? reply.len : sizeof(reply.data);
    int32_t number;
    if (size != sizeof(number))
        return give(value, len, reply.data, size);
    memcpy(&number, reply.data, sizeof(number));
    linux_option_give(level, number, value, len);
    return 0;
}

/* socket(7): there must be room for any name. */
static int get_device(struct client *client, const struct part *part, void *value, socklen_t *len)
{
    char name[IFNAMSIZ];
    socklen_t size = sizeof(name);
    int r = get_by_stack(client, part, SOL_SOCKET, SO_BINDTODEVICE, name, &size);
    if (r < 0)
        return r;
    if (size && *len < sizeof(name))
        return -EINVAL;
    return give(value, len, name, size);
}

/* tcp(7): it is given once, and only into enough room; else the length says how much is. */
static int get_saved_syn(struct client *client, const struct part *part, void *value,
                         socklen_t *len)
{
    struct dmm_reply reply;
    struct dmm_command command = {
        .op = DMM_CMD_GETSOCKOPT,
        .socket = part->index,
        .opt = {.level = IPPROTO_TCP, .name = TCP_SAVED_SYN, .len = *len}};
    int r = command_call(client, &command, &reply);
    if (r == -EINVAL)
        *len = reply.len;
    return r < 0 ? r : give(value, len, reply.data, reply.len);
}

static int get_timeout(struct dmm_socket *sock, enum socket_word word, void *value, socklen_t *len)
{
    uint32_t ms = socket_word(sock, word);
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    if (ms == SOCKET_AT_ONCE)
        tv = (struct timeval){.tv_sec = 0};
    return give(value, len, &tv, sizeof(tv));
}

static int get_linger(struct dmm_socket *sock, void *value, socklen_t *len)
{
    struct linger linger = {.l_onoff = (socket_word(sock, WORD_STATUS) & STATUS_LINGER) != 0,
                            .l_linger = (int)socket_word(sock, WORD_LINGER_S)};
    return give(value, len, &linger, sizeof(linger));
}

/* Names and structures that nobody has: the algorithm that there is, an unlimited rate, or none. */
static int get_fixed_bytes(const struct linux_option *option, void *value, socklen_t *len)
{
    static const uint8_t unlimited[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    if (option->level == IPPROTO_TCP && option->name == TCP_CONGESTION)
        return give(value, len, only_congestion, sizeof(only_congestion));
    if (option->level == IPPROTO_IP && option->name == IP_MULTICAST_IF)
        return give(value, len, &(struct in_addr){.s_addr = INADDR_ANY}, sizeof(struct in_addr));
    if (option->level == SOL_SOCKET && option->name == SO_MAX_PACING_RATE)
        return give(value, len, unlimited, *len < sizeof(unlimited) ? 4 : sizeof(unlimited));
    *len = 0;
    return 0;
}

static int get_fixed(const struct linux_option *option, void *value, socklen_t *len)
{
    if (option->arg == OPTION_SET_ONLY)
        return -ENOPROTOOPT;
    if (option->shape == SHAPE_BYTES)
        return get_fixed_bytes(option, value, len);
    if (option->how == HOW_STACK && option->error)
        return option->fixed; /* IP_MTU: the errno of a socket without a path */
    linux_option_give(option->level, option->fixed, value, len);
    return 0;
}

static int get_memory(struct dmm_socket *sock, void *value, socklen_t *len)
{
    uint32_t memory[9] = {0};
    memory[0] = atomic_load_explicit(&sock->rx_tail, memory_order_acquire) -
                atomic_load_explicit(&sock->rx_head, memory_order_relaxed);
    memory[1] = socket_word(sock, WORD_RCVBUF);
    memory[2] = atomic_load_explicit(&sock->tx_tail, memory_order_relaxed) -
                atomic_load_explicit(&sock->tx_head, memory_order_acquire);
    memory[3] = socket_word(sock, WORD_SNDBUF);
    return give(value, len, memory, sizeof(memory));
}

/* Unique as long as the region lives; the token tells regions apart. */
static int get_cookie(const struct client *client, const struct part *part, void *value,
                      socklen_t *len)
{
    uint64_t cookie;
    if (*len < sizeof(cookie))
        return -EINVAL;
    memcpy(&cookie, client->token, sizeof(cookie));
    cookie ^= (uint64_t)part->index << 32 |
              atomic_load_explicit(&part->sock->generation, memory_order_relaxed);
    return give(value, len, &cookie, sizeof(cookie));
}

static int tell_number(struct dmm_socket *sock, const struct option_socket *socket,
                       const struct linux_option *option)
{
    bool listening =
        (socket_state(sock) & (DMM_SS_LISTENING | DMM_SS_DEAD)) == DMM_SS_LISTENING &&
        !(atomic_load_explicit(&sock->app_flags, memory_order_relaxed) & DMM_AF_SHUT_RD);
    if (option->level == IPPROTO_TCP && option->name == TCP_TIMESTAMP)
        return (int)(waiter_now() / 1000000u);
    if (option->level != SOL_SOCKET)
        return option->fixed;
    switch (option->name) {
    case SO_ERROR:
        return socket_take_error(sock);
    case SO_TYPE:
        return socket->type;
    case SO_DOMAIN:
        return socket->family;
    case SO_PROTOCOL:
        return socket->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    case SO_ACCEPTCONN:
        return listening;
    default:
        return option->fixed;
    }
}

static int tell(struct client *client, const struct part *part, const struct option_socket *socket,
                const struct linux_option *option, void *value, socklen_t *len)
{
    static const struct ucred nobody = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    if (option->shape == SHAPE_BYTES)
        return get_fixed_bytes(option, value, len);
    if (option->level == SOL_SOCKET && option->name == SO_COOKIE)
        return get_cookie(client, part, value, len);
    if (option->level == SOL_SOCKET && option->name == SO_MEMINFO)
        return get_memory(part->sock, value, len);
    if (option->level == SOL_SOCKET && option->name == SO_PEERCRED)
        return give(value, len, &nobody, sizeof(nobody));
    linux_option_give(option->level, tell_number(part->sock, socket, option), value, len);
    return 0;
}

int option_get_part(struct client *client, const struct part *part,
                    const struct option_socket *socket, int level, int name, void *value,
                    socklen_t *len)
{
    int error;
    const struct linux_option *option = linux_option_find(socket, level, name, false, &error);
    if (!option) /* a plug-in's own, perhaps */
        return error == -ENOPROTOOPT ? get_by_stack(client, part, level, name, value, len) : error;
    uint32_t word;
    int r;
    switch (option->how) {
    case HOW_PEEK_OFF:
        linux_option_give(level, peek_offset(part->sock), value, len);
        return 0;
    case HOW_FLAG:
    case HOW_LOCK:
    case HOW_STAMP:
        linux_option_give(level, (socket_word(part->sock, WORD_STATUS) & option->arg) != 0, value,
                          len);
        return 0;
    case HOW_WORD:
        linux_option_give(level, (int)socket_word(part->sock, (enum socket_word)option->arg), value,
                          len);
        return 0;
    case HOW_TIMEOUT:
        return get_timeout(part->sock, (enum socket_word)option->arg, value, len);
    case HOW_LINGER:
        return get_linger(part->sock, value, len);
    case HOW_LOWAT:
        word = socket_word(part->sock, WORD_RCVLOWAT);
        linux_option_give(level, word ? (int)word : 1, value, len);
        return 0;
    case HOW_BUFFER:
        word = socket_word(part->sock, (enum socket_word)option->arg);
        if (!word)
            return get_by_stack(client, part, level, name, value, len);
        linux_option_give(level, (int)word, value, len);
        return 0;
    case HOW_BUF_LOCK:
        linux_option_give(level, get_buffer_lock(part->sock), value, len);
        return 0;
    case HOW_STACK:
        if (level == SOL_SOCKET && name == SO_BINDTODEVICE)
            r = get_device(client, part, value, len);
        else if (level == IPPROTO_TCP && name == TCP_SAVED_SYN)
            r = get_saved_syn(client, part, value, len);
        else
            r = get_by_stack(client, part, level, name, value, len);
        return r == -ENOPROTOOPT ? get_fixed(option, value, len) : r;
    case HOW_FIXED:
    case HOW_IGNORED:
        return get_fixed(option, value, len);
    case HOW_TELL:
        return tell(client, part, socket, option, value, len);
    case HOW_NEVER:
        return option->error == EOPNOTSUPP ? -EOPNOTSUPP : -ENOPROTOOPT;
    default:
        return -ENOPROTOOPT;
    }
}
