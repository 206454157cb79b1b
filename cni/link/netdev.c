/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/netdev.h"

#include "cni/env.h"
#include "cni/file.h"
#include "cni/link/claim.h"
#include "cni/link/podend.h"
#include "cni/link/sriov.h"
#include "cni/link/vf_nl.h"
#include "cni/netns.h"
#include "cni/result.h"
#include "common/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RETURN_MS 3000 /* the kernel's time to bring it home from a namespace that died */
#define POLL_MS   20

/* What is in the record's plan. Texts borrow from its JSON. */
struct plan {
    const char *owner;
    const char *device;
    const char *alias; /* that it has while it is away */
    const char *pci;   /* the function behind it; "": none that we know */
    uint8_t mac[6];
    unsigned mtu;
    bool software; /* it dies with its namespace */
    struct dmm_vf_nl_dev was;
    const char *was_alias;
};

static int read_plan(struct plan *plan, const json_t *json, struct dmm_err *err)
{
    const char *mac, *was_mac;
    int mtu, was_mtu, up, software;
    memset(plan, 0, sizeof(*plan));
    if (json_unpack((json_t *)json,
                    "{s:s, s:s, s:s, s:s, s:b, s:s, s:i, s:{s:s, s:i, s:b, s:s, s:[ii]}}", "owner",
                    &plan->owner, "device", &plan->device, "alias", &plan->alias, "pci", &plan->pci,
                    "software", &software, "mac", &mac, "mtu", &mtu, "was", "mac", &was_mac, "mtu",
                    &was_mtu, "up", &up, "alias", &plan->was_alias, "channels",
                    &plan->was.channels.rx, &plan->was.channels.combined) ||
        !dmm_cni_ifname_valid(plan->device) || dmm_mac_parse(plan->mac, mac) ||
        dmm_mac_parse(plan->was.mac, was_mac))
        return dmm_err_set(err, EINVAL, "record: plan: not what was written");
    strcpy(plan->was.name, plan->device); /* NOLINT: checked above */
    plan->software = software;
    plan->mtu = (unsigned)mtu;
    plan->was.mtu = (unsigned)was_mtu;
    plan->was.up = up;
    return 0;
}

int dmm_netdev_validate(const struct dmm_netdev_conf *conf, struct dmm_err *err)
{
    if (!dmm_cni_ifname_valid(conf->device))
        return dmm_err_set(err, EINVAL, "link.device: \"%s\" is not an interface name",
                           conf->device);
    return 0;
}

/* ---- the lock of a name ---- */

static void lock_name(char file[IFNAMSIZ + 16], const char *device)
{
    snprintf(file, IFNAMSIZ + 16, ".netdev:%s", device);
}

static int lock(const char *lock_dir, const char *device, struct dmm_err *err)
{
    char file[IFNAMSIZ + 16];
    lock_name(file, device);
    return dmm_lock(lock_dir, file, err);
}

/* Removes the file first, which its holder may. */
static void unlock(int *fd, const char *lock_dir, const char *device)
{
    char file[IFNAMSIZ + 16];
    char path[PATH_MAX];
    lock_name(file, device);
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", lock_dir, file) < sizeof(path))
        unlink(path);
    dmm_close(fd);
}

/* ---- putting back ---- */

/* By the alias; what a pod may change, by the function behind it, which it may not. */
static int find(struct nl_sock *sock, const struct plan *plan, int *ifindex, struct dmm_err *err)
{
    int rc = dmm_vf_nl_find_alias(sock, plan->alias, ifindex, err);
    if (rc || *ifindex || !*plan->pci)
        return rc;
    return dmm_vf_nl_find(sock, plan->pci, ifindex, err);
}

static int fetch(struct nl_sock *home, const struct plan *plan, int netns_fd, int *ifindex,
                 struct dmm_err *err)
{
    struct nl_sock *pod __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_nl_open(&pod, netns_fd, err);
    if (!rc)
        rc = find(pod, plan, ifindex, err);
    if (rc || !*ifindex)
        return rc;
    int self __attribute__((cleanup(dmm_close))) = dmm_netns_self(NULL, err);
    if (self < 0)
        return self;
    rc = dmm_vf_nl_down(pod, *ifindex, err);
    if (!rc)
        rc = dmm_vf_nl_move(pod, *ifindex, self, plan->device, err);
    return rc ? rc : find(home, plan, ifindex, err);
}

/* The kernel takes a namespace that died down a little later. */
static int await(struct nl_sock *home, const struct plan *plan, int *ifindex, struct dmm_err *err)
{
    static const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int rc = 0;
    for (unsigned waited = 0; !rc && !*ifindex && waited < RETURN_MS; waited += POLL_MS) {
        nanosleep(&pause, NULL);
        rc = find(home, plan, ifindex, err);
    }
    return rc;
}

/* Nothing was done to it, or all is put back. */
static bool untouched(struct nl_sock *home, const struct plan *plan)
{
    struct dmm_vf_nl_dev dev = {0};
    return !dmm_vf_nl_look(home, plan->device, &dev, NULL) &&
           !memcmp(dev.mac, plan->was.mac, sizeof(dev.mac));
}

/* *ifindex is 0 where there is nothing to put back. -EAGAIN: it is in no namespace that we know. */
static int bring_home(struct nl_sock *home, const struct plan *plan, int netns_fd, int *ifindex,
                      struct dmm_err *err)
{
    int rc = find(home, plan, ifindex, err);
    if (rc || *ifindex || untouched(home, plan))
        return rc;
    rc = netns_fd >= 0 ? fetch(home, plan, netns_fd, ifindex, err) : 0;
    if (rc || *ifindex || plan->software)
        return rc;
    rc = await(home, plan, ifindex, err);
    if (!rc && !*ifindex)
        rc = dmm_err_set(err, EAGAIN, "interface %s: is in a namespace that is not known",
                         plan->device);
    return rc;
}

static int restore(struct nl_sock *home, const struct plan *plan, int ifindex, struct dmm_err *err)
{
    int rc = 0;
    if (memcmp(plan->mac, plan->was.mac, sizeof(plan->mac)) != 0)
        rc = dmm_vf_nl_set_mac(home, ifindex, plan->was.mac, err);
    if (!rc)
        rc = dmm_vf_nl_restore(home, ifindex, &plan->was, err);
    return rc ? rc : dmm_vf_nl_set_alias(home, ifindex, plan->was_alias, err);
}

static int put_back(const struct plan *plan, int netns_fd, struct dmm_err *err)
{
    int ifindex = 0;
    struct nl_sock *home __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_nl_open(&home, -1, err);
    if (!rc)
        rc = bring_home(home, plan, netns_fd, &ifindex, err);
    return rc || !ifindex ? rc : restore(home, plan, ifindex, err);
}

/* Under the lock. */
static int release(const char *lock_dir, const struct plan *plan, int netns_fd, struct dmm_err *err)
{
    struct dmm_err left = {0};
    int rc = put_back(plan, netns_fd, &left);
    if (rc == -EAGAIN) {
        /* No reason to keep the pod from going; who wants it next finds the claim. */
        dmm_log(DMM_LOG_WARN, "%s: it is put back when it is wanted next", left.text);
        return 0;
    }
    return rc ? dmm_err_set(err, left.code, "%s", left.text)
              : dmm_claim_remove(lock_dir, plan->device, err);
}

int dmm_netdev_undo(const struct dmm_link_grave *grave, const json_t *json, struct dmm_err *err)
{
    struct plan plan;
    enum dmm_claim_state state;
    int rc = read_plan(&plan, json, err);
    if (rc)
        return rc;
    int held = lock(grave->lock_dir, plan.device, err);
    if (held < 0)
        return held == -ENOENT ? 0 : held;
    rc = dmm_claim_look(grave->lock_dir, plan.device, plan.owner, &state, NULL, err);
    if (!rc && state == DMM_CLAIM_OURS)
        rc = release(grave->lock_dir, &plan, grave->netns_fd, err);
    else if (!rc && state == DMM_CLAIM_NONE) /* killed while it wrote it, perhaps */
        rc = dmm_claim_remove(grave->lock_dir, plan.device, err);
    unlock(&held, grave->lock_dir, plan.device);
    return rc;
}

/* ---- planning ---- */

/* Its owner died without DEL. */
static int reset_stale(const struct dmm_link_job *job, const char *device, const json_t *json,
                       struct dmm_err *err)
{
    struct plan plan;
    int rc = read_plan(&plan, json, err);
    if (rc)
        return rc;
    int held = lock(job->lock_dir, device, err);
    if (held < 0)
        return held;
    rc = put_back(&plan, -1, err);
    if (!rc)
        rc = dmm_claim_remove(job->lock_dir, device, err);
    unlock(&held, job->lock_dir, device);
    return rc ? dmm_err_prefix(err, "link.device: its last owner left it behind") : 0;
}

static int check_claim(const struct dmm_link_job *job, const char *device, struct dmm_err *err)
{
    enum dmm_claim_state state;
    json_t *plan;
    int rc = dmm_claim_look(job->lock_dir, device, NULL, &state, &plan, err);
    if (!rc && state == DMM_CLAIM_LIVE)
        rc = dmm_err_set(err, EBUSY, "link.device: %s: belongs to %s", device,
                         json_string_value(json_object_get(plan, "owner")));
    else if (!rc && state == DMM_CLAIM_STALE)
        rc = reset_stale(job, device, plan, err);
    json_decref(plan);
    return rc;
}

static int look(struct nl_sock *sock, const char *device, struct dmm_vf_nl_dev *dev,
                struct dmm_err *err)
{
    int rc = dmm_vf_nl_look(sock, device, dev, err);
    if (rc == -ENODEV)
        return dmm_err_set(err, ENODEV, "link.device: %s: no such interface on the node", device);
    if (!rc)
        rc = dmm_vf_nl_unused(sock, dev, err);
    return rc ? dmm_err_prefix(err, "link.device") : 0;
}

static int write_plan(const struct dmm_link_job *job, const struct dmm_vf_nl_dev *dev,
                      const struct rtnl_link *link, json_t *into, struct dmm_err *err)
{
    const struct dmm_netdev_conf *conf = job->conf;
    char alias[IFNAMSIZ];
    char pci[DMM_PCI_ADDR];
    char mac[DMM_MAC_STRLEN];
    char was_mac[DMM_MAC_STRLEN];
    const char *was_alias = rtnl_link_get_ifalias((struct rtnl_link *)link);
    char *owner = dmm_claim_owner(job);
    dmm_link_host_name(alias, job);
    if (dmm_pci_of_interface(DMM_SYSFS, dev->name, pci))
        *pci = '\0';
    json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:i, s:{s:s, s:i, s:b, s:s, s:[ii]}}",
                            "owner", owner, "device", dev->name, "alias", alias, "pci", pci,
                            "software", rtnl_link_get_type((struct rtnl_link *)link) != NULL, "mac",
                            dmm_mac_format(job->mac_given ? job->mac : dev->mac, mac), "mtu",
                            conf->mtu ? (int)conf->mtu : (int)dev->mtu, "was", "mac",
                            dmm_mac_format(dev->mac, was_mac), "mtu", (int)dev->mtu, "up", dev->up,
                            "alias", was_alias ? was_alias : "", "channels", (int)dev->channels.rx,
                            (int)dev->channels.combined);
    int rc = all && !json_object_update(into, all) ? 0 : -1;
    json_decref(all);
    free(owner);
    return rc ? dmm_err_set(err, EINVAL, "link.device: %s: its alias is not UTF-8", dev->name) : 0;
}

int dmm_netdev_plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    const struct dmm_netdev_conf *conf = job->conf;
    struct dmm_vf_nl_dev dev = {0};
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    struct rtnl_link *link __attribute__((cleanup(dmm_nl_link_put))) = NULL;
    int rc = check_claim(job, conf->device, err);
    if (!rc)
        rc = dmm_podend_free(job, err);
    if (!rc)
        rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = look(sock, conf->device, &dev, err);
    if (!rc)
        rc = dmm_nl_link_get(sock, conf->device, &link, err);
    return rc ? rc : write_plan(job, &dev, link, into, err);
}

/* ---- applying ---- */

static int give(const struct dmm_link_job *job, const struct plan *plan, struct dmm_err *err)
{
    struct dmm_vf_nl_dev dev = {0};
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_nl_open(&sock, -1, err);
    if (!rc)
        rc = look(sock, plan->device, &dev, err);
    if (!rc)
        rc = dmm_vf_nl_set_alias(sock, dev.ifindex, plan->alias, err);
    if (!rc)
        rc = dmm_vf_nl_down(sock, dev.ifindex, err);
    if (!rc && memcmp(dev.mac, plan->mac, sizeof(dev.mac)) != 0)
        rc = dmm_vf_nl_set_mac(sock, dev.ifindex, plan->mac, err);
    if (!rc && dev.mtu != plan->mtu)
        rc = dmm_vf_nl_set_mtu(sock, dev.ifindex, plan->mtu, err);
    if (!rc)
        rc = dmm_vf_nl_move(sock, dev.ifindex, job->netns_fd, job->ifname, err);
    return rc ? rc : dmm_podend_up(job->netns_fd, job->ifname, err);
}

/* Under the lock: since the plan was made another may have come first. */
static int claim_and_give(const struct dmm_link_job *job, const struct plan *plan,
                          const json_t *json, struct dmm_err *err)
{
    enum dmm_claim_state state;
    int rc = dmm_claim_look(job->lock_dir, plan->device, plan->owner, &state, NULL, err);
    if (!rc && (state == DMM_CLAIM_LIVE || state == DMM_CLAIM_STALE))
        rc = dmm_err_set(err, EBUSY, "link.device: %s: another attachment has it by now",
                         plan->device);
    if (!rc)
        rc = dmm_claim_write(job, plan->device, plan->owner, json, err);
    return rc ? rc : give(job, plan, err);
}

int dmm_netdev_apply(const struct dmm_link_job *job, const json_t *json, struct dmm_link_made *made,
                     struct dmm_err *err)
{
    struct plan plan;
    char text[DMM_MAC_STRLEN];
    int rc = read_plan(&plan, json, err);
    if (rc)
        return rc;
    int held = lock(job->lock_dir, plan.device, err);
    if (held < 0)
        return held;
    rc = claim_and_give(job, &plan, json, err);
    unlock(&held, job->lock_dir, plan.device);
    if (rc)
        return rc;
    memcpy(made->port.mac, plan.mac, sizeof(plan.mac));
    made->port.mtu = plan.mtu;
    made->pod_interface = (int)json_array_size(made->interfaces);
    if (json_array_append_new(made->interfaces,
                              dmm_result_interface(job->ifname, dmm_mac_format(plan.mac, text),
                                                   job->netns, plan.mtu, NULL)))
        return dmm_err_set(err, ENOMEM, "result: out of memory");
    return 0;
}

int dmm_netdev_check(const struct dmm_link_job *job, const json_t *json, struct dmm_err *err)
{
    struct plan plan;
    enum dmm_claim_state state;
    int rc = read_plan(&plan, json, err);
    if (!rc)
        rc = dmm_claim_look(job->lock_dir, plan.device, plan.owner, &state, NULL, err);
    if (!rc && state != DMM_CLAIM_OURS)
        rc = dmm_err_set(err, EINVAL, "interface %s: is not this attachment's any more",
                         plan.device);
    if (rc)
        return rc;
    struct dmm_link_job as_made = *job;
    memcpy(as_made.mac, plan.mac, sizeof(as_made.mac));
    return dmm_podend_check(&as_made, plan.mtu, err);
}

int dmm_netdev_status(const struct dmm_netdev_conf *conf, struct dmm_err *err)
{
    struct dmm_vf_nl_dev dev = {0};
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_nl_open(&sock, -1, err);
    return rc ? rc : look(sock, conf->device, &dev, err);
}
