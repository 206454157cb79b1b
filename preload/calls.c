/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/calls.h"

#include "common/log.h"
#include "preload/libc.h"

#include <stdlib.h>

#define CALL_NAME(name) #name,
const char *const dmm_call_names[DMM_CALL_COUNT] = {DMM_CALLS(CALL_NAME)};

void *_Atomic dmm_call_pointers[DMM_CALL_COUNT];

void *dmm_call_resolve(enum dmm_call call)
{
    void *pointer = libc_next(dmm_call_names[call]);
    if (!pointer) {
        dmm_log(DMM_LOG_ERROR, "the C library has no %s()", dmm_call_names[call]);
        abort();
    }
    atomic_store_explicit(&dmm_call_pointers[call], pointer, memory_order_relaxed);
    return pointer;
}
