/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/tcpip.md is true: in its tables "| RFC | what | where | test |" each file of `where` is
 * there and each test is one of the program that is named before it; each counter of "| what |
 * bound | counter |" is one of the instance's, and each counter that tells of a limit is in that
 * table; each file that the page names anywhere is there. Run from the root of the tree.
 */
#include "sidecar/tcpip/counters.h"
#include "tests/unit/cmocka.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE "docs/tcpip.md"

static char *page;

static char *read_file(const char *path)
{
    char *text = NULL;
    size_t room = 0;
    FILE *f = fopen(path, "r");

    if (f == NULL)
        return NULL;
    if (getdelim(&text, &room, '\0', f) <= 0) {
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

static int load(void **state)
{
    UNUSED(state);
    page = read_file(PAGE);
    return page == NULL;
}

static int unload(void **state)
{
    UNUSED(state);
    free(page);
    return 0;
}

/* The next `word` in *at up to `end`; moves *at behind it. */
static bool next_quoted(const char **at, const char *end, char *word, size_t size)
{
    const char *from = memchr(*at, '`', (size_t)(end - *at));
    const char *to = from == NULL ? NULL : memchr(from + 1, '`', (size_t)(end - from - 1));

    if (to == NULL || (size_t)(to - from) > size)
        return false;
    memcpy(word, from + 1, (size_t)(to - from - 1));
    word[to - from - 1] = '\0';
    *at = to + 1;
    return true;
}

/* The cell of a row, counted from 0. */
static bool cell(const char *row, unsigned n, const char **from, const char **to)
{
    const char *end = strchr(row, '\n');

    *from = row;
    for (unsigned i = 0; i <= n; i++) {
        *from = memchr(*from, '|', (size_t)(end - *from));
        if (*from == NULL)
            return false;
        (*from)++;
    }
    *to = memchr(*from, '|', (size_t)(end - *from));
    return *to != NULL;
}

static void check_where(const char *row)
{
    const char *at, *end;
    char word[64], path[128];
    unsigned n = 0;

    assert_true(cell(row, 2, &at, &end));
    for (; next_quoted(&at, end, word, sizeof(word)); n++) {
        snprintf(path, sizeof(path), "sidecar/tcpip/%s", word);
        if (access(path, R_OK) != 0)
            fail_msg("%s, which %s names, is not there", path, PAGE);
    }
    if (n == 0)
        fail_msg("no file in: %.*s", 60, row);
}

static bool has_test(const char *program, const char *name)
{
    char wanted[128];

    snprintf(wanted, sizeof(wanted), "cmocka_unit_test(%s)", name);
    return strstr(program, wanted) != NULL;
}

/* "NAME: `test`, `test`; NAME: ..." */
static unsigned check_tests(const char *row)
{
    const char *at, *end;
    unsigned n = 0;

    assert_true(cell(row, 3, &at, &end));
    while (at < end) {
        const char *stop = memchr(at, ';', (size_t)(end - at));
        char name[32], path[96], word[96];

        if (stop == NULL)
            stop = end;
        if (sscanf(at, " %31[a-z0-9_]:", name) != 1)
            fail_msg("no program in: %.*s", (int)(stop - at), at);
        snprintf(path, sizeof(path), "tests/unit/%s/%s_test.c",
                 strncmp(name, "net_", 4) == 0 ? "tcpip" : "tcp", name);
        char *program = read_file(path);
        if (program == NULL)
            fail_msg("%s, which %s names, is not there", path, PAGE);
        for (; next_quoted(&at, stop, word, sizeof(word)); n++) {
            if (!has_test(program, word))
                fail_msg("%s has no test %s, which %s names", path, word, PAGE);
        }
        free(program);
        at = stop + 1;
    }
    if (n == 0)
        fail_msg("no test in: %.*s", 60, row);
    return n;
}

/* Calls `check` for each row of each table with this head. */
static unsigned rows_of(const char *head, void (*check)(const char *row))
{
    unsigned n = 0;

    for (const char *t = strstr(page, head); t != NULL; t = strstr(t + 1, head)) {
        const char *row = strchr(strchr(t, '\n') + 1, '\n') + 1;

        for (; *row == '|'; row = strchr(row, '\n') + 1, n++)
            check(row);
    }
    return n;
}

static unsigned n_tests;

static void check_rfc_row(const char *row)
{
    check_where(row);
    n_tests += check_tests(row);
}

static void rfc_tables(void **state)
{
    UNUSED(state);
    assert_in_range(rows_of("| RFC | what | where (`sidecar/tcpip/`) | test |", check_rfc_row), 50,
                    200);
    assert_true(n_tests > 150);
}

static bool counter_found;
static const char *counter_wanted;

static void compare_counter(void *arg, const char *name, uint64_t value)
{
    (void)arg;
    (void)value;
    counter_found = counter_found || strcmp(name, counter_wanted) == 0;
}

static bool is_counter(const char *name)
{
    static const struct tcpip_counters none;

    counter_found = false;
    counter_wanted = name;
    tcpip_counters_emit(&none, compare_counter, NULL);
    return counter_found;
}

static void check_limit_row(const char *row)
{
    const char *at, *end;
    char word[64];

    assert_true(cell(row, 2, &at, &end));
    while (next_quoted(&at, end, word, sizeof(word))) {
        if (!is_counter(word))
            fail_msg("%s names a counter that is not there: %s", PAGE, word);
    }
}

static void require_in_table(void *arg, const char *name, uint64_t value)
{
    const size_t len = strlen(name);
    char quoted[64];

    (void)arg;
    (void)value;
    if (len < 6 || strcmp(name + len - 6, "_limit") != 0)
        return;
    snprintf(quoted, sizeof(quoted), "`%s`", name);
    if (strstr(strstr(page, "| what | bound | counter |"), quoted) == NULL)
        fail_msg("the counter %s is not in the table of limits", name);
}

static void limits_table(void **state)
{
    static const struct tcpip_counters none;

    UNUSED(state);
    assert_in_range(rows_of("| what | bound | counter |", check_limit_row), 10, 50);
    tcpip_counters_emit(&none, require_in_table, NULL);
}

static void files_are_there(void **state)
{
    static const char *const roots[] = {"tests/", "sidecar/", "examples/"};
    const char *at = page, *end = page + strlen(page);
    char word[128];
    unsigned n = 0;

    UNUSED(state);
    while (at < end) {
        const char *line_end = strchr(at, '\n') != NULL ? strchr(at, '\n') : end;

        while (next_quoted(&at, line_end, word, sizeof(word))) {
            for (unsigned i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
                if (strncmp(word, roots[i], strlen(roots[i])) != 0 || strpbrk(word, " *") != NULL ||
                    strstr(word, "NAME") != NULL)
                    continue;
                if (access(word, R_OK) != 0)
                    fail_msg("%s, which %s names, is not there", word, PAGE);
                n++;
            }
        }
        at = line_end + 1;
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_tables),
        cmocka_unit_test(limits_table),
        cmocka_unit_test(files_are_there),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
