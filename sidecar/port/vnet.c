/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/vnet.h"

#include "sidecar/port/frame.h"

#include <errno.h>
#include <string.h>

/* virtio 1.2, 5.1.6; Debian 12's header does not name it yet. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* -1: unknown. A fragment-me UDP frame (GSO_UDP) is one datagram, so for a receiver it is whole. */
static int gso_from_virtio(uint8_t type)
{
    switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
    case VIRTIO_NET_HDR_GSO_UDP:
        return DMM_GSO_NONE;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return DMM_GSO_TCPV4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return DMM_GSO_TCPV6;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return DMM_GSO_UDP;
    default:
        return -1;
    }
}

static const uint8_t gso_to_virtio[] = {
    [DMM_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
    [DMM_GSO_TCPV4] = VIRTIO_NET_HDR_GSO_TCPV4,
    [DMM_GSO_TCPV6] = VIRTIO_NET_HDR_GSO_TCPV6,
    [DMM_GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP_L4,
};

int dmm_vnet_to_frame(const struct virtio_net_hdr *hdr, struct dmm_frame *frame)
{
    struct virtio_net_hdr h = *hdr;
    if (frame->len < DMM_ETH_HLEN)
        return -EBADMSG;
    frame->flags = 0;
    if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        if (h.csum_start < DMM_ETH_HLEN ||
            (uint32_t)h.csum_start + h.csum_offset + sizeof(uint16_t) > frame->len)
            return -EBADMSG;
        frame->flags = DMM_FRAME_CSUM_PARTIAL;
    } else if (h.flags & VIRTIO_NET_HDR_F_DATA_VALID) {
        frame->flags = DMM_FRAME_CSUM_OK;
    }
    int gso = gso_from_virtio(h.gso_type);
    if (gso < 0 || (gso != DMM_GSO_NONE && (!h.gso_size || !frame->flags)))
        return -EBADMSG;
    frame->gso = (uint8_t)gso;
    frame->gso_size = gso == DMM_GSO_NONE ? 0 : h.gso_size;
    return 0;
}

void dmm_vnet_from_tx(struct virtio_net_hdr *hdr, const struct dmm_tx_frame *frame)
{
    memset(hdr, 0, sizeof(*hdr));
    if (frame->flags & DMM_FRAME_CSUM_PARTIAL) {
        hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        hdr->csum_start = frame->csum_start;
        hdr->csum_offset = frame->csum_offset;
    }
    if (frame->gso == DMM_GSO_NONE)
        return;
    hdr->gso_type = gso_to_virtio[frame->gso];
    if (frame->gso != DMM_GSO_UDP && dmm_tx_frame_cwr(frame))
        hdr->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
    hdr->gso_size = frame->gso_size;
    hdr->hdr_len = frame->hdr_len;
}
