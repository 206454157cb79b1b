/* SPDX-License-Identifier: Apache-2.0 */
/* What an acknowledgement brings: room, a sample, news of loss, a window (RFC 9293, 3.10.7.4; RFC
 * 6298, 6675, 6937, 8985, 3168, 3522). */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#define DUP_THRESH 3

/* SND.WND, SND.WL1, SND.WL2. True if the window grew. */
static bool update_window(struct tcb *t, const struct segment *seg)
{
    const uint32_t old_end = t->snd_una + t->snd_wnd;

    if (!(seq_lt(t->snd_wl1, seg->seq) ||
          (t->snd_wl1 == seg->seq && seq_leq(t->snd_wl2, seg->ack))))
        return false;
    t->snd_wnd = seg->wnd << t->snd_wscale;
    t->snd_wl1 = seg->seq;
    t->snd_wl2 = seg->ack;
    if (t->snd_wnd > t->max_wnd)
        t->max_wnd = t->snd_wnd;
    return seq_gt(seg->ack + t->snd_wnd, old_end);
}

/* Moves SND.UNA to the ACK; the host gets its ring back. */
static void advance(struct tcb *t, uint32_t ack, struct sb_delivery *d)
{
    uint32_t bytes = ack - t->snd_una;

    sb_ack(&t->sb, &tcp_of(t)->ranges, ack, d);
    if (t->snd_una == t->iss)
        bytes--; /* SYN */
    if ((t->flags & TCB_FIN_SENT) && seq_gt(ack, t->fin_seq))
        bytes--;
    t->snd_una = ack;
    if (bytes > 0 && t->s.sock != NULL) {
        t->s.ip->host->tx_consume(t->s.sock, bytes);
        t->bytes_acked += bytes;
    }
    t->backoffs = 0;
    t->probes = 0;
    t->soft_error = 0;
    t->stalled_at = t->snd_una != t->snd_nxt ? t->s.ip->now : 0;
    tcb_timer_clear(t, TIMER_RETRANSMIT);           /* set anew by tcb_rearm(): RFC 6298, 5.3 */
    if (t->s.ip->now - t->confirmed_at >= SEC_NS) { /* REACHABLE lasts 15 s and more */
        t->confirmed_at = t->s.ip->now;
        net_flow_confirm(t->s.ip, &t->flow);
    }
}

/* RFC 2883, 4: the first block, if it is old data, or inside the second. */
static bool is_dsack(const struct tcb *t, const struct segment *seg)
{
    const struct sack_block *b = seg->options.sack;

    if (seg->options.n_sack == 0 || !seq_lt(b[0].start, b[0].end))
        return false;
    if (seq_lt(b[0].start, seg->ack))
        return seq_leq(b[0].end, seg->ack) && seq_gt(b[0].end, t->snd_una - t->max_wnd);
    return seg->options.n_sack > 1 && seq_geq(b[0].start, b[1].start) &&
           seq_leq(b[0].end, b[1].end);
}

static bool process_sacks(struct tcb *t, const struct segment *seg, struct sb_delivery *d)
{
    const bool dsack = is_dsack(t, seg);

    for (unsigned i = dsack; i < seg->options.n_sack; i++) {
        struct sack_block b = seg->options.sack[i];

        if (!seq_lt(b.start, b.end) || seq_gt(b.end, t->snd_nxt)) {
            t->s.ip->count.tcp_sack_bad++;
            continue;
        }
        if (seq_leq(b.end, t->snd_una))
            continue;
        b.start = seq_max(b.start, t->snd_una);
        if (!sb_sack(&t->sb, &tcp_of(t)->ranges, b, d))
            t->s.ip->count.tcp_sack_limit++;
    }
    if (dsack) {
        const uint32_t bytes = seg->options.sack[0].end - seg->options.sack[0].start;

        t->s.ip->count.tcp_dsack_in++;
        t->dsack_dups++;
        t->undo_bytes = t->undo_bytes > bytes ? t->undo_bytes - bytes : 0;
    }
    return dsack;
}

static void sample_rtt(struct tcb *t, const struct segment *seg, const struct sb_delivery *d,
                       uint32_t flight, bool advanced)
{
    const uint32_t expected = flight / (2 * t->cc.mss) + 1; /* RFC 7323, appendix G */

    if (d->rtt_sent != 0 && !d->retrans_acked) {
        rtt_sample(&t->rtt, d->now, d->now - d->rtt_sent, expected);
    } else if (advanced && d->retrans_acked && (t->flags & TCB_TS) && seg->options.ts &&
               seg->options.tsecr != 0) {
        const uint32_t ms = tcb_ts_now(t) - seg->options.tsecr;

        if (ms < 1U << 20) /* an echo from nowhere is no sample */
            rtt_sample(&t->rtt, d->now, ms * MS_NS + MS_NS / 2, expected);
    }
}

void tcb_enter_recovery(struct tcb *t, enum tcb_recovery how)
{
    const uint32_t flight = t->snd_nxt - t->snd_una;

    if (t->recovery == RECOVERY_OPEN) {
        t->undo_cwnd = t->cc.cwnd;
        t->undo_ssthresh = t->cc.ssthresh;
        t->undo_bytes = 0;
        t->retrans_ts = 0;
    }
    if (t->recovery == RECOVERY_OPEN || (how == RECOVERY_LOSS && t->recovery != RECOVERY_LOSS))
        t->cc.ssthresh = t->cc.ops->reduce(&t->cc, flight, how == RECOVERY_CWR);
    t->flags &= ~(uint32_t)(TCB_TLP_NOW | TCB_TLP_RETRANS);
    t->tlp_tries = 0;
    t->recover = t->snd_nxt;
    t->recovery = (uint8_t)how;
    if (how == RECOVERY_LOSS) {
        t->undo_bytes = 0;
        t->retrans_ts = 0;
        t->dup_acks = 0;
        t->cc.cwnd = t->cc.mss;
        sb_timeout(&t->sb);
        tcb_timer_clear(t, TIMER_RACK);
        return;
    }
    if (how == RECOVERY_FAST)
        t->s.ip->count.tcp_fast_recoveries++;
    if (t->flags & TCB_ECN)
        t->flags |= TCB_CWR;
    prr_start(&t->prr, flight);
}

void tcb_detect_loss(struct tcb *t)
{
    uint64_t timeout;

    if (t->flags & TCB_SACK) {
        const bool dup_thresh = t->sb.sacked >= DUP_THRESH * t->cc.mss;
        const uint64_t wnd =
            rack_reo_wnd(&t->rack, rtt_min(&t->rtt), t->rtt.srtt,
                         t->recovery == RECOVERY_FAST || t->recovery == RECOVERY_LOSS, dup_thresh);

        rack_detect_loss(&t->rack, &t->sb, t->s.ip->now, wnd, &timeout);
        if (timeout > 0)
            tcb_timer_set(t, TIMER_RACK, t->s.ip->now + timeout);
        else
            tcb_timer_clear(t, TIMER_RACK);
    }
    if (t->sb.lost > 0 && (t->recovery == RECOVERY_OPEN || t->recovery == RECOVERY_CWR))
        tcb_enter_recovery(t, RECOVERY_FAST);
}

/* Without SACK: RFC 5681, 3.2 and RFC 6582. Each duplicate stands for a segment that arrived. */
static void newreno_detect(struct tcb *t, bool advanced, bool duplicate)
{
    struct pool *pool = &tcp_of(t)->ranges;

    if (duplicate && t->dup_acks < UINT8_MAX)
        t->dup_acks++;
    if (advanced && t->recovery != RECOVERY_FAST)
        t->dup_acks = 0;

    const bool partial = t->recovery == RECOVERY_FAST && advanced && seq_lt(t->snd_una, t->recover);

    if (partial || (t->recovery == RECOVERY_OPEN && t->dup_acks == DUP_THRESH))
        sb_mark_head_lost(&t->sb, pool, t->cc.mss);
}

/* The reduction was for nothing: what was thought lost had been delivered. */
static void undo(struct tcb *t)
{
    if (t->recovery == RECOVERY_LOSS)
        t->s.ip->count.tcp_spurious_rto++;
    else
        t->s.ip->count.tcp_spurious_recovery++;
    if (t->cc.cwnd < t->undo_cwnd)
        t->cc.cwnd = t->undo_cwnd;
    t->cc.ssthresh = t->undo_ssthresh;
    if (t->cc.ops->undo != NULL)
        t->cc.ops->undo(&t->cc);
    sb_unmark_lost(&t->sb);
    t->recovery = RECOVERY_OPEN;
    t->undo_cwnd = 0;
    t->flags &= ~(uint32_t)TCB_CWR;
}

static bool spurious(const struct tcb *t, const struct segment *seg, bool advanced, bool dsack)
{
    if (t->undo_cwnd == 0 || t->retrans_ts == 0)
        return false;
    /* Eifel (RFC 3522, 3.2): the ACK answers the original, which was sent before */
    if (advanced && (t->flags & TCB_TS) && seg->options.ts && seg->options.tsecr != 0 &&
        seq_lt(seg->options.tsecr, t->retrans_ts))
        return true;
    /* RFC 3708: every retransmission was a duplicate */
    return dsack && t->undo_bytes == 0;
}

static void recovery_done(struct tcb *t)
{
    if (t->recovery == RECOVERY_FAST || t->recovery == RECOVERY_CWR) {
        if (t->cc.cwnd > t->cc.ssthresh || t->recovery == RECOVERY_FAST)
            t->cc.cwnd = t->cc.ssthresh;
        rack_recovery_done(&t->rack);
    }
    if (t->cc.cwnd < t->cc.mss)
        t->cc.cwnd = t->cc.mss;
    t->dup_acks = 0;
    t->recovery = RECOVERY_OPEN;
}

/* RFC 8985, 7.4. */
static void end_tail_probe(struct tcb *t, const struct segment *seg, bool advanced, bool dsack)
{
    if (t->tlp_tries == 0 || seq_lt(seg->ack, t->tlp_end))
        return;
    if ((t->flags & TCB_TLP_RETRANS) && !dsack) {
        if (seg->ack == t->tlp_end && advanced)
            return; /* the next ACK tells */
        if (seg->ack != t->tlp_end && t->recovery == RECOVERY_OPEN) {
            /* the probe repaired a loss: the window pays for it as for any */
            tcb_enter_recovery(t, RECOVERY_CWR);
            return;
        }
    }
    t->tlp_tries = 0;
    t->flags &= ~(uint32_t)TCB_TLP_RETRANS;
}

static void control_congestion(struct tcb *t, const struct segment *seg,
                               const struct sb_delivery *d, bool advanced, bool duplicate,
                               bool dsack)
{
    const bool ece = (t->flags & TCB_ECN) && (seg->flags & TCP_ECE);
    const uint32_t delivered =
        d->acked + d->sacked + (duplicate && !(t->flags & TCB_SACK) ? t->cc.mss : 0);
    const struct cc_ack ack = {
        .now = d->now,
        .srtt = t->rtt.srtt,
        .acked = d->acked + d->sacked,
        .snd_una = t->snd_una,
        .snd_nxt = t->snd_nxt,
        .ce_acked = ece ? d->acked + d->sacked : 0,
        .cwnd_limited = (t->flags & TCB_CWND_LIMITED) != 0,
    };

    if (t->cc.ops->observe != NULL)
        t->cc.ops->observe(&t->cc, &ack);
    if (ece) {
        t->s.ip->count.tcp_ecn_echo_in++;
        t->delivered_ce += d->segments;
        if (t->recovery == RECOVERY_OPEN && t->snd_una != t->snd_nxt)
            tcb_enter_recovery(t, RECOVERY_CWR);
    }
    if (t->recovery != RECOVERY_OPEN && t->recovery != RECOVERY_CWR &&
        spurious(t, seg, advanced, dsack))
        undo(t);
    if (t->recovery != RECOVERY_OPEN && seq_geq(t->snd_una, t->recover))
        recovery_done(t);

    switch (t->recovery) {
    case RECOVERY_FAST:
    case RECOVERY_CWR:
        if (delivered > 0)
            t->cc.cwnd = prr_ack(&t->prr, delivered, sb_pipe(&t->sb, t->snd_nxt - t->snd_una),
                                 t->cc.ssthresh, t->cc.mss, advanced);
        break;
    case RECOVERY_LOSS: /* slow start, the window being what limits */
        if (advanced && t->cc.cwnd < t->cc.ssthresh)
            cc_slow_start(&t->cc, ack.acked);
        break;
    default:
        if (advanced && ack.acked > 0)
            t->cc.ops->acked(&t->cc, &ack);
        break;
    }
}

void tcb_ack(struct tcb *t, const struct segment *seg)
{
    const uint32_t flight = t->snd_nxt - t->snd_una;
    const bool advanced = seq_gt(seg->ack, t->snd_una);
    const bool old = seq_lt(seg->ack, t->snd_una);
    const uint32_t old_wnd = t->snd_wnd;
    const bool opened = t->snd_una != t->iss; /* a SYN's round trip tells no rate */
    struct sb_delivery d = {.now = t->s.ip->now,
                            .min_rtt = rtt_min(&t->rtt),
                            .mss = t->cc.mss,
                            .fin_end = t->fin_seq + 1,
                            .fin_sent = (t->flags & TCB_FIN_SENT) != 0};
    const bool grew = !old && update_window(t, seg);
    bool dsack = false;

    t->last_ack_received = d.now;
    if (advanced)
        advance(t, seg->ack, &d);
    if ((t->flags & TCB_SACK) && seg->options.n_sack > 0)
        dsack = process_sacks(t, seg, &d);
    if (advanced || d.sacked > 0) {
        sample_rtt(t, seg, &d, flight, advanced);
        if (opened)
            rate_sample(&t->sb.rate, &d.rate, d.now, rtt_min(&t->rtt));
    }
    t->delivered += d.segments;
    t->reord_seen += d.reordered;

    /* RFC 5681, 2: DUPLICATE ACKNOWLEDGMENT */
    const bool duplicate =
        !advanced && !old && flight > 0 && segment_len(seg) == 0 && t->snd_wnd == old_wnd;

    if (t->flags & TCB_SACK)
        rack_update(&t->rack, &d, dsack, t->snd_una, t->snd_nxt);
    else
        newreno_detect(t, advanced, duplicate);
    end_tail_probe(t, seg, advanced, dsack);
    if (t->sb.sacked > 0 || t->sb.lost > 0)
        tcb_detect_loss(t);
    control_congestion(t, seg, &d, advanced, duplicate, dsack);

    if (grew && flight == 0) { /* an answer to a window probe, or room again */
        t->backoffs = 0;
        t->stalled_at = 0;
        tcb_timer_clear(t, TIMER_RETRANSMIT);
    }
    if (advanced || grew || t->sb.lost > 0 || d.sacked > 0 || duplicate)
        tcb_schedule(t);
}
