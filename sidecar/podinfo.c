/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/podinfo.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

static bool hex(const char *at, const char *end, unsigned digits, uint32_t *value)
{
    *value = 0;
    if ((size_t)(end - at) < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        unsigned char c = (unsigned char)at[i];
        if (!isxdigit(c))
            return false;
        *value = *value << 4 | (uint32_t)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return true;
}

/* One escape behind its backslash: writes to *out; returns what it took, 0 if it is none. An escape
 * is never shorter than what it stands for. */
static size_t unescape(const char *at, const char *end, char **out)
{
    static const char plain[][2] = {{'a', '\a'}, {'b', '\b'},  {'f', '\f'},
                                    {'n', '\n'}, {'r', '\r'},  {'t', '\t'},
                                    {'v', '\v'}, {'\\', '\\'}, {'"', '"'}};
    uint32_t code;
    if (at == end)
        return 0;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (*at == plain[i][0]) {
            *(*out)++ = plain[i][1];
            return 1;
        }
    }
    unsigned digits = *at == 'x' ? 2 : *at == 'u' ? 4 : *at == 'U' ? 8 : 0;
    if (!digits || !hex(at + 1, end, digits, &code) || !code || code > 0x10ffff)
        return 0;
    if (digits == 2)
        *(*out)++ = (char)code;
    else
        *out += put_utf8(*out, code);
    return 1 + digits;
}

/* Unquotes what follows an opening quote up to its closing one, which must end the line. Returns
 * where the next line begins, NULL if it is not of that form. `out` NULL: only looks. */
static const char *unquote(const char *at, const char *end, char *out)
{
    char scratch[4] = "";
    while (at < end && *at != '"') {
        char *to = out ? out : scratch;
        size_t took = 1;
        if (*at == '\n' || !*at)
            return NULL;
        if (*at == '\\') {
            took = unescape(at + 1, end, &to);
            if (!took++)
                return NULL;
        } else {
            *to++ = *at;
        }
        at += took;
        out = out ? to : NULL;
    }
    if (at == end || (at + 1 < end && at[1] != '\n'))
        return NULL;
    if (out)
        *out = '\0';
    return at + 1 < end ? at + 2 : end;
}

int dmm_podinfo_get(const char *text, size_t len, const char *key, char **value,
                    struct dmm_err *err)
{
    const char *end = text + len;
    const char *at = text;
    size_t key_len = strlen(key);
    *value = NULL;
    for (unsigned line = 1; at < end; line++) {
        const char *equals = memchr(at, '=', (size_t)(end - at));
        const char *value_at = equals ? equals + 2 : NULL;
        if (*at == '\n') {
            at++;
            continue;
        }
        const char *next =
            value_at && value_at <= end && equals[1] == '"' ? unquote(value_at, end, NULL) : NULL;
        if (!next)
            return dmm_err_set(err, EINVAL, "line %u is not of the form key=\"value\"", line);
        if ((size_t)(equals - at) != key_len || memcmp(at, key, key_len) != 0) {
            at = next;
            continue;
        }
        *value = malloc((size_t)(next - value_at) + 1);
        if (!*value)
            return dmm_err_set(err, ENOMEM, "out of memory");
        unquote(value_at, end, *value);
        return 0;
    }
    return 0;
}
