/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcb: the state of TCP connections (RFC 9293, 3.3.1) and of the instance's TCP. Internal to tcp/.
 *
 * Variables are named as in RFC 9293, 3.3.1. SND.NXT never goes back: what is sent again is told by
 * the scoreboard. Payload that is sent and not acknowledged, and payload not sent yet, is in the
 * host's ring: the byte of sequence number x is at offset x - snd_una (x > iss), so long as
 * snd_una itself counts no SYN.
 *
 * Who owns what
 *   - a struct tcb with a host handle (s.sock) lives until the host closed it AND the connection
 *     ended; then released() is called and it is freed (tcb_end, tcb_release);
 *   - one without (half open, from a listener) belongs to TCP alone and is freed when it ends;
 *   - TIME-WAIT is kept in the smaller struct time_wait; the tcb is let go at once.
 * A tcb is in the endpoint table from when it has a 4-tuple until it ends; in the bind table while
 * it is bound by bind() or listens; in at most one output list.
 *
 * Any function that may end a connection says so; after it the tcb must not be touched.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_TCB_H
#define DMM_SIDECAR_TCPIP_TCP_TCB_H

#include "sidecar/tcpip/ip.h"
#include "sidecar/tcpip/pool.h"
#include "sidecar/tcpip/ports.h"
#include "sidecar/tcpip/socket.h"
#include "sidecar/tcpip/tcp/cc.h"
#include "sidecar/tcpip/tcp/list.h"
#include "sidecar/tcpip/tcp/options.h"
#include "sidecar/tcpip/tcp/prr.h"
#include "sidecar/tcpip/tcp/rack.h"
#include "sidecar/tcpip/tcp/reassembly.h"
#include "sidecar/tcpip/tcp/rtt.h"
#include "sidecar/tcpip/tcp/scoreboard.h"
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/wire.h"

#define MS_NS  1000000ULL
#define SEC_NS (1000 * MS_NS)

/* The numbers are Linux's, as TCP_INFO shows them. */
enum tcp_state {
    TCPS_ESTABLISHED = 1,
    TCPS_SYN_SENT,
    TCPS_SYN_RECEIVED,
    TCPS_FIN_WAIT_1,
    TCPS_FIN_WAIT_2,
    TCPS_TIME_WAIT,
    TCPS_CLOSED,
    TCPS_CLOSE_WAIT,
    TCPS_LAST_ACK,
    TCPS_LISTEN,
    TCPS_CLOSING,
};

/* A row of the demultiplexing table: first member but one of a tcb, first of a time_wait. */
struct tcp_endpoint {
    struct tcp_endpoint *next; /* in demux_bucket.more */
    uint32_t hash;
    uint16_t local_port, remote_port;
    struct ip_addr local, remote;
    uint8_t state; /* enum tcp_state */
    bool in_table;
};

enum tcb_timer {
    TIMER_RETRANSMIT, /* RTO; persist when nothing is in flight */
    TIMER_RACK,       /* reordering, or tail loss probe */
    TIMER_KEEPALIVE,  /* also the end of FIN-WAIT-2 after close, and CORK's */
    TIMER_PACE,
    TIMER_N,
};

/* How the sender stands: RFC 6675's recovery, RFC 3168's reduction, RFC 6298's timeout. */
enum tcb_recovery { RECOVERY_OPEN, RECOVERY_CWR, RECOVERY_FAST, RECOVERY_LOSS };

/* Whose fault it is that data is not yet acknowledged (TCP_INFO). */
enum tcb_chrono { CHRONO_IDLE, CHRONO_BUSY, CHRONO_RWND, CHRONO_N };

enum {
    /* negotiated */
    TCB_TS = 1 << 0,
    TCB_SACK = 1 << 1,
    TCB_WSCALE = 1 << 2,
    TCB_ECN = 1 << 3,
    /* life */
    TCB_CLOSED_BY_HOST = 1 << 4, /* close() was called: the host will not name it again */
    TCB_FIN_QUEUED = 1 << 5,     /* the application sends no more: FIN after the ring's bytes */
    TCB_FIN_SENT = 1 << 6,       /* fin_seq is valid */
    TCB_FIN_RECEIVED = 1 << 7,   /* rcv_fin is valid; it may lie ahead of rcv_nxt */
    TCB_EOF_TOLD = 1 << 8,
    TCB_PASSIVE = 1 << 9,
    TCB_BOUND = 1 << 10,      /* in the bind table */
    TCB_BOUND_ADDR = 1 << 11, /* bind() named an address */
    /* sending */
    TCB_ACK_NOW = 1 << 12,
    TCB_SYN_NOW = 1 << 13, /* a SYN or SYN-ACK must be sent */
    TCB_PROBE_NOW = 1 << 14,
    TCB_TLP_NOW = 1 << 15,
    TCB_SWS_OVERRIDE = 1 << 16, /* a small segment may go (RFC 9293, 3.8.6.2.1) */
    TCB_ECE = 1 << 17,          /* echo congestion in every ACK until CWR (RFC 3168, 6.1.3) */
    TCB_CWR = 1 << 18,          /* say CWR on the next new data */
    TCB_DCTCP_CE = 1 << 19,     /* RFC 8257, 3.2: DCTCP.CE */
    TCB_TLP_RETRANS = 1 << 20,
    TCB_CWND_LIMITED = 1 << 21,
    TCB_PINGPONG = 1 << 22, /* the application answers: ACKs wait for its data */
    TCB_DSACK = 1 << 23,    /* dsack is to be reported */
    TCB_RWND_LIMITED = 1 << 24,
    /* options */
    TCB_NODELAY = 1 << 25,
    TCB_CORK = 1 << 26,
    TCB_LINGER_ABORT = 1 << 27, /* SO_LINGER with zero: close() resets */
    TCB_COOKIE = 1 << 28,       /* made from a SYN cookie */
    TCB_RX_STALLED = 1 << 29,   /* the ring refused bytes that we hold in reassembly */
    TCB_DEFERRED = 1 << 30,     /* the handshake lacks but data (TCP_DEFER_ACCEPT) */
};

/* TCP_SAVED_SYN: the headers of the SYN that opened a connection, IP's first. */
#define SAVED_SYN_MAX 124
struct saved_syn {
    uint32_t len;
    uint8_t bytes[SAVED_SYN_MAX];
};

/* What a connection in good order needs for each segment comes first: among many connections every
 * line of it is a miss, which tcb_prefetch() asks for ahead. From `iss` on is the rest. */
struct tcb {
    struct tcpip_socket s;
    struct tcp_endpoint ep;
    uint32_t flags;

    /* send sequence space */
    uint32_t snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2;
    uint32_t max_wnd; /* the largest window the peer has offered */
    uint32_t snd_sml; /* end of the last small segment (Nagle after Minshall) */
    uint16_t mss;     /* payload of a segment without options */
    uint8_t snd_wscale, rcv_wscale;

    /* receive sequence space */
    uint32_t rcv_nxt, rcv_adv; /* rcv_adv: the furthest right edge ever offered */
    uint32_t last_ack;         /* the last rcv_nxt that was sent */
    uint32_t rcv_mss;          /* what full-sized segments of the peer carry */
    uint32_t rcv_capacity;     /* the most room the ring has shown */
    uint8_t quick_acks;

    /* recovery */
    uint8_t recovery; /* enum tcb_recovery */
    uint8_t backoffs; /* of RTO or persist */
    uint8_t dup_acks; /* without SACK only (RFC 5681, 3.2) */
    uint8_t probes;   /* keepalive probes unanswered */
    uint8_t tlp_tries;
    uint8_t chrono; /* enum tcb_chrono */
    bool tell_sent; /* TCP_NOTSENT_LOWAT: the host hears what was sent */

    /* timestamps (RFC 7323) */
    uint32_t ts_recent, ts_offset;
    uint64_t ts_recent_at;

    struct reassembly *ooo;
    struct scoreboard sb;
    struct rack rack;
    struct rtt rtt;
    struct cc cc;
    struct net_flow flow;

    uint64_t stalled_at;      /* since when snd_una has not moved with data out (user timeout); 0 */
    struct list_node out;     /* output or blocked list */
    struct list_node delayed; /* delack.c: an ACK waits, until: */
    uint64_t ack_due;

    /* timers: one wheel entry for the earliest; a deadline that moves on leaves it where it is.
     * That it does is seen when the wheel comes to it, in this one line. */
    _Alignas(64) struct wheel_timer timer;
    uint64_t deadline[TIMER_N]; /* 0: off */

    uint64_t pace_next;    /* not before this */
    uint64_t max_pacing;   /* bytes a second; UINT64_MAX none */
    uint64_t idle_since;   /* last transmission of data */
    uint64_t last_receive; /* for keepalive */
    uint64_t confirmed_at; /* net_flow_confirm() was called */

    /* counts for TCP_INFO */
    uint64_t bytes_acked, bytes_received, bytes_sent;
    uint32_t segs_in, segs_out, data_segs_in, data_segs_out;
    uint32_t delivered; /* segments */
    uint32_t rcv_rtt_tsecr;
    uint64_t last_ack_received, last_data_received;
    uint64_t chrono_since, chrono_ns[CHRONO_N];
    int soft_error;

    /* what is rarely needed: opening and closing */
    uint32_t iss, irs;
    uint32_t fin_seq, rcv_fin;
    uint16_t peer_mss; /* as the peer's option says */
    uint16_t mtu_cap;  /* what ICMP or black-hole detection allows; 0: no cap */
    uint8_t syn_tries;

    struct list_node half;      /* in the listener's half_open */
    struct tcb *bind_next;      /* bind table */
    struct tcb *listener;       /* half open: whose */
    struct list_node half_open; /* listener: its connections in SYN-RECEIVED */
    uint32_t n_half_open;
    uint32_t backlog;

    /* loss */
    struct sack_block dsack;
    struct prr prr;
    uint32_t recover; /* recovery ends when this is acknowledged */
    uint32_t tlp_end;
    uint32_t undo_cwnd, undo_ssthresh; /* 0: nothing to undo */
    uint32_t undo_bytes;               /* retransmitted and not yet told to be duplicates */
    uint32_t retrans_ts;               /* TSval of the first retransmission (RFC 3522) */

    /* options */
    uint32_t user_timeout_ms; /* 0: default */
    uint32_t keep_idle_s, keep_interval_s;
    int32_t linger2_s;
    uint16_t user_mss; /* TCP_MAXSEG; 0 */
    uint8_t keep_count;
    uint8_t syn_count;
    uint8_t defer_accept;        /* listener: so many times a SYN-ACK waits for data; 0 off */
    bool save_syn;               /* TCP_SAVE_SYN */
    struct saved_syn *saved_syn; /* what came by it; NULL */

    /* counts for TCP_INFO */
    uint64_t bytes_retrans;
    uint32_t total_retrans;
    uint32_t dsack_dups;
    uint32_t delivered_ce;
    uint32_t reord_seen, rcv_ooopack;
    uint32_t rcv_rtt_us;
};
_Static_assert(sizeof(struct tcb) <= 1024, "a connection costs at most 1 KB");

struct time_wait {
    struct tcp_endpoint ep;
    struct list_node link;
    struct tcpip *ip;
    uint64_t expires;
    uint64_t since;
    uint32_t snd_nxt, rcv_nxt, ts_recent, ts_offset;
    uint16_t window;
    bool ts;
};

/* Why an ACK waits, which says for how long. */
enum delack_reason {
    DELACK_FIRST_ANSWER, /* a request was the first that the peer sent */
    DELACK_ORDINARY,
    DELACK_N,
};

/* Connections whose ACK waits for one and the same time, so that the first to come is the first to
 * be due. Several lists, filled in turn, for the reason of WHEEL_WAYS. */
#define DELACK_WAYS 4
struct delack_queue {
    struct list_node waiting[DELACK_WAYS];
    unsigned way; /* of the one that comes next */
    struct wheel_timer timer;
};

#define BIND_BUCKETS 1024
#define OUTPUT_LISTS 16

/* One cache line of the demultiplexing table. The tags, bits of the hashes, tell what a slot can be
 * without looking at it: of many connections each look is a miss. */
#define DEMUX_SLOTS 5
struct demux_bucket {
    _Alignas(64) uint16_t tag[DEMUX_SLOTS];
    struct tcp_endpoint *slot[DEMUX_SLOTS]; /* NULL: free */
    struct tcp_endpoint *more;              /* a chain of what found no slot */
};
_Static_assert(sizeof(struct demux_bucket) == 64, "a bucket is one cache line");

struct tcp {
    struct demux_bucket *table;
    uint32_t table_mask, n_endpoints;
    struct tcb *binds[BIND_BUCKETS];
    struct pool tcbs, time_waits, ranges, saved_syns;
    struct reassembly_store store;
    struct list_node output[OUTPUT_LISTS]; /* connections that have something to send, by port */
    uint32_t blocked;                      /* the set of those lists whose port is full */
    struct list_node time_wait;            /* oldest first */
    struct wheel_timer time_wait_timer;
    struct delack_queue delack[DELACK_N];
    uint32_t n_half_open;
    struct hash_key isn_key, cookie_key;
    struct ports ports;
    const struct cc_ops *cc;
    uint64_t cookies_at;   /* the last time a SYN cookie was sent; 0 never */
    uint64_t challenge_at; /* start of the present second */
    uint32_t challenge_left;
};

/* A segment that arrived. */
struct segment {
    const struct ip_packet *packet;
    uint32_t seq, ack, wnd; /* wnd as in the header */
    uint32_t len;           /* payload */
    uint32_t skip;          /* bytes cut off in front of it */
    const uint8_t *data;    /* what lies with the header: see segment_piece() */
    uint16_t src_port, dst_port;
    uint8_t flags; /* TCP_* */
    struct tcp_options options;
};

/* SEG.LEN of RFC 9293: SYN and FIN count. */
static inline uint32_t segment_len(const struct segment *seg)
{
    return seg->len + ((seg->flags & TCP_SYN) != 0) + ((seg->flags & TCP_FIN) != 0);
}

/* Of how many segments on the wire the port made this one. */
static inline uint32_t segment_count(const struct segment *seg)
{
    const uint32_t size = seg->packet->gso_size;

    return size == 0 || seg->len <= size ? 1 : (seg->len + size - 1) / size;
}

/* The payload from `at` on, as much of it as lies in one piece: *len bytes. at < seg->len. */
static inline const uint8_t *segment_piece(const struct segment *seg, uint32_t at, uint32_t *len)
{
    const uint8_t *const *pieces = seg->packet->pieces;
    const uint32_t size = seg->packet->gso_size;
    const uint32_t from = seg->skip + at;

    *len = seg->len - at;
    if (pieces == NULL)
        return seg->data + from;
    if (size - from % size < *len)
        *len = size - from % size;
    return pieces[from / size] + from % size;
}

static inline struct tcb *tcb_of(struct tcpip_socket *s)
{
    return (struct tcb *)s;
}

static inline struct tcb *tcb_of_endpoint(struct tcp_endpoint *ep)
{
    return list_entry(ep, struct tcb, ep);
}

/* RCV.WND: what the peer may send from RCV.NXT on. */
static inline uint32_t tcb_offered(const struct tcb *t)
{
    return seq_gt(t->rcv_adv, t->rcv_nxt) ? t->rcv_adv - t->rcv_nxt : 0;
}

/* With many connections each is cold when its turn comes: ask for its lines before they are used.
 */
static inline void tcb_prefetch(const struct tcb *t)
{
    for (size_t i = 0; i < offsetof(struct tcb, iss); i += 64)
        __builtin_prefetch((const char *)t + i);
}

static inline struct tcp *tcp_of(const struct tcb *t)
{
    return t->s.ip->tcp;
}

/* ---- demux.c: endpoint and bind tables ---- */

int demux_create(struct tcp *tcp);
void demux_destroy(struct tcp *tcp);
struct tcp_endpoint *demux_find(struct tcpip *ip, const struct ip_addr *local, uint16_t local_port,
                                const struct ip_addr *remote, uint16_t remote_port);
/* What the endpoint of that hash may be, for who looks ahead: nothing of it has been looked at. */
struct tcp_endpoint *demux_candidate(const struct demux_bucket *bucket, uint32_t hash);
/* Sets the hash and puts it in. */
void demux_add(struct tcpip *ip, struct tcp_endpoint *ep);
void demux_remove(struct tcp *tcp, struct tcp_endpoint *ep);
/* The listener for a destination: exact address before wildcard; SO_REUSEPORT spreads by source. */
struct tcb *demux_listener(struct tcpip *ip, const struct ip_addr *local, uint16_t port,
                           const struct ip_addr *remote, uint16_t remote_port, uint8_t in_port);
/* Whether anyone has bound the port so that `t` (NULL: an ephemeral port) can't; then -EADDRINUSE.
 */
int demux_bind_check(struct tcp *tcp, const struct tcb *t, const struct ip_addr *addr,
                     uint16_t port, bool listening);
void demux_bind(struct tcp *tcp, struct tcb *t);
void demux_unbind(struct tcp *tcp, struct tcb *t);

/* ---- tcb.c: life ---- */

struct tcb *tcb_new(struct tcpip *ip, uint8_t family);
/* Sets the tuple-dependent parts (ISS, timestamp offset) and puts it into the table. */
void tcb_set_tuple(struct tcb *t, const struct ip_addr *local, uint16_t local_port,
                   const struct ip_addr *remote, uint16_t remote_port);
void tcb_set_state(struct tcb *t, enum tcp_state state);
/* MSS and window from the flow's MTU, once it or the peer's option is known. */
void tcb_update_mss(struct tcb *t);
/* Ends the connection: out of all tables. error: told to the host unless 0 or it has closed. May
 * free t. */
void tcb_end(struct tcb *t, int error);
/* To TIME-WAIT: a struct time_wait takes over. May free t. */
void tcb_time_wait(struct tcb *t);
/* The host's handle goes; frees t. */
void tcb_release(struct tcb *t);
/* Gives back what TCP_SAVED_SYN would tell; nothing if it has been told. */
void tcb_forget_syn(struct tcb *t);
const char *tcp_state_name(enum tcp_state state);

/* ---- delack.c: delayed ACKs (RFC 9293, 3.8.6.3) ---- */

void delack_create(struct tcp *tcp);
/* An ACK is due before long. Does nothing if one waits already. */
void delack_start(struct tcb *t, enum delack_reason why);
/* It was sent, or will not be. */
static inline void delack_stop(struct tcb *t)
{
    list_del(&t->delayed);
}

/* ---- timewait.c ---- */

struct time_wait *time_wait_of_endpoint(struct tcp_endpoint *ep);
void time_wait_free(struct tcpip *ip, struct time_wait *tw);
/* Frees the oldest; there is one. */
void time_wait_free_oldest(struct tcpip *ip);
/* A segment for a connection in TIME-WAIT. True: a SYN for a new incarnation (RFC 6191); tw has
 * been freed and *iss_above is what the new ISS has to exceed. */
bool time_wait_arrives(struct tcpip *ip, struct time_wait *tw, const struct segment *seg,
                       uint32_t *iss_above);
void time_wait_fire(struct tcpip *ip, struct wheel_timer *timer);
/* Whether connect() may take the 4-tuple over (RFC 6191). */
bool time_wait_reusable(const struct tcpip *ip, const struct time_wait *tw);

/* ---- timers.c ---- */

void tcb_timer_set(struct tcb *t, enum tcb_timer which, uint64_t deadline);
void tcb_timer_clear(struct tcb *t, enum tcb_timer which);
void tcb_timer_fire(struct tcpip *ip, struct wheel_timer *timer);
/* After something was sent or acknowledged: RTO, TLP or persist as RFC 6298 and 8985 want. */
void tcb_rearm(struct tcb *t);
void tcb_keepalive_start(struct tcb *t);
/* Nobody will read: the peer's FIN is waited for, but not for ever; with TCP_LINGER2 below zero not
 * at all, as Linux. May end t; false then. */
bool tcb_orphan_fin_wait_2(struct tcb *t);

/* ---- input.c, handshake.c, ack.c, receive.c ---- */

/* LISTEN (RFC 9293, 3.10.7.2). iss_above: 0, or what TIME-WAIT demands. */
void listen_arrives(struct tcb *listener, const struct segment *seg, uint32_t iss_above);
/* SYN-SENT (3.10.7.3). May end t. */
void syn_sent_arrives(struct tcb *t, const struct segment *seg);
/* Asks for all options that the configuration allows. */
void tcb_want_options(struct tcb *t);
/* The handshake of a passive open is done: offers the connection to the host. False: it was not
 * taken, and t may have ended or stays in SYN-RECEIVED. */
bool tcb_accept(struct tcb *t);
void tcb_established(struct tcb *t);
/* The other states. May end t. */
void synchronized_arrives(struct tcb *t, const struct segment *seg);
/* ACK, SACK, ECE and window of an acceptable segment. */
void tcb_ack(struct tcb *t, const struct segment *seg);
/* Text and FIN (3.10.7.4, seventh and eighth). May end t. */
void tcb_text(struct tcb *t, const struct segment *seg);
/* Bytes held back because the ring was full: try again. May end t. */
void tcb_deliver_held(struct tcb *t);
/* What loss detection found: enters recovery. For TIMER_RACK too. */
void tcb_detect_loss(struct tcb *t);
void tcb_enter_recovery(struct tcb *t, enum tcb_recovery how);

/* ---- window.c ---- */

/* The window for an ACK sent now, in bytes, silly windows avoided (3.8.6.2.2). rcv_adv never goes
 * back, and is never beyond what the ring takes unless the ring became smaller. */
uint32_t tcb_receive_window(struct tcb *t);
/* The application has read: whether the window is worth a segment, since it doubles what the peer
 * knows of and is no small step. */
bool tcb_window_worth_telling(struct tcb *t);

/* ---- output.c, segment.c ---- */

/* Puts t on the output list: tcb_output() runs for it in this turn's poll. */
void tcb_schedule(struct tcb *t);
/* Sends all that may be sent now. 0, or -EAGAIN when the port is full. */
int tcb_output(struct tcb *t);
/* To the host: how much of its ring was sent once (TCP_NOTSENT_LOWAT). */
void tcb_tell_sent(struct tcb *t);
/* Bytes of data and FIN that wait to be sent for the first time. */
uint32_t tcb_unsent(const struct tcb *t);

/* One segment, or several by GSO: [seq, seq + len) of payload with flags. */
struct tcb_send {
    uint32_t seq, len;
    uint8_t flags;
    bool retransmit;
};
int tcb_send_segment(struct tcb *t, const struct tcb_send *send);
/* Largest payload of one frame: whole segments up to what the port segments. */
uint32_t tcb_max_payload(const struct tcb *t);
/* Bytes a second that pacing allows now; UINT64_MAX: as fast as it goes. */
uint64_t tcb_pacing_rate(const struct tcb *t);
/* The MSS that our SYN names (RFC 9293, 3.7.1). */
uint16_t tcb_advertised_mss(const struct tcb *t);
/* How many segments a payload of `len` bytes is on the wire. */
uint32_t tcb_segments(const struct tcb *t, uint32_t len);
/* Bytes of options a data segment carries now. */
unsigned tcb_options_len(const struct tcb *t);
int tcb_send_ack(struct tcb *t);
/* An ACK that asks for one (keepalive, window probe): sequence number SND.UNA - 1. */
int tcb_send_probe(struct tcb *t);
void tcb_send_reset(struct tcb *t);
/* SYN, or SYN-ACK in SYN-RECEIVED. */
int tcb_send_syn(struct tcb *t);
/* RFC 5961, 7: at most challenge_rate a second over all connections. */
void tcb_challenge_ack(struct tcb *t);
bool tcp_challenge_allowed(struct tcpip *ip);
/* To a segment that has no connection (3.10.7.1). */
void tcp_reply_reset(struct tcpip *ip, const struct segment *seg);

/* A bare header in answer to a segment, without a connection: cookies, TIME-WAIT. */
struct tcp_bare {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    uint32_t seq, ack;
    uint16_t window;
    uint8_t flags, tos;
    struct tcp_options options;
};
void tcp_send_bare(struct tcpip *ip, const struct tcp_bare *bare);

/* ---- socket.c, sockopt.c, info.c ---- */

extern const struct tcpip_socket_ops tcb_socket_ops;
int tcb_setsockopt(struct tcpip_socket *s, int level, int name, const void *value, uint32_t len);
int tcb_getsockopt(struct tcpip_socket *s, int level, int name, void *value, uint32_t *len);
/* From now on the sender is in this state. */
void tcb_chrono(struct tcb *t, enum tcb_chrono state);
void tcb_get_tcp_info(struct tcb *t, void *value, uint32_t *len);

/* Timestamp of now in this connection's clock. */
uint32_t tcb_ts_now(const struct tcb *t);

#endif
