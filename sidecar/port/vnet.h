/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vnet: the virtio network header (virtio 1.2, 5.1.6), as AF_PACKET's PACKET_VNET_HDR carries it in
 * the machine's byte order, to and from the words of struct dmm_frame.
 *
 * Invariant: every received header is checked against the frame that it came with; a frame that
 * passes has what port.h promises. The header is read once.
 *
 * Pure. Any thread.
 */
#ifndef DMM_SIDECAR_PORT_VNET_H
#define DMM_SIDECAR_PORT_VNET_H

#include "sidecar/stack.h"

#include <linux/virtio_net.h>

/* Sets flags, gso and gso_size from `hdr`; data and len are the caller's, and set. Returns 0, or
 * -EBADMSG: shorter than an Ethernet header, words out of the frame, an unknown segmentation, or
 * one without a checksum to complete or trust. */
int dmm_vnet_to_frame(const struct virtio_net_hdr *hdr, struct dmm_frame *frame);

/* The header for a frame that passed dmm_tx_frame_check(). */
void dmm_vnet_from_tx(struct virtio_net_hdr *hdr, const struct dmm_tx_frame *frame);

#endif
