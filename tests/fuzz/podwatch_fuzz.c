/* SPDX-License-Identifier: Apache-2.0 */
/* What an API server, or who stands in for it, sends as one event. */
#include "sidecar/podwatch_event.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dmm_err err = {0};
    struct dmm_podwatch_event event;
    int rc = dmm_podwatch_read(&event, (const char *)data, size, "u1", &err);
    fuzz_require(!rc || err.code == -rc, "an error has its code");
    fuzz_require(!rc || (!event.word && !event.mapping), "an error hands nothing out");
    fuzz_require((!event.word && !event.mapping) || event.kind == DMM_PODWATCH_STATE,
                 "annotations come with a state alone");
    fuzz_require(!strpbrk(event.version, "&?/%# \r\n"), "a version can stand in a URL");
    dmm_podwatch_event_free(&event);
    return 0;
}
