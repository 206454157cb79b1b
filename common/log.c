/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TIME_LEN 25 /* "2026-01-02T03:04:05.678Z" and NUL */

static struct {
    const char *program;
    enum dmm_log_level level;
    bool json;
    int fd;
    int also;
    const struct dmm_log_field *context;
} settings = {.program = "dmm", .level = DMM_LOG_INFO, .json = false, .fd = 2, .also = -1};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void dmm_log_setup(const char *program, enum dmm_log_level level, bool json, int fd)
{
    settings.program = program;
    settings.level = level;
    settings.json = json;
    settings.fd = fd;
}

void dmm_log_context(const struct dmm_log_field *fields)
{
    settings.context = fields;
}

void dmm_log_also(int fd)
{
    settings.also = fd;
}

int dmm_log_level_parse(const char *text, enum dmm_log_level *level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum dmm_log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool dmm_log_enabled(enum dmm_log_level level)
{
    return level <= settings.level;
}

/* ---- the line under construction ---- */

/* `used` never passes `limit`, which leaves room for what closes the line. */
struct line {
    size_t used;
    size_t limit;
    char text[DMM_LOG_LINE];
};

/* Appends all of the bytes or, where there is no room, none. */
static bool put(struct line *line, const char *bytes, size_t len)
{
    if (line->used + len > line->limit)
        return false;
    memcpy(line->text + line->used, bytes, len);
    line->used += len;
    return true;
}

static bool put_text(struct line *line, const char *text)
{
    return put(line, text, strlen(text));
}

/* Bytes of the well-formed UTF-8 character at `text` (RFC 3629, section 4), 0 if there is none. */
static size_t utf8_length(const unsigned char *text)
{
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t len;
    if (text[0] < 0x80)
        return 1;
    if (text[0] >= 0xc2 && text[0] <= 0xdf)
        len = 2;
    else if (text[0] >= 0xe0 && text[0] <= 0xef)
        len = 3;
    else if (text[0] >= 0xf0 && text[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (text[0] == 0xe0)
        low = 0xa0;
    else if (text[0] == 0xed)
        high = 0x9f;
    else if (text[0] == 0xf0)
        low = 0x90;
    else if (text[0] == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < len; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

/* The character at *text in the form that it takes in the line, and *text moved past it. `quoted`:
 * the value stands in quotes. */
static size_t escape(const char **text, bool json, bool quoted, char out[8])
{
    unsigned char c = (unsigned char)**text;
    size_t len = utf8_length((const unsigned char *)*text);
    /* U+0080 to U+009F are control characters too, to a terminal. */
    bool c1 = len == 2 && c == 0xc2 && (unsigned char)(*text)[1] < 0xa0;
    if (len > 0 && c >= 0x20 && c != 0x7f && !c1) {
        bool slash = (quoted || json) && (c == '"' || c == '\\');
        out[0] = '\\';
        memcpy(out + slash, *text, len);
        *text += len;
        return len + slash;
    }
    *text += len ? len : 1;
    if (c == '\n' || c == '\t' || c == '\r')
        return (size_t)snprintf(out, 8, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    if (!json)
        return (size_t)snprintf(out, 8, "\\x%02x", c);
    /* A byte that is no character has no number in JSON: it becomes the replacement character. */
    unsigned code = len == 0 ? 0xfffd : c1 ? (unsigned char)(*text)[-1] : c;
    return (size_t)snprintf(out, 8, "\\u%04x", code);
}

/* Appends `text` escaped, cut between characters where the room ends; false if it was cut. */
static bool put_escaped(struct line *line, const char *text, bool quoted)
{
    while (*text) {
        char out[8];
        size_t len = escape(&text, settings.json, quoted, out);
        if (!put(line, out, len))
            return false;
    }
    return true;
}

/* The UTC time now, made without the C library's calendar, which takes locks and reads files. The
 * calendar is the Gregorian one, in years that start on 1 March and eras of 400 years. */
static void format_time(char out[TIME_LEN])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned long days = (unsigned long)now.tv_sec / 86400 + 719468; /* since 1 March of year 0 */
    unsigned second = (unsigned)((unsigned long)now.tv_sec % 86400);
    unsigned era = (unsigned)(days / 146097 % 100);
    unsigned day = (unsigned)(days % 146097);
    unsigned year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    unsigned month = (5 * day + 2) / 153; /* March is 0 */
    day -= (153 * month + 2) / 5;
    year += era * 400 + (month >= 10);
    month = (month + 2) % 12;
    snprintf(out, TIME_LEN, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000, month + 1,
             (day + 1) % 100, second / 3600 % 100, second / 60 % 60, second % 60,
             (unsigned)now.tv_nsec / 1000000 % 1000);
}

/* ---- the two forms ---- */

static bool needs_quotes(const char *value)
{
    if (!*value)
        return true;
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return false;
}

static void put_text_field(struct line *line, const struct dmm_log_field *field)
{
    if (!field->value)
        return;
    bool quotes = needs_quotes(field->value);
    put_text(line, " ");
    put_escaped(line, field->name, false);
    put_text(line, quotes ? "=\"" : "=");
    put_escaped(line, field->value, quotes);
    if (quotes)
        put_text(line, "\"");
}

static void make_text(struct line *line, const char *level, const char *message,
                      const struct dmm_log_field *fields)
{
    char time_text[TIME_LEN];
    format_time(time_text);
    line->limit = sizeof(line->text) - 1;
    put_text(line, time_text);
    put_text(line, " ");
    put_text(line, level);
    put_text(line, " ");
    put_escaped(line, settings.program, false);
    put_text(line, ": ");
    put_escaped(line, message, false);
    for (; fields && fields->name; fields++)
        put_text_field(line, fields);
    for (fields = settings.context; fields && fields->name; fields++)
        put_text_field(line, fields);
    line->text[line->used++] = '\n';
}

/* Appends `,"name":"value"`; where the room ends the value is cut, or the member left out. The
 * limit is set lower meanwhile, so that there is always room for the closing quote. */
static void put_member(struct line *line, const char *name, const char *value)
{
    if (!value)
        return;
    size_t before = line->used;
    line->limit--;
    bool whole = put_text(line, ",\"") && put_escaped(line, name, true) && put_text(line, "\":\"");
    if (whole)
        put_escaped(line, value, true);
    line->limit++;
    if (whole)
        put_text(line, "\"");
    else
        line->used = before;
}

static void make_json(struct line *line, const char *level, const char *message,
                      const struct dmm_log_field *fields)
{
    char time_text[TIME_LEN];
    format_time(time_text);
    line->limit = sizeof(line->text) - 2;
    put_text(line, "{\"time\":\"");
    put_text(line, time_text);
    put_text(line, "\"");
    put_member(line, "level", level);
    put_member(line, "program", settings.program);
    put_member(line, "message", message);
    for (; fields && fields->name; fields++)
        put_member(line, fields->name, fields->value);
    for (fields = settings.context; fields && fields->name; fields++)
        put_member(line, fields->name, fields->value);
    line->text[line->used++] = '}';
    line->text[line->used++] = '\n';
}

/* The bare system call: in the shim, write() is the intercepted one, and a cancellation point.
 * Nothing can be done where it fails. */
static void write_line(int fd, const struct line *line)
{
    while (syscall(SYS_write, fd, line->text, line->used) < 0 && errno == EINTR)
        ;
}

static void emit(enum dmm_log_level level, const struct dmm_log_field *fields, const char *fmt,
                 va_list ap)
{
    if (!dmm_log_enabled(level))
        return;
    int saved = errno;
    char message[DMM_LOG_LINE];
    struct line line;
    line.used = 0;
    vsnprintf(message, sizeof(message), fmt, ap);
    if (settings.json)
        make_json(&line, level_names[level], message, fields);
    else
        make_text(&line, level_names[level], message, fields);
    write_line(settings.fd, &line);
    if (settings.also >= 0)
        write_line(settings.also, &line);
    errno = saved;
}

void dmm_log(enum dmm_log_level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(level, NULL, fmt, ap);
    va_end(ap);
}

void dmm_log_fields(enum dmm_log_level level, const struct dmm_log_field *fields, const char *fmt,
                    ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(level, fields, fmt, ap);
    va_end(ap);
}
