/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/ethdev.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* By an fd that follows no link: the folder may be the peer's to write to as well. */
static int set_access(const struct ethdev_port *p, int fd)
{
    struct stat st;
    char self[32];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (fstat(fd, &st))
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return 0;
    if (p->socket_gid >= 0 && st.st_gid != (gid_t)p->socket_gid &&
        fchownat(fd, "", (uid_t)-1, (gid_t)p->socket_gid, AT_EMPTY_PATH))
        return -errno;
    if (p->socket_mode && (st.st_mode & 0777) != p->socket_mode &&
        fchmodat(AT_FDCWD, self, p->socket_mode, 0))
        return -errno;
    return 0;
}

void ethdev_socket_settle(struct ethdev_port *p)
{
    if (!p->args.listens || p->socket_refused || (!p->socket_mode && p->socket_gid < 0))
        return;
    int fd = open(p->args.path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return; /* not there yet */
    int rc = set_access(p, fd);
    close(fd);
    p->socket_refused = rc != 0;
    if (rc)
        dmm_log(DMM_LOG_WARN, "port %s: %s: its mode or group: %s%s", p->data.info.name,
                p->args.path, strerror(-rc),
                rc == -EPERM ? " (the sidecar must be in the group of link.socketGid)" : "");
}
