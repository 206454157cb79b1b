/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/ethdev_frame.h"

#include "sidecar/port/frame.h"

#include <errno.h>
#include <netinet/in.h>

#define IPV4_PROTOCOL   (DMM_ETH_HLEN + 9)
#define IPV6_PROTOCOL   (DMM_ETH_HLEN + 6)
#define TCP_CSUM_OFFSET 16
#define UDP_CSUM_OFFSET 6
#define VLAN_HLEN       4
#define TCP_HLEN_MAX    60
#define L3_LEN_MAX      511 /* 9 bits in the mbuf */

/* What a merged frame is a merge of: virtio passes that only by way of the headers. */
static int gso_of(const struct dmm_frame *frame)
{
    const uint8_t *d = frame->data;
    if (frame->len < DMM_ETH_HLEN + 20)
        return -1;
    bool v4 = d[12] == 0x08 && d[13] == 0x00;
    if (!v4 && (d[12] != 0x86 || d[13] != 0xdd))
        return -1;
    uint8_t protocol = d[v4 ? IPV4_PROTOCOL : IPV6_PROTOCOL];
    if (protocol == IPPROTO_TCP)
        return v4 ? DMM_GSO_TCPV4 : DMM_GSO_TCPV6;
    return protocol == IPPROTO_UDP ? DMM_GSO_UDP : -1;
}

int ethdev_to_frame(const struct rte_mbuf *m, struct dmm_frame *frame)
{
    if (frame->len < DMM_ETH_HLEN)
        return -EBADMSG;
    frame->flags = 0;
    uint64_t l4 = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    if (l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE)
        frame->flags = DMM_FRAME_CSUM_PARTIAL;
    else if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
        frame->flags = DMM_FRAME_CSUM_OK;
    frame->gso = DMM_GSO_NONE;
    frame->gso_size = 0;
    if (m->ol_flags & RTE_MBUF_F_RX_LRO) {
        int gso = gso_of(frame);
        if (gso < 0 || !m->tso_segsz || !frame->flags)
            return -EBADMSG;
        frame->gso = (uint8_t)gso;
        frame->gso_size = m->tso_segsz;
    }
    frame->vlan_tci = 0;
    if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
        frame->flags |= DMM_FRAME_VLAN;
        frame->vlan_tci = m->vlan_tci;
    }
    return 0;
}

int ethdev_from_tx(struct rte_mbuf *m, const struct dmm_tx_frame *frame)
{
    if (!(frame->flags & DMM_FRAME_CSUM_PARTIAL))
        return 0;
    bool tcp = frame->csum_offset == TCP_CSUM_OFFSET;
    if (!tcp && frame->csum_offset != UDP_CSUM_OFFSET)
        return -EINVAL;
    const uint8_t *d = frame->iov[0].iov_base;
    unsigned l2 = d[12] == 0x81 && d[13] == 0x00 ? DMM_ETH_HLEN + VLAN_HLEN : DMM_ETH_HLEN;
    if (frame->csum_start <= l2 || frame->csum_start - l2 > L3_LEN_MAX)
        return -EINVAL;
    m->l2_len = l2;
    m->l3_len = frame->csum_start - l2;
    m->ol_flags |= d[l2] >> 4 == 6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
    m->ol_flags |= tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
    if (frame->gso == DMM_GSO_NONE)
        return 0;
    if (!tcp) /* dmm_tx_frame_check() refuses it too: no port here offers it */
        return -EINVAL;
    if (frame->hdr_len - frame->csum_start > TCP_HLEN_MAX)
        return -EINVAL;
    m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
    m->l4_len = (uint8_t)(frame->hdr_len - frame->csum_start);
    m->tso_segsz = frame->gso_size;
    return 0;
}
