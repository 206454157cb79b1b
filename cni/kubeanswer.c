/* SPDX-License-Identifier: Apache-2.0 */
/* kubeanswer: the program's side of cni/kubeask.h. */
#include "cni/kubeask.h"

static json_t *refusal(const struct dmm_cni_error *error, int *status)
{
    *status = 1;
    return json_pack("{s:i, s:s}", "code", error->code, "what", error->what.text);
}

static int answer_to(json_t **annotations, const struct dmm_kube_conf *kube,
                     const struct dmm_kube_query *query, struct dmm_cni_error *error)
{
    struct dmm_kube_access access = {0};
    struct dmm_err err = {0};
    int rc = kube->kubeconfig ? dmm_kube_from_kubeconfig(&access, kube->kubeconfig, &err)
                              : dmm_kube_from_service_account(&access, kube->service_account,
                                                              kube->server, &err);
    if (rc)
        return dmm_cni_fail(error, DMM_CNI_E_KUBE, "kubernetes: %s", err.text);
    rc = dmm_kube_annotations(annotations, &access, query, error);
    dmm_kube_access_free(&access);
    return rc;
}

json_t *dmm_kube_answer(const char *question, size_t len, int *status)
{
    struct dmm_cni_error error = {0};
    struct dmm_kube_conf kube = {0};
    struct dmm_kube_query query = {0};
    json_int_t timeout_ms = 0;
    json_error_t at;
    json_t *annotations = NULL;
    json_t *json = json_loadb(question, len, 0, &at);
    if (!json ||
        json_unpack_ex(json, &at, JSON_STRICT, "{s?s, s?s, s?s, s:s, s:s, s?s, s:I}", "kubeconfig",
                       &kube.kubeconfig, "serviceAccount", &kube.service_account, "server",
                       &kube.server, "namespace", &query.name_space, "pod", &query.pod, "uid",
                       &query.uid, "timeoutMs", &timeout_ms))
        dmm_cni_fail(&error, DMM_CNI_E_KUBE, "kubernetes: the question: %s", at.text);
    else if (!kube.kubeconfig && (!kube.service_account || !kube.server))
        dmm_cni_fail(&error, DMM_CNI_E_KUBE,
                     "kubernetes: the question: has neither kubeconfig nor serviceAccount");
    query.deadline_ms = timeout_ms;
    *status = 0;
    if (!error.code)
        answer_to(&annotations, &kube, &query, &error);
    json_t *answer =
        error.code ? refusal(&error, status) : json_pack("{s:o}", "annotations", annotations);
    json_decref(json);
    return answer;
}
