/* SPDX-License-Identifier: Apache-2.0 */
/* Programs as `dmmctl doctor` reads them, whole and damaged. */
#include "ctl/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/dmm-program.XXXXXX";

static void write_file(const char *name, const void *data, size_t len, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
}

static void this_program(void **state)
{
    struct program program;
    struct dmm_err err;
    (void)state;
    assert_int_equal(program_inspect(&program, "/proc/self/exe", NULL, &err), 0);
    assert_true(program.elf && program.class64 && program.machine_ours);
    assert_int_equal(program.libc, PROGRAM_GLIBC);
    assert_false(program.go || program.io_uring || program.secure);
    assert_int_equal(program_check_library("/proc/self/exe", PROGRAM_GLIBC, &err), 0);
    assert_int_equal(program_check_library("/proc/self/exe", PROGRAM_MUSL, &err), -ENOEXEC);
    assert_non_null(strstr(err.text, "built for glibc"));
}

static void scripts_are_followed(void **state)
{
    static const char text[] = "#!/usr/bin/env -S A=b sh -e\necho\n";
    static const char loop[] = "#!loop\n";
    char path[PATH_MAX];
    struct program program;
    struct dmm_err err;
    (void)state;
    write_file("script", text, sizeof(text) - 1, path);
    assert_int_equal(program_inspect(&program, "script", dir, &err), -ENOENT); /* no sh there */
    char list[PATH_MAX];
    snprintf(list, sizeof(list), "/nonexistent::%s:/usr/bin:/bin", dir);
    assert_int_equal(program_inspect(&program, "script", list, &err), 0);
    assert_int_equal(program.n_scripts, 1);
    assert_string_equal(program.script, path);
    assert_non_null(strstr(program.path, "/sh"));
    write_file("loop", loop, sizeof(loop) - 1, path);
    assert_int_equal(program_inspect(&program, "loop", list, &err), -ELOOP);
}

static void what_is_no_program(void **state)
{
    char path[PATH_MAX];
    struct program program;
    struct dmm_err err;
    (void)state;
    write_file("text", "hello", 5, path);
    assert_int_equal(program_inspect(&program, path, NULL, &err), -ENOEXEC);
    write_file("empty", "", 0, path);
    assert_int_equal(program_inspect(&program, path, NULL, &err), -ENOEXEC);
    write_file("bang", "#!\n", 3, path);
    assert_int_equal(program_inspect(&program, path, NULL, &err), -ENOEXEC);
    assert_int_equal(program_inspect(&program, dir, NULL, &err), -EACCES);
    assert_int_equal(program_inspect(&program, "nothing", dir, &err), -ENOENT);
    assert_int_equal(program_inspect(&program, "/nonexistent/x", NULL, &err), -ENOENT);
}

static void a_static_program_and_a_32_bit_one(void **state)
{
    Elf64_Ehdr elf = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
                      .e_phentsize = sizeof(Elf64_Phdr)};
    char path[PATH_MAX];
    struct program program;
    struct dmm_err err;
    (void)state;
    write_file("static", &elf, sizeof(elf), path);
    assert_int_equal(program_inspect(&program, path, NULL, &err), 0);
    assert_int_equal(program.libc, PROGRAM_STATIC);
    assert_false(program.machine_ours);
    elf.e_ident[EI_CLASS] = ELFCLASS32;
    write_file("small", &elf, sizeof(elf), path);
    assert_int_equal(program_inspect(&program, path, NULL, &err), 0);
    assert_false(program.class64);
}

/* Whatever the numbers in the file say: an answer, and nothing read beyond. */
static void damaged_files(void **state)
{
    static unsigned char good[16384], bad[sizeof(good)];
    char path[PATH_MAX];
    struct program program;
    struct dmm_err err;
    unsigned seed = 7;
    (void)state;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, good, sizeof(good)), (ssize_t)sizeof(good));
    close(fd);
    for (int i = 0; i < 1500; i++) {
        memcpy(bad, good, sizeof(bad));
        for (int k = 0; k < 8; k++)
            bad[4 + (size_t)rand_r(&seed) % 900] = (unsigned char)rand_r(&seed);
        write_file("damaged", bad, i % 3 ? sizeof(bad) : (size_t)rand_r(&seed) % sizeof(bad), path);
        int rc = program_inspect(&program, path, NULL, &err);
        assert_true(rc <= 0);
        assert_true(memchr(program.interpreter, 0, sizeof(program.interpreter)) != NULL);
        program_check_library(path, PROGRAM_GLIBC, &err);
    }
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[PATH_MAX];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command); /* NOLINT(cert-env33-c) */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_program),       cmocka_unit_test(scripts_are_followed),
        cmocka_unit_test(what_is_no_program), cmocka_unit_test(a_static_program_and_a_32_bit_one),
        cmocka_unit_test(damaged_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
