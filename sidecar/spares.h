/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spares: sockets opened ahead of an app's connects, so that a connect waits for no answer
 * (struct dmm_channel in common/region.h has the app's side).
 *
 * A spare is a socket that its channel's process holds, marked DMM_SOCK_SPARE, whose index the app
 * finds in the channel. Whatever command names it takes it: then it is as any other, and another of
 * its kind takes its place. A process gets spares once it has connected more than once, and more of
 * them each time that it finds none. They do not count as sockets of the app's, are not inherited
 * over fork, and make way where sockets run out.
 *
 * Worker thread only.
 */
#ifndef DMM_SIDECAR_SPARES_H
#define DMM_SIDECAR_SPARES_H

#include "sidecar/sock.h"

/* The app has opened a socket to connect it, and had no spare of that kind. */
void dmm_spares_more(struct dmm_client *client, uint32_t channel, struct dmm_instance *instance,
                     const struct dmm_open *open);
/* A command of `channel` has named the spare. */
void dmm_spare_take(struct dmm_sock *sock, uint32_t channel);
/* Takes the mark off: it is taken, or closes. */
void dmm_spare_unmark(struct dmm_sock *sock);
/* Closes all of the client's that no app has taken; true if there were any. */
bool dmm_spares_drop(struct dmm_client *client);

#endif
