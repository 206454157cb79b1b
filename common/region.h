/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region: the layout of a client's shared memory, the only memory that app and sidecar share.
 *
 * One sealed memfd per client (a process and the children that it forks), made and sized by the
 * sidecar, mapped at any address by each side. Offsets, never pointers. The sidecar holds no lock
 * here and waits for nothing here.
 *
 *   0        struct dmm_region          constants, then words of the worker
 *   policy   struct dmm_policy x 2      the mapping and the instances, double-buffered
 *   channels struct dmm_channel x N     app -> sidecar commands, and the replies
 *   waitsets struct dmm_waitset x N     sidecar -> app: lists of sockets with news
 *   sockets  struct dmm_socket x N      one per socket of the client
 *   heap     byte rings                 power-of-two sized blocks, given out by the sidecar
 *
 * Trust. The app may write anything anywhere at any time. The sidecar keeps its truth in private
 * memory, reads each word that the app writes once into a local, and checks it there. Words that
 * only the sidecar writes are never read back by it. The app trusts the sidecar.
 *
 * Who writes what is said at each field: [S] the sidecar's worker, [A] the app, [A+S] both by
 * atomic read-modify-write. Fields of one writer share cache lines only with fields of the same
 * writer. Every _Atomic field names its memory order: rel/acq means stored with release, loaded
 * with acquire by the other side. "seq" marks the two store-then-load handshakes (armed, below),
 * which need sequential consistency on both sides.
 *
 * Stream positions (heads and tails) are byte counts modulo 2^32; a ring of `size` bytes (a power
 * of two, at most 2^30) keeps position p at p & (size - 1). tail - head is what it holds.
 */
#ifndef DMM_COMMON_REGION_H
#define DMM_COMMON_REGION_H

#include "common/addr.h"
#include "common/mapping.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DMM_CACHE_LINE     64
#define DMM_REGION_MAGIC   UINT64_C(0x31304d4d442d4f49) /* "IO-DMM01" */
#define DMM_REGION_VERSION 3
#define DMM_NONE           UINT32_MAX /* no index */

_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
               "shared words need lock-free atomics");

/* ---- commands: app -> sidecar ---- */

/*
 * sync: has a reply (reply slot given). async: none, `reply` is DMM_NO_REPLY. either: as the app
 * chooses.
 *
 * A command on a socket that the process does not hold (its other thread may just have closed it)
 * is refused: -EBADF if it is sync, else it is dropped and counted. What no correct app does (an
 * index beyond a table, another process's waitset, an unknown op, a sync command without a reply
 * slot, ring words that can't be) is a violation, which ends the client.
 */
enum dmm_command_op {
    DMM_CMD_NONE,
    DMM_CMD_OPEN,       /* sync   instance, open{family,type,protocol,flags,peer}; -> reply.socket.
                         *        A peer (family not 0, streams only) connects it too, as CONNECT
                         *        does, in one round trip; what fails leaves no socket */
    DMM_CMD_BIND,       /* sync   addr -> reply.addr, reply.socket: the index that stands for the
                         *        socket from now on (another one only after DMM_OPEN_ADOPT) */
    DMM_CMD_LISTEN,     /* sync   value = backlog */
    DMM_CMD_CONNECT,    /* either addr -> reply.addr = local; a stream's result comes by `state`.
                         *        Without a reply, what fails at once ends the socket: so_error */
    DMM_CMD_SEND,       /* async  bytes or datagrams were added to the transmit ring */
    DMM_CMD_GROW,       /* async  value = transmit ring bytes wanted; the answer is tx_offer (a
                         *        larger ring, or none where there is no memory), then DMM_EV_OUT if
                         *        tx_nospace was set. A socket starts with tx_ring 0; the sidecar may
                         *        offer its first ring unasked */
    DMM_CMD_RECEIVED,   /* async  the app took bytes and rx_notify had been set */
    DMM_CMD_ACCEPTED,   /* async  this process took `socket` from its listener's queue */
    DMM_CMD_SHUTDOWN,   /* async  value = SHUT_RD, SHUT_WR, SHUT_RDWR */
    DMM_CMD_CLOSE,      /* async  this process lets go, its watches on the socket end; the last
                         *        holder's closes the connection; value: 1 = abort (SO_LINGER 0) */
    DMM_CMD_SETSOCKOPT, /* either opt{level,name,len,value} */
    DMM_CMD_GETSOCKOPT, /* sync   opt{level,name,len} -> reply.len, reply.data */
    DMM_CMD_WATCH,      /* async  watch{slot,waitset,events}: news of `socket` go to that waitset,
                         *        what is true at that moment (readable, connected, over) first.
                         *        Again on a watched slot: with new events, likewise */
    DMM_CMD_UNWATCH,    /* async  watch{slot}: then owner = 0 */
    DMM_CMD_WATCH_MORE, /* sync   asks for watch slots beyond the inline ones -> watches_ext */
    DMM_CMD_COUNT,
};

enum {
    DMM_OPEN_ADOPT = 1
}; /* OPEN+BIND+LISTEN again after a restart of the sidecar: see proto.h; OPEN's value: its index
      then */

#define DMM_OPT_INLINE 24

/* One cache line, so that one transfer between cores carries a command. */
struct dmm_command {
    _Atomic uint32_t turn; /* [A+S] rel/acq: whose turn this entry is; see ring.h */
    uint8_t op;            /* enum dmm_command_op */
    uint8_t instance;      /* OPEN */
    uint16_t reply;        /* reply slot, or DMM_NO_REPLY */
    uint32_t seq;          /* sync: the value that reply.done gets */
    uint32_t socket;
    uint32_t value;
    uint32_t waitset; /* sync: whose doorbell tells of the reply */
    union {
        struct dmm_addr addr;
        struct {
            uint16_t family, type, protocol, flags;
            struct dmm_addr peer;
        } open;
        struct {
            int32_t level, name;
            uint32_t len;
            uint8_t value[DMM_OPT_INLINE];
        } opt;
        struct {
            uint32_t slot, waitset, events;
        } watch;
        uint8_t bytes[40];
    };
};
#define DMM_NO_REPLY UINT16_MAX
_Static_assert(sizeof(struct dmm_command) == 64, "a command is one cache line");

struct dmm_reply {
    _Atomic uint32_t done; /* [S] rel/acq: equals the command's seq when the rest is valid */
    int32_t result;        /* 0 or more: success; else a negative errno */
    uint32_t socket;
    uint32_t len; /* of data, GETSOCKOPT */
    struct dmm_addr addr;
    uint8_t data[280];
};
_Static_assert(sizeof(struct dmm_reply) == 320, "replies keep to cache lines");

#define DMM_CHANNEL_COMMANDS 256
#define DMM_CHANNEL_REPLIES  16
#define DMM_CHANNEL_SPARES   64

/*
 * Spares are stream sockets that the sidecar has opened ahead for the channel's process, which
 * holds them: to connect, the app takes one of the instance and family that it wants (exchange with
 * 0) and sends CONNECT, with no reply to wait for. Their `state` is CONNECTING from the start. The
 * sidecar fills the places again. A word is dmm_spare_word(), or 0: none.
 */
static inline uint32_t dmm_spare_word(uint32_t socket, uint32_t instance, bool ipv6)
{
    return ((socket + 1) & 0xffffff) | instance << 24 | (ipv6 ? 1u << 28 : 0);
}
static inline uint32_t dmm_spare_socket(uint32_t word)
{
    return (word & 0xffffff) - 1;
}
/* What two words of one kind have in common. */
static inline uint32_t dmm_spare_kind(uint32_t word)
{
    return word & ~0xffffffu;
}
_Static_assert(DMM_MAPPING_INSTANCES <= 16, "an instance is four bits of a spare's word");

/*
 * A channel belongs to one process (the sidecar knows which: it gave it out) and may be used by
 * several of its threads. Several producers, one consumer; ring.h has the algorithm.
 */
struct dmm_channel {
    _Alignas(DMM_CACHE_LINE) _Atomic uint32_t reserve; /* [A] relaxed RMW: next entry to fill */
    _Atomic uint32_t replies_used; /* [A] acq/rel RMW: bit i: reply slot i is in use by a thread */
    _Atomic uint32_t stalled; /* [A+S] seq: 1: a producer waits for room on `stalled_waitset` */
    _Atomic uint32_t stalled_waitset; /* [A] rel/acq */
    _Atomic uint32_t owner_pid;       /* [A] relaxed: of a forked child, whose parent asked for the
                                       * channel before it knew; shown to people, trusted for nothing */
    _Alignas(DMM_CACHE_LINE) struct dmm_command commands[DMM_CHANNEL_COMMANDS];
    _Alignas(DMM_CACHE_LINE) struct dmm_reply replies[DMM_CHANNEL_REPLIES];
    _Alignas(DMM_CACHE_LINE) _Atomic uint32_t
        spares[DMM_CHANNEL_SPARES]; /* [A+S] the sidecar: store rel, exchange; the app: CAS acq */
};

/* ---- news: sidecar -> app ---- */

/*
 * A watch says that news of its socket go to a waitset. The app claims a free slot (owner and
 * pending both 0), fills `cookie`, and sends DMM_CMD_WATCH. When something happens the sidecar ORs
 * the kind into `pending`; if that was 0 it links the watch into the waitset's ready list; then, in
 * either case, it rings the doorbell if the waitset is armed. So a watch is in at most one list,
 * once, and nothing can overflow.
 *
 * pending != 0 means "linked in some list": only the app, which takes it off, sets it to 0. So the
 * sidecar never resets `pending`, `next` or a waitset's `ready`, not even when it gives the socket
 * or the waitset out again: whoever gets them takes off what is left and ignores it. The sidecar
 * stores owner = 0 once it will push that watch no more (UNWATCH, WAITSET_FREE, CLOSE by the
 * waitset's process, that process's death, the socket is freed).
 *
 * A ready list is a stack of node ids (dmm_node_id() + 1; 0 ends it): the sidecar pushes by
 * compare-and-swap, the app takes all by exchange and reverses what it took. The app clears
 * `pending` by exchange before it looks at the socket, so no news is lost in between.
 */
struct dmm_watch {
    _Atomic uint32_t pending; /* [A+S] acq_rel RMW: DMM_EV_* since the app last looked */
    _Atomic uint32_t next;    /* [S] relaxed, published by the push: node id + 1 of the next */
    _Atomic uint32_t owner;   /* [A] acq/rel CAS from 0 to waitset + 1; [S] rel: 0: slot free */
    _Atomic uint32_t cookie;  /* [A] the app's own */
};

#define DMM_WATCH_INLINE 4
#define DMM_WATCH_MAX    256 /* slots of one socket, inline ones counted */

/* The low 8 bits are the watch slot, the rest the socket's index. */
static inline uint32_t dmm_node_id(uint32_t socket, uint32_t slot)
{
    return socket << 8 | slot;
}

/* Kinds of news. Values are EPOLL*'s, which are POLL*'s. */
enum {
    DMM_EV_IN = 0x001,     /* bytes, a datagram, a connection to accept, or the end */
    DMM_EV_OUT = 0x004,    /* room after tx_nospace, or connected */
    DMM_EV_ERR = 0x008,    /* so_error was set */
    DMM_EV_HUP = 0x010,    /* both directions are over */
    DMM_EV_RDHUP = 0x2000, /* the peer's FIN */
    /* No news, but a way to watch, in WATCH's events: as EPOLLEXCLUSIVE. Of the watches that say so
     * those get IN and OUT that come up to the first whose waitset is armed; up to the second, if
     * there were two news, and so on. */
    DMM_EV_EXCLUSIVE = 0x4000
};

/*
 * A place where threads of the app wait: a thread's own, or an epoll instance's. Each has a
 * doorbell, a SOCK_STREAM socketpair whose one end the app has: a byte in it means "look again",
 * end of file means that the sidecar is gone. (A socketpair, not an eventfd: the sidecar's send()
 * cannot be made to block by the app, its end tells of the sidecar's death, and a blocking recv()
 * on it has the EINTR, SA_RESTART and SO_RCVTIMEO behaviour of a blocking call on a socket.)
 *
 * Sleeping, app: armed = 1; look at everything once more; sleep; armed = 0.
 * Waking, sidecar: publish the news; if armed was 1, by exchange with 0, send a byte.
 */
struct dmm_waitset {
    _Alignas(
        DMM_CACHE_LINE) _Atomic uint32_t ready; /* [A+S] push: release CAS; take: acq exchange */
    _Atomic uint32_t armed;                     /* [A+S] seq */
};

/* ---- sockets ---- */

/* `state`. Bits only ever get set while the socket lives. */
enum {
    DMM_SS_CONNECTING = 1 << 0,
    DMM_SS_CONNECTED = 1 << 1, /* has been established; local and peer are valid */
    DMM_SS_LISTENING = 1 << 2,
    DMM_SS_EOF = 1 << 3,  /* the peer's FIN: the end comes after what rx holds */
    DMM_SS_DEAD = 1 << 4, /* reset, refused, timed out, instance gone: so_error says which */
};

/* `app_flags`. */
enum {
    DMM_AF_SHUT_RD = 1 << 0,
    DMM_AF_SHUT_WR = 1 << 1,
};

/* A byte ring in the heap, as one word: offset (a multiple of 64) | log2(size). 0: none. */
typedef uint64_t dmm_ring_ref;

static inline uint64_t dmm_ring_offset(dmm_ring_ref ref)
{
    return ref & ~UINT64_C(63);
}
static inline uint32_t dmm_ring_size(dmm_ring_ref ref)
{
    return ref ? UINT32_C(1) << (ref & 31) : 0;
}
#define DMM_RING_MIN (1u << 11)
#define DMM_RING_MAX (1u << 24)

/*
 * Rings grow; they never shrink while they hold bytes.
 *   rx, the sidecar produces: to grow it copies [rx_head, rx_tail) into a larger ring, stores
 * rx_ring (release), and only then rx_tail. The app loads rx_tail (acquire), then rx_ring
 * (acquire): the ring it sees holds all bytes up to the tail it saw. The old one is reused once
 * rx_head has passed the tail of the moment of the change. tx, the app produces: the sidecar offers
 * a larger ring in tx_offer. At its next send the app copies [tx_head, tx_tail) over, stores
 * tx_ring = tx_offer (release), then tx_tail. The sidecar takes nothing but the ring it knows or
 * the one it offered, and frees the old one after.
 *
 * A listener's rx ring holds 32-bit socket indices. Several threads and processes accept: each
 * reads the entry at rx_head, then claims it by compare-and-swap of rx_head to +4, then sends
 * ACCEPTED.
 *
 * A datagram socket's rings hold records: a struct dmm_datagram_header, the payload, zero bytes up
 * to a multiple of 8.
 */
struct dmm_socket {
    /* Line 0: the sidecar's. */
    _Alignas(DMM_CACHE_LINE) _Atomic uint32_t state; /* [S] rel/acq: DMM_SS_* */
    _Atomic uint32_t rx_tail;                        /* [S] rel/acq */
    _Atomic uint32_t tx_head;                        /* [S] rel/acq */
    _Atomic uint32_t generation;  /* [S] rel/acq: +1 each time the slot is reused */
    _Atomic uint64_t rx_ring;     /* [S] rel/acq: dmm_ring_ref */
    _Atomic uint64_t tx_offer;    /* [S] rel/acq: dmm_ring_ref */
    _Atomic uint64_t watches_ext; /* [S] rel/acq: offset of DMM_WATCH_MAX - DMM_WATCH_INLINE more */
    uint8_t instance;             /* [S] fixed before the index is given out, like the next four */
    uint8_t reserved0[3];
    uint16_t family, type, protocol;
    uint16_t reserved1;
    _Atomic uint32_t tx_sent; /* [S] rel/acq: if TCP_NOTSENT_LOWAT is set: up to here the bytes of
                               * the transmit ring have been sent once */

    /* Line 1: the app's; zeroed, like the words of line 2, before the index is given out. */
    _Alignas(DMM_CACHE_LINE) _Atomic uint32_t rx_head; /* [A] rel/acq */
    _Atomic uint32_t tx_tail;                          /* [A] rel/acq */
    _Atomic uint64_t tx_ring;                          /* [A] rel/acq: the one in use */
    _Atomic uint32_t app_flags;                        /* [A] rel/acq RMW: DMM_AF_* */
    /* Locks among the app's own threads and processes, never the sidecar's: 0 free, else process
     * index + 1, bit 31: someone waits (futex). The sidecar frees those of a process that died. */
    _Atomic uint32_t rx_lock; /* [A] acq/rel CAS */
    _Atomic uint32_t tx_lock; /* [A] acq/rel CAS */
    _Atomic uint32_t
        app_private[9]; /* [A] options that the shim answers itself, shared by processes */

    /* Line 2: both; each a rare or one-sided RMW. */
    _Alignas(DMM_CACHE_LINE) _Atomic uint32_t so_error; /* [S] store rel; [A] exchange with 0 */
    _Atomic uint32_t send_queued; /* [A+S] seq RMW: 1: a SEND command is on its way. The app sets it
                                   * by exchange and sends the command if it was 0; the sidecar
                                   * clears it before it reads tx_tail */
    _Atomic uint32_t tx_nospace;  /* [A+S] seq: the app found no room; the sidecar clears it and
                                   * tells  DMM_EV_OUT when a third of the ring is free */
    _Atomic uint32_t rx_notify;  /* [A+S] seq: the sidecar wants RECEIVED when half the ring is free
                                  * (or it is empty); the app clears it by exchange */
    struct dmm_addr local, peer; /* [S] before CONNECTED, LISTENING, or the reply of BIND/CONNECT */

    /* Line 3. */
    _Alignas(DMM_CACHE_LINE) struct dmm_watch watches[DMM_WATCH_INLINE];
};
_Static_assert(sizeof(struct dmm_socket) == 4ul * DMM_CACHE_LINE, "four lines a socket");

/* TCP_NOTSENT_LOWAT: whether a sender with so many unsent bytes is called writable. Linux does so
 * below half of it; 0: no limit. */
static inline bool dmm_notsent_is_low(uint32_t unsent, uint32_t lowat)
{
    return lowat == 0 || 2 * (uint64_t)unsent < lowat;
}

struct dmm_datagram_header {
    uint32_t len; /* of the payload */
    uint32_t ifindex;
    struct dmm_addr peer; /* rx: sender; tx: destination, family 0: the connected one */
    /* tx: source wanted, family 0: any. rx: destination; its scope is ifindex, and in scope_id is,
     * if the socket has SO_RXQ_OVFL, how many datagrams were dropped before this one, else 0. */
    struct dmm_addr local;
    uint8_t ttl, tos; /* tx: 0: the socket's own */
    uint16_t segment; /* not 0: datagrams of so many bytes each in a row, the last may be less. rx,
                       * len 0: the app's mark that a peek has told of it */
    uint32_t stamp;   /* rx: when it came, in us of CLOCK_MONOTONIC, modulo 2^32 */
};
_Static_assert(sizeof(struct dmm_datagram_header) == 64, "records keep 8-byte steps");

static inline uint32_t dmm_datagram_record_size(uint32_t payload)
{
    return (uint32_t)sizeof(struct dmm_datagram_header) + ((payload + 7) & ~7u);
}
#define DMM_DATAGRAM_MAX 65507u
#define DMM_SEGMENTS_MAX 128u /* of one record to send; Linux's UDP_MAX_SEGMENTS */

/* ---- policy ---- */

#define DMM_INSTANCE_ADDRESSES 16

struct dmm_instance_info {
    char type[16];         /* "kernel", "lwip", "tcpip", ... */
    uint32_t capabilities; /* DMM_STACK_TCP and so on (sidecar/stack.h) */
    uint32_t up;
    uint32_t n_addresses;
    struct dmm_addr addresses[DMM_INSTANCE_ADDRESSES]; /* that the instance owns */
};

#define DMM_INSTANCE_PORTS 8

/* What an instance's ports look like to ioctl(SIOCGIF*). Port i is interface i + 1, as in
 * datagrams. */
struct dmm_interfaces {
    uint32_t n_ports;
    struct {
        char name[16]; /* NUL-terminated */
        uint8_t mac[6];
        uint8_t up, reserved;
        uint32_t mtu;
    } ports[DMM_INSTANCE_PORTS];
    /* Of the instance's addresses, in their order. */
    uint8_t port[DMM_INSTANCE_ADDRESSES], prefix_len[DMM_INSTANCE_ADDRESSES];
};

struct dmm_policy {
    struct dmm_mapping mapping; /* instances by name; index is the id in commands */
    struct dmm_instance_info instances[DMM_MAPPING_INSTANCES];
    struct dmm_interfaces interfaces[DMM_MAPPING_INSTANCES];
};

/* ---- the head ---- */

struct dmm_region {
    /* Constants, written before the region is handed out. */
    uint64_t magic;
    uint32_t version;
    uint32_t n_channels, n_waitsets, n_sockets;
    uint64_t size;
    uint64_t policy, channels, waitsets, sockets, heap; /* offsets */

    /* The policy in force is policies[policy_generation & 1]. The sidecar fills the other one, then
     * adds 1. A reader copies, then reads the generation again, and repeats if it has changed. */
    _Alignas(DMM_CACHE_LINE) _Atomic uint32_t policy_generation; /* [S] rel/acq */
    _Atomic uint32_t closed; /* [S] rel/acq: 1: the sidecar has ended this client */

    /* Sleeping, worker: armed = 1; look at everything once more; sleep; armed = 0.
     * Waking, app: publish the command; if armed was 1, by exchange with 0, write the eventfd. */
    _Alignas(DMM_CACHE_LINE) _Atomic uint32_t worker_armed; /* [A+S] seq */
};

/* What a region of these table sizes looks like: fills the constants of *head (all but magic and
 * version) for `heap_size` bytes of rings. Returns the whole size in bytes, a multiple of 4096. */
uint64_t dmm_region_layout(struct dmm_region *head, uint32_t n_channels, uint32_t n_waitsets,
                           uint32_t n_sockets, uint64_t heap_size);

/* For the app: true if the head of a mapping of `size` bytes is one of this version whose tables
 * lie inside it. */
bool dmm_region_check(const struct dmm_region *head, uint64_t size);

static inline struct dmm_policy *dmm_region_policy(struct dmm_region *region, uint32_t i)
{
    return (struct dmm_policy *)((char *)region + region->policy) + i;
}
static inline struct dmm_channel *dmm_region_channel(struct dmm_region *region, uint32_t i)
{
    return (struct dmm_channel *)((char *)region + region->channels) + i;
}
static inline struct dmm_waitset *dmm_region_waitset(struct dmm_region *region, uint32_t i)
{
    return (struct dmm_waitset *)((char *)region + region->waitsets) + i;
}
static inline struct dmm_socket *dmm_region_socket(struct dmm_region *region, uint32_t i)
{
    return (struct dmm_socket *)((char *)region + region->sockets) + i;
}

#endif
