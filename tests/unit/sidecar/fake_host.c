/* SPDX-License-Identifier: Apache-2.0 */
/* Services, sockets and the app's side of them. Ports and links are in fake_link.c. */
#include "tests/unit/sidecar/fake_host.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/sidecar/fake_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void __attribute__((format(printf, 3, 4), noreturn))
fail_cmocka(const char *file, int line, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    print_error("%s\n", text);
    _fail(file, line);
    abort(); /* not reached: cmocka jumps */
}

fake_fail_fn *fake_fail __attribute__((format(printf, 3, 4), noreturn)) = fail_cmocka;

static struct fake_host *host_of(const struct dmm_host *services)
{
    return (struct fake_host *)(void *)(uintptr_t)services;
}

static uint32_t min32(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

uint64_t fake_real_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * FAKE_SECOND + (uint64_t)ts.tv_nsec;
}

/* ---- services ---- */

static uint64_t svc_now(const struct dmm_host *services)
{
    return host_of(services)->now;
}

/* xorshift64*: the same run every time. */
uint64_t fake_random(struct fake_host *host)
{
    uint64_t x = host->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    host->random = x;
    return x * 0x2545f4914f6cdd1dull;
}

static void svc_random(const struct dmm_host *services, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)(fake_random(host_of(services)) >> 32);
}

static void svc_log(const struct dmm_host *services, int level, const char *text)
{
    (void)level;
    snprintf(host_of(services)->log, sizeof(host_of(services)->log), "%s", text);
}

static unsigned svc_n_ports(const struct dmm_host *services)
{
    return host_of(services)->n_ports;
}

static const struct dmm_port_info *svc_port_info(const struct dmm_host *services, unsigned port)
{
    FAKE_CHECK(port < host_of(services)->n_ports);
    return &host_of(services)->ports[port].info;
}

static int svc_transmit(const struct dmm_host *services, unsigned port,
                        const struct dmm_tx_frame *frame)
{
    struct fake_host *host = host_of(services);
    FAKE_CHECK(!host->no_transmit);
    FAKE_CHECK(port < host->n_ports);
    return fake_transmit(&host->ports[port], frame);
}

static void check_live(const struct dmm_sock *sock)
{
    FAKE_CHECK(sock != NULL);
    FAKE_CHECK(!sock->released);
    FAKE_CHECK(!sock->host->no_transmit);
}

static uint32_t svc_rx_space(const struct dmm_sock *sock)
{
    check_live(sock);
    return sock->ring_size - (uint32_t)(sock->rx_head - sock->rx_tail);
}

static void copy_in(const struct dmm_sock *sock, uint8_t *ring, uint64_t at, const void *data,
                    uint32_t len)
{
    uint32_t from = (uint32_t)(at % sock->ring_size);
    uint32_t first = min32(len, sock->ring_size - from);
    memcpy(ring + from, data, first);
    memcpy(ring, (const uint8_t *)data + first, len - first);
}

static int svc_rx_write(struct dmm_sock *sock, const void *data, uint32_t len)
{
    FAKE_CHECK(sock->type == SOCK_STREAM);
    FAKE_CHECK(!sock->eof && !sock->error && !sock->closed);
    if (len > svc_rx_space(sock))
        return -ENOBUFS;
    copy_in(sock, sock->rx, sock->rx_head, data, len);
    sock->rx_head += len;
    return 0;
}

static struct fake_datagram *copy_datagram(const struct dmm_datagram *from)
{
    struct fake_datagram *d = malloc(sizeof(*d) + from->len + 1);
    d->next = NULL;
    d->head = *from;
    uint32_t at = 0;
    for (unsigned i = 0; i < 2; i++) {
        if (!from->iov[i].iov_len)
            continue;
        FAKE_CHECK(at + from->iov[i].iov_len <= from->len);
        memcpy(d->data + at, from->iov[i].iov_base, from->iov[i].iov_len);
        at += (uint32_t)from->iov[i].iov_len;
    }
    FAKE_CHECK(at == from->len);
    d->head.iov[0] = (struct iovec){d->data, d->head.len};
    d->head.iov[1] = (struct iovec){0};
    return d;
}

static int svc_rx_datagram(struct dmm_sock *sock, const struct dmm_datagram *datagram)
{
    check_live(sock);
    FAKE_CHECK(sock->type == SOCK_DGRAM);
    FAKE_CHECK(datagram->peer.family == sock->family);
    struct fake_datagram *d = copy_datagram(datagram);
    *sock->rx_last = d;
    sock->rx_last = &d->next;
    return 0;
}

static uint32_t svc_tx_pending(struct dmm_sock *sock)
{
    check_live(sock);
    return (uint32_t)(sock->tx_head - sock->tx_tail);
}

static unsigned svc_tx_peek(const struct dmm_sock *sock, uint32_t offset, uint32_t len,
                            struct iovec iov[2])
{
    check_live(sock);
    uint64_t pending = sock->tx_head - sock->tx_tail;
    FAKE_CHECK(offset <= pending);
    len = min32(len, pending - offset);
    if (!len)
        return 0;
    uint32_t from = (uint32_t)((sock->tx_tail + offset) % sock->ring_size);
    uint32_t first = min32(len, sock->ring_size - from);
    iov[0] = (struct iovec){sock->tx + from, first};
    iov[1] = (struct iovec){sock->tx, len - first};
    return first < len ? 2 : 1;
}

static void svc_tx_consume(struct dmm_sock *sock, uint32_t len)
{
    FAKE_CHECK(len <= svc_tx_pending(sock));
    sock->tx_tail += len;
}

static bool svc_tx_datagram(struct dmm_sock *sock, struct dmm_datagram *datagram)
{
    check_live(sock);
    if (!sock->tx_first)
        return false;
    *datagram = sock->tx_first->head;
    return true;
}

static void svc_tx_datagram_done(struct dmm_sock *sock)
{
    check_live(sock);
    struct fake_datagram *d = sock->tx_first;
    FAKE_CHECK(d != NULL);
    sock->tx_first = d->next;
    if (!sock->tx_first)
        sock->tx_last = &sock->tx_first;
    free(d);
}

static void svc_connected(struct dmm_sock *sock, const struct dmm_addr *local,
                          const struct dmm_addr *peer)
{
    check_live(sock);
    FAKE_CHECK(!sock->connected && !sock->error && !sock->closed);
    FAKE_CHECK(local->family == sock->family && peer->family == sock->family);
    sock->connected = true;
    sock->local = *local;
    sock->peer = *peer;
}

static uint32_t svc_accept_space(const struct dmm_sock *listener)
{
    check_live(listener);
    return listener->queue_max - listener->queue_len;
}

static struct dmm_sock *new_sock(struct fake_host *host, uint16_t family, uint16_t type)
{
    struct dmm_sock *sock = calloc(1, sizeof(*sock));
    sock->host = host;
    sock->family = family;
    sock->type = type;
    sock->ring_size = host->ring_size;
    if (type == SOCK_STREAM) {
        sock->rx = malloc(sock->ring_size);
        sock->tx = malloc(sock->ring_size);
    }
    sock->rx_last = &sock->rx_first;
    sock->tx_last = &sock->tx_first;
    sock->next = host->socks;
    host->socks = sock;
    return sock;
}

static int svc_accepted(struct dmm_sock *listener, void *ssock, const struct dmm_addr *local,
                        const struct dmm_addr *peer, struct dmm_sock **out)
{
    check_live(listener);
    FAKE_CHECK(!listener->closed);
    if (!svc_accept_space(listener))
        return -ENOBUFS;
    FAKE_CHECK(local->family == listener->family && peer->family == listener->family);
    struct dmm_sock *sock = new_sock(listener->host, listener->family, SOCK_STREAM);
    sock->ssock = ssock;
    sock->local = *local;
    sock->peer = *peer;
    sock->connected = true;
    struct dmm_sock **place = &listener->queue_first;
    while (*place)
        place = &(*place)->queue_next;
    *place = sock;
    listener->queue_len++;
    *out = sock;
    return 0;
}

static void svc_eof(struct dmm_sock *sock)
{
    check_live(sock);
    FAKE_CHECK(!sock->eof && !sock->error && !sock->closed);
    sock->eof = true;
}

static void svc_error(struct dmm_sock *sock, int error)
{
    check_live(sock);
    FAKE_CHECK(!sock->error && !sock->closed && error > 0);
    sock->error = error;
}

static void svc_soft_error(struct dmm_sock *sock, int error)
{
    check_live(sock);
    FAKE_CHECK(error > 0);
    sock->soft_error = error;
}

static void svc_released(struct dmm_sock *sock)
{
    check_live(sock);
    FAKE_CHECK(sock->closed);
    sock->released = true;
    sock->ssock = NULL;
}

/* ---- life ---- */

void fake_init(struct fake_host *host)
{
    memset(host, 0, sizeof(*host));
    host->services = (struct dmm_host){
        .abi = DMM_STACK_ABI,
        .size = sizeof(struct dmm_host),
        .now = svc_now,
        .random = svc_random,
        .log = svc_log,
        .n_ports = svc_n_ports,
        .port_info = svc_port_info,
        .transmit = svc_transmit,
        .rx_space = svc_rx_space,
        .rx_write = svc_rx_write,
        .rx_datagram = svc_rx_datagram,
        .tx_pending = svc_tx_pending,
        .tx_peek = svc_tx_peek,
        .tx_consume = svc_tx_consume,
        .tx_datagram = svc_tx_datagram,
        .tx_datagram_done = svc_tx_datagram_done,
        .connected = svc_connected,
        .accept_space = svc_accept_space,
        .accepted = svc_accepted,
        .eof = svc_eof,
        .error = svc_error,
        .soft_error = svc_soft_error,
        .released = svc_released,
    };
    host->now = FAKE_SECOND;
    host->ring_size = FAKE_RING;
    host->random = 0x9e3779b97f4a7c15ull;
}

int fake_create(struct fake_host *host, const struct dmm_stack_ops *ops, const char *options,
                char err[256])
{
    const struct dmm_stack_config config = {.name = "test", .options = options};
    host->ops = ops;
    host->no_transmit = true;
    err[0] = 0;
    int rc = ops->create(&config, &host->services, &host->stack, err, 256);
    host->no_transmit = false;
    FAKE_CHECK((rc == 0) == (err[0] == 0));
    return rc;
}

static void free_sock(struct dmm_sock *sock)
{
    struct fake_datagram *queues[2] = {sock->rx_first, sock->tx_first};
    for (unsigned i = 0; i < 2; i++) {
        while (queues[i]) {
            struct fake_datagram *d = queues[i];
            queues[i] = d->next;
            free(d);
        }
    }
    free(sock->rx);
    free(sock->tx);
    free(sock);
}

static bool all_released(void *arg)
{
    for (const struct dmm_sock *sock = ((struct fake_host *)arg)->socks; sock; sock = sock->next)
        if (!sock->released)
            return false;
    return true;
}

void fake_destroy(struct fake_host *host)
{
    for (struct dmm_sock *sock = host->socks; sock; sock = sock->next)
        if (!sock->closed)
            fake_close(sock, DMM_CLOSE_ABORT);
    struct fake_host *hosts[] = {host, NULL};
    FAKE_CHECK(fake_run(hosts, all_released, host, 600 * FAKE_SECOND));
    host->no_transmit = true;
    host->ops->destroy(host->stack);
    while (host->socks) {
        struct dmm_sock *sock = host->socks;
        host->socks = sock->next;
        free_sock(sock);
    }
    for (unsigned i = 0; i < host->n_ports; i++)
        fake_drop_frames(&host->ports[i]);
}

/* ---- running ---- */

unsigned fake_turn(struct fake_host *host)
{
    if (host->real_time)
        host->now = fake_real_now();
    unsigned done = 0;
    host->flushed = true;
    for (unsigned i = 0; i < host->n_ports; i++)
        done += fake_receive(&host->ports[i]);
    done += host->ops->poll(host->stack);
    for (unsigned i = 0; i < host->n_ports; i++)
        host->flushed &= fake_flush(&host->ports[i]);
    return done;
}

/* Waits for the host's ports, at most `timeout` ns. */
static void sleep_on_ports(struct fake_host *host, uint64_t timeout)
{
    struct pollfd fds[FAKE_PORTS];
    nfds_t n = 0;
    bool frames = false;
    for (unsigned i = 0; i < host->n_ports; i++) {
        struct fake_port *port = &host->ports[i];
        if (port->device) {
            frames |= port->device->ops->arm(port->device);
            fds[n++] = (struct pollfd){port->device->ops->wait_fd(port->device), POLLIN, 0};
        } else if (port->fd >= 0) {
            short events = (short)(POLLIN | (port->was_full ? POLLOUT : 0));
            fds[n++] = (struct pollfd){port->fd, events, 0};
        }
    }
    if (!host->flushed && timeout > DMM_PORT_RETRY_NS)
        timeout = DMM_PORT_RETRY_NS;
    struct timespec ts = {(time_t)(timeout / FAKE_SECOND), (long)(timeout % FAKE_SECOND)};
    if (!frames)
        ppoll(fds, n, &ts, NULL);
    for (unsigned i = 0; i < host->n_ports; i++)
        if (host->ports[i].device)
            host->ports[i].device->ops->disarm(host->ports[i].device);
}

/* Sleeps or moves the clocks to whatever comes next, but not beyond `end`. */
static void advance(struct fake_host *const *hosts, uint64_t end)
{
    uint64_t next = end;
    for (struct fake_host *const *h = hosts; *h; h++) {
        uint64_t deadline = (*h)->ops->next_deadline((*h)->stack);
        next = deadline < next ? deadline : next;
        for (unsigned i = 0; i < (*h)->n_ports; i++) {
            const struct fake_frame *first = (*h)->ports[i].first;
            if (first && first->due < next)
                next = first->due;
        }
    }
    FAKE_CHECK(hosts[0]);
    uint64_t now = hosts[0]->now;
    if (next <= now)
        next = now + 1; /* a deadline that has passed: the next turn is later all the same */
    if (hosts[0]->real_time) {
        FAKE_CHECK(!hosts[1]); /* one host each process */
        sleep_on_ports(hosts[0], next - now);
        return;
    }
    for (struct fake_host *const *h = hosts; *h; h++)
        (*h)->now = next;
}

bool fake_run(struct fake_host *const *hosts, bool (*done)(void *arg), void *arg, uint64_t limit)
{
    struct fake_host *first = hosts[0]; /* the others' clocks go with its */
    if (first->real_time)
        first->now = fake_real_now();
    uint64_t end = first->now + limit;
    for (;;) {
        unsigned work = 0;
        for (struct fake_host *const *h = hosts; *h; h++)
            work += fake_turn(*h);
        if (done && done(arg))
            return true;
        if (first->now >= end)
            return !done;
        if (!work)
            advance(hosts, end);
    }
}

bool fake_run_for(struct fake_host *host, uint64_t duration)
{
    struct fake_host *hosts[] = {host, NULL};
    return fake_run(hosts, NULL, NULL, duration);
}

static bool flag_is_set(void *arg)
{
    return *(const bool *)arg;
}

bool fake_run_until(struct fake_host *host, const bool *flag, uint64_t limit)
{
    struct fake_host *hosts[] = {host, NULL};
    return fake_run(hosts, flag_is_set, (void *)(uintptr_t)flag, limit);
}

/* ---- the app's side ---- */

struct dmm_addr fake_addr(const char *ip, uint16_t port)
{
    struct dmm_addr addr = {.family = strchr(ip, ':') ? AF_INET6 : AF_INET, .port = port};
    FAKE_CHECK(inet_pton(addr.family, ip, addr.ip) == 1);
    return addr;
}

struct dmm_sock *fake_open(struct fake_host *host, uint16_t family, uint16_t type)
{
    struct dmm_open open = {.family = family, .type = type};
    open.protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    struct dmm_sock *sock = new_sock(host, family, type);
    int rc = host->ops->open(host->stack, sock, &open, &sock->ssock);
    if (rc)
        fake_fail(__FILE__, __LINE__, "open: %s", strerror(-rc));
    return sock;
}

int fake_bind(struct dmm_sock *sock, const char *ip, uint16_t port)
{
    struct dmm_addr addr = fake_addr(ip, port);
    int rc = sock->host->ops->bind(sock->ssock, &addr, &sock->local);
    FAKE_CHECK(rc || (sock->local.port && (!port || sock->local.port == port)));
    return rc;
}

int fake_listen(struct dmm_sock *sock, uint32_t backlog)
{
    sock->queue_max = backlog;
    return sock->host->ops->listen(sock->ssock, (int)backlog);
}

int fake_connect(struct dmm_sock *sock, const char *ip, uint16_t port)
{
    struct dmm_addr addr = {0};
    if (ip)
        addr = fake_addr(ip, port);
    return sock->host->ops->connect(sock->ssock, &addr, &sock->local);
}

struct dmm_sock *fake_accept(struct dmm_sock *listener)
{
    struct dmm_sock *sock = listener->queue_first;
    if (!sock)
        return NULL;
    listener->queue_first = sock->queue_next;
    listener->queue_len--;
    listener->host->ops->accept_ready(listener->ssock);
    return sock;
}

uint32_t fake_readable(const struct dmm_sock *sock)
{
    return (uint32_t)(sock->rx_head - sock->rx_tail);
}

uint32_t fake_writable(const struct dmm_sock *sock)
{
    return sock->ring_size - (uint32_t)(sock->tx_head - sock->tx_tail);
}

uint32_t fake_write(struct dmm_sock *sock, const void *data, uint32_t len)
{
    FAKE_CHECK(!sock->closed);
    len = min32(len, fake_writable(sock));
    if (!len)
        return 0;
    copy_in(sock, sock->tx, sock->tx_head, data, len);
    sock->tx_head += len;
    sock->host->ops->send_ready(sock->ssock);
    return len;
}

uint32_t fake_read(struct dmm_sock *sock, void *data, uint32_t len)
{
    len = min32(len, fake_readable(sock));
    if (!len)
        return 0;
    uint32_t from = (uint32_t)(sock->rx_tail % sock->ring_size);
    uint32_t first = min32(len, sock->ring_size - from);
    memcpy(data, sock->rx + from, first);
    memcpy((uint8_t *)data + first, sock->rx, len - first);
    sock->rx_tail += len;
    if (!sock->closed)
        sock->host->ops->receive_space(sock->ssock);
    return len;
}

void fake_sendto(struct dmm_sock *sock, const void *data, uint32_t len, const char *ip,
                 uint16_t port)
{
    struct dmm_datagram head = {.len = len};
    head.iov[0] = (struct iovec){(void *)(uintptr_t)data, len};
    if (ip)
        head.peer = fake_addr(ip, port);
    struct fake_datagram *d = copy_datagram(&head);
    *sock->tx_last = d;
    sock->tx_last = &d->next;
    sock->host->ops->send_ready(sock->ssock);
}

struct fake_datagram *fake_recvfrom(struct dmm_sock *sock)
{
    struct fake_datagram *d = sock->rx_first;
    if (d) {
        sock->rx_first = d->next;
        if (!sock->rx_first)
            sock->rx_last = &sock->rx_first;
    }
    return d;
}

int fake_setsockopt(struct dmm_sock *sock, int level, int name, int value)
{
    return sock->host->ops->setsockopt(sock->ssock, level, name, &value, sizeof(value));
}

int fake_getsockopt(struct dmm_sock *sock, int level, int name)
{
    int value = 0;
    uint32_t len = sizeof(value);
    int rc = sock->host->ops->getsockopt(sock->ssock, level, name, &value, &len);
    return rc ? rc : value;
}

void fake_close(struct dmm_sock *sock, enum dmm_close how)
{
    FAKE_CHECK(!sock->closed);
    sock->closed = true;
    sock->host->ops->close(sock->ssock, how);
}

struct wanted_stat {
    const char *name;
    uint64_t value;
    unsigned found;
};

static void match_stat(void *arg, const char *name, uint64_t value)
{
    struct wanted_stat *wanted = arg;
    if (strcmp(name, wanted->name) != 0)
        return;
    wanted->value = value;
    wanted->found++;
}

uint64_t fake_stat(struct fake_host *host, const char *name)
{
    struct wanted_stat wanted = {.name = name};
    host->ops->stats(host->stack, match_stat, &wanted);
    FAKE_CHECK(wanted.found == 1);
    return wanted.value;
}
