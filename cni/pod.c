/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/pod.h"

#include "cni/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int dmm_pod_identify(struct dmm_pod *pod, const struct dmm_cni_env *env, const char *root,
                     struct dmm_cni_error *error)
{
    const char *uid = dmm_cni_args_get(&env->args, "K8S_POD_UID");
    *pod = (struct dmm_pod){root, uid && *uid ? uid : env->container_id};
    if (!dmm_cni_id_valid(pod->id) || strlen(pod->id) > NAME_MAX)
        return dmm_cni_fail(error, DMM_CNI_E_ENVIRONMENT,
                            "CNI_ARGS: K8S_POD_UID: \"%s\" is not a plain name", pod->id);
    return 0;
}

/* The lock of <root>/pods, which is held by its fd; made if `make`. -ENOENT if it is not there. */
static int open_pods(const char *root, bool make, struct dmm_err *err)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/pods", root) >= sizeof(path))
        return dmm_err_set(err, ENAMETOOLONG, "podDir: path too long");
    int rc = make ? dmm_dir_make(path, err) : 0;
    int fd = rc ? rc : dmm_dir_open(AT_FDCWD, path, err);
    if (fd < 0)
        return fd;
    while (flock(fd, LOCK_EX)) {
        if (errno != EINTR) {
            rc = dmm_err_set(err, errno, "lock %s: %s", path, strerror(errno));
            close(fd);
            return rc;
        }
    }
    return fd;
}

/* *dir is -1 where the pod has none yet. */
static int open_existing(const struct dmm_pod *pod, int *dir, struct dmm_err *err)
{
    char path[PATH_MAX];
    *dir = -1;
    if ((size_t)snprintf(path, sizeof(path), "%s/pods/%s", pod->root, pod->id) >= sizeof(path))
        return dmm_err_set(err, ENAMETOOLONG, "podDir: path too long");
    int fd = dmm_dir_open(AT_FDCWD, path, err);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    *dir = fd;
    return 0;
}

/* NULL in *text where there is no such file. */
static int read_existing(int dir, const char *name, char **text, size_t *len, struct dmm_err *err)
{
    *text = NULL;
    if (dir < 0)
        return 0;
    int rc = dmm_file_read(dir, name, DMM_FILE_MAX, text, len, err);
    return rc == -ENOENT ? 0 : rc;
}

static const json_t *find_stack(const json_t *list, const char *name)
{
    size_t i;
    const json_t *stack;
    json_array_foreach(list, i, stack)
    {
        const char *have = json_string_value(json_object_get(stack, "name"));
        if (have && !strcmp(have, name))
            return stack;
    }
    return NULL;
}

/* Adds our stacks to those of earlier attachments. One name must mean one thing. */
static int join_stacks(json_t *have, const json_t *ours, struct dmm_err *err)
{
    size_t i;
    json_t *stack;
    json_t *list = json_object_get(have, "stacks");
    json_array_foreach(json_object_get(ours, "stacks"), i, stack)
    {
        const char *name = json_string_value(json_object_get(stack, "name"));
        const json_t *same = find_stack(list, name ? name : "");
        if (same && !json_equal(same, stack))
            return dmm_err_set(err, EINVAL,
                               "stacks[%zu]: \"%s\" is something else in an earlier attachment of "
                               "this pod",
                               i, name);
        if (!same && json_array_append(list, stack))
            return dmm_err_set(err, ENOMEM, "stacks: out of memory");
    }
    return 0;
}

static int load_stacks(json_t **stacks, int dir, struct dmm_err *err)
{
    char *text = NULL;
    size_t len = 0;
    struct dmm_stacks_config parsed = {0};
    int rc = read_existing(dir, "stacks.json", &text, &len, err);
    if (rc)
        return rc;
    rc = text ? dmm_stacks_config_parse(&parsed, text, len, "stacks.json", err) : 0;
    free(text);
    if (rc)
        return rc;
    *stacks = dmm_stacks_config_json(&parsed);
    dmm_stacks_config_free(&parsed);
    return *stacks ? 0 : dmm_err_set(err, ENOMEM, "stacks: out of memory");
}

/* *all is what the pod has with this attachment. */
static int compose_stacks(struct dmm_pod_content *content, struct dmm_stacks_config *all, int dir,
                          const struct dmm_netconf *conf, struct dmm_err *err)
{
    json_t *have = NULL;
    json_t *ours = dmm_stacks_config_json(&conf->stacks);
    int rc = ours ? load_stacks(&have, dir, err) : dmm_err_set(err, ENOMEM, "stacks: no memory");
    if (!rc)
        rc = join_stacks(have, ours, err);
    if (!rc)
        rc = dmm_stacks_config_from_json(all, json_object_get(have, "stacks"), "stacks", err);
    if (!rc && !(content->stacks = json_dumps(have, JSON_INDENT(1)))) {
        dmm_stacks_config_free(all);
        rc = dmm_err_set(err, ENOMEM, "stacks: out of memory");
    }
    json_decref(have);
    json_decref(ours);
    return rc;
}

struct names {
    const char *name[DMM_MAPPING_INSTANCES];
    unsigned n;
};

static int parse_text(struct dmm_mapping *mapping, const char *text, const struct names *names,
                      const char *source, struct dmm_err *err)
{
    return dmm_mapping_parse(mapping, text, strlen(text), names->name, names->n, source, err);
}

/* What this attachment wants; *given is false where it has no opinion. */
static int wanted_mapping(struct dmm_mapping *mapping, bool *given, const struct dmm_netconf *conf,
                          const struct dmm_annotations *annotations, const struct names *names,
                          struct dmm_err *err)
{
    *given = true;
    if (annotations->mapping)
        return parse_text(mapping, annotations->mapping, names, annotations->source, err);
    if (annotations->stack)
        return dmm_mapping_from_word(mapping, annotations->stack, names->name, names->n,
                                     annotations->source, err);
    if (conf->mapping) {
        char *text = json_dumps(conf->mapping, JSON_COMPACT);
        int rc = text ? parse_text(mapping, text, names, "mapping", err)
                      : dmm_err_set(err, ENOMEM, "mapping: out of memory");
        free(text);
        return rc;
    }
    *given = false;
    return dmm_mapping_from_word(mapping, "kernel", names->name, names->n, "mapping", err);
}

/* Keeps what an earlier attachment wrote, unless that was the mapping of no opinion. */
static int join_mapping(struct dmm_pod_content *content, bool given, int dir,
                        const struct names *names, struct dmm_err *err)
{
    static struct dmm_mapping earlier; /* too large for a small stack */
    char *text = NULL;
    size_t len = 0;
    int rc = read_existing(dir, "mapping.json", &text, &len, err);
    if (rc || !text)
        return rc;
    rc = parse_text(&earlier, text, names, "mapping.json", err);
    free(text);
    if (rc || (!earlier.n_rules && earlier.default_instance == DMM_INSTANCE_KERNEL))
        return rc;
    char *canonical = dmm_mapping_format(&earlier);
    if (!canonical)
        return dmm_err_set(err, ENOMEM, "mapping: out of memory");
    if (given && strcmp(canonical, content->mapping) != 0)
        rc = dmm_err_set(err, EINVAL,
                         "mapping: differs from that of an earlier attachment of this pod");
    free(content->mapping);
    content->mapping = canonical;
    return rc;
}

static int compose_mapping(struct dmm_pod_content *content, int dir,
                           const struct dmm_stacks_config *all, const struct dmm_netconf *conf,
                           const struct dmm_annotations *annotations, struct dmm_err *err)
{
    static struct dmm_mapping mapping;
    struct names names = {.n = all->n_stacks};
    bool given;
    for (unsigned i = 0; i < all->n_stacks; i++)
        names.name[i] = all->stacks[i].name;
    int rc = wanted_mapping(&mapping, &given, conf, annotations, &names, err);
    if (rc)
        return rc;
    content->mapping = dmm_mapping_format(&mapping);
    if (!content->mapping)
        return dmm_err_set(err, ENOMEM, "mapping: out of memory");
    return join_mapping(content, given, dir, &names, err);
}

static int compose_on_failure(struct dmm_pod_content *content, int dir,
                              const struct dmm_netconf *conf, struct dmm_err *err)
{
    char *text = NULL;
    size_t len = 0;
    content->on_failure = dmm_on_failure_text(conf->on_failure);
    int rc = read_existing(dir, "on_failure", &text, &len, err);
    if (rc || !text)
        return rc;
    text[strcspn(text, "\n")] = '\0';
    if (strcmp(text, content->on_failure) != 0)
        rc = dmm_err_set(err, EINVAL,
                         "on_failure: \"%s\" differs from that of an earlier attachment of this "
                         "pod",
                         content->on_failure);
    free(text);
    return rc;
}

/* An earlier attachment's sidecar is the pod's. */
static int compose_owner(struct dmm_pod_content *content, int dir, const struct dmm_netconf *conf,
                         struct dmm_err *err)
{
    struct stat st;
    content->owner = conf->sidecar;
    if (dir < 0 || fstatat(dir, "pod.json", &st, AT_SYMLINK_NOFOLLOW))
        return 0; /* nobody's yet */
    if (fstat(dir, &st))
        return dmm_err_set(err, errno, "pod directory: %s", strerror(errno));
    if (st.st_uid != conf->sidecar.uid || st.st_gid != conf->sidecar.gid)
        return dmm_err_set(err, EINVAL,
                           "sidecar: %u:%u is not who an earlier attachment of this pod names "
                           "(%u:%u)",
                           conf->sidecar.uid, conf->sidecar.gid, st.st_uid, st.st_gid);
    return 0;
}

static int compose_pod(struct dmm_pod_content *content, const struct dmm_cni_env *env,
                       const struct dmm_netconf *conf, struct dmm_err *err)
{
    const char *uid = dmm_cni_args_get(&env->args, "K8S_POD_UID");
    const char *name = dmm_cni_args_get(&env->args, "K8S_POD_NAME");
    const char *space = dmm_cni_args_get(&env->args, "K8S_POD_NAMESPACE");
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "version", 1, "podUid", uid ? uid : "",
                  "podName", name ? name : "", "podNamespace", space ? space : "", "containerId",
                  env->container_id, "netns", env->netns);
    if (json && conf->cgroup_path)
        json_object_set_new(json, "cgroupPath", json_string(conf->cgroup_path));
    content->pod = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    json_decref(json);
    return content->pod ? 0 : dmm_err_set(err, EINVAL, "CNI_ARGS: not UTF-8");
}

int dmm_pod_compose(struct dmm_pod_content *content, const struct dmm_pod *pod,
                    const struct dmm_cni_env *env, const struct dmm_netconf *conf,
                    const struct dmm_annotations *annotations, struct dmm_cni_error *error)
{
    struct dmm_err err = {0};
    struct dmm_stacks_config all = {0};
    int dir __attribute__((cleanup(dmm_close))) = -1;
    int code = DMM_CNI_E_POD;
    memset(content, 0, sizeof(*content));
    if (open_existing(pod, &dir, &err))
        goto fail;
    code = DMM_CNI_E_ENVIRONMENT;
    if (compose_pod(content, env, conf, &err))
        goto fail;
    code = DMM_CNI_E_CONFIG;
    if (compose_owner(content, dir, conf, &err) || compose_on_failure(content, dir, conf, &err) ||
        compose_stacks(content, &all, dir, conf, &err))
        goto fail;
    code = DMM_CNI_E_MAPPING;
    int rc = compose_mapping(content, dir, &all, conf, annotations, &err);
    dmm_stacks_config_free(&all);
    if (!rc)
        return 0;
fail:
    dmm_pod_content_free(content);
    return dmm_cni_fail_from(error, code, &err);
}

void dmm_pod_content_free(struct dmm_pod_content *content)
{
    free(content->pod);
    free(content->stacks);
    free(content->mapping);
    memset(content, 0, sizeof(*content));
}

static int write_text(int dir, const char *name, const char *text, struct dmm_err *err)
{
    return dmm_file_replace(dir, name, 0644, text, strlen(text), err);
}

static int port_file(char name[NAME_MAX + 1], const char *ifname)
{
    return snprintf(name, NAME_MAX + 1, "%s.json", ifname);
}

static int write_port(int dir, const struct dmm_port_config *port, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    port_file(name, port->ifname);
    int ports __attribute__((cleanup(dmm_close))) = dmm_dir_make_open(dir, "ports", err);
    if (ports < 0)
        return ports;
    json_t *json = dmm_port_config_json(port);
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    json_decref(json);
    int rc = text ? write_text(ports, name, text, err)
                  : dmm_err_set(err, ENOMEM, "port file: out of memory");
    free(text);
    return rc;
}

int dmm_pod_write(const struct dmm_pod *pod, const struct dmm_pod_content *content,
                  const struct dmm_port_config *port, struct dmm_err *err)
{
    char on_failure[16];
    snprintf(on_failure, sizeof(on_failure), "%s\n", content->on_failure);
    int pods __attribute__((cleanup(dmm_close))) = open_pods(pod->root, true, err);
    if (pods < 0)
        return pods;
    int dir __attribute__((cleanup(dmm_close))) = dmm_dir_make_open(pods, pod->id, err);
    if (dir < 0)
        return dir;
    int rc = 0;
    if (fchown(dir, content->owner.uid, content->owner.gid))
        rc = dmm_err_set(err, errno, "pod directory %s: chown: %s", pod->id, strerror(errno));
    if (!rc)
        rc = write_text(dir, "pod.json", content->pod, err);
    if (!rc)
        rc = write_text(dir, "stacks.json", content->stacks, err);
    if (!rc)
        rc = write_text(dir, "mapping.json", content->mapping, err);
    if (!rc)
        rc = write_text(dir, "on_failure", on_failure, err);
    return rc ? rc : write_port(dir, port, err);
}

int dmm_pod_read_port(const struct dmm_pod *pod, const char *ifname, struct dmm_port_config *port,
                      struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    char *text = NULL;
    size_t len = 0;
    int dir __attribute__((cleanup(dmm_close))) = -1;
    port_file(name, ifname);
    int rc = open_existing(pod, &dir, err);
    if (rc)
        return rc;
    if (dir < 0)
        return dmm_err_set(err, ENOENT, "pod directory %s: is gone", pod->id);
    int ports __attribute__((cleanup(dmm_close))) = dmm_dir_open(dir, "ports", err);
    if (ports < 0)
        return ports;
    rc = dmm_file_read(ports, name, DMM_FILE_MAX, &text, &len, err);
    if (rc)
        return rc;
    rc = dmm_port_config_parse(port, text, len, name, err);
    free(text);
    return rc;
}

/* True if there is a port file of another attachment. */
static bool has_ports(int ports)
{
    int fd = openat(ports, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        dmm_close(&fd);
        return false;
    }
    bool found = false;
    const struct dirent *entry;
    while (!found && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        found = len > 5 && entry->d_name[0] != '.' && !strcmp(entry->d_name + len - 5, ".json");
    }
    closedir(dir);
    return found;
}

int dmm_pod_remove(const struct dmm_pod *pod, const char *ifname, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    port_file(name, ifname);
    int pods __attribute__((cleanup(dmm_close))) = open_pods(pod->root, false, err);
    if (pods < 0)
        return pods == -ENOENT ? 0 : pods;
    int dir __attribute__((cleanup(dmm_close))) = dmm_dir_open(pods, pod->id, err);
    if (dir == -ENOENT)
        return 0;
    int ports __attribute__((cleanup(dmm_close))) = dir < 0 ? dir : dmm_dir_open(dir, "ports", err);
    if (ports >= 0) {
        int rc = dmm_file_remove(ports, name, err);
        if (rc)
            return rc;
        if (has_ports(ports))
            return 0;
    }
    /* The last one; or the pod put something else in its place: away with it all the same. */
    return dmm_dir_remove(pods, pod->id, err);
}
