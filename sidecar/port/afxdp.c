/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/afxdp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A frame's room: what the kernel leaves before it, our two bytes, the Ethernet header and a tag.
 */
#define BUFFER_OVERHEAD (256 + 2 + DMM_ETH_HLEN + 4)
#define BUFFER_SMALL    2048U
#define BUFFER_LARGE    4096U /* a page: AF_XDP has no larger ones */

static struct afxdp_port *afxdp_of(struct dmm_port *port)
{
    return (struct afxdp_port *)port;
}

static const char *hint(int rc, const char *what, const char *map_path)
{
    if (what == map_path)
        return rc == -ENOENT   ? " (the sidecar sees no pinned map there: --bpf-dir)"
               : rc == -EACCES ? " (sidecar.uid of the CNI configuration is not ours)"
               : rc == -EPERM  ? " (the kernel lets us not use bpf(2): seccomp, or older than 5.19)"
                               : "";
    if (rc == -EPERM)
        return what == afxdp_busy_poll ? " (link.busyPoll: CAP_NET_ADMIN is needed)"
                                       : " (CAP_NET_RAW is needed)";
    return rc == -ENOBUFS ? " (RLIMIT_MEMLOCK is too low)" : "";
}

static int bring_up(struct afxdp_port *p, struct dmm_err *err)
{
    const char *name = p->data.info.name;
    const char *what = name;
    p->query_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    p->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->query_fd < 0 || p->wait_fd < 0)
        return dmm_err_set(err, errno, "port %s: %s", name, strerror(errno));
    int rc = dmm_iface_read(p->query_fd, &p->data.info, &p->wish);
    if (rc)
        return dmm_err_set(err, -rc, "port %s: interface: %s", name, strerror(-rc));
    if (p->data.info.mtu + BUFFER_OVERHEAD > BUFFER_LARGE)
        return dmm_err_set(err, EMSGSIZE, "port %s: mtu %u: AF_XDP has room for %u", name,
                           p->data.info.mtu, BUFFER_LARGE - BUFFER_OVERHEAD);
    p->buffer_bytes =
        p->data.info.mtu + BUFFER_OVERHEAD <= BUFFER_SMALL ? BUFFER_SMALL : BUFFER_LARGE;
    p->ifindex = dmm_iface_index(p->query_fd, name);
    rc = afxdp_open(p, true, &what);
    return rc ? dmm_err_set(err, -rc, "port %s: %s: %s%s", name, what, strerror(-rc),
                            hint(rc, what, p->map_path))
              : 0;
}

static void afxdp_destroy(struct dmm_port *port)
{
    struct afxdp_port *p = afxdp_of(port);
    afxdp_close(p);
    if (p->query_fd >= 0)
        close(p->query_fd);
    if (p->wait_fd >= 0)
        close(p->wait_fd);
    free(p->sockets);
    free(p);
}

static int afxdp_create(struct dmm_port **port, const struct dmm_port_config *config,
                        struct dmm_err *err)
{
    struct afxdp_port *p = calloc(1, sizeof(*p));
    struct afxdp_socket *sockets = calloc(config->queues, sizeof(*sockets));
    if (!p || !sockets) {
        free(p);
        free(sockets);
        return dmm_err_set(err, ENOMEM, "port %s: out of memory", config->ifname);
    }
    p->port.ops = &dmm_port_afxdp_ops;
    p->query_fd = p->wait_fd = -1;
    p->sockets = sockets;
    p->n_queues = config->queues;
    p->busy_poll_us = (int)config->busy_poll_us;
    p->busy_budget = (int)config->busy_budget;
    memcpy(p->map_path, config->xsk_map, sizeof(p->map_path));
    p->wish = (struct dmm_iface_wish){
        .mtu = config->mtu,
        .any_mac = dmm_port_any_mac(config),
    };
    dmm_port_data_init(&p->data, config);
    int rc = bring_up(p, err);
    if (rc) {
        afxdp_destroy(&p->port);
        return rc;
    }
    *port = &p->port;
    return 0;
}

static unsigned afxdp_port_receive(struct dmm_port *port, struct dmm_frame *frames, unsigned max)
{
    struct afxdp_port *p = afxdp_of(port);
    unsigned n = 0;
    for (unsigned i = 0; i < p->n_open; i++)
        afxdp_release(&p->sockets[i]);
    for (unsigned i = 0; i < p->n_open && n < max; i++) {
        struct afxdp_socket *s = &p->sockets[p->next++ % p->n_open];
        if (p->busy_poll_us && !afxdp_pending(s))
            afxdp_poll_driver(s);
        n += afxdp_receive(p, s, frames + n, max - n);
    }
    return n;
}

static int afxdp_transmit(struct dmm_port *port, const struct dmm_tx_frame *frame)
{
    struct afxdp_port *p = afxdp_of(port);
    uint32_t len;
    int rc = dmm_tx_frame_check(frame, &p->data.info, &len);
    if (rc)
        return rc;
    if (!p->data.info.up || !p->n_open)
        return -ENETDOWN;
    rc = afxdp_send(p, &p->sockets[0], frame, len);
    if (rc) {
        afxdp_flush(p, &p->sockets[0]);
        rc = afxdp_send(p, &p->sockets[0], frame, len);
    }
    if (rc)
        p->stats.tx_full++;
    return rc;
}

static bool afxdp_port_flush(struct dmm_port *port)
{
    struct afxdp_port *p = afxdp_of(port);
    return !p->n_open || afxdp_flush(p, &p->sockets[0]);
}

static bool afxdp_arm(struct dmm_port *port)
{
    struct afxdp_port *p = afxdp_of(port);
    bool pending = false;
    for (unsigned i = 0; i < p->n_open; i++) {
        afxdp_release(&p->sockets[i]);
        pending |= afxdp_pending(&p->sockets[i]);
    }
    return pending;
}

static void afxdp_disarm(struct dmm_port *port)
{
    (void)port; /* the kernel wakes nobody who does not wait */
}

static int afxdp_wait_fd(struct dmm_port *port)
{
    return afxdp_of(port)->wait_fd;
}

/* An interface of our name came back under another index, or went. */
static void follow_interface(struct afxdp_port *p)
{
    const char *what;
    int ifindex = dmm_iface_index(p->query_fd, p->data.info.name);
    if (ifindex == p->ifindex && p->n_open)
        return;
    afxdp_close(p);
    p->ifindex = ifindex;
    if (ifindex)
        (void)afxdp_open(p, false, &what); /* not ready yet: the next refresh() tries again */
}

static bool afxdp_refresh(struct dmm_port *port)
{
    struct afxdp_port *p = afxdp_of(port);
    struct dmm_port_info *info = &p->data.info;
    struct dmm_port_info old = *info;
    old.up |= p->went_down;
    p->went_down = false;
    follow_interface(p);
    if (!p->n_open || dmm_iface_read(p->query_fd, info, &p->wish))
        info->up = false;
    if (info->mtu + BUFFER_OVERHEAD > p->buffer_bytes)
        info->mtu = p->buffer_bytes - BUFFER_OVERHEAD; /* what our buffers hold */
    return dmm_iface_changed(&old, info);
}

static const struct dmm_port_info *afxdp_info(struct dmm_port *port)
{
    return &afxdp_of(port)->data.info;
}

static void afxdp_stats(struct dmm_port *port, struct dmm_port_stats *stats)
{
    struct afxdp_port *p = afxdp_of(port);
    *stats = p->stats;
    for (unsigned i = 0; i < p->n_open; i++) {
        struct xdp_statistics kernel = {0}; /* since the socket was made */
        socklen_t len = sizeof(kernel);
        if (getsockopt(p->sockets[i].fd, SOL_XDP, XDP_STATISTICS, &kernel, &len))
            continue;
        /* Those without a buffer to go to are among the dropped. */
        stats->rx_dropped += kernel.rx_dropped + kernel.rx_ring_full;
        stats->tx_errors += kernel.tx_invalid_descs;
    }
}

const struct dmm_port_ops dmm_port_afxdp_ops = {
    .kind = DMM_PORT_AFXDP,
    .create = afxdp_create,
    .destroy = afxdp_destroy,
    .receive = afxdp_port_receive,
    .transmit = afxdp_transmit,
    .flush = afxdp_port_flush,
    .arm = afxdp_arm,
    .disarm = afxdp_disarm,
    .wait_fd = afxdp_wait_fd,
    .refresh = afxdp_refresh,
    .info = afxdp_info,
    .stats = afxdp_stats,
};
