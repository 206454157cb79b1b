/* SPDX-License-Identifier: Apache-2.0 */
#include "common/read_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static void hide_controls(char *text)
{
    for (; *text; text++) {
        if (is_control(*text))
            *text = '?';
    }
}

/* The length of the longest head of `text` that is at most `max` bytes and ends between characters.
 */
static size_t utf8_head(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);
    if (len <= max)
        return len;
    for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        ;
    return len;
}

json_t *dmm_json_load(const char *text, size_t len, size_t max, const char *source,
                      struct dmm_err *err)
{
    if (len > max) {
        dmm_err_set(err, EFBIG, "%s: is %zu bytes long, more than %zu", source, len, max);
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        if (json_error_code(&error) == json_error_out_of_memory) {
            dmm_err_set(err, ENOMEM, "%s: out of memory", source);
            return NULL;
        }
        hide_controls(error.text);
        dmm_err_set(err, EINVAL, "%s: line %d, column %d: %s", source, error.line, error.column,
                    error.text);
        return NULL;
    }
    if (!json_is_object(root)) {
        char shown[DMM_JSON_SHOWN];
        dmm_err_set(err, EINVAL, "%s: must be an object, not %s", source,
                    dmm_json_show(root, shown));
        json_decref(root);
        return NULL;
    }
    return root;
}

int dmm_json_fail(struct dmm_err *err, const struct dmm_json_at *at, const char *key,
                  const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    const char *before = at->path[0] || key ? ": " : "";
    const char *dot = at->path[0] && key ? "." : "";
    return dmm_err_set(err, EINVAL, "%s%s%s%s%s: %s", at->source, before, at->path, dot,
                       key ? key : "", text);
}

const char *dmm_json_show(const json_t *value, char buf[DMM_JSON_SHOWN])
{
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        size_t len = utf8_head(text, DMM_JSON_SHOWN - 6);
        const char *more = text[len] ? "..." : "";
        snprintf(buf, DMM_JSON_SHOWN, "\"%.*s%s\"", (int)len, text, more);
    } else if (json_is_object(value)) {
        snprintf(buf, DMM_JSON_SHOWN, "an object");
    } else if (json_is_array(value)) {
        snprintf(buf, DMM_JSON_SHOWN, "an array");
    } else if (value) {
        size_t len = json_dumpb(value, buf, DMM_JSON_SHOWN - 1, JSON_ENCODE_ANY);
        buf[len < DMM_JSON_SHOWN ? len : 0] = '\0';
    } else {
        snprintf(buf, DMM_JSON_SHOWN, "nothing");
    }
    hide_controls(buf);
    return buf;
}

int dmm_json_keys(const json_t *object, const struct dmm_json_at *at, const char *const *known,
                  struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    if (!json_is_object(object))
        return dmm_json_fail(err, at, NULL, "must be an object, not %s",
                             dmm_json_show(object, shown));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (known[i])
            continue;
        snprintf(shown, sizeof(shown), "%.*s", (int)utf8_head(key, sizeof(shown) - 1), key);
        hide_controls(shown);
        return dmm_json_fail(err, at, shown, "unknown key");
    }
    return 0;
}

/* The value at key, or NULL with *ret 0 or, where it is required, an error. */
static json_t *get(const json_t *object, const struct dmm_json_at *at, const char *key,
                   bool required, int *ret, struct dmm_err *err)
{
    json_t *value = json_object_get(object, key);
    *ret = 0;
    if (!value && required)
        *ret = dmm_json_fail(err, at, key, "is missing");
    return value;
}

int dmm_json_string(const json_t *object, const struct dmm_json_at *at, const char *key,
                    bool required, const char **out, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    int ret;
    const json_t *value = get(object, at, key, required, &ret, err);
    if (!value)
        return ret;
    if (!json_is_string(value))
        return dmm_json_fail(err, at, key, "must be a string, not %s", dmm_json_show(value, shown));
    *out = json_string_value(value);
    return 0;
}

int dmm_json_uint(const json_t *object, const struct dmm_json_at *at, const char *key,
                  bool required, uint32_t min, uint32_t max, uint32_t *out, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    int ret;
    const json_t *value = get(object, at, key, required, &ret, err);
    if (!value)
        return ret;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < min || number > max)
        return dmm_json_fail(err, at, key, "must be a whole number from %u to %u, not %s", min, max,
                             dmm_json_show(value, shown));
    *out = (uint32_t)number;
    return 0;
}

int dmm_json_array(const json_t *object, const struct dmm_json_at *at, const char *key,
                   bool required, size_t max, const json_t **out, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    int ret;
    const json_t *value = get(object, at, key, required, &ret, err);
    if (!value)
        return ret;
    if (!json_is_array(value))
        return dmm_json_fail(err, at, key, "must be an array, not %s", dmm_json_show(value, shown));
    if (json_array_size(value) > max)
        return dmm_json_fail(err, at, key, "has %zu entries, more than %zu", json_array_size(value),
                             max);
    *out = value;
    return 0;
}

int dmm_json_copy(const json_t *object, const struct dmm_json_at *at, const char *key,
                  bool required, char *out, size_t size, struct dmm_err *err)
{
    const char *text = NULL;
    int ret = dmm_json_string(object, at, key, required, &text, err);
    if (ret < 0 || !text)
        return ret;
    size_t len = strlen(text);
    if (len == 0)
        return dmm_json_fail(err, at, key, "is empty");
    if (len >= size)
        return dmm_json_fail(err, at, key, "is %zu bytes long, more than %zu", len, size - 1);
    for (size_t i = 0; i < len; i++) {
        if (is_control(text[i]))
            return dmm_json_fail(err, at, key, "has a control byte");
    }
    memcpy(out, text, len + 1);
    return 0;
}

int dmm_json_version(const json_t *object, const struct dmm_json_at *at, uint32_t version,
                     struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    int ret;
    const json_t *value = get(object, at, "version", true, &ret, err);
    if (!value)
        return ret;
    if (!json_is_integer(value) || json_integer_value(value) != version)
        return dmm_json_fail(err, at, "version", "must be %u, not %s", version,
                             dmm_json_show(value, shown));
    return 0;
}
