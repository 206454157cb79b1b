/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead: connects that wait for no answer, on sockets that the sidecar has opened ahead (spares:
 * common/region.h).
 *
 * Only to an address that was connected to before while ports were as they are now: what a connect
 * fails with at once (no route, no such address) has then been asked, and the app hears of it from
 * its call. What is left (no port, no memory) reaches it as a connect's later failures do.
 *
 * Any thread.
 */
#ifndef DMM_PRELOAD_AHEAD_H
#define DMM_PRELOAD_AHEAD_H

#include "preload/client.h"
#include "preload/entry.h"

/* Takes a spare for a connect to `remote` on the instance. False: this one waits for its answer. */
bool ahead_take(struct client *client, uint32_t instance, const struct dmm_addr *remote,
                struct part *part);
/* Sends the CONNECT. */
void ahead_connect(struct client *client, const struct part *part, const struct dmm_addr *remote);
/* A connect to `remote` has begun well. */
void ahead_note(struct client *client, uint32_t instance, const struct dmm_addr *remote);

#endif
