/* SPDX-License-Identifier: Apache-2.0 */
/* The pod may put anything into its directory: nothing there may lead elsewhere or hold us. */
#include "cni/exec.h"
#include "cni/file.h"
#include "cni/ipam.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static int dir;

static int set_up(void **state)
{
    UNUSED(state);
    strcpy(root, "/tmp/dmm-file.XXXXXX");
    if (!mkdtemp(root))
        return -1;
    dir = dmm_dir_open(AT_FDCWD, root, NULL);
    return dir < 0;
}

static int tear_down(void **state)
{
    UNUSED(state);
    close(dir);
    return dmm_dir_remove(AT_FDCWD, root, NULL);
}

static void write_replaces_whole(void **state)
{
    UNUSED(state);
    char *text;
    size_t len;
    assert_int_equal(dmm_file_write(dir, "f", 0644, "old", 3, NULL, NULL), 0);
    assert_int_equal(dmm_file_write(dir, "f", 0644, "newer", 5, NULL, NULL), 0);
    assert_int_equal(dmm_file_read(dir, "f", 5, &text, &len, NULL), 0);
    assert_string_equal(text, "newer");
    free(text);
    assert_int_equal(dmm_file_read(dir, "f", 4, &text, &len, NULL), -EFBIG);
    assert_int_equal(dmm_file_replace(dir, "f", 0640, "last", 4, NULL), 0);
    assert_int_equal(dmm_file_read(dir, "f", 5, &text, &len, NULL), 0);
    assert_string_equal(text, "last");
    free(text);
    assert_int_equal(faccessat(dir, ".f.tmp", F_OK, 0), -1);
}

/* What is behind the link must stay as it was. */
static void links_are_not_followed(void **state)
{
    UNUSED(state);
    char *text;
    size_t len;
    assert_int_equal(dmm_file_write(dir, "victim", 0644, "safe", 4, NULL, NULL), 0);
    assert_int_equal(symlinkat("victim", dir, "f"), 0);
    assert_int_equal(symlinkat("victim", dir, ".f.tmp"), 0);
    assert_int_equal(dmm_file_read(dir, "f", 100, &text, &len, NULL), -ELOOP);
    assert_int_equal(dmm_file_write(dir, "f", 0644, "new", 3, NULL, NULL), 0);
    assert_int_equal(dmm_file_read(dir, "victim", 100, &text, &len, NULL), 0);
    assert_string_equal(text, "safe");
    free(text);
    assert_int_equal(mkdirat(dir, "d", 0755), 0);
    assert_int_equal(symlinkat("d", dir, "ports"), 0);
    assert_true(dmm_dir_make_open(dir, "ports", NULL) < 0);
    assert_int_equal(dmm_dir_remove(dir, "ports", NULL), 0);
    assert_int_equal(faccessat(dir, "d", F_OK, 0), 0);
}

static void a_fifo_does_not_hold_us(void **state)
{
    UNUSED(state);
    char *text;
    size_t len;
    assert_int_equal(mkfifoat(dir, "f", 0644), 0);
    assert_int_equal(dmm_file_read(dir, "f", 100, &text, &len, NULL), -EINVAL);
}

static void removal_is_whole_and_repeatable(void **state)
{
    UNUSED(state);
    char path[128];
    snprintf(path, sizeof(path), "%s/a/b/c", root);
    assert_int_equal(dmm_dir_make(path, NULL), 0);
    assert_int_equal(dmm_dir_make(path, NULL), 0);
    snprintf(path, sizeof(path), "%s/a/b/c/f", root);
    close(open(path, O_CREAT | O_WRONLY, 0));
    assert_int_equal(dmm_dir_remove(dir, "a", NULL), 0);
    assert_int_equal(faccessat(dir, "a", F_OK, 0), -1);
    assert_int_equal(dmm_dir_remove(dir, "a", NULL), 0);
    assert_int_equal(dmm_file_remove(dir, "none", NULL), 0);
}

static void programs_get_stdin_and_give_stdout(void **state)
{
    UNUSED(state);
    struct dmm_exec child;
    int status;
    char *output;
    size_t len;
    size_t large = 300000; /* more than a pipe holds */
    char *input = malloc(large);
    memset(input, 'x', large);
    char *cat[] = {"cat", NULL};
    assert_int_equal(dmm_exec_start(&child, "/bin/cat", cat, environ, input, large, -1, NULL), 0);
    assert_int_equal(dmm_exec_wait(&child, &status, &output, &len, NULL), 0);
    assert_int_equal(status, 0);
    assert_int_equal(len, large);
    assert_memory_equal(output, input, large);
    free(output);
    char *kill_self[] = {"sh", "-c", "kill -9 $$", NULL};
    assert_int_equal(dmm_exec_start(&child, "/bin/sh", kill_self, environ, "", 0, -1, NULL), 0);
    assert_int_equal(dmm_exec_wait(&child, &status, &output, &len, NULL), 0);
    assert_int_equal(status, 128 + 9);
    free(output);
    free(input);
    assert_int_equal(dmm_exec_start(&child, "/nonexistent", cat, environ, "", 0, -1, NULL),
                     -ENOENT);
}

static void settings_take_the_place_of_variables(void **state)
{
    UNUSED(state);
    static const char *const settings[] = {"DMM_A=new", "DMM_B=b", NULL};
    int a = 0;
    int b = 0;
    setenv("DMM_A", "old", 1);
    setenv("DMM_AB", "kept", 1);
    char **env = dmm_exec_environ(settings);
    int kept = 0;
    for (char **e = env; *e; e++) {
        a += !strcmp(*e, "DMM_A=new");
        b += !strcmp(*e, "DMM_B=b");
        kept += !strcmp(*e, "DMM_AB=kept");
        assert_string_not_equal(*e, "DMM_A=old");
    }
    assert_int_equal(a, 1);
    assert_int_equal(b, 1);
    assert_int_equal(kept, 1);
    free(env);
}

static void ipam_is_found_on_the_path(void **state)
{
    UNUSED(state);
    char path[128];
    struct dmm_cni_error error = {0};
    assert_int_equal(dmm_ipam_find(path, sizeof(path), "sh", "/nonexistent::/bin", &error), 0);
    assert_string_equal(path, "/bin/sh");
    assert_int_equal(dmm_ipam_find(path, sizeof(path), "sh", "", &error), -1);
    assert_int_equal(dmm_ipam_find(path, sizeof(path), "no-such", "/bin:/usr/bin", &error), -1);
    assert_int_equal(error.code, DMM_CNI_E_IPAM);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(write_replaces_whole),
        TEST(links_are_not_followed),
        TEST(a_fifo_does_not_hold_us),
        TEST(removal_is_whole_and_repeatable),
        TEST(programs_get_stdin_and_give_stdout),
        TEST(settings_take_the_place_of_variables),
        TEST(ipam_is_found_on_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
