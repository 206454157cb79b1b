/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/spin.h"

void dmm_spin_work(struct dmm_spin *spin)
{
    /* A spin that paid: the next time the core is shared it is punished less. */
    if (spin->spent && spin->penalty > DMM_SPIN_CLOSED_MIN)
        spin->penalty -= spin->penalty / 8;
    spin->spent = 0;
}

static void close_window(struct dmm_spin *spin)
{
    spin->penalty = spin->penalty ? spin->penalty * 2 : DMM_SPIN_CLOSED_MIN;
    if (spin->penalty > DMM_SPIN_CLOSED_MAX)
        spin->penalty = DMM_SPIN_CLOSED_MAX;
    spin->closed = spin->penalty;
    spin->window = 0;
}

bool dmm_spin_again(struct dmm_spin *spin, uint64_t took)
{
    if (took > DMM_SPIN_SHARED) {
        close_window(spin);
        return true; /* work may have come meanwhile: one more look, then sleep */
    }
    spin->spent += took;
    return spin->spent < spin->window;
}

void dmm_spin_slept(struct dmm_spin *spin, uint64_t slept)
{
    spin->spent = 0;
    if (spin->closed) {
        spin->closed--;
        return;
    }
    if (slept >= DMM_SPIN_MAX)
        spin->window = spin->window > DMM_SPIN_MIN ? spin->window / 2 : 0;
    else if (spin->window < DMM_SPIN_MAX)
        spin->window = spin->window ? spin->window * 2 : DMM_SPIN_MIN;
    if (spin->window > DMM_SPIN_MAX)
        spin->window = DMM_SPIN_MAX;
}
