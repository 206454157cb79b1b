/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/ethtool.h"

#include "cni/file.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* 0 or -errno. */
static int call(const char *ifname, void *command)
{
    struct ifreq ifr = {.ifr_data = command};
    int fd __attribute__((cleanup(dmm_close))) = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(ifr.ifr_name, ifname, strnlen(ifname, IFNAMSIZ - 1));
    return fd < 0 || ioctl(fd, SIOCETHTOOL, &ifr) ? -errno : 0;
}

int dmm_channels_get(const char *ifname, struct dmm_channels *channels, struct dmm_err *err)
{
    struct ethtool_channels is = {.cmd = ETHTOOL_GCHANNELS};
    int rc = call(ifname, &is);
    *channels = (struct dmm_channels){is.rx_count, is.combined_count};
    return rc && rc != -EOPNOTSUPP
               ? dmm_err_set(err, -rc, "interface %s: its queues: %s", ifname, strerror(-rc))
               : 0;
}

int dmm_channels_set(const char *ifname, const struct dmm_channels *channels, struct dmm_err *err)
{
    struct ethtool_channels to = {.cmd = ETHTOOL_GCHANNELS};
    int rc = call(ifname, &to);
    if (!rc && to.rx_count == channels->rx && to.combined_count == channels->combined)
        return 0;
    to.cmd = ETHTOOL_SCHANNELS;
    to.rx_count = channels->rx;
    to.combined_count = channels->combined;
    if (!rc)
        rc = call(ifname, &to);
    return rc ? dmm_err_set(err, -rc, "interface %s: %u receive queues: %s", ifname,
                            channels->rx + channels->combined, strerror(-rc))
              : 0;
}

int dmm_checksum_offload_off(const char *ifname, struct dmm_err *err)
{
    struct ethtool_value off = {.cmd = ETHTOOL_STXCSUM, .data = 0};
    int rc = call(ifname, &off);
    return rc ? dmm_err_set(err, -rc, "interface %s: checksum offload: %s", ifname, strerror(-rc))
              : 0;
}
