/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: one error value, handed up and printed once.
 *
 * A function that can fail for a reason a person must read takes a `struct dmm_err *err`, fills it
 * through dmm_err_set() and returns the negative errno that dmm_err_set() returned. Callers pass it
 * up untouched, or put their own place in front with dmm_err_prefix(). Whoever handles the failure
 * logs it, once. `err` may be NULL: then only the code is returned.
 *
 * Pure: no I/O, no globals. Any thread, each with its own value.
 */
#ifndef DMM_COMMON_ERR_H
#define DMM_COMMON_ERR_H

#include <stdarg.h>

struct dmm_err {
    int code;       /* a positive errno; 0 while nothing has failed */
    char text[504]; /* what and where, one line, no full stop, NUL-terminated */
};

/* Records `code` (a positive errno) and the text; returns -code. The text is cut, never overrun. */
int dmm_err_set(struct dmm_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "place: " in front of the recorded text. Returns -err->code (or -EINVAL if err is NULL). */
int dmm_err_prefix(struct dmm_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
