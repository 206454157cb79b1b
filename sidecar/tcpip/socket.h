/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket: what TCP and UDP sockets have in common, and the table by which tcpip.h's functions reach
 * them. Internal to the library.
 *
 * struct tcpip_socket is the first member of a TCP connection and of a UDP socket, each of which
 * its own layer allocates and frees. socket.c checks arguments that are the same for both (family
 * of addresses, mapped addresses, scope) before it calls the layer, and answers the common
 * options; what it does not know goes to ops->setsockopt.
 *
 * A layer that drops its last interest in a socket calls host->released(s->sock) once, after
 * close, and only then frees it.
 */
#ifndef DMM_SIDECAR_TCPIP_SOCKET_H
#define DMM_SIDECAR_TCPIP_SOCKET_H

#include "sidecar/tcpip/instance.h"
#include "sidecar/tcpip/ipaddr.h"

struct tcpip_socket_ops {
    /* Addresses are of the internal form; port in host order. bind: addr may be any, port 0. */
    int (*bind)(struct tcpip_socket *s, const struct ip_addr *addr, uint16_t port);
    int (*listen)(struct tcpip_socket *s, int backlog);
    /* peer NULL: dissolve (UDP; -EISCONN or -EAFNOSUPPORT in TCP). */
    int (*connect)(struct tcpip_socket *s, const struct ip_addr *peer, uint16_t port);
    void (*local)(const struct tcpip_socket *s, struct ip_addr *addr, uint16_t *port);
    void (*send_ready)(struct tcpip_socket *s);
    void (*receive_space)(struct tcpip_socket *s);
    void (*accept_ready)(struct tcpip_socket *s);
    int (*shutdown)(struct tcpip_socket *s, int how);
    void (*close)(struct tcpip_socket *s, enum dmm_close how);
    int (*setsockopt)(struct tcpip_socket *s, int level, int name, const void *value, uint32_t len);
    int (*getsockopt)(struct tcpip_socket *s, int level, int name, void *value, uint32_t *len);
    void (*info)(struct tcpip_socket *s, struct dmm_socket_info *info);
};

enum {
    SOCKET_REUSEADDR = 1 << 0,
    SOCKET_REUSEPORT = 1 << 1,
    SOCKET_V6ONLY = 1 << 2,
    SOCKET_BROADCAST = 1 << 3,
    SOCKET_DONTROUTE = 1 << 4,
    SOCKET_KEEPALIVE = 1 << 5,
    SOCKET_BIND_NO_PORT = 1 << 6, /* a stream's bind to port 0 leaves the port to connect() */
};

struct tcpip_socket {
    const struct tcpip_socket_ops *ops;
    struct tcpip *ip;
    struct dmm_sock *sock; /* the host's; NULL: not (or no longer) known to the host */
    uint8_t family;        /* AF_INET, AF_INET6: which addresses it may use */
    uint8_t flags;         /* SOCKET_* */
    uint8_t tos;           /* IP_TOS, IPV6_TCLASS; ECN bits zero for TCP */
    uint8_t ttl;           /* IP_TTL, IPV6_UNICAST_HOPS; 0 default */
    uint8_t bound_port;    /* SO_BINDTODEVICE: port number + 1 */
    uint8_t pmtudisc;      /* IP_MTU_DISCOVER, same values for IPv6; IP_PMTUDISC_WANT at first */
    int32_t priority;      /* SO_PRIORITY: 0..7 is its frames' in a VLAN tag */
};

static inline uint8_t socket_pcp(const struct tcpip_socket *s)
{
    return s->priority >= 0 && s->priority <= 7 ? (uint8_t)s->priority : 0;
}

/* By the layers: a new socket with its ops set. -ENOBUFS over a limit, -ENOMEM. */
int tcp_socket_open(struct tcpip *ip, struct dmm_sock *sock, uint8_t family,
                    struct tcpip_socket **s);
int udp_socket_open(struct tcpip *ip, struct dmm_sock *sock, uint8_t family,
                    struct tcpip_socket **s);

/* Reads an int option value as Linux does (at least 4 bytes; or 1 where Linux takes a char).
 * -EINVAL if too short. */
int socket_option_int(const void *value, uint32_t len, int *out);
/* Writes an int result: at most *len bytes, sets *len. 0 or -EINVAL. */
int socket_option_put_int(int in, void *value, uint32_t *len);

/* Binding rules of bind(2) between two sockets on one port, as Linux: whether `a` and `b` may both
 * have the port. `addr` any included; `reuse` is decided by the flags of both. */
bool socket_bind_conflict(const struct tcpip_socket *a, const struct ip_addr *a_addr,
                          const struct tcpip_socket *b, const struct ip_addr *b_addr);

#endif
