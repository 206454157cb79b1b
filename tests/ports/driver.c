/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver: drives one port the way a worker does, to test and measure it without a stack.
 *
 *     build/tests/portdriver key=value ...
 *       kind=packet|ethdev ifname=NAME devargs=TEXT mac=AA:.. mtu=N   the port
 *       ip=A.B.C.D peer_mac=AA:.. peer_ip=A.B.C.D                     the addresses in frames
 *       role=sink     count what comes, check checksums
 *            echo     answer ARP for ip, return UDP payloads to their senders
 *            reflect  return every unicast frame with its addresses exchanged
 *            ping     one frame of `size` bytes at a time, wait for its reflection
 *            flood    frames of `size` bytes as fast as the port takes them
 *       size=N (above the MTU: one TCP frame to be segmented) proto=tcp|udp seconds=N count=N
 *       slow_intr_ms=N (tests/ports/slow_intr.h)
 *
 * It prints key=value lines: "ready" once the port is up, one "progress" a second, the sums at the
 * end. Exit status 0, 1 for bad arguments, 2 if the port can't be made.
 */
#include "sidecar/port/port.h"
#include "tests/ports/slow_intr.h"
#include "tests/ports/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BURST      32
#define SPINS      64    /* empty turns before sleeping */
#define SAMPLES    65536 /* round trips kept for the percentiles */
#define PING_WAIT  100000000ULL
#define REFRESH_NS 100000000ULL
#define SECOND     1000000000ULL
#define PAYLOAD    65536

struct driver {
    struct dmm_port_config config;
    const char *role;
    uint32_t size, seconds;
    uint64_t count;
    uint8_t protocol;
    struct wire_end me, peer;

    const struct dmm_port_ops *ops;
    struct dmm_port *port;
    int epoll;
    uint64_t now, end, next_refresh, next_progress;
    bool was_up;

    /* counters */
    uint64_t frames, bytes, tcp, udp, gso, partial, verified, csum_bad, ip_bad, vlan, max_len;
    uint64_t gso_size, sleeps, sent, refused, replies, lost, mismatched, answered;

    /* ping */
    uint64_t sent_at, sequence;
    bool waiting;
    uint32_t *rtt;
    uint32_t n_rtt;
    uint8_t headers[64];
    uint8_t payload[PAYLOAD];
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void send_frame(struct driver *d, struct dmm_tx_frame *tx, const struct iovec *iov,
                       uint16_t n)
{
    tx->iov = iov;
    tx->n_iov = n;
    int rc = d->ops->transmit(d->port, tx);
    if (rc == -EAGAIN) { /* once more, as the worker does after a flush */
        (void)d->ops->flush(d->port);
        rc = d->ops->transmit(d->port, tx);
    }
    if (rc)
        d->refused++;
    else
        d->sent++;
}

/* ---- roles ---- */

static void count_frame(struct driver *d, const struct dmm_frame *f)
{
    struct wire_l4 l4;
    d->frames++;
    d->bytes += f->len;
    d->max_len = f->len > d->max_len ? f->len : d->max_len;
    d->partial += (f->flags & DMM_FRAME_CSUM_PARTIAL) != 0;
    d->verified += (f->flags & DMM_FRAME_CSUM_OK) != 0;
    d->vlan += (f->flags & DMM_FRAME_VLAN) != 0;
    d->gso += f->gso != DMM_GSO_NONE;
    if (f->gso_size)
        d->gso_size = f->gso_size;
    wire_parse(f, &l4);
    if (!l4.protocol)
        return;
    d->tcp += l4.protocol == IPPROTO_TCP;
    d->udp += l4.protocol == IPPROTO_UDP;
    d->ip_bad += !l4.ip_csum_ok;
    if (f->flags & DMM_FRAME_CSUM_PARTIAL)
        d->csum_bad += !l4.pseudo_ok;
    else if (f->gso == DMM_GSO_NONE)
        d->csum_bad += !wire_l4_csum_ok(f, &l4);
}

static void echo_frame(struct driver *d, const struct dmm_frame *f)
{
    struct dmm_tx_frame tx = {0};
    uint8_t headers[64];
    if (wire_arp_reply(f, &d->me, headers)) {
        send_frame(d, &tx, &(struct iovec){headers, 42}, 1);
        return;
    }
    struct wire_l4 l4;
    wire_parse(f, &l4);
    if (l4.protocol != IPPROTO_UDP || memcmp(f->data + WIRE_ETH + 16, d->me.ip, 4) != 0)
        return;
    struct wire_end to, from = d->me;
    memcpy(to.mac, f->data + 6, 6);
    memcpy(to.ip, f->data + WIRE_ETH + 12, 4);
    to.port = (uint16_t)(f->data[l4.l4] << 8 | f->data[l4.l4 + 1]);
    from.port = (uint16_t)(f->data[l4.l4 + 2] << 8 | f->data[l4.l4 + 3]);
    uint32_t len = (uint32_t)(f->data[l4.l4 + 4] << 8 | f->data[l4.l4 + 5]) - 8U;
    if (len > f->len - l4.payload)
        return;
    unsigned n = wire_build(headers, &tx, &from, &to, IPPROTO_UDP, len, (uint16_t)d->config.mtu);
    struct iovec iov[2] = {{headers, n}, {(void *)(f->data + l4.payload), len}};
    send_frame(d, &tx, iov, 2);
    d->answered++;
}

static void reflect_frame(struct driver *d, const struct dmm_frame *f)
{
    struct dmm_tx_frame tx;
    uint8_t headers[64];
    if (f->data[0] & 1 || f->len < sizeof(headers))
        return;
    wire_resend(f, (uint16_t)d->config.mtu, &tx);
    memcpy(headers, f->data, sizeof(headers));
    memcpy(headers, f->data + 6, 6);
    memcpy(headers + 6, f->data, 6);
    struct iovec iov[2] = {{headers, sizeof(headers)},
                           {(void *)(f->data + sizeof(headers)), f->len - sizeof(headers)}};
    send_frame(d, &tx, iov, 2);
    d->answered++;
}

static void ping_reply(struct driver *d, const struct dmm_frame *f)
{
    unsigned hdr = d->protocol == IPPROTO_TCP ? WIRE_TCP : WIRE_UDP;
    uint64_t sequence;
    if (!d->waiting || f->len < d->size)
        return;
    memcpy(&sequence, f->data + hdr, sizeof(sequence));
    if (sequence != d->sequence)
        return;
    d->waiting = false;
    d->replies++;
    d->mismatched += memcmp(f->data + hdr, d->payload, d->size - hdr) != 0;
    uint64_t rtt = clock_ns(CLOCK_MONOTONIC) - d->sent_at;
    d->rtt[d->n_rtt++ % SAMPLES] = rtt > UINT32_MAX ? UINT32_MAX : (uint32_t)rtt;
}

static void send_built(struct driver *d)
{
    struct dmm_tx_frame tx;
    unsigned hdr = d->protocol == IPPROTO_TCP ? WIRE_TCP : WIRE_UDP;
    wire_build(d->headers, &tx, &d->me, &d->peer, d->protocol, d->size - hdr,
               (uint16_t)d->config.mtu);
    struct iovec iov[2] = {{d->headers, hdr}, {d->payload, d->size - hdr}};
    send_frame(d, &tx, iov, 2);
}

static unsigned ping_poll(struct driver *d)
{
    if (d->waiting && d->now - d->sent_at < PING_WAIT)
        return 0;
    if (d->count && d->replies >= d->count) {
        stopped = 1;
        return 0;
    }
    d->lost += d->waiting;
    d->sequence++;
    memcpy(d->payload, &d->sequence, sizeof(d->sequence));
    d->sent_at = clock_ns(CLOCK_MONOTONIC);
    d->waiting = true;
    send_built(d);
    return 1;
}

static unsigned flood_poll(struct driver *d)
{
    if (d->count && d->sent >= d->count) {
        stopped = 1;
        return 0;
    }
    for (unsigned i = 0; i < BURST && (!d->count || d->sent < d->count); i++)
        send_built(d);
    return BURST;
}

static const struct role {
    const char *name;
    void (*frame)(struct driver *d, const struct dmm_frame *f);
    unsigned (*poll)(struct driver *d); /* while the port is up */
} roles[] = {
    {"sink", count_frame, NULL},        {"echo", echo_frame, NULL},
    {"reflect", reflect_frame, NULL},   {"ping", ping_reply, ping_poll},
    {"flood", count_frame, flood_poll},
};

/* ---- the worker's turn ---- */

static void refresh(struct driver *d)
{
    d->next_refresh = d->now + REFRESH_NS;
    bool changed = d->ops->refresh(d->port);
    const struct dmm_port_info *info = d->ops->info(d->port);
    if (changed || info->up != d->was_up)
        printf("link up=%d mtu=%u\n", info->up, info->mtu);
    if (info->up && !d->was_up)
        printf("ready offloads=%u max_gso_size=%u\n", info->offloads, info->max_gso_size);
    d->was_up = info->up;
    memcpy(d->me.mac, info->mac, 6);
}

static void progress(struct driver *d)
{
    d->next_progress = d->now + SECOND;
    printf("progress up=%d frames=%lu replies=%lu lost=%lu sent=%lu answered=%lu\n", d->was_up,
           d->frames, d->replies, d->lost, d->sent, d->answered);
}

static void sleep_turn(struct driver *d, bool flushed)
{
    int fd = d->ops->wait_fd(d->port);
    if (fd >= 0 && d->ops->arm(d->port)) {
        d->ops->disarm(d->port);
        return;
    }
    struct epoll_event event;
    int timeout = !flushed || fd < 0 ? 1 : 50;
    (void)epoll_wait(d->epoll, &event, 1, timeout);
    d->sleeps++;
    if (fd >= 0)
        d->ops->disarm(d->port);
}

static void run(struct driver *d, const struct role *role)
{
    struct dmm_frame frames[BURST];
    unsigned idle = 0;
    d->now = clock_ns(CLOCK_MONOTONIC);
    d->end = d->now + d->seconds * SECOND;
    d->next_progress = d->now + SECOND;
    while (!stopped && d->now < d->end) {
        if (d->now >= d->next_refresh)
            refresh(d);
        if (d->now >= d->next_progress)
            progress(d);
        unsigned work = d->ops->receive(d->port, frames, BURST);
        for (unsigned i = 0; i < work; i++)
            role->frame(d, &frames[i]);
        if (role->poll && d->was_up)
            work += role->poll(d);
        bool flushed = d->ops->flush(d->port);
        idle = work ? 0 : idle + 1;
        if (idle > SPINS)
            sleep_turn(d, flushed);
        d->now = clock_ns(CLOCK_MONOTONIC);
    }
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

static void report(struct driver *d, uint64_t wall_ns, uint64_t cpu_ns)
{
    struct dmm_port_stats s;
    d->ops->stats(d->port, &s);
    printf("frames=%lu\nbytes=%lu\ntcp=%lu\nudp=%lu\ngso=%lu\ngso_size=%lu\npartial=%lu\n"
           "verified=%lu\ncsum_bad=%lu\nip_bad=%lu\nvlan=%lu\nmax_len=%lu\n",
           d->frames, d->bytes, d->tcp, d->udp, d->gso, d->gso_size, d->partial, d->verified,
           d->csum_bad, d->ip_bad, d->vlan, d->max_len);
    printf("sent=%lu\nrefused=%lu\nanswered=%lu\nreplies=%lu\nlost=%lu\nmismatched=%lu\n", d->sent,
           d->refused, d->answered, d->replies, d->lost, d->mismatched);
    printf("rx_frames=%lu\nrx_bad=%lu\nrx_dropped=%lu\ntx_frames=%lu\ntx_full=%lu\ntx_errors=%lu\n",
           s.rx_frames, s.rx_bad, s.rx_dropped, s.tx_frames, s.tx_full, s.tx_errors);
    uint32_t n = d->n_rtt < SAMPLES ? d->n_rtt : SAMPLES;
    qsort(d->rtt, n, sizeof(d->rtt[0]), compare_u32);
    printf("rtt_p50_ns=%u\nrtt_p99_ns=%u\n", n ? d->rtt[n / 2] : 0, n ? d->rtt[n * 99 / 100] : 0);
    printf("sleeps=%lu\nwall_ms=%lu\ncpu_ms=%lu\n", d->sleeps, wall_ns / 1000000, cpu_ns / 1000000);
    double sec = (double)wall_ns / 1e9;
    printf("rx_mpps=%.3f\nrx_gbit=%.2f\ntx_mpps=%.3f\ntx_gbit=%.2f\n",
           (double)s.rx_frames / sec / 1e6, (double)s.rx_bytes * 8 / sec / 1e9,
           (double)s.tx_frames / sec / 1e6, (double)s.tx_bytes * 8 / sec / 1e9);
}

/* ---- arguments ---- */

static int parse_mac(uint8_t mac[6], const char *text)
{
    for (int i = 0; i < 6; i++) {
        char *end;
        unsigned long byte = strtoul(text, &end, 16);
        if (end == text || byte > 255 || *end != (i < 5 ? ':' : '\0'))
            return -EINVAL;
        mac[i] = (uint8_t)byte;
        text = end + 1;
    }
    return 0;
}

static int parse_argument(struct driver *d, const char *key, const char *value)
{
    struct dmm_port_config *c = &d->config;
    unsigned long number = strtoul(value, NULL, 10);
    if (strcmp(key, "kind") == 0)
        c->kind = strcmp(value, "ethdev") == 0 ? DMM_PORT_ETHDEV : DMM_PORT_PACKET;
    else if (strcmp(key, "ifname") == 0)
        snprintf(c->ifname, sizeof(c->ifname), "%s", value);
    else if (strcmp(key, "devargs") == 0)
        snprintf(c->devargs, sizeof(c->devargs), "%s", value);
    else if (strcmp(key, "mtu") == 0)
        c->mtu = (uint32_t)number;
    else if (strcmp(key, "role") == 0)
        d->role = value;
    else if (strcmp(key, "size") == 0)
        d->size = (uint32_t)number;
    else if (strcmp(key, "seconds") == 0)
        d->seconds = (uint32_t)number;
    else if (strcmp(key, "slow_intr_ms") == 0)
        slow_intr_set((uint32_t)number);
    else if (strcmp(key, "count") == 0)
        d->count = number;
    else if (strcmp(key, "proto") == 0)
        d->protocol = strcmp(value, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
    else if (strcmp(key, "mac") == 0)
        return parse_mac(c->mac, value);
    else if (strcmp(key, "peer_mac") == 0)
        return parse_mac(d->peer.mac, value);
    else if (strcmp(key, "ip") == 0)
        return inet_pton(AF_INET, value, d->me.ip) == 1 ? 0 : -EINVAL;
    else if (strcmp(key, "peer_ip") == 0)
        return inet_pton(AF_INET, value, d->peer.ip) == 1 ? 0 : -EINVAL;
    else
        return -ENOENT;
    return 0;
}

static const struct role *parse(struct driver *d, int argc, char **argv)
{
    d->config.mtu = 1500;
    d->seconds = 3;
    d->size = 64;
    d->protocol = IPPROTO_UDP;
    d->me.port = 7000;
    d->peer.port = 7000;
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            return NULL;
        *value++ = '\0';
        if (parse_argument(d, argv[i], value))
            return NULL;
    }
    unsigned smallest = (d->protocol == IPPROTO_TCP ? WIRE_TCP : WIRE_UDP) + sizeof(d->sequence);
    if (d->size < smallest || d->size > PAYLOAD)
        return NULL;
    for (unsigned i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (d->role && strcmp(roles[i].name, d->role) == 0)
            return &roles[i];
    return NULL;
}

int main(int argc, char **argv)
{
    static struct driver d;
    const struct role *role = parse(&d, argc, argv);
    if (!role) {
        fprintf(stderr, "portdriver: bad arguments; see the head of tests/ports/driver.c\n");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    for (unsigned i = 0; i < sizeof(d.payload); i++)
        d.payload[i] = (uint8_t)(i * 7);
    struct dmm_err err = {0};
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    if (dmm_port_create(&d.port, &d.config, &err)) {
        fprintf(stderr, "portdriver: %s\n", err.text);
        return 2;
    }
    printf("created after_ms=%lu\n", (clock_ns(CLOCK_MONOTONIC) - start) / 1000000);
    d.ops = d.port->ops;
    d.rtt = calloc(SAMPLES, sizeof(d.rtt[0]));
    d.epoll = epoll_create1(EPOLL_CLOEXEC);
    int fd = d.ops->wait_fd(d.port);
    if (fd >= 0)
        epoll_ctl(d.epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN});
    uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run(&d, role);
    report(&d, clock_ns(CLOCK_MONOTONIC) - wall, clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    d.ops->destroy(d.port);
    close(d.epoll);
    free(d.rtt);
    return 0;
}
