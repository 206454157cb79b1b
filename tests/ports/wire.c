/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ports/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t sum(const uint8_t *p, uint32_t len, uint32_t start)
{
    uint64_t s = start;
    for (; len > 1; p += 2, len -= 2)
        s += get16(p);
    if (len)
        s += (uint64_t)p[0] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint32_t)s;
}

static uint32_t pseudo(const uint8_t *ip, uint8_t protocol, uint32_t l4_len)
{
    return sum(ip + 12, 8, protocol + (l4_len & 0xffff) + (l4_len >> 16));
}

void wire_parse(const struct dmm_frame *frame, struct wire_l4 *l4)
{
    memset(l4, 0, sizeof(*l4));
    const uint8_t *ip = frame->data + WIRE_ETH;
    if (frame->len < WIRE_UDP || get16(frame->data + 12) != 0x0800 || ip[0] >> 4 != 4)
        return;
    uint32_t ihl = (ip[0] & 15U) * 4, total = get16(ip + 2);
    if (ihl < 20 || total < ihl + 8 || total > frame->len - WIRE_ETH)
        return;
    uint32_t l4_len = total - ihl;
    const uint8_t *p = ip + ihl;
    uint32_t hdr = ip[9] == IPPROTO_UDP ? 8 : ip[9] == IPPROTO_TCP && l4_len >= 20 ? p[12] >> 4 : 0;
    if (ip[9] == IPPROTO_TCP)
        hdr *= 4;
    if (!hdr || hdr > l4_len)
        return;
    l4->protocol = ip[9];
    l4->l4 = (uint16_t)(WIRE_ETH + ihl);
    l4->payload = (uint16_t)(WIRE_ETH + ihl + hdr);
    l4->csum_field = ip[9] == IPPROTO_UDP ? 6 : 16;
    l4->ip_csum_ok = sum(ip, ihl, 0) == 0xffff;
    l4->l4_len = l4_len;
    l4->pseudo_ok = get16(p + l4->csum_field) == pseudo(ip, ip[9], l4_len);
}

bool wire_l4_csum_ok(const struct dmm_frame *frame, const struct wire_l4 *l4)
{
    const uint8_t *p = frame->data + l4->l4;
    if (l4->protocol == IPPROTO_UDP && !get16(p + l4->csum_field))
        return true;
    return sum(p, l4->l4_len, pseudo(frame->data + WIRE_ETH, l4->protocol, l4->l4_len)) == 0xffff;
}

static void build_ip(uint8_t *ip, const struct wire_end *from, const struct wire_end *to,
                     uint8_t protocol, uint32_t l4_len)
{
    memset(ip, 0, 20);
    ip[0] = 0x45;
    put16(ip + 2, 20 + l4_len);
    ip[6] = 0x40; /* don't fragment */
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, from->ip, 4);
    memcpy(ip + 16, to->ip, 4);
    put16(ip + 10, ~sum(ip, 20, 0));
}

unsigned wire_build(uint8_t *headers, struct dmm_tx_frame *tx, const struct wire_end *from,
                    const struct wire_end *to, uint8_t protocol, uint32_t payload_len, uint16_t mtu)
{
    bool tcp = protocol == IPPROTO_TCP;
    uint16_t l4_hdr = tcp ? 20 : 8, hdr_len = (uint16_t)(WIRE_ETH + 20 + l4_hdr);
    uint8_t *ip = headers + WIRE_ETH, *p = ip + 20;
    memcpy(headers, to->mac, 6);
    memcpy(headers + 6, from->mac, 6);
    put16(headers + 12, 0x0800);
    build_ip(ip, from, to, protocol, l4_hdr + payload_len);
    memset(p, 0, l4_hdr);
    put16(p, from->port);
    put16(p + 2, to->port);
    if (tcp) {
        p[12] = 0x50;
        p[13] = 0x18; /* ACK, PSH */
        put16(p + 14, 0xffff);
    } else {
        put16(p + 4, 8 + payload_len);
    }
    put16(p + (tcp ? 16 : 6), pseudo(ip, protocol, l4_hdr + payload_len));
    memset(tx, 0, sizeof(*tx));
    tx->flags = DMM_FRAME_CSUM_PARTIAL;
    tx->csum_start = WIRE_ETH + 20;
    tx->csum_offset = tcp ? 16 : 6;
    if (hdr_len - WIRE_ETH + payload_len > mtu) {
        tx->gso = tcp ? DMM_GSO_TCPV4 : DMM_GSO_UDP;
        tx->gso_size = (uint16_t)(mtu - (hdr_len - WIRE_ETH));
        tx->hdr_len = hdr_len;
    }
    return hdr_len;
}

bool wire_arp_reply(const struct dmm_frame *frame, const struct wire_end *me, uint8_t reply[42])
{
    static const uint8_t request[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};
    const uint8_t *d = frame->data;
    if (frame->len < 42 || memcmp(d + 12, request, sizeof(request)) != 0 ||
        memcmp(d + 38, me->ip, 4) != 0)
        return false;
    memcpy(reply, d + 6, 6);
    memcpy(reply + 6, me->mac, 6);
    memcpy(reply + 12, request, sizeof(request));
    reply[21] = 2;
    memcpy(reply + 22, me->mac, 6);
    memcpy(reply + 28, me->ip, 4);
    memcpy(reply + 32, d + 22, 10);
    return true;
}

void wire_resend(const struct dmm_frame *frame, uint16_t mtu, struct dmm_tx_frame *tx)
{
    struct wire_l4 l4;
    wire_parse(frame, &l4);
    memset(tx, 0, sizeof(*tx));
    if (!l4.protocol || !(frame->flags & DMM_FRAME_CSUM_PARTIAL))
        return;
    tx->flags = DMM_FRAME_CSUM_PARTIAL;
    tx->csum_start = l4.l4;
    tx->csum_offset = l4.csum_field;
    if (frame->gso != DMM_GSO_NONE || frame->len > (uint32_t)mtu + WIRE_ETH) {
        tx->gso = l4.protocol == IPPROTO_TCP ? DMM_GSO_TCPV4 : DMM_GSO_UDP;
        tx->hdr_len = l4.payload;
        tx->gso_size = frame->gso_size ? frame->gso_size : (uint16_t)(mtu + WIRE_ETH - l4.payload);
    }
}
