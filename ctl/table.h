/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table: prints JSON as columns for people. Pure but for the FILE it prints to.
 */
#ifndef DMM_CTL_TABLE_H
#define DMM_CTL_TABLE_H

#include <jansson.h>
#include <stdio.h>

struct ctl_column {
    const char *head;
    const char *key; /* of each row's object; an array is printed as its items joined by commas, an
                      * object as "comm/pid" if it has both, anything absent as "-" */
};

#define CTL_COLUMNS 16

/* Rows are the objects in `array`. Columns end with a NULL head, CTL_COLUMNS at most. Numbers are
 * aligned right. Returns 0 or -ENOMEM. */
int ctl_table(FILE *out, const struct ctl_column *columns, const json_t *array);

/* Prints every number and string of a (nested) object as "name.inner 12", a line each; array items
 * that are objects with a "name" are named by it. */
void ctl_flat(FILE *out, const char *prefix, const json_t *value);

#endif
