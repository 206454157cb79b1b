/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/podwatch_event.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN  253 /* RFC 1123 */
#define PAUSE_MAX     60
#define STATUS_GONE   410
#define ANNOTATION(x) "dmm.fd.io/" x

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool dmm_podwatch_name_valid(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '.')
            return false;
    return len && len <= NAME_MAX_LEN && name[0] != '.';
}

unsigned dmm_podwatch_pause(unsigned failures)
{
    unsigned shift = failures ? failures - 1 : 0;
    return shift >= 6 ? PAUSE_MAX : 1U << shift;
}

/* Opaque to clients, but it goes back in a URL. */
static int take_version(struct dmm_podwatch_event *event, const json_t *meta, struct dmm_err *err)
{
    const char *version = text_of(meta, "resourceVersion");
    size_t len = version ? strlen(version) : 0;
    if (len >= sizeof(event->version))
        return dmm_err_set(err, EINVAL, "resourceVersion: has %zu characters", len);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)version[i]) && !strchr("-._", version[i]))
            return dmm_err_set(err, EINVAL,
                               "resourceVersion: holds other than letters, digits, "
                               "-, . and _");
    memcpy(event->version, version ? version : "", len + 1);
    return 0;
}

static int take_error(struct dmm_podwatch_event *event, const json_t *status, struct dmm_err *err)
{
    const char *message = text_of(status, "message");
    json_int_t code = json_integer_value(json_object_get(status, "code"));
    event->kind = DMM_PODWATCH_EXPIRED;
    return code == STATUS_GONE
               ? 0
               : dmm_err_set(err, EINVAL, "the server ends it: %lld %.200s", (long long)code,
                             message ? message : "without a message");
}

static int take_copy(char **to, const json_t *annotations, const char *key, struct dmm_err *err)
{
    const char *value = text_of(annotations, key);
    *to = value ? strdup(value) : NULL;
    return value && !*to ? dmm_err_set(err, ENOMEM, "out of memory") : 0;
}

static int take_pod(struct dmm_podwatch_event *event, const json_t *meta, const char *uid,
                    struct dmm_err *err)
{
    const char *have = text_of(meta, "uid");
    const json_t *annotations = json_object_get(meta, "annotations");
    event->kind = DMM_PODWATCH_OTHER;
    if (uid && *uid && (!have || strcmp(have, uid) != 0))
        return 0;
    event->kind = DMM_PODWATCH_STATE;
    int rc = take_copy(&event->word, annotations, ANNOTATION("stack"), err);
    return rc ? rc : take_copy(&event->mapping, annotations, ANNOTATION("mapping"), err);
}

static int take(struct dmm_podwatch_event *event, const json_t *root, const char *uid,
                struct dmm_err *err)
{
    const char *type = text_of(root, "type");
    const json_t *object = json_object_get(root, "object");
    const json_t *meta = json_object_get(object, "metadata");
    if (!type || !json_is_object(object))
        return dmm_err_set(err, EINVAL, "not an event: it has no type or no object");
    if (!strcmp(type, "ERROR"))
        return take_error(event, object, err);
    if (!json_is_object(meta))
        return dmm_err_set(err, EINVAL, "event %.16s: the object has no metadata", type);
    int rc = take_version(event, meta, err);
    if (rc)
        return rc;
    if (!strcmp(type, "ADDED") || !strcmp(type, "MODIFIED"))
        return take_pod(event, meta, uid, err);
    event->kind = strcmp(type, "BOOKMARK") ? DMM_PODWATCH_OTHER : DMM_PODWATCH_BOOKMARK;
    return 0;
}

int dmm_podwatch_read(struct dmm_podwatch_event *event, const char *line, size_t len,
                      const char *uid, struct dmm_err *err)
{
    json_error_t at;
    memset(event, 0, sizeof(*event));
    event->kind = DMM_PODWATCH_OTHER;
    if (len > DMM_PODWATCH_LINE_MAX)
        return dmm_err_set(err, EINVAL, "an event has more than %zu bytes", DMM_PODWATCH_LINE_MAX);
    json_t *root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &at);
    if (!root)
        return dmm_err_set(err, EINVAL, "not an event: %s", at.text);
    int rc = take(event, root, uid, err);
    json_decref(root);
    if (rc)
        dmm_podwatch_event_free(event);
    return rc;
}

void dmm_podwatch_event_free(struct dmm_podwatch_event *event)
{
    free(event->word);
    free(event->mapping);
    event->word = event->mapping = NULL;
}
