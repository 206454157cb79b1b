/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sriov_bound: what the kernel alone takes to give a VF's interface to a namespace and to take it
 * back: the netlink requests and sysfs files of the plugin's ADD and DEL, without a process to
 * start, a configuration to read or a record to write. For tests/sriov/bench.
 *
 *   sriov_bound PF VF-NUMBER VF-PCI NETNS ROUNDS
 *
 * Prints a line for each round: microseconds of giving and of taking back.
 */
#include "cni/link/podend.h"
#include "cni/link/sriov.h"
#include "cni/netns.h"

#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define IN_POD "net1"

static double now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* What tests/sriov/bench configures: a VLAN, and the address that the VF has. */
static int give(struct nl_sock *sock, const char *pf, struct dmm_sriov_plan *plan, int netns_fd,
                struct dmm_err *err)
{
    char ifname[IFNAMSIZ];
    struct dmm_vf_nl nic;
    struct dmm_vf_nl_dev pf_dev;
    int rc = dmm_sriov_nic(&nic, sock, pf, err);
    if (!rc)
        rc = dmm_vf_nl_look(sock, pf, &pf_dev, err);
    if (!rc)
        rc = dmm_vf_nl_ops.get(&nic, plan->index, &plan->from, err);
    dmm_vf_only(&plan->from, 1u << DMM_VF_VLAN);
    if (!rc)
        rc = dmm_pci_interface(DMM_SYSFS, plan->pci, ifname);
    if (!rc)
        rc = dmm_vf_nl_look(sock, ifname, &plan->was, err);
    if (!rc)
        rc = dmm_vf_set(&dmm_vf_nl_ops, &nic, plan->index, &plan->to, err);
    if (!rc)
        rc = dmm_vf_nl_down(sock, plan->was.ifindex, err);
    if (!rc)
        rc = dmm_vf_nl_move(sock, plan->was.ifindex, netns_fd, IN_POD, err);
    return rc ? rc : dmm_podend_up(netns_fd, IN_POD, err);
}

static int round_trip(const char *pf, struct dmm_sriov_plan *plan, int netns_fd,
                      struct dmm_err *err)
{
    char driver[DMM_PCI_DRIVER];
    struct nl_sock *sock __attribute__((cleanup(dmm_nl_close))) = NULL;
    int rc = dmm_pci_driver(DMM_SYSFS, plan->pci, driver);
    if (!rc)
        rc = dmm_nl_open(&sock, -1, err);
    plan->was_driver = driver;
    double start = now_us();
    if (!rc)
        rc = give(sock, pf, plan, netns_fd, err);
    double given = now_us();
    if (!rc)
        rc = dmm_sriov_put_back(plan, netns_fd, err);
    if (!rc)
        printf("%.0f %.0f\n", given - start, now_us() - given);
    return rc;
}

int main(int argc, char *argv[])
{
    char pf[DMM_PCI_ADDR] = "";
    struct dmm_err err = {0};
    if (argc != 6) {
        fputs("usage: sriov_bound PF VF-NUMBER VF-PCI NETNS ROUNDS\n", stderr);
        return 2;
    }
    struct dmm_sriov_plan plan = {
        .pci = argv[3],
        .pf = pf,
        .index = (int)strtol(argv[2], NULL, 10),
        .to = {.has = 1u << DMM_VF_VLAN, .vlan = 100, .proto = ETH_P_8021Q},
        .was_override = "",
    };
    int rc = dmm_pci_of_interface(DMM_SYSFS, argv[1], pf);
    int netns_fd = dmm_netns_open(argv[4], NULL, &err);
    for (long left = strtol(argv[5], NULL, 10); !rc && netns_fd >= 0 && left > 0; left--)
        rc = round_trip(argv[1], &plan, netns_fd, &err);
    if (netns_fd >= 0)
        close(netns_fd);
    if (!rc && netns_fd >= 0)
        return 0;
    fprintf(stderr, "sriov_bound: %s\n", err.code ? err.text : "no such PF or VF");
    return 1;
}
