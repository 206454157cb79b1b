/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/vf.h"

#include "cni/link/link.h"

#include <errno.h>
#include <string.h>

static const char *const names[DMM_VF_ATTRS] = {
    [DMM_VF_LINK_STATE] = "link_state",
    [DMM_VF_RATE] = "min_tx_rate, max_tx_rate",
    [DMM_VF_VLAN] = "vlan, vlanQoS, vlanProto",
    [DMM_VF_SPOOFCHK] = "spoofchk",
    [DMM_VF_TRUST] = "trust",
    [DMM_VF_MAC] = "mac",
};

const char *dmm_vf_attr_name(enum dmm_vf_attr attr)
{
    return names[attr];
}

static bool has(const struct dmm_vf_attrs *attrs, enum dmm_vf_attr attr)
{
    return attrs->has & (1u << attr);
}

/* Without a VLAN, its priority and type mean nothing. */
static bool same_vlan(const struct dmm_vf_attrs *a, const struct dmm_vf_attrs *b)
{
    if (!a->vlan && !b->vlan && !a->qos && !b->qos)
        return true;
    return a->vlan == b->vlan && a->qos == b->qos && a->proto == b->proto;
}

static bool same(const struct dmm_vf_attrs *a, const struct dmm_vf_attrs *b, enum dmm_vf_attr attr)
{
    switch (attr) {
    case DMM_VF_LINK_STATE:
        return a->link_state == b->link_state;
    case DMM_VF_RATE:
        return a->min_tx_rate == b->min_tx_rate && a->max_tx_rate == b->max_tx_rate;
    case DMM_VF_VLAN:
        return same_vlan(a, b);
    case DMM_VF_SPOOFCHK:
        return a->spoofchk == b->spoofchk;
    case DMM_VF_TRUST:
        return a->trust == b->trust;
    case DMM_VF_MAC:
        return !memcmp(a->mac, b->mac, sizeof(a->mac));
    case DMM_VF_ATTRS:
        break;
    }
    return true;
}

unsigned dmm_vf_differ(const struct dmm_vf_attrs *wanted, const struct dmm_vf_attrs *is)
{
    unsigned bits = 0;
    for (unsigned attr = 0; attr < DMM_VF_ATTRS; attr++)
        if (has(wanted, attr) && (!has(is, attr) || !same(wanted, is, attr)))
            bits |= 1u << attr;
    return bits;
}

void dmm_vf_only(struct dmm_vf_attrs *attrs, unsigned bits)
{
    attrs->has &= bits;
}

static int refuse(struct dmm_err *err, enum dmm_vf_attr attr)
{
    return dmm_err_prefix(err, "link: %s: the NIC refuses it", names[attr]);
}

int dmm_vf_probe(const struct dmm_vf_ops *ops, void *nic, int vf, const struct dmm_vf_attrs *is,
                 unsigned bits, struct dmm_err *err)
{
    for (unsigned attr = 0; attr < DMM_VF_ATTRS; attr++) {
        if (!(bits & (1u << attr)))
            continue;
        if (!has(is, attr))
            return dmm_err_set(err, EOPNOTSUPP, "link: %s: the NIC does not have it", names[attr]);
        /* Every NIC has addresses, and setting one may reset the VF. */
        if (attr != DMM_VF_MAC && ops->set(nic, vf, attr, is, err))
            return refuse(err, attr);
    }
    return 0;
}

int dmm_vf_set(const struct dmm_vf_ops *ops, void *nic, int vf, const struct dmm_vf_attrs *to,
               struct dmm_err *err)
{
    for (unsigned attr = 0; attr < DMM_VF_ATTRS; attr++)
        if (has(to, attr) && ops->set(nic, vf, attr, to, err))
            return refuse(err, attr);
    return 0;
}

int dmm_vf_restore(const struct dmm_vf_ops *ops, void *nic, int vf, const struct dmm_vf_attrs *to,
                   struct dmm_err *err)
{
    struct dmm_err next = {0};
    struct dmm_vf_attrs is;
    int first = ops->get(nic, vf, &is, err);
    if (first)
        return first;
    unsigned bits = dmm_vf_differ(to, &is);
    for (unsigned attr = 0; attr < DMM_VF_ATTRS; attr++) {
        if (!(bits & (1u << attr)) || !ops->set(nic, vf, attr, to, first ? &next : err))
            continue;
        if (!first)
            first = refuse(err, attr);
    }
    return first;
}

int dmm_vf_check(const struct dmm_vf_ops *ops, void *nic, int vf, const struct dmm_vf_attrs *wanted,
                 struct dmm_err *err)
{
    struct dmm_vf_attrs is;
    int rc = ops->get(nic, vf, &is, err);
    if (rc)
        return rc;
    unsigned bits = dmm_vf_differ(wanted, &is);
    for (unsigned attr = 0; attr < DMM_VF_ATTRS; attr++)
        if (bits & (1u << attr))
            return dmm_err_set(err, EINVAL, "VF %d: %s: was changed", vf, names[attr]);
    return 0;
}

static int put(json_t *json, const char *key, json_t *value)
{
    return json_object_set_new(json, key, value);
}

json_t *dmm_vf_to_json(const struct dmm_vf_attrs *attrs)
{
    char text[DMM_MAC_STRLEN];
    json_t *json = json_object();
    int rc = json ? 0 : -1;
    if (!rc && has(attrs, DMM_VF_LINK_STATE))
        rc |= put(json, "linkState", json_integer(attrs->link_state));
    if (!rc && has(attrs, DMM_VF_RATE))
        rc |=
            put(json, "rate",
                json_pack("[II]", (json_int_t)attrs->min_tx_rate, (json_int_t)attrs->max_tx_rate));
    if (!rc && has(attrs, DMM_VF_VLAN))
        rc |= put(json, "vlan",
                  json_pack("[III]", (json_int_t)attrs->vlan, (json_int_t)attrs->qos,
                            (json_int_t)attrs->proto));
    if (!rc && has(attrs, DMM_VF_SPOOFCHK))
        rc |= put(json, "spoofchk", json_boolean(attrs->spoofchk));
    if (!rc && has(attrs, DMM_VF_TRUST))
        rc |= put(json, "trust", json_boolean(attrs->trust));
    if (!rc && has(attrs, DMM_VF_MAC))
        rc |= put(json, "mac", json_string(dmm_mac_format(attrs->mac, text)));
    if (!rc)
        return json;
    json_decref(json);
    return NULL;
}

/* Whole numbers of an array of `n`; a record is ours, but may have been cut or edited. */
static int read_numbers(const json_t *array, uint32_t *const into[], size_t n, uint32_t max)
{
    if (json_array_size(array) != n)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(array, i);
        json_int_t number = json_integer_value(item);
        if (!json_is_integer(item) || number < 0 || number > (json_int_t)max)
            return -EINVAL;
        *into[i] = (uint32_t)number;
    }
    return 0;
}

static int read_mac(uint8_t mac[6], const json_t *value)
{
    const char *text = json_string_value(value);
    if (text && !strcmp(text, "00:00:00:00:00:00")) {
        memset(mac, 0, 6); /* a VF that was given none */
        return 0;
    }
    return text ? dmm_mac_parse(mac, text) : -EINVAL;
}

static int read_one(struct dmm_vf_attrs *attrs, const char *key, const json_t *value)
{
    uint32_t proto = 0;
    uint32_t *const rate[] = {&attrs->min_tx_rate, &attrs->max_tx_rate};
    uint32_t *const vlan[] = {&attrs->vlan, &attrs->qos, &proto};
    int rc = -EINVAL;
    enum dmm_vf_attr attr = DMM_VF_ATTRS;
    if (!strcmp(key, "linkState") && json_is_integer(value)) {
        attr = DMM_VF_LINK_STATE;
        attrs->link_state = (uint32_t)json_integer_value(value);
        rc = 0;
    } else if (!strcmp(key, "rate")) {
        attr = DMM_VF_RATE;
        rc = read_numbers(value, rate, 2, UINT32_MAX);
    } else if (!strcmp(key, "vlan")) {
        attr = DMM_VF_VLAN;
        rc = read_numbers(value, vlan, 3, UINT16_MAX);
        attrs->proto = (uint16_t)proto;
    } else if (!strcmp(key, "spoofchk") && json_is_boolean(value)) {
        attr = DMM_VF_SPOOFCHK;
        attrs->spoofchk = json_is_true(value);
        rc = 0;
    } else if (!strcmp(key, "trust") && json_is_boolean(value)) {
        attr = DMM_VF_TRUST;
        attrs->trust = json_is_true(value);
        rc = 0;
    } else if (!strcmp(key, "mac")) {
        attr = DMM_VF_MAC;
        rc = read_mac(attrs->mac, value);
    }
    if (!rc)
        attrs->has |= 1u << attr;
    return rc;
}

int dmm_vf_from_json(struct dmm_vf_attrs *attrs, const json_t *json, struct dmm_err *err)
{
    const char *key;
    json_t *value;
    memset(attrs, 0, sizeof(*attrs));
    if (!json_is_object(json))
        return dmm_err_set(err, EINVAL, "record: plan: attributes of the VF: missing");
    json_object_foreach((json_t *)json, key, value)
    {
        if (read_one(attrs, key, value))
            return dmm_err_set(err, EINVAL, "record: plan: %s: not what was written", key);
    }
    return 0;
}
