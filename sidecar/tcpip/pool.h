/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: objects of one size from chunks that are kept for reuse.
 *
 * Invariants: at most `limit` objects are out; a free object is on the free list, so get and put
 * are O(1); memory is asked for only when the free list is empty, for a whole chunk, each twice as
 * large as the one before up to a huge page. Chunks go back when the pool is destroyed. Objects
 * come uninitialised. One thread.
 */
#ifndef DMM_SIDECAR_TCPIP_POOL_H
#define DMM_SIDECAR_TCPIP_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pool_object;
struct pool_chunk;

struct pool {
    struct pool_object *free;
    struct pool_chunk *chunks;
    uint32_t size;      /* of an object, at least a pointer's */
    uint32_t per_chunk; /* objects of the next chunk */
    uint32_t limit;     /* objects */
    uint32_t used;      /* objects out */
    uint32_t made;      /* objects in all chunks */
};

void pool_init(struct pool *pool, size_t size, uint32_t per_chunk, uint32_t limit);
void pool_destroy(struct pool *pool);
/* NULL: the limit is reached, or out of memory. */
void *pool_get(struct pool *pool);
void pool_put(struct pool *pool, void *object);

/* Memory for many objects, a multiple of a cache line, to be given to free(); NULL: there is none.
 * Much of it lies on huge pages where the kernel has them: a lookup among 100,000 connections pays
 * for a cache miss, not for a walk of page tables too. */
void *pool_memory(size_t bytes);

#endif
