/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip: the contract between the network layer (sidecar/tcpip/net/) and TCP and UDP above it.
 * Internal to the library.
 *
 * Down: a flow is a destination with what was looked up for it (source, port, next hop, MTU), so
 * that a connection pays for routing once. net_output() puts the IP and Ethernet headers in front
 * of the given L4 header and hands the frame to the port, or to the instance itself when the
 * destination is one of its own addresses.
 * Up: net gives each packet whole (reassembled, headers checked, IP checksum right, destination
 * ours) to tcp_segment_arrives() or udp_datagram_arrives(), and ICMP errors to their
 * *_icmp_error().
 *
 * Invariants
 *   - Everything lies on the instance's thread. What `struct ip_packet` points to is the caller's
 *     and valid during the call only; the bytes come from strangers, the lengths have been checked.
 *   - net_output() never calls up into TCP or UDP: packets to our own addresses are copied and
 *     delivered by the next net_poll().
 *   - An upcall may call net_output().
 */
#ifndef DMM_SIDECAR_TCPIP_IP_H
#define DMM_SIDECAR_TCPIP_IP_H

#include "sidecar/tcpip/instance.h"
#include "sidecar/tcpip/ipaddr.h"

#include <sys/uio.h>

/* ECN field of the TOS or traffic class byte (RFC 3168, 5). */
enum { IP_ECN_MASK = 3, IP_ECN_NOT_ECT = 0, IP_ECN_ECT1 = 1, IP_ECN_ECT0 = 2, IP_ECN_CE = 3 };

#define IP_PORT_LOOP 0xff /* ip_packet.port: came from this instance itself */

enum {
    IP_PACKET_CSUM_OK = 1 << 0,   /* L4 checksum verified, or on a path that needs none */
    IP_PACKET_BROADCAST = 1 << 1, /* L3 destination is a broadcast address, or L2's was */
    IP_PACKET_MULTICAST = 1 << 2,
};

struct ip_packet {
    struct ip_addr src, dst;
    const uint8_t *l4; /* header and payload, contiguous */
    uint32_t l4_len;
    const uint8_t *l3; /* the IP header, for net_icmp_error() */
    uint32_t l3_len;   /* whole packet */
    /* TCP segments that net merged: their payloads, the first one's too; then l4_len is that of the
     * first, `more` bytes follow in the others, and gso_size is set. NULL: all is at l4. */
    const uint8_t *const *pieces;
    uint32_t more;
    uint16_t gso_size; /* not 0: merged segments of this much payload each (the last may be less) */
    uint8_t proto;     /* IPPROTO_TCP, IPPROTO_UDP */
    uint8_t tos;       /* TOS or traffic class; ECN below */
    uint8_t ttl;
    uint8_t flags; /* IP_PACKET_* */
    uint8_t port;  /* arrival; IP_PORT_LOOP */
};

/* True if the L4 checksum over pseudo-header and l4 is right (or known to be). A UDP checksum of
 * zero is the caller's business. */
bool net_l4_checksum_ok(const struct ip_packet *packet);

/* ---- output ---- */

enum {
    NET_FLOW_DF = 1 << 0,        /* IPv4 don't fragment (RFC 1191); IPv6 never fragments in TCP */
    NET_FLOW_DONTROUTE = 1 << 1, /* on link only */
    NET_FLOW_BROADCAST = 1 << 2, /* the sender may send to broadcast addresses */
    NET_FLOW_LOOP = 1 << 3,      /* set by net: destination is one of our own addresses */
    NET_FLOW_REPLY = 1 << 4, /* a stranger caused it: its neighbour entry counts as a stranger's */
    NET_FLOW_NO_LOOP_COPY =
        1 << 5, /* multicast: no copy to our own members (IP_MULTICAST_LOOP 0) */
};

/* The caller sets src (or any), dst, proto, ttl (0: default), flags and bound_port, the rest zero;
 * net_flow_resolve() fills the others. A flow may be copied. */
struct net_flow {
    struct ip_addr src, dst;
    uint32_t generation; /* net's: resolved in this generation of routes and addresses; 0 never */
    uint32_t neighbour;  /* net's: where the next hop was found */
    uint32_t max_gso;    /* largest L3 packet net_output() takes with gso set; 0: none */
    uint32_t flow_label; /* IPv6, 20 bits (RFC 6437); 0 none */
    uint16_t mtu;        /* path MTU in bytes of L3 */
    uint8_t proto;
    uint8_t ttl;
    uint8_t flags;      /* NET_FLOW_* */
    uint8_t port;       /* net's: output port */
    uint8_t bound_port; /* port number + 1 (SO_BINDTODEVICE, multicast interface); 0 any */
    uint8_t pcp;        /* priority of its frames' VLAN tag, where the port has one: 0..7 */
};

/* Finds the route, source address (RFC 6724 for IPv6), port, MTU. Idempotent and cheap when still
 * valid. 0, -ENETUNREACH, -EHOSTUNREACH, -EACCES (broadcast), -ENETDOWN, -EADDRNOTAVAIL (src is not
 * ours any more). */
int net_flow_resolve(struct tcpip *ip, struct net_flow *flow);

#define NET_HEADROOM 64 /* writable bytes that must lie in front of net_tx.l4 */
#define NET_TX_IOV   (DMM_TX_IOV - 1)

struct net_tx {
    uint8_t *l4;          /* L4 header; NET_HEADROOM bytes in front of it are overwritten */
    uint16_t l4_len;      /* bytes of header at l4 */
    uint16_t csum_offset; /* of the checksum field in the L4 header; net fills the field */
    uint8_t gso;          /* enum dmm_gso; net splits nothing: only within flow->max_gso */
    uint8_t tos;          /* DSCP and ECN of this packet */
    uint8_t ttl;          /* 0: the flow's */
    uint8_t n_payload;
    uint16_t gso_size;
    uint32_t payload_len;
    struct iovec payload[NET_TX_IOV];
};

/* Sends one packet. Resolves the flow again if it has to. 0: sent, or queued (bounded) until the
 * neighbour is known; -EAGAIN: the port is full, nothing was sent, *_port_writable() will come;
 * -EMSGSIZE: larger than the MTU and DF (or IPv6 TCP); else as net_flow_resolve(). For the loop the
 * port of *_port_writable() is IP_PORT_LOOP. */
int net_output(struct tcpip *ip, struct net_flow *flow, struct net_tx *tx);

/* The upper layer has seen forward progress with this flow's neighbour (RFC 4861, 7.3.1). */
void net_flow_confirm(struct tcpip *ip, const struct net_flow *flow);
/* The path seems dead (repeated retransmission timeouts): look at the neighbour anew. */
void net_flow_suspect(struct tcpip *ip, struct net_flow *flow);

/* Remembers a path MTU for a destination (RFC 1191, 8201), at least 552 (IPv4), 1280 (IPv6). Flows
 * see it at their next net_flow_resolve() or net_output(). */
void net_pmtu_update(struct tcpip *ip, const struct ip_addr *dst, uint32_t mtu);

/* Port unreachable (or what `code` says) for a packet that found no socket; rate limited. */
void net_icmp_port_unreachable(struct tcpip *ip, const struct ip_packet *packet);

/* Whether a socket may bind to this address (ours, any, multicast, broadcast). `ifindex` as in
 * dmm_addr.scope_id for link-local addresses. */
bool net_addr_bindable(const struct tcpip *ip, const struct ip_addr *addr, uint32_t ifindex);
bool net_addr_local(const struct tcpip *ip, const struct ip_addr *addr);
/* Directed or limited broadcast on any of our ports. */
bool net_addr_broadcast(const struct tcpip *ip, const struct ip_addr *addr);
/* A port's number by interface name, or -1. */
int net_port_by_name(const struct tcpip *ip, const char *name);
const char *net_port_name(const struct tcpip *ip, unsigned port); /* NULL: no such port */
/* Whether what arrived by `in_port` for `dst`, which is ours, came by the port that a socket is
 * bound to. */
bool net_arrived_by(const struct tcpip *ip, uint8_t in_port, const struct ip_addr *dst,
                    uint8_t bound_port);

/* ---- input ---- */

void net_frames(struct tcpip *ip, unsigned port, const struct dmm_frame *frames, unsigned n);
void net_port_changed(struct tcpip *ip, unsigned port);

/* An ICMP error about a packet that we seem to have sent (RFC 792, 4443; RFC 5927 says how far to
 * believe it). Also made by net itself when a neighbour can't be resolved (EHOSTUNREACH). */
struct ip_error {
    struct ip_addr local, remote; /* source and destination of the packet in error */
    uint16_t local_port, remote_port;
    uint8_t proto;
    bool hard;    /* RFC 1122, 4.2.3.9: protocol or port unreachable */
    bool too_big; /* fragmentation needed, packet too big: mtu is valid */
    int error;    /* positive errno as Linux maps it */
    uint32_t mtu; /* of the next hop, 0 if the router did not say */
    uint32_t seq; /* TCP: sequence number of the packet in error */
};

/* Upcalls, implemented by TCP and UDP. The error functions return true if it is about a live socket
 * (TCP: and the sequence number is outstanding); net remembers a path MTU only then. */
void tcp_segment_arrives(struct tcpip *ip, const struct ip_packet *packet);
/* Frames that come next, TCP_LOOK_AHEAD at most: fetches the connections that they are for. */
#define TCP_LOOK_AHEAD 16
void tcp_look_ahead(const struct tcpip *ip, const struct dmm_frame *frames, unsigned n);
bool tcp_icmp_error(struct tcpip *ip, const struct ip_error *error);
void udp_datagram_arrives(struct tcpip *ip, const struct ip_packet *packet);
bool udp_icmp_error(struct tcpip *ip, const struct ip_error *error);

#endif
