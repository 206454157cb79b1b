/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: this process's attachment to the sidecar: region, control connection, channel.
 *
 * Invariants
 *   - A process attaches at its first AF_INET or AF_INET6 socket, not before, and again after the
 *     sidecar has gone and come back. At most one client is current; the ones before it are dead.
 *     A client is never unmapped: sockets of it may still be looked at.
 *   - When the sidecar goes, the first thread to notice (end of file on a doorbell or on the
 * control connection) marks the client dead, and all its sockets in the region with ECONNRESET,
 * once.
 *   - A forked child that our fork() made is a process of the same client (client_fork_*). One made
 *     behind our back (clone, vfork) finds `alive` wiped: it then sends nothing, so that parent and
 *     child never write to one channel.
 *
 * Any thread, unless said otherwise.
 */
#ifndef DMM_PRELOAD_CLIENT_H
#define DMM_PRELOAD_CLIENT_H

#include "common/proto.h"
#include "common/region.h"
#include "preload/lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Where a connect began well, and when: ahead.c. */
struct reached {
    struct dmm_addr addr;
    uint32_t instance;
    uint32_t generation; /* policy_generation then */
};
#define CLIENT_REACHED 16

struct client {
    struct dmm_region *region;
    uint64_t size;
    /* Protected fds; relaxed, all. */
    _Atomic int control; /* SOCK_SEQPACKET */
    _Atomic int worker;  /* eventfd that wakes the worker */
    _Atomic int anchor;  /* what placeholders are dups of; -1 until the first */
    uint32_t process;
    struct dmm_channel *channel;
    uint8_t token[16];
    _Atomic bool dead;        /* rel/acq */
    _Atomic uint32_t seq;     /* relaxed RMW: of sync commands */
    lock_word control_lock;   /* one request at a time */
    lock_word policy_lock;    /* policy, policy_generation, reached */
    struct dmm_policy policy; /* this process's copy */
    uint32_t policy_generation;
    bool have_policy;
    bool policy_by_process; /* a rule of it asks for the process's name, which costs system calls */
    struct reached reached[CLIENT_REACHED]; /* by a hash of the address */
    _Atomic uint32_t spare_hint;            /* relaxed: where the next spare may be */
    /* Relaxed: options that a stream socket of an instance is known to take; options.c's bits. */
    _Atomic uint8_t options_taken[DMM_MAPPING_INSTANCES];
    /* The waitset that ATTACH or FORK brought, for the first thread that asks. */
    _Atomic bool have_spare; /* rel/acq */
    _Atomic int spare_doorbell;
    uint32_t spare_waitset;
};

/* The current client if it lives, attaching if there is none; NULL: no sidecar (reported once). */
struct client *client_attach(void);
/* The latest client, dead or alive, or NULL. Never attaches. */
struct client *client_latest(void);
/* +1 in each forked child: what an older number belongs to is the parent's. */
uint32_t client_epoch(void);
/* False in a child that was made behind our back. */
bool client_alive_here(void);
static inline bool client_is_dead(const struct client *client)
{
    return atomic_load_explicit(&client->dead, memory_order_acquire);
}

/* The sidecar is gone: marks everything. Idempotent. */
void client_died(struct client *client);
/* Called where an app keeps looking at sockets without ever sleeping on a doorbell: asks the
 * control connection now and then whether the sidecar is still there. */
void client_look_alive(struct client *client);

/* Asks for a waitset: its number, with its doorbell, a protected fd, in *doorbell; or a negative
 * errno (-ECONNRESET: the client is dead now). */
int client_new_waitset(struct client *client, _Atomic int *doorbell);
/* Gives it back. From then on nothing more is put on its ready list, which the caller takes once
 * more before it closes the doorbell: then the waitset may be given out again. */
void client_free_waitset(struct client *client, uint32_t waitset);

/* EXPORT: a placeholder of its own for what `what` says (not protected, close-on-exec), or a
 * negative errno with the reason in `text`. kernel_fd: with DMM_EXPORT_KERNEL, else -1. */
int client_export(struct client *client, const struct dmm_export *what, int kernel_fd,
                  char text[128]);
/* CLAIM: this process gets what `fd` stands for, in *client, which may be another one afterwards
 * than the one that was current: a process without sockets joins the family of those that it is
 * given. 0 with *what filled, -ENOENT (not one of ours), or another negative errno with `text`. */
int client_claim(int fd, struct client **client, struct dmm_export *what, char text[128]);
/* The same for up to CLIENT_CLAIMS files at once, which are waited for once; `results` are those of
 * each. A negative one may be another with client_claim(), which tries longer. Negative: of all. */
#define CLIENT_CLAIMS 16
int client_claim_some(const int *files, uint32_t n, struct client **client,
                      struct dmm_export *whats, int *results);
/* Before the first attachment: the client that an exec'ed image belongs to. */
void client_set_family(const uint8_t token[16]);

/* fork(), in this order: prepare in the parent (takes the locks of this module), then child or
 * parent with what prepare filled. */
struct client_fork {
    struct client *client; /* NULL: nothing to share */
    struct dmm_response response;
    int fds[DMM_PROTO_FDS];
};
void client_fork_prepare(struct client_fork *fork_state);
void client_fork_parent(struct client_fork *fork_state);
void client_fork_child(struct client_fork *fork_state);

/* A new placeholder fd, or a negative errno. */
int client_placeholder(struct client *client, bool cloexec);

/* What the pod's owner wants while there is no sidecar. */
bool client_fallback_to_kernel(void);
/* Its directory. */
const char *client_pod_dir(void);
/* Is there an attach socket? (Whether anyone listens on it is another matter.) */
bool client_sidecar_there(void);
/* The attach socket's path, for messages. */
const char *client_socket_path(void);
/* This process's name as the mapping knows it. Returns buf. */
const char *client_comm(char buf[DMM_PROCESS_NAME]);

#endif
