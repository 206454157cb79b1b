/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_host: a host for any stack behind the stack ABI, in one process, for tests.
 *
 * It keeps the ABI's promises (sidecar/stack.h) and checks the stack's: a service that is called
 * for a released socket, twice-told events, bytes beyond what was offered, a frame whose lengths or
 * partial checksum are wrong: each fails the test through fake_fail().
 *
 * Time. The clock is virtual: fake_run() turns all hosts until a condition holds, and when nothing
 * is left to do moves the clock to the next deadline, so minutes of timers cost nothing. A host
 * with a link out of the process runs in real time instead.
 *
 * Links. A port's frames go to a port of another host (fake_link()), to a socket that another
 * process reads (fake_link_fd()), to a real port of the sidecar (fake_link_device()), to a script
 * (port->script), or nowhere. A link can lose, reorder
 * and delay, and can be a plain wire: no offloads, merged frames split, checksums completed.
 *
 * Sockets. struct dmm_sock is the app's side too: fake_write(), fake_read(), fake_accept() do what
 * the shim would. A socket stays readable for the test until fake_destroy().
 *
 * One thread. All functions fail the test rather than return what a test would have to check,
 * except those that say what they return.
 */
#ifndef DMM_TESTS_UNIT_SIDECAR_FAKE_HOST_H
#define DMM_TESTS_UNIT_SIDECAR_FAKE_HOST_H

#include "sidecar/port/port.h"
#include "sidecar/stack.h"

#define FAKE_PORTS   4
#define FAKE_ADDRS   8
#define FAKE_SECOND  1000000000ull
#define FAKE_RING    (256u << 10)
#define FAKE_BACKLOG 128u

struct fake_host;

struct fake_frame {
    struct fake_frame *next;
    uint64_t due; /* when it arrives */
    struct dmm_frame frame;
    uint8_t data[];
};

struct fake_faults {
    unsigned lose_ppm, reorder_ppm; /* of a million frames */
    uint64_t delay;                 /* ns, of every frame */
    bool wire;                      /* as a cable: segmented, with complete checksums */
};

struct fake_port {
    struct fake_host *host;
    unsigned index;
    struct dmm_port_info info;
    struct dmm_stack_address addresses[FAKE_ADDRS];
    struct dmm_stack_route routes[FAKE_ADDRS];

    struct fake_port *peer;
    int fd; /* -1: none */
    struct dmm_port *device;
    /* Sees every frame that the stack sends; true: the frame goes no further. */
    bool (*script)(struct fake_port *port, const struct dmm_frame *frame, void *arg);
    void *script_arg;
    struct fake_faults faults;
    unsigned full;  /* this many transmits more are answered with -EAGAIN */
    bool was_full;  /* port_writable() is due */
    bool unchecked; /* frames the stack sends are not verified (speed) */

    struct fake_frame *first, *newest; /* to be given to the stack, by `due` */
    uint64_t sent, received, lost, gso_sent;
};

struct dmm_sock {
    struct dmm_sock *next;
    struct fake_host *host;
    void *ssock;
    uint16_t family, type;
    struct dmm_addr local, peer;

    bool connected, eof, closed, released;
    int error, soft_error; /* as told; 0: none */

    /* byte rings, or for datagrams queues */
    uint32_t ring_size;
    uint8_t *rx, *tx;
    uint64_t rx_head, rx_tail, tx_head, tx_tail; /* head: written, tail: read */
    struct fake_datagram *rx_first, **rx_last, *tx_first, **tx_last;

    /* listener */
    uint32_t queue_max, queue_len;
    struct dmm_sock *queue_first, *queue_next;
};

struct fake_datagram {
    struct fake_datagram *next;
    struct dmm_datagram head;
    uint8_t data[];
};

struct fake_host {
    struct dmm_host services; /* first: what the stack gets */
    const struct dmm_stack_ops *ops;
    void *stack;
    uint64_t now;
    bool real_time;
    bool no_transmit; /* within create and destroy */
    bool flushed;     /* no real port holds frames back */
    uint32_t ring_size;
    unsigned n_ports;
    struct fake_port ports[FAKE_PORTS];
    struct dmm_sock *socks;
    uint64_t random;
    char log[512]; /* the last line that the stack logged */
};

/* Ends the test with this message (cmocka's fail_msg); may be replaced for processes that have no
 * cmocka around them. */
typedef void fake_fail_fn(const char *file, int line, const char *fmt, ...);
extern fake_fail_fn *fake_fail __attribute__((format(printf, 3, 4), noreturn));
#define FAKE_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fake_fail(__FILE__, __LINE__, "%s", #condition);                                       \
    } while (0)

/* ---- hosts, ports, links ---- */

void fake_init(struct fake_host *host);
/* Adds a port, MTU 1500, all offloads, with MAC 02:00:00:00:00:`n`. */
struct fake_port *fake_add_port(struct fake_host *host, uint8_t n);
void fake_add_address(struct fake_port *port, const char *ip, uint8_t prefix_len);
/* `gateway` NULL: on link. */
void fake_add_route(struct fake_port *port, const char *prefix, const char *gateway);
void fake_link(struct fake_port *a, struct fake_port *b);
void fake_link_fd(struct fake_port *port, int fd);
/* Joins it to a real port once its link is up: its addresses, MAC, MTU and offloads are the real
 * port's, and time is real. Owned by the caller, who destroys it after the stack. */
void fake_link_device(struct fake_port *port, struct dmm_port *device);
/* Queues a frame for the stack, as if it had come in. */
void fake_inject(struct fake_port *port, const void *data, uint32_t len, uint8_t flags);
void fake_inject_frame(struct fake_port *port, const struct dmm_frame *frame);

/* Creates the stack. Returns 0 or its errno; err[256] gets its message. */
int fake_create(struct fake_host *host, const struct dmm_stack_ops *ops, const char *options,
                char err[256]);
/* Closes what is open (abort), waits for all to be released, destroys the stack, frees. */
void fake_destroy(struct fake_host *host);

/* ---- running ---- */

/* One turn. Returns how much was done. */
unsigned fake_turn(struct fake_host *host);
/* Turns the hosts (NULL-terminated) until done(arg), at most `limit` ns. Returns whether it came.
 */
bool fake_run(struct fake_host *const *hosts, bool (*done)(void *arg), void *arg, uint64_t limit);
/* The same for one host and a flag, a byte count or nothing to wait for. */
bool fake_run_for(struct fake_host *host, uint64_t duration);
bool fake_run_until(struct fake_host *host, const bool *flag, uint64_t limit);

/* ---- sockets ---- */

struct dmm_addr fake_addr(const char *ip, uint16_t port);
struct dmm_sock *fake_open(struct fake_host *host, uint16_t family, uint16_t type);
int fake_bind(struct dmm_sock *sock, const char *ip, uint16_t port); /* 0 or a negative errno */
int fake_listen(struct dmm_sock *sock, uint32_t backlog);
int fake_connect(struct dmm_sock *sock, const char *ip, uint16_t port);
struct dmm_sock *fake_accept(struct dmm_sock *listener); /* NULL: none */
/* Return how many bytes went (0: no room, nothing there). */
uint32_t fake_write(struct dmm_sock *sock, const void *data, uint32_t len);
uint32_t fake_read(struct dmm_sock *sock, void *data, uint32_t len);
uint32_t fake_readable(const struct dmm_sock *sock);
uint32_t fake_writable(const struct dmm_sock *sock);
/* `ip` NULL: the connected peer. */
void fake_sendto(struct dmm_sock *sock, const void *data, uint32_t len, const char *ip,
                 uint16_t port);
/* The oldest datagram, to be freed by the caller; NULL: none. */
struct fake_datagram *fake_recvfrom(struct dmm_sock *sock);
int fake_setsockopt(struct dmm_sock *sock, int level, int name, int value);
int fake_getsockopt(struct dmm_sock *sock, int level, int name);
void fake_close(struct dmm_sock *sock, enum dmm_close how);
uint64_t fake_stat(struct fake_host *host, const char *name);

#endif
