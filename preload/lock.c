/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/lock.h"

#include "preload/calls.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_LOOK_AGAIN_NS 50000000L

void lock_wait(lock_word *word, uint32_t owner)
{
    int saved = errno;
    for (;;) {
        uint32_t value = atomic_load_explicit(word, memory_order_relaxed);
        if (value == 0) {
            /* Others may wait still: the bit stays on for them. */
            if (atomic_compare_exchange_weak_explicit(word, &value, owner | LOCK_WAITERS,
                                                      memory_order_acquire, memory_order_relaxed))
                break;
            continue;
        }
        if (!(value & LOCK_WAITERS) &&
            !atomic_compare_exchange_weak_explicit(word, &value, value | LOCK_WAITERS,
                                                   memory_order_relaxed, memory_order_relaxed))
            continue;
        const struct timespec again = {.tv_nsec = LOCK_LOOK_AGAIN_NS};
        REAL(syscall)(SYS_futex, word, FUTEX_WAIT, value | LOCK_WAITERS, &again, NULL, 0);
    }
    errno = saved;
}

void lock_wake(lock_word *word)
{
    int saved = errno;
    REAL(syscall)(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
    errno = saved;
}
