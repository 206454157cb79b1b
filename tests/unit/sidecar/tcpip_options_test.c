/* SPDX-License-Identifier: Apache-2.0 */
/* The options of an instance of `tcpip`: each key taken, its range kept, all else refused by name;
 * and docs/tcpip.md lists them all. */
#include "sidecar/stacks/tcpip/join.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tcpip_config config;
static char err[256];

static int options(const char *text)
{
    err[0] = '\0';
    return tcpip_join_options(&config, text, err, sizeof(err));
}

static void takes(const char *key, const char *value)
{
    char text[160];

    snprintf(text, sizeof(text), "{\"%s\": %s}", key, value);
    if (options(text) != 0)
        fail_msg("%s: %s", text, err);
}

static void refuses(const char *key, const char *value)
{
    char text[160], place[64];

    snprintf(text, sizeof(text), "{\"%s\": %s}", key, value);
    snprintf(place, sizeof(place), "options.%s: ", key);
    if (options(text) != -EINVAL || strncmp(err, place, strlen(place)) != 0)
        fail_msg("%s was not refused by name: %s", text, err);
}

static void none_is_the_default(void **state)
{
    struct tcpip_config fresh;

    UNUSED(state);
    tcpip_config_default(&fresh);
    assert_int_equal(options(NULL), 0);
    assert_memory_equal(&config, &fresh, sizeof(fresh));
    assert_int_equal(options("{}"), 0);
    assert_memory_equal(&config, &fresh, sizeof(fresh));
}

static const struct number {
    const char *key;
    size_t offset, size;
    long long min, max;
} numbers[] = {
#define NUMBER(name, min, max)                                                                     \
    {                                                                                              \
#name, offsetof(struct tcpip_config, name), sizeof(config.name), min, max                  \
    }
    NUMBER(vlan, 0, 4094),
    NUMBER(ports_first, 1, 60999), /* not above ports_last */
    NUMBER(ports_last, 32768, 65535),
    NUMBER(initial_window, 1, 100),
    NUMBER(min_rto_ms, 5, 10000),
    NUMBER(delayed_ack_ms, 1, 500),
    NUMBER(time_wait_ms, 1000, 240000),
    NUMBER(max_connections, 1, 10000000),
    NUMBER(max_half_open, 1, 1000000),
    NUMBER(max_time_wait, 1, 10000000),
    NUMBER(max_out_of_order, 65536, 1 << 30),
    NUMBER(max_neighbours, 16, 65536),
    NUMBER(max_fragments, 65536, 1 << 30),
    NUMBER(max_pmtu, 16, 65536),
    NUMBER(icmp_rate, 1, 1000000),
    NUMBER(challenge_rate, 1, 1000000),
};
#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static long long field(const struct number *n)
{
    uint16_t small;
    uint32_t large;

    if (n->size == sizeof(small)) {
        memcpy(&small, (const char *)&config + n->offset, sizeof(small));
        return small;
    }
    memcpy(&large, (const char *)&config + n->offset, sizeof(large));
    return large;
}

static void numbers_have_a_range(void **state)
{
    char value[32];

    UNUSED(state);
    for (unsigned i = 0; i < N_NUMBERS; i++) {
        const struct number *n = &numbers[i];

        snprintf(value, sizeof(value), "%lld", n->min);
        takes(n->key, value);
        assert_int_equal(field(n), n->min);
        snprintf(value, sizeof(value), "%lld", n->max);
        takes(n->key, value);
        assert_int_equal(field(n), n->max);
        snprintf(value, sizeof(value), "%lld", n->max + 1);
        if (strcmp(n->key, "ports_first") != 0)
            refuses(n->key, value);
        refuses(n->key, "-1");
        refuses(n->key, "1.5");
        refuses(n->key, "\"10\"");
        refuses(n->key, "true");
        refuses(n->key, "99999999999");
        refuses(n->key, "null");
    }
}

static const struct {
    const char *key;
    size_t offset;
} switches[] = {
#define SWITCH(name)                                                                               \
    {                                                                                              \
#name, offsetof(struct tcpip_config, name)                                                 \
    }
    SWITCH(syn_cookies), SWITCH(timestamps), SWITCH(sack),
    SWITCH(wscale),      SWITCH(pacing),     SWITCH(ip6_autoconf),
};
#define N_SWITCHES (sizeof(switches) / sizeof(switches[0]))

static void switches_are_true_or_false(void **state)
{
    UNUSED(state);
    for (unsigned i = 0; i < N_SWITCHES; i++) {
        const bool *place = (const bool *)((const char *)&config + switches[i].offset);

        takes(switches[i].key, "true");
        assert_true(*place);
        takes(switches[i].key, "false");
        assert_false(*place);
        refuses(switches[i].key, "1");
        refuses(switches[i].key, "\"true\"");
    }
}

static void words(void **state)
{
    UNUSED(state);
    takes("ecn", "\"off\"");
    assert_int_equal(config.ecn, TCPIP_ECN_OFF);
    takes("ecn", "\"passive\"");
    assert_int_equal(config.ecn, TCPIP_ECN_PASSIVE);
    takes("ecn", "\"on\"");
    assert_int_equal(config.ecn, TCPIP_ECN_ON);
    refuses("ecn", "\"maybe\"");
    refuses("ecn", "true");
    takes("congestion_control", "\"dctcp\"");
    assert_string_equal(config.congestion_control, "dctcp");
    refuses("congestion_control", "\"\"");
    refuses("congestion_control", "\"sixteen letters.\"");
    refuses("congestion_control", "3");
    takes("ip6_secret", "\"0123456789abcdef\"");
    assert_string_equal(config.ip6_secret, "0123456789abcdef");
    refuses("ip6_secret", "\"0123456789abcde\"");
    refuses("ip6_secret", "\"01234567890123456789012345678901234567890123456789012345678901234\"");
}

static void what_is_not_known_is_refused(void **state)
{
    UNUSED(state);
    refuses("congestion", "\"cubic\"");
    refuses("", "1");
    assert_int_equal(options("[]"), -EINVAL);
    assert_string_equal(err, "options: not an object");
    assert_int_equal(options("{"), -EINVAL);
    assert_int_equal(options("{\"sack\": true, \"sack\": false}"), -EINVAL);
    assert_int_equal(options("{\"ports_first\": 50000, \"ports_last\": 40000}"), -EINVAL);
    assert_non_null(strstr(err, "ports_first"));
}

/* The table of the manual has each of them. */
static void documented(void **state)
{
    static const char *const texts[] = {"ecn", "congestion_control", "ip6_secret"};
    char *text = NULL, name[64];
    size_t len = 0;
    FILE *f = fopen("docs/tcpip.md", "r");

    UNUSED(state);
    assert_non_null(f);
    assert_true(getdelim(&text, &len, '\0', f) > 0);
    fclose(f);
    for (unsigned i = 0; i < N_NUMBERS + N_SWITCHES + 3; i++) {
        snprintf(name, sizeof(name), "`%s`",
                 i < N_NUMBERS                ? numbers[i].key
                 : i < N_NUMBERS + N_SWITCHES ? switches[i - N_NUMBERS].key
                                              : texts[i - N_NUMBERS - N_SWITCHES]);
        if (strstr(text, name) == NULL)
            fail_msg("%s is not in docs/tcpip.md", name);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_the_default),          cmocka_unit_test(numbers_have_a_range),
        cmocka_unit_test(switches_are_true_or_false),   cmocka_unit_test(words),
        cmocka_unit_test(what_is_not_known_is_refused), cmocka_unit_test(documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
