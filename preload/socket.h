/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket: what all operations on the shim's sockets share: the words that the shim keeps in the
 * region (app_private), opening and closing a part, and the ends of an entry's life.
 *
 * Any thread. Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef DMM_PRELOAD_SOCKET_H
#define DMM_PRELOAD_SOCKET_H

#include "preload/client.h"
#include "preload/entry.h"

/* dmm_socket.app_private: shared by all processes that hold the socket. relaxed, all. */
enum socket_word {
    WORD_STATUS,      /* STATUS_* */
    WORD_RCVTIMEO_MS, /* 0: none; SOCKET_AT_ONCE: no time at all */
    WORD_SNDTIMEO_MS,
    WORD_RCVLOWAT, /* 0: 1 */
    WORD_LINGER_S,
    WORD_SNDBUF, /* as getsockopt tells it; 0: not set */
    WORD_RCVBUF,
    WORD_SEGMENT, /* UDP_SEGMENT: bytes; 0: none */
    WORD_NOTSENT_LOWAT,
    WORD_N,
    /* SO_PEEK_OFF (peek.h): what the other kind of socket has no use for. */
    WORD_PEEK_OFF_STREAM = WORD_SEGMENT,
    WORD_PEEK_OFF_DATAGRAM = WORD_NOTSENT_LOWAT,
};
enum {
    STATUS_NONBLOCK = 1 << 0,
    STATUS_LINGER = 1 << 1,
    STATUS_PKTINFO4 = 1 << 2,       /* IP_PKTINFO */
    STATUS_RECVTTL4 = 1 << 3,       /* IP_RECVTTL */
    STATUS_RECVTOS4 = 1 << 4,       /* IP_RECVTOS */
    STATUS_CONNECTED = 1 << 5,      /* connect() has told of its success */
    STATUS_PKTINFO6 = 1 << 6,       /* IPV6_RECVPKTINFO */
    STATUS_RECVTTL6 = 1 << 7,       /* IPV6_RECVHOPLIMIT */
    STATUS_RECVTOS6 = 1 << 8,       /* IPV6_RECVTCLASS */
    STATUS_KEPT_KEEPALIVE = 1 << 9, /* options that Linux, too, only keeps */
    STATUS_BROADCAST = 1 << 10,
    STATUS_KEPT_ERR_QUEUE = 1 << 11,
    STATUS_KEPT_DEBUG = 1 << 12,
    STATUS_CORK = 1 << 13, /* TCP_CORK, UDP_CORK */
    STATUS_MORE = 1 << 14, /* a stream is corked for MSG_MORE */
    STATUS_KEPT_APPEND = 1 << 15,
    STATUS_GRO = 1 << 16,         /* UDP_GRO */
    STATUS_INQ = 1 << 17,         /* TCP_INQ */
    STATUS_ORIGDST4 = 1 << 18,    /* IP_RECVORIGDSTADDR */
    STATUS_ORIGDST6 = 1 << 19,    /* IPV6_RECVORIGDSTADDR */
    STATUS_STAMP = 1 << 20,       /* SO_TIMESTAMP */
    STATUS_STAMP_NS = 1 << 21,    /* SO_TIMESTAMPNS */
    STATUS_SIGNALS = 1 << 22,     /* has had O_ASYNC: see signals.h */
    STATUS_OWNED = 1 << 23,       /* F_SETOWN or F_SETSIG came before the decision */
    STATUS_DROPS = 1 << 24,       /* SO_RXQ_OVFL */
    STATUS_NO_FILTER = 1 << 25,   /* SO_LOCK_FILTER */
    STATUS_SNDBUF_LOCK = 1 << 26, /* SO_BUF_LOCK: as high as these are set, they stay */
    STATUS_RCVBUF_LOCK = 1 << 27,
};

#define SOCKET_AT_ONCE UINT32_MAX

static inline uint32_t socket_word(struct dmm_socket *sock, enum socket_word word)
{
    return atomic_load_explicit(&sock->app_private[word], memory_order_relaxed);
}
static inline void socket_set_word(struct dmm_socket *sock, enum socket_word word, uint32_t value)
{
    atomic_store_explicit(&sock->app_private[word], value, memory_order_relaxed);
}

static inline uint32_t socket_state(const struct dmm_socket *sock)
{
    /* Acquire: addresses and ring positions that came before the state. */
    return atomic_load_explicit(&sock->state, memory_order_acquire);
}

/* The status word of the open file description, wherever it is kept now. */
_Atomic uint32_t *socket_status(struct entry *entry);
bool socket_nonblock(struct entry *entry);
void socket_change_status(struct entry *entry, uint32_t set, uint32_t clear);

/* Whose name goes into rx_lock and tx_lock. */
static inline uint32_t socket_owner(const struct entry *entry)
{
    return entry->client->process + 1;
}

/* When a call that began now must end, by the option in `word`: ns of CLOCK_MONOTONIC, 0: never.
 * Kept in *deadline from the first call on. */
uint64_t socket_deadline(struct dmm_socket *sock, enum socket_word word, uint64_t *deadline);

/* OPEN, and with a `peer` CONNECT too; in the place of `old`, a listener that the sidecar's end
 * took away, unless that is NULL. The part is the caller's to close. */
int socket_open_part(struct client *client, uint32_t instance, uint16_t family,
                     const struct entry *entry, const struct part *old, const struct dmm_addr *peer,
                     struct part *part);
void socket_close_part(struct client *client, const struct part *part);
int socket_bind_part(struct client *client, struct part *part, const struct dmm_addr *addr,
                     struct dmm_addr *bound);

/* The parts of an entry: their number, and the i-th. */
uint32_t socket_parts(struct entry *entry);
struct part *socket_part(struct entry *entry, uint32_t i);

/* Tells an address to the app: in the family of its socket, with the length that it gave. */
void socket_tell_address(const struct entry *entry, struct dmm_addr addr, struct sockaddr *sa,
                         socklen_t *len);
#define SOCKET_IN6_LEN                                                                             \
    24 /* bytes of the least IPv6 address, RFC 2133's: looked at before the family */
/* An address from the app: family checked against the socket's; IPv4 if it is mapped. */
int socket_take_address(const struct entry *entry, const struct sockaddr *sa, socklen_t len,
                        struct dmm_addr *addr);

/* Called by entry_put() for the last reference. */
void socket_destroy(struct entry *entry);
/* The sidecar of `client`, which was the entry's, is gone: all parts are dead with ECONNRESET; a
 * listener is suspended. Takes no lock that its caller may hold. */
void socket_lost(struct entry *entry, const struct client *client);
/* In a child that shares nothing with its parent: the socket becomes a dead one of its own. */
void socket_disown(struct entry *entry);

/* SO_ERROR: takes the pending error (0: none). */
int socket_take_error(struct dmm_socket *sock);

#endif
