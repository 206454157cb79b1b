/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int dmm_err_set(struct dmm_err *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->code = code;
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
    }
    return -code;
}

int dmm_err_prefix(struct dmm_err *err, const char *fmt, ...)
{
    if (!err)
        return -EINVAL;
    char place[sizeof(err->text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(place, sizeof(place), fmt, ap);
    va_end(ap);
    /* Room for ": " and a text; a place that leaves none is itself the better half of the message.
     */
    size_t used = strlen(place);
    char text[sizeof(err->text)];
    memcpy(text, err->text, sizeof(text));
    if (used < sizeof(err->text) - 3) {
        memcpy(err->text, place, used);
        snprintf(err->text + used, sizeof(err->text) - used, ": %s", text);
    }
    return -err->code;
}
