/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share: sockets that leave the process, by exec, posix_spawn or SCM_RIGHTS, and those that come.
 *
 * Inside a process and its forked children a placeholder is a dup of one anchor, which says nothing
 * of the socket. Before a socket leaves, it is given a placeholder of its own by the sidecar
 * (EXPORT of common/proto.h), which takes the anchor's place at every number that refers to the
 * socket. Whoever has that file presents it (CLAIM) and has the socket. Nothing else gives it: no
 * name, number or environment variable.
 *
 * Invariants
 *   - entry->shared says what the placeholder at the entry's fd stands for. It is out of date, and
 *     another is made before the next leave, when the phase, the part or the client has changed.
 *   - A wildcard listener's fd is the kernel's socket, which leaves as it is; its placeholder is
 * the entry's `companion`, which goes along over exec only.
 *   - One entry per open file description: what comes a second time is the same entry.
 *   - What a claim says comes from another process: it is checked as the region's words are not.
 *
 * A socket that is the kernel's, or still may become it and is a kernel socket so far, leaves as
 * that: for whoever gets it, it is the kernel's for good. Any thread.
 */
#ifndef DMM_PRELOAD_SHARE_H
#define DMM_PRELOAD_SHARE_H

#include "preload/client.h"
#include "preload/entry.h"

#include <sys/socket.h>

/* 0, or a negative errno (reported): whoever gets the fd finds it dead. */
int share_export(int fd, struct entry *entry);
/* The same under the entry's lock. */
int share_export_locked(int fd, struct entry *entry);
/* `fd` has just come from elsewhere and may be a placeholder: it becomes what it stands for, or, if
 * that can't be had (reported), a dead socket. Anything else stays what it is. */
void share_received(int fd);
/* The fds in a message's SCM_RIGHTS: before it is sent, after it was received. */
void share_sent_message(const struct msghdr *msg);
void share_received_message(struct msghdr *msg);

/* An open fd of the image, and its file's SO_COOKIE; 0: not a socket. */
struct share_file {
    int fd;
    uint64_t cookie;
};
uint64_t share_cookie(int fd);
/* For exec'ed images, with all of their fds: claims those that are placeholders, and installs their
 * entries at each fd that is the same file (or, if the kernel has the socket, that kernel socket).
 * A placeholder that is a companion is taken over. */
void share_claim_inherited(const struct share_file *files, size_t n);

#endif
