/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/ip4_header.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/wire.h"

enum { OPT_END = 0, OPT_NOP = 1, OPT_LSRR = 131, OPT_SSRR = 137 };

static void read_fields(const uint8_t *p, struct net_ip4_header *h)
{
    h->src = net_ip_v4(p + 12);
    h->dst = net_ip_v4(p + 16);
    h->hdr_len = (uint16_t)((p[0] & 15) * 4);
    h->total_len = net_get16(p + 2);
    h->id = net_get16(p + 4);
    h->fragment = net_get16(p + 6);
    h->tos = p[1];
    h->ttl = p[8];
    h->protocol = p[9];
}

/* The complement of the sum over a header without options, the common case. */
static uint16_t checksum20(const uint8_t *p)
{
    uint32_t w[5];
    memcpy(w, p, sizeof(w));
    return (uint16_t)~net_csum_fold((uint64_t)w[0] + w[1] + w[2] + w[3] + w[4]);
}

static enum net_ip4_fault check_options(const uint8_t *p, unsigned hdr_len, uint8_t *offset)
{
    for (unsigned i = NET_IP4_HDR; i < hdr_len;) {
        *offset = (uint8_t)i;
        if (p[i] == OPT_END)
            return NET_IP4_OK;
        if (p[i] == OPT_NOP) {
            i++;
            continue;
        }
        if (i + 1 >= hdr_len || p[i + 1] < 2 || p[i + 1] > hdr_len - i)
            return NET_IP4_BAD_OPTION;
        if (p[i] == OPT_LSRR || p[i] == OPT_SSRR)
            return NET_IP4_SOURCE_ROUTE;
        i += p[i + 1];
    }
    return NET_IP4_OK;
}

enum net_ip4_fault net_ip4_read(const uint8_t *packet, size_t len, struct net_ip4_header *h,
                                uint8_t *offset)
{
    if (len < NET_IP4_HDR || packet[0] >> 4 != 4)
        return NET_IP4_BAD_HEADER;
    read_fields(packet, h);
    if (h->hdr_len < NET_IP4_HDR || h->total_len < h->hdr_len || h->total_len > len)
        return NET_IP4_BAD_HEADER;
    if (h->hdr_len == NET_IP4_HDR)
        return checksum20(packet) ? NET_IP4_BAD_CHECKSUM : NET_IP4_OK;
    if (net_csum(packet, h->hdr_len) != 0)
        return NET_IP4_BAD_CHECKSUM;
    return check_options(packet, h->hdr_len, offset);
}

bool net_ip4_checksum_ok(const uint8_t *packet)
{
    return checksum20(packet) == 0;
}

bool net_ip4_read_quoted(const uint8_t *packet, size_t len, struct net_ip4_header *h)
{
    if (len < NET_IP4_HDR || packet[0] >> 4 != 4)
        return false;
    read_fields(packet, h);
    return h->hdr_len >= NET_IP4_HDR && h->hdr_len <= len && h->total_len >= h->hdr_len;
}

void net_ip4_write(uint8_t *at, const struct net_ip4_header *h)
{
    at[0] = 0x45;
    at[1] = h->tos;
    net_put16(at + 2, h->total_len);
    net_put16(at + 4, h->id);
    net_put16(at + 6, h->fragment);
    at[8] = h->ttl;
    at[9] = h->protocol;
    net_put16(at + 10, 0);
    memcpy(at + 12, h->src.b + 12, 4);
    memcpy(at + 16, h->dst.b + 12, 4);
    net_csum_store(at + 10, checksum20(at));
}
