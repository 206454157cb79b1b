/* SPDX-License-Identifier: Apache-2.0 */
/* Routes out of router advertisements (RFC 4191), and identifiers that do not come from the MAC
 * (RFC 7217). */
#include "sidecar/tcpip/net/iid.h"
#include "sidecar/tcpip/net/nd_message.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/net_lab.h"

#include <stdio.h>

#define SECRET "a secret of some length"

static const struct ip_addr router_a = {.b = {0xfe, 0x80, [15] = 0xa}},
                            router_b = {.b = {0xfe, 0x80, [15] = 0xb}},
                            prefix = {.b = {0x20, 1, 0xd, 0xb8}}, far = {.b = {0x20, 2, [15] = 1}},
                            near = {.b = {0x20, 2, 0, 1, [15] = 1}};

struct message {
    uint8_t m[512];
    size_t n;
};

/* preference as on the wire: 0 medium, 1 high, 2 reserved, 3 low */
static struct message advert(uint16_t lifetime, unsigned preference)
{
    struct message x = {.m = {NET_ICMP6_RA, [5] = (uint8_t)(preference << 3)}, .n = 16};

    net_put16(x.m + 6, lifetime);
    x.n += net_nd_put_ll(x.m + x.n, NET_ND_OPT_SOURCE_LL, &lab_peer_mac);
    return x;
}

static void add_route(struct message *x, const struct ip_addr *dst, uint8_t bits,
                      unsigned preference, uint32_t lifetime, uint8_t eights)
{
    uint8_t *p = x->m + x->n;

    p[0] = NET_ND_OPT_ROUTE;
    p[1] = eights;
    p[2] = bits;
    p[3] = (uint8_t)(preference << 3);
    net_put32(p + 4, lifetime);
    memcpy(p + 8, dst->b, eights >= 3 ? 16 : (eights - 1U) * 8);
    x->n += eights * 8U;
}

static void add_prefix(struct message *x)
{
    uint8_t *p = x->m + x->n;

    p[0] = NET_ND_OPT_PREFIX;
    p[1] = 4;
    p[2] = 64;
    p[3] = 0xc0;
    net_put32(p + 4, 7200);
    net_put32(p + 8, 3600);
    memcpy(p + 16, prefix.b, 16);
    x->n += 32;
}

static void hear(struct lab *lab, const struct ip_addr *from, struct message x)
{
    const struct lab_ip ip = {.src = *from, .dst = net_ip_all_nodes, .proto = 58, .ttl = 255};

    lab_icmp(lab, &ip, x.m, x.n);
}

static struct lab *lab_with(const char *secret, bool fixed_address)
{
    struct lab *lab = lab_new();

    lab->ports[0].n_addresses = fixed_address ? 2 : 1;
    lab->ports[0].n_routes = 0;
    lab->ip.config.ip6_autoconf = true;
    snprintf(lab->ip.config.ip6_secret, sizeof(lab->ip.config.ip6_secret), "%s", secret);
    lab_start(lab);
    lab_advance(lab, 3 * SEC);
    lab_clear(lab);
    return lab;
}

/* The gateway of the best route, all zero for none. */
static struct ip_addr gateway_to(struct lab *lab, const struct ip_addr *dst)
{
    const struct net_route *r = net_route_find(&lab->ip.net->routes, dst, -1, false);

    return r != NULL ? r->gateway : (struct ip_addr){.q = {0, 0}};
}

static void assert_by(struct lab *lab, const struct ip_addr *dst, const struct ip_addr *gateway)
{
    const struct ip_addr got = gateway_to(lab, dst);

    assert_memory_equal(got.b, gateway->b, 16);
}

static void test_router_preference(void **state)
{
    struct lab *lab = lab_with("", true);

    UNUSED(state);
    hear(lab, &router_a, advert(1800, 3));
    assert_by(lab, &far, &router_a);
    hear(lab, &router_b, advert(1800, 0));
    assert_by(lab, &far, &router_b); /* medium before low */
    hear(lab, &router_a, advert(1800, 1));
    assert_by(lab, &far, &router_a); /* high before medium */
    hear(lab, &router_a, advert(0, 1));
    assert_by(lab, &far, &router_b);
    hear(lab, &router_a, advert(1800, 2)); /* reserved: as medium, so the first stays */
    assert_by(lab, &far, &router_b);
    lab_free(lab);
}

static void test_route_information(void **state)
{
    struct lab *lab = lab_with("", true);
    const struct ip_addr none = {.q = {0, 0}}, net = {.b = {0x20, 2, 0, 1}};
    struct message x = advert(0, 0);

    UNUSED(state);
    /* A router that is no default router has a network behind it. */
    add_route(&x, &net, 48, 0, 600, 2);
    hear(lab, &router_b, x);
    assert_by(lab, &near, &router_b);
    assert_by(lab, &far, &none);
    hear(lab, &router_a, advert(1800, 1));
    assert_by(lab, &near, &router_b); /* the longer prefix, whatever the preference */
    assert_by(lab, &far, &router_a);
    /* Another way to the same network: by preference. */
    x = advert(0, 0);
    add_route(&x, &net, 48, 1, 600, 2);
    hear(lab, &router_a, x);
    assert_by(lab, &near, &router_a);
    /* Lifetime 0 takes it back; the other one runs out. */
    x = advert(1800, 1);
    add_route(&x, &net, 48, 1, 0, 2);
    hear(lab, &router_a, x);
    assert_by(lab, &near, &router_b);
    lab_advance(lab, 601 * SEC);
    assert_by(lab, &near, &router_a);
    lab_free(lab);
}

/* RFC 4191, 3.1: one for ::/0 overrules lifetime and preference of the message. */
static void test_route_for_everything(void **state)
{
    struct lab *lab = lab_with("", true);
    const struct ip_addr none = {.q = {0, 0}};
    struct message x = advert(1800, 1);

    UNUSED(state);
    hear(lab, &router_a, advert(1800, 0));
    add_route(&x, &none, 0, 3, 600, 1);
    hear(lab, &router_b, x);
    assert_by(lab, &far, &router_a);
    x = advert(0, 0);
    add_route(&x, &none, 0, 1, 600, 1);
    hear(lab, &router_b, x);
    assert_by(lab, &far, &router_b);
    lab_free(lab);
}

static void test_bad_routes(void **state)
{
    struct lab *lab = lab_with("", true);
    const struct ip_addr net = {.b = {0x20, 2, 0, 1}}, none = {.q = {0, 0}};
    const struct ip_addr link = {.b = {0xfe, 0x80}}, group = {.b = {0xff, 0x0e}};
    struct message x = advert(0, 0);
    const unsigned before = lab->ip.net->routes.n;

    UNUSED(state);
    add_route(&x, &net, 48, 2, 600, 2);  /* reserved preference */
    add_route(&x, &net, 65, 0, 600, 2);  /* more bits than bytes */
    add_route(&x, &net, 48, 0, 600, 1);  /* the same */
    add_route(&x, &net, 129, 0, 600, 3); /* more than an address has */
    add_route(&x, &net, 48, 0, 600, 4);  /* too long an option */
    add_route(&x, &link, 10, 0, 600, 2);
    add_route(&x, &group, 16, 0, 600, 2);
    hear(lab, &router_a, x);
    assert_int_equal(lab->ip.net->routes.n, before);
    assert_by(lab, &near, &none);
    lab_free(lab);
}

static void test_route_flood_is_bounded(void **state)
{
    struct lab *lab = lab_with("", true);
    unsigned specific = 0;

    UNUSED(state);
    for (unsigned i = 0; i < 500; i++) {
        struct ip_addr net = {.b = {0x20, 3, (uint8_t)(i >> 8), (uint8_t)i}};
        struct message x = advert(0, 0);

        add_route(&x, &net, 48, 0, 600, 2);
        hear(lab, &router_a, x);
    }
    for (unsigned i = 0; i < lab->ip.net->routes.n; i++)
        specific += lab->ip.net->routes.list[i].origin == NET_ROUTE_RA;
    assert_int_equal(specific, NET_RA_ROUTES);
    assert_int_equal(lab->ip.count.nd_ra_limit, 500 - NET_RA_ROUTES);
    hear(lab, &router_b, advert(1800, 0)); /* default routes have room of their own */
    assert_by(lab, &far, &router_b);
    lab_free(lab);
}

/* ---- RFC 7217 ---- */

static const struct net_address *of_origin(struct lab *lab, uint8_t origin)
{
    const struct net_addresses *list = &lab->ip.net->ports[0].addresses;

    for (unsigned k = 0; k < list->n; k++)
        if (list->list[k].origin == origin)
            return &list->list[k];
    return NULL;
}

static struct ip_addr address_by(const char *secret, uint8_t origin)
{
    struct lab *lab = lab_with(secret, true);
    struct message x = advert(1800, 0);

    add_prefix(&x);
    hear(lab, &router_a, x);
    const struct net_address *a = of_origin(lab, origin);
    assert_non_null(a);
    const struct ip_addr addr = a->addr;
    lab_free(lab);
    return addr;
}

static void test_stable_identifiers(void **state)
{
    static const uint8_t origins[] = {NET_ADDRESS_LINK_LOCAL, NET_ADDRESS_AUTO};

    UNUSED(state);
    for (unsigned i = 0; i < 2; i++) {
        const struct ip_addr mac = address_by("", origins[i]), a = address_by(SECRET, origins[i]),
                             again = address_by(SECRET, origins[i]),
                             other = address_by(SECRET "!", origins[i]);

        assert_memory_equal(a.b, again.b, 16);
        assert_memory_equal(a.b, mac.b, 8);
        assert_memory_not_equal(a.b + 8, mac.b + 8, 8);
        assert_memory_not_equal(a.b + 8, other.b + 8, 8);
    }
    const struct ip_addr l = address_by(SECRET, NET_ADDRESS_LINK_LOCAL),
                         g = address_by(SECRET, NET_ADDRESS_AUTO);
    assert_memory_not_equal(l.b + 8, g.b + 8, 8); /* another prefix, another identifier */
}

static void claim(struct lab *lab, const struct ip_addr *addr)
{
    uint8_t m[32] = {NET_ICMP6_NA, [4] = 0x20};
    const struct lab_ip ip = {.src = *addr, .dst = net_ip_all_nodes, .proto = 58, .ttl = 255};

    memcpy(m + 8, addr->b, 16);
    net_nd_put_ll(m + 24, NET_ND_OPT_TARGET_LL, &lab_peer_mac);
    lab_icmp(lab, &ip, m, sizeof(m));
}

/* Section 6: a duplicate is followed by the next identifier, three times, then by none. */
static void test_duplicates_are_followed(void **state)
{
    struct lab *lab = lab_with(SECRET, true);
    struct message x = advert(1800, 0);
    struct ip_addr had[5];

    UNUSED(state);
    add_prefix(&x);
    hear(lab, &router_a, x);
    for (unsigned i = 0; i < 4; i++) {
        const struct net_address *a = of_origin(lab, NET_ADDRESS_AUTO);

        assert_int_equal(a->state, NET_ADDRESS_TENTATIVE);
        assert_int_equal(a->dad_counter, i);
        had[i] = a->addr;
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(had[k].b, had[i].b, 16);
        claim(lab, &had[i]);
        hear(lab, &router_a, x); /* the next advertisement makes no second address */
    }
    assert_int_equal(of_origin(lab, NET_ADDRESS_AUTO)->state, NET_ADDRESS_DUPLICATE);
    assert_int_equal(lab->ip.count.nd_dad_failed, 4);
    unsigned autos = 0;
    for (unsigned k = 0; k < lab->ip.net->ports[0].addresses.n; k++)
        autos += lab->ip.net->ports[0].addresses.list[k].origin == NET_ADDRESS_AUTO;
    assert_int_equal(autos, 1);
    lab_free(lab);
}

static void test_next_identifier_is_used(void **state)
{
    struct lab *lab = lab_with(SECRET, true);
    struct message x = advert(1800, 0);

    UNUSED(state);
    add_prefix(&x);
    hear(lab, &router_a, x);
    const struct ip_addr first = of_origin(lab, NET_ADDRESS_AUTO)->addr;
    claim(lab, &first);
    const struct ip_addr second = of_origin(lab, NET_ADDRESS_AUTO)->addr;
    lab_advance(lab, 3 * SEC);
    assert_int_equal(of_origin(lab, NET_ADDRESS_AUTO)->state, NET_ADDRESS_PREFERRED);
    assert_true(net_addr_local(&lab->ip, &second));
    assert_false(net_addr_local(&lab->ip, &first));
    lab_free(lab);
}

static void test_identifiers_differ(void **state)
{
    struct hash_key key;
    uint8_t seen[256][8];

    UNUSED(state);
    net_iid_key(SECRET, &key);
    for (unsigned i = 0; i < 256; i++) {
        net_iid_stable(&key, &prefix, "net1", (uint8_t)i, seen[i]);
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(seen[k], seen[i], 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_router_preference),
        cmocka_unit_test(test_route_information),
        cmocka_unit_test(test_route_for_everything),
        cmocka_unit_test(test_bad_routes),
        cmocka_unit_test(test_route_flood_is_bounded),
        cmocka_unit_test(test_stable_identifiers),
        cmocka_unit_test(test_duplicates_are_followed),
        cmocka_unit_test(test_next_identifier_is_used),
        cmocka_unit_test(test_identifiers_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
