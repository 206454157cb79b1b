/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap: gives out the power-of-two blocks of a client's region heap. A binary buddy allocator.
 *
 * Invariants
 *   - Its metadata is private memory; it never touches the blocks. So nothing that an app writes
 *     can mislead it.
 *   - A block of size S lies at an offset that is a multiple of S, counted from the heap's start.
 *   - Two free buddies of one size are always merged.
 *
 * Pure: offsets in, offsets out; the caller maps, and gives pages back. One thread.
 */
#ifndef DMM_SIDECAR_HEAP_H
#define DMM_SIDECAR_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#define DMM_HEAP_MIN_ORDER 11 /* 2 KiB */
#define DMM_HEAP_MAX_ORDER 24 /* 16 MiB */
#define DMM_HEAP_ORDERS    30 /* of free blocks: up to 1 TiB, so a fresh heap is a few of them */
#define DMM_HEAP_NONE      UINT64_MAX

struct dmm_heap {
    uint64_t size;
    uint64_t used;  /* bytes in blocks that are given out */
    uint32_t *next; /* per smallest block: links of the free lists */
    uint32_t *prev; /* */
    uint8_t *order; /* per smallest block, of a block's first: its order; HEAP_FREE bit: free */
    uint32_t free[DMM_HEAP_ORDERS]; /* first free block of each order */
};

/* `size` bytes, rounded down to whole 2 KiB blocks. 0, or -ENOMEM with nothing left behind. */
int dmm_heap_init(struct dmm_heap *heap, uint64_t size);
void dmm_heap_destroy(struct dmm_heap *heap);

/* A block of at least `bytes`, at most 16 MiB: its offset, and its size in *size. DMM_HEAP_NONE if
 * there is no room (or bytes is too much). */
uint64_t dmm_heap_alloc(struct dmm_heap *heap, uint64_t bytes, uint32_t *size);
/* `offset` must be of a block that is given out: anything else is ignored and told by false. */
bool dmm_heap_free(struct dmm_heap *heap, uint64_t offset);

#endif
