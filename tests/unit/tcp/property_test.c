/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever the wire does, both applications get the bytes that were sent, both ends come to
 * CLOSED, and nothing stays allocated. One run a seed; the seed of a failing run is printed:
 * TCP_SEED=n runs it alone, TCP_SEEDS=n runs so many.
 */
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/link.h"
#include "tests/unit/tcp/seeds.h"

#include "sidecar/tcpip/counters.h"
#include "sidecar/tcpip/tcp/tcb.h"
#include "sidecar/tcpip/tcp/wire.h"

#include <linux/tcp.h>

#include <stdio.h>
#include <string.h>

#define SEEDS        3000
#define SECONDS      40 /* of real time at most */
#define VIRTUAL_LIFE (3600 * SEC)

static uint8_t pattern(uint64_t at, unsigned side)
{
    return (uint8_t)(at * 13 + at / 251 + (uint64_t)side * 101);
}

struct app {
    struct dmm_sock *sock;
    uint64_t to_send, received, expected;
    uint32_t chunk, read_chunk;
    unsigned read_turns; /* reads each so many turns: the buffer fills meanwhile */
    unsigned turn;
    bool hears_sent; /* by TCP_NOTSENT_LOWAT */
    bool closed;
    unsigned side;
};

static uint64_t seed_now;

static void check(bool ok, const char *what)
{
    if (!ok)
        fail_msg("seed %llu: %s (TCP_SEED=%llu runs it)", (unsigned long long)seed_now, what,
                 (unsigned long long)seed_now);
}

static void app_write(struct app *a)
{
    uint8_t buf[65536];

    while (a->sock->tx_total < a->to_send && a->sock->tx_len < 262144) {
        const uint64_t left = a->to_send - a->sock->tx_total;
        const uint32_t n = left < a->chunk ? (uint32_t)left : a->chunk;

        for (uint32_t i = 0; i < n; i++)
            buf[i] = pattern(a->sock->tx_total + i, a->side);
        node_write(a->sock, buf, n);
    }
}

static void app_read(struct app *a)
{
    uint8_t buf[65536];
    uint32_t n;

    if (++a->turn % a->read_turns != 0)
        return;
    n = node_read(a->sock, buf, a->read_chunk);
    for (uint32_t i = 0; i < n; i++)
        check(buf[i] == pattern(a->received + i, !a->side), "a byte differs");
    a->received += n;
}

/* What went out once and is not acknowledged. */
static uint32_t sent(const struct dmm_sock *sock)
{
    const struct tcb *t = tcb_of(sock->s);

    return t->snd_nxt - t->snd_una;
}

/* Closes once all is sent and read: nobody throws bytes away. */
static void app_turn(struct app *a)
{
    if (a->sock == NULL || !a->sock->connected || a->closed)
        return;
    check(a->sock->error == 0, "the connection failed");
    if (a->hears_sent)
        check(a->sock->tx_sent == sent(a->sock), "the host knows what was sent");
    app_write(a);
    app_read(a);
    if (a->sock->tx_total == a->to_send && a->received == a->expected) {
        a->closed = true;
        node_close(a->sock, DMM_CLOSE_GRACEFUL);
    }
}

static unsigned per_10000(struct link *link, unsigned most)
{
    return link_random(link, 3) == 0 ? link_random(link, most + 1) : 0;
}

static void choose_quality(struct link *link, struct link_quality *q)
{
    *q = (struct link_quality){
        .delay_ns = link_random(link, 4) == 0 ? (uint64_t)link_random(link, 200) * MS
                                              : link_random(link, 2000) * 1000ULL,
        .jitter_ns = (uint64_t)link_random(link, 2) * link_random(link, 1000) * 1000,
        .loss = per_10000(link, 1000),
        .duplicate = per_10000(link, 500),
        .reorder = per_10000(link, 2000),
        .corrupt = per_10000(link, 300),
        .reorder_ns = link_random(link, 50) * MS + 1,
        .merge = link_random(link, 2),
    };
    if (link_random(link, 3) == 0) {
        q->ns_per_byte = 1 + link_random(link, 1000);
        q->queue = 20000 + link_random(link, 100000);
        q->mark_ce = link_random(link, 2);
    }
}

static void choose_node(struct link *link, struct node *node)
{
    static const char *const cc[] = {"cubic", "newreno", "dctcp"};

    snprintf(node->config.congestion_control, sizeof(node->config.congestion_control), "%s",
             cc[link_random(link, 3)]);
    node->config.timestamps = link_random(link, 3) > 0;
    node->config.sack = link_random(link, 4) > 0;
    node->config.wscale = link_random(link, 4) > 0;
    node->config.ecn = (enum tcpip_ecn)link_random(link, 3);
    node->config.pacing = link_random(link, 4) == 0;
    node->rx_cap = link_random(link, 2) == 0 ? 2000 + link_random(link, 100000) : 1024 * 1024;
    if (link_random(link, 2) == 0) {
        node->port.offloads = DMM_OFFLOAD_TX_CSUM | DMM_OFFLOAD_TSO4 | DMM_OFFLOAD_TSO6;
        node->port.max_gso_size = 65536;
    }
    if (link_random(link, 4) == 0)
        node->port.mtu = 1280 + link_random(link, 8000);
}

static void nothing_left(const struct node *node)
{
    const char *held = node_holds(node);

    check(held == NULL, held);
}

/* What was offered is taken, however slowly the application reads. */
static void nothing_refused(const struct node *node)
{
    const struct tcpip_counters *count = tcpip_counters(node->ip);

    if (node->rx_cap < TCP_WINDOW_MAX) /* the handshake offers that before the ring is there */
        return;
    check(count->tcp_rx_full_drop == 0 && count->tcp_rx_full_held == 0,
          "the ring refused bytes within the window");
}

/* Lets the two learn each other's link addresses before the wire goes bad: three lost ARP requests
 * rightly end a connect. */
static void meet(struct link *link, uint16_t family)
{
    const struct link_quality quality = link->quality;
    struct dmm_sock *sock = node_socket(&link->node[0], family, SOCK_STREAM);

    link->quality = (struct link_quality){.delay_ns = MS};
    check(node_connect(sock, family, 2, 81) == 0, "connect");
    while (sock->error == 0)
        link_step(link, link->clock + SEC);
    node_close(sock, DMM_CLOSE_GRACEFUL);
    link->quality = quality;
}

static void run_seed(uint64_t seed)
{
    static struct link link;
    struct link_quality quality = {0};
    struct dmm_sock *listener;
    struct app app[2] = {{.side = 0}, {.side = 1}};
    uint64_t end;

    seed_now = seed;
    link_init(&link, seed, &quality);
    choose_quality(&link, &link.quality);
    choose_node(&link, &link.node[0]);
    choose_node(&link, &link.node[1]);
    if (link.node[0].port.mtu < link.node[1].port.mtu)
        link.node[1].port.mtu = link.node[0].port.mtu;
    link.node[0].port.mtu = link.node[1].port.mtu;
    link_start(&link);

    const uint16_t family = link_random(&link, 2) ? AF_INET : AF_INET6;

    meet(&link, family);
    listener = node_listen(&link.node[1], family, 80, 8);
    app[0].sock = node_socket(&link.node[0], family, SOCK_STREAM);
    for (unsigned i = 0; i < 2; i++) {
        app[i].to_send = link_random(&link, 3) == 0 ? 0 : link_random(&link, 200000);
        app[i].chunk = 1 + link_random(&link, 30000);
        app[i].read_chunk = 1 + link_random(&link, 60000);
        app[i].read_turns = 1 + link_random(&link, 3) * link_random(&link, 20);
    }
    app[0].expected = app[1].to_send;
    app[1].expected = app[0].to_send;
    if (link_random(&link, 3) == 0)
        node_setsockopt(app[0].sock, IPPROTO_TCP, TCP_NODELAY, 1);
    if (link_random(&link, 3) == 0) {
        app[0].hears_sent = true;
        node_setsockopt(app[0].sock, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
    }
    if (app[0].to_send > 0 && link_random(&link, 3) == 0) /* else nobody speaks first */
        node_setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, (int)link_random(&link, 60));
    check(node_connect(app[0].sock, family, 2, 80) == 0, "connect");

    end = link.clock + VIRTUAL_LIFE;
    while (!(app[0].closed && app[1].closed) && link.clock < end) {
        /* an application that reads slowly does so by the clock */
        link_step(&link, link.clock + 10 * MS);
        if (app[1].sock == NULL && listener->n_accepted > 0)
            app[1].sock = listener->accepted[--listener->n_accepted];
        app_turn(&app[0]);
        app_turn(&app[1]);
        check(app[0].sock->error == 0, "the connection failed");
    }
    check(app[0].closed && app[1].closed, "the transfer did not end");
    node_close(listener, DMM_CLOSE_GRACEFUL);
    end = link.clock + 600 * SEC;
    while (link_step(&link, end))
        ;
    nothing_left(&link.node[0]);
    nothing_left(&link.node[1]);
    nothing_refused(&link.node[0]);
    nothing_refused(&link.node[1]);
    link_stop(&link);
}

static void any_seed_delivers(void **state)
{
    uint64_t seeds;

    UNUSED(state);
    seeds = seeds_run(run_seed, SEEDS, SECONDS);
    if (seeds == 0)
        return;
    print_message("%llu seeds\n", (unsigned long long)seeds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_seed_delivers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
