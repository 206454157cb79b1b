/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of a random test, each made by its seed. */
#ifndef DMM_TESTS_TCP_SEEDS_H
#define DMM_TESTS_TCP_SEEDS_H

#include <stdint.h>

/* Runs the seeds from 1 to most, but for no more than so many seconds of real time. In the
 * environment TCP_SEED=n runs that one alone, TCP_SEEDS=n so many, however long. Returns how many
 * were run; with TCP_SEED, 0. */
uint64_t seeds_run(void (*run)(uint64_t seed), uint64_t most, unsigned seconds);

#endif
