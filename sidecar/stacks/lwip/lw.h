/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lw: what the files of the lwip stack share. lwIP 2.1.3 of Debian (liblwip0) behind the stack ABI,
 * on its raw API, on the worker's thread: no tcpip thread, no lock, no clock of its own.
 *
 *     instance.c  ops table, life cycle, timers, statistics
 *     config.c    the instance's JSON options
 *     calls.c     loads liblwip                     hooks.c   what lwIP calls is redirected to
 *     netif.c     ports, addresses, routes          frame.c   frames in and out, offloads
 *     socket.c    open, bind, close                 addr.c    addresses
 *     tcp.c       connections                       tcp_io.c  their bytes
 *     listen.c    listeners and accept              udp.c     datagrams
 *     option.c    socket options, TCP_INFO          icmp.c    ICMP errors for sockets
 *
 * Limits that are lwIP's: no selective acknowledgement, no path MTU discovery over IPv4, an MSS of
 * at most 1460, timers in steps of 250 ms, ten neighbours for each family, connections searched in
 * a list; routes to its own prefixes and a default one; one IPv4 address for each port.
 *
 * Invariants
 *   - Only lw_stack_current (hooks.c) is global besides `lw` (calls.h): at most one instance lives.
 *   - A socket owns its pcb exactly while s->tcp, s->listener or s->udp is set; the pcb's callback
 *     argument is then the socket. It is detached before lwIP may free the pcb on its own: after
 *     tcp_close(), and as soon as both directions are closed (lwIP frees a pcb in TIME-WAIT without
 *     telling).
 *   - Whoever calls tcp_abort() from a TCP callback returns ERR_ABRT.
 *   - L4 checksums are the port's business, never lwIP's, except for IP fragments and for frames
 *     whose checksum nobody has verified (lw_verify_checksums()).
 */
#ifndef DMM_SIDECAR_STACKS_LWIP_LW_H
#define DMM_SIDECAR_STACKS_LWIP_LW_H

#include "sidecar/stack.h"
#include "sidecar/stacks/built_in.h"
#include "sidecar/stacks/lwip/calls.h"

#define LW_NS_PER_MS 1000000u

/* Bytes of L2, and the largest segment that lwIP's 16-bit packet lengths allow with all headers. */
#define LW_ETH_HLEN    14
#define LW_MAX_SEGMENT (65535 - LW_ETH_HLEN - 40 - 20)

struct lw_config {
    bool tcp_nodelay;        /* of new sockets */
    bool tso;                /* segments beyond the MSS where the port splits them */
    uint32_t receive_window; /* bytes offered at most; lwIP's window scale is 1: < 128 KiB */
    uint32_t send_buffer;    /* bytes of unacknowledged data per connection */
};

struct lw_stats {
    uint64_t rx_frames, rx_dropped, tx_frames, tx_gso_frames, tx_full, tx_errors;
    uint64_t syn_dropped, accepted, connected, resets, timeouts, retransmits, udp_rx, udp_tx,
        udp_tx_dropped;
};

#define LW_PORT_PREFIXES6 5 /* IPv6 addresses besides the link-local one */

struct lw_port {
    struct lw_stack *stack;
    struct netif netif;
    unsigned index;
    uint32_t offloads;
    uint32_t max_gso_size;
    bool blocked; /* transmit said -EAGAIN, port_writable() will come */
    /* IPv6: what is on link, and the way out for the rest (zero: none) */
    unsigned n_prefixes6;
    struct dmm_prefix prefixes6[LW_PORT_PREFIXES6];
    ip6_addr_t gateway6;
};

struct lw_stack {
    const struct dmm_host *host;
    char name[32];
    struct lw_config config;
    struct lw_stats stats;
    unsigned n_ports;
    struct lw_port *ports;
    struct lw_sock *sockets; /* all that exist, doubly linked */
    struct raw_pcb *icmp, *icmp6;
    uint64_t next_tcp, next_second, next_group; /* timers, ns */
    uint8_t isn_key[16];
    bool started;      /* the ports are up */
    bool silent;       /* being destroyed: nothing may be sent */
    bool loop_pending; /* packets to our own addresses wait in a netif's loop queue */
    uint8_t *scratch;  /* 64 KB, to make a chain of buffers contiguous */
};

enum lw_state { LW_IDLE, LW_BOUND, LW_CONNECTING, LW_CONNECTED, LW_LISTENING, LW_DEAD };

struct lw_options {
    bool nodelay, keepalive, reuseaddr, broadcast, v6only;
    bool mcast_loop;
    uint8_t ttl, tos, mcast_ttl; /* ttl 0: lwIP's default */
    uint8_t bound_port;          /* SO_BINDTODEVICE: port number + 1; 0: any */
    uint32_t keep_idle_ms, keep_intvl_ms, keep_cnt;
};

/* Packets kept in order of arrival, linked through pbuf.next; tot_len is not kept up. */
struct lw_held {
    struct pbuf *first, *last;
    uint32_t bytes;
};

#define LW_MEMBERSHIPS 8

struct lw_sock {
    struct lw_stack *stack;
    struct dmm_sock
        *sock; /* the host's; NULL while an accepted connection waits for its listener */
    struct lw_sock *next, *prev;
    uint16_t family;
    bool stream;
    enum lw_state state;
    struct lw_options options;

    struct tcp_pcb *tcp;
    struct tcp_pcb_listen *listener;
    struct udp_pcb *udp;
    struct dmm_addr local, peer; /* as the app sees them: mapped on AF_INET6 sockets */

    /* connection */
    struct lw_held held; /* received, the ring has no room */
    bool fin_received, eof_told, rd_shut, wr_shut, fin_sent, closing;
    uint16_t gso_segment; /* 0, or the largest segment that the port splits for this connection */
    uint32_t retransmits;
    uint64_t connect_time;
    uint32_t rtt_us; /* of the handshake; lwIP itself counts in half seconds */

    /* listener: connections that are complete but have no room in the host's queue */
    struct lw_sock *parent; /* of such a connection */
    struct lw_sock *waiting_first, *waiting_last, *waiting_next;
    uint32_t n_waiting;
    uint32_t half_open; /* upper bound of connections in SYN-RECEIVED */

    /* datagrams */
    bool tx_blocked;
    unsigned n_memberships;
    struct {
        ip_addr_t group;
        struct netif *netif;
    } memberships[LW_MEMBERSHIPS];
};

/* config.c: fills `config` from JSON text. 0, or a negative errno with a message naming the key. */
int lw_config_parse(struct lw_config *config, const char *text, char *err, size_t errlen);

/* hooks.c */
extern struct lw_stack *lw_stack_current;
extern const struct lw_hook lw_hooks[];
extern const size_t lw_n_hooks;
/* While true, lwIP computes and verifies TCP and UDP checksums itself. */
void lw_verify_checksums(bool verify);
/* tcp_output(), with a segment that does not fit the window split so that its first part does. */
err_t lw_tcp_output(struct tcp_pcb *pcb);

/* addr.c */
void lw_addr_to_ip(const struct dmm_addr *addr, ip_addr_t *ip); /* a mapped address becomes IPv4 */
/* To bind to: `::` without v6only is every address of both families. */
void lw_addr_to_local_ip(const struct dmm_addr *addr, bool v6only, ip_addr_t *ip);
void lw_addr_from_ip(struct dmm_addr *addr, const ip_addr_t *ip, uint16_t port);
/* As an app on a socket of `family` sees it. */
void lw_addr_for_family(struct dmm_addr *addr, uint16_t family);
bool lw_same_ip(const ip_addr_t *a, const ip_addr_t *b); /* zones not looked at */
int lw_errno(err_t err);                                 /* a positive errno */

/* netif.c */
int lw_ports_create(struct lw_stack *stack, char *err, size_t errlen);
void lw_ports_destroy(struct lw_stack *stack);
void lw_ports_start(struct lw_stack *stack);    /* at the first op after create */
void lw_ports_bring_up(struct lw_stack *stack); /* and down, as their links are */
void lw_port_refresh(struct lw_port *port);     /* MTU and offloads, again */
/* The port towards `ip`, NULL without a route. */
struct lw_port *lw_route(struct lw_stack *stack, const ip_addr_t *ip);
/* The same, by the port that the socket is bound to, if it is. */
struct lw_port *lw_sock_route(const struct lw_sock *s, const ip_addr_t *ip);
/* The address that packets to `ip` leave `port` with; false if it has none. */
bool lw_source(struct lw_port *port, const ip_addr_t *ip, ip_addr_t *source);
bool lw_is_broadcast(const struct lw_port *port, const ip_addr_t *ip);
bool lw_is_local(struct lw_stack *stack, const ip_addr_t *ip);

/* frame.c */
void lw_input(struct lw_port *port, const struct dmm_frame *frame);
err_t lw_link_output(struct netif *netif, struct pbuf *p);
/* For packets to ourselves, which come by lwIP's loop: a SYN as from outside. */
err_t lw_loop_input(struct pbuf *p, struct netif *netif);
/* Completes the TCP or UDP checksum of the IP packet p. */
void lw_complete_checksum(struct pbuf *p);

/* socket.c */
struct lw_sock *lw_sock_new(struct lw_stack *stack, struct dmm_sock *sock);
void lw_sock_free(struct lw_sock *s);    /* unlinks; the host is not told */
void lw_sock_release(struct lw_sock *s); /* tells the host, then frees */
/* Tries bind(pcb, port) on random ephemeral ports (RFC 6056, 3.3.1). */
err_t lw_bind_ephemeral(struct lw_sock *s, err_t (*bind)(struct lw_sock *s, uint16_t port));
int lw_open(void *stack, struct dmm_sock *sock, const struct dmm_open *open, void **ssock);
int lw_bind(void *ssock, const struct dmm_addr *addr, struct dmm_addr *bound);
int lw_connect(void *ssock, const struct dmm_addr *peer, struct dmm_addr *local);
void lw_send_ready(void *ssock);
void lw_close(void *ssock, enum dmm_close how);

/* tcp.c */
int lw_tcp_bind(struct lw_sock *s, const struct dmm_addr *addr);
int lw_tcp_connect(struct lw_sock *s, const ip_addr_t *ip, uint16_t port);
void lw_tcp_attach(struct lw_sock *s, struct tcp_pcb *pcb);
void lw_tcp_detach(struct lw_sock *s);
void lw_tcp_close(struct lw_sock *s, enum dmm_close how);
void lw_tcp_established(struct lw_sock *s);
void lw_tcp_fail(struct lw_sock *s, int error); /* an ICMP error that ends a connect */
int lw_shutdown(void *ssock, int how);

/* tcp_io.c */
void lw_tcp_send(struct lw_sock *s);    /* ring to lwIP, then FIN if the app has shut down */
void lw_tcp_deliver(struct lw_sock *s); /* held packets to the ring, the window, end of file */
void lw_receive_space(void *ssock);
err_t lw_tcp_recv_cb(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err);
err_t lw_tcp_sent_cb(void *arg, struct tcp_pcb *pcb, u16_t len);
void lw_held_free(struct lw_held *held);

/* listen.c */
int lw_listen(void *ssock, int backlog);
void lw_accept_ready(void *ssock);
void lw_listener_close(struct lw_sock *s);
void lw_waiting_remove(struct lw_sock *s);
struct lw_syn {
    ip_addr_t src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq;
};
/* Whether a SYN may make another connection; it may take the place of one in TIME-WAIT. */
bool lw_admit_syn(struct lw_stack *stack, const struct lw_syn *syn);

/* udp.c */
int lw_udp_bind(struct lw_sock *s, const struct dmm_addr *addr);
int lw_udp_connect(struct lw_sock *s, const struct dmm_addr *peer);
void lw_udp_send(struct lw_sock *s);
void lw_udp_close(struct lw_sock *s);
int lw_udp_membership(struct lw_sock *s, const ip_addr_t *group, struct netif *netif, bool join);

/* option.c */
void lw_options_init(struct lw_sock *s);
void lw_options_apply(struct lw_sock *s); /* to the pcb that the socket has */
int lw_setsockopt(void *ssock, int level, int name, const void *value, uint32_t len);
int lw_getsockopt(void *ssock, int level, int name, void *value, uint32_t *len);
void lw_socket_info(void *ssock, struct dmm_socket_info *info);

/* icmp.c */
int lw_icmp_start(struct lw_stack *stack);
void lw_icmp_stop(struct lw_stack *stack);

#endif
