/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/policy.h"

#include "preload/report.h"
#include "sidecar/stack.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define COPY_TRIES 8

/* Under client->policy_lock: copies the policy in force, if it has changed. */
static void renew(struct client *client)
{
    struct dmm_region *region = client->region;
    for (int i = 0; i < COPY_TRIES; i++) {
        /* Acquire: the policy of that generation is written. */
        uint32_t generation =
            atomic_load_explicit(&region->policy_generation, memory_order_acquire);
        if (client->have_policy && generation == client->policy_generation)
            return;
        struct dmm_policy copy;
        memcpy(&copy, dmm_region_policy(region, generation & 1), sizeof(copy));
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&region->policy_generation, memory_order_relaxed) != generation ||
            !dmm_mapping_check(&copy.mapping))
            continue;
        client->policy = copy;
        client->policy_generation = generation;
        client->policy_by_process = dmm_mapping_by_process(&copy.mapping);
        client->have_policy = true;
        return;
    }
}

/* The client whose policy counts, with its lock held: *client if that is alive, else the last one.
 * NULL: nothing is known. */
static struct client *take_policy(struct client **client)
{
    *client = client_attach();
    struct client *source = *client ? *client : client_latest();
    if (!source)
        return NULL;
    lock_take(&source->policy_lock, LOCK_PRIVATE);
    if (*client)
        renew(source);
    if (source->have_policy)
        return source;
    lock_drop(&source->policy_lock);
    return NULL;
}

/* A stack is wanted and there is none: the kernel's number, or the error. */
static int without_sidecar(void)
{
    if (client_fallback_to_kernel()) {
        report(REPORT_FALLBACK, "no sidecar at %s: its sockets go to the kernel instead",
               client_socket_path());
        return DMM_INSTANCE_KERNEL;
    }
    report(REPORT_ABSENT, "no sidecar at %s: its sockets fail with ENETDOWN", client_socket_path());
    return -ENETDOWN;
}

static uint32_t protocol_capability(uint8_t protocol)
{
    return protocol == IPPROTO_UDP ? DMM_STACK_UDP : DMM_STACK_TCP;
}

enum policy_first policy_first(uint8_t protocol, struct client **client)
{
    enum policy_first first = POLICY_NATIVE;
    struct client *source = take_policy(client);
    if (!source)
        return POLICY_KERNEL_FIRST;
    const struct dmm_mapping *mapping = &source->policy.mapping;
    for (uint32_t i = 1; i < mapping->n_instances; i++) {
        if (source->policy.instances[i].capabilities & protocol_capability(protocol))
            first = POLICY_KERNEL_FIRST;
    }
    if (mapping->default_instance != DMM_INSTANCE_KERNEL)
        first = *client ? POLICY_STACK_FIRST : POLICY_KERNEL_FIRST;
    lock_drop(&source->policy_lock);
    return first;
}

uint32_t policy_default(struct client *client)
{
    lock_take(&client->policy_lock, LOCK_PRIVATE);
    uint32_t instance = client->policy.mapping.default_instance;
    lock_drop(&client->policy_lock);
    return instance;
}

int policy_find(struct client *client, const char *name)
{
    lock_take(&client->policy_lock, LOCK_PRIVATE);
    renew(client);
    int instance = client->have_policy ? dmm_mapping_instance(&client->policy.mapping, name) : -1;
    lock_drop(&client->policy_lock);
    return instance;
}

struct dmm_instance_info policy_instance(struct client *client, uint32_t instance)
{
    struct dmm_instance_info info = {.n_addresses = 0};
    lock_take(&client->policy_lock, LOCK_PRIVATE);
    if (client->have_policy && instance < client->policy.mapping.n_instances)
        info = client->policy.instances[instance];
    lock_drop(&client->policy_lock);
    if (info.n_addresses > DMM_INSTANCE_ADDRESSES)
        info.n_addresses = DMM_INSTANCE_ADDRESSES;
    return info;
}

/* This process's name, where a rule of the policy asks for it; else NULL. */
static const char *process_name(const struct client *source, char buf[DMM_PROCESS_NAME])
{
    return source->policy_by_process ? client_comm(buf) : NULL;
}

uint32_t policy_instances(struct client *client)
{
    lock_take(&client->policy_lock, LOCK_PRIVATE);
    if (!client_is_dead(client))
        renew(client);
    uint32_t n = client->have_policy ? client->policy.mapping.n_instances : 0;
    lock_drop(&client->policy_lock);
    return n;
}

struct dmm_interfaces policy_interfaces(struct client *client, uint32_t instance)
{
    struct dmm_interfaces all = {.n_ports = 0};
    lock_take(&client->policy_lock, LOCK_PRIVATE);
    if (client->have_policy && instance < client->policy.mapping.n_instances)
        all = client->policy.interfaces[instance];
    lock_drop(&client->policy_lock);
    if (all.n_ports > DMM_INSTANCE_PORTS)
        all.n_ports = DMM_INSTANCE_PORTS;
    for (uint32_t i = 0; i < all.n_ports; i++)
        all.ports[i].name[sizeof(all.ports[i].name) - 1] = '\0';
    return all;
}

int policy_connect(uint8_t protocol, const struct dmm_addr *remote, const struct dmm_addr *local,
                   struct client **client)
{
    char comm[DMM_PROCESS_NAME];
    struct client *source = take_policy(client);
    if (!source)
        return dmm_addr_is_loopback(remote) ? DMM_INSTANCE_KERNEL : without_sidecar();
    const struct dmm_mapping_query query = {.protocol = protocol,
                                            .direction = DMM_DIR_CONNECT,
                                            .remote = *remote,
                                            .local = *local,
                                            .process = process_name(source, comm)};
    struct dmm_mapping_match match = dmm_mapping_match(&source->policy.mapping, &query);
    lock_drop(&source->policy_lock);
    int instance = __builtin_ctz(match.instances | 1u << 31);
    if (instance != DMM_INSTANCE_KERNEL && !*client)
        return without_sidecar();
    return instance;
}

static bool owns(const struct dmm_instance_info *info, const struct dmm_addr *local)
{
    for (uint32_t i = 0; i < info->n_addresses && i < DMM_INSTANCE_ADDRESSES; i++) {
        if (info->addresses[i].family == local->family &&
            memcmp(info->addresses[i].ip, local->ip, sizeof(local->ip)) == 0)
            return true;
    }
    return false;
}

/* A specific address without a rule: its owner's, else `default`'s (the kernel's own addresses are
 * not known here: see bind_undecided). */
static uint32_t owner_of(const struct dmm_policy *policy, const struct dmm_addr *local)
{
    struct dmm_addr plain = *local;
    dmm_addr_unmap(&plain);
    for (uint32_t i = 1; i < policy->mapping.n_instances; i++) {
        if (owns(&policy->instances[i], &plain))
            return i;
    }
    return policy->mapping.default_instance;
}

static uint32_t able(const struct dmm_policy *policy, uint8_t protocol)
{
    uint32_t set = 1u << DMM_INSTANCE_KERNEL;
    for (uint32_t i = 1; i < policy->mapping.n_instances; i++) {
        if (policy->instances[i].up &&
            (policy->instances[i].capabilities & protocol_capability(protocol)))
            set |= 1u << i;
    }
    return set;
}

int policy_listen(uint8_t protocol, const struct dmm_addr *local, struct client **client,
                  uint32_t *instances, bool *by_default)
{
    char comm[DMM_PROCESS_NAME];
    const uint32_t kernel = 1u << DMM_INSTANCE_KERNEL;
    struct client *source = take_policy(client);
    *instances = kernel;
    *by_default = true;
    if (!source)
        return dmm_addr_is_loopback(local) ? 0 : without_sidecar();
    const struct dmm_mapping_query query = {.protocol = protocol,
                                            .direction = DMM_DIR_LISTEN,
                                            .local = *local,
                                            .process = process_name(source, comm)};
    struct dmm_mapping_match match = dmm_mapping_match(&source->policy.mapping, &query);
    *by_default = match.rule < 0;
    *instances = match.instances;
    if (match.rule == DMM_MATCH_WILDCARD)
        *instances &= able(&source->policy, protocol);
    else if (match.rule == DMM_MATCH_DEFAULT)
        *instances = 1u << owner_of(&source->policy, local);
    lock_drop(&source->policy_lock);
    if (*instances == kernel || *client)
        return 0;
    int r = without_sidecar();
    *instances = kernel;
    return r < 0 ? r : 0;
}
