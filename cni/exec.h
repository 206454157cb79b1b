/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: runs another program with text on its stdin and takes its stdout.
 *
 * Both are memory files, so neither side can block the other and there is nothing to poll: start,
 * do something else, then wait. stderr is ours. A started child must be waited for.
 */
#ifndef DMM_CNI_EXEC_H
#define DMM_CNI_EXEC_H

#include "common/err.h"

#include <stddef.h>
#include <sys/types.h>

#define DMM_EXEC_OUTPUT_MAX ((size_t)1 << 20)

struct dmm_exec {
    pid_t pid;
    int out; /* memory file */
};

/* `envp` as for execve(2). The child keeps a copy of `hold`, unless that is -1: a lock that is held
 * by it is then held until the child has ended too, even if we are killed. */
int dmm_exec_start(struct dmm_exec *child, const char *path, char *const argv[], char *const envp[],
                   const char *input, size_t len, int hold, struct dmm_err *err);
/* Waits. *status is the exit status, or 128 + the signal that ended it; *output is malloc'ed,
 * NUL-terminated, the caller's. */
int dmm_exec_wait(struct dmm_exec *child, int *status, char **output, size_t *len,
                  struct dmm_err *err);

/* The first "DIR/name" on a colon-separated list that is executable. Returns 0 or -ENOENT. */
int dmm_exec_find(char *path, size_t size, const char *name, const char *dirs);

/* `environ` with the given "NAME=value" settings (NULL-terminated) in place of those of their
 * names. malloc'ed, only the array is owned. NULL when out of memory. */
char **dmm_exec_environ(const char *const settings[]);

#endif
