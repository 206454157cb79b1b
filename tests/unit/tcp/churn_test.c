/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections come and go while others carry bytes, and every limit is small: tables, half-open
 * queue, TIME-WAIT, neighbours, ports, memory for what is out of order. The port fills up, the
 * listener goes and comes back, time jumps. Nothing may crash, echoed bytes must be the ones that
 * were sent, and in the end nothing stays allocated. One run a seed, as property_test:
 * TCP_SEED=n runs it alone, TCP_SEEDS=n so many.
 */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/link.h"
#include "tests/unit/tcp/seeds.h"

#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SEEDS     600
#define SECONDS   25 /* of real time at most */
#define MANY      4096
#define TURNS     1500
#define LIFE      (7200 * SEC)
#define CHUNK_MAX 5000
#define PORT      80

/* A socket that its program still uses. */
struct user {
    struct dmm_sock *sock;
    uint64_t read, to_write;
};

struct side {
    struct user users[MANY];
    unsigned n;
};

static struct link wire;
static struct side clients, servers;
static struct dmm_sock *listener;
static uint16_t family;
static unsigned most; /* clients at a time */
/* Ports are few and TIME-WAIT is short: what the wire delays may reach the next connection of the
 * same addresses and ports. Then bytes are not compared. */
static bool in_order;
static uint64_t seed_now;
static uint64_t seen_connects, seen_limits, seen_ports_out;

static void check(bool ok, const char *what)
{
    if (!ok)
        fail_msg("seed %llu: %s (TCP_SEED=%llu runs it)", (unsigned long long)seed_now, what,
                 (unsigned long long)seed_now);
}

static uint32_t any(uint32_t below)
{
    return link_random(&wire, below);
}

static bool one_in(uint32_t n)
{
    return any(n) == 0;
}

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 13 + at / 251);
}

static void add(struct side *side, struct dmm_sock *sock)
{
    side->users[side->n++] = (struct user){.sock = sock, .to_write = any(20000)};
}

static void leave(struct side *side, unsigned i, enum dmm_close how)
{
    node_close(side->users[i].sock, how);
    side->users[i] = side->users[--side->n];
}

/* ---- the two programs ---- */

static void connect_one(void)
{
    struct dmm_sock *sock = node_try_socket(&wire.node[0], family, SOCK_STREAM);
    const uint8_t last = one_in(10) ? (uint8_t)(3 + any(200)) : 2; /* some are not there */
    int rc;

    if (sock == NULL) {
        seen_limits++;
        return;
    }
    if (one_in(8))
        node_setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (one_in(8))
        node_setsockopt(sock, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
    if (one_in(8))
        (void)node_bind(sock, 1, 0, family);
    rc = node_connect(sock, family, last, PORT);
    if (rc < 0) {
        check(rc == -EADDRNOTAVAIL || rc == -ENETDOWN || rc == -ENETUNREACH, "connect's error");
        seen_ports_out++;
        node_close(sock, DMM_CLOSE_GRACEFUL);
        return;
    }
    seen_connects++;
    add(&clients, sock);
}

/* Writes, checks what comes back, closes in one of the ways that there are. */
static void client_turn(unsigned i)
{
    struct user *u = &clients.users[i];
    uint8_t buf[CHUNK_MAX];
    uint32_t n;

    if (u->sock->error != 0 || one_in(200)) {
        leave(&clients, i, one_in(2) ? DMM_CLOSE_ABORT : DMM_CLOSE_GRACEFUL);
        return;
    }
    if (!u->sock->connected)
        return;
    if (u->sock->tx_total < u->to_write && u->sock->tx_len < 65536) {
        n = 1 + any(CHUNK_MAX);
        for (uint32_t k = 0; k < n; k++)
            buf[k] = pattern(u->sock->tx_total + k);
        node_write(u->sock, buf, n);
    }
    n = node_read(u->sock, buf, 1 + any(CHUNK_MAX));
    for (uint32_t k = 0; k < n; k++)
        check(!in_order || buf[k] == pattern(u->read + k), "a byte differs");
    u->read += n;
    if (u->sock->eof || (u->read >= u->to_write && u->read == u->sock->tx_total))
        leave(&clients, i, one_in(8) ? DMM_CLOSE_ABORT : DMM_CLOSE_GRACEFUL);
    else if (one_in(300))
        (void)tcpip_shutdown(u->sock->s, (int)any(3));
}

static void server_turn(unsigned i)
{
    struct user *u = &servers.users[i];
    uint8_t buf[CHUNK_MAX];
    const uint32_t n = u->sock->tx_len < 65536 ? node_read(u->sock, buf, 1 + any(CHUNK_MAX)) : 0;

    if (n > 0 && u->sock->error == 0)
        node_write(u->sock, buf, n);
    if (u->sock->error != 0 || (u->sock->eof && u->sock->rx_len == 0) || one_in(400))
        leave(&servers, i, one_in(8) ? DMM_CLOSE_ABORT : DMM_CLOSE_GRACEFUL);
}

static void accept_some(void)
{
    while (listener != NULL && listener->n_accepted > 0 && servers.n < MANY && !one_in(20)) {
        add(&servers, listener->accepted[--listener->n_accepted]);
        tcpip_accept_ready(listener->s);
    }
}

/* What waits to be accepted is the host's, which closes it. */
static void stop_listening(void)
{
    if (listener == NULL)
        return;
    while (listener->n_accepted > 0)
        node_close(listener->accepted[--listener->n_accepted], DMM_CLOSE_ABORT);
    node_close(listener, DMM_CLOSE_GRACEFUL);
    listener = NULL;
}

static void listen_again(void)
{
    struct dmm_sock *sock = node_try_socket(&wire.node[1], family, SOCK_STREAM);

    if (sock == NULL)
        return;
    if (node_setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        node_bind(sock, 0, PORT, family) < 0 || tcpip_listen(sock->s, (int)any(10)) < 0) {
        node_close(sock, DMM_CLOSE_GRACEFUL);
        return;
    }
    if (one_in(4))
        node_setsockopt(sock, IPPROTO_TCP, TCP_DEFER_ACCEPT, (int)any(20));
    sock->listening = true;
    sock->accept_limit = 1 + any(NODE_ACCEPTED);
    listener = sock;
}

/* ---- what goes wrong around them ---- */

static void block(struct node *node, bool blocked)
{
    if (node->blocked == blocked)
        return;
    node->blocked = blocked;
    if (!blocked)
        tcpip_port_writable(node->ip, 0);
}

static void disturb(void)
{
    struct node *node = &wire.node[any(2)];

    block(node, one_in(4) ? true : false);
    if (one_in(100)) {
        node->port.up = !node->port.up;
        tcpip_port_changed(node->ip, 0);
    }
    if (one_in(100))
        stop_listening();
    if (listener == NULL && one_in(20))
        listen_again();
    if (one_in(50))
        wire.clock += (uint64_t)any(3000) * MS; /* the process did not run */
}

static void choose(struct node *node)
{
    struct tcpip_config *c = &node->config;
    const bool large = most > 200;

    c->syn_cookies = any(2);
    c->timestamps = any(3) > 0;
    c->sack = any(4) > 0;
    c->ecn = (enum tcpip_ecn)any(3);
    c->pacing = one_in(4);
    c->max_connections = large ? MANY : 4 + any(60);
    c->max_half_open = 1 + any(large ? 2000 : 12);
    c->max_time_wait = 1 + any(large ? 1000 : 12);
    c->time_wait_ms = 1 + any(5000);
    c->max_neighbours = 8 + any(8);
    c->max_pmtu = 1 + any(8);
    c->max_out_of_order = 4096 + any(40000);
    c->ports_first = 40000;
    c->ports_last = (uint16_t)(40000 + any(large ? 20000 : 30));
    c->challenge_rate = 1 + any(100);
    node->rx_cap = 500 + any(30000);
    if (any(2)) {
        node->port.offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6;
        node->port.max_gso_size = 65536;
    }
}

static void start(uint64_t seed)
{
    struct link_quality quality = {0};

    link_init(&wire, seed, &quality);
    wire.quality = (struct link_quality){
        .delay_ns = any(2000) * 1000ULL,
        .jitter_ns = any(2) * any(1000) * 1000ULL,
        .loss = one_in(3) ? any(1000) : 0,
        .duplicate = one_in(3) ? any(500) : 0,
        .reorder = one_in(3) ? any(2000) : 0,
        .reorder_ns = any(50) * MS + 1,
        .merge = any(2),
    };
    in_order = wire.quality.jitter_ns == 0 && wire.quality.reorder == 0;
    most = one_in(50) ? 1500 + any(1000) : 1 + any(80);
    family = any(2) ? AF_INET : AF_INET6;
    clients.n = servers.n = 0;
    choose(&wire.node[0]);
    choose(&wire.node[1]);
    link_start(&wire);
    listen_again();
}

static void turn(void)
{
    link_step(&wire, wire.clock + MS);
    accept_some();
    for (unsigned i = servers.n; i-- > 0;)
        server_turn(i);
    for (unsigned i = clients.n; i-- > 0;)
        client_turn(i);
}

/* Everything is closed and the wire works: both must come to rest. */
static void finish(void)
{
    const uint64_t end = wire.clock + LIFE;

    stop_listening();
    while (clients.n > 0)
        leave(&clients, clients.n - 1, DMM_CLOSE_GRACEFUL);
    while (servers.n > 0)
        leave(&servers, servers.n - 1, DMM_CLOSE_GRACEFUL);
    for (unsigned i = 0; i < 2; i++) {
        block(&wire.node[i], false);
        wire.node[i].port.up = true;
        tcpip_port_changed(wire.node[i].ip, 0);
    }
    while (link_step(&wire, end))
        ;
}

static void run_seed(uint64_t seed)
{
    seed_now = seed;
    start(seed);
    for (unsigned i = 0; i < (most > 200 ? TURNS / 4 : TURNS); i++) {
        for (unsigned k = 1 + any(most > 200 ? 40 : 4); k > 0 && clients.n < most; k--)
            connect_one();
        if (one_in(3))
            disturb();
        turn();
    }
    if (seed % 4 != 0) { /* else the instance goes with all that it has */
        finish();
        for (unsigned i = 0; i < 2; i++)
            check(node_holds(&wire.node[i]) == NULL, node_holds(&wire.node[i]));
    } else {
        stop_listening();
    }
    link_stop(&wire);
}

static void limits_are_met_under_traffic(void **state)
{
    uint64_t seeds;

    UNUSED(state);
    seeds = seeds_run(run_seed, SEEDS, SECONDS);
    if (seeds == 0)
        return;
    print_message("%llu seeds: %llu connects, %llu over the limit, %llu without a port\n",
                  (unsigned long long)seeds, (unsigned long long)seen_connects,
                  (unsigned long long)seen_limits, (unsigned long long)seen_ports_out);
    assert_true(seen_connects > 0 && seen_limits > 0 && seen_ports_out > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(limits_are_met_under_traffic)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
