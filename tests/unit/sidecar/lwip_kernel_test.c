/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lwip stack against the kernel's, over a veth with all its offloads on and the packet port:
 * merged 64 KB frames and partial checksums in both directions. In a network namespace of the
 * test's own (needs root, else skipped); the kernel's side runs in a child process.
 */
#include "tests/unit/cmocka.h"

#include "common/err.h"
#include "sidecar/port/port.h"
#include "sidecar/stacks/built_in.h"
#include "tests/unit/sidecar/fake_host.h"
#include "tests/unit/sidecar/pattern.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OURS    "10.7.0.1"
#define THEIRS  "10.7.0.2"
#define OURS6   "fd07::1"
#define THEIRS6 "fd07::2"
#define BULK    (100ull << 20)
#define CHUNK   (256u << 10)

/* ---- the kernel's side, in children ---- */

static int kernel_socket(const char *ip, uint16_t port, int type, struct sockaddr_storage *out)
{
    struct dmm_addr addr = fake_addr(ip, port);
    socklen_t len = sizeof(*out);
    dmm_addr_to_sockaddr(&addr, (struct sockaddr *)out, &len);
    return socket(addr.family, type, 0);
}

static int kernel_connect(const char *ip, uint16_t port, int type)
{
    struct sockaddr_storage addr;
    int fd = kernel_socket(ip, port, type, &addr);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
        _exit(10);
    return fd;
}

static void kernel_send(int fd, uint64_t total)
{
    static uint8_t buf[CHUNK];
    for (uint64_t at = 0; at < total;) {
        uint32_t n = pattern_chunk(total - at, sizeof(buf), sizeof(buf));
        pattern_fill(buf, at, n);
        ssize_t sent = send(fd, buf, n, MSG_NOSIGNAL);
        if (sent <= 0)
            _exit(11);
        at += (uint64_t)sent;
    }
    shutdown(fd, SHUT_WR);
}

static void kernel_receive(int fd, uint64_t total)
{
    static uint8_t buf[CHUNK];
    uint64_t at = 0;
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
        if (!pattern_matches(buf, at, (uint32_t)n))
            _exit(12);
        at += (uint64_t)n;
    }
    if (n || at != total)
        _exit(13);
}

static void kernel_client_sends(const char *ip)
{
    int fd = kernel_connect(ip, 9, SOCK_STREAM);
    kernel_send(fd, BULK);
    kernel_receive(fd, 0); /* our FIN */
}

static void kernel_client_receives(const char *ip)
{
    kernel_receive(kernel_connect(ip, 19, SOCK_STREAM), BULK);
}

static void kernel_server(const char *ip)
{
    struct sockaddr_storage addr;
    int on = 1;
    int fd = kernel_socket(ip, 5000, SOCK_STREAM, &addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8))
        _exit(14);
    int conn = accept(fd, NULL, NULL);
    kernel_receive(conn, BULK);
    kernel_send(conn, BULK);
}

static void kernel_refused(const char *ip)
{
    struct sockaddr_storage addr;
    int fd = kernel_socket(ip, 4, SOCK_STREAM, &addr);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 || errno != ECONNREFUSED)
        _exit(15);
    /* and a port unreachable for a datagram */
    char byte = 0;
    fd = kernel_connect(ip, 4, SOCK_DGRAM);
    send(fd, &byte, 1, 0);
    struct pollfd pfd = {fd, POLLIN, 0};
    poll(&pfd, 1, 2000);
    if (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != ECONNREFUSED)
        _exit(16);
}

static void kernel_datagrams(const char *ip)
{
    static uint8_t buf[65536];
    static const uint32_t lengths[] = {1, 1472, 1473, 8000};
    int fd = kernel_connect(ip, 7, SOCK_DGRAM);
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        pattern_fill(buf, 0, lengths[i]);
        if (send(fd, buf, lengths[i], 0) != (ssize_t)lengths[i])
            _exit(17);
        struct pollfd pfd = {fd, POLLIN, 0};
        if (poll(&pfd, 1, 5000) != 1)
            _exit(18);
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n != (ssize_t)lengths[i] || !pattern_matches(buf, 0, lengths[i]))
            _exit(19);
    }
}

/* ---- ours ---- */

static struct fake_host host;
static struct dmm_port *device;

static void run_command(const char *command)
{
    /* NOLINTNEXTLINE(cert-env33-c): a constant of this file */
    if (system(command) != 0)
        fail_msg("%s", command);
}

static int setup_namespace(void **state)
{
    UNUSED(state);
    if (geteuid() != 0 || unshare(CLONE_NEWNET)) {
        print_message("needs root\n");
        return 0;
    }
    run_command("ip link set lo up && "
                "ip link add veth0 type veth peer name net1 && "
                "sysctl -qw net.ipv6.conf.net1.disable_ipv6=1 && "
                "sysctl -qw net.ipv6.conf.veth0.accept_dad=0 && "
                "ip address add " THEIRS "/24 dev veth0 && "
                "ip address add " THEIRS6 "/64 dev veth0 nodad && "
                "ip link set veth0 up && ip link set net1 up");
    struct dmm_port_config config = {
        .ifname = "net1", .kind = DMM_PORT_PACKET, .link = "veth", .mtu = 1500, .n_addresses = 2};
    config.addresses[0].addr = fake_addr(OURS, 0);
    config.addresses[0].prefix_len = 24;
    config.addresses[1].addr = fake_addr(OURS6, 0);
    config.addresses[1].prefix_len = 64;
    struct dmm_err err = {0};
    if (dmm_port_create(&device, &config, &err))
        fail_msg("%s", err.text);
    return 0;
}

static int teardown_namespace(void **state)
{
    UNUSED(state);
    if (device)
        device->ops->destroy(device);
    return 0;
}

static int setup(void **state)
{
    char err[256];
    UNUSED(state);
    if (!device)
        return 0;
    fake_init(&host);
    fake_link_device(fake_add_port(&host, 1), device);
    if (fake_create(&host, &dmm_stack_lwip_ops, "{}", err))
        fail_msg("create: %s", err);
    return 0;
}

static int teardown(void **state)
{
    UNUSED(state);
    if (device)
        fake_destroy(&host);
    return 0;
}

static struct dmm_sock *listen_on(uint16_t port)
{
    struct dmm_sock *sock = fake_open(&host, AF_INET6, SOCK_STREAM);
    /* The test before may have left TIME-WAIT on the port. */
    assert_int_equal(fake_setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    assert_int_equal(fake_bind(sock, "::", port), 0);
    assert_int_equal(fake_listen(sock, FAKE_BACKLOG), 0);
    return sock;
}

static pid_t start(void (*body)(const char *ip), const char *ip)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody in accept() */
        body(ip);
        _exit(0);
    }
    return pid;
}

static void finish(pid_t pid)
{
    int status = 0;
    for (unsigned i = 0; i < 10000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        fake_run_for(&host, FAKE_SECOND / 1000);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("the kernel's side ended with %d", WEXITSTATUS(status));
}

static struct dmm_sock *accept_on(struct dmm_sock *listener)
{
    for (unsigned i = 0; i < 5000; i++) {
        struct dmm_sock *sock = fake_accept(listener);
        if (sock)
            return sock;
        fake_run_for(&host, FAKE_SECOND / 1000);
    }
    fail_msg("nobody connected");
    return NULL;
}

static void wait_for(const struct dmm_sock *sock, uint64_t last_move)
{
    fake_run_for(&host, FAKE_SECOND / 1000);
    assert_int_equal(sock->error, 0);
    if (host.now - last_move > 20 * FAKE_SECOND)
        fail_msg("stalled at %llu sent, %llu received", (unsigned long long)sock->tx_tail,
                 (unsigned long long)sock->rx_tail);
}

static void our_receive(struct dmm_sock *sock, uint64_t total)
{
    static uint8_t buf[CHUNK];
    uint64_t last_move = host.now;
    while (!sock->eof || fake_readable(sock)) {
        uint64_t at = sock->rx_tail;
        uint32_t n = fake_read(sock, buf, sizeof(buf));
        assert_true(pattern_matches(buf, at, n));
        if (n) {
            last_move = host.now;
            fake_turn(&host);
        } else {
            wait_for(sock, last_move);
        }
    }
    assert_int_equal(sock->rx_tail, total);
}

static void our_send(struct dmm_sock *sock, uint64_t total)
{
    static uint8_t buf[CHUNK];
    uint64_t last_move = host.now;
    while (sock->tx_head < total) {
        uint32_t n = pattern_chunk(total - sock->tx_head, sizeof(buf), fake_writable(sock));
        pattern_fill(buf, sock->tx_head, n);
        if (fake_write(sock, buf, n)) {
            last_move = host.now;
            fake_turn(&host);
        } else {
            wait_for(sock, last_move);
        }
    }
}

static void rate(const char *what, uint64_t started)
{
    double seconds = (double)(host.now - started) / (double)FAKE_SECOND;
    print_message("           %s: %.1f Gbit/s, %llu frames in, %llu out\n", what,
                  (double)BULK * 8 / seconds / 1e9, (unsigned long long)host.ports[0].received,
                  (unsigned long long)host.ports[0].sent);
}

#define NEED_ROOT()                                                                                \
    if (!device)                                                                                   \
    skip()

static void bulk_in(const char *ip)
{
    struct dmm_sock *listener = listen_on(9);
    pid_t pid = start(kernel_client_sends, ip);
    struct dmm_sock *sock = accept_on(listener);
    uint64_t started = host.now;
    our_receive(sock, BULK);
    rate("kernel to lwip", started);
    fake_close(sock, DMM_CLOSE_GRACEFUL);
    fake_close(listener, DMM_CLOSE_GRACEFUL);
    finish(pid);
}

static void bulk_out(const char *ip)
{
    struct dmm_sock *listener = listen_on(19);
    pid_t pid = start(kernel_client_receives, ip);
    struct dmm_sock *sock = accept_on(listener);
    uint64_t started = host.now;
    our_send(sock, BULK);
    fake_close(sock, DMM_CLOSE_GRACEFUL);
    fake_close(listener, DMM_CLOSE_GRACEFUL);
    finish(pid);
    rate("lwip to kernel", started);
    assert_true(host.ports[0].gso_sent > 0);
}

static void test_bulk_in(void **state)
{
    UNUSED(state);
    NEED_ROOT();
    bulk_in(OURS);
    bulk_in(OURS6);
}

static void test_bulk_out(void **state)
{
    UNUSED(state);
    NEED_ROOT();
    bulk_out(OURS);
    bulk_out(OURS6);
}

static void client_both_ways(const char *ip)
{
    pid_t pid = start(kernel_server, ip);
    struct dmm_sock *sock = NULL;
    for (unsigned i = 0; i < 100; i++) {
        sock = fake_open(&host, strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM);
        assert_int_equal(fake_connect(sock, ip, 5000), 0);
        while (!sock->connected && !sock->error)
            fake_run_for(&host, FAKE_SECOND / 100);
        if (sock->connected)
            break;
        assert_int_equal(sock->error, ECONNREFUSED); /* the server is not there yet */
        fake_close(sock, DMM_CLOSE_GRACEFUL);
    }
    our_send(sock, BULK);
    assert_int_equal(host.ops->shutdown(sock->ssock, SHUT_WR), 0);
    our_receive(sock, BULK);
    fake_close(sock, DMM_CLOSE_GRACEFUL);
    finish(pid);
}

static void test_client(void **state)
{
    UNUSED(state);
    NEED_ROOT();
    client_both_ways(THEIRS);
    client_both_ways(THEIRS6);
}

static void test_refused(void **state)
{
    UNUSED(state);
    NEED_ROOT();
    finish(start(kernel_refused, OURS));
    finish(start(kernel_refused, OURS6));
    /* the other way, by ICMP */
    struct dmm_sock *sock = fake_open(&host, AF_INET, SOCK_DGRAM);
    assert_int_equal(fake_connect(sock, THEIRS, 4), 0);
    fake_sendto(sock, "x", 1, NULL, 0);
    fake_run_for(&host, FAKE_SECOND / 5);
    assert_int_equal(sock->soft_error, ECONNREFUSED);
}

static void test_datagrams(void **state)
{
    UNUSED(state);
    NEED_ROOT();
    struct dmm_sock *sock = fake_open(&host, AF_INET6, SOCK_DGRAM);
    assert_int_equal(fake_bind(sock, "::", 7), 0);
    const char *addresses[] = {OURS, OURS6};
    for (unsigned i = 0; i < 2; i++) {
        pid_t pid = start(kernel_datagrams, addresses[i]);
        int status = 0;
        for (unsigned turn = 0; turn < 10000 && waitpid(pid, &status, WNOHANG) == 0; turn++) {
            struct fake_datagram *d;
            fake_run_for(&host, FAKE_SECOND / 1000);
            while ((d = fake_recvfrom(sock)) != NULL) {
                *sock->tx_last = d;
                sock->tx_last = &d->next;
                d->next = NULL;
                host.ops->send_ready(sock->ssock);
            }
        }
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bulk_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bulk_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagrams, setup, teardown),
    };
    return cmocka_run_group_tests(tests, setup_namespace, teardown_namespace);
}
