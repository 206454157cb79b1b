/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ethdev_frame: DPDK's offload words to and from ours. As vnet.h, for mbufs.
 *
 * Virtio's meaning of the checksum field is kept (the pseudo-header's sum, length included), which
 * is what virtio_user and vhost pass on as it stands.
 *
 * Pure. Any thread.
 */
#ifndef DMM_SIDECAR_PORT_ETHDEV_FRAME_H
#define DMM_SIDECAR_PORT_ETHDEV_FRAME_H

#include "sidecar/stack.h"

#include <rte_mbuf.h>

/* Sets flags, gso, gso_size and vlan_tci of a frame whose data and len are set. 0 or -EBADMSG, as
 * dmm_vnet_to_frame(). */
int ethdev_to_frame(const struct rte_mbuf *m, struct dmm_frame *frame);

/* Sets the offload words of the first mbuf for a frame that passed dmm_tx_frame_check(). 0, or
 * -EINVAL: a checksum that is neither TCP's nor UDP's. */
int ethdev_from_tx(struct rte_mbuf *m, const struct dmm_tx_frame *frame);

#endif
