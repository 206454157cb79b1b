/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports: ephemeral port choice (RFC 6056, 3.3.4: double-hash port selection).
 *
 * The offset depends on the addresses by a secret hash, the counter walks on with each use, so
 * ports to one peer do not repeat soon and tell nothing about those to another. Pure.
 */
#ifndef DMM_SIDECAR_TCPIP_PORTS_H
#define DMM_SIDECAR_TCPIP_PORTS_H

#include "sidecar/tcpip/hash.h"

#define PORTS_COUNTERS 64

struct ports {
    struct hash_key key; /* secret; set by the owner */
    uint16_t first, last;
    uint32_t counters[PORTS_COUNTERS];
};

/* Whether the port can't be taken. */
typedef bool ports_used_fn(void *arg, uint16_t port);

void ports_init(struct ports *ports, uint16_t first, uint16_t last, const struct hash_key *key);
/* A free port for local, remote, remote_port (zero where not known). 0 if all are used. At most one
 * call of `used` per port of the range. */
uint16_t ports_pick(struct ports *ports, const struct ip_addr *local, const struct ip_addr *remote,
                    uint16_t remote_port, ports_used_fn *used, void *arg);

#endif
