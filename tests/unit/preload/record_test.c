/* SPDX-License-Identifier: Apache-2.0 */
/* The record of options, and the pool of objects. */
#include "preload/pool.h"
#include "preload/record.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static void keeps_order_and_latest(void **state)
{
    (void)state;
    struct record record = {.n = 0};
    int one = 1, two = 2;
    assert_int_equal(record_add(&record, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(record_add(&record, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)), 0);
    assert_int_equal(record_add(&record, SOL_SOCKET, SO_REUSEADDR, &two, sizeof(two)), 0);
    assert_int_equal(record.n, 2);
    assert_int_equal(record.options[0].name, SO_KEEPALIVE);
    assert_int_equal(record.options[1].name, SO_REUSEADDR);
    assert_memory_equal(record.options[1].value, &two, sizeof(two));
}

static void memberships_add_up(void **state)
{
    (void)state;
    struct record record = {.n = 0};
    struct ip_mreq group = {.imr_multiaddr.s_addr = 1};
    for (int i = 0; i < 3; i++)
        assert_int_equal(record_add(&record, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)),
                         0);
    assert_int_equal(record.n, 3);
}

static void has_limits(void **state)
{
    (void)state;
    struct record record = {.n = 0};
    char value[RECORD_VALUE + 1] = "";
    assert_int_equal(record_add(&record, 1, 1, value, sizeof(value)), -EINVAL);
    for (int i = 0; i < RECORD_OPTIONS; i++)
        assert_int_equal(record_add(&record, 1, i, value, 4), 0);
    assert_int_equal(record_add(&record, 1, 1000, value, 4), -ENOBUFS);
    assert_int_equal(record_add(&record, 1, 5, value, 8), 0); /* replaces */
    assert_int_equal(record.n, RECORD_OPTIONS);
}

struct thing {
    char bytes[24];
};

static void pool_reuses_and_ends(void **state)
{
    (void)state;
    static struct pool things = POOL(struct thing, 64);
    struct thing *all[64];
    for (int i = 0; i < 64; i++) {
        all[i] = pool_take(&things);
        assert_non_null(all[i]);
        assert_int_equal(pool_index(&things, all[i]), i);
        assert_ptr_equal(pool_at(&things, (uint32_t)i), all[i]);
        memset(all[i], i, sizeof(*all[i]));
    }
    assert_null(pool_take(&things));
    pool_give(&things, all[7]);
    pool_give(&things, all[9]);
    assert_ptr_equal(pool_take(&things), all[9]);
    assert_int_equal(all[9]->bytes[23], 9); /* type-stable: as its last user left it */
    assert_ptr_equal(pool_take(&things), all[7]);
    assert_int_equal(pool_index(&things, all[0]->bytes + 1), UINT32_MAX);
    assert_int_equal(pool_index(&things, state), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_latest),
        cmocka_unit_test(memberships_add_up),
        cmocka_unit_test(has_limits),
        cmocka_unit_test(pool_reuses_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
