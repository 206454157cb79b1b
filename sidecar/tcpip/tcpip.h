/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcpip: the TCP/IP stack as a library. Frames in, frames out; no I/O, no threads, no globals.
 *
 * It is called, and calls back, exactly as the stack ABI (sidecar/stack.h) says: struct dmm_host is
 * its clock, random source, ports and byte rings. What drives it may be the sidecar, a unit test
 * with a virtual clock, a fuzzer or a bench. sidecar/stacks/tcpip.c joins it to the sidecar.
 *
 * Invariants
 *   - An instance is used by one thread. Any number of instances may live in a process.
 *   - Frames are read during tcpip_frames() only; nothing of them is kept but copies that are
 *     bounded. Frames are sent from inside tcpip_poll() and tcpip_frames().
 *   - The clock is read once per call from outside. Time is CLOCK_MONOTONIC in ns.
 *   - Memory grows with the number of sockets up to the limits of struct tcpip_config, never with
 *     what strangers send beyond them. Nothing is allocated per packet.
 *   - Sockets follow the life that sidecar/stack.h gives them; functions return 0 or a negative
 *     errno with its meanings.
 *
 * Names: lwIP is linked to the same program, so a function here must not have a name of its API
 * (tcp_input, udp_bind, ip_output, tcpip_init...): the library uses tcpip_, net_, tcb_, udps_ and
 * the modules' own prefixes.
 */
#ifndef DMM_SIDECAR_TCPIP_TCPIP_H
#define DMM_SIDECAR_TCPIP_TCPIP_H

#include "sidecar/stack.h"
#include "sidecar/tcpip/counters.h"

struct tcpip;
struct tcpip_socket;

enum tcpip_ecn {
    TCPIP_ECN_OFF,     /* neither asks nor answers */
    TCPIP_ECN_PASSIVE, /* answers a peer that asks */
    TCPIP_ECN_ON,      /* asks too (RFC 3168, 6.1.1) */
};

struct tcpip_config {
    char congestion_control[16]; /* "cubic", "reno", "dctcp": the default of new sockets */
    enum tcpip_ecn ecn;
    bool syn_cookies;              /* when the queue of half-open connections is full (RFC 4987) */
    bool timestamps, sack, wscale; /* offered and accepted (RFC 7323, 2018) */
    bool pacing;                   /* spread a window over its round trip */
    bool ip6_autoconf;             /* router advertisements, SLAAC, link-local address, DAD */
    /* not empty: identifiers of self-made addresses come from it (RFC 7217), not from the MAC */
    char ip6_secret[65];
    uint16_t vlan; /* 802.1Q id that all its ports' frames carry; 0: what port_info() says */
    uint16_t ports_first, ports_last; /* ephemeral ports (RFC 6056) */
    uint32_t initial_window;          /* segments (RFC 6928) */
    uint32_t min_rto_ms, delayed_ack_ms, time_wait_ms;
    /* limits */
    uint32_t max_connections; /* every TCP connection that takes a full state */
    uint32_t max_half_open;   /* of all listeners together */
    uint32_t max_time_wait;
    uint32_t max_out_of_order; /* bytes kept for reassembly, all connections together */
    uint32_t max_neighbours;   /* per instance, ARP and ND together */
    uint32_t max_fragments;    /* bytes kept for IP reassembly */
    uint32_t max_pmtu;         /* destinations with a path MTU of their own */
    uint32_t icmp_rate;        /* ICMP errors and echo replies a second */
    uint32_t challenge_rate;   /* challenge ACKs a second (RFC 5961, 7) */
};

/* What a production host wants. */
void tcpip_config_default(struct tcpip_config *config);

/* Reads the ports from `host`, which must outlive the instance. On failure: a negative errno, a
 * message in err, nothing left. */
int tcpip_create(const struct tcpip_config *config, const struct dmm_host *host, struct tcpip **ip,
                 char *err, size_t errlen);
/* All sockets have been closed; connections that have not ended yet end silently, and released()
 * is not called for them any more. */
void tcpip_destroy(struct tcpip *ip);

void tcpip_frames(struct tcpip *ip, unsigned port, const struct dmm_frame *frames, unsigned n);
void tcpip_port_writable(struct tcpip *ip, unsigned port);
void tcpip_port_changed(struct tcpip *ip, unsigned port);
unsigned tcpip_poll(struct tcpip *ip);
uint64_t tcpip_next_deadline(struct tcpip *ip);

/* As the functions of struct dmm_stack_ops with the same names. */
int tcpip_open(struct tcpip *ip, struct dmm_sock *sock, const struct dmm_open *open,
               struct tcpip_socket **s);
int tcpip_bind(struct tcpip_socket *s, const struct dmm_addr *addr, struct dmm_addr *bound);
int tcpip_listen(struct tcpip_socket *s, int backlog);
int tcpip_connect(struct tcpip_socket *s, const struct dmm_addr *peer, struct dmm_addr *local);
void tcpip_send_ready(struct tcpip_socket *s);
void tcpip_receive_space(struct tcpip_socket *s);
void tcpip_accept_ready(struct tcpip_socket *s);
int tcpip_shutdown(struct tcpip_socket *s, int how);
void tcpip_close(struct tcpip_socket *s, enum dmm_close how);
int tcpip_setsockopt(struct tcpip_socket *s, int level, int name, const void *value, uint32_t len);
int tcpip_getsockopt(struct tcpip_socket *s, int level, int name, void *value, uint32_t *len);
void tcpip_socket_info(struct tcpip_socket *s, struct dmm_socket_info *info);
const struct tcpip_counters *tcpip_counters(const struct tcpip *ip);

#endif
