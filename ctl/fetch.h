/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: one GET on the sidecar's HTTP API (docs/api.md), over its UNIX socket, by libcurl.
 */
#ifndef DMM_CTL_FETCH_H
#define DMM_CTL_FETCH_H

#include "common/err.h"

#include <jansson.h>

/* GETs `path` ("/sockets") from <pod_dir>/api.sock, within 4 seconds. *json is a new reference.
 * On failure err says what could not be reached or what the sidecar answered. */
int ctl_fetch(const char *pod_dir, const char *path, json_t **json, struct dmm_err *err);

#endif
