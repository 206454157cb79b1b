/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio: FILEs on sockets of the shim. libc's FILEs make system calls of their own, which go past
 * the shim to the placeholder; these are made with fopencookie() instead, and read and write by the
 * shim's functions. fileno() tells the socket's fd, and all other functions of stdio work as on any
 * FILE. Any thread.
 */
#ifndef DMM_PRELOAD_STDIO_H
#define DMM_PRELOAD_STDIO_H

#include <stdio.h>

/* fdopen(3) on a socket of the shim's. */
FILE *stdio_open(int fd, const char *mode);
/* An exec'ed image has found a socket at 0, 1 or 2: stdin, stdout and stderr become FILEs on it.
 * Before main(). */
void stdio_take_over(int fd);
/* For a libc whose FILEs keep no fd of the shim's: that of a FILE of stdio_open(), or -1; and its
 * end. */
int stdio_remembered(const FILE *file);
void stdio_forget(const FILE *file);
/* The fd of a FILE; -1 without errno being set if it has none. */
int stdio_fileno(FILE *file);

#endif
