/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/replace.h"

#include "preload/calls.h"
#include "preload/socket.h"

#include <errno.h>

struct replacing {
    struct entry *entry;
    int by;
    int error;
};

/* cppcheck-suppress constParameter ; entry_each() takes functions of one type */
static void replace_one(int fd, struct entry *entry, void *arg)
{
    struct replacing *work = arg;
    if (entry != work->entry || work->error)
        return;
    int flags = REAL(fcntl)(fd, F_GETFD);
    if (flags < 0 || REAL(dup3)(work->by, fd, (flags & FD_CLOEXEC) ? O_CLOEXEC : 0) < 0)
        work->error = -errno;
}

int replace_fd(int fd, struct entry *entry, int by)
{
    struct replacing work = {.entry = entry, .by = by};
    /* `refs` counts this call too; more than two: dups (or other threads at work). */
    if (atomic_load_explicit(&entry->refs, memory_order_relaxed) > 2)
        entry_each(replace_one, &work);
    else
        replace_one(fd, entry, &work);
    REAL(close)(by);
    return work.error;
}

int replace_make_kernel(const struct entry *entry, bool nonblock)
{
    int fd =
        REAL(socket)(entry->family, entry->type | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0),
                     entry->protocol);
    if (fd < 0)
        return -errno;
    for (uint32_t i = 0; entry->late && i < entry->late->record.n; i++) {
        const struct record_option *option = &entry->late->record.options[i];
        /* A stack took what the kernel does not: then the kernel's answer would have been this. */
        REAL(setsockopt)(fd, option->level, option->name, option->value, option->len);
    }
    return fd;
}
