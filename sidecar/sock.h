/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sock: one socket of a client, as the host knows it (the handle that sidecar/stack.h calls
 * struct dmm_sock), and what is done to it.
 *
 * Invariants
 *   - This private struct is the truth. A shared word that the app writes is read once, checked
 *     against it, and only then stored here; rings are used at the offsets kept here.
 *       rx_head is between the last rx_head and rx_tail; rx_tail - rx_head <= ring size
 *       tx_tail is at or past the last tx_tail; tx_tail - tx_head <= ring size
 *       tx_ring is the ring in use or the one on offer
 *   - A check that fails marks the client (dmm_client_violation) and reports nothing there; the
 *     worker ends the client at its next safe point, never inside a stack's call.
 *   - Holders are processes, and placeholders of its own (`exports`: common/proto.h, EXPORT). The
 *     last to let go closes (dmm_sock_close). The struct lives until it is both closed and released
 *     by the stack; then its index goes back (dmm_sock_free).
 *   - A queued socket (accepted by the stack, not yet by the app) has no holder and is in its
 *     listener's list.
 *
 * Worker thread only.
 */
#ifndef DMM_SIDECAR_SOCK_H
#define DMM_SIDECAR_SOCK_H

#include "common/region.h"
#include "sidecar/limits.h"
#include "sidecar/stack.h"

struct dmm_client;
struct dmm_instance;
struct dmm_worker;

enum dmm_sock_kind { DMM_SOCK_STREAM, DMM_SOCK_LISTENER, DMM_SOCK_DATAGRAM };

/* A receive ring that was replaced while the app still had bytes to read from it. */
struct dmm_old_ring {
    struct dmm_old_ring *next;
    uint64_t ref;
    uint32_t until; /* free once rx_head is here */
};

#define DMM_WATCH_OFF      UINT16_MAX
#define DMM_WATCH_DEFERRED 0x8000u /* in events: pending is set, the link into the list is owed */

struct dmm_watch_private {
    uint16_t waitset; /* DMM_WATCH_OFF: the slot was never used, or its waitset has gone */
    uint16_t events;  /* 0: not watched (but perhaps still linked) */
};

/* dmm_sock.flags */
enum {
    DMM_SOCK_CLOSED = 1 << 0,   /* the host let go of ssock */
    DMM_SOCK_RELEASED = 1 << 1, /* so did the stack */
    DMM_SOCK_QUEUED = 1 << 2,   /* in its listener's queue */
    DMM_SOCK_ADOPT = 1 << 3,
    DMM_SOCK_SHUT_WR = 1 << 4,
    DMM_SOCK_SHUT_RD = 1 << 5,
    DMM_SOCK_ACCEPT_FULL = 1 << 6, /* the stack was refused: tell it of room */
    DMM_SOCK_NEWS = 1 << 7,        /* in the worker's list of sockets with news */
    DMM_SOCK_ROOM = 1 << 8,        /* bytes left the transmit ring this turn */
    DMM_SOCK_BOUND = 1 << 9,
    DMM_SOCK_LINGERS = 1 << 10,     /* close() has returned and released() is to come */
    DMM_SOCK_DEFERRED = 1 << 11,    /* a watch has DMM_WATCH_DEFERRED */
    DMM_SOCK_ABORT = 1 << 12,       /* its last holder wanted RST; an export keeps it so far */
    DMM_SOCK_SPARE = 1 << 13,       /* opened ahead, not taken yet: spares.h */
    DMM_SOCK_DOUBTED = 1 << 14,     /* was claimed when a process died: its claim, perhaps */
    DMM_SOCK_TELLS_DROPS = 1 << 15, /* SO_RXQ_OVFL */
};

struct dmm_sock {
    struct dmm_client *client;
    struct dmm_instance *instance;
    void *ssock;
    struct dmm_socket *shared;
    uint32_t index;
    uint16_t flags;
    uint16_t news;      /* DMM_EV_* of this turn */
    uint16_t n_news;    /* how often there were any */
    uint8_t kind;       /* enum dmm_sock_kind */
    uint8_t spare_slot; /* if DMM_SOCK_SPARE: its place in the channel */
    uint16_t family;
    uint16_t n_watches; /* slots below this were used */
    uint32_t state;     /* DMM_SS_*, as published */
    struct dmm_sock *news_next, *news_prev;

    uint64_t rx_ref, tx_ref, tx_offer; /* dmm_ring_ref */
    uint32_t rx_head, rx_tail, rx_limit, rx_burst;
    uint64_t rx_burst_start;
    uint32_t rx_most;    /* how far rx_limit grows by itself */
    uint32_t rx_dropped; /* datagrams that found no room */
    struct dmm_old_ring *rx_old;
    uint32_t tx_head, tx_tail, tx_limit;
    /* Of the oldest datagram: its record's size and payload, how much the stack saw in the last
     * tx_datagram() and how much of the payload went before that. */
    uint32_t tx_record, tx_payload, tx_shown, tx_cut;
    uint32_t tx_sent, notsent_lowat; /* stream: TCP_NOTSENT_LOWAT and, if that is not 0, how far */

    /* Listener: backlog and queue. Queued: its listener (NULL once that is closed), its place. */
    struct dmm_sock *listener, *queue_next, *queue_prev;
    uint32_t backlog, queue_position, rx_limit_children;

    struct dmm_addr bound; /* what BIND gave, if DMM_SOCK_BOUND */
    uint32_t adopted;      /* if DMM_SOCK_ADOPT: the socket of the earlier sidecar that this is */
    uint64_t holders[DMM_CLIENT_PROCESSES / 64];
    uint32_t exports;
    int bell; /* of an export with DMM_EXPORT_SIGNALS, by which O_ASYNC's signals are sent: fd + 1
               */
    struct dmm_watch_private watches[DMM_WATCH_INLINE];
    struct dmm_watch_private *watches_more;
    uint64_t watches_ext; /* offset in the region */
};

/* ---- sockets.c: life ---- */

/* A new socket in the client's table, of no holder, its shared words set up. NULL: table full. */
struct dmm_sock *dmm_sock_new(struct dmm_client *client, struct dmm_instance *instance,
                              const struct dmm_open *open);
/* Gives back the index, the rings and the struct. Closed and released, or never opened. */
void dmm_sock_free(struct dmm_sock *sock);
/* An address of the app's, as the ABI has it: for a socket of AF_INET6 IPv4 is mapped. */
void dmm_sock_map_address(const struct dmm_sock *sock, struct dmm_addr *addr);
void dmm_sock_hold(struct dmm_sock *sock, uint32_t process);
bool dmm_sock_held(const struct dmm_sock *sock, uint32_t process);
/* Lets go; the last holder's closes, with `abort` by RST. `sock` may be gone afterwards. */
void dmm_sock_let_go(struct dmm_sock *sock, uint32_t process, bool abort);
bool dmm_sock_has_holder(const struct dmm_sock *sock);
/* A placeholder of its own is gone. `sock` may be, too, afterwards. */
void dmm_sock_unexport(struct dmm_sock *sock);
/* Closes as the kernel does: unread bytes mean RST (RFC 2525 2.17), else FIN after what is in the
 * ring. A listener's queue that no one claimed is reset. `sock` may be gone afterwards. */
void dmm_sock_close(struct dmm_sock *sock, bool abort);
void dmm_sock_set_state(struct dmm_sock *sock, uint32_t bits);
void dmm_sock_dead(struct dmm_sock *sock, int error);

/* Gives the socket an index and shared words in `to`, and enters it there; what it has left in its
 * client goes to *left, for dmm_sock_leave_index(). False: nothing changed. Its rings are the
 * caller's to move. */
struct dmm_freed_socket;
bool dmm_sock_take_index(struct dmm_sock *sock, struct dmm_client *to, const struct dmm_open *open,
                         struct dmm_freed_socket *left);
void dmm_sock_leave_index(struct dmm_client *client, const struct dmm_freed_socket *left);

/* ---- socket_move.c ---- */

/* Moves a socket without holders, a listener with its queue, to another client of the worker. 0, or
 * a negative errno (-EBUSY: not now); then it stays. */
int dmm_sock_move(struct dmm_sock *sock, struct dmm_client *to);

/* ---- socket_rx.c ---- */

uint32_t dmm_sock_rx_space(const struct dmm_sock *sock);
int dmm_sock_rx_write(struct dmm_sock *sock, const void *data, uint32_t len);
int dmm_sock_rx_datagram(struct dmm_sock *sock, const struct dmm_datagram *datagram);
/* Reads rx_head anew. False: it is impossible, the client has been marked. */
bool dmm_sock_rx_refresh(struct dmm_sock *sock);
/* Makes the receive ring hold at least `bytes`. False: no memory. */
bool dmm_sock_rx_reserve(struct dmm_sock *sock, uint32_t bytes);
/* The app emptied what it was asked to: it keeps up, so it may buffer more. */
void dmm_sock_rx_keeps_up(struct dmm_sock *sock);
void dmm_sock_rx_free(struct dmm_sock *sock);

/* ---- socket_tx.c ---- */

uint32_t dmm_sock_tx_pending(struct dmm_sock *sock);
unsigned dmm_sock_tx_peek(const struct dmm_sock *sock, uint32_t offset, uint32_t len,
                          struct iovec iov[2]);
void dmm_sock_tx_consume(struct dmm_sock *sock, uint32_t len);
void dmm_sock_tx_sent(struct dmm_sock *sock, uint32_t len);
/* TCP_NOTSENT_LOWAT, which the stack has taken. */
void dmm_sock_set_notsent_lowat(struct dmm_sock *sock, uint32_t bytes);
bool dmm_sock_tx_datagram(struct dmm_sock *sock, struct dmm_datagram *datagram);
void dmm_sock_tx_datagram_done(struct dmm_sock *sock);
/* Reads tx_tail and tx_ring anew. False: impossible, the client has been marked. */
bool dmm_sock_tx_refresh(struct dmm_sock *sock);
/* Offers a ring of at least `bytes` if the present one is smaller and none is on offer. */
void dmm_sock_tx_offer(struct dmm_sock *sock, uint32_t bytes);
/* Offers a larger ring if the app has filled half of this one. */
void dmm_sock_tx_grow_if_full(struct dmm_sock *sock);
/* After room was made: does the app wait for it? Clears tx_nospace and says so. */
bool dmm_sock_tx_wanted(struct dmm_sock *sock);
void dmm_sock_tx_free(struct dmm_sock *sock);

/* ---- socket_accept.c ---- */

uint32_t dmm_sock_accept_space(const struct dmm_sock *listener);
int dmm_sock_accepted(struct dmm_sock *listener, void *ssock, const struct dmm_addr *local,
                      const struct dmm_addr *peer, struct dmm_sock **sock);
/* The app says that it took `sock` from its listener's queue. False: it can't have. */
bool dmm_sock_claim(struct dmm_sock *sock, uint32_t process);
/* A listener closes: its queue is reset, but what a process may just have claimed. */
void dmm_sock_queue_drop(struct dmm_sock *listener);
/* Takes a queued socket out of its listener's list. */
void dmm_sock_queue_leave(struct dmm_sock *sock);
/* True if `sock` is queued, was claimed (or has no listener left), and so waits for ACCEPTED. */
bool dmm_sock_claimed(const struct dmm_sock *sock);

/* ---- events.c: news to waitsets ---- */

/* Notes news; they are pushed at the end of the turn. */
void dmm_sock_news(struct dmm_sock *sock, uint32_t events);
/* 0, or -EINVAL: no such slot. `waitset` has been checked. */
int dmm_sock_watch(struct dmm_sock *sock, uint32_t slot, uint32_t waitset, uint32_t events);
int dmm_sock_unwatch(struct dmm_sock *sock, uint32_t slot);
/* The slots beyond the inline ones; 0 or a negative errno. */
int dmm_sock_watch_more(struct dmm_sock *sock);
/* No more news to that waitset; to those of that process; to any. */
void dmm_sock_unwatch_waitset(struct dmm_sock *sock, uint32_t waitset);
void dmm_sock_unwatch_process(struct dmm_sock *sock, uint32_t process);
void dmm_sock_unwatch_all(struct dmm_sock *sock);
/* Is a watch of a freed socket still linked in some list? */
bool dmm_sock_watches_linked(const struct dmm_client *client, const struct dmm_freed_socket *freed);
/* Gives a new socket the slots beyond the inline ones that its index still has, if it has. */
int dmm_sock_watches_inherit(struct dmm_sock *sock, const struct dmm_freed_socket *freed);
/* Out of the worker's list, before it is freed. */
void dmm_sock_news_forget(struct dmm_sock *sock);
/* The end of the turn: pushes news, rings doorbells; returns how many. */
unsigned dmm_events_flush(struct dmm_worker *worker);

#endif
