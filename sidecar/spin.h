/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spin: how long to look for work before sleeping. Pure.
 *
 * A sleep costs a wake-up, spinning costs the core to whoever could run there. So, as the kernel's
 * halt polling does: a sleep that ended soon would have been worth a spin, so the window grows; one
 * that lasted makes it shrink. While it spins the worker yields: a yield that comes back at once
 * says that nobody else wants the core, so spinning is free. One that gave the core away says that
 * it is not, and that work may have waited meanwhile (who sleeps is woken soon, who yields waits
 * for a whole slice): the window closes for some sleeps, for more of them each time that happens
 * again.
 *
 * Times are nanoseconds. One thread.
 */
#ifndef DMM_SIDECAR_SPIN_H
#define DMM_SIDECAR_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define DMM_SPIN_MIN        5000  /* the first window */
#define DMM_SPIN_MAX        50000 /* spin no longer, and what a sleep must be shorter than */
#define DMM_SPIN_SHARED     10000 /* a look and a yield that took longer gave the core away */
#define DMM_SPIN_CLOSED_MIN 8     /* sleeps that the window stays closed for */
#define DMM_SPIN_CLOSED_MAX 4096

struct dmm_spin {
    uint64_t window;  /* 0: sleep at once */
    uint64_t spent;   /* since the last work */
    uint32_t closed;  /* sleeps still to go before the window may open again */
    uint32_t penalty; /* what `closed` was set to last; 0: never */
};

/* There was work. */
void dmm_spin_work(struct dmm_spin *spin);
/* There was none; the last look and the yield after it took `took`. True: look again. */
bool dmm_spin_again(struct dmm_spin *spin, uint64_t took);
/* A sleep that something ended lasted `slept`. */
void dmm_spin_slept(struct dmm_spin *spin, uint64_t slept);

#endif
