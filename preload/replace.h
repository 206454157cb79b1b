/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replace: puts another file in the place of an entry's fd, at every number that refers to it.
 * Under the entry's lock.
 */
#ifndef DMM_PRELOAD_REPLACE_H
#define DMM_PRELOAD_REPLACE_H

#include "preload/entry.h"

/* `by` is used up, on failure too. Close-on-exec stays as each number has it. 0 or a negative errno
 * (then nothing changed). */
int replace_fd(int fd, struct entry *entry, int by);

/* A kernel socket like the entry's, with its options set; or a negative errno. */
int replace_make_kernel(const struct entry *entry, bool nonblock);

#endif
