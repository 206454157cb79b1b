/* SPDX-License-Identifier: Apache-2.0 */
/* The lwip stack talking to itself: both ends of each connection on one instance, by its own
 * address. What needs a wire is in lwip_wire_test.c. */
#include "tests/unit/cmocka.h"

#include "sidecar/stacks/built_in.h"
#include "tests/unit/sidecar/fake_host.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL  "10.7.0.1"
#define LOCAL6 "fd07::1"

static struct fake_host host;

static int setup(void **state)
{
    char err[256];
    UNUSED(state);
    fake_init(&host);
    struct fake_port *port = fake_add_port(&host, 1);
    fake_add_address(port, LOCAL, 24);
    fake_add_address(port, LOCAL6, 64);
    int rc = fake_create(&host, &dmm_stack_lwip_ops, "{}", err);
    if (rc)
        fake_fail(__FILE__, __LINE__, "create: %s", err);
    return rc;
}

static int teardown(void **state)
{
    UNUSED(state);
    fake_destroy(&host);
    return 0;
}

struct pair {
    struct dmm_sock *listener, *client, *server;
};

static void connect_pair(struct pair *pair, const char *ip, uint16_t port)
{
    uint16_t family = strchr(ip, ':') ? AF_INET6 : AF_INET;
    pair->listener = fake_open(&host, family, SOCK_STREAM);
    assert_int_equal(fake_bind(pair->listener, ip, port), 0);
    assert_int_equal(fake_listen(pair->listener, FAKE_BACKLOG), 0);
    pair->client = fake_open(&host, family, SOCK_STREAM);
    assert_int_equal(fake_connect(pair->client, ip, port), 0);
    assert_true(fake_run_until(&host, &pair->client->connected, FAKE_SECOND));
    fake_run_for(&host, FAKE_SECOND / 100);
    pair->server = fake_accept(pair->listener);
    assert_non_null(pair->server);
}

static void test_echo(void **state)
{
    UNUSED(state);
    const char *addresses[] = {LOCAL, LOCAL6};
    for (unsigned i = 0; i < 2; i++) {
        struct pair pair;
        char buf[64];
        connect_pair(&pair, addresses[i], 80);
        assert_int_equal(pair.server->peer.port, pair.client->local.port);
        assert_int_equal(pair.client->peer.port, 80);
        assert_int_equal(fake_write(pair.client, "ping", 4), 4);
        fake_run_for(&host, FAKE_SECOND / 100);
        assert_int_equal(fake_read(pair.server, buf, sizeof(buf)), 4);
        assert_memory_equal(buf, "ping", 4);
        fake_write(pair.server, "pong!", 5);
        fake_run_for(&host, FAKE_SECOND / 100);
        assert_int_equal(fake_read(pair.client, buf, sizeof(buf)), 5);
        fake_close(pair.client, DMM_CLOSE_GRACEFUL);
        fake_run_for(&host, FAKE_SECOND / 100);
        assert_true(pair.server->eof);
        fake_close(pair.server, DMM_CLOSE_GRACEFUL);
        fake_close(pair.listener, DMM_CLOSE_GRACEFUL);
        fake_run_for(&host, FAKE_SECOND);
        assert_true(pair.client->released && pair.server->released && pair.listener->released);
    }
}

static void settle(void)
{
    fake_run_for(&host, FAKE_SECOND / 100);
}

static void test_half_close(void **state)
{
    UNUSED(state);
    struct pair pair;
    char buf[64];
    connect_pair(&pair, LOCAL, 80);
    fake_write(pair.client, "question", 8);
    assert_int_equal(host.ops->shutdown(pair.client->ssock, SHUT_WR), 0);
    settle();
    assert_true(pair.server->eof);
    assert_int_equal(fake_read(pair.server, buf, sizeof(buf)), 8);
    fake_write(pair.server, "answer", 6);
    settle();
    assert_int_equal(fake_read(pair.client, buf, sizeof(buf)), 6);
    assert_false(pair.client->eof);
    assert_int_equal(host.ops->shutdown(pair.server->ssock, SHUT_WR), 0);
    settle();
    assert_true(pair.client->eof);
    /* Both directions are closed; the sockets outlive lwIP's TIME-WAIT. */
    fake_run_for(&host, 300 * FAKE_SECOND);
    assert_int_equal(pair.client->error, 0);
    assert_int_equal(fake_stat(&host, "tcp_connections"), 0);
    fake_close(pair.client, DMM_CLOSE_GRACEFUL);
    fake_close(pair.server, DMM_CLOSE_GRACEFUL);
    assert_true(pair.client->released && pair.server->released);
}

static void test_shutdown_read(void **state)
{
    UNUSED(state);
    struct pair pair;
    static char data[100000];
    connect_pair(&pair, LOCAL, 80);
    assert_int_equal(host.ops->shutdown(pair.server->ssock, SHUT_RD), 0);
    assert_int_equal(fake_write(pair.client, data, sizeof(data)), sizeof(data));
    settle();
    assert_int_equal(fake_readable(pair.server), 0);
    assert_int_equal(pair.client->error, 0);
    assert_int_equal(pair.client->tx_tail, sizeof(data));
    fake_write(pair.server, "still", 5);
    settle();
    assert_int_equal(fake_readable(pair.client), 5);
}

/* What is in the ring at close is still delivered, in order, then FIN. */
static void test_graceful_close(void **state)
{
    UNUSED(state);
    struct pair pair;
    static uint8_t out[FAKE_RING];
    static uint8_t in[FAKE_RING];
    host.ring_size = FAKE_RING;
    connect_pair(&pair, LOCAL, 80);
    for (uint32_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 31 >> 4);
    assert_int_equal(fake_write(pair.client, out, sizeof(out)), sizeof(out));
    fake_close(pair.client, DMM_CLOSE_GRACEFUL);
    uint32_t got = 0;
    for (unsigned i = 0; i < 1000 && !pair.server->eof; i++) {
        fake_run_for(&host, FAKE_SECOND / 100);
        got += fake_read(pair.server, in + got, (uint32_t)sizeof(in) - got);
    }
    got += fake_read(pair.server, in + got, (uint32_t)sizeof(in) - got);
    assert_true(pair.server->eof);
    assert_int_equal(got, sizeof(in));
    assert_memory_equal(in, out, sizeof(in));
    assert_true(pair.client->released);
}

/* A reader that never reads: the window closes, nothing is lost, nothing is pushed upon the ring.
 */
static void test_slow_reader(void **state)
{
    UNUSED(state);
    struct pair pair;
    static uint8_t buf[200000];
    host.ring_size = 20000;
    connect_pair(&pair, LOCAL, 80);
    uint64_t written = 0;
    uint64_t got = 0;
    while (got < 1000000) {
        uint32_t n = fake_writable(pair.client);
        for (uint32_t i = 0; i < n; i++)
            buf[i] = (uint8_t)((written + i) * 7);
        written += fake_write(pair.client, buf, n);
        fake_run_for(&host, FAKE_SECOND * 5); /* the window is closed most of the time */
        n = fake_read(pair.server, buf, 15000);
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(buf[i], (uint8_t)((got + i) * 7));
        got += n;
    }
    assert_int_equal(pair.client->error, 0);
}

static void test_abort(void **state)
{
    UNUSED(state);
    struct pair pair;
    connect_pair(&pair, LOCAL, 80);
    fake_close(pair.client, DMM_CLOSE_ABORT);
    assert_true(pair.client->released);
    settle();
    assert_int_equal(pair.server->error, ECONNRESET);
    assert_false(pair.server->eof);
    fake_close(pair.server, DMM_CLOSE_GRACEFUL);
    assert_true(pair.server->released);
    assert_int_equal(fake_stat(&host, "tcp_resets"), 1);
}

/* Data for an app that has closed is answered with RST. */
static void test_close_unread(void **state)
{
    UNUSED(state);
    struct pair pair;
    connect_pair(&pair, LOCAL, 80);
    fake_close(pair.server, DMM_CLOSE_GRACEFUL);
    settle();
    assert_true(pair.client->eof);
    fake_write(pair.client, "late", 4);
    settle();
    assert_int_equal(pair.client->error, ECONNRESET);
}

static void test_connect_errors(void **state)
{
    UNUSED(state);
    struct dmm_sock *sock = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_connect(sock, LOCAL, 4), 0);
    assert_int_equal(fake_connect(sock, LOCAL, 4), -EALREADY);
    settle();
    assert_int_equal(sock->error, ECONNREFUSED);
    /* no route */
    sock = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_connect(sock, "192.0.2.1", 80), -ENETUNREACH);
    struct dmm_sock *sock6 = fake_open(&host, AF_INET6, SOCK_STREAM);
    assert_int_equal(fake_connect(sock6, "fd99::1", 80), -ENETUNREACH);
    assert_int_equal(fake_connect(sock6, LOCAL, 80), -EAFNOSUPPORT);
    /* a neighbour that does not answer ARP */
    assert_int_equal(fake_connect(sock, "10.7.0.99", 80), 0);
    fake_run_for(&host, 10 * FAKE_SECOND);
    assert_int_equal(sock->error, EHOSTUNREACH);
    /* IPv6 has no such notice: the SYNs run out */
    assert_int_equal(fake_connect(sock6, "fd07::99", 80), 0);
    fake_run_for(&host, 600 * FAKE_SECOND);
    assert_int_equal(sock6->error, ETIMEDOUT);
}

static void test_bind(void **state)
{
    UNUSED(state);
    struct dmm_sock *a = fake_open(&host, AF_INET, SOCK_STREAM);
    struct dmm_sock *b = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_bind(a, "192.0.2.1", 80), -EADDRNOTAVAIL);
    assert_int_equal(fake_bind(a, "0.0.0.0", 0), 0);
    assert_in_range(a->local.port, 32768, 60999);
    assert_int_equal(fake_bind(a, "0.0.0.0", 81), -EINVAL);
    assert_int_equal(fake_bind(b, LOCAL, a->local.port), -EADDRINUSE);
    assert_int_equal(fake_listen(a, 5), 0);
    /* SO_REUSEADDR does not reach over a listener */
    fake_setsockopt(b, SOL_SOCKET, SO_REUSEADDR, 1);
    assert_int_equal(fake_bind(b, LOCAL, a->local.port), -EADDRINUSE);
    assert_int_equal(fake_bind(b, LOCAL, 80), 0);
    /* but over TIME-WAIT it does */
    struct pair pair;
    connect_pair(&pair, LOCAL, 90);
    fake_close(pair.server, DMM_CLOSE_GRACEFUL);
    settle();
    fake_close(pair.client, DMM_CLOSE_GRACEFUL);
    fake_close(pair.listener, DMM_CLOSE_GRACEFUL);
    settle();
    assert_int_equal(fake_stat(&host, "tcp_time_wait"), 1);
    struct dmm_sock *c = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_bind(c, LOCAL, 90), -EADDRINUSE);
    fake_setsockopt(c, SOL_SOCKET, SO_REUSEADDR, 1);
    assert_int_equal(fake_bind(c, LOCAL, 90), 0);
    assert_int_equal(fake_listen(c, 5), 0);
}

static void test_dual_stack(void **state)
{
    UNUSED(state);
    struct dmm_sock *both = fake_open(&host, AF_INET6, SOCK_STREAM);
    assert_int_equal(fake_bind(both, "::", 80), 0);
    assert_int_equal(fake_listen(both, 5), 0);
    struct dmm_sock *client = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_connect(client, LOCAL, 80), 0);
    settle();
    struct dmm_sock *server = fake_accept(both);
    assert_non_null(server);
    struct dmm_addr peer = server->peer;
    assert_int_equal(peer.family, AF_INET6);
    dmm_addr_unmap(&peer);
    assert_int_equal(peer.family, AF_INET);
    assert_memory_equal(peer.ip, client->local.ip, 4);

    struct dmm_sock *only6 = fake_open(&host, AF_INET6, SOCK_STREAM);
    assert_int_equal(fake_setsockopt(only6, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    assert_int_equal(fake_bind(only6, "::", 81), 0);
    assert_int_equal(fake_setsockopt(only6, IPPROTO_IPV6, IPV6_V6ONLY, 0), -EINVAL);
    assert_int_equal(fake_listen(only6, 5), 0);
    struct dmm_sock *only4 = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_bind(only4, "0.0.0.0", 81), 0);
    client = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_connect(client, LOCAL, 81), 0);
    settle();
    assert_int_equal(client->error, ECONNREFUSED);
}

static void test_options(void **state)
{
    UNUSED(state);
    static const struct {
        int level, name, bad, good, expect;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 0, 7, 1},    {SOL_SOCKET, SO_KEEPALIVE, 0, 1, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 0, 60, 60}, {IPPROTO_TCP, TCP_KEEPINTVL, 99999, 5, 5},
        {IPPROTO_TCP, TCP_KEEPCNT, 128, 3, 3},  {IPPROTO_IP, IP_TTL, 256, 9, 9},
        {IPPROTO_IP, IP_TOS, -2, 16, 16},
    };
    struct pair pair;
    connect_pair(&pair, LOCAL, 80);
    struct dmm_sock *sock = pair.client;
    assert_int_equal(fake_getsockopt(sock, IPPROTO_IP, IP_TTL), 64);
    for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (options[i].bad)
            assert_int_equal(
                fake_setsockopt(sock, options[i].level, options[i].name, options[i].bad), -EINVAL);
        assert_int_equal(fake_setsockopt(sock, options[i].level, options[i].name, options[i].good),
                         0);
        assert_int_equal(fake_getsockopt(sock, options[i].level, options[i].name),
                         options[i].expect);
    }
    assert_int_equal(fake_setsockopt(sock, IPPROTO_TCP, TCP_CORK, 1), -ENOPROTOOPT);
    assert_int_equal(fake_setsockopt(sock, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 3), -ENOPROTOOPT);
    assert_int_equal(fake_setsockopt(sock, SOL_SOCKET, SO_BROADCAST, 1), -ENOPROTOOPT);
    assert_int_equal(fake_setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, 1), -ENOPROTOOPT);
    assert_int_equal(fake_getsockopt(sock, IPPROTO_TCP, TCP_MAXSEG), 1460);
    struct tcp_info info;
    uint32_t len = sizeof(info);
    assert_int_equal(host.ops->getsockopt(sock->ssock, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    assert_int_equal(len, sizeof(info));
    assert_int_equal(info.tcpi_state, TCP_ESTABLISHED);
    assert_int_equal(info.tcpi_snd_mss, 1460);
    struct dmm_socket_info shown;
    host.ops->socket_info(sock->ssock, &shown);
    assert_string_equal(shown.state, "ESTAB");
    assert_int_equal(shown.local.port, sock->local.port);
    host.ops->socket_info(pair.listener->ssock, &shown);
    assert_string_equal(shown.state, "LISTEN");
}

/* Keepalive ends a connection whose peer went silent. */
static void test_keepalive(void **state)
{
    UNUSED(state);
    struct pair pair;
    connect_pair(&pair, LOCAL, 80);
    fake_setsockopt(pair.client, SOL_SOCKET, SO_KEEPALIVE, 1);
    fake_setsockopt(pair.client, IPPROTO_TCP, TCP_KEEPIDLE, 10);
    fake_setsockopt(pair.client, IPPROTO_TCP, TCP_KEEPINTVL, 2);
    fake_setsockopt(pair.client, IPPROTO_TCP, TCP_KEEPCNT, 3);
    fake_run_for(&host, 100 * FAKE_SECOND);
    assert_int_equal(pair.client->error, 0); /* the other end answers the probes */
}

static void test_datagrams(void **state)
{
    UNUSED(state);
    struct dmm_sock *a = fake_open(&host, AF_INET, SOCK_DGRAM);
    struct dmm_sock *b = fake_open(&host, AF_INET, SOCK_DGRAM);
    assert_int_equal(fake_bind(a, LOCAL, 53), 0);
    fake_sendto(b, "query", 5, LOCAL, 53);
    settle();
    struct fake_datagram *d = fake_recvfrom(a);
    assert_non_null(d);
    assert_memory_equal(d->data, "query", 5);
    assert_int_equal(d->head.local.port, 53);
    assert_true(d->head.ttl != 0);
    free(d);
    /* a connected socket hears its peer only */
    assert_int_equal(fake_connect(b, LOCAL, 54), 0);
    assert_memory_equal(b->local.ip, a->local.ip, 4);
    struct dmm_addr peer = b->local;
    (void)peer;
    fake_sendto(a, "stray", 5, LOCAL, b->local.port);
    settle();
    assert_null(fake_recvfrom(b));
    assert_int_equal(fake_connect(b, NULL, 0), 0); /* dissolved */
    fake_sendto(b, "nowhere", 7, NULL, 0);
    assert_int_equal(b->soft_error, EDESTADDRREQ);
    b->soft_error = 0;
    fake_sendto(b, "x", 1, "192.0.2.1", 1);
    assert_int_equal(b->soft_error, ENETUNREACH);
    fake_sendto(b, "x", 1, "10.7.0.255", 1);
    assert_int_equal(b->soft_error, EACCES);
    assert_int_equal(fake_setsockopt(b, SOL_SOCKET, SO_BROADCAST, 1), 0);
    b->soft_error = 0;
    fake_sendto(b, "x", 1, "10.7.0.255", 1);
    assert_int_equal(b->soft_error, 0);
}

static void test_backlog(void **state)
{
    UNUSED(state);
    struct dmm_sock *clients[8];
    struct dmm_sock *listener = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_bind(listener, LOCAL, 80), 0);
    assert_int_equal(fake_listen(listener, 3), 0);
    for (unsigned i = 0; i < 8; i++) {
        clients[i] = fake_open(&host, AF_INET, SOCK_STREAM);
        assert_int_equal(fake_connect(clients[i], LOCAL, 80), 0);
        fake_write(clients[i], "early", 5);
    }
    settle();
    /* The queue holds three; all SYNs came while it was empty, so the others wait in the stack. */
    assert_int_equal(listener->queue_len, 3);
    unsigned accepted = 0;
    char buf[8];
    for (;;) {
        struct dmm_sock *server = fake_accept(listener);
        if (!server)
            break;
        settle();
        assert_int_equal(fake_read(server, buf, sizeof(buf)), 5);
        accepted++;
    }
    assert_int_equal(accepted, 8);
    /* Those that wait are reset with their listener. */
    for (unsigned i = 0; i < 5; i++) {
        clients[i] = fake_open(&host, AF_INET, SOCK_STREAM);
        assert_int_equal(fake_connect(clients[i], LOCAL, 80), 0);
    }
    settle();
    fake_close(listener, DMM_CLOSE_GRACEFUL);
    settle();
    assert_true(listener->released);
    assert_int_equal(clients[4]->error, ECONNRESET);
}

/* Many connections closed by the server: TIME-WAIT stays bounded, and a new SYN on the ports of one
 * is taken. */
static void test_time_wait(void **state)
{
    UNUSED(state);
    struct dmm_sock *listener = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_bind(listener, LOCAL, 80), 0);
    assert_int_equal(fake_listen(listener, 3), 0);
    for (unsigned i = 0; i < 1500; i++) {
        struct dmm_sock *client = fake_open(&host, AF_INET, SOCK_STREAM);
        assert_int_equal(fake_connect(client, LOCAL, 80), 0);
        fake_run_for(&host, FAKE_SECOND / 1000);
        struct dmm_sock *server = fake_accept(listener);
        assert_non_null(server);
        fake_close(server, DMM_CLOSE_GRACEFUL);
        fake_run_for(&host, FAKE_SECOND / 1000);
        fake_close(client, DMM_CLOSE_GRACEFUL);
    }
    fake_run_for(&host, FAKE_SECOND);
    assert_in_range(fake_stat(&host, "tcp_time_wait"), 1, 512);
    fake_run_for(&host, 130 * FAKE_SECOND);
    assert_int_equal(fake_stat(&host, "tcp_time_wait"), 0);
}

/* Nothing to do: one timer a second, for the neighbour tables. */
static void test_idle(void **state)
{
    UNUSED(state);
    fake_run_for(&host, 60 * FAKE_SECOND);
    unsigned wakes = 0;
    uint64_t end = host.now + 10 * FAKE_SECOND;
    while (host.now < end) {
        uint64_t deadline = host.ops->next_deadline(host.stack);
        assert_true(deadline > host.now);
        host.now = deadline;
        host.ops->poll(host.stack);
        wakes++;
    }
    assert_in_range(wakes, 1, 11);
}

static void refuse(const char *options, const char *expect)
{
    char err[256];
    int rc = fake_create(&host, &dmm_stack_lwip_ops, options, err);
    assert_true(rc < 0);
    if (!strstr(err, expect))
        fail_msg("\"%s\" does not say \"%s\"", err, expect);
}

static void test_refusals(void **state)
{
    UNUSED(state);
    fake_init(&host);
    struct fake_port *port = fake_add_port(&host, 1);
    fake_add_address(port, LOCAL, 24);
    refuse("{\"mtu\": 1}", "options.mtu: unknown key");
    refuse("{\"tso\": 1}", "options.tso: not true or false");
    refuse("{\"receive_window\": 5}", "options.receive_window: not a number of bytes from 4096");
    refuse("{\"send_buffer\": \"1\"}", "options.send_buffer");
    refuse("[]", "options: not an object");
    refuse("{", "options: line 1");
    fake_add_route(port, "10.99.0.0/16", "10.7.0.9");
    refuse("{}", "port net1: route 10.99.0.0/16");
    port->info.n_routes = 0;
    fake_add_route(port, "0.0.0.0/0", "10.8.0.1");
    refuse("{}", "port net1: route 0.0.0.0/0: the gateway is not on link");
    port->info.n_routes = 0;
    fake_add_address(port, "10.7.0.5", 24);
    refuse("{}", "port net1: address 10.7.0.5/24");
    port->info.n_addresses = 1;
    fake_add_address(port, "fd07::1", 48);
    refuse("{}", "port net1: address fd07::1/48");
    /* And what is right is taken after all that. */
    port->info.n_addresses = 1;
    port->info.n_routes = 0;
    fake_add_route(port, "10.7.0.0/24", NULL);
    fake_add_route(port, "0.0.0.0/0", "10.7.0.254");
    char err[256];
    assert_int_equal(fake_create(&host, &dmm_stack_lwip_ops, "{\"tcp_nodelay\": true}", err), 0);
    struct dmm_sock *sock = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_getsockopt(sock, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(fake_connect(sock, "192.0.2.1", 80), 0); /* by the gateway */
    void *second;
    struct dmm_stack_config config = {.name = "second", .options = "{}"};
    assert_int_equal(dmm_stack_lwip_ops.create(&config, &host.services, &second, err, sizeof(err)),
                     -EBUSY);
    assert_non_null(strstr(err, "\"test\""));
    fake_destroy(&host);
}

int main(void)
{
#define LOCAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(test_echo),           LOCAL_TEST(test_half_close),
        LOCAL_TEST(test_shutdown_read),  LOCAL_TEST(test_graceful_close),
        LOCAL_TEST(test_slow_reader),    LOCAL_TEST(test_abort),
        LOCAL_TEST(test_close_unread),   LOCAL_TEST(test_connect_errors),
        LOCAL_TEST(test_bind),           LOCAL_TEST(test_dual_stack),
        LOCAL_TEST(test_options),        LOCAL_TEST(test_keepalive),
        LOCAL_TEST(test_datagrams),      LOCAL_TEST(test_backlog),
        LOCAL_TEST(test_time_wait),      LOCAL_TEST(test_idle),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
