/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/result.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int dmm_result_init(struct dmm_result *result)
{
    *result = (struct dmm_result){json_array(), json_array(), json_array(), json_object()};
    if (result->interfaces && result->ips && result->routes && result->dns)
        return 0;
    dmm_result_free(result);
    return -ENOMEM;
}

void dmm_result_free(struct dmm_result *result)
{
    json_decref(result->interfaces);
    json_decref(result->ips);
    json_decref(result->routes);
    json_decref(result->dns);
    memset(result, 0, sizeof(*result));
}

/* "10.0.0.5/16": an address with its prefix length; host bits are what it is about. */
static int parse_cidr(struct dmm_port_address *into, const char *text)
{
    char host[INET6_ADDRSTRLEN];
    memset(into, 0, sizeof(*into));
    const char *slash = text ? strchr(text, '/') : NULL;
    if (!slash || (size_t)(slash - text) >= sizeof(host) || !slash[1] || strlen(slash) > 4)
        return -EINVAL;
    memcpy(host, text, (size_t)(slash - text));
    host[slash - text] = '\0';
    char *end;
    long len = strtol(slash + 1, &end, 10);
    if (dmm_addr_parse(&into->addr, host) || *end || slash[1] == '-' || slash[1] == '+' ||
        len > (into->addr.family == AF_INET ? 32 : 128))
        return -EINVAL;
    into->prefix_len = (uint8_t)len;
    return 0;
}

static int parse_address(struct dmm_addr *into, const char *text)
{
    return text ? dmm_addr_parse(into, text) : -EINVAL;
}

static const char *member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int check_ip(const json_t *ip, size_t i, struct dmm_err *err)
{
    struct dmm_port_address address;
    struct dmm_addr gateway;
    if (parse_cidr(&address, member(ip, "address")))
        return dmm_err_set(err, EINVAL, "ips[%zu].address: not an address with prefix length", i);
    const char *gw = member(ip, "gateway");
    if (json_object_get(ip, "gateway") && parse_address(&gateway, gw ? gw : ""))
        return dmm_err_set(err, EINVAL, "ips[%zu].gateway: not an address", i);
    return 0;
}

static int check_route(const json_t *route, size_t i, struct dmm_err *err)
{
    struct dmm_prefix dst;
    struct dmm_addr gateway;
    const char *text = member(route, "dst");
    if (!text || dmm_prefix_parse(&dst, text))
        return dmm_err_set(err, EINVAL, "routes[%zu].dst: not a prefix", i);
    const char *gw = member(route, "gw");
    if (json_object_get(route, "gw") && parse_address(&gateway, gw ? gw : ""))
        return dmm_err_set(err, EINVAL, "routes[%zu].gw: not an address", i);
    return 0;
}

static int take_array(json_t **into, const json_t *from, const char *key,
                      int (*check)(const json_t *, size_t, struct dmm_err *), struct dmm_err *err)
{
    const json_t *array = json_object_get(from, key);
    if (!array || json_is_null(array))
        return 0;
    if (!json_is_array(array))
        return dmm_err_set(err, EINVAL, "%s: must be an array", key);
    size_t i;
    const json_t *entry;
    json_array_foreach(array, i, entry)
    {
        if (!json_is_object(entry))
            return dmm_err_set(err, EINVAL, "%s[%zu]: must be an object", key, i);
        int rc = check ? check(entry, i, err) : 0;
        if (rc)
            return rc;
    }
    json_decref(*into);
    *into = json_deep_copy(array);
    return *into ? 0 : dmm_err_set(err, ENOMEM, "%s: out of memory", key);
}

int dmm_result_parse(struct dmm_result *result, const json_t *json, struct dmm_err *err)
{
    if (dmm_result_init(result))
        return dmm_err_set(err, ENOMEM, "result: out of memory");
    if (!json_is_object(json)) {
        dmm_err_set(err, EINVAL, "not an object");
        goto fail;
    }
    if (take_array(&result->interfaces, json, "interfaces", NULL, err) ||
        take_array(&result->ips, json, "ips", check_ip, err) ||
        take_array(&result->routes, json, "routes", check_route, err))
        goto fail;
    const json_t *dns = json_object_get(json, "dns");
    if (json_is_object(dns)) {
        json_decref(result->dns);
        result->dns = json_deep_copy(dns);
    }
    size_t i;
    json_t *ip;
    json_array_foreach(result->ips, i, ip)
    {
        json_object_del(ip, "version"); /* said by the address itself since 1.0.0 */
    }
    return 0;
fail:
    dmm_result_free(result);
    return err ? -err->code : -EINVAL;
}

void dmm_result_set_interface(struct dmm_result *result, int index)
{
    size_t i;
    json_t *ip;
    json_array_foreach(result->ips, i, ip)
    {
        json_object_set_new(ip, "interface", json_integer(index));
    }
}

int dmm_result_prepend(struct dmm_result *result, const struct dmm_result *prev)
{
    struct dmm_result all = {json_deep_copy(prev->interfaces), json_deep_copy(prev->ips),
                             json_deep_copy(prev->routes), json_deep_copy(prev->dns)};
    if (!all.interfaces || !all.ips || !all.routes || !all.dns ||
        json_array_extend(all.interfaces, result->interfaces)) {
        dmm_result_free(&all);
        return -ENOMEM;
    }
    dmm_result_free(result);
    *result = all;
    return 0;
}

static int ips_to_port(const struct dmm_result *result, struct dmm_port_config *port,
                       struct dmm_err *err)
{
    size_t i;
    const json_t *ip;
    json_array_foreach(result->ips, i, ip)
    {
        if (i == DMM_PORT_ADDRESSES)
            return dmm_err_set(err, E2BIG, "ips: more than %d", DMM_PORT_ADDRESSES);
        if (parse_cidr(&port->addresses[i], member(ip, "address")))
            return dmm_err_set(err, EINVAL, "ips[%zu].address: bad", i);
        port->n_addresses = (unsigned)i + 1;
    }
    return 0;
}

/* The gateway that the first address of this family came with. */
static void default_gateway(const struct dmm_result *result, int family, struct dmm_addr *gateway)
{
    size_t i;
    const json_t *ip;
    json_array_foreach(result->ips, i, ip)
    {
        if (!parse_address(gateway, member(ip, "gateway")) && gateway->family == family)
            return;
    }
    memset(gateway, 0, sizeof(*gateway));
}

/* CNI 1.1.0: "scope" as in rtnetlink(7). */
static bool is_on_link(const json_t *route)
{
    const json_t *scope = json_object_get(route, "scope");
    return json_is_integer(scope) && json_integer_value(scope) == RT_SCOPE_LINK;
}

int dmm_result_to_port(const struct dmm_result *result, struct dmm_port_config *port,
                       struct dmm_err *err)
{
    int rc = ips_to_port(result, port, err);
    if (rc)
        return rc;
    size_t i;
    const json_t *route;
    json_array_foreach(result->routes, i, route)
    {
        if (i == DMM_PORT_ROUTES)
            return dmm_err_set(err, E2BIG, "routes: more than %d", DMM_PORT_ROUTES);
        struct dmm_port_route *into = &port->routes[i];
        if (dmm_prefix_parse(&into->dst, member(route, "dst")))
            return dmm_err_set(err, EINVAL, "routes[%zu].dst: bad", i);
        if (parse_address(&into->gateway, member(route, "gw")) && !is_on_link(route))
            default_gateway(result, into->dst.family, &into->gateway);
        port->n_routes = (unsigned)i + 1;
    }
    return 0;
}

/* Copies `from` with the named keys left out of its objects. */
static json_t *copy_without(const json_t *from, const char *const *keys)
{
    json_t *copy = json_deep_copy(from);
    size_t i;
    json_t *entry;
    json_array_foreach(copy, i, entry)
    {
        for (const char *const *key = keys; *key; key++)
            json_object_del(entry, *key);
    }
    return copy;
}

static json_t *ips_json(const struct dmm_result *result, enum dmm_cni_version version)
{
    json_t *ips = json_deep_copy(result->ips);
    size_t i;
    json_t *ip;
    json_array_foreach(ips, i, ip)
    {
        if (version < DMM_CNI_1_0_0)
            json_object_set_new(ip, "version",
                                json_string(strchr(member(ip, "address"), ':') ? "6" : "4"));
    }
    return ips;
}

json_t *dmm_result_json(const struct dmm_result *result, enum dmm_cni_version version)
{
    static const char *const nothing[] = {NULL};
    static const char *const new_in_interfaces[] = {"mtu", "socketPath", "pciID", NULL};
    static const char *const new_in_routes[] = {"mtu",   "advmss", "priority",
                                                "table", "scope",  NULL};
    bool old = version < DMM_CNI_1_1_0;
    json_t *json =
        json_pack("{s:s, s:o, s:o}", "cniVersion", dmm_cni_version_text(version), "interfaces",
                  copy_without(result->interfaces, old ? new_in_interfaces : nothing), "ips",
                  ips_json(result, version));
    if (!json)
        return NULL;
    if (json_array_size(result->routes))
        json_object_set_new(json, "routes",
                            copy_without(result->routes, old ? new_in_routes : nothing));
    json_object_set_new(json, "dns", json_deep_copy(result->dns));
    return json;
}

json_t *dmm_result_interface(const char *name, const char *mac, const char *sandbox, unsigned mtu,
                             const char *socket_path)
{
    json_t *json = json_pack("{s:s}", "name", name);
    if (!json)
        return NULL;
    if (mac)
        json_object_set_new(json, "mac", json_string(mac));
    if (mtu)
        json_object_set_new(json, "mtu", json_integer(mtu));
    if (sandbox)
        json_object_set_new(json, "sandbox", json_string(sandbox));
    if (socket_path)
        json_object_set_new(json, "socketPath", json_string(socket_path));
    return json;
}
