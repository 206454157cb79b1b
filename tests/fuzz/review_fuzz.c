/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes to the webhook. Whatever it is, the answer is an error or a review of the same
 * request; and a pod that was injected is not changed by a second time.
 */
#include "deploy/injector/inject.h"
#include "deploy/injector/review.h"
#include "tests/fuzz/fuzz.h"

static struct injector_config config;

static void set_up(void)
{
    static const char text[] =
        "{\"version\":1,\"stacks\":[\"fast\"],\"link\":\"tap\",\"hugepagesMi\":2,"
        "\"images\":{\"stackd\":\"s\",\"shim\":\"h\"}}";
    struct dmm_err err = {0};
    if (!config.json)
        fuzz_require(!injector_config_parse(&config, text, strlen(text), "fuzz", &err),
                     "the configuration is good");
}

static void require_idempotent(const char *text, size_t len)
{
    struct dmm_err err = {0};
    bool injected;
    json_t *review = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    json_t *pod = json_object_get(json_object_get(review, "request"), "object");
    json_t *once = json_deep_copy(pod);
    if (once && !injector_inject(once, &config, &injected, &err)) {
        json_t *twice = json_deep_copy(once);
        json_t *patch = injector_patch(pod, once);
        fuzz_require(injected || !json_array_size(patch),
                     "a pod that has not opted in is the same");
        fuzz_require(!injector_inject(twice, &config, &injected, &err),
                     "a second time is no error");
        fuzz_require(json_equal(once, twice), "a second time changes nothing");
        json_decref(patch);
        json_decref(twice);
    }
    json_decref(once);
    json_decref(review);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dmm_err err = {0};
    struct review_answer answer;
    set_up();
    if (review_answer(&answer, &config, (const char *)data, size, &err)) {
        fuzz_require(err.code > 0 && err.text[0], "an error says what is wrong");
        return 0;
    }
    json_t *reply = json_loads(answer.text, 0, NULL);
    fuzz_require(json_is_string(json_object_get(json_object_get(reply, "response"), "uid")),
                 "an answer names its request");
    json_decref(reply);
    free(answer.text);
    require_idempotent((const char *)data, size);
    return 0;
}
