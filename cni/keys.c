/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/keys.h"

#include "common/read_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int bad_type(const char *name, const char *want, struct dmm_err *err)
{
    return dmm_err_set(err, EINVAL, "%s: must be %s", name, want);
}

static int read_number(int64_t *into, const struct dmm_key *key, const json_t *value,
                       const char *name, struct dmm_err *err)
{
    if (!json_is_integer(value))
        return bad_type(name, "a whole number", err);
    int64_t number = json_integer_value(value);
    if (number < key->min || number > key->max)
        return dmm_err_set(err, EINVAL, "%s: %lld is not in %lld..%lld", name, (long long)number,
                           (long long)key->min, (long long)key->max);
    *into = number;
    return 0;
}

static int read_text(const char **into, const struct dmm_key *key, const json_t *value,
                     const char *name, struct dmm_err *err)
{
    if (!json_is_string(value))
        return bad_type(name, "a string", err);
    size_t len = json_string_length(value);
    if (len != strlen(json_string_value(value)))
        return dmm_err_set(err, EINVAL, "%s: holds a NUL", name);
    if (!len)
        return dmm_err_set(err, EINVAL, "%s: is empty", name);
    if ((int64_t)len > key->max)
        return dmm_err_set(err, EINVAL, "%s: %zu bytes are more than %lld", name, len,
                           (long long)key->max);
    *into = json_string_value(value);
    return 0;
}

static int read_word(int *into, const struct dmm_key *key, const json_t *value, const char *name,
                     struct dmm_err *err)
{
    char list[256] = "";
    if (!json_is_string(value))
        return bad_type(name, "a string", err);
    for (int i = 0; key->words[i]; i++) {
        if (!strcmp(json_string_value(value), key->words[i])) {
            *into = i;
            return 0;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", key->words[i]);
    }
    char shown[DMM_JSON_SHOWN];
    return dmm_err_set(err, EINVAL, "%s: %s is none of: %s", name, dmm_json_show(value, shown),
                       list);
}

static int read_one(void *field, const struct dmm_key *key, const json_t *value, const char *name,
                    struct dmm_err *err)
{
    switch (key->type) {
    case DMM_KEY_BOOL:
        if (!json_is_boolean(value))
            return bad_type(name, "true or false", err);
        *(bool *)field = json_is_true(value);
        return 0;
    case DMM_KEY_NUMBER:
        return read_number(field, key, value, name, err);
    case DMM_KEY_TEXT:
        return read_text(field, key, value, name, err);
    case DMM_KEY_WORD:
        return read_word(field, key, value, name, err);
    case DMM_KEY_OBJECT:
        if (!json_is_object(value))
            return bad_type(name, "an object", err);
        *(const json_t **)field = value;
        return 0;
    case DMM_KEY_ARRAY:
        if (!json_is_array(value))
            return bad_type(name, "an array", err);
        *(const json_t **)field = value;
        return 0;
    case DMM_KEY_ANY:
        return 0;
    }
    return dmm_err_set(err, EINVAL, "%s: has no type", name);
}

/* The spec wants key and value of a field that is not supported in the error. */
static int unknown(const char *name, const json_t *value, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    return dmm_err_set(err, ENOKEY, "%s: unknown key (its value: %s)", name,
                       dmm_json_show(value, shown));
}

int dmm_keys_read(void *into, const struct dmm_key *keys, const json_t *object, const char *place,
                  struct dmm_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        const struct dmm_key *key = keys;
        while (key->name && strcmp(key->name, name) != 0)
            key++;
        char where[128];
        snprintf(where, sizeof(where), "%s%s%s", place, *place ? "." : "", name);
        if (!key->name)
            return unknown(where, value, err);
        int rc = read_one((char *)into + key->offset, key, value, where, err);
        if (rc)
            return rc;
    }
    return 0;
}
