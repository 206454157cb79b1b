/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks ahead in a batch of frames: among many connections each segment's would be fetched from
 * memory line by line, one miss after the other. Here the misses of a whole group overlap. A hint
 * only: nothing is checked, changed or concluded, and a frame that is not understood is passed by.
 */
#include "sidecar/tcpip/net/ether.h"
#include "sidecar/tcpip/tcp/tcb.h"

/* So few connections stay in the second-level cache by themselves. */
#define FEW_ENDPOINTS 256

#define IP4_HEADER   20
#define IP4_FRAGMENT 0x3fff /* more fragments, and the offset */
#define IP6_HEADER   40
#define PORTS        4

static uint16_t read16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* The table's bucket for an untagged TCP segment, and the hash; NULL: something else. */
static const struct demux_bucket *bucket_of(const struct tcpip *ip, const struct dmm_frame *frame,
                                            uint32_t *hash)
{
    const uint8_t *l3 = frame->data + NET_ETH_HDR;
    struct ip_addr local, remote;
    const uint8_t *l4;

    if (frame->len < NET_ETH_HDR + IP4_HEADER + PORTS)
        return NULL;
    const uint16_t type = read16(frame->data + NET_ETH_HDR - 2);
    if (type == NET_ETH_IPV4 && l3[0] == 0x45 && l3[9] == IPPROTO_TCP &&
        !(read16(l3 + 6) & IP4_FRAGMENT)) {
        uint32_t word[2];
        memcpy(word, l3 + 12, sizeof(word));
        remote = ip_addr_v4(word[0]);
        local = ip_addr_v4(word[1]);
        l4 = l3 + IP4_HEADER;
    } else if (type == NET_ETH_IPV6 && frame->len >= NET_ETH_HDR + IP6_HEADER + PORTS &&
               l3[6] == IPPROTO_TCP) {
        remote = ip_addr_v6(l3 + 8);
        local = ip_addr_v6(l3 + 24);
        l4 = l3 + IP6_HEADER;
    } else {
        return NULL;
    }
    *hash = (uint32_t)hash_tuple(&ip->hash_key, &local, read16(l4 + 2), &remote, read16(l4));
    return &ip->tcp->table[*hash & ip->tcp->table_mask];
}

void tcp_look_ahead(const struct tcpip *ip, const struct dmm_frame *frames, unsigned n)
{
    const struct demux_bucket *bucket[TCP_LOOK_AHEAD];
    uint32_t hash[TCP_LOOK_AHEAD];
    struct tcp_endpoint *found[TCP_LOOK_AHEAD];

    if (ip->tcp->n_endpoints < FEW_ENDPOINTS || n > TCP_LOOK_AHEAD)
        return;
    for (unsigned i = 0; i < n; i++) {
        bucket[i] = bucket_of(ip, &frames[i], &hash[i]);
        if (bucket[i] != NULL)
            __builtin_prefetch(bucket[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        found[i] = bucket[i] != NULL ? demux_candidate(bucket[i], hash[i]) : NULL;
        if (found[i] != NULL)
            tcb_prefetch(tcb_of_endpoint(found[i]));
    }
    for (unsigned i = 0; i < n; i++) {
        if (found[i] == NULL || found[i]->state == TCPS_TIME_WAIT)
            continue;
        const struct tcb *t = tcb_of_endpoint(found[i]);
        __builtin_prefetch(t->s.sock);
        __builtin_prefetch(t->sb.head);
    }
}
