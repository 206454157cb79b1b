/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/stack_table.h"

#include "sidecar/stacks/built_in.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Every built-in stack: one line each. */
static const struct dmm_stack_ops *const built_in[] = {
    &dmm_stack_lwip_ops,
    &dmm_stack_tcpip_ops,
};

static int check(const struct dmm_stack_ops *ops, const char *name, struct dmm_err *err)
{
    const struct {
        const char *name;
        bool there;
    } required[] = {
        {"create", ops->create},
        {"destroy", ops->destroy},
        {"poll", ops->poll},
        {"next_deadline", ops->next_deadline},
        {"open", ops->open},
        {"bind", ops->bind},
        {"connect", ops->connect},
        {"send_ready", ops->send_ready},
        {"close", ops->close},
        {"accept_ready", ops->accept_ready || !ops->listen},
        {"input", ops->input || !(ops->capabilities & DMM_STACK_PORTS)},
        {"port_writable", ops->port_writable || !(ops->capabilities & DMM_STACK_PORTS)},
        {"port_changed", ops->port_changed || !(ops->capabilities & DMM_STACK_PORTS)},
    };
    if (ops->abi != DMM_STACK_ABI)
        return dmm_err_set(err, EPROTO, "stack %s: it has version %u of the stack ABI, not %u",
                           name, ops->abi, DMM_STACK_ABI);
    if (ops->size < sizeof(*ops))
        return dmm_err_set(err, EPROTO, "stack %s: its ops table has %u bytes, not %zu", name,
                           ops->size, sizeof(*ops));
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
        if (!required[i].there)
            return dmm_err_set(err, EPROTO, "stack %s: it lacks the op %s", name, required[i].name);
    return 0;
}

static const struct dmm_stack_ops *load(const struct dmm_stack_instance_config *config,
                                        struct dmm_err *err)
{
    const char *path = json_string_value(json_object_get(config->options, "path"));
    if (!path || path[0] != '/') {
        dmm_err_set(err, EINVAL, "stack %s: options.path must be an absolute path of a plug-in",
                    config->name);
        return NULL;
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        dmm_err_set(err, ENOENT, "stack %s: options.path: %s", config->name, dlerror());
        return NULL;
    }
    const struct dmm_stack_ops *ops = dlsym(object, DMM_STACK_OPS_SYMBOL);
    if (!ops)
        dmm_err_set(err, ENOENT, "stack %s: options.path: %s has no symbol %s", config->name, path,
                    DMM_STACK_OPS_SYMBOL);
    else
        json_object_del(config->options, "path");
    return ops;
}

const struct dmm_stack_ops *dmm_stack_find(const struct dmm_stack_instance_config *config,
                                           struct dmm_err *err)
{
    const struct dmm_stack_ops *ops = NULL;
    if (!strcmp(config->type, "plugin")) {
        ops = load(config, err);
        return ops && !check(ops, config->name, err) ? ops : NULL;
    }
    char known[128] = "plugin";
    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        if (!strcmp(built_in[i]->type, config->type))
            ops = built_in[i];
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, ", %s", built_in[i]->type);
    }
    if (!ops) {
        dmm_err_set(err, EINVAL, "stack %s: type \"%s\" is unknown (known: %s)", config->name,
                    config->type, known);
        return NULL;
    }
    return check(ops, config->name, err) ? NULL : ops;
}
