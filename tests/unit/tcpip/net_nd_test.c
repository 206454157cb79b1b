/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery, duplicate detection, router advertisements: RFC 4861, 4862, 7527. */
#include "sidecar/tcpip/net/nd_message.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/net_lab.h"

#define COUNT(lab, name) ((lab)->ip.count.name)

static const struct ip_addr router = {.b = {0xfe, 0x80, [15] = 0xfe}};
static const struct ip_addr prefix = {.b = {0x20, 1, 0xd, 0xb8}};

static const uint8_t *sent_icmp(struct lab *lab, unsigned i, uint8_t type)
{
    const struct lab_frame *f = lab_sent(lab, i);
    assert_int_equal(lab_ethertype(f), NET_ETH_IPV6);
    assert_int_equal(f->data[21], 255);
    assert_int_equal(f->data[54], type);
    struct ip_addr src = ip_addr_v6(f->data + 22), dst = ip_addr_v6(f->data + 38);
    uint64_t sum = net_csum_pseudo(&src, &dst, 58, (uint32_t)(f->len - 54));
    assert_int_equal(net_csum_fold(net_csum_add(sum, f->data + 54, f->len - 54)), 0xffff);
    return f->data + 54;
}

/* How many frames with this ICMPv6 type were sent, and the last one's index. */
static unsigned count_sent(struct lab *lab, uint8_t type, unsigned *last)
{
    unsigned n = 0;
    for (unsigned i = 0; i < lab->n_sent && i < LAB_FRAMES; i++) {
        const struct lab_frame *f = lab_sent(lab, i);
        if (lab_ethertype(f) == NET_ETH_IPV6 && f->data[20] == 58 && f->data[54] == type) {
            n++;
            *last = i;
        }
    }
    return n;
}

struct nd {
    struct lab_ip ip;
    uint8_t type, flags, option; /* option: 0 none, else with lab_peer_mac */
    struct ip_addr target;
    const uint64_t *nonce;
};

static void nd_in(struct lab *lab, const struct nd *m)
{
    uint8_t icmp[48] = {m->type, [4] = m->flags};
    struct lab_ip ip = m->ip;
    size_t n = 24;
    ip.proto = IPPROTO_ICMPV6;
    if (!ip.ttl)
        ip.ttl = 255;
    memcpy(icmp + 8, m->target.b, 16);
    if (m->option)
        n += net_nd_put_ll(icmp + n, m->option, &lab_peer_mac);
    if (m->nonce)
        n += net_nd_put_nonce(icmp + n, *m->nonce);
    lab_icmp(lab, &ip, icmp, n);
}

static int state_of(struct lab *lab, const struct ip_addr *addr)
{
    const struct net_neigh *e = net_neigh_find(lab->ip.net->neigh, 0, addr);
    return e ? e->state : NET_NEIGH_FREE;
}

static int address_state(struct lab *lab, const struct ip_addr *addr)
{
    const struct net_address *a = net_address_find(&lab->ip.net->ports[0].addresses, addr);
    return a ? a->state : -1;
}

static struct nd solicitation(void)
{
    return (struct nd){.ip = {.src = lab_peer6, .dst = net_ip_solicited_node(&lab_us6)},
                       .type = NET_ICMP6_NS,
                       .option = NET_ND_OPT_SOURCE_LL,
                       .target = lab_us6};
}

static void test_answers_solicitation(void **state)
{
    struct lab *lab = lab_ready();
    struct nd ns = solicitation();
    UNUSED(state);
    nd_in(lab, &ns);
    const uint8_t *na = sent_icmp(lab, 0, NET_ICMP6_NA);
    assert_int_equal(na[4], 0x60); /* solicited, override */
    assert_memory_equal(na + 8, lab_us6.b, 16);
    assert_memory_equal(na + 24, "\2\1", 2);
    assert_memory_equal(na + 26, lab->ports[0].mac, 6);
    assert_memory_equal(lab_sent(lab, 0)->data + 38, lab_peer6.b, 16);
    assert_int_equal(state_of(lab, &lab_peer6), NET_NEIGH_STALE);
    /* Another node probes our address: to all nodes, not solicited (RFC 4861, 7.2.4). */
    ns.ip.src = (struct ip_addr){.q = {0, 0}};
    ns.option = 0;
    nd_in(lab, &ns);
    na = sent_icmp(lab, 1, NET_ICMP6_NA);
    assert_int_equal(na[4], 0x20);
    assert_memory_equal(lab_sent(lab, 1)->data + 38, net_ip_all_nodes.b, 16);
    assert_int_equal(COUNT(lab, nd_bad), 0);
    lab_free(lab);
}

static void test_bad_messages(void **state)
{
    struct lab *lab = lab_ready();
    struct nd m = solicitation();
    unsigned bad = 0;
    UNUSED(state);
    m.ip.ttl = 254; /* came over a router */
    nd_in(lab, &m);
    assert_int_equal(COUNT(lab, nd_bad), ++bad);
    m = solicitation();
    m.target = net_ip_all_nodes;
    nd_in(lab, &m);
    assert_int_equal(COUNT(lab, nd_bad), ++bad);
    m = solicitation();
    m.ip.src = (struct ip_addr){.q = {0, 0}}; /* with a source address option */
    nd_in(lab, &m);
    assert_int_equal(COUNT(lab, nd_bad), ++bad);
    m.option = 0;
    m.ip.dst = lab_us6; /* not to the solicited-node group */
    nd_in(lab, &m);
    assert_int_equal(COUNT(lab, nd_bad), ++bad);
    m = solicitation();
    m.type = NET_ICMP6_NA;
    m.ip.dst = net_ip_all_nodes;
    m.flags = 0x40; /* solicited, to a group */
    nd_in(lab, &m);
    assert_int_equal(COUNT(lab, nd_bad), ++bad);
    m = solicitation();
    m.type = NET_ICMP6_RA; /* not from a link-local address */
    nd_in(lab, &m);
    assert_int_equal(COUNT(lab, nd_bad), ++bad);
    m.type = NET_ICMP6_REDIRECT;
    nd_in(lab, &m);
    assert_int_equal(COUNT(lab, nd_bad), ++bad);
    /* In pieces: RFC 6980. */
    uint8_t icmp[24] = {NET_ICMP6_NS}, body[32] = {58, 0, 0, 1}, p[128];
    struct lab_ip ip = {.src = lab_peer6, .dst = lab_us6, .proto = 58, .ttl = 255};
    memcpy(icmp + 8, lab_us6.b, 16);
    lab_icmp_checksum(&ip, icmp, 24);
    ip.proto = NET_IP6_FRAGMENT;
    memcpy(body + 8, icmp, 16);
    lab_input_ip(lab, p, lab_build_ip(p, &ip, body, 24));
    net_put16(body + 2, 16);
    memcpy(body + 8, icmp + 16, 8);
    lab_input_ip(lab, p, lab_build_ip(p, &ip, body, 16));
    assert_int_equal(COUNT(lab, nd_bad), ++bad);
    assert_int_equal(lab->n_sent, 0);
    lab_free(lab);
}

static void test_resolution(void **state)
{
    struct lab *lab = lab_ready();
    struct net_flow flow = {.dst = lab_peer6, .proto = IPPROTO_UDP};
    uint8_t buf[NET_HEADROOM + 8] = {0};
    struct net_tx tx = {.l4 = buf + NET_HEADROOM, .l4_len = 8, .csum_offset = 6};
    UNUSED(state);
    assert_int_equal(net_output(&lab->ip, &flow, &tx), 0);
    const uint8_t *ns = sent_icmp(lab, 0, NET_ICMP6_NS);
    static const uint8_t group[6] = {0x33, 0x33, 0xff, 0, 0, 2};
    assert_memory_equal(lab_sent(lab, 0)->data, group, 6);
    assert_memory_equal(ns + 8, lab_peer6.b, 16);
    assert_memory_equal(ns + 24, "\1\1", 2);
    struct nd na = {.ip = {.src = lab_peer6, .dst = lab_us6},
                    .type = NET_ICMP6_NA,
                    .flags = 0x60,
                    .option = NET_ND_OPT_TARGET_LL,
                    .target = lab_peer6};
    nd_in(lab, &na);
    assert_int_equal(lab->n_sent, 2);
    assert_int_equal(lab_sent(lab, 1)->data[20], IPPROTO_UDP);
    assert_int_equal(state_of(lab, &lab_peer6), NET_NEIGH_REACHABLE);
    lab_free(lab);
}

/* A link-local address made from the MAC: tentative, one solicitation with a nonce, then ours. */
static void test_dad_of_link_local(void **state)
{
    struct lab *lab = lab_new();
    struct ip_addr ll = {.b = {0xfe, 0x80, [8] = 0, 0, 0, 0xff, 0xfe, 0, 0, 1}};
    unsigned at;
    UNUSED(state);
    lab->ports[0].n_addresses = 1;
    lab->ip.config.ip6_autoconf = true;
    lab_start(lab);
    assert_int_equal(address_state(lab, &ll), NET_ADDRESS_TENTATIVE);
    assert_false(net_addr_local(&lab->ip, &ll));
    lab_advance(lab, SEC);
    assert_int_equal(count_sent(lab, NET_ICMP6_NS, &at), 1);
    const uint8_t *ns = sent_icmp(lab, at, NET_ICMP6_NS);
    struct ip_addr src = ip_addr_v6(lab_sent(lab, at)->data + 22);
    assert_true(net_ip_is_none(&src));
    assert_int_equal(ns[24], NET_ND_OPT_NONCE);
    lab_advance(lab, SEC);
    assert_int_equal(address_state(lab, &ll), NET_ADDRESS_PREFERRED);
    assert_true(net_addr_local(&lab->ip, &ll));
    /* And routers are asked for, three times, four seconds apart (RFC 4861, 6.3.7). */
    lab_advance(lab, 20 * SEC);
    assert_int_equal(count_sent(lab, NET_ICMP6_RS, &at), 3);
    lab_free(lab);
}

static void test_dad_failures(void **state)
{
    UNUSED(state);
    for (unsigned how = 0; how < 3; how++) {
        struct lab *lab = lab_new();
        lab_start(lab);
        /* A configured address is optimistic: in use, and given up if it is another's. */
        assert_int_equal(address_state(lab, &lab_us6), NET_ADDRESS_OPTIMISTIC);
        assert_true(net_addr_local(&lab->ip, &lab_us6));
        lab_advance(lab, 100 * MS);
        const struct net_address *a = net_address_find(&lab->ip.net->ports[0].addresses, &lab_us6);
        uint64_t nonce = a->dad_nonce & 0xffffffffffff, other = nonce + 1;
        struct nd m = solicitation();
        m.ip.src = (struct ip_addr){.q = {0, 0}};
        m.option = 0;
        m.nonce = &nonce; /* our own, looped back by the link: RFC 7527 */
        nd_in(lab, &m);
        assert_int_equal(address_state(lab, &lab_us6), NET_ADDRESS_OPTIMISTIC);
        if (how == 0) {
            m.nonce = &other;
        } else if (how == 1) {
            m.nonce = NULL;
        } else {
            m = (struct nd){.ip = {.src = lab_peer6, .dst = net_ip_all_nodes},
                            .type = NET_ICMP6_NA,
                            .flags = 0x20,
                            .option = NET_ND_OPT_TARGET_LL,
                            .target = lab_us6};
        }
        nd_in(lab, &m);
        assert_int_equal(address_state(lab, &lab_us6), NET_ADDRESS_DUPLICATE);
        assert_false(net_addr_local(&lab->ip, &lab_us6));
        assert_int_equal(COUNT(lab, nd_dad_failed), 1);
        lab_clear(lab);
        m = solicitation();
        nd_in(lab, &m);
        assert_int_equal(lab->n_sent, 0);
        lab_free(lab);
    }
}

static void test_address_is_defended(void **state)
{
    struct lab *lab = lab_ready();
    struct nd na = {.ip = {.src = lab_peer6, .dst = net_ip_all_nodes},
                    .type = NET_ICMP6_NA,
                    .flags = 0x20,
                    .option = NET_ND_OPT_TARGET_LL,
                    .target = lab_us6};
    UNUSED(state);
    for (unsigned i = 0; i < 50; i++)
        nd_in(lab, &na);
    assert_int_equal(COUNT(lab, nd_conflict), 50);
    assert_int_equal(lab->n_sent, 1);
    assert_int_equal(address_state(lab, &lab_us6), NET_ADDRESS_PREFERRED);
    lab_free(lab);
}

static void test_redirect_is_refused(void **state)
{
    struct lab *lab = lab_ready();
    uint8_t m[40] = {NET_ICMP6_REDIRECT};
    struct lab_ip ip = {.src = router, .dst = lab_us6, .proto = 58, .ttl = 255};
    UNUSED(state);
    memcpy(m + 8, lab_peer6.b, 16);
    memcpy(m + 24, lab_peer6.b, 16);
    lab_icmp(lab, &ip, m, 40);
    assert_int_equal(COUNT(lab, nd_redirect_drop), 1);
    assert_int_equal(COUNT(lab, nd_bad), 0);
    lab_free(lab);
}

/* ---- router advertisements ---- */

struct ra {
    uint16_t lifetime;
    uint32_t valid, preferred, mtu;
    struct ip_addr prefix, from;
};

static void ra_in(struct lab *lab, const struct ra *ra)
{
    uint8_t m[64] = {NET_ICMP6_RA, [4] = 61};
    struct lab_ip ip = {.src = ra->from, .dst = net_ip_all_nodes, .proto = 58, .ttl = 255};
    net_put16(m + 6, ra->lifetime);
    size_t n = 16 + net_nd_put_ll(m + 16, NET_ND_OPT_SOURCE_LL, &lab_peer_mac);
    m[n] = NET_ND_OPT_PREFIX;
    m[n + 1] = 4;
    m[n + 2] = 64;
    m[n + 3] = 0xc0;
    net_put32(m + n + 4, ra->valid);
    net_put32(m + n + 8, ra->preferred);
    memcpy(m + n + 16, ra->prefix.b, 16);
    n += 32;
    m[n] = NET_ND_OPT_MTU;
    m[n + 1] = 1;
    net_put32(m + n + 4, ra->mtu);
    lab_icmp(lab, &ip, m, n + 8);
}

static struct lab *autoconf_lab(void)
{
    struct lab *lab = lab_new();
    lab->ports[0].n_addresses = 1;
    lab->ip.config.ip6_autoconf = true;
    lab_start(lab);
    lab_advance(lab, 3 * SEC);
    lab_clear(lab);
    return lab;
}

static struct ip_addr auto_address(void)
{
    struct ip_addr a = prefix;
    a.b[11] = 0xff;
    a.b[12] = 0xfe;
    a.b[15] = 1;
    return a;
}

static void test_autoconfiguration(void **state)
{
    struct lab *lab = autoconf_lab();
    struct ra ra = {.lifetime = 1800,
                    .valid = 7200,
                    .preferred = 3600,
                    .mtu = 1400,
                    .prefix = prefix,
                    .from = router};
    struct ip_addr mine = auto_address(), far = {.b = {0x20, 2, [15] = 1}};
    unsigned at;
    UNUSED(state);
    ra_in(lab, &ra);
    assert_int_equal(address_state(lab, &mine), NET_ADDRESS_TENTATIVE);
    lab_advance(lab, 2 * SEC);
    assert_int_equal(address_state(lab, &mine), NET_ADDRESS_PREFERRED);
    struct net_flow flow = {.dst = far, .proto = IPPROTO_TCP};
    assert_int_equal(net_flow_resolve(&lab->ip, &flow), 0);
    assert_true(ip_addr_equal(&flow.src, &mine));
    assert_int_equal(flow.mtu, 1400);
    assert_int_equal(lab->ip.net->ports[0].hop_limit, 61);
    assert_int_equal(state_of(lab, &router), NET_NEIGH_STALE);
    assert_true(net_neigh_find(lab->ip.net->neigh, 0, &router)->is_router);
    lab_clear(lab);
    lab_advance(lab, 30 * SEC);
    assert_int_equal(count_sent(lab, NET_ICMP6_RS, &at), 0); /* no more asking */
    /* The router resigns. */
    ra.lifetime = 0;
    ra_in(lab, &ra);
    flow = (struct net_flow){.dst = far, .proto = IPPROTO_TCP};
    assert_int_not_equal(net_flow_resolve(&lab->ip, &flow), 0);
    /* Deprecated, then gone. */
    lab_advance(lab, 3601 * SEC);
    assert_int_equal(address_state(lab, &mine), NET_ADDRESS_DEPRECATED);
    lab_advance(lab, 3700 * SEC);
    assert_int_equal(address_state(lab, &mine), -1);
    lab_free(lab);
}

/* RFC 4862, 5.5.3 e: nobody may kill an address at once. */
static void test_two_hours(void **state)
{
    struct lab *lab = autoconf_lab();
    struct ra ra = {.lifetime = 1800,
                    .valid = 86400,
                    .preferred = 86400,
                    .mtu = 1500,
                    .prefix = prefix,
                    .from = router};
    struct ip_addr mine = auto_address();
    UNUSED(state);
    ra_in(lab, &ra);
    lab_advance(lab, 2 * SEC);
    ra.valid = ra.preferred = 1;
    ra_in(lab, &ra);
    lab_advance(lab, 7100 * SEC);
    assert_int_equal(address_state(lab, &mine), NET_ADDRESS_DEPRECATED);
    ra_in(lab, &ra); /* two hours or less are left: ignored */
    lab_advance(lab, 200 * SEC);
    assert_int_equal(address_state(lab, &mine), -1);
    lab_free(lab);
}

static void test_advert_flood_is_bounded(void **state)
{
    struct lab *lab = autoconf_lab();
    struct ra ra = {.lifetime = 1800,
                    .valid = 7200,
                    .preferred = 3600,
                    .mtu = 1500,
                    .prefix = prefix,
                    .from = router};
    UNUSED(state);
    for (unsigned i = 0; i < 1000; i++) {
        net_put32(ra.prefix.b + 4, i);
        net_put32(ra.from.b + 8, i);
        ra_in(lab, &ra);
    }
    const struct net *net = lab->ip.net;
    unsigned routers = 0, on_link = 0, autos = 0;
    for (unsigned i = 0; i < net->routes.n; i++) {
        const struct net_route *r = &net->routes.list[i];
        routers += r->origin == NET_ROUTE_RA && !net_ip_is_none(&r->gateway);
        on_link += r->origin == NET_ROUTE_RA && net_ip_is_none(&r->gateway);
    }
    for (unsigned i = 0; i < net->ports[0].addresses.n; i++)
        autos += net->ports[0].addresses.list[i].origin == NET_ADDRESS_AUTO;
    assert_int_equal(routers, NET_DEFAULT_ROUTERS);
    assert_int_equal(on_link, NET_RA_PREFIXES);
    assert_int_equal(autos, NET_AUTO_ADDRESSES);
    assert_true(COUNT(lab, nd_ra_limit) > 2900);
    lab_free(lab);
}

static void test_senseless_prefixes(void **state)
{
    struct lab *lab = autoconf_lab();
    struct ra ra = {
        .lifetime = 0, .valid = 10, .preferred = 20, .mtu = 100, .prefix = prefix, .from = router};
    unsigned before = lab->ip.net->ports[0].addresses.n;
    UNUSED(state);
    ra_in(lab, &ra); /* preferred longer than valid */
    ra.valid = 20;
    ra.prefix = (struct ip_addr){.b = {0xfe, 0x80}};
    ra_in(lab, &ra);
    assert_int_equal(lab->ip.net->ports[0].addresses.n, before);
    assert_int_equal(lab->ip.net->ports[0].mtu6, 1500);
    lab_free(lab);
}

static void test_ignored_without_autoconf(void **state)
{
    struct lab *lab = lab_ready();
    struct ra ra = {.lifetime = 1800,
                    .valid = 7200,
                    .preferred = 3600,
                    .mtu = 1300,
                    .prefix = prefix,
                    .from = router};
    unsigned routes = lab->ip.net->routes.n;
    UNUSED(state);
    ra_in(lab, &ra);
    assert_int_equal(COUNT(lab, nd_ra_in), 1);
    assert_int_equal(lab->ip.net->routes.n, routes);
    assert_int_equal(lab->ip.net->ports[0].mtu6, 1500);
    lab_free(lab);
}

/* RFC 4861, 7.3.3: a router that is a router no longer loses its routes. */
static void test_router_becomes_host(void **state)
{
    struct lab *lab = autoconf_lab();
    struct ra ra = {.lifetime = 1800,
                    .valid = 7200,
                    .preferred = 3600,
                    .mtu = 1500,
                    .prefix = prefix,
                    .from = router};
    struct ip_addr far = {.b = {0x20, 2, [15] = 1}}, ll = {.b = {0xfe, 0x80}};
    UNUSED(state);
    ra_in(lab, &ra);
    lab_advance(lab, 2 * SEC);
    net_mac_interface_id(&lab->ip.net->ports[0].mac, ll.b + 8);
    struct nd na = {.ip = {.src = router, .dst = ll},
                    .type = NET_ICMP6_NA,
                    .flags = 0x60,
                    .option = NET_ND_OPT_TARGET_LL,
                    .target = router};
    nd_in(lab, &na);
    struct net_flow flow = {.dst = far, .proto = IPPROTO_TCP};
    assert_int_not_equal(net_flow_resolve(&lab->ip, &flow), 0);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_solicitation),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_resolution),
        cmocka_unit_test(test_dad_of_link_local),
        cmocka_unit_test(test_dad_failures),
        cmocka_unit_test(test_address_is_defended),
        cmocka_unit_test(test_redirect_is_refused),
        cmocka_unit_test(test_autoconfiguration),
        cmocka_unit_test(test_two_hours),
        cmocka_unit_test(test_advert_flood_is_bounded),
        cmocka_unit_test(test_senseless_prefixes),
        cmocka_unit_test(test_ignored_without_autoconf),
        cmocka_unit_test(test_router_becomes_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
