/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/injector/review.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct injector_config config;

static int set_up(void **state)
{
    static const char text[] = "{\"version\":1,\"stacks\":[\"fast\"],"
                               "\"images\":{\"stackd\":\"s\",\"shim\":\"h\"}}";
    struct dmm_err err = {0};
    UNUSED(state);
    return injector_config_parse(&config, text, strlen(text), "test", &err);
}

static int tear_down(void **state)
{
    UNUSED(state);
    injector_config_free(&config);
    return 0;
}

/* A review with the given pieces; what it is answered. */
static json_t *ask(const char *version, const char *operation, const char *resource,
                   const char *more, const char *annotations, enum review_outcome outcome)
{
    char text[2048];
    struct dmm_err err = {0};
    struct review_answer answer;
    snprintf(text, sizeof(text),
             "{\"apiVersion\":\"%s\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"u-1\","
             "\"operation\":\"%s\",\"resource\":{\"group\":\"\",\"version\":\"v1\",\"resource\":"
             "\"%s\"},%s\"namespace\":\"ns\",\"object\":{\"metadata\":{\"generateName\":\"web-\","
             "\"annotations\":%s},\"spec\":{\"containers\":[{\"name\":\"a\"}]}}}}",
             version, operation, resource, more, annotations);
    if (review_answer(&answer, &config, text, strlen(text), &err))
        fail_msg("%s", err.text);
    assert_int_equal(answer.outcome, outcome);
    json_t *reply = json_loads(answer.text, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(reply, "apiVersion")), version);
    assert_string_equal(json_string_value(json_object_get(reply, "kind")), "AdmissionReview");
    json_t *response = json_incref(json_object_get(reply, "response"));
    assert_string_equal(json_string_value(json_object_get(response, "uid")), "u-1");
    if (outcome != REVIEW_UNTOUCHED)
        assert_string_equal(answer.pod, "ns/web-");
    json_decref(reply);
    free(answer.text);
    return response;
}

#define V1   "admission.k8s.io/v1"
#define FAST "{\"dmm.fd.io/stack\":\"fast\"}"

static void injects_on_create(void **state)
{
    UNUSED(state);
    static const char *const versions[] = {V1, "admission.k8s.io/v1beta1"};
    for (int i = 0; i < 2; i++) {
        json_t *response =
            ask(versions[i], "CREATE", "pods", "\"dryRun\":true,", FAST, REVIEW_INJECTED);
        assert_true(json_is_true(json_object_get(response, "allowed")));
        assert_string_equal(json_string_value(json_object_get(response, "patchType")), "JSONPatch");
        assert_non_null(json_object_get(response, "patch"));
        json_decref(response);
    }
}

static void lets_everything_else_through(void **state)
{
    UNUSED(state);
    static const char *const others[][4] = {
        {"UPDATE", "pods", "", FAST},
        {"CREATE", "pods", "\"subResource\":\"ephemeralcontainers\",", FAST},
        {"CREATE", "deployments", "", FAST},
        {"CREATE", "pods", "", "{}"},
        {"CREATE", "pods", "", "null"},
        {"UPDATE", "pods", "", "{\"dmm.fd.io/stack\":\"nonsense\"}"},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        json_t *response =
            ask(V1, others[i][0], others[i][1], others[i][2], others[i][3], REVIEW_UNTOUCHED);
        assert_true(json_is_true(json_object_get(response, "allowed")));
        assert_null(json_object_get(response, "patch"));
        json_decref(response);
    }
}

static void refusal_has_a_message(void **state)
{
    UNUSED(state);
    json_t *response =
        ask(V1, "CREATE", "pods", "", "{\"dmm.fd.io/stack\":\"fats\"}", REVIEW_REFUSED);
    assert_true(json_is_false(json_object_get(response, "allowed")));
    const json_t *status = json_object_get(response, "status");
    assert_int_equal(json_integer_value(json_object_get(status, "code")), 422);
    assert_non_null(strstr(json_string_value(json_object_get(status, "message")), "fats"));
    json_decref(response);
}

static void what_is_no_review_is_an_error(void **state)
{
    UNUSED(state);
    static const char *const bad[][2] = {
        {"", "line 1"},
        {"[]", "AdmissionReview"},
        {"{}", "kind"},
        {"{\"kind\":\"AdmissionReview\"}", "apiVersion"},
        {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v2\"}", "apiVersion"},
        {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"" V1 "\"}", "request"},
        {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"" V1 "\",\"request\":{\"uid\":1}}",
         "request"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct review_answer answer;
        struct dmm_err err = {0};
        assert_int_equal(review_answer(&answer, &config, bad[i][0], strlen(bad[i][0]), &err),
                         -EINVAL);
        assert_null(answer.text);
        if (!strstr(err.text, bad[i][1]))
            fail_msg("\"%s\" does not name %s", err.text, bad[i][1]);
    }
}

static void base64_as_rfc_4648_has_it(void **state)
{
    UNUSED(state);
    static const char *const cases[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe", "//4="},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = review_base64(cases[i][0], strlen(cases[i][0]));
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(injects_on_create),
        cmocka_unit_test(lets_everything_else_through),
        cmocka_unit_test(refusal_has_a_message),
        cmocka_unit_test(what_is_no_review_is_an_error),
        cmocka_unit_test(base64_as_rfc_4648_has_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
