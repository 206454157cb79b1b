/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/pool.h"

#include <stdlib.h>

#define CACHE_LINE 64

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

/* Nothing is added when out of memory. */
static void grow(struct pool *pool)
{
    const size_t bytes = CACHE_LINE + (size_t)pool->size * pool->per_chunk;
    const size_t whole = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct pool_chunk *chunk = aligned_alloc(CACHE_LINE, whole);

    if (chunk == NULL)
        return;
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    for (uint32_t i = pool->per_chunk; i > 0; i--) {
        uint8_t *at = (uint8_t *)chunk + CACHE_LINE + (size_t)pool->size * (i - 1);
        struct pool_object *object = (struct pool_object *)at;

        object->next = pool->free;
        pool->free = object;
    }
    pool->made += pool->per_chunk;
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
}
