/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/interfaces.h"

#include "preload/calls.h"
#include "preload/policy.h"
#include "preload/socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <string.h>

bool interfaces_asked(unsigned long request)
{
    /* One number among them is of a socket's queue. */
    return request >= SIOCGIFNAME && request <= SIOCGIFHWADDR + 64 && request != SIOCOUTQNSD;
}

/* ---- the kernel's ---- */

static int ask_kernel(unsigned long request, void *arg)
{
    int fd = REAL(socket)(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? -errno : REAL(ioctl)(fd, request, arg);
    r = r < 0 && fd >= 0 ? -errno : r;
    if (fd >= 0)
        REAL(close)(fd);
    return r;
}

/* ---- a stack's ---- */

/* One instance's. */
struct ports {
    struct dmm_instance_info info;
    struct dmm_interfaces all;
};

static bool on_instance(struct entry *entry, uint32_t instance)
{
    uint32_t n = socket_parts(entry);
    for (uint32_t i = 0; i < n; i++) {
        if (socket_part(entry, i)->instance == instance)
            return true;
    }
    return n == 0;
}

/* The instance's ports, if the socket has to do with it. */
static bool get_ports(struct entry *entry, struct client *client, uint32_t instance,
                      struct ports *ports)
{
    if (!on_instance(entry, instance))
        return false;
    ports->info = policy_instance(client, instance);
    ports->all = policy_interfaces(client, instance);
    return true;
}

static void put_ip4(struct sockaddr *to, const uint8_t ip[4])
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    memcpy(&in.sin_addr, ip, 4);
    memcpy(to, &in, sizeof(in));
}

/* The port's IPv4 address that `wanted` is, else its first; or -1. */
static int find_address(const struct ports *ports, uint32_t port, const struct sockaddr *wanted)
{
    struct sockaddr_in in;
    int found = -1;
    memcpy(&in, wanted, sizeof(in));
    for (uint32_t i = 0; i < ports->info.n_addresses; i++) {
        const struct dmm_addr *addr = &ports->info.addresses[i];
        if (addr->family != AF_INET || ports->all.port[i] != port)
            continue;
        if (in.sin_family == AF_INET && memcmp(addr->ip, &in.sin_addr, 4) == 0)
            return (int)i;
        found = found < 0 ? (int)i : found;
    }
    return found;
}

static int tell_address(const struct ports *ports, uint32_t port, unsigned long request,
                        struct ifreq *one)
{
    int at = find_address(ports, port, &one->ifr_addr);
    if (at < 0)
        return -EADDRNOTAVAIL;
    uint32_t len = ports->all.prefix_len[at];
    uint32_t mask = htonl(len && len <= 32 ? UINT32_MAX << (32 - len) : 0);
    uint32_t ip;
    memcpy(&ip, ports->info.addresses[at].ip, sizeof(ip));
    if (request == SIOCGIFNETMASK)
        ip = mask;
    else if (request == SIOCGIFBRDADDR)
        ip |= ~mask;
    put_ip4(&one->ifr_addr, (const uint8_t *)&ip);
    return 0;
}

/* The port by name, or, for SIOCGIFNAME, by number; or -1. */
static int find_port(const struct ports *ports, unsigned long request, const struct ifreq *one)
{
    if (request == SIOCGIFNAME)
        return one->ifr_ifindex >= 1 && (uint32_t)one->ifr_ifindex <= ports->all.n_ports
                   ? one->ifr_ifindex - 1
                   : -1;
    for (uint32_t i = 0; i < ports->all.n_ports; i++) {
        if (strncmp(ports->all.ports[i].name, one->ifr_name, IFNAMSIZ) == 0)
            return (int)i;
    }
    return -1;
}

static int tell_port(const struct ports *ports, uint32_t port, unsigned long request,
                     struct ifreq *one)
{
    switch (request) {
    case SIOCGIFNAME:
        memcpy(one->ifr_name, ports->all.ports[port].name, IFNAMSIZ);
        return 0;
    case SIOCGIFINDEX:
        one->ifr_ifindex = (int)port + 1;
        return 0;
    case SIOCGIFFLAGS:
        one->ifr_flags = (short)(IFF_UP | IFF_BROADCAST | IFF_MULTICAST |
                                 (ports->all.ports[port].up ? IFF_RUNNING : 0));
        return 0;
    case SIOCGIFMTU:
        one->ifr_mtu = (int)ports->all.ports[port].mtu;
        return 0;
    case SIOCGIFHWADDR:
        memset(&one->ifr_hwaddr, 0, sizeof(one->ifr_hwaddr));
        one->ifr_hwaddr.sa_family = ARPHRD_ETHER;
        memcpy(one->ifr_hwaddr.sa_data, ports->all.ports[port].mac, 6);
        return 0;
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR:
        return tell_address(ports, port, request, one);
    default: /* as an interface that the kernel has without an address */
        return ask_kernel(request, one);
    }
}

/* ---- SIOCGIFCONF ---- */

/* Appends what `ports` has; counts only where there is no buffer. */
static void list_ports(const struct ports *ports, struct ifconf *conf, int room)
{
    for (uint32_t i = 0; i < ports->info.n_addresses; i++) {
        uint32_t port = ports->all.port[i];
        struct ifreq one;
        if (ports->info.addresses[i].family != AF_INET || port >= ports->all.n_ports)
            continue;
        if (conf->ifc_buf && conf->ifc_len + (int)sizeof(one) > room)
            return;
        memset(&one, 0, sizeof(one));
        memcpy(one.ifr_name, ports->all.ports[port].name, IFNAMSIZ);
        put_ip4(&one.ifr_addr, ports->info.addresses[i].ip);
        if (conf->ifc_buf)
            memcpy(conf->ifc_buf + conf->ifc_len, &one, sizeof(one));
        conf->ifc_len += (int)sizeof(one);
    }
}

static int list_all(struct entry *entry, struct client *client, uint32_t n, struct ifconf *conf)
{
    int room = conf->ifc_len;
    struct ports ports;
    int r = ask_kernel(SIOCGIFCONF, conf);
    for (uint32_t i = 1; r == 0 && i < n; i++) {
        if (get_ports(entry, client, i, &ports))
            list_ports(&ports, conf, room);
    }
    return r;
}

int interfaces_tell(struct entry *entry, unsigned long request, void *arg)
{
    struct client *client = client_latest();
    struct ports ports;
    if (!arg)
        return -EFAULT;
    uint32_t n = client ? policy_instances(client) : 0;
    if (request == SIOCGIFCONF)
        return list_all(entry, client, n, arg);
    for (uint32_t i = 1; i < n; i++) {
        int port = get_ports(entry, client, i, &ports) ? find_port(&ports, request, arg) : -1;
        if (port >= 0)
            return tell_port(&ports, (uint32_t)port, request, arg);
    }
    return ask_kernel(request, arg);
}
