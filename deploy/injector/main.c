/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmm-injector: the mutating admission webhook; with --stdin, the same for one pod on the command
 * line.
 */
#include "common/log.h"
#include "common/number.h"
#include "common/version.h"
#include "deploy/injector/inject.h"
#include "deploy/injector/review.h"
#include "deploy/injector/server.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    const char *config, *certificate, *key;
    unsigned long port;
    bool from_stdin, json, watch;
};

static void help(void)
{
    puts("Usage: dmm-injector [OPTION]...\n"
         "A mutating admission webhook: adds DMM's sidecar to pods that are annotated.\n\n"
         "  --config FILE  what is put into pods (default /etc/dmm/injector.json)\n"
         "  --cert FILE    PEM, the chain (default /etc/dmm/tls/tls.crt); read again when it "
         "changes\n"
         "  --key FILE     PEM (default /etc/dmm/tls/tls.key)\n"
         "  --port N       HTTPS: POST /mutate, GET /healthz, GET /metrics (default 8443)\n"
         "  --watch        sidecars watch their pod at the API server, so that a changed "
         "annotation\n"
         "                 counts at once; their account needs the verb watch on pods\n"
         "  --stdin        read a Pod as JSON, print what would become of it, and end\n"
         "  --log-json     one JSON object per line\n"
         "  --help, --version\n\n"
         "Exit status: 0 ended by SIGTERM; 1 failure, or with --stdin a refused pod; 2 wrong\n"
         "options; 78 bad configuration.");
}

/* Returns -1 to go on, or the exit status. */
static int parse(struct settings *settings, int argc, char **argv)
{
    enum { CONFIG = 256, CERT, KEY, PORT, STDIN, JSON, WATCH };
    static const struct option options[] = {
        {"config", required_argument, NULL, CONFIG}, {"cert", required_argument, NULL, CERT},
        {"key", required_argument, NULL, KEY},       {"port", required_argument, NULL, PORT},
        {"stdin", no_argument, NULL, STDIN},         {"log-json", no_argument, NULL, JSON},
        {"watch", no_argument, NULL, WATCH},         {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},         {0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case CONFIG:
            settings->config = optarg;
            break;
        case CERT:
            settings->certificate = optarg;
            break;
        case KEY:
            settings->key = optarg;
            break;
        case PORT:
            if (dmm_number_parse(optarg, strlen(optarg), 65535, &settings->port))
                break;
            fprintf(stderr, "dmm-injector: --port: must be 0 to 65535, not \"%s\"\n", optarg);
            return 2;
        case STDIN:
            settings->from_stdin = true;
            break;
        case WATCH:
            settings->watch = true;
            break;
        case JSON:
            settings->json = true;
            break;
        case 'h':
            help();
            return 0;
        case 'V':
            puts("dmm-injector " DMM_VERSION);
            return 0;
        default:
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "dmm-injector: \"%s\" is not an option; see --help\n", argv[optind]);
        return 2;
    }
    return -1;
}

/* All of a stream, at most `max` bytes; NULL with err. */
static char *read_all(FILE *file, const char *name, size_t max, size_t *len, struct dmm_err *err)
{
    char *text = malloc(max + 1);
    *len = text ? fread(text, 1, max + 1, file) : 0;
    if (text && *len <= max && !ferror(file))
        return text;
    free(text);
    dmm_err_set(err, EFBIG, "%s: cannot be read, or is larger than %zu bytes", name, max);
    return NULL;
}

static int load_config(struct injector_config *config, const char *path, struct dmm_err *err)
{
    size_t len;
    FILE *file = fopen(path, "re");
    if (!file)
        return dmm_err_set(err, errno, "%s: %s", path, strerror(errno));
    char *text = read_all(file, path, INJECTOR_CONFIG_MAX, &len, err);
    fclose(file);
    int rc = text ? injector_config_parse(config, text, len, path, err) : -EIO;
    free(text);
    return rc;
}

static int inject_stdin(const struct injector_config *config, struct dmm_err *err)
{
    size_t len;
    bool injected;
    json_error_t where;
    char *text = read_all(stdin, "stdin", REVIEW_MAX, &len, err);
    if (!text)
        return -EIO;
    json_t *pod = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    free(text);
    if (!pod)
        return dmm_err_set(err, EINVAL, "stdin: line %d: %s", where.line, where.text);
    int rc = injector_inject(pod, config, &injected, err);
    if (!rc && (json_dumpf(pod, stdout, JSON_INDENT(2)) || puts("") < 0 || fflush(stdout)))
        rc = dmm_err_set(err, EIO, "stdout: %s", strerror(errno));
    json_decref(pod);
    return rc;
}

static int serve(const struct settings *settings, const struct injector_config *config,
                 struct dmm_err *err)
{
    struct keypair keypair;
    struct server *server;
    uint16_t port;
    sigset_t set;
    int signal_number;
    const struct sockaddr_in6 at = {.sin6_family = AF_INET6,
                                    .sin6_addr = IN6ADDR_ANY_INIT,
                                    .sin6_port = htons((uint16_t)settings->port)};
    /* Blocked before the server's thread starts, which inherits that. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int rc = keypair_open(&keypair, settings->certificate, settings->key, err);
    if (rc)
        return rc;
    rc = server_start(&server, config, &keypair, &at, &port, err);
    if (!rc) {
        dmm_log(DMM_LOG_INFO, "ready: port %u, link %s", port, config->link->name);
        sigwait(&set, &signal_number);
        dmm_log(DMM_LOG_INFO, "%s: ending", strsignal(signal_number));
        server_stop(server);
    }
    keypair_close(&keypair);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings settings = {.config = "/etc/dmm/injector.json",
                                .certificate = "/etc/dmm/tls/tls.crt",
                                .key = "/etc/dmm/tls/tls.key",
                                .port = 8443};
    struct injector_config config = {0};
    struct dmm_err err = {0};
    int status = parse(&settings, argc, argv);
    if (status >= 0)
        return status;
    dmm_log_setup("injector", DMM_LOG_INFO, settings.json, 2);
    if (load_config(&config, settings.config, &err) || !config.link) {
        dmm_log(DMM_LOG_ERROR, "%s", err.text);
        return 78;
    }
    config.watch = settings.watch;
    int rc = settings.from_stdin ? inject_stdin(&config, &err) : serve(&settings, &config, &err);
    if (rc)
        dmm_log(DMM_LOG_ERROR, "%s", err.text);
    injector_config_free(&config);
    return rc ? 1 : 0;
}
