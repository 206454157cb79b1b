/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mapping.h"

#include <string.h>

_Static_assert(DMM_MAPPING_INSTANCES <= 32, "a set of instances is 32 bits");

static uint32_t all_instances(const struct dmm_mapping *mapping)
{
    return (uint32_t)((1ULL << mapping->n_instances) - 1);
}

/* The facts of a query in the form that rules are compared with. */
struct facts {
    const struct dmm_mapping_query *query;
    struct dmm_addr remote; /* unmapped; the unspecified address of a connect made loopback */
    struct dmm_addr local;  /* unmapped */
    bool loopback;          /* the address that decides is loopback */
    bool wildcard;          /* a listen on no particular address */
};

/* Linux connects to loopback where the remote address is unspecified. */
static void any_to_loopback(struct dmm_addr *addr)
{
    if (addr->family == AF_INET) {
        addr->ip[0] = 127;
        addr->ip[3] = 1;
    } else {
        addr->ip[15] = 1;
    }
}

static struct facts facts_of(const struct dmm_mapping_query *query)
{
    struct facts facts = {.query = query, .remote = query->remote, .local = query->local};
    dmm_addr_unmap(&facts.remote);
    dmm_addr_unmap(&facts.local);
    if (query->direction == DMM_DIR_LISTEN) {
        facts.wildcard = facts.local.family == 0 || dmm_addr_is_any(&facts.local);
        facts.loopback = dmm_addr_is_loopback(&facts.local);
    } else {
        if (dmm_addr_is_any(&facts.remote))
            any_to_loopback(&facts.remote);
        facts.loopback = dmm_addr_is_loopback(&facts.remote);
    }
    return facts;
}

static bool ports_match(const struct dmm_mapping_rule *rule, const struct facts *facts)
{
    if (rule->port_first == 0 && rule->port_last == UINT16_MAX)
        return true;
    const struct dmm_addr *addr =
        facts->query->direction == DMM_DIR_LISTEN ? &facts->local : &facts->remote;
    return addr->family != 0 && addr->port >= rule->port_first && addr->port <= rule->port_last;
}

static bool addresses_match(const struct dmm_mapping_rule *rule, const struct facts *facts)
{
    bool listens = facts->query->direction == DMM_DIR_LISTEN;
    if (facts->loopback && !(listens ? rule->local.family : rule->remote.family))
        return false;
    if (rule->remote.family && !dmm_prefix_contains(&rule->remote, &facts->remote))
        return false;
    if (rule->local.family && facts->wildcard && rule->local.len != 0)
        return false;
    return !rule->local.family || dmm_prefix_contains(&rule->local, &facts->local);
}

static bool rule_matches(const struct dmm_mapping_rule *rule, const struct facts *facts)
{
    const struct dmm_mapping_query *query = facts->query;
    if (rule->protocol && rule->protocol != query->protocol)
        return false;
    if (rule->direction != DMM_DIR_ANY && rule->direction != query->direction)
        return false;
    if (rule->process[0] && (!query->process || strcmp(rule->process, query->process) != 0))
        return false;
    return ports_match(rule, facts) && addresses_match(rule, facts);
}

struct dmm_mapping_match dmm_mapping_match(const struct dmm_mapping *mapping,
                                           const struct dmm_mapping_query *query)
{
    struct facts facts = facts_of(query);
    for (uint32_t i = 0; i < mapping->n_rules; i++) {
        if (rule_matches(&mapping->rules[i], &facts))
            return (struct dmm_mapping_match){mapping->rules[i].instances, (int)i};
    }
    if (facts.loopback)
        return (struct dmm_mapping_match){1U << DMM_INSTANCE_KERNEL, DMM_MATCH_LOOPBACK};
    if (facts.wildcard)
        return (struct dmm_mapping_match){all_instances(mapping), DMM_MATCH_WILDCARD};
    return (struct dmm_mapping_match){1U << mapping->default_instance, DMM_MATCH_DEFAULT};
}

static bool rule_check(const struct dmm_mapping *mapping, const struct dmm_mapping_rule *rule)
{
    bool one = (rule->instances & (rule->instances - 1)) == 0;
    if (rule->instances == 0 || (rule->instances & ~all_instances(mapping)))
        return false;
    if (rule->direction > DMM_DIR_LISTEN || (!one && rule->direction != DMM_DIR_LISTEN))
        return false;
    if (rule->protocol != 0 && rule->protocol != IPPROTO_TCP && rule->protocol != IPPROTO_UDP)
        return false;
    if (rule->port_first > rule->port_last)
        return false;
    if (rule->remote.family && !dmm_prefix_valid(&rule->remote))
        return false;
    if (rule->local.family && !dmm_prefix_valid(&rule->local))
        return false;
    return memchr(rule->process, '\0', sizeof(rule->process)) != NULL;
}

static bool instances_check(const struct dmm_mapping *mapping)
{
    for (uint32_t i = 0; i < mapping->n_instances; i++) {
        const char *name = mapping->instances[i];
        if (!memchr(name, '\0', DMM_INSTANCE_NAME) || !dmm_instance_name_valid(name))
            return false;
        if (dmm_mapping_instance(mapping, name) != (int)i)
            return false;
    }
    return strcmp(mapping->instances[DMM_INSTANCE_KERNEL], "kernel") == 0;
}

bool dmm_mapping_check(const struct dmm_mapping *mapping)
{
    if (mapping->n_instances == 0 || mapping->n_instances > DMM_MAPPING_INSTANCES)
        return false;
    if (mapping->n_rules > DMM_MAPPING_RULES || mapping->default_instance >= mapping->n_instances)
        return false;
    if (!instances_check(mapping))
        return false;
    for (uint32_t i = 0; i < mapping->n_rules; i++) {
        if (!rule_check(mapping, &mapping->rules[i]))
            return false;
    }
    return true;
}

int dmm_mapping_instance(const struct dmm_mapping *mapping, const char *name)
{
    for (uint32_t i = 0; i < mapping->n_instances; i++) {
        if (strncmp(mapping->instances[i], name, DMM_INSTANCE_NAME) == 0)
            return (int)i;
    }
    return -1;
}

bool dmm_mapping_by_process(const struct dmm_mapping *mapping)
{
    for (uint32_t i = 0; i < mapping->n_rules; i++) {
        if (mapping->rules[i].process[0])
            return true;
    }
    return false;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool dmm_instance_name_valid(const char *name)
{
    size_t len = strnlen(name, DMM_INSTANCE_NAME);
    if (len == 0 || len == DMM_INSTANCE_NAME || !name_char(name[0]) || !name_char(name[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!name_char(name[i]) && name[i] != '-')
            return false;
    }
    return true;
}
