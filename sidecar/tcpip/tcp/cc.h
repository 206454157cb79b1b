/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cc: congestion control behind one ops table. Policy only: how the window grows and by how much
 * it is cut. When to cut, and how to send while recovering (PRR), is tcp/recovery.c.
 *
 * Invariants: cwnd >= mss; ssthresh >= 2 * mss once set; all in bytes. An algorithm touches only
 * struct cc. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_CC_H
#define DMM_SIDECAR_TCPIP_TCP_CC_H

#include <stdbool.h>
#include <stdint.h>

#define CC_INFINITE 0x7fffffffU

struct cc;

struct cc_ack {
    uint64_t now;     /* ns */
    uint64_t srtt;    /* ns */
    uint32_t acked;   /* bytes newly acknowledged */
    uint32_t snd_una; /* after this ACK */
    uint32_t snd_nxt;
    uint32_t ce_acked; /* of `acked`, bytes that the peer says were marked CE */
    bool cwnd_limited; /* the window was what held sending back (RFC 7661) */
};

struct cc_ops {
    const char *name;
    bool dctcp_ecn; /* wants every CE mark echoed exactly (RFC 8257, 3.2) */
    void (*init)(struct cc *cc);
    /* Not in recovery: grow. */
    void (*acked)(struct cc *cc, const struct cc_ack *ack);
    /* Sees every ACK, in recovery too; may be NULL. */
    void (*observe)(struct cc *cc, const struct cc_ack *ack);
    /* A loss or ECN signal with `flight` bytes out: the new ssthresh. */
    uint32_t (*reduce)(struct cc *cc, uint32_t flight, bool ecn);
    /* The reduction was spurious and is taken back by the caller; may be NULL. */
    void (*undo)(struct cc *cc);
};

struct cc_cubic {
    double w_max, w_est, k, cwnd_prior; /* segments; k in seconds */
    double old_w_max;                   /* for undo */
    uint64_t epoch;                     /* ns; 0: none */
    uint64_t last_ack;
};

struct cc_dctcp {
    double alpha;
    uint32_t window_end;
    uint32_t acked, ce;
    bool started;
};

struct cc {
    const struct cc_ops *ops;
    uint32_t cwnd, ssthresh, mss;
    uint32_t acc; /* bytes acknowledged towards the next increase */
    union {
        struct cc_cubic cubic;
        struct cc_dctcp dctcp;
    };
};

extern const struct cc_ops cc_newreno, cc_cubic, cc_dctcp;

/* By Linux's name, or "newreno" for "reno"; NULL if there is none. */
const struct cc_ops *cc_find(const char *name);
/* Blank separated, as /proc's tcp_available_congestion_control. */
const char *cc_names(void);

/* cwnd as given (bytes), ssthresh infinite. */
void cc_init(struct cc *cc, const struct cc_ops *ops, uint32_t mss, uint32_t cwnd);
/* The algorithm is changed in a live connection: the window stays. */
void cc_switch(struct cc *cc, const struct cc_ops *ops);

/* For the algorithms. Slow start with appropriate byte counting (RFC 5681, 3.1; RFC 3465): returns
 * the bytes that are left over once cwnd reached ssthresh. */
uint32_t cc_slow_start(struct cc *cc, uint32_t acked);
/* RFC 5681's congestion avoidance: one segment per window acknowledged. */
void cc_reno_avoid(struct cc *cc, uint32_t acked);
uint32_t cc_reno_reduce(struct cc *cc, uint32_t flight, bool ecn);

#endif
