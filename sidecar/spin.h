/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spin: how long to look for work before sleeping. Pure.
 *
 * A sleep costs a wake-up, spinning costs the core to whoever could run there. So, as the kernel's
 * halt polling does: a sleep that ended soon would have been worth a spin, so the window grows; one
 * that lasted makes it shrink. Time that sched_yield() gave to others is not spent spinning, but
 * who is given back the core late may have missed work: then the window closes.
 *
 * Times are nanoseconds. One thread.
 */
#ifndef DMM_SIDECAR_SPIN_H
#define DMM_SIDECAR_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define DMM_SPIN_MIN    5000   /* the first window */
#define DMM_SPIN_MAX    50000  /* spin no longer, and what a sleep must be shorter than */
#define DMM_SPIN_LATE   200000 /* a yield that came back later than this closes the window */
#define DMM_SPIN_SHARED 2000   /* a yield that took longer gave the core to someone */

struct dmm_spin {
    uint64_t window; /* 0: sleep at once */
    uint64_t spent;  /* since the last work */
    uint32_t closed; /* sleeps still to go before the window may open again */
};

/* There was work. */
void dmm_spin_work(struct dmm_spin *spin);
/* There was none; the last look and the yield after it took `took`. True: look again. */
bool dmm_spin_again(struct dmm_spin *spin, uint64_t took);
/* A sleep without a deadline due lasted `slept`. */
void dmm_spin_slept(struct dmm_spin *spin, uint64_t slept);

#endif
