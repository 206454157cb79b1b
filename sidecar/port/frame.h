/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame: what every kind of port shares: its description, and the checks on frames both ways.
 *
 * Invariants: no frame leaves for a driver or a kernel whose words (pieces, length, checksum and
 * segmentation) do not agree with each other and with the port's description; none comes in whose
 * words point outside it. Nothing here looks at payload.
 *
 * Pure. Any thread.
 */
#ifndef DMM_SIDECAR_PORT_FRAME_H
#define DMM_SIDECAR_PORT_FRAME_H

#include "common/poddir.h"
#include "sidecar/stack.h"

#define DMM_ETH_HLEN 14

/* A port's description and the arrays that it points to. Owned by the port. */
struct dmm_port_data {
    struct dmm_port_info info;
    struct dmm_stack_address addresses[DMM_PORT_ADDRESSES];
    struct dmm_stack_route routes[DMM_PORT_ROUTES];
};

/* Name, MAC, MTU, addresses and routes from the configuration; not up, no offloads. `data` must not
 * move afterwards. */
void dmm_port_data_init(struct dmm_port_data *data, const struct dmm_port_config *config);

/* No address is configured: the device's own is taken. */
bool dmm_port_any_mac(const struct dmm_port_config *config);

/* Checks a frame before it is sent on the port and gives its length. 0; -EINVAL: the words
 * contradict each other or ask for what info->offloads does not have; -EMSGSIZE: longer than the
 * MTU, or than max_gso_size. */
int dmm_tx_frame_check(const struct dmm_tx_frame *frame, const struct dmm_port_info *info,
                       uint32_t *len);
/* True if the frame's TCP header, which must lie in iov[0], has CWR set (RFC 3168, 6.1.2): then
 * segmentation must leave CWR in the first segment only. */
bool dmm_tx_frame_cwr(const struct dmm_tx_frame *frame);
/* Copies all pieces, one after another. */
void dmm_tx_frame_copy(const struct dmm_tx_frame *frame, uint8_t *to);

/* True if a frame of at least DMM_ETH_HLEN bytes is for this station: its own address, a multicast
 * or broadcast one. */
bool dmm_frame_for_us(const uint8_t *frame, const uint8_t mac[6]);

#endif
