/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error: what the plugin answers when it refuses (CNI spec 1.1.0, section 4 "Error" and the table
 * of well-known codes).
 *
 * Invariant: code 0 means that nothing has failed. Parts below the verbs hand up a struct dmm_err;
 * the verb that called them turns it into one of these with dmm_cni_fail_from(), because it alone
 * knows which CNI code the failure of that step is.
 *
 * Pure. Any thread, each with its own value.
 */
#ifndef DMM_CNI_ERROR_H
#define DMM_CNI_ERROR_H

#include "common/err.h"

#include <jansson.h>

enum dmm_cni_code {
    DMM_CNI_E_NONE = 0,
    /* From the spec. */
    DMM_CNI_E_VERSION = 1,
    DMM_CNI_E_FIELD = 2,
    DMM_CNI_E_CONTAINER = 3,
    DMM_CNI_E_ENVIRONMENT = 4,
    DMM_CNI_E_IO = 5,
    DMM_CNI_E_DECODE = 6,
    DMM_CNI_E_CONFIG = 7,
    DMM_CNI_E_TRY_AGAIN = 11,
    DMM_CNI_E_UNAVAILABLE = 50,
    DMM_CNI_E_LIMITED = 51,
    /* Our own: 100 and up. */
    DMM_CNI_E_MAPPING = 100,
    DMM_CNI_E_LINK = 101,
    DMM_CNI_E_IPAM = 102,
    DMM_CNI_E_STATE = 103,
    DMM_CNI_E_CHECK = 104,
    DMM_CNI_E_POD = 105,
    DMM_CNI_E_KUBE = 106,
};

struct dmm_cni_error {
    int code;            /* enum dmm_cni_code, or what a delegated plugin answered */
    struct dmm_err what; /* text: one line */
};

/* Records the code and the text; returns -1. The first failure stays: a later one is dropped. */
int dmm_cni_fail(struct dmm_cni_error *error, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same from a failure that a lower part recorded. */
int dmm_cni_fail_from(struct dmm_cni_error *error, int code, const struct dmm_err *err);

/* The short text of a code, as the spec's table has it. */
const char *dmm_cni_code_text(int code);

/* The error object for stdout: cniVersion, code, msg, details. A new reference. */
json_t *dmm_cni_error_json(const struct dmm_cni_error *error, const char *cni_version);

#endif
