/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select: select(2) and pselect(2), by way of poll. See poll.h. Any thread.
 */
#ifndef DMM_PRELOAD_SELECT_H
#define DMM_PRELOAD_SELECT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/select.h>

/* True if one of the sets holds an fd of the shim's. */
bool select_is_ours(int n, const fd_set *in, const fd_set *out, const fd_set *except);
/* The number of bits set, or a negative errno (then the sets are untouched). */
int select_await(int n, fd_set *in, fd_set *out, fd_set *except, uint64_t deadline,
                 const sigset_t *mask);

#endif
