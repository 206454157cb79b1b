/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void dmm_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int dmm_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static int fail(struct dmm_err *err, const char *what, const char *name)
{
    int code = errno;
    return dmm_err_set(err, code, "%s %s: %s", what, name, strerror(code));
}

int dmm_dir_make(const char *path, struct dmm_err *err)
{
    char part[PATH_MAX];
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return 0;
    if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
        return dmm_err_set(err, ENAMETOOLONG, "mkdir %.64s...: path too long", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) && errno != EEXIST)
            return fail(err, "mkdir", part);
        *slash = '/';
    }
    if (mkdir(part, 0755) && errno != EEXIST)
        return fail(err, "mkdir", part);
    return 0;
}

int dmm_dir_open(int at, const char *name, struct dmm_err *err)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? fd : fail(err, "open", name);
}

int dmm_dir_make_open(int at, const char *name, struct dmm_err *err)
{
    if (mkdirat(at, name, 0755) && errno != EEXIST)
        return fail(err, "mkdir", name);
    return dmm_dir_open(at, name, err);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the kernel's path limits bound. */
static int remove_entries(int fd, struct dmm_err *err)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return fail(err, "open", "directory");
    }
    int rc = 0;
    const struct dirent *entry;
    while (!rc && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = dmm_dir_remove(dirfd(dir), entry->d_name, err);
    }
    closedir(dir);
    return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): see above. */
int dmm_dir_remove(int at, const char *name, struct dmm_err *err)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return fail(err, "remove", name);
    int fd = dmm_dir_open(at, name, err);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int rc = remove_entries(fd, err);
    if (rc)
        return rc;
    if (unlinkat(at, name, AT_REMOVEDIR) && errno != ENOENT)
        return fail(err, "rmdir", name);
    return 0;
}

static int read_all(int fd, char *text, size_t want, size_t *got)
{
    *got = 0;
    while (*got < want) {
        ssize_t n = read(fd, text + *got, want - *got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

int dmm_file_read(int dir, const char *name, size_t max, char **text, size_t *len,
                  struct dmm_err *err)
{
    struct stat st;
    int fd __attribute__((cleanup(dmm_close))) =
        openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        return fail(err, "read", name);
    if (!S_ISREG(st.st_mode))
        return dmm_err_set(err, EINVAL, "read %s: not a regular file", name);
    if ((size_t)st.st_size > max)
        return dmm_err_set(err, EFBIG, "read %s: more than %zu bytes", name, max);
    char *buf = malloc((size_t)st.st_size + 1);
    if (!buf)
        return dmm_err_set(err, ENOMEM, "read %s: out of memory", name);
    int rc = read_all(fd, buf, (size_t)st.st_size, len);
    if (rc) {
        free(buf);
        return dmm_err_set(err, -rc, "read %s: %s", name, strerror(-rc));
    }
    buf[*len] = '\0';
    *text = buf;
    return 0;
}

static int write_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

static int temp_name(char temp[NAME_MAX + 1], const char *name, struct dmm_err *err)
{
    if (snprintf(temp, NAME_MAX + 1, ".%s.tmp", name) > NAME_MAX)
        return dmm_err_set(err, ENAMETOOLONG, "write %.64s...: name too long", name);
    return 0;
}

static int put(int dir, const char *name, mode_t mode, const char *text, size_t len, bool durable,
               int *keep_fd, struct dmm_err *err)
{
    char temp[NAME_MAX + 1];
    int rc = temp_name(temp, name, err);
    if (rc)
        return rc;
    if (unlinkat(dir, temp, 0) && errno != ENOENT)
        return fail(err, "remove", temp);
    int fd __attribute__((cleanup(dmm_close))) =
        openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return fail(err, "create", temp);
    if (keep_fd && flock(fd, LOCK_EX | LOCK_NB)) {
        rc = fail(err, "lock", name);
        goto remove;
    }
    if (write_all(fd, text, len) || fchmod(fd, mode) || (durable && fsync(fd))) {
        rc = fail(err, "write", name);
        goto remove;
    }
    if (renameat(dir, temp, dir, name)) {
        rc = fail(err, "rename", name);
        goto remove;
    }
    if (durable && fsync(dir)) {
        rc = fail(err, "sync the directory of", name);
        unlinkat(dir, name, 0);
        return rc;
    }
    if (keep_fd)
        *keep_fd = dmm_take(&fd);
    return 0;
remove:
    unlinkat(dir, temp, 0);
    return rc;
}

int dmm_file_write(int dir, const char *name, mode_t mode, const char *text, size_t len,
                   int *keep_fd, struct dmm_err *err)
{
    return put(dir, name, mode, text, len, true, keep_fd, err);
}

int dmm_file_replace(int dir, const char *name, mode_t mode, const char *text, size_t len,
                     struct dmm_err *err)
{
    return put(dir, name, mode, text, len, false, NULL, err);
}

int dmm_file_remove(int dir, const char *name, struct dmm_err *err)
{
    char temp[NAME_MAX + 1];
    int rc = temp_name(temp, name, err);
    if (rc)
        return rc;
    if (unlinkat(dir, temp, 0) && errno != ENOENT)
        return fail(err, "remove", temp);
    if (unlinkat(dir, name, 0) && errno != ENOENT)
        return fail(err, "remove", name);
    return 0;
}

/* The file may have been removed by its last holder while we waited: then there is a new one. */
static int lock_once(const char *path, struct dmm_err *err)
{
    struct stat ours;
    struct stat named;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(err, "open", path);
    while (flock(fd, LOCK_EX)) {
        if (errno != EINTR) {
            int rc = fail(err, "lock", path);
            close(fd);
            return rc;
        }
    }
    if (!fstat(fd, &ours) && !lstat(path, &named) && ours.st_ino == named.st_ino &&
        ours.st_dev == named.st_dev)
        return fd;
    close(fd);
    return -EAGAIN;
}

int dmm_lock(const char *dir, const char *name, struct dmm_err *err)
{
    char path[PATH_MAX];
    int fd;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
        return dmm_err_set(err, ENAMETOOLONG, "lock %s: path too long", name);
    do {
        fd = lock_once(path, err);
    } while (fd == -EAGAIN);
    return fd;
}
