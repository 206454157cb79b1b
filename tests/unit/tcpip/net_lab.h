/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_lab: the network layer of one instance with a host, a clock and upper layers of the test's
 * own. Time moves only by lab_advance(); what is sent and what goes up is recorded.
 */
#ifndef DMM_TESTS_NET_LAB_H
#define DMM_TESTS_NET_LAB_H

#include "sidecar/tcpip/net/checksum.h"
#include "sidecar/tcpip/net/ip4_header.h"
#include "sidecar/tcpip/net/ip6_header.h"
#include "sidecar/tcpip/net/net.h"
#include "sidecar/tcpip/net/wire.h"

#define LAB_FRAMES 512
#define MS         1000000ull
#define SEC        1000000000ull

struct lab_frame {
    uint8_t *data; /* whole, from the Ethernet header on */
    size_t len;
    unsigned port;
    struct dmm_tx_frame meta; /* iov is not valid */
};

struct lab {
    struct dmm_host host; /* first */
    struct tcpip ip;
    uint64_t now;
    uint32_t random;
    struct dmm_port_info ports[2];
    struct dmm_stack_address addresses[2][4];
    struct dmm_stack_route routes[2][2];
    unsigned n_ports;
    int transmit_rc;        /* what transmit() returns */
    unsigned transmit_room; /* not 0: the port is full with so many since lab_clear() */
    unsigned n_sent;
    struct lab_frame sent[LAB_FRAMES]; /* the first LAB_FRAMES since lab_clear() */
    /* what went up, last of each */
    unsigned n_up, n_errors, n_writable;
    struct ip_packet up;
    uint8_t up_l4[66000];
    struct ip_error error;
    bool error_live; /* what the error upcalls answer */
};

/* The peer's MAC and the instance's. */
extern const struct net_mac lab_peer_mac, lab_our_mac;
/* 10.0.0.1/24 and fd00::1/64 are ours on port 0, gateways 10.0.0.254 and fd00::fe; peers .2, ::2.
 */
extern const struct ip_addr lab_us4, lab_us6, lab_peer4, lab_peer6, lab_gw4, lab_far4;

/* The lab with one port, before the instance exists: change what the test wants, then start. */
struct lab *lab_new(void);
void lab_start(struct lab *lab);
void lab_free(struct lab *lab);
void lab_advance(struct lab *lab, uint64_t ns);
/* Forgets what was sent and raised. */
void lab_clear(struct lab *lab);
/* Starts and lets announcements and duplicate detection pass; nothing recorded is left. */
struct lab *lab_ready(void);

void lab_input(struct lab *lab, const void *frame, size_t len);
void lab_input_flags(struct lab *lab, const void *frame, size_t len, uint8_t flags, uint8_t gso,
                     uint16_t gso_size);
/* An Ethernet frame from the peer to us (or to the group of dst) around the IP packet. */
void lab_input_ip(struct lab *lab, const uint8_t *packet, size_t len);
/* The neighbour is known: 10.0.0.2, fd00::2 or what is given, at lab_peer_mac. */
void lab_learn(struct lab *lab, const struct ip_addr *addr);

/* An ARP packet to us from `mac`. */
void lab_arp(struct lab *lab, uint16_t op, const struct net_mac *mac, const struct ip_addr *sender,
             const struct ip_addr *target);

struct lab_ip {
    struct ip_addr src, dst;
    uint8_t proto, ttl, tos;
    uint16_t id, fragment; /* IPv4 */
};
/* Builds an IP packet around the payload; returns its length. */
size_t lab_build_ip(uint8_t *at, const struct lab_ip *ip, const void *payload, size_t len);
/* Fills the ICMP checksum (ICMPv6 with the addresses). */
void lab_icmp_checksum(const struct lab_ip *ip, uint8_t *icmp, size_t len);
/* IP packet with an ICMP message whose checksum is filled, put in. */
void lab_icmp(struct lab *lab, const struct lab_ip *ip, uint8_t *icmp, size_t len);

/* The i-th frame since lab_clear(); fails the test if there is none. */
const struct lab_frame *lab_sent(struct lab *lab, unsigned i);
uint16_t lab_ethertype(const struct lab_frame *frame);

#endif
