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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
