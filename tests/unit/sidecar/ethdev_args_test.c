/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/cmocka.h"

#include "sidecar/port/ethdev_args.h"

#include <errno.h>
#include <string.h>

static void test_vhost(void **state)
{
    UNUSED(state);
    struct ethdev_args a;
    struct dmm_err err;
    assert_int_equal(ethdev_args_parse(&a, "net_vhost0,iface=/run/p.sock,queues=1,tso=1", 7, &err),
                     0);
    assert_string_equal(a.name, "net_vhost7");
    assert_string_equal(a.args, "net_vhost7,iface=/run/p.sock,queues=1,tso=1");
    assert_string_equal(a.path, "/run/p.sock");
    assert_true(a.vhost);
    assert_true(a.listens);
    assert_false(a.virtio_user);
    assert_int_equal(ethdev_args_parse(&a, "net_vhost0,iface=/p,client=1", 7, &err), 0);
    assert_false(a.listens);
}

static void test_virtio_user(void **state)
{
    UNUSED(state);
    struct ethdev_args a;
    struct dmm_err err;
    assert_int_equal(ethdev_args_parse(&a, "net_virtio_user0,path=/p,queues=1", 12, &err), 0);
    assert_string_equal(a.name, "net_virtio_user12");
    assert_true(a.virtio_user);
    assert_false(a.listens);
    assert_int_equal(ethdev_args_parse(&a, "net_virtio_user0,server=1,path=/p", 0, &err), 0);
    assert_true(a.listens);
    assert_false(a.packed);
    assert_int_equal(ethdev_args_parse(&a, "net_virtio_user0,path=/p,packed_vq=1", 0, &err), 0);
    assert_true(a.packed);
    assert_false(a.listens);
    assert_string_equal(a.path, "/p");
    assert_true(a.kept && !a.vhost_net);
    assert_int_equal(
        ethdev_args_parse(&a, "net_virtio_user0,path=/dev/vhost-net,iface=net1", 0, &err), 0);
    assert_true(a.vhost_net && !a.kept && !a.listens);
}

static void test_memif(void **state)
{
    UNUSED(state);
    struct ethdev_args a;
    struct dmm_err err;
    assert_int_equal(ethdev_args_parse(&a, "net_memif0,role=server,socket=/p", 3, &err), 0);
    assert_string_equal(a.name, "net_memif3");
    assert_string_equal(a.path, "/p");
    assert_true(a.polled && a.listens && !a.kept);
    assert_int_equal(ethdev_args_parse(&a, "net_memif0,role=client,socket=/p", 3, &err), 0);
    assert_true(a.polled && !a.listens && a.kept);
    assert_int_equal(ethdev_args_parse(&a, "net_memif0,role=server", 3, &err), -EINVAL);
}

static void test_others(void **state)
{
    UNUSED(state);
    struct ethdev_args a;
    struct dmm_err err;
    assert_int_equal(ethdev_args_parse(&a, "net_null,copy=1", 3, &err), 0);
    assert_string_equal(a.name, "net_null3");
    assert_string_equal(a.path, "");
    assert_false(a.polled);
    assert_int_equal(ethdev_args_parse(&a, "0000:03:10.0,x=1", 3, &err), 0);
    assert_string_equal(a.name, "0000:03:10.0"); /* hardware has its own name */
    assert_string_equal(a.args, "0000:03:10.0,x=1");
}

static void refused(const char *devargs, const char *why)
{
    struct ethdev_args a;
    struct dmm_err err = {0};
    assert_int_equal(ethdev_args_parse(&a, devargs, 0, &err), -EINVAL);
    assert_non_null(strstr(err.text, why));
}

static void test_refused(void **state)
{
    UNUSED(state);
    char text[400];
    refused("", "no device name");
    refused(",path=/p", "no device name");
    refused("net_vhost0,queues=1", "iface= is missing");
    refused("net_vhost0,xiface=/p", "iface= is missing");
    refused("net_vhost0,iface=", "iface= is missing");
    refused("net_virtio_user0,iface=/p", "path= is missing");
    memcpy(text, "net_vhost0,iface=", 17);
    memset(text + 17, 'a', 108);
    text[17 + 108] = '\0';
    refused(text, "longer than 107");
    memset(text, 'n', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    refused(text, "no device name");
    memcpy(text, "net_x,", 6);
    refused(text, "too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vhost),   cmocka_unit_test(test_virtio_user),
        cmocka_unit_test(test_memif),   cmocka_unit_test(test_others),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
