/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reassembly: payload that came ahead of its turn, kept until the gap before it is filled.
 *
 * A connection that has such data owns one struct reassembly: islands of contiguous bytes in
 * order, each a chain of blocks. The bytes are copied in once; in order they go to the host's ring
 * without passing here.
 *
 * Invariants
 *   - islands are sorted, not empty, and do not touch each other; n <= REASSEMBLY_ISLANDS;
 *   - the blocks of an island hold its bytes without gaps or overlaps; what came first stays (a
 *     later copy of the same bytes is ignored);
 *   - a NULL struct reassembly means: no data.
 * Bounds: blocks of all connections together by the store's limit, of one connection by
 * `max_blocks`, islands by REASSEMBLY_ISLANDS; so work per segment is bounded too. What does not
 * fit is dropped and comes again. One thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_REASSEMBLY_H
#define DMM_SIDECAR_TCPIP_TCP_REASSEMBLY_H

#include "sidecar/tcpip/pool.h"
#include "sidecar/tcpip/tcp/options.h"

#include <stdbool.h>
#include <stdint.h>

#define REASSEMBLY_ISLANDS 32
#define REASSEMBLY_BLOCK   2048 /* bytes, with its header */

struct reassembly_block;
struct reassembly;

struct reassembly_store {
    struct pool blocks;
    struct pool heads;
};

void reassembly_store_init(struct reassembly_store *store, uint32_t max_bytes);
void reassembly_store_destroy(struct reassembly_store *store);

/* Keeps what is new of [seq, seq + len). Returns the bytes kept; *full is set if some did not fit
 * the bounds. */
uint32_t reassembly_insert(struct reassembly_store *store, struct reassembly **r, uint32_t seq,
                           const uint8_t *data, uint32_t len, uint32_t max_blocks, bool *full);
/* If bytes are there from `rcv_nxt` on: the first contiguous piece. Bytes below rcv_nxt are
 * dropped on the way. */
bool reassembly_front(struct reassembly_store *store, struct reassembly **r, uint32_t rcv_nxt,
                      const uint8_t **data, uint32_t *len);
void reassembly_clear(struct reassembly_store *store, struct reassembly **r);
/* Islands beyond `rcv_nxt` as SACK blocks, the one that changed last first (RFC 2018, 4). Returns
 * how many. */
unsigned reassembly_sacks(const struct reassembly *r, uint32_t rcv_nxt, struct sack_block *blocks,
                          unsigned max);
/* If [start, end) touches what is held: the island around it, for a DSACK's second block. */
bool reassembly_covers(const struct reassembly *r, uint32_t start, uint32_t end,
                       struct sack_block *island);
/* Bytes held. */
uint32_t reassembly_bytes(const struct reassembly *r);

#endif
