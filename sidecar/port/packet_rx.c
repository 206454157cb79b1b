/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/packet.h"

#include "sidecar/port/vnet.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define CACHE_LINE 64
/* tpacket2_hdr, sockaddr_ll, the vnet header and the kernel's roundings, with room to spare. */
#define SLOT_OVERHEAD 160
/* The L3 header of each frame starts at a multiple of 16: the kernel puts the 10 bytes of the vnet
 * header before the frame after rounding up, so 6 more are asked for. */
#define SLOT_RESERVE 6
#define BIG_PAD      2 /* the same for merged frames: 14 + 2 */

static uint8_t *slot_at(const struct packet_rx *rx, uint32_t block, uint32_t slot)
{
    return rx->ring + (size_t)block * PACKET_BLOCK + (size_t)slot * rx->slot_bytes;
}

static void slot_advance(const struct packet_rx *rx, uint32_t *block, uint32_t *slot)
{
    if (++*slot < rx->per_block)
        return;
    *slot = 0;
    if (++*block == rx->n_blocks)
        *block = 0;
}

/* An odd number of cache lines that holds a frame of the MTU: slot heads then spread over all sets
 * of the cache, where 2 KB steps would fight for a few. */
static uint32_t slot_bytes_for(uint32_t mtu)
{
    uint32_t bytes = mtu + DMM_ETH_HLEN + SLOT_OVERHEAD;
    uint32_t lines = ((bytes + CACHE_LINE - 1) / CACHE_LINE) | 1;
    return lines * CACHE_LINE;
}

int packet_rx_init(struct packet_port *p)
{
    struct packet_rx *rx = &p->rx;
    uint32_t mtu = p->data.info.mtu;
    rx->slot_bytes = slot_bytes_for(mtu < 1500 ? 1500 : mtu > 9216 ? 9216 : mtu);
    rx->per_block = PACKET_BLOCK / rx->slot_bytes;
    rx->n_blocks = PACKET_RING_BYTES / PACKET_BLOCK;
    struct tpacket_req req = {
        .tp_block_size = PACKET_BLOCK,
        .tp_block_nr = rx->n_blocks,
        .tp_frame_size = rx->slot_bytes,
        .tp_frame_nr = rx->n_blocks * rx->per_block,
    };
    int version = TPACKET_V2, reserve = SLOT_RESERVE, copy_thresh = 1;
    if (setsockopt(p->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
        setsockopt(p->fd, SOL_PACKET, PACKET_RESERVE, &reserve, sizeof(reserve)) ||
        setsockopt(p->fd, SOL_PACKET, PACKET_COPY_THRESH, &copy_thresh, sizeof(copy_thresh)) ||
        setsockopt(p->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
        return -errno;
    void *ring = mmap(NULL, (size_t)rx->n_blocks * PACKET_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED,
                      p->fd, 0);
    if (ring == MAP_FAILED)
        return -errno;
    rx->ring = ring;
    void *big = mmap(NULL, PACKET_BIG_COUNT * PACKET_BIG_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (big == MAP_FAILED)
        return -errno;
    rx->big = big;
    return 0;
}

void packet_rx_destroy(struct packet_port *p)
{
    if (p->rx.big)
        munmap(p->rx.big, PACKET_BIG_COUNT * PACKET_BIG_BYTES);
    if (p->rx.ring)
        munmap(p->rx.ring, (size_t)p->rx.n_blocks * PACKET_BLOCK);
}

/* Acquire, pairs with the kernel's barrier before it sets TP_STATUS_USER: what the slot holds is
 * visible once the status is. */
static uint32_t slot_status(const uint8_t *slot)
{
    return __atomic_load_n(&((const struct tpacket2_hdr *)(const void *)slot)->tp_status,
                           __ATOMIC_ACQUIRE);
}

void packet_rx_release(struct packet_port *p)
{
    struct packet_rx *rx = &p->rx;
    for (; rx->n_held; rx->n_held--) {
        struct tpacket2_hdr *h = (void *)slot_at(rx, rx->held_block, rx->held_slot);
        /* Release: our reads of the slot are over before the kernel may write it. */
        __atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        slot_advance(rx, &rx->held_block, &rx->held_slot);
    }
    rx->n_big = 0;
}

bool packet_rx_ready(const struct packet_port *p)
{
    const uint8_t *slot = slot_at(&p->rx, p->rx.next_block, p->rx.next_slot);
    return (slot_status(slot) & TP_STATUS_USER) != 0;
}

/* The merged frame that belongs to a slot with TP_STATUS_COPY. */
static int big_frame(struct packet_port *p, uint32_t len, struct dmm_frame *frame,
                     struct virtio_net_hdr *vnet)
{
    uint8_t *data = p->rx.big + (size_t)p->rx.n_big * PACKET_BIG_BYTES + BIG_PAD;
    struct iovec iov[2] = {{vnet, sizeof(*vnet)}, {data, PACKET_BIG_BYTES - BIG_PAD}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t got = recvmsg(p->fd, &msg, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && errno != EAGAIN) /* the socket's pending error came first and is now cleared */
        got = recvmsg(p->fd, &msg, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 || (size_t)got != sizeof(*vnet) + len || len > iov[1].iov_len)
        return -EBADMSG;
    frame->data = data;
    p->rx.n_big++;
    return 0;
}

/* Fills `frame` from the slot. False: it is not for the worker. */
static bool slot_frame(struct packet_port *p, const uint8_t *slot, uint32_t status,
                       struct dmm_frame *frame)
{
    const struct tpacket2_hdr *h = (const void *)slot;
    struct virtio_net_hdr vnet = {0};
    frame->len = h->tp_len;
    if (status & TP_STATUS_COPY) {
        if (big_frame(p, h->tp_len, frame, &vnet)) {
            p->stats.rx_bad++;
            return false;
        }
    } else if (h->tp_snaplen < h->tp_len) { /* no room in the socket's buffer for the whole */
        p->stats.rx_dropped++;
        return false;
    } else {
        frame->data = slot + h->tp_mac;
        memcpy(&vnet, frame->data - sizeof(vnet), sizeof(vnet));
    }
    if (dmm_vnet_to_frame(&vnet, frame)) {
        p->stats.rx_bad++;
        return false;
    }
    if (status & TP_STATUS_VLAN_VALID) {
        frame->flags |= DMM_FRAME_VLAN;
        frame->vlan_tci = h->tp_vlan_tci;
    } else {
        frame->vlan_tci = 0;
    }
    return dmm_frame_for_us(frame->data, p->data.info.mac);
}

unsigned packet_rx_frames(struct packet_port *p, struct dmm_frame *frames, unsigned max)
{
    struct packet_rx *rx = &p->rx;
    unsigned n = 0;
    /* Slots looked at are bounded too: a flood of frames for others must not hold the worker. */
    for (unsigned seen = 0; seen < max && rx->n_big < PACKET_BIG_COUNT; seen++) {
        const uint8_t *slot = slot_at(rx, rx->next_block, rx->next_slot);
        uint32_t status = slot_status(slot);
        if (!(status & TP_STATUS_USER))
            break;
        if (slot_frame(p, slot, status, &frames[n])) {
            p->stats.rx_bytes += frames[n].len;
            n++;
        }
        slot_advance(rx, &rx->next_block, &rx->next_slot);
        rx->n_held++;
    }
    p->stats.rx_frames += n;
    return n;
}
