/* SPDX-License-Identifier: Apache-2.0 */
/* The timers of a connection. One wheel entry stands for all of them, at the earliest deadline or
 * before it: a deadline that moves on costs a store. */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>

#define SYN_RETRIES                                                                                \
    6 /* 127 s with backoff; RFC 9293, MUST-23: at least 3 minutes for R2 of                       \
         SYN is met by TCP_SYNCNT 7; the kernel's default is kept */
#define SYNACK_RETRIES   5
#define RETRIES          15 /* R2 of about 15 minutes (RFC 9293, 3.8.3: at least 100 s) */
#define ORPHAN_RETRIES   8  /* nobody waits for it any more */
#define SUSPECT_RETRIES  3  /* R1 */
#define BLACK_HOLE_TRIES 3
#define PEER_DELACK      (200 * MS_NS)
#define TICK_NS          (1ULL << WHEEL_TICK_SHIFT)

void tcb_timer_set(struct tcb *t, enum tcb_timer which, uint64_t deadline)
{
    t->deadline[which] = deadline;
    if (!wheel_armed(&t->timer) || t->timer.expires << WHEEL_TICK_SHIFT > deadline + TICK_NS)
        wheel_arm(&t->s.ip->wheel, &t->timer, deadline);
}

void tcb_timer_clear(struct tcb *t, enum tcb_timer which)
{
    t->deadline[which] = 0;
}

/* ---- the retransmission timer ---- */

static bool user_timeout(const struct tcb *t, unsigned tries, unsigned limit)
{
    if (t->user_timeout_ms != 0) /* RFC 5482 */
        return t->s.ip->now - t->stalled_at >= t->user_timeout_ms * MS_NS;
    if ((t->flags & TCB_CLOSED_BY_HOST) && limit > ORPHAN_RETRIES)
        limit = ORPHAN_RETRIES;
    return tries > limit;
}

static void give_up(struct tcb *t)
{
    t->s.ip->count.tcp_timeouts++;
    tcb_end(t, t->soft_error != 0 ? t->soft_error : ETIMEDOUT);
}

static bool syn_timeout(struct tcb *t)
{
    const bool active = t->ep.state == TCPS_SYN_SENT;
    const unsigned defer = t->flags & TCB_DEFERRED && t->listener ? t->listener->defer_accept : 0;
    unsigned limit = !active ? SYNACK_RETRIES : t->syn_count ? t->syn_count : SYN_RETRIES;

    if (limit < defer)
        limit = defer;
    t->backoffs++;
    t->syn_tries++;
    if (user_timeout(t, t->syn_tries, limit)) {
        t->s.ip->count.tcp_attempt_fails++;
        give_up(t);
        return false;
    }
    if (t->syn_tries < defer) { /* the peer has answered: only the time goes on */
        tcb_schedule(t);
        return true;
    }
    t->s.ip->count.tcp_retransmits++;
    t->total_retrans++;
    t->flags |= TCB_SYN_NOW;
    tcb_schedule(t);
    return true;
}

/* RFC 2923, 2.1: full segments vanish and nobody says why. */
static void black_hole(struct tcb *t)
{
    static const uint16_t steps[] = {1280, 576};
    const struct tx_range *head = t->sb.head;

    if (t->backoffs < BLACK_HOLE_TRIES || head == NULL || t->s.pmtudisc == IP_PMTUDISC_PROBE)
        return;
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (steps[i] < 1280 && !ip_addr_is_v4(&t->ep.remote))
            return;
        if (t->mss <= steps[i] - 40U || head->end - head->seq <= steps[i] - 40U)
            continue;
        t->mtu_cap = steps[i];
        t->s.ip->count.tcp_pmtu_black_holes++;
        tcb_update_mss(t);
        return;
    }
}

static bool retransmit_timeout(struct tcb *t)
{
    if (user_timeout(t, t->backoffs + 1U, RETRIES)) {
        give_up(t);
        return false;
    }
    t->s.ip->count.tcp_rto++;
    if (t->backoffs < UINT8_MAX)
        t->backoffs++;
    if (t->backoffs == SUSPECT_RETRIES)
        net_flow_suspect(t->s.ip, &t->flow);
    black_hole(t);
    tcb_enter_recovery(t, RECOVERY_LOSS);
    tcb_schedule(t);
    return true;
}

/* Zero window, a window too small to fill, or CORK (RFC 9293, 3.8.6.1). */
static bool persist_timeout(struct tcb *t)
{
    if (t->stalled_at == 0)
        t->stalled_at = t->s.ip->now;
    if (user_timeout(t, t->backoffs + 1U, t->flags & TCB_CLOSED_BY_HOST ? ORPHAN_RETRIES : 255)) {
        give_up(t);
        return false;
    }
    if (t->backoffs < UINT8_MAX - 1)
        t->backoffs++;
    if (seq_gt(t->snd_una + t->snd_wnd, t->snd_nxt)) {
        t->flags |= TCB_SWS_OVERRIDE;
    } else {
        t->s.ip->count.tcp_persist_probes++;
        t->flags |= TCB_PROBE_NOW;
    }
    tcb_schedule(t);
    return true;
}

static bool fire_retransmit(struct tcb *t)
{
    if (t->ep.state == TCPS_SYN_SENT || t->ep.state == TCPS_SYN_RECEIVED)
        return syn_timeout(t);
    if (t->snd_una != t->snd_nxt)
        return retransmit_timeout(t);
    return persist_timeout(t);
}

/* ---- RACK's timer: reordering, or RFC 8985's 7.3 ---- */

static bool fire_rack(struct tcb *t)
{
    if (t->sb.sacked > 0 || t->sb.lost > 0) {
        tcb_detect_loss(t);
    } else if (t->recovery == RECOVERY_OPEN && t->snd_una != t->snd_nxt && t->tlp_tries == 0) {
        t->flags |= TCB_TLP_NOW;
    }
    tcb_schedule(t);
    return true;
}

/* RFC 9293, 3.8.4; and the end of an orphan's FIN-WAIT-2. */
static bool fire_keepalive(struct tcb *t)
{
    const uint64_t now = t->s.ip->now;

    if (t->ep.state == TCPS_FIN_WAIT_2 && (t->flags & TCB_CLOSED_BY_HOST)) {
        tcb_end(t, 0);
        return false;
    }
    if (!(t->s.flags & SOCKET_KEEPALIVE) ||
        (t->ep.state != TCPS_ESTABLISHED && t->ep.state != TCPS_CLOSE_WAIT))
        return true;
    if (t->snd_una != t->snd_nxt || now - t->last_receive < t->keep_idle_s * SEC_NS) {
        tcb_keepalive_start(t);
        return true;
    }

    const bool timed_out = t->user_timeout_ms != 0 ? t->probes > 0 && now - t->last_receive >=
                                                                          t->user_timeout_ms * MS_NS
                                                   : t->probes >= t->keep_count;

    if (timed_out) {
        tcb_send_reset(t);
        give_up(t);
        return false;
    }
    t->probes++;
    t->s.ip->count.tcp_keepalive_probes++;
    t->flags |= TCB_PROBE_NOW;
    tcb_schedule(t);
    tcb_timer_set(t, TIMER_KEEPALIVE, now + t->keep_interval_s * SEC_NS);
    return true;
}

bool tcb_orphan_fin_wait_2(struct tcb *t)
{
    const struct tcpip *ip = t->s.ip;

    if (t->linger2_s < 0) {
        tcb_send_reset(t);
        tcb_end(t, 0);
        return false;
    }
    tcb_timer_set(t, TIMER_KEEPALIVE,
                  ip->now + (t->linger2_s > 0 ? (uint64_t)t->linger2_s * SEC_NS
                                              : ip->config.time_wait_ms * MS_NS));
    return true;
}

static bool fire_pace(struct tcb *t)
{
    tcb_schedule(t);
    return true;
}

/* Each returns false if the connection ended. */
static bool (*const fire[TIMER_N])(struct tcb *t) = {
    [TIMER_RETRANSMIT] = fire_retransmit,
    [TIMER_RACK] = fire_rack,
    [TIMER_KEEPALIVE] = fire_keepalive,
    [TIMER_PACE] = fire_pace,
};

void tcb_timer_fire(struct tcpip *ip, struct wheel_timer *timer)
{
    struct tcb *t = list_entry(timer, struct tcb, timer);
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < TIMER_N; i++) {
        if (t->deadline[i] == 0 || t->deadline[i] > ip->now)
            continue;
        t->deadline[i] = 0;
        if (!fire[i](t))
            return;
    }
    for (unsigned i = 0; i < TIMER_N; i++) {
        if (t->deadline[i] != 0 && t->deadline[i] < next)
            next = t->deadline[i];
    }
    if (next != UINT64_MAX)
        wheel_arm(&ip->wheel, &t->timer, next);
}

void tcb_keepalive_start(struct tcb *t)
{
    if (!(t->s.flags & SOCKET_KEEPALIVE) ||
        (t->ep.state != TCPS_ESTABLISHED && t->ep.state != TCPS_CLOSE_WAIT))
        return;
    t->probes = 0;
    tcb_timer_set(t, TIMER_KEEPALIVE, t->last_receive + t->keep_idle_s * SEC_NS);
    if (t->deadline[TIMER_KEEPALIVE] <= t->s.ip->now)
        tcb_timer_set(t, TIMER_KEEPALIVE, t->s.ip->now + t->keep_idle_s * SEC_NS);
}

/* RFC 8985, 7.2. */
static void arm_probe(struct tcb *t)
{
    const bool one = t->snd_nxt - t->snd_una <= t->cc.mss;
    uint64_t deadline;

    if (!(t->flags & TCB_SACK) || t->recovery != RECOVERY_OPEN || t->tlp_tries != 0 ||
        t->sb.sacked > 0 || t->backoffs > 0)
        return;
    deadline = t->s.ip->now + rack_pto(t->rtt.srtt, one, PEER_DELACK);
    if (deadline < t->deadline[TIMER_RETRANSMIT])
        tcb_timer_set(t, TIMER_RACK, deadline);
}

void tcb_rearm(struct tcb *t)
{
    const uint64_t now = t->s.ip->now;
    const uint64_t rto = rtt_rto(&t->rtt, t->backoffs);
    const bool opening = t->ep.state == TCPS_SYN_SENT || t->ep.state == TCPS_SYN_RECEIVED;
    const enum tcb_chrono busy = t->flags & TCB_RWND_LIMITED ? CHRONO_RWND : CHRONO_BUSY;

    if (t->snd_una != t->snd_nxt) {
        if (t->deadline[TIMER_RETRANSMIT] == 0)
            tcb_timer_set(t, TIMER_RETRANSMIT, now + rto);
        arm_probe(t);
        if (!opening)
            tcb_chrono(t, busy);
        return;
    }
    if (opening)
        return;
    t->deadline[TIMER_RACK] = 0;

    const uint32_t unsent = tcb_unsent(t);

    tcb_chrono(t, unsent > 0 ? busy : CHRONO_IDLE);
    if (unsent == 0)
        t->deadline[TIMER_RETRANSMIT] = 0;
    else if (t->deadline[TIMER_RETRANSMIT] == 0)
        tcb_timer_set(t, TIMER_RETRANSMIT, now + rto);
}
