/* SPDX-License-Identifier: Apache-2.0 */
/* Epoll sets that survive an exec: their stack sockets are put into them again. */
#include "preload/calls.h"
#include "preload/epoll_set.h"
#include "preload/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define LEFT_MAX (1u << 16)                                   /* items of all sets */
#define SEALS    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) /* by which the memfd is known */

struct leaving {
    int memfd;
    uint32_t n;
};

static uint32_t first_socket(struct entry *entry)
{
    return socket_parts(entry) ? socket_part(entry, 0)->index : DMM_NONE;
}

static bool survives(int fd)
{
    int flags = REAL(fcntl)(fd, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC);
}

static bool write_item(struct leaving *leaving, int epfd, const struct epoll_item *item)
{
    struct epoll_left left;
    memset(&left, 0, sizeof(left)); /* no byte of the program's memory goes along */
    left.epfd = epfd;
    left.fd = item->fd;
    left.socket = first_socket(item->entry);
    left.events = item->events;
    left.data = item->data.u64;
    left.in_kernel = item->in_kernel;
    left.told = *item->told;
    left.told.turn = 0;
    if (leaving->memfd < 0)
        leaving->memfd = memfd_create("dmm-epoll", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return leaving->memfd >= 0 &&
           REAL(write)(leaving->memfd, &left, sizeof(left)) == (ssize_t)sizeof(left);
}

static void leave_set(int fd, struct entry *entry, void *arg)
{
    struct leaving *leaving = arg;
    if (entry->kind != ENTRY_EPOLL || !survives(fd))
        return;
    struct epoll_set *set = entry->set;
    lock_take(&set->lock, LOCK_PRIVATE);
    bool any = false;
    for (const struct epoll_item *item = set->items; item && leaving->n < LEFT_MAX;
         item = item->next_in_set) {
        if (!survives(item->fd) || !write_item(leaving, fd, item))
            continue;
        leaving->n++;
        any = true;
    }
    set->epfd = fd;
    if (any)
        epoll_set_apart(set);
    epoll_unlock(set);
}

int epoll_leave(void)
{
    struct leaving leaving = {.memfd = -1};
    entry_each(leave_set, &leaving);
    if (leaving.memfd < 0)
        return -1;
    REAL(fcntl)(leaving.memfd, F_ADD_SEALS, SEALS);
    /* Out of the way of numbers that a spawn's file actions name. */
    int high = REAL(fcntl)(leaving.memfd, F_DUPFD, ENTRY_OWN_FDS);
    REAL(close)(leaving.memfd);
    return high;
}

/* ---- the next image ---- */

struct looking {
    uint32_t socket;
    struct entry *found;
};

static void compare(int fd, struct entry *entry, void *arg)
{
    struct looking *looking = arg;
    (void)fd;
    if (looking->found || entry->kind != ENTRY_SOCKET || first_socket(entry) != looking->socket)
        return;
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    looking->found = entry;
}

/* The entry, held, of what was left: by its number, or, if that is another one's now, wherever. */
static struct entry *find(const struct epoll_left *left)
{
    struct looking looking = {.socket = left->socket};
    struct entry *entry = entry_get_socket(left->fd);
    if (entry && first_socket(entry) == left->socket)
        return entry;
    if (entry)
        entry_put(entry);
    if (left->socket != DMM_NONE)
        entry_each(compare, &looking);
    return looking.found;
}

void epoll_restore(int memfd)
{
    struct epoll_left left;
    if (REAL(fcntl)(memfd, F_GET_SEALS) != SEALS)
        return; /* it is not what was left: some spawn has used the number */
    off_t size = lseek(memfd, 0, SEEK_END);
    if (size % (off_t)sizeof(left) || size / (off_t)sizeof(left) > LEFT_MAX)
        size = 0;
    for (off_t at = 0; at < size; at += (off_t)sizeof(left)) {
        if (pread(memfd, &left, sizeof(left), at) != (ssize_t)sizeof(left))
            break;
        struct entry *entry = find(&left);
        if (!entry)
            continue;
        epoll_take_in(&left, entry);
        entry_put(entry);
    }
    REAL(close)(memfd);
}
