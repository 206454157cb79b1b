/* SPDX-License-Identifier: Apache-2.0 */
/* ARP on a port: answers, learning, announcements, conflicts. RFC 826, RFC 5227. */
#include "sidecar/tcpip/net/arp_packet.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/net_lab.h"

#define COUNT(lab, name) ((lab)->ip.count.name)

static struct net_arp sent_arp(struct lab *lab, unsigned i)
{
    struct net_arp arp;
    const struct lab_frame *f = lab_sent(lab, i);
    assert_int_equal(lab_ethertype(f), NET_ETH_ARP);
    assert_true(net_arp_read(f->data + 14, f->len - 14, &arp));
    return arp;
}

static int state_of(struct lab *lab, const struct ip_addr *addr)
{
    const struct net_neigh *e = net_neigh_find(lab->ip.net->neigh, 0, addr);
    return e ? e->state : NET_NEIGH_FREE;
}

static void test_answers_and_learns(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    lab_arp(lab, NET_ARP_REQUEST, &lab_peer_mac, &lab_peer4, &lab_us4);
    struct net_arp a = sent_arp(lab, 0);
    assert_int_equal(a.op, NET_ARP_REPLY);
    assert_true(ip_addr_equal(&a.sender, &lab_us4));
    assert_true(ip_addr_equal(&a.target, &lab_peer4));
    assert_true(net_mac_equal(&a.target_mac, &lab_peer_mac));
    assert_memory_equal(lab_sent(lab, 0)->data, lab_peer_mac.b, 6);
    assert_int_equal(state_of(lab, &lab_peer4), NET_NEIGH_STALE);
    lab_free(lab);
}

static void test_not_for_us(void **state)
{
    struct lab *lab = lab_ready();
    struct ip_addr other = net_ip_v4_of(10, 0, 0, 9), far = net_ip_v4_of(172, 16, 0, 1);
    UNUSED(state);
    lab_arp(lab, NET_ARP_REQUEST, &lab_peer_mac, &lab_peer4, &other);
    assert_int_equal(lab->n_sent, 0);
    assert_int_equal(net_neigh_count(lab->ip.net->neigh), 0);
    /* A reply that nobody asked for makes nothing; nor does a sender that is not on link. */
    lab_arp(lab, NET_ARP_REPLY, &lab_peer_mac, &lab_peer4, &lab_us4);
    lab_arp(lab, NET_ARP_REQUEST, &lab_peer_mac, &far, &lab_us4);
    assert_int_equal(net_neigh_count(lab->ip.net->neigh), 0);
    assert_int_equal(lab->n_sent, 1); /* but it is answered */
    lab_free(lab);
}

static void test_probe_is_answered_not_learned(void **state)
{
    struct lab *lab = lab_ready();
    struct ip_addr none = net_ip_v4_of(0, 0, 0, 0);
    UNUSED(state);
    lab_arp(lab, NET_ARP_REQUEST, &lab_peer_mac, &none, &lab_us4);
    assert_int_equal(lab->n_sent, 1);
    assert_int_equal(net_neigh_count(lab->ip.net->neigh), 0);
    lab_free(lab);
}

static void test_gratuitous_updates_only(void **state)
{
    struct lab *lab = lab_ready();
    static const struct net_mac moved = {{2, 0, 0, 0, 0, 0x77}};
    UNUSED(state);
    lab_arp(lab, NET_ARP_REQUEST, &moved, &lab_peer4, &lab_peer4);
    assert_int_equal(net_neigh_count(lab->ip.net->neigh), 0);
    lab_learn(lab, &lab_peer4);
    lab_arp(lab, NET_ARP_REQUEST, &moved, &lab_peer4, &lab_peer4);
    const struct net_neigh *e = net_neigh_find(lab->ip.net->neigh, 0, &lab_peer4);
    assert_true(net_mac_equal(&e->mac, &moved));
    assert_int_equal(e->state, NET_NEIGH_STALE);
    /* Unasked replies change the address too, but do not make it reachable. */
    lab_arp(lab, NET_ARP_REPLY, &lab_peer_mac, &lab_peer4, &lab_us4);
    assert_int_equal(state_of(lab, &lab_peer4), NET_NEIGH_STALE);
    lab_free(lab);
}

static void test_bad(void **state)
{
    struct lab *lab = lab_ready();
    uint8_t f[42] = {0};
    UNUSED(state);
    memcpy(f, lab->ports[0].mac, 6);
    memcpy(f + 6, lab_peer_mac.b, 6);
    net_put16(f + 12, NET_ETH_ARP);
    lab_input(lab, f, 42);
    lab_input(lab, f, 20);
    assert_int_equal(COUNT(lab, arp_bad), 2);
    lab_free(lab);
}

static void test_announces_twice(void **state)
{
    struct lab *lab = lab_new();
    unsigned n = 0;
    UNUSED(state);
    lab->ports[0].n_addresses = 1;
    lab_start(lab);
    lab_advance(lab, 10 * SEC);
    for (unsigned i = 0; i < lab->n_sent; i++) {
        if (lab_ethertype(lab_sent(lab, i)) != NET_ETH_ARP)
            continue;
        struct net_arp a = sent_arp(lab, i);
        n++;
        assert_int_equal(a.op, NET_ARP_REQUEST);
        assert_true(ip_addr_equal(&a.sender, &lab_us4) && ip_addr_equal(&a.target, &lab_us4));
        assert_memory_equal(lab_sent(lab, i)->data, net_mac_broadcast.b, 6);
    }
    assert_int_equal(n, 2); /* ANNOUNCE_NUM */
    lab_free(lab);
}

/* RFC 5227, 2.4: defended at once, then at most once in ten seconds. */
static void test_conflict_is_defended(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    for (unsigned i = 0; i < 100; i++)
        lab_arp(lab, NET_ARP_REQUEST, &lab_peer_mac, &lab_us4, &lab_peer4);
    assert_int_equal(COUNT(lab, arp_conflict), 100);
    assert_int_equal(lab->n_sent, 1);
    struct net_arp a = sent_arp(lab, 0);
    assert_true(ip_addr_equal(&a.sender, &lab_us4) && ip_addr_equal(&a.target, &lab_us4));
    lab_advance(lab, 11 * SEC);
    lab_arp(lab, NET_ARP_REPLY, &lab_peer_mac, &lab_us4, &lab_peer4);
    assert_int_equal(lab->n_sent, 2);
    /* Our own frame, reflected, is no conflict. */
    struct net_mac ours;
    memcpy(ours.b, lab->ports[0].mac, 6);
    lab_arp(lab, NET_ARP_REQUEST, &ours, &lab_us4, &lab_us4);
    assert_int_equal(COUNT(lab, arp_conflict), 101);
    lab_free(lab);
}

static void test_flood_is_bounded(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    lab_learn(lab, &lab_peer4);
    for (unsigned i = 0; i < 20000; i++) {
        struct ip_addr a = net_ip_v4_of(10, 0, 0, (uint8_t)(3 + i % 250));
        struct net_mac mac = {{2, 1, 1, 1, (uint8_t)(i >> 8), (uint8_t)i}};
        lab_arp(lab, NET_ARP_REQUEST, &mac, &a, &lab_us4);
    }
    assert_true(net_neigh_count(lab->ip.net->neigh) <= 1 + 64 / 4);
    assert_int_equal(state_of(lab, &lab_peer4), NET_NEIGH_REACHABLE);
    lab_free(lab);
}

static void test_mac_change_forgets(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    lab_learn(lab, &lab_peer4);
    lab->ports[0].mac[5] = 0x55;
    net_port_changed(&lab->ip, 0);
    assert_int_equal(net_neigh_count(lab->ip.net->neigh), 0);
    /* An address that is taken away is not answered for any more. */
    lab->ports[0].n_addresses = 0;
    net_port_changed(&lab->ip, 0);
    assert_false(net_addr_local(&lab->ip, &lab_us4));
    lab_clear(lab);
    lab_arp(lab, NET_ARP_REQUEST, &lab_peer_mac, &lab_peer4, &lab_us4);
    assert_int_equal(lab->n_sent, 0);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_and_learns),
        cmocka_unit_test(test_not_for_us),
        cmocka_unit_test(test_probe_is_answered_not_learned),
        cmocka_unit_test(test_gratuitous_updates_only),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_announces_twice),
        cmocka_unit_test(test_conflict_is_defended),
        cmocka_unit_test(test_flood_is_bounded),
        cmocka_unit_test(test_mac_change_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
