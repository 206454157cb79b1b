/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multi: a datagram socket bound on several instances at once (DESIGN: a wildcard bind). Receiving
 * merges them fairly. A datagram goes out by the instance that its destination last wrote to us
 * through, so that answers carry the address that was asked; else by the mapping.
 *
 * Any thread. Results as in message.h.
 */
#ifndef DMM_PRELOAD_MULTI_H
#define DMM_PRELOAD_MULTI_H

#include "preload/entry.h"

#include <sys/socket.h>

ssize_t multi_receive(int fd, struct entry *entry, struct msghdr *msg, int flags);
ssize_t multi_send(int fd, struct entry *entry, const struct msghdr *msg, const struct dmm_addr *to,
                   int flags);

#endif
