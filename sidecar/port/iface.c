/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/iface.h"

#include <errno.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>

static int query(int fd, const char *name, unsigned long request, struct ifreq *ifr)
{
    memset(ifr, 0, sizeof(*ifr));
    memcpy(ifr->ifr_name, name, strnlen(name, sizeof(ifr->ifr_name) - 1));
    return ioctl(fd, request, ifr) ? -errno : 0;
}

int dmm_iface_index(int fd, const char *name)
{
    struct ifreq ifr;
    return query(fd, name, SIOCGIFINDEX, &ifr) ? 0 : ifr.ifr_ifindex;
}

int dmm_iface_read(int fd, struct dmm_port_info *info, const struct dmm_iface_wish *wish)
{
    struct ifreq ifr;
    info->up = false;
    int rc = query(fd, info->name, SIOCGIFHWADDR, &ifr);
    if (rc)
        return rc;
    if (ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return -EMEDIUMTYPE;
    if (wish->any_mac)
        memcpy(info->mac, ifr.ifr_hwaddr.sa_data, sizeof(info->mac));
    rc = query(fd, info->name, SIOCGIFMTU, &ifr);
    if (rc)
        return rc;
    uint32_t mtu = (uint32_t)ifr.ifr_mtu;
    info->mtu = wish->mtu && wish->mtu < mtu ? wish->mtu : mtu;
    rc = query(fd, info->name, SIOCGIFFLAGS, &ifr);
    if (rc)
        return rc;
    info->up = (ifr.ifr_flags & IFF_UP) && (ifr.ifr_flags & IFF_RUNNING);
    return 0;
}

bool dmm_iface_changed(const struct dmm_port_info *a, const struct dmm_port_info *b)
{
    return a->up != b->up || a->mtu != b->mtu || memcmp(a->mac, b->mac, sizeof(a->mac)) != 0;
}
