/* SPDX-License-Identifier: Apache-2.0 */
/* What may be sent now (RFC 9293, 3.7.4, 3.8.6; RFC 5681; RFC 6675's NextSeg with RFC 8985). */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>

#define TURN_BYTES   524288U /* of one connection before the others have their turn */
#define L3_LEN_MAX   65535U
#define PACE_QUANTUM (1 * MS_NS)

/* Ports that share a list block each other; there are as many lists as a pod has ports. */
static unsigned list_of(unsigned port)
{
    return port % OUTPUT_LISTS;
}

void tcb_schedule(struct tcb *t)
{
    if (!list_linked(&t->out))
        list_add_tail(&tcp_of(t)->output[list_of(t->flow.port)], &t->out);
}

void tcp_port_writable(struct tcpip *ip, unsigned port)
{
    ip->tcp->blocked &= ~(1U << list_of(port));
}

bool tcp_pending(const struct tcpip *ip)
{
    const struct tcp *tcp = ip->tcp;

    for (unsigned i = 0; i < OUTPUT_LISTS; i++) {
        if (!list_empty(&tcp->output[i]) && !(tcp->blocked & 1U << i))
            return true;
    }
    return false;
}

/* Those that are on the list now, until the port is full: the rest keep their places, so that a
 * full port costs no walk over all that wait for it. */
static unsigned output_list(struct tcp *tcp, unsigned i)
{
    struct list_node work;
    unsigned done = 0;

    list_init(&work);
    list_splice(&work, &tcp->output[i]);
    while (!list_empty(&work)) {
        struct tcb *t = list_entry(work.next, struct tcb, out);

        list_del(&t->out);
        if (!list_empty(&work))
            tcb_prefetch(list_entry(work.next, struct tcb, out));
        if (tcb_output(t) == -EAGAIN) {
            const unsigned full = list_of(t->flow.port);

            list_del(&t->out);
            tcp->blocked |= 1U << full;
            list_add_tail(full == i ? &work : &tcp->output[full], &t->out);
            if (full == i)
                break;
        }
        done++;
    }
    list_splice(&work, &tcp->output[i]);
    list_splice(&tcp->output[i], &work);
    return done;
}

unsigned tcp_poll_output(struct tcpip *ip)
{
    struct tcp *tcp = ip->tcp;
    unsigned done = 0;

    for (unsigned i = 0; i < OUTPUT_LISTS; i++) {
        if (!list_empty(&tcp->output[i]) && !(tcp->blocked & 1U << i))
            done += output_list(tcp, i);
    }
    return done;
}

uint32_t tcb_unsent(const struct tcb *t)
{
    const uint32_t fin = (t->flags & (TCB_FIN_QUEUED | TCB_FIN_SENT)) == TCB_FIN_QUEUED;

    if (t->flags & TCB_FIN_SENT)
        return 0;

    const uint32_t pending = t->s.sock != NULL ? t->s.ip->host->tx_pending(t->s.sock) : 0;
    const uint32_t sent = t->snd_nxt - t->snd_una;

    return (pending > sent ? pending - sent : 0) + fin;
}

uint32_t tcb_max_payload(const struct tcb *t)
{
    const unsigned options = tcb_options_len(t);
    const uint32_t mss = t->mss - options;
    const uint32_t most = t->flow.max_gso < L3_LEN_MAX ? t->flow.max_gso : L3_LEN_MAX;
    const uint32_t headers = 40 + TCP_HEADER_LEN + options;

    if (most < headers + 2 * mss)
        return mss;
    return (most - headers) / mss * mss;
}

/* Without SACK each duplicate ACK is a segment that left the network (RFC 3042, RFC 5681). */
static uint32_t pipe_of(const struct tcb *t)
{
    const uint32_t pipe = sb_pipe(&t->sb, t->snd_nxt - t->snd_una);
    const uint32_t left = t->flags & TCB_SACK ? 0 : t->dup_acks * t->cc.mss;

    return pipe > left ? pipe - left : 0;
}

uint64_t tcb_pacing_rate(const struct tcb *t)
{
    uint64_t rate = t->max_pacing;

    if (t->s.ip->config.pacing && t->rtt.srtt != 0) {
        /* ahead of the window, so that pacing never is what limits: twice in slow start */
        const uint64_t gain = t->cc.cwnd < t->cc.ssthresh / 2 ? 200 : 120;
        const uint64_t window = (uint64_t)t->cc.cwnd * gain / 100 * SEC_NS / t->rtt.srtt;

        if (window < rate)
            rate = window;
    }
    return rate > 0 ? rate : 1;
}

/* What pacing lets go now; sets the timer if it is nothing. */
static uint32_t pacing_room(struct tcb *t)
{
    const uint64_t rate = tcb_pacing_rate(t);
    const uint64_t now = t->s.ip->now;

    if (rate == UINT64_MAX)
        return UINT32_MAX;
    if (t->pace_next > now) {
        tcb_timer_set(t, TIMER_PACE, t->pace_next);
        return 0;
    }

    const uint64_t quantum = rate / (SEC_NS / PACE_QUANTUM);
    const uint32_t least = 2U * t->mss;

    if (quantum < least)
        return least;
    return quantum < TURN_BYTES ? (uint32_t)quantum : TURN_BYTES;
}

static void pacing_sent(struct tcb *t, uint32_t bytes)
{
    const uint64_t rate = tcb_pacing_rate(t);
    const uint64_t now = t->s.ip->now;

    if (rate == UINT64_MAX)
        return;
    if (t->pace_next < now)
        t->pace_next = now;
    t->pace_next += (uint64_t)bytes * SEC_NS / rate;
}

/* A range of the scoreboard again; FIN is its last number where it reaches so far. */
static int retransmit(struct tcb *t, struct tx_range *r)
{
    struct tcpip *ip = t->s.ip;
    const bool fin = (t->flags & TCB_FIN_SENT) && r->end == t->fin_seq + 1;
    const uint32_t bytes = r->end - r->seq;
    const struct tcb_send send = {
        .seq = r->seq,
        .len = bytes - fin,
        .flags = (uint8_t)(TCP_ACK | (fin ? TCP_FIN : 0) | (bytes > fin ? TCP_PSH : 0)),
        .retransmit = true,
    };
    const int rc = tcb_send_segment(t, &send);

    if (rc == -EAGAIN)
        return rc;
    if (t->retrans_ts == 0) /* 0 stands for none; a millisecond more does no harm */
        t->retrans_ts = tcb_ts_now(t) != 0 ? tcb_ts_now(t) : 1;
    t->undo_bytes += bytes;
    sb_retransmitted(&t->sb, r, ip->now);
    prr_sent(&t->prr, bytes);
    pacing_sent(t, bytes);
    t->bytes_retrans += bytes;
    t->total_retrans++;
    ip->count.tcp_retransmits++;
    return 0;
}

/* Bounded by the ranges: each is sent once. */
static int send_lost(struct tcb *t, uint32_t *budget)
{
    struct pool *pool = &tcp_of(t)->ranges;

    while (t->sb.lost > 0 && *budget > 0) {
        const uint32_t pipe = pipe_of(t);
        uint32_t max = tcb_max_payload(t);
        struct tx_range *r;
        int rc;

        if (pipe + t->cc.mss > t->cc.cwnd && pipe > 0)
            return 0;
        if (max > t->cc.cwnd - pipe)
            max = t->cc.cwnd > pipe + t->cc.mss ? (t->cc.cwnd - pipe) / t->cc.mss * t->cc.mss
                                                : t->cc.mss;
        r = sb_next_lost(&t->sb, pool, max);
        if (r == NULL)
            return 0;
        const uint32_t bytes = r->end - r->seq;

        rc = retransmit(t, r);
        if (rc == -EAGAIN)
            return rc;
        *budget = *budget > bytes ? *budget - bytes : 0;
    }
    return 0;
}

/* Whether a segment smaller than the MSS may go (Nagle, RFC 9293, 3.7.4, after Minshall; CORK; the
 * sender's side of silly windows, 3.8.6.2.1). `all`: nothing is left behind it. */
static bool small_allowed(const struct tcb *t, uint32_t len, bool all, bool fin)
{
    if (fin || (t->flags & TCB_SWS_OVERRIDE))
        return true;
    if (!all)
        return len >= t->max_wnd / 2;
    if (t->flags & TCB_CORK)
        return false;
    if (t->flags & TCB_NODELAY)
        return true;
    return seq_leq(t->snd_sml, t->snd_una);
}

/* How much new data goes in the next frame; *fin if the FIN goes with it. 0 with *fin false:
 * nothing now. */
static uint32_t new_data(struct tcb *t, uint32_t unsent, uint32_t budget, bool *fin)
{
    const uint32_t mss = t->mss - tcb_options_len(t);
    const uint32_t pipe = pipe_of(t);
    const uint32_t wnd_end = t->snd_una + t->snd_wnd;
    const uint32_t window = seq_gt(wnd_end, t->snd_nxt) ? wnd_end - t->snd_nxt : 0;
    uint32_t room = t->cc.cwnd > pipe ? t->cc.cwnd - pipe : 0;
    uint32_t len = unsent;

    *fin = false;
    if (room < mss && pipe > 0 && unsent > 0) {
        t->flags |= TCB_CWND_LIMITED;
        return 0;
    }
    if (room < mss)
        room = mss;
    if (len > room) {
        len = room;
        t->flags |= TCB_CWND_LIMITED;
    }
    if (len > window) {
        if (window < mss)
            t->flags |= TCB_RWND_LIMITED;
        len = window;
    }
    if (len > budget)
        len = budget;

    const uint32_t max = t->flags & TCB_CWR ? mss : tcb_max_payload(t);

    if (len > max)
        len = max;
    if (len < unsent && len > mss)
        len = len / mss * mss;
    *fin = (t->flags & TCB_FIN_QUEUED) && len == unsent && window > len;
    if (len > 0 && len < mss && !small_allowed(t, len, len == unsent, *fin)) {
        *fin = false;
        return 0;
    }
    return len;
}

static void new_data_sent(struct tcb *t, uint32_t len, bool fin)
{
    const uint32_t end = t->snd_nxt + len + fin;

    sb_sent(&t->sb, &tcp_of(t)->ranges, t->snd_nxt, end, t->s.ip->now);
    if (len > 0 && len < t->cc.mss)
        t->snd_sml = end;
    if (fin) {
        t->fin_seq = end - 1;
        t->flags |= TCB_FIN_SENT;
    }
    t->snd_nxt = end;
    if (t->stalled_at == 0)
        t->stalled_at = t->s.ip->now;
    if (t->recovery == RECOVERY_FAST || t->recovery == RECOVERY_CWR)
        prr_sent(&t->prr, len);
    pacing_sent(t, len);
}

/* RFC 5681, 4.1: after an idle time of more than an RTO the window is too old to burst. */
static void restart_after_idle(struct tcb *t)
{
    const uint32_t initial = t->s.ip->config.initial_window * t->cc.mss;

    if (t->snd_una != t->snd_nxt || t->idle_since == 0 ||
        t->s.ip->now - t->idle_since <= t->rtt.rto)
        return;
    if (t->cc.cwnd > initial)
        t->cc.cwnd = initial;
}

/* The application gave less than a segment, and the network would take one (3.4 of the draft that
 * rate.h names). */
static void note_app_limited(struct tcb *t, uint32_t unsent)
{
    const uint32_t pipe = pipe_of(t);

    if (unsent < t->cc.mss && pipe + t->cc.mss <= t->cc.cwnd && t->sb.lost <= t->sb.retrans)
        rate_app_limited(&t->sb.rate, pipe);
}

static int send_new(struct tcb *t, uint32_t *budget)
{
    uint32_t pending;

    if (t->flags & TCB_FIN_SENT)
        return 0;
    pending = t->s.sock != NULL ? t->s.ip->host->tx_pending(t->s.sock) : 0;
    t->flags &= ~(uint32_t)TCB_CWND_LIMITED;
    while (*budget > 0) {
        const uint32_t sent = t->snd_nxt - t->snd_una;
        const uint32_t unsent = pending > sent ? pending - sent : 0;
        bool fin;
        int rc;

        if (unsent == 0 && !(t->flags & TCB_FIN_QUEUED)) {
            note_app_limited(t, 0);
            return 0;
        }
        const uint32_t len = new_data(t, unsent, *budget, &fin);

        if ((len == 0 && !fin) || !sb_room(&t->sb, &tcp_of(t)->ranges)) {
            note_app_limited(t, unsent);
            return 0;
        }
        const struct tcb_send send = {
            .seq = t->snd_nxt,
            .len = len,
            .flags =
                (uint8_t)(TCP_ACK | (fin ? TCP_FIN : 0) | (len > 0 && len == unsent ? TCP_PSH : 0)),
        };

        rc = tcb_send_segment(t, &send);
        if (rc == -EAGAIN)
            return rc;
        new_data_sent(t, len, fin);
        if (fin)
            return 0;
        *budget -= len;
    }
    return 0;
}

/* RFC 8985, 7.3: new data if there is any and the window takes it, else the tail again. */
static int send_tail_probe(struct tcb *t)
{
    const uint32_t mss = t->mss - tcb_options_len(t);
    const uint32_t pending = t->s.sock != NULL ? t->s.ip->host->tx_pending(t->s.sock) : 0;
    const uint32_t sent = t->snd_nxt - t->snd_una;
    const uint32_t wnd_end = t->snd_una + t->snd_wnd;
    int rc = 0;

    t->flags &= ~(uint32_t)(TCB_TLP_NOW | TCB_TLP_RETRANS);
    if (sent == 0)
        return 0;
    if (!(t->flags & TCB_FIN_SENT) && pending > sent && seq_gt(wnd_end, t->snd_nxt) &&
        sb_room(&t->sb, &tcp_of(t)->ranges)) {
        uint32_t len = pending - sent < mss ? pending - sent : mss;

        if (len > wnd_end - t->snd_nxt)
            len = wnd_end - t->snd_nxt;
        rc = tcb_send_segment(
            t, &(struct tcb_send){.seq = t->snd_nxt, .len = len, .flags = TCP_ACK | TCP_PSH});
        if (rc != -EAGAIN)
            new_data_sent(t, len, false);
    } else {
        struct tx_range *r = sb_tail(&t->sb, &tcp_of(t)->ranges, mss);

        if (r == NULL)
            return 0;
        rc = retransmit(t, r);
        t->flags |= TCB_TLP_RETRANS;
    }
    if (rc == -EAGAIN) {
        t->flags |= TCB_TLP_NOW;
        return rc;
    }
    t->tlp_end = t->snd_nxt;
    t->tlp_tries = 1;
    t->s.ip->count.tcp_tlp++;
    /* 7.3: after a probe the RTO is what is left */
    tcb_timer_set(t, TIMER_RETRANSMIT, t->s.ip->now + rtt_rto(&t->rtt, 0));
    return 0;
}

static int send_data(struct tcb *t)
{
    uint32_t budget;
    int rc = 0;

    t->flags &= ~(uint32_t)TCB_RWND_LIMITED;
    restart_after_idle(t);
    if (t->flags & TCB_TLP_NOW)
        rc = send_tail_probe(t);
    budget = pacing_room(t);
    if (budget > TURN_BYTES)
        budget = TURN_BYTES;

    const uint32_t before = budget;

    if (rc == 0)
        rc = send_lost(t, &budget);
    if (rc == 0 && budget > 0)
        rc = send_new(t, &budget);
    if (rc == 0 && before > 0 && budget == 0) {
        if (tcb_pacing_rate(t) == UINT64_MAX)
            tcb_schedule(t); /* more next turn */
        else
            tcb_timer_set(t, TIMER_PACE, t->pace_next);
    }
    t->flags &= ~(uint32_t)TCB_SWS_OVERRIDE;
    return rc;
}

static int output_syn(struct tcb *t)
{
    const int rc = t->flags & TCB_SYN_NOW ? tcb_send_syn(t) : 0;

    if (rc == -EAGAIN)
        return rc;
    if (t->flags & TCB_SYN_NOW) {
        if (t->snd_nxt == t->iss) {
            sb_sent(&t->sb, &tcp_of(t)->ranges, t->iss, t->iss + 1, t->s.ip->now);
            t->snd_nxt = t->iss + 1;
            t->stalled_at = t->s.ip->now;
        } else if (t->sb.head != NULL) {
            sb_retransmitted(&t->sb, t->sb.head, t->s.ip->now);
        }
        t->flags &= ~(uint32_t)TCB_SYN_NOW;
    }
    tcb_rearm(t);
    return 0;
}

void tcb_tell_sent(struct tcb *t)
{
    uint32_t sent = t->snd_nxt - t->snd_una;

    if (t->s.sock == NULL || t->ep.state == TCPS_CLOSED || t->ep.state == TCPS_LISTEN ||
        t->ep.state == TCPS_SYN_SENT || t->ep.state == TCPS_SYN_RECEIVED)
        return;
    if ((t->flags & TCB_FIN_SENT) && sent > 0)
        sent--;
    t->s.ip->host->tx_sent(t->s.sock, sent);
}

int tcb_output(struct tcb *t)
{
    const uint32_t before = t->snd_nxt;
    int rc = 0;

    switch (t->ep.state) {
    case TCPS_CLOSED:
    case TCPS_LISTEN:
        return 0;
    case TCPS_SYN_SENT:
    case TCPS_SYN_RECEIVED:
        return output_syn(t);
    default:
        rc = send_data(t);
        if (t->tell_sent && t->snd_nxt != before)
            tcb_tell_sent(t);
        break;
    }
    if (rc == 0 && (t->flags & TCB_PROBE_NOW)) {
        rc = tcb_send_probe(t);
        if (rc != -EAGAIN)
            t->flags &= ~(uint32_t)TCB_PROBE_NOW;
    }
    if (rc == 0 && (t->flags & TCB_ACK_NOW))
        rc = tcb_send_ack(t);
    tcb_rearm(t);
    return rc == -EAGAIN ? rc : 0;
}
