/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance: one configured stack instance, its ports, and the services that it gets (host.c).
 *
 * Invariants: `host` is the first member, so a stack's host pointer is its instance. Instance 0 is
 * "kernel": no ops, its sockets stay in the app. `up` is set once create() succeeded and never
 * cleared. Ports are set before create().
 *
 * Made on the control thread; from dmm_instance_start() on, the worker's.
 */
#ifndef DMM_SIDECAR_INSTANCE_H
#define DMM_SIDECAR_INSTANCE_H

#include "common/err.h"
#include "common/poddir.h"
#include "sidecar/port/port.h"
#include "sidecar/stack.h"

struct dmm_worker;

struct dmm_instance_port {
    struct dmm_port *port;
    char name[IFNAMSIZ];
    bool blocked;        /* transmit() said -EAGAIN: port_writable() is owed */
    bool unflushed;      /* flush() kept frames back: it wants to be called again soon */
    _Atomic bool linked; /* relaxed, set by the worker: its link has been up */
};

struct dmm_instance {
    struct dmm_host host;
    struct dmm_worker *worker;
    const struct dmm_stack_ops *ops; /* NULL: kernel */
    void *stack;
    uint32_t id;
    bool up;
    bool failed;        /* create() failed: said once, not tried again */
    struct dmm_err why; /* it did */
    uint64_t up_since;  /* CLOCK_MONOTONIC ns; the control thread's */
    char name[DMM_INSTANCE_NAME];
    char type[DMM_STACK_TYPE];
    unsigned n_ports;
    struct dmm_instance_port ports[DMM_POD_PORTS];
    uint32_t n_sockets, n_spares; /* the latter are among the former */
    uint64_t rx_dropped;          /* datagrams that found no room */
};

/* Fills `host` with the services. */
void dmm_host_init(struct dmm_instance *instance, struct dmm_worker *worker);

#endif
