/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port: the sidecar's end of a link, a packet device. One ops table, one file per kind.
 *
 * Invariants
 *   - A port belongs to one worker from create to destroy; create and destroy may run on another
 *     thread (not at the same time as anything else), and may block: create for some 0.1 s on the
 *     first ethdev of the process (EAL), destroy until DPDK lets go. All else: that worker only,
 *     nothing blocks.
 *   - Received frames are valid until the next receive(), arm() or destroy().
 *   - What comes in is hostile: receive() gives only frames whose length and offload words have
 *     been checked (len >= 14, gso_size non-zero when gso is set, partial checksums within the
 *     frame); others are counted in rx_bad and dropped. A unicast frame for another station, which
 *     a bridge floods, is dropped silently as a NIC does.
 *   - Room: a frame that transmit() refused with -EAGAIN was not taken, one that it took may wait
 *     in the port until flush(). The worker calls flush() at the end of each turn. While that
 *     returns false the peer or the kernel is slower than we are: the worker does not sleep longer
 *     than DMM_PORT_RETRY_NS, and calls flush() again on its next turn. It tells the stack
 *     port_writable() once flush() returned true after an -EAGAIN. There is no fd for it.
 *   - Sleeping: the worker calls arm() before it sleeps; if that returns true frames are there and
 *     it must not sleep; else wait_fd becomes readable when a frame comes. disarm() after. wait_fd
 *     is the same fd as long as the port lives, to be waited for with EPOLLIN, level-triggered. It
 *     is -1 for a port that can't sleep: the worker then polls it a few thousand times a second.
 *   - A device that goes away (interface deleted or down, vhost-user peer dead) makes no error:
 *     info->up turns false at a refresh(), transmit() says -ENETDOWN, receive() gives nothing,
 *     wait_fd stays silent, and a device that comes back is taken up again by refresh(). A port may
 *     be created before its vhost-user peer is there: it is then not up yet.
 */
#ifndef DMM_SIDECAR_PORT_PORT_H
#define DMM_SIDECAR_PORT_PORT_H

#include "common/err.h"
#include "common/poddir.h"
#include "sidecar/stack.h"

#define DMM_PORT_RETRY_NS 1000000 /* see Room */

struct dmm_port;

struct dmm_port_stats {
    uint64_t rx_frames, rx_bytes; /* given to the worker */
    uint64_t rx_bad;              /* refused: length or offload words */
    uint64_t rx_dropped;          /* lost because the port's ring or buffer was full */
    uint64_t tx_frames, tx_bytes; /* handed to the kernel or the peer */
    uint64_t tx_full;             /* refused with -EAGAIN */
    uint64_t tx_errors;           /* taken by transmit(), then lost */
};

struct dmm_port_ops {
    enum dmm_port_kind kind;
    int (*create)(struct dmm_port **port, const struct dmm_port_config *config,
                  struct dmm_err *err);
    void (*destroy)(struct dmm_port *port);
    /* Up to `max` frames; returns how many. */
    unsigned (*receive)(struct dmm_port *port, struct dmm_frame *frames, unsigned max);
    /* As dmm_host.transmit; -EINVAL for a frame that contradicts itself or asks for an offload that
     * info does not offer. May batch until flush(). */
    int (*transmit)(struct dmm_port *port, const struct dmm_tx_frame *frame);
    /* True if nothing taken waits any more. */
    bool (*flush)(struct dmm_port *port);
    bool (*arm)(struct dmm_port *port);
    void (*disarm)(struct dmm_port *port);
    int (*wait_fd)(struct dmm_port *port);
    /* Looks at link and MTU again; true if info changed. Called a few times a second. */
    bool (*refresh)(struct dmm_port *port);
    const struct dmm_port_info *(*info)(struct dmm_port *port);
    void (*stats)(struct dmm_port *port, struct dmm_port_stats *stats);
};

/* The first member of every kind's own struct. */
struct dmm_port {
    const struct dmm_port_ops *ops;
};

extern const struct dmm_port_ops dmm_port_packet_ops;
extern const struct dmm_port_ops dmm_port_tap_ops;
extern const struct dmm_port_ops dmm_port_afxdp_ops;
extern const struct dmm_port_ops dmm_port_ethdev_ops;

/* By config->kind. On failure err names the port. */
int dmm_port_create(struct dmm_port **port, const struct dmm_port_config *config,
                    struct dmm_err *err);

#endif
