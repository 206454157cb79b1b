/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/hostlocal.h"

#include "cni/file.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[64];

static int setup(void **state)
{
    UNUSED(state);
    strcpy(root, "/tmp/dmm-hl.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    UNUSED(state);
    return dmm_dir_remove(AT_FDCWD, root, NULL);
}

/* The IPAM part is given with ' for ". The configuration is the caller's. */
static json_t *conf(const char *ipam)
{
    char text[512];
    snprintf(text, sizeof(text), "{'name':'n','ipam':{'type':'host-local','dataDir':'%s'%s}}", root,
             ipam);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static bool can(const char *ipam, const char *args)
{
    struct dmm_hostlocal local;
    json_t *json = conf(ipam);
    bool yes = dmm_hostlocal_can(&local, json, args);
    json_decref(json);
    return yes;
}

static void the_usual_is_done_here_and_the_rest_is_not(void **state)
{
    UNUSED(state);
    strcpy(root, "/tmp/x");
    static const char *const yes[] = {
        ",'subnet':'10.1.0.0/16'",
        ",'subnet':'10.1.0.0/16','rangeStart':'10.1.0.9','rangeEnd':'10.1.0.9'",
        ",'subnet':'10.1.0.0/16','gateway':'10.1.2.3','routes':[{'dst':'0.0.0.0/0'}]",
        ",'ranges':[[{'subnet':'10.1.0.0/30'}],[{'subnet':'fd00::/64'}]]",
    };
    static const char *const no[] = {
        "",
        ",'subnet':'10.1.0.1/16'",
        ",'subnet':'10.1.0.0/31'",
        ",'subnet':'10.1.0.0'",
        ",'subnet':7",
        ",'subnet':'10.1.0.0/16','rangeStart':'10.2.0.1'",
        ",'subnet':'10.1.0.0/16','rangeStart':'10.1.0.9','rangeEnd':'10.1.0.8'",
        ",'subnet':'10.1.0.0/16','gateway':'fd00::1'",
        ",'subnet':'10.1.0.0/16','resolvConf':'/etc/resolv.conf'",
        ",'subnet':'10.1.0.0/16','other':1",
        ",'subnet':'10.1.0.0/16','routes':{}",
        ",'ranges':[[{'subnet':'10.1.0.0/30'},{'subnet':'10.2.0.0/30'}]]",
        ",'ranges':[[{'subnet':'10.1.0.0/30'}],[{'subnet':'10.2.0.0/30'}]]",
        ",'ranges':[[{'subnet':'10.1.0.0/30','x':1}]]",
        ",'ranges':[7]",
        ",'ranges':7",
    };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(can(yes[i], "IgnoreUnknown=1;K8S_POD_NAME=IP"));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(can(no[i], NULL));
    assert_false(can(yes[0], "IP=10.1.0.7"));
    assert_false(can(yes[0], "IgnoreUnknown=1;IP=10.1.0.7"));
    static const char *const asked[] = {"{s:{s:[s]}}", "runtimeConfig", "ips", "10.1.0.7"};
    struct dmm_hostlocal local;
    json_t *json = conf(yes[0]);
    json_object_update_new(json, json_pack(asked[0], asked[1], asked[2], asked[3]));
    assert_false(dmm_hostlocal_can(&local, json, NULL));
    json_decref(json);
}

/* The first address of an ADD, or the error. */
static const char *add(const char *ipam, const char *id)
{
    static char text[512];
    struct dmm_hostlocal local;
    struct dmm_err err = {0};
    json_t *result = NULL;
    json_t *json = conf(ipam);
    assert_true(dmm_hostlocal_can(&local, json, NULL));
    if (dmm_hostlocal_add(&local, id, "net1", &result, &err)) {
        assert_null(result);
        snprintf(text, sizeof(text), "%s", err.text);
    } else {
        size_t i;
        json_t *ip;
        *text = '\0';
        json_array_foreach(json_object_get(result, "ips"), i, ip)
        {
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s>%s", i ? " " : "",
                     json_string_value(json_object_get(ip, "address")),
                     json_string_value(json_object_get(ip, "gateway")));
        }
    }
    json_decref(result);
    json_decref(json);
    return text;
}

static int del(const char *ipam, const char *id)
{
    struct dmm_hostlocal local;
    json_t *json = conf(ipam);
    assert_true(dmm_hostlocal_can(&local, json, NULL));
    int rc = dmm_hostlocal_del(&local, id, "net1", NULL);
    json_decref(json);
    return rc;
}

static void addresses_come_in_turn(void **state)
{
    UNUSED(state);
    const char *small = ",'subnet':'10.1.0.0/29'"; /* .1 is the gateway's: .2 to .6 */
    assert_int_equal(del(small, "nobody"), 0);
    assert_string_equal(add(small, "a"), "10.1.0.2/29>10.1.0.1");
    assert_string_equal(add(small, "b"), "10.1.0.3/29>10.1.0.1");
    assert_int_equal(del(small, "a"), 0);
    assert_string_equal(add(small, "c"), "10.1.0.4/29>10.1.0.1"); /* not the one just given back */
    assert_string_equal(add(small, "d"), "10.1.0.5/29>10.1.0.1");
    assert_string_equal(add(small, "e"), "10.1.0.6/29>10.1.0.1");
    assert_string_equal(add(small, "f"), "10.1.0.2/29>10.1.0.1");
    assert_string_equal(add(small, "g"), "no address is free in the range of 10.1.0.1");
    assert_int_equal(del(small, "f"), 0);
    assert_int_equal(del(small, "f"), 0);
    assert_string_equal(add(small, "g"), "10.1.0.2/29>10.1.0.1");
}

static void a_lease_is_a_file_as_host_local_writes_it(void **state)
{
    UNUSED(state);
    char path[96];
    char text[64] = "";
    const char *both = ",'ranges':[[{'subnet':'10.1.0.0/24','rangeStart':'10.1.0.255'}],[{"
                       "'subnet':'fd00::/64'}]]";
    /* A start behind the last usable address is none. */
    assert_false(can(both, NULL));
    both = ",'ranges':[[{'subnet':'10.1.0.0/24','gateway':'10.1.0.9'}],[{'subnet':'fd00::/64'}]]";
    assert_string_equal(add(both, "a"), "10.1.0.1/24>10.1.0.9 fd00::2/64>fd00::1");
    snprintf(path, sizeof(path), "%s/n/fd00::2", root);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof(text)), 7);
    close(fd);
    assert_string_equal(text, "a\r\nnet1");
    snprintf(path, sizeof(path), "%s/n/last_reserved_ip.1", root);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    memset(text, 0, sizeof(text));
    assert_int_equal(read(fd, text, sizeof(text)), 7);
    close(fd);
    assert_string_equal(text, "fd00::2");
    snprintf(path, sizeof(path), "%s/n/.dmm.new", root);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(del(both, "a"), 0);
    snprintf(path, sizeof(path), "%s/n/10.1.0.1", root);
    assert_int_equal(access(path, F_OK), -1);
}

static void where_one_family_has_none_left_the_other_s_is_given_back(void **state)
{
    UNUSED(state);
    char path[96];
    const char *both = ",'ranges':[[{'subnet':'10.1.0.0/24'}],[{'subnet':'fd00::/64','rangeStart':"
                       "'fd00::5','rangeEnd':'fd00::5'}]]";
    assert_string_equal(add(both, "a"), "10.1.0.2/24>10.1.0.1 fd00::5/64>fd00::1");
    assert_string_equal(add(both, "b"), "no address is free in the range of fd00::5");
    snprintf(path, sizeof(path), "%s/n/10.1.0.3", root);
    assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_is_done_here_and_the_rest_is_not),
        cmocka_unit_test_setup_teardown(addresses_come_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lease_is_a_file_as_host_local_writes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(where_one_family_has_none_left_the_other_s_is_given_back,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
