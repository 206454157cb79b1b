/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/netns.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

int dmm_netns_open(const char *path, struct dmm_netns_id *id, struct dmm_err *err)
{
    struct statfs fs;
    struct stat st;
    /* O_NONBLOCK: a FIFO in its place must not hold us. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return dmm_err_set(err, errno, "%s: %s", path, strerror(errno));
    if (fstatfs(fd, &fs) || fstat(fd, &st) || fs.f_type != NSFS_MAGIC ||
        ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
        close(fd);
        return dmm_err_set(err, EINVAL, "%s: not a network namespace", path);
    }
    if (id) {
        id->dev = st.st_dev;
        id->ino = st.st_ino;
    }
    return fd;
}

int dmm_netns_self(struct dmm_netns_id *id, struct dmm_err *err)
{
    return dmm_netns_open("/proc/thread-self/ns/net", id, err);
}

int dmm_netns_enter(int fd, int *back, struct dmm_err *err)
{
    *back = dmm_netns_self(NULL, err);
    if (*back < 0)
        return *back;
    if (setns(fd, CLONE_NEWNET)) {
        int code = errno;
        close(*back);
        return dmm_err_set(err, code, "enter the pod's network namespace: %s", strerror(code));
    }
    return 0;
}

void dmm_netns_leave(int back)
{
    if (setns(back, CLONE_NEWNET)) {
        dmm_log(DMM_LOG_ERROR, "leave the pod's network namespace: %s", strerror(errno));
        _exit(1);
    }
    close(back);
}

int dmm_boot_id(char id[DMM_BOOT_ID_LEN], struct dmm_err *err)
{
    const char *path = "/proc/sys/kernel/random/boot_id";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dmm_err_set(err, errno, "%s: %s", path, strerror(errno));
    ssize_t n = read(fd, id, DMM_BOOT_ID_LEN - 1);
    close(fd);
    if (n != DMM_BOOT_ID_LEN - 1)
        return dmm_err_set(err, EIO, "%s: too short", path);
    id[DMM_BOOT_ID_LEN - 1] = '\0';
    return 0;
}
