/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/socket.h"

#include "preload/calls.h"
#include "preload/command.h"
#include "preload/cork.h"
#include "preload/epoll.h"
#include "preload/recover.h"
#include "preload/waiter.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* What a disowned entry's part refers to: nobody's socket, reset. */
static struct client nobody = {.dead = true, .control = -1, .worker = -1, .anchor = -1};
static struct dmm_socket nothing = {.state = DMM_SS_DEAD | DMM_SS_CONNECTED};

/* ---- words ---- */

_Atomic uint32_t *socket_status(struct entry *entry)
{
    uint8_t phase = atomic_load_explicit(&entry->phase, memory_order_acquire);
    if (phase == PHASE_STACK)
        return &entry->part.sock->app_private[WORD_STATUS];
    if (phase == PHASE_MULTI && socket_parts(entry))
        return &entry->late->parts[0].sock->app_private[WORD_STATUS];
    return &entry->status;
}

bool socket_nonblock(struct entry *entry)
{
    return atomic_load_explicit(socket_status(entry), memory_order_relaxed) & STATUS_NONBLOCK;
}

void socket_change_status(struct entry *entry, uint32_t set, uint32_t clear)
{
    _Atomic uint32_t *status = socket_status(entry);
    if (set)
        atomic_fetch_or_explicit(status, set, memory_order_relaxed);
    if (clear)
        atomic_fetch_and_explicit(status, ~clear, memory_order_relaxed);
}

int socket_take_error(struct dmm_socket *sock)
{
    if (__builtin_expect(sock == &nothing, 0))
        return ECONNRESET; /* each time: nobody ever reads an end that was none */
    if (atomic_load_explicit(&sock->so_error, memory_order_acquire) == 0)
        return 0;
    return (int)atomic_exchange_explicit(&sock->so_error, 0, memory_order_acq_rel);
}

uint64_t socket_deadline(struct dmm_socket *sock, enum socket_word word, uint64_t *deadline)
{
    uint32_t ms = socket_word(sock, word);
    if (ms == 0)
        return 0;
    if (*deadline == 0)
        *deadline = ms == SOCKET_AT_ONCE ? 1 : waiter_now() + (uint64_t)ms * 1000000u;
    return *deadline;
}

/* ---- parts ---- */

uint32_t socket_parts(struct entry *entry)
{
    uint8_t phase = atomic_load_explicit(&entry->phase, memory_order_acquire);
    if (phase == PHASE_STACK)
        return 1;
    if (phase != PHASE_MULTI)
        return 0;
    return atomic_load_explicit(&entry->late->n_parts, memory_order_acquire);
}

struct part *socket_part(struct entry *entry, uint32_t i)
{
    return atomic_load_explicit(&entry->phase, memory_order_acquire) == PHASE_STACK
               ? &entry->part
               : &entry->late->parts[i];
}

int socket_open_part(struct client *client, uint32_t instance, uint16_t family,
                     const struct entry *entry, const struct part *old, const struct dmm_addr *peer,
                     struct part *part)
{
    struct dmm_command command = {.op = DMM_CMD_OPEN,
                                  .instance = (uint8_t)instance,
                                  .value = old ? old->index : 0,
                                  .open = {.family = family,
                                           .type = entry->type,
                                           .protocol = entry->protocol,
                                           .flags = old ? DMM_OPEN_ADOPT : 0}};
    if (peer)
        command.open.peer = *peer;
    struct dmm_reply reply;
    int r = command_call(client, &command, &reply);
    if (r < 0)
        return r == -ECONNRESET && client_is_dead(client) ? -ENETDOWN : r;
    if (reply.socket >= client->region->n_sockets)
        return -EPROTO;
    part->index = reply.socket;
    part->sock = dmm_region_socket(client->region, reply.socket);
    part->instance = (uint8_t)instance;
    part->family = (uint8_t)family;
    return 0;
}

void socket_close_part(struct client *client, const struct part *part)
{
    bool abort = (socket_word(part->sock, WORD_STATUS) & STATUS_LINGER) &&
                 socket_word(part->sock, WORD_LINGER_S) == 0;
    command_send_value(client, DMM_CMD_CLOSE, part->index, abort);
}

int socket_bind_part(struct client *client, struct part *part, const struct dmm_addr *addr,
                     struct dmm_addr *bound)
{
    struct dmm_command command = {.op = DMM_CMD_BIND, .socket = part->index, .addr = *addr};
    struct dmm_reply reply;
    int r = command_call(client, &command, &reply);
    if (r < 0)
        return r;
    if (reply.socket >= client->region->n_sockets || !dmm_addr_valid(&reply.addr))
        return -EPROTO;
    part->index = reply.socket;
    part->sock = dmm_region_socket(client->region, reply.socket);
    *bound = reply.addr;
    return 0;
}

/* ---- addresses ---- */

void socket_tell_address(const struct entry *entry, struct dmm_addr addr, struct sockaddr *sa,
                         socklen_t *len)
{
    if (entry->family == AF_INET6 && addr.family == AF_INET) {
        if (dmm_addr_is_any(&addr))
            addr.family = AF_INET6;
        else
            dmm_addr_map(&addr);
    } else if (addr.family == 0) {
        addr = (struct dmm_addr){.family = entry->family};
    }
    dmm_addr_to_sockaddr(&addr, sa, len);
}

int socket_take_address(const struct entry *entry, const struct sockaddr *sa, socklen_t len,
                        struct dmm_addr *addr)
{
    int r = dmm_addr_from_sockaddr(addr, sa, len);
    if (r < 0)
        return r;
    if (entry->family == AF_INET6 && entry->type == SOCK_STREAM && len < SOCKET_IN6_LEN)
        return -EINVAL;
    if (addr->family != entry->family)
        return entry->family == AF_INET6 && entry->type == SOCK_DGRAM && addr->family == AF_INET
                   ? 0
                   : -EAFNOSUPPORT;
    dmm_addr_unmap(addr);
    return 0;
}

/* ---- ends ---- */

static bool all_sent(void *arg)
{
    struct dmm_socket *sock = arg;
    return (socket_state(sock) & DMM_SS_DEAD) ||
           atomic_load_explicit(&sock->tx_head, memory_order_acquire) ==
               atomic_load_explicit(&sock->tx_tail, memory_order_relaxed);
}

/* SO_LINGER with a time: close() waits until the stack has taken (and for a stream: got
 * acknowledged) what was sent, for that long at most. */
static void linger(struct entry *entry)
{
    struct dmm_socket *sock = entry->part.sock;
    uint32_t seconds = socket_word(sock, WORD_LINGER_S);
    if (entry->type != SOCK_STREAM || !(socket_word(sock, WORD_STATUS) & STATUS_LINGER) ||
        seconds == 0 || all_sent(sock))
        return;
    struct waiter *waiter = waiter_get(entry->client);
    uint64_t deadline = waiter_now() + (uint64_t)seconds * 1000000000u;
    if (!waiter)
        return;
    waiter_begin(waiter);
    /* OUT news come when there is room after tx_nospace: each is a reason to look again. */
    atomic_store_explicit(&sock->tx_nospace, 1, memory_order_seq_cst);
    if (waiter_watch(waiter, &entry->part) == 0) {
        while (!all_sent(sock) && waiter_now() < deadline) {
            uint64_t soon = waiter_now() + 10000000u;
            waiter_wait(waiter, all_sent, sock, soon < deadline ? soon : deadline, -1);
        }
    }
}

void socket_destroy(struct entry *entry)
{
    int saved = errno;
    epoll_forget(entry);
    recover_forget(entry);
    cork_forget(entry);
    uint32_t n = socket_parts(entry);
    if (entry->phase == PHASE_STACK)
        linger(entry);
    for (uint32_t i = 0; i < n; i++)
        socket_close_part(entry->client, socket_part(entry, i));
    if (entry->phase == PHASE_UNDECIDED && entry->late && entry->late->n_parts)
        socket_close_part(entry->client, &entry->late->parts[0]);
    entry_close_protected(&entry->companion);
    errno = saved;
}

void socket_lost(struct entry *entry, const struct client *client)
{
    uint32_t n = socket_parts(entry);
    if (n && (socket_state(socket_part(entry, 0)->sock) & DMM_SS_LISTENING)) {
        recover_suspend(entry, client);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct dmm_socket *sock = socket_part(entry, i)->sock;
        /* The sidecar is gone, so its words are ours; other processes store the same. */
        if (!(atomic_load_explicit(&sock->state, memory_order_relaxed) & DMM_SS_DEAD)) {
            atomic_store_explicit(&sock->so_error, ECONNRESET, memory_order_relaxed);
            atomic_fetch_or_explicit(&sock->state, DMM_SS_DEAD, memory_order_release);
        }
    }
    /* Not waited for: the holder may be this thread, in a call that found the sidecar dead. A probe
     * that stays is one of a dead client, which nobody uses. */
    if (!lock_try(&entry->lock, LOCK_PRIVATE))
        return;
    if (entry->phase == PHASE_UNDECIDED && entry->late)
        atomic_store_explicit(&entry->late->n_parts, 0, memory_order_release);
    lock_drop(&entry->lock);
}

void socket_disown(struct entry *entry)
{
    if (entry->phase == PHASE_NATIVE || (entry->phase == PHASE_UNDECIDED && entry->kernel))
        return;
    entry->client = &nobody;
    entry->part.sock = &nothing;
    entry->items = NULL;
    atomic_store_explicit(&entry->phase, PHASE_STACK, memory_order_release);
}
