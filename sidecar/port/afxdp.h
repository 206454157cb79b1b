/* SPDX-License-Identifier: Apache-2.0 */
/*
 * afxdp: the parts of the AF_XDP port, private to sidecar/port/afxdp*.c.
 *
 * One AF_XDP socket for each receive queue of the interface, each with memory (UMEM) of its own:
 * half of its buffers are for what is received, half for what is sent. Frames are sent on the
 * first. The CNI plugin has loaded the XDP program and pinned the map of sockets (cni/link/xdp.h);
 * the sockets are put into it here. (Documentation/networking/af_xdp.rst)
 *
 * Invariants
 *   - A receive buffer is in the fill ring (the kernel's), or one of the `held` (given to the
 *     worker), never both; a transmit buffer is on the stack `free`, or the kernel's.
 *   - Of the rings the kernel writes one index and we the other; ours are kept in private words.
 *     What the kernel writes is believed as far as it stays within the UMEM.
 *   - n_open is 0 while the interface is gone; the sockets are bound to ifindex otherwise.
 *
 * Threads: as port.h says, the port's worker.
 */
#ifndef DMM_SIDECAR_PORT_AFXDP_H
#define DMM_SIDECAR_PORT_AFXDP_H

#include "sidecar/port/frame.h"
#include "sidecar/port/iface.h"
#include "sidecar/port/port.h"

#include <linux/if_xdp.h>

#define AFXDP_RX    1024U /* buffers, and entries of each ring; powers of two */
#define AFXDP_TX    1024U
#define AFXDP_BURST 256U /* frames given to the worker at once */

struct afxdp_ring {
    void *map;
    size_t bytes;
    uint32_t *producer, *consumer; /* shared */
    const uint32_t *flags;
    void *entries; /* u64 addresses, or struct xdp_desc */
    uint32_t mask;
    uint32_t
        ours; /* our index: the producer's of fill and tx, the consumer's of rx and completion */
};

struct afxdp_socket {
    int fd;
    uint8_t *umem;
    struct afxdp_ring fill, completion, rx, tx;
    uint64_t held[AFXDP_BURST];
    unsigned n_held;
    uint64_t free[AFXDP_TX];
    unsigned n_free;
};

struct afxdp_port {
    struct dmm_port port;
    struct dmm_port_data data;
    struct dmm_port_stats stats;
    char map_path[DMM_PORT_MAP_PATH];
    struct dmm_iface_wish wish;
    int query_fd;
    int wait_fd; /* an epoll of the sockets, so that it keeps its number */
    int ifindex;
    uint32_t buffer_bytes; /* of each buffer: a power of two */
    unsigned n_queues, n_open;
    int busy_poll_us; /* 0: the kernel's interrupts bring frames */
    int busy_budget;
    unsigned next;  /* the queue that receive() begins with */
    bool went_down; /* a send said so: the next refresh() reports a change */
    struct afxdp_socket *sockets;
};

/* What *what says where busy polling was refused. */
extern const char afxdp_busy_poll[];

/* Opens all sockets on p->ifindex. Returns 0, or a negative errno with *what said. Leaves nothing
 * open on failure. With `wait`, a queue that an ended process still holds is waited for, and busy
 * polling that may not be had is an error; without, the capability for it has been given up. */
int afxdp_open(struct afxdp_port *p, bool wait, const char **what);
void afxdp_close(struct afxdp_port *p);

/* Gives the held buffers back to the kernel. */
void afxdp_release(struct afxdp_socket *s);
/* Frames that came in by this socket. */
unsigned afxdp_receive(struct afxdp_port *p, struct afxdp_socket *s, struct dmm_frame *frames,
                       unsigned max);
/* Busy polling: makes the driver look for frames of the socket's queue now. */
void afxdp_poll_driver(const struct afxdp_socket *s);
/* True if there are any. */
bool afxdp_pending(const struct afxdp_socket *s);

/* A buffer of its own for the frame; -EAGAIN if there is none. */
int afxdp_send(struct afxdp_port *p, struct afxdp_socket *s, const struct dmm_tx_frame *frame,
               uint32_t len);
/* Makes the kernel send what was queued. True if nothing waits any more. */
bool afxdp_flush(struct afxdp_port *p, struct afxdp_socket *s);

#endif
