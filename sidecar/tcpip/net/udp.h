/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp: UDP sockets (RFC 768, RFC 1122, 4.1; RFC 8085). Internal to the udp_*.c files.
 *
 * Invariants
 *   - A socket is in exactly one of the two tables while it has a port and is not closed:
 *     `connected` by its four-tuple, else `bound` by its port.
 *   - A socket that has datagrams to send and may is in `ready`; one that met a full port is in
 *     `blocked` until some port is writable; never in both.
 *   - After close a socket receives nothing and keeps only what it still has to send; released() is
 *     called once, just before it is freed.
 *   - Received datagrams go to the host at once; nothing is queued here.
 *
 * The tables own the sockets. One thread.
 */
#ifndef DMM_TCPIP_NET_UDP_H
#define DMM_TCPIP_NET_UDP_H

#include "sidecar/tcpip/ip.h"
#include "sidecar/tcpip/ports.h"
#include "sidecar/tcpip/socket.h"

#define UDP_HDR         8
#define UDP_MEMBERSHIPS 20 /* per socket; Linux's net.ipv4.igmp_max_memberships */
#define UDP_SEND_BATCH  64 /* datagrams of one socket in one turn */
#define UDP_MIN_BUCKETS 256

struct udp_membership {
    struct ip_addr group;
    uint8_t port;
};

struct udp_socket {
    struct tcpip_socket s; /* first */
    struct ip_addr local, peer;
    struct ip_addr wildcard;        /* what `local` was before connect chose one */
    uint16_t local_port, peer_port; /* 0: none */
    bool connected, closing;
    bool local_chosen;    /* connect chose the local address, dissolving takes it back */
    bool flow_src_chosen; /* flow.src is net's choice */
    bool shut_read, shut_write;
    bool recverr;    /* IP_RECVERR: soft errors too */
    bool no_loop;    /* IP_MULTICAST_LOOP 0 */
    bool mc_all_off; /* IP_MULTICAST_ALL 0: only groups that this socket joined */
    bool gro;        /* UDP_GRO: datagrams that came merged go up merged */
    uint8_t mc_ttl;  /* IP_MULTICAST_TTL */
    uint8_t mc_port; /* IP_MULTICAST_IF: port number + 1; 0 by route */
    uint8_t n_memberships;
    enum { UDP_IDLE, UDP_READY, UDP_BLOCKED } queue;
    struct udp_socket *hash_next, **hash_pprev;   /* NULL pprev: in no table */
    struct udp_socket *queue_next, **queue_pprev; /* of ready or blocked */
    struct udp_socket *all_next, **all_pprev;
    struct net_flow flow; /* of the last destination */
    uint32_t sent;        /* bytes of the oldest datagram, if that is one to be cut */
    struct udp_membership memberships[UDP_MEMBERSHIPS];
};

struct udp_table {
    struct udp_socket **buckets;
    unsigned mask, n;
};

struct udp {
    struct hash_key key;
    struct ports ports;
    unsigned n_sockets;
    struct udp_table bound, connected;
    uint32_t n_on_port[65536]; /* sockets in either table, by local port */
    struct udp_socket *ready, **ready_tail;
    struct udp_socket *blocked, **blocked_tail;
    struct udp_socket *all;
};

static inline struct udp_socket *udps_of(struct tcpip_socket *s)
{
    return (struct udp_socket *)s;
}

/* ---- udp_table.c ---- */
int udps_table_create(struct udp_table *table);
void udps_table_destroy(struct udp_table *table);
/* Puts the socket into the table that its state asks for; grows it where it can. */
void udps_hash(struct udp *udp, struct udp_socket *u);
void udps_unhash(struct udp *udp, struct udp_socket *u);
/* The socket that a unicast datagram is for; NULL. `port`: of arrival. */
struct udp_socket *udps_find(const struct udp *udp, const struct ip_addr *local,
                             uint16_t local_port, const struct ip_addr *peer, uint16_t peer_port,
                             uint8_t port);
struct udp_socket *udps_find_connected(const struct udp *udp, const struct ip_addr *local,
                                       uint16_t local_port, const struct ip_addr *peer,
                                       uint16_t peer_port);
/* The first socket in `bound` or `connected` that may have this port: the caller filters. */
struct udp_socket *udps_first_on_port(const struct udp *udp, uint16_t port);
/* Whether `u` may not have the port with the address. */
bool udps_port_taken(const struct udp *udp, const struct udp_socket *u, const struct ip_addr *addr,
                     uint16_t port);
/* Gives an unbound socket an ephemeral port. 0 or -EAGAIN (none left). */
int udps_autobind(struct udp *udp, struct udp_socket *u);

/* ---- udp_output.c ---- */
/* Sends what the host has, at most a batch; puts the socket into the queue that fits. Returns how
 * many datagrams it took. May free a closing socket. */
unsigned udps_send(struct tcpip *ip, struct udp_socket *u);
void udps_dequeue(struct udp_socket *u, struct udp *udp);
/* Frees what close left, once nothing is to be sent. */
void udps_release(struct tcpip *ip, struct udp_socket *u);
/* The flow for a destination, from the last one's if it fits. */
void udps_flow(struct udp_socket *u, const struct ip_addr *dst, const struct ip_addr *src,
               uint8_t bound_port);

/* ---- udp_option.c ---- */
int udps_setsockopt(struct tcpip_socket *s, int level, int name, const void *value, uint32_t len);
int udps_getsockopt(struct tcpip_socket *s, int level, int name, void *value, uint32_t *len);
void udps_leave_all(struct udp_socket *u);

#endif
