/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/options.h"

#include "common/region.h"
#include "common/version.h"
#include "sidecar/worker.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_POD_DIR = 256,
    OPT_ANNOTATIONS,
    OPT_WATCH_POD,
    OPT_KUBE_DIR,
    OPT_KUBE_API,
    OPT_BPF_DIR,
    OPT_LOG_LEVEL,
    OPT_LOG_JSON,
    OPT_REGION_SIZE,
    OPT_MAX_CLIENTS,
    OPT_MAX_SOCKETS,
    OPT_MAX_BUFFER,
    OPT_WORKERS,
    OPT_ALLOW_UID,
    OPT_DRAIN
};

static const struct option long_options[] = {
    {"pod-dir", required_argument, NULL, OPT_POD_DIR},
    {"annotations", required_argument, NULL, OPT_ANNOTATIONS},
    {"watch-pod", required_argument, NULL, OPT_WATCH_POD},
    {"kube-dir", required_argument, NULL, OPT_KUBE_DIR},
    {"kube-api", required_argument, NULL, OPT_KUBE_API},
    {"bpf-dir", required_argument, NULL, OPT_BPF_DIR},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"log-json", no_argument, NULL, OPT_LOG_JSON},
    {"region-size", required_argument, NULL, OPT_REGION_SIZE},
    {"max-clients", required_argument, NULL, OPT_MAX_CLIENTS},
    {"max-sockets", required_argument, NULL, OPT_MAX_SOCKETS},
    {"max-buffer", required_argument, NULL, OPT_MAX_BUFFER},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"allow-uid", required_argument, NULL, OPT_ALLOW_UID},
    {"drain-seconds", required_argument, NULL, OPT_DRAIN},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static void help(void)
{
    puts(
        "Usage: dmm-stackd [OPTION]...\n"
        "Serves the sockets of a pod on user-space stacks.\n"
        "\n"
        "  --pod-dir DIR        the pod directory (default /run/dmm/pod); what the CNI plugin\n"
        "                       writes there is read and watched: stacks.json, mapping.json,\n"
        "                       ports/*.json; made in it: stackd.sock, api.sock\n"
        "  --annotations FILE   the pod's annotations (a downwardAPI volume), watched: "
        "dmm.fd.io/stack\n"
        "                       and dmm.fd.io/mapping there go before mapping.json\n"
        "  --watch-pod NS/NAME  the same annotations by a watch at the Kubernetes API server; they "
        "go\n"
        "                       before the file's\n"
        "  --kube-dir DIR       for that: has token and ca.crt (default /etc/dmm/kube)\n"
        "  --kube-api URL       for that: the server (default: KUBERNETES_SERVICE_HOST and _PORT)\n"
        "  --bpf-dir DIR        where the pod's folder of the bpf file system is mounted; "
        "default:\n"
        "                       where the node has it (only for links of kind afxdp)\n"
        "  --log-level LEVEL    error, warn, info (default) or debug\n"
        "  --log-json           one JSON object per line\n"
        "  --region-size SIZE   buffer memory that one client may use (default 2G); costs only\n"
        "                       what is in use\n"
        "  --max-clients N      clients (process trees) at a time (default 1024)\n"
        "  --max-sockets N      sockets of one client (default 131072)\n"
        "  --max-buffer SIZE    bytes that one socket may buffer, each way (default 16M in, 4M "
        "out)\n"
        "  --workers N          worker threads; 1 is all there is now\n"
        "  --allow-uid UID      only processes of this user may attach; may be repeated\n"
        "  --drain-seconds N    after SIGTERM, wait this long for connections to close (default "
        "2)\n"
        "  --help, --version\n"
        "\n"
        "Signals: SIGTERM and SIGINT end it: no new clients, then the sockets are closed, FIN or\n"
        "RST as the kernel would. SIGHUP reads the pod directory again. A changed mapping is\n"
        "applied at once; changed stacks need a restart.\n"
        "Exit status: 0 ended by a signal; 1 failure; 2 wrong options; 78 bad configuration.");
}

static int bad(const char *option, const char *value, const char *want)
{
    fprintf(stderr, "dmm-stackd: --%s: %s, not \"%s\"\n", option, want, value);
    return -EINVAL;
}

/* A decimal number, with K, M or G where `unit`. */
static int number(const char *option, const char *text, uint64_t min, uint64_t max, bool unit,
                  uint64_t *out)
{
    char want[96];
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    snprintf(want, sizeof(want), "must be a number from %llu to %llu%s", (unsigned long long)min,
             (unsigned long long)max, unit ? ", K, M or G after it" : "");
    if (!isdigit((unsigned char)text[0]) || errno)
        return bad(option, text, want);
    int shift = 0;
    if (unit && *end)
        shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (shift)
        end++;
    if (*end || n > UINT64_MAX >> shift || n << shift < min || n << shift > max)
        return bad(option, text, want);
    *out = n << shift;
    return 0;
}

static int set_one(struct dmm_options *options, int option, const char *name, const char *value)
{
    uint64_t n = 0;
    int rc = 0;
    switch (option) {
    case OPT_POD_DIR:
        options->pod_dir = value;
        return 0;
    case OPT_ANNOTATIONS:
        options->annotations = value;
        return 0;
    case OPT_WATCH_POD:
        options->watch_pod = value;
        return 0;
    case OPT_KUBE_DIR:
        options->kube_dir = value;
        return 0;
    case OPT_KUBE_API:
        options->kube_api = value;
        return 0;
    case OPT_BPF_DIR:
        options->bpf_dir = value;
        return 0;
    case OPT_LOG_LEVEL:
        return dmm_log_level_parse(value, &options->log_level)
                   ? bad(name, value, "must be error, warn, info or debug")
                   : 0;
    case OPT_LOG_JSON:
        options->log_json = true;
        return 0;
    case OPT_REGION_SIZE:
        return number(name, value, 1 << 20, UINT64_C(1) << 40, true, &options->limits.heap_size);
    case OPT_MAX_CLIENTS:
        rc = number(name, value, 1, DMM_WORKER_CLIENTS, false, &n);
        options->limits.max_clients = (uint32_t)n;
        return rc;
    case OPT_MAX_SOCKETS:
        rc = number(name, value, 16, 1 << 23, false, &n);
        options->limits.max_sockets = (uint32_t)n;
        return rc;
    case OPT_MAX_BUFFER:
        rc = number(name, value, 1 << 12, DMM_RING_MAX, true, &n);
        /* Rings are powers of two. */
        options->limits.rx_max = options->limits.tx_max =
            rc ? 0 : UINT32_C(1) << (31 - __builtin_clz((uint32_t)n));
        return rc;
    case OPT_WORKERS:
        return number(name, value, 1, 1, false, &n);
    case OPT_DRAIN:
        rc = number(name, value, 0, 3600, false, &n);
        options->drain_seconds = (unsigned)n;
        return rc;
    case OPT_ALLOW_UID:
        rc = number(name, value, 0, UINT32_MAX - 1, false, &n);
        if (!rc && options->n_uids == DMM_ALLOWED_UIDS)
            return bad(name, value, "is given too often");
        options->uids[options->n_uids++] = (uid_t)n;
        return rc;
    default:
        return -EINVAL;
    }
}

int dmm_options_parse(struct dmm_options *options, int argc, char **argv)
{
    *options = (struct dmm_options){
        .pod_dir = "/run/dmm/pod",
        .kube_dir = "/etc/dmm/kube",
        .log_level = DMM_LOG_INFO,
        .limits = {.max_clients = 1024,
                   .max_sockets = 131072,
                   .rx_max = 1 << 24, /* what 100 Gbit/s brings in 1 ms, and more */
                   .tx_max = 1 << 22,
                   .heap_size = UINT64_C(2) << 30},
        .drain_seconds = 2,
    };
    int option, index = 0;
    while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
        if (option == 'h') {
            help();
            return 1;
        }
        if (option == 'V') {
            puts("dmm-stackd " DMM_VERSION);
            return 1;
        }
        /* getopt has said what is wrong with an unknown one. */
        int rc =
            option == '?' ? -EINVAL : set_one(options, option, long_options[index].name, optarg);
        if (rc)
            return rc;
    }
    if (optind < argc) {
        fprintf(stderr, "dmm-stackd: \"%s\" is not an option; see --help\n", argv[optind]);
        return -EINVAL;
    }
    return 0;
}
