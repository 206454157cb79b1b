/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/podinfo.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void check(const char *text, const char *key, const char *want)
{
    struct dmm_err err = {0};
    char *value = NULL;
    assert_int_equal(dmm_podinfo_get(text, strlen(text), key, &value, &err), 0);
    if (want)
        assert_string_equal(value, want);
    else
        assert_null(value);
    free(value);
}

static void refuse(const char *text, size_t len, const char *why)
{
    struct dmm_err err = {0};
    char *value = NULL;
    assert_int_equal(dmm_podinfo_get(text, len, "k", &value, &err), -EINVAL);
    assert_null(value);
    assert_non_null(strstr(err.text, why));
}

static void finds_keys(void **state)
{
    UNUSED(state);
    static const char text[] = "a=\"1\"\nk=\"two\"\nkk=\"3\"\nk.x=\"4\"";
    check(text, "a", "1");
    check(text, "k", "two");
    check(text, "kk", "3");
    check(text, "k.x", "4");
    check(text, "x", NULL);
    check("", "k", NULL);
    check("\n\nk=\"\"\n", "k", "");
    /* A value may look like another line. */
    check("a=\"x\\nk=\\\"evil\\\"\"\nk=\"good\"", "k", "good");
}

static void unquotes_as_go_quotes(void **state)
{
    UNUSED(state);
    check("k=\"{\\\"version\\\": 1}\"", "k", "{\"version\": 1}");
    check("k=\"a\\tb\\nc\\\\d\\re\"", "k", "a\tb\nc\\d\re");
    check("k=\"\\a\\b\\f\\v\"", "k", "\a\b\f\v");
    check("k=\"\\x7f\\xff\"", "k", "\x7f\xff");
    check("k=\"\\u00a0\\u2028\\U0001f600\"", "k", "\xc2\xa0\xe2\x80\xa8\xf0\x9f\x98\x80");
    check("k=\"gr\xc3\xbc\xc3\x9f\"", "k", "gr\xc3\xbc\xc3\x9f");
}

static void refuses_what_is_not_of_the_form(void **state)
{
    UNUSED(state);
    static const char *const bad[] = {
        "k",
        "k=",
        "k=\"",
        "k=\"a",
        "k=a\n",
        "k=\"a\"b",
        "k=\"a\n\"",
        "k=\"\\",
        "k=\"\\q\"",
        "k=\"\\x4\"",
        "k=\"\\u12\"",
        "k=\"\\x00\"",
        "k=\"\\u0000\"",
        "k=\"\\Uffffffff\"",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuse(bad[i], strlen(bad[i]), "line 1");
    refuse("a=\"1\"\nb=2\nk=\"3\"", 17, "line 2");
    refuse("k=\"a\0b\"", 7, "line 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_keys),
        cmocka_unit_test(unquotes_as_go_quotes),
        cmocka_unit_test(refuses_what_is_not_of_the_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
