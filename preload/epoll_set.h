/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll_set: the parts of epoll that its two halves share (epoll.c: control, epoll_wait.c:
 * waiting). All under set->lock.
 */
#ifndef DMM_PRELOAD_EPOLL_SET_H
#define DMM_PRELOAD_EPOLL_SET_H

#include "preload/epoll.h"

/* What an item may tell besides what it was asked for. */
#define EPOLL_ALWAYS   (EPOLLERR | EPOLLHUP)
#define EPOLL_ALL_NEWS (DMM_EV_IN | DMM_EV_OUT | DMM_EV_ERR | DMM_EV_HUP | DMM_EV_RDHUP)

/* Data of our own in epoll instances: of the kick, of the mover, of the epfd in a bed. */
extern const char epoll_kick_tag, epoll_mover_tag, epoll_epfd_tag;

struct epoll_item *epoll_item_at(uint32_t number);
/* The item whose address is `data`, or NULL. */
struct epoll_item *epoll_item_of_data(uint64_t data);

static inline bool epoll_is_nested(const struct epoll_set *set)
{
    return atomic_load_explicit(&set->nested, memory_order_relaxed);
}

/* What the app wants to hear of now. */
static inline uint32_t epoll_asked(const struct epoll_item *item)
{
    return item->told->fired ? 0 : item->events;
}
/* Where the process's threads sleep. */
static inline int epoll_bed(const struct epoll_set *set, int epfd)
{
    int bed = atomic_load_explicit(&set->bed, memory_order_relaxed);
    return bed >= 0 ? bed : epfd;
}

/* Drops set->lock, and sees to what came meanwhile (set->lost). */
void epoll_unlock(struct epoll_set *set);
void epoll_queue(struct epoll_set *set, struct epoll_item *item, uint32_t news);
/* True if something on the queue has anything to tell; drops what has not from its front. */
bool epoll_has_news(struct epoll_set *set);
/* Takes the waitset's ready list over into the queue. */
void epoll_take_news(struct epoll_set *set);
/* If others sleep, or the set is nested: arms the waitset again, and makes sure that what came in
 * between, and what the caller leaves on the queue, wakes one of them. */
void epoll_pass_on(struct epoll_set *set);
/* A waitset of a live client, after attaching or a fork: re-made, and all items watch again. */
/* The set is nested from now on. It is then always armed, which must not take the wake-ups of other
 * sets with EPOLLEXCLUSIVE. */
void epoll_share_wakes(struct epoll_set *set);
int epoll_need_waitset(struct epoll_set *set, struct client *client);
void epoll_drop_waitset(struct epoll_set *set);
/* Off the ready queue, if it is on it. */
void epoll_unqueue(struct epoll_set *set, struct epoll_item *item);
/* Puts an fd of our own, edge-triggered, where the process sleeps, and into the epfd if the set is
 * nested. False: errno says why. */
bool epoll_place(struct epoll_set *set, int fd, const void *data);

/* ---- epoll_fork.c ---- */

/* The set is apart: makes its bed, if it has none. 0 or a negative errno. */
int epoll_need_bed(struct epoll_set *set);
/* Was this number given by epoll_create() before a fork? */
bool epoll_was_forked(int fd);
/* A thread that slept in the epfd is awake. */
void epoll_left_epfd(struct epoll_set *set);
/* The set is nested from now on: the epfd tells of its sockets too. */
void epoll_also_in_epfd(struct epoll_set *set);
bool epoll_may_be(int fd);
/* The item's end: of its told too. */
void epoll_drop_told(struct epoll_item *item);
/* Begins to write what the item is told: true if no other process has told it since `turn`. */
bool epoll_begin_telling(struct epoll_told *told, uint32_t turn);
void epoll_end_telling(struct epoll_told *told);
/* The turn, once nobody writes. */
uint32_t epoll_telling_turn(struct epoll_told *told);

/* ---- epoll_exec.c ---- */

/* An item on its way to the next image: in a memfd, an array of these. */
struct epoll_left {
    int32_t epfd, fd;
    uint32_t socket; /* index of its first part; DMM_NONE: it has none yet */
    uint32_t events;
    uint64_t data;
    bool in_kernel;
    struct epoll_told told;
};

/* Puts an item that was left into its set again. */
void epoll_take_in(const struct epoll_left *left, struct entry *entry);
/* Another process will have the set: see epoll.h, `apart`. Under set->lock. */
void epoll_set_apart(struct epoll_set *set);

#endif
