/* SPDX-License-Identifier: Apache-2.0 */
/* The receive window: how much to offer (RFC 9293, 3.8.6.2.2). How large the buffer may become is
 * the host's to say, which sees whether the application keeps up: rx_space() tells it. */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#define FIRST_WINDOW 65535U /* of a half-open connection, whose ring comes with accept */

static uint32_t ring_space(struct tcb *t)
{
    uint32_t space;

    if (t->s.sock == NULL)
        return FIRST_WINDOW;
    space = t->s.ip->host->rx_space(t->s.sock);
    if (space > t->rcv_capacity)
        t->rcv_capacity = space;
    return space;
}

uint32_t tcb_receive_window(struct tcb *t)
{
    const uint32_t offered = seq_gt(t->rcv_adv, t->rcv_nxt) ? t->rcv_adv - t->rcv_nxt : 0;
    const uint32_t scale = t->rcv_wscale;
    const uint32_t most = (uint32_t)TCP_WINDOW_MAX << scale;
    uint32_t wnd = ring_space(t);
    /* a small step is not offered: min(MSS, half the buffer) */
    const uint32_t step = t->rcv_mss < t->rcv_capacity / 2 ? t->rcv_mss : t->rcv_capacity / 2;

    if (wnd <= offered || wnd - offered < step)
        /* rounded up, so that the right edge never goes back (RFC 7323, 2.4) */
        wnd = (offered + (1U << scale) - 1) >> scale << scale;
    else
        wnd = wnd >> scale << scale;
    return wnd < most ? wnd : most;
}
