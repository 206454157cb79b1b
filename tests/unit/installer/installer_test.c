/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/file.h"
#include "deploy/installer/installer.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALONE                                                                                      \
    "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"dmm\",\"link\":{}}]}"
#define PLUGIN "{\"type\":\"dmm\",\"mode\":\"chained\"}"
#define PRIMARY                                                                                    \
    "{\"cniVersion\":\"1.0.0\",\"name\":\"cluster\",\"plugins\":[{\"type\":\"bridge\"},"           \
    "{\"type\":\"portmap\"}]}"

static char root[64];
static char plugin[96], bin[96], confs[96], conf[96];

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
}

static char *read_file(const char *name)
{
    char path[256];
    char *text = NULL;
    size_t len;
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return dmm_file_read(AT_FDCWD, path, 1 << 20, &text, &len, NULL) ? NULL : text;
}

static int set_up(void **state)
{
    UNUSED(state);
    strcpy(root, "/tmp/dmm-install.XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(plugin, sizeof(plugin), "%s/plugin", root);
    snprintf(bin, sizeof(bin), "%s/bin", root);
    snprintf(confs, sizeof(confs), "%s/net.d", root);
    snprintf(conf, sizeof(conf), "%s/cni.json", root);
    write_file("plugin", "program 1");
    return mkdir(bin, 0755) || mkdir(confs, 0755);
}

static int tear_down(void **state)
{
    UNUSED(state);
    return dmm_dir_remove(AT_FDCWD, root, NULL);
}

static struct installer installer(bool chained)
{
    return (struct installer){.plugin = plugin,
                              .bin_dir = bin,
                              .conf_dir = confs,
                              .conf = conf,
                              .network = "net",
                              .chained = chained};
}

static void a_node_may_have_keys_of_its_own(void **state)
{
    UNUSED(state);
    static const char conf_text[] =
        "{\"type\":\"dmm\",\"link\":{\"type\":\"veth\",\"mtu\":1500},\"ipam\":{\"type\":"
        "\"host-local\",\"ranges\":[[{\"subnet\":\"10.88.0.0/16\"}]]}}";
    struct dmm_err err = {0};
    struct installer it = installer(false);
    char nodes[256];
    unsigned changed;
    snprintf(nodes, sizeof(nodes), "%s/nodes.json", root);
    it.nodes = nodes;
    it.node = "a";
    write_file("cni.json", conf_text);
    assert_int_equal(installer_apply(&it, &changed, &err), 0); /* without the file */
    write_file("nodes.json", "{\"a\":{\"ipam\":{\"ranges\":[[{\"subnet\":\"10.88.1.0/24\"}],"
                             "[{\"subnet\":\"fd00:1::/64\"}]]}},\"b\":{}}");
    assert_int_equal(installer_check(&it, &err), -ESTALE);
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 1);
    char *text = read_file("net.d/0-dmm.conflist");
    assert_non_null(strstr(text, "10.88.1.0/24"));
    assert_non_null(strstr(text, "fd00:1::/64"));
    assert_non_null(strstr(text, "host-local")); /* what it does not name stays */
    assert_non_null(strstr(text, "1500"));
    assert_null(strstr(text, "10.88.0.0/16"));
    free(text);
    it.node = "b";
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    text = read_file("net.d/0-dmm.conflist");
    assert_non_null(strstr(text, "10.88.0.0/16"));
    free(text);
}

static void puts_profiles_where_the_kubelet_looks(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct installer it = installer(false);
    char profiles[256];
    char kubelet[256];
    unsigned changed;
    snprintf(profiles, sizeof(profiles), "%s/profiles", root);
    snprintf(kubelet, sizeof(kubelet), "%s/kubelet", root);
    it.profiles = profiles;
    it.seccomp_dir = kubelet;
    write_file("cni.json", ALONE);
    assert_int_equal(installer_apply(&it, &changed, &err), 0); /* there are none */
    assert_int_equal(changed, 2);
    assert_int_equal(mkdir(profiles, 0755) || mkdir(kubelet, 0755), 0);
    write_file("profiles/a.json", "{}");
    write_file("profiles/README", "not one");
    assert_int_equal(installer_check(&it, &err), -ENOENT);
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 1);
    char *text = read_file("kubelet/dmm/a.json");
    assert_string_equal(text, "{}");
    free(text);
    write_file("kubelet/dmm/a.json", "[]");
    assert_int_equal(installer_check(&it, &err), -ESTALE);
    assert_non_null(strstr(err.text, "kubelet/dmm/a.json"));
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(installer_check(&it, &err), 0);
}

static void bad_keys_of_a_node_are_said(void **state)
{
    UNUSED(state);
    static const char *const bad[][3] = {
        {"{\"type\":\"dmm\"}", "{\"a\":[]}", "nodes: a: must be a JSON object"},
        {"{\"type\":\"dmm\"}", "{", "nodes: line 1"},
        {"{\"plugins\":[{\"type\":\"dmm\"}]}", "{\"a\":{}}", "not over a list"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dmm_err err = {0};
        assert_null(installer_conflist_for_node(bad[i][0], strlen(bad[i][0]), bad[i][1],
                                                strlen(bad[i][1]), "a", &err));
        if (!strstr(err.text, bad[i][2]))
            fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i][2]);
    }
}

static void puts_plugin_and_conf_and_repairs(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct installer it = installer(false);
    unsigned changed;
    char path[256];
    struct stat status;
    write_file("cni.json", ALONE);
    assert_int_equal(installer_check(&it, &err), -ESTALE);
    assert_non_null(strstr(err.text, "bin/dmm: missing"));
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 2);
    assert_int_equal(installer_check(&it, &err), 0);
    snprintf(path, sizeof(path), "%s/dmm", bin);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 0);

    /* Damage: another content of the same length, a mode, a file that is gone. */
    write_file("bin/dmm", "program X");
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 1);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(installer_check(&it, &err), -ESTALE);
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 1);

    /* An upgrade. */
    write_file("plugin", "program 2 is longer");
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    char *text = read_file("bin/dmm");
    assert_string_equal(text, "program 2 is longer");
    free(text);
}

static void what_lies_beside_the_plugin_comes_before_it(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct installer it = installer(false);
    unsigned changed;
    write_file("cni.json", ALONE);
    write_file("dmm-kube", "helper 1");
    assert_int_equal(installer_check(&it, &err), -ESTALE);
    assert_non_null(strstr(err.text, "bin/dmm-kube: missing"));
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 3);
    write_file("dmm-kube", "helper 2");
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 1);
    char *text = read_file("bin/dmm-kube");
    assert_string_equal(text, "helper 2");
    free(text);
}

static void bad_conf_keeps_the_old_one(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct installer it = installer(false);
    unsigned changed;
    write_file("cni.json", ALONE);
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    static const char *const bad[][2] = {
        {"{", "line 1"},
        {"[]", "must be a JSON object"},
        {"{\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"dmm\"}]}", "name: missing"},
        {"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"ptp\"}]}", "none has"},
        {"{\"name\":\"n\",\"plugins\":[{\"type\":\"dmm\"}]}", "cniVersion: missing"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_file("cni.json", bad[i][0]);
        assert_int_equal(installer_apply(&it, &changed, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad[i][1]));
    }
    char *text = read_file("net.d/0-dmm.conflist");
    json_t *list = json_loads(text, 0, NULL);
    json_t *want = json_loads(ALONE, 0, NULL);
    assert_true(json_equal(list, want));
    json_decref(list);
    json_decref(want);
    free(text);

    /* Our plugin's object alone becomes a list. */
    write_file("cni.json", "{\"type\":\"dmm\",\"link\":{}}");
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    text = read_file("net.d/0-dmm.conflist");
    assert_non_null(strstr(text, "\"name\": \"net\""));
    assert_non_null(strstr(text, "\"plugins\""));
    free(text);
}

static void follows_the_links_of_a_configmap(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct installer it = installer(false);
    unsigned changed;
    write_file("data", ALONE);
    assert_int_equal(symlink("data", conf), 0);
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 2);
}

static void no_plugin_no_conf(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct installer it = installer(false);
    unsigned changed;
    write_file("cni.json", ALONE);
    assert_int_equal(rmdir(bin), 0);
    assert_int_equal(installer_apply(&it, &changed, &err), -ENOENT);
    assert_null(read_file("net.d/0-dmm.conflist"));
}

static void chained_follows_the_primary(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct installer it = installer(true);
    unsigned changed;
    write_file("cni.json", PLUGIN);
    assert_int_equal(installer_apply(&it, &changed, &err), -ENOENT);
    assert_int_equal(changed, 1); /* the plugin is there already */
    write_file("net.d/20-other.conflist", "{}");
    write_file("net.d/10-cluster.conflist", PRIMARY);
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    char *text = read_file("net.d/0-dmm.conflist");
    json_t *list = json_loads(text, 0, NULL);
    free(text);
    json_t *plugins = json_object_get(list, "plugins");
    assert_int_equal(json_array_size(plugins), 3);
    assert_string_equal(json_string_value(json_object_get(list, "name")), "cluster");
    assert_string_equal(json_string_value(json_object_get(json_array_get(plugins, 1), "type")),
                        "dmm");
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(plugins, 1), "unannotated")), "skip");
    json_decref(list);

    /* What was written down counts. The primary is replaced by one of the old form. */
    write_file("cni.json", "{\"type\":\"dmm\",\"mode\":\"chained\",\"unannotated\":\"attach\"}");
    write_file("net.d/10-cluster.conflist",
               "{\"cniVersion\":\"0.3.1\",\"name\":\"new\",\"type\":\"ptp\",\"mtu\":9000}");
    assert_int_equal(installer_apply(&it, &changed, &err), 0);
    assert_int_equal(changed, 1);
    text = read_file("net.d/0-dmm.conflist");
    assert_non_null(strstr(text, "9000"));
    assert_non_null(strstr(text, "\"dmm\""));
    assert_non_null(strstr(text, "\"attach\""));
    free(text);

    assert_int_equal(installer_remove(&it, &err), 0);
    assert_null(read_file("net.d/0-dmm.conflist"));
    text = read_file("bin/dmm");
    assert_non_null(text); /* pods need its DEL */
    free(text);
    assert_int_equal(installer_remove(&it, &err), 0);
}

static void chains_only_what_makes_sense(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    static const char *const bad[][3] = {
        {"{}", PLUGIN, "neither plugins nor a type"},
        {"{\"plugins\":[]}", PLUGIN, "neither plugins nor a type"},
        {"nonsense", PLUGIN, "the primary configuration: line 1"},
        {PRIMARY, "{\"type\":\"ptp\"}", "our plugin: type"},
        {PRIMARY, "", "our plugin: line 1"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(installer_conflist_chain(bad[i][0], strlen(bad[i][0]), bad[i][1],
                                             strlen(bad[i][1]), &err));
        assert_non_null(strstr(err.text, bad[i][2]));
    }
    /* Twice is once. */
    char *once = installer_conflist_chain(PRIMARY, strlen(PRIMARY), PLUGIN, strlen(PLUGIN), &err);
    assert_non_null(once);
    char *twice = installer_conflist_chain(once, strlen(once), PLUGIN, strlen(PLUGIN), &err);
    assert_string_equal(once, twice);
    free(once);
    free(twice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(puts_plugin_and_conf_and_repairs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_lies_beside_the_plugin_comes_before_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_node_may_have_keys_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(puts_profiles_where_the_kubelet_looks, set_up, tear_down),
        cmocka_unit_test(bad_keys_of_a_node_are_said),
        cmocka_unit_test_setup_teardown(bad_conf_keeps_the_old_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(follows_the_links_of_a_configmap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_plugin_no_conf, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chained_follows_the_primary, set_up, tear_down),
        cmocka_unit_test(chains_only_what_makes_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
