/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/cork.h"

#include "preload/command.h"
#include "preload/ioctx.h"
#include "preload/pool.h"
#include "preload/socket.h"
#include "preload/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

/* A datagram under way. */
struct cork {
    struct dmm_addr to; /* family 0: the connected peer */
    uint32_t len;
    char bytes[DMM_DATAGRAM_MAX];
};

static struct pool corks = POOL(struct cork, 1u << 8);

/* ---- streams ---- */

static void set_cork(struct entry *entry, int on)
{
    struct dmm_command command = {
        .op = DMM_CMD_SETSOCKOPT,
        .reply = DMM_NO_REPLY,
        .socket = entry->part.index,
        .opt = {.level = IPPROTO_TCP, .name = TCP_CORK, .len = sizeof(on)}};
    memcpy(command.opt.value, &on, sizeof(on));
    command_send(entry->client, &command);
    socket_change_status(entry, on ? STATUS_MORE : 0, on ? 0 : STATUS_MORE);
}

void cork_stream_before(struct entry *entry, int flags)
{
    if ((flags & MSG_MORE) &&
        !(socket_word(entry->part.sock, WORD_STATUS) & (STATUS_MORE | STATUS_CORK)))
        set_cork(entry, 1);
}

void cork_stream_after(struct entry *entry, int flags)
{
    uint32_t status = socket_word(entry->part.sock, WORD_STATUS);
    if (__builtin_expect(!(status & STATUS_MORE), 1) || (flags & MSG_MORE))
        return;
    if (status & STATUS_CORK)
        socket_change_status(entry, 0, STATUS_MORE); /* the app's own cork stays */
    else
        set_cork(entry, 0);
}

/* ---- datagrams ---- */

/* Under entry->lock. */
static ssize_t collect(struct entry *entry, const struct msghdr *msg, const struct dmm_addr *to)
{
    struct cork *cork = entry->cork;
    ssize_t total = io_total(msg->msg_iov, msg->msg_iovlen);
    if (total < 0)
        return -EMSGSIZE;
    if (!cork) {
        cork = pool_take(&corks);
        if (!cork)
            return -ENOBUFS;
        cork->len = 0;
        cork->to = to ? *to : (struct dmm_addr){.family = 0};
        entry->cork = cork;
    }
    if ((size_t)total > sizeof(cork->bytes) - cork->len)
        return -EMSGSIZE;
    io_gather(cork->bytes + cork->len, msg->msg_iov, msg->msg_iovlen, 0, (size_t)total);
    cork->len += (uint32_t)total;
    return total;
}

/* Takes what was collected; sends it. */
static ssize_t send_collected(struct entry *entry, int flags)
{
    lock_take(&entry->lock, LOCK_PRIVATE);
    struct cork *cork = entry->cork;
    entry->cork = NULL;
    lock_drop(&entry->lock);
    if (!cork)
        return 0;
    struct iovec iov = {.iov_base = cork->bytes, .iov_len = cork->len};
    const struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t r = datagram_send(entry, &entry->part, &msg, cork->to.family ? &cork->to : NULL,
                              flags & ~MSG_MORE);
    pool_give(&corks, cork);
    return r;
}

bool cork_datagram(struct entry *entry, const struct msghdr *msg, const struct dmm_addr *to,
                   int flags, ssize_t *result)
{
    bool more = (flags & MSG_MORE) || (socket_word(entry->part.sock, WORD_STATUS) & STATUS_CORK);
    if (__builtin_expect(!more && !entry->cork, 1))
        return false;
    if (!to && entry->part.sock->peer.family == 0) {
        *result = -EDESTADDRREQ;
        return true;
    }
    lock_take(&entry->lock, LOCK_PRIVATE);
    *result = collect(entry, msg, to);
    lock_drop(&entry->lock);
    if (*result >= 0 && !more) {
        ssize_t r = send_collected(entry, flags);
        *result = r < 0 ? r : *result;
    }
    return true;
}

void cork_changed(struct entry *entry)
{
    if (atomic_load_explicit(&entry->phase, memory_order_acquire) == PHASE_STACK && entry->cork &&
        !(socket_word(entry->part.sock, WORD_STATUS) & STATUS_CORK))
        send_collected(entry, 0);
}

void cork_forget(struct entry *entry)
{
    if (entry->cork)
        pool_give(&corks, entry->cork);
    entry->cork = NULL;
}
