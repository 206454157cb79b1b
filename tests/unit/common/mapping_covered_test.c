/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule is refused where an earlier one covers it. Here that judgement is held against the
 * matcher: of many random pairs of rules, none whose second is refused may ever match by the
 * second.
 */
#include "common/mapping.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>
#include <string.h>

#define PAIRS 4000

/* The first of each is the selector left out. */
static const char *const protocols[] = {"", ",\"protocol\":\"tcp\""};
static const char *const directions[] = {"", ",\"direction\":\"connect\"",
                                         ",\"direction\":\"listen\""};
static const char *const prefixes[] = {"",          "10.0.0.0/8", "10.1.0.0/16", "127.0.0.0/8",
                                       "127.0.0.1", "0.0.0.0/0",  "0.0.0.0/8",   "::/0",
                                       "::1",       "fd00::/8"};
static const char *const ports[] = {"", ",\"port\":80", ",\"port\":\"1-1023\"",
                                    ",\"port\":\"1-65535\""};
static const char *const processes[] = {"", ",\"process\":\"nginx\""};
static const char *const addresses[] = {"10.1.2.3", "10.2.2.3", "127.0.0.1", "127.0.0.2",
                                        "0.0.0.0",  "0.0.0.1",  "11.0.0.1",  "::1",
                                        "::",       "fd00::1",  "fe80::1"};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct dmm_mapping one;
static struct dmm_mapping pair;
static uint64_t seed;

/* Knuth's MMIX generator; its upper bits are the random ones. */
static size_t below(size_t n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (size_t)(seed >> 33) % n;
}

/* One of `n` texts, the first of them half of the time. */
static const char *pick(const char *const *texts, size_t n)
{
    return texts[below(2) ? below(n) : 0];
}

static void random_prefix(char *out, size_t size, const char *key)
{
    const char *prefix = pick(prefixes, COUNT(prefixes));
    out[0] = '\0';
    if (prefix[0])
        snprintf(out, size, ",\"%s\":\"%s\"", key, prefix);
}

static void random_rule(char *out, size_t size)
{
    char remote[64];
    char local[64];
    /* One after the other: the order in which arguments are evaluated is the compiler's. */
    const char *protocol = pick(protocols, COUNT(protocols));
    const char *direction = pick(directions, COUNT(directions));
    const char *port = pick(ports, COUNT(ports));
    const char *process = pick(processes, COUNT(processes));
    random_prefix(remote, sizeof(remote), "remote");
    random_prefix(local, sizeof(local), "local");
    snprintf(out, size, "{\"stack\":\"kernel\"%s%s%s%s%s%s}", protocol, direction, remote, local,
             port, process);
}

static int parse(struct dmm_mapping *mapping, const char *rules, struct dmm_err *err)
{
    char text[1024];
    snprintf(text, sizeof(text), "{\"version\":1,\"rules\":[%s]}", rules);
    return dmm_mapping_parse(mapping, text, strlen(text), NULL, 0, "test", err);
}

static void never_matches_second(const char *rules, const struct dmm_mapping_query *query)
{
    if (dmm_mapping_match(&pair, query).rule == 1)
        fail_msg("refused as covered, but it matches: %s", rules);
}

/* Each remote with each local address, port and process there is. */
static void ask_everything(const char *rules)
{
    static const uint16_t some_ports[] = {0, 80, 443, 8080};
    struct dmm_mapping_query query = {0};
    for (unsigned i = 0; i < COUNT(addresses) * COUNT(addresses) * COUNT(some_ports) * 8; i++) {
        unsigned rest = i;
        query.protocol = rest % 2 ? IPPROTO_TCP : IPPROTO_UDP;
        rest /= 2;
        query.direction = rest % 2 ? DMM_DIR_CONNECT : DMM_DIR_LISTEN;
        rest /= 2;
        query.process = rest % 2 ? "nginx" : "sshd";
        rest /= 2;
        dmm_addr_parse(&query.local, addresses[rest % COUNT(addresses)]);
        rest /= COUNT(addresses);
        dmm_addr_parse(&query.remote, addresses[rest % COUNT(addresses)]);
        rest /= COUNT(addresses);
        query.local.port = query.remote.port = some_ports[rest];
        if (query.direction == DMM_DIR_LISTEN)
            query.remote = (struct dmm_addr){0};
        never_matches_second(rules, &query);
    }
}

static void test_refused_rules_never_match(void **state)
{
    unsigned refused = 0;
    UNUSED(state);
    seed = 1;
    for (unsigned i = 0; i < PAIRS; i++) {
        char rules[2][300];
        char both[700];
        struct dmm_err err = {0};
        random_rule(rules[0], sizeof(rules[0]));
        random_rule(rules[1], sizeof(rules[1]));
        if (parse(&pair, rules[0], NULL) < 0 || parse(&one, rules[1], NULL) < 0)
            continue; /* families that differ, or a listen with a remote address */
        pair.rules[pair.n_rules++] = one.rules[0];
        snprintf(both, sizeof(both), "%s,%s", rules[0], rules[1]);
        if (parse(&one, both, &err) == 0)
            continue;
        refused++;
        ask_everything(both);
    }
    /* The test is worth something only if enough was refused. */
    assert_in_range(refused, PAIRS / 20, PAIRS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_rules_never_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
