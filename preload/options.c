/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/options.h"

#include "preload/calls.h"
#include "preload/command.h"
#include "preload/decide.h"
#include "preload/policy.h"
#include "preload/report.h"
#include "preload/socket.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

#define BUFFER_MIN 4608           /* bytes, as socket(7) says of doubled values */
#define BUFFER_MAX (DMM_RING_MAX) /* bytes, doubled */

/* What an option is, when the shim does it itself. */
enum own_kind { OWN_FLAG, OWN_TIMEOUT, OWN_LOWAT, OWN_LINGER, OWN_INLINE };

struct own_option {
    int level, name;
    enum own_kind kind;
    uint32_t where; /* enum socket_word, or STATUS_* of a flag */
};

static const struct own_option own_options[] = {
    {SOL_SOCKET, SO_RCVTIMEO, OWN_TIMEOUT, WORD_RCVTIMEO_MS},
    {SOL_SOCKET, SO_SNDTIMEO, OWN_TIMEOUT, WORD_SNDTIMEO_MS},
    {SOL_SOCKET, SO_RCVLOWAT, OWN_LOWAT, WORD_RCVLOWAT},
    {SOL_SOCKET, SO_LINGER, OWN_LINGER, WORD_LINGER_S},
    {SOL_SOCKET, SO_OOBINLINE, OWN_INLINE, 0},
    {IPPROTO_IP, IP_PKTINFO, OWN_FLAG, STATUS_PKTINFO},
    {IPPROTO_IP, IP_RECVTTL, OWN_FLAG, STATUS_RECVTTL},
    {IPPROTO_IP, IP_RECVTOS, OWN_FLAG, STATUS_RECVTOS},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, OWN_FLAG, STATUS_PKTINFO},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, OWN_FLAG, STATUS_RECVTTL},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, OWN_FLAG, STATUS_RECVTOS},
};

static const struct own_option *find_own(int level, int name)
{
    for (size_t i = 0; i < sizeof(own_options) / sizeof(own_options[0]); i++) {
        if (own_options[i].level == level && own_options[i].name == name)
            return &own_options[i];
    }
    return NULL;
}

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
static uint8_t plain_bit(int level, int name, socklen_t len)
{
    for (size_t i = 0; i < sizeof(plain_options) / sizeof(plain_options[0]); i++) {
        if (plain_options[i].level == level && plain_options[i].name == name)
            return len >= sizeof(int) ? (uint8_t)(1u << i) : 0;
    }
    return 0;
}

/* Whether a stream socket of the instance certainly takes the option. */
static bool is_taken(const struct client *client, uint32_t instance, uint8_t bit)
{
    return bit && instance < DMM_MAPPING_INSTANCES && !client_is_dead(client) &&
           (atomic_load_explicit(&client->options_taken[instance], memory_order_relaxed) & bit);
}

bool options_need_no_answer(const struct client *client, uint32_t instance,
                            const struct record *record)
{
    for (uint32_t i = 0; i < record->n; i++) {
        const struct record_option *option = &record->options[i];
        if (!find_own(option->level, option->name) &&
            !is_taken(client, instance, plain_bit(option->level, option->name, option->len)))
            return false;
    }
    return true;
}

/* ---- set ---- */

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
    uint32_t ms = 1;
    if ((tv.tv_sec == 0 && tv.tv_usec == 0) || tv.tv_sec >= INT_MAX / 1000)
        ms = 0;
    else if (tv.tv_sec >= 0)
        ms = (uint32_t)tv.tv_sec * 1000 + (uint32_t)(tv.tv_usec + 999) / 1000;
    socket_set_word(sock, word, ms);
    return 0;
}

static int set_linger(struct dmm_socket *sock, const void *value, socklen_t len)
{
    struct linger linger;
    if (len < sizeof(linger))
        return -EINVAL;
    memcpy(&linger, value, sizeof(linger));
    socket_set_word(sock, WORD_LINGER_S, linger.l_linger < 0 ? INT_MAX : (uint32_t)linger.l_linger);
    if (linger.l_onoff)
        atomic_fetch_or_explicit(&sock->app_private[WORD_STATUS], STATUS_LINGER,
                                 memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&sock->app_private[WORD_STATUS], ~(uint32_t)STATUS_LINGER,
                                  memory_order_relaxed);
    return 0;
}

/* socket(7): the kernel doubles the value, and keeps it within bounds. */
static uint32_t buffer_size(int value)
{
    uint32_t wanted = value < 0 || value > (int)BUFFER_MAX / 2 ? BUFFER_MAX : (uint32_t)value * 2;
    return wanted < BUFFER_MIN ? BUFFER_MIN : wanted;
}

static int set_own(const struct own_option *own, struct dmm_socket *sock, const void *value,
                   socklen_t len)
{
    int number;
    if (own->kind == OWN_TIMEOUT)
        return set_timeout(sock, (enum socket_word)own->where, value, len);
    if (own->kind == OWN_LINGER)
        return set_linger(sock, value, len);
    if (len < sizeof(number))
        return -EINVAL;
    memcpy(&number, value, sizeof(number));
    switch (own->kind) {
    case OWN_LOWAT:
        socket_set_word(sock, WORD_RCVLOWAT, number < 0 ? INT_MAX : (uint32_t)number);
        return 0;
    case OWN_INLINE:
        return number ? 0 : -ENOPROTOOPT; /* urgent data comes in line here, always */
    default:
        break;
    }
    if (number)
        atomic_fetch_or_explicit(&sock->app_private[WORD_STATUS], own->where, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&sock->app_private[WORD_STATUS], ~own->where,
                                  memory_order_relaxed);
    return 0;
}

static int set_by_stack(struct client *client, const struct part *part, int level, int name,
                        const void *value, socklen_t len)
{
    struct dmm_command command = {.op = DMM_CMD_SETSOCKOPT,
                                  .socket = part->index,
                                  .opt = {.level = level, .name = name, .len = len}};
    if (len > DMM_OPT_INLINE)
        return -ENOPROTOOPT;
    if (len)
        memcpy(command.opt.value, value, len);
    uint8_t bit = part->sock->type == SOCK_STREAM ? plain_bit(level, name, len) : 0;
    if (is_taken(client, part->instance, bit)) {
        command.reply = DMM_NO_REPLY;
        command_send(client, &command);
        return 0;
    }
    int r = command_call(client, &command, NULL);
    if (r == 0 && bit)
        atomic_fetch_or_explicit(&client->options_taken[part->instance], bit, memory_order_relaxed);
    return r;
}

/* The rings are the sidecar's, which keeps to these sizes; the shim keeps them too, for its own
 * part and for getsockopt. False: not such an option. */
static bool buffer_word(int level, int name, enum socket_word *word)
{
    *word = name == SO_RCVBUF ? WORD_RCVBUF : WORD_SNDBUF;
    return level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_SNDBUF);
}

static int set_on_part(struct client *client, const struct part *part, int level, int name,
                       const void *value, socklen_t len)
{
    const struct own_option *own = find_own(level, name);
    enum socket_word word;
    if (own)
        return set_own(own, part->sock, value, len);
    int r = set_by_stack(client, part, level, name, value, len);
    if (r == 0 && len >= sizeof(int) && buffer_word(level, name, &word)) {
        int number;
        memcpy(&number, value, sizeof(number));
        socket_set_word(part->sock, word, buffer_size(number));
    }
    return r;
}

static int set_undecided(int fd, struct entry *entry, int level, int name, const void *value,
                         socklen_t len)
{
    int r = entry_need_late(entry);
    if (r < 0)
        return r;
    if (entry->kernel) {
        if (REAL(setsockopt)(fd, level, name, value, len) < 0)
            return -errno;
    } else {
        bool known =
            entry->type == SOCK_STREAM && entry->late->n_parts == 0 && entry->client &&
            is_taken(entry->client, policy_default(entry->client), plain_bit(level, name, len));
        struct part *probe = known ? NULL : decide_probe(entry);
        if (probe)
            r = set_on_part(entry->client, probe, level, name, value, len);
        if (r < 0)
            return r;
    }
    r = record_add(&entry->late->record, level, name, value, len);
    if (r == -EINVAL)
        return 0; /* too long to be a stack's option: it was done on the kernel's socket */
    return r;
}

static int set_multi(int fd, struct entry *entry, int level, int name, const void *value,
                     socklen_t len)
{
    int r = 0;
    if (entry->kernel && REAL(setsockopt)(fd, level, name, value, len) < 0)
        r = -errno;
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        int e = set_on_part(entry->client, socket_part(entry, i), level, name, value, len);
        r = r < 0 ? r : e;
    }
    return r;
}

int options_set(int fd, struct entry *entry, int level, int name, const void *value, socklen_t len)
{
    if (!value && len)
        return -EFAULT;
    if ((int)len < 0)
        return -EINVAL;
    lock_take(&entry->lock, LOCK_PRIVATE);
    int r;
    if (entry->phase == PHASE_UNDECIDED)
        r = set_undecided(fd, entry, level, name, value, len);
    else if (entry->phase == PHASE_STACK)
        r = set_on_part(entry->client, &entry->part, level, name, value, len);
    else
        r = set_multi(fd, entry, level, name, value, len);
    /* A bound socket may have to be set up again (recover.h). */
    if (r == 0 && entry->phase != PHASE_UNDECIDED && entry->late)
        record_add(&entry->late->record, level, name, value, len);
    lock_drop(&entry->lock);
    return r;
}

void options_replay(struct client *client, const struct entry *entry, const struct part *part,
                    const struct record *record)
{
    for (uint32_t i = 0; i < record->n; i++) {
        const struct record_option *option = &record->options[i];
        /* An IPv6 socket that speaks IPv4 here: the version is decided. */
        if (option->level == IPPROTO_IPV6 && option->name == IPV6_V6ONLY &&
            part->family != entry->family)
            continue;
        int r = set_on_part(client, part, option->level, option->name, option->value, option->len);
        if (r < 0)
            report(REPORT_OPTION,
                   "option level=%d name=%d, set before the stack was known, does not work there: "
                   "%s",
                   option->level, option->name, strerror(-r));
    }
}

/* ---- get ---- */

static int give(void *value, socklen_t *len, const void *from, socklen_t size)
{
    if (*len > size)
        *len = size;
    memcpy(value, from, *len);
    return 0;
}

static int give_int(void *value, socklen_t *len, int number)
{
    return give(value, len, &number, sizeof(number));
}

static int get_own(const struct own_option *own, struct dmm_socket *sock, void *value,
                   socklen_t *len)
{
    uint32_t status = socket_word(sock, WORD_STATUS);
    if (own->kind == OWN_FLAG)
        return give_int(value, len, (status & own->where) != 0);
    if (own->kind == OWN_INLINE)
        return give_int(value, len, 1);
    uint32_t word = socket_word(sock, (enum socket_word)own->where);
    switch (own->kind) {
    case OWN_TIMEOUT: {
        struct timeval tv = {.tv_sec = word / 1000, .tv_usec = (suseconds_t)(word % 1000) * 1000};
        return give(value, len, &tv, sizeof(tv));
    }
    case OWN_LINGER: {
        struct linger linger = {.l_onoff = (status & STATUS_LINGER) != 0, .l_linger = (int)word};
        return give(value, len, &linger, sizeof(linger));
    }
    default:
        return give_int(value, len, word ? (int)word : 1);
    }
}

/* The SO_ that describe a socket. -ENOENT: not one of them. */
static int describe(struct entry *entry, int name, void *value, socklen_t *len)
{
    switch (name) {
    case SO_TYPE:
        return give_int(value, len, entry->type);
    case SO_DOMAIN:
        return give_int(value, len, entry->family);
    case SO_PROTOCOL:
        return give_int(value, len, entry->protocol);
    case SO_ACCEPTCONN:
        return give_int(value, len,
                        socket_parts(entry) &&
                            (socket_state(socket_part(entry, 0)->sock) & DMM_SS_LISTENING));
    default:
        return -ENOENT;
    }
}

static int get_by_stack(struct client *client, const struct part *part, int level, int name,
                        void *value, socklen_t *len)
{
    struct dmm_command command = {.op = DMM_CMD_GETSOCKOPT,
                                  .socket = part->index,
                                  .opt = {.level = level, .name = name, .len = *len}};
    struct dmm_reply reply;
    if (command.opt.len > sizeof(reply.data))
        command.opt.len = sizeof(reply.data);
    int r = command_call(client, &command, &reply);
    if (r < 0)
        return r;
    return give(value, len, reply.data,
                reply.len < sizeof(reply.data) ? reply.len : sizeof(reply.data));
}

static int get_on_part(struct client *client, const struct part *part, int level, int name,
                       void *value, socklen_t *len)
{
    const struct own_option *own = find_own(level, name);
    enum socket_word word;
    if (own)
        return get_own(own, part->sock, value, len);
    if (buffer_word(level, name, &word) && socket_word(part->sock, word))
        return give_int(value, len, (int)socket_word(part->sock, word));
    if (level == SOL_SOCKET && name == SO_ERROR)
        return give_int(value, len, socket_take_error(part->sock));
    return get_by_stack(client, part, level, name, value, len);
}

static int get_locked(int fd, struct entry *entry, int level, int name, void *value, socklen_t *len)
{
    if (level == SOL_SOCKET) {
        int r = describe(entry, name, value, len);
        if (r != -ENOENT)
            return r;
    }
    if (entry->phase == PHASE_STACK)
        return get_on_part(entry->client, &entry->part, level, name, value, len);
    if (entry->kernel)
        return REAL(getsockopt)(fd, level, name, value, len) < 0 ? -errno : 0;
    if (entry->phase == PHASE_MULTI)
        return get_on_part(entry->client, socket_part(entry, 0), level, name, value, len);
    struct part *probe = decide_probe(entry);
    return probe ? get_on_part(entry->client, probe, level, name, value, len) : -ENETDOWN;
}

int options_get(int fd, struct entry *entry, int level, int name, void *value, socklen_t *len)
{
    if (!value || !len)
        return -EFAULT;
    if ((int)*len < 0)
        return -EINVAL;
    lock_take(&entry->lock, LOCK_PRIVATE);
    int r = get_locked(fd, entry, level, name, value, len);
    lock_drop(&entry->lock);
    return r;
}
