/* SPDX-License-Identifier: Apache-2.0 */
/* TIME-WAIT (RFC 9293, 3.10.7.4; RFC 1337; RFC 6191). All wait equally long, so one queue in order
 * of age and one timer do. */
#include "sidecar/tcpip/tcp/isn.h"
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

struct time_wait *time_wait_of_endpoint(struct tcp_endpoint *ep)
{
    return list_entry(ep, struct time_wait, ep);
}

void time_wait_free(struct tcpip *ip, struct time_wait *tw)
{
    demux_remove(ip->tcp, &tw->ep);
    list_del(&tw->link);
    pool_put(&ip->tcp->time_waits, tw);
}

/* They go in order of age, long after anyone looked at them: of the next one the bucket, and the
 * one after it, are asked for now, so that the misses of each do not come one after the other. */
static void look_ahead(const struct tcp *tcp, const struct list_node *oldest)
{
    if (oldest == &tcp->time_wait || oldest->next == &tcp->time_wait)
        return;

    const struct time_wait *next = list_entry(oldest, struct time_wait, link);
    const struct time_wait *after = list_entry(oldest->next, struct time_wait, link);

    __builtin_prefetch(&tcp->table[next->ep.hash & tcp->table_mask], 1);
    __builtin_prefetch(after, 1);
    __builtin_prefetch(&after->link, 1);
}

void time_wait_free_oldest(struct tcpip *ip)
{
    time_wait_free(ip, list_entry(ip->tcp->time_wait.next, struct time_wait, link));
    look_ahead(ip->tcp, ip->tcp->time_wait.next);
}

void time_wait_fire(struct tcpip *ip, struct wheel_timer *timer)
{
    struct tcp *tcp = ip->tcp;

    while (!list_empty(&tcp->time_wait)) {
        const struct time_wait *tw = list_entry(tcp->time_wait.next, struct time_wait, link);

        if (tw->expires > ip->now) {
            wheel_arm(&ip->wheel, timer, tw->expires);
            return;
        }
        time_wait_free_oldest(ip);
    }
}

bool time_wait_reusable(const struct tcpip *ip, const struct time_wait *tw)
{
    return tw->ts && ip->config.timestamps && ip->now - tw->since >= SEC_NS;
}

static void acknowledge(struct tcpip *ip, const struct time_wait *tw)
{
    struct tcp_bare bare = {
        .local = tw->ep.local,
        .remote = tw->ep.remote,
        .local_port = tw->ep.local_port,
        .remote_port = tw->ep.remote_port,
        .seq = tw->snd_nxt,
        .ack = tw->rcv_nxt,
        .window = tw->window,
        .flags = TCP_ACK,
        .options = {.wscale = TCP_NO_WSCALE, .ts = tw->ts},
    };

    if (tw->ts) {
        bare.options.tsval = ts_clock(ip->now) + tw->ts_offset;
        bare.options.tsecr = tw->ts_recent;
    }
    tcp_send_bare(ip, &bare);
}

bool time_wait_arrives(struct tcpip *ip, struct time_wait *tw, const struct segment *seg,
                       uint32_t *iss_above)
{
    const bool newer_ts = tw->ts && seg->options.ts && seq_gt(seg->options.tsval, tw->ts_recent);

    if (seg->flags & TCP_RST) { /* RFC 1337: TIME-WAIT is not to be assassinated */
        ip->count.tcp_reset_bad++;
        return false;
    }
    /* RFC 6191, 2; without timestamps a higher sequence number (RFC 9293, 3.10.7.4) */
    if ((seg->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
        (newer_ts || (!(tw->ts && seg->options.ts) && seq_gt(seg->seq, tw->rcv_nxt)))) {
        *iss_above = tw->snd_nxt + TCP_WINDOW_MAX + 2;
        ip->count.tcp_time_wait_reused++;
        time_wait_free(ip, tw);
        return true;
    }
    if (newer_ts)
        tw->ts_recent = seg->options.tsval;
    if (seg->flags & TCP_FIN) { /* the peer did not get our ACK: 2 MSL anew */
        tw->expires = ip->now + ip->config.time_wait_ms * MS_NS;
        list_del(&tw->link);
        list_add_tail(&ip->tcp->time_wait, &tw->link);
    } else if (segment_len(seg) == 0 && seg->seq == tw->rcv_nxt) {
        return false;
    }
    if ((seg->flags & TCP_FIN) || tcp_challenge_allowed(ip))
        acknowledge(ip, tw);
    return false;
}
