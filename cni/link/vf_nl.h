/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vf_nl: the NIC of cni/link/vf.h over rtnetlink, through its PF's interface; and what interfaces
 * that go into a pod and come back want of rtnetlink: finding, moving and restoring them.
 *
 * One thread.
 */
#ifndef DMM_CNI_VF_NL_H
#define DMM_CNI_VF_NL_H

#include "cni/link/ethtool.h"
#include "cni/link/vf.h"
#include "cni/nl.h"

#include <net/if.h>

struct dmm_vf_nl {
    struct nl_sock *sock; /* of the node's namespace; borrowed */
    int pf;               /* interface index */
};

extern const struct dmm_vf_ops dmm_vf_nl_ops; /* nic: struct dmm_vf_nl */

/* The interface of the namespace whose device is the PCI function; 0 if there is none, or if the
 * kernel (before 5.14) does not tell. */
int dmm_vf_nl_find(struct nl_sock *sock, const char *pci, int *ifindex, struct dmm_err *err);
/* The same by the interface's alias. */
int dmm_vf_nl_find_alias(struct nl_sock *sock, const char *alias, int *ifindex,
                         struct dmm_err *err);
/* Empty: none. */
int dmm_vf_nl_set_alias(struct nl_sock *sock, int ifindex, const char *alias, struct dmm_err *err);

int dmm_vf_nl_down(struct nl_sock *sock, int ifindex, struct dmm_err *err);
/* Sends an interface into another namespace under a name of there. */
int dmm_vf_nl_move(struct nl_sock *sock, int ifindex, int netns_fd, const char *name,
                   struct dmm_err *err);

/* What an interface has of its own, for putting it back. */
struct dmm_vf_nl_dev {
    int ifindex;
    char name[IFNAMSIZ];
    uint8_t mac[6];
    unsigned mtu;
    bool up;
    bool taken; /* it has a master: it is in a bridge, a bond, ... */
    struct dmm_channels channels;
};
int dmm_vf_nl_look(struct nl_sock *sock, const char *ifname, struct dmm_vf_nl_dev *dev,
                   struct dmm_err *err);
/* -EBUSY: it has a master, an address or an XDP program. In the thread's own namespace. */
int dmm_vf_nl_unused(struct nl_sock *sock, const struct dmm_vf_nl_dev *dev, struct dmm_err *err);
/* Makes it so: name, MTU, queues, up or down, the kernel's ARP on; without an XDP program. The
 * address is the caller's to settle. In the thread's own namespace. */
int dmm_vf_nl_restore(struct nl_sock *sock, int ifindex, const struct dmm_vf_nl_dev *to,
                      struct dmm_err *err);
/* Takes it down and gives it an address. */
int dmm_vf_nl_set_mac(struct nl_sock *sock, int ifindex, const uint8_t mac[6], struct dmm_err *err);
int dmm_vf_nl_set_mtu(struct nl_sock *sock, int ifindex, unsigned mtu, struct dmm_err *err);

#endif
