/* SPDX-License-Identifier: Apache-2.0 */
/* poddir_json: the JSON of the pod directory's stacks.json and ports/<ifname>.json. */
#include "common/number.h"
#include "common/poddir.h"
#include "common/read_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FORMAT_VERSION 1
#define MTU_MIN        68 /* RFC 791: every module forwards that much */
#define MTU_MAX        UINT16_MAX

static const char *const kind_names[] = {
    [DMM_PORT_PACKET] = "packet",
    [DMM_PORT_TAP] = "tap",
    [DMM_PORT_AFXDP] = "afxdp",
    [DMM_PORT_ETHDEV] = "ethdev",
};
#define N_KINDS (sizeof(kind_names) / sizeof(kind_names[0]))

/* ---- ports/<ifname>.json ---- */

/* What the kernel takes for a name: dev_valid_name() refuses these. */
static bool ifname_valid(const char *name)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    return strpbrk(name, "/: \t\n\v\f\r") == NULL;
}

static int parse_ifname(const json_t *root, const struct dmm_json_at *at,
                        struct dmm_port_config *port, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    int ret = dmm_json_copy(root, at, "ifname", true, port->ifname, sizeof(port->ifname), err);
    if (ret < 0)
        return ret;
    if (!ifname_valid(port->ifname))
        return dmm_json_fail(err, at, "ifname", "%s is not the name of an interface",
                             dmm_json_show(json_object_get(root, "ifname"), shown));
    return 0;
}

static int parse_kind(const json_t *root, const struct dmm_json_at *at,
                      struct dmm_port_config *port, struct dmm_err *err)
{
    const char *text = NULL;
    char shown[DMM_JSON_SHOWN];
    int ret = dmm_json_string(root, at, "kind", true, &text, err);
    if (ret < 0)
        return ret;
    for (size_t i = 0; i < N_KINDS; i++) {
        if (strcmp(text, kind_names[i]) == 0) {
            port->kind = (enum dmm_port_kind)i;
            return 0;
        }
    }
    char names[64] = "";
    for (size_t i = 0; i < N_KINDS; i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s\"%s\"", i ? ", " : "",
                 kind_names[i]);
    return dmm_json_fail(err, at, "kind", "must be one of %s, not %s", names,
                         dmm_json_show(json_object_get(root, "kind"), shown));
}

/* Keys (NULL-terminated) that only one kind has. */
static int refuse_keys(const json_t *root, const struct dmm_json_at *at, const char *const keys[],
                       enum dmm_port_kind kind, struct dmm_err *err)
{
    for (; *keys; keys++)
        if (json_object_get(root, *keys))
            return dmm_json_fail(err, at, *keys, "is for kind \"%s\" only", kind_names[kind]);
    return 0;
}

static const char *const vhost_net_names[] = {
    [DMM_VHOST_NET_OFF] = "off",
    [DMM_VHOST_NET_AUTO] = "auto",
    [DMM_VHOST_NET_ON] = "on",
};

static int parse_tap(const json_t *root, const struct dmm_json_at *at, struct dmm_port_config *port,
                     struct dmm_err *err)
{
    static const char *const keys[] = {"vhostNet", NULL};
    const char *text = NULL;
    char shown[DMM_JSON_SHOWN];
    if (port->kind != DMM_PORT_TAP)
        return refuse_keys(root, at, keys, DMM_PORT_TAP, err);
    int ret = dmm_json_string(root, at, "vhostNet", false, &text, err);
    if (ret < 0 || !text)
        return ret;
    for (size_t i = 0; i < sizeof(vhost_net_names) / sizeof(vhost_net_names[0]); i++) {
        if (!strcmp(text, vhost_net_names[i])) {
            port->vhost_net = (enum dmm_port_vhost_net)i;
            return 0;
        }
    }
    return dmm_json_fail(err, at, "vhostNet", "%s is none of \"off\", \"auto\", \"on\"",
                         dmm_json_show(json_object_get(root, "vhostNet"), shown));
}

static int parse_ethdev(const json_t *root, const struct dmm_json_at *at,
                        struct dmm_port_config *port, struct dmm_err *err)
{
    static const char *const keys[] = {"devargs", "socketMode", "socketGid", NULL};
    if (port->kind != DMM_PORT_ETHDEV)
        return refuse_keys(root, at, keys, DMM_PORT_ETHDEV, err);
    int ret = dmm_json_copy(root, at, "devargs", true, port->devargs, sizeof(port->devargs), err);
    if (ret == 0)
        ret = dmm_json_uint(root, at, "socketMode", false, 1, 0777, &port->socket_mode, err);
    if (ret == 0)
        ret =
            dmm_json_uint(root, at, "socketGid", false, 0, UINT32_MAX - 1, &port->socket_gid, err);
    port->has_socket_gid = json_object_get(root, "socketGid") != NULL;
    return ret;
}

static int parse_afxdp(const json_t *root, const struct dmm_json_at *at,
                       struct dmm_port_config *port, struct dmm_err *err)
{
    static const char *const keys[] = {"xskMap", "queues", "busyPoll", "busyPollBudget", NULL};
    uint32_t queues = 0;
    if (port->kind != DMM_PORT_AFXDP)
        return refuse_keys(root, at, keys, DMM_PORT_AFXDP, err);
    int ret = dmm_json_copy(root, at, "xskMap", true, port->xsk_map, sizeof(port->xsk_map), err);
    if (ret == 0)
        ret = dmm_json_uint(root, at, "queues", true, 1, DMM_PORT_QUEUES, &queues, err);
    port->queues = queues;
    if (ret == 0)
        ret = dmm_json_uint(root, at, "busyPoll", false, 1, DMM_PORT_BUSY_POLL, &port->busy_poll_us,
                            err);
    if (ret == 0)
        ret = dmm_json_uint(root, at, "busyPollBudget", port->busy_poll_us != 0, 1,
                            DMM_PORT_BUSY_BUDGET, &port->busy_budget, err);
    return ret;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "02:00:00:00:00:01" */
static bool mac_parse(uint8_t mac[6], const char *text)
{
    if (strlen(text) != 17)
        return false;
    for (size_t i = 0; i < 6; i++, text += 3) {
        int high = hex_digit(text[0]);
        int low = hex_digit(text[1]);
        if (high < 0 || low < 0 || (i < 5 && text[2] != ':'))
            return false;
        mac[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int parse_mac(const json_t *root, const struct dmm_json_at *at, struct dmm_port_config *port,
                     struct dmm_err *err)
{
    const char *text = NULL;
    char shown[DMM_JSON_SHOWN];
    int ret = dmm_json_string(root, at, "mac", false, &text, err);
    if (ret < 0 || !text)
        return ret;
    if (!mac_parse(port->mac, text))
        return dmm_json_fail(err, at, "mac", "%s is not a MAC address",
                             dmm_json_show(json_object_get(root, "mac"), shown));
    if (port->mac[0] & 1)
        return dmm_json_fail(err, at, "mac", "%s is a group address",
                             dmm_json_show(json_object_get(root, "mac"), shown));
    return 0;
}

/* "10.88.0.2/16": an address of an interface, host bits and all. */
static bool interface_address_parse(struct dmm_port_address *out, const char *text)
{
    char ip[DMM_ADDR_STRLEN];
    unsigned long len;
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= sizeof(ip))
        return false;
    memcpy(ip, text, (size_t)(slash - text));
    ip[slash - text] = '\0';
    if (dmm_addr_parse(&out->addr, ip) < 0 || dmm_addr_is_any(&out->addr))
        return false;
    unsigned long max = out->addr.family == AF_INET ? 32 : 128;
    if (!dmm_number_parse(slash + 1, strlen(slash + 1), max, &len))
        return false;
    out->prefix_len = (uint8_t)len;
    return true;
}

static int parse_addresses(const json_t *root, const struct dmm_json_at *at,
                           struct dmm_port_config *port, struct dmm_err *err)
{
    size_t i;
    const json_t *value;
    const json_t *list = NULL;
    char shown[DMM_JSON_SHOWN];
    int ret = dmm_json_array(root, at, "addresses", false, DMM_PORT_ADDRESSES, &list, err);
    if (ret < 0)
        return ret;
    json_array_foreach(list, i, value)
    {
        const char *text = json_string_value(value);
        struct dmm_port_address *address = &port->addresses[port->n_addresses];
        if (!text || !interface_address_parse(address, text)) {
            char key[DMM_JSON_PATH];
            snprintf(key, sizeof(key), "addresses[%zu]", i);
            return dmm_json_fail(err, at, key, "%s is not an address with a prefix length",
                                 dmm_json_show(value, shown));
        }
        port->n_addresses++;
    }
    return 0;
}

static int parse_route(const json_t *object, const struct dmm_json_at *at,
                       struct dmm_port_route *route, struct dmm_err *err)
{
    static const char *const known[] = {"dst", "gw", NULL};
    const char *dst = NULL;
    const char *gw = NULL;
    char shown[DMM_JSON_SHOWN];
    int ret = dmm_json_keys(object, at, known, err);
    if (ret == 0)
        ret = dmm_json_string(object, at, "dst", true, &dst, err);
    if (ret == 0)
        ret = dmm_json_string(object, at, "gw", false, &gw, err);
    if (ret < 0)
        return ret;
    if (dmm_prefix_parse(&route->dst, dst) < 0)
        return dmm_json_fail(err, at, "dst", "%s is not a prefix with its host bits zero",
                             dmm_json_show(json_object_get(object, "dst"), shown));
    if (!gw)
        return 0;
    if (dmm_addr_parse(&route->gateway, gw) < 0 || dmm_addr_is_any(&route->gateway))
        return dmm_json_fail(err, at, "gw", "%s is not the address of a gateway",
                             dmm_json_show(json_object_get(object, "gw"), shown));
    if (route->gateway.family != route->dst.family)
        return dmm_json_fail(err, at, "gw", "is not of the same address family as dst");
    return 0;
}

static int parse_routes(const json_t *root, const struct dmm_json_at *at,
                        struct dmm_port_config *port, struct dmm_err *err)
{
    size_t i;
    const json_t *value;
    const json_t *list = NULL;
    int ret = dmm_json_array(root, at, "routes", false, DMM_PORT_ROUTES, &list, err);
    if (ret < 0)
        return ret;
    json_array_foreach(list, i, value)
    {
        char path[DMM_JSON_PATH];
        snprintf(path, sizeof(path), "routes[%zu]", i);
        const struct dmm_json_at inner = {at->source, path};
        ret = parse_route(value, &inner, &port->routes[port->n_routes], err);
        if (ret < 0)
            return ret;
        port->n_routes++;
    }
    return 0;
}

static int parse_port(struct dmm_port_config *port, const json_t *root, const char *source,
                      struct dmm_err *err)
{
    static const char *const known[] = {
        "version", "ifname",    "kind",     "link",           "devargs",    "xskMap",
        "queues",  "mac",       "busyPoll", "busyPollBudget", "socketMode", "socketGid",
        "mtu",     "addresses", "routes",   "vhostNet",       NULL};
    const struct dmm_json_at at = {source, ""};
    int ret = dmm_json_keys(root, &at, known, err);
    if (ret == 0)
        ret = dmm_json_version(root, &at, FORMAT_VERSION, err);
    if (ret == 0)
        ret = parse_ifname(root, &at, port, err);
    if (ret == 0)
        ret = parse_kind(root, &at, port, err);
    if (ret == 0)
        ret = dmm_json_copy(root, &at, "link", true, port->link, sizeof(port->link), err);
    if (ret == 0)
        ret = parse_tap(root, &at, port, err);
    if (ret == 0)
        ret = parse_ethdev(root, &at, port, err);
    if (ret == 0)
        ret = parse_afxdp(root, &at, port, err);
    if (ret == 0)
        ret = parse_mac(root, &at, port, err);
    if (ret == 0)
        ret = dmm_json_uint(root, &at, "mtu", true, MTU_MIN, MTU_MAX, &port->mtu, err);
    if (ret == 0)
        ret = parse_addresses(root, &at, port, err);
    if (ret == 0)
        ret = parse_routes(root, &at, port, err);
    return ret;
}

int dmm_port_config_parse(struct dmm_port_config *port, const char *text, size_t len,
                          const char *source, struct dmm_err *err)
{
    struct dmm_port_config parsed;
    memset(&parsed, 0, sizeof(parsed));
    json_t *root = dmm_json_load(text, len, DMM_FILE_MAX, source, err);
    if (!root)
        return err ? -err->code : -EINVAL;
    int ret = parse_port(&parsed, root, source, err);
    json_decref(root);
    if (ret == 0)
        *port = parsed;
    return ret;
}

static json_t *format_addresses(const struct dmm_port_config *port)
{
    json_t *list = json_array();
    int bad = 0;
    for (unsigned i = 0; i < port->n_addresses && !bad; i++) {
        char ip[DMM_ADDR_STRLEN];
        dmm_addr_format_ip(&port->addresses[i].addr, ip);
        bad = json_array_append_new(list, json_sprintf("%s/%u", ip, port->addresses[i].prefix_len));
    }
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *format_route(const struct dmm_port_route *route)
{
    char dst[DMM_PREFIX_STRLEN];
    char gw[DMM_ADDR_STRLEN];
    json_t *object = json_object();
    int bad = json_object_set_new(object, "dst", json_string(dmm_prefix_format(&route->dst, dst)));
    if (route->gateway.family)
        bad |=
            json_object_set_new(object, "gw", json_string(dmm_addr_format_ip(&route->gateway, gw)));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *format_routes(const struct dmm_port_config *port)
{
    json_t *list = json_array();
    int bad = 0;
    for (unsigned i = 0; i < port->n_routes && !bad; i++)
        bad = json_array_append_new(list, format_route(&port->routes[i]));
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *format_mac(const uint8_t mac[6])
{
    return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                        mac[5]);
}

json_t *dmm_port_config_json(const struct dmm_port_config *port)
{
    static const uint8_t no_mac[6];
    json_t *root = json_object();
    int bad = json_object_set_new(root, "version", json_integer(FORMAT_VERSION));
    bad |= json_object_set_new(root, "ifname", json_string(port->ifname));
    bad |= json_object_set_new(root, "kind", json_string(kind_names[port->kind]));
    bad |= json_object_set_new(root, "link", json_string(port->link));
    if (port->vhost_net != DMM_VHOST_NET_OFF)
        bad |= json_object_set_new(root, "vhostNet", json_string(vhost_net_names[port->vhost_net]));
    if (port->kind == DMM_PORT_ETHDEV)
        bad |= json_object_set_new(root, "devargs", json_string(port->devargs));
    if (port->socket_mode)
        bad |= json_object_set_new(root, "socketMode", json_integer(port->socket_mode));
    if (port->has_socket_gid)
        bad |= json_object_set_new(root, "socketGid", json_integer(port->socket_gid));
    if (port->kind == DMM_PORT_AFXDP) {
        bad |= json_object_set_new(root, "xskMap", json_string(port->xsk_map));
        bad |= json_object_set_new(root, "queues", json_integer(port->queues));
        if (port->busy_poll_us) {
            bad |= json_object_set_new(root, "busyPoll", json_integer(port->busy_poll_us));
            bad |= json_object_set_new(root, "busyPollBudget", json_integer(port->busy_budget));
        }
    }
    if (memcmp(port->mac, no_mac, sizeof(no_mac)) != 0)
        bad |= json_object_set_new(root, "mac", format_mac(port->mac));
    bad |= json_object_set_new(root, "mtu", json_integer(port->mtu));
    bad |= json_object_set_new(root, "addresses", format_addresses(port));
    bad |= json_object_set_new(root, "routes", format_routes(port));
    if (!bad)
        return root;
    json_decref(root);
    return NULL;
}

/* ---- stacks.json ---- */

static int parse_name(const json_t *object, const struct dmm_json_at *at,
                      const struct dmm_stacks_config *stacks,
                      struct dmm_stack_instance_config *stack, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    int ret = dmm_json_copy(object, at, "name", true, stack->name, sizeof(stack->name), err);
    if (ret < 0)
        return ret;
    if (!dmm_instance_name_valid(stack->name))
        return dmm_json_fail(err, at, "name",
                             "%s is not a name of small letters, digits and inner hyphens",
                             dmm_json_show(json_object_get(object, "name"), shown));
    if (strcmp(stack->name, "kernel") == 0)
        return dmm_json_fail(err, at, "name", "\"kernel\" always exists and is not configured");
    for (unsigned i = 0; i < stacks->n_stacks; i++) {
        if (strcmp(stacks->stacks[i].name, stack->name) == 0)
            return dmm_json_fail(err, at, "name", "\"%s\" is the name of stacks[%u] too",
                                 stack->name, i);
    }
    return 0;
}

static int parse_port_name(const json_t *value, const struct dmm_json_at *at, size_t index,
                           struct dmm_stack_instance_config *stack, struct dmm_err *err)
{
    char key[DMM_JSON_PATH];
    char shown[DMM_JSON_SHOWN];
    snprintf(key, sizeof(key), "ports[%zu]", index);
    const char *text = json_string_value(value);
    if (!text || !text[0] || strlen(text) >= IFNAMSIZ || !ifname_valid(text))
        return dmm_json_fail(err, at, key, "%s is not the name of an interface",
                             dmm_json_show(value, shown));
    for (unsigned i = 0; i < stack->n_ports; i++) {
        if (strcmp(stack->ports[i], text) == 0)
            return dmm_json_fail(err, at, key, "%s is in the list twice",
                                 dmm_json_show(value, shown));
    }
    memcpy(stack->ports[stack->n_ports++], text, strlen(text) + 1);
    return 0;
}

static int parse_port_names(const json_t *object, const struct dmm_json_at *at,
                            struct dmm_stack_instance_config *stack, struct dmm_err *err)
{
    size_t i;
    const json_t *value;
    const json_t *list = NULL;
    int ret = dmm_json_array(object, at, "ports", false, DMM_POD_PORTS, &list, err);
    if (ret < 0)
        return ret;
    json_array_foreach(list, i, value)
    {
        ret = parse_port_name(value, at, i, stack, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int parse_options(const json_t *object, const struct dmm_json_at *at,
                         struct dmm_stack_instance_config *stack, struct dmm_err *err)
{
    char shown[DMM_JSON_SHOWN];
    const json_t *options = json_object_get(object, "options");
    if (options && !json_is_object(options))
        return dmm_json_fail(err, at, "options", "must be an object, not %s",
                             dmm_json_show(options, shown));
    stack->options = options ? json_deep_copy(options) : json_object();
    return stack->options ? 0 : dmm_err_set(err, ENOMEM, "%s: out of memory", at->source);
}

/* On error `stack` holds nothing to free: options come last. */
static int parse_stack(const struct dmm_stacks_config *stacks, const json_t *object,
                       const struct dmm_json_at *at, struct dmm_stack_instance_config *stack,
                       struct dmm_err *err)
{
    static const char *const known[] = {"name", "type", "ports", "options", NULL};
    int ret = dmm_json_keys(object, at, known, err);
    if (ret == 0)
        ret = parse_name(object, at, stacks, stack, err);
    if (ret == 0)
        ret = dmm_json_copy(object, at, "type", true, stack->type, sizeof(stack->type), err);
    if (ret == 0)
        ret = parse_port_names(object, at, stack, err);
    if (ret == 0)
        ret = parse_options(object, at, stack, err);
    return ret;
}

int dmm_stacks_config_from_json(struct dmm_stacks_config *stacks, const json_t *array,
                                const char *source, struct dmm_err *err)
{
    size_t i;
    const json_t *value;
    const struct dmm_json_at at = {source, ""};
    char shown[DMM_JSON_SHOWN];
    struct dmm_stacks_config parsed;
    memset(&parsed, 0, sizeof(parsed));
    if (!json_is_array(array))
        return dmm_json_fail(err, &at, "stacks", "must be an array, not %s",
                             dmm_json_show(array, shown));
    if (json_array_size(array) > DMM_MAPPING_INSTANCES - 1)
        return dmm_json_fail(err, &at, "stacks", "has %zu entries, more than %d",
                             json_array_size(array), DMM_MAPPING_INSTANCES - 1);
    json_array_foreach(array, i, value)
    {
        char path[DMM_JSON_PATH];
        snprintf(path, sizeof(path), "stacks[%zu]", i);
        const struct dmm_json_at inner = {source, path};
        int ret = parse_stack(&parsed, value, &inner, &parsed.stacks[i], err);
        if (ret < 0) {
            dmm_stacks_config_free(&parsed);
            return ret;
        }
        parsed.n_stacks++;
    }
    *stacks = parsed;
    return 0;
}

int dmm_stacks_config_parse(struct dmm_stacks_config *stacks, const char *text, size_t len,
                            const char *source, struct dmm_err *err)
{
    static const char *const known[] = {"version", "stacks", NULL};
    const struct dmm_json_at at = {source, ""};
    json_t *root = dmm_json_load(text, len, DMM_FILE_MAX, source, err);
    if (!root)
        return err ? -err->code : -EINVAL;
    int ret = dmm_json_keys(root, &at, known, err);
    if (ret == 0)
        ret = dmm_json_version(root, &at, FORMAT_VERSION, err);
    if (ret == 0)
        ret = dmm_stacks_config_from_json(stacks, json_object_get(root, "stacks"), source, err);
    json_decref(root);
    return ret;
}

void dmm_stacks_config_free(struct dmm_stacks_config *stacks)
{
    for (unsigned i = 0; i < stacks->n_stacks; i++)
        json_decref(stacks->stacks[i].options);
    memset(stacks, 0, sizeof(*stacks));
}

static json_t *format_port_names(const struct dmm_stack_instance_config *stack)
{
    json_t *list = json_array();
    int bad = 0;
    for (unsigned i = 0; i < stack->n_ports && !bad; i++)
        bad = json_array_append_new(list, json_string(stack->ports[i]));
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *format_stack(const struct dmm_stack_instance_config *stack)
{
    json_t *object = json_object();
    int bad = json_object_set_new(object, "name", json_string(stack->name));
    bad |= json_object_set_new(object, "type", json_string(stack->type));
    bad |= json_object_set_new(object, "ports", format_port_names(stack));
    bad |= json_object_set_new(object, "options", json_deep_copy(stack->options));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

json_t *dmm_stacks_config_json(const struct dmm_stacks_config *stacks)
{
    json_t *root = json_object();
    json_t *list = json_array();
    int bad = 0;
    for (unsigned i = 0; i < stacks->n_stacks && !bad; i++)
        bad = json_array_append_new(list, format_stack(&stacks->stacks[i]));
    bad |= json_object_set_new(root, "version", json_integer(FORMAT_VERSION));
    bad |= json_object_set_new(root, "stacks", bad ? (json_decref(list), NULL) : list);
    if (!bad)
        return root;
    json_decref(root);
    return NULL;
}
