/* SPDX-License-Identifier: Apache-2.0 */
/* yaml: the YAML that kubeconfig files are written in, as JSON, over libyaml. */
#include "cni/kubeconf.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 16

struct reader {
    yaml_parser_t parser;
    const char *source;
    struct dmm_err *err;
};

static bool next(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return true;
    dmm_err_set(reader->err, EINVAL, "%s: line %zu: %s", reader->source,
                reader->parser.problem_mark.line + 1,
                reader->parser.problem ? reader->parser.problem : "not YAML");
    return false;
}

static json_t *read_node(struct reader *reader, const yaml_event_t *event, int depth);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as DEPTH_MAX. */
static json_t *read_sequence(struct reader *reader, int depth)
{
    yaml_event_t event;
    json_t *list = json_array();
    while (next(reader, &event)) {
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        json_t *value = end ? NULL : read_node(reader, &event, depth);
        yaml_event_delete(&event);
        if (end)
            return list;
        if (!value || json_array_append_new(list, value))
            break;
    }
    json_decref(list);
    return NULL;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as DEPTH_MAX. */
static json_t *read_mapping(struct reader *reader, int depth)
{
    yaml_event_t event;
    json_t *object = json_object();
    json_t *key = NULL;
    while (next(reader, &event)) {
        bool end = event.type == YAML_MAPPING_END_EVENT && !key;
        json_t *node = end ? NULL : read_node(reader, &event, depth);
        yaml_event_delete(&event);
        if (end)
            return object;
        if (!node)
            break;
        if (!key && json_is_string(node)) {
            key = node;
            continue;
        }
        int bad = !key || json_object_set_new(object, json_string_value(key), node);
        if (!key)
            json_decref(node);
        json_decref(key);
        key = NULL;
        if (bad)
            break;
    }
    json_decref(key);
    json_decref(object);
    return NULL;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as DEPTH_MAX. */
static json_t *read_node(struct reader *reader, const yaml_event_t *event, int depth)
{
    if (depth < DEPTH_MAX && event->type == YAML_SCALAR_EVENT)
        return json_stringn((const char *)event->data.scalar.value, event->data.scalar.length);
    if (depth < DEPTH_MAX && event->type == YAML_SEQUENCE_START_EVENT)
        return read_sequence(reader, depth + 1);
    if (depth < DEPTH_MAX && event->type == YAML_MAPPING_START_EVENT)
        return read_mapping(reader, depth + 1);
    dmm_err_set(reader->err, EINVAL, "%s: line %zu: too deep, or an alias", reader->source,
                event->start_mark.line + 1);
    return NULL;
}

static json_t *read_document(struct reader *reader)
{
    yaml_event_t event;
    while (next(reader, &event)) {
        json_t *root = NULL;
        bool preamble =
            event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT;
        if (!preamble)
            root = read_node(reader, &event, 0);
        yaml_event_delete(&event);
        if (!preamble)
            return root;
    }
    return NULL;
}

json_t *dmm_yaml_parse(const char *text, size_t len, const char *source, struct dmm_err *err)
{
    struct reader reader = {.source = source, .err = err};
    json_t *root = NULL;
    if (yaml_parser_initialize(&reader.parser)) {
        yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
        root = read_document(&reader);
        yaml_parser_delete(&reader.parser);
        if (!root && err && !err->code)
            dmm_err_set(err, EINVAL, "%s: not a YAML document that we read", source);
    } else {
        dmm_err_set(err, ENOMEM, "%s: out of memory", source);
    }
    return root;
}
