/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/installer/installer.h"

#include <errno.h>
#include <string.h>

static json_t *parse(const char *text, size_t len, const char *source, struct dmm_err *err)
{
    json_error_t where;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (json && !json_is_object(json)) {
        json_decref(json);
        dmm_err_set(err, EINVAL, "%s: must be a JSON object", source);
        return NULL;
    }
    if (!json)
        dmm_err_set(err, EINVAL, "%s: line %d, column %d: %s", source, where.line, where.column,
                    where.text);
    return json;
}

static bool is_ours(const json_t *plugin)
{
    const char *type = json_string_value(json_object_get(plugin, "type"));
    return type && !strcmp(type, "dmm");
}

static int check_list(const json_t *list, const char *source, struct dmm_err *err)
{
    bool found = false;
    size_t i;
    const json_t *plugin;
    json_array_foreach(json_object_get(list, "plugins"), i, plugin)
    {
        found = found || is_ours(plugin);
    }
    if (!json_is_string(json_object_get(list, "name")))
        return dmm_err_set(err, EINVAL, "%s: name: missing, or not a string", source);
    if (!json_is_string(json_object_get(list, "cniVersion")))
        return dmm_err_set(err, EINVAL, "%s: cniVersion: missing, or not a string", source);
    return found ? 0 : dmm_err_set(err, EINVAL, "%s: plugins: none has type \"dmm\"", source);
}

char *installer_conflist_alone(const char *text, size_t len, const char *network,
                               const char *source, struct dmm_err *err)
{
    json_t *json = parse(text, len, source, err);
    if (!json)
        return NULL;
    /* containerd 1.6 wants a version that it knows, others take the newest. */
    json_t *list =
        json_object_get(json, "type")
            ? json_pack("{s:s, s:[s, s], s:s, s:[O]}", "cniVersion", "1.0.0", "cniVersions",
                        "1.0.0", "1.1.0", "name", network, "plugins", json)
            : json_incref(json);
    bool bad = list && check_list(list, source, err);
    char *made = list && !bad ? json_dumps(list, JSON_INDENT(2)) : NULL;
    if (!made && !bad)
        dmm_err_set(err, ENOMEM, "out of memory");
    json_decref(list);
    json_decref(json);
    return made;
}

char *installer_conflist_for_node(const char *text, size_t len, const char *nodes_text,
                                  size_t nodes_len, const char *node, struct dmm_err *err)
{
    char *made = NULL;
    json_t *conf = parse(text, len, "our plugin", err);
    json_t *nodes = conf ? parse(nodes_text, nodes_len, "nodes", err) : NULL;
    json_t *own = json_object_get(nodes, node);
    if (!nodes) {
        json_decref(conf);
        return NULL;
    }
    if (own && !json_is_object(own))
        dmm_err_set(err, EINVAL, "nodes: %.253s: must be a JSON object", node);
    else if (own && !is_ours(conf))
        dmm_err_set(err, EINVAL, "nodes: go over one plugin of type \"dmm\", not over a list");
    else if ((own && json_object_update_recursive(conf, own)) ||
             !(made = json_dumps(conf, JSON_COMPACT)))
        dmm_err_set(err, ENOMEM, "out of memory");
    json_decref(nodes);
    json_decref(conf);
    return made;
}

/* A list of the old form is one plugin with the list's own keys in it. */
static json_t *as_list(json_t *primary, struct dmm_err *err)
{
    json_t *plugins = json_object_get(primary, "plugins");
    if (json_is_array(plugins) && json_array_size(plugins))
        return json_incref(primary);
    if (plugins || !json_is_string(json_object_get(primary, "type"))) {
        dmm_err_set(err, EINVAL, "the primary configuration has neither plugins nor a type");
        return NULL;
    }
    json_t *plugin = json_copy(primary);
    json_object_del(plugin, "name");
    json_object_del(plugin, "cniVersion");
    json_t *list =
        json_pack("{s:O?, s:O?, s:[o]}", "cniVersion", json_object_get(primary, "cniVersion"),
                  "name", json_object_get(primary, "name"), "plugins", plugin);
    if (!list)
        dmm_err_set(err, ENOMEM, "out of memory");
    return list;
}

char *installer_conflist_chain(const char *primary_text, size_t primary_len,
                               const char *plugin_text, size_t plugin_len, struct dmm_err *err)
{
    char *text = NULL;
    json_t *list = NULL;
    json_t *primary = parse(primary_text, primary_len, "the primary configuration", err);
    json_t *plugin = primary ? parse(plugin_text, plugin_len, "our plugin", err) : NULL;
    if (plugin && !is_ours(plugin))
        dmm_err_set(err, EINVAL, "our plugin: type: must be \"dmm\"");
    else if (plugin)
        list = as_list(primary, err);
    if (list) {
        json_t *plugins = json_object_get(list, "plugins");
        for (size_t i = json_array_size(plugins); i-- > 0;)
            if (is_ours(json_array_get(plugins, i)))
                json_array_remove(plugins, i);
        json_object_set_new(plugin, "mode", json_string("chained"));
        /* Most pods of a cluster want nothing of us. */
        if (!json_object_get(plugin, "unannotated"))
            json_object_set_new(plugin, "unannotated", json_string("skip"));
        json_array_insert(plugins, 1, plugin);
        text = json_dumps(list, JSON_INDENT(2));
        if (!text)
            dmm_err_set(err, ENOMEM, "out of memory");
    }
    json_decref(list);
    json_decref(plugin);
    json_decref(primary);
    return text;
}
