/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap: the port of a TAP device that the CNI plugin made for this user (cni/link/tap.c): opened by
 * name through /dev/net/tun, with a virtio header before each frame, as the packet port has it.
 *
 * The device gives and takes one frame a system call. Frames are read one behind another into one
 * buffer, so that small ones stay in the cache; nothing that is sent waits, so flush() has nothing
 * to do.
 *
 * Invariants
 *   - fd is -1 while the device is gone; wait_fd is an epoll that holds fd, so it keeps its number,
 *     and stays silent without.
 *   - The device is never made here, only taken: a sidecar with CAP_NET_ADMIN would make one that
 *     leads nowhere.
 *
 * Threads: as port.h says, the port's worker.
 */
#include "sidecar/port/frame.h"
#include "sidecar/port/iface.h"
#include "sidecar/port/port.h"
#include "sidecar/port/vnet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* UDP segmentation, Linux 6.2; Debian 12's header does not name it yet. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define DEVICE       "/dev/net/tun"
#define BUFFER_BYTES (512U << 10)
#define FRAME_BYTES  (64U * 1024 + 256) /* the largest one; pages not touched cost no memory */
#define ALIGN        64U
#define PAD          2U /* the L3 header at a multiple of 16: 14 + 2 */
#define MAX_GSO_SIZE 65535

struct tap_port {
    struct dmm_port port;
    struct dmm_port_data data;
    struct dmm_port_stats stats;
    int fd;       /* the device */
    int query_fd; /* a socket to ask about it */
    int wait_fd;
    struct dmm_iface_wish wish;
    bool drained;   /* the last receive() read all that there was */
    bool went_down; /* the device said so: the next refresh() reports a change */
    uint8_t *buffer;
};

static struct tap_port *tap_of(struct dmm_port *port)
{
    return (struct tap_port *)port;
}

/* ---- the device ---- */

/* What it may give us besides plain frames. What it takes does not depend on it, but a kernel that
 * knows UDP segmentation here takes it too. */
static int set_offloads(int fd, uint32_t *offloads)
{
    const unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    *offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6;
    if (!ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6)) {
        *offloads |= DMM_OFFLOAD_USO;
        return 0;
    }
    return ioctl(fd, TUNSETOFFLOAD, tcp) ? -errno : 0;
}

/* Takes the device into p->fd and the epoll. `what` says which step a negative errno is of. */
static int attach(struct tap_port *p, const char **what)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int header = sizeof(struct virtio_net_hdr);
    struct epoll_event event = {.events = EPOLLIN};
    memcpy(ifr.ifr_name, p->data.info.name, sizeof(ifr.ifr_name) - 1);
    *what = "interface";
    if (!dmm_iface_index(p->query_fd, ifr.ifr_name))
        return -ENODEV;
    *what = DEVICE;
    int fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = 0;
    *what = "attach to the TAP device";
    if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &header))
        rc = -errno;
    if (!rc)
        rc = set_offloads(fd, &p->data.info.offloads);
    if (!rc && epoll_ctl(p->wait_fd, EPOLL_CTL_ADD, fd, &event))
        rc = -errno;
    if (rc)
        close(fd);
    else
        p->fd = fd;
    return rc;
}

/* It was deleted: whoever makes it anew makes another one. */
static void detach(struct tap_port *p)
{
    if (p->fd >= 0)
        close(p->fd); /* leaves the epoll too */
    p->fd = -1;
    p->went_down |= p->data.info.up;
    p->data.info.up = false;
}

static const char *hint(int rc)
{
    switch (-rc) {
    case EPERM:
        return " (its owner and group are not ours: sidecar.uid and sidecar.gid of the CNI "
               "configuration)";
    case EBUSY:
        return " (another process has it)";
    case ENOENT:
        return " (the container needs this device)";
    default:
        return "";
    }
}

static int bring_up(struct tap_port *p, struct dmm_err *err)
{
    const char *name = p->data.info.name;
    const char *what;
    p->query_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    p->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->query_fd < 0 || p->wait_fd < 0)
        return dmm_err_set(err, errno, "port %s: %s", name, strerror(errno));
    void *buffer =
        mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return dmm_err_set(err, errno, "port %s: memory: %s", name, strerror(errno));
    p->buffer = buffer;
    int rc = attach(p, &what);
    if (rc)
        return dmm_err_set(err, -rc, "port %s: %s: %s%s", name, what, strerror(-rc), hint(rc));
    rc = dmm_iface_read(p->query_fd, &p->data.info, &p->wish);
    return rc ? dmm_err_set(err, -rc, "port %s: interface: %s", name, strerror(-rc)) : 0;
}

static void tap_destroy(struct dmm_port *port)
{
    struct tap_port *p = tap_of(port);
    detach(p);
    if (p->query_fd >= 0)
        close(p->query_fd);
    if (p->wait_fd >= 0)
        close(p->wait_fd);
    if (p->buffer)
        munmap(p->buffer, BUFFER_BYTES);
    free(p);
}

static int tap_create(struct dmm_port **port, const struct dmm_port_config *config,
                      struct dmm_err *err)
{
    struct tap_port *p = calloc(1, sizeof(*p));
    if (!p)
        return dmm_err_set(err, ENOMEM, "port %s: out of memory", config->ifname);
    p->port.ops = &dmm_port_tap_ops;
    p->fd = p->query_fd = p->wait_fd = -1;
    p->wish = (struct dmm_iface_wish){
        .mtu = config->mtu,
        .any_mac = dmm_port_any_mac(config),
    };
    dmm_port_data_init(&p->data, config);
    p->data.info.max_gso_size = MAX_GSO_SIZE;
    int rc = bring_up(p, err);
    if (rc) {
        tap_destroy(&p->port);
        return rc;
    }
    *port = &p->port;
    return 0;
}

/* ---- frames ---- */

/* EBADFD: the device was deleted. EIO: it is down. */
static void device_failed(struct tap_port *p, int error)
{
    if (error == EBADFD) {
        detach(p);
    } else if (error == EIO && p->data.info.up) {
        p->data.info.up = false;
        p->went_down = true;
    }
}

/* One frame to `data`. False: there is none. */
static bool read_frame(struct tap_port *p, uint8_t *data, struct dmm_frame *frame, bool *good)
{
    struct virtio_net_hdr vnet;
    struct iovec iov[2] = {{&vnet, sizeof(vnet)}, {data, FRAME_BYTES - PAD}};
    ssize_t got = readv(p->fd, iov, 2);
    if (got < 0) {
        if (errno != EAGAIN)
            device_failed(p, errno);
        return false;
    }
    *frame = (struct dmm_frame){.data = data};
    *good = got > (ssize_t)sizeof(vnet);
    if (*good)
        frame->len = (uint32_t)((size_t)got - sizeof(vnet));
    /* Never more than asked for: the kernel says the frame's length, not what it wrote. */
    *good = *good && frame->len <= iov[1].iov_len && !dmm_vnet_to_frame(&vnet, frame);
    return true;
}

static unsigned tap_receive(struct dmm_port *port, struct dmm_frame *frames, unsigned max)
{
    struct tap_port *p = tap_of(port);
    unsigned n = 0;
    size_t used = 0;
    p->drained = p->fd < 0;
    /* Frames looked at are bounded too: a flood of frames for others must not hold the worker. */
    for (unsigned seen = 0; seen < max && p->fd >= 0 && used + FRAME_BYTES <= BUFFER_BYTES;
         seen++) {
        bool good;
        if (!read_frame(p, p->buffer + used + PAD, &frames[n], &good)) {
            p->drained = true;
            break;
        }
        if (!good) {
            p->stats.rx_bad++;
            continue;
        }
        if (!dmm_frame_for_us(frames[n].data, p->data.info.mac))
            continue;
        used = (used + PAD + frames[n].len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
        p->stats.rx_bytes += frames[n].len;
        n++;
    }
    p->stats.rx_frames += n;
    return n;
}

static int tap_transmit(struct dmm_port *port, const struct dmm_tx_frame *frame)
{
    struct tap_port *p = tap_of(port);
    uint32_t len;
    struct virtio_net_hdr vnet;
    struct iovec iov[1 + DMM_TX_IOV] = {{&vnet, sizeof(vnet)}};
    int rc = dmm_tx_frame_check(frame, &p->data.info, &len);
    if (rc)
        return rc;
    if (!p->data.info.up)
        return -ENETDOWN;
    dmm_vnet_from_tx(&vnet, frame);
    for (unsigned i = 0; i < frame->n_iov; i++)
        iov[1 + i] = frame->iov[i];
    if (writev(p->fd, iov, 1 + (int)frame->n_iov) >= 0) {
        p->stats.tx_frames++;
        p->stats.tx_bytes += len;
        return 0;
    }
    if (errno == EAGAIN) {
        p->stats.tx_full++;
        return -EAGAIN;
    }
    device_failed(p, errno);
    if (!p->data.info.up)
        return -ENETDOWN;
    p->stats.tx_errors++;
    return 0;
}

static bool tap_flush(struct dmm_port *port)
{
    (void)port; /* nothing waits */
    return true;
}

/* ---- sleeping, state ---- */

static bool tap_arm(struct dmm_port *port)
{
    return !tap_of(port)->drained; /* what came since makes wait_fd readable */
}

static void tap_disarm(struct dmm_port *port)
{
    (void)port; /* the kernel wakes nobody who does not wait */
}

static int tap_wait_fd(struct dmm_port *port)
{
    return tap_of(port)->wait_fd;
}

static bool tap_refresh(struct dmm_port *port)
{
    struct tap_port *p = tap_of(port);
    struct dmm_port_info *info = &p->data.info;
    struct dmm_port_info old = *info;
    const char *what;
    old.up |= p->went_down;
    p->went_down = false;
    if (p->fd < 0)
        (void)attach(p, &what); /* not there yet: the next refresh() tries again */
    if (p->fd < 0 || dmm_iface_read(p->query_fd, info, &p->wish))
        info->up = false;
    return dmm_iface_changed(&old, info);
}

static const struct dmm_port_info *tap_info(struct dmm_port *port)
{
    return &tap_of(port)->data.info;
}

static void tap_stats(struct dmm_port *port, struct dmm_port_stats *stats)
{
    *stats = tap_of(port)->stats;
}

const struct dmm_port_ops dmm_port_tap_ops = {
    .kind = DMM_PORT_TAP,
    .create = tap_create,
    .destroy = tap_destroy,
    .receive = tap_receive,
    .transmit = tap_transmit,
    .flush = tap_flush,
    .arm = tap_arm,
    .disarm = tap_disarm,
    .wait_fd = tap_wait_fd,
    .refresh = tap_refresh,
    .info = tap_info,
    .stats = tap_stats,
};
