/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A cut may fall into a UTF-8 character, which no JSON may hold then: takes the rest of it off. */
static void drop_partial_character(char *text, size_t len)
{
    size_t start = len;
    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start > 0 && (unsigned char)text[start - 1] >= 0xc0)
        text[start - 1] = '\0';
}

static void record(struct dmm_err *err, const char *text, size_t len)
{
    size_t kept = len < sizeof(err->text) ? len : sizeof(err->text) - 1;
    memcpy(err->text, text, kept);
    err->text[kept] = '\0';
    if (kept < len)
        drop_partial_character(err->text, kept);
}

int dmm_err_set(struct dmm_err *err, int code, const char *fmt, ...)
{
    if (err) {
        char text[sizeof(err->text) + 1];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        err->code = code;
        record(err, text, strlen(text));
    }
    return -code;
}

int dmm_err_prefix(struct dmm_err *err, const char *fmt, ...)
{
    if (!err)
        return -EINVAL;
    char place[sizeof(err->text)];
    char text[2 * sizeof(err->text) + 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(place, sizeof(place), fmt, ap);
    va_end(ap);
    snprintf(text, sizeof(text), "%s: %s", place, err->text);
    record(err, text, strlen(text));
    return -err->code;
}
