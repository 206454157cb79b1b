/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podwatch_event: one line of a Kubernetes watch (API concepts, "Efficient detection of changes": a
 * JSON object with `type` and `object`), and how long to wait after a failure. Pure: no I/O. Any
 * thread.
 */
#ifndef DMM_SIDECAR_PODWATCH_EVENT_H
#define DMM_SIDECAR_PODWATCH_EVENT_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

/* etcd, behind the API server, keeps objects of 1.5 MiB at most. */
#define DMM_PODWATCH_LINE_MAX    ((size_t)2 << 20)
#define DMM_PODWATCH_VERSION_MAX 128

enum dmm_podwatch_kind {
    DMM_PODWATCH_STATE,    /* the pod's annotations, complete */
    DMM_PODWATCH_BOOKMARK, /* a resourceVersion to resume from, and nothing else */
    DMM_PODWATCH_EXPIRED,  /* the resourceVersion is too old: begin without one */
    DMM_PODWATCH_OTHER     /* of another pod of that name, or its end */
};

struct dmm_podwatch_event {
    enum dmm_podwatch_kind kind;
    char version[DMM_PODWATCH_VERSION_MAX]; /* "" where it gives none; safe in a URL */
    char *word, *mapping;                   /* of STATE: the two annotations, owned, or NULL */
};

/* `uid` NULL or "": whichever pod has the name. -EINVAL with err: no event, one whose version could
 * not stand in a URL, or an error of the server with its message. */
int dmm_podwatch_read(struct dmm_podwatch_event *event, const char *line, size_t len,
                      const char *uid, struct dmm_err *err);
void dmm_podwatch_event_free(struct dmm_podwatch_event *event);

/* Seconds to wait after so many failures in a row (1 and up): 1, doubled each time, at most 60. */
unsigned dmm_podwatch_pause(unsigned failures);

/* True for a name that may stand in a path or query as it is: a DNS label or subdomain (RFC 1123).
 */
bool dmm_podwatch_name_valid(const char *name, size_t len);

#endif
