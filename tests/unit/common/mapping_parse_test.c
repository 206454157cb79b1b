/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON form of the mapping: what is taken, every refusal with its message, the canonical form.
 */
#include "common/mapping.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const instances[] = {"fast", "rdma0"};
static struct dmm_mapping mapping;
static struct dmm_err err;

static int parse(const char *text)
{
    memset(&err, 0, sizeof(err));
    return dmm_mapping_parse(&mapping, text, strlen(text), instances, 2, "test", &err);
}

static void taken(const char *text)
{
    if (parse(text) < 0)
        fail_msg("%s\n%s", text, err.text);
    assert_true(dmm_mapping_check(&mapping));
}

/* The text is refused with "test: " and `why`, and the mapping stays as it was. */
static void refused(const char *text, const char *why)
{
    struct dmm_mapping before;
    memset(&mapping, 0x5a, sizeof(mapping));
    memcpy(&before, &mapping, sizeof(before));
    assert_int_equal(parse(text), -EINVAL);
    assert_int_equal(err.code, EINVAL);
    assert_memory_equal(err.text, "test: ", 6);
    assert_string_equal(err.text + 6, why);
    assert_memory_equal(&before, &mapping, sizeof(before));
}

/* As above; `rules` is the inside of the array. */
static void refused_rules(const char *rules, const char *why)
{
    char text[2048];
    snprintf(text, sizeof(text), "{\"version\":1,\"rules\":[%s]}", rules);
    refused(text, why);
}

struct refusal {
    const char *text;
    const char *why;
};

static void test_every_key(void **state)
{
    UNUSED(state);
    taken(
        "{\"version\":1,\"default\":\"fast\",\"rules\":[{\"stack\":\"rdma0\",\"protocol\":\"udp\","
        "\"direction\":\"connect\",\"remote\":\"10.88.0.0/16\",\"local\":\"10.0.0.1\","
        "\"port\":\"80-443\",\"process\":\"mysqld\"}]}");
    const struct dmm_mapping_rule *rule = &mapping.rules[0];
    assert_int_equal(mapping.n_instances, 3);
    assert_string_equal(mapping.instances[0], "kernel");
    assert_string_equal(mapping.instances[1], "fast");
    assert_string_equal(mapping.instances[2], "rdma0");
    assert_int_equal(mapping.default_instance, 1);
    assert_int_equal(mapping.n_rules, 1);
    assert_int_equal(rule->instances, 1 << 2);
    assert_int_equal(rule->protocol, IPPROTO_UDP);
    assert_int_equal(rule->direction, DMM_DIR_CONNECT);
    assert_int_equal(rule->remote.len, 16);
    assert_int_equal(rule->remote.ip[1], 88);
    assert_int_equal(rule->local.len, 32);
    assert_int_equal(rule->port_first, 80);
    assert_int_equal(rule->port_last, 443);
    assert_string_equal(rule->process, "mysqld");
}

static void test_least_forms(void **state)
{
    UNUSED(state);
    taken("{\"version\":1}");
    assert_int_equal(mapping.default_instance, DMM_INSTANCE_KERNEL);
    assert_int_equal(mapping.n_rules, 0);
    taken(" {\"version\":1, \"rules\":[{\"stack\":\"fast\"}]}\n");
    assert_int_equal(mapping.rules[0].instances, 1 << 1);
    assert_int_equal(mapping.rules[0].port_first, 0);
    assert_int_equal(mapping.rules[0].port_last, 65535);
    taken("{\"version\":1,\"rules\":[{\"stack\":\"fast\",\"port\":\"80\"}]}");
    assert_int_equal(mapping.rules[0].port_first, 80);
    assert_int_equal(mapping.rules[0].port_last, 80);
    taken("{\"version\":1,\"rules\":[{\"stack\":[\"kernel\"],\"direction\":\"listen\"}]}");
    assert_int_equal(mapping.rules[0].instances, 1);
}

static void test_refuses_bad_json(void **state)
{
    static const struct refusal refusals[] = {
        {"", "line 1, column 0: '[' or '{' expected near end of file"},
        {"[]", "must be an object, not an array"},
        {"7", "line 1, column 1: '[' or '{' expected near '7'"},
        {"{\"version\":1,\n  \"rules\":[,]}", "line 2, column 12: unexpected token near ','"},
        {"{\"version\":1} x", "line 1, column 15: end of file expected near 'x'"},
        {"{\"version\":1}{}", "line 1, column 14: end of file expected near '{'"},
        {"{\"version\":1,\n\"version\":1}",
         "line 2, column 9: duplicate object key near '\"version\"'"},
        {"{\"version\":1,\"default\":\"a\tb\"}",
         "line 1, column 25: control character 0x9 near '\"a'"},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refused(refusals[i].text, refusals[i].why);
}

static void test_refuses_bad_top(void **state)
{
    static const struct refusal refusals[] = {
        {"{}", "version: is missing"},
        {"{\"version\":2}", "version: must be 1, not 2"},
        {"{\"version\":\"1\"}", "version: must be 1, not \"1\""},
        {"{\"version\":1.0}", "version: must be 1, not 1.0"},
        {"{\"version\":1,\"rule\":[]}", "rule: unknown key"},
        {"{\"version\":1,\"a\\nb\":[]}", "a?b: unknown key"},
        {"{\"version\":1,\"default\":[\"fast\"]}",
         "default: must be the name of a stack, not an array"},
        {"{\"version\":1,\"default\":null}", "default: must be the name of a stack, not null"},
        {"{\"version\":1,\"default\":\"slow\"}",
         "default: no stack has the name \"slow\" (there are: kernel, fast, rdma0)"},
        {"{\"version\":1,\"rules\":{}}", "rules: must be an array, not an object"},
        {"{\"version\":1,\"rules\":null}", "rules: must be an array, not null"},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refused(refusals[i].text, refusals[i].why);
}

static void test_refuses_bad_rule(void **state)
{
    static const struct refusal refusals[] = {
        {"[]", "rules[0]: must be an object, not an array"},
        {"{\"stack\":\"fast\",\"proto\":\"tcp\"}", "rules[0].proto: unknown key"},
        {"{\"port\":80}", "rules[0].stack: is missing"},
        {"{\"stack\":7}", "rules[0].stack: must be the name of a stack, not 7"},
        {"{\"stack\":\"FAST\"}",
         "rules[0].stack: no stack has the name \"FAST\" (there are: kernel, fast, rdma0)"},
        {"{\"stack\":[\"fast\"]}",
         "rules[0].stack: a list of stacks needs \"direction\": \"listen\""},
        {"{\"stack\":[\"fast\"],\"direction\":\"connect\"}",
         "rules[0].stack: a list of stacks needs \"direction\": \"listen\""},
        {"{\"stack\":[],\"direction\":\"listen\"}", "rules[0].stack: the list is empty"},
        {"{\"stack\":[\"fast\",\"slow\"],\"direction\":\"listen\"}",
         "rules[0].stack[1]: no stack has the name \"slow\" (there are: kernel, fast, rdma0)"},
        {"{\"stack\":[\"fast\",\"fast\"],\"direction\":\"listen\"}",
         "rules[0].stack[1]: \"fast\" is in the list twice"},
        {"{\"stack\":\"fast\"},{\"stack\":\"fsat\",\"port\":1}",
         "rules[1].stack: no stack has the name \"fsat\" (there are: kernel, fast, rdma0)"},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refused_rules(refusals[i].text, refusals[i].why);
}

static void test_refuses_bad_selectors(void **state)
{
    static const struct refusal refusals[] = {
        {"{\"stack\":\"fast\",\"protocol\":\"sctp\"}",
         "rules[0].protocol: must be \"tcp\" or \"udp\", not \"sctp\""},
        {"{\"stack\":\"fast\",\"protocol\":6}",
         "rules[0].protocol: must be \"tcp\" or \"udp\", not 6"},
        {"{\"stack\":\"fast\",\"direction\":\"in\"}",
         "rules[0].direction: must be \"connect\" or \"listen\", not \"in\""},
        {"{\"stack\":\"fast\",\"remote\":\"10.0.0.0/8\",\"direction\":\"listen\"}",
         "rules[0].remote: a listen has no remote address"},
        {"{\"stack\":\"fast\",\"remote\":\"10.0.0.0/8\",\"local\":\"fd00::/8\"}",
         "rules[0].local: is not of the same address family as remote"},
        {"{\"stack\":\"fast\",\"process\":\"\"}", "rules[0].process: is empty"},
        {"{\"stack\":\"fast\",\"process\":\"1234567890123456\"}",
         "rules[0].process: is 16 bytes long; the kernel keeps 15 of a process name"},
        {"{\"stack\":\"fast\",\"process\":\"a\\u0001\"}", "rules[0].process: has a control byte"},
        {"{\"stack\":\"fast\",\"process\":[\"a\"]}",
         "rules[0].process: must be a string, not an array"},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refused_rules(refusals[i].text, refusals[i].why);
}

static void test_refuses_bad_prefixes(void **state)
{
    static const char *const bad[] = {
        "\"10.88.0.1/16\"",
        "\"10.0.0.0/33\"",
        "\"10.0.0.0/\"",
        "\"10.0.0.0/08\"",
        "\"10.0.0.0/+8\"",
        "\"10.0.0/8\"",
        "\"/8\"",
        "\"\"",
        "\"any\"",
        "\"fd00::1/64\"",
        "\"fd00::/129\"",
        "\"fd00:::/8\"",
        "\"10.0.0.0 /8\"",
        "\"10.0.0.0/8 \"",
        "10",
        "\"fe80::%1/64\"",
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char rule[128];
        char why[256];
        snprintf(rule, sizeof(rule), "{\"stack\":\"fast\",\"remote\":%s}", bad[i]);
        snprintf(why, sizeof(why),
                 "rules[0].remote: %s is not an IPv4 or IPv6 prefix with its host bits zero",
                 bad[i]);
        refused_rules(rule, why);
        snprintf(rule, sizeof(rule), "{\"stack\":\"fast\",\"local\":%s}", bad[i]);
        snprintf(why, sizeof(why),
                 "rules[0].local: %s is not an IPv4 or IPv6 prefix with its host bits zero",
                 bad[i]);
        refused_rules(rule, why);
    }
}

static void test_refuses_bad_ports(void **state)
{
    static const char *const bad[] = {
        "0",       "-1",          "65536",    "\"80-\"",      "\"-80\"",
        "\"\"",    "\"443-80\"",  "\"0-80\"", "\"80-65536\"", "\"80-90-100\"",
        "\"080\"", "\"80 - 90\"", "80.0",     "true",         "\"http\"",
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char rule[128];
        char why[256];
        snprintf(rule, sizeof(rule), "{\"stack\":\"fast\",\"port\":%s}", bad[i]);
        snprintf(why, sizeof(why),
                 "rules[0].port: %s is not a port or a range of ports from 1 to 65535", bad[i]);
        refused_rules(rule, why);
    }
}

static void test_refuses_repeated_and_covered(void **state)
{
    static const struct refusal refusals[] = {
        {"{\"stack\":\"fast\"},{\"stack\":\"rdma0\"}",
         "rules[1]: repeats the selectors of rules[0]"},
        {"{\"stack\":\"fast\",\"remote\":\"10.0.0.0/8\"},"
         "{\"stack\":\"fast\",\"remote\":\"::ffff:10.0.0.0/104\"}",
         "rules[1]: repeats the selectors of rules[0]"},
        {"{\"stack\":\"fast\",\"remote\":\"10.0.0.0/8\"},"
         "{\"stack\":\"rdma0\",\"remote\":\"10.1.0.0/16\"}",
         "rules[1]: can never match: rules[0] covers it"},
        {"{\"stack\":\"fast\",\"remote\":\"0.0.0.0/0\"},"
         "{\"stack\":\"rdma0\",\"remote\":\"10.1.0.0/16\",\"protocol\":\"tcp\"}",
         "rules[1]: can never match: rules[0] covers it"},
        {"{\"stack\":\"fast\",\"local\":\"::/0\"},{\"stack\":\"rdma0\",\"local\":\"fd00::1\"}",
         "rules[1]: can never match: rules[0] covers it"},
        {"{\"stack\":\"fast\",\"port\":\"1-1023\"},{\"stack\":\"kernel\",\"port\":53},"
         "{\"stack\":\"rdma0\",\"port\":80}",
         "rules[1]: can never match: rules[0] covers it"},
        {"{\"stack\":\"fast\"},{\"stack\":\"kernel\",\"process\":\"sshd\"}",
         "rules[1]: can never match: rules[0] covers it"},
        {"{\"stack\":\"fast\",\"direction\":\"connect\"},"
         "{\"stack\":\"rdma0\",\"remote\":\"10.0.0.0/8\"}",
         "rules[1]: can never match: rules[0] covers it"},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refused_rules(refusals[i].text, refusals[i].why);
}

/* Selectors that overlap but leave the later rule something to match. */
static void test_accepts_overlap(void **state)
{
    static const char *const pairs[][2] = {
        {",\"remote\":\"10.1.0.0/16\"", ",\"remote\":\"10.0.0.0/8\""},
        {",\"remote\":\"0.0.0.0/0\"", ",\"remote\":\"::/0\""},
        {",\"port\":\"1-80\"", ",\"port\":\"80-90\""},
        {",\"process\":\"a\"", ",\"process\":\"b\""},
        {",\"remote\":\"10.0.0.0/8\"", ""},
        {",\"protocol\":\"tcp\"", ",\"port\":80"},
        {",\"direction\":\"listen\"", ",\"local\":\"10.0.0.1\""},
        /* Only a prefix speaks of loopback. */
        {"", ",\"remote\":\"127.0.0.0/8\""},
        {"", ",\"local\":\"::1\""},
        {"", ",\"remote\":\"0.0.0.0/0\""},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "{\"version\":1,\"rules\":[{\"stack\":\"fast\"%s},{\"stack\":\"rdma0\"%s}]}",
                 pairs[i][0], pairs[i][1]);
        taken(text);
        assert_int_equal(mapping.n_rules, 2);
    }
}

/* A mapping of `n` rules that differ in their port, followed by blanks up to `len` bytes. */
static char *many_rules(unsigned n, size_t len)
{
    char *text = calloc(1, len + 1);
    assert_non_null(text);
    size_t used = (size_t)snprintf(text, len, "{\"version\":1,\"rules\":[");
    for (unsigned i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, len - used, "%s{\"stack\":\"fast\",\"port\":%u}",
                                 i ? "," : "", i + 1);
    used += (size_t)snprintf(text + used, len - used, "]}");
    memset(text + used, ' ', len - used);
    return text;
}

static void test_limits(void **state)
{
    UNUSED(state);
    char *text = many_rules(256, (size_t)64 * 1024);
    taken(text);
    assert_int_equal(mapping.n_rules, 256);
    free(text);
    text = many_rules(257, (size_t)64 * 1024);
    refused(text, "rules: has 257 entries, more than 256");
    free(text);
    text = many_rules(1, (size_t)64 * 1024 + 1);
    assert_int_equal(parse(text), -EFBIG);
    assert_string_equal(err.text, "test: is 65537 bytes long, more than 65536");
    free(text);
}

static void test_long_values_are_cut_in_messages(void **state)
{
    char text[4096];
    char name[3000];
    UNUSED(state);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(text, sizeof(text), "{\"version\":1,\"default\":\"%s\"}", name);
    assert_int_equal(parse(text), -EINVAL);
    assert_non_null(strstr(err.text, "nnn...\" (there are: kernel, fast, rdma0)"));
    snprintf(text, sizeof(text), "{\"version\":1,\"%s\":1}", name);
    assert_int_equal(parse(text), -EINVAL);
    assert_non_null(strstr(err.text, "nnn: unknown key"));
}

static int parse_with(const char *const *names, unsigned n)
{
    memset(&err, 0, sizeof(err));
    return dmm_mapping_parse(&mapping, "{\"version\":1}", 13, names, n, "test", &err);
}

static void test_instances(void **state)
{
    static const char *const in_it[] = {"fast", "kernel", "z"};
    static const char *const twice[] = {"fast", "fast"};
    static const char *const bad[] = {"Fast"};
    const char *many[16] = {"a", "b", "c", "d", "e", "f", "g", "h",
                            "i", "j", "k", "l", "m", "n", "o", "p"};
    UNUSED(state);
    assert_int_equal(parse_with(in_it, 3), 0);
    assert_int_equal(mapping.n_instances, 3);
    assert_string_equal(mapping.instances[0], "kernel");
    assert_string_equal(mapping.instances[2], "z");
    assert_int_equal(parse_with(NULL, 0), 0);
    assert_int_equal(mapping.n_instances, 1);
    assert_int_equal(parse_with(many, 15), 0);
    assert_int_equal(mapping.n_instances, 16);
    assert_int_equal(parse_with(many, 16), -EINVAL);
    assert_string_equal(err.text, "test: more than 16 stacks");
    assert_int_equal(parse_with(twice, 2), -EINVAL);
    assert_string_equal(err.text, "test: stack \"fast\" is configured twice");
    assert_int_equal(parse_with(bad, 1), -EINVAL);
    assert_string_equal(err.text, "test: \"Fast\" is not a valid stack name");
}

static void test_from_word(void **state)
{
    UNUSED(state);
    assert_int_equal(dmm_mapping_from_word(&mapping, "rdma0", instances, 2, "test", &err), 0);
    assert_true(dmm_mapping_check(&mapping));
    assert_int_equal(mapping.default_instance, 2);
    assert_int_equal(mapping.n_rules, 0);
    assert_int_equal(dmm_mapping_from_word(&mapping, "kernel", NULL, 0, "test", &err), 0);
    assert_int_equal(mapping.default_instance, 0);
    assert_int_equal(
        dmm_mapping_from_word(&mapping, "slow", instances, 2, "annotation dmm.fd.io/stack", &err),
        -EINVAL);
    assert_string_equal(err.text,
                        "annotation dmm.fd.io/stack: no stack has the name \"slow\" (there "
                        "are: kernel, fast, rdma0)");
    assert_int_equal(dmm_mapping_from_word(&mapping, "", instances, 2, "test", NULL), -EINVAL);
}

static void test_without_error_value(void **state)
{
    UNUSED(state);
    assert_int_equal(dmm_mapping_parse(&mapping, "{", 1, instances, 2, "test", NULL), -EINVAL);
    assert_int_equal(dmm_mapping_parse(&mapping, "{}", 2, instances, 2, "test", NULL), -EINVAL);
}

static void test_canonical_round_trip(void **state)
{
    static const char canonical[] = "{\n"
                                    "  \"version\": 1,\n"
                                    "  \"default\": \"fast\",\n"
                                    "  \"rules\": [\n"
                                    "    {\n"
                                    "      \"stack\": \"rdma0\",\n"
                                    "      \"protocol\": \"tcp\",\n"
                                    "      \"direction\": \"connect\",\n"
                                    "      \"remote\": \"10.88.0.0/16\",\n"
                                    "      \"local\": \"10.0.0.1/32\",\n"
                                    "      \"port\": \"80-443\",\n"
                                    "      \"process\": \"mysqld\"\n"
                                    "    },\n"
                                    "    {\n"
                                    "      \"stack\": [\n"
                                    "        \"kernel\",\n"
                                    "        \"rdma0\"\n"
                                    "      ],\n"
                                    "      \"direction\": \"listen\",\n"
                                    "      \"port\": 8080\n"
                                    "    }\n"
                                    "  ]\n"
                                    "}";
    UNUSED(state);
    taken("{\"rules\":[{\"process\":\"mysqld\",\"port\":\"80-443\",\"local\":\"10.0.0.1\","
          "\"remote\":\"::ffff:10.88.0.0/112\",\"direction\":\"connect\",\"protocol\":\"tcp\","
          "\"stack\":\"rdma0\"},{\"stack\":[\"rdma0\",\"kernel\"],\"port\":\"8080-8080\","
          "\"direction\":\"listen\"}],\"default\":\"fast\",\"version\":1}");
    char *text = dmm_mapping_format(&mapping);
    assert_string_equal(text, canonical);
    free(text);
    taken(canonical);
    text = dmm_mapping_format(&mapping);
    assert_string_equal(text, canonical);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_least_forms),
        cmocka_unit_test(test_refuses_bad_json),
        cmocka_unit_test(test_refuses_bad_top),
        cmocka_unit_test(test_refuses_bad_rule),
        cmocka_unit_test(test_refuses_bad_selectors),
        cmocka_unit_test(test_refuses_bad_prefixes),
        cmocka_unit_test(test_refuses_bad_ports),
        cmocka_unit_test(test_refuses_repeated_and_covered),
        cmocka_unit_test(test_accepts_overlap),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long_values_are_cut_in_messages),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_from_word),
        cmocka_unit_test(test_without_error_value),
        cmocka_unit_test(test_canonical_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
