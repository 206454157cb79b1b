/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reassembly beside a plain model: an array with a mark for each byte held. The input is a list of
 * segments (start, length, limit) and of deliveries. The bytes of each segment differ, so that it
 * shows whose were kept: the first that came.
 */
#include "sidecar/tcpip/tcp/reassembly.h"
#include "tests/fuzz/fuzz.h"

#include "sidecar/tcpip/tcp/seq.h"

#define SPACE 65536U
#define BASE  0xffff8000U /* sequence numbers wrap in the middle */

static uint8_t model[SPACE], held[SPACE];

static void check_sacks(const struct reassembly *r)
{
    struct sack_block blocks[REASSEMBLY_ISLANDS];
    const unsigned n = reassembly_sacks(r, BASE - 1, blocks, REASSEMBLY_ISLANDS);
    uint32_t bytes = 0;

    for (unsigned i = 0; i < n; i++) {
        const uint32_t start = blocks[i].start - BASE;
        const uint32_t end = blocks[i].end - BASE;

        fuzz_require(start < end && end <= SPACE, "islands are not empty");
        for (uint32_t at = start; at < end; at++)
            fuzz_require(held[at], "only what came is told");
        bytes += end - start;
    }
    fuzz_require(bytes == reassembly_bytes(r), "all islands are told");
}

/* The model takes the same bytes: the first `kept` that it does not have. */
static void insert(struct reassembly_store *store, struct reassembly **r, uint32_t start,
                   uint32_t len, uint32_t max_blocks, uint8_t mark)
{
    static uint8_t data[SPACE];
    bool full;
    uint32_t kept, took = 0;

    memset(data, mark, len);
    kept = reassembly_insert(store, r, BASE + start, data, len, max_blocks, &full);
    for (uint32_t at = start; at < start + len && took < kept; at++) {
        if (held[at])
            continue;
        held[at] = 1;
        model[at] = mark;
        took++;
    }
    fuzz_require(took == kept, "no more is kept than was new");
    if (!full)
        for (uint32_t at = start; at < start + len; at++)
            fuzz_require(held[at], "all is kept unless it is full");
}

static uint32_t deliver(struct reassembly_store *store, struct reassembly **r, uint32_t next)
{
    const uint8_t *data;
    uint32_t len;

    while (reassembly_front(store, r, BASE + next, &data, &len)) {
        fuzz_require(len > 0 && next + len <= SPACE, "a piece has bytes");
        for (uint32_t i = 0; i < len; i++)
            fuzz_require(held[next + i] && model[next + i] == data[i], "the bytes that came first");
        next += len;
    }
    fuzz_require(next == SPACE || !held[next], "nothing in turn is held back");
    return next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reassembly_store store;
    struct reassembly *r = NULL;
    uint32_t next = 0;
    uint8_t mark = 0;

    memset(held, 0, sizeof(held));
    reassembly_store_init(&store, 128 * REASSEMBLY_BLOCK);
    for (; size >= 5; data += 5, size -= 5) {
        const uint32_t start = (uint32_t)data[1] << 8 | data[2];
        uint32_t len = ((uint32_t)data[3] << 8 | data[4]) % 9000;

        if (data[0] % 4 == 0) {
            if (start > next)
                next = start % 16 == 0 ? start : next; /* data in order moved it on */
            next = deliver(&store, &r, next);
        } else if (start >= next) {
            if (len > SPACE - start)
                len = SPACE - start;
            insert(&store, &r, start, len, 8U + data[0], ++mark);
        }
        for (uint32_t at = 0; at < next; at++)
            held[at] = 0;
        if (r != NULL)
            check_sacks(r);
    }
    reassembly_clear(&store, &r);
    fuzz_require(store.blocks.used == 0 && store.heads.used == 0, "nothing is left");
    reassembly_store_destroy(&store);
    return 0;
}
