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

extern const char epoll_kick_tag;

struct epoll_item *epoll_item_at(uint32_t number);
/* The item whose address is `data`, or NULL. */
struct epoll_item *epoll_item_of_data(uint64_t data);

static inline bool epoll_is_nested(const struct epoll_set *set)
{
    return atomic_load_explicit(&set->nested, memory_order_relaxed);
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
int epoll_need_waitset(struct epoll_set *set, struct client *client);
void epoll_drop_waitset(struct epoll_set *set);
/* Off the ready queue, if it is on it. */
void epoll_unqueue(struct epoll_set *set, struct epoll_item *item);

#endif
