/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/sriov.h"

#include "cni/file.h"
#include "cni/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define INTERFACE_MS 5000 /* a driver's time to register its interface */
#define RETURN_MS    3000 /* the kernel's, to bring it home from a namespace that died */
#define RELEASE_MS   3000 /* a dying sidecar's, to let go of its device */
#define POLL_MS      20

bool dmm_sriov_is_user_driver(const char *driver)
{
    return strstr(driver, "vfio") != NULL;
}

int dmm_sriov_pf_interface(const char *pf, char ifname[IFNAMSIZ], struct dmm_err *err)
{
    if (!dmm_pci_interface(DMM_SYSFS, pf, ifname))
        return 0;
    return dmm_err_set(err, ENODEV, "PF %s: has no interface on the node", pf);
}

int dmm_sriov_nic(struct dmm_vf_nl *nic, struct nl_sock *sock, const char *pf, struct dmm_err *err)
{
    struct dmm_vf_nl_dev dev = {0};
    int rc = dmm_vf_nl_look(sock, pf, &dev, err);
    *nic = (struct dmm_vf_nl){sock, dev.ifindex};
    return rc;
}

static int vfio_once(int group, struct dmm_err *err)
{
    char path[32];
    struct vfio_group_status status = {.argsz = sizeof(status)};
    snprintf(path, sizeof(path), "/dev/vfio/%d", group);
    int fd __attribute__((cleanup(dmm_close))) = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return dmm_err_set(err, errno, "%s: %s", path,
                           errno == EBUSY ? "a program has the device" : strerror(errno));
    if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status))
        return dmm_err_set(err, errno, "%s: %s", path, strerror(errno));
    if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
        return dmm_err_set(
            err, EPERM, "%s: other functions of IOMMU group %d are not bound to vfio", path, group);
    return 0;
}

int dmm_sriov_vfio_free(const char *pci, unsigned ms, struct dmm_err *err)
{
    static const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int group = dmm_pci_iommu_group(DMM_SYSFS, pci);
    if (group < 0)
        return dmm_err_set(err, ENODEV, "VF %s: is in no IOMMU group", pci);
    int rc = vfio_once(group, err);
    for (unsigned waited = 0; rc == -EBUSY && waited < ms; waited += POLL_MS) {
        nanosleep(&pause, NULL);
        rc = vfio_once(group, err);
    }
    return rc;
}

/* ---- the interface ---- */

/* The interface now, wherever the driver has put it. */
static int look(struct nl_sock *sock, const char *pci, struct dmm_vf_nl_dev *dev,
                struct dmm_err *err)
{
    char ifname[IFNAMSIZ];
    if (dmm_pci_wait_interface(DMM_SYSFS, pci, INTERFACE_MS, ifname))
        return dmm_err_set(err, ENODEV, "VF %s: its driver makes no interface", pci);
    return dmm_vf_nl_look(sock, ifname, dev, err);
}

static int rebind(const char *pci, struct dmm_err *err)
{
    char driver[DMM_PCI_DRIVER];
    char override[DMM_PCI_DRIVER];
    if (dmm_pci_driver(DMM_SYSFS, pci, driver))
        return dmm_err_set(err, ENODEV, "VF %s: has no driver", pci);
    if (dmm_pci_override(DMM_SYSFS, pci, override))
        *override = '\0';
    int rc = dmm_pci_unbind(DMM_SYSFS, pci, err);
    return rc ? rc : dmm_pci_bind(DMM_SYSFS, pci, driver, override, err);
}

/* 0: it has it. -EAGAIN: it does not. */
static int try_mac(struct nl_sock *sock, const char *pci, const uint8_t mac[6], bool change,
                   struct dmm_err *err)
{
    struct dmm_vf_nl_dev dev = {0};
    int rc = look(sock, pci, &dev, err);
    if (!rc && change && memcmp(dev.mac, mac, sizeof(dev.mac)) != 0 &&
        !dmm_vf_nl_set_mac(sock, dev.ifindex, mac, err))
        rc = look(sock, pci, &dev, err);
    if (rc)
        return rc;
    return memcmp(dev.mac, mac, sizeof(dev.mac)) ? -EAGAIN : 0;
}

int dmm_sriov_settle_mac(struct nl_sock *sock, const char *pci, const uint8_t mac[6],
                         struct dmm_err *err)
{
    struct dmm_err why = {0};
    int rc = try_mac(sock, pci, mac, true, &why);
    if (rc != -EAGAIN)
        return rc ? dmm_err_set(err, why.code, "%s", why.text) : 0;
    /* Some drivers (igbvf) take what the PF says only when they start. */
    rc = rebind(pci, err);
    if (!rc)
        rc = try_mac(sock, pci, mac, true, err);
    if (rc == -EAGAIN && (!err || !err->code))
        dmm_err_set(err, EIO, "VF %s: its interface does not take the address", pci);
    return rc;
}

/* ---- putting back ---- */

/* From the pod, under its old name: names of the pod are nothing to the node. */
static int fetch(const struct dmm_sriov_plan *plan, int netns_fd, bool *found, struct dmm_err *err)
{
    int ifindex = 0;
    struct nl_sock *pod __attribute__((cleanup(dmm_nl_close))) = NULL;
    *found = false;
    int rc = dmm_nl_open(&pod, netns_fd, err);
    if (!rc)
        rc = dmm_vf_nl_find(pod, plan->pci, &ifindex, err);
    if (rc || !ifindex)
        return rc;
    int home __attribute__((cleanup(dmm_close))) = dmm_netns_self(NULL, err);
    if (home < 0)
        return home;
    rc = dmm_vf_nl_down(pod, ifindex, err);
    if (!rc)
        rc = dmm_vf_nl_move(pod, ifindex, home, plan->was.name, err);
    *found = !rc;
    return rc;
}

/* -EAGAIN: it is in a namespace that we don't know. */
static int bring_home(const struct dmm_sriov_plan *plan, int netns_fd, struct dmm_err *err)
{
    char ifname[IFNAMSIZ];
    bool found = false;
    if (!dmm_pci_interface(DMM_SYSFS, plan->pci, ifname))
        return 0;
    int rc = netns_fd >= 0 ? fetch(plan, netns_fd, &found, err) : 0;
    if (rc)
        return rc;
    /* A namespace that died is taken down a little later. */
    if (dmm_pci_wait_interface(DMM_SYSFS, plan->pci, found ? INTERFACE_MS : RETURN_MS, ifname))
        return dmm_err_set(err, EAGAIN, "VF %s: its interface is in a namespace that is not known",
                           plan->pci);
    return 0;
}

/* The driver that it had. While its own driver is bound, its interface comes home first. */
static int put_back_driver(const struct dmm_sriov_plan *plan, int netns_fd, struct dmm_err *err)
{
    char is[DMM_PCI_DRIVER];
    const char *was = *plan->was_driver ? plan->was_driver : NULL;
    bool bound = !dmm_pci_driver(DMM_SYSFS, plan->pci, is);
    if (bound && dmm_sriov_is_user_driver(is) && (!was || strcmp(is, was) != 0)) {
        /* To unbind a device that a program has would block until that lets go. */
        int rc = dmm_sriov_vfio_free(plan->pci, RELEASE_MS, err);
        if (rc && rc != -EPERM)
            return rc;
    } else if (bound && !plan->driver && *plan->was.name) {
        int rc = bring_home(plan, netns_fd, err);
        if (rc)
            return rc;
    }
    return dmm_pci_bind(DMM_SYSFS, plan->pci, was, plan->was_override, err);
}

static int put_back_attrs(struct nl_sock *sock, const struct dmm_sriov_plan *plan,
                          struct dmm_err *err)
{
    char pf[IFNAMSIZ];
    struct dmm_vf_nl nic;
    if (!plan->from.has)
        return 0;
    int rc = dmm_sriov_pf_interface(plan->pf, pf, err);
    if (!rc)
        rc = dmm_sriov_nic(&nic, sock, pf, err);
    if (!rc)
        rc = dmm_vf_restore(&dmm_vf_nl_ops, &nic, plan->index, &plan->from, err);
    return rc ? dmm_err_prefix(err, "VF %s", plan->pci) : 0;
}

static int put_back_interface(struct nl_sock *sock, const struct dmm_sriov_plan *plan,
                              struct dmm_err *err)
{
    struct dmm_vf_nl_dev dev = {0};
    if (!*plan->was.name)
        return 0;
    int rc = dmm_sriov_settle_mac(sock, plan->pci, plan->was.mac, err);
    if (!rc)
        rc = look(sock, plan->pci, &dev, err);
    return rc ? rc : dmm_vf_nl_restore(sock, dev.ifindex, &plan->was, err);
}

int dmm_sriov_put_back(const struct dmm_sriov_plan *plan, int netns_fd, struct dmm_err *err)
{
    struct dmm_err refused = {0};
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = put_back_driver(plan, netns_fd, err);
    if (rc)
        return rc;
    int attrs = put_back_attrs(sock, plan, &refused);
    rc = put_back_interface(sock, plan, err);
    if (rc || !attrs)
        return rc;
    return dmm_err_set(err, EAGAIN, "%s", refused.text);
}
