/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: what the files of the network layer share. Internal to sidecar/tcpip/net/; TCP and the
 * instance see sidecar/tcpip/ip.h only.
 *
 * Who does what
 *   input.c           Ethernet, which frames are for us, the way up
 *   ip4_input.c       IPv4 and its reassembly;  ip6_input.c the same for IPv6
 *   flow.c            routes, source addresses, MTU of a flow
 *   output.c          headers, checksums, next hop, frames;  fragment.c  packets over the MTU
 *   port.c            ports, their addresses and routes;  dad.c duplicate detection, announcements
 *   arp.c             ARP;  nd.c  neighbour discovery;  router.c  router advertisements, redirects
 *   icmp4.c, icmp6.c  ICMP in and out;  member.c  IGMP and MLD
 *
 * Invariants
 *   - All memory is allocated in net_create() (the loop queue at its first use) and bounded.
 *   - `generation` is raised whenever an answer of net_flow_resolve() may have become another:
 *     routes, addresses, port state, path MTU. It is never 0.
 *   - The timer is armed to the earliest deadline of the parts whenever control leaves the layer.
 *   - A packet given up has been checked, its destination is ours; what is dropped is counted once.
 *   - Bytes received are read through checked lengths only; nothing is kept of them but copies in
 *     bounded tables.
 */
#ifndef DMM_TCPIP_NET_NET_H
#define DMM_TCPIP_NET_NET_H

#include "sidecar/tcpip/ip.h"
#include "sidecar/tcpip/net/address.h"
#include "sidecar/tcpip/net/ether.h"
#include "sidecar/tcpip/net/group.h"
#include "sidecar/tcpip/net/icmp_error.h"
#include "sidecar/tcpip/net/iid.h"
#include "sidecar/tcpip/net/loop.h"
#include "sidecar/tcpip/net/neigh.h"
#include "sidecar/tcpip/net/pmtu.h"
#include "sidecar/tcpip/net/rate.h"
#include "sidecar/tcpip/net/reass.h"
#include "sidecar/tcpip/net/route.h"

#define NET_PORTS           NET_NEIGH_IFS
#define NET_IDS             256
#define NET_DEFAULT_TTL     64
#define NET_LOOP_BYTES      (1u << 20)
#define NET_LOOP_BATCH      64   /* packets that one net_poll() delivers */
#define NET_CONTROL_MAX     1280 /* bytes of L4 that net itself sends in one packet */
#define NET_DEFAULT_ROUTERS 8    /* learned from advertisements, per port */
#define NET_AUTO_ADDRESSES  8    /* made by SLAAC, per port */
#define NET_RA_PREFIXES     16   /* on-link prefixes learned, per port */
#define NET_RA_ROUTES       16   /* more specific routes learned (RFC 4191), per port */

struct net_port {
    uint8_t index;
    bool up;
    bool autoconf;         /* SLAAC, default routers, link-local address */
    uint8_t hop_limit;     /* of an advertisement (RFC 4861, 6.3.4); 0 not given */
    uint8_t solicits_left; /* router solicitations */
    uint64_t solicit_at;
    char name[16];
    struct net_mac mac;
    uint16_t vlan;
    uint32_t mtu, mtu6; /* IPv6's may be less by advertisement */
    uint32_t max_gso_size, offloads;
    struct net_addresses addresses;
    struct net_groups groups;
};

/* The layer above; the instance's TCP and UDP, or a test's. */
struct net_upper {
    void (*tcp)(struct tcpip *ip, const struct ip_packet *packet);
    void (*udp)(struct tcpip *ip, const struct ip_packet *packet);
    bool (*tcp_error)(struct tcpip *ip, const struct ip_error *error);
    bool (*udp_error)(struct tcpip *ip, const struct ip_error *error);
    void (*tcp_writable)(struct tcpip *ip, unsigned port);
    void (*udp_writable)(struct tcpip *ip, unsigned port);
};

struct net {
    struct tcpip *ip;
    const struct net_upper *upper;
    uint32_t generation;
    unsigned n_ports;
    struct wheel_timer timer;
    uint64_t armed;    /* what the timer is armed to; UINT64_MAX not armed */
    bool touched;      /* a part may have got an earlier deadline */
    bool loop_blocked; /* someone was told -EAGAIN by the loop queue */
    struct net_neigh_table *neigh;
    struct net_reass *reass;
    uint8_t *reass_buf;  /* NET_REASS_HDR_MAX + 65535 */
    uint8_t *packet_buf; /* one packet of the largest MTU, made whole to wait for a neighbour */
    size_t packet_size;
    struct net_pmtu pmtu;
    struct net_loop loop;
    struct net_rate error_rate, echo_rate;
    bool stable_ids; /* RFC 7217, by this key; else from the MAC */
    struct hash_key iid_key;
    uint32_t ids[NET_IDS]; /* IPv4 and fragment identifications, by hash of the destination */
    struct net_routes routes;
    struct net_port ports[NET_PORTS];
};

/* A packet on its way up, with what only this layer looks at. */
struct net_rx {
    struct ip_packet p;
    bool v4;
    bool router_alert;
    bool reassembled;
    uint16_t next_field; /* IPv6: offset of the byte that names p.proto */
    /* the batch from this packet's frame on; none: it is no frame. `taken` is how many frames it
     * became */
    const struct dmm_frame *frames;
    unsigned n_frames, taken;
};

static inline struct net_port *net_port_of(struct net *net, unsigned port)
{
    return port < net->n_ports ? &net->ports[port] : NULL;
}

static inline void net_bump(struct net *net)
{
    if (!++net->generation)
        net->generation = 1;
}

uint32_t net_random32(struct net *net);
/* Arms the timer to the earliest deadline. */
void net_rearm(struct net *net);
/* The same if one may be earlier than what the timer is armed to; cheap. */
void net_rearm_if_touched(struct net *net);

/* ---- port.c ---- */
void net_port_load(struct net *net, unsigned port);
/* The port that has this address in a usable state (on `only` unless -1); NULL if none. */
struct net_port *net_address_port(const struct net *net, const struct ip_addr *addr, int only);
/* Adds the address with its group and duplicate detection; NULL if there is no room. */
struct net_address *net_port_add_address(struct net *net, struct net_port *port,
                                         const struct net_address *address);
void net_port_drop_address(struct net *net, struct net_port *port, struct net_address *address);
/* Fills the lower half of an address that we make ourselves, by its prefix and dad_counter. */
void net_port_interface_id(const struct net *net, const struct net_port *port,
                           struct net_address *address);
bool net_port_is_broadcast(const struct net_port *port, const struct ip_addr *addr);
/* The directed broadcast or limited broadcast address of any port. */
bool net_is_broadcast(const struct net *net, const struct ip_addr *addr);

/* ---- dad.c ---- */
void net_dad_start(struct net *net, struct net_port *port, struct net_address *a);
void net_dad_poll(struct net *net, struct net_port *port, uint64_t now);
/* Another node uses, or probes for, this address of ours (RFC 4862, 5.4.3 to 5.4.5). `a` is not
 * valid any more. */
void net_dad_failed(struct net *net, struct net_port *port, struct net_address *a);

/* ---- arp.c ---- */
void net_arp_input(struct net *net, struct net_port *port, const uint8_t *packet, size_t len);
void net_arp_solicit(struct net *net, struct net_port *port, const struct ip_addr *target,
                     const struct net_mac *mac);
void net_arp_announce(struct net *net, struct net_port *port, const struct ip_addr *addr);

/* ---- input.c ---- */
/* To the upper layer or to ICMP by protocol; the packet is whole. */
void net_deliver(struct net *net, struct net_rx *rx);
void net_ip4_input(struct net *net, struct net_rx *rx);
void net_ip6_input(struct net *net, struct net_rx *rx);
unsigned net_loop_poll(struct net *net);
/* Time exceeded to the sender of an incomplete datagram (RFC 1122, 3.3.2; RFC 8200, 4.5). `quote`
 * has NET_REASS_HDR_MAX bytes in front. */
void net_reass_timed_out(struct net *net, const struct net_datagram *d, uint8_t *quote);

/* ---- output.c ---- */
/* Writes the port's Ethernet header, with its tag if it has one, in front of l3 (NET_ETH_HDR_MAX
 * bytes are there); returns its length. */
size_t net_front(const struct net_port *port, const struct net_mac *dst, uint16_t type, uint8_t pcp,
                 uint8_t *l3);
/* The interface's own frames: l3 has NET_ETH_HDR_MAX bytes in front of it. */
void net_send_l2(struct net *net, struct net_port *port, const struct net_mac *dst, uint16_t type,
                 uint8_t *l3, size_t len);
int net_transmit(struct net *net, struct net_port *port, const struct dmm_tx_frame *frame);
/* The MAC of the flow's next hop. 0, -EAGAIN (being resolved, *next_hop is set), -ENOBUFS. */
int net_next_hop_mac(struct net *net, struct net_flow *flow, struct net_mac *mac,
                     struct ip_addr *next_hop);
/* One packet of the given bytes: header and payload; out of `flow`, already resolved. */
int net_send_packet(struct net *net, struct net_flow *flow, struct net_tx *tx, size_t l3_len);
/* One packet whose headers (hdr_len bytes at l3, NET_ETH_HDR_MAX in front of them) and n pieces
 * need nothing more: to the next hop, or to wait for it. */
int net_send_pieces(struct net *net, struct net_flow *flow, uint8_t *l3, size_t hdr_len,
                    const struct iovec *pieces, unsigned n);
uint32_t net_next_id(struct net *net, const struct ip_addr *dst);
/* Writes the IP header in front of `l4` for `len` bytes of it; returns the header's start. */
uint8_t *net_write_ip(struct net *net, const struct net_flow *flow, const struct net_tx *tx,
                      uint8_t *l4, size_t len, uint32_t fragment, uint16_t id);

/* ---- fragment.c ---- */
int net_send_fragments(struct net *net, struct net_flow *flow, struct net_tx *tx);

/* ---- icmp4.c, icmp6.c ---- */
void net_icmp4_input(struct net *net, struct net_rx *rx);
void net_icmp6_input(struct net *net, struct net_rx *rx);
/* An error about a packet that arrived: all rules of who gets none, and the rate limit. `extra` is
 * the second word of the message. */
void net_icmp_error(struct net *net, const struct net_rx *rx, uint8_t type, uint8_t code,
                    uint32_t extra);
/* Sends an ICMP message in answer to a packet: its header (8 bytes behind NET_HEADROOM) at `icmp`,
 * the rest at `body`. Fills the checksum. */
struct net_icmp_reply {
    struct ip_addr src, dst; /* src none: chosen */
    uint8_t port;            /* where the packet came from */
    uint8_t tos, ttl;        /* ttl 0: default */
};
void net_icmp_reply(struct net *net, const struct net_icmp_reply *how, uint8_t *icmp,
                    const uint8_t *body, size_t body_len);
/* An error message (its ICMP header first) to the socket that it is about. */
void net_icmp_error_up(struct net *net, bool v4, const uint8_t *icmp, size_t len);

/* ---- nd.c ---- */
void net_nd_input(struct net *net, struct net_rx *rx);
void net_nd_solicit(struct net *net, struct net_port *port, const struct ip_addr *target,
                    const struct net_mac *mac);
/* A DAD solicitation (source ::) with the address's nonce, or an unsolicited advertisement. */
void net_nd_dad_solicit(struct net *net, struct net_port *port, const struct net_address *a);
void net_nd_announce(struct net *net, struct net_port *port, const struct net_address *a);
/* Any ICMPv6 message on one link: hop limit 255 or as given, computed checksum. */
struct net_link_packet {
    struct net_port *port;
    struct ip_addr src, dst;
    const struct net_mac *mac; /* NULL: of the group dst */
    uint8_t hop_limit;
    bool router_alert; /* hop-by-hop, RFC 2711 */
};
void net_nd_send(struct net *net, const struct net_link_packet *how, const uint8_t *icmp,
                 size_t len);

/* ---- router.c ---- */
/* False: the message is malformed, or must not come from there. */
bool net_router_advert(struct net *net, struct net_port *port, const struct net_rx *rx);
void net_router_poll(struct net *net, struct net_port *port, uint64_t now);
/* A router said that it is none any more, or is gone: its routes go. */
void net_router_gone(struct net *net, struct net_port *port, const struct ip_addr *router);
/* The link came up: ask for routers (RFC 4861, 6.3.7). */
void net_router_solicit(struct net *net, struct net_port *port);

/* ---- member.c ---- */
void net_igmp_input(struct net *net, struct net_rx *rx);
void net_mld_input(struct net *net, struct net_rx *rx);
void net_member_poll(struct net *net, struct net_port *port, uint64_t now);

#endif
