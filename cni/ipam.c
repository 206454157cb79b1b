/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/ipam.h"

#include "cni/hostlocal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_SETTINGS = 6 };

int dmm_ipam_find(char *path, size_t size, const char *type, const char *cni_path,
                  struct dmm_cni_error *error)
{
    if (!dmm_exec_find(path, size, type, cni_path))
        return 0;
    return dmm_cni_fail(error, DMM_CNI_E_IPAM, "ipam.type: no program \"%s\" in CNI_PATH \"%s\"",
                        type, cni_path);
}

static int set(char **into, const char *name, const char *value)
{
    return asprintf(into, "%s=%s", name, value ? value : "") < 0 ? -1 : 0;
}

static int start(struct dmm_exec *child, const struct dmm_ipam_call *call, const char *path,
                 struct dmm_err *err)
{
    char *settings[N_SETTINGS + 1] = {NULL};
    char **env = NULL;
    int rc = -ENOMEM;
    if (set(&settings[0], "CNI_COMMAND", call->command) ||
        set(&settings[1], "CNI_CONTAINERID", call->container_id) ||
        set(&settings[2], "CNI_NETNS", call->netns) ||
        set(&settings[3], "CNI_IFNAME", call->ifname) ||
        set(&settings[4], "CNI_ARGS", call->args) ||
        set(&settings[5], "CNI_PATH", call->cni_path) ||
        !(env = dmm_exec_environ((const char *const *)settings))) {
        dmm_err_set(err, ENOMEM, "%s: out of memory", path);
        goto out;
    }
    char *argv[] = {(char *)path, NULL};
    rc = dmm_exec_start(child, path, argv, env, call->text, call->len, call->hold, err);
out:
    free(env);
    for (int i = 0; i < N_SETTINGS; i++)
        free(settings[i]);
    return rc;
}

/* ---- host-local, in this process ---- */

/* True if the call is one that needs no program. *conf is what *ipam borrows from: json_decref().
 */
static bool is_local(const struct dmm_ipam_call *call, struct dmm_hostlocal *ipam, json_t **conf)
{
    *conf = NULL;
    if (strcmp(call->type, "host-local") != 0 ||
        (strcmp(call->command, "ADD") != 0 && strcmp(call->command, "DEL") != 0))
        return false;
    *conf = json_loadb(call->text, call->len, 0, NULL);
    if (*conf && dmm_hostlocal_can(ipam, *conf, call->args))
        return true;
    json_decref(*conf);
    return false;
}

static int run_local(const struct dmm_hostlocal *ipam, const struct dmm_ipam_call *call,
                     struct dmm_result *result, struct dmm_cni_error *error)
{
    json_t *said = NULL;
    struct dmm_err err = {0};
    int rc = strcmp(call->command, "ADD") != 0
                 ? dmm_hostlocal_del(ipam, call->container_id, call->ifname, &err)
                 : dmm_hostlocal_add(ipam, call->container_id, call->ifname, &said, &err);
    if (rc)
        dmm_cni_fail(error, DMM_CNI_E_IPAM, "ipam host-local %s: %s", call->command, err.text);
    else if (said && result && dmm_result_parse(result, said, &err))
        rc = dmm_cni_fail(error, DMM_CNI_E_CONFIG, "ipam: %s", err.text);
    json_decref(said);
    return rc ? -1 : 0;
}

/* ---- any plugin ---- */

int dmm_ipam_start(struct dmm_exec *child, const struct dmm_ipam_call *call,
                   struct dmm_cni_error *error)
{
    char path[PATH_MAX];
    struct dmm_err err = {0};
    json_t *conf;
    struct dmm_hostlocal ipam;
    child->pid = 0;
    if (is_local(call, &ipam, &conf)) {
        json_decref(conf);
        return 0; /* done by finish */
    }
    if (dmm_ipam_find(path, sizeof(path), call->type, call->cni_path, error))
        return -1;
    if (start(child, call, path, &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_IPAM, &err);
    return 0;
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

/* Passes the plugin's error on; one that is no error object is told as it came. */
static int plugin_failed(const struct dmm_ipam_call *call, int status, const char *output,
                         const json_t *json, struct dmm_cni_error *error)
{
    int code = (int)json_integer_value(json_object_get(json, "code"));
    if (!code)
        return dmm_cni_fail(error, DMM_CNI_E_IPAM, "ipam %s %s: ended with status %d: %.200s",
                            call->type, call->command, status, output);
    const char *details = text_of(json, "details");
    return dmm_cni_fail(error, code, "ipam %s %s: %s%s%s", call->type, call->command,
                        text_of(json, "msg"), *details ? "; " : "", details);
}

static int read_result(const struct dmm_ipam_call *call, const json_t *json,
                       struct dmm_result *result, struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    if (!json)
        return dmm_cni_fail(error, DMM_CNI_E_DECODE, "ipam %s %s: its result is not JSON",
                            call->type, call->command);
    if (dmm_result_parse(result, json, &err))
        return dmm_cni_fail(error, DMM_CNI_E_DECODE, "ipam %s %s: its result: %s", call->type,
                            call->command, err.text);
    return 0;
}

/* The same configuration in 1.0.0, if it was said in a later version; else NULL. */
static char *older_text(const struct dmm_ipam_call *call)
{
    enum dmm_cni_version version;
    char *text = NULL;
    json_t *conf = json_loadb(call->text, call->len, 0, NULL);
    const char *said = text_of(conf, "cniVersion");
    if (dmm_cni_version_parse(said, &version) && version > DMM_CNI_1_0_0) {
        json_object_set_new(conf, "cniVersion", json_string(dmm_cni_version_text(DMM_CNI_1_0_0)));
        text = json_dumps(conf, JSON_COMPACT);
    }
    json_decref(conf);
    return text;
}

/* Waits and reads. *incompatible, where given: the plugin does not speak the version, and nothing
 * is in `error`. */
static int collect(struct dmm_exec *child, const struct dmm_ipam_call *call,
                   struct dmm_result *result, bool *incompatible, struct dmm_cni_error *error)
{
    int status = 0;
    char *output = NULL;
    size_t len = 0;
    struct dmm_err err = {0};
    if (dmm_exec_wait(child, &status, &output, &len, &err))
        return dmm_cni_fail(error, DMM_CNI_E_IPAM, "ipam %s %s: %s", call->type, call->command,
                            err.text);
    json_t *json = json_loadb(output, len, 0, NULL);
    int rc = 0;
    if (!status)
        rc = result ? read_result(call, json, result, error) : 0;
    else if (incompatible && json_integer_value(json_object_get(json, "code")) == DMM_CNI_E_VERSION)
        *incompatible = true;
    else
        rc = plugin_failed(call, status, output, json, error);
    json_decref(json);
    free(output);
    return rc;
}

int dmm_ipam_finish(struct dmm_exec *child, const struct dmm_ipam_call *call,
                    struct dmm_result *result, struct dmm_cni_error *error)
{
    bool incompatible = false;
    json_t *conf;
    struct dmm_hostlocal ipam;
    if (!child->pid && is_local(call, &ipam, &conf)) {
        int done = run_local(&ipam, call, result, error);
        json_decref(conf);
        return done;
    }
    char *text = older_text(call);
    int rc = collect(child, call, result, text ? &incompatible : NULL, error);
    if (incompatible) {
        struct dmm_exec again;
        struct dmm_ipam_call older = *call;
        older.text = text;
        older.len = strlen(text);
        rc = dmm_ipam_start(&again, &older, error);
        if (!rc)
            rc = collect(&again, &older, result, NULL, error);
    }
    free(text);
    return rc;
}

int dmm_ipam_run(const struct dmm_ipam_call *call, struct dmm_result *result,
                 struct dmm_cni_error *error)
{
    struct dmm_exec child;
    if (dmm_ipam_start(&child, call, error))
        return -1;
    return dmm_ipam_finish(&child, call, result, error);
}

bool dmm_ipam_speaks(const struct dmm_ipam_call *call, enum dmm_cni_version version)
{
    int status = 1;
    char *output = NULL;
    size_t len = 0;
    struct dmm_exec child;
    struct dmm_cni_error error = {0};
    struct dmm_ipam_call ask = *call;
    ask.command = "VERSION";
    if (dmm_ipam_start(&child, &ask, &error) ||
        dmm_exec_wait(&child, &status, &output, &len, &error.what))
        return false;
    bool found = false;
    size_t i;
    const json_t *said;
    json_t *json = json_loadb(output, len, 0, NULL);
    json_array_foreach(json_object_get(json, "supportedVersions"), i, said)
    {
        const char *text = json_string_value(said);
        found |= text && !strcmp(text, dmm_cni_version_text(version));
    }
    json_decref(json);
    free(output);
    return found && !status;
}
