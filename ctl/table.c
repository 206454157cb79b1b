/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CELL 192

static void cell_scalar(char *buf, size_t room, const json_t *value)
{
    if (json_is_string(value))
        snprintf(buf, room, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(buf, room, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(buf, room, "%g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(buf, room, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_object(value) && json_object_get(value, "pid"))
        snprintf(buf, room, "%s/%lld", json_string_value(json_object_get(value, "comm")),
                 (long long)json_integer_value(json_object_get(value, "pid")));
    else
        snprintf(buf, room, "-");
}

static void cell(char *buf, size_t room, const json_t *value)
{
    if (!json_is_array(value) || json_array_size(value) == 0) {
        cell_scalar(buf, room, json_is_array(value) ? NULL : value);
        return;
    }
    size_t used = 0, i;
    const json_t *item;
    json_array_foreach(value, i, item)
    {
        char one[CELL];
        cell_scalar(one, sizeof(one), item);
        int n = snprintf(buf + used, room - used, "%s%s", i ? "," : "", one);
        if (n < 0 || (size_t)n >= room - used)
            return;
        used += (size_t)n;
    }
}

static void measure(size_t *width, const struct ctl_column *columns, const json_t *array)
{
    size_t row;
    const json_t *object;
    for (int c = 0; columns[c].head; c++)
        width[c] = strlen(columns[c].head);
    json_array_foreach(array, row, object)
    {
        for (int c = 0; columns[c].head; c++) {
            char text[CELL];
            cell(text, sizeof(text), json_object_get(object, columns[c].key));
            if (strlen(text) > width[c])
                width[c] = strlen(text);
        }
    }
}

static void print_cell(FILE *out, const char *text, size_t width, bool right, bool last)
{
    if (last && !right)
        fprintf(out, "%s\n", text);
    else
        fprintf(out, right ? "%*s%s" : "%-*s%s", (int)width, text, last ? "\n" : "  ");
}

int ctl_table(FILE *out, const struct ctl_column *columns, const json_t *array)
{
    size_t width[CTL_COLUMNS] = {0}, row;
    const json_t *object;
    measure(width, columns, array);
    const json_t *first = json_array_get(array, 0);
    for (int c = 0; columns[c].head; c++)
        print_cell(out, columns[c].head, width[c],
                   json_is_number(json_object_get(first, columns[c].key)), !columns[c + 1].head);
    json_array_foreach(array, row, object)
    {
        for (int c = 0; columns[c].head; c++) {
            char text[CELL];
            const json_t *value = json_object_get(object, columns[c].key);
            cell(text, sizeof(text), value);
            print_cell(out, text, width[c], json_is_number(value), !columns[c + 1].head);
        }
    }
    return ferror(out) ? -EIO : 0;
}

/* The depth is that of the text, which jansson bounds. NOLINTNEXTLINE(misc-no-recursion) */
void ctl_flat(FILE *out, const char *prefix, const json_t *value)
{
    char name[CELL];
    const char *dot = *prefix ? "." : "";
    if (json_is_object(value)) {
        const char *key;
        json_t *inner;
        json_object_foreach((json_t *)value, key, inner)
        {
            snprintf(name, sizeof(name), "%s%s%s", prefix, dot, key);
            ctl_flat(out, name, inner);
        }
    } else if (json_is_array(value)) {
        size_t i;
        const json_t *item;
        json_array_foreach(value, i, item)
        {
            const char *own = json_string_value(json_object_get(item, "name"));
            if (own)
                snprintf(name, sizeof(name), "%s%s%s", prefix, dot, own);
            else
                snprintf(name, sizeof(name), "%s%s%zu", prefix, dot, i);
            ctl_flat(out, name, item);
        }
    } else {
        char text[CELL];
        cell_scalar(text, sizeof(text), value);
        fprintf(out, "%-48s %s\n", prefix, text);
    }
}
