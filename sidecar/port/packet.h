/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet: the parts of the packet-socket port, private to sidecar/port/packet*.c.
 *
 * Receive: a TPACKET_V2 ring of small slots for frames up to the MTU, so that a burst of small
 * frames is read out of a few compact pages without a system call, and PACKET_COPY_THRESH for the
 * merged ones: the kernel queues such a frame on the socket as well (TP_STATUS_COPY in its slot),
 * and recvmsg() brings it whole, in the order of the slots. Measured against recvmmsg() and against
 * 64 KB slots in docs/ports.md.
 *
 * Transmit: small frames are copied into a batch for one sendmmsg() per flush; larger ones go by
 * sendmsg() at once, after the batch, so order is kept.
 *
 * Invariants
 *   - Slots [held, held + n_held) are given to the worker; the kernel gets them back in
 *     packet_rx_release(). A slot is the kernel's or ours by its status word alone.
 *   - tx.msgs[head, count) wait; head == count means that nothing does, then both are 0.
 *   - ifindex is 0 while no such interface exists; the socket is bound to ifindex otherwise.
 *
 * Threads: as port.h says, the port's worker.
 */
#ifndef DMM_SIDECAR_PORT_PACKET_H
#define DMM_SIDECAR_PORT_PACKET_H

#include "sidecar/port/frame.h"
#include "sidecar/port/iface.h"
#include "sidecar/port/port.h"

#include <linux/if_packet.h>
#include <linux/virtio_net.h>

#define PACKET_RING_BYTES (4U << 20)
#define PACKET_BLOCK      (128U << 10)
#define PACKET_BIG_COUNT  8UL               /* merged frames given out at once */
#define PACKET_BIG_BYTES  (64 * 1024 + 256) /* one merged frame */
#define PACKET_TX_BATCH   64
#define PACKET_TX_SMALL   2048 /* frames up to this many bytes are batched */

struct packet_rx {
    uint8_t *ring; /* mapped; n_blocks of PACKET_BLOCK */
    uint32_t n_blocks, slot_bytes, per_block;
    uint32_t next_block, next_slot; /* where the next frame will be */
    uint32_t held_block, held_slot; /* the first slot not yet given back */
    uint32_t n_held;
    uint8_t *big; /* PACKET_BIG_COUNT buffers; untouched ones cost no memory */
    uint32_t n_big;
};

struct packet_tx_slot {
    uint8_t pad[6]; /* the frame's L3 header is then 4-byte aligned */
    struct virtio_net_hdr vnet;
    uint8_t data[PACKET_TX_SMALL];
    /* An odd number of cache lines, lest all heads fall into the same cache sets. */
    uint8_t colour[2112 - 6 - sizeof(struct virtio_net_hdr) - PACKET_TX_SMALL];
};

struct packet_tx {
    unsigned head, count;
    struct mmsghdr msgs[PACKET_TX_BATCH];
    struct iovec iov[PACKET_TX_BATCH];
    struct packet_tx_slot slots[PACKET_TX_BATCH];
};

struct packet_port {
    struct dmm_port port;
    struct dmm_port_data data;
    struct dmm_port_stats stats;
    int fd;
    int ifindex;
    struct dmm_iface_wish wish;
    bool went_down;    /* a send said so: the next refresh() reports a change */
    uint8_t idle_arms; /* arm() calls since a frame came */
    struct packet_rx rx;
    struct packet_tx *tx;
};

/* Sets the ring up on an unbound socket. 0 or a negative errno. */
int packet_rx_init(struct packet_port *p);
void packet_rx_destroy(struct packet_port *p);
void packet_rx_release(struct packet_port *p);
bool packet_rx_ready(const struct packet_port *p);
unsigned packet_rx_frames(struct packet_port *p, struct dmm_frame *frames, unsigned max);

int packet_tx_init(struct packet_port *p);
int packet_tx_frame(struct packet_port *p, const struct dmm_tx_frame *frame);
bool packet_tx_flush(struct packet_port *p);

#endif
