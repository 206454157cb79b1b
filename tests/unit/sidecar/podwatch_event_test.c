/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/podwatch_event.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POD(type, meta)                                                                            \
    "{\"type\":\"" type "\",\"object\":{\"kind\":\"Pod\",\"metadata\":{" meta "}}}"
#define MINE "\"uid\":\"u1\",\"resourceVersion\":\"12\""

static struct dmm_podwatch_event read_event(const char *line)
{
    struct dmm_podwatch_event event;
    struct dmm_err err = {0};
    if (dmm_podwatch_read(&event, line, strlen(line), "u1", &err))
        fail_msg("%s", err.text);
    return event;
}

static void refuse(const char *line, const char *why)
{
    struct dmm_podwatch_event event;
    struct dmm_err err = {0};
    assert_int_equal(dmm_podwatch_read(&event, line, strlen(line), "u1", &err), -EINVAL);
    assert_null(event.word);
    assert_null(event.mapping);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void reads_what_the_pod_says(void **state)
{
    UNUSED(state);
    struct dmm_podwatch_event event = read_event(
        POD("ADDED", MINE ",\"annotations\":{\"dmm.fd.io/stack\":\"fast\",\"other\":\"x\"}"));
    assert_int_equal(event.kind, DMM_PODWATCH_STATE);
    assert_string_equal(event.version, "12");
    assert_string_equal(event.word, "fast");
    assert_null(event.mapping);
    dmm_podwatch_event_free(&event);
    event = read_event(POD("MODIFIED", MINE ",\"annotations\":{\"dmm.fd.io/mapping\":\"{}\"}"));
    assert_int_equal(event.kind, DMM_PODWATCH_STATE);
    assert_string_equal(event.mapping, "{}");
    dmm_podwatch_event_free(&event);
    /* None at all is an answer too: they were removed. */
    event = read_event(POD("MODIFIED", MINE));
    assert_int_equal(event.kind, DMM_PODWATCH_STATE);
    assert_null(event.word);
}

static void other_events_change_nothing(void **state)
{
    UNUSED(state);
    struct dmm_podwatch_event event = read_event(POD("BOOKMARK", "\"resourceVersion\":\"99\""));
    assert_int_equal(event.kind, DMM_PODWATCH_BOOKMARK);
    assert_string_equal(event.version, "99");
    /* The pod's successor by name, and its end. */
    event = read_event(POD("ADDED", "\"uid\":\"u2\",\"annotations\":{\"dmm.fd.io/stack\":\"x\"}"));
    assert_int_equal(event.kind, DMM_PODWATCH_OTHER);
    assert_null(event.word);
    assert_int_equal(read_event(POD("DELETED", MINE)).kind, DMM_PODWATCH_OTHER);
    assert_int_equal(read_event(POD("OF-THE-FUTURE", MINE)).kind, DMM_PODWATCH_OTHER);
    event = read_event("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,"
                       "\"message\":\"too old resource version\"}}");
    assert_int_equal(event.kind, DMM_PODWATCH_EXPIRED);
}

static void refuses_what_is_no_event(void **state)
{
    UNUSED(state);
    refuse("", "not an event");
    refuse("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"uid", "not an event");
    refuse("[]", "no type");
    refuse("{\"type\":\"ADDED\"}", "no object");
    refuse("{\"type\":\"ADDED\",\"object\":{}}", "no metadata");
    refuse("{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"etcd is away\"}}",
           "500 etcd is away");
    refuse(POD("ADDED", "\"resourceVersion\":\"1&watch=false\""), "resourceVersion");
    char text[512] = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"";
    memset(text + strlen(text), '1', DMM_PODWATCH_VERSION_MAX);
    strcat(text, "\"}}}");
    refuse(text, "has 128 characters");
    struct dmm_podwatch_event event;
    assert_int_equal(dmm_podwatch_read(&event, text, DMM_PODWATCH_LINE_MAX + 1, NULL, NULL),
                     -EINVAL);
}

static void waits_longer_up_to_a_minute(void **state)
{
    UNUSED(state);
    static const unsigned wanted[] = {1, 1, 2, 4, 8, 16, 32, 60, 60};
    for (unsigned i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        assert_int_equal(dmm_podwatch_pause(i), wanted[i]);
    assert_int_equal(dmm_podwatch_pause(UINT32_MAX), 60);
}

static void names_that_may_stand_in_a_url(void **state)
{
    UNUSED(state);
    static const char *const bad[] = {"", ".", "../x", "a/b", "a?b", "a%2f", "a b", "a\n"};
    assert_true(dmm_podwatch_name_valid("web-0.x", 7));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(dmm_podwatch_name_valid(bad[i], strlen(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_pod_says),
        cmocka_unit_test(other_events_change_nothing),
        cmocka_unit_test(refuses_what_is_no_event),
        cmocka_unit_test(waits_longer_up_to_a_minute),
        cmocka_unit_test(names_that_may_stand_in_a_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
