/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: says whether the shim can see a program's sockets, and if not, why: the program itself,
 * LD_PRELOAD, the sandbox, the sidecar, the mapping. Looks only; runs the program's loader with
 * --list, which shows what it would load, and not the program.
 */
#ifndef DMM_CTL_DOCTOR_H
#define DMM_CTL_DOCTOR_H

#include <stdbool.h>

/* Prints what it finds about `command`. The exit status: 0 all is well, 1 something is not. */
int ctl_doctor(const char *pod_dir, const char *command, bool json);

#endif
