/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock: a futex lock in one word, in private memory or in the region.
 *
 * Word: 0 free; else the owner (non-zero, 31 bits), with bit 31 set while someone may be waiting.
 * Not recursive, not for signal handlers that interrupt their own thread's critical section. In the
 * region the owner is the process index + 1, by which the sidecar frees what a dead process held;
 * waiters therefore look again now and then instead of relying on a wake-up alone.
 */
#ifndef DMM_PRELOAD_LOCK_H
#define DMM_PRELOAD_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOCK_WAITERS UINT32_C(0x80000000)
#define LOCK_PRIVATE 1 /* the owner of locks that one process alone uses */

typedef _Atomic uint32_t lock_word;

void lock_wait(lock_word *word, uint32_t owner);
void lock_wake(lock_word *word);

static inline bool lock_try(lock_word *word, uint32_t owner)
{
    uint32_t expected = 0;
    /* Acquire: pairs with the release in lock_drop(). */
    return atomic_compare_exchange_strong_explicit(word, &expected, owner, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void lock_take(lock_word *word, uint32_t owner)
{
    if (__builtin_expect(!lock_try(word, owner), 0))
        lock_wait(word, owner);
}

/* A full barrier: what the holder stored comes before what it loads afterwards (the "seq"
 * handshakes of region.h lean on this). */
static inline void lock_drop(lock_word *word)
{
    if (__builtin_expect(atomic_exchange_explicit(word, 0, memory_order_seq_cst) & LOCK_WAITERS, 0))
        lock_wake(word);
}

#endif
