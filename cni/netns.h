/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns: network namespaces, and who is who among them.
 *
 * A path may name another namespace tomorrow than it does today, so what identifies one is the
 * device and inode of nsfs, for as long as the node is up (the boot id says that).
 *
 * One thread only: entering a namespace moves the calling thread.
 */
#ifndef DMM_CNI_NETNS_H
#define DMM_CNI_NETNS_H

#include "common/err.h"

#include <stdint.h>

struct dmm_netns_id {
    uint64_t dev;
    uint64_t ino;
};

/* Opens a network namespace, O_CLOEXEC. Returns the fd, or -errno (also where `path` is something
 * else). *id may be NULL. */
int dmm_netns_open(const char *path, struct dmm_netns_id *id, struct dmm_err *err);
/* The namespace that we run in. */
int dmm_netns_self(struct dmm_netns_id *id, struct dmm_err *err);

/* Moves to `fd`; *back is what dmm_netns_leave() needs. */
int dmm_netns_enter(int fd, int *back, struct dmm_err *err);
/* Goes back and closes `back`. Failing would leave us in a pod's namespace: then the process ends.
 */
void dmm_netns_leave(int back);

#define DMM_BOOT_ID_LEN 37
/* The kernel's boot id, with NUL. */
int dmm_boot_id(char id[DMM_BOOT_ID_LEN], struct dmm_err *err);

#endif
