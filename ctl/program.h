/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program: what kind of program a file is, as far as it matters to a preload library: who loads it,
 * and whether it makes its system calls through a C library. Reads the file, runs nothing. The file
 * is whatever it is: each number in it is checked before it is used.
 */
#ifndef DMM_CTL_PROGRAM_H
#define DMM_CTL_PROGRAM_H

#include "common/err.h"

#include <limits.h>
#include <stdbool.h>

enum program_libc { PROGRAM_STATIC, PROGRAM_GLIBC, PROGRAM_MUSL, PROGRAM_OTHER_LIBC };

struct program {
    char path[PATH_MAX];   /* of the program that is run in the end */
    unsigned n_scripts;    /* interpreters on the way to it */
    char script[PATH_MAX]; /* the first file, if it is a script */
    bool elf, class64, machine_ours;
    enum program_libc libc;
    char interpreter[256]; /* PT_INTERP: its loader */
    bool go;
    bool io_uring; /* linked with liburing */
    bool secure;   /* setuid, setgid or file capabilities: the loader ignores LD_PRELOAD */
    char secure_why[64];
};

/* Finds `name` as execvp(3) would (by `path_list`, $PATH's value) and looks at it, scripts'
 * interpreters followed. 0, or a negative errno with err saying which file and what. */
int program_inspect(struct program *program, const char *name, const char *path_list,
                    struct dmm_err *err);
/* An ELF file of this machine's that a program with that libc can load; else err says why not. */
int program_check_library(const char *path, enum program_libc libc, struct dmm_err *err);

#endif
