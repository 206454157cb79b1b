/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_say: what a mapping answers, as a person would say it. */
#ifndef DMM_TESTS_UNIT_COMMON_MAPPING_SAY_H
#define DMM_TESTS_UNIT_COMMON_MAPPING_SAY_H

#include "common/mapping.h"

#define MAPPING_SAY 128

/* "fast rule 1", "kernel+fast wildcard", "kernel loopback", "fast default". Returns buf. */
const char *mapping_say(const struct dmm_mapping *mapping, const struct dmm_mapping_query *query,
                        char buf[MAPPING_SAY]);

#endif
