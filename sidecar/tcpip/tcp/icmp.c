/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors about our segments (RFC 9293, 3.9.2.2; RFC 5927; RFC 1191, RFC 8201). */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#define MIN_MTU4 552 /* no less is believed: Linux's ip_rt_min_pmtu */
#define MIN_MTU6 1280

/* The path takes less: what is in flight in larger pieces goes again, the window unharmed. */
static void too_big(struct tcb *t, const struct ip_error *error)
{
    const uint32_t least = ip_addr_is_v4(&t->ep.remote) ? MIN_MTU4 : MIN_MTU6;
    const uint32_t mtu = error->mtu > least ? error->mtu : least;
    const uint16_t old = t->mss;

    if (t->s.pmtudisc == IP_PMTUDISC_DONT || t->s.pmtudisc == IP_PMTUDISC_PROBE ||
        mtu >= t->flow.mtu || (t->mtu_cap != 0 && mtu >= t->mtu_cap))
        return;
    t->mtu_cap = (uint16_t)mtu;
    tcb_update_mss(t);
    if (t->mss >= old)
        return;
    for (struct tx_range *r = t->sb.head; r != NULL; r = r->next) {
        if (!(r->flags & TX_SACKED) && r->end - r->seq > t->cc.mss)
            sb_mark_lost(&t->sb, r);
    }
    tcb_schedule(t);
}

bool tcp_icmp_error(struct tcpip *ip, const struct ip_error *error)
{
    struct tcp_endpoint *ep =
        demux_find(ip, &error->local, error->local_port, &error->remote, error->remote_port);
    struct tcb *t;

    if (ep == NULL || ep->state == TCPS_TIME_WAIT)
        return false;
    t = tcb_of_endpoint(ep);
    /* RFC 5927, 4.1: only about what is in flight */
    if (!seq_in(error->seq, t->snd_una, t->snd_nxt - t->snd_una))
        return false;
    if (error->too_big) {
        too_big(t, error);
        return true;
    }
    t->soft_error = error->error;
    /* RFC 5927, 5.2: an established connection is not ended by ICMP, hard or not; one that is
     * being opened may be (RFC 5461 for those that are soft) */
    if (t->ep.state == TCPS_SYN_SENT && (error->hard || t->syn_tries > 0)) {
        ip->count.tcp_attempt_fails++;
        tcb_end(t, error->error);
    }
    return true;
}
