/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/injector/config.h"

#include "common/read_json.h"

#include <errno.h>
#include <string.h>

static int read_stacks(struct injector_config *config, const struct dmm_json_at *at,
                       struct dmm_err *err)
{
    const json_t *list = NULL;
    int rc =
        dmm_json_array(config->json, at, "stacks", true, DMM_MAPPING_INSTANCES - 1, &list, err);
    if (rc)
        return rc;
    size_t i;
    const json_t *value;
    json_array_foreach(list, i, value)
    {
        const char *name = json_string_value(value);
        if (!name || !dmm_instance_name_valid(name) || !strcmp(name, "kernel"))
            return dmm_json_fail(err, at, "stacks", "[%zu] is not the name of a stack instance", i);
        config->stacks[config->n_stacks++] = name;
    }
    return config->n_stacks ? 0 : dmm_json_fail(err, at, "stacks", "must name one at least");
}

static int read_images(struct injector_config *config, const char *source, struct dmm_err *err)
{
    static const char *const known[] = {"stackd", "shim", NULL};
    const struct dmm_json_at at = {source, "images"};
    const json_t *images = json_object_get(config->json, "images");
    int rc = dmm_json_keys(images, &at, known, err);
    if (!rc)
        rc = dmm_json_string(images, &at, "stackd", true, &config->stackd_image, err);
    return rc ? rc : dmm_json_string(images, &at, "shim", true, &config->shim_image, err);
}

static int read_link(struct injector_config *config, const struct dmm_json_at *at,
                     struct dmm_err *err)
{
    const char *name = "veth";
    int rc = dmm_json_string(config->json, at, "link", false, &name, err);
    if (rc)
        return rc;
    config->link = injector_link_find(name);
    return config->link ? 0
                        : dmm_json_fail(err, at, "link", "is none of: %s", injector_link_names());
}

static int read_folder(const struct injector_config *config, const struct dmm_json_at *at,
                       const char *key, const char **path, struct dmm_err *err)
{
    int rc = dmm_json_string(config->json, at, key, false, path, err);
    return rc || !*path || **path == '/' ? rc
                                         : dmm_json_fail(err, at, key, "must be an absolute path");
}

static int read_kind(struct injector_config *config, const struct dmm_json_at *at,
                     struct dmm_err *err)
{
    const json_t *native = json_object_get(config->json, "nativeSidecar");
    config->native = !native || json_is_true(native);
    return !native || json_is_boolean(native)
               ? 0
               : dmm_json_fail(err, at, "nativeSidecar", "must be true or false");
}

/* Parts that go into the pod as they are: the API server checks what is in them. */
static int read_parts(struct injector_config *config, const struct dmm_json_at *at,
                      struct dmm_err *err)
{
    size_t i;
    const json_t *value;
    const json_t *args = NULL;
    int rc = dmm_json_array(config->json, at, "stackdArgs", false, 64, &args, err);
    if (rc)
        return rc;
    config->stackd_args = json_object_get(config->json, "stackdArgs");
    json_array_foreach(
        config->stackd_args, i,
        value) if (!json_is_string(value)) return dmm_json_fail(err, at, "stackdArgs",
                                                                "[%zu] is not a string", i);
    config->resources = json_object_get(config->json, "resources");
    if (config->resources && !json_is_object(config->resources))
        return dmm_json_fail(err, at, "resources", "must be an object");
    config->seccomp = json_object_get(config->json, "seccompProfile");
    if (config->seccomp && !json_is_string(json_object_get(config->seccomp, "type")))
        return dmm_json_fail(err, at, "seccompProfile", "must be an object with type");
    return dmm_json_uint(config->json, at, "hugepagesMi", false, 0, 1 << 20, &config->hugepages_mi,
                         err);
}

static int read_all(struct injector_config *config, const char *source, struct dmm_err *err)
{
    static const char *const known[] = {
        "version",         "stacks",        "link",       "images",      "podsDir",
        "imagePullPolicy", "resources",     "stackdArgs", "hugepagesMi", "seccompProfile",
        "socketsDir",      "nativeSidecar", NULL};
    const struct dmm_json_at at = {source, ""};
    config->pods_dir = "/run/dmm/pods";
    int rc = dmm_json_keys(config->json, &at, known, err);
    if (!rc)
        rc = dmm_json_version(config->json, &at, 1, err);
    if (!rc)
        rc = read_stacks(config, &at, err);
    if (!rc)
        rc = read_link(config, &at, err);
    if (!rc)
        rc = read_images(config, source, err);
    if (!rc)
        rc =
            dmm_json_string(config->json, &at, "imagePullPolicy", false, &config->pull_policy, err);
    if (!rc)
        rc = read_kind(config, &at, err);
    if (!rc)
        rc = read_folder(config, &at, "podsDir", &config->pods_dir, err);
    if (!rc)
        rc = read_folder(config, &at, "socketsDir", &config->sockets_dir, err);
    if (!rc && config->sockets_dir && !config->link->pair)
        rc = dmm_json_fail(err, &at, "socketsDir", "link %s joins no pods by a socket",
                           config->link->name);
    return rc ? rc : read_parts(config, &at, err);
}

int injector_config_parse(struct injector_config *config, const char *text, size_t len,
                          const char *source, struct dmm_err *err)
{
    memset(config, 0, sizeof(*config));
    config->json = dmm_json_load(text, len, INJECTOR_CONFIG_MAX, source, err);
    if (!config->json)
        return -EINVAL;
    int rc = read_all(config, source, err);
    if (rc)
        injector_config_free(config);
    return rc;
}

void injector_config_free(struct injector_config *config)
{
    json_decref(config->json);
    memset(config, 0, sizeof(*config));
}
