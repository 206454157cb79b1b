/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/claim.h"
#include "cni/link/sriov.h"

#include "cni/file.h"
#include "cni/link/podend.h"
#include "cni/netns.h"
#include "common/log.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is wanted ---- */

static void want_vlan(const struct dmm_sriov_conf *conf, struct dmm_vf_attrs *wanted)
{
    if (conf->vlan < 0)
        return;
    wanted->has |= 1u << DMM_VF_VLAN;
    wanted->vlan = (uint32_t)conf->vlan;
    wanted->qos = conf->qos > 0 ? (uint32_t)conf->qos : 0;
    wanted->proto = conf->proto == 1 ? ETH_P_8021AD : ETH_P_8021Q;
}

void dmm_sriov_wanted(const struct dmm_sriov_conf *conf, const struct dmm_vf_attrs *is,
                      struct dmm_vf_attrs *wanted)
{
    memset(wanted, 0, sizeof(*wanted));
    want_vlan(conf, wanted);
    if (conf->spoofchk >= 0)
        wanted->has |= 1u << DMM_VF_SPOOFCHK;
    wanted->spoofchk = conf->spoofchk > 0;
    if (conf->trust >= 0)
        wanted->has |= 1u << DMM_VF_TRUST;
    wanted->trust = conf->trust > 0;
    if (conf->link_state >= 0)
        wanted->has |= 1u << DMM_VF_LINK_STATE;
    wanted->link_state = conf->link_state > 0 ? (uint32_t)conf->link_state : 0;
    if (conf->min_tx_rate >= 0 || conf->max_tx_rate >= 0)
        wanted->has |= 1u << DMM_VF_RATE;
    wanted->min_tx_rate = conf->min_tx_rate >= 0 ? (uint32_t)conf->min_tx_rate : is->min_tx_rate;
    wanted->max_tx_rate = conf->max_tx_rate >= 0 ? (uint32_t)conf->max_tx_rate : is->max_tx_rate;
}

/* Asked for; or what its PF gave the VF; or one that is the same each time. */
static int want_mac(const struct dmm_link_job *job, const struct dmm_vf_attrs *is,
                    struct dmm_vf_attrs *wanted, struct dmm_err *err)
{
    static const uint8_t none[6];
    const struct dmm_sriov_conf *conf = job->conf;
    wanted->has |= 1u << DMM_VF_MAC;
    memcpy(wanted->mac, job->mac, sizeof(wanted->mac));
    if (job->mac_given)
        return 0;
    if (conf->mac)
        return dmm_mac_parse(wanted->mac, conf->mac)
                   ? dmm_err_set(err, EINVAL, "link.mac: \"%s\" is no address", conf->mac)
                   : 0;
    if (memcmp(is->mac, none, sizeof(none)) != 0)
        memcpy(wanted->mac, is->mac, sizeof(wanted->mac));
    return 0;
}

/* ---- choosing ---- */

/* What is known of one VF while it is looked at. */
struct candidate {
    const struct dmm_link_job *job; /* NULL for STATUS */
    const struct dmm_sriov_conf *conf;
    struct nl_sock *sock;
    const char *owner;
    char pci[DMM_PCI_ADDR];
    char pf[DMM_PCI_ADDR];
    int index;
    int lock;
    char driver[DMM_PCI_DRIVER]; /* "": none bound */
    struct dmm_vf_nl_dev dev;
};

/* Its owner died without DEL. */
static int reset_stale(const struct candidate *vf, const json_t *json, struct dmm_err *err)
{
    struct dmm_sriov_plan plan;
    int rc = dmm_sriov_plan_read(&plan, json, err);
    if (!rc)
        rc = dmm_sriov_put_back(&plan, -1, err);
    if (!rc)
        rc = dmm_claim_remove(vf->job->lock_dir, vf->pci, err);
    return rc ? dmm_err_prefix(err, "VF %s: its last owner left it behind", vf->pci) : 0;
}

static int check_claim(const struct candidate *vf, struct dmm_err *err)
{
    enum dmm_claim_state state;
    json_t *plan;
    int rc = dmm_claim_look(vf->job->lock_dir, vf->pci, NULL, &state, &plan, err);
    if (!rc && state == DMM_CLAIM_LIVE)
        rc = dmm_err_set(err, EBUSY, "VF %s: belongs to %s", vf->pci,
                         json_string_value(json_object_get(plan, "owner")));
    else if (!rc && state == DMM_CLAIM_STALE)
        rc = reset_stale(vf, plan, err);
    else if (!rc) /* of an earlier boot, perhaps; the one who made it must not find it again */
        rc = dmm_claim_remove(vf->job->lock_dir, vf->pci, err);
    json_decref(plan);
    return rc;
}

static int look_at_interface(struct candidate *vf, struct dmm_err *err)
{
    char ifname[IFNAMSIZ];
    if (dmm_pci_interface(DMM_SYSFS, vf->pci, ifname))
        return dmm_err_set(err, EBUSY, "VF %s: its interface is not on the node: someone has it",
                           vf->pci);
    int rc = dmm_vf_nl_look(vf->sock, ifname, &vf->dev, err);
    if (rc)
        return rc;
    rc = dmm_vf_nl_unused(vf->sock, &vf->dev, err);
    return rc ? dmm_err_prefix(err, "VF %s", vf->pci) : 0;
}

/* Nobody has it, as far as can be seen. */
static int check_free(struct candidate *vf, struct dmm_err *err)
{
    memset(&vf->dev, 0, sizeof(vf->dev));
    if (dmm_pci_driver(DMM_SYSFS, vf->pci, vf->driver)) {
        *vf->driver = '\0';
        return vf->conf->driver < 0 ? dmm_err_set(err, ENODEV, "VF %s: has no driver", vf->pci) : 0;
    }
    if (dmm_sriov_is_user_driver(vf->driver))
        return dmm_sriov_vfio_free(vf->pci, 0, err);
    return look_at_interface(vf, err);
}

static int try_vf(struct candidate *vf, bool wait, struct dmm_err *err)
{
    vf->lock = dmm_pci_lock(DMM_SYSFS, vf->pci, wait, err);
    if (vf->lock < 0)
        return vf->lock;
    int rc = check_claim(vf, err);
    if (!rc)
        rc = check_free(vf, err);
    if (rc)
        dmm_close(&vf->lock);
    return rc;
}

static int resolve_pf(const char *name, char pf[DMM_PCI_ADDR], struct dmm_err *err)
{
    if (dmm_pci_valid(name) && strlen(name) < DMM_PCI_ADDR && dmm_pci_exists(DMM_SYSFS, name))
        strcpy(pf, name); /* NOLINT: checked */
    else if (dmm_pci_of_interface(DMM_SYSFS, name, pf))
        return dmm_err_set(err, ENODEV, "link.pf: %s: no interface of a PCI device", name);
    if (!dmm_pci_n_vfs(DMM_SYSFS, pf))
        return dmm_err_set(err, ENODEV, "link.pf: %s: has no VFs (sriov_numvfs)", name);
    return 0;
}

static int choose_of_pf(struct candidate *vf, const char *name, struct dmm_err *err)
{
    struct dmm_err why = {0};
    int rc = resolve_pf(name, vf->pf, err);
    if (rc)
        return rc;
    int n = dmm_pci_n_vfs(DMM_SYSFS, vf->pf);
    for (vf->index = 0; vf->index < n; vf->index++) {
        if (dmm_pci_vf(DMM_SYSFS, vf->pf, vf->index, vf->pci))
            continue;
        if (!try_vf(vf, false, &why))
            return 0;
        dmm_log(DMM_LOG_DEBUG, "link.pf: %s: passed over: %s", name, why.text);
    }
    return dmm_err_set(err, EBUSY, "link.pf: %s: none of its %d VFs is free (the last: %s)", name,
                       n, why.text);
}

static int choose_device(struct candidate *vf, const char *device, const char *pf,
                         struct dmm_err *err)
{
    char want[DMM_PCI_ADDR];
    if (!dmm_pci_valid(device) || !dmm_pci_exists(DMM_SYSFS, device))
        return dmm_err_set(err, ENODEV, "deviceID: %s: no PCI function of this node", device);
    strcpy(vf->pci, device); /* NOLINT: valid ones fit */
    if (dmm_pci_pf(DMM_SYSFS, device, vf->pf))
        return dmm_err_set(err, EINVAL, "deviceID: %s: is no VF", device);
    vf->index = dmm_pci_vf_index(DMM_SYSFS, vf->pf, device);
    if (vf->index < 0)
        return dmm_err_set(err, ENODEV, "deviceID: %s: its PF %s does not know it", device, vf->pf);
    int rc = pf ? resolve_pf(pf, want, err) : 0;
    if (rc)
        return rc;
    if (pf && strcmp(want, vf->pf) != 0)
        return dmm_err_set(err, EINVAL, "deviceID: %s: is a VF of %s, not of link.pf %s", device,
                           vf->pf, pf);
    rc = try_vf(vf, true, err);
    return rc ? dmm_err_prefix(err, "deviceID") : 0;
}

/* ---- what would be refused ---- */

static int check_vfio(const struct candidate *vf, struct dmm_err *err)
{
    if (!dmm_pci_driver_loaded(DMM_SYSFS, "vfio-pci"))
        return dmm_err_set(err, ENODEV, "link.driver: vfio-pci: the module is not loaded");
    if (dmm_pci_iommu_group(DMM_SYSFS, vf->pci) < 0)
        return dmm_err_set(err, ENODEV,
                           "link.driver: vfio-pci: VF %s is in no IOMMU group (is the IOMMU on?)",
                           vf->pci);
    return 0;
}

static int check_pf(const struct candidate *vf, const char *pf, unsigned mtu, struct dmm_err *err)
{
    struct dmm_vf_nl_dev dev;
    int rc = dmm_vf_nl_look(vf->sock, pf, &dev, err);
    if (rc)
        return rc;
    if (!dev.up)
        return dmm_err_set(err, ENETDOWN, "PF %s: is down", pf);
    if (mtu > dev.mtu)
        return dmm_err_set(err, EINVAL, "link.mtu: %u is more than the %u of PF %s", mtu, dev.mtu,
                           pf);
    return 0;
}

/* ---- the plan ---- */

/* What is asked for and is not so yet; refused now, if the NIC does not know it at all. */
static int compare(const struct candidate *vf, bool user, struct dmm_vf_nl *nic,
                   struct dmm_vf_attrs *to, struct dmm_vf_attrs *from, struct dmm_err *err)
{
    int rc = dmm_vf_nl_ops.get(nic, vf->index, from, err);
    if (rc)
        return rc;
    dmm_sriov_wanted(vf->conf, from, to);
    rc = want_mac(vf->job, from, to, err);
    if (rc)
        return rc;
    unsigned bits = dmm_vf_differ(to, from);
    /* What the PF tells may be what the VF's driver has chosen: it is forgotten with the driver. */
    if (user)
        bits |= 1u << DMM_VF_MAC;
    rc = dmm_vf_probe(&dmm_vf_nl_ops, nic, vf->index, from, bits, err);
    dmm_vf_only(from, bits);
    return rc;
}

static int write_plan(json_t *into, const struct candidate *vf, const char *driver,
                      const char *override, unsigned mtu, const struct dmm_vf_attrs *to,
                      const struct dmm_vf_attrs *from, struct dmm_err *err)
{
    char mac[DMM_MAC_STRLEN];
    char was[DMM_MAC_STRLEN];
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:o, s:o, s:{s:s, s:s, s:s, s:s, s:i, s:b, "
        "s:[ii]}}",
        "owner", vf->owner, "pci", vf->pci, "pf", vf->pf, "index", vf->index, "driver", driver,
        "mac", dmm_mac_format(to->mac, mac), "mtu", (int)mtu, "to", dmm_vf_to_json(to), "from",
        dmm_vf_to_json(from), "was", "driver", vf->driver, "override", override, "name",
        vf->dev.name, "mac", dmm_mac_format(vf->dev.mac, was), "mtu", (int)vf->dev.mtu, "up",
        vf->dev.up, "channels", (int)vf->dev.channels.rx, (int)vf->dev.channels.combined);
    if (!all || json_object_update(into, all)) {
        json_decref(all);
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    }
    json_decref(all);
    return 0;
}

static int describe(const struct candidate *vf, json_t *into, struct dmm_err *err)
{
    const struct dmm_sriov_conf *conf = vf->conf;
    char pf[IFNAMSIZ];
    char override[DMM_PCI_DRIVER];
    struct dmm_vf_nl nic;
    struct dmm_vf_attrs to;
    struct dmm_vf_attrs from;
    bool user = conf->driver == DMM_SRIOV_VFIO || dmm_sriov_is_user_driver(vf->driver);
    const char *driver = conf->driver == DMM_SRIOV_VFIO ? "vfio-pci" : user ? vf->driver : "";
    int rc = dmm_sriov_pf_interface(vf->pf, pf, err);
    if (!rc)
        rc = dmm_sriov_nic(&nic, vf->sock, pf, err);
    if (!rc)
        rc = check_pf(vf, pf, conf->mtu > 0 ? (unsigned)conf->mtu : 0, err);
    if (!rc)
        rc = user ? check_vfio(vf, err) : dmm_podend_free(vf->job, err);
    if (!rc)
        rc = compare(vf, user, &nic, &to, &from, err);
    if (rc)
        return rc;
    if (dmm_pci_override(DMM_SYSFS, vf->pci, override))
        *override = '\0';
    unsigned mtu = conf->mtu > 0 ? (unsigned)conf->mtu : vf->dev.mtu ? vf->dev.mtu : 1500;
    return write_plan(into, vf, driver, override, mtu, &to, &from, err);
}

int dmm_sriov_plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    const struct dmm_sriov_conf *conf = job->conf;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct candidate vf = {.job = job, .conf = conf, .lock = -1};
    if (!job->device_id && !conf->pf)
        return dmm_err_set(err, EINVAL, "link.pf: missing, and there is no deviceID");
    int rc = dmm_nl_open(&sock, -1, err);
    if (rc)
        return rc;
    char *owner = dmm_claim_owner(job);
    if (!owner)
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    vf.sock = sock;
    vf.owner = owner;
    rc = job->device_id ? choose_device(&vf, job->device_id, conf->pf, err)
                        : choose_of_pf(&vf, conf->pf, err);
    if (!rc)
        rc = describe(&vf, into, err);
    if (rc)
        dmm_close(&vf.lock);
    else
        *job->device_lock = dmm_take(&vf.lock);
    free(owner);
    return rc;
}

int dmm_sriov_status(const struct dmm_sriov_conf *conf, struct dmm_err *err)
{
    char ifname[IFNAMSIZ];
    struct dmm_err why = {0};
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct candidate vf = {.conf = conf, .lock = -1};
    int rc = dmm_nl_open(&sock, -1, err);
    vf.sock = sock;
    if (!rc)
        rc = resolve_pf(conf->pf, vf.pf, err);
    if (!rc)
        rc = dmm_sriov_pf_interface(vf.pf, ifname, err);
    if (!rc)
        rc = check_pf(&vf, ifname, 0, err);
    if (rc)
        return rc;
    int n = dmm_pci_n_vfs(DMM_SYSFS, vf.pf);
    for (vf.index = 0; vf.index < n; vf.index++)
        if (!dmm_pci_vf(DMM_SYSFS, vf.pf, vf.index, vf.pci) && !check_free(&vf, &why))
            return 0;
    return dmm_err_set(err, EBUSY, "link.pf: %s: none of its %d VFs is free", conf->pf, n);
}
