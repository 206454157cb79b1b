/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/packet.h"

#include <errno.h>
#include <net/ethernet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Merged frames wait in the socket's buffer; the kernel cuts this to net.core.rmem_max unless we
 * have CAP_NET_ADMIN. */
#define SOCKET_BUFFER (4 << 20)
/* Above this the kernel segments in software before the device (its own legacy limit). */
#define MAX_GSO_SIZE 65535
#define IDLE_ARMS    16 /* sleeps in a row that brought no frame, before an error is looked for */

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

static struct packet_port *packet_of(struct dmm_port *port)
{
    return (struct packet_port *)port;
}

/* The socket was made with protocol 0, so until here it got no frame, of this interface or another:
 * options and ring were there first. */
static int bind_to(const struct packet_port *p, int ifindex)
{
    struct sockaddr_ll ll = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex};
    return bind(p->fd, (struct sockaddr *)&ll, sizeof(ll)) ? -errno : 0;
}

/* UDP segmentation in the vnet header came with Linux 6.2 (VIRTIO_NET_HDR_GSO_UDP_L4). */
static bool kernel_has_uso(void)
{
    struct utsname u;
    if (uname(&u))
        return false;
    char *end;
    unsigned long major = strtoul(u.release, &end, 10);
    unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    return major > 6 || (major == 6 && minor >= 2);
}

static void set_buffer(int fd, int force, int plain)
{
    int size = SOCKET_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)))
        (void)setsockopt(fd, SOL_SOCKET, plain, &size, sizeof(size)); /* cut, never refused */
}

static int set_options(const struct packet_port *p, struct dmm_err *err)
{
    static const struct {
        int name;
        const char *text;
    } options[] = {{PACKET_VNET_HDR, "PACKET_VNET_HDR"},
                   {PACKET_IGNORE_OUTGOING, "PACKET_IGNORE_OUTGOING"}};
    for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        int on = 1;
        if (setsockopt(p->fd, SOL_PACKET, options[i].name, &on, sizeof(on)))
            return dmm_err_set(err, errno, "port %s: %s: %s", p->data.info.name, options[i].text,
                               strerror(errno));
    }
    set_buffer(p->fd, SO_RCVBUFFORCE, SO_RCVBUF);
    set_buffer(p->fd, SO_SNDBUFFORCE, SO_SNDBUF);
    return 0;
}

static int open_socket(struct packet_port *p, struct dmm_err *err)
{
    const char *name = p->data.info.name;
    p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return dmm_err_set(err, errno, "port %s: packet socket: %s%s", name, strerror(errno),
                           errno == EPERM ? " (CAP_NET_RAW is needed)" : "");
    int rc = dmm_iface_read(p->fd, &p->data.info, &p->wish);
    if (rc == -EMEDIUMTYPE)
        return dmm_err_set(err, EMEDIUMTYPE, "port %s: not an Ethernet interface", name);
    if (rc)
        return dmm_err_set(err, -rc, "port %s: interface: %s", name, strerror(-rc));
    rc = set_options(p, err);
    if (rc)
        return rc;
    rc = packet_rx_init(p);
    if (!rc)
        rc = packet_tx_init(p);
    if (rc)
        return dmm_err_set(err, -rc, "port %s: packet ring: %s", name, strerror(-rc));
    int ifindex = dmm_iface_index(p->fd, name);
    rc = ifindex ? bind_to(p, ifindex) : -ENODEV;
    if (rc)
        return dmm_err_set(err, -rc, "port %s: bind: %s", name, strerror(-rc));
    p->ifindex = ifindex;
    return 0;
}

static void packet_destroy(struct dmm_port *port)
{
    struct packet_port *p = packet_of(port);
    packet_rx_destroy(p);
    if (p->fd >= 0)
        close(p->fd);
    free(p->tx);
    free(p);
}

static int packet_create(struct dmm_port **port, const struct dmm_port_config *config,
                         struct dmm_err *err)
{
    struct packet_port *p = calloc(1, sizeof(*p));
    if (!p)
        return dmm_err_set(err, ENOMEM, "port %s: out of memory", config->ifname);
    p->port.ops = &dmm_port_packet_ops;
    p->fd = -1;
    p->wish = (struct dmm_iface_wish){
        .mtu = config->mtu,
        .any_mac = dmm_port_any_mac(config),
    };
    dmm_port_data_init(&p->data, config);
    p->data.info.max_gso_size = MAX_GSO_SIZE;
    p->data.info.offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6 |
                            (kernel_has_uso() ? DMM_OFFLOAD_USO : 0U);
    int rc = open_socket(p, err);
    if (rc) {
        packet_destroy(&p->port);
        return rc;
    }
    *port = &p->port;
    return 0;
}

static unsigned packet_receive(struct dmm_port *port, struct dmm_frame *frames, unsigned max)
{
    struct packet_port *p = packet_of(port);
    packet_rx_release(p);
    unsigned n = packet_rx_frames(p, frames, max);
    if (n)
        p->idle_arms = 0;
    return n;
}

static int packet_transmit(struct dmm_port *port, const struct dmm_tx_frame *frame)
{
    return packet_tx_frame(packet_of(port), frame);
}

static bool packet_flush(struct dmm_port *port)
{
    return packet_tx_flush(packet_of(port));
}

static bool packet_arm(struct dmm_port *port)
{
    struct packet_port *p = packet_of(port);
    /* The kernel calls the fd readable as long as we hold the last slot that it filled. */
    packet_rx_release(p);
    /* An error kept by the socket (the interface went down) would wake us for ever. To look each
     * time would be a system call for each sleep: it is asked for only when nothing else seems to
     * wake us. */
    if (++p->idle_arms >= IDLE_ARMS) {
        int error;
        socklen_t len = sizeof(error);
        (void)getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        p->idle_arms = 0;
    }
    return packet_rx_ready(p);
}

static void packet_disarm(struct dmm_port *port)
{
    (void)port; /* the kernel wakes nobody who does not wait */
}

static int packet_wait_fd(struct dmm_port *port)
{
    return packet_of(port)->fd;
}

/* An interface of our name came back under another index, or went. */
static void follow_interface(struct packet_port *p)
{
    int ifindex = dmm_iface_index(p->fd, p->data.info.name);
    if (ifindex != p->ifindex && ifindex && bind_to(p, ifindex))
        ifindex = 0; /* gone again; the next refresh sees */
    p->ifindex = ifindex;
}

static bool packet_refresh(struct dmm_port *port)
{
    struct packet_port *p = packet_of(port);
    struct dmm_port_info *info = &p->data.info;
    struct dmm_port_info old = *info;
    old.up |= p->went_down;
    p->went_down = false;
    follow_interface(p);
    if (!p->ifindex || dmm_iface_read(p->fd, info, &p->wish))
        info->up = false;
    return dmm_iface_changed(&old, info);
}

static const struct dmm_port_info *packet_info(struct dmm_port *port)
{
    return &packet_of(port)->data.info;
}

static void packet_stats(struct dmm_port *port, struct dmm_port_stats *stats)
{
    struct packet_port *p = packet_of(port);
    struct tpacket_stats kernel; /* since the last time it was asked */
    socklen_t len = sizeof(kernel);
    if (getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &kernel, &len) == 0)
        p->stats.rx_dropped += kernel.tp_drops;
    *stats = p->stats;
}

const struct dmm_port_ops dmm_port_packet_ops = {
    .kind = DMM_PORT_PACKET,
    .create = packet_create,
    .destroy = packet_destroy,
    .receive = packet_receive,
    .transmit = packet_transmit,
    .flush = packet_flush,
    .arm = packet_arm,
    .disarm = packet_disarm,
    .wait_fd = packet_wait_fd,
    .refresh = packet_refresh,
    .info = packet_info,
    .stats = packet_stats,
};
