/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/kubeapi.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX ((size_t)4 << 20)
#define ATTEMPTS   3
#define PAUSE_MS   100 /* before the second attempt; twice that before the third */

struct answer {
    long status;
    char *text; /* owned */
    size_t len;
    char problem[CURL_ERROR_SIZE];
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
    struct answer *answer = arg;
    if (n > ANSWER_MAX - answer->len)
        return 0;
    char *grown = realloc(answer->text, answer->len + n + 1);
    if (!grown)
        return 0;
    memcpy(grown + answer->len, data, n * one);
    answer->text = grown;
    answer->len += n;
    grown[answer->len] = '\0';
    return n;
}

static void set_blob(CURL *curl, CURLoption option, const struct dmm_blob *blob)
{
    struct curl_blob view = {.data = blob->data, .len = blob->len, .flags = CURL_BLOB_NOCOPY};
    if (blob->len)
        curl_easy_setopt(curl, option, &view);
}

static void set_access(CURL *curl, const struct dmm_kube_access *access)
{
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* the cluster's authority alone */
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    set_blob(curl, CURLOPT_CAINFO_BLOB, &access->ca);
    set_blob(curl, CURLOPT_SSLCERT_BLOB, &access->cert);
    set_blob(curl, CURLOPT_SSLKEY_BLOB, &access->key);
}

/* One GET. Returns libcurl's code. */
static CURLcode get(const struct dmm_kube_access *access, const char *url,
                    const char *authorization, int64_t timeout_ms, struct answer *answer)
{
    CURL *curl = curl_easy_init();
    if (!curl)
        return CURLE_FAILED_INIT;
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    if (authorization)
        headers = curl_slist_append(headers, authorization);
    set_access(curl, access);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, answer->problem);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    CURLcode rc = curl_easy_perform(curl);
    if (!rc)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    else if (!*answer->problem)
        snprintf(answer->problem, sizeof(answer->problem), "%s", curl_easy_strerror(rc));
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return rc;
}

static bool worth_another(CURLcode rc, long status)
{
    if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CERTPROBLEM ||
        rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_WRITE_ERROR)
        return false;
    return rc || status == 429 || status >= 500;
}

static int refuse(const struct answer *answer, CURLcode rc, const struct dmm_kube_query *query,
                  struct dmm_cni_error *error)
{
    static const struct {
        long status;
        const char *means;
    } meanings[] = {{401, "who asks is not known: token or certificate"},
                    {403, "who asks may not get pods: RBAC"},
                    {404, "there is no such pod"},
                    {410, "the pod is gone"},
                    {429, "too many requests"}};
    const char *means = "";
    int code = worth_another(rc, answer->status) ? DMM_CNI_E_TRY_AGAIN : DMM_CNI_E_KUBE;
    if (rc)
        return dmm_cni_fail(error, code, "kubernetes: pod %s/%s: %s", query->name_space, query->pod,
                            answer->problem);
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].status == answer->status)
            means = meanings[i].means;
    return dmm_cni_fail(error, code, "kubernetes: pod %s/%s: the API server answered %ld%s%s",
                        query->name_space, query->pod, answer->status, *means ? ": " : "", means);
}

/* Tries until there is an answer worth having, or the deadline. */
static int get_within(const struct dmm_kube_access *access, const char *url,
                      const struct dmm_kube_query *query, struct answer *answer,
                      struct dmm_cni_error *error)
{
    CURLcode rc = CURLE_OPERATION_TIMEDOUT;
    char *authorization = NULL;
    const int64_t end = now_ms() + query->deadline_ms;
    if (access->token && asprintf(&authorization, "Authorization: Bearer %s", access->token) < 0)
        return dmm_cni_fail(error, DMM_CNI_E_IO, "kubernetes: out of memory");
    for (int i = 0; i < ATTEMPTS; i++) {
        int64_t left = end - now_ms();
        if (left <= 0)
            break;
        free(answer->text);
        *answer = (struct answer){0};
        rc = get(access, url, authorization, left, answer);
        if (!worth_another(rc, answer->status))
            break;
        struct timespec pause = {0, (long)PAUSE_MS * 1000000 * (i + 1)};
        if (i + 1 < ATTEMPTS && end - now_ms() > (int64_t)PAUSE_MS * (i + 1))
            nanosleep(&pause, NULL);
    }
    free(authorization);
    return rc || answer->status != 200 ? refuse(answer, rc, query, error) : 0;
}

static int read_pod(json_t **annotations, const struct answer *answer,
                    const struct dmm_kube_query *query, struct dmm_cni_error *error)
{
    json_error_t at;
    json_t *pod = json_loadb(answer->text ? answer->text : "", answer->len, 0, &at);
    const json_t *meta = json_object_get(pod, "metadata");
    const char *uid = json_string_value(json_object_get(meta, "uid"));
    json_t *found = json_object_get(meta, "annotations");
    int rc = 0;
    if (!pod)
        rc =
            dmm_cni_fail(error, DMM_CNI_E_KUBE, "kubernetes: pod %s/%s: the answer is not JSON: %s",
                         query->name_space, query->pod, at.text);
    else if (!meta)
        rc = dmm_cni_fail(error, DMM_CNI_E_KUBE, "kubernetes: pod %s/%s: the answer is no pod",
                          query->name_space, query->pod);
    else if (query->uid && *query->uid && (!uid || strcmp(uid, query->uid) != 0))
        rc = dmm_cni_fail(error, DMM_CNI_E_KUBE,
                          "kubernetes: pod %s/%s: is another one by now: its uid is %.64s",
                          query->name_space, query->pod, uid ? uid : "not given");
    else
        *annotations = json_is_object(found) ? json_incref(found) : json_object();
    json_decref(pod);
    return rc;
}

/* DNS labels and dots: what goes into a path as it is. */
static bool is_plain(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
            return false;
    return *name && strlen(name) < 254 && *name != '.';
}

int dmm_kube_annotations(json_t **annotations, const struct dmm_kube_access *access,
                         const struct dmm_kube_query *query, struct dmm_cni_error *error)
{
    char url[2048];
    struct answer answer = {0};
    size_t server = strlen(access->server);
    if (!is_plain(query->name_space) || !is_plain(query->pod))
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT,
                            "CNI_ARGS: K8S_POD_NAMESPACE, K8S_POD_NAME: not a pod's name");
    while (server && access->server[server - 1] == '/')
        server--;
    if ((size_t)snprintf(url, sizeof(url), "%.*s/api/v1/namespaces/%s/pods/%s", (int)server,
                         access->server, query->name_space, query->pod) >= sizeof(url))
        return dmm_cni_fail(error, DMM_CNI_E_KUBE, "kubernetes: server: too long");
    int rc = get_within(access, url, query, &answer, error);
    if (!rc)
        rc = read_pod(annotations, &answer, query, error);
    free(answer.text);
    return rc;
}
