/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci: PCI functions as sysfs shows them: which VFs a PF has, which driver and interface a function
 * has, and the binding of drivers.
 *
 * `sysfs` is the root of the tree: "/sys", or a made-up one in tests. An address is in the form of
 * sysfs, "0000:01:10.0". Names read from sysfs are checked to fit and hold no '/'.
 *
 * What sysfs shows of interfaces is those of the network namespace in which it was mounted. One
 * thread.
 */
#ifndef DMM_CNI_PCI_H
#define DMM_CNI_PCI_H

#include "common/err.h"

#include <net/if.h>
#include <stdbool.h>

#define DMM_PCI_ADDR   20 /* with NUL; domains of more than four digits exist */
#define DMM_PCI_DRIVER 64

/* DOMAIN:BUS:DEVICE.FUNCTION in lower-case hex. */
bool dmm_pci_valid(const char *addr);
bool dmm_pci_exists(const char *sysfs, const char *addr);

/* The address behind an interface of the node. -ENOENT: no such interface, or not of PCI. */
int dmm_pci_of_interface(const char *sysfs, const char *ifname, char addr[DMM_PCI_ADDR]);
/* A function's first interface in sysfs' namespace; -ENOENT if it has none. */
int dmm_pci_interface(const char *sysfs, const char *addr, char ifname[IFNAMSIZ]);
/* The same, waiting up to `ms` milliseconds: drivers may register it a little after they are bound.
 */
int dmm_pci_wait_interface(const char *sysfs, const char *addr, unsigned ms, char ifname[IFNAMSIZ]);
/* The bound driver; -ENOENT if none is. */
int dmm_pci_driver(const char *sysfs, const char *addr, char driver[DMM_PCI_DRIVER]);
bool dmm_pci_driver_loaded(const char *sysfs, const char *driver);
/* What driver_override says, "" for nothing. */
int dmm_pci_override(const char *sysfs, const char *addr, char driver[DMM_PCI_DRIVER]);
/* The number of its IOMMU group; -ENOENT without one. */
int dmm_pci_iommu_group(const char *sysfs, const char *addr);

/* The PF of a VF; -ENOENT if it is no VF. */
int dmm_pci_pf(const char *sysfs, const char *vf, char pf[DMM_PCI_ADDR]);
/* How many VFs the PF has now, 0 for one that can have none. */
int dmm_pci_n_vfs(const char *sysfs, const char *pf);
/* The VF's address by its number, and the other way round; -ENOENT if there is none. */
int dmm_pci_vf(const char *sysfs, const char *pf, int index, char vf[DMM_PCI_ADDR]);
int dmm_pci_vf_index(const char *sysfs, const char *pf, const char *vf);

/* Locks the function: with `wait` until it is free, else -EBUSY. Returns an fd, to be closed. Held
 * on the function's folder in sysfs, so that nothing has to be made for it and nothing is left. */
int dmm_pci_lock(const char *sysfs, const char *addr, bool wait, struct dmm_err *err);

/* Unbinds whichever driver is bound; none is success. */
int dmm_pci_unbind(const char *sysfs, const char *addr, struct dmm_err *err);
/* Binds `driver` (NULL: none) in place of the one that is bound, and leaves driver_override as
 * `override` says ("": nothing). The same driver again is success. */
int dmm_pci_bind(const char *sysfs, const char *addr, const char *driver, const char *override,
                 struct dmm_err *err);

#endif
