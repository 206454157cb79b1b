/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: JSON objects read by a table of keys, so that a key's name, type, range and place are said
 * once, and a key that is in no table is an error.
 *
 * A key's default is what the struct holds before dmm_keys_read() is called.
 *
 * Pure. Any thread.
 */
#ifndef DMM_CNI_KEYS_H
#define DMM_CNI_KEYS_H

#include "common/err.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum dmm_key_type {
    DMM_KEY_BOOL,   /* bool */
    DMM_KEY_NUMBER, /* int64_t in min..max */
    DMM_KEY_TEXT,   /* const char *, borrowed from the JSON; 1..max bytes */
    DMM_KEY_WORD,   /* int: index into `words`, which ends with NULL */
    DMM_KEY_OBJECT, /* const json_t *, borrowed */
    DMM_KEY_ARRAY,  /* const json_t *, borrowed */
    DMM_KEY_ANY,    /* read elsewhere, or the spec's and none of our business */
};

struct dmm_key {
    const char *name; /* NULL ends a table */
    enum dmm_key_type type;
    size_t offset; /* into the struct */
    int64_t min;
    int64_t max;
    const char *const *words;
};

/* Reads `object` into the struct at `into`. `place` ("link") goes in front of keys in errors.
 * Returns 0, -ENOKEY for an unknown key, -EINVAL for a bad value. err->text says place, key and
 * what. */
int dmm_keys_read(void *into, const struct dmm_key *keys, const json_t *object, const char *place,
                  struct dmm_err *err);

#endif
