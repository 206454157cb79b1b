/* SPDX-License-Identifier: Apache-2.0 */
/* UDP input: RFC 768; RFC 8200, 8.1; RFC 1122, 4.1.3. */
#include "sidecar/tcpip/net/udp.h"

#include "sidecar/tcpip/net/wire.h"

struct arrival {
    const struct ip_packet *packet;
    uint16_t src_port, dst_port;
    const uint8_t *payload;
    uint32_t len;
    uint16_t segment; /* merged datagrams of this much payload each; 0: one */
};

static struct dmm_addr address_for(const struct udp_socket *u, const struct ip_addr *addr,
                                   uint16_t port, uint8_t arrival_port)
{
    struct dmm_addr d = ip_addr_to_dmm(addr, port, u->s.family);
    if (ip_addr_is_link_local6(addr) && arrival_port != IP_PORT_LOOP)
        d.scope_id = arrival_port + 1u;
    return d;
}

static void deliver(struct tcpip *ip, struct udp_socket *u, const struct arrival *a)
{
    const struct ip_packet *p = a->packet;
    if (u->shut_read || !u->s.sock)
        return;
    struct dmm_datagram d = {
        .peer = address_for(u, &p->src, a->src_port, p->port),
        .local = address_for(u, &p->dst, a->dst_port, p->port),
        .ifindex = p->port == IP_PORT_LOOP ? 0 : p->port + 1u,
        .ttl = p->ttl,
        .tos = p->tos,
    };
    uint32_t at = 0, most = a->segment ? a->segment : a->len;
    if (u->gro && a->len > most) {
        d.segment = a->segment;
        ip->count.udp_in += (a->len - 1) / most;
        most = a->len;
    }
    do {
        uint32_t len = a->len - at < most ? a->len - at : most;
        d.iov[0].iov_base = (void *)(uintptr_t)(a->payload + at);
        d.iov[0].iov_len = len;
        d.len = len;
        ip->count.udp_in++;
        if (ip->host->rx_datagram(u->s.sock, &d))
            ip->count.udp_full_drop++;
        at += len;
    } while (at < a->len);
}

static bool has_joined(const struct udp_socket *u, const struct ip_packet *p)
{
    for (unsigned i = 0; i < u->n_memberships; i++)
        if (ip_addr_equal(&u->memberships[i].group, &p->dst) &&
            (p->port == IP_PORT_LOOP || u->memberships[i].port == p->port))
            return true;
    return false;
}

/* Whether a socket without this peer takes a datagram to a group or to everyone. */
static bool takes_group(const struct udp_socket *u, const struct arrival *a)
{
    const struct ip_packet *p = a->packet;
    if (u->local_port != a->dst_port)
        return false;
    if (u->s.bound_port && p->port != IP_PORT_LOOP && u->s.bound_port != p->port + 1)
        return false;
    if (!ip_addr_is_any(&u->local) && !ip_addr_equal(&u->local, &p->dst))
        return false;
    if (ip_addr_is_v4(&p->dst) ? u->s.family == AF_INET6 && (u->s.flags & SOCKET_V6ONLY)
                               : u->s.family == AF_INET)
        return false;
    return !(p->flags & IP_PACKET_MULTICAST) || !u->mc_all_off || has_joined(u, p);
}

/* To a group or to everyone: each socket that takes it gets it (RFC 1122, 4.1.3.3 leaves no
 * other). */
static void deliver_group(struct tcpip *ip, const struct arrival *a)
{
    const struct udp *udp = ip->udp;
    bool taken = false;
    for (struct udp_socket *u = udps_first_on_port(udp, a->dst_port); u; u = u->hash_next) {
        if (!takes_group(u, a))
            continue;
        deliver(ip, u, a);
        taken = true;
    }
    struct udp_socket *u =
        udps_find_connected(udp, &a->packet->dst, a->dst_port, &a->packet->src, a->src_port);
    if (u) {
        deliver(ip, u, a);
        taken = true;
    }
    if (!taken)
        ip->count.udp_port_drop++;
}

static bool parse(struct tcpip *ip, const struct ip_packet *packet, struct arrival *a)
{
    const uint8_t *h = packet->l4;
    if (packet->l4_len < UDP_HDR) {
        ip->count.udp_header_bad++;
        return false;
    }
    uint32_t len = packet->gso_size ? packet->l4_len : net_get16(h + 4);
    if (len < UDP_HDR || len > packet->l4_len || !net_get16(h + 2)) {
        ip->count.udp_header_bad++;
        return false;
    }
    struct ip_packet exact = *packet;
    exact.l4_len = len;
    bool none = !net_get16(h + 6) && !(packet->flags & IP_PACKET_CSUM_OK);
    /* No checksum is a right of IPv4's alone (RFC 768; RFC 8200, 8.1). */
    if (none ? !ip_addr_is_v4(&packet->src) : !net_l4_checksum_ok(&exact)) {
        ip->count.udp_csum_bad++;
        return false;
    }
    *a = (struct arrival){.packet = packet,
                          .src_port = net_get16(h),
                          .dst_port = net_get16(h + 2),
                          .payload = h + UDP_HDR,
                          .len = len - UDP_HDR,
                          .segment = packet->gso_size};
    return true;
}

void udp_datagram_arrives(struct tcpip *ip, const struct ip_packet *packet)
{
    struct arrival a;
    if (!parse(ip, packet, &a))
        return;
    if (packet->flags & (IP_PACKET_BROADCAST | IP_PACKET_MULTICAST)) {
        deliver_group(ip, &a);
        return;
    }
    struct udp_socket *u =
        udps_find(ip->udp, &packet->dst, a.dst_port, &packet->src, a.src_port, packet->port);
    if (u) {
        deliver(ip, u, &a);
        return;
    }
    ip->count.udp_port_drop++;
    net_icmp_port_unreachable(ip, packet);
}

/* Which errors a connected socket hears of, as Linux: the hard ones, "too big" unless it lets
 * packets be cut, and the rest by IP_RECVERR only. */
static bool wants(const struct udp_socket *u, const struct ip_error *error)
{
    if (u->recverr || error->hard)
        return true;
    return error->too_big && u->s.pmtudisc != IP_PMTUDISC_DONT;
}

bool udp_icmp_error(struct tcpip *ip, const struct ip_error *error)
{
    struct udp_socket *u = udps_find_connected(ip->udp, &error->local, error->local_port,
                                               &error->remote, error->remote_port);
    if (u) {
        if (u->s.sock && wants(u, error))
            ip->host->soft_error(u->s.sock, error->error);
        return true;
    }
    /* An unconnected socket hears nothing (RFC 1122, 4.1.3.3 with Linux's reading), but the error
     * is believed if its last datagram went there. */
    u = udps_find(ip->udp, &error->local, error->local_port, &error->remote, error->remote_port,
                  IP_PORT_LOOP);
    return u && ip_addr_equal(&u->flow.dst, &error->remote);
}
