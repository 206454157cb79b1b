/* SPDX-License-Identifier: Apache-2.0 */
/* The receive window: how much to offer (RFC 9293, 3.8.6.2.2), and how it grows with what the
 * application takes (dynamic right-sizing). */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

static uint32_t ring_space(struct tcb *t)
{
    if (t->s.sock == NULL) /* half open: the ring comes with accept */
        return t->rcv_limit;

    const uint32_t space = t->s.ip->host->rx_space(t->s.sock);

    if (space > t->rcv_capacity)
        t->rcv_capacity = space;
    return space;
}

uint32_t tcb_receive_window(struct tcb *t)
{
    const uint32_t space = ring_space(t);
    const uint32_t unread = t->rcv_capacity > space ? t->rcv_capacity - space : 0;
    const uint32_t offered = seq_gt(t->rcv_adv, t->rcv_nxt) ? t->rcv_adv - t->rcv_nxt : 0;
    const uint32_t scale = t->rcv_wscale;
    const uint32_t most = (uint32_t)TCP_WINDOW_MAX << scale;
    uint32_t wnd = t->rcv_limit > unread ? t->rcv_limit - unread : 0;

    if (wnd > space)
        wnd = space;
    /* a small step is not offered: min(MSS, half the buffer) */
    const uint32_t buffer =
        t->s.sock != NULL && t->rcv_capacity < t->rcv_limit ? t->rcv_capacity : t->rcv_limit;
    const uint32_t step = t->rcv_mss < buffer / 2 ? t->rcv_mss : buffer / 2;

    if (wnd <= offered || wnd - offered < step)
        /* rounded up, so that the right edge never goes back (RFC 7323, 2.4) */
        wnd = (offered + (1U << scale) - 1) >> scale << scale;
    else
        wnd = wnd >> scale << scale;
    return wnd < most ? wnd : most;
}

void tcb_autotune(struct tcb *t)
{
    const uint64_t now = t->s.ip->now;
    const uint64_t rtt = t->rtt.srtt != 0 ? t->rtt.srtt : 100 * MS_NS;

    if (now - t->tune_at < rtt)
        return;

    /* twice what came in a round trip lets the peer double its rate in the next */
    const uint64_t want = 2 * (uint64_t)(t->rcv_nxt - t->tune_seq) + 16 * t->rcv_mss;
    const uint32_t most = (uint32_t)TCP_WINDOW_MAX << t->rcv_wscale;

    if (want > t->rcv_limit)
        t->rcv_limit = want < most ? (uint32_t)want : most;
    t->tune_at = now;
    t->tune_seq = t->rcv_nxt;
}
