/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from the port to lwIP and back, and the offloads between them.
 *
 * In. lwIP forwards (Debian built it so) and answers what a host must not, so a frame passes only
 * if it is for us by MAC and by IP address (RFC 1122, 3.2.1.3) and its source could be a peer. A
 * merged TCP frame goes in as the one large segment that it is. A SYN passes if its listener has
 * room.
 *
 * Out. lwIP leaves the TCP and UDP checksums to us; they are left to the port where it can, else
 * computed here. A TCP packet beyond the MTU is the port's to split.
 */
#include "sidecar/stacks/lwip/lw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP  0x0806
#define ETHERTYPE_IPV6 0x86dd
#define IPV4_HLEN      20
#define IPV6_HLEN      40
#define TCP_CSUM_AT    16
#define UDP_CSUM_AT    6

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void store16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

/* ---- an IP packet, as far as both directions need it ---- */

struct packet {
    uint8_t version, proto;
    bool fragment;
    uint16_t ip_len; /* of the IP header with its options or extension headers */
    uint32_t l4_len; /* by the IP header; the frame may hold less */
    ip_addr_t src, dst;
};

static bool parse_ipv4(struct packet *packet, const uint8_t *ip, uint32_t len)
{
    if (len < IPV4_HLEN || ip[0] >> 4 != 4)
        return false;
    uint16_t header = (uint16_t)((ip[0] & 15) * 4);
    uint16_t total = load16(ip + 2);
    if (header < IPV4_HLEN || total < header || total > len)
        return false;
    packet->ip_len = header;
    packet->l4_len = total - header;
    packet->proto = ip[9];
    packet->fragment = (load16(ip + 6) & (IP_MF | IP_OFFMASK)) != 0;
    packet->src.type = packet->dst.type = IPADDR_TYPE_V4;
    memcpy(&packet->src.u_addr.ip4.addr, ip + 12, 4);
    memcpy(&packet->dst.u_addr.ip4.addr, ip + 16, 4);
    return true;
}

/* Walks the extension headers that may come before TCP (RFC 8200, 4). */
static bool parse_ipv6(struct packet *packet, const uint8_t *ip, uint32_t len)
{
    if (len < IPV6_HLEN || ip[0] >> 4 != 6)
        return false;
    uint32_t end = IPV6_HLEN + load16(ip + 4);
    if (end > len)
        return false;
    uint32_t at = IPV6_HLEN;
    uint8_t next = ip[6];
    while (next == IP6_NEXTH_HOPBYHOP || next == IP6_NEXTH_ROUTING || next == IP6_NEXTH_DESTOPTS ||
           next == IP6_NEXTH_FRAGMENT) {
        if (at + 8 > end)
            return false;
        bool fragment = next == IP6_NEXTH_FRAGMENT;
        packet->fragment |= fragment;
        next = ip[at];
        at += fragment ? 8 : (ip[at + 1] + 1u) * 8;
        if (at > end)
            return false;
    }
    packet->proto = next;
    packet->ip_len = (uint16_t)at;
    packet->l4_len = end - at;
    packet->src.type = packet->dst.type = IPADDR_TYPE_V6;
    memcpy(packet->src.u_addr.ip6.addr, ip + 8, 16);
    memcpy(packet->dst.u_addr.ip6.addr, ip + 24, 16);
    return true;
}

static bool parse_ip(struct packet *packet, const uint8_t *ip, uint32_t len)
{
    memset(packet, 0, sizeof(*packet));
    packet->version = len ? ip[0] >> 4 : 0;
    return packet->version == 4 ? parse_ipv4(packet, ip, len) : parse_ipv6(packet, ip, len);
}

/* ---- in ---- */

/* The rest is not only of no use to us: a UDP-Lite packet makes lwIP 2.1.3 abort. */
static bool is_known(const struct packet *packet)
{
    return packet->proto == IP_PROTO_TCP || packet->proto == IP_PROTO_UDP ||
           (packet->version == 4 ? packet->proto == IP_PROTO_ICMP || packet->proto == IP_PROTO_IGMP
                                 : packet->proto == IP6_NEXTH_ICMP6);
}

static bool is_ours(struct lw_port *port, const struct packet *packet, bool group_mac)
{
    const ip_addr_t *dst = &packet->dst;
    const ip_addr_t *src = &packet->src;
    if (ip_addr_isloopback(src) || ip_addr_ismulticast(src) || lw_is_local(port->stack, src))
        return false;
    if (ip_addr_ismulticast(dst))
        return true;
    if (lw_is_broadcast(port, dst))
        return true;
    return !group_mac && !ip_addr_isloopback(dst) && lw_is_local(port->stack, dst);
}

/* False: a first SYN that its listener has no room for. Later segments of a connection are lwIP's
 * to judge. */
static bool admit(struct lw_stack *stack, const struct packet *packet, const uint8_t *l4)
{
    if (packet->proto != IP_PROTO_TCP || packet->fragment || packet->l4_len < TCP_HLEN ||
        (l4[13] & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
        return true;
    struct lw_syn syn = {.src_port = load16(l4), .dst_port = load16(l4 + 2)};
    syn.seq = (uint32_t)load16(l4 + 4) << 16 | load16(l4 + 6);
    ip_addr_copy(syn.src, packet->src);
    ip_addr_copy(syn.dst, packet->dst);
    if (lw_admit_syn(stack, &syn))
        return true;
    stack->stats.syn_dropped++;
    return false;
}

err_t lw_loop_input(struct pbuf *p, struct netif *netif)
{
    struct packet packet;
    const struct lw_port *port = netif->state;
    const uint8_t *ip = p->payload;
    if (p->len == p->tot_len && parse_ip(&packet, ip, p->len) &&
        !admit(port->stack, &packet, ip + packet.ip_len)) {
        lw.pbuf_free(p);
        return ERR_OK;
    }
    return lw.ip_input(p, netif);
}

static void give(struct lw_port *port, const uint8_t *data, uint32_t len, uint8_t pbuf_flags,
                 err_t (*input)(struct pbuf *, struct netif *))
{
    struct pbuf *p = len <= UINT16_MAX ? lw.pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM) : NULL;
    if (!p) {
        port->stack->stats.rx_dropped++;
        return;
    }
    memcpy(p->payload, data, len);
    p->if_idx = netif_get_index(&port->netif);
    p->flags |= pbuf_flags;
    if (input(p, &port->netif) != ERR_OK)
        lw.pbuf_free(p);
}

/* A merged UDP frame is datagrams of gso_size bytes, the last one shorter. */
static void give_datagrams(struct lw_port *port, const struct packet *packet, const uint8_t *ip,
                           uint16_t size)
{
    uint32_t headers = packet->ip_len + UDP_HLEN;
    if (packet->l4_len < UDP_HLEN || packet->fragment || !size) {
        port->stack->stats.rx_dropped++;
        return;
    }
    uint8_t *copy = port->stack->scratch;
    uint32_t left = packet->l4_len - UDP_HLEN;
    for (uint32_t at = headers; left;) {
        uint16_t n = (uint16_t)LWIP_MIN(left, size);
        memcpy(copy, ip, headers);
        memcpy(copy + headers, ip + at, n);
        store16(copy + packet->ip_len + 4, (uint16_t)(n + UDP_HLEN));
        if (packet->version == 4) {
            store16(copy + 2, (uint16_t)(headers + n));
            store16(copy + 10, 0);
            uint32_t sum = 0;
            for (uint16_t i = 0; i < packet->ip_len; i += 2)
                sum += load16(copy + i);
            sum = (sum >> 16) + (sum & 0xffff);
            store16(copy + 10, (uint16_t) ~(sum + (sum >> 16)));
        } else {
            store16(copy + 4, (uint16_t)(headers + n - IPV6_HLEN));
        }
        give(port, copy, headers + n, 0, lw.ip_input);
        at += n;
        left -= n;
    }
}

static void ip_frame(struct lw_port *port, const struct dmm_frame *frame, bool group_mac)
{
    const uint8_t *ip = frame->data + LW_ETH_HLEN;
    struct packet packet;
    if (!parse_ip(&packet, ip, frame->len - LW_ETH_HLEN) || !is_known(&packet) ||
        !is_ours(port, &packet, group_mac) || !admit(port->stack, &packet, ip + packet.ip_len)) {
        port->stack->stats.rx_dropped++;
        return;
    }
    bool trusted = frame->flags & (DMM_FRAME_CSUM_OK | DMM_FRAME_CSUM_PARTIAL);
    lw_verify_checksums(!trusted || packet.fragment);
    if (frame->gso == DMM_GSO_UDP)
        give_datagrams(port, &packet, ip, frame->gso_size);
    else
        /* What follows the packet in the frame is padding. */
        give(port, ip, packet.ip_len + packet.l4_len, group_mac ? PBUF_FLAG_LLMCAST : 0,
             lw.ip_input);
    lw_verify_checksums(false);
}

void lw_input(struct lw_port *port, const struct dmm_frame *frame)
{
    struct lw_stats *stats = &port->stack->stats;
    stats->rx_frames++;
    const uint8_t *mac = frame->data;
    bool group_mac = mac[0] & 1;
    if (frame->len <= LW_ETH_HLEN || frame->flags & DMM_FRAME_VLAN ||
        (!group_mac && memcmp(mac, port->netif.hwaddr, ETH_HWADDR_LEN) != 0)) {
        stats->rx_dropped++;
        return;
    }
    switch (load16(frame->data + 12)) {
    case ETHERTYPE_IPV4:
        if (frame->data[LW_ETH_HLEN] >> 4 == 4)
            ip_frame(port, frame, group_mac);
        break;
    case ETHERTYPE_IPV6:
        if (port->n_prefixes6 && frame->data[LW_ETH_HLEN] >> 4 == 6)
            ip_frame(port, frame, group_mac);
        break;
    case ETHERTYPE_ARP:
        give(port, frame->data, frame->len, 0, lw.ethernet_input);
        break;
    default:
        stats->rx_dropped++;
        break;
    }
}

/* ---- out ---- */

static uint64_t sum_bytes(uint64_t sum, const uint8_t *data, size_t len)
{
    for (; len >= 4; data += 4, len -= 4) {
        uint32_t word;
        memcpy(&word, data, 4);
        sum += word;
    }
    uint32_t rest = 0;
    memcpy(&rest, data, len);
    return sum + rest;
}

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* The sum over the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1), in memory order, not inverted. */
static uint16_t pseudo_sum(const struct packet *packet, const uint8_t *ip)
{
    uint64_t sum = packet->version == 4 ? sum_bytes(0, ip + 12, 8) : sum_bytes(0, ip + 8, 32);
    sum += htonl(packet->proto);
    sum += htonl(packet->l4_len);
    return fold(sum);
}

static unsigned checksum_at(const struct packet *packet)
{
    if (packet->fragment)
        return 0;
    if (packet->proto == IP_PROTO_TCP && packet->l4_len >= TCP_HLEN)
        return TCP_CSUM_AT;
    return packet->proto == IP_PROTO_UDP && packet->l4_len >= UDP_HLEN ? UDP_CSUM_AT : 0;
}

static void complete(const struct packet *packet, uint8_t *ip)
{
    unsigned at = checksum_at(packet);
    uint8_t *l4 = ip + packet->ip_len;
    memset(l4 + at, 0, 2);
    uint16_t sum = fold(sum_bytes(pseudo_sum(packet, ip), l4, packet->l4_len));
    /* Inverted; but 0 would say that a datagram has none (RFC 768), and 0xffff is as good. */
    if (sum != 0xffff || packet->proto != IP_PROTO_UDP)
        sum = (uint16_t)~sum;
    memcpy(l4 + at, &sum, 2);
}

void lw_complete_checksum(struct pbuf *p)
{
    struct packet packet;
    if (p->len == p->tot_len && parse_ip(&packet, p->payload, p->len) && checksum_at(&packet))
        complete(&packet, p->payload);
}

static void leave_to_port(struct lw_port *port, const struct packet *packet, uint8_t *frame,
                          struct dmm_tx_frame *tx)
{
    uint8_t *ip = frame + LW_ETH_HLEN;
    uint16_t sum = pseudo_sum(packet, ip);
    tx->flags = DMM_FRAME_CSUM_PARTIAL;
    tx->csum_start = (uint16_t)(LW_ETH_HLEN + packet->ip_len);
    tx->csum_offset = (uint16_t)checksum_at(packet);
    memcpy(frame + tx->csum_start + tx->csum_offset, &sum, 2);
    uint32_t size = packet->ip_len + packet->l4_len;
    if (packet->proto != IP_PROTO_TCP || size <= port->netif.mtu)
        return;
    uint16_t tcp_len = (uint16_t)((frame[tx->csum_start + 12] >> 4) * 4);
    tx->gso = packet->version == 4 ? DMM_GSO_TCPV4 : DMM_GSO_TCPV6;
    tx->hdr_len = (uint16_t)(tx->csum_start + tcp_len);
    tx->gso_size = (uint16_t)LWIP_MIN(TCP_MSS, port->netif.mtu - packet->ip_len - tcp_len);
    port->stack->stats.tx_gso_frames++;
}

static err_t transmit(struct lw_port *port, const struct dmm_tx_frame *tx)
{
    struct lw_stats *stats = &port->stack->stats;
    const struct dmm_host *host = port->stack->host;
    int rc = host->transmit(host, port->index, tx);
    if (!rc) {
        stats->tx_frames++;
        return ERR_OK;
    }
    if (rc == -EAGAIN) {
        /* TCP keeps the segment and tries again when the port is writable. */
        stats->tx_full++;
        port->blocked = true;
        return ERR_MEM;
    }
    stats->tx_errors++;
    return rc == -ENETDOWN ? ERR_IF : ERR_OK;
}

/* lwIP was built to send each packet in one buffer; what is chained all the same is copied. */
err_t lw_link_output(struct netif *netif, struct pbuf *p)
{
    struct lw_port *port = netif->state;
    uint8_t *data = p->payload;
    if (port->stack->silent || p->tot_len < LW_ETH_HLEN)
        return ERR_IF;
    if (p->next) {
        data = port->stack->scratch;
        lw.pbuf_copy_partial(p, data, p->tot_len, 0);
    }
    struct iovec iov = {data, p->tot_len};
    struct dmm_tx_frame tx = {.iov = &iov, .n_iov = 1};
    struct packet packet;
    if (load16(data + 12) != ETHERTYPE_ARP &&
        parse_ip(&packet, data + LW_ETH_HLEN, p->tot_len - LW_ETH_HLEN) && checksum_at(&packet)) {
        if (port->offloads & DMM_OFFLOAD_TX_CSUM)
            leave_to_port(port, &packet, data, &tx);
        else
            complete(&packet, data + LW_ETH_HLEN);
    }
    return transmit(port, &tx);
}
