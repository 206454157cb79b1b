/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmmctl: shows what a pod's sidecar does. One table of verbs; each GETs one path of the API and
 * prints it as a table, or as it came with --json.
 */
#include "ctl/fetch.h"
#include "ctl/table.h"

#include "common/poddir.h"
#include "common/version.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void usage(FILE *out)
{
    fprintf(out, "usage: dmmctl [--pod-dir DIR] [--json] VERB\n\n");
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    fprintf(out,
            "\n  --pod-dir DIR  the pod directory (default: $DMM_POD_DIR, else %s/pod)\n"
            "  --json         print the sidecar's answer as it is\n"
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

int main(int argc, char **argv)
{
    static const struct option options[] = {{"pod-dir", required_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};
    const char *pod_dir = getenv("DMM_POD_DIR");
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
    const struct verb *verb = optind + 1 == argc ? find_verb(argv[optind]) : NULL;
    if (!verb) {
        usage(stderr);
        return 2;
    }
    return show(verb, pod_dir ? pod_dir : DMM_PODDIR_ROOT "/pod", json);
}
