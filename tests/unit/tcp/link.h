/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link: two nodes and a wire between them that loses, duplicates, reorders, corrupts and delays by
 * seed. Virtual time. Frames that were left to the port to segment are cut into segments here, or
 * passed whole as a merging port does.
 */
#ifndef DMM_TESTS_TCP_LINK_H
#define DMM_TESTS_TCP_LINK_H

#include "tests/unit/tcp/node.h"

struct link_quality {
    uint64_t delay_ns, jitter_ns;
    uint64_t ns_per_byte;                       /* of the bottleneck; 0: none */
    uint32_t queue;                             /* bytes the bottleneck holds */
    unsigned loss, duplicate, reorder, corrupt; /* per 10000 frames */
    uint64_t reorder_ns;                        /* how late a reordered frame may be */
    bool mark_ce; /* instead of dropping where the queue is half full */
    bool merge;   /* pass segmented frames whole */
};

struct link_event {
    uint64_t at, order;
    uint8_t to;
    uint32_t len;
    uint8_t gso;
    uint16_t gso_size;
    uint8_t *data;
};

struct link {
    uint64_t clock;
    uint64_t random, order;
    struct link_quality quality;
    struct node node[2];
    struct link_event *heap;
    unsigned n, size;
    uint64_t busy_until[2]; /* of the bottleneck in each direction */
    uint64_t frames, dropped;
};

void link_init(struct link *link, uint64_t seed, const struct link_quality *quality);
/* Both instances; call node_init's owner first (link_init), set configs, then this. */
void link_start(struct link *link);
void link_stop(struct link *link);
uint32_t link_random(struct link *link, uint32_t below);
/* Runs the next thing that happens, not after `until`. False: nothing happens before then. */
bool link_step(struct link *link, uint64_t until);

#endif
