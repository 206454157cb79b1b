/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sriov: a virtual function (VF) of a NIC, from a device plugin or of a configured physical
 * function (PF). It goes to the pod as an interface for a packet socket of the sidecar, or, bound
 * to vfio-pci, as a device for DPDK.
 *
 * The kernel in the pod must not act for the address that the stack owns: cni/link/podend.h.
 */
#include "cni/link/sriov.h"

#include "cni/file.h"
#include "cni/link/claim.h"
#include "cni/link/podend.h"
#include "cni/netns.h"
#include "cni/result.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(struct dmm_sriov_conf, field)

const char *const dmm_sriov_protos[] = {"802.1q", "802.1ad", NULL};
const char *const dmm_sriov_switches[] = {"off", "on", NULL};
const char *const dmm_sriov_link_states[] = {"auto", "enable", "disable", NULL}; /* the kernel's */
static const char *const drivers[] = {"vfio-pci", NULL};

static const struct dmm_key keys[] = {
    {"type", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"driver", DMM_KEY_WORD, AT(driver), 0, 0, drivers},
    {"mtu", DMM_KEY_NUMBER, AT(mtu), 68, 65535, NULL},
    DMM_SRIOV_VF_KEYS(0),
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

const char *dmm_sriov_key_given(const struct dmm_sriov_conf *conf)
{
    const struct {
        const char *name;
        bool given;
    } given[] = {
        {"pf", conf->pf},
        {"mac", conf->mac},
        {"vlan", conf->vlan >= 0},
        {"vlanQoS", conf->qos >= 0},
        {"vlanProto", conf->proto >= 0},
        {"spoofchk", conf->spoofchk >= 0},
        {"trust", conf->trust >= 0},
        {"link_state", conf->link_state >= 0},
        {"min_tx_rate", conf->min_tx_rate >= 0},
        {"max_tx_rate", conf->max_tx_rate >= 0},
    };
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
        if (given[i].given)
            return given[i].name;
    return NULL;
}

static void defaults(void *conf)
{
    *(struct dmm_sriov_conf *)conf = (struct dmm_sriov_conf)DMM_SRIOV_DEFAULTS;
}

static int validate(const void *conf, struct dmm_err *err)
{
    return dmm_sriov_validate(conf, err);
}

int dmm_sriov_validate(const struct dmm_sriov_conf *sriov, struct dmm_err *err)
{
    uint8_t mac[6];
    if (sriov->pf && (strchr(sriov->pf, '/') || *sriov->pf == '.'))
        return dmm_err_set(err, EINVAL, "link.pf: \"%s\" is no interface or PCI address",
                           sriov->pf);
    if (sriov->mac && dmm_mac_parse(mac, sriov->mac))
        return dmm_err_set(err, EINVAL, "link.mac: \"%s\" is not a unicast MAC address",
                           sriov->mac);
    if (sriov->vlan <= 0 && (sriov->qos > 0 || sriov->proto >= 0))
        return dmm_err_set(err, EINVAL, "link.%s: needs link.vlan",
                           sriov->qos > 0 ? "vlanQoS" : "vlanProto");
    if (sriov->max_tx_rate > 0 && sriov->min_tx_rate > sriov->max_tx_rate)
        return dmm_err_set(err, EINVAL, "link.min_tx_rate: %lld is more than max_tx_rate",
                           (long long)sriov->min_tx_rate);
    return 0;
}

int dmm_sriov_plan_read(struct dmm_sriov_plan *plan, const json_t *json, struct dmm_err *err)
{
    json_t *to;
    json_t *from;
    const char *mac, *name, *was_mac;
    int mtu, was_mtu, up;
    memset(plan, 0, sizeof(*plan));
    if (json_unpack((json_t *)json,
                    "{s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:o, s:o, s:{s:s, s:s, s:s, s:s, s:i, "
                    "s:b, s?[ii]}}",
                    "owner", &plan->owner, "pci", &plan->pci, "pf", &plan->pf, "index",
                    &plan->index, "driver", &plan->driver, "mac", &mac, "mtu", &mtu, "to", &to,
                    "from", &from, "was", "driver", &plan->was_driver, "override",
                    &plan->was_override, "name", &name, "mac", &was_mac, "mtu", &was_mtu, "up", &up,
                    "channels", &plan->was.channels.rx, &plan->was.channels.combined) ||
        !dmm_pci_valid(plan->pci) || !dmm_pci_valid(plan->pf) || strchr(plan->was_driver, '/') ||
        dmm_mac_parse(plan->mac, mac) || strlen(name) >= IFNAMSIZ)
        return dmm_err_set(err, EINVAL, "record: plan: not what was written");
    if (*name && dmm_mac_parse(plan->was.mac, was_mac))
        return dmm_err_set(err, EINVAL, "record: plan: was.mac: not what was written");
    if (!*plan->driver)
        plan->driver = NULL;
    plan->mtu = (unsigned)mtu;
    strcpy(plan->was.name, name); /* NOLINT: checked above */
    plan->was.mtu = (unsigned)was_mtu;
    plan->was.up = up;
    int rc = dmm_vf_from_json(&plan->to, to, err);
    return rc ? rc : dmm_vf_from_json(&plan->from, from, err);
}

/* ---- apply ---- */

static int set_attrs(struct nl_sock *sock, const struct dmm_sriov_plan *plan, struct dmm_err *err)
{
    char pf[IFNAMSIZ];
    struct dmm_vf_nl nic;
    struct dmm_vf_attrs to = plan->to;
    dmm_vf_only(&to, plan->from.has); /* the rest is so already */
    int rc = dmm_sriov_pf_interface(plan->pf, pf, err);
    if (!rc)
        rc = dmm_sriov_nic(&nic, sock, pf, err);
    return rc ? rc : dmm_vf_set(&dmm_vf_nl_ops, &nic, plan->index, &to, err);
}

static int give_interface(struct nl_sock *sock, const struct dmm_link_job *job,
                          const struct dmm_sriov_plan *plan, struct dmm_err *err)
{
    char ifname[IFNAMSIZ];
    struct dmm_vf_nl_dev dev;
    int rc = dmm_sriov_settle_mac(sock, plan->pci, plan->mac, err);
    if (rc)
        return rc;
    if (dmm_pci_interface(DMM_SYSFS, plan->pci, ifname))
        return dmm_err_set(err, ENODEV, "VF %s: its interface went away", plan->pci);
    rc = dmm_vf_nl_look(sock, ifname, &dev, err);
    if (!rc)
        rc = dmm_vf_nl_down(sock, dev.ifindex, err);
    if (!rc && dev.mtu != plan->mtu)
        rc = dmm_vf_nl_set_mtu(sock, dev.ifindex, plan->mtu, err);
    if (!rc)
        rc = dmm_vf_nl_move(sock, dev.ifindex, job->netns_fd, job->ifname, err);
    return rc ? rc : dmm_podend_up(job->netns_fd, job->ifname, err);
}

static int give_device(const struct dmm_sriov_plan *plan, struct dmm_err *err)
{
    int rc = dmm_pci_bind(DMM_SYSFS, plan->pci, plan->driver, plan->was_override, err);
    if (rc)
        return dmm_err_prefix(err, "link.driver");
    /* Its file in /dev comes with the binding, made by devtmpfs. */
    return dmm_sriov_vfio_free(plan->pci, 0, err);
}

static int report(const struct dmm_link_job *job, const struct dmm_sriov_plan *plan,
                  struct dmm_link_made *made, struct dmm_err *err)
{
    char text[DMM_MAC_STRLEN];
    struct dmm_port_config *port = &made->port;
    port->kind = plan->driver ? DMM_PORT_ETHDEV : DMM_PORT_PACKET;
    memcpy(port->mac, plan->mac, sizeof(port->mac));
    port->mtu = plan->mtu;
    if (plan->driver)
        snprintf(port->devargs, sizeof(port->devargs), "%s", plan->pci);
    made->pod_interface = 0;
    made->device_info = json_pack("{s:s, s:s, s:{s:s, s:s}}", "type", "pci", "version", "1.1.0",
                                  "pci", "pci-address", plan->pci, "pf-pci-address", plan->pf);
    json_t *interface = dmm_result_interface(job->ifname, dmm_mac_format(plan->mac, text),
                                             job->netns, plan->mtu, NULL);
    if (!made->device_info || !interface ||
        json_object_set_new(interface, "pciID", json_string(plan->pci)) ||
        json_array_append_new(made->interfaces, interface))
        return dmm_err_set(err, ENOMEM, "result: out of memory");
    return 0;
}

int dmm_sriov_apply(const struct dmm_link_job *job, const json_t *plan_json,
                    struct dmm_link_made *made, struct dmm_err *err)
{
    struct dmm_sriov_plan plan;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_sriov_plan_read(&plan, plan_json, err);
    if (!rc)
        rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_claim_write(job, plan.pci, plan.owner, plan_json, err);
    if (!rc)
        rc = set_attrs(sock, &plan, err);
    if (!rc)
        rc = plan.driver ? give_device(&plan, err) : give_interface(sock, job, &plan, err);
    return rc ? rc : report(job, &plan, made, err);
}

/* ---- the other verbs ---- */

static int check_claim(const struct dmm_link_job *job, const struct dmm_sriov_plan *plan,
                       struct dmm_err *err)
{
    enum dmm_claim_state state;
    int rc = dmm_claim_look(job->lock_dir, plan->pci, plan->owner, &state, NULL, err);
    if (!rc && state != DMM_CLAIM_OURS)
        rc = dmm_err_set(err, EINVAL, "VF %s: is not this attachment's any more", plan->pci);
    return rc;
}

static int check_attrs(const struct dmm_sriov_plan *plan, struct dmm_err *err)
{
    char pf[IFNAMSIZ];
    struct dmm_vf_nl nic;
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = dmm_sriov_pf_interface(plan->pf, pf, err);
    if (!rc)
        rc = dmm_sriov_nic(&nic, sock, pf, err);
    return rc ? rc : dmm_vf_check(&dmm_vf_nl_ops, &nic, plan->index, &plan->to, err);
}

static int check_driver(const struct dmm_sriov_plan *plan, struct dmm_err *err)
{
    char is[DMM_PCI_DRIVER];
    if (dmm_pci_driver(DMM_SYSFS, plan->pci, is) || strcmp(is, plan->driver) != 0)
        return dmm_err_set(err, EINVAL, "VF %s: is not bound to %s any more", plan->pci,
                           plan->driver);
    return 0;
}

int dmm_sriov_check(const struct dmm_link_job *job, const json_t *plan_json, struct dmm_err *err)
{
    struct dmm_sriov_plan plan;
    int rc = dmm_sriov_plan_read(&plan, plan_json, err);
    if (!rc && !dmm_pci_exists(DMM_SYSFS, plan.pci))
        rc = dmm_err_set(err, ENODEV, "VF %s: is gone", plan.pci);
    if (!rc)
        rc = check_claim(job, &plan, err);
    if (!rc)
        rc = check_attrs(&plan, err);
    if (rc || plan.driver)
        return rc ? rc : check_driver(&plan, err);
    struct dmm_link_job as_made = *job;
    memcpy(as_made.mac, plan.mac, sizeof(as_made.mac));
    return dmm_podend_check(&as_made, plan.mtu, err);
}

static bool is_ours(const struct dmm_link_grave *grave, const struct dmm_sriov_plan *plan, int *rc,
                    struct dmm_err *err)
{
    enum dmm_claim_state state;
    *rc = dmm_claim_look(grave->lock_dir, plan->pci, plan->owner, &state, NULL, err);
    return !*rc && state == DMM_CLAIM_OURS;
}

static int release(const struct dmm_link_grave *grave, const struct dmm_sriov_plan *plan,
                   struct dmm_err *err)
{
    struct dmm_err left = {0};
    int rc = dmm_sriov_put_back(plan, grave->netns_fd, &left);
    if (rc == -EAGAIN) {
        /* No reason to keep the pod from going; who wants the VF next finds the claim. */
        dmm_log(DMM_LOG_WARN, "%s: it is put back when it is wanted next", left.text);
        return 0;
    }
    return rc ? dmm_err_set(err, left.code, "%s", left.text)
              : dmm_claim_remove(grave->lock_dir, plan->pci, err);
}

/* What a process that was killed while it wrote the claim has left. Who else has the lock tidies up
 * for itself. */
static int remove_unfinished(const struct dmm_link_grave *grave, const char *pci,
                             struct dmm_err *err)
{
    enum dmm_claim_state state;
    int lock __attribute__((cleanup(dmm_close))) = dmm_pci_lock(DMM_SYSFS, pci, false, NULL);
    if (lock < 0)
        return 0;
    int rc = dmm_claim_look(grave->lock_dir, pci, NULL, &state, NULL, err);
    return rc || state != DMM_CLAIM_NONE ? rc : dmm_claim_remove(grave->lock_dir, pci, err);
}

/* Without a claim nothing was done to the VF, or it is another pod's by now. What is not ours does
 * not become so: so the first look needs no lock, which an ADD that clears up for itself may hold.
 */
int dmm_sriov_undo(const struct dmm_link_grave *grave, const json_t *plan_json, struct dmm_err *err)
{
    struct dmm_sriov_plan plan;
    int rc = dmm_sriov_plan_read(&plan, plan_json, err);
    if (rc)
        return rc;
    if (!is_ours(grave, &plan, &rc, err))
        return rc ? rc : remove_unfinished(grave, plan.pci, err);
    if (!dmm_pci_exists(DMM_SYSFS, plan.pci)) /* sriov_numvfs was changed: it took all with it */
        return dmm_claim_remove(grave->lock_dir, plan.pci, err);
    int lock __attribute__((cleanup(dmm_close))) = dmm_pci_lock(DMM_SYSFS, plan.pci, true, err);
    if (lock < 0)
        return lock;
    return is_ours(grave, &plan, &rc, err) ? release(grave, &plan, err) : rc;
}

static int status(const void *conf, struct dmm_err *err)
{
    const struct dmm_sriov_conf *sriov = conf;
    if (sriov->driver == DMM_SRIOV_VFIO && !dmm_pci_driver_loaded(DMM_SYSFS, "vfio-pci"))
        return dmm_err_set(err, ENODEV, "link.driver: vfio-pci: the module is not loaded");
    return sriov->pf ? dmm_sriov_status(sriov, err) : 0; /* else a device plugin counts them */
}

const struct dmm_link_ops dmm_link_sriov = {
    .kind = "sriov",
    .keys = keys,
    .conf_size = sizeof(struct dmm_sriov_conf),
    .takes_device = true,
    .defaults = defaults,
    .validate = validate,
    .plan = dmm_sriov_plan,
    .apply = dmm_sriov_apply,
    .check = dmm_sriov_check,
    .undo = dmm_sriov_undo,
    .status = status,
};
