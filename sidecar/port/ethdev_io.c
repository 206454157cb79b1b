/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/ethdev.h"

#include "sidecar/port/ethdev_frame.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <string.h>
#include <unistd.h>

/* ---- receive ---- */

void ethdev_io_release(struct ethdev_port *p)
{
    struct ethdev_rx *rx = &p->rx;
    if (rx->n_held)
        rte_pktmbuf_free_bulk(rx->held, rx->n_held);
    rx->n_held = 0;
    rx->n_gathered = 0;
}

static unsigned refill(struct ethdev_port *p)
{
    struct ethdev_rx *rx = &p->rx;
    if (rx->first == rx->n_waiting) {
        rx->first = 0;
        rx->n_waiting = rte_eth_rx_burst(p->dev.id, 0, rx->waiting, ETHDEV_BURST);
    }
    return rx->n_waiting - rx->first;
}

/* Copies a chain into one piece. The lengths are the driver's, made of the peer's: not trusted. */
static int gather(struct ethdev_port *p, const struct rte_mbuf *m, struct dmm_frame *frame)
{
    uint8_t *to = p->rx.gather + (size_t)p->rx.n_gathered * ETHDEV_GATHER_SIZE;
    uint32_t len = 0;
    frame->data = to;
    for (; m; m = m->next) {
        if (m->data_len > ETHDEV_GATHER_SIZE - len)
            return -EBADMSG;
        memcpy(to + len, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
        len += m->data_len;
    }
    frame->len = len;
    p->rx.n_gathered++;
    return 0;
}

/* False: the frame is not for the worker. */
static bool take(struct ethdev_port *p, const struct rte_mbuf *m, struct dmm_frame *frame)
{
    frame->data = rte_pktmbuf_mtod(m, const uint8_t *);
    frame->len = m->data_len;
    if ((m->next && gather(p, m, frame)) || ethdev_to_frame(m, frame)) {
        p->stats.rx_bad++;
        return false;
    }
    return dmm_frame_for_us(frame->data, p->data.info.mac);
}

unsigned ethdev_io_receive(struct ethdev_port *p, struct dmm_frame *frames, unsigned max)
{
    struct ethdev_rx *rx = &p->rx;
    ethdev_io_release(p);
    unsigned left = refill(p), n = 0;
    for (; left && n < max && rx->n_gathered < ETHDEV_GATHER; left--) {
        struct rte_mbuf *m = rx->waiting[rx->first++];
        rx->held[rx->n_held++] = m;
        if (!take(p, m, &frames[n]))
            continue;
        p->stats.rx_bytes += frames[n].len;
        n++;
    }
    p->stats.rx_frames += n;
    return n;
}

/* ---- transmit ---- */

/* The next piece with room; NULL: none left. */
static struct rte_mbuf *piece(struct rte_mempool *pool, struct rte_mbuf *head,
                              struct rte_mbuf *last)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    if (m && last) {
        last->next = m;
        head->nb_segs++;
    }
    return m;
}

/* Copies the frame into as few mbufs as hold it. */
static struct rte_mbuf *copy_in(struct ethdev_port *p, const struct dmm_tx_frame *frame,
                                uint32_t len)
{
    uint16_t small_room = rte_pktmbuf_data_room_size(p->pool) - RTE_PKTMBUF_HEADROOM;
    struct rte_mempool *pool = len <= small_room ? p->pool : p->big;
    struct rte_mbuf *head = piece(pool, NULL, NULL), *m = head;
    if (!head)
        return NULL;
    for (unsigned i = 0; i < frame->n_iov; i++) {
        const uint8_t *from = frame->iov[i].iov_base;
        size_t left = frame->iov[i].iov_len;
        while (left) {
            uint16_t room = rte_pktmbuf_tailroom(m);
            if (!room) {
                m = piece(pool, head, m);
                if (!m) {
                    rte_pktmbuf_free(head);
                    return NULL;
                }
                continue;
            }
            uint16_t n = left < room ? (uint16_t)left : room;
            memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), from, n);
            m->data_len += n;
            from += n;
            left -= n;
        }
    }
    head->pkt_len = len;
    return head;
}

/* NICs, unlike virtio, want the checksum of each segment's IPv4 header to be offloaded too, and
 * have their own idea of what the pseudo-header's sum covers. */
static int prepare(const struct ethdev_port *p, struct rte_mbuf *m)
{
    if (m->ol_flags & RTE_MBUF_F_TX_IPV4)
        m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
    return rte_eth_tx_prepare(p->dev.id, 0, &m, 1) == 1 ? 0 : -EINVAL;
}

int ethdev_io_transmit(struct ethdev_port *p, const struct dmm_tx_frame *frame)
{
    uint32_t len;
    int rc = dmm_tx_frame_check(frame, &p->data.info, &len);
    if (rc)
        return rc;
    if (p->tx.n == ETHDEV_BURST)
        (void)ethdev_io_flush(p);
    struct rte_mbuf *m = p->tx.n < ETHDEV_BURST ? copy_in(p, frame, len) : NULL;
    if (!m) {
        p->stats.tx_full++;
        return -EAGAIN;
    }
    rc = ethdev_from_tx(m, frame);
    if (!rc && p->args.pci && m->ol_flags)
        rc = prepare(p, m);
    if (rc) {
        rte_pktmbuf_free(m);
        return rc;
    }
    p->tx.batch[p->tx.n++] = m;
    return 0;
}

bool ethdev_io_flush(struct ethdev_port *p)
{
    struct ethdev_tx *tx = &p->tx;
    if (!tx->n)
        return true;
    uint32_t len[ETHDEV_BURST]; /* the driver frees what it sent */
    for (unsigned i = 0; i < tx->n; i++)
        len[i] = tx->batch[i]->pkt_len;
    unsigned sent = rte_eth_tx_burst(p->dev.id, 0, tx->batch, (uint16_t)tx->n);
    for (unsigned i = 0; i < sent; i++)
        p->stats.tx_bytes += len[i];
    p->stats.tx_frames += sent;
    tx->n -= sent;
    memmove(tx->batch, tx->batch + sent, tx->n * sizeof(tx->batch[0]));
    return !tx->n;
}

void ethdev_io_drop(struct ethdev_port *p)
{
    struct ethdev_rx *rx = &p->rx;
    ethdev_io_release(p);
    p->stats.rx_dropped += rx->n_waiting - rx->first;
    if (rx->n_waiting > rx->first)
        rte_pktmbuf_free_bulk(rx->waiting + rx->first, rx->n_waiting - rx->first);
    rx->first = rx->n_waiting = 0;
    p->stats.tx_errors += p->tx.n;
    if (p->tx.n)
        rte_pktmbuf_free_bulk(p->tx.batch, p->tx.n);
    p->tx.n = 0;
}

/* ---- sleep ---- */

bool ethdev_io_arm(struct ethdev_port *p)
{
    ethdev_io_release(p);
    if (p->dev.intr_fd < 0)
        return refill(p) > 0;
    (void)rte_eth_dev_rx_intr_enable(p->dev.id, 0);
    /* What came before the interrupt was on raises none. */
    return refill(p) > 0;
}

void ethdev_io_disarm(struct ethdev_port *p)
{
    uint64_t count;
    if (p->dev.intr_fd < 0)
        return;
    (void)rte_eth_dev_rx_intr_disable(p->dev.id, 0);
    ssize_t rc = read(p->dev.intr_fd, &count, sizeof(count));
    (void)rc; /* EAGAIN: it was a timeout that woke us */
}
