/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcp/sum.h"

#include "sidecar/tcpip/tcp/wire.h"

uint32_t sum16(const uint8_t *p, uint32_t len, uint32_t sum)
{
    for (uint32_t i = 0; i + 1 < len; i += 2)
        sum += get16(p + i);
    if (len % 2 != 0)
        sum += (uint32_t)p[len - 1] << 8;
    return sum;
}

uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}
