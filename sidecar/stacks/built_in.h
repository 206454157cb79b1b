/* SPDX-License-Identifier: Apache-2.0 */
/* built_in: the stacks that dmm-stackd has without a plug-in. stack_table.c lists them. */
#ifndef DMM_SIDECAR_STACKS_BUILT_IN_H
#define DMM_SIDECAR_STACKS_BUILT_IN_H

#include "sidecar/stack.h"

extern const struct dmm_stack_ops dmm_stack_lwip_ops;  /* Debian's liblwip: stacks/lwip/ */
extern const struct dmm_stack_ops dmm_stack_tcpip_ops; /* ours: stacks/tcpip/, sidecar/tcpip/ */

#endif
