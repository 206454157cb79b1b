/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/frame.h"

#include <errno.h>
#include <net/ethernet.h>
#include <stdio.h>
#include <string.h>

#define TCP_FLAGS_OFFSET 13 /* RFC 9293, 3.1 */
#define TCP_CWR          0x80
#define VLAN_HLEN        4

void dmm_port_data_init(struct dmm_port_data *data, const struct dmm_port_config *config)
{
    memset(data, 0, sizeof(*data));
    struct dmm_port_info *info = &data->info;
    memcpy(info->name, config->ifname, sizeof(info->name) - 1);
    memcpy(info->mac, config->mac, sizeof(info->mac));
    info->mtu = config->mtu;
    info->n_addresses = config->n_addresses;
    info->n_routes = config->n_routes;
    info->addresses = data->addresses;
    info->routes = data->routes;
    for (unsigned i = 0; i < config->n_addresses; i++) {
        data->addresses[i].addr = config->addresses[i].addr;
        data->addresses[i].prefix_len = config->addresses[i].prefix_len;
    }
    for (unsigned i = 0; i < config->n_routes; i++) {
        data->routes[i].dst = config->routes[i].dst;
        data->routes[i].gateway = config->routes[i].gateway;
    }
}

bool dmm_port_any_mac(const struct dmm_port_config *config)
{
    static const uint8_t none[sizeof(config->mac)];
    return memcmp(config->mac, none, sizeof(none)) == 0;
}

/* What each kind of segmentation needs of the port, and the shortest L4 header it repeats. */
static const struct {
    uint32_t offload;
    uint16_t l4_len;
} gso_needs[] = {
    [DMM_GSO_TCPV4] = {DMM_OFFLOAD_TSO4, 20},
    [DMM_GSO_TCPV6] = {DMM_OFFLOAD_TSO6, 20},
    [DMM_GSO_UDP] = {DMM_OFFLOAD_USO, 8},
};

/* Bytes in front of L3: with the tag, where the frame has one inside. */
static uint32_t link_header(const struct dmm_tx_frame *frame)
{
    uint16_t type;
    memcpy(&type, (const uint8_t *)frame->iov[0].iov_base + 12, sizeof(type));
    return DMM_ETH_HLEN + (type == htons(ETHERTYPE_VLAN) ? VLAN_HLEN : 0);
}

static int check_gso(const struct dmm_tx_frame *frame, const struct dmm_port_info *info,
                     uint32_t len)
{
    if (frame->gso >= sizeof(gso_needs) / sizeof(gso_needs[0]) ||
        !(info->offloads & gso_needs[frame->gso].offload))
        return -EINVAL;
    if (!(frame->flags & DMM_FRAME_CSUM_PARTIAL) || !frame->gso_size ||
        frame->hdr_len < frame->csum_start + gso_needs[frame->gso].l4_len ||
        frame->hdr_len > frame->iov[0].iov_len)
        return -EINVAL;
    if (len > info->max_gso_size)
        return -EMSGSIZE;
    return (uint32_t)frame->hdr_len + frame->gso_size > link_header(frame) + info->mtu ? -EMSGSIZE
                                                                                       : 0;
}

static int check_csum(const struct dmm_tx_frame *frame, const struct dmm_port_info *info)
{
    if (!(info->offloads & DMM_OFFLOAD_TX_CSUM))
        return -EINVAL;
    size_t end = (size_t)frame->csum_start + frame->csum_offset + sizeof(uint16_t);
    return frame->csum_start < DMM_ETH_HLEN || end > frame->iov[0].iov_len ? -EINVAL : 0;
}

int dmm_tx_frame_check(const struct dmm_tx_frame *frame, const struct dmm_port_info *info,
                       uint32_t *len)
{
    if (!frame->n_iov || frame->n_iov > DMM_TX_IOV || frame->iov[0].iov_len < DMM_ETH_HLEN)
        return -EINVAL;
    size_t total = 0;
    for (unsigned i = 0; i < frame->n_iov; i++) {
        if (frame->iov[i].iov_len > UINT16_MAX + DMM_ETH_HLEN)
            return -EMSGSIZE;
        total += frame->iov[i].iov_len; /* at most 8 * 64 KB */
    }
    *len = (uint32_t)total;
    if ((frame->flags & DMM_FRAME_VLAN) && !(info->offloads & DMM_OFFLOAD_VLAN))
        return -EINVAL;
    if (frame->flags & DMM_FRAME_CSUM_PARTIAL) {
        int rc = check_csum(frame, info);
        if (rc)
            return rc;
    }
    if (frame->gso != DMM_GSO_NONE)
        return check_gso(frame, info, *len);
    return total > (size_t)link_header(frame) + info->mtu ? -EMSGSIZE : 0;
}

bool dmm_tx_frame_cwr(const struct dmm_tx_frame *frame)
{
    size_t at = (size_t)frame->csum_start + TCP_FLAGS_OFFSET;
    return at < frame->iov[0].iov_len &&
           (((const uint8_t *)frame->iov[0].iov_base)[at] & TCP_CWR) != 0;
}

void dmm_tx_frame_copy(const struct dmm_tx_frame *frame, uint8_t *to)
{
    for (unsigned i = 0; i < frame->n_iov; i++) {
        if (!frame->iov[i].iov_len)
            continue;
        memcpy(to, frame->iov[i].iov_base, frame->iov[i].iov_len);
        to += frame->iov[i].iov_len;
    }
}

bool dmm_frame_for_us(const uint8_t *frame, const uint8_t mac[6])
{
    return (frame[0] & 1) || memcmp(frame, mac, 6) == 0;
}
