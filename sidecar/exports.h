/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exports: placeholders of their own, by which sockets survive exec and are passed by SCM_RIGHTS
 * (EXPORT and CLAIM of common/proto.h).
 *
 * A placeholder is one end of a stream socketpair; the other end stays here, shut for receiving.
 * So a program that knows nothing of us gets EPIPE when it writes and EAGAIN when it reads; and the
 * kernel tells us by a hang-up that the last copy of the placeholder is gone, wherever it was: in
 * a process, in a message under way.
 *
 * Invariants
 *   - An export holds each of its sockets (dmm_sock.exports) and its client (dmm_client.n_exports)
 *     until that hang-up, or until the client ends.
 *   - Who presents a file has it. A file is known by its inode; that it is the very one is proved
 *     by a nonce: it is sent through our end, and must come out of the file that was presented. A
 *     kernel socket is known by its cookie, which the kernel never gives twice.
 *   - A socket changes its client only while no process holds it, and then only to the claimer's.
 *
 * Control thread only.
 */
#ifndef DMM_SIDECAR_EXPORTS_H
#define DMM_SIDECAR_EXPORTS_H

#include "sidecar/connection.h"

/* Makes an export of what `wanted` says for the connection's process. `kernel_fd`: the kernel's
 * socket, with DMM_EXPORT_KERNEL; not taken over. The placeholder, the caller's to close, or a
 * negative errno with err set. */
int dmm_export_make(struct connection *connection, const struct dmm_export *wanted, int kernel_fd,
                    struct dmm_err *err);
/* `fd`: what the process presents, not taken over. Gives it holds and fills *out; 0, or a negative
 * errno with err set; with -EXDEV, token[16] is that of the client to join. */
int dmm_export_claim(struct connection *connection, int fd, struct dmm_export *out, uint8_t *token,
                     struct dmm_err *err);
/* The client has ended: its exports stand for nothing any more. */
void dmm_export_drop_client(struct dmm_attach *attach, const struct dmm_client *client);
/* All of them, at the sidecar's end. */
void dmm_export_close_all(struct dmm_attach *attach);
/* Does any export keep the client alive? */
bool dmm_export_any(const struct dmm_attach *attach, const struct dmm_client *client);

#endif
