/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/checksum.h"

#include <arpa/inet.h>

/* Both halves of each 64-bit word go to 64-bit accumulators, so no carry is lost and the additions
 * do not wait for one another. */
uint64_t net_csum_add(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t low = 0, high = 0;
    for (; len >= 32; p += 32, len -= 32) {
        uint64_t w[4];
        memcpy(w, p, sizeof(w));
        low +=
            (w[0] & UINT32_MAX) + (w[1] & UINT32_MAX) + (w[2] & UINT32_MAX) + (w[3] & UINT32_MAX);
        high += (w[0] >> 32) + (w[1] >> 32) + (w[2] >> 32) + (w[3] >> 32);
    }
    for (; len >= 4; p += 4, len -= 4) {
        uint32_t w;
        memcpy(&w, p, sizeof(w));
        low += w;
    }
    uint8_t tail[4] = {0};
    if (len) {
        memcpy(tail, p, len);
        uint32_t w;
        memcpy(&w, tail, sizeof(w));
        low += w;
    }
    return sum + low + high;
}

uint16_t net_csum_fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & UINT32_MAX);
    sum = (sum >> 32) + (sum & UINT32_MAX);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

uint16_t net_csum_finish(uint64_t sum)
{
    uint16_t folded = net_csum_fold(sum);
    return folded == 0xffff ? 0xffff : (uint16_t)~folded;
}

uint64_t net_csum_add_iov(uint64_t sum, const struct iovec *iov, unsigned n, size_t skip)
{
    bool odd = false;
    for (unsigned i = 0; i < n; i++) {
        size_t len = iov[i].iov_len;
        if (skip >= len) {
            skip -= len;
            continue;
        }
        const uint8_t *p = (const uint8_t *)iov[i].iov_base + skip;
        len -= skip;
        skip = 0;
        if (odd) {
            /* RFC 1071, 2.B: bytes at odd offsets sum up byte-swapped. */
            uint16_t part = net_csum_fold(net_csum_add(0, p, len));
            sum += (uint16_t)(part << 8 | part >> 8);
        } else {
            sum = net_csum_add(sum, p, len);
        }
        odd ^= len & 1;
    }
    return sum;
}

uint64_t net_csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol,
                         uint32_t l4_len)
{
    uint64_t sum = (uint64_t)src->w[3] + dst->w[3] + htonl(l4_len) + htonl(protocol);
    if (ip_addr_is_v4(src))
        return sum;
    for (unsigned i = 0; i < 3; i++)
        sum += (uint64_t)src->w[i] + dst->w[i];
    return sum;
}

uint16_t net_csum(const void *data, size_t len)
{
    return (uint16_t)~net_csum_fold(net_csum_add(0, data, len));
}

uint16_t net_csum_update(uint16_t field, uint16_t before, uint16_t after)
{
    return (uint16_t)~net_csum_fold((uint64_t)(uint16_t)~field + (uint16_t)~before + after);
}

bool net_csum_complete(uint8_t *pkt, size_t len, size_t start, size_t field)
{
    if (start > len || len - start < 2 || field > len - start - 2)
        return false;
    net_csum_store(pkt + start + field, net_csum_finish(net_csum_add(0, pkt + start, len - start)));
    return true;
}
