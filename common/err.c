/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Records the text, cut where it is too long, though not inside a UTF-8 character, which no JSON
 * may hold in part. */
static void record(struct dmm_err *err, const char *text)
{
    size_t len = strnlen(text, sizeof(err->text));
    if (len == sizeof(err->text)) {
        len--;
        for (int i = 0; i < 3 && ((unsigned char)text[len] & 0xc0) == 0x80; i++)
            len--;
    }
    memcpy(err->text, text, len);
    err->text[len] = '\0';
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
        record(err, text);
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
    record(err, text);
    return -err->code;
}
