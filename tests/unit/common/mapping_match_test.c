/* SPDX-License-Identifier: Apache-2.0 */
/* Which socket goes where: dmm_mapping_match() on mappings written as an operator writes them. */
#include "common/mapping.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/common/mapping_say.h"

#include <stdio.h>
#include <string.h>

static struct dmm_mapping mapping;

/* Sets the mapping under test: `rules` is the inside of the array. */
static void given(const char *default_stack, const char *rules)
{
    static const char *const instances[] = {"fast", "rdma0"};
    struct dmm_err err = {0};
    char text[2048];
    snprintf(text, sizeof(text), "{\"version\":1,\"default\":\"%s\",\"rules\":[%s]}", default_stack,
             rules);
    if (dmm_mapping_parse(&mapping, text, strlen(text), instances, 2, "test", &err) < 0)
        fail_msg("%s", err.text);
    assert_true(dmm_mapping_check(&mapping));
}

static const char *answer_to(const struct dmm_mapping_query *query)
{
    static char text[MAPPING_SAY];
    return mapping_say(&mapping, query, text);
}

static struct dmm_addr addr_of(const char *ip, uint16_t port)
{
    struct dmm_addr addr;
    assert_int_equal(dmm_addr_parse(&addr, ip), 0);
    addr.port = port;
    return addr;
}

static const char *connect_to(const char *ip, uint16_t port)
{
    struct dmm_mapping_query query = {.protocol = IPPROTO_TCP, .direction = DMM_DIR_CONNECT};
    query.process = "nginx";
    query.remote = addr_of(ip, port);
    return answer_to(&query);
}

static const char *listen_on(const char *ip, uint16_t port)
{
    struct dmm_mapping_query query = {.protocol = IPPROTO_TCP, .direction = DMM_DIR_LISTEN};
    query.process = "nginx";
    query.local = addr_of(ip, port);
    return answer_to(&query);
}

static void test_default(void **state)
{
    UNUSED(state);
    given("fast", "");
    assert_string_equal(connect_to("10.1.2.3", 80), "fast default");
    assert_string_equal(connect_to("fd00::1", 80), "fast default");
    assert_string_equal(listen_on("10.1.2.3", 80), "fast default");
    given("kernel", "");
    assert_string_equal(connect_to("10.1.2.3", 80), "kernel default");
}

static void test_narrow_prefix_before_wide(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"rdma0\",\"remote\":\"10.88.1.0/24\"},"
                    "{\"stack\":\"fast\",\"remote\":\"10.88.0.0/16\"}");
    assert_string_equal(connect_to("10.88.1.7", 80), "rdma0 rule 0");
    assert_string_equal(connect_to("10.88.2.7", 80), "fast rule 1");
    assert_string_equal(connect_to("10.89.1.7", 80), "kernel default");
}

/* The wide rule in front wins for all that it matches; the narrow one takes what the wide one's
 * other selectors leave. */
static void test_wide_prefix_before_narrow(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"10.88.0.0/16\",\"port\":\"1-1023\"},"
                    "{\"stack\":\"rdma0\",\"remote\":\"10.88.1.0/24\"}");
    assert_string_equal(connect_to("10.88.1.7", 80), "fast rule 0");
    assert_string_equal(connect_to("10.88.1.7", 3306), "rdma0 rule 1");
    assert_string_equal(connect_to("10.88.2.7", 80), "fast rule 0");
    assert_string_equal(connect_to("10.88.2.7", 3306), "kernel default");
}

static void test_ipv6_prefixes_both_orders(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"rdma0\",\"remote\":\"fd00:1::/33\"},"
                    "{\"stack\":\"fast\",\"remote\":\"fd00::/8\"}");
    assert_string_equal(connect_to("fd00:1:7fff::1", 80), "rdma0 rule 0");
    assert_string_equal(connect_to("fd00:1:8000::1", 80), "fast rule 1");
    assert_string_equal(connect_to("fe00::1", 80), "kernel default");
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"fd00::/8\",\"protocol\":\"udp\"},"
                    "{\"stack\":\"rdma0\",\"remote\":\"fd00:1::/32\"}");
    assert_string_equal(connect_to("fd00:1::1", 80), "rdma0 rule 1");
    assert_string_equal(connect_to("fd00:2::1", 80), "kernel default");
}

static void test_slash_zero_is_its_whole_family(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"0.0.0.0/0\"}");
    assert_string_equal(connect_to("10.1.2.3", 80), "fast rule 0");
    assert_string_equal(connect_to("255.255.255.255", 80), "fast rule 0");
    assert_string_equal(connect_to("::ffff:10.1.2.3", 80), "fast rule 0");
    assert_string_equal(connect_to("fd00::1", 80), "kernel default");
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"::/0\"}");
    assert_string_equal(connect_to("fd00::1", 80), "fast rule 0");
    assert_string_equal(connect_to("10.1.2.3", 80), "kernel default");
    assert_string_equal(connect_to("::ffff:10.1.2.3", 80), "kernel default");
}

static void test_slash_zero_and_nested(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"kernel\",\"remote\":\"10.0.0.0/8\"},"
                    "{\"stack\":\"fast\",\"remote\":\"0.0.0.0/0\"}");
    assert_string_equal(connect_to("10.1.2.3", 80), "kernel rule 0");
    assert_string_equal(connect_to("11.1.2.3", 80), "fast rule 1");
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"0.0.0.0/0\",\"port\":80},"
                    "{\"stack\":\"rdma0\",\"remote\":\"10.0.0.0/8\"}");
    assert_string_equal(connect_to("10.1.2.3", 80), "fast rule 0");
    assert_string_equal(connect_to("10.1.2.3", 81), "rdma0 rule 1");
}

static void test_prefix_edges(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"10.1.2.128/25\"},"
                    "{\"stack\":\"rdma0\",\"remote\":\"10.1.2.3\"}");
    assert_string_equal(connect_to("10.1.2.128", 80), "fast rule 0");
    assert_string_equal(connect_to("10.1.2.255", 80), "fast rule 0");
    assert_string_equal(connect_to("10.1.2.127", 80), "kernel default");
    assert_string_equal(connect_to("10.1.3.0", 80), "kernel default");
    assert_string_equal(connect_to("10.1.2.3", 80), "rdma0 rule 1");
    assert_string_equal(connect_to("10.1.2.2", 80), "kernel default");
}

static void test_ports(void **state)
{
    UNUSED(state);
    given("kernel",
          "{\"stack\":\"fast\",\"port\":\"80-443\"},{\"stack\":\"rdma0\",\"port\":65535}");
    assert_string_equal(connect_to("10.1.2.3", 79), "kernel default");
    assert_string_equal(connect_to("10.1.2.3", 80), "fast rule 0");
    assert_string_equal(connect_to("10.1.2.3", 443), "fast rule 0");
    assert_string_equal(connect_to("10.1.2.3", 444), "kernel default");
    assert_string_equal(connect_to("10.1.2.3", 65535), "rdma0 rule 1");
    assert_string_equal(listen_on("10.1.2.3", 80), "fast rule 0");
    assert_string_equal(listen_on("0.0.0.0", 80), "fast rule 0");
    assert_string_equal(listen_on("0.0.0.0", 8080), "kernel+fast+rdma0 wildcard");
}

/* `port` is the remote port of a connect, whatever the local one is. */
static void test_port_of_a_bound_connect(void **state)
{
    struct dmm_mapping_query query = {.protocol = IPPROTO_TCP, .direction = DMM_DIR_CONNECT};
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"port\":80}");
    query.remote = addr_of("10.1.2.3", 443);
    query.local = addr_of("10.1.2.4", 80);
    assert_string_equal(answer_to(&query), "kernel default");
    query.remote.port = 80;
    query.local.port = 443;
    assert_string_equal(answer_to(&query), "fast rule 0");
}

static void test_local_prefix_of_a_bound_connect(void **state)
{
    struct dmm_mapping_query query = {.protocol = IPPROTO_TCP, .direction = DMM_DIR_CONNECT};
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"local\":\"10.88.0.0/16\",\"remote\":\"10.0.0.0/8\"}");
    query.remote = addr_of("10.1.2.3", 80);
    assert_string_equal(answer_to(&query), "kernel default");
    query.local = addr_of("10.88.0.2", 0);
    assert_string_equal(answer_to(&query), "fast rule 0");
    query.remote = addr_of("11.1.2.3", 80);
    assert_string_equal(answer_to(&query), "kernel default");
}

static void test_protocol(void **state)
{
    struct dmm_mapping_query query = {.protocol = IPPROTO_UDP, .direction = DMM_DIR_CONNECT};
    UNUSED(state);
    given("kernel",
          "{\"stack\":\"fast\",\"protocol\":\"tcp\"},{\"stack\":\"rdma0\",\"protocol\":\"udp\"}");
    query.remote = addr_of("10.1.2.3", 53);
    assert_string_equal(answer_to(&query), "rdma0 rule 1");
    query.protocol = IPPROTO_TCP;
    assert_string_equal(answer_to(&query), "fast rule 0");
}

static void test_direction(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"direction\":\"listen\"},"
                    "{\"stack\":\"rdma0\",\"direction\":\"connect\"}");
    assert_string_equal(listen_on("10.1.2.3", 80), "fast rule 0");
    assert_string_equal(connect_to("10.1.2.3", 80), "rdma0 rule 1");
}

static void test_process(void **state)
{
    struct dmm_mapping_query query = {.protocol = IPPROTO_TCP, .direction = DMM_DIR_CONNECT};
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"process\":\"mysqld\"}");
    query.remote = addr_of("10.1.2.3", 80);
    query.process = "mysqld";
    assert_string_equal(answer_to(&query), "fast rule 0");
    query.process = "mysql";
    assert_string_equal(answer_to(&query), "kernel default");
    query.process = "mysqld2";
    assert_string_equal(answer_to(&query), "kernel default");
    query.process = NULL;
    assert_string_equal(answer_to(&query), "kernel default");
}

static void test_wildcard_listen(void **state)
{
    struct dmm_mapping_query unbound = {.protocol = IPPROTO_TCP, .direction = DMM_DIR_LISTEN};
    UNUSED(state);
    given("fast", "{\"stack\":\"rdma0\",\"direction\":\"connect\"}");
    assert_string_equal(listen_on("0.0.0.0", 80), "kernel+fast+rdma0 wildcard");
    assert_string_equal(listen_on("::", 80), "kernel+fast+rdma0 wildcard");
    assert_string_equal(listen_on("::ffff:0.0.0.0", 80), "kernel+fast+rdma0 wildcard");
    assert_string_equal(listen_on("0.0.0.0", 0), "kernel+fast+rdma0 wildcard");
    assert_string_equal(answer_to(&unbound), "kernel+fast+rdma0 wildcard");
    assert_string_equal(listen_on("10.1.2.3", 80), "fast default");
}

static void test_listen_rule_narrows_a_wildcard(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":[\"rdma0\",\"kernel\"],\"direction\":\"listen\",\"port\":8080},"
                    "{\"stack\":\"fast\",\"direction\":\"listen\",\"port\":80}");
    assert_string_equal(listen_on("0.0.0.0", 8080), "kernel+rdma0 rule 0");
    assert_string_equal(listen_on("::", 80), "fast rule 1");
    assert_string_equal(listen_on("::", 81), "kernel+fast+rdma0 wildcard");
}

/* A local prefix is about an address, and a wildcard listen has none: only /0 speaks of it. */
static void test_local_prefix_and_wildcard(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"local\":\"0.0.0.0/8\"},"
                    "{\"stack\":\"rdma0\",\"local\":\"0.0.0.0/0\"}");
    assert_string_equal(listen_on("0.0.0.1", 80), "fast rule 0");
    assert_string_equal(listen_on("0.0.0.0", 80), "rdma0 rule 1");
    assert_string_equal(listen_on("10.1.2.3", 80), "rdma0 rule 1");
    assert_string_equal(listen_on("::", 80), "kernel+fast+rdma0 wildcard");
    given("kernel", "{\"stack\":\"rdma0\",\"local\":\"::/0\"}");
    assert_string_equal(listen_on("::", 80), "rdma0 rule 0");
    assert_string_equal(listen_on("0.0.0.0", 80), "kernel+fast+rdma0 wildcard");
}

static void test_listen_on_an_address(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"local\":\"10.88.0.0/16\"},"
                    "{\"stack\":\"rdma0\",\"local\":\"fd00::2\",\"direction\":\"listen\"}");
    assert_string_equal(listen_on("10.88.0.2", 80), "fast rule 0");
    assert_string_equal(listen_on("::ffff:10.88.0.2", 80), "fast rule 0");
    assert_string_equal(listen_on("10.89.0.2", 80), "kernel default");
    assert_string_equal(listen_on("fd00::2", 80), "rdma0 rule 1");
    assert_string_equal(listen_on("fd00::3", 80), "kernel default");
}

static void test_remote_says_nothing_of_a_listen(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"0.0.0.0/0\"}");
    assert_string_equal(listen_on("10.1.2.3", 80), "kernel default");
    assert_string_equal(listen_on("0.0.0.0", 80), "kernel+fast+rdma0 wildcard");
}

static void test_loopback_is_the_kernel(void **state)
{
    static const char *const loopback[] = {"127.0.0.1", "127.255.255.254", "::1",
                                           "::ffff:127.0.0.1"};
    UNUSED(state);
    given("fast", "{\"stack\":\"rdma0\",\"protocol\":\"tcp\"}");
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
        assert_string_equal(connect_to(loopback[i], 80), "kernel loopback");
        assert_string_equal(listen_on(loopback[i], 80), "kernel loopback");
    }
    assert_string_equal(connect_to("128.0.0.1", 80), "rdma0 rule 0");
    assert_string_equal(connect_to("::2", 80), "rdma0 rule 0");
}

static void test_a_prefix_speaks_of_loopback(void **state)
{
    UNUSED(state);
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"127.0.0.1\"},"
                    "{\"stack\":\"rdma0\",\"remote\":\"::/0\"}");
    assert_string_equal(connect_to("127.0.0.1", 80), "fast rule 0");
    assert_string_equal(connect_to("127.0.0.2", 80), "kernel loopback");
    assert_string_equal(connect_to("::1", 80), "rdma0 rule 1");
    assert_string_equal(listen_on("127.0.0.1", 80), "kernel loopback");
    given("kernel", "{\"stack\":\"fast\",\"local\":\"0.0.0.0/0\"}");
    assert_string_equal(listen_on("127.0.0.1", 80), "fast rule 0");
    assert_string_equal(connect_to("127.0.0.1", 80), "kernel loopback");
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"10.0.0.0/8\"}");
    assert_string_equal(connect_to("127.0.0.1", 80), "kernel loopback");
}

/* Linux: connect(0.0.0.0) reaches what listens on loopback. */
static void test_connect_to_any_is_loopback(void **state)
{
    UNUSED(state);
    given("fast", "{\"stack\":\"rdma0\",\"remote\":\"10.0.0.0/8\"}");
    assert_string_equal(connect_to("0.0.0.0", 80), "kernel loopback");
    assert_string_equal(connect_to("::", 80), "kernel loopback");
    assert_string_equal(connect_to("::ffff:0.0.0.0", 80), "kernel loopback");
    given("kernel", "{\"stack\":\"fast\",\"remote\":\"127.0.0.0/8\"},"
                    "{\"stack\":\"rdma0\",\"remote\":\"::1\"}");
    assert_string_equal(connect_to("0.0.0.0", 80), "fast rule 0");
    assert_string_equal(connect_to("::", 80), "rdma0 rule 1");
}

/* An address that is not known yet: selectors on it, the port among them, do not match. */
static void test_unknown_address(void **state)
{
    struct dmm_mapping_query query = {.protocol = IPPROTO_TCP, .direction = DMM_DIR_CONNECT};
    UNUSED(state);
    given("kernel",
          "{\"stack\":\"rdma0\",\"port\":80},{\"stack\":\"rdma0\",\"remote\":\"0.0.0.0/0\"},"
          "{\"stack\":\"fast\",\"protocol\":\"tcp\"}");
    assert_string_equal(answer_to(&query), "fast rule 2");
}

static void test_rule_to_the_kernel(void **state)
{
    UNUSED(state);
    given("fast", "{\"stack\":\"kernel\",\"port\":53}");
    assert_string_equal(connect_to("10.1.2.3", 53), "kernel rule 0");
    assert_string_equal(connect_to("10.1.2.3", 54), "fast default");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_narrow_prefix_before_wide),
        cmocka_unit_test(test_wide_prefix_before_narrow),
        cmocka_unit_test(test_ipv6_prefixes_both_orders),
        cmocka_unit_test(test_slash_zero_is_its_whole_family),
        cmocka_unit_test(test_slash_zero_and_nested),
        cmocka_unit_test(test_prefix_edges),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_port_of_a_bound_connect),
        cmocka_unit_test(test_local_prefix_of_a_bound_connect),
        cmocka_unit_test(test_protocol),
        cmocka_unit_test(test_direction),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_wildcard_listen),
        cmocka_unit_test(test_listen_rule_narrows_a_wildcard),
        cmocka_unit_test(test_local_prefix_and_wildcard),
        cmocka_unit_test(test_listen_on_an_address),
        cmocka_unit_test(test_remote_says_nothing_of_a_listen),
        cmocka_unit_test(test_loopback_is_the_kernel),
        cmocka_unit_test(test_a_prefix_speaks_of_loopback),
        cmocka_unit_test(test_connect_to_any_is_loopback),
        cmocka_unit_test(test_unknown_address),
        cmocka_unit_test(test_rule_to_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
