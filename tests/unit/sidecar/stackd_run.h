/* SPDX-License-Identifier: Apache-2.0 */
/* stackd_run: a dmm-stackd of the build under test, in a pod directory of its own, with the loop
 * stack as instance 1. */
#ifndef DMM_TESTS_STACKD_RUN_H
#define DMM_TESTS_STACKD_RUN_H

#include "tests/unit/sidecar/client_sim.h"

#include <sys/types.h>

struct stackd {
    char dir[64];
    char bin[512]; /* the folder with dmm-stackd and tests/loop.so */
    pid_t pid;
};

/* 0, or -1 with the reason on stderr. */
int stackd_start(struct stackd *stackd);
/* SIGTERM; -1 if it does not end with status 0 within some seconds. Removes the directory. */
int stackd_stop(struct stackd *stackd);
/* Writes a file of the pod directory whole. */
int stackd_write(const struct stackd *stackd, const char *name, const char *text);

#endif
