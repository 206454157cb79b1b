/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/env.h"

#include "cni/annotations.h"

#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEED_ID = 1, NEED_NETNS = 2, NEED_IFNAME = 4, NEED_PATH = 8 };

static const struct {
    const char *name;
    enum dmm_cni_command command;
    unsigned needs;
} commands[] = {
    {"ADD", DMM_CNI_ADD, NEED_ID | NEED_NETNS | NEED_IFNAME | NEED_PATH},
    {"DEL", DMM_CNI_DEL, NEED_ID | NEED_IFNAME | NEED_PATH},
    {"CHECK", DMM_CNI_CHECK, NEED_ID | NEED_NETNS | NEED_IFNAME | NEED_PATH},
    {"GC", DMM_CNI_GC, NEED_PATH},
    {"STATUS", DMM_CNI_STATUS, NEED_PATH},
    {"VERSION", DMM_CNI_VERSION_CMD, 0},
};

const char *dmm_cni_command_text(enum dmm_cni_command command)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (commands[i].command == command)
            return commands[i].name;
    return "";
}

bool dmm_cni_id_valid(const char *id)
{
    if (!isalnum((unsigned char)id[0]))
        return false;
    for (const char *p = id; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
            return false;
    return true;
}

bool dmm_cni_ifname_valid(const char *name)
{
    size_t len = strlen(name);
    if (!len || len >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
        return false;
    for (const char *p = name; *p; p++)
        if (*p == '/' || *p == ':' || isspace((unsigned char)*p))
            return false;
    return true;
}

void dmm_cni_args_free(struct dmm_cni_args *args)
{
    free(args->text);
    memset(args, 0, sizeof(*args));
}

const char *dmm_cni_args_get(const struct dmm_cni_args *args, const char *key)
{
    for (unsigned i = 0; i < args->n; i++)
        if (!strcmp(args->pair[i].key, key))
            return args->pair[i].value;
    return NULL;
}

static int args_put(struct dmm_cni_args *args, const char *key, const char *value)
{
    for (unsigned i = 0; i < args->n; i++) {
        if (!strcmp(args->pair[i].key, key)) {
            args->pair[i].value = value;
            return 0;
        }
    }
    if (args->n == DMM_CNI_ARGS_MAX)
        return -1;
    args->pair[args->n].key = key;
    args->pair[args->n++].value = value;
    return 0;
}

/* What runtimes put into CNI_ARGS (containerd, CRI-O, podman, Multus) and what is ours. */
static bool args_known(const char *key)
{
    static const char *const known[] = {"IgnoreUnknown",
                                        "K8S_POD_NAMESPACE",
                                        "K8S_POD_NAME",
                                        "K8S_POD_UID",
                                        "K8S_POD_INFRA_CONTAINER_ID",
                                        "IP",
                                        "MAC"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strcmp(key, known[i]))
            return true;
    return dmm_annotation_known(key);
}

static int args_check_known(const struct dmm_cni_args *args, struct dmm_cni_error *error)
{
    const char *ignore = dmm_cni_args_get(args, "IgnoreUnknown");
    if (ignore && (!strcasecmp(ignore, "true") || !strcmp(ignore, "1")))
        return 0;
    for (unsigned i = 0; i < args->n; i++)
        if (!args_known(args->pair[i].key))
            return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT,
                                "CNI_ARGS: unknown key %s (IgnoreUnknown=true would pass it over)",
                                args->pair[i].key);
    return 0;
}

int dmm_cni_args_parse(struct dmm_cni_args *args, const char *text, struct dmm_cni_error *error)
{
    memset(args, 0, sizeof(*args));
    args->text = strdup(text);
    if (!args->text)
        return dmm_cni_fail(error, DMM_CNI_E_IO, "CNI_ARGS: out of memory");
    char *save = NULL;
    for (char *pair = strtok_r(args->text, ";", &save); pair; pair = strtok_r(NULL, ";", &save)) {
        char *equals = strchr(pair, '=');
        if (!equals || equals == pair) {
            dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT, "CNI_ARGS: \"%s\" is not KEY=VALUE", pair);
            goto fail;
        }
        *equals = '\0';
        if (args_put(args, pair, equals + 1)) {
            dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT, "CNI_ARGS: more than %d keys",
                         DMM_CNI_ARGS_MAX);
            goto fail;
        }
    }
    if (!args_check_known(args, error))
        return 0;
fail:
    dmm_cni_args_free(args);
    return -1;
}

static const char *get_or_empty(dmm_cni_getenv *get, const char *name)
{
    const char *value = get(name);
    return value ? value : "";
}

static int read_command(struct dmm_cni_env *env, unsigned *needs, const char *text,
                        struct dmm_cni_error *error)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!strcmp(text, commands[i].name)) {
            env->command = commands[i].command;
            *needs = commands[i].needs;
            return 0;
        }
    }
    return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT, "CNI_COMMAND: \"%s\" is not a command", text);
}

/* All that are missing in one error, so that one attempt shows an operator everything. */
static int check_present(const struct dmm_cni_env *env, unsigned needs, struct dmm_cni_error *error)
{
    const struct {
        unsigned bit;
        const char *name;
        const char *value;
    } vars[] = {{NEED_ID, "CNI_CONTAINERID", env->container_id},
                {NEED_NETNS, "CNI_NETNS", env->netns},
                {NEED_IFNAME, "CNI_IFNAME", env->ifname},
                {NEED_PATH, "CNI_PATH", env->path}};
    char missing[128] = "";
    for (size_t i = 0; i < sizeof(vars) / sizeof(vars[0]); i++) {
        if ((needs & vars[i].bit) && !*vars[i].value) {
            size_t used = strlen(missing);
            snprintf(missing + used, sizeof(missing) - used, "%s%s", used ? ", " : "",
                     vars[i].name);
        }
    }
    if (*missing)
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT, "missing: %s", missing);
    return 0;
}

static int check_form(const struct dmm_cni_env *env, unsigned needs, struct dmm_cni_error *error)
{
    if ((needs & NEED_ID) && !dmm_cni_id_valid(env->container_id))
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT,
                            "CNI_CONTAINERID: \"%s\" is not a container id", env->container_id);
    if ((needs & NEED_IFNAME) && !dmm_cni_ifname_valid(env->ifname))
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT,
                            "CNI_IFNAME: \"%s\" is not an interface name", env->ifname);
    return 0;
}

int dmm_cni_env_read(struct dmm_cni_env *env, dmm_cni_getenv *get, struct dmm_cni_error *error)
{
    memset(env, 0, sizeof(*env));
    const char *command = get_or_empty(get, "CNI_COMMAND");
    unsigned needs = 0;
    if (!*command)
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT, "missing: CNI_COMMAND");
    if (read_command(env, &needs, command, error))
        return -1;
    env->container_id = get_or_empty(get, "CNI_CONTAINERID");
    env->netns = get_or_empty(get, "CNI_NETNS");
    env->ifname = get_or_empty(get, "CNI_IFNAME");
    env->key = env->ifname;
    env->path = get_or_empty(get, "CNI_PATH");
    if (check_present(env, needs, error) || check_form(env, needs, error))
        return -1;
    return dmm_cni_args_parse(&env->args, get_or_empty(get, "CNI_ARGS"), error);
}

void dmm_cni_env_free(struct dmm_cni_env *env)
{
    dmm_cni_args_free(&env->args);
}
