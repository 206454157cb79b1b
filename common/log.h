/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: one line per event, to stderr; levels; JSON on request.
 *
 * Invariant: one event is one write(2) of one line (newlines and control bytes inside it are
 * escaped), so lines of several threads and processes never mix. Never allocates and never fails: a
 * line longer than DMM_LOG_LINE bytes is cut. errno is kept, so that it may be called anywhere.
 *
 * Text:  2026-01-02T03:04:05.678Z error stackd: bind: address in use stack=fast port=80
 * JSON:  {"time":"…","level":"error","program":"stackd","message":"…","stack":"fast","port":"80"}
 *
 * Fields are printed as name=value after the message by dmm_log_fields(); values are quoted where
 * they hold blanks. Any thread. The settings (a global named here, the only one) are set once
 * before threads start.
 */
#ifndef DMM_COMMON_LOG_H
#define DMM_COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define DMM_LOG_LINE 1024

enum dmm_log_level { DMM_LOG_ERROR, DMM_LOG_WARN, DMM_LOG_INFO, DMM_LOG_DEBUG };

/* `program` must outlive the process. fd is borrowed: stderr's 2, or a file's. */
void dmm_log_setup(const char *program, enum dmm_log_level level, bool json, int fd);
/* "error", "warn", "info", "debug". Returns 0 or -EINVAL. */
int dmm_log_level_parse(const char *text, enum dmm_log_level *level);
bool dmm_log_enabled(enum dmm_log_level level);

struct dmm_log_field {
    const char *name;
    const char *value;
};

/* Fields that every event gets behind its own, in the form of dmm_log_fields(). They must outlive
 * the process. NULL: none. */
void dmm_log_context(const struct dmm_log_field *fields);
/* A second file that gets each line too; borrowed. -1: none. */
void dmm_log_also(int fd);

void dmm_log(enum dmm_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* `fields` ends with a NULL name. A NULL value leaves its field out. */
void dmm_log_fields(enum dmm_log_level level, const struct dmm_log_field *fields, const char *fmt,
                    ...) __attribute__((format(printf, 3, 4)));

#endif
