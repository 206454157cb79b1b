/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring: the algorithms on the region's rings and lists. Pure; each function names its side.
 *
 * Command ring (app -> sidecar). Entry i starts with turn == i. A producer reserves position p,
 * waits until entries[p & mask].turn == p (free), fills the entry, then stores turn = p + 1
 * (release). The consumer takes position c when its turn reads c + 1 (acquire), copies the entry
 * out, then stores turn = c + DMM_CHANNEL_COMMANDS (release), which is the producers' next lap. The
 * consumer trusts only its own c, so whatever the app writes it reads one entry at a time and never
 * out of bounds. A producer that is interrupted by a signal handler that produces too merely delays
 * the later entry.
 *
 * Ready list (sidecar -> app): see struct dmm_watch.
 *
 * Byte rings: copies with wrap-around; positions are the caller's to check.
 */
#ifndef DMM_COMMON_RING_H
#define DMM_COMMON_RING_H

#include "common/region.h"

#include <string.h>

/* Sidecar, before the channel is handed out. */
static inline void dmm_channel_init(struct dmm_channel *channel)
{
    atomic_store_explicit(&channel->reserve, 0, memory_order_relaxed);
    atomic_store_explicit(&channel->replies_used, 0, memory_order_relaxed);
    atomic_store_explicit(&channel->stalled, 0, memory_order_relaxed);
    atomic_store_explicit(&channel->owner_pid, 0, memory_order_relaxed);
    /* An old reply must not look like one to the new owner, whose numbers may be the same. */
    for (uint32_t i = 0; i < DMM_CHANNEL_REPLIES; i++)
        atomic_store_explicit(&channel->replies[i].done, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < DMM_CHANNEL_SPARES; i++)
        atomic_store_explicit(&channel->spares[i], 0, memory_order_relaxed);
    for (uint32_t i = 0; i < DMM_CHANNEL_COMMANDS; i++)
        atomic_store_explicit(&channel->commands[i].turn, i, memory_order_release);
}

/* App: takes a position. Any thread of the owning process. */
static inline uint32_t dmm_command_reserve(struct dmm_channel *channel)
{
    return atomic_fetch_add_explicit(&channel->reserve, 1, memory_order_relaxed);
}

/* App: the entry at `position` if it is free yet, else NULL (the ring is full: wait and ask again).
 */
static inline struct dmm_command *dmm_command_slot(struct dmm_channel *channel, uint32_t position)
{
    struct dmm_command *slot = &channel->commands[position & (DMM_CHANNEL_COMMANDS - 1)];
    return atomic_load_explicit(&slot->turn, memory_order_acquire) == position ? slot : NULL;
}

/* App: hands the filled entry over. */
static inline void dmm_command_publish(struct dmm_command *slot, uint32_t position)
{
    atomic_store_explicit(&slot->turn, position + 1, memory_order_release);
}

/* Sidecar: copies the command at *position into *command and steps on. False: none there. */
static inline bool dmm_command_take(struct dmm_channel *channel, uint32_t *position,
                                    struct dmm_command *command)
{
    struct dmm_command *slot = &channel->commands[*position & (DMM_CHANNEL_COMMANDS - 1)];
    if (atomic_load_explicit(&slot->turn, memory_order_acquire) != *position + 1)
        return false;
    memcpy((char *)command + sizeof(slot->turn), (const char *)slot + sizeof(slot->turn),
           sizeof(*command) - sizeof(slot->turn));
    atomic_store_explicit(&slot->turn, *position + DMM_CHANNEL_COMMANDS, memory_order_release);
    ++*position;
    return true;
}

/* Sidecar: is there a command at `position`? */
static inline bool dmm_command_waiting(struct dmm_channel *channel, uint32_t position)
{
    struct dmm_command *slot = &channel->commands[position & (DMM_CHANNEL_COMMANDS - 1)];
    return atomic_load_explicit(&slot->turn, memory_order_acquire) == position + 1;
}

/*
 * Sidecar: notes `events` on a watch and links it into the ready list if it is not there yet.
 * Returns false if the app kept the list's head moving for DMM_PUSH_TRIES: the caller tries again
 * in its next turn (`pending` is set, so it must then call dmm_ready_link).
 */
#define DMM_PUSH_TRIES 16
static inline bool dmm_ready_link(struct dmm_waitset *waitset, struct dmm_watch *watch,
                                  uint32_t node)
{
    uint32_t head = atomic_load_explicit(&waitset->ready, memory_order_relaxed);
    for (int i = 0; i < DMM_PUSH_TRIES; i++) {
        atomic_store_explicit(&watch->next, head, memory_order_relaxed);
        /* Release: who takes the list sees `next` and all that was written before. */
        if (atomic_compare_exchange_weak_explicit(&waitset->ready, &head, node + 1,
                                                  memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}
static inline bool dmm_ready_push(struct dmm_waitset *waitset, struct dmm_watch *watch,
                                  uint32_t node, uint32_t events)
{
    if (atomic_fetch_or_explicit(&watch->pending, events, memory_order_acq_rel))
        return true;
    return dmm_ready_link(waitset, watch, node);
}

/* Sidecar: after publishing news: must the doorbell be rung? Sequentially consistent against the
 * app's armed = 1, look again. */
static inline bool dmm_should_wake(_Atomic uint32_t *armed)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(armed, memory_order_relaxed) == 1 &&
           atomic_exchange_explicit(armed, 0, memory_order_seq_cst) == 1;
}

/* Either side: says that it will sleep. What may have come before must be looked at after this. */
static inline void dmm_arm(_Atomic uint32_t *armed)
{
    atomic_store_explicit(armed, 1, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
}
static inline void dmm_disarm(_Atomic uint32_t *armed)
{
    atomic_store_explicit(armed, 0, memory_order_relaxed);
}

/* App: the whole ready list, newest first; 0 if empty. */
static inline uint32_t dmm_ready_take(struct dmm_waitset *waitset)
{
    if (!atomic_load_explicit(&waitset->ready, memory_order_relaxed))
        return 0;
    return atomic_exchange_explicit(&waitset->ready, 0, memory_order_acquire);
}

/* ThreadSanitizer sees one process of two: of the sidecar's word that a ring's memory is another
 * socket's now it knows nothing, and would find a race in each use by another thread. */
#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
static inline void dmm_ring_copy(void *to, const void *from, uint32_t len)
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    memcpy(to, from, len);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
static inline void dmm_ring_copy(void *to, const void *from, uint32_t len)
{
    memcpy(to, from, len);
}
#endif

/* Copies into and out of a ring of `size` bytes at stream position `at`; len <= size. Of no bytes,
 * the other end may be null. */
static inline void dmm_ring_write(char *ring, uint32_t size, uint32_t at, const void *from,
                                  uint32_t len)
{
    if (!len)
        return;
    uint32_t start = at & (size - 1);
    uint32_t first = len < size - start ? len : size - start;
    dmm_ring_copy(ring + start, from, first);
    dmm_ring_copy(ring, (const char *)from + first, len - first);
}
static inline void dmm_ring_read(const char *ring, uint32_t size, uint32_t at, void *to,
                                 uint32_t len)
{
    if (!len)
        return;
    uint32_t start = at & (size - 1);
    uint32_t first = len < size - start ? len : size - start;
    dmm_ring_copy(to, ring + start, first);
    dmm_ring_copy((char *)to + first, ring, len - first);
}
/* Copies [at, at + len) from one ring to another at the same positions. */
void dmm_ring_move(char *to, uint32_t to_size, const char *from, uint32_t from_size, uint32_t at,
                   uint32_t len);

#endif
