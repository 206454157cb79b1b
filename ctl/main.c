/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmmctl: shows what a pod's sidecar does. One table of verbs; each GETs one path of the API and
 * prints it as a table, or as it came with --json.
 */
#include "ctl/doctor.h"
#include "ctl/fetch.h"
#include "ctl/table.h"

#include "common/poddir.h"
#include "common/version.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MAX      3600
#define DRAIN_SECONDS 20

struct verb {
    const char *name, *path, *array; /* array: key of the rows, NULL: not a table */
    const char *help;
    struct ctl_column columns[CTL_COLUMNS];
};

static const struct verb verbs[] = {
    {"stacks",
     "/stacks",
     "stacks",
     "the stack instances, their ports and addresses",
     {{"NAME", "name"},
      {"TYPE", "type"},
      {"UP", "up"},
      {"PORTS", "ports"},
      {"ADDRESSES", "addresses"},
      {"SOCKETS", "sockets"}}},
    {"sockets",
     "/sockets",
     "sockets",
     "the sockets on user-space stacks, as ss(8) prints them",
     {{"Netid", "protocol"},
      {"State", "state"},
      {"Recv-Q", "recv_q"},
      {"Send-Q", "send_q"},
      {"Local", "local"},
      {"Peer", "peer"},
      {"Stack", "instance"},
      {"Process", "processes"}}},
    {"clients",
     "/clients",
     "clients",
     "the processes that are attached",
     {{"ID", "id"},
      {"UID", "uid"},
      {"SOCKETS", "sockets"},
      {"HEAP", "heap_bytes"},
      {"PROCESSES", "processes"}}},
    {"mapping", "/mapping", NULL, "the stack mapping in force", {{0}}},
    {"stats", "/stats", NULL, "counters of the worker, ports, stacks and clients", {{0}}},
    {"health", "/healthz", NULL, "is the worker alive (exit status 1: no)", {{0}}},
    {"ready", "/readyz", NULL, "is every stack up (exit status 1: no)", {{0}}},
    {"drain", "/sockets", NULL, "wait until no connection is left, 20 s at most", {{0}}},
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void usage(FILE *out)
{
    fprintf(out, "usage: dmmctl [--pod-dir DIR] [--json] VERB\n\n");
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    fprintf(out, "  %-10s %s\n", "doctor CMD",
            "can the shim see the program CMD, and if not, why (exit status 1: no)");
    fprintf(out,
            "\n  --pod-dir DIR  the pod directory (default: $DMM_POD_DIR, else %s/pod)\n"
            "  --json         print the sidecar's answer as it is\n"
            "  --wait SECONDS of ready: how long to wait for it (default: 0)\n"
            "  --help, --version\n",
            DMM_PODDIR_ROOT);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int show(const struct verb *verb, const char *pod_dir, bool json)
{
    struct dmm_err err = {0};
    json_t *answer = NULL;
    if (ctl_fetch(pod_dir, verb->path, &answer, &err) < 0) {
        fprintf(stderr, "dmmctl: %s\n", err.text);
        return 1;
    }
    if (json || strcmp(verb->name, "mapping") == 0) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
    } else if (verb->array) {
        ctl_table(stdout, verb->columns, json_object_get(answer, verb->array));
    } else {
        ctl_flat(stdout, "", answer);
    }
    json_decref(answer);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* For a postStart hook, which holds the pod's next container back. */
static int wait_ready(const struct verb *verb, const char *pod_dir, bool json, const char *text)
{
    char *end;
    unsigned long seconds = strtoul(text, &end, 10);
    if (*end || end == text || *text == '-' || seconds > WAIT_MAX) {
        fprintf(stderr, "dmmctl: --wait: \"%s\" is no number of seconds up to %d\n", text,
                WAIT_MAX);
        return 2;
    }
    for (unsigned long i = 0; i < seconds * 10; i++) {
        const struct timespec pause = {.tv_nsec = 100000000};
        struct dmm_err err = {0};
        json_t *answer = NULL;
        int rc = ctl_fetch(pod_dir, verb->path, &answer, &err);
        json_decref(answer);
        if (rc >= 0)
            break;
        nanosleep(&pause, NULL);
    }
    return show(verb, pod_dir, json);
}

/* True while a socket carries a connection; one that only listens, or waits out TIME-WAIT, does
 * not. */
static bool has_connections(const json_t *answer)
{
    static const char *const idle[] = {"LISTEN", "UNCONN", "CLOSE", "TIME-WAIT"};
    size_t i;
    const json_t *socket;
    json_array_foreach(json_object_get(answer, "sockets"), i, socket)
    {
        const char *state = json_string_value(json_object_get(socket, "state"));
        const char *protocol = json_string_value(json_object_get(socket, "protocol"));
        bool found = !protocol || strcmp(protocol, "tcp") != 0;
        for (size_t k = 0; state && k < sizeof(idle) / sizeof(idle[0]); k++)
            found = found || strcmp(state, idle[k]) == 0;
        if (!found)
            return true;
    }
    return false;
}

/* For a preStop hook. Without a sidecar there is nothing to wait for. */
static int drain(const char *pod_dir)
{
    for (int i = 0; i < DRAIN_SECONDS * 10; i++) {
        const struct timespec pause = {.tv_nsec = 100000000};
        struct dmm_err err = {0};
        json_t *answer = NULL;
        if (ctl_fetch(pod_dir, "/sockets", &answer, &err) < 0)
            return 0;
        bool busy = has_connections(answer);
        json_decref(answer);
        if (!busy)
            return 0;
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "dmmctl: drain: connections are left after %d s\n", DRAIN_SECONDS);
    return 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"pod-dir", required_argument, NULL, 'd'}, {"json", no_argument, NULL, 'j'},
        {"wait", required_argument, NULL, 'w'},    {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},       {0}};
    const char *pod_dir = getenv("DMM_POD_DIR");
    const char *wait = NULL;
    bool json = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'd':
            pod_dir = optarg;
            break;
        case 'j':
            json = true;
            break;
        case 'w':
            wait = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            printf("dmmctl %s\n", DMM_VERSION);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (!pod_dir)
        pod_dir = DMM_PODDIR_ROOT "/pod";
    if (optind + 2 == argc && strcmp(argv[optind], "doctor") == 0)
        return ctl_doctor(pod_dir, argv[optind + 1], json);
    const struct verb *verb = optind + 1 == argc ? find_verb(argv[optind]) : NULL;
    if (!verb) {
        usage(stderr);
        return 2;
    }
    if (wait && strcmp(verb->name, "ready") == 0)
        return wait_ready(verb, pod_dir, json, wait);
    if (wait) {
        fprintf(stderr, "dmmctl: --wait: goes with ready, not with %s\n", verb->name);
        return 2;
    }
    return strcmp(verb->name, "drain") == 0 ? drain(pod_dir) : show(verb, pod_dir, json);
}
