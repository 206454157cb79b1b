/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/port.h"

#include <errno.h>

static const struct dmm_port_ops *const kinds[] = {&dmm_port_packet_ops, &dmm_port_tap_ops,
                                                   &dmm_port_afxdp_ops, &dmm_port_ethdev_ops};

int dmm_port_create(struct dmm_port **port, const struct dmm_port_config *config,
                    struct dmm_err *err)
{
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i]->kind == config->kind)
            return kinds[i]->create(port, config, err);
    return dmm_err_set(err, EINVAL, "port %s: unknown kind %d", config->ifname, (int)config->kind);
}
