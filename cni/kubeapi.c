/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/kubeapi.h"

#include <ctype.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX ((size_t)4 << 20)
#define ATTEMPTS   3
#define PAUSE_MS   100 /* before the second attempt; twice that before the third */

struct curl_library {
    void *handle;
    __typeof__(curl_easy_init) *init;
    __typeof__(curl_easy_setopt) *setopt;
    __typeof__(curl_easy_perform) *perform;
    __typeof__(curl_easy_getinfo) *getinfo;
    __typeof__(curl_easy_cleanup) *cleanup;
    __typeof__(curl_slist_append) *append;
    __typeof__(curl_slist_free_all) *free_all;
    __typeof__(curl_easy_strerror) *strerror;
};

struct answer {
    long status;
    char *text; /* owned */
    size_t len;
    char problem[CURL_ERROR_SIZE];
};

static int load(struct curl_library *lib, struct dmm_cni_error *error)
{
    lib->handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle) {
        dmm_cni_fail(error, DMM_CNI_E_KUBE, "kubernetes: libcurl: %s", dlerror());
        return -1;
    }
    *(void **)&lib->init = dlsym(lib->handle, "curl_easy_init");
    *(void **)&lib->setopt = dlsym(lib->handle, "curl_easy_setopt");
    *(void **)&lib->perform = dlsym(lib->handle, "curl_easy_perform");
    *(void **)&lib->getinfo = dlsym(lib->handle, "curl_easy_getinfo");
    *(void **)&lib->cleanup = dlsym(lib->handle, "curl_easy_cleanup");
    *(void **)&lib->append = dlsym(lib->handle, "curl_slist_append");
    *(void **)&lib->free_all = dlsym(lib->handle, "curl_slist_free_all");
    *(void **)&lib->strerror = dlsym(lib->handle, "curl_easy_strerror");
    if (lib->init && lib->setopt && lib->perform && lib->getinfo && lib->cleanup && lib->append &&
        lib->free_all && lib->strerror)
        return 0;
    dmm_cni_fail(error, DMM_CNI_E_KUBE, "kubernetes: libcurl: a function is missing");
    return -1;
}

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

static void set_blob(const struct curl_library *lib, CURL *curl, CURLoption option,
                     const struct dmm_blob *blob)
{
    struct curl_blob view = {.data = blob->data, .len = blob->len, .flags = CURL_BLOB_NOCOPY};
    if (blob->len)
        lib->setopt(curl, option, &view);
}

static void set_access(const struct curl_library *lib, CURL *curl,
                       const struct dmm_kube_access *access)
{
    lib->setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    lib->setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    lib->setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    lib->setopt(curl, CURLOPT_CAINFO, NULL);
    lib->setopt(curl, CURLOPT_CAPATH, NULL); /* the cluster's authority alone */
    lib->setopt(curl, CURLOPT_PROXY, "");
    set_blob(lib, curl, CURLOPT_CAINFO_BLOB, &access->ca);
    set_blob(lib, curl, CURLOPT_SSLCERT_BLOB, &access->cert);
    set_blob(lib, curl, CURLOPT_SSLKEY_BLOB, &access->key);
}

/* One GET. Returns libcurl's code. */
static CURLcode get(const struct curl_library *lib, const struct dmm_kube_access *access,
                    const char *url, const char *authorization, int64_t timeout_ms,
                    struct answer *answer)
{
    CURL *curl = lib->init();
    if (!curl)
        return CURLE_FAILED_INIT;
    struct curl_slist *headers = lib->append(NULL, "Accept: application/json");
    if (authorization)
        headers = lib->append(headers, authorization);
    set_access(lib, curl, access);
    lib->setopt(curl, CURLOPT_URL, url);
    lib->setopt(curl, CURLOPT_HTTPHEADER, headers);
    lib->setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    lib->setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib->setopt(curl, CURLOPT_ERRORBUFFER, answer->problem);
    lib->setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    lib->setopt(curl, CURLOPT_WRITEDATA, answer);
    CURLcode rc = lib->perform(curl);
    if (!rc)
        lib->getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    else if (!*answer->problem)
        snprintf(answer->problem, sizeof(answer->problem), "%s", lib->strerror(rc));
    lib->free_all(headers);
    lib->cleanup(curl);
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
static int get_within(const struct curl_library *lib, const struct dmm_kube_access *access,
                      const char *url, const struct dmm_kube_query *query, struct answer *answer,
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
        rc = get(lib, access, url, authorization, left, answer);
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
    struct curl_library lib = {0};
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
    if (load(&lib, error))
        return -1;
    int rc = get_within(&lib, access, url, query, &answer, error);
    if (!rc)
        rc = read_pod(annotations, &answer, query, error);
    free(answer.text);
    return rc; /* libcurl stays loaded: this process ends soon */
}
