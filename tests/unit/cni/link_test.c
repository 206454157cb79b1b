/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/link.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct dmm_link_job job(const char *id)
{
    return (struct dmm_link_job){.network = "n",
                                 .container_id = id,
                                 .ifname = "net1",
                                 .netns = "/run/netns/x",
                                 .netns_fd = -1,
                                 .mac = {2, 0, 0, 0, 0, 1}};
}

static void host_names_are_stable_and_apart(void **state)
{
    UNUSED(state);
    char a[IFNAMSIZ];
    char b[IFNAMSIZ];
    struct dmm_link_job one = job("c1");
    struct dmm_link_job two = job("c2");
    dmm_link_host_name(a, &one);
    dmm_link_host_name(b, &one);
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), 14);
    dmm_link_host_name(b, &two);
    assert_string_not_equal(a, b);
}

static void macs_are_local_unicast_and_stable(void **state)
{
    UNUSED(state);
    uint8_t a[6];
    uint8_t b[6];
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof(id), "c%d", i);
        dmm_link_stable_mac(a, "n", id, "net1", "pod");
        assert_int_equal(a[0] & 3, 2);
        dmm_link_stable_mac(b, "n", id, "net1", "pod");
        assert_memory_equal(a, b, 6);
        dmm_link_stable_mac(b, "n", id, "net1", "host");
        assert_memory_not_equal(a, b, 6);
    }
}

static void macs_in_text(void **state)
{
    UNUSED(state);
    uint8_t mac[6];
    char text[DMM_MAC_STRLEN];
    static const char *const bad[] = {"",
                                      "02:00:00:00:00",
                                      "02:00:00:00:00:0",
                                      "02-00-00-00-00-01",
                                      "01:00:5e:00:00:01",
                                      "00:00:00:00:00:00",
                                      "02:00:00:00:00:0g",
                                      "02:00:00:00:00:011"};
    assert_int_equal(dmm_mac_parse(mac, "02:aB:00:00:00:ff"), 0);
    assert_string_equal(dmm_mac_format(mac, text), "02:ab:00:00:00:ff");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dmm_mac_parse(mac, bad[i]), -EINVAL);
}

/* Makes the vhostuser link of a role with a socket below `root`; returns its port. */
static void make_pair_end(const char *root, const char *role, bool packed, json_t *plan,
                          struct dmm_port_config *port)
{
    struct dmm_err err = {0};
    struct dmm_link_conf conf;
    struct dmm_link_made made = {.interfaces = json_array()};
    char path[107];
    snprintf(path, sizeof(path), "%s/a/b/s.sock", root);
    json_t *object = json_pack("{s:s, s:s, s:s, s:b}", "type", "vhostuser", "socket", path, "role",
                               role, "packed", packed);
    if (dmm_link_conf_read(&conf, object, &err))
        fail_msg("%s", err.text);
    struct dmm_link_job end = job("c1");
    end.conf = conf.conf;
    assert_int_equal(conf.ops->plan(&end, plan, &err), 0);
    assert_int_equal(conf.ops->apply(&end, plan, &made, &err), 0);
    assert_int_equal(json_array_size(made.interfaces), 1);
    *port = made.port;
    json_decref(made.interfaces);
    json_decref(made.device_info);
    dmm_link_conf_free(&conf);
    json_decref(object);
}

static void vhostuser_ends_fit_each_other(void **state)
{
    UNUSED(state);
    char root[] = "/tmp/dmm-link.XXXXXX";
    char path[107];
    char want[256];
    struct dmm_port_config port;
    json_t *server = json_object();
    json_t *client = json_object();
    const struct dmm_link_grave grave = {.ifname = "net1", .netns_fd = -1};
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/a", root);

    make_pair_end(root, "client", true, client, &port);
    snprintf(want, sizeof(want), "net_vhost0,iface=%s/a/b/s.sock,queues=1,tso=1,client=1", root);
    assert_string_equal(port.devargs, want);
    assert_int_equal(port.kind, DMM_PORT_ETHDEV);
    assert_int_equal(access(path, F_OK), -1); /* the client makes nothing */

    make_pair_end(root, "server", true, server, &port);
    snprintf(want, sizeof(want),
             "net_virtio_user0,path=%s/a/b/s.sock,queues=1,queue_size=1024,mac=02:00:00:00:00:01,"
             "mrg_rxbuf=1,packed_vq=1,in_order=1,server=1",
             root);
    assert_string_equal(port.devargs, want);
    assert_int_equal(access(path, F_OK), 0);

    assert_int_equal(dmm_link_vhostuser.undo(&grave, client, NULL), 0);
    assert_int_equal(access(path, F_OK), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(dmm_link_vhostuser.undo(&grave, server, NULL), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(rmdir(root), 0); /* that was there before, and it is empty */
    json_decref(server);
    json_decref(client);
}

static void split_rings_on_demand(void **state)
{
    UNUSED(state);
    char root[] = "/tmp/dmm-link.XXXXXX";
    struct dmm_port_config port;
    json_t *plan = json_object();
    assert_non_null(mkdtemp(root));
    make_pair_end(root, "server", false, plan, &port);
    assert_null(strstr(port.devargs, "packed"));
    const struct dmm_link_grave grave = {.ifname = "net1", .netns_fd = -1};
    assert_int_equal(dmm_link_vhostuser.undo(&grave, plan, NULL), 0);
    assert_int_equal(rmdir(root), 0);
    json_decref(plan);
}

static void a_cut_plan_is_refused(void **state)
{
    UNUSED(state);
    const struct dmm_link_grave grave = {.ifname = "net1", .netns_fd = -1, .lock_dir = "/tmp"};
    static const struct dmm_link_ops *const kinds[] = {
        &dmm_link_veth, &dmm_link_tap, &dmm_link_afxdp, &dmm_link_vhostuser, &dmm_link_sriov};
    json_t *empty = json_object();
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct dmm_err err = {0};
        assert_true(kinds[i]->undo(&grave, empty, &err) < 0);
        assert_non_null(strstr(err.text, "record"));
    }
    json_decref(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_names_are_stable_and_apart),
        cmocka_unit_test(macs_are_local_unicast_and_stable),
        cmocka_unit_test(macs_in_text),
        cmocka_unit_test(vhostuser_ends_fit_each_other),
        cmocka_unit_test(split_rings_on_demand),
        cmocka_unit_test(a_cut_plan_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
