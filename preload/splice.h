/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice: splice(2) between a pipe and a stream on a stack. Bytes go straight between the pipe and
 * the socket's ring. Nothing is taken out of the ring that the pipe did not take, and no lock is
 * held while waiting for the pipe.
 *
 * Any thread. Results are splice(2)'s, with a negative errno; SIGPIPE is raised here.
 * MESSAGE_NATIVE (message.h): the kernel's own call must be made.
 */
#ifndef DMM_PRELOAD_SPLICE_H
#define DMM_PRELOAD_SPLICE_H

#include "preload/entry.h"

#include <sys/types.h>

/* From the pipe to the socket `fd`. */
ssize_t splice_send(int fd, struct entry *entry, int pipe, size_t len, unsigned flags);
/* From the socket to the pipe. */
ssize_t splice_receive(struct entry *entry, int pipe, size_t len, unsigned flags);

#endif
