/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the control thread: one epoll loop over the attach socket, the clients' control
 * connections, the pod directory, the operator's API, signals, and what the worker has to tell.
 *
 * Invariants
 *   - It owns the connections, the configuration and the struct dmm_client of each client that is
 *     attached; the worker owns what is in it. A client is deleted only here, after the worker said
 *     that it is gone.
 *   - It may wait for the worker (dmm_worker_call); the worker never waits for it.
 */
#ifndef DMM_SIDECAR_CONTROL_H
#define DMM_SIDECAR_CONTROL_H

#include "common/poddir.h"
#include "sidecar/options.h"
#include "sidecar/worker.h"

#include <sys/epoll.h>

struct dmm_control;
struct dmm_attach;
struct dmm_api;
struct dmm_podwatch;

/* Something with an fd in the control thread's epoll set. */
struct dmm_source {
    void (*ready)(struct dmm_source *source, uint32_t events);
    int fd;
};

/* A message to the control thread from another one. */
struct dmm_message {
    struct dmm_message *next;
    void (*run)(struct dmm_control *control, struct dmm_message *message); /* frees it */
};

struct dmm_pod_port {
    struct dmm_port_config config;
    struct dmm_port *port; /* NULL while it is being made */
    bool failed;
    struct dmm_err why;            /* it did */
    struct dmm_instance *instance; /* that has it */
};

/* Where the mapping comes from, and its text. */
struct dmm_mapping_source {
    const char *name; /* "mapping.json" or "annotation …", for messages */
    char *text;       /* owned */
    bool word;        /* the one-word form */
};

/* What the watch at the API server says (podwatch.h). */
struct dmm_watched {
    bool known, up;
    char *word, *mapping; /* the annotations, owned; NULL: the pod has not got it */
};

struct dmm_control {
    struct dmm_options options;
    struct dmm_worker worker;
    int epoll_fd;
    struct dmm_source signals, messages, watch;
    bool ending, ready;
    bool fatal;          /* why it cannot go on has been logged */
    uint64_t started_at; /* CLOCK_MONOTONIC, ns */

    /* The pod (pod.c). */
    bool configured, said_waiting;
    int lock_fd;
    struct dmm_stacks_config stacks;
    char *stacks_text;
    struct dmm_mapping_source mapping_source; /* as read last, good or not */
    struct dmm_mapping mapping;               /* in force */
    unsigned mapping_generation;
    uint64_t mappings_refused;
    struct dmm_podwatch *podwatch; /* NULL: not asked for */
    struct dmm_watched watched;
    int annotations_wd; /* inotify's, of the folder of options.annotations */
    struct dmm_instance instances[DMM_MAPPING_INSTANCES]; /* 0: kernel */
    unsigned n_instances;
    struct dmm_pod_port ports[DMM_POD_PORTS];
    unsigned n_ports;
    uint64_t give_up_ports_at; /* ready without the ports that are still not there */

    struct dmm_attach *attach;
    struct dmm_api *api;

    pthread_mutex_t lock; /* of the queue below */
    struct dmm_message *queue, **queue_end;
};

/* Runs until a signal ends it. Returns the exit status. */
int dmm_control_run(const struct dmm_options *options);

int dmm_control_add(struct dmm_control *control, struct dmm_source *source, uint32_t events);
void dmm_control_remove(struct dmm_control *control, struct dmm_source *source);
/* Any thread. */
void dmm_control_tell(struct dmm_control *control, struct dmm_message *message);

/* ---- pod.c: the pod directory ---- */

/* Reads what is there; starts what can be started. 0, or a negative errno once it cannot go on,
 * logged. Called at start, when something changed, and now and then while something is missing. */
int dmm_pod_load(struct dmm_control *control);
/* Something changed there. */
void dmm_pod_changed(struct dmm_source *source, uint32_t events);
/* True once every port and stack is up, or it has waited long enough for them. */
bool dmm_pod_settled(struct dmm_control *control);
/* What the pod still lacks, for whoever asks why it is not ready; false: nothing. */
bool dmm_pod_lacks(const struct dmm_control *control, struct dmm_err *what);
void dmm_pod_free(struct dmm_control *control);

/* ---- attach.c: the attach socket and the control connections ---- */

int dmm_attach_open(struct dmm_control *control, struct dmm_err *err);
/* No new clients from now on. */
void dmm_attach_stop(struct dmm_control *control);
/* All connections, too: their processes count as gone. */
void dmm_attach_close(struct dmm_control *control);
void dmm_attach_client_ended(void *control, uint32_t id);              /* worker thread */
void dmm_attach_client_gone(void *control, struct dmm_client *client); /* worker thread */
unsigned dmm_attach_clients(const struct dmm_control *control);

/* A listening UNIX socket in the pod directory, in place of an old one. The fd or a negative errno
 * with err set. */
int dmm_listen_unix(const char *dir, const char *name, int type, mode_t mode, struct dmm_err *err);

#endif
