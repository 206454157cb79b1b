/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/file.h"
#include "cni/link/claim.h"
#include "tests/unit/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE "0000:01:10.0"

static char root[64];

static int setup(void **state)
{
    UNUSED(state);
    strcpy(root, "/tmp/dmm-claim.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    UNUSED(state);
    return dmm_dir_remove(AT_FDCWD, root, NULL);
}

static struct dmm_link_job job(void)
{
    return (struct dmm_link_job){.network = "n",
                                 .container_id = "c",
                                 .ifname = "net1",
                                 .netns = "/proc/self/ns/net",
                                 .netns_fd = -1,
                                 .lock_dir = root};
}

static enum dmm_claim_state look(const char *owner, json_t **plan)
{
    enum dmm_claim_state state;
    assert_int_equal(dmm_claim_look(root, DEVICE, owner, &state, plan, NULL), 0);
    return state;
}

static void write_claim(const char *owner)
{
    struct dmm_link_job ours = job();
    json_t *plan = json_pack("{s:s}", "owner", owner);
    assert_int_equal(dmm_claim_write(&ours, DEVICE, owner, plan, NULL), 0);
    json_decref(plan);
}

static void replace(const char *key, json_t *value)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/.devices/" DEVICE ".json", root);
    json_t *json = json_load_file(path, 0, NULL);
    assert_non_null(json);
    json_object_set_new(json, key, value);
    assert_int_equal(json_dump_file(json, path, 0), 0);
    json_decref(json);
}

static void whose_it_is(void **state)
{
    UNUSED(state);
    json_t *plan;
    struct dmm_link_job ours = job();
    char *owner = dmm_claim_owner(&ours);
    assert_string_equal(owner, "n/c/net1");
    assert_int_equal(look(owner, NULL), DMM_CLAIM_NONE);
    write_claim(owner);
    assert_int_equal(look(owner, &plan), DMM_CLAIM_OURS);
    assert_string_equal(json_string_value(json_object_get(plan, "owner")), owner);
    json_decref(plan);
    assert_int_equal(look("n/d/net1", NULL), DMM_CLAIM_LIVE);
    assert_int_equal(look(NULL, NULL), DMM_CLAIM_LIVE);
    assert_int_equal(dmm_claim_remove(root, DEVICE, NULL), 0);
    assert_int_equal(dmm_claim_remove(root, DEVICE, NULL), 0);
    assert_int_equal(look(owner, NULL), DMM_CLAIM_NONE);
    free(owner);
}

static void a_dead_owner_s_is_stale(void **state)
{
    UNUSED(state);
    write_claim("n/c/net1");
    replace("netnsIno", json_integer(1));
    assert_int_equal(look("n/d/net1", NULL), DMM_CLAIM_STALE);
    assert_int_equal(look("n/c/net1", NULL), DMM_CLAIM_OURS);
    write_claim("n/c/net1");
    replace("netns", json_string("/nonexistent"));
    assert_int_equal(look("n/d/net1", NULL), DMM_CLAIM_STALE);
}

static void of_another_boot_or_broken_it_is_none(void **state)
{
    UNUSED(state);
    char path[128];
    write_claim("n/c/net1");
    replace("bootId", json_string("another"));
    assert_int_equal(look("n/d/net1", NULL), DMM_CLAIM_NONE);
    assert_int_equal(look("n/c/net1", NULL), DMM_CLAIM_OURS);
    snprintf(path, sizeof(path), "%s/.devices/" DEVICE ".json", root);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(look("n/c/net1", NULL), DMM_CLAIM_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whose_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_owner_s_is_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(of_another_boot_or_broken_it_is_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
