/* SPDX-License-Identifier: Apache-2.0 */
#include "common/region.h"

static uint64_t align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) & ~(to - 1);
}

uint64_t dmm_region_layout(struct dmm_region *head, uint32_t n_channels, uint32_t n_waitsets,
                           uint32_t n_sockets, uint64_t heap_size)
{
    const uint64_t page = 4096;
    uint64_t at = align_up(sizeof(struct dmm_region), page);

    head->n_channels = n_channels;
    head->n_waitsets = n_waitsets;
    head->n_sockets = n_sockets;
    head->policy = at;
    at = align_up(at + 2 * sizeof(struct dmm_policy), page);
    head->channels = at;
    at = align_up(at + n_channels * sizeof(struct dmm_channel), page);
    head->waitsets = at;
    at = align_up(at + n_waitsets * sizeof(struct dmm_waitset), page);
    head->sockets = at;
    at = align_up(at + n_sockets * sizeof(struct dmm_socket), page);
    head->heap = at;
    head->size = at + align_up(heap_size, page);
    return head->size;
}

static bool table_fits(const struct dmm_region *head, uint64_t at, uint64_t n, uint64_t each)
{
    return at % DMM_CACHE_LINE == 0 && at >= sizeof(*head) && at <= head->size &&
           n <= (head->size - at) / each;
}

bool dmm_region_check(const struct dmm_region *head, uint64_t size)
{
    return size >= sizeof(*head) && head->magic == DMM_REGION_MAGIC &&
           head->version == DMM_REGION_VERSION && head->size == size &&
           table_fits(head, head->policy, 2, sizeof(struct dmm_policy)) &&
           table_fits(head, head->channels, head->n_channels, sizeof(struct dmm_channel)) &&
           table_fits(head, head->waitsets, head->n_waitsets, sizeof(struct dmm_waitset)) &&
           table_fits(head, head->sockets, head->n_sockets, sizeof(struct dmm_socket)) &&
           table_fits(head, head->heap, 0, 1);
}
