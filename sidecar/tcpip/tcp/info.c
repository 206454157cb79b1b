/* SPDX-License-Identifier: Apache-2.0 */
/* TCP_INFO: every field that is set here is measured; what the stack does not know is 0, and is
 * named in docs/tcpip.md. */
#include "sidecar/tcpip/tcp/tcb.h"

#include <linux/tcp.h>

static uint32_t ms_since(uint64_t now, uint64_t then)
{
    return then == 0 ? 0 : (uint32_t)((now - then) / MS_NS);
}

static uint8_t ca_state(const struct tcb *t)
{
    static const uint8_t states[] = {
        [RECOVERY_OPEN] = TCP_CA_Open,
        [RECOVERY_CWR] = TCP_CA_CWR,
        [RECOVERY_FAST] = TCP_CA_Recovery,
        [RECOVERY_LOSS] = TCP_CA_Loss,
    };

    if (t->recovery == RECOVERY_OPEN && (t->sb.sacked > 0 || t->dup_acks > 0))
        return TCP_CA_Disorder;
    return states[t->recovery];
}

static uint32_t segments(const struct tcb *t, uint32_t bytes)
{
    return t->cc.mss == 0 ? 0 : (bytes + t->cc.mss - 1) / t->cc.mss;
}

static void fill_negotiated(const struct tcb *t, struct tcp_info *i)
{
    i->tcpi_options = (uint8_t)((t->flags & TCB_TS ? TCPI_OPT_TIMESTAMPS : 0) |
                                (t->flags & TCB_SACK ? TCPI_OPT_SACK : 0) |
                                (t->flags & TCB_WSCALE ? TCPI_OPT_WSCALE : 0) |
                                (t->flags & TCB_ECN ? TCPI_OPT_ECN : 0));
    i->tcpi_snd_wscale = t->snd_wscale & 15;
    i->tcpi_rcv_wscale = t->rcv_wscale & 15;
    i->tcpi_snd_mss = t->cc.mss;
    i->tcpi_rcv_mss = t->rcv_mss;
    i->tcpi_advmss = t->ep.in_table ? tcb_advertised_mss(t) : 0;
    i->tcpi_pmtu = t->mtu_cap != 0 && t->mtu_cap < t->flow.mtu ? t->mtu_cap : t->flow.mtu;
}

static void fill_sender(const struct tcb *t, struct tcp_info *i)
{
    const uint32_t outstanding = t->snd_nxt - t->snd_una;
    const uint64_t min = rtt_min(&t->rtt);

    i->tcpi_ca_state = ca_state(t);
    i->tcpi_retransmits = t->backoffs;
    i->tcpi_backoff = t->backoffs;
    i->tcpi_rto = (uint32_t)(rtt_rto(&t->rtt, t->backoffs) / 1000);
    i->tcpi_rtt = (uint32_t)(t->rtt.srtt / 1000);
    i->tcpi_rttvar = (uint32_t)(t->rtt.rttvar / 1000);
    i->tcpi_min_rtt = min != 0 ? (uint32_t)(min / 1000) : UINT32_MAX;
    i->tcpi_snd_cwnd = t->cc.mss == 0 ? 0 : t->cc.cwnd / t->cc.mss;
    i->tcpi_snd_ssthresh =
        t->cc.ssthresh >= CC_INFINITE || t->cc.mss == 0 ? CC_INFINITE : t->cc.ssthresh / t->cc.mss;
    i->tcpi_unacked = segments(t, outstanding);
    i->tcpi_sacked = segments(t, t->sb.sacked);
    i->tcpi_lost = segments(t, t->sb.lost);
    i->tcpi_retrans = segments(t, t->sb.retrans);
    i->tcpi_total_retrans = t->total_retrans;
    i->tcpi_max_pacing_rate = t->max_pacing;
    i->tcpi_pacing_rate = tcb_pacing_rate(t);
    i->tcpi_notsent_bytes = t->ep.state == TCPS_LISTEN ? 0 : tcb_unsent(t);
    i->tcpi_dsack_dups = t->dsack_dups;
    i->tcpi_reord_seen = t->reord_seen;
    i->tcpi_snd_wnd = t->snd_wnd;
}

/* Time in a state up to now, us. */
static uint64_t chrono_us(const struct tcb *t, enum tcb_chrono state)
{
    const uint64_t running = t->chrono == state ? t->s.ip->now - t->chrono_since : 0;

    return (t->chrono_ns[state] + running) / 1000;
}

static void fill_delivery(const struct tcb *t, struct tcp_info *i)
{
    const struct rate *rate = &t->sb.rate;

    i->tcpi_delivered = t->delivered;
    i->tcpi_delivered_ce = t->delivered_ce;
    i->tcpi_delivery_rate = rate_bytes_per_second(rate);
    i->tcpi_delivery_rate_app_limited = rate->sample_app_limited;
    i->tcpi_rwnd_limited = chrono_us(t, CHRONO_RWND);
    i->tcpi_busy_time = chrono_us(t, CHRONO_BUSY) + i->tcpi_rwnd_limited;
}

static void fill_counts(const struct tcb *t, struct tcp_info *i)
{
    const uint64_t now = t->s.ip->now;

    i->tcpi_last_data_sent = ms_since(now, t->idle_since);
    i->tcpi_last_data_recv = ms_since(now, t->last_data_received);
    i->tcpi_last_ack_recv = ms_since(now, t->last_ack_received);
    i->tcpi_rcv_space = t->rcv_capacity;
    i->tcpi_rcv_rtt = t->rcv_rtt_us;
    i->tcpi_rcv_ooopack = t->rcv_ooopack;
    i->tcpi_bytes_acked = t->bytes_acked;
    i->tcpi_bytes_received = t->bytes_received;
    i->tcpi_bytes_sent = t->bytes_sent;
    i->tcpi_bytes_retrans = t->bytes_retrans;
    i->tcpi_segs_out = t->segs_out;
    i->tcpi_segs_in = t->segs_in;
    i->tcpi_data_segs_in = t->data_segs_in;
    i->tcpi_data_segs_out = t->data_segs_out;
    i->tcpi_probes = t->probes;
    i->tcpi_ato = (uint32_t)(t->s.ip->config.delayed_ack_ms * 1000);
}

void tcb_chrono(struct tcb *t, enum tcb_chrono state)
{
    if (t->chrono == state)
        return;
    t->chrono_ns[t->chrono] += t->s.ip->now - t->chrono_since;
    t->chrono_since = t->s.ip->now;
    t->chrono = (uint8_t)state;
}

void tcb_get_tcp_info(struct tcb *t, void *value, uint32_t *len)
{
    struct tcp_info info = {.tcpi_state = t->ep.state};

    if (t->ep.state == TCPS_LISTEN) { /* as Linux: the queue and its limit */
        info.tcpi_unacked = t->n_half_open;
        info.tcpi_sacked = t->backlog > 0 ? t->backlog - 1 : 0;
    } else {
        fill_negotiated(t, &info);
        fill_sender(t, &info);
        fill_delivery(t, &info);
        fill_counts(t, &info);
    }
    if (*len > sizeof(info))
        *len = sizeof(info);
    memcpy(value, &info, *len);
}
