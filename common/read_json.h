/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_json: reads configuration objects with errors that name source, place and key:
 * "annotation dmm.fd.io/mapping: rules[2].port: must be ..., not \"80-\"".
 *
 * Invariants: an error text is one line without control bytes, whatever the input holds; on error
 * outputs are untouched. Values handed out are borrowed from the json_t they were read from.
 *
 * Pure: no I/O. Any thread, each with its own json_t.
 */
#ifndef DMM_COMMON_READ_JSON_H
#define DMM_COMMON_READ_JSON_H

#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Where an object was found. */
struct dmm_json_at {
    const char *source; /* "stacks.json" */
    const char *path;   /* "stacks[0]"; "" for the outermost object */
};

#define DMM_JSON_PATH  64 /* room for a path: "stacks[14].options" and the like */
#define DMM_JSON_SHOWN 64

/* Reads `text` of `len` bytes as one JSON object: no duplicated keys, no trailing text, at most
 * `max` bytes. Returns a new reference, or NULL with err set (EINVAL, EFBIG, ENOMEM): syntax errors
 * with line and column. */
json_t *dmm_json_load(const char *text, size_t len, size_t max, const char *source,
                      struct dmm_err *err);

/* Records "source: path.key: text" with EINVAL and returns -EINVAL. `key` may be NULL: the error is
 * that of the object itself. */
int dmm_json_fail(struct dmm_err *err, const struct dmm_json_at *at, const char *key,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* A value as an error shows it: strings quoted, control bytes replaced, long values cut; containers
 * by their type. NULL is "nothing". Returns buf. */
const char *dmm_json_show(const json_t *value, char buf[DMM_JSON_SHOWN]);

/* Refuses what is not an object and keys that are not in `known` (ended by NULL). */
int dmm_json_keys(const json_t *object, const struct dmm_json_at *at, const char *const *known,
                  struct dmm_err *err);

/* Reads object[key] as the named type. Where it is absent: an error if `required`, else 0 with *out
 * untouched. */
int dmm_json_string(const json_t *object, const struct dmm_json_at *at, const char *key,
                    bool required, const char **out, struct dmm_err *err);
int dmm_json_uint(const json_t *object, const struct dmm_json_at *at, const char *key,
                  bool required, uint32_t min, uint32_t max, uint32_t *out, struct dmm_err *err);
int dmm_json_array(const json_t *object, const struct dmm_json_at *at, const char *key,
                   bool required, size_t max, const json_t **out, struct dmm_err *err);

/* As dmm_json_string(), copied into `out` of `size` bytes; refuses the empty string, one that does
 * not fit and one with control bytes. */
int dmm_json_copy(const json_t *object, const struct dmm_json_at *at, const char *key,
                  bool required, char *out, size_t size, struct dmm_err *err);

/* Refuses an object whose "version" is not `version`. */
int dmm_json_version(const json_t *object, const struct dmm_json_at *at, uint32_t version,
                     struct dmm_err *err);

#endif
