/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: objects of one size in one reserved stretch of address space, which costs memory only where
 * it is used. Memory is type-stable: an object's memory is only ever reused for such an object, so
 * a stale pointer can be looked at safely. Nothing comes from the app's heap, so the shim may be
 * called from anywhere in an allocator or a signal handler.
 *
 * Invariants: `base` is set once, under `lock`; objects [0, used) have been given out at least
 * once; the chain of free ones lies beside the objects, not in them. Any thread.
 */
#ifndef DMM_PRELOAD_POOL_H
#define DMM_PRELOAD_POOL_H

#include "preload/lock.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct pool {
    size_t size;      /* of one object, a multiple of 8; constant */
    uint32_t maximum; /* constant */
    lock_word lock;
    char *_Atomic base; /* rel/acq */
    uint32_t limit;     /* objects that the stretch has room for */
    uint32_t used;
    uint32_t free; /* index + 1 of the first free one; 0: none */
};

#define POOL(type, max)                                                                            \
    {                                                                                              \
        .size = (sizeof(type) + 15) & ~(size_t)15, .maximum = (max)                                \
    }

/* An object, its memory as the last user left it (zero the first time); NULL: none left. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *object);

/* The object's number, or UINT32_MAX if it is not one of this pool. */
uint32_t pool_index(struct pool *pool, const void *object);
/* The object of that number, or NULL if none was given out yet by that number. */
void *pool_at(struct pool *pool, uint32_t index);

#endif
