/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/counters.h"

void tcpip_counters_emit(const struct tcpip_counters *counters,
                         void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
#define EMIT(name) emit(arg, #name, counters->name);
    TCPIP_COUNTERS(EMIT)
#undef EMIT
}
