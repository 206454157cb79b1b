/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/ethdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_vhost.h>
#include <rte_ethdev.h>
#include <rte_vhost.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define VHOST_RX_VRING 1  /* the driver's transmit queue is what we receive on */
#define TX_UNFREED     32 /* sent buffers that may wait to be freed */
#define RX_OFFLOADS                                                                                \
    (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO |    \
     RTE_ETH_RX_OFFLOAD_SCATTER)
#define TX_OFFLOADS                                                                                \
    (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |    \
     RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)

/* A socket left behind by a process that died must go before DPDK can listen there. */
static int remove_stale(const char *path, struct dmm_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return dmm_err_set(err, errno, "socket: %s", strerror(errno));
    int rc = 0;
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        rc = dmm_err_set(err, EADDRINUSE, "%s: another process listens there", path);
    else if (errno == ECONNREFUSED && unlink(path) && errno != ENOENT)
        rc = dmm_err_set(err, errno, "%s: %s", path, strerror(errno));
    close(fd);
    return rc;
}

static int configure(struct ethdev_port *p, const struct rte_eth_dev_info *info)
{
    uint16_t id = p->dev.id;
    struct rte_eth_conf conf = {0};
    conf.rxmode.mtu = p->data.info.mtu;
    conf.rxmode.offloads = RX_OFFLOADS & info->rx_offload_capa;
    if (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO)
        conf.rxmode.max_lro_pkt_size = info->max_lro_pkt_size;
    conf.txmode.offloads = p->dev.tx_capa;
    conf.intr_conf.rxq = 1;
    int rc = rte_eth_dev_configure(id, 1, 1, &conf);
    if (rc) { /* a device that can't interrupt is polled */
        conf.intr_conf.rxq = 0;
        rc = rte_eth_dev_configure(id, 1, 1, &conf);
    }
    /* virtio_user gives sent buffers back only when it needs room, so all that its queue may hold
     * counts as in use: a short queue, and a threshold that asks for room early. */
    uint16_t n_rx = ETHDEV_QUEUE, n_tx = p->args.virtio_user ? ETHDEV_USER_TX : ETHDEV_QUEUE;
    if (!rc)
        rc = rte_eth_dev_adjust_nb_rx_tx_desc(id, &n_rx, &n_tx);
    if (!rc)
        rc = rte_eth_rx_queue_setup(id, 0, n_rx, (unsigned)SOCKET_ID_ANY, NULL, p->pool);
    struct rte_eth_txconf tx = info->default_txconf;
    if (p->args.virtio_user)
        tx.tx_free_thresh = n_tx - TX_UNFREED;
    if (!rc)
        rc = rte_eth_tx_queue_setup(id, 0, n_tx, (unsigned)SOCKET_ID_ANY, &tx);
    if (!rc)
        rc = rte_eth_dev_start(id);
    return rc;
}

/* On DPDK's thread: a peer came or went. Release: refresh() then sees the link as it is. */
static int link_event(uint16_t id, enum rte_eth_event_type type, void *arg, void *ret)
{
    struct ethdev_port *p = arg;
    (void)id;
    (void)type;
    (void)ret;
    atomic_fetch_add_explicit(&p->link_events, 1, memory_order_release);
    return 0;
}

static void remove_device(uint16_t id)
{
    struct rte_eth_dev_info info;
    int rc = rte_eth_dev_info_get(id, &info);
    (void)rte_eth_dev_close(id);
    if (!rc)
        (void)rte_dev_remove(info.device);
}

void ethdev_dev_close(struct ethdev_port *p)
{
    ethdev_dev_stop(p);
    /* EAGAIN: it runs just now, on a thread of the driver's. */
    while (rte_eth_dev_callback_unregister(p->dev.id, RTE_ETH_EVENT_INTR_LSC, link_event, p) ==
           -EAGAIN)
        sched_yield();
    remove_device(p->dev.id);
}

static bool folder_is_there(const char *socket)
{
    char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    const char *slash = strrchr(socket, '/');
    int n = snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - socket) : 0, socket);
    return n <= 0 || access(folder, F_OK) == 0;
}

static const char *why_none(const struct ethdev_port *p)
{
    if (p->args.vhost_net)
        return ": " DMM_VHOST_NET_DEVICE
               " or /dev/net/tun can't be opened, or the TAP device is not "
               "ours";
    if (p->args.virtio_user && !folder_is_there(p->args.path))
        return ": the folder of its socket is not there: it has to be mounted into the sidecar "
               "(socketsDir of the injector)";
    if (p->args.virtio_user)
        return ": no peer there, or a wrong argument";
    if (!p->args.pci)
        return "";
    return access("/dev/vfio/vfio", R_OK | W_OK)
               ? ": /dev/vfio/vfio can't be opened"
               : ": not bound to vfio-pci, no access to its group in /dev/vfio, too little memory "
                 "may be locked (RLIMIT_MEMLOCK), or no driver for it is linked";
}

int ethdev_dev_open(struct ethdev_port *p, struct dmm_err *err)
{
    struct ethdev_dev *dev = &p->dev;
    if (p->args.listens) {
        int rc = remove_stale(p->args.path, err);
        if (rc)
            return rc;
    }
    int rc = rte_dev_probe(p->args.args);
    if (!rc)
        rc = rte_eth_dev_get_port_by_name(p->args.name, &dev->id);
    if (rc) /* the drivers say -1 for whatever it was; DPDK's own words are in the debug log */
        return dmm_err_set(err, ENODEV, "DPDK makes no device of \"%s\"%s", p->args.args,
                           why_none(p));
    struct rte_eth_dev_info info;
    rc = rte_eth_dev_info_get(dev->id, &info);
    if (!rc) {
        dev->tx_capa = TX_OFFLOADS & info.tx_offload_capa;
        rc = rte_eth_dev_callback_register(dev->id, RTE_ETH_EVENT_INTR_LSC, link_event, p);
    }
    if (!rc)
        rc = configure(p, &info);
    struct rte_ether_addr mac;
    if (!rc)
        rc = rte_eth_macaddr_get(dev->id, &mac);
    if (rc) {
        ethdev_dev_close(p);
        return dmm_err_set(err, -rc, "DPDK: %s: set-up: %s", p->args.args, strerror(-rc));
    }
    memcpy(dev->mac, mac.addr_bytes, sizeof(dev->mac));
    return 0;
}

/* The vhost driver offers all; what counts is what its peer took. */
static uint64_t agreed_with_peer(uint16_t id)
{
    uint64_t features = 0, capa = 0;
    int vid = rte_eth_vhost_get_vid_from_port_id(id);
    if (vid < 0 || rte_vhost_get_negotiated_features(vid, &features))
        return 0;
    if (features & (1ULL << VIRTIO_NET_F_GUEST_CSUM))
        capa |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    if ((features & (1ULL << VIRTIO_NET_F_GUEST_TSO4)) &&
        (features & (1ULL << VIRTIO_NET_F_GUEST_TSO6)))
        capa |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
    return capa;
}

uint32_t ethdev_dev_offloads(const struct ethdev_port *p)
{
    uint64_t capa = p->args.vhost ? agreed_with_peer(p->dev.id) : p->dev.tx_capa;
    const uint64_t csum = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    if ((capa & csum) != csum)
        return 0;
    uint32_t offloads = DMM_OFFLOAD_TX_CSUM;
    if (capa & RTE_ETH_TX_OFFLOAD_TCP_TSO)
        offloads |= DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6;
    return offloads;
}

bool ethdev_dev_link(const struct ethdev_port *p)
{
    struct rte_eth_link link;
    return rte_eth_link_get_nowait(p->dev.id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

/* The eventfd that the other end writes; borrowed. For vhost not what ethdev gives: that is an
 * epoll around it, which can't be read empty. */
static int kick_fd(const struct ethdev_port *p)
{
    struct rte_vhost_vring vring;
    if (!p->args.vhost)
        return rte_eth_dev_rx_intr_ctl_q_get_fd(p->dev.id, 0);
    int vid = rte_eth_vhost_get_vid_from_port_id(p->dev.id);
    return vid >= 0 && rte_vhost_get_vhost_vring(vid, VHOST_RX_VRING, &vring) == 0 ? vring.kickfd
                                                                                   : -1;
}

void ethdev_dev_watch(struct ethdev_port *p)
{
    struct epoll_event event = {.events = EPOLLIN};
    ethdev_dev_unwatch(p);
    /* A duplicate is ours: DPDK closes its own whenever the peer goes, and the number may by then
     * be another file's. */
    int fd = fcntl(kick_fd(p), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* It is read empty in disarm(); the other end only writes. */
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
        epoll_ctl(p->wait_fd, EPOLL_CTL_ADD, fd, &event)) {
        close(fd);
        return;
    }
    p->dev.intr_fd = fd;
}

void ethdev_dev_unwatch(struct ethdev_port *p)
{
    if (p->dev.intr_fd < 0)
        return;
    /* The file may live on in DPDK: closing our number alone would leave it in the epoll. */
    (void)epoll_ctl(p->wait_fd, EPOLL_CTL_DEL, p->dev.intr_fd, NULL);
    close(p->dev.intr_fd);
    p->dev.intr_fd = -1;
}
