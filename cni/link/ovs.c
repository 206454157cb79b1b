/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/ovs.h"

#include "cni/exec.h"
#include "cni/file.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT      "--timeout=10"
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_RUN  "/var/run/openvswitch" /* as ovs-vsctl has it: ovs-vsctl(8), OVS_RUNDIR */

static int find_program(char *path, size_t size, struct dmm_err *err)
{
    const char *dirs = getenv("PATH");
    if (!dirs || !*dirs)
        dirs = DEFAULT_PATH;
    if (!dmm_exec_find(path, size, "ovs-vsctl", dirs))
        return 0;
    return dmm_err_set(err, ENOENT, "ovs-vsctl: not on PATH \"%s\"", dirs);
}

int dmm_ovs_reach(struct dmm_err *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *dir = getenv("OVS_RUNDIR");
    int n = snprintf(to.sun_path, sizeof(to.sun_path), "%s/db.sock", dir ? dir : DEFAULT_RUN);
    if (n < 0 || (size_t)n >= sizeof(to.sun_path))
        return 0; /* ovs-vsctl has its ways with those */
    int fd __attribute__((cleanup(dmm_close))) =
        socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)))
        return dmm_err_set(err, errno, "Open vSwitch: database %s: %s", to.sun_path,
                           strerror(errno));
    return 0;
}

/* Runs ovs-vsctl. -ETIMEDOUT: it gave up waiting. *said (may be NULL) is what it printed,
 * malloc'ed, without the last newline. */
static int vsctl(const char *const arguments[], int hold, char **said, struct dmm_err *err)
{
    char path[512];
    char *argv[24] = {"ovs-vsctl", TIMEOUT};
    int status = 0;
    char *output = NULL;
    size_t len = 0;
    struct dmm_exec child;
    int rc = find_program(path, sizeof(path), err);
    if (rc)
        return rc;
    for (size_t i = 0; arguments[i] && i + 3 < sizeof(argv) / sizeof(argv[0]); i++)
        argv[i + 2] = (char *)arguments[i];
    rc = dmm_exec_start(&child, path, argv, environ, "", 0, hold, err);
    if (!rc)
        rc = dmm_exec_wait(&child, &status, &output, &len, err);
    if (rc)
        return rc;
    output[strcspn(output, "\n")] = '\0';
    if (said && !status)
        *said = output;
    else
        free(output);
    if (!status)
        return 0;
    if (status == 128 + SIGALRM) {
        dmm_err_set(err, ETIMEDOUT, "ovs-vsctl %s %s: no answer from the switch", arguments[0],
                    arguments[1]);
        return -ETIMEDOUT;
    }
    /* Its reason is on stderr, which is ours. */
    dmm_err_set(err, EIO, "ovs-vsctl %s %s: ended with status %d", arguments[0], arguments[1],
                status);
    return -EIO;
}

/* The switch tells what it has against an interface in the column `error`. */
static int check_error(const char *name, int hold, struct dmm_err *err)
{
    char *said = NULL;
    const char *const get[] = {"get", "Interface", name, "error", NULL};
    int rc = vsctl(get, hold, &said, err);
    if (!rc && strcmp(said, "[]") != 0)
        rc = dmm_err_set(err, EIO, "Open vSwitch: port %s: %s", name, said);
    free(said);
    return rc;
}

int dmm_ovs_add(const struct dmm_ovs_port *port, int hold, struct dmm_err *err)
{
    char path[160];
    char mtu[32];
    char tag[32];
    snprintf(path, sizeof(path), "options:vhost-server-path=%s", port->socket);
    snprintf(mtu, sizeof(mtu), "mtu_request=%lld", (long long)port->mtu);
    snprintf(tag, sizeof(tag), "tag=%lld", (long long)port->vlan);
    const char *const add[] = {"add-port",
                               port->bridge,
                               port->name,
                               "--",
                               "set",
                               "Interface",
                               port->name,
                               "type=dpdkvhostuserclient",
                               path,
                               mtu,
                               port->vlan ? "--" : NULL,
                               "set",
                               "Port",
                               port->name,
                               tag,
                               NULL};
    int rc = vsctl(add, hold, NULL, err);
    return rc ? rc : check_error(port->name, hold, err);
}

int dmm_ovs_del(const char *name, int hold, struct dmm_err *err)
{
    const char *const del[] = {"--if-exists", "del-port", name, NULL};
    const char *const tell[] = {"--no-wait", "--if-exists", "del-port", name, NULL};
    char path[512];
    if (find_program(path, sizeof(path), err) || dmm_ovs_reach(err))
        return -EAGAIN;
    int rc = vsctl(del, hold, NULL, err);
    if (rc == -ETIMEDOUT) /* gone from the database, which the switch reads when it runs again */
        rc = vsctl(tell, hold, NULL, err);
    return rc == -ETIMEDOUT ? -EAGAIN : rc;
}

int dmm_ovs_check(const char *bridge, const char *name, int hold, struct dmm_err *err)
{
    char *said = NULL;
    const char *const where[] = {"port-to-br", name, NULL};
    int rc = vsctl(where, hold, &said, err);
    if (!rc && strcmp(said, bridge) != 0)
        rc = dmm_err_set(err, EINVAL, "Open vSwitch: port %s: is on bridge %s", name, said);
    free(said);
    return rc ? rc : check_error(name, hold, err);
}

int dmm_ovs_status(const char *bridge, struct dmm_err *err)
{
    char *said = NULL;
    const char *const get[] = {"get", "Bridge", bridge, "datapath_type", NULL};
    char path[512];
    int rc = find_program(path, sizeof(path), err);
    if (!rc)
        rc = dmm_ovs_reach(err);
    if (!rc)
        rc = vsctl(get, -1, &said, err);
    if (rc)
        return dmm_err_prefix(err, "link.ovs: bridge %s", bridge);
    if (strcmp(said, "netdev") != 0)
        rc = dmm_err_set(err, EINVAL, "link.ovs: bridge %s: its datapath_type is %s, not netdev",
                         bridge, *said ? said : "empty");
    free(said);
    return rc;
}
