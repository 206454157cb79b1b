/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/rack.h"

#include "sidecar/tcpip/tcp/seq.h"

#define PERSIST_ROUNDS 16
#define PTO_UNKNOWN    (1000ULL * 1000 * 1000)
#define PTO_FLOOR      (2ULL * 1000 * 1000) /* below it a probe meets the peer's timer granularity */

void rack_init(struct rack *rack)
{
    *rack = (struct rack){.reo_wnd_mult = 1};
}

static void widen(struct rack *rack, bool dsack, uint32_t snd_una, uint32_t snd_nxt)
{
    if (rack->dsack_round_set && seq_geq(snd_una, rack->dsack_round))
        rack->dsack_round_set = false;
    if (!dsack || rack->dsack_round_set)
        return;
    rack->dsack_round_set = true;
    rack->dsack_round = snd_nxt;
    if (rack->reo_wnd_mult < UINT8_MAX)
        rack->reo_wnd_mult++;
    rack->reo_wnd_persist = PERSIST_ROUNDS;
}

void rack_update(struct rack *rack, const struct sb_delivery *d, bool dsack, uint32_t snd_una,
                 uint32_t snd_nxt)
{
    if (d->newest != 0) {
        rack->rtt = d->now - d->newest;
        if (d->newest > rack->xmit_ts ||
            (d->newest == rack->xmit_ts && seq_gt(d->newest_end, rack->end_seq))) {
            rack->xmit_ts = d->newest;
            rack->end_seq = d->newest_end;
        }
    }
    if (d->reordered)
        rack->reordering_seen = true;
    widen(rack, dsack, snd_una, snd_nxt);
}

uint64_t rack_reo_wnd(const struct rack *rack, uint64_t min_rtt, uint64_t srtt, bool in_recovery,
                      bool dup_thresh)
{
    if (!rack->reordering_seen && (in_recovery || dup_thresh))
        return 0;

    const uint64_t wnd = rack->reo_wnd_mult * min_rtt / 4;

    return wnd < srtt ? wnd : srtt;
}

void rack_recovery_done(struct rack *rack)
{
    if (rack->reo_wnd_persist > 0 && --rack->reo_wnd_persist == 0)
        rack->reo_wnd_mult = 1;
}

uint32_t rack_detect_loss(const struct rack *rack, struct scoreboard *sb, uint64_t now,
                          uint64_t reo_wnd, uint64_t *timeout)
{
    uint32_t lost = 0;

    *timeout = 0;
    if (rack->xmit_ts == 0)
        return 0;
    for (struct tx_range *r = sb->head; r != NULL; r = r->next) {
        if ((r->flags & TX_SACKED) || (r->flags & (TX_LOST | TX_RETRANS)) == TX_LOST)
            continue;
        if (r->sent > rack->xmit_ts || (r->sent == rack->xmit_ts && seq_gt(r->end, rack->end_seq)))
            continue;

        const uint64_t due = r->sent + rack->rtt + reo_wnd;

        if (due <= now) {
            sb_mark_lost(sb, r);
            lost += r->end - r->seq;
        } else if (due - now > *timeout) {
            *timeout = due - now;
        }
    }
    return lost;
}

uint64_t rack_pto(uint64_t srtt, bool flight_one, uint64_t max_ack_delay)
{
    uint64_t pto = PTO_UNKNOWN;

    if (srtt != 0) {
        pto = 2 * srtt;
        if (flight_one)
            pto += max_ack_delay;
    }
    return pto > PTO_FLOOR ? pto : PTO_FLOOR;
}
