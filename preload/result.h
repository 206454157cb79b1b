/* SPDX-License-Identifier: Apache-2.0 */
/*
 * result: from the shim's results (negative errno) to libc's (-1 and errno).
 */
#ifndef DMM_PRELOAD_RESULT_H
#define DMM_PRELOAD_RESULT_H

#include <errno.h>
#include <sys/types.h>

static inline ssize_t result(ssize_t r)
{
    if (__builtin_expect(r >= 0, 1))
        return r;
    errno = (int)-r;
    return -1;
}

#endif
