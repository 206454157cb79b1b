/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/kubeconf.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4648, section 10. */
static void base64_vectors(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        const char *data;
    } cases[] = {{"Zg==", "f"},        {"Zm8=", "fo"},        {"Zm9v", "foo"},
                 {"Zm9vYg==", "foob"}, {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_blob blob = {0};
        assert_int_equal(dmm_base64_decode(&blob, cases[i].text), 0);
        assert_string_equal(blob.data, cases[i].data);
        assert_int_equal(blob.len, strlen(cases[i].data));
        free(blob.data);
    }
}

static void base64_refused(void **state)
{
    UNUSED(state);
    static const char *const cases[] = {"",     "Z",      "Zg",   "Zg=", "Zg=a",
                                        "=Zg=", "Zm9v\n", "Z!==", "===="};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_blob blob = {0};
        if (dmm_base64_decode(&blob, cases[i]) != -EINVAL)
            fail_msg("taken: \"%s\"", cases[i]);
        assert_null(blob.data);
    }
}

static void yaml_as_json(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    const char *text = "# a comment\na: {b: [1, \"two\"]}\nc:\n- d: 'e'\n  f: |\n    g\n";
    json_t *json = dmm_yaml_parse(text, strlen(text), "x", &err);
    assert_non_null(json);
    char *got = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(got,
                        "{\"a\":{\"b\":[\"1\",\"two\"]},\"c\":[{\"d\":\"e\",\"f\":\"g\\n\"}]}");
    free(got);
    json_decref(json);
}

static void yaml_refused(void **state)
{
    UNUSED(state);
    static const char *const cases[] = {
        "",
        "a: [1, 2",
        "a: b: c",
        "a: &x 1\nb: *x\n",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "? [a]\n: b\n",
        "a: \"\xff\"",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_err err = {0};
        json_t *json = dmm_yaml_parse(cases[i], strlen(cases[i]), "x", &err);
        if (json)
            fail_msg("taken: \"%s\"", cases[i]);
        assert_true(err.code != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_refused),
        cmocka_unit_test(yaml_as_json),
        cmocka_unit_test(yaml_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
