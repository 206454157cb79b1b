/* SPDX-License-Identifier: Apache-2.0 */
/* The neighbour cache: each transition of RFC 4861, 7.3, its queue and its limits. */
#include "sidecar/tcpip/net/neigh.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdlib.h>

#define SEC 1000000000ull

struct bench {
    struct tcpip_counters count;
    struct net_neigh_table *t;
    unsigned n_solicits, n_unicast, n_sent, n_unreachable, n_lost;
    struct ip_addr target;
    struct net_mac to;
    uint8_t packet[64];
    size_t len;
    uint32_t random;
};

static const struct net_mac mac_a = {{2, 0, 0, 0, 0, 0xa}}, mac_b = {{2, 0, 0, 0, 0, 0xb}};

static void solicit(void *ctx, unsigned ifindex, const struct ip_addr *target,
                    const struct net_mac *mac)
{
    struct bench *b = ctx;
    UNUSED(ifindex);
    b->n_solicits++;
    b->n_unicast += mac != NULL;
    b->target = *target;
}

static void send_packet(void *ctx, unsigned ifindex, const struct net_mac *mac,
                        const uint8_t *packet, size_t len)
{
    struct bench *b = ctx;
    UNUSED(ifindex);
    b->n_sent++;
    b->to = *mac;
    memcpy(b->packet, packet, len);
    b->len = len;
}

static void unreachable(void *ctx, unsigned ifindex, const struct ip_addr *target,
                        const uint8_t *packet, size_t len)
{
    struct bench *b = ctx;
    UNUSED(packet);
    UNUSED(len);
    b->n_unreachable++;
    /* It may call back in: the entry is gone by then. */
    assert_null(net_neigh_find(b->t, ifindex, target));
}

static void lost(void *ctx, unsigned ifindex, const struct ip_addr *target)
{
    struct bench *b = ctx;
    UNUSED(ifindex);
    UNUSED(target);
    b->n_lost++;
}

static uint32_t random32(void *ctx)
{
    struct bench *b = ctx;
    return b->random = b->random * 1664525u + 1013904223u;
}

static void start(struct bench *b, unsigned entries, unsigned packets)
{
    memset(b, 0, sizeof(*b));
    const struct net_neigh_ops ops = {.solicit = solicit,
                                      .send = send_packet,
                                      .unreachable = unreachable,
                                      .lost = lost,
                                      .random = random32,
                                      .counters = &b->count};
    const struct net_neigh_config config = {
        .max_entries = entries, .max_packets = packets, .packet_size = 64};
    b->t = net_neigh_create(&config, &ops, b);
    assert_non_null(b->t);
}

static struct ip_addr host(unsigned n)
{
    return net_ip_v4_of(10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n);
}

static int state(const struct bench *b, const struct ip_addr *a)
{
    const struct net_neigh *e = net_neigh_find(b->t, 0, a);
    return e ? e->state : NET_NEIGH_FREE;
}

static void advert(struct bench *b, const struct ip_addr *a, const struct net_mac *mac,
                   bool solicited, bool override, uint64_t now)
{
    net_neigh_advert(b->t,
                     &(struct net_neigh_advert){
                         .target = *a, .mac = mac, .solicited = solicited, .override = override},
                     now);
}

static int resolve(struct bench *b, const struct ip_addr *a, uint64_t now, struct net_mac *mac)
{
    return net_neigh_resolve(b->t, 0, a, NET_NEIGH_OWN, now, mac);
}

static void reach(struct bench *b, const struct ip_addr *a, uint64_t now)
{
    struct net_mac mac;
    resolve(b, a, now, &mac);
    advert(b, a, &mac_a, true, true, now);
    assert_int_equal(state(b, a), NET_NEIGH_REACHABLE);
}

static void test_resolution(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    struct net_mac mac;
    UNUSED(s);
    start(&b, 16, 8);
    assert_int_equal(resolve(&b, &a, SEC, &mac), -EAGAIN);
    assert_int_equal(b.n_solicits, 1);
    assert_int_equal(b.n_unicast, 0);
    assert_int_equal(resolve(&b, &a, SEC, &mac), -EAGAIN);
    assert_int_equal(b.n_solicits, 1); /* RFC 1122, 2.3.2.1: at most one a second */
    assert_int_equal(net_neigh_wait(b.t, 0, &a, (const uint8_t *)"one", 3), 0);
    advert(&b, &a, &mac_a, true, true, 2 * SEC);
    assert_int_equal(b.n_sent, 1);
    assert_memory_equal(b.packet, "one", 3);
    assert_true(net_mac_equal(&b.to, &mac_a));
    assert_int_equal(resolve(&b, &a, 2 * SEC, &mac), 0);
    assert_true(net_mac_equal(&mac, &mac_a));
    assert_int_equal(net_neigh_wait(b.t, 0, &a, (const uint8_t *)"x", 1), -ENOENT);
    net_neigh_destroy(b.t);
}

static void test_failure(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    struct net_mac mac;
    UNUSED(s);
    start(&b, 16, 8);
    resolve(&b, &a, 0, &mac);
    net_neigh_wait(b.t, 0, &a, (const uint8_t *)"x", 1);
    for (uint64_t now = 0; now < 3 * SEC; now += SEC / 10)
        net_neigh_poll(b.t, now);
    assert_int_equal(b.n_solicits, NET_MAX_MULTICAST_SOLICIT);
    assert_int_equal(b.n_unreachable, 0);
    assert_int_equal(net_neigh_deadline(b.t), 3 * SEC);
    net_neigh_poll(b.t, 3 * SEC);
    assert_int_equal(b.n_unreachable, 1);
    assert_int_equal(b.n_lost, 0);
    assert_int_equal(state(&b, &a), NET_NEIGH_FREE);
    assert_int_equal(net_neigh_deadline(b.t), UINT64_MAX);
    assert_int_equal(b.count.neigh_failed_drop, 1);
    net_neigh_destroy(b.t);
}

static void test_queue_keeps_the_newest(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    struct net_mac mac;
    uint8_t big[65] = {0};
    UNUSED(s);
    start(&b, 16, 4);
    resolve(&b, &a, 0, &mac);
    for (uint8_t i = 0; i < 10; i++)
        assert_int_equal(net_neigh_wait(b.t, 0, &a, &i, 1), 0);
    assert_int_equal(b.count.neigh_queue_limit, 10 - NET_NEIGH_QUEUE);
    assert_int_equal(net_neigh_wait(b.t, 0, &a, big, 65), -EMSGSIZE);
    struct ip_addr c = host(2);
    resolve(&b, &c, 0, &mac);
    assert_int_equal(net_neigh_wait(b.t, 0, &c, big, 1), 0);
    assert_int_equal(net_neigh_wait(b.t, 0, &c, big, 1), -ENOBUFS); /* four in all */
    advert(&b, &a, &mac_a, true, true, 1);
    assert_int_equal(b.n_sent, NET_NEIGH_QUEUE);
    assert_int_equal(b.packet[0], 9);
    assert_int_equal(net_neigh_wait(b.t, 0, &c, big, 1), 0); /* slots came back */
    net_neigh_destroy(b.t);
}

static void test_reachable_stale_delay_probe(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    struct net_mac mac;
    UNUSED(s);
    start(&b, 16, 8);
    reach(&b, &a, 0);
    /* ReachableTime is 15 to 45 s; without use nothing is sent for ever. */
    net_neigh_poll(b.t, SEC);
    assert_int_equal(net_neigh_deadline(b.t), UINT64_MAX);
    assert_int_equal(resolve(&b, &a, 14 * SEC, &mac), 0);
    assert_int_equal(state(&b, &a), NET_NEIGH_REACHABLE);
    assert_int_equal(resolve(&b, &a, 46 * SEC, &mac), 0);
    assert_int_equal(state(&b, &a), NET_NEIGH_DELAY);
    assert_int_equal(net_neigh_deadline(b.t), 51 * SEC);
    assert_int_equal(b.n_solicits, 1);
    net_neigh_poll(b.t, 51 * SEC);
    assert_int_equal(state(&b, &a), NET_NEIGH_PROBE);
    assert_int_equal(b.n_unicast, 1);
    assert_int_equal(resolve(&b, &a, 51 * SEC, &mac), 0); /* traffic goes on */
    net_neigh_poll(b.t, 52 * SEC);
    net_neigh_poll(b.t, 53 * SEC);
    assert_int_equal(b.n_unicast, 3);
    net_neigh_poll(b.t, 54 * SEC);
    assert_int_equal(state(&b, &a), NET_NEIGH_FREE);
    assert_int_equal(b.n_lost, 1);
    net_neigh_destroy(b.t);
}

static void test_confirmations(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    struct net_mac mac;
    UNUSED(s);
    start(&b, 16, 8);
    reach(&b, &a, 0);
    uint32_t ref = net_neigh_ref(b.t, net_neigh_find(b.t, 0, &a));
    resolve(&b, &a, 46 * SEC, &mac);
    assert_int_equal(state(&b, &a), NET_NEIGH_DELAY);
    net_neigh_confirm(b.t, ref, 47 * SEC);
    assert_int_equal(state(&b, &a), NET_NEIGH_REACHABLE);
    net_neigh_suspect(b.t, ref, 48 * SEC);
    assert_int_equal(state(&b, &a), NET_NEIGH_PROBE);
    assert_int_equal(b.n_unicast, 1);
    advert(&b, &a, &mac_a, true, false, 48 * SEC);
    assert_int_equal(state(&b, &a), NET_NEIGH_REACHABLE);
    net_neigh_destroy(b.t);
}

/* RFC 4861, 7.2.5 and appendix C, row by row, for an entry that has an address. */
static void test_adverts(void **s)
{
    static const struct {
        bool solicited, override, differs, given;
        int before, after; /* NET_NEIGH_*; before REACHABLE or STALE */
        bool takes;
    } rows[] = {
        {false, false, false, true, NET_NEIGH_REACHABLE, NET_NEIGH_REACHABLE, false},
        {false, false, true, true, NET_NEIGH_REACHABLE, NET_NEIGH_STALE, false},
        {false, false, true, true, NET_NEIGH_STALE, NET_NEIGH_STALE, false},
        {true, false, false, true, NET_NEIGH_STALE, NET_NEIGH_REACHABLE, false},
        {true, false, true, true, NET_NEIGH_REACHABLE, NET_NEIGH_STALE, false},
        {true, false, true, true, NET_NEIGH_STALE, NET_NEIGH_STALE, false},
        {true, true, true, true, NET_NEIGH_STALE, NET_NEIGH_REACHABLE, true},
        {false, true, true, true, NET_NEIGH_REACHABLE, NET_NEIGH_STALE, true},
        {false, true, false, true, NET_NEIGH_REACHABLE, NET_NEIGH_REACHABLE, false},
        {true, false, false, false, NET_NEIGH_STALE, NET_NEIGH_REACHABLE, false},
        {false, true, false, false, NET_NEIGH_REACHABLE, NET_NEIGH_REACHABLE, false},
    };
    UNUSED(s);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bench b;
        struct ip_addr a = host(1);
        start(&b, 16, 8);
        if (rows[i].before == NET_NEIGH_REACHABLE)
            reach(&b, &a, 0);
        else
            net_neigh_heard(b.t, 0, &a, &mac_a, true, 0);
        assert_int_equal(state(&b, &a), rows[i].before);
        advert(&b, &a,
               !rows[i].given    ? NULL
               : rows[i].differs ? &mac_b
                                 : &mac_a,
               rows[i].solicited, rows[i].override, SEC);
        assert_int_equal(state(&b, &a), rows[i].after);
        const struct net_neigh *e = net_neigh_find(b.t, 0, &a);
        assert_true(net_mac_equal(&e->mac, rows[i].takes ? &mac_b : &mac_a));
        net_neigh_destroy(b.t);
    }
}

static void test_unasked_advert_makes_nothing(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    struct net_mac mac;
    UNUSED(s);
    start(&b, 16, 8);
    advert(&b, &a, &mac_a, true, true, 0);
    assert_int_equal(net_neigh_count(b.t), 0);
    /* INCOMPLETE: without an address it stays, unsolicited it becomes STALE and the packet goes. */
    resolve(&b, &a, 0, &mac);
    net_neigh_wait(b.t, 0, &a, (const uint8_t *)"x", 1);
    advert(&b, &a, NULL, true, true, 0);
    assert_int_equal(state(&b, &a), NET_NEIGH_INCOMPLETE);
    advert(&b, &a, &mac_a, false, false, 0);
    assert_int_equal(state(&b, &a), NET_NEIGH_STALE);
    assert_int_equal(b.n_sent, 1);
    net_neigh_destroy(b.t);
}

static void test_heard(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    UNUSED(s);
    start(&b, 16, 8);
    net_neigh_heard(b.t, 0, &a, &mac_a, false, 0);
    assert_int_equal(net_neigh_count(b.t), 0);
    reach(&b, &a, 0);
    net_neigh_heard(b.t, 0, &a, &mac_a, true, 0);
    assert_int_equal(state(&b, &a), NET_NEIGH_REACHABLE);
    net_neigh_heard(b.t, 0, &a, &mac_b, true, 0);
    assert_int_equal(state(&b, &a), NET_NEIGH_STALE);
    assert_true(net_mac_equal(&net_neigh_find(b.t, 0, &a)->mac, &mac_b));
    net_neigh_destroy(b.t);
}

static void test_router_flag(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    UNUSED(s);
    start(&b, 16, 8);
    reach(&b, &a, 0);
    net_neigh_set_router(b.t, 0, &a, true);
    struct net_neigh_advert n = {.target = a, .mac = &mac_b, .solicited = true, .router = false};
    assert_false(net_neigh_advert(b.t, &n, 0)); /* refused override changes nothing else */
    assert_true(net_neigh_find(b.t, 0, &a)->is_router);
    n.override = true;
    assert_true(net_neigh_advert(b.t, &n, 0));
    assert_false(net_neigh_find(b.t, 0, &a)->is_router);
    net_neigh_destroy(b.t);
}

/* A flood of either kind leaves the proved entries and the other class alone. */
static void test_floods_are_bounded(void **s)
{
    struct bench b;
    struct net_mac mac;
    UNUSED(s);
    start(&b, 64, 8);
    for (unsigned i = 0; i < 10; i++) {
        struct ip_addr a = host(i);
        reach(&b, &a, 0);
    }
    struct ip_addr own = host(50);
    assert_int_equal(resolve(&b, &own, 0, &mac), -EAGAIN);
    for (unsigned i = 0; i < 100000; i++) {
        struct ip_addr a = host(1000 + i);
        if (i % 2)
            net_neigh_heard(b.t, 0, &a, &mac_b, true, 1);
        else
            net_neigh_resolve(b.t, 0, &a, NET_NEIGH_STRANGER, 1, &mac);
        assert_true(net_neigh_count(b.t) <= 64);
    }
    assert_int_equal(net_neigh_count(b.t), 11 + 16); /* the strangers' quota is a quarter */
    assert_true(b.count.neigh_limit >= 99000);
    for (unsigned i = 0; i < 10; i++) {
        struct ip_addr a = host(i);
        assert_int_equal(resolve(&b, &a, 2, &mac), 0);
    }
    assert_int_equal(state(&b, &own), NET_NEIGH_INCOMPLETE);
    /* The instance's own scan has half the table. */
    for (unsigned i = 0; i < 1000; i++) {
        struct ip_addr a = host(500000 + i);
        resolve(&b, &a, 3, &mac);
    }
    assert_true(net_neigh_count(b.t) <= 10 + 16 + 32);
    struct ip_addr a = host(0);
    assert_int_equal(resolve(&b, &a, 4, &mac), 0);
    net_neigh_destroy(b.t);
}

/* A table full of proved entries: those in use stay, an idle one makes room. */
static void test_full_of_proved(void **s)
{
    struct bench b;
    struct net_mac mac;
    UNUSED(s);
    start(&b, 16, 8);
    for (unsigned i = 0; i < 16; i++) {
        struct ip_addr a = host(i);
        reach(&b, &a, 0);
    }
    struct ip_addr extra = host(100);
    assert_int_equal(resolve(&b, &extra, SEC, &mac), -ENOBUFS);
    uint64_t later = NET_NEIGH_IN_USE + 100 * SEC;
    for (unsigned i = 0; i < 15; i++) {
        struct ip_addr a = host(i);
        resolve(&b, &a, later, &mac);
    }
    assert_int_equal(resolve(&b, &extra, later, &mac), -EAGAIN);
    struct ip_addr idle = host(15);
    assert_int_equal(state(&b, &idle), NET_NEIGH_FREE);
    assert_int_equal(net_neigh_count(b.t), 16);
    net_neigh_destroy(b.t);
}

static void test_ref_dies_with_its_entry(void **s)
{
    struct bench b;
    struct ip_addr a = host(1);
    UNUSED(s);
    start(&b, 16, 8);
    reach(&b, &a, 0);
    uint32_t ref = net_neigh_ref(b.t, net_neigh_find(b.t, 0, &a));
    assert_int_not_equal(ref, 0);
    assert_non_null(net_neigh_use(b.t, ref, 1));
    net_neigh_flush(b.t, 0);
    assert_null(net_neigh_use(b.t, ref, 1));
    reach(&b, &a, 2);
    assert_null(net_neigh_use(b.t, ref, 2));
    assert_null(net_neigh_use(b.t, 0, 2));
    assert_null(net_neigh_use(b.t, UINT32_MAX, 2));
    net_neigh_destroy(b.t);
}

static void test_refuses_senseless_limits(void **s)
{
    const struct net_neigh_ops ops = {.random = random32};
    struct net_neigh_config c = {.max_entries = 4, .max_packets = 1, .packet_size = 64};
    UNUSED(s);
    assert_null(net_neigh_create(&c, &ops, NULL));
    c.max_entries = 40000;
    assert_null(net_neigh_create(&c, &ops, NULL));
    c.max_entries = 16;
    c.max_packets = 0;
    assert_null(net_neigh_create(&c, &ops, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolution),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_queue_keeps_the_newest),
        cmocka_unit_test(test_reachable_stale_delay_probe),
        cmocka_unit_test(test_confirmations),
        cmocka_unit_test(test_adverts),
        cmocka_unit_test(test_unasked_advert_makes_nothing),
        cmocka_unit_test(test_heard),
        cmocka_unit_test(test_router_flag),
        cmocka_unit_test(test_floods_are_bounded),
        cmocka_unit_test(test_full_of_proved),
        cmocka_unit_test(test_ref_dies_with_its_entry),
        cmocka_unit_test(test_refuses_senseless_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
