/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance: what the modules of one tcpip instance share. Internal to the library.
 *
 * Each layer keeps its own state behind its own pointer: `net` (Ethernet, ARP, IP, ICMP, routes,
 * neighbours; sidecar/tcpip/net/), `udp`, `tcp`. They meet only in ip.h and socket.h.
 *
 * A call from outside does tcpip_enter() first; below it everyone reads ip->now.
 */
#ifndef DMM_SIDECAR_TCPIP_INSTANCE_H
#define DMM_SIDECAR_TCPIP_INSTANCE_H

#include "sidecar/tcpip/hash.h"
#include "sidecar/tcpip/tcpip.h"
#include "sidecar/tcpip/wheel.h"

struct net;
struct udp;
struct tcp;

struct tcpip {
    const struct dmm_host *host;
    uint64_t now; /* ns, as of the present call from outside */
    struct wheel wheel;
    struct tcpip_counters count;
    struct hash_key hash_key; /* secret */
    struct tcpip_config config;
    struct net *net;
    struct udp *udp;
    struct tcp *tcp;
};

static inline void tcpip_enter(struct tcpip *ip)
{
    ip->now = ip->host->now(ip->host);
}

static inline void tcpip_random(struct tcpip *ip, void *buf, size_t len)
{
    ip->host->random(ip->host, buf, len);
}

/* Life of the layers. create: 0 or a negative errno with a message; destroy takes what create left,
 * NULL included. net is created first and destroyed last. */
int net_create(struct tcpip *ip, char *err, size_t errlen);
void net_destroy(struct tcpip *ip);
int udp_create(struct tcpip *ip, char *err, size_t errlen);
void udp_destroy(struct tcpip *ip);
int tcp_create(struct tcpip *ip, char *err, size_t errlen);
void tcp_destroy(struct tcpip *ip);

/* Once per turn; each returns how much it did. net_poll delivers what was sent to our own
 * addresses, at most a batch of it. */
unsigned net_poll(struct tcpip *ip);
unsigned udp_poll(struct tcpip *ip);
unsigned tcp_poll_output(struct tcpip *ip);
/* Whether the layer has work for the next turn already (loopback frames, pending output). */
bool net_pending(const struct tcpip *ip);
bool udp_pending(const struct tcpip *ip);
bool tcp_pending(const struct tcpip *ip);
/* After -EAGAIN from net_output(): the port takes frames again. */
void udp_port_writable(struct tcpip *ip, unsigned port);
void tcp_port_writable(struct tcpip *ip, unsigned port);

#endif
