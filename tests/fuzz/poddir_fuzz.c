/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of the pod directory. What a parser accepts must survive a round trip; what it refuses
 * must say why on one line.
 */
#include "common/poddir.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* The text of a new reference, which is dropped. */
static char *text_of(json_t *json)
{
    fuzz_require(json != NULL, "an accepted value can be formatted");
    char *text = json_dumps(json, 0);
    json_decref(json);
    fuzz_require(text != NULL, "an accepted value can be written");
    return text;
}

static void fuzz_port(const char *data, size_t size)
{
    struct dmm_port_config port;
    struct dmm_port_config again;
    struct dmm_err err = {0};
    if (dmm_port_config_parse(&port, data, size, "fuzz", &err) < 0) {
        fuzz_require_error(&err);
        return;
    }
    char *text = text_of(dmm_port_config_json(&port));
    fuzz_require(dmm_port_config_parse(&again, text, strlen(text), "fuzz", &err) == 0,
                 "the written port is accepted");
    char *text_again = text_of(dmm_port_config_json(&again));
    fuzz_require(strcmp(text, text_again) == 0, "the written port is stable");
    free(text);
    free(text_again);
}

static void fuzz_stacks(const char *data, size_t size)
{
    struct dmm_stacks_config stacks;
    struct dmm_stacks_config again;
    struct dmm_err err = {0};
    if (dmm_stacks_config_parse(&stacks, data, size, "fuzz", &err) < 0) {
        fuzz_require_error(&err);
        return;
    }
    char *text = text_of(dmm_stacks_config_json(&stacks));
    fuzz_require(dmm_stacks_config_parse(&again, text, strlen(text), "fuzz", &err) == 0,
                 "the written stacks are accepted");
    char *text_again = text_of(dmm_stacks_config_json(&again));
    fuzz_require(strcmp(text, text_again) == 0, "the written stacks are stable");
    free(text);
    free(text_again);
    dmm_stacks_config_free(&stacks);
    dmm_stacks_config_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_port((const char *)data, size);
    fuzz_stacks((const char *)data, size);
    return 0;
}
