/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/fetch.h"

#include "common/poddir.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S  4L                          /* a probe has 5 s, and is to say why it failed */
#define ANSWER_MAX ((size_t)256 * 1024 * 1024) /* 100,000 sockets are some 30 MB */

struct answer {
    char *text;
    size_t len;
};

static size_t take(char *data, size_t size, size_t n, void *arg)
{
    struct answer *answer = arg;
    size_t len = size * n;
    if (len > ANSWER_MAX - answer->len)
        return 0;
    char *text = realloc(answer->text, answer->len + len + 1);
    if (!text)
        return 0;
    memcpy(text + answer->len, data, len);
    answer->text = text;
    answer->len += len;
    return len;
}

static int parse(const struct answer *answer, long status, const char *path, json_t **json,
                 struct dmm_err *err)
{
    json_error_t at;
    json_t *root = json_loadb(answer->text ? answer->text : "", answer->len, 0, &at);
    if (!root)
        return dmm_err_set(err, EPROTO, "%s: the answer is not JSON: line %d: %s", path, at.line,
                           at.text);
    if (status != 200) {
        const char *why = json_string_value(json_object_get(root, "error"));
        dmm_err_set(err, EIO, "%s: HTTP status %ld: %s", path, status,
                    why ? why : "no reason given");
        json_decref(root);
        return -EIO;
    }
    *json = root;
    return 0;
}

int ctl_fetch(const char *pod_dir, const char *path, json_t **json, struct dmm_err *err)
{
    char sock[256], url[256];
    if (snprintf(sock, sizeof(sock), "%s/%s", pod_dir, DMM_API_SOCKET) >= (int)sizeof(sock))
        return dmm_err_set(err, ENAMETOOLONG, "pod directory '%s': the path is too long", pod_dir);
    snprintf(url, sizeof(url), "http://stackd%s", path);

    CURL *curl = curl_easy_init();
    if (!curl)
        return dmm_err_set(err, ENOMEM, "out of memory");
    struct answer answer = {0};
    long status = 0;
    int rc = 0;
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, sock);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        rc = dmm_err_set(err, ETIMEDOUT,
                         "%s: no answer in %ld s: dmm-stackd hangs; its log says on what", sock,
                         TIMEOUT_S);
    } else if (code != CURLE_OK) {
        rc = dmm_err_set(err, ECONNREFUSED, "%s: %s (is dmm-stackd running for this pod?)", sock,
                         curl_easy_strerror(code));
    } else {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        rc = parse(&answer, status, path, json, err);
    }
    free(answer.text);
    curl_easy_cleanup(curl);
    return rc;
}
