/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sriov: the parts of the link of that name, for cni/link/sriov*.c; and for afxdp, which takes a
 * VF's interface into the pod in the same way.
 *
 *   sriov.c         the link: keys, apply, check, status
 *   sriov_plan.c    chooses a VF and writes down what it is and what it will be
 *   sriov_back.c    puts a VF back to what was written down
 *
 * A VF belongs to an attachment from plan() on: first by its lock, which the process that made the
 * plan holds, then by its claim (cni/link/claim.h). Two that choose at once meet at the lock; it is
 * of one VF, so that ADDs on one PF do not wait for each other.
 */
#ifndef DMM_CNI_SRIOV_H
#define DMM_CNI_SRIOV_H

#include "cni/link/link.h"
#include "cni/link/pci.h"
#include "cni/link/vf_nl.h"

#define DMM_SYSFS "/sys"

struct dmm_sriov_conf {
    const char *pf; /* interface or PCI address; NULL: the device is given */
    const char *mac;
    int64_t vlan; /* -1: not given, here and below */
    int64_t qos;
    int proto;
    int spoofchk;
    int trust;
    int link_state;
    int64_t min_tx_rate;
    int64_t max_tx_rate;
    int64_t mtu;
    int driver; /* enum dmm_sriov_driver, -1: as the VF is bound */
};
enum dmm_sriov_driver { DMM_SRIOV_VFIO };

#define DMM_SRIOV_DEFAULTS                                                                         \
    {                                                                                              \
        .vlan = -1, .qos = -1, .proto = -1, .spoofchk = -1, .trust = -1, .link_state = -1,         \
        .min_tx_rate = -1, .max_tx_rate = -1, .mtu = -1, .driver = -1                              \
    }

extern const char *const dmm_sriov_protos[];
extern const char *const dmm_sriov_switches[];
extern const char *const dmm_sriov_link_states[];

/* Rows of a table of keys: which VF, and what it is to have. The struct dmm_sriov_conf lies at `at`
 * bytes of what the table fills. */
#define DMM_SRIOV_VF_KEYS(at)                                                                      \
    DMM_SRIOV_TEXT(at, "pf", pf, DMM_PCI_ADDR - 1),                                                \
        DMM_SRIOV_TEXT(at, "mac", mac, DMM_MAC_STRLEN - 1),                                        \
        DMM_SRIOV_NUMBER(at, "vlan", vlan, 4094), DMM_SRIOV_NUMBER(at, "vlanQoS", qos, 7),         \
        DMM_SRIOV_WORD(at, "vlanProto", proto, dmm_sriov_protos),                                  \
        DMM_SRIOV_WORD(at, "spoofchk", spoofchk, dmm_sriov_switches),                              \
        DMM_SRIOV_WORD(at, "trust", trust, dmm_sriov_switches),                                    \
        DMM_SRIOV_WORD(at, "link_state", link_state, dmm_sriov_link_states),                       \
        DMM_SRIOV_NUMBER(at, "min_tx_rate", min_tx_rate, INT32_MAX),                               \
        DMM_SRIOV_NUMBER(at, "max_tx_rate", max_tx_rate, INT32_MAX)
#define DMM_SRIOV_AT(at, field) ((at) + offsetof(struct dmm_sriov_conf, field))
#define DMM_SRIOV_TEXT(at, name, field, max)                                                       \
    {                                                                                              \
        name, DMM_KEY_TEXT, DMM_SRIOV_AT(at, field), 0, max, NULL                                  \
    }
#define DMM_SRIOV_NUMBER(at, name, field, max)                                                     \
    {                                                                                              \
        name, DMM_KEY_NUMBER, DMM_SRIOV_AT(at, field), 0, max, NULL                                \
    }
#define DMM_SRIOV_WORD(at, name, field, words)                                                     \
    {                                                                                              \
        name, DMM_KEY_WORD, DMM_SRIOV_AT(at, field), 0, 0, words                                   \
    }

/* One of these keys that has a value, NULL if none has. */
const char *dmm_sriov_key_given(const struct dmm_sriov_conf *conf);

/* What is in the record's plan. Texts borrow from its JSON. */
struct dmm_sriov_plan {
    const char *owner;
    const char *pci;
    const char *pf;     /* its PCI address */
    int index;          /* the VF's number at its PF */
    const char *driver; /* for user space, that it has while it is ours; NULL: it is an interface */
    uint8_t mac[6];
    unsigned mtu;
    struct dmm_vf_attrs to;   /* what of the VF is set */
    struct dmm_vf_attrs from; /* and what it was */
    const char *was_driver;   /* "": none was bound */
    const char *was_override;
    struct dmm_vf_nl_dev was; /* the interface; name "" if there was none */
};

int dmm_sriov_plan_read(struct dmm_sriov_plan *plan, const json_t *json, struct dmm_err *err);

/* The attributes that the configuration and the pod ask for, but the address. Pure. */
void dmm_sriov_wanted(const struct dmm_sriov_conf *conf, const struct dmm_vf_attrs *is,
                      struct dmm_vf_attrs *wanted);

/* Chooses, locks and describes a VF; see struct dmm_link_ops. */
int dmm_sriov_plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err);

/* The rest of struct dmm_link_ops; the job's `conf` is a struct dmm_sriov_conf. */
int dmm_sriov_validate(const struct dmm_sriov_conf *sriov, struct dmm_err *err);
int dmm_sriov_apply(const struct dmm_link_job *job, const json_t *plan_json,
                    struct dmm_link_made *made, struct dmm_err *err);
int dmm_sriov_check(const struct dmm_link_job *job, const json_t *plan_json, struct dmm_err *err);
int dmm_sriov_undo(const struct dmm_link_grave *grave, const json_t *plan_json,
                   struct dmm_err *err);

/* STATUS for a configured PF: it is there, up (-ENETDOWN), and has VFs left. Without claims: a VF
 * in use is not on the node, or in a program's hands. */
int dmm_sriov_status(const struct dmm_sriov_conf *conf, struct dmm_err *err);

/* Puts back everything. Needs the VF's lock and the claim. 0; -EAGAIN: the VF's interface is in no
 * namespace that we know, or the NIC refuses something, so that not all is as it was: then the
 * claim must stay. `netns_fd` may be -1. */
int dmm_sriov_put_back(const struct dmm_sriov_plan *plan, int netns_fd, struct dmm_err *err);

/* Gives the VF's interface `mac`, binding its driver anew where that takes it. */
int dmm_sriov_settle_mac(struct nl_sock *sock, const char *pci, const uint8_t mac[6],
                         struct dmm_err *err);

/* The PF's interface. */
int dmm_sriov_pf_interface(const char *pf, char ifname[IFNAMSIZ], struct dmm_err *err);
/* The NIC of cni/link/vf.h; `pf` is an interface's name. */
int dmm_sriov_nic(struct dmm_vf_nl *nic, struct nl_sock *sock, const char *pf, struct dmm_err *err);

bool dmm_sriov_is_user_driver(const char *driver);
/* The VF's IOMMU group can be opened: it is bound as a whole and in nobody's hands. -EBUSY if it
 * is. Waits up to `ms` milliseconds for that. */
int dmm_sriov_vfio_free(const char *pci, unsigned ms, struct dmm_err *err);

#endif
