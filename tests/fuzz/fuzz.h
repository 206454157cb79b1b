/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzzers share. A fuzzer is run by libFuzzer, which calls the one function declared here. */
#ifndef DMM_TESTS_FUZZ_FUZZ_H
#define DMM_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run with a finding if what must hold does not. */
static inline void fuzz_require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

#endif
