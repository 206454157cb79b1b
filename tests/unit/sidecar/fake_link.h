/* SPDX-License-Identifier: Apache-2.0 */
/* What fake_host.c and fake_link.c share. */
#ifndef DMM_TESTS_UNIT_SIDECAR_FAKE_LINK_H
#define DMM_TESTS_UNIT_SIDECAR_FAKE_LINK_H

#include "tests/unit/sidecar/fake_host.h"

uint64_t fake_random(struct fake_host *host);
uint64_t fake_real_now(void); /* CLOCK_MONOTONIC */
/* The service of that name. */
int fake_transmit(struct fake_port *port, const struct dmm_tx_frame *frame);
/* Gives the stack the frames that have arrived, and port_writable(); returns how many. */
unsigned fake_receive(struct fake_port *port);
/* Lets a real port send what it has. False: it could not, the next turn must not wait long. */
bool fake_flush(struct fake_port *port);
void fake_drop_frames(struct fake_port *port);

#endif
