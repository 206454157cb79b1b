/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes DPDK's interrupt thread as slow as on a machine that has no time for it: it sleeps before
 * each look at a virtio_user's link. What other threads do to the device meets it at work there.
 */
#ifndef DMM_TESTS_PORTS_SLOW_INTR_H
#define DMM_TESTS_PORTS_SLOW_INTR_H

#include <stdint.h>

/* Before the first port is made. */
void slow_intr_set(uint32_t ms);

#endif
