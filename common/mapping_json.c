/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_json: the JSON form of the stack mapping. See docs/mapping.md. */
#include "common/mapping.h"
#include "common/number.h"
#include "common/read_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024)
#define PORT_MAX UINT16_MAX

/* A word of the JSON form and its value; a table ends with a NULL word. */
struct word {
    const char *text;
    uint8_t value;
};
static const struct word protocols[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {NULL, 0}};
static const struct word directions[] = {
    {"connect", DMM_DIR_CONNECT}, {"listen", DMM_DIR_LISTEN}, {NULL, 0}};

/* ---- instances ---- */

static int add_instance(struct dmm_mapping *mapping, const char *name, const char *source,
                        struct dmm_err *err)
{
    if (strcmp(name, "kernel") == 0)
        return 0;
    if (!dmm_instance_name_valid(name))
        return dmm_err_set(err, EINVAL, "%s: \"%.32s\" is not a valid stack name", source, name);
    if (dmm_mapping_instance(mapping, name) >= 0)
        return dmm_err_set(err, EINVAL, "%s: stack \"%s\" is configured twice", source, name);
    if (mapping->n_instances == DMM_MAPPING_INSTANCES)
        return dmm_err_set(err, EINVAL, "%s: more than %d stacks", source, DMM_MAPPING_INSTANCES);
    snprintf(mapping->instances[mapping->n_instances++], DMM_INSTANCE_NAME, "%s", name);
    return 0;
}

/* An empty mapping of the instances: kernel first, then the others in order. */
static int set_instances(struct dmm_mapping *mapping, const char *const *instances, unsigned n,
                         const char *source, struct dmm_err *err)
{
    memset(mapping, 0, sizeof(*mapping));
    snprintf(mapping->instances[mapping->n_instances++], DMM_INSTANCE_NAME, "kernel");
    for (unsigned i = 0; i < n; i++) {
        int ret = add_instance(mapping, instances[i], source, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* "kernel, fast, rdma0" */
static void list_instances(const struct dmm_mapping *mapping, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (uint32_t i = 0; i < mapping->n_instances && used < size; i++)
        used +=
            (size_t)snprintf(buf + used, size - used, "%s%s", i ? ", " : "", mapping->instances[i]);
}

/* The index of the instance that `value` names, or an error at `key`. */
static int find_instance(const struct dmm_mapping *mapping, const json_t *value,
                         const struct dmm_json_at *at, const char *key, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    char names[DMM_MAPPING_INSTANCES * (DMM_INSTANCE_NAME + 2)];
    if (!json_is_string(value))
        return dmm_json_fail(err, at, key, "must be the name of a stack, not %s",
                             dmm_json_show(value, shown));
    int index = dmm_mapping_instance(mapping, json_string_value(value));
    if (index >= 0)
        return index;
    list_instances(mapping, names, sizeof(names));
    return dmm_json_fail(err, at, key, "no stack has the name %s (there are: %s)",
                         dmm_json_show(value, shown), names);
}

/* ---- the selectors of a rule ---- */

static int parse_word(const json_t *object, const struct dmm_json_at *at, const char *key,
                      const struct word *words, uint8_t *out, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    const json_t *value = json_object_get(object, key);
    if (!value)
        return 0;
    for (const struct word *word = words; word->text; word++) {
        if (json_is_string(value) && strcmp(word->text, json_string_value(value)) == 0) {
            *out = word->value;
            return 0;
        }
    }
    return dmm_json_fail(err, at, key, "must be \"%s\" or \"%s\", not %s", words[0].text,
                         words[1].text, dmm_json_show(value, shown));
}

static int parse_prefix(const json_t *object, const struct dmm_json_at *at, const char *key,
                        struct dmm_prefix *out, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    const json_t *value = json_object_get(object, key);
    if (!value)
        return 0;
    const char *text = json_string_value(value);
    if (!text || dmm_prefix_parse(out, text) < 0)
        return dmm_json_fail(err, at, key,
                             "%s is not an IPv4 or IPv6 prefix with its host bits zero",
                             dmm_json_show(value, shown));
    return 0;
}

/* "80" or "80-443": first and last, both 1 to 65535, in order. */
static bool parse_port_text(const char *text, unsigned long *first, unsigned long *last)
{
    const char *dash = strchr(text, '-');
    size_t len = dash ? (size_t)(dash - text) : strlen(text);
    if (!dmm_number_parse(text, len, PORT_MAX, first))
        return false;
    *last = *first;
    if (dash && !dmm_number_parse(dash + 1, strlen(dash + 1), PORT_MAX, last))
        return false;
    return *first >= 1 && *first <= *last;
}

static int parse_ports(const json_t *object, const struct dmm_json_at *at,
                       struct dmm_mapping_rule *rule, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    unsigned long first = 0;
    unsigned long last = PORT_MAX;
    const json_t *value = json_object_get(object, "port");
    json_int_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= 1 && number <= PORT_MAX) {
        first = last = (unsigned long)number;
    } else if (value) {
        const char *text = json_string_value(value);
        if (!text || !parse_port_text(text, &first, &last))
            return dmm_json_fail(err, at, "port",
                                 "%s is not a port or a range of ports from 1 to 65535",
                                 dmm_json_show(value, shown));
    }
    rule->port_first = (uint16_t)first;
    rule->port_last = (uint16_t)last;
    return 0;
}

static int parse_process(const json_t *object, const struct dmm_json_at *at,
                         struct dmm_mapping_rule *rule, struct dmm_err *err)
{
    const char *text = NULL;
    int ret = dmm_json_string(object, at, "process", false, &text, err);
    if (ret < 0 || !text)
        return ret;
    if (strlen(text) >= DMM_PROCESS_NAME)
        return dmm_json_fail(err, at, "process",
                             "is %zu bytes long; the kernel keeps %d of a process name",
                             strlen(text), DMM_PROCESS_NAME - 1);
    return dmm_json_copy(object, at, "process", false, rule->process, sizeof(rule->process), err);
}

/* ---- the stacks of a rule ---- */

static int parse_stack_list(const struct dmm_mapping *mapping, const json_t *list,
                            const struct dmm_json_at *at, struct dmm_mapping_rule *rule,
                            struct dmm_err *err)
{
    if (rule->direction != DMM_DIR_LISTEN)
        return dmm_json_fail(err, at, "stack", "a list of stacks needs \"direction\": \"listen\"");
    if (json_array_size(list) == 0)
        return dmm_json_fail(err, at, "stack", "the list is empty");
    size_t i;
    const json_t *value;
    json_array_foreach(list, i, value)
    {
        char key[32];
        snprintf(key, sizeof(key), "stack[%zu]", i);
        int index = find_instance(mapping, value, at, key, err);
        if (index < 0)
            return index;
        if (rule->instances & (1U << index))
            return dmm_json_fail(err, at, key, "\"%s\" is in the list twice",
                                 mapping->instances[index]);
        rule->instances |= 1U << index;
    }
    return 0;
}

static int parse_stack(const struct dmm_mapping *mapping, const json_t *object,
                       const struct dmm_json_at *at, struct dmm_mapping_rule *rule,
                       struct dmm_err *err)
{
    const json_t *value = json_object_get(object, "stack");
    if (!value)
        return dmm_json_fail(err, at, "stack", "is missing");
    if (json_is_array(value))
        return parse_stack_list(mapping, value, at, rule, err);
    int index = find_instance(mapping, value, at, "stack", err);
    if (index < 0)
        return index;
    rule->instances = 1U << index;
    return 0;
}

/* ---- rules that could never match ---- */

/* Does every address that `inner` lets pass also pass `outer`? No prefix is any address but
 * loopback, of which only a rule with a prefix speaks. */
static bool prefix_shadows(const struct dmm_prefix *outer, const struct dmm_prefix *inner)
{
    static const struct dmm_prefix loopbacks[] = {
        {.family = AF_INET, .len = 8, .ip = {127}},
        {.family = AF_INET6, .len = 128, .ip = {[15] = 1}},
    };
    if (outer->family || !inner->family)
        return outer->family == 0 || (inner->family && dmm_prefix_covers(outer, inner));
    for (size_t i = 0; i < sizeof(loopbacks) / sizeof(loopbacks[0]); i++) {
        if (dmm_prefix_covers(inner, &loopbacks[i]) || dmm_prefix_covers(&loopbacks[i], inner))
            return false;
    }
    return true;
}

/* A remote prefix is known only to a connect. */
static uint8_t effective_direction(const struct dmm_mapping_rule *rule)
{
    return rule->remote.family ? (uint8_t)DMM_DIR_CONNECT : rule->direction;
}

/* True if `later` can never match because `rule` comes before it. */
static bool rule_shadows(const struct dmm_mapping_rule *rule, const struct dmm_mapping_rule *later)
{
    uint8_t direction = effective_direction(rule);
    if (rule->protocol && rule->protocol != later->protocol)
        return false;
    if (direction != DMM_DIR_ANY && direction != effective_direction(later))
        return false;
    if (rule->port_first > later->port_first || rule->port_last < later->port_last)
        return false;
    if (rule->process[0] && strcmp(rule->process, later->process) != 0)
        return false;
    return prefix_shadows(&rule->remote, &later->remote) &&
           prefix_shadows(&rule->local, &later->local);
}

static bool same_selectors(const struct dmm_mapping_rule *a, const struct dmm_mapping_rule *b)
{
    return a->protocol == b->protocol && a->direction == b->direction &&
           a->port_first == b->port_first && a->port_last == b->port_last &&
           memcmp(&a->remote, &b->remote, sizeof(a->remote)) == 0 &&
           memcmp(&a->local, &b->local, sizeof(a->local)) == 0 &&
           strcmp(a->process, b->process) == 0;
}

static int refuse_shadowed(const struct dmm_mapping *mapping, const struct dmm_mapping_rule *rule,
                           const struct dmm_json_at *at, struct dmm_err *err)
{
    for (uint32_t i = 0; i < mapping->n_rules; i++) {
        if (same_selectors(&mapping->rules[i], rule))
            return dmm_json_fail(err, at, NULL, "repeats the selectors of rules[%u]", i);
        if (rule_shadows(&mapping->rules[i], rule))
            return dmm_json_fail(err, at, NULL, "can never match: rules[%u] covers it", i);
    }
    return 0;
}

/* ---- rules ---- */

static int check_rule(const struct dmm_mapping_rule *rule, const struct dmm_json_at *at,
                      struct dmm_err *err)
{
    if (rule->remote.family && rule->direction == DMM_DIR_LISTEN)
        return dmm_json_fail(err, at, "remote", "a listen has no remote address");
    if (rule->remote.family && rule->local.family && rule->remote.family != rule->local.family)
        return dmm_json_fail(err, at, "local", "is not of the same address family as remote");
    return 0;
}

static int parse_rule(const struct dmm_mapping *mapping, const json_t *object,
                      const struct dmm_json_at *at, struct dmm_mapping_rule *rule,
                      struct dmm_err *err)
{
    static const char *const known[] = {"stack", "protocol", "direction", "remote",
                                        "local", "port",     "process",   NULL};
    int ret = dmm_json_keys(object, at, known, err);
    if (ret == 0)
        ret = parse_word(object, at, "protocol", protocols, &rule->protocol, err);
    if (ret == 0)
        ret = parse_word(object, at, "direction", directions, &rule->direction, err);
    if (ret == 0)
        ret = parse_prefix(object, at, "remote", &rule->remote, err);
    if (ret == 0)
        ret = parse_prefix(object, at, "local", &rule->local, err);
    if (ret == 0)
        ret = parse_ports(object, at, rule, err);
    if (ret == 0)
        ret = parse_process(object, at, rule, err);
    if (ret == 0)
        ret = parse_stack(mapping, object, at, rule, err);
    if (ret == 0)
        ret = check_rule(rule, at, err);
    return ret;
}

static int parse_rules(struct dmm_mapping *mapping, const json_t *rules, const char *source,
                       struct dmm_err *err)
{
    size_t i;
    const json_t *object;
    json_array_foreach(rules, i, object)
    {
        char path[DMM_JSON_PATH];
        snprintf(path, sizeof(path), "rules[%zu]", i);
        const struct dmm_json_at at = {source, path};
        struct dmm_mapping_rule *rule = &mapping->rules[mapping->n_rules];
        int ret = parse_rule(mapping, object, &at, rule, err);
        if (ret == 0)
            ret = refuse_shadowed(mapping, rule, &at, err);
        if (ret < 0)
            return ret;
        mapping->n_rules++;
    }
    return 0;
}

static int parse_root(struct dmm_mapping *mapping, const json_t *root, const char *source,
                      struct dmm_err *err)
{
    static const char *const known[] = {"version", "default", "rules", NULL};
    const struct dmm_json_at at = {source, ""};
    int ret = dmm_json_keys(root, &at, known, err);
    if (ret == 0)
        ret = dmm_json_version(root, &at, DMM_MAPPING_VERSION, err);
    if (ret < 0)
        return ret;
    const json_t *name = json_object_get(root, "default");
    if (name) {
        int index = find_instance(mapping, name, &at, "default", err);
        if (index < 0)
            return index;
        mapping->default_instance = (uint32_t)index;
    }
    const json_t *rules = NULL;
    ret = dmm_json_array(root, &at, "rules", false, DMM_MAPPING_RULES, &rules, err);
    if (ret < 0)
        return ret;
    return parse_rules(mapping, rules, source, err);
}

/* ---- public ---- */

int dmm_mapping_parse(struct dmm_mapping *mapping, const char *text, size_t len,
                      const char *const *instances, unsigned n_instances, const char *source,
                      struct dmm_err *err)
{
    struct dmm_mapping parsed;
    int ret = set_instances(&parsed, instances, n_instances, source, err);
    if (ret < 0)
        return ret;
    json_t *root = dmm_json_load(text, len, TEXT_MAX, source, err);
    if (!root)
        return err ? -err->code : -EINVAL;
    ret = parse_root(&parsed, root, source, err);
    json_decref(root);
    if (ret == 0)
        *mapping = parsed;
    return ret;
}

int dmm_mapping_from_word(struct dmm_mapping *mapping, const char *word,
                          const char *const *instances, unsigned n_instances, const char *source,
                          struct dmm_err *err)
{
    struct dmm_mapping parsed;
    int ret = set_instances(&parsed, instances, n_instances, source, err);
    if (ret < 0)
        return ret;
    const struct dmm_json_at at = {source, ""};
    json_t *name = json_string(word);
    int index = find_instance(&parsed, name, &at, NULL, err);
    json_decref(name);
    if (index < 0)
        return index;
    parsed.default_instance = (uint32_t)index;
    *mapping = parsed;
    return 0;
}

/* ---- formatting: each returns a new reference, NULL out of memory ---- */

static json_t *format_word(const struct word *words, uint8_t value)
{
    while (words->text && words->value != value)
        words++;
    return json_string(words->text);
}

static json_t *format_prefix(const struct dmm_prefix *prefix)
{
    char text[DMM_PREFIX_STRLEN];
    return json_string(dmm_prefix_format(prefix, text));
}

static json_t *format_ports(const struct dmm_mapping_rule *rule)
{
    if (rule->port_first == rule->port_last)
        return json_integer(rule->port_first);
    return json_sprintf("%u-%u", rule->port_first, rule->port_last);
}

static json_t *format_stacks(const struct dmm_mapping *mapping, uint32_t set)
{
    if ((set & (set - 1)) == 0)
        return json_string(mapping->instances[__builtin_ctz(set)]);
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < mapping->n_instances; i++) {
        if (!(set & (1U << i)))
            continue;
        if (json_array_append_new(list, json_string(mapping->instances[i]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *format_rule(const struct dmm_mapping *mapping, const struct dmm_mapping_rule *rule)
{
    json_t *object = json_object();
    bool any_port = rule->port_first == 0 && rule->port_last == PORT_MAX;
    int bad = json_object_set_new(object, "stack", format_stacks(mapping, rule->instances));
    if (rule->protocol)
        bad |= json_object_set_new(object, "protocol", format_word(protocols, rule->protocol));
    if (rule->direction)
        bad |= json_object_set_new(object, "direction", format_word(directions, rule->direction));
    if (rule->remote.family)
        bad |= json_object_set_new(object, "remote", format_prefix(&rule->remote));
    if (rule->local.family)
        bad |= json_object_set_new(object, "local", format_prefix(&rule->local));
    if (!any_port)
        bad |= json_object_set_new(object, "port", format_ports(rule));
    if (rule->process[0])
        bad |= json_object_set_new(object, "process", json_string(rule->process));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *format_rules(const struct dmm_mapping *mapping)
{
    json_t *rules = json_array();
    for (uint32_t i = 0; rules && i < mapping->n_rules; i++) {
        if (json_array_append_new(rules, format_rule(mapping, &mapping->rules[i]))) {
            json_decref(rules);
            return NULL;
        }
    }
    return rules;
}

char *dmm_mapping_format(const struct dmm_mapping *mapping)
{
    json_t *root = json_object();
    int bad = json_object_set_new(root, "version", json_integer(DMM_MAPPING_VERSION));
    bad |= json_object_set_new(root, "default",
                               json_string(mapping->instances[mapping->default_instance]));
    bad |= json_object_set_new(root, "rules", format_rules(mapping));
    char *text = bad ? NULL : json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    return text;
}
