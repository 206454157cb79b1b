/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/spin.h"

#define PENALTY_SLEEPS 16

void dmm_spin_work(struct dmm_spin *spin)
{
    spin->spent = 0;
}

bool dmm_spin_again(struct dmm_spin *spin, uint64_t took)
{
    if (took > DMM_SPIN_LATE) {
        spin->window = 0;
        spin->closed = PENALTY_SLEEPS;
        return false;
    }
    /* Someone else ran: that was his time, not ours. But his whole turn may not be waited for. */
    spin->spent += took > DMM_SPIN_SHARED ? DMM_SPIN_SHARED : took;
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
