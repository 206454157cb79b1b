/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/logging.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACE_ID 32 /* hex digits */

/* version "-" trace-id "-" parent-id "-" trace-flags, in lower case; the id is not all zeros. */
void dmm_cni_trace_id(char id[33], const char *traceparent)
{
    static const int lengths[] = {2, TRACE_ID, 16, 2};
    const char *p = traceparent;
    *id = '\0';
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        if (i && *p++ != '-')
            return;
        for (int n = 0; n < lengths[i]; n++, p++)
            if (!isxdigit((unsigned char)*p) || isupper((unsigned char)*p))
                return;
    }
    const char *found = traceparent + 3;
    if ((*p && *p != '-') || !strncmp(traceparent, "ff", 2) || strspn(found, "0") >= TRACE_ID)
        return;
    memcpy(id, found, TRACE_ID);
    id[TRACE_ID] = '\0';
}

void dmm_cni_log_start(struct dmm_cni_log *log)
{
    memset(log, 0, sizeof(*log));
    log->fd = -1;
    clock_gettime(CLOCK_MONOTONIC, &log->start);
    dmm_log_setup("dmm", DMM_LOG_WARN, false, STDERR_FILENO);
}

static const char *or_null(const char *text)
{
    return text && *text ? text : NULL;
}

static void fill_context(struct dmm_cni_log *log, const struct dmm_cni_env *env,
                         const struct dmm_netconf *conf)
{
    const char *name = dmm_cni_args_get(&env->args, "K8S_POD_NAME");
    const char *space = dmm_cni_args_get(&env->args, "K8S_POD_NAMESPACE");
    const char *traceparent = getenv("TRACEPARENT");
    if (name)
        snprintf(log->pod, sizeof(log->pod), "%s%s%s", space ? space : "", space ? "/" : "", name);
    if (traceparent)
        dmm_cni_trace_id(log->trace_id, traceparent);
    struct dmm_log_field *field = log->fields;
    *field++ = (struct dmm_log_field){"command", dmm_cni_command_text(env->command)};
    *field++ = (struct dmm_log_field){"network", conf->name};
    *field++ = (struct dmm_log_field){"containerId", or_null(env->container_id)};
    *field++ = (struct dmm_log_field){"ifname", or_null(env->ifname)};
    *field++ = (struct dmm_log_field){"pod", or_null(log->pod)};
    *field++ = (struct dmm_log_field){"traceId", or_null(log->trace_id)};
    *field = (struct dmm_log_field){NULL, NULL};
}

void dmm_cni_log_configure(struct dmm_cni_log *log, const struct dmm_cni_env *env,
                           const struct dmm_netconf *conf)
{
    const struct dmm_cni_log_conf *wanted = &conf->log;
    int level = wanted->level >= 0 ? wanted->level : wanted->file ? DMM_LOG_INFO : DMM_LOG_WARN;
    fill_context(log, env, conf);
    dmm_log_setup("dmm", (enum dmm_log_level)level, wanted->json, STDERR_FILENO);
    dmm_log_context(log->fields);
    if (!wanted->file)
        return;
    log->fd = open(wanted->file,
                   O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
    if (log->fd < 0)
        dmm_log(DMM_LOG_WARN, "log.file: %s: %s", wanted->file, strerror(errno));
    dmm_log_also(log->fd);
}

void dmm_cni_log_end(const struct dmm_cni_log *log, const struct dmm_cni_error *error)
{
    struct timespec now;
    char took[32];
    char code[16];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(took, sizeof(took), "%.3f",
             (double)(now.tv_sec - log->start.tv_sec) * 1e3 +
                 (double)(now.tv_nsec - log->start.tv_nsec) / 1e6);
    snprintf(code, sizeof(code), "%d", error->code);
    const struct dmm_log_field fields[] = {
        {"tookMs", took}, {"code", error->code ? code : NULL}, {NULL, NULL}};
    if (error->code)
        dmm_log_fields(DMM_LOG_INFO, fields, "failed: %s", error->what.text);
    else
        dmm_log_fields(DMM_LOG_INFO, fields, "done");
}
