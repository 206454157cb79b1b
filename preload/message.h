/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: the read and write families, led to what a socket is just now: undecided, on one stack,
 * or on several (a datagram socket bound to a wildcard address). Results are those of recvmsg(2)
 * and sendmsg(2), with a negative errno for failure; SIGPIPE is raised here.
 *
 * MESSAGE_NATIVE: the kernel's own call must be made (the fd is, or has just become, its).
 *
 * Any thread.
 */
#ifndef DMM_PRELOAD_MESSAGE_H
#define DMM_PRELOAD_MESSAGE_H

#include "preload/entry.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/types.h>

#define MESSAGE_NATIVE (-SSIZE_MAX - 1)

ssize_t message_receive(int fd, struct entry *entry, struct msghdr *msg, int flags);
ssize_t message_send(int fd, struct entry *entry, const struct msghdr *msg, int flags);
/* The plain calls on one buffer. */
ssize_t message_read(int fd, struct entry *entry, void *buf, size_t len, int flags);
ssize_t message_write(int fd, struct entry *entry, const void *buf, size_t len, int flags);
ssize_t message_send_file(int fd, struct entry *entry, int in_fd, off_t *offset, size_t count);

#endif
