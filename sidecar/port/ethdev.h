/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ethdev: the parts of the DPDK port, private to sidecar/port/ethdev*.c.
 *
 * A vhost device exists from create to destroy; its peers come and go, and its link tells. A
 * virtio_user device exists only while its peer does: to make one blocks until the peer is there
 * (server=1) or fails (it is not), and one that lost its peer is of no use any more. So a keeper
 * thread of the port makes it, hands it to the worker, and unmakes it when the worker gives it
 * back; in between, and while it waits, it sleeps.
 *
 * Who owns the device (struct ethdev_port.owner):
 *     KEEPER --made, started--> WORKER --link lost--> KEEPER --closed, made anew--> ...
 * Each hand-over stores `owner` with release order and the taker loads it with acquire order, so
 * all that the giver did to the device is seen. The device's fields belong to the owner. Frames,
 * pools and batches are the worker's always; the pools outlive every device.
 */
#ifndef DMM_SIDECAR_PORT_ETHDEV_H
#define DMM_SIDECAR_PORT_ETHDEV_H

#include "sidecar/port/ethdev_args.h"
#include "sidecar/port/frame.h"
#include "sidecar/port/port.h"

#include <pthread.h>
#include <rte_mbuf.h>
#include <semaphore.h>
#include <stdatomic.h>

/* Buffers for frames to be segmented. With packed rings virtio_user gives back what was sent only
 * when descriptors run out, and a frame may take one descriptor for two buffers: they must not run
 * out first. */
#define ETHDEV_PACKED_BIG_ROOM  8192
#define ETHDEV_PACKED_BIG_MBUFS (2 * ETHDEV_QUEUE + 2 * ETHDEV_BURST)
#define ETHDEV_BURST            64
#define ETHDEV_QUEUE            1024
#define ETHDEV_USER_TX          256 /* transmit descriptors of a virtio_user */
#define ETHDEV_MBUFS            (2 * ETHDEV_QUEUE + 512)
#define ETHDEV_CACHE            256
#define ETHDEV_BIG_ROOM         33280 /* two hold a frame of 64 KB */
#define ETHDEV_BIG_MBUFS        (ETHDEV_USER_TX + 2 * ETHDEV_BURST)
#define ETHDEV_GATHER           8UL /* chained frames given out at once */
#define ETHDEV_GATHER_SIZE      (64 * 1024 + 256)
#define ETHDEV_MAX_GSO          65535

enum ethdev_owner { ETHDEV_KEEPER, ETHDEV_WORKER };

/* One device. */
struct ethdev_dev {
    uint16_t id;
    int intr_fd; /* what wakes us, a duplicate of ours; -1: nothing yet, or it can't */
    uint64_t tx_capa;
    uint8_t mac[6];
};

struct ethdev_rx {
    struct rte_mbuf *held[ETHDEV_BURST]; /* given to the worker */
    unsigned n_held;
    struct rte_mbuf *waiting[ETHDEV_BURST]; /* [first, n_waiting): received, not yet given */
    unsigned first, n_waiting;
    uint8_t *gather; /* ETHDEV_GATHER buffers; untouched ones cost no memory */
    unsigned n_gathered;
};

struct ethdev_tx {
    struct rte_mbuf *batch[ETHDEV_BURST]; /* [0, n) wait */
    unsigned n;
};

struct ethdev_port {
    struct dmm_port port;
    struct dmm_port_data data;
    struct dmm_port_stats stats;
    struct ethdev_args args;
    bool any_mac;
    struct rte_mempool *pool; /* frames up to the MTU, and pieces of received ones */
    struct rte_mempool *big;  /* pieces of frames to be segmented */
    struct ethdev_dev dev;
    _Atomic int owner;
    /* Counted up by DPDK's threads with release order; read by the worker with acquire order. A
     * peer that goes and comes between two looks at the link shows here. */
    _Atomic unsigned link_events;
    unsigned seen_events;
    int wait_fd; /* an epoll, so that it stays the same when devices change */
    struct ethdev_rx rx;
    struct ethdev_tx tx;

    uint32_t socket_mode; /* of the socket that we make; 0: as the umask has it */
    int64_t socket_gid;   /* -1: our own */
    bool socket_refused;  /* told */

    bool has_keeper;
    pthread_t keeper;
    sem_t wake;        /* the keeper's: the device came back, or stop */
    _Atomic bool stop; /* release by destroy, acquire by the keeper */
};

/* ethdev_dev.c: makes and starts the device; may block. 0 or a negative errno with err set. */
int ethdev_dev_open(struct ethdev_port *p, struct dmm_err *err);
void ethdev_dev_close(struct ethdev_port *p);
/* The offloads that device and peer agree on: DMM_OFFLOAD_*. Only while the link is up. */
uint32_t ethdev_dev_offloads(const struct ethdev_port *p);
bool ethdev_dev_link(const struct ethdev_port *p);
/* Puts the fd that wakes us, which a new peer may have brought, into wait_fd; takes it out. */
void ethdev_dev_watch(struct ethdev_port *p);
void ethdev_dev_unwatch(struct ethdev_port *p);

/* ethdev_socket.c: gives the socket that we make its mode and group, once it is there. DPDK makes
 * it and then waits for a peer, so that its thread can't: this is for the worker, in refresh(). */
void ethdev_socket_settle(struct ethdev_port *p);

/* ethdev_stop.c: stops the device; when it returns, no thread of DPDK's is at work on a virtio_user
 * device or will be. Not on DPDK's interrupt thread, which it waits for. */
void ethdev_dev_stop(struct ethdev_port *p);

/* ethdev_keeper.c */
int ethdev_keeper_start(struct ethdev_port *p, struct dmm_err *err);
void ethdev_keeper_stop(struct ethdev_port *p);
/* By the worker: the device is the keeper's again. */
void ethdev_keeper_return(struct ethdev_port *p);

/* ethdev_io.c: by the worker while it owns the device. */
unsigned ethdev_io_receive(struct ethdev_port *p, struct dmm_frame *frames, unsigned max);
int ethdev_io_transmit(struct ethdev_port *p, const struct dmm_tx_frame *frame);
bool ethdev_io_flush(struct ethdev_port *p);
bool ethdev_io_arm(struct ethdev_port *p);
void ethdev_io_disarm(struct ethdev_port *p);
/* Frees all that the worker holds of the device's frames; always allowed. */
void ethdev_io_release(struct ethdev_port *p);
void ethdev_io_drop(struct ethdev_port *p);

#endif
