/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: small files, written whole or not at all, in directories that others may write to as well.
 *
 * A pod may have its directory mounted writable: so names are resolved below an open directory, the
 * last component is never followed if it is a symbolic link, nothing that blocks (a FIFO) is waited
 * for, and reading has a limit.
 *
 * Errors are returned as -errno with the path in err->text.
 */
#ifndef DMM_CNI_FILE_H
#define DMM_CNI_FILE_H

#include "common/err.h"

#include <stddef.h>
#include <sys/types.h>

/* Makes `path` (absolute) and its parents, 0755. What exists is left as it is. */
int dmm_dir_make(const char *path, struct dmm_err *err);
/* Opens the directory `name` below `at` (AT_FDCWD with an absolute path), O_CLOEXEC; the last
 * component must not be a symbolic link. Returns the fd or -errno. */
int dmm_dir_open(int at, const char *name, struct dmm_err *err);
/* Makes `name` below `at` if it is absent, then opens it. */
int dmm_dir_make_open(int at, const char *name, struct dmm_err *err);
/* Removes `name` below `at` and all in it, following nothing. Absent is success. */
int dmm_dir_remove(int at, const char *name, struct dmm_err *err);

/* Reads at most `max` bytes; *text is malloc'ed, NUL-terminated, owned by the caller. Refuses what
 * is no regular file, and a larger one (-EFBIG). */
int dmm_file_read(int dir, const char *name, size_t max, char **text, size_t *len,
                  struct dmm_err *err);

/* Writes `name` below `dir`: to ".name.tmp", fsync, rename over, fsync of the directory. With
 * `keep_fd`, the file's fd is handed over in it, flock'ed exclusively since it was made. */
int dmm_file_write(int dir, const char *name, mode_t mode, const char *text, size_t len,
                   int *keep_fd, struct dmm_err *err);
/* The same without fsync, for what nobody looks at after the node has gone down: who reads sees the
 * old or the new text whole. */
int dmm_file_replace(int dir, const char *name, mode_t mode, const char *text, size_t len,
                     struct dmm_err *err);
/* Removes `name` and what a killed dmm_file_write() of it may have left. Absent is success. */
int dmm_file_remove(int dir, const char *name, struct dmm_err *err);

/* Opens (and makes, 0600) a lock file and waits for its exclusive lock, which goes with the fd. The
 * holder may remove the file. */
int dmm_lock(const char *dir, const char *name, struct dmm_err *err);

/* For __attribute__((cleanup)). */
void dmm_close(int *fd);
/* Hands the fd on: *fd is -1 afterwards, so that its cleanup leaves it open. */
int dmm_take(int *fd);

#endif
