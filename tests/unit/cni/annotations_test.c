/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/annotations.h"
#include "tests/unit/cmocka.h"

#include <string.h>

/* Reads from three JSON or argument texts; "" for none. */
static int read_three(struct dmm_annotations *into, const char *runtime, const char *cni,
                      const char *text, struct dmm_cni_error *error)
{
    struct dmm_cni_args args;
    memset(error, 0, sizeof(*error));
    assert_int_equal(dmm_cni_args_parse(&args, text, error), 0);
    json_t *from_runtime = *runtime ? json_loads(runtime, 0, NULL) : NULL;
    json_t *from_cni = *cni ? json_loads(cni, 0, NULL) : NULL;
    int rc = dmm_annotations_read(into, from_runtime, from_cni, &args, error);
    json_decref(from_runtime);
    json_decref(from_cni);
    dmm_cni_args_free(&args);
    return rc;
}

static void precedence(void **state)
{
    UNUSED(state);
    static const struct {
        const char *runtime;
        const char *cni;
        const char *args;
        const char *stack;
        const char *place;
    } cases[] = {
        {"{\"dmm.fd.io/stack\":\"a\"}", "{\"dmm.fd.io/stack\":\"b\"}", "dmm.fd.io/stack=c", "a",
         "runtimeConfig"},
        {"{\"other\":\"a\"}", "{\"dmm.fd.io/stack\":\"b\"}", "dmm.fd.io/stack=c", "b", "args.cni"},
        {"", "", "IgnoreUnknown=1;dmm.fd.io/stack=c", "c", "CNI_ARGS"},
        {"", "{}", "", NULL, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_annotations got;
        struct dmm_cni_error error;
        assert_int_equal(read_three(&got, cases[i].runtime, cases[i].cni, cases[i].args, &error),
                         0);
        if (cases[i].stack)
            assert_string_equal(got.stack, cases[i].stack);
        else
            assert_null(got.stack);
        assert_int_equal(strncmp(got.source, cases[i].place, strlen(cases[i].place)), 0);
        dmm_annotations_free(&got);
    }
}

/* A higher place with one of the two hides both of a lower one. */
static void a_place_counts_as_a_whole(void **state)
{
    UNUSED(state);
    struct dmm_annotations got;
    struct dmm_cni_error error;
    assert_int_equal(read_three(&got, "{\"dmm.fd.io/stack\":\"a\"}",
                                "{\"dmm.fd.io/mapping\":\"{}\"}", "", &error),
                     0);
    assert_string_equal(got.stack, "a");
    assert_null(got.mapping);
    dmm_annotations_free(&got);
}

static void a_mapping_may_be_json_itself(void **state)
{
    UNUSED(state);
    struct dmm_annotations got;
    struct dmm_cni_error error;
    assert_int_equal(read_three(&got, "", "{\"dmm.fd.io/mapping\":{\"version\":1}}", "", &error),
                     0);
    assert_string_equal(got.mapping, "{\"version\":1}");
    assert_string_equal(got.source, "args.cni: annotation dmm.fd.io/mapping");
    dmm_annotations_free(&got);
}

static void refused(void **state)
{
    UNUSED(state);
    static const char *const cases[] = {
        "{\"dmm.fd.io/stack\":7}",
        "{\"dmm.fd.io/stack\":{}}",
        "{\"dmm.fd.io/mapping\":[]}",
        "{\"dmm.fd.io/stack\":\"a\",\"dmm.fd.io/mapping\":\"{}\"}",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_annotations got;
        struct dmm_cni_error error;
        assert_int_equal(read_three(&got, cases[i], "", "", &error), -1);
        assert_int_equal(error.code, DMM_CNI_E_MAPPING);
        assert_non_null(strstr(error.what.text, "runtimeConfig: "));
        assert_non_null(strstr(error.what.text, "dmm.fd.io/"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precedence),
        cmocka_unit_test(a_place_counts_as_a_whole),
        cmocka_unit_test(a_mapping_may_be_json_itself),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
