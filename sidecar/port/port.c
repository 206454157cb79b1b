/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/port.h"

#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct dmm_port_ops *const kinds[] = {&dmm_port_packet_ops, &dmm_port_tap_ops,
                                                   &dmm_port_afxdp_ops, &dmm_port_ethdev_ops};

/* The same TAP device through the kernel's vhost, which DPDK's virtio_user drives. */
static void put_on_vhost_net(struct dmm_port_config *port)
{
    const uint8_t *mac = port->mac;
    port->kind = DMM_PORT_ETHDEV;
    snprintf(port->devargs, sizeof(port->devargs),
             "net_virtio_user0,path=" DMM_VHOST_NET_DEVICE
             ",iface=%s,queues=1,queue_size=1024,mrg_rxbuf=1,mac=%02x:%02x:%02x:%02x:%02x:%02x",
             port->ifname, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* Whether the kernel's vhost is wished for and there: 1, 0, or a negative errno with err set. */
static int wants_vhost_net(const struct dmm_port_config *config, struct dmm_err *err)
{
    if (config->kind != DMM_PORT_TAP || config->vhost_net == DMM_VHOST_NET_OFF)
        return 0;
    if (!access(DMM_VHOST_NET_DEVICE, R_OK | W_OK))
        return 1;
    if (config->vhost_net == DMM_VHOST_NET_ON)
        return dmm_err_set(err, errno, "port %s: " DMM_VHOST_NET_DEVICE ": %s", config->ifname,
                           strerror(errno));
    dmm_log(DMM_LOG_INFO, "port %s: without vhost-net: " DMM_VHOST_NET_DEVICE ": %s",
            config->ifname, strerror(errno));
    return 0;
}

int dmm_port_create(struct dmm_port **port, const struct dmm_port_config *config,
                    struct dmm_err *err)
{
    struct dmm_port_config as = *config;
    int vhost_net = wants_vhost_net(config, err);
    if (vhost_net < 0)
        return vhost_net;
    if (vhost_net)
        put_on_vhost_net(&as);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i]->kind == as.kind)
            return kinds[i]->create(port, &as, err);
    return dmm_err_set(err, EINVAL, "port %s: unknown kind %d", config->ifname, (int)config->kind);
}
