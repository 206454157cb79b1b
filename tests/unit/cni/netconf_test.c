/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/netconf.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>
#include <string.h>

static int read_conf(struct dmm_netconf *conf, const char *text, struct dmm_cni_error *error)
{
    memset(error, 0, sizeof(*error));
    if (dmm_netconf_decode(conf, text, strlen(text), error))
        return -1;
    return dmm_netconf_check(conf, error);
}

#define CRI  "io.kubernetes.cri.pod-annotations"
#define HEAD "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"dmm\""

/* Each refusal has its code and names the key. */
static void refusals(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        int code;
        const char *named;
    } cases[] = {
        {"", DMM_CNI_E_DECODE, "stdin"},
        {"{", DMM_CNI_E_DECODE, "line 1"},
        {"[]", DMM_CNI_E_DECODE, "not an object"},
        {"{\"name\":\"n\"}", DMM_CNI_E_VERSION, "cniVersion: missing"},
        {"{\"cniVersion\":\"0.2.0\",\"name\":\"n\"}", DMM_CNI_E_VERSION, "0.2.0"},
        {"{\"cniVersion\":\"2.0.0\",\"name\":\"n\"}", DMM_CNI_E_VERSION, "2.0.0"},
        {"{\"cniVersion\":\"1.0.0\",\"cniVersion\":\"1.0.0\"}", DMM_CNI_E_DECODE, "duplicate"},
        {"{\"cniVersion\":\"1.0.0\"}", DMM_CNI_E_CONFIG, "name: missing"},
        {"{\"cniVersion\":\"1.0.0\",\"name\":\"../n\"}", DMM_CNI_E_CONFIG, "name"},
        {HEAD ",\"podDir\":\"run\"}", DMM_CNI_E_CONFIG, "podDir"},
        {HEAD ",\"stateDir\":7}", DMM_CNI_E_CONFIG, "stateDir"},
        {HEAD ",\"bridge\":\"br0\"}", DMM_CNI_E_FIELD, "bridge: unknown key (its value: \"br0\")"},
        {HEAD ",\"link\":{\"type\":\"veth\",\"brigde\":\"b\"}}", DMM_CNI_E_FIELD,
         "link.brigde: unknown key"},
        {HEAD ",\"link\":[]}", DMM_CNI_E_CONFIG, "link: must be an object"},
        {HEAD ",\"link\":{}}", DMM_CNI_E_CONFIG, "link.type"},
        {HEAD ",\"link\":{\"type\":\"vetx\"}}", DMM_CNI_E_CONFIG, "\"vetx\" is no kind of link"},
        {HEAD ",\"link\":{\"type\":\"veth\",\"mtu\":\"1500\"}}", DMM_CNI_E_CONFIG,
         "link.mtu: must be a whole number"},
        {HEAD ",\"link\":{\"type\":\"veth\",\"mtu\":67}}", DMM_CNI_E_CONFIG,
         "link.mtu: 67 is not in 68..65535"},
        {HEAD ",\"link\":{\"type\":\"veth\",\"bridge\":\"a/b\"}}", DMM_CNI_E_CONFIG, "link.bridge"},
        {HEAD ",\"link\":{\"type\":\"veth\",\"bridge\":\"sixteen-bytes-xx\"}}", DMM_CNI_E_CONFIG,
         "link.bridge"},
        {HEAD ",\"link\":{\"type\":\"tap\",\"routed\":true,\"bridge\":\"b\"}}", DMM_CNI_E_CONFIG,
         "link.routed: contradicts link.bridge"},
        {HEAD ",\"link\":{\"type\":\"veth\",\"routed\":true,\"mtu\":1279}}", DMM_CNI_E_CONFIG,
         "link.mtu: routed, it is at least 1280"},
        {HEAD ",\"link\":{\"type\":\"tap\",\"mtu\":65522}}", DMM_CNI_E_CONFIG,
         "link.mtu: 65522 is not in 68..65521"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"mtu\":3499}}", DMM_CNI_E_CONFIG,
         "link.mtu: 3499 is not in 68..3498"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"mode\":\"hw\"}}", DMM_CNI_E_CONFIG,
         "link.mode: \"hw\" is none of: auto, native, skb"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"bpffs\":\"x\"}}", DMM_CNI_E_CONFIG, "link.bpffs"},
        {HEAD ",\"link\":{\"type\":\"tap\",\"vhostNet\":true}}", DMM_CNI_E_CONFIG,
         "link.vhostNet: must be a string"},
        {HEAD ",\"link\":{\"type\":\"tap\",\"vhostNet\":\"yes\"}}", DMM_CNI_E_CONFIG,
         "link.vhostNet: \"yes\" is none of: off, auto, on"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"device\":\"a b\"}}", DMM_CNI_E_CONFIG,
         "link.device: \"a b\" is not an interface name"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"device\":\"e\",\"bridge\":\"b\"}}", DMM_CNI_E_CONFIG,
         "link.bridge: contradicts link.device"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"pf\":\"e\",\"routed\":true}}", DMM_CNI_E_CONFIG,
         "link.routed: contradicts link.pf"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"pf\":\"e\",\"device\":\"f\"}}", DMM_CNI_E_CONFIG,
         "link.pf: contradicts link.device"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"pf\":\"e\",\"vlanQoS\":3}}", DMM_CNI_E_CONFIG,
         "link.vlanQoS: needs link.vlan"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"pf\":\"e\",\"driver\":\"vfio-pci\"}}",
         DMM_CNI_E_FIELD, "link.driver: unknown key"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"busyPollBudget\":3}}", DMM_CNI_E_CONFIG,
         "link.busyPollBudget: needs link.busyPoll"},
        {HEAD ",\"link\":{\"type\":\"afxdp\",\"busyPoll\":0}}", DMM_CNI_E_CONFIG,
         "link.busyPoll: 0 is not in 1..1000000"},
        {HEAD ",\"sidecar\":{\"uid\":-1}}", DMM_CNI_E_CONFIG, "sidecar.uid: -1 is not in"},
        {HEAD ",\"sidecar\":{\"user\":1}}", DMM_CNI_E_FIELD, "sidecar.user: unknown key"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"role\":\"server\"}}", DMM_CNI_E_CONFIG,
         "link.socket: missing"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"socket\":\"/a\"}}", DMM_CNI_E_CONFIG,
         "link.role: missing"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"socket\":\"/a\",\"role\":\"both\"}}",
         DMM_CNI_E_CONFIG, "link.role: \"both\" is none of: server, client"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"socket\":\"a\",\"role\":\"server\"}}",
         DMM_CNI_E_CONFIG, "link.socket"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"socket\":\"/a,b\",\"role\":\"server\"}}",
         DMM_CNI_E_CONFIG, "link.socket"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"socket\":\"/"
              "a\",\"role\":\"client\",\"socketGid\":1}}",
         DMM_CNI_E_CONFIG, "link.socketGid: is for the end that serves the socket"},
        {HEAD ",\"link\":{\"type\":\"memif\",\"socket\":\"/"
              "a\",\"role\":\"client\",\"socketMode\":\"0660\"}}",
         DMM_CNI_E_CONFIG, "link.socketMode: is for the end that serves the socket"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"ovs\":\"b\",\"socketMode\":\"0860\"}}",
         DMM_CNI_E_CONFIG, "link.socketMode: \"0860\" is not an octal mode"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"ovs\":\"b\",\"socketMode\":\"7777\"}}",
         DMM_CNI_E_CONFIG, "link.socketMode: \"7777\" is not an octal mode"},
        {HEAD ",\"link\":{\"type\":\"vhostuser\",\"ovs\":\"b\",\"socketMode\":432}}",
         DMM_CNI_E_CONFIG, "link.socketMode: must be a string"},
        {HEAD ",\"on_failure\":\"open\"}", DMM_CNI_E_CONFIG,
         "on_failure: \"open\" is none of: fail, kernel"},
        {HEAD ",\"mode\":\"chain\"}", DMM_CNI_E_CONFIG, "mode: \"chain\" is none of"},
        {HEAD ",\"ifname\":\"net2\"}", DMM_CNI_E_CONFIG, "ifname: \"net2\""},
        {HEAD ",\"mode\":\"chained\",\"ifname\":\"a/b\"}", DMM_CNI_E_CONFIG, "ifname: \"a/b\""},
        {HEAD ",\"runtimeConfig\":{\"CNIDeviceInfoFile\":\"x\"}}", DMM_CNI_E_CONFIG,
         "runtimeConfig.CNIDeviceInfoFile"},
        {HEAD ",\"ipMasq\":true}", DMM_CNI_E_FIELD, "ipMasq"},
        {HEAD ",\"ipam\":{\"subnet\":\"10.0.0.0/8\"}}", DMM_CNI_E_CONFIG, "ipam.type"},
        {HEAD ",\"ipam\":{\"type\":\"../sh\"}}", DMM_CNI_E_CONFIG, "ipam.type"},
        {HEAD ",\"stacks\":{}}", DMM_CNI_E_CONFIG, "stacks: must be an array"},
        {HEAD ",\"stacks\":[{\"name\":\"Fast\",\"type\":\"lwip\"}]}", DMM_CNI_E_CONFIG,
         "stacks[0].name"},
        {HEAD ",\"stacks\":[{\"name\":\"a\",\"type\":\"lwip\",\"x\":1}]}", DMM_CNI_E_CONFIG,
         "stacks[0].x"},
        {HEAD ",\"mapping\":\"fast\"}", DMM_CNI_E_CONFIG, "mapping: must be an object"},
        {HEAD ",\"args\":{\"cni\":1}}", DMM_CNI_E_CONFIG, "args.cni"},
        {HEAD ",\"runtimeConfig\":{\"" CRI "\":[]}}", DMM_CNI_E_CONFIG,
         "must be an object or null"},
        {HEAD ",\"runtimeConfig\":{\"mac\":1}}", DMM_CNI_E_CONFIG, "runtimeConfig.mac"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_netconf conf;
        struct dmm_cni_error error;
        if (!read_conf(&conf, cases[i].text, &error))
            fail_msg("accepted: %s", cases[i].text);
        if (error.code != cases[i].code || !strstr(error.what.text, cases[i].named))
            fail_msg("%s: code %d: %s", cases[i].text, error.code, error.what.text);
        dmm_netconf_free(&conf);
    }
}

static void a_socket_path_has_at_most_107_bytes(void **state)
{
    UNUSED(state);
    for (int len = 107; len <= 108; len++) {
        char path[128] = "/";
        char text[512];
        struct dmm_netconf conf;
        struct dmm_cni_error error;
        memset(path + 1, 'x', (size_t)len - 1);
        snprintf(text, sizeof(text),
                 HEAD ",\"link\":{\"type\":\"vhostuser\",\"role\":\"client\",\"socket\":\"%s\"}}",
                 path);
        assert_int_equal(read_conf(&conf, text, &error), len == 107 ? 0 : -1);
        if (len == 108)
            assert_non_null(strstr(error.what.text, "link.socket: 108 bytes are more than 107"));
        dmm_netconf_free(&conf);
    }
}

static void the_specs_own_keys_pass(void **state)
{
    UNUSED(state);
    struct dmm_netconf conf;
    struct dmm_cni_error error;
    const char *text =
        "{\"cniVersion\":\"1.1.0\",\"cniVersions\":[\"1.0.0\"],\"name\":\"n\",\"type\":\"dmm\","
        "\"disableCheck\":false,\"disableGC\":true,\"loadOnlyInlinedPlugins\":false,"
        "\"ipMasq\":false,\"dns\":{},\"ipam\":{},\"args\":{\"cni\":{},\"other\":1},"
        "\"capabilities\":{\"ips\":true},\"runtimeConfig\":{\"portMappings\":[]},"
        "\"cni.dev/valid-attachments\":[],\"cni.dev/attachments\":[],\"prevResult\":{}}";
    if (read_conf(&conf, text, &error))
        fail_msg("%s", error.what.text);
    assert_int_equal(conf.version, DMM_CNI_1_1_0);
    assert_null(conf.ipam_type);
    assert_non_null(conf.prev_result);
    dmm_netconf_free(&conf);
}

/* containerd passes null for a pod that has no annotation at all. */
static void annotations_may_be_null(void **state)
{
    UNUSED(state);
    struct dmm_netconf conf;
    struct dmm_cni_error error;
    int rc = read_conf(&conf, HEAD ",\"runtimeConfig\":{\"" CRI "\":null}}", &error);
    if (rc)
        print_error("%s\n", error.what.text);
    assert_int_equal(rc, 0);
    assert_null(conf.annotations);
    dmm_netconf_free(&conf);
    assert_int_equal(read_conf(&conf, HEAD ",\"runtimeConfig\":{\"" CRI "\":{}}}", &error), 0);
    assert_non_null(conf.annotations);
    dmm_netconf_free(&conf);
}

static void defaults(void **state)
{
    UNUSED(state);
    struct dmm_netconf conf;
    struct dmm_cni_error error;
    assert_int_equal(read_conf(&conf, HEAD "}", &error), 0);
    assert_string_equal(conf.pod_root, "/run/dmm");
    assert_string_equal(conf.state_root, "/var/lib/cni/dmm");
    assert_string_equal(conf.link.ops->kind, "veth");
    assert_int_equal(conf.on_failure, DMM_ON_FAILURE_FAIL);
    assert_int_equal(conf.stacks.n_stacks, 0);
    assert_null(conf.mapping);
    dmm_netconf_free(&conf);
}

/* DEL must work with what ADD would refuse. */
static void decode_passes_what_check_refuses(void **state)
{
    UNUSED(state);
    struct dmm_netconf conf;
    struct dmm_cni_error error = {0};
    const char *text = HEAD ",\"stateDir\":\"/s\",\"link\":{\"type\":\"gone\"}}";
    assert_int_equal(dmm_netconf_decode(&conf, text, strlen(text), &error), 0);
    assert_string_equal(conf.state_root, "/s");
    assert_int_equal(dmm_netconf_check(&conf, &error), -1);
    dmm_netconf_free(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(a_socket_path_has_at_most_107_bytes),
        cmocka_unit_test(the_specs_own_keys_pass),
        cmocka_unit_test(annotations_may_be_null),
        cmocka_unit_test(defaults),
        cmocka_unit_test(decode_passes_what_check_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
