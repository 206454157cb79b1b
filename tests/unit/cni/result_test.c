/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/error.h"
#include "cni/result.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const latest =
    "{\"ips\":[{\"address\":\"10.1.0.5/16\",\"gateway\":\"10.1.0.1\"},"
    "{\"address\":\"fd00::5/64\"}],"
    "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"mtu\":1400,\"advmss\":1360,\"priority\":10,\"table\":5,"
    "\"scope\":0},{\"dst\":\"10.9.0.0/16\",\"gw\":\"10.1.0.7\"},{\"dst\":\"::/0\"},"
    "{\"dst\":\"10.1.9.9/32\",\"scope\":253}],"
    "\"dns\":{\"nameservers\":[\"10.1.0.1\"]}}";

static void parse(struct dmm_result *result, const char *text)
{
    struct dmm_err err = {0};
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    if (dmm_result_parse(result, json, &err))
        fail_msg("%s", err.text);
    json_decref(json);
}

static json_t *in_version(enum dmm_cni_version version)
{
    struct dmm_result result;
    parse(&result, latest);
    json_array_append_new(result.interfaces, dmm_result_interface("net1", "02:00:00:00:00:01",
                                                                  "/run/netns/x", 1400, "/s"));
    dmm_result_set_interface(&result, 0);
    json_t *json = dmm_result_json(&result, version);
    dmm_result_free(&result);
    assert_non_null(json);
    return json;
}

static void forms_by_version(void **state)
{
    UNUSED(state);
    for (int v = 0; v < DMM_CNI_VERSIONS; v++) {
        json_t *json = in_version((enum dmm_cni_version)v);
        const json_t *ip = json_array_get(json_object_get(json, "ips"), 0);
        const json_t *ip6 = json_array_get(json_object_get(json, "ips"), 1);
        const json_t *route = json_array_get(json_object_get(json, "routes"), 0);
        const json_t *interface = json_array_get(json_object_get(json, "interfaces"), 0);
        assert_string_equal(json_string_value(json_object_get(json, "cniVersion")),
                            dmm_cni_version_text((enum dmm_cni_version)v));
        assert_int_equal(json_integer_value(json_object_get(ip, "interface")), 0);
        if (v < DMM_CNI_1_0_0) {
            assert_string_equal(json_string_value(json_object_get(ip, "version")), "4");
            assert_string_equal(json_string_value(json_object_get(ip6, "version")), "6");
        } else {
            assert_null(json_object_get(ip, "version"));
            assert_null(json_object_get(ip6, "version"));
        }
        bool attributes = v >= DMM_CNI_1_1_0;
        static const char *const new_keys[] = {"mtu", "advmss", "priority", "table", "scope"};
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(json_object_get(route, new_keys[i]) != NULL, attributes);
        assert_int_equal(json_object_get(interface, "mtu") != NULL, attributes);
        assert_int_equal(json_object_get(interface, "socketPath") != NULL, attributes);
        assert_string_equal(json_string_value(json_object_get(interface, "sandbox")),
                            "/run/netns/x");
        assert_non_null(json_object_get(json_object_get(json, "dns"), "nameservers"));
        json_decref(json);
    }
}

/* What one version prints, every other one reads. */
static void versions_read_each_other(void **state)
{
    UNUSED(state);
    for (int v = 0; v < DMM_CNI_VERSIONS; v++) {
        struct dmm_result result;
        struct dmm_err err = {0};
        json_t *json = in_version((enum dmm_cni_version)v);
        assert_int_equal(dmm_result_parse(&result, json, &err), 0);
        assert_null(json_object_get(json_array_get(result.ips, 0), "version"));
        assert_int_equal(json_array_size(result.routes), 4);
        dmm_result_free(&result);
        json_decref(json);
    }
}

static void to_the_port(void **state)
{
    UNUSED(state);
    struct dmm_result result;
    struct dmm_err err = {0};
    struct dmm_port_config port = {0};
    char text[DMM_ADDR_STRLEN];
    parse(&result, latest);
    assert_int_equal(dmm_result_to_port(&result, &port, &err), 0);
    assert_int_equal(port.n_addresses, 2);
    assert_int_equal(port.addresses[0].prefix_len, 16);
    assert_int_equal(port.addresses[1].prefix_len, 64);
    assert_string_equal(dmm_addr_format_ip(&port.addresses[0].addr, text), "10.1.0.5");
    assert_int_equal(port.n_routes, 4);
    /* A route without gw goes by the gateway of its family, or is on the link. */
    assert_string_equal(dmm_addr_format_ip(&port.routes[0].gateway, text), "10.1.0.1");
    assert_string_equal(dmm_addr_format_ip(&port.routes[1].gateway, text), "10.1.0.7");
    assert_int_equal(port.routes[2].gateway.family, 0);
    assert_int_equal(port.routes[3].gateway.family, 0); /* by its scope */
    dmm_result_free(&result);
}

static void bad_results(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        const char *named;
    } cases[] = {
        {"[]", "not an object"},
        {"{\"ips\":{}}", "ips: must be an array"},
        {"{\"ips\":[7]}", "ips[0]: must be an object"},
        {"{\"ips\":[{}]}", "ips[0].address"},
        {"{\"ips\":[{\"address\":\"10.0.0.1\"}]}", "ips[0].address"},
        {"{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}", "ips[0].address"},
        {"{\"ips\":[{\"address\":\"10.0.0.1/-1\"}]}", "ips[0].address"},
        {"{\"ips\":[{\"address\":\"10.0.0.1/8x\"}]}", "ips[0].address"},
        {"{\"ips\":[{\"address\":\"10.0.0.1/8\",\"gateway\":\"x\"}]}", "ips[0].gateway"},
        {"{\"routes\":[{\"dst\":\"10.0.0.1/8\"}]}", "routes[0].dst"},
        {"{\"routes\":[{\"dst\":\"::/0\",\"gw\":7}]}", "routes[0].gw"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_result result;
        struct dmm_err err = {0};
        json_t *json = json_loads(cases[i].text, 0, NULL);
        assert_non_null(json);
        assert_true(dmm_result_parse(&result, json, &err) < 0);
        if (!strstr(err.text, cases[i].named))
            fail_msg("%s: %s", cases[i].text, err.text);
        json_decref(json);
    }
}

static void too_many_for_the_port(void **state)
{
    UNUSED(state);
    struct dmm_result result;
    struct dmm_err err = {0};
    struct dmm_port_config port = {0};
    assert_int_equal(dmm_result_init(&result), 0);
    for (int i = 0; i <= DMM_PORT_ADDRESSES; i++)
        json_array_append_new(result.ips, json_pack("{s:s}", "address", "10.0.0.1/8"));
    assert_int_equal(dmm_result_to_port(&result, &port, &err), -E2BIG);
    dmm_result_free(&result);
}

static void errors_are_objects(void **state)
{
    UNUSED(state);
    struct dmm_cni_error error = {0};
    dmm_cni_fail(&error, DMM_CNI_E_CONFIG, "link.mtu: too large");
    dmm_cni_fail(&error, DMM_CNI_E_IO, "a later one");
    json_t *json = dmm_cni_error_json(&error, "0.4.0");
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"cniVersion\":\"0.4.0\",\"code\":7,\"msg\":\"invalid network "
                              "config\",\"details\":\"link.mtu: too large\"}");
    free(text);
    json_decref(json);
    /* Bytes that are no UTF-8 must not cost the whole error. */
    struct dmm_cni_error odd = {0};
    dmm_cni_fail(&odd, DMM_CNI_E_LINK, "\xff");
    json = dmm_cni_error_json(&odd, "1.0.0");
    assert_int_equal(json_integer_value(json_object_get(json, "code")), DMM_CNI_E_LINK);
    json_decref(json);
}

static void version_answer(void **state)
{
    UNUSED(state);
    json_t *json = dmm_cni_version_json("0.4.0");
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"cniVersion\":\"0.4.0\",\"supportedVersions\":[\"0.3.0\","
                              "\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}");
    free(text);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_by_version),      cmocka_unit_test(versions_read_each_other),
        cmocka_unit_test(to_the_port),           cmocka_unit_test(bad_results),
        cmocka_unit_test(too_many_for_the_port), cmocka_unit_test(errors_are_objects),
        cmocka_unit_test(version_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
