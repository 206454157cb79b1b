/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stack: the ABI between the sidecar (the host) and a stack. Built-in stacks and operators'
 * plug-ins use the same one; docs/stack-abi.md is its manual.
 *
 * A stack is an ops table. A shared object exports it as
 *     const struct dmm_stack_ops dmm_stack_ops_v1;
 * The host gives it a table of services (struct dmm_host) and no symbol to link with.
 *
 * Invariants
 *   - One stack instance lives on one worker thread. The host calls it on that thread only, and it
 *     calls the host on that thread only, from inside a call that the host made. Nothing blocks.
 *   - The host never calls into a stack from inside a service that the stack called, so a stack
 * need not be re-entrant. Services may be called from any op except create and destroy, where only
 *     now, random, log, n_ports and port_info may be.
 *   - Time is CLOCK_MONOTONIC in nanoseconds, read once per turn: host->now() is cheap and constant
 *     within one turn.
 *   - Every op returns 0 or a negative errno, unless it says otherwise. The errno reaches the app.
 *
 * Sockets: two handles stand for one socket. `struct dmm_sock` is the host's, opaque to the stack;
 * `void *ssock` is the stack's, opaque to the host. Life:
 *     open -> ssock exists -> ... -> close (the host will not name ssock again)
 *                                    -> the stack goes on (FIN, retransmission, unsent bytes that
 *                                       it still reads by tx_peek) and at last calls
 * released(sock): from then on neither handle exists. released() is called exactly once per socket,
 * inside close or later, never before close. A reset or error before close is told by error(); the
 * socket then stays until close. An accepted connection is made by the stack: accepted() gives it
 * the host's handle.
 *
 * Bytes: the rings are in memory shared with the app. What tx_peek shows may change while it is
 * read; a stack must never take a decision from payload bytes that it reads twice. rx_write copies.
 * Lengths and positions that services return have been checked by the host.
 */
#ifndef DMM_SIDECAR_STACK_H
#define DMM_SIDECAR_STACK_H

#include "common/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define DMM_STACK_ABI        1
#define DMM_STACK_OPS_SYMBOL "dmm_stack_ops_v1"
#define DMM_NEVER            UINT64_MAX /* a deadline that does not come */

struct dmm_sock;
struct dmm_host;

/* ---- packets ---- */

/* Checksum and segmentation as in virtio 1.2, 5.1.6.2: what a veth or a vhost-user peer passes. */
enum {
    DMM_FRAME_CSUM_OK = 1 << 0, /* rx: the L4 checksum has been verified */
    /* rx: the checksum field holds the pseudo-header's sum only, and the bytes come over a memory
     * path that needs none: treat as OK. tx: the port completes the checksum from csum_start on. */
    DMM_FRAME_CSUM_PARTIAL = 1 << 1,
    DMM_FRAME_VLAN = 1 << 2, /* vlan_tci is valid; the tag is not in data */
};

enum dmm_gso { DMM_GSO_NONE, DMM_GSO_TCPV4, DMM_GSO_TCPV6, DMM_GSO_UDP };

/* A received frame, from the Ethernet header on. Memory is the host's, valid during input(). */
struct dmm_frame {
    const uint8_t *data;
    uint32_t len; /* up to 64 KB + headers when the port merges segments */
    uint8_t flags;
    uint8_t gso; /* enum dmm_gso: this frame is several segments of gso_size payload merged */
    uint16_t gso_size;
    uint16_t vlan_tci;
};

/* A frame to send. The pieces are read before transmit() returns. */
struct dmm_tx_frame {
    const struct iovec *iov; /* iov[0] holds all headers, from the Ethernet header on */
    uint16_t n_iov;          /* at most DMM_TX_IOV */
    uint8_t flags;           /* DMM_FRAME_CSUM_PARTIAL, DMM_FRAME_VLAN */
    uint8_t gso;             /* enum dmm_gso; then CSUM_PARTIAL must be set */
    uint16_t gso_size;       /* payload bytes per segment */
    uint16_t hdr_len;        /* gso: bytes of all headers */
    uint16_t csum_start;     /* offset of the L4 header */
    uint16_t csum_offset;    /* of the checksum field within it */
    uint16_t vlan_tci;
};
#define DMM_TX_IOV 8

/* dmm_port_info.offloads: what the port does when asked. */
enum {
    DMM_OFFLOAD_TX_CSUM = 1 << 0,
    DMM_OFFLOAD_TSO4 = 1 << 1,
    DMM_OFFLOAD_TSO6 = 1 << 2,
    DMM_OFFLOAD_USO = 1 << 3,
    DMM_OFFLOAD_VLAN = 1 << 4,
};

struct dmm_stack_address {
    struct dmm_addr addr;
    uint8_t prefix_len;
};

struct dmm_stack_route {
    struct dmm_prefix dst;
    struct dmm_addr gateway; /* family 0: on link */
};

struct dmm_port_info {
    char name[16];
    uint8_t mac[6];
    bool up;
    uint32_t mtu;          /* bytes of L3 */
    uint32_t max_gso_size; /* largest frame transmit() takes, headers included; 0 without TSO */
    uint32_t offloads;
    uint16_t vlan; /* 802.1Q id that its frames carry both ways; 0: untagged */
    unsigned n_addresses;
    const struct dmm_stack_address *addresses;
    unsigned n_routes;
    const struct dmm_stack_route *routes;
};

/* ---- sockets ---- */

struct dmm_open {
    uint16_t family;   /* AF_INET, AF_INET6 */
    uint16_t type;     /* SOCK_STREAM, SOCK_DGRAM */
    uint16_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
};

/* One datagram, or with DMM_STACK_SEGMENTS several of one flow in a row. rx: `peer` is the sender,
 * `local` its destination address (family 0: unknown). */
struct dmm_datagram {
    struct dmm_addr peer;
    struct dmm_addr local;
    uint32_t ifindex;    /* port number + 1; 0 unknown */
    uint8_t ttl, tos;    /* 0: not given */
    uint16_t segment;    /* not 0: datagrams of so many bytes each, the last may be less */
    struct iovec iov[2]; /* len 0 in the second if it is not needed */
    uint32_t len;        /* of the payload, all of iov */
};

/* What `dmmctl sockets` shows. Names as in ss(8). */
struct dmm_socket_info {
    const char *state; /* "ESTAB", "LISTEN", ...; static */
    struct dmm_addr local, peer;
    uint32_t recv_queue, send_queue; /* bytes in the stack itself, rings not counted */
    uint32_t rtt_us, cwnd, mss, retransmits;
};

enum dmm_close {
    DMM_CLOSE_GRACEFUL, /* send what is in the ring, then FIN (RFC 9293, 3.10.4) */
    DMM_CLOSE_ABORT,    /* RST at once (RFC 9293, 3.10.5) */
};

/* ---- what the host does for a stack ---- */

struct dmm_host {
    uint32_t abi;  /* DMM_STACK_ABI */
    uint32_t size; /* sizeof(struct dmm_host): later minor versions append */

    uint64_t (*now)(const struct dmm_host *host);
    void (*random)(const struct dmm_host *host, void *buf, size_t len); /* cryptographic */
    void (*log)(const struct dmm_host *host, int level /* enum dmm_log_level */, const char *text);

    /* Ports of this instance are numbered 0..n_ports-1. */
    unsigned (*n_ports)(const struct dmm_host *host);
    const struct dmm_port_info *(*port_info)(const struct dmm_host *host, unsigned port);
    /* 0; -EAGAIN: full, port_writable() will come; -EMSGSIZE; -ENETDOWN; -EINVAL: contradicts
     * itself or asks for an offload that the port does not have. */
    int (*transmit)(const struct dmm_host *host, unsigned port, const struct dmm_tx_frame *frame);

    /* Receive, stream. rx_space: bytes that rx_write takes now (the window to offer), counting the
     * growth that the host is willing to do. rx_write appends all or nothing: 0 or -ENOBUFS. */
    uint32_t (*rx_space)(const struct dmm_sock *sock);
    int (*rx_write)(struct dmm_sock *sock, const void *data, uint32_t len);
    /* Receive, datagrams: whole, or dropped and counted by the host (-ENOBUFS). */
    int (*rx_datagram)(struct dmm_sock *sock, const struct dmm_datagram *datagram);

    /* Transmit, stream. tx_pending: bytes that the app wrote and tx_consume has not taken.
     * tx_peek: up to `len` bytes from `offset` past the consumed ones; returns the number of pieces
     * (0..2). tx_consume: these bytes are no longer needed (acknowledged); the app gets the room.
     */
    uint32_t (*tx_pending)(struct dmm_sock *sock);
    unsigned (*tx_peek)(const struct dmm_sock *sock, uint32_t offset, uint32_t len,
                        struct iovec iov[2]);
    void (*tx_consume)(struct dmm_sock *sock, uint32_t len);
    /* Transmit, datagrams: the oldest; false if there is none. peer.family 0: the connected peer.
     * tx_datagram_done drops it. */
    bool (*tx_datagram)(struct dmm_sock *sock, struct dmm_datagram *datagram);
    void (*tx_datagram_done)(struct dmm_sock *sock);

    /* State. connected: a connect succeeded. accept_space: how many more accepted() would take.
     * accepted: a connection for `listener` is complete; gives the host's handle for it; -ENOBUFS
     * (accept queue full) or -ECONNABORTED: the stack keeps it back or resets it. eof: the peer's
     * FIN, after the last rx_write. error: the connection is dead (a positive errno; a refused or
     * timed-out connect too). soft_error: SO_ERROR only (ICMP on UDP). */
    void (*connected)(struct dmm_sock *sock, const struct dmm_addr *local,
                      const struct dmm_addr *peer);
    uint32_t (*accept_space)(const struct dmm_sock *listener);
    int (*accepted)(struct dmm_sock *listener, void *ssock, const struct dmm_addr *local,
                    const struct dmm_addr *peer, struct dmm_sock **sock);
    void (*eof)(struct dmm_sock *sock);
    void (*error)(struct dmm_sock *sock, int error);
    void (*soft_error)(struct dmm_sock *sock, int error);
    void (*released)(struct dmm_sock *sock);

    /* Transmit, stream, from when setsockopt() took TCP_NOTSENT_LOWAT with another value than 0:
     * of the bytes of tx_pending() the first `len` have been sent once. The stack says it then, and
     * whenever it has sent more. */
    void (*tx_sent)(struct dmm_sock *sock, uint32_t len);
};

/* ---- what a stack gives ---- */

/* dmm_stack_ops.capabilities */
enum {
    DMM_STACK_TCP = 1 << 0,
    DMM_STACK_UDP = 1 << 1,
    DMM_STACK_IPV4 = 1 << 2,
    DMM_STACK_IPV6 = 1 << 3,
    DMM_STACK_PORTS = 1 << 4,  /* needs at least one port */
    DMM_STACK_SINGLE = 1 << 5, /* at most one instance per process */
    /* dmm_datagram.segment counts, both ways. Without it the host cuts what an app sends by
     * UDP_SEGMENT, and takes what it gets for one datagram. */
    DMM_STACK_SEGMENTS = 1 << 6,
};

struct dmm_stack_config {
    const char *name;    /* of the instance */
    const char *options; /* JSON object text; the stack refuses keys that it does not know */
};

struct dmm_wait_fd {
    int fd;
    short events; /* POLLIN, POLLOUT */
};

/* Emits one counter: a name in snake_case that stays the same over versions. */
typedef void dmm_stat_fn(void *arg, const char *name, uint64_t value);

struct dmm_stack_ops {
    uint32_t abi;  /* DMM_STACK_ABI */
    uint32_t size; /* sizeof(struct dmm_stack_ops) */
    const char *type;
    uint32_t capabilities;

    /* On failure: a negative errno, a message in err[errlen], nothing left. */
    int (*create)(const struct dmm_stack_config *config, const struct dmm_host *host, void **stack,
                  char *err, size_t errlen);
    /* All sockets are released by then. */
    void (*destroy)(void *stack);

    /* Packets; NULL for a stack without ports. */
    void (*input)(void *stack, unsigned port, const struct dmm_frame *frames, unsigned n);
    void (*port_writable)(void *stack, unsigned port);
    void (*port_changed)(void *stack, unsigned port); /* link, MTU: read port_info again */

    /* Once per turn, after input and socket ops: timers that are due, output that was batched.
     * Returns how much it did (0: nothing). */
    unsigned (*poll)(void *stack);
    /* When poll wants to be called next if nothing else happens; DMM_NEVER. */
    uint64_t (*next_deadline)(void *stack);
    /* Fds to sleep on besides the ports'; may be NULL. Returns how many of `max` were filled. */
    unsigned (*wait_fds)(void *stack, struct dmm_wait_fd *fds, unsigned max);

    int (*open)(void *stack, struct dmm_sock *sock, const struct dmm_open *open, void **ssock);
    /* Port 0: the stack chooses. `bound` gets the address in use. */
    int (*bind)(void *ssock, const struct dmm_addr *addr, struct dmm_addr *bound);
    int (*listen)(void *ssock, int backlog); /* may be called again to change the backlog */
    /* Stream: 0 means begun; connected() or error() follows in a later turn. Datagram: sets the
     * peer at once (family 0: dissolves it). `local` gets the address in use. */
    int (*connect)(void *ssock, const struct dmm_addr *peer, struct dmm_addr *local);
    void (*send_ready)(void *ssock);    /* bytes (a datagram) were added */
    void (*receive_space)(void *ssock); /* the app took bytes; offer the window */
    void (*accept_ready)(void *ssock);  /* the app accepted: there is room in the queue again */
    int (*shutdown)(void *ssock,
                    int how); /* SHUT_RD, SHUT_WR (after the ring's bytes), SHUT_RDWR */
    void (*close)(void *ssock, enum dmm_close how);
    /* `level` and `name` are Linux's. -ENOPROTOOPT: the stack does not have it. docs/stack-abi.md
     * says which options the host and the shim answer themselves. getsockopt: *len is the room,
     * then the length. */
    int (*setsockopt)(void *ssock, int level, int name, const void *value, uint32_t len);
    int (*getsockopt)(void *ssock, int level, int name, void *value, uint32_t *len);

    void (*socket_info)(void *ssock, struct dmm_socket_info *info);
    void (*stats)(void *stack, dmm_stat_fn *emit, void *arg);
};

#endif
