/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waiter: how a thread sleeps until a socket has news. Each thread that ever blocks has a waitset
 * of its own, with a doorbell; its watches on sockets persist from call to call, so a thread that
 * blocks on the same socket again sends no command.
 *
 * Sleeping is a blocking read() of the doorbell: signals and SA_RESTART are then the kernel's own.
 * With a timeout it is a ppoll(), which signals end whatever their handlers say, as they end calls
 * on a socket with SO_RCVTIMEO. Where the kernel's fd must be waited for too and there is no
 * timeout, it is a ppoll() that is restarted here. Before that comes a short spin that grows while
 * sleeps turn out to have been short, and shrinks when not.
 *
 * Once a thread has its waiter, waiting takes no other system calls than read, write, poll, ppoll,
 * futex and nanosleep: a program that gives up all others (seccomp) but keeps those that its reads
 * and writes need, such as OpenSSH's, goes on working.
 *
 * Invariants
 *   - A waiter is used by its thread alone. A signal handler that interrupts a wait of its thread
 *     and waits itself must not touch the doorbell or the armed word: it naps (depth > 0).
 *   - watch.cookie of a thread's watch is the number of the wait that last wanted it; 0 once it has
 *     been given up. News that the present wait does not want give that watch up, so that they do
 *     not wake the thread again.
 */
#ifndef DMM_PRELOAD_WAITER_H
#define DMM_PRELOAD_WAITER_H

#include "preload/client.h"
#include "preload/entry.h"

struct waiter {
    struct client *client;
    uint32_t epoch; /* client_epoch() when it was made */
    uint32_t waitset;
    _Atomic int doorbell; /* protected fd */
    int depth;            /* waits that this thread is in; > 1 only in signal handlers */
    uint32_t serial;      /* of the latest wait; never 0 */
    uint32_t spin;        /* turns to spin before sleeping */
    bool brittle;         /* a signal ends the wait, with SA_RESTART too */
};

static inline void waiter_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* This thread's, made at first use; NULL: no waitset is to be had (errno is kept). */
struct waiter *waiter_get(struct client *client);

/* Begins a wait: watches of earlier ones that get news now are given up. */
void waiter_begin(struct waiter *waiter);
/* The wait wants news of the socket. 0 or -ENOBUFS (no slot left, even after asking for more). */
int waiter_watch(struct waiter *waiter, const struct part *part);
/* Claims a slot of the socket for `waitset`: the slot's number, or -ENOBUFS. The cookie is set, the
 * command sent. Also for epoll sets. */
int waiter_claim(struct client *client, uint32_t waitset, const struct part *part, uint32_t cookie,
                 uint32_t events);
/* A claimed slot tells of other `events` from now on. */
void waiter_ask(struct client *client, uint32_t waitset, uint32_t socket, uint32_t slot,
                uint32_t events);
/* A watch of the waitset's that nobody wants at the moment, left where it is: programs take a
 * socket out of an epoll set and put it in again with each request. Under what guards the waitset.
 * News that come to it meanwhile give it up. */
#define WAITER_PARKED UINT32_MAX /* its cookie */
static inline void waiter_park(struct dmm_watch *watch)
{
    atomic_store_explicit(&watch->cookie, WAITER_PARKED, memory_order_relaxed);
}
/* Takes a parked one of the socket again: its slot, or -ENOENT. No command is sent. */
int waiter_unpark(struct client *client, uint32_t waitset, const struct part *part,
                  uint32_t cookie);
/* The watch in slot `slot` of the socket. */
struct dmm_watch *waiter_slot(struct client *client, struct dmm_socket *sock, uint32_t slot);
void waiter_give_up(struct client *client, uint32_t socket, struct dmm_watch *watch, uint32_t slot);

typedef bool waiter_test(void *arg);
/* Sleeps until test(arg) holds, or kernel_fd (if not -1) is readable. `deadline` in ns of
 * CLOCK_MONOTONIC, 0: none. 0 (look again), -EINTR, or -EAGAIN after the deadline. */
int waiter_wait(struct waiter *waiter, waiter_test *test, void *arg, uint64_t deadline,
                int kernel_fd);

/* The pieces, for poll and select, which sleep on many fds at once: arm, look, sleep on
 * waiter->doorbell with the others, disarm, drain. In a nested wait, arm returns false: then sleep
 * for a millisecond at most, and look again. */
bool waiter_arm(struct waiter *waiter);
void waiter_disarm(struct waiter *waiter);
/* The doorbell is readable: takes what rang and the ready list; notices the sidecar's death. */
void waiter_drain(struct waiter *waiter);
/* Sleeps for `ms` at most. */
void waiter_nap(struct waiter *waiter, int ms);

/* Whether a call that a signal has interrupted goes on: true if all handlers that there are have
 * SA_RESTART. (Which of them ran is not known. If they differ the call ends, for which a program
 * with such handlers is prepared.) */
bool waiter_restarts(void);

/* In a forked child. */
void waiter_fork_child(void);

uint64_t waiter_now(void); /* CLOCK_MONOTONIC, ns */

#endif
