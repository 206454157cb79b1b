/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: getsockopt and setsockopt on the shim's sockets. What concerns calls rather than packets
 * (timeouts, low-water mark, linger, buffer sizes, SO_ERROR and the SO_ that describe a socket,
 * ancillary data wanted) is done here; everything else is asked of the stack by command, and its
 * refusal reaches the app. docs/sockets.md lists them.
 *
 * Any thread. 0 or a negative errno.
 */
#ifndef DMM_PRELOAD_OPTIONS_H
#define DMM_PRELOAD_OPTIONS_H

#include "preload/entry.h"

#include <sys/socket.h>

#define OPTIONS_SNDBUF_DEFAULT (1u << 20) /* how far a transmit ring grows by itself */

int options_set(int fd, struct entry *entry, int level, int name, const void *value, socklen_t len);
int options_get(int fd, struct entry *entry, int level, int name, void *value, socklen_t *len);

/* Sets recorded options on a part. One that the stack refuses is reported, once: the app set it
 * when the stack was not known yet. */
void options_replay(struct client *client, const struct entry *entry, const struct part *part,
                    const struct record *record);
/* True: a stream socket of the instance is known to take all of them, so they may as well be set
 * after it was connected. */
bool options_need_no_answer(const struct client *client, uint32_t instance,
                            const struct record *record);

#endif
