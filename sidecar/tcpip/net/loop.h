/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: the queue of packets that the instance sent to itself.
 *
 * Invariants
 *   - First in, first out; a packet is whole and contiguous, from its IP header on.
 *   - The bytes are allocated at the first use and never grow: a full queue refuses.
 *   - A packet that was peeked stays where it is until it is popped, whatever is put meanwhile.
 *
 * The queue owns its memory. One thread.
 */
#ifndef DMM_TCPIP_NET_LOOP_H
#define DMM_TCPIP_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_loop {
    uint8_t *bytes;
    size_t size;
    size_t head, tail; /* offsets of the oldest record and of the next free byte */
    size_t wrap;       /* where records end if tail < head */
    unsigned n;        /* packets in the queue */
};

struct net_loop_packet {
    uint8_t *data;
    uint32_t len;
    uint16_t gso_size;
};

/* Remembers the size; allocates nothing. */
void net_loop_init(struct net_loop *loop, size_t size);
void net_loop_destroy(struct net_loop *loop);

/* Room for a packet of `len` bytes at the end, to be filled by the caller before any other call:
 * NULL if there is none (or no memory). */
uint8_t *net_loop_put(struct net_loop *loop, uint32_t len, uint16_t gso_size);
/* The oldest packet. */
bool net_loop_peek(const struct net_loop *loop, struct net_loop_packet *packet);
void net_loop_pop(struct net_loop *loop);

#endif
