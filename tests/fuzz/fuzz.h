/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzzers share. A fuzzer is run by libFuzzer, which calls the one function declared here. */
#ifndef DMM_TESTS_FUZZ_FUZZ_H
#define DMM_TESTS_FUZZ_FUZZ_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run with a finding if what must hold does not. */
static inline void fuzz_require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

/* What every parser owes for a text of the source "fuzz" that it refuses. */
static inline void fuzz_require_error(const struct dmm_err *err)
{
    fuzz_require(err->code > 0, "an error has a code");
    fuzz_require(strncmp(err->text, "fuzz: ", 6) == 0, "an error names the source");
    for (const char *c = err->text; *c; c++)
        fuzz_require((unsigned char)*c >= 0x20 && *c != 0x7f, "an error is plain text");
}

#endif
