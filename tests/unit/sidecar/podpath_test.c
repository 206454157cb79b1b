/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/podpath.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void localize(const char *before, const char *after)
{
    struct dmm_port_config port = {.mtu = 1500};
    struct dmm_err err = {0};
    snprintf(port.devargs, sizeof(port.devargs), "%s", before);
    assert_int_equal(dmm_podpath_localize(&port, "u-1", "/run/dmm/pod", &err), 0);
    assert_string_equal(port.devargs, after);
}

static void puts_the_local_path_in_place(void **state)
{
    UNUSED(state);
    localize("net_virtio_user0,path=/run/dmm/pods/u-1/net1.sock,queues=1",
             "net_virtio_user0,path=/run/dmm/pod/net1.sock,queues=1");
    localize("a,b=/x/pods/u-1/s,c=/y/pods/u-1/t", "a,b=/run/dmm/pod/s,c=/run/dmm/pod/t");
    /* What is not the directory stays. */
    localize("net_vhost0,iface=/run/dmm/pods/u-2/net1.sock",
             "net_vhost0,iface=/run/dmm/pods/u-2/net1.sock");
    localize("net_vhost0,iface=/run/dmm/pods/u-11/s", "net_vhost0,iface=/run/dmm/pods/u-11/s");
    localize("net_vhost0,iface=x/pods/u-1/s", "net_vhost0,iface=x/pods/u-1/s");
    localize("", "");
}

static void refuses_what_has_no_room(void **state)
{
    UNUSED(state);
    struct dmm_port_config port = {.mtu = 1500};
    struct dmm_err err = {0};
    char dir[300];
    memset(dir, 'd', sizeof(dir));
    dir[0] = '/';
    dir[sizeof(dir) - 1] = 0;
    strcpy(port.devargs, "n,path=/run/dmm/pods/u-1/s");
    assert_int_equal(dmm_podpath_localize(&port, "u-1", dir, &err), -ENAMETOOLONG);
    assert_string_equal(port.devargs, "n,path=/run/dmm/pods/u-1/s");
}

static void the_id_is_the_uid_else_the_containers(void **state)
{
    UNUSED(state);
    char id[NAME_MAX + 1];
    struct dmm_err err = {0};
    assert_int_equal(dmm_podpath_id(id, "{\"podUid\":\"u\",\"containerId\":\"c\"}", &err), 0);
    assert_string_equal(id, "u");
    assert_int_equal(dmm_podpath_id(id, "{\"podUid\":\"\",\"containerId\":\"c\"}", &err), 0);
    assert_string_equal(id, "c");
    static const char *const bad[] = {"", "{}", "[]", "{\"podUid\":3}", "{\"podUid\":\"../x\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dmm_podpath_id(id, bad[i], &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_the_local_path_in_place),
        cmocka_unit_test(refuses_what_has_no_room),
        cmocka_unit_test(the_id_is_the_uid_else_the_containers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
