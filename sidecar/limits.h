/* SPDX-License-Identifier: Apache-2.0 */
/* limits: what one client may have, and what the operator may set. Constants and one struct. */
#ifndef DMM_SIDECAR_LIMITS_H
#define DMM_SIDECAR_LIMITS_H

#include <stdint.h>

/* Of one client. The tables lie sparse in memory: what is not used costs nothing. */
#define DMM_CLIENT_PROCESSES 256
#define DMM_CLIENT_CHANNELS  1024
#define DMM_CLIENT_WAITSETS  4096
#define DMM_CLIENT_EXPORTS   4096 /* sockets handed over; each an fd of the sidecar */

#define DMM_BACKLOG_MAX 4096 /* accept queue, as Linux's default somaxconn */

#define DMM_RX_FIRST (1u << 12) /* a receive ring's first size; then times four */
#define DMM_RX_START                                                                               \
    (1u << 18) /* bytes a new socket may buffer until its app shows it keeps up                    \
                */
#define DMM_TX_FIRST (1u << 12)

struct dmm_limits {
    uint32_t max_clients;
    uint32_t max_sockets; /* per client */
    uint32_t rx_max;      /* bytes a socket may buffer, each way; powers of two */
    uint32_t tx_max;
    uint64_t heap_size; /* per client, bytes of rings */
};

#endif
