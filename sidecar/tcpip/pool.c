/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/pool.h"

#include <stdlib.h>
#include <sys/mman.h>

/* A build with the address sanitizer finds the use of an object that was put back. */
#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISONS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISONS
#endif
#endif
#ifdef POOL_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define CACHE_LINE 64
#define HUGE_PAGE  ((size_t)2 << 20)

struct pool_object {
    struct pool_object *next;
};

struct pool_chunk {
    struct pool_chunk *next;
};

void pool_init(struct pool *pool, size_t size, uint32_t per_chunk, uint32_t limit)
{
    const size_t align = size >= CACHE_LINE ? CACHE_LINE : sizeof(void *);

    *pool = (struct pool){.size = (uint32_t)((size + align - 1) / align * align),
                          .per_chunk = per_chunk,
                          .limit = limit};
}

void pool_destroy(struct pool *pool)
{
    while (pool->chunks != NULL) {
        struct pool_chunk *chunk = pool->chunks;

        pool->chunks = chunk->next;
        free(chunk);
    }
    pool->free = NULL;
}

void *pool_memory(size_t bytes)
{
    void *memory;

    if (bytes < HUGE_PAGE)
        return aligned_alloc(CACHE_LINE, bytes);
    memory = aligned_alloc(HUGE_PAGE, bytes);
    if (memory != NULL)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* advice: without it all works as well */
    return memory;
}

/* Nothing is added when out of memory. */
static void grow(struct pool *pool)
{
    const size_t bytes = CACHE_LINE + (size_t)pool->size * pool->per_chunk;
    const size_t align = bytes < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE;
    struct pool_chunk *chunk = pool_memory((bytes + align - 1) / align * align);

    if (chunk == NULL)
        return;
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    for (uint32_t i = pool->per_chunk; i > 0; i--) {
        uint8_t *at = (uint8_t *)chunk + CACHE_LINE + (size_t)pool->size * (i - 1);
        struct pool_object *object = (struct pool_object *)at;

        object->next = pool->free;
        pool->free = object;
        ASAN_POISON_MEMORY_REGION(object, pool->size);
    }
    pool->made += pool->per_chunk;
    if (bytes < HUGE_PAGE)
        pool->per_chunk *= 2;
}

void *pool_get(struct pool *pool)
{
    if (pool->used >= pool->limit)
        return NULL;
    if (pool->free == NULL)
        grow(pool);

    struct pool_object *object = pool->free;

    if (object == NULL)
        return NULL;
    ASAN_UNPOISON_MEMORY_REGION(object, pool->size);
    pool->free = object->next;
    pool->used++;
    return object;
}

void pool_put(struct pool *pool, void *object)
{
    struct pool_object *o = object;

    o->next = pool->free;
    pool->free = o;
    pool->used--;
    ASAN_POISON_MEMORY_REGION(object, pool->size);
}
