/* SPDX-License-Identifier: Apache-2.0 */
/*
 * establish: connect, listen, accept, names and shutdown on the shim's sockets. Results are those
 * of the calls, with a negative errno for failure. Any thread.
 */
#ifndef DMM_PRELOAD_ESTABLISH_H
#define DMM_PRELOAD_ESTABLISH_H

#include "preload/entry.h"

#include <sys/socket.h>

int establish_bind(int fd, struct entry *entry, const struct sockaddr *sa, socklen_t len);
/* As establish_connect, but ESTABLISH_NATIVE where the kernel's own call has to do it. */
#define ESTABLISH_NATIVE INT32_MIN
int establish_connect_here(int fd, struct entry *entry, const struct sockaddr *sa, socklen_t len);
int establish_connect(int fd, struct entry *entry, const struct sockaddr *sa, socklen_t len);
int establish_listen(int fd, struct entry *entry, int backlog);
int establish_accept(int fd, struct entry *entry, struct sockaddr *sa, socklen_t *len, int flags);
int establish_shutdown(int fd, struct entry *entry, int how);
int establish_name(int fd, struct entry *entry, struct sockaddr *sa, socklen_t *len);
int establish_peer(int fd, struct entry *entry, struct sockaddr *sa, socklen_t *len);

#endif
