/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioctx: what stream and datagram share: deadlines, waiting on a part, rings. See stream.h.
 */
#ifndef DMM_PRELOAD_IOCTX_H
#define DMM_PRELOAD_IOCTX_H

#include "preload/command.h"
#include "preload/socket.h"
#include "preload/waiter.h"

/* Waits until one of `events` holds on the part (as ready_part says), for at most what the option
 * in `timeout_word` allows since *deadline was first asked for (0: not yet). 0, or the negative
 * errno that the call ends with: -EAGAIN at the deadline, -EINTR. */
int io_wait(struct entry *entry, const struct part *part, uint32_t events,
            enum socket_word timeout_word, uint64_t *deadline);
/* As io_wait, where the call has done a part of its work: a signal ends it, SA_RESTART or not. */
int io_wait_more(struct entry *entry, const struct part *part, uint32_t events,
                 enum socket_word timeout_word, uint64_t *deadline);
/* To receive, until more has come than up to `tail`. `part_done`: a signal ends it in any case. */
int io_wait_beyond(struct entry *entry, const struct part *part, uint32_t tail, bool part_done,
                   uint64_t *deadline);

/* After the app took bytes (full barrier in between): tells the worker if it asked for it. */
void io_received(struct entry *entry, const struct part *part);
/* After bytes were added (full barrier in between). */
void io_sent(struct entry *entry, const struct part *part);

/* Under tx_lock: makes the transmit ring hold `want` bytes more if that can be had now: takes a
 * larger ring that is on offer, asks for one if none is. Returns the free bytes. */
uint32_t io_tx_room(struct entry *entry, const struct part *part, uint32_t want, uint32_t limit);
/* Under tx_lock: notes that there was no room, and looks once more. */
uint32_t io_tx_no_room(struct entry *entry, const struct part *part, uint32_t want, uint32_t limit);
/* A socket's very first ring, asked of the sidecar and waited for, briefly. */
void io_tx_first(struct entry *entry, const struct part *part, uint32_t want);

static inline char *io_ring(const struct entry *entry, dmm_ring_ref ref)
{
    return (char *)entry->client->region + dmm_ring_offset(ref);
}

/* What a call on a socket with nothing (more) to receive, or that cannot send, ends with. */
ssize_t io_receive_end(struct dmm_socket *sock, uint32_t state);
int io_send_end(struct dmm_socket *sock, uint32_t state);

/* Copies between iovecs, from byte `skip` of them on, and memory. */
void io_gather(char *to, const struct iovec *iov, size_t n, size_t skip, size_t len);
void io_scatter(const struct iovec *iov, size_t n, size_t skip, const char *from, size_t len);
/* Sum of the lengths, or -EINVAL as writev(2) says. */
ssize_t io_total(const struct iovec *iov, size_t n);

#endif
