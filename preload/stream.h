/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream, datagram: the data path on one stack. Bytes go straight between the app's memory and the
 * rings; no command but SEND and RECEIVED, and those only when the other side asked to be told.
 *
 * Flags are recv(2)'s and send(2)'s. Results are those calls': bytes, or a negative errno (-EPIPE
 * without the signal, which the caller raises). Any thread; rx_lock and tx_lock keep calls on one
 * socket apart, also between processes.
 */
#ifndef DMM_PRELOAD_STREAM_H
#define DMM_PRELOAD_STREAM_H

#include "preload/entry.h"

#include <sys/socket.h>
#include <sys/uio.h>

ssize_t stream_receive(struct entry *entry, const struct iovec *iov, size_t n, int flags);
ssize_t stream_send(struct entry *entry, const struct iovec *iov, size_t n, int flags);
/* sendfile(2): up to `count` bytes of `in_fd` from *offset on, or from its own position if offset
 * is NULL. */
ssize_t stream_send_file(struct entry *entry, int in_fd, off_t *offset, size_t count);

/* msg_name, msg_control and msg_flags as recvmsg(2) and sendmsg(2) use them. */
ssize_t datagram_receive(struct entry *entry, const struct part *part, struct msghdr *msg,
                         int flags, bool nonblock);
/* Appends a control message at *used, which moves on; sets MSG_CTRUNC if there is too little room.
 */
void datagram_add_control(struct msghdr *msg, size_t *used, int level, int type, const void *data,
                          size_t len);
ssize_t datagram_send(struct entry *entry, const struct part *part, const struct msghdr *msg,
                      const struct dmm_addr *to, int flags);

#endif
