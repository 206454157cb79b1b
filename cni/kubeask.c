/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/kubeask.h"

#include "cni/exec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOT_LOADED 127 /* what the loader ends a program with whose libraries are missing */

/* Beside this program. */
static int find_program(char path[PATH_MAX], struct dmm_err *err)
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(DMM_KUBE_PROGRAM));
    if (n < 0)
        return dmm_err_set(err, errno, "/proc/self/exe: %s", strerror(errno));
    path[n] = '\0';
    memcpy(strrchr(path, '/') + 1, DMM_KUBE_PROGRAM, sizeof(DMM_KUBE_PROGRAM));
    return 0;
}

static char *question_of(const struct dmm_kube_conf *kube, const struct dmm_kube_query *query)
{
    json_t *json = json_pack("{s:s*, s:s*, s:s*, s:s, s:s, s:s*, s:I}", "kubeconfig",
                             kube->kubeconfig, "serviceAccount", kube->service_account, "server",
                             kube->server, "namespace", query->name_space, "pod", query->pod, "uid",
                             query->uid, "timeoutMs", (json_int_t)query->deadline_ms);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static int run(const char *path, const char *question, int *status, char **output, size_t *len,
               struct dmm_err *err)
{
    char *const argv[] = {(char *)DMM_KUBE_PROGRAM, NULL};
    struct dmm_exec child;
    int rc = dmm_exec_start(&child, path, argv, environ, question, strlen(question), -1, err);
    return rc ? rc : dmm_exec_wait(&child, status, output, len, err);
}

/* What it said when it failed, or why it said nothing. */
static int failure(const json_t *answer, int status, const char *path, struct dmm_cni_error *error)
{
    const char *what = json_string_value(json_object_get(answer, "what"));
    if (what)
        return dmm_cni_fail(error, (int)json_integer_value(json_object_get(answer, "code")), "%s",
                            what);
    if (status == NOT_LOADED)
        return dmm_cni_fail(error, DMM_CNI_E_KUBE,
                            "kubernetes: %s does not start here: it needs libcurl.so.4 and "
                            "libyaml-0.so.2",
                            path);
    return dmm_cni_fail(error, DMM_CNI_E_KUBE, "kubernetes: %s: ended with status %d and no answer",
                        path, status);
}

int dmm_kube_ask(json_t **annotations, const struct dmm_kube_conf *kube,
                 const struct dmm_kube_query *query, struct dmm_cni_error *error)
{
    char path[PATH_MAX];
    struct dmm_err err = {0};
    int status = 0;
    char *output = NULL;
    size_t len = 0;
    char *question = question_of(kube, query);
    if (!question)
        return dmm_cni_fail(error, DMM_CNI_E_IO, "kubernetes: out of memory");
    int rc = find_program(path, &err);
    if (!rc)
        rc = run(path, question, &status, &output, &len, &err);
    free(question);
    if (rc)
        return dmm_cni_fail(error, DMM_CNI_E_KUBE, "kubernetes: %s", err.text);
    json_t *answer = json_loadb(output, len, 0, NULL);
    json_t *found = status ? NULL : json_object_get(answer, "annotations");
    if (json_is_object(found))
        *annotations = json_incref(found);
    else
        rc = failure(answer, status, path, error);
    json_decref(answer);
    free(output);
    return rc;
}
