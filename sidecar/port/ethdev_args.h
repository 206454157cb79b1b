/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ethdev_args: reads what a port must know out of its devargs ("net_vhost0,iface=/p,queues=1"), and
 * gives the device a name that is its own in this process.
 *
 * Pure. Any thread.
 */
#ifndef DMM_SIDECAR_PORT_ETHDEV_ARGS_H
#define DMM_SIDECAR_PORT_ETHDEV_ARGS_H

#include "common/err.h"

#include <stdbool.h>

#define ETHDEV_NAME 64
#define ETHDEV_ARGS 320

struct ethdev_args {
    char name[ETHDEV_NAME]; /* "net_vhost7" */
    char args[ETHDEV_ARGS]; /* "net_vhost7,iface=/p,queues=1" */
    char path[108];         /* the UNIX socket; empty: none */
    bool listens;           /* we make the socket */
    bool virtio_user;
    bool vhost_net; /* virtio_user on a TAP device, by the kernel's vhost */
    bool kept;      /* its peer may be absent; a lost one means a new device */
    bool packed;    /* virtio_user with packed rings */
    bool vhost;
    bool polled; /* memif: no fd says that a frame came */
    bool pci;    /* a NIC's function, by its address ("0000:01:10.0") */
};

/* `number` replaces the digits that end a virtual device's name ("net_..."); other names are kept.
 * -EINVAL with a message that shows what is wrong. */
int ethdev_args_parse(struct ethdev_args *args, const char *devargs, unsigned number,
                      struct dmm_err *err);

#endif
