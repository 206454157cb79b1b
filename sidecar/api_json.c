/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/api_json.h"

#include "common/version.h"
#include "sidecar/snapshot.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STUCK_NS UINT64_C(2000000000)

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Takes the value. */
static char *finish(json_t *root)
{
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static void set(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* Names come from apps: what is not UTF-8 is shown byte by byte. */
static json_t *text_of(const char *bytes, size_t size)
{
    size_t len = strnlen(bytes, size);
    json_t *text = json_stringn(bytes, len);
    if (text)
        return text;
    char plain[64];
    size_t n = 0;
    for (; n < len && n < sizeof(plain); n++)
        plain[n] = (char)(bytes[n] >= 0x20 && bytes[n] < 0x7f ? bytes[n] : '?');
    return json_stringn(plain, n);
}

static void set_text(json_t *object, const char *key, const char *bytes, size_t size)
{
    json_object_set_new(object, key, text_of(bytes, size));
}

static json_t *processes_json(const struct dmm_process_row *rows, unsigned n)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < n; i++) {
        json_t *process = json_object();
        set(process, "pid", rows[i].pid);
        set_text(process, "comm", rows[i].comm, sizeof(rows[i].comm));
        json_array_append_new(array, process);
    }
    return array;
}

/* ---- health ---- */

char *dmm_api_error(const char *text)
{
    json_t *root = json_object();
    set_text(root, "error", text, strlen(text));
    return finish(root);
}

static uint64_t silent_ns(const struct dmm_control *control)
{
    uint64_t last = atomic_load_explicit(&control->worker.heartbeat, memory_order_relaxed);
    uint64_t now = now_ns();
    return now > last ? now - last : 0;
}

bool dmm_api_worker_stuck(const struct dmm_control *control, struct dmm_err *why)
{
    if (atomic_load_explicit(&control->worker.sleeping, memory_order_relaxed))
        return false;
    uint64_t silent = silent_ns(control);
    if (silent <= STUCK_NS)
        return false;
    dmm_err_set(why, ETIME,
                "the worker is stuck: thread " DMM_WORKER_THREAD " has made no turn for %llu ms",
                (unsigned long long)(silent / 1000000));
    return true;
}

char *dmm_api_health(struct dmm_control *control, unsigned *status)
{
    struct dmm_err why = {0};
    const char *word = "ok";
    if (dmm_api_worker_stuck(control, &why))
        word = "stuck";
    else if (!control->ready && dmm_pod_lacks(control, &why))
        word = "starting";
    json_t *root = json_object();
    *status = why.code ? 503 : 200;
    json_object_set_new(root, "status", json_string(word));
    if (why.code)
        set_text(root, "error", why.text, sizeof(why.text));
    set(root, "uptime_s", (now_ns() - control->started_at) / 1000000000);
    set(root, "heartbeat_ms", silent_ns(control) / 1000000);
    json_object_set_new(root, "version", json_string(DMM_VERSION));
    return finish(root);
}

char *dmm_api_ready(struct dmm_control *control, unsigned *status)
{
    struct dmm_err why = {0};
    if (!dmm_api_worker_stuck(control, &why) && !dmm_pod_lacks(control, &why)) {
        *status = 200;
        return strdup("{\"status\":\"ready\"}");
    }
    *status = 503;
    return dmm_api_error(why.text);
}

/* ---- stacks ---- */

static json_t *capabilities_json(uint32_t has)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{DMM_STACK_TCP, "tcp"},
                 {DMM_STACK_UDP, "udp"},
                 {DMM_STACK_IPV4, "ipv4"},
                 {DMM_STACK_IPV6, "ipv6"}};
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (has & names[i].bit)
            json_array_append_new(array, json_string(names[i].name));
    return array;
}

static void add_ports(const struct dmm_control *control, const struct dmm_instance *instance,
                      json_t *ports, json_t *addresses)
{
    for (unsigned i = 0; i < control->n_ports; i++) {
        const struct dmm_port_config *config = &control->ports[i].config;
        if (control->ports[i].instance != instance)
            continue;
        json_array_append_new(ports, json_string(config->ifname));
        for (unsigned a = 0; a < config->n_addresses; a++) {
            char host[INET6_ADDRSTRLEN];
            char text[INET6_ADDRSTRLEN + 8];
            const struct dmm_port_address *address = &config->addresses[a];
            inet_ntop(address->addr.family, address->addr.ip, host, sizeof(host));
            snprintf(text, sizeof(text), "%s/%u", host, address->prefix_len);
            json_array_append_new(addresses, json_string(text));
        }
    }
}

char *dmm_api_stacks(struct dmm_control *control)
{
    uint32_t sockets[DMM_MAPPING_INSTANCES];
    json_t *root = json_object();
    json_t *stacks = json_array();
    dmm_snapshot_instances(&control->worker, sockets);
    for (unsigned i = 0; i < control->n_instances; i++) {
        const struct dmm_instance *instance = &control->instances[i];
        json_t *stack = json_object();
        json_t *ports = json_array();
        json_t *addresses = json_array();
        uint32_t has = instance->ops
                           ? instance->ops->capabilities
                           : DMM_STACK_TCP | DMM_STACK_UDP | DMM_STACK_IPV4 | DMM_STACK_IPV6;
        add_ports(control, instance, ports, addresses);
        json_object_set_new(stack, "name", json_string(instance->name));
        json_object_set_new(stack, "type", json_string(instance->type));
        json_object_set_new(stack, "up", json_boolean(instance->up));
        json_object_set_new(stack, "ports", ports);
        json_object_set_new(stack, "addresses", addresses);
        json_object_set_new(stack, "capabilities", capabilities_json(has));
        set(stack, "sockets", sockets[i]);
        json_array_append_new(stacks, stack);
    }
    json_object_set_new(root, "stacks", stacks);
    return finish(root);
}

/* ---- sockets, clients, mapping ---- */

static json_t *socket_json(const struct dmm_socket_row *row)
{
    char text[DMM_ADDR_STRLEN];
    json_t *socket = json_object();
    json_object_set_new(socket, "instance", json_string(row->instance));
    json_object_set_new(socket, "protocol", json_string(row->stream ? "tcp" : "udp"));
    json_object_set_new(socket, "state", json_string(row->info.state));
    set(socket, "recv_q", row->info.recv_queue);
    set(socket, "send_q", row->info.send_queue);
    json_object_set_new(socket, "local", json_string(dmm_addr_format(&row->info.local, text)));
    json_object_set_new(socket, "peer", json_string(dmm_addr_format(&row->info.peer, text)));
    set(socket, "client", row->client);
    json_object_set_new(socket, "processes", processes_json(row->processes, row->n_processes));
    set(socket, "rtt_us", row->info.rtt_us);
    set(socket, "cwnd", row->info.cwnd);
    set(socket, "mss", row->info.mss);
    set(socket, "retransmits", row->info.retransmits);
    return socket;
}

char *dmm_api_sockets(struct dmm_control *control)
{
    size_t n;
    struct dmm_socket_row *rows = dmm_snapshot_sockets(&control->worker, &n);
    json_t *root = json_object();
    json_t *sockets = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(sockets, socket_json(&rows[i]));
    json_object_set_new(root, "sockets", sockets);
    free(rows);
    return finish(root);
}

char *dmm_api_clients(struct dmm_control *control)
{
    size_t n;
    struct dmm_client_row *rows = dmm_snapshot_clients(&control->worker, &n);
    json_t *root = json_object();
    json_t *clients = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct dmm_client_row *row = &rows[i];
        json_t *client = json_object();
        set(client, "id", row->id);
        set(client, "uid", row->uid);
        set(client, "sockets", row->sockets);
        set(client, "heap_bytes", row->heap_bytes);
        set(client, "commands", row->stats.commands);
        set(client, "refused_commands", row->stats.refused);
        set(client, "doorbells", row->stats.doorbells);
        set(client, "rx_bytes", row->stats.rx_bytes);
        set(client, "tx_bytes", row->stats.tx_bytes);
        set(client, "violations", row->violation);
        json_object_set_new(client, "ended", json_boolean(row->ended));
        json_object_set_new(client, "processes", processes_json(row->processes, row->n_processes));
        json_array_append_new(clients, client);
    }
    json_object_set_new(root, "clients", clients);
    free(rows);
    return finish(root);
}

char *dmm_api_mapping(struct dmm_control *control)
{
    json_t *root = json_object();
    char *text = control->configured ? dmm_mapping_format(&control->mapping) : NULL;
    json_t *mapping = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    set(root, "generation", control->mapping_generation);
    json_object_set_new(root, "mapping", mapping ? mapping : json_null());
    return finish(root);
}

/* ---- counters ---- */

/* The object of a labelled row in an array like [{"name": ...}], made if it is absent. */
static json_t *labelled(json_t *array, const char *label)
{
    size_t i;
    json_t *row;
    json_array_foreach(array, i, row)
    {
        if (!strcmp(json_string_value(json_object_get(row, "name")), label))
            return row;
    }
    row = json_object();
    json_object_set_new(row, "name", json_string(label));
    json_array_append_new(array, row);
    return row;
}

char *dmm_api_stats(struct dmm_control *control)
{
    size_t n;
    struct dmm_counter *counters = dmm_snapshot_counters(&control->worker, &n);
    json_t *root = json_object();
    json_object_set_new(root, "worker", json_object());
    json_object_set_new(root, "clients", json_object());
    json_object_set_new(root, "ports", json_array());
    json_object_set_new(root, "stacks", json_array());
    for (size_t i = 0; i < n; i++) {
        json_t *scope = json_object_get(root, counters[i].scope);
        json_t *at = counters[i].label[0] ? labelled(scope, counters[i].label) : scope;
        if (!strcmp(counters[i].scope, "stacks")) {
            if (!json_object_get(at, "counters"))
                json_object_set_new(at, "counters", json_object());
            at = json_object_get(at, "counters");
        }
        set(at, counters[i].name, counters[i].value);
    }
    free(counters);
    return finish(root);
}

static int by_name(const void *a, const void *b)
{
    const struct dmm_counter *x = a, *y = b;
    int order = strcmp(x->scope, y->scope);
    if (!order)
        order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->label, y->label);
}

static bool metric_name(const char *name)
{
    return name[0] && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")];
}

char *dmm_api_metrics(struct dmm_control *control)
{
    static const struct {
        const char *scope, *prefix, *label;
    } scopes[] = {{"worker", "worker", ""},
                  {"clients", "clients", ""},
                  {"ports", "port", "port"},
                  {"stacks", "stack", "stack"}};
    size_t n, size = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    struct dmm_counter *counters = dmm_snapshot_counters(&control->worker, &n);
    if (n)
        qsort(counters, n, sizeof(*counters), by_name);
    fprintf(out, "# TYPE dmm_uptime_seconds gauge\ndmm_uptime_seconds %llu\n",
            (unsigned long long)((now_ns() - control->started_at) / 1000000000));
    fprintf(out,
            "# TYPE dmm_mapping_generation gauge\ndmm_mapping_generation %u\n"
            "# TYPE dmm_mappings_refused_total counter\ndmm_mappings_refused_total %llu\n",
            control->mapping_generation, (unsigned long long)control->mappings_refused);
    if (control->podwatch)
        fprintf(out, "# TYPE dmm_pod_watch_up gauge\ndmm_pod_watch_up %d\n", control->watched.up);
    for (size_t i = 0; i < n; i++) {
        size_t s = 0;
        while (strcmp(scopes[s].scope, counters[i].scope) != 0)
            s++;
        if (!metric_name(counters[i].name))
            continue;
        bool first = i == 0 || strcmp(counters[i].name, counters[i - 1].name) != 0 ||
                     strcmp(counters[i].scope, counters[i - 1].scope) != 0;
        if (first)
            fprintf(out, "# TYPE dmm_%s_%s_total counter\n", scopes[s].prefix, counters[i].name);
        fprintf(out, "dmm_%s_%s_total", scopes[s].prefix, counters[i].name);
        if (counters[i].label[0])
            fprintf(out, "{%s=\"%s\"}", scopes[s].label, counters[i].label);
        fprintf(out, " %llu\n", (unsigned long long)counters[i].value);
    }
    free(counters);
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}
