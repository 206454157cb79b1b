/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings that came through memory: each invariant of common/mapping.h, broken alone. */
#include "common/mapping.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>
#include <string.h>

static struct dmm_mapping mapping;

static int valid_mapping(void **state)
{
    static const char *const instances[] = {"fast", "rdma0"};
    static const char text[] =
        "{\"version\":1,\"rules\":[{\"stack\":\"fast\",\"remote\":\"10.0.0.0/8\"},"
        "{\"stack\":[\"kernel\",\"rdma0\"],\"direction\":\"listen\",\"local\":\"fd00::/8\"}]}";
    UNUSED(state);
    if (dmm_mapping_parse(&mapping, text, sizeof(text) - 1, instances, 2, "test", NULL) < 0)
        return -1;
    return dmm_mapping_check(&mapping) ? 0 : -1;
}

static void set_name(int index, const char *name)
{
    snprintf(mapping.instances[index], DMM_INSTANCE_NAME, "%s", name);
}

static void test_counts(void **state)
{
    UNUSED(state);
    mapping.n_instances = 0;
    assert_false(dmm_mapping_check(&mapping));
    mapping.n_instances = DMM_MAPPING_INSTANCES + 1;
    assert_false(dmm_mapping_check(&mapping));
    mapping.n_instances = UINT32_MAX;
    assert_false(dmm_mapping_check(&mapping));
    mapping.n_instances = 3;
    mapping.n_rules = DMM_MAPPING_RULES + 1;
    assert_false(dmm_mapping_check(&mapping));
    mapping.n_rules = UINT32_MAX;
    assert_false(dmm_mapping_check(&mapping));
    mapping.n_rules = 2;
    mapping.default_instance = 3;
    assert_false(dmm_mapping_check(&mapping));
    mapping.default_instance = 2;
    assert_true(dmm_mapping_check(&mapping));
}

static void test_instance_names(void **state)
{
    static const char *const bad[] = {"",    "fast-",  "-fast", "Fast",
                                      "a.b", "kernel", "rdma0", "a\n"};
    UNUSED(state);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_name(1, bad[i]);
        assert_false(dmm_mapping_check(&mapping));
    }
    memset(mapping.instances[1], 'a', DMM_INSTANCE_NAME);
    assert_false(dmm_mapping_check(&mapping));
    set_name(1, "fast");
    set_name(0, "colonel");
    assert_false(dmm_mapping_check(&mapping));
}

static void test_rule_instances(void **state)
{
    UNUSED(state);
    mapping.rules[0].instances = 0;
    assert_false(dmm_mapping_check(&mapping));
    mapping.rules[0].instances = 1 << 3;
    assert_false(dmm_mapping_check(&mapping));
    mapping.rules[0].instances = 3;
    assert_false(dmm_mapping_check(&mapping));
    mapping.rules[0].direction = DMM_DIR_LISTEN;
    assert_true(dmm_mapping_check(&mapping));
    mapping.rules[0].instances = 1U << 31 | 1;
    assert_false(dmm_mapping_check(&mapping));
}

static void test_rule_selectors(void **state)
{
    const struct dmm_mapping_rule good = mapping.rules[1];
    struct dmm_mapping_rule *rule = &mapping.rules[1];
    UNUSED(state);
    rule->direction = 3;
    assert_false(dmm_mapping_check(&mapping));
    *rule = good;
    rule->protocol = IPPROTO_ICMP;
    assert_false(dmm_mapping_check(&mapping));
    *rule = good;
    rule->port_first = 2;
    rule->port_last = 1;
    assert_false(dmm_mapping_check(&mapping));
    *rule = good;
    rule->remote.family = AF_UNIX;
    assert_false(dmm_mapping_check(&mapping));
    *rule = good;
    rule->local.len = 129;
    assert_false(dmm_mapping_check(&mapping));
    rule->local.family = AF_INET;
    rule->local.len = 33;
    assert_false(dmm_mapping_check(&mapping));
    *rule = good;
    memset(rule->process, 'a', sizeof(rule->process));
    assert_false(dmm_mapping_check(&mapping));
    *rule = good;
    assert_true(dmm_mapping_check(&mapping));
}

/* What lies behind n_rules is nobody's. */
static void test_unused_rules_are_not_looked_at(void **state)
{
    UNUSED(state);
    memset(&mapping.rules[2], 0xff, sizeof(mapping.rules[2]));
    memset(mapping.instances[3], 0xff, DMM_INSTANCE_NAME);
    assert_true(dmm_mapping_check(&mapping));
}

static void test_full(void **state)
{
    struct dmm_mapping_query query = {.protocol = IPPROTO_TCP, .direction = DMM_DIR_LISTEN};
    UNUSED(state);
    mapping.n_instances = DMM_MAPPING_INSTANCES;
    for (int i = 3; i < DMM_MAPPING_INSTANCES; i++)
        set_name(i, (const char[]){(char)('a' + i), '\0'});
    mapping.n_rules = DMM_MAPPING_RULES;
    for (int i = 2; i < DMM_MAPPING_RULES; i++)
        mapping.rules[i] = mapping.rules[0];
    assert_true(dmm_mapping_check(&mapping));
    assert_int_equal(dmm_mapping_match(&mapping, &query).instances, 0xffff);
    assert_int_equal(dmm_mapping_instance(&mapping, "d"), 3);
}

static void test_instance_index(void **state)
{
    UNUSED(state);
    assert_int_equal(dmm_mapping_instance(&mapping, "kernel"), DMM_INSTANCE_KERNEL);
    assert_int_equal(dmm_mapping_instance(&mapping, "rdma0"), 2);
    assert_int_equal(dmm_mapping_instance(&mapping, "rdma"), -1);
    assert_int_equal(dmm_mapping_instance(&mapping, ""), -1);
    assert_int_equal(dmm_mapping_instance(&mapping, "rdma0567890123456"), -1);
}

static void test_name_valid(void **state)
{
    static const char *const good[] = {"a", "0", "fast", "fast-1", "a--b", "123456789012345"};
    static const char *const bad[] = {"",   "-",  "-a",  "a-", "A",
                                      "a_", "a/", "a b", "é",  "1234567890123456"};
    UNUSED(state);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(dmm_instance_name_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(dmm_instance_name_valid(bad[i]));
}

static void test_by_process(void **state)
{
    UNUSED(state);
    assert_false(dmm_mapping_by_process(&mapping));
    snprintf(mapping.rules[1].process, DMM_PROCESS_NAME, "mysqld");
    assert_true(dmm_mapping_by_process(&mapping));
    mapping.n_rules = 1;
    assert_false(dmm_mapping_by_process(&mapping));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_counts, valid_mapping),
        cmocka_unit_test_setup(test_instance_names, valid_mapping),
        cmocka_unit_test_setup(test_rule_instances, valid_mapping),
        cmocka_unit_test_setup(test_rule_selectors, valid_mapping),
        cmocka_unit_test_setup(test_unused_rules_are_not_looked_at, valid_mapping),
        cmocka_unit_test_setup(test_full, valid_mapping),
        cmocka_unit_test_setup(test_instance_index, valid_mapping),
        cmocka_unit_test(test_name_valid),
        cmocka_unit_test_setup(test_by_process, valid_mapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
