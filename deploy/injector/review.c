/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/injector/review.h"

#include "common/read_json.h"
#include "deploy/injector/inject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V1      "admission.k8s.io/v1"
#define V1BETA1 "admission.k8s.io/v1beta1"

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static bool is(const json_t *object, const char *key, const char *value)
{
    const char *have = text_of(object, key);
    return have && !strcmp(have, value);
}

char *review_base64(const char *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)data;
    char *text = malloc((len + 2) / 3 * 4 + 1);
    char *out = text;
    for (size_t i = 0; text && i < len; i += 3) {
        unsigned group = (unsigned)in[i] << 16;
        group |= i + 1 < len ? (unsigned)in[i + 1] << 8 : 0;
        group |= i + 2 < len ? in[i + 2] : 0;
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        out[0] = out[1] = '=';
        if (i + 1 < len)
            out[0] = digits[group >> 6 & 63];
        if (i + 2 < len)
            out[1] = digits[group & 63];
        out += 2;
    }
    if (text)
        *out = '\0';
    return text;
}

static bool is_pod_creation(const json_t *request)
{
    const json_t *resource = json_object_get(request, "resource");
    const char *subresource = text_of(request, "subResource");
    return is(request, "operation", "CREATE") && is(resource, "group", "") &&
           is(resource, "resource", "pods") && (!subresource || !*subresource);
}

static void name_pod(char name[320], const json_t *request, const json_t *pod)
{
    const json_t *metadata = json_object_get(pod, "metadata");
    const char *space = text_of(request, "namespace");
    const char *own = text_of(metadata, "name");
    /* A controller's pods have no name yet. */
    const char *stem = text_of(metadata, "generateName");
    snprintf(name, 320, "%.64s/%.250s", space ? space : "", own ? own : stem ? stem : "");
}

static json_t *patch_of(const json_t *pod, const struct injector_config *config,
                        struct review_answer *answer, int *rc)
{
    bool injected = false;
    json_t *patch = NULL;
    json_t *changed = json_deep_copy(pod);
    *rc = changed ? injector_inject(changed, config, &injected, &answer->why)
                  : dmm_err_set(&answer->why, ENOMEM, "out of memory");
    if (!*rc && injected)
        patch = injector_patch(pod, changed);
    json_decref(changed);
    if (*rc)
        answer->outcome = REVIEW_REFUSED;
    else if (json_array_size(patch))
        answer->outcome = REVIEW_INJECTED;
    return patch;
}

static int set_patch(json_t *response, const json_t *patch)
{
    char *text = json_dumps(patch, JSON_COMPACT);
    char *coded = text ? review_base64(text, strlen(text)) : NULL;
    int rc = coded ? json_object_set_new(response, "patch", json_string(coded)) : -1;
    if (!rc)
        rc = json_object_set_new(response, "patchType", json_string("JSONPatch"));
    free(coded);
    free(text);
    return rc;
}

static json_t *response_to(const json_t *request, const struct injector_config *config,
                           struct review_answer *answer)
{
    int rc = 0;
    json_t *patch = NULL;
    const json_t *pod = json_object_get(request, "object");
    if (is_pod_creation(request)) {
        name_pod(answer->pod, request, pod);
        patch = patch_of(pod, config, answer, &rc);
    }
    json_t *response = json_pack("{s:s, s:b}", "uid", text_of(request, "uid"), "allowed", !rc);
    if (response && rc)
        /* The message is what kubectl prints. */
        rc = json_object_set_new(response, "status",
                                 json_pack("{s:s, s:s, s:i, s:s}", "status", "Failure", "reason",
                                           rc == -ENOMEM ? "InternalError" : "Invalid", "code",
                                           rc == -ENOMEM ? 500 : 422, "message", answer->why.text));
    else if (response && answer->outcome == REVIEW_INJECTED)
        rc = set_patch(response, patch);
    json_decref(patch);
    if (response && rc) {
        json_decref(response);
        response = NULL;
    }
    return response;
}

int review_answer(struct review_answer *answer, const struct injector_config *config,
                  const char *text, size_t len, struct dmm_err *err)
{
    const struct dmm_json_at at = {"AdmissionReview", ""};
    memset(answer, 0, sizeof(*answer));
    json_t *review = dmm_json_load(text, len, REVIEW_MAX, at.source, err);
    if (!review)
        return err && err->code == EFBIG ? -EFBIG : -EINVAL;
    int rc = 0;
    const char *version = text_of(review, "apiVersion");
    const json_t *request = json_object_get(review, "request");
    if (!is(review, "kind", "AdmissionReview"))
        rc = dmm_json_fail(err, &at, "kind", "must be \"AdmissionReview\"");
    else if (!version || (strcmp(version, V1) != 0 && strcmp(version, V1BETA1) != 0))
        rc = dmm_json_fail(err, &at, "apiVersion", "must be " V1 " or " V1BETA1);
    else if (!text_of(request, "uid"))
        rc = dmm_json_fail(err, &at, "request", "lacks a uid");
    json_t *response = rc ? NULL : response_to(request, config, answer);
    if (!rc) {
        json_t *whole = json_pack("{s:s, s:s, s:o}", "apiVersion", version, "kind",
                                  "AdmissionReview", "response", response);
        answer->text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;
        json_decref(whole);
        if (!answer->text)
            rc = dmm_err_set(err, ENOMEM, "out of memory");
    }
    json_decref(review);
    return rc;
}
