/* SPDX-License-Identifier: Apache-2.0 */
/* Packets larger than the MTU, cut by us: RFC 791, 3.2; RFC 8200, 4.5. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/wire.h"

#include <errno.h>

/* Where in the pieces (L4 header, payload) the next fragment begins. */
struct cursor {
    struct iovec iov[DMM_TX_IOV];
    unsigned n, i;
    size_t at;
};

/* Takes `want` bytes as up to `max` pieces; returns the pieces, or 0 if that does not suffice. */
static unsigned take(struct cursor *c, size_t want, struct iovec *out, unsigned max)
{
    unsigned n = 0;
    while (want) {
        size_t left = c->iov[c->i].iov_len - c->at;
        if (!left) {
            c->i++;
            c->at = 0;
            continue;
        }
        if (n == max)
            return 0;
        size_t len = left < want ? left : want;
        out[n++] = (struct iovec){(uint8_t *)c->iov[c->i].iov_base + c->at, len};
        c->at += len;
        want -= len;
    }
    return n;
}

static void whole_checksum(const struct net_flow *flow, struct net_tx *tx, const struct cursor *c,
                           size_t len)
{
    if (flow->proto == IPPROTO_ICMP)
        return;
    uint8_t *field = tx->l4 + tx->csum_offset;
    net_csum_store(field, 0);
    uint64_t sum = net_csum_pseudo(&flow->src, &flow->dst, flow->proto, (uint32_t)len);
    net_csum_store(field, net_csum_finish(net_csum_add_iov(sum, c->iov, c->n, 0)));
}

/* One fragment, of the bytes in the pieces. */
static int send_one(struct net *net, struct net_flow *flow, const struct net_tx *tx,
                    const struct iovec *pieces, unsigned n, size_t offset, bool more, uint32_t id)
{
    bool v4 = ip_addr_is_v4(&flow->dst);
    uint8_t head[NET_HEADROOM + NET_IP6_FRAG_HDR];
    uint8_t *body = head + sizeof(head), *l3;
    struct net_tx part = {.ttl = tx->ttl, .tos = tx->tos};
    size_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += pieces[i].iov_len;
    if (v4) {
        uint32_t field = (uint32_t)(offset / 8) | (more ? NET_IP4_MF : 0);
        l3 = net_write_ip(net, flow, &part, body, len, field, (uint16_t)id);
    } else {
        uint8_t *f = body - NET_IP6_FRAG_HDR;
        f[0] = flow->proto;
        f[1] = 0;
        net_put16(f + 2, (uint16_t)(offset | more));
        net_put32(f + 4, id);
        l3 = net_write_ip(net, flow, &part, f, len + NET_IP6_FRAG_HDR, 1, 0);
    }
    net->ip->count.frag_out++;
    return net_send_pieces(net, flow, l3, (size_t)(body - l3), pieces, n);
}

int net_send_fragments(struct net *net, struct net_flow *flow, struct net_tx *tx)
{
    bool v4 = ip_addr_is_v4(&flow->dst);
    size_t hdr = v4 ? NET_IP4_HDR : NET_IP6_HDR + NET_IP6_FRAG_HDR;
    size_t len = (size_t)tx->l4_len + tx->payload_len;
    if (flow->mtu < hdr + 8)
        return -EMSGSIZE;
    size_t room = (flow->mtu - hdr) & ~(size_t)7;
    struct cursor c = {.iov = {{tx->l4, tx->l4_len}}, .n = tx->n_payload + 1u};
    memcpy(c.iov + 1, tx->payload, tx->n_payload * sizeof(c.iov[0]));
    whole_checksum(flow, tx, &c, len);
    uint32_t id = net_next_id(net, &flow->dst);
    for (size_t done = 0; done < len;) {
        size_t now = len - done < room ? len - done : room;
        struct iovec pieces[NET_TX_IOV];
        unsigned n = take(&c, now, pieces, NET_TX_IOV);
        if (!n)
            return -EMSGSIZE;
        int rc = send_one(net, flow, tx, pieces, n, done, done + now < len, id);
        if (rc)
            return done ? 0 : rc; /* the rest is lost with its datagram */
        done += now;
    }
    return 0;
}
