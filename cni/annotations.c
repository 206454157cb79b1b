/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/annotations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool dmm_annotation_known(const char *name)
{
    return !strcmp(name, DMM_ANNOTATION_STACK) || !strcmp(name, DMM_ANNOTATION_MAPPING);
}

void dmm_annotations_free(struct dmm_annotations *annotations)
{
    free(annotations->stack);
    free(annotations->mapping);
    memset(annotations, 0, sizeof(*annotations));
}

static int copy(char **into, const char *text, struct dmm_cni_error *error)
{
    *into = strdup(text);
    return *into ? 0 : dmm_cni_fail(error, DMM_CNI_E_IO, "annotations: out of memory");
}

/* A mapping may be given as JSON proper where the place is JSON already. */
static int read_value(char **into, const json_t *value, const char *place, const char *name,
                      struct dmm_cni_error *error)
{
    if (!value)
        return 0;
    if (json_is_string(value))
        return copy(into, json_string_value(value), error);
    if (json_is_object(value) && !strcmp(name, DMM_ANNOTATION_MAPPING)) {
        *into = json_dumps(value, JSON_COMPACT);
        return *into ? 0 : dmm_cni_fail(error, DMM_CNI_E_IO, "annotations: out of memory");
    }
    return dmm_cni_fail(error, DMM_CNI_E_MAPPING, "%s: %s: must be a string", place, name);
}

static int read_object(struct dmm_annotations *into, const json_t *object, const char *place,
                       struct dmm_cni_error *error)
{
    if (!object)
        return 0;
    if (read_value(&into->stack, json_object_get(object, DMM_ANNOTATION_STACK), place,
                   DMM_ANNOTATION_STACK, error))
        return -1;
    return read_value(&into->mapping, json_object_get(object, DMM_ANNOTATION_MAPPING), place,
                      DMM_ANNOTATION_MAPPING, error);
}

static int read_args(struct dmm_annotations *into, const struct dmm_cni_args *args,
                     struct dmm_cni_error *error)
{
    const char *stack = dmm_cni_args_get(args, DMM_ANNOTATION_STACK);
    const char *mapping = dmm_cni_args_get(args, DMM_ANNOTATION_MAPPING);
    if (stack && copy(&into->stack, stack, error))
        return -1;
    return mapping ? copy(&into->mapping, mapping, error) : 0;
}

bool dmm_annotations_opted_in(const json_t *from_runtime)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)from_runtime, name, value)
    {
        const char *text = json_string_value(value);
        bool out = !strcmp(name, DMM_ANNOTATION_INJECT) && text && !strcmp(text, "false");
        if (!strncmp(name, DMM_ANNOTATION_PREFIX, strlen(DMM_ANNOTATION_PREFIX)) && !out)
            return true;
    }
    return false;
}

bool dmm_annotations_found(const struct dmm_annotations *annotations)
{
    return annotations->stack || annotations->mapping;
}

/* Names the place in errors; both of ours in it contradict each other. */
static int conclude(struct dmm_annotations *annotations, const char *place,
                    struct dmm_cni_error *error)
{
    if (annotations->stack && annotations->mapping)
        return dmm_cni_fail(error, DMM_CNI_E_MAPPING, "%s: both %s and %s are given, one is wanted",
                            place, DMM_ANNOTATION_STACK, DMM_ANNOTATION_MAPPING);
    if (dmm_annotations_found(annotations))
        snprintf(annotations->source, sizeof(annotations->source), "%s: annotation %s", place,
                 annotations->stack ? DMM_ANNOTATION_STACK : DMM_ANNOTATION_MAPPING);
    return 0;
}

int dmm_annotations_from_api(struct dmm_annotations *annotations, const json_t *object,
                             struct dmm_cni_error *error)
{
    const char *place = "the API server";
    if (!read_object(annotations, object, place, error) && !conclude(annotations, place, error))
        return 0;
    dmm_annotations_free(annotations);
    return -1;
}

int dmm_annotations_read(struct dmm_annotations *annotations, const json_t *from_runtime,
                         const json_t *args_cni, const struct dmm_cni_args *args,
                         struct dmm_cni_error *error)
{
    memset(annotations, 0, sizeof(*annotations));
    const char *place = "runtimeConfig";
    if (read_object(annotations, from_runtime, place, error))
        goto fail;
    if (!dmm_annotations_found(annotations)) {
        place = "args.cni";
        if (read_object(annotations, args_cni, place, error))
            goto fail;
    }
    if (!dmm_annotations_found(annotations)) {
        place = "CNI_ARGS";
        if (read_args(annotations, args, error))
            goto fail;
    }
    if (!conclude(annotations, place, error))
        return 0;
fail:
    dmm_annotations_free(annotations);
    return -1;
}
