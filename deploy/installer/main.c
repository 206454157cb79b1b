/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmm-install: the DaemonSet's program on each node. Puts things in place, then watches and
 * repairs. SIGTERM ends it and leaves all as it is: a rolling upgrade must not unplug the node.
 */
#include "common/log.h"
#include "common/version.h"
#include "deploy/installer/installer.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 30000 /* also without news: a watched folder may have been replaced */

struct settings {
    struct installer installer;
    const char *state_dir;
    bool gc, once, check, remove, stay;
};

static void help(void)
{
    puts("Usage: dmm-install [OPTION]...\n"
         "Installs the CNI plugin dmm on this node, and keeps it there.\n\n"
         "  --mode MODE        alone: the configuration is a network of its own; chained: it is "
         "one\n"
         "                     plugin, put behind the first configuration of the node; binary: "
         "only\n"
         "                     the plugin (Multus). Default binary\n"
         "  --network NAME     with mode alone: the network's name (default dmm)\n"
         "  --conf FILE        the configuration (default /etc/dmm/cni.json)\n"
         "  --nodes FILE       keys that go over the configuration on one node: {\"NODE\": {…}, "
         "…}\n"
         "                     (default /etc/dmm/nodes.json, which need not be there); the node's\n"
         "                     name is in the environment: NODE_NAME\n"
         "  --plugin FILE      the plugin (default /usr/lib/cni/dmm)\n"
         "  --profiles DIR     seccomp profiles (default /usr/lib/dmm/seccomp); none if it is not "
         "there\n"
         "  --seccomp-dir DIR  the kubelet's (default /var/lib/kubelet/seccomp): profiles go into\n"
         "                     its folder dmm\n"
         "  --bin-dir DIR      the runtime's plugins (default /opt/cni/bin)\n"
         "  --conf-dir DIR     the runtime's configurations (default /etc/cni/net.d)\n"
         "  --state-dir DIR    the plugin's records (default /var/lib/cni/dmm)\n"
         "  --no-gc            do not take back what an earlier boot left\n"
         "  --once             put things in place and end\n"
         "  --check            exit status 0 if all is in place, 1 and the reason if not; with\n"
         "                     --uninstall, if the configuration is gone\n"
         "  --uninstall        remove the configuration, of whatever mode, and end; the plugin "
         "stays,\n"
         "                     pods need its DEL\n"
         "  --stay             with --uninstall: do not end before SIGTERM (a DaemonSet)\n"
         "  --help, --version");
}

/* Returns -1 to go on, or the exit status. */
static int parse(struct settings *settings, int argc, char **argv)
{
    enum {
        MODE = 256,
        NETWORK,
        NODES,
        CONF,
        PLUGIN,
        PROFILES,
        SECCOMP,
        BIN,
        CONF_DIR,
        STATE,
        NO_GC,
        ONCE,
        CHECK,
        REMOVE,
        STAY
    };
    static const struct option options[] = {{"mode", required_argument, NULL, MODE},
                                            {"conf", required_argument, NULL, CONF},
                                            {"profiles", required_argument, NULL, PROFILES},
                                            {"seccomp-dir", required_argument, NULL, SECCOMP},
                                            {"nodes", required_argument, NULL, NODES},
                                            {"network", required_argument, NULL, NETWORK},
                                            {"plugin", required_argument, NULL, PLUGIN},
                                            {"bin-dir", required_argument, NULL, BIN},
                                            {"conf-dir", required_argument, NULL, CONF_DIR},
                                            {"state-dir", required_argument, NULL, STATE},
                                            {"no-gc", no_argument, NULL, NO_GC},
                                            {"once", no_argument, NULL, ONCE},
                                            {"check", no_argument, NULL, CHECK},
                                            {"uninstall", no_argument, NULL, REMOVE},
                                            {"stay", no_argument, NULL, STAY},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};
    struct installer *installer = &settings->installer;
    const char *mode = "binary";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case MODE:
            mode = optarg;
            break;
        case NETWORK:
            installer->network = optarg;
            break;
        case CONF:
            installer->conf = optarg;
            break;
        case NODES:
            installer->nodes = optarg;
            break;
        case PLUGIN:
            installer->plugin = optarg;
            break;
        case PROFILES:
            installer->profiles = optarg;
            break;
        case SECCOMP:
            installer->seccomp_dir = optarg;
            break;
        case BIN:
            installer->bin_dir = optarg;
            break;
        case CONF_DIR:
            installer->conf_dir = optarg;
            break;
        case STATE:
            settings->state_dir = optarg;
            break;
        case NO_GC:
            settings->gc = false;
            break;
        case ONCE:
            settings->once = true;
            break;
        case CHECK:
            settings->check = true;
            break;
        case REMOVE:
            settings->remove = true;
            break;
        case STAY:
            settings->stay = true;
            break;
        case 'h':
            help();
            return 0;
        case 'V':
            puts("dmm-install " DMM_VERSION);
            return 0;
        default:
            return 2;
        }
    }
    installer->chained = !strcmp(mode, "chained");
    if (!strcmp(mode, "binary")) {
        installer->conf_dir = settings->remove ? installer->conf_dir : NULL;
    } else if (!installer->chained && strcmp(mode, "alone") != 0) {
        fprintf(stderr, "dmm-install: --mode: \"%s\" is none of: alone, chained, binary\n", mode);
        return 2;
    }
    if (settings->stay && !settings->remove) {
        fprintf(stderr, "dmm-install: --stay: is for --uninstall\n");
        return 2;
    }
    if (optind < argc) {
        fprintf(stderr, "dmm-install: \"%s\" is not an option; see --help\n", argv[optind]);
        return 2;
    }
    return -1;
}

/* The plugin's own verb; what it prints goes to our log's place. */
static void collect_garbage(const struct settings *settings)
{
    int status = 0;
    if (!settings->gc || access(settings->state_dir, F_OK))
        return;
    pid_t child = fork();
    if (child == 0) {
        dup2(2, 1);
        execl(settings->installer.plugin, "dmm", "gc", "--boot", "--state-dir", settings->state_dir,
              (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || status)
        dmm_log(DMM_LOG_WARN,
                "dmm gc --boot: something that an earlier boot left could not be taken "
                "back; the node's next ADD tries again");
}

/* Logs a failure once, until it is another one. */
static bool apply(const struct settings *settings, char said[sizeof(((struct dmm_err *)0)->text)])
{
    struct dmm_err err = {0};
    unsigned changed = 0;
    int rc = installer_apply(&settings->installer, &changed, &err);
    if (rc && strcmp(said, err.text) != 0)
        dmm_log(rc == -ENOENT ? DMM_LOG_WARN : DMM_LOG_ERROR, "%s", err.text);
    else if (!rc && changed)
        dmm_log(DMM_LOG_INFO, "in place: %s/dmm%s%s", settings->installer.bin_dir,
                settings->installer.conf_dir ? ", and the configuration in " : "",
                settings->installer.conf_dir ? settings->installer.conf_dir : "");
    snprintf(said, sizeof(err.text), "%s", err.text);
    return !rc;
}

static void watch(int fd, const struct installer *installer)
{
    const uint32_t mask = IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_DELETE | IN_ATTRIB;
    char folder[4096];
    char profiles[4096];
    snprintf(folder, sizeof(folder), "%s", installer->conf);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    /* Again for a folder that is watched already changes nothing. */
    inotify_add_watch(fd, installer->bin_dir, mask);
    if ((size_t)snprintf(profiles, sizeof(profiles), "%s/dmm", installer->seccomp_dir) <
        sizeof(profiles))
        inotify_add_watch(fd, profiles, mask);
    if (installer->conf_dir) {
        inotify_add_watch(fd, installer->conf_dir, mask);
        inotify_add_watch(fd, folder, mask);
    }
}

static int run(const struct settings *settings)
{
    char said[sizeof(((struct dmm_err *)0)->text)] = "";
    char events[4096];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct pollfd fds[] = {{.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .events = POLLIN},
                           {.fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN}};
    if (fds[0].fd < 0 || fds[1].fd < 0) {
        dmm_log(DMM_LOG_ERROR, "start: %s", strerror(errno));
        return 1;
    }
    while (!(fds[1].revents & POLLIN)) {
        watch(fds[0].fd, &settings->installer);
        apply(settings, said);
        if (poll(fds, 2, LOOK_MS) > 0 && fds[0].revents & POLLIN) {
            poll(&fds[1], 1, 100); /* more may be on its way */
            while (read(fds[0].fd, events, sizeof(events)) > 0)
                ;
        }
    }
    dmm_log(DMM_LOG_INFO, "ended; plugin and configuration stay");
    return 0;
}

static int report(int rc, const struct dmm_err *err)
{
    if (rc)
        dmm_log(DMM_LOG_ERROR, "%s", err->text);
    return rc ? 1 : 0;
}

static int uninstall(const struct settings *settings, struct dmm_err *err)
{
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int rc = installer_remove(&settings->installer, err);
    if (rc)
        return rc;
    dmm_log(DMM_LOG_INFO, "removed: the configuration in %s; the plugin stays",
            settings->installer.conf_dir);
    return settings->stay ? -sigwait(&set, &number) : 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {.installer = {.plugin = "/usr/lib/cni/dmm",
                                              .profiles = "/usr/lib/dmm/seccomp",
                                              .seccomp_dir = "/var/lib/kubelet/seccomp",
                                              .bin_dir = "/opt/cni/bin",
                                              .conf_dir = "/etc/cni/net.d",
                                              .conf = "/etc/dmm/cni.json",
                                              .nodes = "/etc/dmm/nodes.json",
                                              .node = getenv("NODE_NAME"),
                                              .network = "dmm"},
                                .state_dir = "/var/lib/cni/dmm",
                                .gc = true};
    struct dmm_err err = {0};
    unsigned changed;
    int status = parse(&settings, argc, argv);
    if (status >= 0)
        return status;
    dmm_log_setup("install", DMM_LOG_INFO, false, 2);
    if (settings.check && settings.remove)
        return report(installer_check_removed(&settings.installer, &err), &err);
    if (settings.check)
        return report(installer_check(&settings.installer, &err), &err);
    if (settings.remove)
        return report(uninstall(&settings, &err), &err);
    collect_garbage(&settings);
    return settings.once ? report(installer_apply(&settings.installer, &changed, &err), &err)
                         : run(&settings);
}
