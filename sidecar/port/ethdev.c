/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/ethdev.h"

#include "sidecar/port/ethdev_eal.h"

#include <errno.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEFAULT_MTU 1500

static struct ethdev_port *ethdev_of(struct dmm_port *port)
{
    return (struct ethdev_port *)port;
}

/* True if the device is ours to use; acquire: as the keeper set it up. */
static bool ours(struct ethdev_port *p)
{
    return atomic_load_explicit(&p->owner, memory_order_acquire) == ETHDEV_WORKER;
}

/* ---- create, destroy ---- */

static int make_pools(struct ethdev_port *p, unsigned number, struct dmm_err *err)
{
    char name[32];
    snprintf(name, sizeof(name), "dmm%u", number);
    uint32_t room = p->data.info.mtu + DMM_ETH_HLEN + 4;
    if (room < RTE_MBUF_DEFAULT_DATAROOM)
        room = RTE_MBUF_DEFAULT_DATAROOM;
    if (room > UINT16_MAX - RTE_PKTMBUF_HEADROOM)
        return dmm_err_set(err, EINVAL, "port %s: mtu %u is too large", p->data.info.name,
                           p->data.info.mtu);
    p->pool = rte_pktmbuf_pool_create(name, ETHDEV_MBUFS, ETHDEV_CACHE, 0,
                                      (uint16_t)(room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
    snprintf(name, sizeof(name), "dmm%u-big", number);
    uint32_t big_room = p->args.packed ? ETHDEV_PACKED_BIG_ROOM : ETHDEV_BIG_ROOM;
    unsigned n_big = p->args.packed ? ETHDEV_PACKED_BIG_MBUFS : ETHDEV_BIG_MBUFS;
    if (p->pool)
        p->big =
            rte_pktmbuf_pool_create(name, n_big, ETHDEV_BURST, 0,
                                    (uint16_t)(big_room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
    return p->big ? 0
                  : dmm_err_set(err, rte_errno, "port %s: packet buffers: %s", p->data.info.name,
                                strerror(rte_errno));
}

static int make_memory(struct ethdev_port *p, struct dmm_err *err)
{
    p->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->wait_fd < 0)
        return dmm_err_set(err, errno, "port %s: epoll: %s", p->data.info.name, strerror(errno));
    void *gather = mmap(NULL, ETHDEV_GATHER * ETHDEV_GATHER_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (gather == MAP_FAILED)
        return dmm_err_set(err, errno, "port %s: memory: %s", p->data.info.name, strerror(errno));
    p->rx.gather = gather;
    return 0;
}

static void ethdev_destroy(struct dmm_port *port)
{
    struct ethdev_port *p = ethdev_of(port);
    ethdev_keeper_stop(p);
    ethdev_io_drop(p);
    ethdev_dev_unwatch(p);
    if (ours(p))
        ethdev_dev_close(p);
    rte_mempool_free(p->pool);
    rte_mempool_free(p->big);
    if (p->rx.gather)
        munmap(p->rx.gather, ETHDEV_GATHER * ETHDEV_GATHER_SIZE);
    if (p->wait_fd >= 0)
        close(p->wait_fd);
    free(p);
}

static int bring_up(struct ethdev_port *p, const char *devargs, struct dmm_err *err)
{
    /* Devices made by this process so far: DPDK wants names of their own. Relaxed: a number. */
    static _Atomic unsigned next_number;
    unsigned number = atomic_fetch_add_explicit(&next_number, 1, memory_order_relaxed);
    int rc = ethdev_args_parse(&p->args, devargs, number, err);
    if (!rc)
        rc = dmm_eal_start(err);
    if (rc)
        return dmm_err_prefix(err, "port %s", p->data.info.name);
    rc = make_memory(p, err);
    if (!rc)
        rc = make_pools(p, number, err);
    if (rc)
        return rc;
    if (p->args.kept)
        return ethdev_keeper_start(p, err);
    rc = ethdev_dev_open(p, err);
    if (rc)
        return dmm_err_prefix(err, "port %s", p->data.info.name);
    atomic_store_explicit(&p->owner, ETHDEV_WORKER, memory_order_release);
    return 0;
}

static int ethdev_create(struct dmm_port **port, const struct dmm_port_config *config,
                         struct dmm_err *err)
{
    struct ethdev_port *p = calloc(1, sizeof(*p));
    if (!p)
        return dmm_err_set(err, ENOMEM, "port %s: out of memory", config->ifname);
    p->port.ops = &dmm_port_ethdev_ops;
    p->wait_fd = -1;
    p->dev.intr_fd = -1;
    p->any_mac = dmm_port_any_mac(config);
    p->socket_mode = config->socket_mode;
    p->socket_gid = config->has_socket_gid ? (int64_t)config->socket_gid : -1;
    dmm_port_data_init(&p->data, config);
    if (!p->data.info.mtu)
        p->data.info.mtu = DEFAULT_MTU;
    /* Threads that DPDK or we make here take no signals: those are the program's. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = bring_up(p, config->devargs, err);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        ethdev_destroy(&p->port);
        return rc;
    }
    *port = &p->port;
    return 0;
}

/* ---- the worker's ---- */

static unsigned ethdev_receive(struct dmm_port *port, struct dmm_frame *frames, unsigned max)
{
    struct ethdev_port *p = ethdev_of(port);
    if (!p->data.info.up) {
        ethdev_io_release(p);
        return 0;
    }
    return ethdev_io_receive(p, frames, max);
}

static int ethdev_transmit(struct dmm_port *port, const struct dmm_tx_frame *frame)
{
    struct ethdev_port *p = ethdev_of(port);
    return p->data.info.up ? ethdev_io_transmit(p, frame) : -ENETDOWN;
}

static bool ethdev_flush(struct dmm_port *port)
{
    struct ethdev_port *p = ethdev_of(port);
    return p->data.info.up ? ethdev_io_flush(p) : true;
}

static bool ethdev_arm(struct dmm_port *port)
{
    struct ethdev_port *p = ethdev_of(port);
    return p->data.info.up ? ethdev_io_arm(p) : false;
}

static void ethdev_disarm(struct dmm_port *port)
{
    struct ethdev_port *p = ethdev_of(port);
    if (p->data.info.up)
        ethdev_io_disarm(p);
}

static int ethdev_wait_fd(struct dmm_port *port)
{
    const struct ethdev_port *p = ethdev_of(port);
    return p->args.polled ? -1 : p->wait_fd;
}

static void came_up(struct ethdev_port *p)
{
    struct dmm_port_info *info = &p->data.info;
    dmm_eal_adopt();
    if (p->any_mac)
        memcpy(info->mac, p->dev.mac, sizeof(info->mac));
    info->offloads = ethdev_dev_offloads(p);
    info->max_gso_size = info->offloads & DMM_OFFLOAD_TSO4 ? ETHDEV_MAX_GSO : 0;
    ethdev_dev_watch(p);
}

static bool ethdev_refresh(struct dmm_port *port)
{
    struct ethdev_port *p = ethdev_of(port);
    ethdev_socket_settle(p);
    if (!ours(p))
        return false;
    /* First the count, then the link: a change after the first is seen next time. */
    unsigned events = atomic_load_explicit(&p->link_events, memory_order_acquire);
    bool up = ethdev_dev_link(p);
    bool changed = up != p->data.info.up || events != p->seen_events;
    p->seen_events = events;
    p->data.info.up = up;
    if (changed && up)
        came_up(p);
    if (!up) {
        ethdev_dev_unwatch(p);
        ethdev_io_drop(p);
        if (p->has_keeper)
            ethdev_keeper_return(p);
    }
    return changed;
}

static const struct dmm_port_info *ethdev_info(struct dmm_port *port)
{
    return &ethdev_of(port)->data.info;
}

static void ethdev_stats(struct dmm_port *port, struct dmm_port_stats *stats)
{
    *stats = ethdev_of(port)->stats;
}

const struct dmm_port_ops dmm_port_ethdev_ops = {
    .kind = DMM_PORT_ETHDEV,
    .create = ethdev_create,
    .destroy = ethdev_destroy,
    .receive = ethdev_receive,
    .transmit = ethdev_transmit,
    .flush = ethdev_flush,
    .arm = ethdev_arm,
    .disarm = ethdev_disarm,
    .wait_fd = ethdev_wait_fd,
    .refresh = ethdev_refresh,
    .info = ethdev_info,
    .stats = ethdev_stats,
};
