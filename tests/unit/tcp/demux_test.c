/* SPDX-License-Identifier: Apache-2.0 */
/* The demultiplexing table beside what was put in: full buckets, growth, removal in any order. */
#include "sidecar/tcpip/tcp/tcb.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

#define MANY 20000

static struct tcp tcp;
static struct tcpip ip = {.tcp = &tcp, .hash_key = {{1, 2}}};
static struct tcp_endpoint endpoints[MANY];

static struct tcp_endpoint *find(const struct tcp_endpoint *ep)
{
    return demux_find(&ip, &ep->local, ep->local_port, &ep->remote, ep->remote_port);
}

static int fill(void **state)
{
    UNUSED(state);
    if (demux_create(&tcp) < 0)
        return -1;
    for (uint32_t i = 0; i < MANY; i++) {
        endpoints[i] = (struct tcp_endpoint){.local = ip_addr_v4(i % 3),
                                             .remote = ip_addr_v4(i / 7),
                                             .local_port = (uint16_t)(i % 11),
                                             .remote_port = (uint16_t)i};
        demux_add(&ip, &endpoints[i]);
    }
    return 0;
}

static int empty(void **state)
{
    UNUSED(state);
    demux_destroy(&tcp);
    tcp = (struct tcp){.n_endpoints = 0};
    return 0;
}

static unsigned chained(void)
{
    unsigned n = 0;

    for (uint32_t i = 0; i <= tcp.table_mask; i++)
        n += tcp.table[i].more != NULL;
    return n;
}

static void all_are_found(void **state)
{
    struct tcp_endpoint other = endpoints[0];

    UNUSED(state);
    assert_true(chained() > 0); /* buckets that are full are among those looked at */
    for (uint32_t i = 0; i < MANY; i++)
        assert_ptr_equal(find(&endpoints[i]), &endpoints[i]);
    other.remote_port = 65535;
    assert_null(find(&other));
}

static void what_goes_is_gone_and_the_rest_stays(void **state)
{
    unsigned seed = 7;

    UNUSED(state);
    for (uint32_t i = 0; i < 4 * MANY; i++) {
        struct tcp_endpoint *ep = &endpoints[(unsigned)rand_r(&seed) % MANY];

        if (ep->in_table)
            demux_remove(&tcp, ep);
        else
            demux_add(&ip, ep);
    }
    for (uint32_t i = 0; i < MANY; i++)
        assert_ptr_equal(find(&endpoints[i]), endpoints[i].in_table ? &endpoints[i] : NULL);
    for (uint32_t i = 0; i < MANY; i++)
        demux_remove(&tcp, &endpoints[i]);
    assert_int_equal(tcp.n_endpoints, 0);
    for (uint32_t i = 0; i <= tcp.table_mask; i++) {
        assert_null(tcp.table[i].more);
        for (unsigned s = 0; s < DEMUX_SLOTS; s++)
            assert_null(tcp.table[i].slot[s]);
    }
}

static void a_candidate_is_right_where_tags_differ(void **state)
{
    unsigned right = 0;

    UNUSED(state);
    for (uint32_t i = 0; i < MANY; i++) {
        const uint32_t hash = endpoints[i].hash;

        right += demux_candidate(&tcp.table[hash & tcp.table_mask], hash) == &endpoints[i];
    }
    assert_true(right > MANY / 10 * 9);
}

/* A shortfall of 150 in 1000 is five standard deviations. */
static void listeners_that_share_a_port_get_as_many_each(void **state)
{
    static struct tcb listeners[8];
    const struct ip_addr here = ip_addr_v4(1);
    unsigned got[8] = {0};

    UNUSED(state);
    for (unsigned i = 0; i < 8; i++) {
        listeners[i].ep = (struct tcp_endpoint){.state = TCPS_LISTEN, .local_port = 80};
        demux_bind(&tcp, &listeners[i]);
    }
    for (unsigned peer = 0; peer < 8000; peer++) {
        const struct ip_addr there = ip_addr_v4(peer % 5);
        const uint16_t port = (uint16_t)(30000 + peer);
        const struct tcb *found = demux_listener(&ip, &here, 80, &there, port, 0);

        assert_ptr_equal(found, demux_listener(&ip, &here, 80, &there, port, 0));
        got[found - listeners]++;
    }
    for (unsigned i = 0; i < 8; i++)
        assert_in_range(got[i], 850, 1150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_are_found, fill, empty),
        cmocka_unit_test_setup_teardown(what_goes_is_gone_and_the_rest_stays, fill, empty),
        cmocka_unit_test_setup_teardown(a_candidate_is_right_where_tags_differ, fill, empty),
        cmocka_unit_test_setup_teardown(listeners_that_share_a_port_get_as_many_each, fill, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
