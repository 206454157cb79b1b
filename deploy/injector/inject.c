/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/injector/inject.h"

#include "common/version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POD_VOLUME        "dmm-pod"
#define SHIM_VOLUME       "dmm-shim"
#define INFO_VOLUME       "dmm-podinfo"
#define DEVICE_VOLUME     "dmm-device"
#define MAP_VOLUME        "dmm-bpf"
#define KUBE_VOLUME       "dmm-kube"
#define KUBE_PATH         "/etc/dmm/kube"
#define PAIR_VOLUME       "dmm-sockets"
#define MAP_PATH          "/run/dmm/bpf"
#define SHIM_CONTAINER    "dmm-shim"
#define SIDECAR           "dmm-stackd"
#define POD_PATH          "/run/dmm/pod"
#define SHIM_PATH         "/dmm"
#define INFO_PATH         "/etc/dmm/podinfo"
#define DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"
#define UID_VARIABLE      "DMM_POD_UID"
#define NAME_VARIABLE     "DMM_POD_NAME"
#define SPACE_VARIABLE    "DMM_POD_NAMESPACE"
#define TOKEN_SECONDS     3607 /* as the kubelet's own; renewed at four fifths */
#define PRELOAD           SHIM_PATH "/$LIB/libdmm.so"

/* ---- reading the pod ---- */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static json_t *find(const json_t *list, const char *key, const char *value)
{
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *have = text_of(entry, key);
        if (have && !strcmp(have, value))
            return entry;
    }
    return NULL;
}

/* object[key], an array; made if it is absent. NULL with err: it is something else. */
static json_t *list_in(json_t *object, const char *key, struct dmm_err *err)
{
    json_t *list = json_object_get(object, key);
    if (!list || json_is_null(list)) {
        list = json_array();
        if (json_object_set_new(object, key, list))
            list = NULL;
    }
    if (!json_is_array(list)) {
        dmm_err_set(err, EINVAL, "%s: must be an array", key);
        return NULL;
    }
    return list;
}

/* `entry` at `index` unless one of that name is there. Takes the reference. */
static int put(json_t *list, size_t index, json_t *entry, struct dmm_err *err)
{
    const char *name = text_of(entry, "name");
    if (!name) {
        json_decref(entry);
        return dmm_err_set(err, ENOMEM, "out of memory");
    }
    if (find(list, "name", name)) {
        json_decref(entry);
        return 0;
    }
    return json_array_insert_new(list, index, entry) ? dmm_err_set(err, ENOMEM, "out of memory")
                                                     : 0;
}

static bool skipped(const json_t *annotations, const char *name)
{
    const char *list = text_of(annotations, INJECTOR_SKIP);
    if (!name)
        return false;
    size_t len = strlen(name);
    for (const char *at = list; at && *at;) {
        at += strspn(at, ", ");
        size_t word = strcspn(at, ", ");
        if (word == len && !strncmp(at, name, len))
            return true;
        at += word;
    }
    return false;
}

/* ---- whether ---- */

static int wants(const json_t *annotations, bool *wanted, struct dmm_err *err)
{
    const char *inject = text_of(annotations, INJECTOR_INJECT);
    *wanted = false;
    if (inject && strcmp(inject, "true") != 0 && strcmp(inject, "false") != 0)
        return dmm_err_set(
            err, EINVAL,
            "annotation " INJECTOR_INJECT ": is \"%.32s\", neither \"true\" nor \"false\"", inject);
    if (inject && inject[0] == 'f')
        return 0;
    *wanted = inject || json_object_get(annotations, INJECTOR_STACK) ||
              json_object_get(annotations, INJECTOR_MAPPING);
    return 0;
}

static int check_mapping(const json_t *annotations, const struct injector_config *config,
                         struct dmm_err *err)
{
    static _Thread_local struct dmm_mapping mapping; /* large */
    const char *word = text_of(annotations, INJECTOR_STACK);
    const char *text = text_of(annotations, INJECTOR_MAPPING);
    if (word && text)
        return dmm_err_set(err, EINVAL,
                           "annotations " INJECTOR_STACK " and " INJECTOR_MAPPING
                           " contradict each other: give one of them");
    if (word)
        return dmm_mapping_from_word(&mapping, word, config->stacks, config->n_stacks,
                                     "annotation " INJECTOR_STACK, err);
    if (text)
        return dmm_mapping_parse(&mapping, text, strlen(text), config->stacks, config->n_stacks,
                                 "annotation " INJECTOR_MAPPING, err);
    return 0;
}

static int check_pod(const json_t *spec, struct dmm_err *err)
{
    const char *os = text_of(json_object_get(spec, "os"), "name");
    if (json_is_true(json_object_get(spec, "hostNetwork")))
        return dmm_err_set(err, EINVAL,
                           "spec.hostNetwork: a pod on the node's own network has no "
                           "stack: remove it, or the annotation");
    if (os && strcmp(os, "linux") != 0)
        return dmm_err_set(err, EINVAL, "spec.os.name: is \"%.32s\"; stacks run on linux", os);
    return 0;
}

/* ---- our containers ---- */

static json_t *capabilities_json(const struct injector_link *link)
{
    json_t *capabilities = json_pack("{s:[s]}", "drop", "ALL");
    json_t *add = link ? json_array() : NULL;
    for (int i = 0; add && i < INJECTOR_CAPABILITIES && link->capabilities[i]; i++)
        json_array_append_new(add, json_string(link->capabilities[i]));
    if (json_array_size(add))
        json_object_set(capabilities, "add", add);
    json_decref(add);
    return capabilities;
}

/* `link` NULL: the copier, which needs nothing. */
static json_t *security_json(const struct injector_config *config, const struct injector_link *link)
{
    bool root = link && injector_link_is_root(link);
    int user = root ? 0 : INJECTOR_NONROOT;
    json_t *seccomp = link && config->seccomp ? json_deep_copy(config->seccomp)
                                              : json_pack("{s:s}", "type", "RuntimeDefault");
    return json_pack("{s:b, s:o, s:b, s:b, s:i, s:i, s:o}", "allowPrivilegeEscalation", 0,
                     "capabilities", capabilities_json(link), "readOnlyRootFilesystem", 1,
                     "runAsNonRoot", !root, "runAsUser", user, "runAsGroup", user, "seccompProfile",
                     seccomp);
}

static json_t *mount_json(const char *volume, const char *path, bool read_only)
{
    json_t *mount = json_pack("{s:s, s:s}", "name", volume, "mountPath", path);
    if (read_only)
        json_object_set_new(mount, "readOnly", json_true());
    return mount;
}

/* Of a folder that has one for each pod, the pod's. */
static json_t *own_mount_json(const char *volume, const char *path, bool read_only)
{
    json_t *mount = mount_json(volume, path, read_only);
    json_object_set_new(mount, "subPathExpr", json_string("$(" UID_VARIABLE ")"));
    return mount;
}

static json_t *field_json(const char *variable, const char *path)
{
    return json_pack("{s:s, s:{s:{s:s, s:s}}}", "name", variable, "valueFrom", "fieldRef",
                     "apiVersion", "v1", "fieldPath", path);
}

static json_t *uid_json(void)
{
    return field_json(UID_VARIABLE, "metadata.uid");
}

static json_t *container_json(const struct injector_config *config, const char *name,
                              const char *image)
{
    json_t *container = json_pack("{s:s, s:s}", "name", name, "image", image);
    if (config->pull_policy)
        json_object_set_new(container, "imagePullPolicy", json_string(config->pull_policy));
    return container;
}

static json_t *shim_json(const struct injector_config *config)
{
    json_t *shim = container_json(config, SHIM_CONTAINER, config->shim_image);
    json_object_set_new(shim, "args", json_pack("[s]", SHIM_PATH));
    json_object_set_new(shim, "securityContext", security_json(config, NULL));
    json_object_set_new(shim, "volumeMounts",
                        json_pack("[o]", mount_json(SHIM_VOLUME, SHIM_PATH, false)));
    return shim;
}

static json_t *exec_json(const char *verb)
{
    return json_pack("{s:{s:[s, s]}}", "exec", "command", "dmmctl", verb);
}

static json_t *probe_json(const char *verb, int period, int failures)
{
    json_t *probe = exec_json(verb);
    json_object_set_new(probe, "periodSeconds", json_integer(period));
    json_object_set_new(probe, "timeoutSeconds", json_integer(5));
    json_object_set_new(probe, "failureThreshold", json_integer(failures));
    return probe;
}

static json_t *resources_json(const struct injector_config *config)
{
    json_t *resources = config->resources ? json_deep_copy(config->resources) : json_object();
    if (!config->hugepages_mi)
        return resources;
    char amount[32];
    snprintf(amount, sizeof(amount), "%uMi", config->hugepages_mi);
    static const char *const kinds[] = {"requests", "limits"};
    for (int i = 0; i < 2; i++) {
        json_t *kind = json_object_get(resources, kinds[i]);
        if (!kind) {
            kind = json_object();
            json_object_set_new(resources, kinds[i], kind);
        }
        json_object_set_new(kind, "hugepages-2Mi", json_string(amount));
        /* Kubernetes takes hugepages only beside one of cpu and memory. */
        if (!json_object_get(kind, "memory") && !json_object_get(kind, "cpu"))
            json_object_set_new(kind, "memory", json_string("128Mi"));
    }
    return resources;
}

/* What a watch at the API server takes: the pod's name, and the sidecar's own token. */
static void add_watch(json_t *args, json_t *env, json_t *mounts)
{
    json_array_append_new(args, json_string("--watch-pod"));
    json_array_append_new(args, json_string("$(" SPACE_VARIABLE ")/$(" NAME_VARIABLE ")"));
    json_array_append_new(env, field_json(NAME_VARIABLE, "metadata.name"));
    json_array_append_new(env, field_json(SPACE_VARIABLE, "metadata.namespace"));
    json_array_append_new(mounts, mount_json(KUBE_VOLUME, KUBE_PATH, true));
}

/* As the kubelet makes it for every container of a pod with an account, but for ours alone, and
 * without the namespace, which we know. */
static json_t *kube_volume_json(void)
{
    return json_pack("{s:s, s:{s:[{s:{s:s, s:i}}, {s:{s:s, s:[{s:s, s:s}]}}]}}", "name",
                     KUBE_VOLUME, "projected", "sources", "serviceAccountToken", "path", "token",
                     "expirationSeconds", TOKEN_SECONDS, "configMap", "name", "kube-root-ca.crt",
                     "items", "key", "ca.crt", "path", "ca.crt");
}

/* An ordinary container's startup probe holds nobody back, but the kubelet starts a pod's
 * containers one after the other, and goes on when the hook has returned. */
static json_t *lifecycle_json(const struct injector_config *config)
{
    json_t *lifecycle = json_pack("{s:o}", "preStop", exec_json("drain"));
    if (!config->native)
        json_object_set_new(lifecycle, "postStart",
                            json_pack("{s:{s:[s, s, s, s]}}", "exec", "command", "dmmctl", "--wait",
                                      "60", "ready"));
    return lifecycle;
}

static json_t *sidecar_json(const struct injector_config *config)
{
    size_t i;
    json_t *word;
    char number[32];
    json_t *sidecar = container_json(config, SIDECAR, config->stackd_image);
    json_t *args = json_pack("[s, s]", "--annotations", INFO_PATH "/annotations");
    json_t *mounts = json_pack("[o, o]", own_mount_json(POD_VOLUME, POD_PATH, false),
                               mount_json(INFO_VOLUME, INFO_PATH, true));
    json_t *env = json_pack("[o]", uid_json());
    json_array_foreach(config->stackd_args, i, word)
    {
        json_array_append(args, word);
    }
    if (config->link->maps) {
        json_array_append_new(args, json_string("--bpf-dir"));
        json_array_append_new(args, json_string(MAP_PATH));
        json_array_append_new(mounts, own_mount_json(MAP_VOLUME, MAP_PATH, false));
    }
    if (config->link->device)
        json_array_append_new(mounts, mount_json(DEVICE_VOLUME, config->link->device, false));
    if (config->watch)
        add_watch(args, env, mounts);
    /* Where the node has it: the port file names sockets by the node's paths. */
    if (config->sockets_dir)
        json_array_append_new(mounts, mount_json(PAIR_VOLUME, config->sockets_dir, false));
    if (config->hugepages_mi) {
        snprintf(number, sizeof(number), "%u", config->hugepages_mi);
        json_array_append_new(env,
                              json_pack("{s:s, s:s}", "name", "DMM_HUGEPAGES_MB", "value", number));
    }
    if (config->native)
        json_object_set_new(sidecar, "restartPolicy", json_string("Always"));
    json_object_set_new(sidecar, "args", args);
    json_object_set_new(sidecar, "env", env);
    json_t *resources = resources_json(config);
    if (json_object_size(resources))
        json_object_set(sidecar, "resources", resources);
    json_decref(resources);
    json_object_set_new(sidecar, "startupProbe", probe_json("ready", 1, 60));
    json_object_set_new(sidecar, "livenessProbe", probe_json("health", 10, 3));
    json_object_set_new(sidecar, "lifecycle", lifecycle_json(config));
    json_object_set_new(sidecar, "securityContext", security_json(config, config->link));
    json_object_set_new(sidecar, "volumeMounts", mounts);
    return sidecar;
}

/* ---- the pod's containers ---- */

static int put_mount(json_t *container, json_t *mount, struct dmm_err *err)
{
    const char *name = text_of(container, "name");
    const char *path = text_of(mount, "mountPath");
    json_t *mounts = list_in(container, "volumeMounts", err);
    const json_t *there = mounts && path ? find(mounts, "mountPath", path) : NULL;
    const char *volume = text_of(there, "name");
    int rc = 0;
    if (!mounts || !path)
        rc = -EINVAL;
    else if (there && (!volume || strcmp(volume, text_of(mount, "name")) != 0))
        rc = dmm_err_set(err, EINVAL, "container %.64s: volumeMounts: %s is taken by volume %.64s",
                         name ? name : "?", path, volume ? volume : "?");
    else if (!there)
        rc = json_array_insert(mounts, 0, mount) ? dmm_err_set(err, ENOMEM, "out of memory") : 0;
    json_decref(mount);
    return rc;
}

/* What the user preloads stays, behind ours. */
static int put_preload(json_t *env, const char *container, struct dmm_err *err)
{
    json_t *entry = find(env, "name", "LD_PRELOAD");
    const char *value = text_of(entry, "value");
    if (!entry)
        return json_array_insert_new(
            env, 0, json_pack("{s:s, s:s}", "name", "LD_PRELOAD", "value", PRELOAD));
    if (json_object_get(entry, "valueFrom"))
        return dmm_err_set(err, EINVAL,
                           "container %.64s: env: LD_PRELOAD comes from elsewhere "
                           "(valueFrom), so the shim can't be put in front of it",
                           container);
    if (value && strstr(value, PRELOAD))
        return 0;
    json_t *both = value && *value ? json_sprintf("%s:%s", PRELOAD, value) : json_string(PRELOAD);
    return json_object_set_new(entry, "value", both) ? dmm_err_set(err, ENOMEM, "out of memory")
                                                     : 0;
}

static int change_container(json_t *container, struct dmm_err *err)
{
    const char *name = text_of(container, "name");
    json_t *env = list_in(container, "env", err);
    if (!env)
        return dmm_err_prefix(err, "container %.64s", name ? name : "?");
    int rc = put_preload(env, name ? name : "?", err);
    if (!rc)
        rc = put(env, 0, uid_json(), err);
    if (!rc)
        rc = put_mount(container, mount_json(SHIM_VOLUME, SHIM_PATH, true), err);
    if (!rc)
        rc = put_mount(container, own_mount_json(POD_VOLUME, POD_PATH, true), err);
    return rc;
}

/* Of initContainers, those that run beside the app; they may be anybody's sidecars. */
static int change_containers(const json_t *list, const json_t *annotations, bool only_sidecars,
                             struct dmm_err *err)
{
    size_t i;
    json_t *container;
    int rc = 0;
    if (json_array_size(list) > INJECTOR_CONTAINERS)
        return dmm_err_set(err, EINVAL, "spec: more than %d containers", INJECTOR_CONTAINERS);
    json_array_foreach(list, i, container)
    {
        const char *name = text_of(container, "name");
        const char *policy = text_of(container, "restartPolicy");
        if (!json_is_object(container))
            return dmm_err_set(err, EINVAL, "containers[%zu]: must be an object", i);
        if ((name && !strcmp(name, SIDECAR)) || skipped(annotations, name) ||
            (only_sidecars && (!policy || strcmp(policy, "Always") != 0)))
            continue;
        rc = change_container(container, err);
        if (rc)
            return rc;
    }
    return rc;
}

static json_t *host_json(const char *volume, const char *path, const char *type)
{
    return json_pack("{s:s, s:{s:s, s:s}}", "name", volume, "hostPath", "path", path, "type", type);
}

static int put_volumes(json_t *spec, const struct injector_config *config, struct dmm_err *err)
{
    json_t *volumes = list_in(spec, "volumes", err);
    if (!volumes)
        return -EINVAL;
    /* The kubelet mounts volumes before it has the sandbox made, so before the plugin has run:
     * folders that the plugin makes may not be there yet. */
    int rc = put(volumes, 0, host_json(POD_VOLUME, config->pods_dir, "DirectoryOrCreate"), err);
    if (!rc)
        rc = put(volumes, 1,
                 json_pack("{s:s, s:{s:s}}", "name", SHIM_VOLUME, "emptyDir", "sizeLimit", "16Mi"),
                 err);
    if (!rc)
        rc = put(volumes, 2,
                 json_pack("{s:s, s:{s:[{s:s, s:{s:s, s:s}}]}}", "name", INFO_VOLUME, "downwardAPI",
                           "items", "path", "annotations", "fieldRef", "apiVersion", "v1",
                           "fieldPath", "metadata.annotations"),
                 err);
    if (!rc && config->link->maps)
        rc = put(volumes, 3, host_json(MAP_VOLUME, config->link->maps, "DirectoryOrCreate"), err);
    if (!rc && config->link->device)
        rc = put(volumes, 3, host_json(DEVICE_VOLUME, config->link->device, "CharDevice"), err);
    if (!rc && config->watch)
        rc = put(volumes, 3, kube_volume_json(), err);
    if (!rc && config->sockets_dir)
        rc = put(volumes, 3, host_json(PAIR_VOLUME, config->sockets_dir, "DirectoryOrCreate"), err);
    return rc;
}

static int put_sidecar(json_t *init, json_t *containers, json_t *annotations,
                       const struct injector_config *config, struct dmm_err *err)
{
    if (find(init, "name", SIDECAR) || find(containers, "name", SIDECAR))
        return 0;
    if (config->native)
        return put(init, 1, sidecar_json(config), err);
    /* kubectl exec and logs take the first container unless they are told which is the app's. */
    if (!json_object_get(annotations, DEFAULT_CONTAINER))
        json_object_set(annotations, DEFAULT_CONTAINER,
                        json_object_get(json_array_get(containers, 0), "name"));
    return put(containers, 0, sidecar_json(config), err);
}

static int change(json_t *spec, json_t *annotations, const struct injector_config *config,
                  struct dmm_err *err)
{
    json_t *init = list_in(spec, "initContainers", err);
    if (!init)
        return -EINVAL;
    int rc = change_containers(json_object_get(spec, "containers"), annotations, false, err);
    if (!rc)
        rc = change_containers(init, annotations, true, err);
    if (!rc)
        rc = put(init, 0, shim_json(config), err);
    if (!rc)
        rc = put_sidecar(init, json_object_get(spec, "containers"), annotations, config, err);
    if (!rc)
        rc = put_volumes(spec, config, err);
    if (!rc && !json_object_get(annotations, INJECTOR_INJECTED) &&
        json_object_set_new(annotations, INJECTOR_INJECTED, json_string(DMM_VERSION)))
        rc = dmm_err_set(err, ENOMEM, "out of memory");
    return rc;
}

int injector_inject(json_t *pod, const struct injector_config *config, bool *injected,
                    struct dmm_err *err)
{
    json_t *spec = json_object_get(pod, "spec");
    json_t *annotations = json_object_get(json_object_get(pod, "metadata"), "annotations");
    *injected = false;
    int rc = wants(annotations, injected, err);
    if (rc || !*injected)
        return rc;
    if (!json_is_object(spec) || !json_is_array(json_object_get(spec, "containers")))
        return dmm_err_set(err, EINVAL, "spec.containers: missing");
    rc = check_pod(spec, err);
    if (!rc)
        rc = check_mapping(annotations, config, err);
    return rc ? rc : change(spec, annotations, config, err);
}

/* ---- the patch ---- */

static void patch_key(json_t *patch, const json_t *before, const json_t *after, const char *path,
                      const char *key, const char *escaped)
{
    json_t *value = json_object_get(after, key);
    if (!value || json_equal(value, json_object_get(before, key)))
        return;
    /* RFC 6902, section 4.1: "add" to a member that exists replaces it. */
    json_array_append_new(patch, json_pack("{s:s, s:o, s:O}", "op", "add", "path",
                                           json_sprintf("%s/%s", path, escaped), "value", value));
}

json_t *injector_patch(const json_t *before, const json_t *after)
{
    static const char *const of_spec[] = {"initContainers", "volumes"};
    static const char *const of_container[] = {"env", "volumeMounts"};
    char path[64];
    size_t i;
    const json_t *container;
    const json_t *old_spec = json_object_get(before, "spec");
    const json_t *new_spec = json_object_get(after, "spec");
    const json_t *old_containers = json_object_get(old_spec, "containers");
    json_t *patch = json_array();
    const json_t *old_annotations =
        json_object_get(json_object_get(before, "metadata"), "annotations");
    const json_t *new_annotations =
        json_object_get(json_object_get(after, "metadata"), "annotations");
    patch_key(patch, old_annotations, new_annotations, "/metadata/annotations", INJECTOR_INJECTED,
              "dmm.fd.io~1injected");
    patch_key(patch, old_annotations, new_annotations, "/metadata/annotations", DEFAULT_CONTAINER,
              "kubectl.kubernetes.io~1default-container");
    for (size_t k = 0; k < 2; k++)
        patch_key(patch, old_spec, new_spec, "/spec", of_spec[k], of_spec[k]);
    /* With one more, all are at other places. */
    if (json_array_size(old_containers) != json_array_size(json_object_get(new_spec, "containers")))
        patch_key(patch, old_spec, new_spec, "/spec", "containers", "containers");
    else
        json_array_foreach(json_object_get(new_spec, "containers"), i, container)
        {
            snprintf(path, sizeof(path), "/spec/containers/%zu", i);
            for (size_t k = 0; k < 2; k++)
                patch_key(patch, json_array_get(old_containers, i), container, path,
                          of_container[k], of_container[k]);
        }
    return patch;
}
