/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libc: what differs between the C libraries that the shim is loaded into, and between their
 * versions. The shim built on a young glibc loads into programs on an old one, down to 2.28: what
 * came or moved later is not linked, but looked up, or done without (tests/e2e/libc.bats looks at
 * the symbols). A second build is for musl.
 */
#ifndef DMM_PRELOAD_LIBC_H
#define DMM_PRELOAD_LIBC_H

#include <stdbool.h>
#include <sys/types.h>

/* A symbol of the next library after the shim, or of any; NULL: there is none. */
void *libc_next(const char *name);
void *libc_any(const char *name);

/* True while the process has had one thread only, as far as libc tells (glibc from 2.32 on). */
extern const char *libc_single_threaded_word;
static inline bool libc_single_threaded(void)
{
    return *(const volatile char *)libc_single_threaded_word;
}
/* Finds that word. Once, before there is anything to count. */
void libc_find_single_threaded(void);

/* Runs fn(arg) when the calling thread ends. A process's end is none of its. */
void libc_at_thread_exit(void (*fn)(void *), void *arg);

pid_t libc_gettid(void);

#endif
