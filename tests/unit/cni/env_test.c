/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/env.h"
#include "tests/unit/cmocka.h"

#include <string.h>

struct var {
    const char *name;
    const char *value;
};
static const struct var *table;

static const char *get(const char *name)
{
    for (const struct var *v = table; v->name; v++)
        if (!strcmp(v->name, name))
            return v->value;
    return NULL;
}

static int read_env(const struct var *vars, struct dmm_cni_env *env, struct dmm_cni_error *error)
{
    table = vars;
    memset(error, 0, sizeof(*error));
    return dmm_cni_env_read(env, get, error);
}

static void all_missing_in_one_error(void **state)
{
    UNUSED(state);
    static const struct {
        const char *command;
        const char *text;
    } cases[] = {
        {"ADD", "missing: CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH"},
        {"DEL", "missing: CNI_CONTAINERID, CNI_IFNAME, CNI_PATH"},
        {"CHECK", "missing: CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH"},
        {"GC", "missing: CNI_PATH"},
        {"STATUS", "missing: CNI_PATH"},
        {"add", "CNI_COMMAND: \"add\" is not a command"},
        {"", "missing: CNI_COMMAND"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct var vars[] = {{"CNI_COMMAND", cases[i].command}, {NULL, NULL}};
        struct dmm_cni_env env;
        struct dmm_cni_error error;
        assert_int_equal(read_env(vars, &env, &error), -1);
        assert_int_equal(error.code, DMM_CNI_E_ENVIRONMENT);
        assert_string_equal(error.what.text, cases[i].text);
    }
}

static void version_needs_nothing(void **state)
{
    UNUSED(state);
    const struct var vars[] = {{"CNI_COMMAND", "VERSION"}, {NULL, NULL}};
    struct dmm_cni_env env;
    struct dmm_cni_error error;
    assert_int_equal(read_env(vars, &env, &error), 0);
    assert_int_equal(env.command, DMM_CNI_VERSION_CMD);
    dmm_cni_env_free(&env);
}

static void del_needs_no_netns(void **state)
{
    UNUSED(state);
    const struct var vars[] = {{"CNI_COMMAND", "DEL"}, {"CNI_CONTAINERID", "c"}, {"CNI_NETNS", ""},
                               {"CNI_IFNAME", "eth0"}, {"CNI_PATH", "/x"},       {NULL, NULL}};
    struct dmm_cni_env env;
    struct dmm_cni_error error;
    assert_int_equal(read_env(vars, &env, &error), 0);
    assert_string_equal(env.netns, "");
    dmm_cni_env_free(&env);
}

static void malformed_values_are_named(void **state)
{
    UNUSED(state);
    static const struct {
        const char *id;
        const char *ifname;
        const char *named;
    } cases[] = {
        {"../etc", "eth0", "CNI_CONTAINERID"},
        {"-x", "eth0", "CNI_CONTAINERID"},
        {"a/b", "eth0", "CNI_CONTAINERID"},
        {"a", "..", "CNI_IFNAME"},
        {"a", ".", "CNI_IFNAME"},
        {"a", "a/b", "CNI_IFNAME"},
        {"a", "a:b", "CNI_IFNAME"},
        {"a", "a b", "CNI_IFNAME"},
        {"a", "sixteen-bytes-xx", "CNI_IFNAME"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct var vars[] = {{"CNI_COMMAND", "ADD"}, {"CNI_CONTAINERID", cases[i].id},
                                   {"CNI_NETNS", "/n"},    {"CNI_IFNAME", cases[i].ifname},
                                   {"CNI_PATH", "/x"},     {NULL, NULL}};
        struct dmm_cni_env env;
        struct dmm_cni_error error;
        assert_int_equal(read_env(vars, &env, &error), -1);
        assert_int_equal(error.code, DMM_CNI_E_ENVIRONMENT);
        assert_non_null(strstr(error.what.text, cases[i].named));
    }
}

static void args_in_any_order_and_repeated(void **state)
{
    UNUSED(state);
    struct dmm_cni_args args;
    struct dmm_cni_error error = {0};
    const char *text = "K8S_POD_UID=old;FOO=1;K8S_POD_NAME=p=q;IgnoreUnknown=1;K8S_POD_UID=u;"
                       "K8S_POD_NAME=p=q;EMPTY=";
    assert_int_equal(dmm_cni_args_parse(&args, text, &error), 0);
    assert_int_equal(args.n, 5);
    assert_string_equal(dmm_cni_args_get(&args, "K8S_POD_UID"), "u");
    assert_string_equal(dmm_cni_args_get(&args, "K8S_POD_NAME"), "p=q");
    assert_string_equal(dmm_cni_args_get(&args, "EMPTY"), "");
    assert_null(dmm_cni_args_get(&args, "K8S_POD_NAMESPACE"));
    dmm_cni_args_free(&args);
}

static void args_refused(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        const char *named;
    } cases[] = {
        {"FOO", "\"FOO\""},
        {"=x", "\"=x\""},
        {"FOO=1", "unknown key FOO"},
        {"FOO=1;IgnoreUnknown=false", "unknown key FOO"},
        {"IgnoreUnknown=true;BAR", "\"BAR\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_cni_args args;
        struct dmm_cni_error error = {0};
        assert_int_equal(dmm_cni_args_parse(&args, cases[i].text, &error), -1);
        assert_int_equal(error.code, DMM_CNI_E_ENVIRONMENT);
        assert_non_null(strstr(error.what.text, cases[i].named));
    }
}

static void known_args_need_no_permission(void **state)
{
    UNUSED(state);
    struct dmm_cni_args args;
    struct dmm_cni_error error = {0};
    assert_int_equal(dmm_cni_args_parse(&args,
                                        "IP=10.0.0.5;MAC=02:00:00:00:00:01;"
                                        "dmm.fd.io/stack=fast",
                                        &error),
                     0);
    dmm_cni_args_free(&args);
    assert_int_equal(dmm_cni_args_parse(&args, "", &error), 0);
    assert_int_equal(args.n, 0);
    dmm_cni_args_free(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_missing_in_one_error),
        cmocka_unit_test(version_needs_nothing),
        cmocka_unit_test(del_needs_no_netns),
        cmocka_unit_test(malformed_values_are_named),
        cmocka_unit_test(args_in_any_order_and_repeated),
        cmocka_unit_test(args_refused),
        cmocka_unit_test(known_args_need_no_permission),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
