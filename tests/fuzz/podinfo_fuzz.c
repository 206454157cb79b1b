/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in the annotations volume comes from whoever may annotate the pod. */
#include "sidecar/podinfo.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dmm_err err = {0};
    char *value;
    int rc = dmm_podinfo_get((const char *)data, size, "dmm.fd.io/stack", &value, &err);
    fuzz_require(!rc || !value, "an error hands nothing out");
    fuzz_require(rc || !value || strlen(value) < size, "a value is shorter than its quoted form");
    fuzz_require(!rc || err.code == EINVAL, "an error has its code");
    free(value);
    return 0;
}
