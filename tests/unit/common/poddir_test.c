/* SPDX-License-Identifier: Apache-2.0 */
/* The pod directory's files: read, refused with a message, written and read back. */
#include "common/poddir.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct dmm_port_config port;
static struct dmm_stacks_config stacks;
static struct dmm_err err;

struct refusal {
    const char *text;
    const char *why;
};

static int parse_port(const char *text)
{
    memset(&err, 0, sizeof(err));
    return dmm_port_config_parse(&port, text, strlen(text), "net1.json", &err);
}

static int parse_stacks(const char *text)
{
    memset(&err, 0, sizeof(err));
    return dmm_stacks_config_parse(&stacks, text, strlen(text), "stacks.json", &err);
}

/* A port of kind "packet" with more members. */
static int parse_port_with(const char *members)
{
    char text[4096];
    snprintf(
        text, sizeof(text),
        "{\"version\":1,\"ifname\":\"net1\",\"kind\":\"packet\",\"link\":\"veth\",\"mtu\":1500%s}",
        members);
    return parse_port(text);
}

static void test_port(void **state)
{
    UNUSED(state);
    assert_int_equal(
        parse_port_with(
            ",\"mac\":\"02:00:aB:CD:ef:01\",\"addresses\":[\"10.88.0.2/16\",\"fd00::2/64\"],"
            "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.88.0.1\"},"
            "{\"dst\":\"fd01::/64\"}]"),
        0);
    assert_string_equal(port.ifname, "net1");
    assert_int_equal(port.kind, DMM_PORT_PACKET);
    assert_string_equal(port.link, "veth");
    assert_string_equal(port.devargs, "");
    assert_memory_equal(port.mac, "\x02\x00\xab\xcd\xef\x01", 6);
    assert_int_equal(port.mtu, 1500);
    assert_int_equal(port.n_addresses, 2);
    assert_int_equal(port.addresses[0].addr.ip[3], 2);
    assert_int_equal(port.addresses[0].prefix_len, 16);
    assert_int_equal(port.addresses[1].addr.family, AF_INET6);
    assert_int_equal(port.addresses[1].prefix_len, 64);
    assert_int_equal(port.n_routes, 2);
    assert_int_equal(port.routes[0].dst.len, 0);
    assert_int_equal(port.routes[0].gateway.ip[1], 88);
    assert_int_equal(port.routes[1].gateway.family, 0);
}

static void test_least_port(void **state)
{
    static const uint8_t no_mac[6];
    UNUSED(state);
    memset(&port, 0x5a, sizeof(port));
    assert_int_equal(parse_port_with(""), 0);
    assert_memory_equal(port.mac, no_mac, 6);
    assert_int_equal(port.n_addresses, 0);
    assert_int_equal(port.n_routes, 0);
}

static void test_ethdev_port(void **state)
{
    UNUSED(state);
    assert_int_equal(
        parse_port("{\"version\":1,\"ifname\":\"net1\",\"kind\":\"ethdev\",\"link\":"
                   "\"vhostuser\",\"mtu\":9000,\"devargs\":\"net_virtio_user0,path=a\"}"),
        0);
    assert_int_equal(port.kind, DMM_PORT_ETHDEV);
    assert_string_equal(port.devargs, "net_virtio_user0,path=a");
    assert_int_equal(port.socket_mode, 0);
    assert_false(port.has_socket_gid);
    assert_int_equal(
        parse_port("{\"version\":1,\"ifname\":\"net1\",\"kind\":\"ethdev\",\"link\":\"memif\","
                   "\"mtu\":9000,\"devargs\":\"net_memif0\",\"socketMode\":432,\"socketGid\":0}"),
        0);
    assert_int_equal(port.socket_mode, 0660);
    assert_true(port.has_socket_gid);
    struct dmm_port_config again;
    json_t *json = dmm_port_config_json(&port);
    char *text = json_dumps(json, 0);
    assert_int_equal(dmm_port_config_parse(&again, text, strlen(text), "again", &err), 0);
    assert_memory_equal(&again, &port, sizeof(port));
    free(text);
    json_decref(json);
    assert_int_equal(parse_port_with(",\"socketGid\":5"), -EINVAL);
    assert_string_equal(err.text, "net1.json: socketGid: is for kind \"ethdev\" only");
    assert_int_equal(parse_port("{\"version\":1,\"ifname\":\"net1\",\"kind\":\"ethdev\",\"link\":"
                                "\"vhostuser\",\"mtu\":9000}"),
                     -EINVAL);
    assert_string_equal(err.text, "net1.json: devargs: is missing");
}

static void test_tap_port(void **state)
{
#define TAP "{\"version\":1,\"ifname\":\"net1\",\"kind\":\"tap\",\"link\":\"tap\",\"mtu\":1500"
    UNUSED(state);
    struct dmm_port_config again;
    assert_int_equal(parse_port(TAP "}"), 0);
    assert_int_equal(port.vhost_net, DMM_VHOST_NET_OFF);
    assert_int_equal(parse_port(TAP ",\"vhostNet\":\"auto\"}"), 0);
    assert_int_equal(port.vhost_net, DMM_VHOST_NET_AUTO);
    json_t *json = dmm_port_config_json(&port);
    char *text = json_dumps(json, 0);
    assert_int_equal(dmm_port_config_parse(&again, text, strlen(text), "again", &err), 0);
    assert_memory_equal(&again, &port, sizeof(port));
    free(text);
    json_decref(json);
    assert_int_equal(parse_port(TAP ",\"vhostNet\":\"yes\"}"), -EINVAL);
    assert_string_equal(err.text,
                        "net1.json: vhostNet: \"yes\" is none of \"off\", \"auto\", \"on\"");
    assert_int_equal(parse_port_with(",\"vhostNet\":\"on\""), -EINVAL);
    assert_string_equal(err.text, "net1.json: vhostNet: is for kind \"tap\" only");
}

static void test_afxdp_port(void **state)
{
#define AFXDP                                                                                      \
    "{\"version\":1,\"ifname\":\"net1\",\"kind\":\"afxdp\",\"link\":\"afxdp\",\"mtu\":1500"
    UNUSED(state);
    struct dmm_port_config again;
    assert_int_equal(parse_port(AFXDP ",\"xskMap\":\"/b/net1\",\"queues\":16}"), 0);
    assert_int_equal(port.kind, DMM_PORT_AFXDP);
    assert_string_equal(port.xsk_map, "/b/net1");
    assert_int_equal(port.queues, 16);
    json_t *json = dmm_port_config_json(&port);
    char *text = json_dumps(json, 0);
    assert_int_equal(dmm_port_config_parse(&again, text, strlen(text), "again", &err), 0);
    assert_memory_equal(&again, &port, sizeof(port));
    free(text);
    json_decref(json);
    assert_int_equal(parse_port(AFXDP ",\"xskMap\":\"a\",\"queues\":1,\"busyPoll\":25,"
                                      "\"busyPollBudget\":16}"),
                     0);
    assert_int_equal(port.busy_poll_us, 25);
    assert_int_equal(port.busy_budget, 16);
    json = dmm_port_config_json(&port);
    text = json_dumps(json, 0);
    assert_int_equal(dmm_port_config_parse(&again, text, strlen(text), "again", &err), 0);
    assert_memory_equal(&again, &port, sizeof(port));
    free(text);
    json_decref(json);
    assert_int_equal(parse_port(AFXDP ",\"xskMap\":\"a\",\"queues\":1,\"busyPoll\":25}"), -EINVAL);
    assert_string_equal(err.text, "net1.json: busyPollBudget: is missing");
    assert_int_equal(parse_port_with(",\"busyPoll\":25"), -EINVAL);
    assert_string_equal(err.text, "net1.json: busyPoll: is for kind \"afxdp\" only");
    assert_int_equal(parse_port(AFXDP ",\"queues\":1}"), -EINVAL);
    assert_string_equal(err.text, "net1.json: xskMap: is missing");
    assert_int_equal(parse_port(AFXDP ",\"xskMap\":\"a\",\"queues\":17}"), -EINVAL);
    assert_non_null(strstr(err.text, "net1.json: queues: "));
}

static void test_port_refusals(void **state)
{
    static const struct refusal refusals[] = {
        {"", "line 1, column 0: '[' or '{' expected near end of file"},
        {"[]", "must be an object, not an array"},
        {"{}", "version: is missing"},
        {"{\"version\":2}", "version: must be 1, not 2"},
        {"{\"version\":1}", "ifname: is missing"},
        {"{\"version\":1,\"ifname\":\"1234567890123456\"}",
         "ifname: is 16 bytes long, more than 15"},
        {"{\"version\":1,\"ifname\":\"a/b\"}", "ifname: \"a/b\" is not the name of an interface"},
        {"{\"version\":1,\"ifname\":\"..\"}", "ifname: \"..\" is not the name of an interface"},
        {"{\"version\":1,\"ifname\":\"\"}", "ifname: is empty"},
        {"{\"version\":1,\"ifname\":\"a\"}", "kind: is missing"},
        {"{\"version\":1,\"ifname\":\"a\",\"kind\":\"tun\"}",
         "kind: must be one of \"packet\", \"tap\", \"afxdp\", \"ethdev\", not \"tun\""},
        {"{\"version\":1,\"ifname\":\"a\",\"kind\":\"packet\"}", "link: is missing"},
        {"{\"version\":1,\"ifname\":\"a\",\"kind\":\"packet\",\"link\":\"veth\"}",
         "mtu: is missing"},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        char want[512];
        assert_int_equal(parse_port(refusals[i].text), -EINVAL);
        snprintf(want, sizeof(want), "net1.json: %s", refusals[i].why);
        assert_string_equal(err.text, want);
    }
}

static void test_port_member_refusals(void **state)
{
    static const struct refusal refusals[] = {
        {",\"mtv\":1", "mtv: unknown key"},
        {",\"devargs\":\"a\"", "devargs: is for kind \"ethdev\" only"},
        {",\"xskMap\":\"a\"", "xskMap: is for kind \"afxdp\" only"},
        {",\"queues\":1", "queues: is for kind \"afxdp\" only"},
        {",\"mac\":\"02:00:00:00:00\"", "mac: \"02:00:00:00:00\" is not a MAC address"},
        {",\"mac\":\"02-00-00-00-00-01\"", "mac: \"02-00-00-00-00-01\" is not a MAC address"},
        {",\"mac\":\"02:00:00:00:00:0g\"", "mac: \"02:00:00:00:00:0g\" is not a MAC address"},
        {",\"mac\":\"01:00:00:00:00:01\"", "mac: \"01:00:00:00:00:01\" is a group address"},
        {",\"mac\":1", "mac: must be a string, not 1"},
        {",\"addresses\":{}", "addresses: must be an array, not an object"},
        {",\"addresses\":[\"10.0.0.1/8\",\"10.0.0.1\"]",
         "addresses[1]: \"10.0.0.1\" is not an address with a prefix length"},
        {",\"addresses\":[\"10.0.0.1/33\"]",
         "addresses[0]: \"10.0.0.1/33\" is not an address with a prefix length"},
        {",\"addresses\":[\"0.0.0.0/8\"]",
         "addresses[0]: \"0.0.0.0/8\" is not an address with a prefix length"},
        {",\"addresses\":[7]", "addresses[0]: 7 is not an address with a prefix length"},
        {",\"routes\":[7]", "routes[0]: must be an object, not 7"},
        {",\"routes\":[{}]", "routes[0].dst: is missing"},
        {",\"routes\":[{\"dst\":\"10.0.0.1/8\"}]",
         "routes[0].dst: \"10.0.0.1/8\" is not a prefix with its host bits zero"},
        {",\"routes\":[{\"dst\":\"::/0\",\"gw\":\"10.0.0.1\"}]",
         "routes[0].gw: is not of the same address family as dst"},
        {",\"routes\":[{\"dst\":\"::/0\",\"gw\":\"::\"}]",
         "routes[0].gw: \"::\" is not the address of a gateway"},
        {",\"routes\":[{\"dst\":\"::/0\",\"via\":\"::1\"}]", "routes[0].via: unknown key"},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        char want[512];
        assert_int_equal(parse_port_with(refusals[i].text), -EINVAL);
        snprintf(want, sizeof(want), "net1.json: %s", refusals[i].why);
        assert_string_equal(err.text, want);
    }
}

static void test_mtu_limits(void **state)
{
    static const struct {
        const char *mtu;
        int ret;
    } cases[] = {{"68", 0},          {"65535", 0},       {"67", -EINVAL},
                 {"65536", -EINVAL}, {"-1500", -EINVAL}, {"1500.0", -EINVAL}};
    UNUSED(state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        snprintf(
            text, sizeof(text),
            "{\"version\":1,\"ifname\":\"a\",\"kind\":\"packet\",\"link\":\"veth\",\"mtu\":%s}",
            cases[i].mtu);
        assert_int_equal(parse_port(text), cases[i].ret);
    }
    assert_string_equal(err.text,
                        "net1.json: mtu: must be a whole number from 68 to 65535, not 1500.0");
}

/* ,"key":[entry,entry,...] */
static int parse_port_with_list(const char *key, const char *entry, unsigned n)
{
    char text[2048];
    size_t used = (size_t)snprintf(text, sizeof(text), ",\"%s\":[", key);
    for (unsigned i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? "," : "", entry);
    snprintf(text + used, sizeof(text) - used, "]");
    return parse_port_with(text);
}

static void test_port_list_limits(void **state)
{
    UNUSED(state);
    assert_int_equal(parse_port_with_list("addresses", "\"10.0.0.1/8\"", DMM_PORT_ADDRESSES), 0);
    assert_int_equal(port.n_addresses, DMM_PORT_ADDRESSES);
    assert_int_equal(parse_port_with_list("addresses", "\"10.0.0.1/8\"", DMM_PORT_ADDRESSES + 1),
                     -EINVAL);
    assert_string_equal(err.text, "net1.json: addresses: has 17 entries, more than 16");
    assert_int_equal(parse_port_with_list("routes", "{\"dst\":\"10.0.0.0/8\"}", DMM_PORT_ROUTES),
                     0);
    assert_int_equal(port.n_routes, DMM_PORT_ROUTES);
    assert_int_equal(
        parse_port_with_list("routes", "{\"dst\":\"10.0.0.0/8\"}", DMM_PORT_ROUTES + 1), -EINVAL);
    assert_string_equal(err.text, "net1.json: routes: has 33 entries, more than 32");
}

static void test_refused_port_changes_nothing(void **state)
{
    struct dmm_port_config before;
    UNUSED(state);
    memset(&port, 0x5a, sizeof(port));
    memcpy(&before, &port, sizeof(before));
    assert_int_equal(parse_port_with(",\"routes\":[{}]"), -EINVAL);
    assert_memory_equal(&port, &before, sizeof(port));
    assert_int_equal(dmm_port_config_parse(&port, "{", 1, "net1.json", NULL), -EINVAL);
    assert_memory_equal(&port, &before, sizeof(port));
}

static void assert_port_text(const char *want)
{
    json_t *json = dmm_port_config_json(&port);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, want);
    free(text);
    json_decref(json);
}

static void test_port_round_trip(void **state)
{
    static const char *const texts[] = {
        "{\"version\":1,\"ifname\":\"net1\",\"kind\":\"packet\",\"link\":\"veth\","
        "\"mac\":\"02:00:00:00:00:0a\",\"mtu\":1500,\"addresses\":[\"10.88.0.2/16\",\"fd00::2/"
        "64\"],"
        "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.88.0.1\"},{\"dst\":\"fd01::/64\"}]}",
        "{\"version\":1,\"ifname\":\"net2\",\"kind\":\"ethdev\",\"link\":\"vhostuser\","
        "\"devargs\":\"net_virtio_user0,path=a\",\"mtu\":9000,\"addresses\":[],\"routes\":[]}",
    };
    UNUSED(state);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(parse_port(texts[i]), 0);
        assert_port_text(texts[i]);
    }
}

static void test_stacks(void **state)
{
    UNUSED(state);
    assert_int_equal(parse_stacks("{\"version\":1,\"stacks\":[{\"name\":\"fast\",\"type\":\"lwip\","
                                  "\"ports\":[\"net1\",\"net2\"],\"options\":{\"window\":65536}},"
                                  "{\"name\":\"own\",\"type\":\"plugin\"}]}"),
                     0);
    assert_int_equal(stacks.n_stacks, 2);
    assert_string_equal(stacks.stacks[0].name, "fast");
    assert_string_equal(stacks.stacks[0].type, "lwip");
    assert_int_equal(stacks.stacks[0].n_ports, 2);
    assert_string_equal(stacks.stacks[0].ports[1], "net2");
    assert_int_equal(json_integer_value(json_object_get(stacks.stacks[0].options, "window")),
                     65536);
    assert_int_equal(stacks.stacks[1].n_ports, 0);
    assert_int_equal(json_object_size(stacks.stacks[1].options), 0);
    dmm_stacks_config_free(&stacks);
    assert_int_equal(stacks.n_stacks, 0);
    assert_int_equal(parse_stacks("{\"version\":1,\"stacks\":[]}"), 0);
    assert_int_equal(stacks.n_stacks, 0);
    dmm_stacks_config_free(&stacks);
}

static void test_stacks_refusals(void **state)
{
    static const struct refusal refusals[] = {
        {"{\"version\":1}", "stacks: must be an array, not nothing"},
        {"{\"version\":1,\"stacks\":{}}", "stacks: must be an array, not an object"},
        {"{\"version\":1,\"stacks\":[],\"kernel\":1}", "kernel: unknown key"},
        {"{\"version\":1,\"stacks\":[1]}", "stacks[0]: must be an object, not 1"},
        {"{\"version\":1,\"stacks\":[{\"type\":\"lwip\"}]}", "stacks[0].name: is missing"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"Fast\",\"type\":\"lwip\"}]}",
         "stacks[0].name: \"Fast\" is not a name of small letters, digits and inner hyphens"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"kernel\",\"type\":\"lwip\"}]}",
         "stacks[0].name: \"kernel\" always exists and is not configured"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\",\"type\":\"lwip\"},{\"name\":\"a\",\"type\":"
         "\"lwip\"}]}",
         "stacks[1].name: \"a\" is the name of stacks[0] too"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\"}]}", "stacks[0].type: is missing"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\",\"type\":\"1234567890123456\"}]}",
         "stacks[0].type: is 16 bytes long, more than 15"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\",\"type\":\"lwip\",\"option\":{}}]}",
         "stacks[0].option: unknown key"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\",\"type\":\"lwip\",\"options\":[]}]}",
         "stacks[0].options: must be an object, not an array"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\",\"type\":\"lwip\",\"ports\":\"net1\"}]}",
         "stacks[0].ports: must be an array, not \"net1\""},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\",\"type\":\"lwip\",\"ports\":[\"net1\",\"\"]}]"
         "}",
         "stacks[0].ports[1]: \"\" is not the name of an interface"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\",\"type\":\"lwip\",\"ports\":[\"net1\","
         "\"net1\"]}]}",
         "stacks[0].ports[1]: \"net1\" is in the list twice"},
        {"{\"version\":1,\"stacks\":[{\"name\":\"a\",\"type\":\"lwip\",\"options\":{\"a\":1}},7]}",
         "stacks[1]: must be an object, not 7"},
    };
    UNUSED(state);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        char want[512];
        assert_int_equal(parse_stacks(refusals[i].text), -EINVAL);
        snprintf(want, sizeof(want), "stacks.json: %s", refusals[i].why);
        assert_string_equal(err.text, want);
    }
}

static void test_too_many_stacks(void **state)
{
    json_t *array = json_array();
    UNUSED(state);
    for (int i = 0; i < DMM_MAPPING_INSTANCES; i++) {
        char name[8];
        snprintf(name, sizeof(name), "s%d", i);
        json_array_append_new(array, json_pack("{s:s,s:s}", "name", name, "type", "lwip"));
    }
    assert_int_equal(dmm_stacks_config_from_json(&stacks, array, "config", &err), -EINVAL);
    assert_string_equal(err.text, "config: stacks: has 16 entries, more than 15");
    json_array_remove(array, 0);
    assert_int_equal(dmm_stacks_config_from_json(&stacks, array, "config", &err), 0);
    assert_int_equal(stacks.n_stacks, 15);
    dmm_stacks_config_free(&stacks);
    json_decref(array);
}

/* The options are the value's own: the JSON that they were read from may change or go. */
static void test_options_are_owned(void **state)
{
    json_t *array =
        json_pack("[{s:s,s:s,s:{s:i}}]", "name", "a", "type", "lwip", "options", "x", 1);
    UNUSED(state);
    assert_int_equal(dmm_stacks_config_from_json(&stacks, array, "config", &err), 0);
    json_object_clear(json_object_get(json_array_get(array, 0), "options"));
    json_decref(array);
    assert_int_equal(json_integer_value(json_object_get(stacks.stacks[0].options, "x")), 1);
    dmm_stacks_config_free(&stacks);
}

static void test_stacks_round_trip(void **state)
{
    static const char want[] =
        "{\"version\":1,\"stacks\":[{\"name\":\"fast\",\"type\":\"lwip\",\"ports\":[\"net1\"],"
        "\"options\":{\"a\":[1,true,null]}},{\"name\":\"b\",\"type\":\"plugin\",\"ports\":[],"
        "\"options\":{}}]}";
    UNUSED(state);
    assert_int_equal(parse_stacks(want), 0);
    json_t *json = dmm_stacks_config_json(&stacks);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, want);
    free(text);
    json_decref(json);
    dmm_stacks_config_free(&stacks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port),
        cmocka_unit_test(test_least_port),
        cmocka_unit_test(test_ethdev_port),
        cmocka_unit_test(test_tap_port),
        cmocka_unit_test(test_afxdp_port),
        cmocka_unit_test(test_port_refusals),
        cmocka_unit_test(test_port_member_refusals),
        cmocka_unit_test(test_mtu_limits),
        cmocka_unit_test(test_port_list_limits),
        cmocka_unit_test(test_refused_port_changes_nothing),
        cmocka_unit_test(test_port_round_trip),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_stacks_refusals),
        cmocka_unit_test(test_too_many_stacks),
        cmocka_unit_test(test_options_are_owned),
        cmocka_unit_test(test_stacks_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
