/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command: sends commands to the worker and waits for the replies of sync ones.
 *
 * Any thread. A sync command is not interrupted by signals: it goes on waiting, as the kernel does
 * in the calls that it stands for, and ends with -ECONNRESET if the sidecar goes.
 */
#ifndef DMM_PRELOAD_COMMAND_H
#define DMM_PRELOAD_COMMAND_H

#include "preload/client.h"

/* Async: hands `command` (op, socket and arguments filled) to the worker. Does nothing if the
 * sidecar is gone. */
void command_send(struct client *client, struct dmm_command *command);
/* Shorthand for the many that have a socket and a value only. */
void command_send_value(struct client *client, enum dmm_command_op op, uint32_t socket,
                        uint32_t value);
/* Sync: the reply's result (0 or more, or a negative errno). `reply` may be NULL. */
int command_call(struct client *client, struct dmm_command *command, struct dmm_reply *reply);
/* Waits until the worker has carried out what this thread has sent for the socket so far. */
void command_settle(struct client *client, uint32_t socket);

#endif
