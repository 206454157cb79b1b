/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/pool.h"

#include <string.h>
#include <sys/mman.h>

/* The chain of free objects keeps its links beside the objects, not in them: they are type-stable.
 * The links lie after the objects in the same stretch. */
static uint32_t *free_links(struct pool *pool, char *base)
{
    return (uint32_t *)(base + pool->size * pool->limit);
}

static char *reserve(struct pool *pool)
{
    char *base = atomic_load_explicit(&pool->base, memory_order_relaxed);
    if (base)
        return base;
    /* Where the address space is limited (ulimit -v), fewer will do. */
    for (uint32_t limit = pool->maximum; limit >= 64; limit /= 4) {
        void *map = mmap(NULL, (pool->size + sizeof(uint32_t)) * limit, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            continue;
        pool->limit = limit;
        atomic_store_explicit(&pool->base, (char *)map, memory_order_release);
        return map;
    }
    return NULL;
}

void *pool_take(struct pool *pool)
{
    void *object = NULL;
    lock_take(&pool->lock, LOCK_PRIVATE);
    char *base = reserve(pool);
    if (base && pool->free) {
        uint32_t index = pool->free - 1;
        pool->free = free_links(pool, base)[index];
        object = base + pool->size * index;
    } else if (base && pool->used < pool->limit) {
        object = base + pool->size * pool->used++;
    }
    lock_drop(&pool->lock);
    return object;
}

void pool_give(struct pool *pool, void *object)
{
    uint32_t index = pool_index(pool, object);
    lock_take(&pool->lock, LOCK_PRIVATE);
    free_links(pool, atomic_load_explicit(&pool->base, memory_order_relaxed))[index] = pool->free;
    pool->free = index + 1;
    lock_drop(&pool->lock);
}

uint32_t pool_index(struct pool *pool, const void *object)
{
    const char *base = atomic_load_explicit(&pool->base, memory_order_acquire);
    const char *at = object;
    if (!base || at < base || at >= base + pool->size * pool->limit)
        return UINT32_MAX;
    size_t offset = (size_t)(at - base);
    return offset % pool->size == 0 ? (uint32_t)(offset / pool->size) : UINT32_MAX;
}

void *pool_at(struct pool *pool, uint32_t index)
{
    char *base = atomic_load_explicit(&pool->base, memory_order_acquire);
    return base && index < pool->limit ? base + pool->size * index : NULL;
}
