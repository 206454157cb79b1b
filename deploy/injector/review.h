/* SPDX-License-Identifier: Apache-2.0 */
/*
 * review: answers an AdmissionReview. Pure: text in, text out.
 *
 * admission.k8s.io/v1 is answered as v1, and v1beta1, which has the same fields, as v1beta1. Only
 * the CREATE of a pod is changed; everything else that a webhook configuration may send here by
 * mistake (UPDATE, a subresource such as ephemeralcontainers, another resource) is let through as
 * it is.
 */
#ifndef DMM_DEPLOY_INJECTOR_REVIEW_H
#define DMM_DEPLOY_INJECTOR_REVIEW_H

#include "deploy/injector/config.h"

#define REVIEW_MAX ((size_t)8 << 20) /* an API server takes objects of 3 MiB */

enum review_outcome { REVIEW_UNTOUCHED, REVIEW_INJECTED, REVIEW_REFUSED, REVIEW_OUTCOMES };

struct review_answer {
    char *text; /* owned */
    enum review_outcome outcome;
    char pod[320];      /* "namespace/name", for the log */
    struct dmm_err why; /* of a refusal */
};

/* 0; -EINVAL or -EFBIG with err if `text` is not an AdmissionReview; -ENOMEM. */
int review_answer(struct review_answer *answer, const struct injector_config *config,
                  const char *text, size_t len, struct dmm_err *err);

/* RFC 4648, section 4, with padding; malloc'ed, NULL when out of memory. */
char *review_base64(const char *data, size_t len);

#endif
