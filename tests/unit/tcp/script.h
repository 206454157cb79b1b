/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script: tests of one instance that read like packetdrill.
 *
 *     struct script *s = script_new(NULL);
 *     script_listen(s);
 *     in(s, "S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop,wscale 7>");
 *     out(s, "S. 0:0(0) ack 1 <mss 1460,sackOK,...>");
 *     in(s, ". 1:1(0) ack 1 win 257");
 *     script_accept(s);
 *     write_bytes(s, 1000);
 *     out(s, "P. 1:1001(1000) ack 1");
 *     advance(s, 200);
 *
 * A segment is FLAGS FIRST:END(LEN) [ack N] [win N] [<options>], flags of S F R P E W and '.' for
 * ACK; [ce], [ect0], [noecn] in front name the ECN field. Numbers are relative to the initial
 * sequence numbers, the window is as in the header. Where out() is given no window, options or ECN
 * field, any will do; options, if given, are compared whole; a number there may be `*`; "..." means
 * whatever follows. Payload is bytes of a known pattern, checked both ways.
 *
 * The peer is 10.0.0.2 (fd00::2), port 4000; it answers ARP and neighbour solicitations. The
 * socket under test is s->sock. Each call runs the instance until it has nothing to do.
 */
#ifndef DMM_TESTS_TCP_SCRIPT_H
#define DMM_TESTS_TCP_SCRIPT_H

#include "tests/unit/tcp/node.h"

#define SCRIPT_QUEUE    1024
#define PEER_PORT       4000
#define IN_TOGETHER_MAX 32
#define OUR_PORT        80

#define SCRIPT_RTT_MS 20 /* of script_establish() */

struct script_frame {
    uint8_t *data;
    uint32_t len;
    uint64_t at;
    uint8_t gso;
    uint16_t gso_size;
};

struct script {
    struct node node;
    uint64_t clock;
    uint16_t family;
    struct dmm_sock *listener, *sock;
    uint16_t our_port, peer_port;
    uint32_t our_iss, peer_iss;
    bool our_iss_known;
    uint32_t ts_base; /* our timestamps are told relative to the first */
    bool ts_base_known;
    struct script_frame queue[SCRIPT_QUEUE];
    unsigned head, tail;
    uint64_t mark;            /* time of the last script_mark() */
    uint8_t pending[16][128]; /* answers to ARP and ND, given after the poll */
    uint32_t pending_len[16];
    unsigned n_pending;
};

struct script_setup {
    void (*configure)(struct node *node);
    uint16_t family; /* 0: AF_INET */
};

struct script *script_new(const struct script_setup *setup);
void script_free(struct script *s);

/* Fail the running CMocka test with a readable message. */
void in(struct script *s, const char *segment);
/* Several in one batch, as a port gives them; the list ends with NULL. */
void in_together(struct script *s, const char *const *segments);
/* The same, each in a batch of its own; the instance runs after the last as well. */
void in_one_by_one(struct script *s, const char *const *segments);
void out(struct script *s, const char *segment);
/* The next segment, sent `ms` after script_mark() (give or take `slack_ms`). */
void out_at(struct script *s, uint64_t ms, uint64_t slack_ms, const char *segment);
/* Nothing was sent that out() has not seen. */
void none(struct script *s);
void advance(struct script *s, uint64_t ms);
void script_mark(struct script *s);
/* Forgets what was sent; returns how many segments. */
unsigned drain(struct script *s);

void script_listen(struct script *s);
void script_accept(struct script *s);
/* connect(2) to the peer; the SYN waits for out(). */
void script_connect(struct script *s);
/* A connection as a server: handshake with these options of the peer and window; it takes
 * SCRIPT_RTT_MS. */
void script_establish(struct script *s, const char *peer_syn_options, unsigned window);
void write_bytes(struct script *s, uint32_t len);
/* Reads all; returns how many bytes; fails if they are not the pattern. */
uint32_t read_bytes(struct script *s);
void script_close(struct script *s);
void script_abort(struct script *s);
void script_shutdown(struct script *s, int how);
/* Runs the instance without letting time pass. */
void run(struct script *s);
/* ICMP fragmentation needed (or packet too big) about our segment at relative `seq`. */
void in_too_big(struct script *s, uint32_t seq, uint16_t mtu);
uint64_t counter(struct script *s, const char *name);

#endif
