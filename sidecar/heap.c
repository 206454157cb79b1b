/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE      UINT32_MAX
#define HEAP_FREE 0x80u /* in order[]: this block is free */
#define HEAP_USED 0x40u /* this block is given out; neither: not the first of a block */

static void list_push(struct dmm_heap *heap, uint32_t block, unsigned order)
{
    uint32_t head = heap->free[order];
    heap->next[block] = head;
    heap->prev[block] = NONE;
    if (head != NONE)
        heap->prev[head] = block;
    heap->free[order] = block;
    heap->order[block] = (uint8_t)(HEAP_FREE | order);
}

static void list_remove(struct dmm_heap *heap, uint32_t block, unsigned order)
{
    if (heap->prev[block] != NONE)
        heap->next[heap->prev[block]] = heap->next[block];
    else
        heap->free[order] = heap->next[block];
    if (heap->next[block] != NONE)
        heap->prev[heap->next[block]] = heap->prev[block];
    heap->order[block] = 0;
}

int dmm_heap_init(struct dmm_heap *heap, uint64_t size)
{
    uint64_t n = size >> DMM_HEAP_MIN_ORDER;
    memset(heap, 0, sizeof(*heap));
    if (!n || n >= NONE)
        return -EINVAL;
    heap->size = n << DMM_HEAP_MIN_ORDER;
    /* Left untouched until used, so a large heap costs what it holds. */
    heap->next = calloc(n, sizeof(*heap->next));
    heap->prev = calloc(n, sizeof(*heap->prev));
    heap->order = calloc(n, 1);
    if (!heap->next || !heap->prev || !heap->order) {
        dmm_heap_destroy(heap);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < DMM_HEAP_ORDERS; i++)
        heap->free[i] = NONE;
    /* The largest aligned blocks; pushed from the end, so that low offsets are used first. */
    uint64_t end = n;
    for (unsigned order = 0; order < DMM_HEAP_ORDERS - 1; order++)
        if (end & (UINT64_C(1) << order)) {
            end -= UINT64_C(1) << order;
            list_push(heap, (uint32_t)end, order);
        }
    while (end) {
        end -= UINT64_C(1) << (DMM_HEAP_ORDERS - 1);
        list_push(heap, (uint32_t)end, DMM_HEAP_ORDERS - 1);
    }
    return 0;
}

void dmm_heap_destroy(struct dmm_heap *heap)
{
    free(heap->next);
    free(heap->prev);
    free(heap->order);
    memset(heap, 0, sizeof(*heap));
}

static unsigned order_for(uint64_t bytes)
{
    unsigned order = 0;
    while (order < DMM_HEAP_ORDERS && (UINT64_C(1) << (DMM_HEAP_MIN_ORDER + order)) < bytes)
        order++;
    return order;
}

uint64_t dmm_heap_alloc(struct dmm_heap *heap, uint64_t bytes, uint32_t *size)
{
    unsigned want = order_for(bytes);
    unsigned order = want;
    if (want > DMM_HEAP_MAX_ORDER - DMM_HEAP_MIN_ORDER)
        return DMM_HEAP_NONE;
    while (order < DMM_HEAP_ORDERS && heap->free[order] == NONE)
        order++;
    if (order >= DMM_HEAP_ORDERS)
        return DMM_HEAP_NONE;
    uint32_t block = heap->free[order];
    list_remove(heap, block, order);
    while (order > want) {
        order--;
        list_push(heap, block + (UINT32_C(1) << order), order);
    }
    heap->order[block] = (uint8_t)(HEAP_USED | order);
    *size = UINT32_C(1) << (DMM_HEAP_MIN_ORDER + order);
    heap->used += *size;
    return (uint64_t)block << DMM_HEAP_MIN_ORDER;
}

bool dmm_heap_free(struct dmm_heap *heap, uint64_t offset)
{
    if (offset >= heap->size || offset & ((UINT64_C(1) << DMM_HEAP_MIN_ORDER) - 1))
        return false;
    uint32_t block = (uint32_t)(offset >> DMM_HEAP_MIN_ORDER);
    uint32_t n = (uint32_t)(heap->size >> DMM_HEAP_MIN_ORDER);
    if (!(heap->order[block] & HEAP_USED))
        return false;
    unsigned order = heap->order[block] & (HEAP_USED - 1);
    heap->used -= UINT64_C(1) << (DMM_HEAP_MIN_ORDER + order);
    heap->order[block] = 0;
    while (order < DMM_HEAP_ORDERS - 1) {
        uint32_t buddy = block ^ (UINT32_C(1) << order);
        if (buddy >= n || heap->order[buddy] != (HEAP_FREE | order))
            break;
        list_remove(heap, buddy, order);
        if (buddy < block)
            block = buddy;
        order++;
    }
    list_push(heap, block, order);
    return true;
}
