/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's bytes.
 *
 * Out: lwIP copies what it takes (it was built to send from one buffer, so it always copies), and
 * the bytes are consumed from the ring then: holding them until they are acknowledged would keep
 * them twice. So the ring and send_buffer together are what can be unsent.
 *
 * A segment may be several MSS long where the port splits it. lwIP knows one MSS, which its
 * congestion control counts in; it is raised for the length of tcp_write() only. The rules that
 * keep lwIP's assertions true: never less than the last unsent segment's buffer (it is filled up
 * first), never more than half of the largest window that the peer ever offered.
 *
 * In: packets that the ring has no room for are held, and the window is opened only as far as the
 * ring has room: what it takes is counted, never refused to lwIP, which would retry on a timer.
 */
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>

/* ---- out ---- */

/* The room in the last unsent segment's buffer counts with it. */
static uint32_t last_unsent_size(const struct tcp_pcb *pcb)
{
    const struct tcp_seg *seg = pcb->unsent;
    if (!seg)
        return 0;
    while (seg->next)
        seg = seg->next;
    return seg->len + (uint32_t)pcb->unsent_oversize;
}

/* The segment size to write `pending` bytes with: whole MSS, no more than half the congestion
 * window, so that ACKs keep coming and a loss is not of everything. */
static uint32_t segment_size(const struct lw_sock *s, uint32_t pending)
{
    const struct tcp_pcb *pcb = s->tcp;
    uint32_t mss = pcb->mss;
    uint32_t size = LWIP_MIN(pending, pcb->cwnd / 2);
    size = LWIP_MIN(size + mss - 1, s->gso_segment);
    return size < mss ? mss : size - size % mss;
}

/* Writes up to `len` bytes; returns how many lwIP took. */
static uint32_t write_bytes(struct lw_sock *s, const uint8_t *data, uint32_t len, uint32_t size,
                            bool more)
{
    struct tcp_pcb *pcb = s->tcp;
    uint32_t last = last_unsent_size(pcb);
    if (size < last)
        size = last;
    uint32_t local = LWIP_MIN(size, pcb->snd_wnd_max / 2);
    if (!local)
        local = size;
    uint16_t queued = pcb->snd_queuelen;
    if (local < last || queued >= TCP_SND_QUEUELEN)
        return 0;
    uint32_t fits = (uint32_t)(TCP_SND_QUEUELEN - queued) * local;
    len = LWIP_MIN(LWIP_MIN(len, fits), LWIP_MIN(pcb->snd_buf, 0xffffu));
    if (!len)
        return 0;
    uint16_t mss = pcb->mss;
    pcb->mss = (u16_t)size;
    err_t err =
        lw.tcp_write(pcb, data, (u16_t)len, TCP_WRITE_FLAG_COPY | (more ? TCP_WRITE_FLAG_MORE : 0));
    pcb->mss = mss;
    return err == ERR_OK ? len : 0;
}

static void write_pending(struct lw_sock *s)
{
    const struct dmm_host *host = s->stack->host;
    uint32_t pending = host->tx_pending(s->sock);
    while (pending && s->tcp->snd_buf) {
        struct iovec iov[2];
        uint32_t want = LWIP_MIN(pending, s->tcp->snd_buf);
        unsigned n = host->tx_peek(s->sock, 0, want, iov);
        uint32_t size = segment_size(s, pending);
        uint32_t taken = 0;
        for (unsigned i = 0; i < n; i++) {
            uint32_t len = (uint32_t)iov[i].iov_len;
            uint32_t done = 0;
            while (done < len) {
                bool more = taken + len - done < pending;
                uint32_t wrote =
                    write_bytes(s, (const uint8_t *)iov[i].iov_base + done, len - done, size, more);
                if (!wrote)
                    break;
                done += wrote;
            }
            taken += done;
            if (done < len)
                break;
        }
        if (!taken)
            break;
        host->tx_consume(s->sock, taken);
        pending -= taken;
    }
}

/* The app has closed and all is with lwIP: it ends the connection on its own. */
static void finish_close(struct lw_sock *s)
{
    struct tcp_pcb *pcb = s->tcp;
    /* tcp_close() takes any other window for unread data, and resets. */
    pcb->rcv_wnd = TCP_WND_MAX(pcb);
    lw_tcp_detach(s);
    lw.tcp_close(pcb);
    lw_sock_release(s);
}

/* Both FINs are on their way: nothing more concerns the socket, and lwIP frees the pcb unasked. */
static void leave_if_both_closed(struct lw_sock *s)
{
    if (s->tcp && s->fin_sent && s->fin_received)
        lw_tcp_detach(s);
}

void lw_tcp_send(struct lw_sock *s)
{
    const struct dmm_host *host = s->stack->host;
    if (s->state != LW_CONNECTED || !s->sock || !s->tcp)
        return;
    if (!s->fin_sent)
        write_pending(s);
    if (!s->wr_shut || (!s->fin_sent && host->tx_pending(s->sock)))
        return;
    if (s->closing) {
        finish_close(s);
    } else if (!s->fin_sent) {
        s->fin_sent = lw.tcp_shutdown(s->tcp, 0, 1) == ERR_OK;
        leave_if_both_closed(s);
    }
}

err_t lw_tcp_sent_cb(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    (void)pcb;
    (void)len;
    lw_tcp_send(arg);
    return ERR_OK;
}

/* ---- in ---- */

void lw_held_free(struct lw_held *held)
{
    for (struct pbuf *p = held->first; p;) {
        struct pbuf *next = p->next;
        p->next = NULL;
        lw.pbuf_free(p);
        p = next;
    }
    *held = (struct lw_held){0};
}

static void hold(struct lw_held *held, struct pbuf *p)
{
    struct pbuf *last = p;
    uint32_t bytes = p->len;
    for (; last->next; last = last->next)
        bytes += last->next->len;
    if (held->last)
        held->last->next = p;
    else
        held->first = p;
    held->last = last;
    held->bytes += bytes;
}

/* Offers what the ring has room for. lwIP's tcp_recved() does the same for at most 64 KB. */
static void open_window(struct lw_sock *s)
{
    struct tcp_pcb *pcb = s->tcp;
    const struct dmm_host *host = s->stack->host;
    uint32_t most = (pcb->flags & TF_WND_SCALE)
                        ? s->stack->config.receive_window
                        : LWIP_MIN(s->stack->config.receive_window, 0xffffu);
    uint32_t room = s->rd_shut ? most : host->rx_space(s->sock);
    room = room > s->held.bytes ? LWIP_MIN(room - s->held.bytes, most) : 0;
    if (room <= pcb->rcv_wnd)
        return;
    pcb->rcv_wnd = room;
    /* Tell at once only what is worth a segment of its own (RFC 9293, 3.8.6.2.2). */
    if (lw.tcp_update_rcv_ann_wnd(pcb) >= LWIP_MIN(most / 4, 4u * TCP_MSS)) {
        tcp_ack_now(pcb);
        lw_tcp_output(pcb);
    }
}

static void write_held(struct lw_sock *s)
{
    const struct dmm_host *host = s->stack->host;
    struct lw_held *held = &s->held;
    while (held->first) {
        struct pbuf *p = held->first;
        uint32_t n = LWIP_MIN(host->rx_space(s->sock), p->len);
        if (p->len && (!n || host->rx_write(s->sock, p->payload, n)))
            return;
        held->bytes -= n;
        if (n < p->len) {
            p->payload = (uint8_t *)p->payload + n;
            p->len = (u16_t)(p->len - n);
            return;
        }
        held->first = p->next;
        if (!held->first)
            held->last = NULL;
        p->next = NULL;
        lw.pbuf_free(p);
    }
}

void lw_tcp_deliver(struct lw_sock *s)
{
    const struct dmm_host *host = s->stack->host;
    if (!s->sock || s->closing)
        return; /* not accepted yet, or nobody reads any more */
    write_held(s);
    if (s->tcp && !s->fin_received)
        open_window(s);
    if (s->fin_received && !s->held.first && !s->eof_told) {
        s->eof_told = true;
        host->eof(s->sock);
    }
}

void lw_receive_space(void *ssock)
{
    struct lw_sock *s = ssock;
    if (s->stream && (s->state == LW_CONNECTED || s->held.first))
        lw_tcp_deliver(s);
}

err_t lw_tcp_recv_cb(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct lw_sock *s = arg;
    (void)err;
    if (!p) {
        s->fin_received = true;
        lw_tcp_deliver(s);
        leave_if_both_closed(s);
        return ERR_OK;
    }
    if (s->closing) {
        /* The app has gone: it won't read this (RFC 9293, 3.10.4; Linux resets too). */
        lw.pbuf_free(p);
        lw_tcp_detach(s);
        lw.tcp_abort(pcb);
        lw_sock_release(s);
        return ERR_ABRT;
    }
    /* A merged frame is several segments: two full ones are acknowledged at once (RFC 1122,
     * 4.2.3.2). */
    if (p->tot_len >= 2u * pcb->mss)
        tcp_ack_now(pcb);
    if (s->rd_shut)
        lw.pbuf_free(p);
    else
        hold(&s->held, p);
    lw_tcp_deliver(s);
    return ERR_OK;
}
