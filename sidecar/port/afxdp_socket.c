/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/afxdp.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

/* The kernel leaves 256 bytes before each frame that it writes; 2 more put the L3 header at a
 * multiple of 16. */
#define HEADROOM 2U

const char afxdp_busy_poll[] = "busy polling";

/* A socket that was just closed holds its queue, and its memory is counted as locked by our user,
 * until the kernel has cleaned up behind it. */
#define BUSY_TRIES 150
#define BUSY_NS    20000000

static size_t umem_bytes(const struct afxdp_port *p)
{
    return (size_t)(AFXDP_RX + AFXDP_TX) * p->buffer_bytes;
}

/* ---- opening ---- */

static int map_ring(struct afxdp_ring *ring, int fd, const struct xdp_ring_offset *at,
                    uint32_t entries, size_t entry_bytes, uint64_t pgoff)
{
    ring->bytes = at->desc + entries * entry_bytes;
    uint8_t *map = mmap(NULL, ring->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                        (off_t)pgoff);
    if (map == MAP_FAILED)
        return -errno;
    ring->map = map;
    ring->producer = (uint32_t *)(void *)(map + at->producer);
    ring->consumer = (uint32_t *)(void *)(map + at->consumer);
    ring->flags = (const uint32_t *)(void *)(map + at->flags);
    ring->entries = map + at->desc;
    ring->mask = entries - 1;
    ring->ours = 0;
    return 0;
}

static int set(int fd, int name, const void *value, socklen_t len)
{
    return setsockopt(fd, SOL_XDP, name, value, len) ? -errno : 0;
}

static int make_umem(const struct afxdp_port *p, struct afxdp_socket *s, int tries)
{
    void *umem =
        mmap(NULL, umem_bytes(p), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (umem == MAP_FAILED)
        return -errno;
    s->umem = umem;
    const struct xdp_umem_reg reg = {
        .addr = (uintptr_t)umem,
        .len = umem_bytes(p),
        .chunk_size = p->buffer_bytes,
        .headroom = HEADROOM,
    };
    const struct timespec pause = {.tv_nsec = BUSY_NS};
    int rc;
    while ((rc = set(s->fd, XDP_UMEM_REG, &reg, sizeof(reg))) == -ENOBUFS && tries-- > 0)
        nanosleep(&pause, NULL);
    return rc;
}

static int make_rings(struct afxdp_socket *s)
{
    const uint32_t rx = AFXDP_RX, tx = AFXDP_TX;
    struct xdp_mmap_offsets at;
    socklen_t len = sizeof(at);
    int rc = set(s->fd, XDP_UMEM_FILL_RING, &rx, sizeof(rx));
    if (!rc)
        rc = set(s->fd, XDP_UMEM_COMPLETION_RING, &tx, sizeof(tx));
    if (!rc)
        rc = set(s->fd, XDP_RX_RING, &rx, sizeof(rx));
    if (!rc)
        rc = set(s->fd, XDP_TX_RING, &tx, sizeof(tx));
    if (!rc && getsockopt(s->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &len))
        rc = -errno;
    if (!rc)
        rc = map_ring(&s->fill, s->fd, &at.fr, rx, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
    if (!rc)
        rc = map_ring(&s->completion, s->fd, &at.cr, tx, sizeof(uint64_t),
                      XDP_UMEM_PGOFF_COMPLETION_RING);
    if (!rc)
        rc = map_ring(&s->rx, s->fd, &at.rx, rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
    if (!rc)
        rc = map_ring(&s->tx, s->fd, &at.tx, tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
    return rc;
}

/* Every receive buffer goes to the kernel, every transmit buffer onto the stack. */
static void share_out(const struct afxdp_port *p, struct afxdp_socket *s)
{
    uint64_t *fill = s->fill.entries;
    for (uint32_t i = 0; i < AFXDP_RX; i++)
        fill[i] = (uint64_t)i * p->buffer_bytes;
    s->fill.ours = AFXDP_RX;
    /* Release: the kernel sees the entries before the index that covers them. */
    __atomic_store_n(s->fill.producer, s->fill.ours, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < AFXDP_TX; i++)
        s->free[i] = (uint64_t)(AFXDP_RX + i) * p->buffer_bytes;
    s->n_free = AFXDP_TX;
    s->n_held = 0;
}

static int bind_queue(int fd, int ifindex, unsigned queue, int tries)
{
    const struct sockaddr_xdp to = {
        .sxdp_family = AF_XDP,
        .sxdp_flags = XDP_USE_NEED_WAKEUP,
        .sxdp_ifindex = (uint32_t)ifindex,
        .sxdp_queue_id = queue,
    };
    const struct timespec pause = {.tv_nsec = BUSY_NS};
    for (int i = 0; bind(fd, (const struct sockaddr *)&to, sizeof(to)); i++) {
        if (errno != EBUSY || i >= tries)
            return -errno;
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* The driver's work for the queue is then done in our calls, not in interrupts, as far as the
 * device's napi_defer_hard_irqs and gro_flush_timeout put those off.
 * (Documentation/networking/napi.rst) */
static int set_busy_poll(const struct afxdp_port *p, int fd)
{
    const struct {
        int name;
        int value;
    } options[] = {
        {SO_PREFER_BUSY_POLL, 1},
        {SO_BUSY_POLL, p->busy_poll_us},
        {SO_BUSY_POLL_BUDGET, p->busy_budget},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (setsockopt(fd, SOL_SOCKET, options[i].name, &options[i].value, sizeof(int)))
            return -errno;
    return 0;
}

static int open_socket(struct afxdp_port *p, unsigned queue, int tries, const char **what)
{
    struct afxdp_socket *s = &p->sockets[queue];
    struct epoll_event event = {.events = EPOLLIN};
    *what = "AF_XDP socket";
    s->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return -errno;
    *what = afxdp_busy_poll;
    int rc = p->busy_poll_us ? set_busy_poll(p, s->fd) : 0;
    if (rc && (rc != -EPERM || tries > 1))
        return rc;
    *what = "AF_XDP memory";
    rc = make_umem(p, s, tries);
    *what = rc ? *what : "AF_XDP rings";
    if (!rc)
        rc = make_rings(s);
    if (rc)
        return rc;
    share_out(p, s);
    *what = "bind to the queue";
    rc = bind_queue(s->fd, p->ifindex, queue, tries);
    if (!rc && epoll_ctl(p->wait_fd, EPOLL_CTL_ADD, s->fd, &event))
        rc = -errno;
    return rc;
}

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
    long rc = syscall(SYS_bpf, command, attr, sizeof(*attr));
    return rc < 0 ? -errno : (int)rc;
}

/* From here on the XDP program has somewhere to send to. */
static int join_map(const struct afxdp_port *p, const char **what)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.pathname = (uintptr_t)p->map_path;
    *what = p->map_path;
    int map = bpf(BPF_OBJ_GET, &attr);
    int rc = map < 0 ? map : 0;
    for (uint32_t queue = 0; !rc && queue < p->n_queues; queue++) {
        uint32_t fd = (uint32_t)p->sockets[queue].fd;
        memset(&attr, 0, sizeof(attr));
        attr.map_fd = (uint32_t)map;
        attr.key = (uintptr_t)&queue;
        attr.value = (uintptr_t)&fd;
        rc = bpf(BPF_MAP_UPDATE_ELEM, &attr);
        rc = rc < 0 ? rc : 0;
    }
    if (map >= 0)
        close(map);
    return rc;
}

int afxdp_open(struct afxdp_port *p, bool wait, const char **what)
{
    int rc = 0;
    for (p->n_open = 0; !rc && p->n_open < p->n_queues; p->n_open++)
        rc = open_socket(p, p->n_open, wait ? BUSY_TRIES : 1, what);
    if (!rc)
        rc = join_map(p, what);
    if (rc)
        afxdp_close(p);
    return rc;
}

void afxdp_close(struct afxdp_port *p)
{
    for (unsigned i = 0; i < p->n_open; i++) {
        struct afxdp_socket *s = &p->sockets[i];
        struct afxdp_ring *const rings[] = {&s->fill, &s->completion, &s->rx, &s->tx};
        for (unsigned r = 0; r < sizeof(rings) / sizeof(rings[0]); r++)
            if (rings[r]->map)
                munmap(rings[r]->map, rings[r]->bytes);
        if (s->fd >= 0)
            close(s->fd); /* leaves the epoll and the map too */
        if (s->umem)
            munmap(s->umem, umem_bytes(p));
        *s = (struct afxdp_socket){.fd = -1};
    }
    p->n_open = 0;
}

/* ---- receiving ---- */

void afxdp_release(struct afxdp_socket *s)
{
    uint64_t *fill = s->fill.entries;
    if (!s->n_held)
        return;
    /* There is room: the ring holds every receive buffer. */
    while (s->n_held)
        fill[s->fill.ours++ & s->fill.mask] = s->held[--s->n_held];
    /* Release: our reads of the frames are over, and the entries are there, before the index. */
    __atomic_store_n(s->fill.producer, s->fill.ours, __ATOMIC_RELEASE);
}

/* Acquire, pairs with the kernel's release: entries and frames are visible once the index is. */
static uint32_t theirs(const uint32_t *index)
{
    return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

bool afxdp_pending(const struct afxdp_socket *s)
{
    return theirs(s->rx.producer) != s->rx.ours;
}

void afxdp_poll_driver(const struct afxdp_socket *s)
{
    (void)recvfrom(s->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

unsigned afxdp_receive(struct afxdp_port *p, struct afxdp_socket *s, struct dmm_frame *frames,
                       unsigned max)
{
    const struct xdp_desc *descs = s->rx.entries;
    unsigned n = 0;
    uint32_t end = theirs(s->rx.producer);
    for (unsigned seen = 0; s->rx.ours != end && seen < max && s->n_held < AFXDP_BURST; seen++) {
        const struct xdp_desc desc = descs[s->rx.ours++ & s->rx.mask];
        s->held[s->n_held++] = desc.addr & ~(uint64_t)(p->buffer_bytes - 1);
        if (desc.len < DMM_ETH_HLEN || desc.addr >= umem_bytes(p) ||
            desc.len > umem_bytes(p) - desc.addr) {
            p->stats.rx_bad++;
            continue;
        }
        frames[n] = (struct dmm_frame){.data = s->umem + desc.addr, .len = desc.len};
        if (!dmm_frame_for_us(frames[n].data, p->data.info.mac))
            continue;
        p->stats.rx_bytes += desc.len;
        n++;
    }
    /* Release: the entries were read before the kernel may write them again. */
    __atomic_store_n(s->rx.consumer, s->rx.ours, __ATOMIC_RELEASE);
    p->stats.rx_frames += n;
    return n;
}

/* ---- sending ---- */

static void take_back_sent(struct afxdp_socket *s)
{
    const uint64_t *done = s->completion.entries;
    uint32_t end = theirs(s->completion.producer);
    while (s->completion.ours != end && s->n_free < AFXDP_TX)
        s->free[s->n_free++] = done[s->completion.ours++ & s->completion.mask];
    /* Release: as for rx. */
    __atomic_store_n(s->completion.consumer, s->completion.ours, __ATOMIC_RELEASE);
}

int afxdp_send(struct afxdp_port *p, struct afxdp_socket *s, const struct dmm_tx_frame *frame,
               uint32_t len)
{
    if (!s->n_free)
        take_back_sent(s);
    if (!s->n_free)
        return -EAGAIN;
    uint64_t addr = s->free[--s->n_free];
    dmm_tx_frame_copy(frame, s->umem + addr);
    struct xdp_desc *descs = s->tx.entries; /* as long as there are buffers, there is room */
    descs[s->tx.ours++ & s->tx.mask] = (struct xdp_desc){.addr = addr, .len = len};
    p->stats.tx_frames++;
    p->stats.tx_bytes += len;
    return 0;
}

/* One call. True: it got on, and there is more. */
static bool send_some(struct afxdp_port *p, struct afxdp_socket *s)
{
    uint32_t before = theirs(s->tx.consumer);
    if (sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0) {
        if (errno == ENETDOWN || errno == ENXIO) {
            p->went_down |= p->data.info.up;
            p->data.info.up = false;
            return false;
        }
        if (errno == ENOBUFS)
            take_back_sent(s);
    }
    uint32_t after = theirs(s->tx.consumer);
    return after != before && after != s->tx.ours;
}

bool afxdp_flush(struct afxdp_port *p, struct afxdp_socket *s)
{
    if (s->tx.ours == theirs(s->tx.consumer))
        return true;
    /* Release: the entries are there before the index. */
    __atomic_store_n(s->tx.producer, s->tx.ours, __ATOMIC_RELEASE);
    /* A call sends 32 frames at most, and says EAGAIN if there were more. */
    while (send_some(p, s))
        ;
    take_back_sent(s);
    return s->tx.ours == theirs(s->tx.consumer) || !p->data.info.up;
}
