/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/file.h"
#include "cni/link/pci.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PF  "0000:01:00.0"
#define VF0 "0000:01:10.0"
#define VF1 "0000:01:10.2"

/* A sysfs of our own: a PF ens1 with two VFs, of which the first has an interface and igbvf, and
 * the second nothing. */
static char root[64];

static void make_dir(const char *path)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    for (char *slash = strchr(whole + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    mkdir(whole, 0755);
}

static void make_file(const char *path, const char *text)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make_link(const char *path, const char *target)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    assert_int_equal(symlink(target, whole), 0);
}

static void read_file(const char *path, char *text, size_t size)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    FILE *f = fopen(whole, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, size - 1, f);
    text[n] = '\0';
    fclose(f);
}

static int setup(void **state)
{
    UNUSED(state);
    strcpy(root, "/tmp/dmm-pci.XXXXXX");
    if (!mkdtemp(root))
        return -1;
    make_dir("bus/pci/drivers/igbvf");
    make_file("bus/pci/drivers/igbvf/unbind", "");
    make_file("bus/pci/drivers_probe", "");
    make_dir("bus/pci/devices/" PF "/net/ens1");
    make_dir("bus/pci/devices/" VF0 "/net/ens1v0");
    make_dir("bus/pci/devices/" VF1);
    make_dir("class/net/ens1");
    make_dir("class/net/veth0");
    make_link("class/net/ens1/device", "../../../bus/pci/devices/" PF);
    make_link("class/net/veth0/device", "../../virtual/veth0");
    make_file("bus/pci/devices/" PF "/sriov_numvfs", "2\n");
    make_link("bus/pci/devices/" PF "/virtfn0", "../" VF0);
    make_link("bus/pci/devices/" PF "/virtfn1", "../" VF1);
    make_link("bus/pci/devices/" VF0 "/physfn", "../" PF);
    make_link("bus/pci/devices/" VF1 "/physfn", "../" PF);
    make_link("bus/pci/devices/" VF0 "/driver", "../../drivers/igbvf");
    make_link("bus/pci/devices/" VF0 "/iommu_group", "../../../kernel/iommu_groups/17");
    make_file("bus/pci/devices/" VF0 "/driver_override", "(null)\n");
    make_file("bus/pci/devices/" VF1 "/driver_override", "(null)\n");
    return 0;
}

static int teardown(void **state)
{
    UNUSED(state);
    return dmm_dir_remove(AT_FDCWD, root, NULL);
}

static void addresses(void **state)
{
    UNUSED(state);
    static const char *const good[] = {PF, VF0, "10000:e1:1f.7", "00000001:00:00.0"};
    static const char *const bad[] = {"",
                                      "01:00.0",
                                      "0000:01:00.8",
                                      "0000:01:00.0 ",
                                      "0000:01:0.0",
                                      "0000:0A:00.0",
                                      "../0000:01:00.0",
                                      "000000001:00:00.0",
                                      "net1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(dmm_pci_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(dmm_pci_valid(bad[i]));
}

static void functions_and_their_interfaces(void **state)
{
    UNUSED(state);
    char addr[DMM_PCI_ADDR];
    char ifname[IFNAMSIZ];
    char driver[DMM_PCI_DRIVER];
    assert_int_equal(dmm_pci_of_interface(root, "ens1", addr), 0);
    assert_string_equal(addr, PF);
    assert_int_equal(dmm_pci_of_interface(root, "veth0", addr), -ENOENT);
    assert_int_equal(dmm_pci_of_interface(root, "none", addr), -ENOENT);
    assert_int_equal(dmm_pci_interface(root, VF0, ifname), 0);
    assert_string_equal(ifname, "ens1v0");
    assert_int_equal(dmm_pci_interface(root, VF1, ifname), -ENOENT);
    assert_int_equal(dmm_pci_wait_interface(root, VF1, 20, ifname), -ENOENT);
    assert_int_equal(dmm_pci_driver(root, VF0, driver), 0);
    assert_string_equal(driver, "igbvf");
    assert_int_equal(dmm_pci_driver(root, VF1, driver), -ENOENT);
    assert_true(dmm_pci_driver_loaded(root, "igbvf"));
    assert_false(dmm_pci_driver_loaded(root, "vfio-pci"));
    assert_int_equal(dmm_pci_iommu_group(root, VF0), 17);
    assert_int_equal(dmm_pci_iommu_group(root, VF1), -ENOENT);
    assert_int_equal(dmm_pci_override(root, VF0, driver), 0);
    assert_string_equal(driver, "");
    assert_true(dmm_pci_exists(root, VF1));
    assert_false(dmm_pci_exists(root, "0000:09:00.0"));
}

static void virtual_functions(void **state)
{
    UNUSED(state);
    char addr[DMM_PCI_ADDR];
    assert_int_equal(dmm_pci_n_vfs(root, PF), 2);
    assert_int_equal(dmm_pci_n_vfs(root, VF0), 0);
    assert_int_equal(dmm_pci_vf(root, PF, 1, addr), 0);
    assert_string_equal(addr, VF1);
    assert_int_equal(dmm_pci_vf(root, PF, 2, addr), -ENOENT);
    assert_int_equal(dmm_pci_vf_index(root, PF, VF1), 1);
    assert_int_equal(dmm_pci_vf_index(root, PF, PF), -ENOENT);
    assert_int_equal(dmm_pci_pf(root, VF0, addr), 0);
    assert_string_equal(addr, PF);
    assert_int_equal(dmm_pci_pf(root, PF, addr), -ENOENT);
    make_file("bus/pci/devices/" PF "/sriov_numvfs", "-3\n");
    assert_int_equal(dmm_pci_n_vfs(root, PF), 0);
    make_file("bus/pci/devices/" PF "/sriov_numvfs", "99999999\n");
    assert_int_equal(dmm_pci_n_vfs(root, PF), 0);
}

static void a_lock_is_one_function_s_and_one_holder_s(void **state)
{
    UNUSED(state);
    struct dmm_err err = {0};
    int a = dmm_pci_lock(root, VF0, false, &err);
    int b = dmm_pci_lock(root, VF1, false, &err);
    assert_true(a >= 0 && b >= 0);
    assert_int_equal(dmm_pci_lock(root, VF0, false, &err), -EBUSY);
    close(a);
    a = dmm_pci_lock(root, VF0, true, &err);
    assert_true(a >= 0);
    close(a);
    close(b);
    assert_int_equal(dmm_pci_lock(root, "0000:09:00.0", true, &err), -ENOENT);
}

static void binding_writes_what_sysfs_wants(void **state)
{
    UNUSED(state);
    char text[64];
    struct dmm_err err = {0};
    /* This sysfs does nothing by itself: the driver is not taken, and that is found out. */
    assert_int_equal(dmm_pci_bind(root, VF1, "vfio-pci", "", &err), -ENODEV);
    assert_string_equal(err.text, "PCI function " VF1 ": driver vfio-pci does not take it");
    read_file("bus/pci/drivers_probe", text, sizeof(text));
    assert_string_equal(text, VF1);
    read_file("bus/pci/devices/" VF1 "/driver_override", text, sizeof(text));
    assert_int_equal(*text, '\n'); /* put back; a real one reads "(null)" then */
    /* Bound to it already: nothing to write but the override. */
    make_file("bus/pci/drivers_probe", "");
    assert_int_equal(dmm_pci_bind(root, VF0, "igbvf", "", &err), 0);
    read_file("bus/pci/drivers_probe", text, sizeof(text));
    assert_string_equal(text, "");
    assert_int_equal(dmm_pci_bind(root, VF0, "igbvf", "vfio-pci", &err), 0);
    read_file("bus/pci/devices/" VF0 "/driver_override", text, sizeof(text));
    assert_string_equal(text, "vfio-pci\n");
    assert_int_equal(dmm_pci_unbind(root, VF0, &err), 0);
    read_file("bus/pci/drivers/igbvf/unbind", text, sizeof(text));
    assert_string_equal(text, VF0);
    assert_int_equal(dmm_pci_unbind(root, VF1, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test_setup_teardown(functions_and_their_interfaces, setup, teardown),
        cmocka_unit_test_setup_teardown(virtual_functions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lock_is_one_function_s_and_one_holder_s, setup, teardown),
        cmocka_unit_test_setup_teardown(binding_writes_what_sysfs_wants, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
