/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pod directory: stacks.json once, mapping.json whenever it changes, ports as they come. A port
 * is made on a thread of its own, since that may block; an instance starts when its ports are
 * there.
 */
#include "common/log.h"
#include "sidecar/control.h"
#include "sidecar/podinfo.h"
#include "sidecar/podpath.h"
#include "sidecar/stack_table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_NS UINT64_C(2000000000)
#define LINK_NS   UINT64_C(10000000000) /* below the startup probe's patience */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- files ---- */

/* The text of a file, NUL-terminated, malloc'ed; errors call it `name`. NULL with err set; code
 * ENOENT if it is not there. */
static char *read_path(const char *path, const char *name, size_t max, struct dmm_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status)) {
        dmm_err_set(err, errno, "%s: %s", name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    char *text = NULL;
    if (!S_ISREG(status.st_mode) || status.st_size > (off_t)max) {
        dmm_err_set(err, EFBIG, "%s: it is not a file of at most %zu bytes", name, max);
    } else if (!(text = malloc((size_t)status.st_size + 1))) {
        dmm_err_set(err, ENOMEM, "%s: out of memory", name);
    } else {
        ssize_t n = read(fd, text, (size_t)status.st_size);
        if (n < 0) {
            dmm_err_set(err, errno, "%s: %s", name, strerror(errno));
            free(text);
            text = NULL;
        } else {
            text[n] = 0;
        }
    }
    close(fd);
    return text;
}

/* The same, of a file of the pod directory. */
static char *read_file(const struct dmm_control *control, const char *name, struct dmm_err *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", control->options.pod_dir, name);
    return read_path(path, name, DMM_FILE_MAX, err);
}

/* ---- stacks ---- */

static int check_ports_once(const struct dmm_stacks_config *stacks, struct dmm_err *err)
{
    for (unsigned i = 0; i < stacks->n_stacks; i++)
        for (unsigned p = 0; p < stacks->stacks[i].n_ports; p++)
            for (unsigned j = 0; j < i; j++)
                for (unsigned q = 0; q < stacks->stacks[j].n_ports; q++)
                    if (!strcmp(stacks->stacks[i].ports[p], stacks->stacks[j].ports[q]))
                        return dmm_err_set(
                            err, EINVAL, "stacks.json: stacks[%u].ports: %s belongs to %s already",
                            i, stacks->stacks[i].ports[p], stacks->stacks[j].name);
    return 0;
}

static int make_instance(struct dmm_control *control,
                         const struct dmm_stack_instance_config *config, struct dmm_err *err)
{
    struct dmm_instance *instance = &control->instances[control->n_instances];
    memcpy(instance->name, config->name, sizeof(instance->name));
    instance->ops = dmm_stack_find(config, err);
    if (!instance->ops)
        return -err->code;
    snprintf(instance->type, sizeof(instance->type), "%s", instance->ops->type);
    for (unsigned i = 1; i < control->n_instances; i++)
        if (instance->ops->capabilities & DMM_STACK_SINGLE &&
            control->instances[i].ops == instance->ops)
            return dmm_err_set(err, EINVAL,
                               "stacks.json: stack %s: there can be only one of type %s, and %s is",
                               config->name, instance->ops->type, control->instances[i].name);
    control->n_instances++;
    return 0;
}

static void add_instances(void *arg)
{
    struct dmm_control *control = arg;
    for (unsigned i = 0; i < control->n_instances; i++)
        dmm_worker_add_instance(&control->worker, &control->instances[i]);
}

static int load_stacks(struct dmm_control *control, struct dmm_err *err)
{
    char *text = read_file(control, "stacks.json", err);
    if (!text)
        return -err->code;
    if (control->stacks_text) {
        if (strcmp(text, control->stacks_text) != 0)
            dmm_log(DMM_LOG_WARN, "stacks.json has changed: restart the sidecar to apply it");
        free(control->stacks_text);
        control->stacks_text = text;
        return 0;
    }
    int rc = dmm_stacks_config_parse(&control->stacks, text, strlen(text), "stacks.json", err);
    if (rc) {
        free(text);
        return rc;
    }
    control->stacks_text = text;
    control->instances[0] = (struct dmm_instance){.name = "kernel", .type = "kernel", .up = true};
    control->n_instances = 1;
    rc = check_ports_once(&control->stacks, err);
    for (unsigned i = 0; !rc && i < control->stacks.n_stacks; i++)
        rc = make_instance(control, &control->stacks.stacks[i], err);
    if (!rc)
        dmm_worker_call(&control->worker, add_instances, control);
    return rc;
}

/* ---- mapping ---- */

static void publish_mapping(void *arg)
{
    struct dmm_control *control = arg;
    dmm_worker_set_mapping(&control->worker, &control->mapping);
}

/* The two annotations by the watch; malloc'ed, NULL where the pod has not got it. */
static int watched_annotations(const struct dmm_watched *watched, char **word, char **mapping,
                               struct dmm_err *err)
{
    *word = watched->word ? strdup(watched->word) : NULL;
    *mapping = watched->mapping ? strdup(watched->mapping) : NULL;
    return (watched->word && !*word) || (watched->mapping && !*mapping)
               ? dmm_err_set(err, ENOMEM, "annotations: out of memory")
               : 0;
}

/* The same by the file, where there is one. */
static int file_annotations(const char *path, char **word, char **mapping, struct dmm_err *err)
{
    char *text = path ? read_path(path, "annotations", DMM_PODINFO_MAX, err) : NULL;
    if (!text)
        return !path || err->code == ENOENT ? 0 : -err->code;
    int rc = dmm_podinfo_get(text, strlen(text), "dmm.fd.io/stack", word, err);
    if (!rc)
        rc = dmm_podinfo_get(text, strlen(text), "dmm.fd.io/mapping", mapping, err);
    free(text);
    return rc ? dmm_err_prefix(err, "%s", path) : 0;
}

/* What the annotations say; source->text stays NULL where they say nothing. */
static int find_annotation(const struct dmm_control *control, struct dmm_mapping_source *source,
                           struct dmm_err *err)
{
    char *word = NULL;
    char *mapping = NULL;
    int rc = control->watched.known
                 ? watched_annotations(&control->watched, &word, &mapping, err)
                 : file_annotations(control->options.annotations, &word, &mapping, err);
    if (!rc && word && mapping)
        rc = dmm_err_set(err, EINVAL,
                         "annotations dmm.fd.io/stack and dmm.fd.io/mapping contradict each other: "
                         "give one of them");
    if (rc) {
        free(word);
        free(mapping);
        return rc;
    }
    source->word = word;
    source->text = word ? word : mapping;
    source->name = word ? "annotation dmm.fd.io/stack" : "annotation dmm.fd.io/mapping";
    return 0;
}

static int find_file(const struct dmm_control *control, struct dmm_mapping_source *source,
                     struct dmm_err *err)
{
    *source = (struct dmm_mapping_source){.name = "mapping.json"};
    source->text = read_file(control, source->name, err);
    return source->text ? 0 : -err->code;
}

static int find_mapping(const struct dmm_control *control, struct dmm_mapping_source *source,
                        struct dmm_err *err)
{
    *source = (struct dmm_mapping_source){0};
    int rc = find_annotation(control, source, err);
    return rc || source->text ? rc : find_file(control, source, err);
}

static int parse_mapping(struct dmm_control *control, const struct dmm_mapping_source *source,
                         struct dmm_err *err)
{
    const char *names[DMM_MAPPING_INSTANCES];
    for (unsigned i = 1; i < control->n_instances; i++)
        names[i - 1] = control->instances[i].name;
    return source->word ? dmm_mapping_from_word(&control->mapping, source->text, names,
                                                control->n_instances - 1, source->name, err)
                        : dmm_mapping_parse(&control->mapping, source->text, strlen(source->text),
                                            names, control->n_instances - 1, source->name, err);
}

static bool same_source(const struct dmm_mapping_source *a, const struct dmm_mapping_source *b)
{
    return a->text && b->text && a->word == b->word && !strcmp(a->text, b->text);
}

/* At the start there must be one. A sidecar that starts again while the annotation is bad goes on
 * with what the pod began with, for a bad value is kept out, not obeyed by ending. */
static int start_from_file(struct dmm_control *control, struct dmm_err *err)
{
    struct dmm_mapping_source file;
    dmm_log(DMM_LOG_ERROR, "%s: going on with mapping.json", err->text);
    int rc = find_file(control, &file, err);
    if (!rc)
        rc = parse_mapping(control, &file, err);
    free(file.text);
    return rc;
}

static int load_mapping(struct dmm_control *control, struct dmm_err *err)
{
    struct dmm_mapping_source source;
    int rc = find_mapping(control, &source, err);
    if (!rc && same_source(&source, &control->mapping_source)) {
        free(source.text);
        return 0;
    }
    if (!rc) {
        free(control->mapping_source.text);
        control->mapping_source = source;
        rc = parse_mapping(control, &source, err);
    }
    control->mappings_refused += rc && rc != -ENOENT;
    if (rc && rc != -ENOENT && !control->configured &&
        (control->options.annotations || control->watched.known))
        rc = start_from_file(control, err);
    if (rc)
        return rc;
    control->mapping_generation++;
    dmm_worker_call(&control->worker, publish_mapping, control);
    if (control->configured)
        dmm_log(DMM_LOG_INFO, "%s: generation %u, %u rules, default %s", source.name,
                control->mapping_generation, control->mapping.n_rules,
                control->mapping.instances[control->mapping.default_instance]);
    return 0;
}

/* ---- instances ---- */

struct start {
    struct dmm_control *control;
    struct dmm_instance *instance;
    char *options;
    struct dmm_err err;
    int rc;
};

static void start_on_worker(void *arg)
{
    struct start *start = arg;
    start->rc = dmm_worker_start_instance(&start->control->worker, start->instance, start->options,
                                          &start->err);
}

static void start_instance(struct dmm_control *control, struct dmm_instance *instance,
                           const json_t *options)
{
    struct start start = {.control = control, .instance = instance};
    start.options = json_dumps(options, JSON_COMPACT);
    if (!start.options) {
        start.rc = dmm_err_set(&start.err, ENOMEM, "stack %s: out of memory", instance->name);
        instance->failed = true;
    } else {
        dmm_worker_call(&control->worker, start_on_worker, &start);
    }
    free(start.options);
    if (start.rc) {
        dmm_log(DMM_LOG_ERROR, "%s", start.err.text);
        instance->why = start.err;
        control->fatal = control->fatal || !control->ready;
    } else {
        instance->up_since = now_ns();
        dmm_log(DMM_LOG_INFO, "stack %s is up: type %s, %u ports", instance->name, instance->type,
                instance->n_ports);
    }
}

static const struct dmm_pod_port *port_called(const struct dmm_control *control, const char *name)
{
    for (unsigned i = 0; i < control->n_ports; i++)
        if (!strcmp(control->ports[i].config.ifname, name))
            return &control->ports[i];
    return NULL;
}

static struct dmm_pod_port *find_port(struct dmm_control *control, const char *name)
{
    return (struct dmm_pod_port *)port_called(control, name);
}

static bool named_by_any(const struct dmm_control *control, const char *port)
{
    for (unsigned i = 0; i < control->stacks.n_stacks; i++)
        for (unsigned p = 0; p < control->stacks.stacks[i].n_ports; p++)
            if (!strcmp(control->stacks.stacks[i].ports[p], port))
                return true;
    return false;
}

/* The ports of an instance into `found`; false: one of them is not there yet. */
static bool collect_ports(struct dmm_control *control,
                          const struct dmm_stack_instance_config *config,
                          struct dmm_pod_port *found[DMM_POD_PORTS], unsigned *n)
{
    *n = 0;
    for (unsigned i = 0; i < config->n_ports; i++) {
        found[*n] = find_port(control, config->ports[i]);
        if (!found[*n] || !found[*n]->port)
            return false;
        (*n)++;
    }
    for (unsigned i = 0; !config->n_ports && i < control->n_ports; i++) {
        struct dmm_pod_port *port = &control->ports[i];
        if (port->failed || port->instance || named_by_any(control, port->config.ifname))
            continue;
        if (!port->port)
            return false;
        found[(*n)++] = port;
    }
    return *n > 0;
}

static void start_instances(struct dmm_control *control)
{
    for (unsigned i = 1; i < control->n_instances; i++) {
        struct dmm_instance *instance = &control->instances[i];
        const struct dmm_stack_instance_config *config = &control->stacks.stacks[i - 1];
        struct dmm_pod_port *ports[DMM_POD_PORTS];
        unsigned n = 0;
        if (instance->up || instance->failed)
            continue;
        if (instance->ops->capabilities & DMM_STACK_PORTS &&
            !collect_ports(control, config, ports, &n))
            continue;
        for (unsigned p = 0; p < n; p++) {
            ports[p]->instance = instance;
            instance->ports[p].port = ports[p]->port;
            memcpy(instance->ports[p].name, ports[p]->config.ifname, IFNAMSIZ);
        }
        instance->n_ports = n;
        start_instance(control, instance, config->options);
    }
}

/* ---- what is missing ---- */

static void lacks_port(const struct dmm_pod_port *port, const char *stack, const char *name,
                       struct dmm_err *what)
{
    if (!port)
        dmm_err_set(what, ENOENT, "stack %s is not up: it waits for port %s", stack, name);
    else if (port->failed)
        dmm_err_set(what, port->why.code, "stack %s is not up: %s", stack, port->why.text);
    else
        dmm_err_set(what, EAGAIN, "stack %s is not up: port %s is being opened", stack,
                    port->config.ifname);
}

/* As collect_ports() looks for them. */
static void lacks_ports(const struct dmm_control *control,
                        const struct dmm_stack_instance_config *config, struct dmm_err *what)
{
    const struct dmm_pod_port *found = NULL;
    for (unsigned i = 0; i < config->n_ports; i++) {
        const struct dmm_pod_port *port = port_called(control, config->ports[i]);
        if (!port || !port->port) {
            lacks_port(port, config->name, config->ports[i], what);
            return;
        }
    }
    for (unsigned i = 0; i < control->n_ports; i++) {
        const struct dmm_pod_port *port = &control->ports[i];
        if (!port->port && !named_by_any(control, port->config.ifname))
            found = port;
    }
    if (found)
        lacks_port(found, config->name, NULL, what);
    else
        dmm_err_set(what, ENOENT, "stack %s is not up: the pod has no port for it", config->name);
}

/* A link is waited for, but not for ever: the other end may be a pod that nobody has made yet. */
static bool lacks_link(const struct dmm_instance *instance, struct dmm_err *what)
{
    if (now_ns() - instance->up_since >= LINK_NS)
        return false;
    for (unsigned p = 0; p < instance->n_ports; p++)
        if (!atomic_load_explicit(&instance->ports[p].linked, memory_order_relaxed)) {
            dmm_err_set(what, ENETDOWN, "stack %s: the link of port %s is down", instance->name,
                        instance->ports[p].name);
            return true;
        }
    return false;
}

bool dmm_pod_lacks(const struct dmm_control *control, struct dmm_err *what)
{
    for (unsigned i = 1; control->configured && i < control->n_instances; i++) {
        const struct dmm_instance *instance = &control->instances[i];
        if (instance->up)
            continue;
        if (instance->failed)
            *what = instance->why;
        else
            lacks_ports(control, &control->stacks.stacks[i - 1], what);
        return true;
    }
    if (!control->configured)
        dmm_err_set(what, ENOENT, "waiting for %s",
                    control->stacks_text ? "mapping.json" : "stacks.json");
    else if (!control->ready)
        dmm_err_set(what, EAGAIN, "starting");
    for (unsigned i = 1; control->ready && i < control->n_instances; i++)
        if (lacks_link(&control->instances[i], what))
            return true;
    return !control->ready;
}

bool dmm_pod_settled(struct dmm_control *control)
{
    bool all = true;
    for (unsigned i = 1; i < control->n_instances; i++)
        all = all && (control->instances[i].up || control->instances[i].failed);
    if (all)
        return true;
    if (!control->give_up_ports_at)
        control->give_up_ports_at = now_ns() + SETTLE_NS;
    if (now_ns() < control->give_up_ports_at)
        return false;
    struct dmm_err what = {0};
    if (dmm_pod_lacks(control, &what))
        dmm_log(DMM_LOG_WARN, "%s; going on without it", what.text);
    return true;
}

/* ---- ports ---- */

struct made_port {
    struct dmm_message message;
    struct dmm_control *control;
    struct dmm_port_config config;
    struct dmm_port *port;
    struct dmm_err err;
    int rc;
};

static void port_made(struct dmm_control *control, struct dmm_message *message)
{
    struct made_port *made = (struct made_port *)message;
    struct dmm_pod_port *slot = find_port(control, made->config.ifname);
    if (made->rc) {
        dmm_log(DMM_LOG_ERROR, "%s", made->err.text);
        slot->failed = true;
        slot->why = made->err;
        control->fatal = control->fatal || !control->ready;
    } else {
        slot->port = made->port;
        dmm_log(DMM_LOG_INFO, "port %s is open", made->config.ifname);
        start_instances(control);
        if (!slot->instance)
            dmm_log(DMM_LOG_INFO,
                    "port %s is not used by a stack yet; a running one that takes "
                    "every port needs a restart for it",
                    made->config.ifname);
    }
    free(made);
}

static void *make_port(void *arg)
{
    struct made_port *made = arg;
    made->rc = dmm_port_create(&made->port, &made->config, &made->err);
    dmm_control_tell(made->control, &made->message);
    return NULL;
}

static int open_port(struct dmm_control *control, const struct dmm_port_config *config,
                     struct dmm_err *err)
{
    if (control->n_ports == DMM_POD_PORTS)
        return dmm_err_set(err, EINVAL, "ports/%s.json: a pod may have %d ports", config->ifname,
                           DMM_POD_PORTS);
    struct made_port *made = calloc(1, sizeof(*made));
    if (!made)
        return dmm_err_set(err, ENOMEM, "ports/%s.json: out of memory", config->ifname);
    made->message.run = port_made;
    made->control = control;
    made->config = *config;
    struct dmm_pod_port *slot = &control->ports[control->n_ports++];
    *slot = (struct dmm_pod_port){.config = *config};
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, make_port, made);
    if (rc) {
        free(made);
        slot->failed = true;
        dmm_err_set(&slot->why, rc, "ports/%s.json: %s", config->ifname, strerror(rc));
        *err = slot->why;
        return -rc;
    }
    pthread_detach(thread);
    return 0;
}

/* A container has the node's folder mounted somewhere else. */
static int find_xsk_map(const struct dmm_control *control, struct dmm_port_config *config,
                        struct dmm_err *err)
{
    const char *dir = control->options.bpf_dir;
    if (!dir || config->kind != DMM_PORT_AFXDP)
        return 0;
    if ((size_t)snprintf(config->xsk_map, sizeof(config->xsk_map), "%s/%s", dir, config->ifname) >=
        sizeof(config->xsk_map))
        return dmm_err_set(err, ENAMETOOLONG, "--bpf-dir: %s: the path is too long", dir);
    return 0;
}

/* Sockets in the pod directory are where we see it. Without pod.json, which people's own
 * configurations need not have, paths are taken as they are. */
static int localize(const struct dmm_control *control, struct dmm_port_config *config,
                    struct dmm_err *err)
{
    char id[NAME_MAX + 1];
    char *text = config->devargs[0] ? read_file(control, "pod.json", err) : NULL;
    if (!text)
        return 0;
    int rc = dmm_podpath_id(id, text, err);
    free(text);
    return rc ? rc : dmm_podpath_localize(config, id, control->options.pod_dir, err);
}

static int load_port(struct dmm_control *control, const char *file, struct dmm_err *err)
{
    char name[NAME_MAX + 8];
    char ifname[IFNAMSIZ];
    size_t stem = strlen(file) - strlen(".json");
    snprintf(name, sizeof(name), "ports/%s", file);
    if (!stem || stem >= sizeof(ifname))
        return dmm_err_set(err, EINVAL, "%s: not the name of a port", name);
    memcpy(ifname, file, stem);
    ifname[stem] = 0;
    if (find_port(control, ifname))
        return 0;
    char *text = read_file(control, name, err);
    if (!text)
        return -err->code;
    struct dmm_port_config config;
    int rc = dmm_port_config_parse(&config, text, strlen(text), name, err);
    free(text);
    if (!rc && strcmp(config.ifname, ifname) != 0)
        rc = dmm_err_set(err, EINVAL, "%s: ifname: is \"%s\", not the file's", name, config.ifname);
    if (!rc)
        rc = find_xsk_map(control, &config, err);
    if (!rc)
        rc = localize(control, &config, err);
    return rc ? rc : open_port(control, &config, err);
}

static int load_ports(struct dmm_control *control, struct dmm_err *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/ports", control->options.pod_dir);
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : dmm_err_set(err, errno, "ports: %s", strerror(errno));
    int rc = 0;
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name);
        if (entry->d_name[0] != '.' && len > 5 && !strcmp(entry->d_name + len - 5, ".json"))
            rc = load_port(control, entry->d_name, err);
        if (rc == -ENOENT)
            rc = 0; /* taken away between the two looks */
        if (rc && control->configured) {
            dmm_log(DMM_LOG_ERROR, "%s", err->text);
            rc = 0;
        }
    }
    closedir(dir);
    return rc;
}

/* ---- all of it ---- */

static void watch(struct dmm_control *control)
{
    const uint32_t mask = IN_MOVED_TO | IN_CLOSE_WRITE | IN_CREATE | IN_ONLYDIR;
    char path[4096];
    /* Again for a directory that is watched already changes nothing. */
    inotify_add_watch(control->watch.fd, control->options.pod_dir, mask);
    snprintf(path, sizeof(path), "%s/ports", control->options.pod_dir);
    inotify_add_watch(control->watch.fd, path, mask);
    if (!control->options.annotations)
        return;
    /* The kubelet renames a link beside the file: any news of the folder counts. */
    snprintf(path, sizeof(path), "%s", control->options.annotations);
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    control->annotations_wd = inotify_add_watch(control->watch.fd, slash ? path : ".", mask);
}

int dmm_pod_load(struct dmm_control *control)
{
    struct dmm_err err = {0};
    watch(control);
    int rc = load_stacks(control, &err);
    if (!rc)
        rc = load_ports(control, &err);
    if (!rc)
        rc = load_mapping(control, &err);
    if (rc == -ENOENT && !control->configured)
        return rc;
    if (rc) {
        dmm_log(DMM_LOG_ERROR, "%s%s", err.text,
                control->configured ? ": what was in force stays" : "");
        return control->configured ? 0 : rc;
    }
    control->configured = true;
    start_instances(control);
    return 0;
}

void dmm_pod_changed(struct dmm_source *source, uint32_t events)
{
    struct dmm_control *control =
        (struct dmm_control *)((char *)source - offsetof(struct dmm_control, watch));
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool config = false;
    (void)events;
    for (ssize_t n; (n = read(source->fd, buf, sizeof(buf))) > 0;)
        for (char *at = buf; at < buf + n;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            /* The file is newer than what the watch said before it went down. */
            if (event->wd == control->annotations_wd && !control->watched.up)
                control->watched.known = false;
            const char *dot = event->len ? strrchr(event->name, '.') : NULL;
            config = config || !event->len || event->wd == control->annotations_wd ||
                     !strcmp(event->name, "ports") || (dot && !strcmp(dot, ".json"));
            at += sizeof(*event) + event->len;
        }
    if (config && control->configured)
        dmm_pod_load(control);
}

void dmm_pod_free(struct dmm_control *control)
{
    for (unsigned i = 1; i < control->n_instances; i++)
        /* A stack is destroyed without sockets only; what lingers ends with the process. */
        if (control->instances[i].up && !control->instances[i].n_sockets)
            control->instances[i].ops->destroy(control->instances[i].stack);
    for (unsigned i = 0; i < control->n_ports; i++)
        if (control->ports[i].port)
            control->ports[i].port->ops->destroy(control->ports[i].port);
    dmm_stacks_config_free(&control->stacks);
    free(control->stacks_text);
    free(control->mapping_source.text);
    free(control->watched.word);
    free(control->watched.mapping);
}
