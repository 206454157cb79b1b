/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals: O_ASYNC. A socket that has it gets a placeholder of its own (share.h), into whose other
 * end the sidecar writes a byte when there is news, unless the last one is still there: the kernel
 * then sends the signal, to whom and as the program has told it by F_SETOWN and F_SETSIG on that
 * very file, which forked children and exec'ed images share. The bytes are taken out by the calls
 * that receive.
 *
 * Where the fd is the kernel's socket (a wildcard one), the placeholder is the entry's companion.
 * Any thread. 0 or a negative errno.
 */
#ifndef DMM_PRELOAD_SIGNALS_H
#define DMM_PRELOAD_SIGNALS_H

#include "preload/socket.h"

#include <fcntl.h>

/* O_ASYNC on or off. */
int signals_set(int fd, struct entry *entry, bool on);
bool signals_are_set(int fd, struct entry *entry);
/* Around a decision, under the entry's lock: what the program has said of signals by now goes over
 * to the file that the fd is then. */
struct signals_kept {
    struct f_owner_ex who;
    int signal;
    bool any, async;
};
struct signals_kept signals_keep(int fd, struct entry *entry);
void signals_give(int fd, struct entry *entry, const struct signals_kept *kept);
/* Before F_SETOWN, F_SETSIG and their kin: the fd gets a file of its own, to keep it. */
void signals_need_file(int fd, struct entry *entry);
/* After them: what the fd was told, its companion is told too. */
void signals_copy_owner(int fd, struct entry *entry);
/* After a recovery (recover.h), without locks: the new sidecar is to tell, too. */
void signals_recover(int fd, struct entry *entry);
void signals_take(struct entry *entry);

/* Before a call that receives looks: what comes after that is told of again. */
static inline void signals_looked_at(struct entry *entry)
{
    if (__builtin_expect(
            atomic_load_explicit(socket_status(entry), memory_order_relaxed) & STATUS_SIGNALS, 0))
        signals_take(entry);
}

#endif
