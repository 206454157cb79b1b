/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmm: the CNI plugin. Parameters in the environment, configuration on stdin, result or error as
 * JSON on stdout, log on stderr. Exit status 0, or 1 with an error object.
 */
#include "cni/attach.h"
#include "cni/logging.h"
#include "cni/tool.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *get(const char *name)
{
    return getenv(name);
}

static int read_stdin(char **text, size_t *len, struct dmm_cni_error *error)
{
    size_t size = 16384;
    *text = NULL;
    *len = 0;
    for (;;) {
        char *grown = realloc(*text, size + 1);
        if (!grown)
            return dmm_cni_fail(error, DMM_CNI_E_IO, "stdin: out of memory");
        *text = grown;
        ssize_t n = read(STDIN_FILENO, *text + *len, size - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dmm_cni_fail(error, DMM_CNI_E_IO, "stdin: %s", strerror(errno));
        *len += (size_t)n;
        (*text)[*len] = '\0';
        if (n == 0)
            return 0;
        if (*len == size && (size *= 2) > 2 * DMM_NETCONF_MAX)
            return dmm_cni_fail(error, DMM_CNI_E_DECODE, "stdin: more than %zu bytes",
                                DMM_NETCONF_MAX);
    }
}

/* VERSION answers in the version that it was asked in, whichever that is. */
static json_t *version_answer(const char *text, size_t len)
{
    json_t *conf = json_loadb(text, len, 0, NULL);
    const char *said = json_string_value(json_object_get(conf, "cniVersion"));
    json_t *answer = dmm_cni_version_json(said ? said : dmm_cni_version_text(DMM_CNI_LATEST));
    json_decref(conf);
    return answer;
}

static int run(const struct dmm_cni_env *env, struct dmm_netconf *conf, json_t **answer,
               struct dmm_cni_error *error)
{
    switch (env->command) {
    case DMM_CNI_ADD:
        return dmm_cni_add(env, conf, answer, error);
    case DMM_CNI_DEL:
        return dmm_cni_del(env, conf, error);
    case DMM_CNI_CHECK:
        return dmm_cni_check(env, conf, error);
    case DMM_CNI_GC:
        return dmm_cni_gc(env, conf, error);
    case DMM_CNI_STATUS:
        return dmm_cni_status(env, conf, error);
    case DMM_CNI_VERSION_CMD:
        break;
    }
    return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT, "CNI_COMMAND: not handled");
}

static int print(json_t *answer)
{
    char *text = answer ? json_dumps(answer, JSON_INDENT(4)) : NULL;
    ssize_t len = text ? (ssize_t)strlen(text) : -1;
    ssize_t done = 0;
    while (text && done < len) {
        ssize_t n = write(STDOUT_FILENO, text + done, (size_t)(len - done));
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? n : 0;
    }
    free(text);
    json_decref(answer);
    return done == len ? 0 : -1;
}

/* A result that nobody got is an attachment that nobody knows of. */
static int deliver(const struct dmm_cni_env *env, struct dmm_netconf *conf, json_t *answer,
                   struct dmm_cni_error *error)
{
    struct dmm_cni_error failed = {0};
    if (!print(answer))
        return 0;
    dmm_cni_fail(error, DMM_CNI_E_IO, "stdout: %s", strerror(errno));
    if (env->command == DMM_CNI_ADD && dmm_cni_del(env, conf, &failed))
        dmm_log(DMM_LOG_ERROR, "rolling back ADD: %s", failed.what.text);
    return -1;
}

static int handle(struct dmm_cni_env *env, enum dmm_cni_version *version, struct dmm_cni_log *log,
                  struct dmm_cni_error *error)
{
    char *text = NULL;
    size_t len = 0;
    json_t *answer = NULL;
    struct dmm_netconf conf = {0};
    int rc = read_stdin(&text, &len, error);
    if (rc)
        goto out;
    if (env->command == DMM_CNI_VERSION_CMD) {
        answer = version_answer(text, len);
    } else {
        rc = dmm_netconf_decode(&conf, text, len, error);
        *version = conf.version;
        if (conf.ifname)
            env->ifname = conf.ifname;
        if (!rc) {
            dmm_cni_log_configure(log, env, &conf);
            rc = run(env, &conf, &answer, error);
        }
    }
    if (!rc && answer)
        rc = deliver(env, &conf, answer, error);
    dmm_cni_log_end(log, error);
    dmm_log_context(NULL); /* it borrows from the configuration */
    dmm_netconf_free(&conf);
out:
    free(text);
    return rc;
}

int main(int argc, char **argv)
{
    struct dmm_cni_env env;
    struct dmm_cni_log log;
    struct dmm_cni_error error = {0};
    enum dmm_cni_version version = DMM_CNI_LATEST;
    dmm_cni_log_start(&log);
    if (argc > 1)
        return dmm_tool(argc, argv);
    int rc = dmm_cni_env_read(&env, get, &error);
    if (!rc) {
        rc = handle(&env, &version, &log, &error);
        dmm_cni_env_free(&env);
    }
    if (!rc)
        return 0;
    print(dmm_cni_error_json(&error, dmm_cni_version_text(version)));
    return 1;
}
