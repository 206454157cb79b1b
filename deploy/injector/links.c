/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/injector/links.h"

#include <stddef.h>
#include <string.h>

static const struct injector_link links[] = {
    {"veth", {"NET_RAW"}, NULL, NULL, false},         /* a packet socket */
    {"sriov-netdev", {"NET_RAW"}, NULL, NULL, false}, /* the same, on a virtual function */
    {"sriov-vfio", {"IPC_LOCK"}, NULL, NULL, false},  /* pinned memory; the device plugin's files */
    {"afxdp", {"NET_RAW"}, NULL, "/sys/fs/bpf/dmm", false},
    {"vhostuser", {NULL}, NULL, NULL, true},
    {"memif", {NULL}, NULL, NULL, true},
    {"tap", {NULL}, "/dev/net/tun", NULL, false}, /* the plugin makes it for the sidecar's user */
};

const struct injector_link *injector_link_find(const char *name)
{
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (!strcmp(links[i].name, name))
            return &links[i];
    return NULL;
}

bool injector_link_is_root(const struct injector_link *link)
{
    return link->capabilities[0] != NULL;
}

const char *injector_link_names(void)
{
    return "veth, sriov-netdev, sriov-vfio, afxdp, vhostuser, memif, tap";
}
