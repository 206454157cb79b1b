/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podinfo: the pod's annotations, as the kubelet writes them into a downwardAPI volume
 * (`metadata.annotations`): a line per annotation, key="value", the value quoted as Go's %q does.
 * By it a changed annotation reaches a running pod, without access to the API server.
 *
 * Pure: no I/O. Any thread.
 */
#ifndef DMM_SIDECAR_PODINFO_H
#define DMM_SIDECAR_PODINFO_H

#include "common/err.h"

#include <stddef.h>

#define DMM_PODINFO_MAX                                                                            \
    ((size_t)512 * 1024) /* Kubernetes allows 256 KiB of annotations, unquoted */

/* The value of `key` in `text`, unquoted, malloc'ed, owned by the caller; *value is NULL where
 * there is no such key. A value with a NUL in it is refused. -EINVAL with err naming the line: the
 * text is not of that form, in the line of `key` or before it; -ENOMEM. */
int dmm_podinfo_get(const char *text, size_t len, const char *key, char **value,
                    struct dmm_err *err);

#endif
