/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/packet.h"

#include "sidecar/port/vnet.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

_Static_assert(sizeof(struct packet_tx_slot) == 2112, "an odd number of cache lines");

int packet_tx_init(struct packet_port *p)
{
    struct packet_tx *tx = calloc(1, sizeof(*tx));
    if (!tx)
        return -ENOMEM;
    for (unsigned i = 0; i < PACKET_TX_BATCH; i++) {
        tx->iov[i].iov_base = &tx->slots[i].vnet;
        tx->msgs[i].msg_hdr.msg_iov = &tx->iov[i];
        tx->msgs[i].msg_hdr.msg_iovlen = 1;
    }
    p->tx = tx;
    return 0;
}

/* What a failed send means: -EAGAIN keeps the frame, -ENETDOWN says that the interface is down or
 * gone, -EIO that this frame is lost (ENOBUFS: a queue on the way was full). */
static int send_error(struct packet_port *p, int error)
{
    if (error == EAGAIN)
        return -EAGAIN;
    if (error != ENETDOWN && error != ENXIO && error != ENODEV)
        return -EIO;
    if (p->data.info.up) {
        p->data.info.up = false;
        p->went_down = true;
    }
    return -ENETDOWN;
}

static void batch_reset(struct packet_tx *tx)
{
    tx->head = tx->count = 0;
}

bool packet_tx_flush(struct packet_port *p)
{
    struct packet_tx *tx = p->tx;
    bool retried = false;
    while (tx->head < tx->count) {
        int n = sendmmsg(p->fd, &tx->msgs[tx->head], tx->count - tx->head, MSG_DONTWAIT);
        if (n > 0) {
            for (unsigned end = tx->head + (unsigned)n; tx->head < end; tx->head++)
                p->stats.tx_bytes += tx->iov[tx->head].iov_len - sizeof(struct virtio_net_hdr);
            p->stats.tx_frames += (unsigned)n;
            continue;
        }
        /* The first ENETDOWN may be one that the socket had kept from earlier. */
        if (errno == ENETDOWN && !retried) {
            retried = true;
            continue;
        }
        int rc = send_error(p, errno);
        if (rc == -EAGAIN)
            return false;
        unsigned lost = rc == -ENETDOWN ? tx->count - tx->head : 1;
        p->stats.tx_errors += lost;
        tx->head += lost;
    }
    batch_reset(tx);
    return true;
}

static int send_now(struct packet_port *p, const struct dmm_tx_frame *frame, uint32_t len)
{
    struct virtio_net_hdr vnet;
    struct iovec iov[1 + DMM_TX_IOV] = {{&vnet, sizeof(vnet)}};
    dmm_vnet_from_tx(&vnet, frame);
    for (unsigned i = 0; i < frame->n_iov; i++)
        iov[1 + i] = frame->iov[i];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1U + frame->n_iov};
    ssize_t rc = sendmsg(p->fd, &msg, MSG_DONTWAIT);
    if (rc < 0 && errno == ENETDOWN) /* as in packet_tx_flush() */
        rc = sendmsg(p->fd, &msg, MSG_DONTWAIT);
    if (rc >= 0) {
        p->stats.tx_frames++;
        p->stats.tx_bytes += len;
        return 0;
    }
    int error = send_error(p, errno);
    if (error != -EIO)
        return error;
    p->stats.tx_errors++;
    return 0;
}

static void batch_add(struct packet_tx *tx, const struct dmm_tx_frame *frame, uint32_t len)
{
    struct packet_tx_slot *slot = &tx->slots[tx->count];
    dmm_vnet_from_tx(&slot->vnet, frame);
    dmm_tx_frame_copy(frame, slot->data);
    tx->iov[tx->count].iov_len = sizeof(slot->vnet) + len;
    tx->count++;
}

int packet_tx_frame(struct packet_port *p, const struct dmm_tx_frame *frame)
{
    uint32_t len;
    int rc = dmm_tx_frame_check(frame, &p->data.info, &len);
    if (rc)
        return rc;
    if (!p->data.info.up)
        return -ENETDOWN;
    bool small = len <= PACKET_TX_SMALL;
    if (p->tx->count == PACKET_TX_BATCH || (!small && p->tx->count)) {
        if (!packet_tx_flush(p)) {
            p->stats.tx_full++;
            return -EAGAIN;
        }
    }
    if (small) {
        batch_add(p->tx, frame, len);
        return 0;
    }
    rc = send_now(p, frame, len);
    if (rc == -EAGAIN)
        p->stats.tx_full++;
    return rc;
}
