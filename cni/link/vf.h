/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vf: what a PF's driver can be told about one of its VFs, and what of it has to be changed.
 *
 * A struct dmm_vf_attrs holds values of some attributes: those in `has`. One describes what is, one
 * what is wanted, one what was before and is kept in the record.
 *
 * Pure but for the calls through struct dmm_vf_ops: rtnetlink (cni/link/vf_nl.h), or a made-up NIC
 * in tests.
 */
#ifndef DMM_CNI_VF_H
#define DMM_CNI_VF_H

#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are set: what drivers refuse most often first, and last the address,
 * with which some of them reset the VF. */
enum dmm_vf_attr {
    DMM_VF_LINK_STATE,
    DMM_VF_RATE,
    DMM_VF_VLAN,
    DMM_VF_SPOOFCHK,
    DMM_VF_TRUST,
    DMM_VF_MAC,
    DMM_VF_ATTRS,
};

struct dmm_vf_attrs {
    unsigned has; /* bit 1 << attr: this one has a value here */
    uint8_t mac[6];
    uint32_t vlan; /* 0: none; with its priority and Ethernet type */
    uint32_t qos;
    uint16_t proto;
    bool spoofchk;
    bool trust;
    uint32_t link_state;  /* IFLA_VF_LINK_STATE_* */
    uint32_t min_tx_rate; /* Mbit/s, 0: no limit */
    uint32_t max_tx_rate;
};

/* A NIC. get() fills in what its driver tells; set() changes one attribute to its value in `to`. */
struct dmm_vf_ops {
    int (*get)(void *nic, int vf, struct dmm_vf_attrs *attrs, struct dmm_err *err);
    int (*set)(void *nic, int vf, enum dmm_vf_attr attr, const struct dmm_vf_attrs *to,
               struct dmm_err *err);
};

/* The key of the configuration that an attribute is known by. */
const char *dmm_vf_attr_name(enum dmm_vf_attr attr);

/* Those of `wanted` that `is` does not have: bits. */
unsigned dmm_vf_differ(const struct dmm_vf_attrs *wanted, const struct dmm_vf_attrs *is);
/* Only the attributes in `bits` stay. */
void dmm_vf_only(struct dmm_vf_attrs *attrs, unsigned bits);

/* Asks the NIC, without changing anything, whether it knows the attributes in `bits`: each is set
 * to what it `is`. An error names the key. */
int dmm_vf_probe(const struct dmm_vf_ops *ops, void *nic, int vf, const struct dmm_vf_attrs *is,
                 unsigned bits, struct dmm_err *err);
/* Sets all of `to`. Stops at what the NIC refuses; the error names the key. */
int dmm_vf_set(const struct dmm_vf_ops *ops, void *nic, int vf, const struct dmm_vf_attrs *to,
               struct dmm_err *err);
/* Sets those of `to` that are not so, and goes on after a refusal; the first one is returned. */
int dmm_vf_restore(const struct dmm_vf_ops *ops, void *nic, int vf, const struct dmm_vf_attrs *to,
                   struct dmm_err *err);
/* Compares, for CHECK; an error names the key. */
int dmm_vf_check(const struct dmm_vf_ops *ops, void *nic, int vf, const struct dmm_vf_attrs *wanted,
                 struct dmm_err *err);

/* For the record. A new reference, NULL when out of memory. */
json_t *dmm_vf_to_json(const struct dmm_vf_attrs *attrs);
int dmm_vf_from_json(struct dmm_vf_attrs *attrs, const json_t *json, struct dmm_err *err);

#endif
