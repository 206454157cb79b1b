/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a stack mapping. What the parser accepts must pass dmm_mapping_check(), survive a
 * round trip through its canonical form, and match whatever is asked; what it refuses must say why,
 * on one line, and leave the mapping alone.
 */
#include "common/mapping.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char *const instances[] = {"fast", "kernel", "rdma0"};
static struct dmm_mapping mapping;
static struct dmm_mapping again;

static void require_round_trip(void)
{
    struct dmm_err err = {0};
    char *text = dmm_mapping_format(&mapping);
    fuzz_require(text != NULL, "an accepted mapping can be formatted");
    int ret = dmm_mapping_parse(&again, text, strlen(text), instances, 3, "fuzz", &err);
    fuzz_require(ret == 0, "the canonical form is accepted");
    char *text_again = dmm_mapping_format(&again);
    fuzz_require(text_again && strcmp(text, text_again) == 0, "the canonical form is stable");
    free(text);
    free(text_again);
}

static void require_match(uint8_t direction, const char *address, uint16_t port)
{
    struct dmm_mapping_query query = {
        .protocol = IPPROTO_TCP, .direction = direction, .process = "nginx"};
    struct dmm_addr *addr = direction == DMM_DIR_LISTEN ? &query.local : &query.remote;
    fuzz_require(dmm_addr_parse(addr, address) == 0, "the address is one");
    addr->port = port;
    struct dmm_mapping_match match = dmm_mapping_match(&mapping, &query);
    fuzz_require(match.instances && match.instances < 1U << mapping.n_instances,
                 "a match is a set of instances");
    fuzz_require(direction == DMM_DIR_LISTEN || !(match.instances & (match.instances - 1)),
                 "a connect goes to one instance");
    fuzz_require(match.rule < (int)mapping.n_rules, "a match names its rule");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const addresses[] = {"10.88.0.1", "127.0.0.1", "0.0.0.0",
                                            "fd00::1",   "::1",       "::"};
    struct dmm_err err = {0};
    memset(&mapping, 0x5a, sizeof(mapping));
    if (dmm_mapping_parse(&mapping, (const char *)data, size, instances, 3, "fuzz", &err) < 0) {
        fuzz_require_error(&err);
        fuzz_require(mapping.n_rules == 0x5a5a5a5a, "a refused text changes nothing");
        return 0;
    }
    fuzz_require(dmm_mapping_check(&mapping), "an accepted mapping is valid");
    require_round_trip();
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        require_match(DMM_DIR_CONNECT, addresses[i], 80);
        require_match(DMM_DIR_LISTEN, addresses[i], 80);
    }
    return 0;
}
