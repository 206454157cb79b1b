/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of an instance, all of which may be left out:
 *     "tcp_nodelay": false      new connections start with TCP_NODELAY
 *     "tso": true               leave segmentation to a port that offers it
 *     "receive_window": 131070  bytes that a connection offers at most, 4096 to 131070
 *     "send_buffer": 524288     bytes that a connection may have unacknowledged, 65535 to 4 MiB
 */
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* TCP_WND and TCP_SND_BUF of the library; its scale of 1 lets a window field say 2 * 65535. */
#define LW_WINDOW_MIN      4096
#define LW_WINDOW_MAX      131070
#define LW_SEND_BUFFER_MIN 65535
#define LW_SEND_BUFFER_MAX 4194304

enum option_kind { OPTION_BOOL, OPTION_SIZE };

static const struct option {
    const char *key;
    enum option_kind kind;
    size_t offset;
    json_int_t min, max;
} options[] = {
    {"tcp_nodelay", OPTION_BOOL, offsetof(struct lw_config, tcp_nodelay), 0, 0},
    {"tso", OPTION_BOOL, offsetof(struct lw_config, tso), 0, 0},
    {"receive_window", OPTION_SIZE, offsetof(struct lw_config, receive_window), LW_WINDOW_MIN,
     LW_WINDOW_MAX},
    {"send_buffer", OPTION_SIZE, offsetof(struct lw_config, send_buffer), LW_SEND_BUFFER_MIN,
     LW_SEND_BUFFER_MAX},
};

static const struct option *find_option(const char *key)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (!strcmp(options[i].key, key))
            return &options[i];
    return NULL;
}

static int set_option(struct lw_config *config, const char *key, const json_t *value, char *err,
                      size_t errlen)
{
    const struct option *option = find_option(key);
    if (!option) {
        snprintf(err, errlen, "options.%s: unknown key", key);
        return -EINVAL;
    }
    char *place = (char *)config + option->offset;
    if (option->kind == OPTION_BOOL) {
        if (!json_is_boolean(value)) {
            snprintf(err, errlen, "options.%s: not true or false", key);
            return -EINVAL;
        }
        *(bool *)place = json_is_true(value);
        return 0;
    }
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < option->min || number > option->max) {
        snprintf(err, errlen, "options.%s: not a number of bytes from %lld to %lld", key,
                 (long long)option->min, (long long)option->max);
        return -EINVAL;
    }
    *(uint32_t *)(void *)place = (uint32_t)number;
    return 0;
}

int lw_config_parse(struct lw_config *config, const char *text, char *err, size_t errlen)
{
    *config =
        (struct lw_config){.tso = true, .receive_window = LW_WINDOW_MAX, .send_buffer = 512 << 10};
    if (!text || !*text)
        return 0;
    json_error_t parse_error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &parse_error);
    if (!object) {
        snprintf(err, errlen, "options: line %d: %s", parse_error.line, parse_error.text);
        return -EINVAL;
    }
    int rc = 0;
    if (!json_is_object(object)) {
        snprintf(err, errlen, "options: not an object");
        rc = -EINVAL;
    }
    for (void *it = json_object_iter(object); !rc && it; it = json_object_iter_next(object, it))
        rc = set_option(config, json_object_iter_key(it), json_object_iter_value(it), err, errlen);
    json_decref(object);
    return rc;
}
