/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cork: what MSG_MORE, TCP_CORK and UDP_CORK hold back. A stream's bytes are held by its stack,
 * told by TCP_CORK around the sends that say there is more. The pieces of a datagram are collected
 * here, in this process, until one comes without MSG_MORE or the cork is drawn (udp(7)).
 *
 * Any thread. Sockets that are bound to several stacks send at once.
 */
#ifndef DMM_PRELOAD_CORK_H
#define DMM_PRELOAD_CORK_H

#include "preload/entry.h"

#include <sys/socket.h>

/* Before and after bytes of a stream on a stack were added with these flags. */
void cork_stream_before(struct entry *entry, int flags);
void cork_stream_after(struct entry *entry, int flags);

/* True if a datagram's send is one of several pieces: *result is what the call ends with. */
bool cork_datagram(struct entry *entry, const struct msghdr *msg, const struct dmm_addr *to,
                   int flags, ssize_t *result);
/* UDP_CORK was set or cleared: sends what was collected if it was cleared. */
void cork_changed(struct entry *entry);
/* The entry's end. */
void cork_forget(struct entry *entry);

#endif
