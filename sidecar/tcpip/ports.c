/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/ports.h"

void ports_init(struct ports *ports, uint16_t first, uint16_t last, const struct hash_key *key)
{
    *ports = (struct ports){.key = *key, .first = first, .last = last};
}

uint16_t ports_pick(struct ports *ports, const struct ip_addr *local, const struct ip_addr *remote,
                    uint16_t remote_port, ports_used_fn *used, void *arg)
{
    const uint32_t n = (uint32_t)ports->last - ports->first + 1;
    const uint64_t hash = hash_tuple(&ports->key, local, 0, remote, remote_port);
    const uint32_t offset = (uint32_t)hash;
    uint32_t *counter = &ports->counters[(hash >> 32) % PORTS_COUNTERS];

    for (uint32_t i = 0; i < n; i++) {
        const uint16_t port = (uint16_t)(ports->first + (offset + (*counter)++) % n);

        if (!used(arg, port))
            return port;
    }
    return 0;
}
