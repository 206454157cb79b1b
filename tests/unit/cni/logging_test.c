/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/logging.h"

#include "tests/unit/cmocka.h"

#include <string.h>

#define ID "0af7651916cd43dd8448eb211c80319c"

static void trace_ids(void **state)
{
    UNUSED(state);
    char id[33];
    static const char *const good[] = {"00-" ID "-b7ad6b7169203331-01",
                                       "01-" ID "-b7ad6b7169203331-01-more"};
    static const char *const bad[] = {
        "",
        "00-" ID,
        "00-" ID "-b7ad6b7169203331-0",
        "00-" ID "-b7ad6b7169203331-01x",
        "ff-" ID "-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        dmm_cni_trace_id(id, good[i]);
        assert_string_equal(id, ID);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        dmm_cni_trace_id(id, bad[i]);
        assert_string_equal(id, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(trace_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
