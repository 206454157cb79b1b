/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/signals.h"

#include "preload/calls.h"
#include "preload/share.h"

#include <errno.h>
#include <fcntl.h>

/* Who is to get which signal. */
struct owner {
    struct f_owner_ex who;
    int signal;
};

static struct owner owner_of(int fd)
{
    struct owner owner = {.signal = REAL(fcntl)(fd, F_GETSIG)};
    if (REAL(fcntl)(fd, F_GETOWN_EX, &owner.who) < 0)
        owner.who = (struct f_owner_ex){.type = F_OWNER_PID};
    return owner;
}

static void give_owner(int fd, const struct owner *owner)
{
    REAL(fcntl)(fd, F_SETOWN_EX, &owner->who);
    REAL(fcntl)(fd, F_SETSIG, owner->signal > 0 ? owner->signal : 0);
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

int signals_set(int fd, struct entry *entry, bool on)
{
    int saved = errno;
    struct owner owner = owner_of(fd);
    int r = 0;
    if (on) {
        socket_change_status(entry, STATUS_SIGNALS, 0);
        r = share_export(fd, entry);
        if (r < 0)
            socket_change_status(entry, 0, STATUS_SIGNALS);
        else if (!entry->kernel)
            give_owner(fd, &owner);
    }
    if (r == 0)
        r = set_async(fd, on);
    if (r == 0 && companion(entry) >= 0) {
        give_owner(companion(entry), &owner);
        r = set_async(companion(entry), on);
    }
    errno = saved;
    return r;
}

bool signals_are_set(int fd, struct entry *entry)
{
    uint32_t status = atomic_load_explicit(socket_status(entry), memory_order_relaxed);
    return (entry->kernel || (status & STATUS_SIGNALS)) && (REAL(fcntl)(fd, F_GETFL) & O_ASYNC);
}

void signals_need_file(int fd, struct entry *entry)
{
    int saved = errno;
    if (entry->phase == PHASE_STACK)
        share_export(fd, entry);
    errno = saved;
}

void signals_copy_owner(int fd, struct entry *entry)
{
    int saved = errno;
    struct owner owner = owner_of(fd);
    if (companion(entry) >= 0)
        give_owner(companion(entry), &owner);
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
