/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env: the parameters that a runtime passes in the environment (CNI spec 1.1.0, section 2).
 *
 * Invariants of a struct dmm_cni_env that dmm_cni_env_read() accepted: `command` is valid; each
 * variable that the command requires is there and well formed; strings that are not given are "";
 * all point into the environment or into the struct and live as long as it does.
 *
 * Pure but for getenv. Called once, before threads.
 */
#ifndef DMM_CNI_ENV_H
#define DMM_CNI_ENV_H

#include "cni/error.h"

#include <stdbool.h>

enum dmm_cni_command {
    DMM_CNI_ADD,
    DMM_CNI_DEL,
    DMM_CNI_CHECK,
    DMM_CNI_GC,
    DMM_CNI_STATUS,
    DMM_CNI_VERSION_CMD,
};

#define DMM_CNI_ARGS_MAX 64

/* CNI_ARGS: "K=V;K=V" in any order. A key that comes twice counts once, the last value holds, as
 * libcni has it (Multus repeats keys). */
struct dmm_cni_args {
    char *text; /* owned; keys and values point into it */
    unsigned n;
    struct {
        const char *key;
        const char *value;
    } pair[DMM_CNI_ARGS_MAX];
};

struct dmm_cni_env {
    enum dmm_cni_command command;
    const char *container_id;
    const char *netns;
    const char *ifname; /* of what we make: CNI_IFNAME, unless chained */
    const char *key;    /* CNI_IFNAME: what the runtime knows the attachment by */
    const char *path;
    struct dmm_cni_args args;
};

/* "ADD", ... */
const char *dmm_cni_command_text(enum dmm_cni_command command);

/* getenv in production; a table in tests. */
typedef const char *dmm_cni_getenv(const char *name);

/* Every variable that is missing is named in one error, code 4; so is one that is malformed. */
int dmm_cni_env_read(struct dmm_cni_env *env, dmm_cni_getenv *get, struct dmm_cni_error *error);
void dmm_cni_env_free(struct dmm_cni_env *env);

/* Splits CNI_ARGS. A pair without "=", an empty key, or a key we don't know without
 * IgnoreUnknown=true|1 is refused. */
int dmm_cni_args_parse(struct dmm_cni_args *args, const char *text, struct dmm_cni_error *error);
void dmm_cni_args_free(struct dmm_cni_args *args);
/* The value, or NULL. */
const char *dmm_cni_args_get(const struct dmm_cni_args *args, const char *key);

/* Spec: alphanumeric first, then alphanumerics, '_', '.', '-'. Container ids and network names. */
bool dmm_cni_id_valid(const char *id);
/* What the kernel takes as an interface name: 1..15 bytes, not "." or "..", no '/', ':', blank. */
bool dmm_cni_ifname_valid(const char *name);

#endif
