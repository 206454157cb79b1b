/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ready: what poll(2) would say of a socket, by plain loads. The rules are those of Linux's
 * tcp_poll() and datagram_poll() as poll(2), epoll(7), tcp(7) and udp(7) describe them.
 *
 * ready_compute() is pure: a snapshot in, EPOLL* bits out (POLL*'s, with POLLRDNORM and
 * POLLWRNORM). Any thread.
 */
#ifndef DMM_PRELOAD_READY_H
#define DMM_PRELOAD_READY_H

#include "preload/entry.h"

struct ready_snapshot {
    bool stream;
    uint32_t state;     /* DMM_SS_* */
    uint32_t app_flags; /* DMM_AF_* */
    bool error;         /* so_error is set */
    uint32_t received;  /* bytes in the receive ring */
    uint32_t lowat;     /* 0 counts as 1 */
    uint32_t tx_size;   /* of the transmit ring; 0: none yet */
    uint32_t tx_used;
    uint32_t unsent, notsent_lowat; /* stream; lowat 0: none */
};

uint32_t ready_compute(const struct ready_snapshot *snapshot);

/* Of one part, of a socket entry (all its parts; not of its kernel fd). What is not writable is
 * noted as wanting room, as tcp_poll() does. */
uint32_t ready_part(const struct part *part);
uint32_t ready_entry(struct entry *entry);

/* Bytes of a stream not sent yet; true only with TCP_NOTSENT_LOWAT. */
uint32_t ready_unsent(struct dmm_socket *sock);

/* Room in the transmit ring that makes a socket writable: a third of it. */
static inline bool ready_writable(uint32_t size, uint32_t used)
{
    return size == 0 || (size - used) >= size / 3;
}

#endif
