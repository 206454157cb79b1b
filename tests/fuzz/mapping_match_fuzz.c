/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flat mapping as it may stand in shared memory, and any question about it. What
 * dmm_mapping_check() accepts must match without harm and give a set of existing instances.
 *
 * The input is a query and then a mapping, cut off anywhere. Names of instances would be hard to
 * guess: they are taken from the input only if its first byte is odd.
 */
#include "common/mapping.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static struct dmm_mapping mapping;

struct facts {
    uint8_t own_names;
    uint8_t protocol;
    uint8_t direction;
    uint8_t has_process;
    struct dmm_addr remote;
    struct dmm_addr local;
};

/* Takes up to `want` bytes off the input; what is missing stays as it was. */
static void take(void *out, size_t want, const uint8_t **data, size_t *size)
{
    size_t len = want < *size ? want : *size;
    memcpy(out, *data, len);
    *data += len;
    *size -= len;
}

static void set_names(void)
{
    for (unsigned i = 0; i < DMM_MAPPING_INSTANCES; i++)
        snprintf(mapping.instances[i], DMM_INSTANCE_NAME, i ? "s%u" : "kernel", i);
}

static void require_match(const struct facts *facts)
{
    struct dmm_mapping_query query = {
        .protocol = facts->protocol,
        .direction = facts->direction & 1 ? DMM_DIR_CONNECT : DMM_DIR_LISTEN,
        .remote = facts->remote,
        .local = facts->local,
        .process = facts->has_process & 1 ? "nginx" : NULL,
    };
    struct dmm_mapping_match match = dmm_mapping_match(&mapping, &query);
    fuzz_require(match.instances && match.instances < 1ULL << mapping.n_instances,
                 "a match is a set of instances");
    fuzz_require(query.direction == DMM_DIR_LISTEN || !(match.instances & (match.instances - 1)),
                 "a connect goes to one instance");
    fuzz_require(match.rule >= DMM_MATCH_WILDCARD && match.rule < (int)mapping.n_rules,
                 "a match names its rule");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct facts facts = {0};
    memset(&mapping, 0, sizeof(mapping));
    take(&facts, sizeof(facts), &data, &size);
    take(&mapping, offsetof(struct dmm_mapping, instances), &data, &size);
    if (facts.own_names & 1)
        take(mapping.instances, sizeof(mapping.instances), &data, &size);
    else
        set_names();
    take(mapping.rules, sizeof(mapping.rules), &data, &size);
    if (dmm_mapping_check(&mapping))
        require_match(&facts);
    for (unsigned i = 0; i < DMM_MAPPING_RULES; i++) {
        dmm_prefix_contains(&mapping.rules[i].remote, &facts.remote);
        dmm_prefix_covers(&mapping.rules[i].remote, &mapping.rules[i].local);
    }
    return 0;
}
