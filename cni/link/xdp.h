/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xdp: the XDP program of an afxdp link and its map of sockets.
 *
 * The program is five instructions: redirect a frame to the AF_XDP socket that the map holds for
 * its receive queue; without one the frame is dropped, since the kernel in the pod has no business
 * with it. It is written down here as it is, so neither a compiler for BPF nor a loader's library
 * is needed. The interface holds the program, the program the map; the pin is how the sidecar finds
 * it. An interface that goes back to the node is freed of the program.
 */
#ifndef DMM_CNI_XDP_H
#define DMM_CNI_XDP_H

#include "cni/link/link.h"
#include "cni/nl.h"

#include <stdbool.h>

/* The order is that of the key link.mode's words. */
enum dmm_xdp_mode { DMM_XDP_AUTO, DMM_XDP_NATIVE, DMM_XDP_SKB };

/* Each returns an fd, or -errno. */
int dmm_xdp_make_map(unsigned queues, struct dmm_err *err);
int dmm_xdp_load(int map_fd, struct dmm_err *err);

/* Pins the map at `path`, for `owner` to open; what is there makes way. */
int dmm_xdp_pin(int map_fd, const char *path, const struct dmm_owner *owner, struct dmm_err *err);

/* Attaches the program to an interface of the namespace of `sock`; auto tries native first. One
 * that has a program already is an error. */
int dmm_xdp_attach(struct nl_sock *sock, const char *ifname, int prog_fd, enum dmm_xdp_mode mode,
                   struct dmm_err *err);
/* Whichever program it has; none is success. */
int dmm_xdp_detach(struct nl_sock *sock, const char *ifname, struct dmm_err *err);
int dmm_xdp_attached(struct nl_sock *sock, const char *ifname, bool *attached, struct dmm_err *err);

/* 0 if `dir` is in a bpf file system. */
int dmm_xdp_check_fs(const char *dir, struct dmm_err *err);

#endif
