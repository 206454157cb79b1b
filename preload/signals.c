/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/signals.h"

#include "preload/calls.h"
#include "preload/share.h"

#include <errno.h>
#include <fcntl.h>

static struct signals_kept look(int fd)
{
    struct signals_kept kept = {.any = true, .signal = REAL(fcntl)(fd, F_GETSIG)};
    int flags = REAL(fcntl)(fd, F_GETFL);
    kept.async = flags >= 0 && (flags & O_ASYNC);
    if (REAL(fcntl)(fd, F_GETOWN_EX, &kept.who) < 0)
        kept.who = (struct f_owner_ex){.type = F_OWNER_PID};
    return kept;
}

static void give_owner(int fd, const struct signals_kept *kept)
{
    REAL(fcntl)(fd, F_SETOWN_EX, &kept->who);
    REAL(fcntl)(fd, F_SETSIG, kept->signal > 0 ? kept->signal : 0);
}

static int companion(struct entry *entry)
{
    return entry->kernel ? atomic_load_explicit(&entry->companion, memory_order_relaxed) : -1;
}

static int set_async(int fd, bool on)
{
    int flags = REAL(fcntl)(fd, F_GETFL);
    return flags < 0 || REAL(fcntl)(fd, F_SETFL, on ? flags | O_ASYNC : flags & ~O_ASYNC) < 0
               ? -errno
               : 0;
}

/* To the fd's file, and, where that is the kernel's socket, to the companion too. */
static int give(int fd, struct entry *entry, const struct signals_kept *kept)
{
    give_owner(fd, kept);
    int r = set_async(fd, kept->async);
    if (r == 0 && companion(entry) >= 0) {
        give_owner(companion(entry), kept);
        r = set_async(companion(entry), kept->async);
    }
    return r;
}

int signals_set(int fd, struct entry *entry, bool on)
{
    int saved = errno;
    struct signals_kept kept = look(fd);
    int r = 0;
    kept.async = on;
    if (on) {
        socket_change_status(entry, STATUS_SIGNALS, 0);
        r = share_export(fd, entry);
        if (r < 0)
            socket_change_status(entry, 0, STATUS_SIGNALS);
    }
    if (r == 0)
        r = give(fd, entry, &kept);
    errno = saved;
    return r;
}

struct signals_kept signals_keep(int fd, struct entry *entry)
{
    uint32_t status = atomic_load_explicit(socket_status(entry), memory_order_relaxed);
    if (__builtin_expect(!(status & (STATUS_SIGNALS | STATUS_OWNED)), 1))
        return (struct signals_kept){.any = false};
    return look(fd);
}

void signals_give(int fd, struct entry *entry, const struct signals_kept *kept)
{
    if (__builtin_expect(!kept->any, 1))
        return;
    int saved = errno;
    if (kept->async)
        socket_change_status(entry, STATUS_SIGNALS, 0);
    if (entry->phase == PHASE_NATIVE || share_export_locked(fd, entry) == 0)
        give(fd, entry, kept);
    errno = saved;
}

bool signals_are_set(int fd, struct entry *entry)
{
    uint32_t status = atomic_load_explicit(socket_status(entry), memory_order_relaxed);
    return (entry->kernel || (status & STATUS_SIGNALS)) && (REAL(fcntl)(fd, F_GETFL) & O_ASYNC);
}

void signals_need_file(int fd, struct entry *entry)
{
    int saved = errno;
    if (entry->phase == PHASE_UNDECIDED)
        socket_change_status(entry, STATUS_OWNED, 0);
    if (!entry->kernel)
        share_export(fd, entry);
    errno = saved;
}

void signals_copy_owner(int fd, struct entry *entry)
{
    int saved = errno;
    struct signals_kept kept = look(fd);
    if (companion(entry) >= 0)
        give_owner(companion(entry), &kept);
    errno = saved;
}

void signals_recover(int fd, struct entry *entry)
{
    uint32_t status = atomic_load_explicit(socket_status(entry), memory_order_relaxed);
    if ((status & STATUS_SIGNALS) && signals_are_set(fd, entry))
        signals_set(fd, entry, true);
}

/* ---- the bytes ---- */

struct looking {
    const struct entry *entry;
    int fd;
};

/* cppcheck-suppress constParameter ; entry_each() takes functions of one type */
static void compare(int fd, struct entry *entry, void *arg)
{
    struct looking *looking = arg;
    if (entry == looking->entry)
        looking->fd = fd;
}

void signals_take(struct entry *entry)
{
    char bytes[64];
    struct looking looking = {.entry = entry, .fd = companion(entry)};
    int saved = errno;
    if (looking.fd < 0)
        entry_each(compare, &looking);
    if (looking.fd >= 0)
        while (REAL(recv)(looking.fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
            ;
    errno = saved;
}
