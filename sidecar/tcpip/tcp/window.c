/* SPDX-License-Identifier: Apache-2.0 */
/* The receive window: how much to offer (RFC 9293, 3.8.6.2.2). How large the buffer may become is
 * the host's to say, which sees whether the application keeps up: rx_space() tells it. */
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

/* A smaller step is not offered: min(MSS, half the buffer). */
static uint32_t least_step(const struct tcb *t)
{
    return t->rcv_mss < t->rcv_capacity / 2 ? t->rcv_mss : t->rcv_capacity / 2;
}

static uint32_t round_down(const struct tcb *t, uint32_t wnd)
{
    return wnd >> t->rcv_wscale << t->rcv_wscale;
}

uint32_t tcb_receive_window(struct tcb *t)
{
    const uint32_t most = (uint32_t)TCP_WINDOW_MAX << t->rcv_wscale;
    const uint32_t left = tcb_offered(t);
    const uint32_t space = ring_space(t);
    uint32_t wnd = round_down(t, space);

    if (space <= left || space - left < least_step(t)) {
        /* The right edge stays. Where the field cannot say it, it says more if the ring has the
         * room, else less: rcv_adv knows what was offered (RFC 7323, 2.4). */
        const uint32_t up = round_down(t, left + (1U << t->rcv_wscale) - 1);

        wnd = up <= space ? up : round_down(t, left);
    }
    return wnd < most ? wnd : most;
}

bool tcb_window_worth_telling(struct tcb *t)
{
    const uint32_t known = round_down(t, tcb_offered(t)); /* at least this */
    uint32_t window;

    if (known >= t->rcv_capacity / 2)
        return false;
    window = tcb_receive_window(t);
    return window > 0 && window >= 2 * known && window - known >= round_down(t, least_step(t));
}
