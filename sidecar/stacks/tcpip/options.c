/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/stacks/tcpip/join.h"

#include "sidecar/tcpip/net/iid.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum option_kind { OPTION_BOOL, OPTION_NUMBER, OPTION_U16, OPTION_ECN, OPTION_TEXT };

#define FIELD(name) #name, offsetof(struct tcpip_config, name)

static const struct option {
    enum option_kind kind;
    const char *key;
    size_t offset;
    json_int_t min, max;
} options[] = {
    {OPTION_TEXT, FIELD(congestion_control), 1, 15},
    {OPTION_ECN, FIELD(ecn), 0, 0},
    {OPTION_BOOL, FIELD(syn_cookies), 0, 0},
    {OPTION_BOOL, FIELD(timestamps), 0, 0},
    {OPTION_BOOL, FIELD(sack), 0, 0},
    {OPTION_BOOL, FIELD(wscale), 0, 0},
    {OPTION_BOOL, FIELD(pacing), 0, 0},
    {OPTION_BOOL, FIELD(ip6_autoconf), 0, 0},
    {OPTION_TEXT, FIELD(ip6_secret), NET_IID_SECRET_MIN, NET_IID_SECRET_MAX},
    {OPTION_U16, FIELD(vlan), 0, 4094},
    {OPTION_U16, FIELD(ports_first), 1, 65535},
    {OPTION_U16, FIELD(ports_last), 1, 65535},
    {OPTION_NUMBER, FIELD(initial_window), 1, 100},
    {OPTION_NUMBER, FIELD(min_rto_ms), 5, 10000},
    {OPTION_NUMBER, FIELD(delayed_ack_ms), 1, 500},
    {OPTION_NUMBER, FIELD(time_wait_ms), 1000, 240000},
    {OPTION_NUMBER, FIELD(max_connections), 1, 10000000},
    {OPTION_NUMBER, FIELD(max_half_open), 1, 1000000},
    {OPTION_NUMBER, FIELD(max_time_wait), 1, 10000000},
    {OPTION_NUMBER, FIELD(max_out_of_order), 65536, 1 << 30},
    {OPTION_NUMBER, FIELD(max_neighbours), 16, 65536},
    {OPTION_NUMBER, FIELD(max_fragments), 65536, 1 << 30},
    {OPTION_NUMBER, FIELD(max_pmtu), 16, 65536},
    {OPTION_NUMBER, FIELD(icmp_rate), 1, 1000000},
    {OPTION_NUMBER, FIELD(challenge_rate), 1, 1000000},
};

static const struct option *find_option(const char *key)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(options[i].key, key) == 0)
            return &options[i];
    }
    return NULL;
}

static int set_number(const struct option *o, void *place, const json_t *value, char *err,
                      size_t errlen)
{
    const json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < o->min || number > o->max) {
        snprintf(err, errlen, "options.%s: not a number from %lld to %lld", o->key,
                 (long long)o->min, (long long)o->max);
        return -EINVAL;
    }
    if (o->kind == OPTION_U16) {
        const uint16_t port = (uint16_t)number;
        memcpy(place, &port, sizeof(port));
    } else {
        const uint32_t n = (uint32_t)number;
        memcpy(place, &n, sizeof(n));
    }
    return 0;
}

static int set_ecn(struct tcpip_config *config, const json_t *value, char *err, size_t errlen)
{
    static const char *const names[] = {
        [TCPIP_ECN_OFF] = "off", [TCPIP_ECN_PASSIVE] = "passive", [TCPIP_ECN_ON] = "on"};
    const char *text = json_string_value(value);

    for (unsigned i = 0; text != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            config->ecn = (enum tcpip_ecn)i;
            return 0;
        }
    }
    snprintf(err, errlen, "options.ecn: not \"off\", \"passive\" or \"on\"");
    return -EINVAL;
}

/* A text whose length is in the range, with its terminator in a field of max + 1 bytes. Whether the
 * name of an algorithm is known is for the library to say: it has the list. */
static int set_text(const struct option *o, char *place, const json_t *value, char *err,
                    size_t errlen)
{
    const char *text = json_string_value(value);
    const size_t len = json_string_length(value);

    if (text == NULL || len < (size_t)o->min || len > (size_t)o->max || strlen(text) != len) {
        snprintf(err, errlen, "options.%s: not a text of %lld to %lld characters", o->key,
                 (long long)o->min, (long long)o->max);
        return -EINVAL;
    }
    memcpy(place, text, len + 1);
    return 0;
}

static int set_option(struct tcpip_config *config, const char *key, const json_t *value, char *err,
                      size_t errlen)
{
    const struct option *o = find_option(key);

    if (o == NULL) {
        snprintf(err, errlen, "options.%s: unknown key", key);
        return -EINVAL;
    }
    switch (o->kind) {
    case OPTION_TEXT:
        return set_text(o, (char *)config + o->offset, value, err, errlen);
    case OPTION_ECN:
        return set_ecn(config, value, err, errlen);
    case OPTION_BOOL:
        if (!json_is_boolean(value)) {
            snprintf(err, errlen, "options.%s: not true or false", key);
            return -EINVAL;
        }
        *(bool *)((char *)config + o->offset) = json_is_true(value);
        return 0;
    default:
        return set_number(o, (char *)config + o->offset, value, err, errlen);
    }
}

static int check(const struct tcpip_config *config, char *err, size_t errlen)
{
    if (config->ports_first > config->ports_last) {
        snprintf(err, errlen, "options.ports_first: %u is above ports_last, %u",
                 config->ports_first, config->ports_last);
        return -EINVAL;
    }
    return 0;
}

int tcpip_join_options(struct tcpip_config *config, const char *text, char *err, size_t errlen)
{
    json_error_t parse_error;
    json_t *object;
    int rc = 0;

    tcpip_config_default(config);
    if (text == NULL || *text == '\0')
        return 0;
    object = json_loads(text, JSON_REJECT_DUPLICATES, &parse_error);
    if (object == NULL) {
        snprintf(err, errlen, "options: line %d: %s", parse_error.line, parse_error.text);
        return -EINVAL;
    }
    if (!json_is_object(object)) {
        snprintf(err, errlen, "options: not an object");
        rc = -EINVAL;
    }
    for (void *it = json_object_iter(object); rc == 0 && it != NULL;
         it = json_object_iter_next(object, it))
        rc = set_option(config, json_object_iter_key(it), json_object_iter_value(it), err, errlen);
    json_decref(object);
    return rc < 0 ? rc : check(config, err, errlen);
}
