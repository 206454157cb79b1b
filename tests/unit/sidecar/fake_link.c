/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of a fake host: what a stack sends is checked as a port would rely on it, then carried to
 * the other end. Checksums and segmentation follow virtio 1.2, 5.1.6.2.
 */
#include "tests/unit/sidecar/fake_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ETH        14
#define MAX_FRAME  (65535 + ETH)
#define BATCH      32
#define LINK_UP_MS 5000

/* ---- packets ---- */

struct l4 {
    unsigned version, at, csum_at; /* csum_at 0: none that we know */
    unsigned ip_header_len;
    uint8_t proto;
    uint32_t len;
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint16_t sum(uint32_t start, const uint8_t *data, uint32_t len)
{
    uint64_t total = start;
    for (uint32_t i = 0; i + 1 < len; i += 2)
        total += get16(data + i);
    if (len & 1)
        total += (uint32_t)data[len - 1] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)total;
}

static uint16_t pseudo(const uint8_t *frame, const struct l4 *l4)
{
    const uint8_t *addresses = frame + ETH + (l4->version == 4 ? 12 : 8);
    return sum(l4->proto + (l4->len >> 16) + (l4->len & 0xffff), addresses,
               l4->version == 4 ? 8 : 32);
}

/* Checks the IP header too. False: not IP. */
static bool find_l4(const uint8_t *frame, uint32_t len, struct l4 *l4)
{
    memset(l4, 0, sizeof(*l4));
    const uint8_t *ip = frame + ETH;
    uint16_t type = get16(frame + 12);
    bool fragment = false;
    if (type == 0x0800) {
        l4->version = 4;
        l4->ip_header_len = (ip[0] & 15) * 4u;
        l4->proto = ip[9];
        fragment = get16(ip + 6) & 0x3fff;
        FAKE_CHECK(len >= ETH + 20 && len >= ETH + (uint32_t)get16(ip + 2));
        FAKE_CHECK(sum(0, ip, l4->ip_header_len) == 0xffff);
        l4->len = get16(ip + 2) - l4->ip_header_len;
    } else if (type == 0x86dd) {
        l4->version = 6;
        l4->ip_header_len = 40;
        l4->proto = ip[6];
        FAKE_CHECK(len >= ETH + 40 && len == ETH + 40 + (uint32_t)get16(ip + 4));
        l4->len = get16(ip + 4);
    } else {
        return false;
    }
    l4->at = ETH + l4->ip_header_len;
    if (!fragment)
        l4->csum_at = l4->proto == IPPROTO_TCP ? 16 : l4->proto == IPPROTO_UDP ? 6 : 0;
    return true;
}

static void complete(uint8_t *frame, const struct l4 *l4)
{
    uint8_t *data = frame + l4->at;
    put16(data + l4->csum_at, 0);
    uint16_t value = sum(pseudo(frame, l4), data, l4->len);
    put16(data + l4->csum_at, value == 0xffff ? value : (uint16_t)~value);
}

static void check_frame(const struct fake_port *port, const struct dmm_tx_frame *tx,
                        const uint8_t *frame, uint32_t len)
{
    struct l4 l4;
    FAKE_CHECK(memcmp(frame + 6, port->info.mac, 6) == 0);
    if (!find_l4(frame, len, &l4)) {
        FAKE_CHECK(get16(frame + 12) == 0x0806);
        return;
    }
    if (tx->gso) {
        FAKE_CHECK(tx->flags & DMM_FRAME_CSUM_PARTIAL);
        FAKE_CHECK(tx->gso == (l4.version == 4 ? DMM_GSO_TCPV4 : DMM_GSO_TCPV6));
        FAKE_CHECK(port->info.offloads & (l4.version == 4 ? DMM_OFFLOAD_TSO4 : DMM_OFFLOAD_TSO6));
        FAKE_CHECK(l4.proto == IPPROTO_TCP);
        FAKE_CHECK(tx->hdr_len == l4.at + (frame[l4.at + 12] >> 4) * 4u);
        FAKE_CHECK(tx->iov[0].iov_len >= tx->hdr_len && len <= port->info.max_gso_size);
        FAKE_CHECK(tx->gso_size && len - tx->hdr_len > tx->gso_size);
        FAKE_CHECK(tx->gso_size + (uint32_t)tx->hdr_len - ETH <= port->info.mtu);
    } else {
        FAKE_CHECK(len - ETH <= port->info.mtu);
    }
    if (!l4.csum_at) {
        FAKE_CHECK(!(tx->flags & DMM_FRAME_CSUM_PARTIAL));
    } else if (tx->flags & DMM_FRAME_CSUM_PARTIAL) {
        FAKE_CHECK(port->info.offloads & DMM_OFFLOAD_TX_CSUM);
        FAKE_CHECK(tx->csum_start == l4.at && tx->csum_offset == l4.csum_at);
        FAKE_CHECK(get16(frame + l4.at + l4.csum_at) == pseudo(frame, &l4));
    } else if (l4.proto == IPPROTO_TCP || get16(frame + l4.at + 6)) {
        FAKE_CHECK(sum(pseudo(frame, &l4), frame + l4.at, l4.len) == 0xffff);
    }
}

/* ---- carrying ---- */

static struct fake_frame *new_frame(uint32_t len, const struct dmm_frame *like)
{
    struct fake_frame *f = malloc(sizeof(*f) + len);
    f->next = NULL;
    f->due = 0;
    f->frame = *like;
    f->frame.data = f->data;
    f->frame.len = len;
    return f;
}

/* Kept in order of arrival; mostly at the end. */
static void enqueue(struct fake_port *to, struct fake_frame *f)
{
    struct fake_frame **place = &to->first;
    if (to->newest && to->newest->due <= f->due)
        place = &to->newest->next;
    while (*place && (*place)->due <= f->due)
        place = &(*place)->next;
    f->next = *place;
    *place = f;
    if (!f->next)
        to->newest = f;
}

struct wire_head {
    uint8_t flags, gso;
    uint16_t gso_size;
};

static int send_fd(struct fake_port *port, const struct fake_frame *f)
{
    struct wire_head head = {f->frame.flags, f->frame.gso, f->frame.gso_size};
    struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)f->data, f->frame.len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    if (sendmsg(port->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    return errno == EAGAIN || errno == ENOBUFS ? -EAGAIN : 0; /* a peer that has gone: lost */
}

static bool chance(struct fake_host *host, unsigned ppm)
{
    return ppm && fake_random(host) % 1000000 < ppm;
}

/* Takes f. -EAGAIN leaves it. */
static int carry(struct fake_port *port, struct fake_frame *f)
{
    const struct fake_faults *faults = &port->faults;
    if ((port->script && port->script(port, &f->frame, port->script_arg)) ||
        (!port->peer && port->fd < 0)) {
        free(f);
        return 0;
    }
    if (chance(port->host, faults->lose_ppm)) {
        port->lost++;
        free(f);
        return 0;
    }
    if (port->fd >= 0) {
        int rc = send_fd(port, f);
        if (!rc)
            free(f);
        return rc;
    }
    f->due = port->host->now + faults->delay;
    if (chance(port->host, faults->reorder_ppm))
        f->due += fake_random(port->host) % (FAKE_SECOND / 500);
    enqueue(port->peer, f);
    return 0;
}

/* What a card makes of a merged frame, and of a partial checksum. */
static void carry_wire(struct fake_port *port, const struct fake_frame *whole, uint32_t hdr_len)
{
    const struct dmm_frame plain = {0};
    struct l4 l4;
    bool ip = find_l4(whole->data, whole->frame.len, &l4);
    uint32_t payload = whole->frame.gso ? whole->frame.len - hdr_len : 0;
    uint32_t headers = whole->frame.gso ? hdr_len : whole->frame.len;
    uint32_t done = 0;
    do {
        uint32_t n = payload - done;
        if (n > whole->frame.gso_size)
            n = whole->frame.gso_size;
        struct fake_frame *f = new_frame(headers + n, &plain);
        memcpy(f->data, whole->data, headers);
        memcpy(f->data + headers, whole->data + headers + done, n);
        struct l4 part = l4;
        uint8_t *ip_header = f->data + ETH;
        if (whole->frame.gso) {
            part.len = headers + n - l4.at;
            uint32_t seq = htonl(get32(whole->data + l4.at + 4) + done);
            memcpy(f->data + l4.at + 4, &seq, 4);
            if (done + n < payload)
                f->data[l4.at + 13] &= (uint8_t)~0x09; /* FIN, PSH: on the last one */
            if (l4.version == 4) {
                put16(ip_header + 2, part.len + l4.ip_header_len);
                put16(ip_header + 10, 0);
                put16(ip_header + 10, (uint16_t)~sum(0, ip_header, l4.ip_header_len));
            } else {
                put16(ip_header + 4, part.len);
            }
        }
        if (ip && whole->frame.flags & DMM_FRAME_CSUM_PARTIAL)
            complete(f->data, &part);
        if (carry(port, f)) {
            port->lost++; /* a full wire loses the rest of a merged frame */
            free(f);
        }
        done += n;
    } while (done < payload);
}

/* Takes f in any case. */
static int hand_over(struct fake_port *port, const struct dmm_tx_frame *tx, struct fake_frame *f)
{
    if (port->device) {
        int rc = port->device->ops->transmit(port->device, tx);
        FAKE_CHECK(rc == 0 || rc == -EAGAIN || rc == -ENETDOWN);
        free(f);
        return rc;
    }
    if (port->faults.wire) {
        carry_wire(port, f, tx->hdr_len);
        free(f);
        return 0;
    }
    int rc = carry(port, f);
    if (rc)
        free(f);
    return rc;
}

int fake_transmit(struct fake_port *port, const struct dmm_tx_frame *tx)
{
    if (!port->info.up)
        return -ENETDOWN;
    if (port->full) {
        port->full--;
        port->was_full = true;
        return -EAGAIN;
    }
    FAKE_CHECK(tx->n_iov >= 1 && tx->n_iov <= DMM_TX_IOV);
    uint32_t len = 0;
    for (unsigned i = 0; i < tx->n_iov; i++)
        len += (uint32_t)tx->iov[i].iov_len;
    FAKE_CHECK(len >= ETH && len <= MAX_FRAME);
    struct dmm_frame like = {.flags = tx->flags & DMM_FRAME_CSUM_PARTIAL, .gso = tx->gso};
    like.gso_size = tx->gso_size;
    struct fake_frame *f = new_frame(len, &like);
    uint32_t at = 0;
    for (unsigned i = 0; i < tx->n_iov; i++) {
        memcpy(f->data + at, tx->iov[i].iov_base, tx->iov[i].iov_len);
        at += (uint32_t)tx->iov[i].iov_len;
    }
    if (!port->unchecked)
        check_frame(port, tx, f->data, len);
    int rc = hand_over(port, tx, f);
    if (rc) {
        port->was_full |= rc == -EAGAIN;
        return rc;
    }
    port->sent++;
    port->gso_sent += tx->gso != DMM_GSO_NONE;
    return 0;
}

/* ---- receiving ---- */

void fake_inject_frame(struct fake_port *port, const struct dmm_frame *frame)
{
    struct fake_frame *f = new_frame(frame->len, frame);
    memcpy(f->data, frame->data, frame->len);
    f->due = port->host->now;
    enqueue(port, f);
}

void fake_inject(struct fake_port *port, const void *data, uint32_t len, uint8_t flags)
{
    struct dmm_frame frame = {.data = data, .len = len, .flags = flags};
    fake_inject_frame(port, &frame);
}

static void read_fd(struct fake_port *port)
{
    static uint8_t buf[sizeof(struct wire_head) + MAX_FRAME];
    for (unsigned i = 0; i < BATCH; i++) {
        ssize_t n = recv(port->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < (ssize_t)sizeof(struct wire_head) + ETH)
            return;
        struct wire_head head;
        memcpy(&head, buf, sizeof(head));
        struct dmm_frame frame = {.data = buf + sizeof(head),
                                  .len = (uint32_t)n - (uint32_t)sizeof(head),
                                  .flags = head.flags,
                                  .gso = head.gso,
                                  .gso_size = head.gso_size};
        fake_inject_frame(port, &frame);
    }
}

static unsigned receive_device(struct fake_port *port)
{
    struct fake_host *host = port->host;
    struct dmm_frame frames[BATCH];
    unsigned n = port->device->ops->receive(port->device, frames, BATCH);
    if (n)
        host->ops->input(host->stack, port->index, frames, n);
    port->received += n;
    return n;
}

bool fake_flush(struct fake_port *port)
{
    if (!port->device)
        return true;
    bool flushed = port->device->ops->flush(port->device);
    if (flushed && port->was_full) {
        port->was_full = false;
        port->host->ops->port_writable(port->host->stack, port->index);
        flushed = port->device->ops->flush(port->device);
    }
    return flushed;
}

unsigned fake_receive(struct fake_port *port)
{
    if (port->device)
        return receive_device(port);
    struct fake_host *host = port->host;
    struct fake_frame *taken[BATCH];
    struct dmm_frame frames[BATCH];
    unsigned n = 0;
    unsigned done = 0;
    if (port->fd >= 0)
        read_fd(port);
    if (port->was_full && !port->full) {
        port->was_full = false;
        host->ops->port_writable(host->stack, port->index);
        done++;
    }
    while (n < BATCH && port->first && port->first->due <= host->now) {
        taken[n] = port->first;
        frames[n] = taken[n]->frame;
        port->first = taken[n]->next;
        n++;
    }
    if (!port->first)
        port->newest = NULL;
    if (n)
        host->ops->input(host->stack, port->index, frames, n);
    for (unsigned i = 0; i < n; i++)
        free(taken[i]);
    port->received += n;
    return done + n;
}

void fake_drop_frames(struct fake_port *port)
{
    while (port->first) {
        struct fake_frame *f = port->first;
        port->first = f->next;
        free(f);
    }
    port->newest = NULL;
}

/* ---- building ---- */

struct fake_port *fake_add_port(struct fake_host *host, uint8_t n)
{
    FAKE_CHECK(host->n_ports < FAKE_PORTS);
    struct fake_port *port = &host->ports[host->n_ports];
    port->host = host;
    port->index = host->n_ports++;
    port->fd = -1;
    port->info = (struct dmm_port_info){
        .name = "net1",
        .mac = {2, 0, 0, 0, 0, n},
        .up = true,
        .mtu = 1500,
        .max_gso_size = 65536,
        .offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6,
    };
    port->info.addresses = port->addresses;
    port->info.routes = port->routes;
    port->info.name[3] = (char)('1' + port->index);
    return port;
}

void fake_add_address(struct fake_port *port, const char *ip, uint8_t prefix_len)
{
    FAKE_CHECK(port->info.n_addresses < FAKE_ADDRS);
    struct dmm_stack_address *address = &port->addresses[port->info.n_addresses++];
    address->addr = fake_addr(ip, 0);
    address->prefix_len = prefix_len;
}

void fake_add_route(struct fake_port *port, const char *prefix, const char *gateway)
{
    FAKE_CHECK(port->info.n_routes < FAKE_ADDRS);
    struct dmm_stack_route *route = &port->routes[port->info.n_routes++];
    *route = (struct dmm_stack_route){0};
    FAKE_CHECK(dmm_prefix_parse(&route->dst, prefix) == 0);
    if (gateway)
        route->gateway = fake_addr(gateway, 0);
}

void fake_link(struct fake_port *a, struct fake_port *b)
{
    a->peer = b;
    b->peer = a;
}

void fake_link_device(struct fake_port *port, struct dmm_port *device)
{
    const struct dmm_port_info *info = device->ops->info(device);
    /* The kernel tells of a new veth's carrier a moment after both its ends are up. */
    for (unsigned ms = 0; !info->up && ms < LINK_UP_MS; ms++) {
        usleep(1000);
        device->ops->refresh(device);
    }
    FAKE_CHECK(info->up);
    port->device = device;
    port->info = *info;
    port->host->real_time = true;
    port->host->now = fake_real_now();
}

void fake_link_fd(struct fake_port *port, int fd)
{
    port->fd = fd;
    port->host->real_time = true;
    port->host->now = fake_real_now();
}
