/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: a process and its forked children, the region that they share with the sidecar, and the
 * tables of what they hold: processes, channels, waitsets, sockets.
 *
 * Invariants
 *   - A channel and a waitset belong to one live process. They go when it goes.
 *   - Nothing is read from a region but the words that common/region.h marks [A] or [A+S].
 *   - An ended client (violation, or its last process and export gone) has `ended` set: no command
 * of it is read any more; it is freed once its last socket is released.
 *   - What one client does changes nothing of another's.
 *
 * Worker thread only, but dmm_client_new(), which maps the region before anyone else knows of it,
 * and dmm_client_delete(), which comes after.
 */
#ifndef DMM_SIDECAR_CLIENT_H
#define DMM_SIDECAR_CLIENT_H

#include "common/err.h"
#include "common/region.h"
#include "sidecar/heap.h"
#include "sidecar/limits.h"
#include "sidecar/sock.h"

#include <sys/types.h>

struct dmm_worker;

struct dmm_process {
    bool used;
    uint32_t pid;
    char comm[16];
};

struct dmm_channel_private {
    bool used;
    uint16_t process;
    uint32_t position; /* the next command to take */
    /* spares.c: index + 1 of what is offered or was taken unheard, 0: none; connects that found
     * none so far; which is taken back next. */
    uint32_t spares[DMM_CHANNEL_SPARES];
    uint32_t connects, next_spare;
};

struct dmm_waitset_private {
    bool used;
    bool dirty; /* in the client's list of doorbells to ring */
    bool told;  /* also of what is not on its ready list: an answer, room in a channel */
    /* Given back, but its old owner still takes what is left on the ready list: a new owner's first
     * news would go with it. Until the old one has closed its end of the doorbell. */
    bool lingers;
    uint16_t process;
    uint16_t next_dirty;
    int fd; /* our end of the doorbell, if `used` or `lingers` */
};

/* A socket index that waits for its next use: better not while one of its watches is still linked
 * in a ready list, for that slot is lost to the next user until someone takes the list. */
struct dmm_freed_socket {
    uint32_t index;
    uint32_t n_watches;   /* slots to look at */
    uint64_t watches_ext; /* kept as long as one of its slots is linked */
};

struct dmm_client_stats {
    uint64_t commands, refused, doorbells, rx_bytes, tx_bytes;
};

struct dmm_client {
    struct dmm_worker *worker;
    uint32_t id;
    uid_t uid;
    gid_t gid;
    uint8_t token[16];
    struct dmm_region *region;
    struct dmm_region layout; /* the head as we made it; the region's own is never read */
    int memfd, doorbell;      /* doorbell: the eventfd that the app writes */
    struct dmm_heap heap;
    struct dmm_limits limits;

    bool ended;
    char violation[160]; /* "" none */
    struct dmm_client *doomed_next;

    uint32_t n_processes, n_channels;
    uint32_t n_sockets, n_spares; /* the latter are among the former */
    uint32_t n_exports;           /* placeholders of their own, which outlive processes */
    uint32_t waitsets_top;        /* no waitset from here on was ever used */
    struct dmm_process *processes;
    struct dmm_channel_private *channels;
    struct dmm_waitset_private *waitsets;
    struct dmm_sock **sockets;      /* by index; NULL: free */
    uint32_t *generations;          /* by index: how often it was used */
    uint16_t *active_channels;      /* the first n_channels are in use */
    uint32_t next_channel;          /* whose turn it is */
    uint32_t sockets_top;           /* indices from here on were never used */
    struct dmm_freed_socket *freed; /* a queue, oldest first: head..head+n modulo its size */
    uint32_t freed_head, n_freed;

    /* Waitsets to wake at the end of the turn. */
    uint16_t first_dirty;
    bool in_dirty;
    struct dmm_client *dirty_next;
    bool deferred;     /* a watch's link is owed */
    uint64_t sweep_at; /* when to look for claims that no one answered for; 0: none */
    bool doubts;       /* what is claimed by then is doubted from then on */

    uint32_t policy_generation;
    struct dmm_client_stats stats;
};

/* A client with its region, its memfd and doorbell, no process yet. Any thread. */
int dmm_client_new(struct dmm_client **client, const struct dmm_limits *limits,
                   struct dmm_err *err);
/* All its sockets are gone, and no worker knows it. */
void dmm_client_delete(struct dmm_client *client);

/* ---- the tables; each 0 (or an index) or a negative errno with err set ---- */

int dmm_client_add_process(struct dmm_client *client, uint32_t pid, const char *comm,
                           struct dmm_err *err);
/* A copy of `parent`'s holds; its commands so far are carried out first. */
int dmm_client_fork_process(struct dmm_client *client, uint32_t parent, struct dmm_err *err);
/* It exited: its commands are carried out, then all that it held is let go. */
void dmm_client_remove_process(struct dmm_client *client, uint32_t process);
/* What was just commanded is carried out before its holds are looked at. */
void dmm_client_drain_process(struct dmm_client *client, uint32_t process);
int dmm_client_add_channel(struct dmm_client *client, uint32_t process, struct dmm_err *err);
/* `fd` is ours from then on, on success. */
int dmm_client_add_waitset(struct dmm_client *client, uint32_t process, int fd,
                           struct dmm_err *err);
/* What the process has commanded is carried out first. */
int dmm_client_remove_waitset(struct dmm_client *client, uint32_t process, uint32_t waitset,
                              struct dmm_err *err);

/* ---- work ---- */

/* Carries out up to `budget` commands, channels in turn. Returns how many. */
unsigned dmm_client_commands(struct dmm_client *client, unsigned budget);
/* Is there a command to take? */
bool dmm_client_has_work(struct dmm_client *client);
/* Ends the client at the next safe point, counted and logged then with this text; the first
 * counts. */
void dmm_client_violation(struct dmm_client *client, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Ends it now: region->closed, sockets reset, doorbells closed. Not inside a stack's call. */
void dmm_client_end(struct dmm_client *client);
/* The same if neither a process nor an export is left. */
void dmm_client_end_if_unused(struct dmm_client *client);
/* A process has died, or a listener closed: whoever claimed a connection so far and does not say so
 * within a second is taken for dead, and the connection is reset. Claims that come later are not
 * doubted: many are under way at a busy time. */
void dmm_client_doubt_claims(struct dmm_client *client);
/* Does that, when it is due. Each turn. */
void dmm_client_sweep(struct dmm_client *client, uint64_t now);
/* The doorbell of a waitset of ours, at the end of the turn, if it is armed then. */
void dmm_client_wake(struct dmm_client *client, uint32_t waitset);
/* The same for what was put on its ready list: not if the app has taken the list by then. A nested
 * epoll set would become readable by what has been looked at. */
void dmm_client_wake_for_news(struct dmm_client *client, uint32_t waitset);
/* Rings the doorbells of dirty waitsets. Returns how many. */
unsigned dmm_client_ring_doorbells(struct dmm_client *client);
void dmm_client_set_policy(struct dmm_client *client, const struct dmm_policy *policy);

void dmm_client_stats_add(struct dmm_client_stats *sum, const struct dmm_client_stats *more);

/* Blocks of the heap, as offsets in the region; 0: none left. */
uint64_t dmm_client_block(struct dmm_client *client, uint64_t bytes, uint32_t *size);
void dmm_client_block_free(struct dmm_client *client, uint64_t offset, uint32_t size);

static inline char *dmm_client_at(const struct dmm_client *client, uint64_t offset)
{
    return (char *)client->region + offset;
}

/* The tables of the region, by our own layout, never by the shared head's. */
static inline struct dmm_channel *dmm_client_channel(const struct dmm_client *client, uint32_t i)
{
    return (struct dmm_channel *)dmm_client_at(client, client->layout.channels) + i;
}
static inline struct dmm_waitset *dmm_client_waitset(const struct dmm_client *client, uint32_t i)
{
    return (struct dmm_waitset *)dmm_client_at(client, client->layout.waitsets) + i;
}
static inline struct dmm_socket *dmm_client_socket(const struct dmm_client *client, uint32_t i)
{
    return (struct dmm_socket *)dmm_client_at(client, client->layout.sockets) + i;
}

/* commands.c: carries out one command of `process`; what it says was copied out of the region. */
void dmm_command_run(struct dmm_client *client, uint32_t channel,
                     const struct dmm_command *command);

#endif
