/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/sockdir.h"

#include "cni/file.h"
#include "cni/result.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dmm_sockdir_validate(const char *path, struct dmm_err *err)
{
    if (*path != '/' || strstr(path, "/../") || path[strlen(path) - 1] == '/')
        return dmm_err_set(err, EINVAL, "link.socket: \"%s\" is not an absolute path", path);
    /* What separates device arguments can't be in one. */
    if (strpbrk(path, ",=[]\"' "))
        return dmm_err_set(err, EINVAL, "link.socket: \"%s\" holds one of , = [ ] \" ' or a blank",
                           path);
    return 0;
}

/* Octal, as chmod(1) takes it; 0 if it is none. */
static unsigned parse_mode(const char *text)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);
    return *end || strlen(text) < 3 || mode > 0777 || strpbrk(text, "+- ") ? 0 : (unsigned)mode;
}

int dmm_sockdir_validate_access(const struct dmm_socket_access *access, bool serves,
                                struct dmm_err *err)
{
    if (!serves && (access->mode || access->gid >= 0))
        return dmm_err_set(err, EINVAL, "link.%s: is for the end that serves the socket",
                           access->mode ? "socketMode" : "socketGid");
    if (access->mode && !parse_mode(access->mode))
        return dmm_err_set(err, EINVAL, "link.socketMode: \"%s\" is not an octal mode, as \"0660\"",
                           access->mode);
    return 0;
}

static void directory_of(char dir[DMM_SOCKET_MAX + 1], const char *socket)
{
    snprintf(dir, (size_t)DMM_SOCKET_MAX + 1, "%s", socket);
    *strrchr(dir, '/') = '\0';
}

/* The part of a directory's path that is there already, by its length. */
static size_t existing_part(const char *dir)
{
    char part[DMM_SOCKET_MAX + 1];
    snprintf(part, sizeof(part), "%s", dir);
    while (*part && access(part, F_OK))
        *strrchr(part, '/') = '\0';
    return strlen(part);
}

int dmm_sockdir_plan(const struct dmm_link_job *job, const char *configured, json_t *plan,
                     struct dmm_err *err)
{
    char dir[DMM_SOCKET_MAX + 1];
    char path[DMM_SOCKET_MAX + 1];
    int n = configured ? snprintf(path, sizeof(path), "%s", configured)
                       : snprintf(path, sizeof(path), "%s/pods/%s/%s.sock", job->pod_root,
                                  job->pod_id, job->ifname);
    if (n < 0 || n > DMM_SOCKET_MAX)
        return dmm_err_set(err, ENAMETOOLONG,
                           "link.socket: in the pod directory it has %d bytes, more than %d", n,
                           DMM_SOCKET_MAX);
    int rc = dmm_sockdir_validate(path, err);
    if (rc)
        return rc;
    directory_of(dir, path);
    /* In the pod's directory, that is what goes; it is not ours alone to remove what is above. */
    json_int_t kept = configured ? (json_int_t)existing_part(dir)
                                 : (json_int_t)(strlen(job->pod_root) + strlen("/pods"));
    if (json_object_set_new(plan, "socket", json_string(path)) ||
        json_object_set_new(plan, "kept", json_integer(kept)))
        return dmm_err_set(err, EINVAL, "link.socket: not UTF-8");
    return 0;
}

int dmm_sockdir_report(const struct dmm_link_job *job, const char *socket, unsigned mtu,
                       const struct dmm_socket_access *access, struct dmm_link_made *made,
                       struct dmm_err *err)
{
    char mac[DMM_MAC_STRLEN];
    dmm_mac_format(job->mac, mac);
    made->port.kind = DMM_PORT_ETHDEV;
    memcpy(made->port.mac, job->mac, sizeof(made->port.mac));
    made->port.mtu = mtu;
    made->port.socket_mode = access->mode ? parse_mode(access->mode) : 0;
    made->port.has_socket_gid = access->gid >= 0;
    made->port.socket_gid = access->gid >= 0 ? (uint32_t)access->gid : 0;
    made->pod_interface = 0;
    if (json_array_append_new(made->interfaces,
                              dmm_result_interface(job->ifname, mac, job->netns, mtu, socket)))
        return dmm_err_set(err, ENOMEM, "result: out of memory");
    return 0;
}

/* The plan's socket, or NULL with err set. */
static const char *socket_of(const json_t *plan, char dir[DMM_SOCKET_MAX + 1], struct dmm_err *err)
{
    const char *socket = dmm_link_plan_text(plan, "socket", err);
    if (!socket || strlen(socket) > (size_t)DMM_SOCKET_MAX || *socket != '/') {
        dmm_err_set(err, EINVAL, "record: plan.socket: not a socket's path");
        return NULL;
    }
    directory_of(dir, socket);
    return socket;
}

static size_t kept_of(const json_t *plan)
{
    return (size_t)json_integer_value(json_object_get(plan, "kept"));
}

int dmm_sockdir_make(const struct dmm_link_job *job, const json_t *plan, struct dmm_err *err)
{
    char dir[DMM_SOCKET_MAX + 1];
    if (!socket_of(plan, dir, err))
        return -EINVAL;
    if (!*dir)
        return 0;
    int rc = dmm_dir_make(dir, err);
    if (!rc && strlen(dir) > kept_of(plan) && lchown(dir, job->owner.uid, job->owner.gid))
        rc = dmm_err_set(err, errno, "chown %s: %s", dir, strerror(errno));
    return rc;
}

int dmm_sockdir_check(const json_t *plan, struct dmm_err *err)
{
    struct stat st;
    char dir[DMM_SOCKET_MAX + 1];
    if (!socket_of(plan, dir, err))
        return -EINVAL;
    if (*dir && stat(dir, &st))
        return dmm_err_set(err, errno, "the socket's directory %s: %s", dir, strerror(errno));
    return 0;
}

int dmm_sockdir_undo(const json_t *plan, struct dmm_err *err)
{
    struct stat st;
    char dir[DMM_SOCKET_MAX + 1];
    const char *socket = socket_of(plan, dir, err);
    if (!socket)
        return -EINVAL;
    if (!lstat(socket, &st) && S_ISSOCK(st.st_mode) && unlink(socket) && errno != ENOENT)
        return dmm_err_set(err, errno, "remove %s: %s", socket, strerror(errno));
    while (strlen(dir) > kept_of(plan) && *dir) {
        if (rmdir(dir) && errno != ENOENT)
            break;
        *strrchr(dir, '/') = '\0';
    }
    return 0;
}
