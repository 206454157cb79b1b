/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: what is left behind for the next image. Before an exec (a spawn), the sockets that it
 * inherits are given placeholders of their own (share.h), and its environment one variable,
 *
 *   DMM_CLIENT=<token>.<n>[.<fd>]   the client to become a process of, how many sockets to look
 * for, and a file with what surviving epoll sets have of them
 *
 * which the shim in the new image takes out again before main(). Where sockets are inherited, and
 * only then, LD_PRELOAD, DMM_POD_DIR and DMM_ON_FAILURE are added too if the program left them out
 * (nginx gives its new binary an environment of its own); a program that sets LD_PRELOAD to
 * something else has its way.
 *
 * Invariants: nothing of it changes the app's own environment or memory; if the exec fails, all is
 * as before, but for placeholders of their own, which do no harm. Any thread; in a forked child.
 */
#ifndef DMM_PRELOAD_EXEC_H
#define DMM_PRELOAD_EXEC_H

#include <stddef.h>

struct exec_plan {
    char **env; /* what to give to the new image */
    void *map;  /* its memory, if it is not the app's */
    size_t size;
    int sets; /* for the new image: what its epoll sets have (epoll.h); -1: nothing */
};

/* Afterwards plan->env is what to give to exec; undo if that fails, and after a spawn. */
void exec_prepare(struct exec_plan *plan, char *const envp[]);
void exec_undo(struct exec_plan *plan);

#endif
