/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast membership on the wire: IGMP and MLD reports, queries, the copy to ourselves. */
#include "sidecar/tcpip/net/member.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/tcpip/net_lab.h"

#define COUNT(lab, name) ((lab)->ip.count.name)

static const struct ip_addr group4 = {.b = {[10] = 0xff, 0xff, 239, 1, 2, 3}};
static const struct ip_addr group6 = {.b = {0xff, 5, [15] = 0x77}};

/* RFC 3376, 4.2: one group record, to 224.0.0.22, TTL 1, router alert. */
static void test_igmp3(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    assert_int_equal(net_member_join(&lab->ip, &group4, 0), 0);
    lab_advance(lab, 5 * SEC);
    assert_int_equal(lab->n_sent, 2);
    const uint8_t *p = lab_sent(lab, 0)->data;
    static const uint8_t mac[6] = {1, 0, 0x5e, 0, 0, 22};
    assert_memory_equal(p, mac, 6);
    assert_int_equal(p[14], 0x46);
    assert_int_equal(p[22], 1);
    assert_memory_equal(p + 34, "\x94\4\0\0", 4);
    assert_int_equal(net_csum(p + 14, 24), 0);
    static const uint8_t want[] = {0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3};
    assert_int_equal(p[38], 0x22);
    assert_memory_equal(p + 42, want, sizeof(want));
    assert_int_equal(net_csum(p + 38, 16), 0);
    lab_clear(lab);
    net_member_leave(&lab->ip, &group4, 0);
    lab_advance(lab, 5 * SEC);
    assert_int_equal(lab->n_sent, 2);
    assert_int_equal(lab_sent(lab, 0)->data[46], 3); /* CHANGE_TO_INCLUDE {} */
    assert_int_equal(COUNT(lab, group_out), 2);
    lab_free(lab);
}

static void query4(struct lab *lab, uint8_t code, const struct ip_addr *group, size_t len,
                   uint8_t ttl)
{
    uint8_t q[12] = {0x11, code}, p[64];
    struct lab_ip how = {
        .src = lab_peer4, .dst = net_ip_all_systems, .proto = IPPROTO_IGMP, .ttl = ttl};
    if (group)
        memcpy(q + 4, group->b + 12, 4);
    net_csum_store(q + 2, net_csum(q, len));
    lab_input_ip(lab, p, lab_build_ip(p, &how, q, len));
}

static void test_igmp_queries(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    net_member_join(&lab->ip, &group4, 0);
    lab_advance(lab, 5 * SEC);
    lab_clear(lab);
    for (unsigned i = 0; i < 100; i++)
        query4(lab, 20, NULL, 12, 1);
    lab_advance(lab, 3 * SEC);
    assert_int_equal(lab->n_sent, 1);
    assert_int_equal(lab_sent(lab, 0)->data[46], 2); /* MODE_IS_EXCLUDE */
    /* An old querier: IGMPv2's report, to the group; its leave, to the routers. */
    query4(lab, 10, &group4, 8, 1);
    lab_advance(lab, 2 * SEC);
    const uint8_t *p = lab_sent(lab, 1)->data;
    assert_int_equal(p[38], 0x16);
    assert_memory_equal(p + 30, group4.b + 12, 4);
    assert_memory_equal(p + 42, group4.b + 12, 4);
    net_member_leave(&lab->ip, &group4, 0);
    lab_advance(lab, SEC);
    p = lab_sent(lab, 2)->data;
    assert_int_equal(p[38], 0x17);
    assert_memory_equal(p + 30, "\340\0\0\2", 4);
    /* Not from this link; cut; wrong checksum. */
    query4(lab, 10, NULL, 8, 2);
    query4(lab, 10, NULL, 7, 1);
    assert_int_equal(COUNT(lab, group_bad), 2);
    lab_free(lab);
}

/* RFC 3810, 5.2: from the link-local address, hop limit 1, router alert, to ff02::16. */
static void test_mld2(void **state)
{
    struct lab *lab = lab_ready();
    UNUSED(state);
    assert_int_equal(net_member_join(&lab->ip, &group6, 0), 0);
    lab_advance(lab, 5 * SEC);
    assert_int_equal(lab->n_sent, 2);
    const uint8_t *p = lab_sent(lab, 0)->data;
    static const uint8_t alert[8] = {58, 0, 5, 2, 0, 0, 1, 0};
    assert_int_equal(p[20], 0);
    assert_int_equal(p[21], 1);
    assert_memory_equal(p + 22, "\xfe\x80", 2);
    assert_memory_equal(p + 38, net_ip_mld2_routers.b, 16);
    assert_memory_equal(p + 54, alert, 8);
    assert_int_equal(p[62], 143);
    assert_int_equal(p[70], 4);
    assert_memory_equal(p + 74, group6.b, 16);
    struct ip_addr src = ip_addr_v6(p + 22);
    uint64_t sum = net_csum_pseudo(&src, &net_ip_mld2_routers, 58, 28);
    assert_int_equal(net_csum_fold(net_csum_add(sum, p + 62, 28)), 0xffff);
    lab_free(lab);
}

static void query6(struct lab *lab, const struct ip_addr *src, size_t len, uint8_t ttl, bool alert)
{
    uint8_t body[36] = {58, 0, 5, 2, 0, 0, 1, 0, 130}, p[128];
    struct lab_ip how = {.src = *src, .dst = net_ip_all_nodes, .proto = 58, .ttl = ttl};
    net_put16(body + 12, 100);
    lab_icmp_checksum(&how, body + 8, len);
    how.proto = NET_IP6_HOPOPTS;
    if (!alert) {
        body[2] = 1;
        body[3] = 4;
        body[6] = 0;
    }
    lab_input_ip(lab, p, lab_build_ip(p, &how, body, 8 + len));
}

static void test_mld_queries(void **state)
{
    struct lab *lab = lab_ready();
    static const struct ip_addr querier = {.b = {0xfe, 0x80, [15] = 9}};
    UNUSED(state);
    net_member_join(&lab->ip, &group6, 0);
    lab_advance(lab, 5 * SEC);
    lab_clear(lab);
    query6(lab, &querier, 28, 1, true);
    lab_advance(lab, SEC);
    /* The group, and the solicited-node group that our two addresses share. */
    assert_int_equal(lab->n_sent, 2);
    lab_clear(lab);
    query6(lab, &querier, 24, 1, true);
    lab_advance(lab, SEC);
    assert_int_equal(lab->n_sent, 2);
    assert_int_equal(lab_sent(lab, 0)->data[62], 131); /* MLDv1 */
    lab_clear(lab);
    query6(lab, &querier, 28, 2, true);
    query6(lab, &querier, 28, 1, false);
    query6(lab, &lab_peer6, 28, 1, true);
    assert_int_equal(COUNT(lab, group_bad), 3);
    lab_advance(lab, SEC);
    assert_int_equal(lab->n_sent, 0);
    lab_free(lab);
}

static void test_input_and_copy_for_members(void **state)
{
    struct lab *lab = lab_ready();
    struct lab_ip how = {.src = lab_peer4, .dst = group4, .proto = IPPROTO_UDP};
    uint8_t p[64], buf[NET_HEADROOM + 8] = {0};
    struct net_tx tx = {.l4 = buf + NET_HEADROOM, .l4_len = 8, .csum_offset = 6};
    struct net_flow flow = {.dst = group4, .proto = IPPROTO_UDP, .ttl = 1};
    UNUSED(state);
    size_t n = lab_build_ip(p, &how, "12345678", 8);
    lab_input_ip(lab, p, n);
    assert_int_equal(COUNT(lab, ip_dst_drop), 1);
    assert_int_equal(net_output(&lab->ip, &flow, &tx), 0);
    assert_false(net_pending(&lab->ip));
    net_member_join(&lab->ip, &group4, 0);
    lab_input_ip(lab, p, n);
    assert_int_equal(lab->n_up, 1);
    assert_int_equal(net_output(&lab->ip, &flow, &tx), 0);
    assert_true(net_pending(&lab->ip));
    net_poll(&lab->ip);
    assert_int_equal(lab->n_up, 2);
    assert_int_equal(lab->up.flags & IP_PACKET_MULTICAST, IP_PACKET_MULTICAST);
    flow = (struct net_flow){
        .dst = group4, .proto = IPPROTO_UDP, .ttl = 1, .flags = NET_FLOW_NO_LOOP_COPY};
    assert_int_equal(net_output(&lab->ip, &flow, &tx), 0);
    assert_false(net_pending(&lab->ip));
    lab_free(lab);
}

static void test_ports(void **state)
{
    struct lab *lab = lab_ready();
    struct ip_addr any = ip_addr_v4(0), none = net_ip_v4_of(10, 0, 0, 9);
    UNUSED(state);
    assert_int_equal(net_member_port(&lab->ip, &group4, 1, &any), 0);
    assert_int_equal(net_member_port(&lab->ip, &group4, 2, &any), -1);
    assert_int_equal(net_member_port(&lab->ip, &group4, 0, &lab_us4), 0);
    assert_int_equal(net_member_port(&lab->ip, &group4, 0, &none), -1);
    assert_int_equal(net_member_port(&lab->ip, &group4, 0, &any), 0);
    assert_int_equal(net_member_address(&lab->ip, 1), lab_us4.w[3]);
    assert_int_equal(net_member_address(&lab->ip, 0), 0);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_igmp3),
        cmocka_unit_test(test_igmp_queries),
        cmocka_unit_test(test_mld2),
        cmocka_unit_test(test_mld_queries),
        cmocka_unit_test(test_input_and_copy_for_members),
        cmocka_unit_test(test_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
