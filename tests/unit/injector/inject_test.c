/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/injector/inject.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE "\"version\":1,\"stacks\":[\"fast\"],\"images\":{\"stackd\":\"s:1\",\"shim\":\"h:1\"}"

static struct injector_config config_of(const char *more)
{
    struct injector_config config;
    struct dmm_err err = {0};
    char text[1024];
    snprintf(text, sizeof(text), "{" BASE "%s}", more);
    if (injector_config_parse(&config, text, strlen(text), "test", &err))
        fail_msg("%s", err.text);
    return config;
}

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

/* What becomes of a pod. */
static json_t *inject(const char *text, const char *more)
{
    struct injector_config config = config_of(more);
    struct dmm_err err = {0};
    bool injected;
    json_t *pod = parse(text);
    if (injector_inject(pod, &config, &injected, &err))
        fail_msg("%s", err.text);
    injector_config_free(&config);
    return pod;
}

/* Follows a path like "spec/containers/0/name". */
static json_t *at(json_t *json, const char *path)
{
    char key[64];
    int n = 0;
    for (; json && *path; path += n + (path[n] == '/')) {
        n = (int)strcspn(path, "/");
        snprintf(key, sizeof(key), "%.*s", n, path);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(key))
                                   : json_object_get(json, key);
    }
    return json;
}

static void same(json_t *json, const char *path, const char *want)
{
    json_t *expected = json_loads(want, JSON_DECODE_ANY, NULL);
    assert_non_null(expected);
    if (!json_equal(at(json, path), expected)) {
        char *have = json_dumps(at(json, path), JSON_ENCODE_ANY);
        fail_msg("%s is %s, not %s", path, have ? have : "absent", want);
    }
    json_decref(expected);
}

#define POD(annotations, spec) "{\"metadata\":{\"annotations\":" annotations "},\"spec\":" spec "}"
#define FAST                   "{\"dmm.fd.io/stack\":\"fast\"}"
#define ONE                    "{\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}"

static void leaves_alone_who_has_not_opted_in(void **state)
{
    UNUSED(state);
    static const char *const pods[] = {
        "{}",
        "[]",
        "{\"metadata\":{},\"spec\":" ONE "}",
        POD("{\"other\":\"x\"}", ONE),
        POD("{\"dmm.fd.io/stack\":\"fast\",\"dmm.fd.io/inject\":\"false\"}", ONE),
        POD("null", "{\"hostNetwork\":true}"),
    };
    for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
        json_t *before = parse(pods[i]);
        json_t *after = inject(pods[i], "");
        json_t *patch = injector_patch(before, after);
        assert_true(json_equal(before, after));
        assert_int_equal(json_array_size(patch), 0);
        json_decref(patch);
        json_decref(before);
        json_decref(after);
    }
}

static void adds_sidecar_shim_and_volumes(void **state)
{
    UNUSED(state);
    json_t *pod = inject(POD(FAST, ONE), "");
    same(pod, "spec/initContainers/0/name", "\"dmm-shim\"");
    same(pod, "spec/initContainers/0/image", "\"h:1\"");
    same(pod, "spec/initContainers/1/name", "\"dmm-stackd\"");
    same(pod, "spec/initContainers/1/restartPolicy", "\"Always\"");
    same(pod, "spec/initContainers/1/startupProbe/exec/command", "[\"dmmctl\",\"ready\"]");
    same(pod, "spec/initContainers/1/livenessProbe/exec/command", "[\"dmmctl\",\"health\"]");
    same(pod, "spec/initContainers/1/lifecycle/preStop/exec/command", "[\"dmmctl\",\"drain\"]");
    same(pod, "spec/initContainers/1/securityContext",
         "{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_"
         "RAW\"]},\"readOnlyRootFilesystem\":true,\"runAsNonRoot\":false,\"runAsUser\":0,"
         "\"runAsGroup\":0,\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}");
    same(pod, "spec/containers/0/env/1",
         "{\"name\":\"LD_PRELOAD\",\"value\":\"/dmm/$LIB/libdmm.so\"}");
    same(pod, "spec/containers/0/volumeMounts/0",
         "{\"name\":\"dmm-pod\",\"mountPath\":\"/run/dmm/"
         "pod\",\"readOnly\":true,\"subPathExpr\":\"$(DMM_POD_UID)\"}");
    same(pod, "spec/volumes/0",
         "{\"name\":\"dmm-pod\",\"hostPath\":{\"path\":\"/run/dmm/"
         "pods\",\"type\":\"DirectoryOrCreate\"}}");
    assert_int_equal(json_array_size(at(pod, "spec/volumes")), 3);
    assert_non_null(json_object_get(at(pod, "metadata/annotations"), INJECTOR_INJECTED));
    json_decref(pod);
}

static void before_native_sidecars_it_is_the_first_container(void **state)
{
    UNUSED(state);
    const char *more = ",\"nativeSidecar\":false";
    json_t *before = parse(POD(FAST, ONE));
    json_t *pod = inject(POD(FAST, ONE), more);
    assert_int_equal(json_array_size(at(pod, "spec/initContainers")), 1);
    same(pod, "spec/containers/0/name", "\"dmm-stackd\"");
    assert_null(at(pod, "spec/containers/0/restartPolicy"));
    same(pod, "spec/containers/0/lifecycle/postStart/exec/command",
         "[\"dmmctl\",\"--wait\",\"60\",\"ready\"]");
    same(pod, "spec/containers/1/name", "\"a\"");
    same(pod, "spec/containers/1/env/1/name", "\"LD_PRELOAD\"");
    assert_string_equal(
        json_string_value(json_object_get(at(pod, "metadata/annotations"),
                                          "kubectl.kubernetes.io/default-container")),
        "a");
    json_t *patch = injector_patch(before, pod);
    json_t *last = json_array_get(patch, json_array_size(patch) - 1);
    same(last, "path", "\"/spec/containers\"");
    assert_true(json_equal(at(last, "value"), at(pod, "spec/containers")));
    /* Again, also where the sidecar was put as the newer clusters have it: nothing more. */
    char *text = json_dumps(pod, 0);
    json_t *again = inject(text, more);
    assert_true(json_equal(pod, again));
    json_t *newer = inject(POD(FAST, ONE), "");
    free(text);
    text = json_dumps(newer, 0);
    json_decref(again);
    again = inject(text, more);
    assert_true(json_equal(newer, again));
    free(text);
    json_decref(again);
    json_decref(newer);
    json_decref(patch);
    json_decref(pod);
    json_decref(before);
}

static void rights_follow_the_link(void **state)
{
    UNUSED(state);
    static const struct {
        const char *config, *capabilities, *user;
    } links[] = {
        {",\"link\":\"vhostuser\"", "{\"drop\":[\"ALL\"]}", "65532"},
        {",\"link\":\"memif\"", "{\"drop\":[\"ALL\"]}", "65532"},
        {",\"link\":\"tap\"", "{\"drop\":[\"ALL\"]}", "65532"},
        {",\"link\":\"sriov-vfio\"", "{\"drop\":[\"ALL\"],\"add\":[\"IPC_LOCK\"]}", "0"},
        {",\"link\":\"sriov-netdev\"", "{\"drop\":[\"ALL\"],\"add\":[\"NET_RAW\"]}", "0"},
    };
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        json_t *pod = inject(POD(FAST, ONE), links[i].config);
        same(pod, "spec/initContainers/1/securityContext/capabilities", links[i].capabilities);
        same(pod, "spec/initContainers/1/securityContext/runAsUser", links[i].user);
        json_decref(pod);
    }
    json_t *pod = inject(POD(FAST, ONE), ",\"link\":\"afxdp\"");
    same(pod, "spec/volumes/3/hostPath/path", "\"/sys/fs/bpf/dmm\"");
    same(pod, "spec/initContainers/1/volumeMounts/2/subPathExpr", "\"$(DMM_POD_UID)\"");
    same(pod, "spec/initContainers/1/args/2", "\"--bpf-dir\"");
    json_decref(pod);
    pod = inject(POD(FAST, ONE), ",\"link\":\"tap\"");
    same(pod, "spec/volumes/3/hostPath/path", "\"/dev/net/tun\"");
    same(pod, "spec/initContainers/1/volumeMounts/2/mountPath", "\"/dev/net/tun\"");
    json_decref(pod);
}

static void a_watch_has_the_name_and_a_token_of_its_own(void **state)
{
    UNUSED(state);
    struct injector_config config = config_of("");
    struct dmm_err err = {0};
    bool injected;
    json_t *pod = parse(POD(FAST, ONE));
    config.watch = true;
    assert_int_equal(injector_inject(pod, &config, &injected, &err), 0);
    injector_config_free(&config);
    same(pod, "spec/initContainers/1/args/3", "\"$(DMM_POD_NAMESPACE)/$(DMM_POD_NAME)\"");
    same(pod, "spec/initContainers/1/env/1/valueFrom/fieldRef/fieldPath", "\"metadata.name\"");
    same(pod, "spec/initContainers/1/volumeMounts/2",
         "{\"name\":\"dmm-kube\",\"mountPath\":\"/etc/dmm/kube\",\"readOnly\":true}");
    same(pod, "spec/volumes/3/projected/sources/0/serviceAccountToken/path", "\"token\"");
    assert_int_equal(json_array_size(at(pod, "spec/containers/0/volumeMounts")), 2);
    json_decref(pod);
}

static void pods_that_are_joined_directly_share_a_folder(void **state)
{
    UNUSED(state);
    json_t *pod =
        inject(POD(FAST, ONE), ",\"link\":\"vhostuser\",\"socketsDir\":\"/run/dmm/pairs\"");
    same(pod, "spec/volumes/3/hostPath",
         "{\"path\":\"/run/dmm/pairs\",\"type\":\"DirectoryOrCreate\"}");
    same(pod, "spec/initContainers/1/volumeMounts/2",
         "{\"name\":\"dmm-sockets\",\"mountPath\":\"/run/dmm/pairs\"}");
    /* The app has no part in it: the shim and the pod's own folder are all that it gets. */
    assert_int_equal(json_array_size(at(pod, "spec/containers/0/volumeMounts")), 2);
    json_decref(pod);
}

static void hugepages_with_memory_beside_them(void **state)
{
    UNUSED(state);
    json_t *pod = inject(POD(FAST, ONE), ",\"link\":\"sriov-vfio\",\"hugepagesMi\":128,"
                                         "\"resources\":{\"limits\":{\"cpu\":\"1\"}}");
    same(pod, "spec/initContainers/1/resources/limits",
         "{\"cpu\":\"1\",\"hugepages-2Mi\":\"128Mi\"}");
    same(pod, "spec/initContainers/1/resources/requests",
         "{\"memory\":\"128Mi\",\"hugepages-2Mi\":\"128Mi\"}");
    same(pod, "spec/initContainers/1/env/1", "{\"name\":\"DMM_HUGEPAGES_MB\",\"value\":\"128\"}");
    json_decref(pod);
}

static void keeps_what_the_user_preloads(void **state)
{
    UNUSED(state);
    json_t *pod = inject(
        POD(FAST, "{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"X\",\"value\":\"1\"},"
                  "{\"name\":\"LD_PRELOAD\",\"value\":\"/j.so\"}]}]}"),
        "");
    same(pod, "spec/containers/0/env/2/value", "\"/dmm/$LIB/libdmm.so:/j.so\"");
    same(pod, "spec/containers/0/env/1/name", "\"X\"");
    json_decref(pod);
}

static void skips_containers_and_takes_sidecars(void **state)
{
    UNUSED(state);
    json_t *pod = inject(
        POD("{\"dmm.fd.io/stack\":\"fast\",\"dmm.fd.io/skip-containers\":\"log, b\"}",
            "{\"initContainers\":[{\"name\":\"once\"},{\"name\":\"proxy\",\"restartPolicy\":"
            "\"Always\"}],\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"log\"},"
            "{\"name\":\"logs\"}]}"),
        "");
    assert_non_null(at(pod, "spec/containers/0/env"));
    assert_null(at(pod, "spec/containers/1/env"));
    assert_null(at(pod, "spec/containers/2/env"));
    assert_non_null(at(pod, "spec/containers/3/env"));
    assert_null(at(pod, "spec/initContainers/2/env"));
    same(pod, "spec/initContainers/3/name", "\"proxy\"");
    assert_non_null(at(pod, "spec/initContainers/3/env"));
    json_decref(pod);
}

static void a_second_time_changes_nothing(void **state)
{
    UNUSED(state);
    struct injector_config config = config_of("");
    struct dmm_err err = {0};
    bool injected;
    json_t *pod = inject(POD(FAST, ONE), "");
    /* Another webhook added a container in between: it is done too, the rest stays. */
    json_t *before = json_deep_copy(pod);
    assert_int_equal(injector_inject(pod, &config, &injected, &err), 0);
    assert_true(json_equal(pod, before));
    json_array_append_new(at(pod, "spec/containers"), parse("{\"name\":\"late\"}"));
    json_decref(before);
    before = json_deep_copy(pod);
    assert_int_equal(injector_inject(pod, &config, &injected, &err), 0);
    json_t *patch = injector_patch(before, pod);
    assert_int_equal(json_array_size(patch), 2);
    same(patch, "0/path", "\"/spec/containers/1/env\"");
    json_decref(patch);
    json_decref(before);
    json_decref(pod);
    injector_config_free(&config);
}

static void refuses_with_a_message(void **state)
{
    UNUSED(state);
    static const char *const pods[][2] = {
        {POD("{\"dmm.fd.io/stack\":\"fats\"}", ONE), "no stack has the name \"fats\""},
        {POD("{\"dmm.fd.io/stack\":\"fast\",\"dmm.fd.io/mapping\":\"{}\"}", ONE), "contradict"},
        {POD("{\"dmm.fd.io/mapping\":\"{\\\"version\\\":1,\\\"default\\\":\\\"kernel\\\","
             "\\\"rules\\\":[{\\\"stack\\\":\\\"fast\\\",\\\"port\\\":\\\"80-\\\"}]}\"}",
             ONE),
         "annotation dmm.fd.io/mapping: rules[0].port: \"80-\""},
        {POD("{\"dmm.fd.io/inject\":\"yes\"}", ONE), "dmm.fd.io/inject: is \"yes\""},
        {POD(FAST, "{\"hostNetwork\":true,\"containers\":[]}"), "spec.hostNetwork"},
        {POD(FAST, "{\"os\":{\"name\":\"windows\"},\"containers\":[]}"), "spec.os.name"},
        {POD(FAST, "{}"), "spec.containers: missing"},
        {POD(FAST, "{\"containers\":[1]}"), "containers[0]"},
        {POD(FAST, "{\"containers\":[{\"name\":\"a\",\"env\":3}]}"), "container a: env"},
        {POD(FAST, "{\"containers\":[{\"name\":\"a\",\"volumeMounts\":[{\"name\":\"v\","
                   "\"mountPath\":\"/dmm\"}]}]}"),
         "container a: volumeMounts: /dmm is taken by volume v"},
        {POD(FAST, "{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"LD_PRELOAD\","
                   "\"valueFrom\":{}}]}]}"),
         "container a: env: LD_PRELOAD"},
    };
    struct injector_config config = config_of("");
    for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
        struct dmm_err err = {0};
        bool injected;
        json_t *pod = parse(pods[i][0]);
        assert_int_equal(injector_inject(pod, &config, &injected, &err), -EINVAL);
        if (!strstr(err.text, pods[i][1]))
            fail_msg("\"%s\" does not say %s", err.text, pods[i][1]);
        json_decref(pod);
    }
    injector_config_free(&config);
}

static void configuration_errors_name_the_key(void **state)
{
    UNUSED(state);
    static const char *const bad[][2] = {
        {"{}", "version"},
        {"{" BASE ",\"lnik\":\"veth\"}", "lnik"},
        {"{" BASE ",\"link\":\"wire\"}", "link"},
        {"{" BASE ",\"podsDir\":\"run\"}", "podsDir"},
        {"{" BASE ",\"link\":\"vhostuser\",\"socketsDir\":\"run\"}", "socketsDir"},
        {"{" BASE ",\"link\":\"veth\",\"socketsDir\":\"/run\"}", "socketsDir: link veth"},
        {"{" BASE ",\"hugepagesMi\":-1}", "hugepagesMi"},
        {"{" BASE ",\"stackdArgs\":[1]}", "stackdArgs"},
        {"{" BASE ",\"seccompProfile\":{}}", "seccompProfile"},
        {"{" BASE ",\"resources\":[]}", "resources"},
        {"{" BASE ",\"nativeSidecar\":1}", "nativeSidecar"},
        {"{\"version\":1,\"stacks\":[],\"images\":{\"stackd\":\"s\",\"shim\":\"h\"}}", "stacks"},
        {"{\"version\":1,\"stacks\":[\"kernel\"],\"images\":{}}", "stacks"},
        {"{\"version\":1,\"stacks\":[\"fast\"],\"images\":{\"stackd\":\"s\"}}", "images.shim"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct injector_config config;
        struct dmm_err err = {0};
        assert_int_equal(injector_config_parse(&config, bad[i][0], strlen(bad[i][0]), "test", &err),
                         -EINVAL);
        if (!strstr(err.text, bad[i][1]))
            fail_msg("\"%s\" does not name %s", err.text, bad[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_alone_who_has_not_opted_in),
        cmocka_unit_test(adds_sidecar_shim_and_volumes),
        cmocka_unit_test(before_native_sidecars_it_is_the_first_container),
        cmocka_unit_test(rights_follow_the_link),
        cmocka_unit_test(a_watch_has_the_name_and_a_token_of_its_own),
        cmocka_unit_test(pods_that_are_joined_directly_share_a_folder),
        cmocka_unit_test(hugepages_with_memory_beside_them),
        cmocka_unit_test(keeps_what_the_user_preloads),
        cmocka_unit_test(skips_containers_and_takes_sidecars),
        cmocka_unit_test(a_second_time_changes_nothing),
        cmocka_unit_test(refuses_with_a_message),
        cmocka_unit_test(configuration_errors_name_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
