/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: a bad wire between two interfaces, for kernels without netem.
 *
 *     build/tests/relay a=IFNAME b=IFNAME [key=value ...]
 *       seed=N      of its decisions (default 1): the same frames in the same order meet the same
 * fate loss=N      of a thousand frames, so many are dropped dup=N       so many are sent twice
 *       reorder=N   so many are held back for a random part of reorder_us (default 3000)
 *       delay_us=N  every frame takes so long (default 0)
 *       mark=N      so many with an ECN-capable IP header are marked CE
 *       vlan=ID     a carries frames of this VLAN, tagged, and b the same ones untagged, as a
 * switch's trunk and access ports; what has another tag, or none, is dropped
 *
 * What comes in on one interface goes out on the other, whole, with its virtio header: frames that
 * are several segments, or have no checksum yet, pass as they are. Who wants each segment to have
 * a fate of its own sets gso_max_segs 1 on the interfaces in front.
 *
 * It prints "ready", and on SIGTERM, or when an interface goes, one line of sums. Exit status 0, or
 * 1 with a message.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define FRAME_MAX   (sizeof(struct virtio_net_hdr) + 65536 + 256)
#define BURST       64 /* frames of one side before the other has its turn */
#define SOCKET_ROOM (8 << 20)
#define THOUSAND    1000U
#define USEC        1000ULL
#define MAX_US      1000000U
#define MAX_VLAN    4094U
#define SEC         1000000000ULL

/* A frame that waits; by time, of the same time in order of arrival. */
struct held {
    struct held *next;
    uint64_t due;
    int to;
    uint32_t len;
    uint8_t bytes[];
};

struct relay {
    const char *name[2];
    int fd[2];
    uint64_t random;
    uint64_t loss, dup, reorder, mark; /* of a thousand */
    uint64_t reorder_us, delay_us, vlan;
    struct held *first, *last;
    uint64_t passed, dropped, doubled, late, marked, failed, segments;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

/* splitmix64 */
static uint64_t random_next(struct relay *r)
{
    uint64_t z = r->random += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static bool one_of(struct relay *r, uint64_t of_thousand)
{
    return random_next(r) % THOUSAND < of_thousand;
}

/* ---- CE on an ECN-capable packet (RFC 3168, 5) ---- */

static bool mark_ip4(uint8_t *ip)
{
    uint32_t sum = 0;

    if (!(ip[1] & 3))
        return false;
    ip[1] |= 3;
    ip[10] = ip[11] = 0;
    for (unsigned i = 0; i < (ip[0] & 15U) * 4; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    return true;
}

static bool mark_frame(uint8_t *frame, uint32_t len)
{
    uint8_t *ip = frame + ETH_HLEN;

    if (len < ETH_HLEN + 60)
        return false;
    if (frame[12] == 0x08 && frame[13] == 0x00)
        return mark_ip4(ip);
    if (frame[12] != 0x86 || frame[13] != 0xdd || !(ip[1] & 0x30))
        return false;
    ip[1] |= 0x30;
    return true;
}

/* ---- passing on ---- */

static void send_now(struct relay *r, int to, const uint8_t *bytes, uint32_t len)
{
    if (send(r->fd[to], bytes, len, 0) < 0)
        r->failed++;
    else
        r->passed++;
}

static void hold(struct relay *r, int to, const uint8_t *bytes, uint32_t len, uint64_t due)
{
    struct held *h = malloc(sizeof(*h) + len);
    struct held **at = &r->first;

    if (h == NULL) {
        r->failed++;
        return;
    }
    *h = (struct held){.due = due, .to = to, .len = len};
    memcpy(h->bytes, bytes, len);
    if (r->last != NULL && r->last->due <= due) /* as a rule: the latest so far */
        at = &r->last->next;
    while (*at != NULL && (*at)->due <= due)
        at = &(*at)->next;
    h->next = *at;
    *at = h;
    if (h->next == NULL)
        r->last = h;
}

static void send_due(struct relay *r, uint64_t now)
{
    while (r->first != NULL && r->first->due <= now) {
        struct held *h = r->first;

        r->first = h->next;
        if (r->first == NULL)
            r->last = NULL;
        send_now(r, h->to, h->bytes, h->len);
        free(h);
    }
}

static void pass(struct relay *r, int to, uint8_t *bytes, uint32_t len, uint64_t now)
{
    const uint32_t header = sizeof(struct virtio_net_hdr);
    uint64_t due = now + r->delay_us * USEC;

    if (one_of(r, r->loss)) {
        r->dropped++;
        return;
    }
    if (one_of(r, r->mark) && mark_frame(bytes + header, len - header))
        r->marked++;
    if (one_of(r, r->reorder)) {
        due += random_next(r) % (r->reorder_us * USEC + 1);
        r->late++;
    }
    if (one_of(r, r->dup)) {
        hold(r, to, bytes, len, due);
        r->doubled++;
    }
    if (due > now)
        hold(r, to, bytes, len, due);
    else
        send_now(r, to, bytes, len);
}

/* ---- tags (IEEE 802.1Q) ---- */

static uint32_t insert_tag(uint8_t *bytes, uint32_t len, uint16_t tci)
{
    uint8_t *tag = bytes + sizeof(struct virtio_net_hdr) + 12;
    struct virtio_net_hdr hdr;

    memmove(tag + 4, tag, len - (uint32_t)(tag - bytes));
    tag[0] = 0x81;
    tag[1] = 0x00;
    tag[2] = (uint8_t)(tci >> 8);
    tag[3] = (uint8_t)tci;
    memcpy(&hdr, bytes, sizeof(hdr));
    if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        hdr.csum_start += 4;
    if (hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        hdr.hdr_len += 4;
    memcpy(bytes, &hdr, sizeof(hdr));
    return len + 4;
}

/* The tag that the kernel took out of a received frame. False: it had none. */
static bool taken_tag(struct msghdr *msg, uint16_t *tci)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    struct tpacket_auxdata aux;

    if (c == NULL || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
        return false;
    memcpy(&aux, CMSG_DATA(c), sizeof(aux));
    *tci = aux.tp_vlan_tci;
    return (aux.tp_status & TP_STATUS_VLAN_VALID) != 0;
}

/* The frame as the other end is to have it; its new length, or 0 if it must not pass. */
static uint32_t translate(const struct relay *r, int from, uint8_t *bytes, uint32_t len,
                          struct msghdr *msg)
{
    uint16_t tci = 0;
    const bool tagged = taken_tag(msg, &tci);

    if (r->vlan == 0)
        return tagged ? insert_tag(bytes, len, tci) : len;
    if (from == 0)
        return tagged && (tci & 0xfff) == r->vlan ? len : 0;
    return tagged ? 0 : insert_tag(bytes, len, (uint16_t)r->vlan);
}

static void receive(struct relay *r, int from, uint64_t now)
{
    static uint8_t bytes[FRAME_MAX + 4];

    for (unsigned i = 0; i < BURST; i++) {
        union {
            struct cmsghdr align;
            uint8_t bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
        } control;
        struct iovec iov = {.iov_base = bytes, .iov_len = FRAME_MAX};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control)};
        const ssize_t got = recvmsg(r->fd[from], &msg, MSG_DONTWAIT);
        struct virtio_net_hdr hdr;

        if (got <= (ssize_t)(sizeof(hdr) + ETH_HLEN))
            return;
        memcpy(&hdr, bytes, sizeof(hdr));
        r->segments += hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;

        const uint32_t len = translate(r, from, bytes, (uint32_t)got, &msg);

        if (len > 0)
            pass(r, !from, bytes, len, now);
        else
            r->dropped++;
    }
}

/* ---- start ---- */

/* Where each number goes, and the largest that it may be. */
static bool parse_number(struct relay *r, const char *key, const char *value)
{
    const struct {
        const char *key;
        uint64_t *place, max;
    } keys[] = {
        {"seed", &r->random, UINT64_MAX},
        {"loss", &r->loss, THOUSAND},
        {"dup", &r->dup, THOUSAND},
        {"reorder", &r->reorder, THOUSAND},
        {"mark", &r->mark, THOUSAND},
        {"delay_us", &r->delay_us, MAX_US},
        {"reorder_us", &r->reorder_us, MAX_US},
        {"vlan", &r->vlan, MAX_VLAN},
    };
    char *end;
    const unsigned long long n = strtoull(value, &end, 10);

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(key, keys[i].key) != 0)
            continue;
        *keys[i].place = n;
        return *value != '\0' && *end == '\0' && n <= keys[i].max;
    }
    return false;
}

static bool parse(struct relay *r, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');

        if (value == NULL) {
            fprintf(stderr, "relay: '%s' is not KEY=VALUE\n", argv[i]);
            return false;
        }
        *value++ = '\0';
        if (strcmp(argv[i], "a") == 0) {
            r->name[0] = value;
        } else if (strcmp(argv[i], "b") == 0) {
            r->name[1] = value;
        } else if (!parse_number(r, argv[i], value)) {
            fprintf(stderr, "relay: %s=%s: unknown, or out of range\n", argv[i], value);
            return false;
        }
    }
    if (r->name[0] == NULL || r->name[1] == NULL)
        fprintf(stderr, "relay: a= and b= name the interfaces\n");
    return r->name[0] != NULL && r->name[1] != NULL;
}

static int open_end(const char *name)
{
    const int on = 1, room = SOCKET_ROOM;
    struct sockaddr_ll ll = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(name)};
    const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0 || ll.sll_ifindex == 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0) {
        fprintf(stderr, "relay: %s: %s\n", name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    return fd;
}

static void run(struct relay *r)
{
    struct pollfd fds[2] = {{.fd = r->fd[0], .events = POLLIN}, {.fd = r->fd[1], .events = POLLIN}};

    while (!stopped) {
        uint64_t now = now_ns();
        struct timespec wait = {.tv_sec = 1};

        send_due(r, now);
        if (r->first != NULL) {
            const uint64_t left = r->first->due - now;

            wait = (struct timespec){.tv_sec = (time_t)(left / SEC), .tv_nsec = (long)(left % SEC)};
        }
        if (ppoll(fds, 2, &wait, NULL) < 0 && errno != EINTR)
            return;
        now = now_ns();
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents & (POLLERR | POLLNVAL)) /* its interface is down, or gone */
                return;
            if (fds[i].revents & POLLIN)
                receive(r, i, now);
        }
    }
}

int main(int argc, char **argv)
{
    struct relay r = {.random = 1, .reorder_us = 3000};
    const struct sigaction action = {.sa_handler = on_signal};

    if (!parse(&r, argc, argv))
        return 1;
    for (int i = 0; i < 2; i++) {
        r.fd[i] = open_end(r.name[i]);
        if (r.fd[i] < 0)
            return 1;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    printf("ready\n");
    fflush(stdout);
    run(&r);
    printf(
        "passed=%llu dropped=%llu doubled=%llu late=%llu marked=%llu segments=%llu failed=%llu\n",
        (unsigned long long)r.passed, (unsigned long long)r.dropped, (unsigned long long)r.doubled,
        (unsigned long long)r.late, (unsigned long long)r.marked, (unsigned long long)r.segments,
        (unsigned long long)r.failed);
    return 0;
}
