/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle: small cases, one for a sentence of a manual page, each run in a process of its own on the
 * kernel and on a stack. What a case prints is its transcript; run.py compares the two. So a case
 * has no expectations of its own: it must print all that the sentence promises and nothing that
 * differs by chance (ports, times, pids).
 *
 * A case is bounded: it gets SIGALRM after ORACLE_SECONDS. It may leave sockets open: its process
 * ends.
 */
#ifndef DMM_TESTS_ORACLE_ORACLE_H
#define DMM_TESTS_ORACLE_ORACLE_H

#include "tests/preload/say.h"

#define ORACLE_SECONDS 10

struct oracle_case {
    const char *name; /* TOPIC_WHAT: also the name of the file is its topic */
    const char *text; /* the sentence, with its page */
    void (*run)(const void *arg);
    const void *arg;
    struct oracle_case *next;
};

void oracle_add(struct oracle_case *c);

/* Defines and registers a case. */
#define CASE(id, sentence)                                                                         \
    static void case_##id(const void *arg);                                                        \
    __attribute__((constructor)) static void add_##id(void)                                        \
    {                                                                                              \
        static struct oracle_case c = {#id, sentence, case_##id, NULL, NULL};                      \
        oracle_add(&c);                                                                            \
    }                                                                                              \
    static void case_##id(__attribute__((unused)) const void *arg)

extern struct sockaddr_in6 oracle_address6; /* family 0: the stack has no IPv6 address */

/* Sockets in the state that a case is about. The process ends with a message if that fails. */
int o_tcp(void);
int o_udp(void);
/* Connected to each other: returns a, *b is the accepted one (for datagrams: both connected). */
int o_pair(int *b);
int o_udp_pair(int *b);
int o_listener(struct sockaddr_in *at);
/* An address where nobody listens (TCP and UDP). */
struct sockaddr_in o_nobody(void);
int o_int_option(int fd, int level, int name); /* -errno on failure */
void o_show_int_option(const char *text, int fd, int level, int name);
/* poll() for all events, with this timeout. */
void o_show_poll(const char *text, int fd, int ms);
/* "ADDRESS" of the stack, "loopback", "any" or "other", and "port" or "port 0". */
void o_show_address(const char *text, const struct sockaddr *sa, socklen_t len);
void o_show_bytes(const char *text, const void *bytes, long n);
/* Whether the milliseconds since `begin` (say_now_ms) are in [low, high). */
void o_show_time(const char *text, long begin, long low, long high);
/* Writes pattern bytes until `n` are written (blocking fd). */
void o_write_all(int fd, size_t n);
size_t o_read_all(int fd, size_t n); /* until n, or the end; checks the pattern */
/* Installs a handler that does nothing for SIGUSR1, and sends it to the process in `ms`. */
void o_signal_in(int ms, int sa_flags);
#define SA(a) (struct sockaddr *)(a)

#endif
