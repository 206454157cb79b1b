/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static void test_set(void **state)
{
    struct dmm_err err = {0};
    UNUSED(state);
    assert_int_equal(dmm_err_set(&err, ENOENT, "%s: no such %s", "net1", "port"), -ENOENT);
    assert_int_equal(err.code, ENOENT);
    assert_string_equal(err.text, "net1: no such port");
    assert_int_equal(dmm_err_set(&err, EINVAL, "other"), -EINVAL);
    assert_string_equal(err.text, "other");
}

static void test_prefix(void **state)
{
    struct dmm_err err = {0};
    UNUSED(state);
    dmm_err_set(&err, ENOENT, "no such port");
    assert_int_equal(dmm_err_prefix(&err, "stack \"%s\"", "fast"), -ENOENT);
    assert_int_equal(dmm_err_prefix(&err, "pod.json"), -ENOENT);
    assert_string_equal(err.text, "pod.json: stack \"fast\": no such port");
}

static void test_without_value(void **state)
{
    UNUSED(state);
    assert_int_equal(dmm_err_set(NULL, EPERM, "%d", 1), -EPERM);
    assert_int_equal(dmm_err_prefix(NULL, "%d", 1), -EINVAL);
}

static void test_long_text_is_cut(void **state)
{
    struct dmm_err err = {0};
    char long_text[2 * sizeof(err.text)];
    UNUSED(state);
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    dmm_err_set(&err, EINVAL, "%s", long_text);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    dmm_err_set(&err, EINVAL, "why");
    dmm_err_prefix(&err, "%s", long_text);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    dmm_err_set(&err, EINVAL, "%s", long_text);
    dmm_err_prefix(&err, "net1");
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_memory_equal(err.text, "net1: xxx", 9);
}

/* A text that fills the buffer but for `room` bytes, then `character`, then what does not fit. */
static void set_at_end(struct dmm_err *err, size_t room, const char *character)
{
    char text[sizeof(err->text)];
    size_t len = sizeof(text) - 1 - room;
    memset(text, 'x', len);
    text[len] = '\0';
    dmm_err_set(err, EINVAL, "%s%syy", text, character);
}

static void test_cut_falls_between_characters(void **state)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    UNUSED(state);
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(characters[i]);
        for (size_t room = 1; room <= len; room++) {
            struct dmm_err err;
            set_at_end(&err, room, characters[i]);
            assert_int_equal(strlen(err.text), sizeof(err.text) - 1 - (room == len ? 0 : room));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_without_value),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_cut_falls_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
