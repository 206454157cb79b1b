/* SPDX-License-Identifier: Apache-2.0 */
/* From an upper layer's packet to a frame: headers, checksum, next hop, port. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/ip6_header.h"

#include <errno.h>

int net_transmit(struct net *net, struct net_port *port, const struct dmm_tx_frame *frame)
{
    const struct dmm_host *host = net->ip->host;
    int rc = host->transmit(host, port->index, frame);
    if (!rc)
        net->ip->count.tx_frames++;
    else if (rc == -EAGAIN)
        net->ip->count.tx_blocked++;
    else
        net->ip->count.tx_error_drop++;
    return rc;
}

size_t net_front(const struct net_port *port, const struct net_mac *dst, uint16_t type, uint8_t pcp,
                 uint8_t *l3)
{
    const struct net_eth eth = {
        .dst = *dst, .src = port->mac, .type = type, .vlan = port->vlan, .pcp = pcp};
    size_t len = port->vlan ? NET_ETH_HDR + NET_VLAN_TAG : NET_ETH_HDR;
    net_eth_build(l3 - len, &eth);
    return len;
}

void net_send_l2(struct net *net, struct net_port *port, const struct net_mac *dst, uint16_t type,
                 uint8_t *l3, size_t len)
{
    size_t front = net_front(port, dst, type, 0, l3);
    struct iovec iov = {l3 - front, front + len};
    net_transmit(net, port, &(struct dmm_tx_frame){.iov = &iov, .n_iov = 1});
}

/* IPv4 without DF, and IPv6 fragments: no repetition within a packet's life, and not to be guessed
 * by others (RFC 6864, 4.3; RFC 7739). Counters by hash of the destination, from random starts. */
uint32_t net_next_id(struct net *net, const struct ip_addr *dst)
{
    return net->ids[hash_words(&net->ip->hash_key, dst->q, 2) % NET_IDS]++;
}

uint8_t *net_write_ip(struct net *net, const struct net_flow *flow, const struct net_tx *tx,
                      uint8_t *l4, size_t len, uint32_t fragment, uint16_t id)
{
    uint8_t ttl = tx->ttl ? tx->ttl : flow->ttl;
    if (ip_addr_is_v4(&flow->dst)) {
        const struct net_ip4_header h = {.src = flow->src,
                                         .dst = flow->dst,
                                         .total_len = (uint16_t)(NET_IP4_HDR + len),
                                         .id = id,
                                         .fragment = (uint16_t)fragment,
                                         .tos = tx->tos,
                                         .ttl = ttl ? ttl : NET_DEFAULT_TTL,
                                         .protocol = flow->proto};
        net_ip4_write(l4 - NET_IP4_HDR, &h);
        net->ip->count.ip4_out++;
        return l4 - NET_IP4_HDR;
    }
    const struct net_port *port = net_port_of(net, flow->port);
    uint8_t hop_limit = port && port->hop_limit ? port->hop_limit : NET_DEFAULT_TTL;
    const struct net_ip6_header h = {.src = flow->src,
                                     .dst = flow->dst,
                                     .flow_label = flow->flow_label,
                                     .payload_len = (uint16_t)len,
                                     .traffic_class = tx->tos,
                                     .next = fragment ? NET_IP6_FRAGMENT : flow->proto,
                                     .hop_limit = ttl ? ttl : hop_limit};
    net_ip6_write(l4 - NET_IP6_HDR, &h);
    net->ip->count.ip6_out++;
    return l4 - NET_IP6_HDR;
}

int net_next_hop_mac(struct net *net, struct net_flow *flow, struct net_mac *mac,
                     struct ip_addr *next_hop)
{
    if (ip_addr_is_multicast(&flow->dst)) {
        *mac = net_mac_of_group(&flow->dst);
        return 0;
    }
    if (net_is_broadcast(net, &flow->dst)) {
        *mac = net_mac_broadcast;
        return 0;
    }
    const struct net_route *r =
        net_route_find(&net->routes, &flow->dst, flow->port, flow->flags & NET_FLOW_DONTROUTE);
    *next_hop = r && !net_ip_is_none(&r->gateway) ? r->gateway : flow->dst;
    enum net_neigh_cause cause = flow->flags & NET_FLOW_REPLY ? NET_NEIGH_STRANGER : NET_NEIGH_OWN;
    int rc = net_neigh_resolve(net->neigh, flow->port, next_hop, cause, net->ip->now, mac);
    if (!rc)
        flow->neighbour =
            net_neigh_ref(net->neigh, net_neigh_find(net->neigh, flow->port, next_hop));
    return rc;
}

/* Headers and pieces made one; returns the bytes. */
static size_t gather(uint8_t *to, const uint8_t *l3, size_t hdr_len, const struct iovec *pieces,
                     unsigned n)
{
    memcpy(to, l3, hdr_len);
    size_t len = hdr_len;
    for (unsigned i = 0; i < n; i++) {
        memcpy(to + len, pieces[i].iov_base, pieces[i].iov_len);
        len += pieces[i].iov_len;
    }
    return len;
}

/* The checksum field: the pseudo-header's sum for a port that does the rest, or all of it. ICMP
 * over IPv4 has none and brings its own. True if the port has to complete it. */
static bool fill_checksum(const struct net_flow *flow, struct net_tx *tx, bool partial)
{
    if (flow->proto == IPPROTO_ICMP || flow->proto == IPPROTO_IGMP)
        return false;
    uint8_t *field = tx->l4 + tx->csum_offset;
    uint64_t sum =
        net_csum_pseudo(&flow->src, &flow->dst, flow->proto, tx->l4_len + tx->payload_len);
    if (partial) {
        net_csum_store(field, net_csum_fold(sum));
        return true;
    }
    net_csum_store(field, 0);
    struct iovec iov[DMM_TX_IOV] = {{tx->l4, tx->l4_len}};
    memcpy(iov + 1, tx->payload, tx->n_payload * sizeof(iov[0]));
    net_csum_store(field, net_csum_finish(net_csum_add_iov(sum, iov, tx->n_payload + 1u, 0)));
    return false;
}

static int send_loop(struct net *net, struct net_flow *flow, struct net_tx *tx, size_t len)
{
    if (len > UINT16_MAX)
        return -EMSGSIZE;
    uint8_t *to = net_loop_put(&net->loop, (uint32_t)len, tx->gso ? tx->gso_size : 0);
    if (!to) {
        net->ip->count.loop_full_limit++;
        net->loop_blocked = true;
        return -EAGAIN;
    }
    /* Nobody checks it, but the quotation in an ICMP error should make sense. */
    fill_checksum(flow, tx, true);
    uint8_t *l3 = net_write_ip(net, flow, tx, tx->l4, tx->l4_len + tx->payload_len,
                               NET_IP4_DF * ip_addr_is_v4(&flow->dst), 0);
    gather(to, l3, (size_t)(tx->l4 + tx->l4_len - l3), tx->payload, tx->n_payload);
    return 0;
}

/* A copy for our own members of the group, or of a broadcast (RFC 1112, 6.1). */
static void loop_copy(struct net *net, const struct net_flow *flow, const uint8_t *l3,
                      size_t hdr_len, const struct iovec *pieces, unsigned n, size_t len)
{
    const struct net_port *port = &net->ports[flow->port];
    if (flow->flags & NET_FLOW_NO_LOOP_COPY || len > UINT16_MAX)
        return;
    if (ip_addr_is_multicast(&flow->dst) && !net_group_is_member(&port->groups, &flow->dst))
        return;
    uint8_t *to = net_loop_put(&net->loop, (uint32_t)len, 0);
    if (to)
        gather(to, l3, hdr_len, pieces, n);
    else
        net->ip->count.loop_full_limit++;
}

/* Puts the Ethernet header in front and sends. `frame` says what is left to the port, csum_start
 * being counted from l3 still. */
static int send_frame(struct net *net, const struct net_flow *flow, const struct net_mac *mac,
                      uint8_t *l3, size_t hdr_len, const struct iovec *pieces, unsigned n,
                      struct dmm_tx_frame *frame)
{
    struct net_port *port = &net->ports[flow->port];
    uint16_t type = ip_addr_is_v4(&flow->dst) ? NET_ETH_IPV4 : NET_ETH_IPV6;
    size_t front = net_front(port, mac, type, flow->pcp, l3);
    struct iovec iov[DMM_TX_IOV] = {{l3 - front, front + hdr_len}};
    memcpy(iov + 1, pieces, n * sizeof(iov[0]));
    frame->hdr_len = (uint16_t)(front + hdr_len);
    frame->csum_start = (uint16_t)(frame->csum_start + front);
    frame->iov = iov;
    frame->n_iov = (uint16_t)(n + 1);
    return net_transmit(net, port, frame);
}

/* The next hop's MAC. 0, -EAGAIN: wait at *next_hop; -ENOBUFS. */
static int find_mac(struct net *net, struct net_flow *flow, struct net_mac *mac,
                    struct ip_addr *next_hop)
{
    const struct net_mac *known =
        flow->neighbour ? net_neigh_use(net->neigh, flow->neighbour, net->ip->now) : NULL;
    int rc = 0;
    if (known)
        *mac = *known;
    else
        rc = net_next_hop_mac(net, flow, mac, next_hop);
    net_rearm_if_touched(net);
    return rc;
}

int net_send_pieces(struct net *net, struct net_flow *flow, uint8_t *l3, size_t hdr_len,
                    const struct iovec *pieces, unsigned n)
{
    struct net_mac mac;
    struct ip_addr next_hop;
    int rc = find_mac(net, flow, &mac, &next_hop);
    if (rc && rc != -EAGAIN)
        return 0; /* counted by the cache; as good as lost on the way */
    size_t len = hdr_len;
    for (unsigned i = 0; i < n; i++)
        len += pieces[i].iov_len;
    if (rc) {
        if (len > net->packet_size) {
            net->ip->count.neigh_queue_limit++;
            return 0;
        }
        gather(net->packet_buf, l3, hdr_len, pieces, n);
        net_neigh_wait(net->neigh, flow->port, &next_hop, net->packet_buf, len);
        return 0;
    }
    if (ip_addr_is_multicast(&flow->dst) || net_is_broadcast(net, &flow->dst))
        loop_copy(net, flow, l3, hdr_len, pieces, n, len);
    return send_frame(net, flow, &mac, l3, hdr_len, pieces, n, &(struct dmm_tx_frame){0});
}

/* A unicast packet whose neighbour is known, with what the port does for it: the common case. */
static int send_offloaded(struct net *net, struct net_flow *flow, struct net_tx *tx,
                          const struct net_mac *mac, uint8_t *l3)
{
    bool partial = tx->gso || net->ports[flow->port].offloads & DMM_OFFLOAD_TX_CSUM;
    size_t hdr_len = (size_t)(tx->l4 + tx->l4_len - l3);
    struct dmm_tx_frame frame = {.gso = tx->gso,
                                 .gso_size = tx->gso_size,
                                 .csum_start = (uint16_t)(hdr_len - tx->l4_len),
                                 .csum_offset = tx->csum_offset};
    if (fill_checksum(flow, tx, partial))
        frame.flags = DMM_FRAME_CSUM_PARTIAL;
    return send_frame(net, flow, mac, l3, hdr_len, tx->payload, tx->n_payload, &frame);
}

int net_send_packet(struct net *net, struct net_flow *flow, struct net_tx *tx, size_t l3_len)
{
    if (flow->flags & NET_FLOW_LOOP)
        return send_loop(net, flow, tx, l3_len);
    bool v4 = ip_addr_is_v4(&flow->dst), df = v4 && flow->flags & NET_FLOW_DF;
    uint16_t id = v4 && !df ? (uint16_t)net_next_id(net, &flow->dst) : 0;
    uint8_t *l3 =
        net_write_ip(net, flow, tx, tx->l4, tx->l4_len + tx->payload_len, df ? NET_IP4_DF : 0, id);
    const struct net_mac *mac =
        flow->neighbour ? net_neigh_use(net->neigh, flow->neighbour, net->ip->now) : NULL;
    if (mac) {
        net_rearm_if_touched(net);
        return send_offloaded(net, flow, tx, mac, l3);
    }
    if (tx->gso) {
        /* Merged segments can't wait: resolve for those that follow, leave these to
         * retransmission. */
        struct net_mac found;
        struct ip_addr next_hop;
        if (!find_mac(net, flow, &found, &next_hop))
            return send_offloaded(net, flow, tx, &found, l3);
        net->ip->count.neigh_queue_limit++;
        return 0;
    }
    fill_checksum(flow, tx, false);
    return net_send_pieces(net, flow, l3, (size_t)(tx->l4 + tx->l4_len - l3), tx->payload,
                           tx->n_payload);
}

int net_output(struct tcpip *ip, struct net_flow *flow, struct net_tx *tx)
{
    struct net *net = ip->net;
    int rc = net_flow_resolve(ip, flow);
    if (rc)
        return rc;
    bool v4 = ip_addr_is_v4(&flow->dst);
    size_t len = (v4 ? NET_IP4_HDR : NET_IP6_HDR) + (size_t)tx->l4_len + tx->payload_len;
    size_t limit = tx->gso ? flow->max_gso : flow->mtu;
    if (len <= limit)
        return net_send_packet(net, flow, tx, len);
    /* TCP makes its own segments; others are cut, by IPv6's source too (RFC 8200, 5). */
    if (!tx->gso && flow->proto != IPPROTO_TCP && !(flow->flags & NET_FLOW_DF) &&
        len - NET_IP4_HDR <= UINT16_MAX)
        return net_send_fragments(net, flow, tx);
    ip->count.ip_too_big++;
    return -EMSGSIZE;
}
