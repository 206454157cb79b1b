/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/mapping_say.h"

#include <stdio.h>

const char *mapping_say(const struct dmm_mapping *mapping, const struct dmm_mapping_query *query,
                        char buf[MAPPING_SAY])
{
    static const char *const reasons[] = {"default", "loopback", "wildcard"};
    struct dmm_mapping_match match = dmm_mapping_match(mapping, query);
    size_t used = 0;
    for (uint32_t i = 0; i < mapping->n_instances; i++) {
        if (match.instances & (1U << i))
            used += (size_t)snprintf(buf + used, MAPPING_SAY - used, "%s%s", used ? "+" : "",
                                     mapping->instances[i]);
    }
    if (match.rule >= 0)
        snprintf(buf + used, MAPPING_SAY - used, " rule %d", match.rule);
    else
        snprintf(buf + used, MAPPING_SAY - used, " %s", reasons[-match.rule - 1]);
    return buf;
}
