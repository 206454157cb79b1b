/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_lab: UDP sockets over net_lab, with the host's side of each: what was received, what is to be
 * sent, errors. Sockets are open_sock()ed by the test and end with the lab.
 */
#ifndef DMM_TESTS_UDP_LAB_H
#define DMM_TESTS_UDP_LAB_H

#include "sidecar/tcpip/net/udp.h"
#include "tests/unit/tcpip/net_lab.h"

#define COUNT(lab, name) ((lab)->ip.count.name)
#define MAX_OUT          128

/* The host's side of a socket. */
struct dmm_sock {
    struct tcpip_socket *s;
    unsigned n_rx, n_errors, n_released;
    int rx_rc, error;
    struct dmm_datagram rx; /* the last one */
    uint8_t bytes[8192];
    unsigned n_out, out_at;
    struct dmm_datagram out[MAX_OUT];
};

struct from {
    struct ip_addr src, dst;
    uint16_t sport, dport;
};

/* To port 53 of ours from port 1111 of the peer. */
extern const struct from from4, from6;

struct lab *udp_lab(void);
void udp_lab_free(struct lab *lab);
void open_sock(struct lab *lab, struct dmm_sock *k, uint8_t family);
void open_bound(struct lab *lab, struct dmm_sock *k, uint8_t family, uint16_t port);
int do_bind(struct dmm_sock *k, struct ip_addr addr, uint16_t port);
int do_connect(struct dmm_sock *k, struct ip_addr addr, uint16_t port);
struct ip_addr any4(void);
struct ip_addr any6(void);
void hand_over(struct dmm_sock *k, const struct dmm_datagram *d);
/* Hands bytes to the stack, to `peer` unless it is none. */
void send_to(struct dmm_sock *k, const struct ip_addr *peer, uint16_t port, const void *bytes,
             uint32_t len);
/* An IP packet with a datagram; returns its length. */
size_t build_udp(uint8_t *p, const struct from *f, const void *bytes, size_t len);
void udp_in(struct lab *lab, const struct from *f, const void *bytes, size_t len);

#endif
