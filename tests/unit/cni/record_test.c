/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/file.h"
#include "cni/record.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static int set_up(void **state)
{
    UNUSED(state);
    strcpy(root, "/tmp/dmm-record.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    UNUSED(state);
    return dmm_dir_remove(AT_FDCWD, root, NULL);
}

static struct dmm_record sample(void)
{
    return (struct dmm_record){
        .network = "net",
        .container_id = "c1",
        .ifname = "eth0",
        .port = "net1",
        .netns = "/run/netns/x",
        .netns_id = {4, 4026531840u},
        .boot_id = "boot",
        .pod_root = "/run/dmm",
        .pod_id = "uid",
        .cni_path = "/a:/b",
        .ipam_type = "host-local",
        .link = "veth",
        .plan = json_pack("{s:s}", "host", "dmm0123"),
        .conf = json_pack("{s:s}", "name", "net"),
        .fd = -1,
    };
}

static void free_sample(struct dmm_record *r)
{
    json_decref(r->plan);
    json_decref(r->conf);
    dmm_record_release(r);
}

static int load(struct dmm_record *r, struct dmm_err *err)
{
    return dmm_record_load(r, root, "net", "c1", "eth0", false, err);
}

static int files(const char *dir)
{
    char command[128];
    char line[16] = "";
    snprintf(command, sizeof(command), "find %s/%s -type f 2>/dev/null | wc -l", root, dir);
    FILE *pipe = popen(command, "r"); /* NOLINT: a test's own path */
    assert_non_null(fgets(line, sizeof(line), pipe));
    pclose(pipe);
    return (int)strtol(line, NULL, 10);
}

static void round_trip(void **state)
{
    UNUSED(state);
    struct dmm_record made = sample();
    struct dmm_record got;
    struct dmm_err err = {0};
    assert_int_equal(dmm_record_create(&made, root, &err), 0);
    assert_int_equal(load(&got, &err), -EBUSY); /* its maker still holds it */
    dmm_close(&made.fd);
    assert_int_equal(load(&got, &err), 0);
    assert_string_equal(got.netns, made.netns);
    assert_true(got.netns_id.dev == 4 && got.netns_id.ino == 4026531840u);
    assert_string_equal(got.boot_id, "boot");
    assert_string_equal(got.pod_root, "/run/dmm");
    assert_string_equal(got.pod_id, "uid");
    assert_string_equal(got.cni_path, "/a:/b");
    assert_string_equal(got.ipam_type, "host-local");
    assert_string_equal(got.port, "net1");
    assert_null(got.device_info);
    assert_string_equal(got.link, "veth");
    assert_true(json_equal(got.plan, made.plan));
    assert_true(json_equal(got.conf, made.conf));
    assert_int_equal(dmm_record_remove(&got, root, &err), 0);
    dmm_record_release(&got);
    assert_int_equal(load(&got, &err), -ENOENT);
    assert_int_equal(files("net"), 0);
    free_sample(&made);
}

static void no_ipam(void **state)
{
    UNUSED(state);
    struct dmm_record made = sample();
    struct dmm_record got;
    made.ipam_type = NULL;
    assert_int_equal(dmm_record_create(&made, root, NULL), 0);
    free_sample(&made);
    assert_int_equal(load(&got, NULL), 0);
    assert_null(got.ipam_type);
    dmm_record_release(&got);
}

static void is_private(void **state)
{
    UNUSED(state);
    struct stat st;
    char path[128];
    struct dmm_record made = sample();
    assert_int_equal(dmm_record_create(&made, root, NULL), 0);
    snprintf(path, sizeof(path), "%s/net/c1:eth0.json", root);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    free_sample(&made);
}

static void twice_is_refused(void **state)
{
    UNUSED(state);
    struct dmm_record made = sample();
    struct dmm_record again = sample();
    struct dmm_err err = {0};
    assert_int_equal(dmm_record_create(&made, root, &err), 0);
    assert_int_equal(dmm_record_create(&again, root, &err), -EEXIST);
    assert_int_equal(files("net"), 1);
    free_sample(&made);
    free_sample(&again);
}

/* Whatever part of it a crash left: it goes to quarantine and is reported, never believed. */
static void every_truncation_is_quarantined(void **state)
{
    UNUSED(state);
    char path[128];
    struct stat st;
    struct dmm_record made = sample();
    assert_int_equal(dmm_record_create(&made, root, NULL), 0);
    dmm_close(&made.fd);
    snprintf(path, sizeof(path), "%s/net/c1:eth0.json", root);
    assert_int_equal(stat(path, &st), 0);
    for (off_t len = 0; len < st.st_size; len++) {
        struct dmm_record got;
        struct dmm_err err = {0};
        assert_int_equal(truncate(path, len), 0);
        assert_int_equal(load(&got, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "quarantine"));
        assert_int_equal(load(&got, &err), -ENOENT);
        assert_true(files("net/quarantine") >= 1);
        assert_int_equal(dmm_record_create(&made, root, NULL), 0);
        dmm_close(&made.fd);
    }
    free_sample(&made);
}

static void lies_are_quarantined(void **state)
{
    UNUSED(state);
    static const struct {
        const char *key;
        const char *value; /* JSON; NULL removes the key */
    } cases[] = {
        {"version", "2"},           {"version", "\"1\""},   {"network", "\"other\""},
        {"containerId", "\"c2\""},  {"ifname", "\"eth1\""}, {"podDir", "\"relative\""},
        {"podId", "\"../../etc\""}, {"podId", "7"},         {"plan", "[]"},
        {"conf", "null"},           {"extra", "1"},         {"port", "\"a/b\""},
        {"deviceInfo", "\"x\""},    {"bootId", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dmm_record made = sample();
        struct dmm_record got;
        char path[128];
        json_t *json = dmm_record_json(&made);
        if (cases[i].value)
            json_object_set_new(json, cases[i].key,
                                json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(json, cases[i].key);
        snprintf(path, sizeof(path), "%s/net", root);
        mkdir(path, 0755);
        snprintf(path, sizeof(path), "%s/net/c1:eth0.json", root);
        assert_int_equal(json_dump_file(json, path, 0), 0);
        json_decref(json);
        if (load(&got, NULL) != -EBADMSG)
            fail_msg("believed: %s: %s", cases[i].key, cases[i].value);
        free_sample(&made);
    }
}

static void a_directory_that_cant_be_made(void **state)
{
    UNUSED(state);
    char path[128];
    struct dmm_record made = sample();
    struct dmm_err err = {0};
    snprintf(path, sizeof(path), "%s/file", root);
    close(open(path, O_CREAT | O_WRONLY, 0644));
    assert_true(dmm_record_create(&made, path, &err) < 0);
    assert_non_null(strstr(err.text, path));
    free_sample(&made);
}

static int count(void *arg, const char *container_id, const char *ifname)
{
    assert_string_equal(ifname, "eth0");
    assert_string_equal(container_id, "c1");
    ++*(int *)arg;
    return 0;
}

static void each_sees_records_only(void **state)
{
    UNUSED(state);
    int n = 0;
    char path[128];
    assert_int_equal(dmm_record_each(root, "net", count, &n, NULL), 0);
    struct dmm_record made = sample();
    assert_int_equal(dmm_record_create(&made, root, NULL), 0);
    static const char *const others[] = {".c2:eth0.json.tmp", "c3.json", "notes", "c4:eth0"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        snprintf(path, sizeof(path), "%s/net/%s", root, others[i]);
        close(open(path, O_CREAT | O_WRONLY, 0644));
    }
    assert_int_equal(dmm_record_each(root, "net", count, &n, NULL), 0);
    assert_int_equal(n, 1);
    free_sample(&made);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(round_trip),
        TEST(no_ipam),
        TEST(is_private),
        TEST(twice_is_refused),
        TEST(every_truncation_is_quarantined),
        TEST(lies_are_quarantined),
        TEST(a_directory_that_cant_be_made),
        TEST(each_sees_records_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
