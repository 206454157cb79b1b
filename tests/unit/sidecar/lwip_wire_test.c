/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two lwip stacks on one wire. lwIP's state is global, so the second one lives in a child process;
 * a socket pair carries the frames. The child serves: echo on 7, a checked sink on 9, a source on
 * 19, a reset on 11; datagrams are echoed on 7.
 */
#include "tests/unit/cmocka.h"

#include "sidecar/stacks/built_in.h"
#include "tests/unit/sidecar/fake_host.h"
#include "tests/unit/sidecar/pattern.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OURS    "10.7.0.1"
#define THEIRS  "10.7.0.2"
#define OURS6   "fd07::1"
#define THEIRS6 "fd07::2"
#define BULK    (100u << 20)
#define LOSSY   (8u << 20)
#define CHUNK   (64u << 10)

static void setup_host(struct fake_host *host, int fd, uint8_t n)
{
    char err[256];
    fake_init(host);
    struct fake_port *port = fake_add_port(host, n);
    fake_add_address(port, n == 1 ? OURS : THEIRS, 24);
    fake_add_address(port, n == 1 ? OURS6 : THEIRS6, 64);
    fake_link_fd(port, fd);
    if (fake_create(host, &dmm_stack_lwip_ops, "{}", err))
        fake_fail(__FILE__, __LINE__, "create: %s", err);
}

/* ---- the child ---- */

static void __attribute__((format(printf, 3, 4), noreturn))
fail_child(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "peer: %s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    _exit(1);
}

static void serve_echo(struct dmm_sock *sock)
{
    static uint8_t buf[CHUNK];
    uint32_t n = fake_writable(sock);
    n = fake_read(sock, buf, n < sizeof(buf) ? n : sizeof(buf));
    fake_write(sock, buf, n);
    if (sock->eof && !fake_readable(sock))
        fake_close(sock, DMM_CLOSE_GRACEFUL);
}

static void serve_sink(struct dmm_sock *sock)
{
    static uint8_t buf[CHUNK];
    uint64_t at = sock->rx_tail;
    uint32_t n = fake_read(sock, buf, sizeof(buf));
    if (!pattern_matches(buf, at, n))
        fake_fail(__FILE__, __LINE__, "byte of %u at %llu differs", n, (unsigned long long)at);
    if (sock->eof && !fake_readable(sock)) {
        uint64_t total = sock->rx_tail;
        fake_write(sock, &total, sizeof(total));
        fake_close(sock, DMM_CLOSE_GRACEFUL);
    }
}

/* The first 8 bytes that come say how many to send. */
static void serve_source(struct dmm_sock *sock)
{
    static uint8_t buf[CHUNK];
    uint64_t total;
    if (fake_readable(sock) < sizeof(total))
        return;
    memcpy(&total, sock->rx, sizeof(total));
    while (sock->tx_head < total && fake_writable(sock)) {
        uint32_t n = pattern_chunk(total - sock->tx_head, sizeof(buf), fake_writable(sock));
        pattern_fill(buf, sock->tx_head, n);
        fake_write(sock, buf, n);
    }
    if (sock->tx_head == total)
        fake_close(sock, DMM_CLOSE_GRACEFUL);
}

static void serve_reset(struct dmm_sock *sock)
{
    fake_close(sock, DMM_CLOSE_ABORT);
}

static void serve_datagrams(struct dmm_sock *sock)
{
    struct fake_datagram *d;
    while ((d = fake_recvfrom(sock)) != NULL) {
        d->head.local = (struct dmm_addr){0};
        *sock->tx_last = d;
        sock->tx_last = &d->next;
        d->next = NULL;
        sock->host->ops->send_ready(sock->ssock);
    }
}

static const struct service {
    uint16_t port;
    void (*serve)(struct dmm_sock *sock);
} services[] = {{7, serve_echo}, {9, serve_sink}, {19, serve_source}, {11, serve_reset}};
#define N_SERVICES (sizeof(services) / sizeof(services[0]))

static void serve_connections(struct fake_host *host)
{
    for (struct dmm_sock *sock = host->socks; sock; sock = sock->next) {
        if (!sock->connected || sock->closed)
            continue;
        if (sock->error) {
            fake_close(sock, DMM_CLOSE_ABORT);
            continue;
        }
        for (unsigned i = 0; i < N_SERVICES; i++)
            if (services[i].port == sock->local.port)
                services[i].serve(sock);
    }
}

static void run_child(int fd)
{
    static struct fake_host peer;
    struct dmm_sock *listeners[N_SERVICES];
    fake_fail = fail_child;
    setup_host(&peer, fd, 2);
    for (unsigned i = 0; i < N_SERVICES; i++) {
        listeners[i] = fake_open(&peer, AF_INET6, SOCK_STREAM);
        FAKE_CHECK(fake_bind(listeners[i], "::", services[i].port) == 0);
        FAKE_CHECK(fake_listen(listeners[i], FAKE_BACKLOG) == 0);
    }
    struct dmm_sock *datagrams = fake_open(&peer, AF_INET6, SOCK_DGRAM);
    FAKE_CHECK(fake_bind(datagrams, "::", 7) == 0);
    for (;;) {
        fake_run_for(&peer, FAKE_SECOND / 1000);
        for (unsigned i = 0; i < N_SERVICES; i++)
            while (fake_accept(listeners[i]) != NULL) {
            }
        serve_connections(&peer);
        serve_datagrams(datagrams);
    }
}

/* ---- ours ---- */

static struct fake_host host;
static pid_t child;

static int setup(void **state)
{
    int fds[2];
    UNUSED(state);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        close(fds[0]);
        run_child(fds[1]);
    }
    close(fds[1]);
    setup_host(&host, fds[0], 1);
    return 0;
}

static int teardown(void **state)
{
    int status;
    UNUSED(state);
    fake_destroy(&host);
    close(host.ports[0].fd);
    bool alive = waitpid(child, &status, WNOHANG) == 0;
    kill(child, SIGKILL);
    if (alive)
        waitpid(child, &status, 0);
    return alive ? 0 : -1; /* a peer that failed has said so and exited */
}

static struct dmm_sock *connect_to(const char *ip, uint16_t port)
{
    struct dmm_sock *sock = fake_open(&host, strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM);
    assert_int_equal(fake_connect(sock, ip, port), 0);
    assert_true(fake_run_until(&host, &sock->connected, 10 * FAKE_SECOND));
    return sock;
}

static void send_all(struct dmm_sock *sock, uint64_t total)
{
    static uint8_t buf[CHUNK];
    uint64_t limit = host.now + 120 * FAKE_SECOND;
    while (sock->tx_head < total) {
        uint32_t n = pattern_chunk(total - sock->tx_head, sizeof(buf), fake_writable(sock));
        pattern_fill(buf, sock->tx_head, n);
        if (!fake_write(sock, buf, n))
            fake_run_for(&host, FAKE_SECOND / 1000);
        fake_turn(&host);
        assert_true(host.now < limit && !sock->error);
    }
}

static void receive_all(struct dmm_sock *sock, uint64_t total)
{
    static uint8_t buf[CHUNK];
    uint64_t limit = host.now + 120 * FAKE_SECOND;
    while (sock->rx_tail < total) {
        uint64_t at = sock->rx_tail;
        uint32_t n = fake_read(sock, buf, sizeof(buf));
        assert_true(pattern_matches(buf, at, n));
        fake_run_for(&host, n ? 1 : FAKE_SECOND / 1000);
        assert_true(host.now < limit && !sock->error);
    }
}

static void transfer_out(const char *ip, uint64_t total)
{
    struct dmm_sock *sock = connect_to(ip, 9);
    send_all(sock, total);
    assert_int_equal(host.ops->shutdown(sock->ssock, SHUT_WR), 0);
    assert_true(fake_run_until(&host, &sock->eof, 60 * FAKE_SECOND));
    uint64_t got = 0;
    assert_int_equal(fake_read(sock, &got, sizeof(got)), sizeof(got));
    assert_int_equal(got, total);
    fake_close(sock, DMM_CLOSE_GRACEFUL);
}

static void transfer_in(const char *ip, uint64_t total)
{
    struct dmm_sock *sock = connect_to(ip, 19);
    fake_write(sock, &total, sizeof(total));
    receive_all(sock, total);
    assert_true(fake_run_until(&host, &sock->eof, 60 * FAKE_SECOND));
    assert_int_equal(fake_readable(sock), 0);
    fake_close(sock, DMM_CLOSE_GRACEFUL);
}

static void test_echo(void **state)
{
    UNUSED(state);
    const char *addresses[] = {THEIRS, THEIRS6};
    for (unsigned i = 0; i < 2; i++) {
        struct dmm_sock *sock = connect_to(addresses[i], 7);
        send_all(sock, 1000);
        receive_all(sock, 1000);
        fake_close(sock, DMM_CLOSE_GRACEFUL);
        assert_true(fake_run_until(&host, &sock->released, FAKE_SECOND));
    }
}

static void test_bulk(void **state)
{
    UNUSED(state);
    transfer_out(THEIRS, BULK);
    transfer_in(THEIRS, BULK);
    assert_true(host.ports[0].gso_sent > 0);
    transfer_out(THEIRS6, BULK / 4);
    transfer_in(THEIRS6, BULK / 4);
}

static void test_loss(void **state)
{
    UNUSED(state);
    host.ports[0].faults = (struct fake_faults){.lose_ppm = 1000, .wire = true};
    transfer_out(THEIRS, LOSSY);
    assert_true(fake_stat(&host, "tcp_retransmits") > 0);
    transfer_in(THEIRS, LOSSY); /* loses ACKs */
    assert_true(host.ports[0].lost > 0);
}

static void test_reset(void **state)
{
    UNUSED(state);
    struct dmm_sock *sock = connect_to(THEIRS, 11);
    while (!sock->error)
        fake_run_for(&host, FAKE_SECOND / 1000);
    assert_int_equal(sock->error, ECONNRESET);
}

static void test_refused(void **state)
{
    UNUSED(state);
    struct dmm_sock *sock = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_connect(sock, THEIRS, 4), 0);
    while (!sock->error)
        fake_run_for(&host, FAKE_SECOND / 1000);
    assert_int_equal(sock->error, ECONNREFUSED);
    assert_false(sock->connected);
}

static void echo_datagram(const char *ip, uint32_t len)
{
    static uint8_t buf[65536];
    struct dmm_sock *sock = fake_open(&host, strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM);
    pattern_fill(buf, 0, len);
    fake_sendto(sock, buf, len, ip, 7);
    struct fake_datagram *d = NULL;
    for (unsigned i = 0; i < 1000 && !d; i++) {
        fake_run_for(&host, FAKE_SECOND / 1000);
        d = fake_recvfrom(sock);
    }
    assert_non_null(d);
    assert_int_equal(d->head.len, len);
    assert_true(pattern_matches(d->data, 0, len));
    assert_int_equal(d->head.peer.port, 7);
    assert_int_equal(d->head.ifindex, 1);
    free(d);
    fake_close(sock, DMM_CLOSE_GRACEFUL);
}

static void test_datagrams(void **state)
{
    UNUSED(state);
    const char *addresses[] = {THEIRS, THEIRS6};
    const uint32_t lengths[] = {0, 1, 1400, 4000, 9000};
    for (unsigned a = 0; a < 2; a++)
        for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
            echo_datagram(addresses[a], lengths[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bulk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagrams, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
