/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/merge.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ether.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/wire.h"

#define TCP_HDR 20

enum { TCP_PSH = 0x08, TCP_ACK = 0x10 };
enum { CSUM_KNOWN = DMM_FRAME_CSUM_OK | DMM_FRAME_CSUM_PARTIAL };

/* A plain TCP segment with data, as it lies in an untagged frame. */
struct view {
    const uint8_t *l3, *tcp;
    uint32_t l4_len, hdr_len;
    bool v4;
};

static bool view_ip(const struct dmm_frame *f, struct view *v)
{
    const uint8_t *l3 = f->data + NET_ETH_HDR;
    uint32_t room = f->len - NET_ETH_HDR, hdr = v->v4 ? NET_IP4_HDR : NET_IP6_HDR;
    if (room < hdr + TCP_HDR)
        return false;
    if (v->v4 && (l3[0] != 0x45 || l3[9] != IPPROTO_TCP ||
                  net_get16(l3 + 6) & (NET_IP4_MF | NET_IP4_OFFSET)))
        return false;
    if (!v->v4 && (l3[0] >> 4 != 6 || l3[6] != IPPROTO_TCP))
        return false;
    uint32_t len = v->v4 ? net_get16(l3 + 2) : net_get16(l3 + 4) + hdr;
    if (len < hdr + TCP_HDR || len > room)
        return false;
    v->l3 = l3;
    v->tcp = l3 + hdr;
    v->l4_len = len - hdr;
    return true;
}

static bool view(const struct dmm_frame *f, struct view *v)
{
    if (f->gso != DMM_GSO_NONE || f->len < NET_ETH_HDR)
        return false;
    uint16_t type = net_get16(f->data + NET_ETH_HDR - 2);
    v->v4 = type == NET_ETH_IPV4;
    if ((!v->v4 && type != NET_ETH_IPV6) || !view_ip(f, v))
        return false;
    v->hdr_len = (v->tcp[12] >> 4) * 4u;
    return v->hdr_len >= TCP_HDR && v->hdr_len < v->l4_len && (v->tcp[13] & ~TCP_PSH) == TCP_ACK;
}

/* What most neighbours differ in, looked at before anything else is. */
static bool same_ports(const struct dmm_frame *a, const struct dmm_frame *b, const struct view *v)
{
    uint32_t at = (uint32_t)(v->tcp - a->data);
    return b->len >= at + TCP_HDR && memcmp(a->data + at, b->data + at, 4) == 0;
}

static bool same_ip(const uint8_t *a, const uint8_t *b, bool v4)
{
    if (v4) /* version to TOS; fragment field to protocol; addresses */
        return memcmp(a, b, 2) == 0 && memcmp(a + 6, b + 6, 4) == 0 &&
               memcmp(a + 12, b + 12, 8) == 0;
    return memcmp(a, b, 4) == 0 && memcmp(a + 6, b + 6, NET_IP6_HDR - 6) == 0;
}

/* All but sequence number, checksum and PSH; the urgent pointer means nothing without its flag. */
static bool same_tcp(const struct view *a, const struct view *b)
{
    return a->hdr_len == b->hdr_len && memcmp(a->tcp + 8, b->tcp + 8, 5) == 0 &&
           memcmp(a->tcp + 14, b->tcp + 14, 2) == 0 &&
           memcmp(a->tcp + TCP_HDR, b->tcp + TCP_HDR, a->hdr_len - TCP_HDR) == 0;
}

static bool checksums_ok(const struct dmm_frame *f, const struct view *v)
{
    if (v->v4 && !net_ip4_checksum_ok(v->l3))
        return false;
    if (f->flags & CSUM_KNOWN)
        return true;
    size_t addresses = v->v4 ? 8 : 32;
    uint64_t sum = net_csum_add(0, v->tcp - addresses, addresses + v->l4_len);
    sum += (uint64_t)htons(IPPROTO_TCP) + htons((uint16_t)v->l4_len);
    return net_csum_fold(sum) == 0xffff;
}

static bool follows(const struct dmm_frame *a_frame, const struct view *a,
                    const struct dmm_frame *b_frame, const struct view *b)
{
    return a->v4 == b->v4 && a_frame->flags == b_frame->flags &&
           (!(a_frame->flags & DMM_FRAME_VLAN) || a_frame->vlan_tci == b_frame->vlan_tci) &&
           memcmp(a_frame->data, b_frame->data, NET_ETH_HDR) == 0 && same_ip(a->l3, b->l3, a->v4) &&
           same_tcp(a, b);
}

void net_run_find(const struct dmm_frame *frames, unsigned n, struct net_run *run)
{
    struct view first, next;
    run->n = 1;
    run->more = run->size = 0;
    if (n < 2 || !view(&frames[0], &first) || first.tcp[13] & TCP_PSH)
        return;
    uint32_t size = first.l4_len - first.hdr_len, seq = net_get32(first.tcp + 4);
    uint32_t total = size;
    if (n > NET_RUN_MAX)
        n = NET_RUN_MAX;
    for (unsigned i = 1; i < n; i++) {
        const struct dmm_frame *f = &frames[i];
        if (!same_ports(&frames[0], f, &first) || !view(f, &next) ||
            !follows(&frames[0], &first, f, &next) || net_get32(next.tcp + 4) != seq + total)
            return;
        uint32_t len = next.l4_len - next.hdr_len;
        if (len > size || first.hdr_len + total + len > UINT16_MAX || !checksums_ok(f, &next) ||
            (i == 1 && !checksums_ok(&frames[0], &first)))
            return;
        run->pieces[i] = next.tcp + next.hdr_len;
        run->n = i + 1;
        total += len;
        run->more = total - size;
        if (i == 1) {
            run->size = (uint16_t)size;
            run->pieces[0] = first.tcp + first.hdr_len;
        }
        if (len < size || next.tcp[13] & TCP_PSH)
            return;
    }
}
