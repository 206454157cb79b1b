/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decide: late binding. A socket's stack is chosen when the facts are known: at bind, connect, the
 * first sendto, or a listen on an unbound socket. Choosing means making what the fd should be (a
 * placeholder or a kernel socket) and putting it in the place of what it was, with the options set
 * so far set again.
 *
 * Each function takes the entry's lock itself, does nothing if the matter is decided already, and
 * on failure leaves the socket as it was. After success the caller looks at entry->phase: NATIVE
 * means that the kernel's own call does the rest.
 *
 * Any thread.
 */
#ifndef DMM_PRELOAD_DECIDE_H
#define DMM_PRELOAD_DECIDE_H

#include "preload/entry.h"

/* socket(2) for AF_INET and AF_INET6; the fd or a negative errno. */
int decide_new(int family, int type, int protocol);

/* By the remote address: afterwards STACK or NATIVE. *begun: a stream's connect has been asked for
 * too, in the same round trip (its refusal is this function's); else it is left as it was. */
int decide_connect(int fd, struct entry *entry, const struct dmm_addr *remote, bool *begun);
/* bind(2) itself: afterwards STACK or MULTI, bound; or NATIVE, and bound by the kernel too. */
int decide_bind(int fd, struct entry *entry, const struct dmm_addr *local);
/* listen(2) or a blocking receive on an unbound socket: a bind to port 0 on all that the mapping
 * admits. */
int decide_unbound(int fd, struct entry *entry);

/* Whether IPV6_V6ONLY was set. */
bool decide_v6only(int fd, const struct entry *entry);

/* While undecided: a part on the stack that the socket will probably go to, so that its options can
 * be asked. Under the entry's lock. NULL: there is none (the kernel fd answers). */
struct part *decide_probe(struct entry *entry);

#endif
