/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node: one tcpip instance with a host of the test's own: a virtual clock, seeded random numbers,
 * byte rings in memory, one port whose frames go to a function of the test.
 *
 * Time passes only by the test's hand. Sockets record what the stack told them. A node checks the
 * promises of sidecar/stack.h that it can see: released() once and only after close, nothing for a
 * socket after that, no more consumed than was written.
 */
#ifndef DMM_TESTS_TCP_NODE_H
#define DMM_TESTS_TCP_NODE_H

#include "sidecar/tcpip/tcpip.h"

#define MS  1000000ULL
#define SEC 1000000000ULL

#define NODE_ACCEPTED 64
#define FRAME_MAX     (70 * 1024)

struct node;

struct dmm_sock {
    struct node *node;
    struct tcpip_socket *s;
    uint8_t *rx, *tx;
    uint32_t rx_len, rx_cap; /* unread bytes */
    uint32_t tx_len, tx_cap; /* bytes not consumed */
    uint64_t rx_total, tx_total;
    uint32_t tx_sent; /* as tx_sent() told; moves down with what is consumed */
    uint32_t sink;    /* not 0: rx is counted and thrown away */
    bool connected, eof, closed, released, listening;
    int error, soft_error;
    struct dmm_sock *accepted[NODE_ACCEPTED];
    unsigned n_accepted, accept_limit;
    struct dmm_sock *next; /* all of the node */
};

typedef void node_transmit_fn(struct node *node, const uint8_t *frame, uint32_t len,
                              const struct dmm_tx_frame *meta);

struct node {
    struct dmm_host host; /* first */
    struct tcpip *ip;
    struct tcpip_config config; /* set before node_start() */
    uint64_t *clock;
    uint64_t random;
    struct dmm_port_info port;
    struct dmm_stack_address addresses[2];
    struct dmm_stack_route routes[2];
    node_transmit_fn *transmit;
    void *arg;
    bool blocked;    /* the port takes no frames */
    uint32_t rx_cap; /* of new sockets */
    struct dmm_sock *socks;
    unsigned n_alive; /* sockets not released */
};

/* `last`: 10.0.0.<last> and fd00::<last>, MAC 02:00:00:00:00:<last>. */
void node_init(struct node *node, uint8_t last, uint64_t *clock, uint64_t seed,
               node_transmit_fn *transmit, void *arg);
void node_start(struct node *node);
/* Destroys the instance and frees all; fails the test if a promise was broken. */
void node_stop(struct node *node);
/* Polls until there is nothing to do at this time. */
void node_poll(struct node *node);
void node_frame(struct node *node, const struct dmm_frame *frame);
void node_frames(struct node *node, const struct dmm_frame *frames, unsigned n);
/* What the instance still holds though all sockets are closed; NULL: nothing. */
const char *node_holds(const struct node *node);

struct dmm_addr node_addr(uint16_t family, uint8_t last, uint16_t port);
struct dmm_sock *node_socket(struct node *node, uint16_t family, uint16_t type);
/* NULL if a limit of the instance is reached. */
struct dmm_sock *node_try_socket(struct node *node, uint16_t family, uint16_t type);
int node_bind(struct dmm_sock *sock, uint8_t last, uint16_t port, uint16_t family);
struct dmm_sock *node_listen(struct node *node, uint16_t family, uint16_t port, int backlog);
/* -errno of the call. */
int node_connect(struct dmm_sock *sock, uint16_t family, uint8_t last, uint16_t port);
void node_write(struct dmm_sock *sock, const void *data, uint32_t len);
/* Takes up to `len` bytes; returns how many. */
uint32_t node_read(struct dmm_sock *sock, void *data, uint32_t len);
void node_close(struct dmm_sock *sock, enum dmm_close how);
int node_setsockopt(struct dmm_sock *sock, int level, int name, int value);
int node_getsockopt(struct dmm_sock *sock, int level, int name);

#endif
