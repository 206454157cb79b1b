/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/mapping.md is true: each JSON block in it is a mapping or a rule that the parser takes, and
 * each row "| tcp connect ADDRESS:PORT [by PROCESS] | STACKS | WHAT DECIDED |" is what the last
 * mapping above it answers. Run from the root of the tree.
 */
#include "common/mapping.h"
#include "common/number.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/common/mapping_say.h"

#include <stdio.h>
#include <string.h>

#define PAGE "docs/mapping.md"

static const char *const instances[] = {"fast", "rdma0"};
static struct dmm_mapping mapping;
static int n_mappings;
static int n_rules;
static int n_rows;

static void take_block(const char *block, int line)
{
    char text[4096 + 64];
    struct dmm_err err = {0};
    struct dmm_mapping ignored;
    bool whole = strstr(block, "\"version\"") != NULL;
    snprintf(text, sizeof(text), whole ? "%s" : "{\"version\":1,\"rules\":[%s]}", block);
    if (dmm_mapping_parse(whole ? &mapping : &ignored, text, strlen(text), instances, 2, PAGE,
                          &err) < 0)
        fail_msg("the block that ends in line %d: %s", line, err.text);
    if (whole)
        n_mappings++;
    else
        n_rules++;
}

/* "10.0.0.1:80", "[::1]:80" */
static struct dmm_addr parse_address(char *text)
{
    struct dmm_addr addr;
    unsigned long port = 0;
    char *colon = strrchr(text, ':');
    assert_non_null(colon);
    assert_true(dmm_number_parse(colon + 1, strlen(colon + 1), UINT16_MAX, &port));
    *colon = '\0';
    if (text[0] == '[') {
        text++;
        text[strlen(text) - 1] = '\0';
    }
    assert_int_equal(dmm_addr_parse(&addr, text), 0);
    addr.port = (uint16_t)port;
    return addr;
}

static void check_row(const char *row, int line)
{
    char protocol[8];
    char direction[8];
    char address[64];
    char process[16] = "app";
    char want_stacks[64];
    char want_reason[64];
    char want[MAPPING_SAY + 16];
    char answer[MAPPING_SAY];
    const char *rest = strstr(row + 1, " | ");
    if (!rest || sscanf(row, "| %7s %7s %63s by %15s |", protocol, direction, address, process) < 3)
        return;
    if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0)
        return;
    if (sscanf(rest, " | %63s | %63[^|]", want_stacks, want_reason) != 2)
        fail_msg("line %d: a row has three columns", line);
    want_reason[strlen(want_reason) - 1] = '\0';
    struct dmm_mapping_query query = {
        .protocol = strcmp(protocol, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP, .process = process};
    bool listens = strcmp(direction, "listen") == 0;
    query.direction = listens ? DMM_DIR_LISTEN : DMM_DIR_CONNECT;
    *(listens ? &query.local : &query.remote) = parse_address(address);
    snprintf(want, sizeof(want), "%s %s", want_stacks, want_reason);
    mapping_say(&mapping, &query, answer);
    if (strcmp(answer, want) != 0)
        fail_msg("line %d: the answer is %s", line, answer);
    n_rows++;
}

static void test_page(void **state)
{
    char text[512];
    char block[4096];
    size_t used = 0;
    bool inside = false;
    FILE *page = fopen(PAGE, "r");
    UNUSED(state);
    if (!page)
        fail_msg(PAGE " is not to be had: run from the root of the tree");
    for (int line = 1; fgets(text, sizeof(text), page); line++) {
        if (inside && strcmp(text, "```\n") == 0) {
            inside = false;
            take_block(block, line);
        } else if (inside) {
            used += (size_t)snprintf(block + used, sizeof(block) - used, "%s", text);
        } else if (strcmp(text, "```json\n") == 0) {
            inside = true;
            used = 0;
        } else if (text[0] == '|') {
            check_row(text, line);
        }
    }
    fclose(page);
    assert_false(inside);
    assert_true(n_mappings >= 3 && n_rules >= 7 && n_rows >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
