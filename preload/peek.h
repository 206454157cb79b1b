/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peek: SO_PEEK_OFF (socket(7)): where the next read with MSG_PEEK begins, of what waits to be
 * read. A peek moves it on by what it told, what is read moves it back. Negative: there is none,
 * peeks begin at the beginning.
 *
 * Any thread, under the socket's rx_lock where it goes with what the ring holds.
 */
#ifndef DMM_PRELOAD_PEEK_H
#define DMM_PRELOAD_PEEK_H

#include "preload/socket.h"

static inline enum socket_word peek_word(const struct dmm_socket *sock)
{
    return sock->type == SOCK_STREAM ? WORD_PEEK_OFF_STREAM : WORD_PEEK_OFF_DATAGRAM;
}

/* The word is inverted: a new socket's 0 is -1. */
static inline int32_t peek_offset(struct dmm_socket *sock)
{
    return (int32_t)~socket_word(sock, peek_word(sock));
}

static inline void peek_set_offset(struct dmm_socket *sock, int32_t offset)
{
    socket_set_word(sock, peek_word(sock), ~(uint32_t)offset);
}

/* `len` bytes were read, or were told by a peek. */
static inline void peek_move_offset(struct dmm_socket *sock, size_t len, int flags)
{
    uint32_t now = (uint32_t)peek_offset(sock);
    if (__builtin_expect(now > INT32_MAX, 1))
        return;
    now = (flags & MSG_PEEK) ? now + (uint32_t)len : now > len ? now - (uint32_t)len : 0;
    peek_set_offset(sock, (int32_t)(now & INT32_MAX));
}

#endif
