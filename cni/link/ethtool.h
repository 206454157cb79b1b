/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ethtool: what of an interface is set by ethtool's ioctl: numbers of queues, checksum offload.
 * In the network namespace that the thread is in.
 */
#ifndef DMM_CNI_ETHTOOL_H
#define DMM_CNI_ETHTOOL_H

#include "common/err.h"

/* Both 0: the driver does not tell. Each combined channel has a queue each way. */
struct dmm_channels {
    unsigned rx;
    unsigned combined;
};

/* What the driver tells, zeros where it tells nothing. */
int dmm_channels_get(const char *ifname, struct dmm_channels *channels, struct dmm_err *err);
int dmm_channels_set(const char *ifname, const struct dmm_channels *channels, struct dmm_err *err);

/* Transmit checksum offload off, and with it segmentation. */
int dmm_checksum_offload_off(const char *ifname, struct dmm_err *err);

#endif
