/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcp/seeds.h"

#include <stdlib.h>
#include <time.h>

uint64_t seeds_run(void (*run)(uint64_t seed), uint64_t most, unsigned seconds)
{
    const char *one = getenv("TCP_SEED");
    const char *many = getenv("TCP_SEEDS");
    const uint64_t seeds = many != NULL ? strtoull(many, NULL, 10) : most;
    const time_t stop = time(NULL) + (many != NULL ? 86400 : (time_t)seconds);
    uint64_t seed;

    if (one != NULL) {
        run(strtoull(one, NULL, 10));
        return 0;
    }
    for (seed = 1; seed <= seeds && time(NULL) < stop; seed++)
        run(seed);
    return seed - 1;
}
