/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port: the sidecar's end of a link, a packet device. One ops table, one file per kind.
 *
 * Invariants
 *   - A port belongs to one worker from create to destroy; create may run on another thread, and
 * may block (DPDK probes a device). All else: that worker only, nothing blocks.
 *   - Received frames are valid until the next receive() or destroy().
 *   - What comes in is hostile: receive() gives only frames whose length and offload words have
 * been checked (len >= 14, gso_size non-zero when gso is set, partial checksums within the frame);
 *     others are counted in rx_bad and dropped.
 *   - Sleeping: the worker calls arm() before it sleeps; if that returns true frames are there and
 * it must not sleep; else wait_fd becomes readable when a frame comes. disarm() after. wait_fd is
 *     -1 for a port that can't sleep: the worker then polls it a few thousand times a second.
 */
#ifndef DMM_SIDECAR_PORT_PORT_H
#define DMM_SIDECAR_PORT_PORT_H

#include "common/err.h"
#include "common/poddir.h"
#include "sidecar/stack.h"

struct dmm_port;

struct dmm_port_stats {
    uint64_t rx_frames, rx_bytes, rx_bad, rx_dropped;
    uint64_t tx_frames, tx_bytes, tx_full, tx_errors;
};

struct dmm_port_ops {
    enum dmm_port_kind kind;
    int (*create)(struct dmm_port **port, const struct dmm_port_config *config,
                  struct dmm_err *err);
    void (*destroy)(struct dmm_port *port);
    /* Up to `max` frames; returns how many. */
    unsigned (*receive)(struct dmm_port *port, struct dmm_frame *frames, unsigned max);
    /* As dmm_host.transmit. May batch until flush(). */
    int (*transmit)(struct dmm_port *port, const struct dmm_tx_frame *frame);
    void (*flush)(struct dmm_port *port);
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
extern const struct dmm_port_ops dmm_port_ethdev_ops;

/* By config->kind. On failure err names the port. */
int dmm_port_create(struct dmm_port **port, const struct dmm_port_config *config,
                    struct dmm_err *err);

#endif
