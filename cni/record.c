/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/record.h"

#include "cni/env.h"
#include "cni/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RECORD_VERSION 1
#define RECORD_MAX     ((size_t)2 << 20)
#define SUFFIX         ".json"

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

json_t *dmm_record_json(const struct dmm_record *r)
{
    return json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, "
        "s:O, s:O}",
        "version", RECORD_VERSION, "network", r->network, "containerId", r->container_id, "ifname",
        r->ifname, "port", r->port, "netns", r->netns, "netnsDev", (json_int_t)r->netns_id.dev,
        "netnsIno", (json_int_t)r->netns_id.ino, "bootId", r->boot_id, "podDir", r->pod_root,
        "podId", r->pod_id, "cniPath", r->cni_path, "ipam", or_empty(r->ipam_type), "deviceInfo",
        or_empty(r->device_info), "link", r->link, "plan", r->plan, "conf", r->conf);
}

static bool in_range(const struct dmm_record *r, int version)
{
    return version == RECORD_VERSION && json_is_object(r->plan) && json_is_object(r->conf) &&
           r->pod_root[0] == '/' && dmm_cni_id_valid(r->pod_id) && dmm_cni_ifname_valid(r->port) &&
           (!*r->device_info || r->device_info[0] == '/');
}

int dmm_record_from_json(struct dmm_record *r, json_t *json, struct dmm_err *err)
{
    json_error_t at;
    json_int_t dev = 0;
    json_int_t ino = 0;
    int version = 0;
    memset(r, 0, sizeof(*r));
    r->fd = -1;
    if (json_unpack_ex(
            json, &at, JSON_STRICT,
            "{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, "
            "s:o, s:o}",
            "version", &version, "network", &r->network, "containerId", &r->container_id, "ifname",
            &r->ifname, "port", &r->port, "netns", &r->netns, "netnsDev", &dev, "netnsIno", &ino,
            "bootId", &r->boot_id, "podDir", &r->pod_root, "podId", &r->pod_id, "cniPath",
            &r->cni_path, "ipam", &r->ipam_type, "deviceInfo", &r->device_info, "link", &r->link,
            "plan", &r->plan, "conf", &r->conf)) {
        json_decref(json);
        return dmm_err_set(err, EBADMSG, "record: %s", at.text);
    }
    if (!in_range(r, version)) {
        json_decref(json);
        return dmm_err_set(err, EBADMSG, "record: a value is out of its range");
    }
    r->ipam_type = or_null(r->ipam_type);
    r->device_info = or_null(r->device_info);
    r->netns_id.dev = (uint64_t)dev;
    r->netns_id.ino = (uint64_t)ino;
    r->json = json;
    return 0;
}

static int file_name(char name[NAME_MAX + 1], const char *container_id, const char *ifname,
                     struct dmm_err *err)
{
    if (snprintf(name, NAME_MAX + 1, "%s:%s" SUFFIX, container_id, ifname) > NAME_MAX)
        return dmm_err_set(err, ENAMETOOLONG, "container id: too long for a file name");
    return 0;
}

static int open_network_dir(const char *state_root, const char *network, struct dmm_err *err)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", state_root, network) >= sizeof(path))
        return dmm_err_set(err, ENAMETOOLONG, "stateDir: path too long");
    return dmm_dir_open(AT_FDCWD, path, err);
}

/* Its entries. *found: NULL where there is no such folder, which is no error. */
static int list_network_dir(const char *state_root, const char *network, DIR **found,
                            struct dmm_err *err)
{
    *found = NULL;
    int fd = open_network_dir(state_root, network, err);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    *found = fdopendir(fd);
    if (*found)
        return 0;
    int error = errno;
    close(fd);
    return dmm_err_set(err, error, "stateDir: %s", strerror(error));
}

static int make_network_dir(const char *state_root, const char *network, struct dmm_err *err)
{
    int rc = open_network_dir(state_root, network, err);
    if (rc != -ENOENT)
        return rc;
    rc = dmm_dir_make(state_root, err);
    if (rc)
        return rc;
    int root __attribute__((cleanup(dmm_close))) = dmm_dir_open(AT_FDCWD, state_root, err);
    return root < 0 ? root : dmm_dir_make_open(root, network, err);
}

int dmm_record_create(struct dmm_record *r, const char *state_root, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    int rc = file_name(name, r->container_id, r->ifname, err);
    if (rc)
        return rc;
    int dir __attribute__((cleanup(dmm_close))) = make_network_dir(state_root, r->network, err);
    if (dir < 0)
        return dir;
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return dmm_err_set(err, EEXIST, "%s is attached to %s by %s already", r->container_id,
                           r->network, r->ifname);
    json_t *json = dmm_record_json(r);
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    json_decref(json);
    if (!text)
        return dmm_err_set(err, ENOMEM, "record: out of memory");
    rc = dmm_file_write(dir, name, 0600, text, strlen(text), &r->fd, err);
    free(text);
    return rc;
}

/* Out of the way, but kept: someone may want to see what happened. */
static int quarantine(int dir, const char *name, struct dmm_err *err)
{
    char to[NAME_MAX + 1];
    struct dmm_err why = {0};
    int into __attribute__((cleanup(dmm_close))) = dmm_dir_make_open(dir, "quarantine", &why);
    int n = snprintf(to, sizeof(to), "%.200s.%lld", name, (long long)time(NULL));
    if (into < 0 || n < 0 || renameat(dir, name, into, to))
        return dmm_err_set(err, EBADMSG, "%.100s: broken, and can't be moved away: %s", name,
                           strerror(errno));
    dmm_err_prefix(err, "%.100s: broken, moved to quarantine/", name);
    if (err)
        err->code = EBADMSG;
    return -EBADMSG;
}

/* Opens and locks the file that has the name now: not one that was removed while we waited. */
static int open_locked(int dir, const char *name, bool wait, struct dmm_err *err)
{
    for (;;) {
        struct stat ours;
        struct stat named;
        int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return dmm_err_set(err, errno, "record %s: %s", name, strerror(errno));
        int locked = flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
        int code = errno;
        if (!locked && !fstat(fd, &ours) && !fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) &&
            ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
            return fd;
        close(fd);
        if (locked && code == EWOULDBLOCK)
            return dmm_err_set(err, EBUSY, "record %s: in use", name);
        if (locked && code != EINTR)
            return dmm_err_set(err, code, "record %s: lock: %s", name, strerror(code));
    }
}

int dmm_record_load(struct dmm_record *r, const char *state_root, const char *network,
                    const char *container_id, const char *ifname, bool wait, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    int rc = file_name(name, container_id, ifname, err);
    if (rc)
        return rc;
    int dir __attribute__((cleanup(dmm_close))) = open_network_dir(state_root, network, err);
    if (dir < 0)
        return dir;
    int fd __attribute__((cleanup(dmm_close))) = open_locked(dir, name, wait, err);
    if (fd < 0)
        return fd;
    char *text = NULL;
    size_t len = 0;
    rc = dmm_file_read(dir, name, RECORD_MAX, &text, &len, err);
    if (rc == -EFBIG || rc == -EINVAL)
        return quarantine(dir, name, err);
    if (rc)
        return rc;
    json_error_t at;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
    free(text);
    if (!json) {
        dmm_err_set(err, EBADMSG, "line %d: %s", at.line, at.text);
        return quarantine(dir, name, err);
    }
    if (dmm_record_from_json(r, json, err))
        return quarantine(dir, name, err);
    if (strcmp(r->network, network) != 0 || strcmp(r->container_id, container_id) != 0 ||
        strcmp(r->ifname, ifname) != 0) {
        dmm_record_release(r);
        dmm_err_set(err, EBADMSG, "it is another attachment's");
        return quarantine(dir, name, err);
    }
    r->fd = dmm_take(&fd);
    return 0;
}

int dmm_record_remove(const struct dmm_record *r, const char *state_root, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    int rc = file_name(name, r->container_id, r->ifname, err);
    if (rc)
        return rc;
    int dir __attribute__((cleanup(dmm_close))) = open_network_dir(state_root, r->network, err);
    return dir < 0 ? dir : dmm_file_remove(dir, name, err);
}

int dmm_record_remove_unfinished(const char *state_root, const char *network,
                                 const char *container_id, const char *ifname, struct dmm_err *err)
{
    const struct dmm_record gone = {
        .network = network, .container_id = container_id, .ifname = ifname};
    int rc = dmm_record_remove(&gone, state_root, err);
    return rc == -ENOENT ? 0 : rc;
}

static bool is_temporary(const char *name)
{
    const char *end = SUFFIX ".tmp";
    size_t len = strlen(name);
    return name[0] == '.' && len > strlen(end) && !strcmp(name + len - strlen(end), end);
}

/* Its writer holds the lock: who gets it knows that there is none. */
static void remove_abandoned(int dir, const char *name)
{
    int fd __attribute__((cleanup(dmm_close))) =
        openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
        unlinkat(dir, name, 0);
}

int dmm_record_remove_all_unfinished(const char *state_root, const char *network,
                                     struct dmm_err *err)
{
    DIR *dir;
    int rc = list_network_dir(state_root, network, &dir, err);
    if (!dir)
        return rc;
    const struct dirent *entry;
    while ((entry = readdir(dir)))
        if (is_temporary(entry->d_name))
            remove_abandoned(dirfd(dir), entry->d_name);
    closedir(dir);
    return 0;
}

void dmm_record_release(struct dmm_record *r)
{
    if (r->json)
        json_decref(r->json);
    dmm_close(&r->fd);
    memset(r, 0, sizeof(*r));
    r->fd = -1;
}

/* "ID:IFNAME.json" into its parts; false for any other file. */
static bool split_name(char *name, const char **container_id, const char **ifname)
{
    size_t len = strlen(name);
    char *colon = strchr(name, ':');
    if (name[0] == '.' || !colon || len <= strlen(SUFFIX) ||
        strcmp(name + len - strlen(SUFFIX), SUFFIX) != 0)
        return false;
    name[len - strlen(SUFFIX)] = '\0';
    *colon = '\0';
    *container_id = name;
    *ifname = colon + 1;
    return dmm_cni_id_valid(*container_id) && dmm_cni_ifname_valid(*ifname);
}

int dmm_record_each(const char *state_root, const char *network,
                    int (*visit)(void *arg, const char *container_id, const char *ifname),
                    void *arg, struct dmm_err *err)
{
    DIR *dir;
    int rc = list_network_dir(state_root, network, &dir, err);
    if (!dir)
        return rc;
    const struct dirent *entry;
    while (!rc && (entry = readdir(dir))) {
        char name[NAME_MAX + 1];
        const char *container_id;
        const char *ifname;
        snprintf(name, sizeof(name), "%s", entry->d_name);
        if (split_name(name, &container_id, &ifname))
            rc = visit(arg, container_id, ifname);
    }
    closedir(dir);
    return rc;
}
