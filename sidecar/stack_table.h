/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stack_table: finds the ops table of a configured stack: the built-in ones by type, a plug-in by
 * its path. Checks the table, so that the worker need not. Control thread.
 */
#ifndef DMM_SIDECAR_STACK_TABLE_H
#define DMM_SIDECAR_STACK_TABLE_H

#include "common/poddir.h"
#include "sidecar/stack.h"

/* A plug-in stays loaded for ever. options.path is taken out of the options that the stack gets.
 * NULL with err set, which names the instance. */
const struct dmm_stack_ops *dmm_stack_find(const struct dmm_stack_instance_config *config,
                                           struct dmm_err *err);

#endif
