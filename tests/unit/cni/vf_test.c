/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/sriov.h"
#include "cni/link/vf.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#define BIT(attr) (1u << (attr))

/* A NIC of our own, with one VF. */
struct nic {
    struct dmm_vf_attrs vf;
    unsigned refuses; /* attributes that it does not take */
    char log[256];    /* what was set, in order */
};

static int nic_get(void *arg, int vf, struct dmm_vf_attrs *attrs, struct dmm_err *err)
{
    struct nic *nic = arg;
    if (vf != 0)
        return dmm_err_set(err, ENODEV, "no VF %d", vf);
    *attrs = nic->vf;
    return 0;
}

static int nic_set(void *arg, int vf, enum dmm_vf_attr attr, const struct dmm_vf_attrs *to,
                   struct dmm_err *err)
{
    struct nic *nic = arg;
    assert_int_equal(vf, 0);
    if (nic->refuses & BIT(attr))
        return dmm_err_set(err, EOPNOTSUPP, "not supported");
    snprintf(nic->log + strlen(nic->log), sizeof(nic->log) - strlen(nic->log), "%s;",
             dmm_vf_attr_name(attr));
    switch (attr) {
    case DMM_VF_LINK_STATE:
        nic->vf.link_state = to->link_state;
        break;
    case DMM_VF_RATE:
        nic->vf.min_tx_rate = to->min_tx_rate;
        nic->vf.max_tx_rate = to->max_tx_rate;
        break;
    case DMM_VF_VLAN:
        nic->vf.vlan = to->vlan;
        nic->vf.qos = to->qos;
        nic->vf.proto = to->proto;
        break;
    case DMM_VF_SPOOFCHK:
        nic->vf.spoofchk = to->spoofchk;
        break;
    case DMM_VF_TRUST:
        nic->vf.trust = to->trust;
        break;
    case DMM_VF_MAC:
        memcpy(nic->vf.mac, to->mac, 6);
        break;
    case DMM_VF_ATTRS:
        fail();
    }
    return 0;
}

static const struct dmm_vf_ops ops = {nic_get, nic_set};

static struct nic fresh(void)
{
    return (struct nic){.vf = {.has = BIT(DMM_VF_ATTRS) - 1,
                               .mac = {2, 0, 0, 0, 0, 9},
                               .proto = ETH_P_8021Q,
                               .spoofchk = true}};
}

static const struct dmm_sriov_conf nothing = {.vlan = -1,
                                              .qos = -1,
                                              .proto = -1,
                                              .spoofchk = -1,
                                              .trust = -1,
                                              .link_state = -1,
                                              .min_tx_rate = -1,
                                              .max_tx_rate = -1,
                                              .mtu = -1,
                                              .driver = -1};

static void only_what_is_asked_for_is_wanted(void **state)
{
    UNUSED(state);
    struct dmm_vf_attrs wanted;
    struct dmm_vf_attrs is = {.has = BIT(DMM_VF_ATTRS) - 1, .min_tx_rate = 5, .max_tx_rate = 70};
    struct dmm_sriov_conf conf = nothing;
    dmm_sriov_wanted(&conf, &is, &wanted);
    assert_int_equal(wanted.has, 0);
    conf.vlan = 0;
    conf.max_tx_rate = 100;
    conf.spoofchk = 0;
    conf.trust = 1;
    conf.link_state = 2;
    dmm_sriov_wanted(&conf, &is, &wanted);
    assert_int_equal(wanted.has, BIT(DMM_VF_VLAN) | BIT(DMM_VF_RATE) | BIT(DMM_VF_SPOOFCHK) |
                                     BIT(DMM_VF_TRUST) | BIT(DMM_VF_LINK_STATE));
    assert_int_equal(wanted.min_tx_rate, 5); /* the one that was not named stays */
    assert_int_equal(wanted.max_tx_rate, 100);
    assert_false(wanted.spoofchk);
    assert_true(wanted.trust);
    assert_int_equal(wanted.link_state, 2);
    conf.vlan = 7;
    conf.qos = 3;
    conf.proto = 1;
    dmm_sriov_wanted(&conf, &is, &wanted);
    assert_int_equal(wanted.vlan, 7);
    assert_int_equal(wanted.qos, 3);
    assert_int_equal(wanted.proto, ETH_P_8021AD);
}

static void only_what_differs_is_changed(void **state)
{
    UNUSED(state);
    struct nic nic = fresh();
    struct dmm_vf_attrs to = nic.vf;
    assert_int_equal(dmm_vf_differ(&to, &nic.vf), 0);
    to.proto = ETH_P_8021AD; /* of no VLAN */
    assert_int_equal(dmm_vf_differ(&to, &nic.vf), 0);
    to.vlan = 5;
    to.mac[5] = 1;
    assert_int_equal(dmm_vf_differ(&to, &nic.vf), BIT(DMM_VF_VLAN) | BIT(DMM_VF_MAC));
    dmm_vf_only(&to, BIT(DMM_VF_VLAN));
    assert_int_equal(dmm_vf_differ(&to, &nic.vf), BIT(DMM_VF_VLAN));
    nic.vf.has &= ~BIT(DMM_VF_VLAN); /* a NIC that does not tell */
    assert_int_equal(dmm_vf_differ(&to, &nic.vf), BIT(DMM_VF_VLAN));
}

static void a_probe_changes_nothing_and_names_the_key(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct nic nic = fresh();
    const struct dmm_vf_attrs before = nic.vf;
    nic.refuses = BIT(DMM_VF_LINK_STATE);
    unsigned all = BIT(DMM_VF_ATTRS) - 1;
    assert_int_equal(dmm_vf_probe(&ops, &nic, 0, &before, all, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, "link_state"));
    nic.refuses = 0;
    assert_int_equal(dmm_vf_probe(&ops, &nic, 0, &before, all, &err), 0);
    assert_memory_equal(&nic.vf, &before, sizeof(before));
    assert_null(strstr(nic.log, "mac")); /* setting one may reset the VF */
    struct dmm_vf_attrs dumb = before;
    dumb.has &= ~BIT(DMM_VF_TRUST);
    assert_int_equal(dmm_vf_probe(&ops, &nic, 0, &dumb, BIT(DMM_VF_TRUST), &err), -EOPNOTSUPP);
    assert_string_equal(err.text, "link: trust: the NIC does not have it");
}

static void the_address_is_set_last(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct nic nic = fresh();
    struct dmm_vf_attrs to = nic.vf;
    assert_int_equal(dmm_vf_set(&ops, &nic, 0, &to, &err), 0);
    assert_string_equal(nic.log, "link_state;min_tx_rate, max_tx_rate;vlan, vlanQoS, "
                                 "vlanProto;spoofchk;trust;mac;");
    nic.log[0] = '\0';
    nic.refuses = BIT(DMM_VF_VLAN);
    assert_int_equal(dmm_vf_set(&ops, &nic, 0, &to, &err), -EOPNOTSUPP);
    assert_string_equal(nic.log, "link_state;min_tx_rate, max_tx_rate;");
}

static void restoring_goes_on_after_a_refusal(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct nic nic = fresh();
    const struct dmm_vf_attrs before = nic.vf;
    nic.vf.vlan = 9;
    nic.vf.trust = true;
    nic.vf.max_tx_rate = 3;
    nic.refuses = BIT(DMM_VF_RATE);
    assert_int_equal(dmm_vf_restore(&ops, &nic, 0, &before, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, "max_tx_rate"));
    assert_int_equal(nic.vf.vlan, 0);
    assert_false(nic.vf.trust);
    nic.refuses = 0;
    nic.log[0] = '\0';
    assert_int_equal(dmm_vf_restore(&ops, &nic, 0, &before, &err), 0);
    assert_string_equal(nic.log, "min_tx_rate, max_tx_rate;");
    assert_int_equal(dmm_vf_restore(&ops, &nic, 1, &before, &err), -ENODEV);
}

static void checking_names_what_was_changed(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct nic nic = fresh();
    struct dmm_vf_attrs wanted = nic.vf;
    assert_int_equal(dmm_vf_check(&ops, &nic, 0, &wanted, &err), 0);
    nic.vf.spoofchk = false;
    assert_int_equal(dmm_vf_check(&ops, &nic, 0, &wanted, &err), -EINVAL);
    assert_string_equal(err.text, "VF 0: spoofchk: was changed");
}

static void through_the_record_and_back(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct dmm_vf_attrs read;
    struct dmm_vf_attrs attrs = {.has = BIT(DMM_VF_ATTRS) - 1,
                                 .vlan = 4094,
                                 .qos = 7,
                                 .proto = ETH_P_8021AD,
                                 .trust = true,
                                 .link_state = 2,
                                 .min_tx_rate = 1,
                                 .max_tx_rate = 4000000000u};
    json_t *json = dmm_vf_to_json(&attrs);
    assert_int_equal(dmm_vf_from_json(&read, json, &err), 0);
    assert_memory_equal(&read, &attrs, sizeof(attrs)); /* an address of zeros included */
    json_decref(json);
    dmm_vf_only(&attrs, BIT(DMM_VF_TRUST));
    json = dmm_vf_to_json(&attrs);
    assert_int_equal(json_object_size(json), 1);
    assert_int_equal(dmm_vf_from_json(&read, json, &err), 0);
    assert_int_equal(read.has, BIT(DMM_VF_TRUST));
    json_decref(json);
    static const char *const bad[] = {"[]",
                                      "{\"vlan\": [1, 2]}",
                                      "{\"vlan\": [1, 2, 70000]}",
                                      "{\"rate\": [-1, 0]}",
                                      "{\"mac\": \"ff:ff:ff:ff:ff:ff\"}",
                                      "{\"trust\": 1}",
                                      "{\"other\": 1}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json = json_loads(bad[i], 0, NULL);
        assert_non_null(json);
        assert_int_equal(dmm_vf_from_json(&read, json, &err), -EINVAL);
        json_decref(json);
    }
}

static void a_cut_plan_is_refused(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    struct dmm_sriov_plan plan;
    json_t *good = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:{}, s:{}, s:{s:s, s:s, s:s, s:s, s:i, s:b}}",
        "owner", "n/c/net1", "pci", "0000:01:10.0", "pf", "0000:01:00.0", "index", 0, "driver", "",
        "mac", "02:00:00:00:00:01", "mtu", 1500, "to", "from", "was", "driver", "igbvf", "override",
        "", "name", "ens1v0", "mac", "02:00:00:00:00:02", "mtu", 1500, "up", 1);
    assert_non_null(good);
    assert_int_equal(dmm_sriov_plan_read(&plan, good, &err), 0);
    assert_null(plan.driver);
    assert_string_equal(plan.was.name, "ens1v0");
    static const char *const keys[] = {"owner", "pci", "pf", "index", "mac", "to", "from", "was"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_t *cut = json_copy(good);
        json_object_del(cut, keys[i]);
        assert_int_equal(dmm_sriov_plan_read(&plan, cut, &err), -EINVAL);
        json_decref(cut);
    }
    json_object_set_new(good, "pci", json_string("../../etc"));
    assert_int_equal(dmm_sriov_plan_read(&plan, good, &err), -EINVAL);
    json_decref(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_asked_for_is_wanted),
        cmocka_unit_test(only_what_differs_is_changed),
        cmocka_unit_test(a_probe_changes_nothing_and_names_the_key),
        cmocka_unit_test(the_address_is_set_last),
        cmocka_unit_test(restoring_goes_on_after_a_refusal),
        cmocka_unit_test(checking_names_what_was_changed),
        cmocka_unit_test(through_the_record_and_back),
        cmocka_unit_test(a_cut_plan_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
